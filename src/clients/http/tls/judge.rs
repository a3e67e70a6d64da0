//! What is to be thought of a certificate at a moment: from when until when it is good, for which names, and whether somebody trusted vouches for it.
//! Every reason against it is named, and not the first one alone.
//!
//! Pure, but for [`Roots::read`]. Whether a certificate was revoked is not asked: that would be questions to others.

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::Shown;
use crate::clock::{after, between};
use crate::text::{cut, moment, span};

/// How many names are shown.
const NAMES: usize = 10;
/// How long what a certificate says of itself may be.
const LENGTH: usize = 200;
/// Longer chains are not looked at for what ends first.
const LONGEST_CHAIN: usize = 10;

/// A certificate that a host presents, and what is to be thought of it. Its texts are whatever the host sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// The version of TLS that was spoken.
    pub version: Option<&'static str>,
    /// Until when it will be accepted: to its own end, or to that of one in its chain. None when it is not accepted now.
    pub good_until: Option<Timestamp>,
    /// Everything that speaks against it.
    pub faults: Vec<String>,
    /// How the connection ended, when not as usual.
    pub ended: Option<String>,
}

/// Whose word is taken.
pub(super) struct Roots {
    store: RootCertStore,
    /// Why the system's are not among them.
    without_system: Option<String>,
}

