//! Counts the nodes that are in a state. When none is ready, nothing is said of any: that all machines failed at once is less likely than that the
//! monitoring, or the control plane's network, did.

use super::{Scope, held};
use crate::clients::kubernetes::{Kubernetes, Node};
use crate::clock;
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{NodeState, NodesProbe, Threshold};
use crate::text::count;

/// How many nodes are shown to people.
const SAMPLES: usize = 3;

pub(super) async fn ask(
    kubernetes: &Kubernetes,
    scope: &Scope<'_>,
    name: &str,
    probe: &NodesProbe,
    threshold: Threshold,
) -> Evidence {
    let wanted = match probe.node.as_ref().map(|node| scope.fill(node)).transpose() {
        Ok(wanted) => wanted,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let of = wanted.as_ref().map_or_else(|| "nodes".to_owned(), |wanted| format!("node/{wanted}"));
    let asked = format!("{of}: {}", probe.state.as_str());
    let nodes = match kubernetes.nodes().await {
        Ok(nodes) => nodes,
        Err(error) => return Evidence::unknown(name, asked, error.to_string()),
    };
    if !nodes.iter().any(|node| node.ready.is_true) {
        let all = count(nodes.len() as u64, "node", "nodes");
        let why = format!(
            "none of {all} is Ready: more likely a fault of the monitoring or of the control plane's network, so nothing is said of any"
        );
        return Evidence::unknown(name, asked, why);
    }
    if probe.state == NodeState::UnderPressure {
        let mut asked_of = nodes.iter().filter(|node| wanted.as_ref().is_none_or(|name| node.name == *name));
        let silent = asked_of.clone().find(|node| !node.tells_pressures);
        if silent.is_some() || asked_of.next().is_none() {
            let which = silent.map(|node| node.name.clone()).or(wanted).unwrap_or_default();
            let why = format!("node/{which} does not say what it is short of");
            return Evidence::unknown(name, asked, why);
        }
    }
    let (found, saw) = match (&wanted, probe.state) {
        (Some(wanted), NodeState::Unreplaced) => unreplaced(scope, probe, &nodes, wanted),
        (Some(wanted), state) => one(&nodes, wanted, state),
        (None, state) => {
            let found: Vec<&Node> = nodes.iter().filter(|node| is(node, state)).collect();
            let all = count(nodes.len() as u64, "node", "nodes");
            let saw = format!("{} of {all} {}", found.len(), words(state));
            ((found.len(), found), saw)
        }
    };
    let (number, shown) = found;
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 nodes")]
    let verdict = held(threshold, number as f64, None);
    let sample = |node: &&Node| Sample {
        is_state: true,
        at: node.ready.since.unwrap_or(scope.now),
        from: node.name.clone(),
        line: node.to_string(),
    };
    Evidence {
        samples: shown.iter().take(SAMPLES).map(sample).collect(),
        ..Evidence::found(name, asked, verdict, format!("{saw}; {threshold}"))
    }
}

/// How many, and which of them can be shown.
type Found<'n> = (usize, Vec<&'n Node>);

/// One node. Of one that is gone nothing but that is so.
fn one<'n>(nodes: &'n [Node], wanted: &str, state: NodeState) -> (Found<'n>, String) {
    match nodes.iter().find(|node| node.name == wanted) {
        None => {
            let is_so = matches!(state, NodeState::NotReady | NodeState::Unreplaced);
            ((usize::from(is_so), Vec::new()), format!("node/{wanted} is not there (any more)"))
        }
        Some(node) => ((usize::from(is(node, state)), vec![node]), format!("node/{wanted}: {node}")),
    }
}

/// Each node that joined since stands for one that is lost; those that are there and not ready come first.
fn unreplaced<'n>(
    scope: &Scope<'_>,
    probe: &NodesProbe,
    nodes: &'n [Node],
    wanted: &str,
) -> (Found<'n>, String) {
    let ((is_lost, shown), saw) = one(nodes, wanted, NodeState::NotReady);
    let from = clock::before(scope.opened_at(), probe.window.unwrap_or_default());
    let others = || nodes.iter().filter(|node| node.name != wanted);
    let joined: Vec<&Node> =
        others().filter(|node| node.ready.is_true && node.created.is_some_and(|at| at >= from)).collect();
    let also_lost = others().filter(|node| !node.ready.is_true).count();
    let names: Vec<&str> = joined.iter().map(|node| node.name.as_str()).collect();
    let since = match names.as_slice() {
        [] => "no node has joined since".to_owned(),
        names => format!("joined since: {}", names.join(", ")),
    };
    let is_replaced = joined.len() > also_lost;
    ((usize::from(is_lost > 0 && !is_replaced), shown), format!("{saw}; {since}"))
}

fn is(node: &Node, state: NodeState) -> bool {
    match state {
        NodeState::Ready => node.ready.is_true,
        NodeState::NotReady | NodeState::Unreplaced => !node.ready.is_true,
        NodeState::UnderPressure => !node.pressures.is_empty(),
        NodeState::Cordoned => node.unschedulable,
    }
}

const fn words(state: NodeState) -> &'static str {
    match state {
        NodeState::Ready => "Ready",
        NodeState::NotReady | NodeState::Unreplaced => "not Ready",
        NodeState::UnderPressure => "under pressure",
        NodeState::Cordoned => "cordoned",
    }
}
