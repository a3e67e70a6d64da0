//! A restore is an incident of its own: it is claimed, journaled, asked of the guards, observed after a crash and verified like any other.
//! Its runbook is made here from the one whose step made the change: put it back, and when the trouble comes with it, change it again, once.

use crate::runbook::{Mode, Named, Remedy, RestoreWhen, Runbook, Step, StepKind};

/// The name that stands for a runbook in the incidents that put something back; no runbook can have it.
pub const RESTORE: &str = "restore";

/// The step that changes again what was put back.
pub const CHANGE_AGAIN: usize = 1;

/// How a change of this step of `original` is put back; none when there is no such step any more, or it changes nothing.
#[must_use]
pub fn runbook(original: &Runbook, step: usize) -> Option<Runbook> {
    let StepKind::Remediate { make_it_last, verify, .. } = &original.steps.get(step)?.kind else {
        return None;
    };
    let remediate = |title: &str, remedy| Step {
        title: title.to_owned(),
        mode: None,
        when: Vec::new(),
        kind: StepKind::Remediate {
            remedy,
            restore: RestoreWhen::Never,
            make_it_last: make_it_last.clone(),
            verify: verify.clone(),
        },
    };
    let probes: Vec<Named> = original.confirm.iter().chain(&original.probes).cloned().collect();
    Some(Runbook {
        name: RESTORE.to_owned(),
        mode: Mode::Act,
        defer_to: Vec::new(),
        confirm: Vec::new(),
        probes,
        confirm_within: std::time::Duration::ZERO,
        targets: crate::runbook::Targets { each: None, ..original.targets.clone() },
        steps: vec![
            remediate("put back what was changed", Remedy::PutBack),
            remediate("change it again", Remedy::ChangeAgain),
        ],
        ..original.clone()
    })
}
