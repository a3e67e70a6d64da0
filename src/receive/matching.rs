//! Which runbook answers an alert: all in their order, the first that matches, and after one with
//! `continue: true` the next. What nobody answers is kept with the reason.

use std::sync::Arc;

use jiff::Timestamp;

use crate::alert::{Alert, Status};
use crate::runbook::{Mode, Runbook};
use crate::store::{Answered, AnsweredBy, Intake, Unanswered};

/// The alerts with the runbooks that answer them.
#[must_use]
pub fn matched(runbooks: &[Arc<Runbook>], alerts: Vec<Alert>) -> Intake {
    let mut intake = Intake::default();
    for alert in alerts {
        match answered_by(runbooks, &alert) {
            Ok(by) => intake.answered.push(Answered { alert, by }),
            // An incident may wait for this end although its runbook is gone or off by now: the journal knows.
            Err(_) if alert.status == Status::Resolved => {
                intake.answered.push(Answered { alert, by: Vec::new() });
            }
            Err(reason) => intake.unanswered.push(Unanswered {
                at: Timestamp::UNIX_EPOCH,
                alert: alert.labels.to_string(),
                refused: false,
                reason,
            }),
        }
    }
    intake
}

fn answered_by(runbooks: &[Arc<Runbook>], alert: &Alert) -> Result<Vec<AnsweredBy>, String> {
    let mut by = Vec::new();
    let mut off = Vec::new();
    for runbook in runbooks.iter().filter(|runbook| runbook.answers(&alert.labels)) {
        if runbook.mode == Mode::Off {
            off.push(runbook.name.as_str());
            continue;
        }
        by.push(AnsweredBy {
            runbook: runbook.name.clone(),
            hash: runbook.hash.clone(),
            scope: runbook.scope(&alert.labels),
            deadline: runbook.deadline,
            drill: None,
        });
        if !runbook.goes_on {
            break;
        }
    }
    match (by.is_empty(), off.as_slice()) {
        (false, _) => Ok(by),
        (true, []) => Err(format!("no runbook answers it; {} were tried", runbooks.len())),
        (true, names) => Err(format!("the runbook that answers it is off: {}", names.join(", "))),
    }
}
