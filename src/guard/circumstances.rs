//! The target can be changed to any effect at all: a paused Deployment accepts a restart and rolls nothing out,
//! one with no replicas has nothing to restart, and one with a controller of its own is put back by it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Question, allow, refuse};
use crate::clock::after;
use crate::incident::plan::{Against, known_owner};
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::text::count;

/// A rollout that is under way is looked at again after this long.
const ROLLOUT: Duration = Duration::from_secs(60);

pub(super) fn ask(question: &Question, now: Timestamp) -> (Answer, Option<Refusal>) {
    let plan = &question.wanted.plan;
    let circumstances = &plan.circumstances;
    let no = |saw: String, limit: &str| refuse(Guard::Circumstances, saw, limit, None);
    if circumstances.paused {
        let saw = format!("{} is paused", plan.target);
        return no(saw, "a paused Deployment rolls nothing out; `kubectl rollout resume` first");
    }
    if let Some(Against { saw, why, passes }) = &circumstances.against {
        let until = passes.then(|| after(now, question.runbook.paced(ROLLOUT)));
        return refuse(Guard::Circumstances, saw.clone(), why.clone(), until);
    }
    if !plan.target.kind.is_workload() || plan.action.is_elsewhere() {
        return allow(Guard::Circumstances, plan.target.to_string(), "nothing stands against it");
    }
    if circumstances.replicas == 0 {
        return no(format!("{} has no replicas", plan.target), "it has no pods");
    }
    if let Some(controller) = &circumstances.controller {
        let saw = format!("{} is controlled by {controller}", plan.target);
        let kind = controller.split('/').next().unwrap_or_default();
        let limit = format!("its controller would undo the change ({})", known_owner(kind));
        return no(saw, &limit);
    }
    if let Some(rollout) = &circumstances.rollout_in_progress {
        let saw = format!("{} is rolling out: {rollout}", plan.target);
        let until = after(now, question.runbook.paced(ROLLOUT));
        return refuse(Guard::Circumstances, saw, "a rollout on top of another hides both", Some(until));
    }
    let replicas = count(u64::from(circumstances.replicas), "replica", "replicas");
    allow(Guard::Circumstances, format!("{replicas}, not paused, no other controller"), "can be changed")
}
