//! Reads the questions to Kubernetes.

use std::time::Duration;

use super::super::names::{Names, Scope};
use super::super::{
    BY_DEPLOYMENT, LogsProbe, NodeState, NodesProbe, PodState, PodsProbe, Probe, RolloutState, RolloutsProbe,
    Template,
};
use super::{CountBy, counting, namespace, no_window, optional, threshold, window};
use crate::yaml::{Faults, Field, Fields};

/// Whose lines a probe of logs counts.
const PREVIOUS: &str = "previous";

pub(super) fn pods(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    let state = state.word(&PodState::ALL, PodState::as_str, faults);
    let (namespace, deployment) = deployment(&mut fields, scope, false, names, faults);
    let window = match state {
        Some(state) if state.is_past() => {
            fields.need("window", "window: 10m").and_then(|field| window(field, scale, faults)).map(Some)
        }
        Some(state) => no_window(&format!("pods: {}", state.as_str()), &mut fields, faults),
        // Nobody can say whether there should be one.
        None => fields.get("window").map(|_| None),
    };
    let node = optional("node", &mut fields, scope, names, faults);
    let by_deployment = |field: Field<'_>, faults: &mut Faults| {
        let word = field.word(&[BY_DEPLOYMENT], |word| word, faults);
        word.map_or(CountBy::Unreadable, |word| CountBy::Label(word.to_owned()))
    };
    let (count_by, threshold) = counting(fields, by_deployment, faults);
    let by_deployment = count_by != CountBy::None;
    let probe = (|| {
        Some(Probe::Pods(PodsProbe {
            namespace: namespace?,
            deployment: deployment?,
            node: node?,
            state: state?,
            window: window?,
            by_deployment,
            threshold: threshold?,
        }))
    })();
    (probe, count_by)
}

pub(super) fn nodes(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Probe> {
    let state = state.word(&NodeState::ALL, NodeState::as_str, faults);
    let node = optional("node", &mut fields, scope, names, faults);
    let window = match state {
        Some(state @ NodeState::Unreplaced) => {
            if fields.get("node").is_none() {
                let message = format!("`nodes: {}` needs the `node` that is gone", state.as_str());
                faults.add(fields.place, message, Some("add `node: ${labels.node}`".to_owned()));
            }
            fields.need("window", "window: 30m").and_then(|field| window(field, scale, faults)).map(Some)
        }
        Some(state) => no_window(&format!("nodes: {}", state.as_str()), &mut fields, faults),
        // Nobody can say whether there should be one.
        None => fields.get("window").map(|_| None),
    };
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    Some(Probe::Nodes(NodesProbe { node: node?, state: state?, window: window?, threshold: threshold? }))
}

pub(super) fn rollouts(
    kind: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Probe> {
    let state = kind.word(&RolloutState::ALL, RolloutState::as_str, faults);
    let is_past = state != Some(RolloutState::Incomplete);
    let (namespace, deployment) =
        deployment(&mut fields, scope, is_past && scope != Scope::Target, names, faults);
    let window = if is_past {
        fields.need("window", "window: 30m").and_then(|field| window(field, scale, faults))
    } else {
        no_window("rollouts: incomplete", &mut fields, faults);
        Some(Duration::ZERO)
    };
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    Some(Probe::Rollouts(RolloutsProbe {
        state: state?,
        namespace: namespace?,
        deployment: deployment?,
        window: window?,
        threshold: threshold?,
    }))
}

pub(super) fn logs(
    kind: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let kind = kind.word(&[PREVIOUS], |word| word, faults);
    let (namespace, deployment) = deployment(&mut fields, scope, scope != Scope::Target, names, faults);
    let message = "`window` of `logs: previous`, which are the lines of the container before this one";
    fields.refuse("window", message, "remove it", faults);
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    kind?;
    Some(Probe::Logs(LogsProbe { namespace: namespace?, deployment: deployment?, threshold: threshold? }))
}

/// Which Deployment a probe is about. One that is about a single one needs its name before there are targets: nobody else can say it then.
fn deployment(
    fields: &mut Fields<'_>,
    scope: Scope,
    needed: bool,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> (Option<Template>, Option<Option<Template>>) {
    let namespace = namespace(fields, scope, names, faults);
    if needed && fields.need("deployment", "deployment: ${labels.deployment}").is_none() {
        return (namespace, None);
    }
    (namespace, optional("deployment", fields, scope, names, faults))
}
