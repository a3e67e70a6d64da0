//! Asks the checks of a verification, and counts those that fail. One that can not be answered makes the whole unknown: of a service that could not be
//! looked at nobody can say that it is well.

use super::{Eyes, Look, Scope, held};
use crate::incident::evidence::{Evidence, Sample, Verdict, left_open};
use crate::runbook::{Named, Threshold, VerificationProbe};
use crate::text::{count, cut};

/// How many checks are shown to people.
const SAMPLES: usize = 5;
/// How long what is shown of one may be.
const LENGTH: usize = 300;

/// The answers to the checks, in their order.
pub(super) async fn checks(eyes: &Eyes, scope: &Scope<'_>, checks: &[Named], look: Look) -> Vec<Evidence> {
    let mut answers = Vec::with_capacity(checks.len());
    for named in checks {
        // A verification holds probes, and no other verification: this ends.
        answers.push(Box::pin(eyes.sign_of_health(scope, named, look)).await);
    }
    answers
}

pub(super) async fn ask(
    eyes: &Eyes,
    scope: &Scope<'_>,
    name: &str,
    probe: &VerificationProbe,
    threshold: Threshold,
    look: Look,
) -> Evidence {
    let look = Look { threshold: None, window: None, ..look };
    // All of it, whatever the target is.
    let scope = &Scope { leg: None, ..scope.clone() };
    let answers = checks(eyes, scope, &probe.verification.checks, look).await;
    answer(scope, name, probe, threshold, &answers)
}

fn answer(
    scope: &Scope<'_>,
    name: &str,
    probe: &VerificationProbe,
    threshold: Threshold,
    answers: &[Evidence],
) -> Evidence {
    let asked = format!("verification {}", probe.verification.name);
    // As in a runbook's own `verify`.
    if let Some(open) = left_open(answers) {
        return Evidence::unknown(name, asked, format!("{}: {}", open.probe, open.saw));
    }
    let failed: Vec<&Evidence> = answers.iter().filter(|answer| answer.verdict == Verdict::Fails).collect();
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 checks")]
    let verdict = held(threshold, failed.len() as f64, None);
    let names: Vec<&str> = failed.iter().map(|answer| answer.probe.as_str()).collect();
    let which = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    let all = count(answers.len() as u64, "check", "checks");
    let saw = format!("{} of {all} failed{which}; {threshold}", failed.len());
    let sample = |answer: &&Evidence| Sample {
        is_state: true,
        at: scope.now,
        from: answer.probe.clone(),
        line: cut(&answer.saw, LENGTH),
    };
    Evidence {
        samples: failed.iter().take(SAMPLES).map(sample).collect(),
        ..Evidence::found(name, asked, verdict, saw)
    }
}
