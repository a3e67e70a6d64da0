//! Which alerts belong to a drill: those that name one which was registered here. That is asked of the journal for each alert that names any, and only of
//! those; a label alone makes no drill, so that nobody can keep an alert from its runbook by writing it. But the drill may be another daemon's, so nothing is done
//! then without a person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::alert::{RUN_LABEL, Status};
use crate::clock;
use crate::incident::drill::{Drill, is_id};
use crate::store::{Answered, Intake, Store, StoreError, Unanswered};

/// Marks what belongs to a drill, and counts what comes too late: its incidents have a scope of their own, and nothing is done for them. What comes of a drill that is over, as Alertmanager
/// sends it again, opens nothing. What nobody sent (`told` is false) is here again in every round, and not a word is said of it.
///
/// # Errors
/// When the journal can not be asked; nothing is then known of the whole intake.
pub(super) async fn mark(store: &dyn Store, intake: &mut Intake, told: bool) -> Result<usize, StoreError> {
    let mut known: BTreeMap<String, Option<Drill>> = BTreeMap::new();
    for answered in &intake.answered {
        let run = answered.alert.labels.get(RUN_LABEL);
        if is_id(run) && !known.contains_key(run) {
            known.insert(run.to_owned(), store.drill(run).await?);
        } else if told && !run.is_empty() && !is_id(run) {
            warn!(
                "An alert has the label {RUN_LABEL} with what is no id of a drill; it is taken as any other"
            );
        }
    }
    if known.is_empty() {
        return Ok(0);
    }
    let now = clock::now();
    let all = std::mem::take(&mut intake.answered);
    let mut left = Vec::new();
    for mut answered in all {
        match known.get(answered.alert.labels.get(RUN_LABEL)) {
            Some(Some(drill)) if drill.is_on(now) || answered.alert.status == Status::Resolved => {
                belongs(&mut answered, drill);
                intake.answered.push(answered);
            }
            Some(Some(drill)) if told => left.push(late(&answered, drill)),
            Some(Some(_)) => {}
            Some(None) => {
                if told {
                    warn!(
                        "An alert names a drill that was never registered here; it is answered, and a person is asked"
                    );
                }
                let run = answered.alert.labels.get(RUN_LABEL).to_owned();
                of_its_own(&mut answered, &run);
                intake.answered.push(answered);
            }
            None => intake.answered.push(answered),
        }
    }
    let late = left.len();
    intake.unanswered.extend(left);
    Ok(late)
}

fn belongs(answered: &mut Answered, drill: &Drill) {
    of_its_own(answered, &drill.run);
    answered.by.iter_mut().for_each(|by| by.drill = Some(drill.run.clone()));
}

/// No incident has alerts of two kinds.
fn of_its_own(answered: &mut Answered, run: &str) {
    for by in &mut answered.by {
        by.scope.0.insert(RUN_LABEL.to_owned(), run.to_owned());
    }
}

fn late(answered: &Answered, drill: &Drill) -> Unanswered {
    info!(drill = drill.run, "An alert of a drill that is over is left alone");
    Unanswered {
        at: Timestamp::UNIX_EPOCH,
        alert: answered.alert.labels.to_string(),
        refused: false,
        reason: format!("it was made up by a drill of scenario {} that is over", drill.scenario),
    }
}
