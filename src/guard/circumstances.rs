//! The target can be changed to any effect at all: a paused Deployment accepts a restart and rolls nothing out,
//! one with no replicas has nothing to restart, and one with a controller of its own is put back by it.

use super::{Question, allow, refuse};
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::text::count;

pub(super) fn ask(question: &Question) -> (Answer, Option<Refusal>) {
    let plan = &question.wanted.plan;
    let circumstances = &plan.circumstances;
    let no = |saw: String, limit: &str| refuse(Guard::Circumstances, saw, limit, None);
    if circumstances.paused {
        let saw = format!("{} is paused", plan.target);
        return no(saw, "a restart of a paused Deployment rolls nothing out; `kubectl rollout resume` first");
    }
    if circumstances.replicas == 0 {
        return no(format!("{} has no replicas", plan.target), "there is nothing to restart");
    }
    if let Some(controller) = &circumstances.controller {
        let saw = format!("{} is controlled by {controller}", plan.target);
        return no(saw, "its controller would undo the change");
    }
    let replicas = count(u64::from(circumstances.replicas), "replica", "replicas");
    allow(Guard::Circumstances, format!("{replicas}, not paused, no other controller"), "can be changed")
}
