//! What is said otherwise of an incident that a person began: there is no alert that came, keeps firing, or ends.

use super::markup::{brief, code, plain};
use super::words::count_of;
use crate::incident::Outcome;
use crate::incident::run::Run;

/// So many labels are shown: all must have room in one field.
const SHOWN: usize = 4;

/// Who began it, and why.
pub(super) fn begun(run: &Run) -> String {
    let mut text = format!("*Begun by hand*\nby {}: {}", plain(&run.by), plain(&run.reason));
    for (name, value) in run.labels.0.iter().take(SHOWN) {
        text.push_str(&format!("\n{} {}", brief(name), code(value)));
    }
    if run.labels.0.len() > SHOWN {
        text.push_str(&format!(
            "\n… and {}",
            count_of(run.labels.0.len() - SHOWN, "label more", "labels more")
        ));
    }
    text
}

/// What a person does next, where that is about the alert otherwise.
pub(super) fn next(outcome: Outcome, acted: bool, verb: &str, look: &str) -> Option<String> {
    Some(match outcome {
        Outcome::Recovered => "Nothing for you to do.".to_owned(),
        Outcome::NotConfirmed => {
            "Nothing was changed: what the runbook asks before it does anything says no.".to_owned()
        }
        Outcome::WouldAct => format!("Nothing was changed. If it is needed, the {verb} is yours to do.{look}"),
        Outcome::Inconclusive if !acted => {
            "Please look: what the runbook asks before it does anything could not be checked. Nothing was changed."
                .to_owned()
        }
        Outcome::Expired => {
            format!("Nothing was changed. Begin it again when somebody is there to approve.{look}")
        }
        Outcome::Stopped => format!(
            "Please look: the evidence is gone, but the {verb} did not pass its check, so it may come back.{look}"
        ),
        _ => return None,
    })
}
