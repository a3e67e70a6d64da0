//! Autonomy is earned: the lowest of four modes counts, and `ask` needs a person's yes to exactly this plan. What is not proven as the configuration
//! demands is asked, too.

use super::{Question, allow, refuse};
use crate::incident::ledger::Ledger;
use crate::incident::proof::Proof;
use crate::incident::proven::day;
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::runbook::Mode;

/// The lowest mode that is set, and by whom.
pub(super) fn set(question: &Question) -> (Mode, &'static str) {
    if question.wanted.plan.action.restores() {
        return (Mode::Act, "the runbook that made the change");
    }
    let step = question.runbook.steps.get(question.wanted.step);
    let namespace = question.policy.namespaces.get(&question.wanted.plan.target.namespace);
    let nodes = question.wanted.plan.action.changes_a_node().then_some(question.policy.nodes);
    let whose = match question.most {
        Mode::Ask => "its alert, which names a drill that is not known here",
        _ => "the drill, whose alert is made up",
    };
    [
        (Some(question.most), whose),
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

/// The mode that counts, and why: what is set, and `ask` where it would be `act` and the proof that is demanded is missing. Never more than is set.
fn effective(question: &Question, ledger: &Ledger) -> (Mode, String) {
    let (mode, whose) = set(question);
    let set_by = format!("set by {whose}");
    let Some(demand) = question.policy.proof.filter(|_| mode == Mode::Act) else { return (mode, set_by) };
    let of_this = |proof: &&Proof| proof.runbook == question.runbook.name;
    let proofs: Vec<Proof> = ledger.proofs.iter().filter(of_this).cloned().collect();
    // The text that is about to be used, which is the one that the incident began with.
    let text = question.runbook.text_hash();
    match demand.met(text.as_deref(), &proofs, ledger.now) {
        Ok(proof) => {
            let Proof { at, scenario, .. } = proof;
            (mode, format!("proven on {} at {at}, by scenario {scenario}", day(proof.proven_at)))
        }
        Err(why) => (Mode::Ask, why),
    }
}

pub(super) fn ask(question: &Question, ledger: &Ledger) -> (Answer, Option<Refusal>) {
    if question.wanted.plan.action.restores() {
        return super::restores(Guard::Mode);
    }
    let (mode, why) = effective(question, ledger);
    match mode {
        Mode::Act => {
            let all = "the ceiling, the namespace, the runbook and the step allow it";
            let limit =
                if question.policy.proof.is_some() { format!("{all}; {why}") } else { all.to_owned() };
            allow(Guard::Mode, "act", limit)
        }
        Mode::Ask if question.approved => allow(Guard::Mode, "ask, approved by a person", why),
        Mode::Ask | Mode::Shadow | Mode::Off => refuse(Guard::Mode, mode.as_str(), why, None),
    }
}
