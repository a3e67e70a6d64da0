//! The allow-list of namespaces. An empty list allows none: empty never means all.

use super::{Question, allow, refuse};
use crate::incident::refusal::{Answer, Guard, Refusal};

pub(super) fn ask(question: &Question) -> (Answer, Option<Refusal>) {
    let namespace = &question.wanted.plan.target.namespace;
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
