//! What ACM says of a certificate. Its words (`ISSUED`, `PENDING_VALIDATION`) stay its words: a list of them in here would be an old one. Pure.

use aws_sdk_acm::primitives::DateTime;
use aws_sdk_acm::types::{CertificateDetail, DomainValidation, RenewalEligibility};
use jiff::Timestamp;

use super::which::covers;

/// The status of a certificate that can be used.
pub const ISSUED: &str = "ISSUED";
/// The type of a certificate that Amazon itself has issued.
pub const AMAZON_ISSUED: &str = "AMAZON_ISSUED";
/// The status of a validation, and of a renewal, that has come to its end.
pub const SUCCESS: &str = "SUCCESS";

/// A certificate, as ACM describes it.
/// Source: <https://docs.aws.amazon.com/acm/latest/APIReference/API_CertificateDetail.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its ARN.
    pub arn: String,
    /// The name that it was asked for with.
    pub domain: String,
    /// All of its names.
    pub names: Vec<String>,
    /// `AMAZON_ISSUED`, `IMPORTED` or `PRIVATE`.
    pub kind: String,
    /// Such as `ISSUED`.
    pub status: String,
    /// Why it failed or was revoked.
    pub status_reason: Option<String>,
    /// From when on it is good; none: it was never issued.
    pub not_before: Option<Timestamp>,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// The ARNs of what uses it.
    pub in_use_by: Vec<String>,
    /// Whether ACM may renew it; none: it does not say.
    pub is_eligible: Option<bool>,
    /// How its renewal goes, once it has begun.
    pub renewal: Option<Renewal>,
    /// How its names were validated when it was issued.
    pub validations: Vec<Validation>,
}

/// How a renewal goes. Only what Amazon has issued has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// `PENDING_AUTO_RENEWAL`, `PENDING_VALIDATION`, `SUCCESS` or `FAILED`.
    pub status: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// When this was last so.
    pub updated_at: Option<Timestamp>,
    /// How its names are validated this time.
    pub validations: Vec<Validation>,
}

/// How a name is validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// The name.
    pub domain: String,
    /// `PENDING_VALIDATION`, `SUCCESS` or `FAILED`.
    pub status: Option<String>,
    /// `DNS`, `EMAIL` or `HTTP`.
    pub method: Option<String>,
    /// What must stand in DNS.
    pub record: Option<Record>,
}

/// A record that ACM asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Such as `_a79865eb4cd1a6ab990a45779b4e0b96.shop.example.`.
    pub name: String,
    /// `CNAME`.
    pub kind: String,
    /// Such as `_424c7224e9b0146f9a8808af955727d0.acm-validations.aws.`.
    pub value: String,
}

impl Certificate {
    /// Whether one of its names is this domain, or stands for it.
    #[must_use]
    pub fn is_for(&self, domain: &str) -> bool {
        self.names.iter().any(|name| covers(name, domain))
    }

    /// How its names are validated now: for its renewal, once that has begun, else for its issue.
    #[must_use]
    pub fn current_validations(&self) -> &[Validation] {
        let renewed = self.renewal.as_ref().map(|renewal| renewal.validations.as_slice());
        renewed.filter(|validations| !validations.is_empty()).unwrap_or(&self.validations)
    }

    /// What must stand in DNS for it: at its issue, and for its renewal.
    pub fn records(&self) -> impl Iterator<Item = (&str, &Record)> {
        let renewed = self.renewal.iter().flat_map(|renewal| &renewal.validations);
        let all = self.validations.iter().chain(renewed);
        all.filter_map(|validation| Some((validation.domain.as_str(), validation.record.as_ref()?)))
    }
}

pub(super) fn certificate(detail: Option<CertificateDetail>) -> Result<Certificate, String> {
    let detail = detail.ok_or("the answer holds no certificate")?;
    let need = |value: Option<&str>, name: &str| {
        value
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| format!("the answer has no {name}"))
    };
    let domain = need(detail.domain_name(), "DomainName")?;
    let mut names = vec![domain.clone()];
    for name in detail.subject_alternative_names() {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.clone());
        }
    }
    let renewal = detail.renewal_summary().map(|summary| Renewal {
        status: summary.renewal_status().as_str().to_owned(),
        reason: summary.renewal_status_reason().map(|reason| reason.as_str().to_owned()),
        updated_at: moment(Some(summary.updated_at())),
        validations: summary.domain_validation_options().iter().map(validation).collect(),
    });
    let failure = detail.failure_reason().map(|reason| reason.as_str().to_owned());
    let revocation = detail.revocation_reason().map(|reason| reason.as_str().to_owned());
    Ok(Certificate {
        arn: need(detail.certificate_arn(), "CertificateArn")?,
        domain,
        names,
        kind: need(detail.r#type().map(|kind| kind.as_str()), "Type")?,
        status: need(detail.status().map(|status| status.as_str()), "Status")?,
        status_reason: failure.or(revocation),
        not_before: moment(detail.not_before()),
        not_after: moment(detail.not_after()),
        in_use_by: detail.in_use_by().to_vec(),
        is_eligible: match detail.renewal_eligibility() {
            Some(RenewalEligibility::Eligible) => Some(true),
            Some(RenewalEligibility::Ineligible) => Some(false),
            _ => None,
        },
        renewal,
        validations: detail.domain_validation_options().iter().map(validation).collect(),
    })
}

fn validation(option: &DomainValidation) -> Validation {
    Validation {
        domain: option.domain_name().to_owned(),
        status: option.validation_status().map(|status| status.as_str().to_owned()),
        method: option.validation_method().map(|method| method.as_str().to_owned()),
        record: option.resource_record().map(|record| Record {
            name: record.name().to_owned(),
            kind: record.r#type().as_str().to_owned(),
            value: record.value().to_owned(),
        }),
    }
}

fn moment(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

#[cfg(test)]
impl Certificate {
    /// For the tests of others: one of these names, in use by nobody. Each is validated by the CNAME `token` below it, with this value.
    pub(crate) fn of(domains: &[&str], token: &str, value: &str) -> Self {
        let validation = |domain: &&str| {
            let name = format!("{token}.{}.", domain.trim_start_matches("*."));
            let record = Record { name, kind: "CNAME".to_owned(), value: value.to_owned() };
            Validation { domain: (*domain).to_owned(), status: None, method: None, record: Some(record) }
        };
        Self {
            arn: "arn".to_owned(),
            domain: domains[0].to_owned(),
            names: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            kind: AMAZON_ISSUED.to_owned(),
            status: ISSUED.to_owned(),
            status_reason: None,
            not_before: None,
            not_after: None,
            in_use_by: Vec::new(),
            is_eligible: None,
            renewal: None,
            validations: domains.iter().map(validation).collect(),
        }
    }
}