impl Roots {
    /// The system's, and these.
    pub(super) fn read(extra: &[CertificateDer<'static>]) -> Self {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (usable, _) = store.add_parsable_certificates(found.certs);
        let without_system = (usable == 0).then(|| {
            let error = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
            format!("the system's CA certificates could not be read ({error}); is the package ca-certificates installed?")
        });
        store.add_parsable_certificates(extra.iter().cloned());
        Self { store, without_system }
    }
}

#[cfg(test)]
impl Roots {
    /// Nobody's word.
    pub(super) fn none() -> Self {
        Self { store: RootCertStore::empty(), without_system: None }
    }
}

/// Whether these bytes are a certificate that can vouch for others.
pub(super) fn is_certificate(der: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(der.clone().into_owned()).is_ok()
}

/// What is to be thought of what was shown, when a client asks for this name at this moment.
///
/// # Errors
/// Why nobody can say.
pub(super) fn judge(
    shown: &Shown,
    roots: &Roots,
    name: &ServerName<'_>,
    now: Timestamp,
) -> Result<Certificate, String> {
    let own = shown.chain.first().ok_or("no certificate was presented")?;
    let facts = Facts::read(own).ok_or("the certificate that was presented can not be read")?;
    let mut faults: Vec<String> = shown.broken.iter().cloned().collect();
    if now > facts.not_after {
        let ago = span(between(facts.not_after, now));
        faults.push(format!("it expired {ago} ago, on {}", moment(facts.not_after)));
    }
    if now < facts.not_before {
        let left = span(between(now, facts.not_before));
        faults.push(format!("it is valid only in {left}, from {} on", moment(facts.not_before)));
    }
    let mut good_until = None;
    match ParsedCertificate::try_from(own) {
        Ok(parsed) => {
            if verify_server_name(&parsed, name).is_err() {
                let names =
                    if facts.names.is_empty() { "no name".to_owned() } else { facts.names.join(", ") };
                faults.push(format!("it is not for {}, but for {names}", name.to_str()));
            }
            let vouched = |at: Timestamp| vouched_for(&parsed, roots, &shown.chain, at);
            // Its own dates were looked at: what else is wrong with the chain shall not hide behind them.
            let at = now.clamp(facts.not_before, facts.not_after.max(facts.not_before));
            match vouched(at) {
                Ok(()) => good_until = Some(ends(&shown.chain, &facts, now, vouched)),
                Err(CertificateError::UnknownIssuer) if roots.without_system.is_some() => {
                    return Err(roots.without_system.clone().unwrap_or_default());
                }
                Err(error) => faults.push(why_not(&error, &facts, &shown.chain)),
            }
        }
        Err(error) => faults.push(match &error {
            rustls::Error::InvalidCertificate(error) => words(error),
            error => error.to_string(),
        }),
    }
    faults.dedup();
    Ok(Certificate {
        subject: facts.subject,
        issuer: facts.issuer,
        names: facts.names,
        not_before: facts.not_before,
        not_after: facts.not_after,
        version: shown.version,
        good_until: good_until.filter(|_| faults.is_empty()),
        faults,
        ended: shown.ended.clone(),
    })
}

fn vouched_for(
    own: &ParsedCertificate<'_>,
    roots: &Roots,
    chain: &[CertificateDer<'static>],
    at: Timestamp,
) -> Result<(), CertificateError> {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let others = chain.get(1..).unwrap_or_default();
    verify_server_cert_signed_by_trust_anchor(own, &roots.store, others, at, algorithms.all).map_err(
        |error| match error {
            rustls::Error::InvalidCertificate(error) => error,
            _ => CertificateError::ApplicationVerificationFailure,
        },
    )
}

/// Until when somebody vouches for it: the first end of a certificate after which nobody does. One that is sent and not needed ends nothing.
fn ends(
    chain: &[CertificateDer<'static>],
    own: &Facts,
    now: Timestamp,
    vouched: impl Fn(Timestamp) -> Result<(), CertificateError>,
) -> Timestamp {
    let others = chain.iter().skip(1).take(LONGEST_CHAIN).filter_map(Facts::read);
    let mut ends: Vec<Timestamp> = others.map(|other| other.not_after).collect();
    ends.retain(|end| *end >= now && *end < own.not_after);
    ends.sort();
    let second = std::time::Duration::from_secs(1);
    ends.into_iter().find(|end| vouched(after(*end, second)).is_err()).unwrap_or(own.not_after)
}

/// Why nobody vouches for it.
fn why_not(error: &CertificateError, own: &Facts, chain: &[CertificateDer<'static>]) -> String {
    if own.subject == own.issuer {
        return "it is self-signed, and nobody who is trusted vouches for it".to_owned();
    }
    if *error != CertificateError::UnknownIssuer {
        return match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "a certificate of its chain has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "a certificate of its chain is not valid yet".to_owned()
            }
            error => words(error),
        };
    }
    let last = chain.iter().skip(1).filter_map(Facts::read).next_back();
    match last {
        None => {
            format!("its issuer is not trusted, and no intermediate certificate was sent: {}", own.issuer)
        }
        Some(last) if last.subject == last.issuer => {
            format!("its chain ends in a self-signed certificate that is not trusted: {}", last.subject)
        }
        Some(last) => format!("its chain ends in an issuer that is not trusted: {}", last.issuer),
    }
}

/// What is wrong with a certificate, in words.
pub(super) fn words(error: &CertificateError) -> String {
    match error {
        CertificateError::BadSignature => "a signature does not belong to its key".to_owned(),
        CertificateError::BadEncoding => "it is no certificate that can be read".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not meant for servers".to_owned()
        }
        error => cut(&format!("it is not accepted: {error}"), LENGTH),
    }
}

/// What a certificate says of itself.
struct Facts {
    subject: String,
    issuer: String,
    names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Facts {
    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let own = certificate.tbs_certificate();
        let time =
            |time: Time| Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok();
        let names = own.get_extension::<SubjectAltName>().ok()?.map_or_else(Vec::new, |(_, names)| names.0);
        let named = |name: &GeneralName| match name {
            GeneralName::DnsName(name) => Some(cut(name.as_str(), LENGTH)),
            GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
                bytes if bytes.len() == 4 => {
                    <[u8; 4]>::try_from(bytes).ok().map(|ip| std::net::Ipv4Addr::from(ip).to_string())
                }
                bytes => <[u8; 16]>::try_from(bytes).ok().map(|ip| std::net::Ipv6Addr::from(ip).to_string()),
            },
            _ => None,
        };
        Some(Self {
            subject: cut(&own.subject().to_string(), LENGTH),
            issuer: cut(&own.issuer().to_string(), LENGTH),
            names: names.iter().filter_map(named).take(NAMES).collect(),
            not_before: time(own.validity().not_before)?,
            not_after: time(own.validity().not_after)?,
        })
    }
}
