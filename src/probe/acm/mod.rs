//! Asks ACM about a certificate: for how many days it is still good, or what keeps ACM from renewing it by itself. The evidence holds what its console shows of the renewal.
//!
//! All dates are ACM's own. When it can not be told which certificate is meant nothing is known, and nobody guesses.

use jiff::Timestamp;

use super::tls::words;
use super::{Scope, held};
use crate::clients::acm::{
    AMAZON_ISSUED, Acm, Certificate, ISSUED, Renewal, SUCCESS, Unclear, Validation, Which,
};
use crate::clock::between;
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{AcmProbe, AcmState, DAY, Template, Threshold};
use crate::text::{count, cut, moment, span};

/// How long what is shown of it may be.
const LENGTH: usize = 300;
/// How many names, and how many users, are shown.
const SHOWN: usize = 5;

pub(super) async fn ask(
    acm: Option<&Acm>,
    scope: &Scope<'_>,
    name: &str,
    probe: &AcmProbe,
    threshold: Threshold,
) -> Evidence {
    let which = match which(scope, &probe.certificate) {
        Ok(which) => which,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let asked = match probe.state {
        AcmState::DaysLeft => format!("how long {which} is good"),
        AcmState::RenewalBlocked => format!("what keeps ACM from renewing {which}"),
    };
    let certificate = match certificate(acm, &which).await {
        Ok(certificate) => certificate,
        Err(why) => return Evidence::unknown(name, asked, why),
    };
    match probe.state {
        AcmState::DaysLeft => days_left(scope.now, (name, asked), threshold, &certificate),
        AcmState::RenewalBlocked => renewal_blocked(scope.now, (name, asked), threshold, &certificate),
    }
}

/// The certificate that a template means; a label can fill in a domain or an ARN, and nothing else.
pub(super) fn which(scope: &Scope<'_>, template: &Template) -> Result<Which, String> {
    let text = scope.fill(template)?;
    Which::parse(&text).map_err(|expected| format!("{:?} names no certificate: {expected}", cut(&text, 60)))
}

pub(super) async fn certificate(acm: Option<&Acm>, which: &Which) -> Result<Certificate, String> {
    let acm = acm.ok_or("there is no `aws: {region: ...}` in the configuration")?;
    match acm.certificate(which).await {
        Ok(Ok(certificate)) => Ok(certificate),
        Ok(Err(Unclear(why))) => Err(why),
        Err(error) => Err(format!("ACM could not be asked: {error}")),
    }
}

fn days_left(
    now: Timestamp,
    (name, asked): (&str, String),
    threshold: Threshold,
    certificate: &Certificate,
) -> Evidence {
    let (figure, saw) = match certificate.not_after {
        _ if certificate.status != ISSUED => (0.0, format!("it can not be used: {}", status(certificate))),
        None => {
            return Evidence::unknown(name, asked, "ACM does not say until when it is good".to_owned());
        }
        Some(until) if until <= now => {
            (0.0, format!("it expired {} ago, on {}", span(between(until, now)), moment(until)))
        }
        Some(until) => {
            let left = between(now, until);
            let figure = left.as_secs_f64() / DAY.as_secs_f64();
            (figure, format!("valid until {}, for {}", moment(until), span(left)))
        }
    };
    Evidence {
        samples: described(now, certificate),
        ..Evidence::found(name, asked, held(threshold, figure, None), format!("{saw}; {}", words(threshold)))
    }
}

fn renewal_blocked(
    now: Timestamp,
    (name, asked): (&str, String),
    threshold: Threshold,
    certificate: &Certificate,
) -> Evidence {
    let blockers = blockers(certificate);
    let mut samples: Vec<Sample> =
        blockers.iter().map(|line| sample(now, "in the way", line.clone())).collect();
    samples.extend(described(now, certificate));
    let first = blockers.first().map(|first| format!(": {first}")).unwrap_or_default();
    let things = count(blockers.len() as u64, "thing is", "things are");
    let saw = format!("{things} in the way of its renewal{first}; {threshold}");
    if certificate.is_eligible.is_none() && blockers.is_empty() {
        let why = format!("{saw}, but ACM does not say whether it would renew it at all");
        return Evidence { samples, ..Evidence::unknown(name, asked, why) };
    }
    #[expect(clippy::cast_precision_loss, reason = "a certificate has a few names")]
    let verdict = held(threshold, blockers.len() as f64, None);
    Evidence { samples, ..Evidence::found(name, asked, verdict, saw) }
}

/// Why ACM will not renew it by itself, each in words that a person can act on.
/// Source: <https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html>.
fn blockers(certificate: &Certificate) -> Vec<String> {
    if certificate.kind == "IMPORTED" {
        return vec!["it was imported, and those ACM never renews: import a new one in time".to_owned()];
    }
    let mut all = Vec::new();
    if certificate.status != ISSUED {
        let then = match certificate.status.as_str() {
            "PENDING_VALIDATION" => "it is issued once its names are validated",
            _ => "ACM does not renew such a one: request another",
        };
        all.push(format!("it is {}: {then}", status(certificate)));
    } else if certificate.is_eligible == Some(false) {
        all.push(if certificate.in_use_by.is_empty() {
            "it is not in use by any service of AWS, and ACM renews only what is: attach it, or remove it"
                .to_owned()
        } else {
            "ACM says that it may not be renewed (RenewalEligibility INELIGIBLE), although it is in use"
                .to_owned()
        });
    }
    if let Some(Renewal { status, reason, .. }) = &certificate.renewal {
        let why = reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        match status.as_str() {
            "FAILED" => all.push(format!("its renewal has failed{why}")),
            "PENDING_VALIDATION" => {
                all.push(format!("its renewal waits until its names are validated{why}"));
            }
            "PENDING_AUTO_RENEWAL" | SUCCESS => {}
            other => all.push(format!("its renewal is {other}{why}, of which nothing is known here")),
        }
    }
    for validation in certificate.current_validations() {
        all.extend(unvalidated(validation));
    }
    if certificate.kind != AMAZON_ISSUED && certificate.kind != "PRIVATE" {
        all.push(format!("it is of the type {}, of which nothing is known here", certificate.kind));
    }
    all
}

/// What is to be done so that a name is validated.
fn unvalidated(validation: &Validation) -> Option<String> {
    let Validation { domain, status, method, record } = validation;
    let status = status.as_deref().unwrap_or("not known");
    let method = method.as_deref().unwrap_or("a way that ACM does not say");
    match method {
        "EMAIL" => {
            Some(format!("{domain} is validated by e-mail ({status}): its owner has to answer each time"))
        }
        _ if status == SUCCESS => None,
        _ => Some(match record {
            Some(record) => {
                let (name, kind, value) = (&record.name, &record.kind, &record.value);
                format!(
                    "{domain} is {status}: {name} must be {kind} {value} in public DNS, and no CAA record may forbid it"
                )
            }
            None => format!("{domain} is {status} by {method}, and ACM names no record for it"),
        }),
    }
}

/// What the console shows of it.
fn described(at: Timestamp, certificate: &Certificate) -> Vec<Sample> {
    let Certificate { arn, kind, not_before, not_after, renewal, .. } = certificate;
    let valid = match (not_before, not_after) {
        (Some(from), Some(until)) => format!("from {} until {}", moment(*from), moment(*until)),
        _ => "never yet".to_owned(),
    };
    let eligible = match certificate.is_eligible {
        Some(true) => "eligible for renewal",
        Some(false) => "not eligible for renewal",
        None => "whether it is eligible for renewal is not said",
    };
    let renewal = match renewal {
        Some(renewal) => {
            let since = renewal.updated_at.map(|at| format!(" since {}", moment(at))).unwrap_or_default();
            let why = renewal.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{}{why}{since}; {eligible}", renewal.status)
        }
        None => format!("none has begun; {eligible}"),
    };
    let mut pairs = vec![
        ("certificate", arn.clone()),
        ("status", format!("{}, {kind}", status(certificate))),
        ("valid", valid),
        ("renewal", renewal),
        ("in use by", some(&certificate.in_use_by, "nothing")),
        ("names", some(&certificate.names, "none")),
    ];
    let validations = certificate.current_validations();
    pairs.extend(validations.iter().take(SHOWN).map(|validation| {
        let status = validation.status.as_deref().unwrap_or("not known");
        let method = validation.method.as_deref().unwrap_or("not known");
        ("validation", format!("{}: {status}, by {method}", validation.domain))
    }));
    pairs.into_iter().map(|(from, line)| sample(at, from, line)).collect()
}

fn status(certificate: &Certificate) -> String {
    match &certificate.status_reason {
        Some(reason) => format!("{} ({reason})", certificate.status),
        None => certificate.status.clone(),
    }
}

fn some(all: &[String], none: &str) -> String {
    let shown: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
    match all.len().saturating_sub(SHOWN) {
        _ if all.is_empty() => none.to_owned(),
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

pub(super) fn sample(at: Timestamp, from: &str, line: String) -> Sample {
    Sample { is_state: true, at, from: from.to_owned(), line: cut(&line, LENGTH) }
}

#[cfg(test)]
mod tests;
