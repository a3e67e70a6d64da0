//! Watches nodes being replaced while something else does it: what moves is progress, and when nothing has moved for too long it is said what stands in the way.
//! Only reads. A look that fails is neither progress nor a standstill: the time begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clients::CallError;
use crate::clients::kubernetes::{Budget, Kubernetes, Node, Pod};
use crate::clock;
use crate::text::{count, cut, span};

/// Between two looks, unless the patience is short.
const EVERY: Duration = Duration::from_secs(15);
/// How much of what stands in the way is named.
const SHOWN: usize = 600;

/// What there is at one moment.
struct Seen {
    nodes: Arc<[Node]>,
    pods: Arc<[Pod]>,
    budgets: Vec<Budget>,
}

/// Everything that moves in a replacement: nodes that come, go, become ready or are cordoned, and the pods that are still on cordoned ones. Other pods come and
/// go all day.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    nodes: BTreeMap<String, (bool, bool)>,
    leaving: BTreeSet<String>,
}

impl Seen {
    async fn look(kubernetes: &Kubernetes, namespace: &str) -> Result<Self, CallError> {
        let nodes = kubernetes.nodes().await?;
        let pods = kubernetes.pods(namespace).await?;
        let budgets = kubernetes.disruption_budgets(namespace).await?;
        Ok(Self { nodes, pods, budgets })
    }

    fn place(&self) -> Place {
        let node = |node: &Node| (node.uid.clone(), (node.ready.is_true, node.unschedulable));
        let cordoned = |name: &String| self.nodes.iter().any(|node| node.unschedulable && node.name == *name);
        let leaving =
            self.pods.iter().filter(|pod| !pod.succeeded && pod.node.as_ref().is_some_and(cordoned));
        Place {
            nodes: self.nodes.iter().map(node).collect(),
            leaving: leaving.map(|pod| pod.uid.clone()).collect(),
        }
    }

    /// `2 of 3 nodes are new, 1 is cordoned`.
    fn progress(&self, before: &BTreeSet<String>) -> String {
        let new = self.nodes.iter().filter(|node| !before.contains(&node.uid)).count();
        let cordoned = self.nodes.iter().filter(|node| node.unschedulable).count();
        let all = count(self.nodes.len() as u64, "node", "nodes");
        format!("{new} of {all} new, {cordoned} cordoned")
    }

    /// What stands in the way, as far as the cluster shows it.
    fn hindrances(&self, namespace: &str) -> String {
        let mut all = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.ready.is_true) {
            all.push(format!("node/{} is not Ready ({})", node.name, node.ready.message));
        }
        for node in self.nodes.iter().filter(|node| node.unschedulable) {
            let there =
                self.pods.iter().filter(|pod| pod.node.as_ref() == Some(&node.name) && !pod.succeeded);
            let names: Vec<_> = there.map(|pod| format!("pod/{}", pod.name)).collect();
            if names.is_empty() {
                all.push(format!("node/{} is cordoned, and no pod of {namespace} is on it", node.name));
            } else {
                all.push(format!("node/{} is cordoned, and {} still on it", node.name, names.join(", ")));
            }
        }
        for budget in self.budgets.iter().filter(|budget| budget.allowed <= 0 && budget.expected > 0) {
            let Budget { name, healthy, wanted, .. } = budget;
            all.push(format!(
                "the disruption budget {name} allows no eviction ({healthy} of {wanted} healthy pods)"
            ));
        }
        let without: Vec<_> = self
            .pods
            .iter()
            .filter(|pod| pod.node.is_none())
            .map(|pod| format!("pod/{}", pod.name))
            .collect();
        if !without.is_empty() {
            all.push(format!("no node takes {}", without.join(", ")));
        }
        if all.is_empty() {
            "nothing of it can be seen in the cluster: look at the instances and at the update in EKS"
                .to_owned()
        } else {
            cut(&all.join("; "), SHOWN)
        }
    }
}

/// Comes back when nothing has moved for so long, with what stands in the way.
pub(super) async fn stalled(kubernetes: &Kubernetes, namespace: &str, patience: Duration) -> String {
    let every = EVERY.min(patience / 10);
    let mut before = None;
    let mut last: Option<Place> = None;
    let mut since = clock::now();
    loop {
        match Seen::look(kubernetes, namespace).await {
            Err(error) => {
                tracing::info!("The replacement of nodes can not be seen: {error}");
                (last, since) = (None, clock::now());
            }
            Ok(seen) => {
                let place = seen.place();
                let before: &BTreeSet<String> =
                    before.get_or_insert_with(|| place.nodes.keys().cloned().collect());
                if last.as_ref() != Some(&place) {
                    if last.is_some() {
                        tracing::info!("The replacement of nodes goes on: {}", seen.progress(before));
                    }
                    (last, since) = (Some(place), clock::now());
                } else if clock::between(since, clock::now()) >= patience {
                    return format!(
                        "no node and no pod of {namespace} has moved for {} ({}): {}",
                        span(patience),
                        seen.progress(before),
                        seen.hindrances(namespace)
                    );
                }
            }
        }
        tokio::time::sleep(every).await;
    }
}
