//! The certificate that a host presents: a TCP connection, a TLS handshake, and nothing after it. Whom it may connect to says the same policy.
//!
//! While shaking hands every certificate is taken, so that a bad one can be read, too; nothing is ever sent to whom it belongs. That the other side
//! has the certificate's key is seen in the handshake; everything else is judged afterwards, by `judge`, at a moment that the caller names.

mod judge;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use judge::Certificate;

use super::super::{CONNECT_TIMEOUT, CallError, Reason};
use super::{Http, Origin};

/// Within this time hands are shaken, once there is a connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long is waited for the goodbye to be sent.
const GOODBYE: Duration = Duration::from_millis(200);

/// Certificates that are trusted besides those of the system: a private authority's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust(Arc<Vec<CertificateDer<'static>>>);

impl Trust {
    /// Reads certificates in PEM, such as those of `/etc/ssl/certs`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected certificates in PEM (`-----BEGIN CERTIFICATE-----`)";
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let all = read.ok().filter(|all| !all.is_empty()).ok_or(EXPECTED)?;
        if all.iter().any(|one| !judge::is_certificate(one)) {
            return Err(EXPECTED);
        }
        Ok(Self(Arc::new(all)))
    }

    pub(super) fn for_reqwest(&self) -> Vec<reqwest::Certificate> {
        self.0.iter().filter_map(|one| reqwest::Certificate::from_der(one).ok()).collect()
    }
}

/// What a host showed while shaking hands.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Its own certificate, and what it sent besides.
    chain: Vec<CertificateDer<'static>>,
    /// The version of TLS, once it was seen that it has the key.
    version: Option<&'static str>,
    /// What is wrong with the certificate so that no hands were shaken at all.
    broken: Option<String>,
    /// How it ended after that.
    ended: Option<String>,
}

impl Http {
    /// The certificate that the host of this address presents to those who ask for `name`, as it is to be judged at this moment.
    ///
    /// # Errors
    /// `ClientError` for an address that may not be asked, whereupon nothing is; else whatever kept the host from showing one.
    pub async fn certificate(
        &self,
        address: &str,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<Certificate, CallError> {
        let (url, origin, call) = self.allowed(address)?;
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = name.unwrap_or(bare).trim_end_matches('.').to_owned();
        let server = ServerName::try_from(name.clone())
            .map_err(|_| CallError::unsent(&call, "the name to ask for can not be a host's"))?;
        let question = format!("{origin} {name}");
        let asked = || async { self.shake(&call, &url, &origin, server.clone()).await.map(Arc::new) };
        let shown = self.0.shown.ask(question, asked).await?;
        let trust = self.0.trust.clone();
        // The system's certificates are read each time: they are replaced while this runs.
        let judged = tokio::task::spawn_blocking(move || {
            judge::judge(&shown, &judge::Roots::read(&trust.0), &server, now)
        });
        let judged = judged.await.map_err(|error| CallError::unsent(&call, &error.to_string()))?;
        judged.map_err(|why| CallError::new(&call, Reason::ClientError, &why))
    }

    async fn shake(
        &self,
        call: &str,
        url: &Url,
        origin: &Origin,
        name: ServerName<'static>,
    ) -> Result<Shown, CallError> {
        let addresses = self.addresses(call, url, origin).await?;
        let stream = connect(call, &addresses).await?;
        let witness = Arc::new(Witness::default());
        let unfit = |error: rustls::Error| CallError::unsent(call, &error.to_string());
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(unfit)?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
                .with_no_client_auth();
        // A session that is taken up again shows no certificate.
        config.resumption = Resumption::disabled();
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let (shaken, waited) =
            match tokio::time::timeout(HANDSHAKE_TIMEOUT.min(self.0.timeout), shaking).await {
                Ok(shaken) => (shaken, false),
                Err(_) => (Err(std::io::ErrorKind::TimedOut.into()), true),
            };
        let mut shown = witness.shown();
        match shaken {
            Ok(mut stream) => {
                let goodbye = tokio::io::AsyncWriteExt::shutdown(&mut stream);
                // Nothing depends on it.
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
                Ok(shown)
            }
            Err(error) => {
                let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                match of_tls {
                    // What is wrong is the certificate, and nothing else.
                    Some(rustls::Error::InvalidCertificate(wrong)) if !shown.chain.is_empty() => {
                        shown.broken = Some(judge::words(wrong));
                        Ok(shown)
                    }
                    // It was shown, and belongs to who showed it; a client without a certificate of its own is sent away only then.
                    _ if shown.version.is_some() => {
                        shown.ended = Some(match of_tls {
                            Some(rustls::Error::AlertReceived(alert)) => {
                                format!("the server then sent {alert:?}")
                            }
                            _ => "the connection then broke off".to_owned(),
                        });
                        Ok(shown)
                    }
                    _ if waited => {
                        Err(CallError::new(call, Reason::Timeout, "no TLS handshake came about in time"))
                    }
                    Some(rustls::Error::InvalidMessage(_)) => {
                        let message = "what came back is no TLS; does the port speak plain HTTP?";
                        Err(CallError::new(call, Reason::ServerError, message))
                    }
                    Some(wrong) => {
                        let message = format!("the TLS handshake failed: {wrong}");
                        Err(CallError::new(call, Reason::ServerError, &message))
                    }
                    None => {
                        let message = format!("the connection broke off in the TLS handshake: {error}");
                        Err(CallError::new(call, Reason::ServerError, &message))
                    }
                }
            }
        }
    }
}

/// A connection to the first address that takes one.
async fn connect(call: &str, addresses: &[SocketAddr]) -> Result<TcpStream, CallError> {
    let unreachable = |message: &str| CallError::new(call, Reason::Unreachable, message);
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addresses)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable(&format!("no connection came about: {error}"))),
        Err(_) => Err(unreachable("no connection came about in time")),
    }
}

/// Takes every certificate, and remembers it.
#[derive(Debug)]
struct Witness {
    provider: CryptoProvider,
    shown: Mutex<Shown>,
}

impl Default for Witness {
    fn default() -> Self {
        Self { provider: rustls::crypto::ring::default_provider(), shown: Mutex::default() }
    }
}

impl Witness {
    fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Shown)) {
        note(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.note(|shown| {
            let all = std::iter::once(end_entity).chain(intermediates);
            shown.chain = all.map(|one| one.clone().into_owned()).collect();
        });
        // It is judged later, with what it says of itself at hand.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let valid = verify_tls12_signature(message, cert, signed, algorithms)?;
        self.note(|shown| shown.version = Some("TLS 1.2"));
        Ok(valid)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let valid = verify_tls13_signature(message, cert, signed, algorithms)?;
        self.note(|shown| shown.version = Some("TLS 1.3"));
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
