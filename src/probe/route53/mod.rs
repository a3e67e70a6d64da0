//! Asks whether the records by which ACM validates a certificate stand in Route 53 as ACM asks for them. What an upsert would mend is one count, and what a person has to mend another.
//!
//! What can not be told could be wrong, too: then a count is the least that there is, and what rests on its being low is unknown.

use super::acm::{certificate, sample, which};
use super::{Scope, held};
use crate::clients::acm::{Acm, Certificate, Validation};
use crate::clients::route53::{Compared, Route53, wanted};
use crate::incident::evidence::{Evidence, Sample, Verdict};
use crate::runbook::{Route53Probe, Route53State, Threshold};
use crate::text::count;

/// How many records are shown.
const SHOWN: usize = 10;

pub(super) async fn ask(
    tools: Option<(&Acm, &Route53)>,
    scope: &Scope<'_>,
    name: &str,
    probe: &Route53Probe,
    threshold: Threshold,
) -> Evidence {
    let which = match which(scope, &probe.certificate) {
        Ok(which) => which,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let asked = format!("the records in Route 53 by which ACM validates {which}");
    let certificate = match certificate(tools.map(|(acm, _)| acm), &which).await {
        Ok(certificate) => certificate,
        Err(why) => return Evidence::unknown(name, asked, why),
    };
    let records = wanted(std::slice::from_ref(&certificate));
    let Some((_, route53)) = tools.filter(|_| !records.is_empty()) else {
        let why = format!(
            "ACM asks for no record in DNS for {} ({}, {}): it is validated in another way, or not at all",
            certificate.arn, certificate.kind, certificate.status
        );
        // Surely no record of it can be mended, or has to be; that its records are right can not be said all the same.
        if matches!(threshold, Threshold::AtLeast(_)) && has_no_records(&certificate) {
            return Evidence::found(name, asked, Verdict::Fails, format!("{why}; {threshold}"));
        }
        return Evidence::unknown(name, asked, why);
    };
    match route53.compare(&records).await {
        Ok(compared) => answer(scope, (name, asked), (probe.state, threshold), &certificate, &compared),
        Err(error) => Evidence::unknown(name, asked, format!("Route 53 could not be asked: {error}")),
    }
}

/// Whether ACM will never ask for a record in DNS for it: it was imported, or all of its names are validated otherwise.
fn has_no_records(certificate: &Certificate) -> bool {
    let validations = certificate.current_validations();
    let otherwise =
        |one: &Validation| matches!(one.method.as_deref(), Some("EMAIL" | "HTTP")) && one.record.is_none();
    certificate.kind == "IMPORTED" || (!validations.is_empty() && validations.iter().all(otherwise))
}

fn answer(
    scope: &Scope<'_>,
    (name, asked): (&str, String),
    (state, threshold): (Route53State, Threshold),
    certificate: &Certificate,
    compared: &[Compared],
) -> Evidence {
    let repairable = || compared.iter().filter(|one| one.standing.is_repairable());
    let unrepairable = || compared.iter().filter(|one| one.standing.needs_a_person());
    let right =
        || compared.iter().filter(|one| !one.standing.is_repairable() && !one.standing.needs_a_person());
    let (figure, gap) = match state {
        // What a person has to mend is wrong, too: none is wrong can not be said beside it. That an upsert would mend something can.
        Route53State::WrongRecords if matches!(threshold, Threshold::AtMost(_)) => {
            (repairable().count(), unrepairable().next())
        }
        Route53State::WrongRecords => (repairable().count(), None),
        Route53State::Unrepairable => (unrepairable().count(), None),
    };
    let each = |from: &'static str, one: &Compared| sample(scope.now, from, one.to_string());
    let samples: Vec<Sample> = unrepairable()
        .map(|one| each("for a person", one))
        .chain(repairable().map(|one| each("can be mended", one)))
        .chain(right().map(|one| each("right", one)))
        .take(SHOWN)
        .collect();
    // The first that is wrong is said at once: people see it without the samples.
    let first = match state {
        Route53State::WrongRecords => repairable().chain(unrepairable()).next(),
        Route53State::Unrepairable => unrepairable().next(),
    };
    let saw = format!(
        "of {} {} can be mended by an upsert, and {} only by a person{}; {threshold}",
        count(compared.len() as u64, "record", "records"),
        repairable().count(),
        unrepairable().count(),
        first.map(|one| format!(": {one}")).unwrap_or_default()
    );
    #[expect(clippy::cast_precision_loss, reason = "a certificate has a few names")]
    let verdict = held(threshold, figure as f64, None);
    let is_sure = matches!(
        (threshold, &verdict),
        (Threshold::AtLeast(_), Verdict::Holds) | (Threshold::AtMost(_), Verdict::Fails)
    );
    let unnamed = certificate
        .current_validations()
        .iter()
        .find(|one| one.record.is_none() && one.method.as_deref() != Some("EMAIL"));
    let gap = gap
        .map(ToString::to_string)
        .or_else(|| unnamed.map(|one| format!("ACM does not yet say which record validates {}", one.domain)));
    if let Some(gap) = gap.filter(|_| !is_sure) {
        return Evidence { samples, ..Evidence::unknown(name, asked, format!("{saw}: {gap}")) };
    }
    Evidence { samples, ..Evidence::found(name, asked, verdict, saw) }
}

#[cfg(test)]
mod tests;
