//! Autonomy is earned: the lowest of four modes counts, and `ask` needs a person's yes to exactly this plan.

use super::{Question, allow, refuse};
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::runbook::Mode;

/// The lowest mode, and whose it is.
pub(super) fn effective(question: &Question) -> (Mode, &'static str) {
    if question.wanted.plan.action.restores() {
        return (Mode::Act, "the runbook that made the change");
    }
    let step = question.runbook.steps.get(question.wanted.step);
    let namespace = question.policy.namespaces.get(&question.wanted.plan.target.namespace);
    let nodes = question.wanted.plan.action.changes_a_node().then_some(question.policy.nodes);
    [
        (Some(question.policy.ceiling), "the ceiling"),
        (nodes, "`nodes:` of the configuration"),
        (namespace.copied(), "the namespace"),
        (Some(question.runbook.mode), "the runbook"),
        (step.and_then(|step| step.mode), "the step"),
    ]
    .into_iter()
    .filter_map(|(mode, whose)| mode.map(|mode| (mode, whose)))
    .min_by_key(|(mode, _)| *mode)
    .unwrap_or((Mode::Off, "nothing"))
}

pub(super) fn ask(question: &Question) -> (Answer, Option<Refusal>) {
    let (mode, whose) = effective(question);
    let limit = format!("set by {whose}");
    if question.wanted.plan.action.restores() {
        return super::restores(Guard::Mode);
    }
    match mode {
        Mode::Act => {
            allow(Guard::Mode, "act", "the ceiling, the namespace, the runbook and the step allow it")
        }
        Mode::Ask if question.approved => allow(Guard::Mode, "ask, approved by a person", limit),
        Mode::Ask | Mode::Shadow | Mode::Off => refuse(Guard::Mode, mode.as_str(), limit, None),
    }
}
