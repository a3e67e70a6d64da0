//! The public host: a load balancer that speaks TLS and passes requests on to the frontend, as an ALB does. Its certificate comes from an authority of
//! the sandbox's own, by way of an intermediate one which it sends along; it presents the same one whatever name is asked for.
//!
//! Certificates are dated by the real clock and not at the world's pace: so are those who look at them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::server::{Answer, CONNECTIONS, Reply, converse};
use super::state::Shared;
use super::trouble::{System, Trouble};
use crate::clock;

/// The name of the public host.
pub const HOST: &str = "samosachaat.art";
/// How long a certificate lasts, and how old the present one is: as ACM issues them.
pub(super) const LASTS: Duration = Duration::from_hours(395 * 24);
pub(super) const AGE: Duration = Duration::from_hours(30 * 24);
/// A client that does not shake hands is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is wrong with the certificate that the public host presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Nobody renewed it: it ends so long after this fault was made.
    Expiring {
        /// How long it still lasts.
        left: Duration,
    },
    /// It ended so long ago.
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It is for another name.
    OtherName,
}

/// The authority, and what is presented now.
pub(super) struct Front {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    presented: Arc<ServerConfig>,
}

impl Front {
    /// With a good certificate.
    pub(super) fn new(now: Timestamp) -> Result<Self, Error> {
        let (from, to) = (before(now, 365), after(now, 10 * 365));
        let root =
            CertifiedIssuer::self_signed(authority("Sandbox Root CA", (from, to)), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let intermediate = CertifiedIssuer::signed_by(authority("Sandbox CA 1", (from, to)), key, &root)?;
        let presented = issue(&intermediate, None, now)?;
        Ok(Self { root, intermediate, presented })
    }

    /// Presents another certificate from now on.
    pub(super) fn present(&mut self, fault: Option<CertificateFault>, now: Timestamp) -> Result<(), Error> {
        self.presented = issue(&self.intermediate, fault, now)?;
        Ok(())
    }

    /// Presents the certificate that ACM holds, which is good from then until then.
    pub(super) fn present_acms(&mut self, validity: (Timestamp, Timestamp)) -> Result<(), Error> {
        self.presented = signed(&self.intermediate, HOST, validity)?;
        Ok(())
    }

    /// The authority's certificate.
    pub(super) fn root(&self) -> String {
        self.root.pem()
    }
}

fn before(now: Timestamp, days: u64) -> Timestamp {
    clock::before(now, Duration::from_hours(days * 24))
}

fn after(now: Timestamp, days: u64) -> Timestamp {
    clock::after(now, Duration::from_hours(days * 24))
}

fn authority(name: &str, validity: (Timestamp, Timestamp)) -> CertificateParams {
    let mut params = params(name, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str, (from, to): (Timestamp, Timestamp)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "Sandbox");
    params.distinguished_name.push(DnType::CommonName, name);
    let moment = |at: Timestamp| {
        let since_1970 = Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
        date_time_ymd(1970, 1, 1) + since_1970
    };
    (params.not_before, params.not_after) = (moment(from), moment(to));
    params
}

fn issue(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    fault: Option<CertificateFault>,
    now: Timestamp,
) -> Result<Arc<ServerConfig>, Error> {
    let end = match fault {
        None | Some(CertificateFault::OtherName) => clock::after(clock::before(now, AGE), LASTS),
        Some(CertificateFault::Expiring { left }) => clock::after(now, left),
        Some(CertificateFault::Expired { ago }) => clock::before(now, ago),
    };
    let name = if fault == Some(CertificateFault::OtherName) { "parked.example" } else { HOST };
    signed(issuer, name, (clock::before(end, LASTS), end))
}

fn signed(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    validity: (Timestamp, Timestamp),
) -> Result<Arc<ServerConfig>, Error> {
    let mut params = params(name, validity);
    let names = [name.to_owned(), format!("*.{name}")];
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let own = params.signed_by(&key, issuer)?;
    let chain: Vec<CertificateDer<'static>> = vec![own.der().clone(), issuer.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| Error::CouldNotParseKeyPair)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|_| Error::CouldNotParseKeyPair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves the public host until it is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        if connections.len() < CONNECTIONS {
            connections.spawn(connection(stream, Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let (trouble, config) = {
        let mut state = shared.lock();
        (state.troubles.strike_connection(System::Front), Arc::clone(&state.front.presented))
    };
    match trouble {
        Some(Trouble::Hang) => std::future::pending().await,
        // Closed before hands are shaken.
        Some(_) => {}
        None => {
            let shaken = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                converse(System::Front, None, stream, shared).await;
            }
        }
    }
}

/// The frontend's answer; without a pod behind it, the load balancer's own.
pub(super) fn answer(of_the_frontend: Reply) -> Reply {
    match of_the_frontend {
        Reply::Cut => {
            let title = "503 Service Temporarily Unavailable";
            let body = format!(
                "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
            );
            Reply::Answer(Answer::new(503, "text/html", body).with("Server", "awselb/2.0"))
        }
        reply => reply,
    }
}
