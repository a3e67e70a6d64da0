//! Which certificate is meant: by its ARN, or by a name that it is for. Pure.

use super::Certificate;

/// The certificate that is meant. What a label filled in can be nothing else than this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of a name, in small letters.
    Domain(String),
    /// This one.
    Arn {
        /// The whole of it.
        arn: String,
        /// Where it is: it is asked there.
        region: String,
    },
}

/// It can not be told which certificate is meant; the text says why, with the ARNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear(pub String);

impl Which {
    /// Reads what names a certificate.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("arn:") {
            return of_arn(text).ok_or(
                "expected an ARN such as arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
            );
        }
        let domain = text.to_ascii_lowercase();
        let host = domain.strip_prefix("*.").unwrap_or(&domain);
        if !is_host(host) {
            return Err("expected a domain such as shop.example, or the ARN of a certificate");
        }
        Ok(Self::Domain(domain))
    }

    pub(super) fn region(&self) -> Option<&str> {
        match self {
            Self::Domain(_) => None,
            Self::Arn { region, .. } => Some(region),
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "the certificate for {domain}"),
            Self::Arn { arn, .. } => write!(f, "the certificate {arn}"),
        }
    }
}

/// Source: <https://docs.aws.amazon.com/acm/latest/APIReference/API_DescribeCertificate.html>.
fn of_arn(text: &str) -> Option<Which> {
    let mut parts = text.splitn(6, ':').skip(1);
    let (partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let small = |part: &str| {
        (1..=32).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let id = resource.strip_prefix("certificate/")?;
    let is_id =
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_one = partition.starts_with("aws")
        && small(partition)
        && service == "acm"
        && small(region)
        && is_account
        && is_id;
    is_one.then(|| Which::Arn { arn: text.to_owned(), region: region.to_owned() })
}

/// A name of several labels, in small letters.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// Whether a name of a certificate is this domain, or stands for it: a `*` is one label, as in TLS (RFC 6125, 6.4.3).
#[must_use]
pub fn covers(name: &str, domain: &str) -> bool {
    if name.eq_ignore_ascii_case(domain) {
        return true;
    }
    let (Some(parent), Some((first, rest))) = (name.strip_prefix("*."), domain.split_once('.')) else {
        return false;
    };
    first != "*" && parent.eq_ignore_ascii_case(rest)
}

/// The only one, or else the only one that is in use. Between two nobody guesses.
pub(super) fn choose(domain: &str, mut all: Vec<Certificate>) -> Result<Certificate, Unclear> {
    if all.len() > 1 && all.iter().any(|one| !one.in_use_by.is_empty()) {
        all.retain(|one| !one.in_use_by.is_empty());
    }
    all.sort_by(|one, other| one.arn.cmp(&other.arn));
    match <[Certificate; 1]>::try_from(all) {
        Ok([one]) => Ok(one),
        Err(all) => {
            let each: Vec<String> = all
                .iter()
                .map(|one| {
                    let used = if one.in_use_by.is_empty() { "not in use" } else { "in use" };
                    format!("{} ({}, {used})", one.arn, one.status)
                })
                .collect();
            Err(Unclear(format!(
                "{} certificates are for {domain}, and which one is meant can not be told: {}; name it by its ARN",
                all.len(),
                each.join(", ")
            )))
        }
    }
}
