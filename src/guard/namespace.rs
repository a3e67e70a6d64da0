//! The allow-list of namespaces. An empty list allows none: empty never means all.

use super::{Question, allow, refuse};
use crate::incident::plan::Kind;
use crate::incident::refusal::{Answer, Guard, Refusal};

pub(super) fn ask(question: &Question) -> (Answer, Option<Refusal>) {
    let plan = &question.wanted.plan;
    let namespace = &plan.target.namespace;
    // No namespace was named with it when it was changed, and what is meant for a while must not become permanent by that.
    if plan.action.restores() && plan.target.kind == Kind::Node && namespace.is_empty() {
        return allow(Guard::Namespace, plan.target.to_string(), "a node is in no namespace");
    }
    let allowed: Vec<&str> = question.policy.namespaces.keys().map(String::as_str).collect();
    let limit = match allowed.as_slice() {
        [] => "`namespaces:` of the configuration is empty, and empty means none".to_owned(),
        names => format!("allowed are {}", names.join(", ")),
    };
    if question.policy.namespaces.contains_key(namespace) {
        allow(Guard::Namespace, namespace, limit)
    } else {
        refuse(Guard::Namespace, namespace, limit, None)
    }
}
