//! The node that is ended: one of several, never one of the control plane, and never one without which the others could not take its pods.

use super::plan::{Look, On, Steady, noted};
use super::{Bounds, Ground, INJECTED, Planned, Refused, Undo, Wanted};
use crate::clients::kubernetes::Node;
use crate::incident::plan::SetField;
use crate::runbook::{Field, Kind};
use crate::text::count;

/// So many others must take pods.
const OTHERS: usize = 2;

impl Ground {
    pub(super) async fn look_for_node(&self, deployment: &str, bounds: Bounds) -> Result<Look, Refused> {
        let Steady { pods, .. } = self.steady(deployment).await?;
        let nodes = self.kubernetes.nodes().await?;
        let under = |node: &&Node| pods.iter().any(|pod| pod.node.as_ref() == Some(&node.name));
        let mut with_pods: Vec<&Node> = nodes.iter().filter(under).collect();
        with_pods.sort_by(|one, other| one.name.cmp(&other.name));
        let Some(first) = with_pods.first() else {
            return Err(Refused::rule(
                format!("no pod of deployment/{deployment} is on a node that can be read"),
                "one that is",
            ));
        };
        if let Some((node, note)) =
            nodes.iter().find_map(|node| Some((node, node.annotations.get(INJECTED)?)))
        {
            return Err(noted(&format!("node/{}", node.name), note));
        }
        let can_be = |node: &Node| node.ready.is_true && !node.unschedulable && !node.control_plane;
        let Some(node) = with_pods.iter().find(|node| can_be(node)) else {
            let why = if first.control_plane { "belongs to the control plane" } else { "takes no pods now" };
            return Err(Refused::rule(
                format!("node/{}, which has a pod of deployment/{deployment}, {why}", first.name),
                "a node that is ready, not cordoned, and not of the control plane",
            ));
        };
        let others = nodes.iter().filter(|other| other.name != node.name && can_be(other) && !other.tainted);
        let others = others.count();
        if others < OTHERS {
            return Err(Refused::with(
                format!(
                    "without node/{}, {} would take pods",
                    node.name,
                    count(others as u64, "node", "nodes")
                ),
                format!("at least {OTHERS} that are ready, not cordoned and not tainted"),
                "add a node first: a cluster that can not take the pods proves nothing",
            ));
        }
        let target = self.target(Kind::Node, &node.name);
        let instance = node.provider_id.as_deref().and_then(instance_of);
        let ends = self.ends_instances.as_ref();
        let instance = instance.filter(|_| ends.is_some()).map(str::to_owned);
        if let (Some(id), Some(ends)) = (&instance, ends) {
            ends.may_terminate(id).await?;
        }
        let here = pods.iter().filter(|pod| pod.node.as_ref() == Some(&node.name)).count();
        let touches = vec![
            format!(
                "every pod on it ends, those of other namespaces, too; {here} of them are of {deployment}"
            ),
            "disruption budgets are not asked".to_owned(),
        ];
        let wanted = Wanted::EndNode { with_pod_of: deployment.to_owned() };
        let undo = if instance.is_some() { Undo::Nothing } else { Undo::Uncordon };
        let planned = Planned {
            touches,
            uid: node.uid.clone(),
            object: Some(target),
            ..self.planned(wanted, bounds, undo)
        };
        let planned = match &instance {
            Some(id) => Planned {
                says: format!("terminate the instance {id} of node/{}", node.name),
                undo_says: "nothing undoes it: its auto-scaling group sends another machine".to_owned(),
                instance,
                ..planned
            },
            None => Planned {
                says: format!("cordon node/{} and delete its object", node.name),
                undo_says: "while the node is there, its cordon is ended; afterwards nothing: its machine goes on, and joins again when its kubelet is started anew: `systemctl restart kubelet` there, or replace it".to_owned(),
                fields: vec![SetField {
                    field: Field::Unschedulable,
                    before: None,
                    after: Some("true".to_owned()),
                    baseline: None,
                }],
                ..planned
            },
        };
        Ok(Look { planned, on: On::Node((*node).clone()) })
    }
}

/// `aws:///us-east-1a/i-0123456789abcdef0` names an instance of EC2.
fn instance_of(provider_id: &str) -> Option<&str> {
    let (_, id) = provider_id.strip_prefix("aws:///")?.split_once('/')?;
    let digits = id.strip_prefix("i-")?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (matches!(digits.len(), 8 | 17) && digits.bytes().all(hex)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_by_a_provider_id_of_ec2_and_by_nothing_else() {
        assert_eq!(instance_of("aws:///us-east-1a/i-0123456789abcdef0"), Some("i-0123456789abcdef0"));
        assert_eq!(instance_of("aws:///us-east-1a/i-01234567"), Some("i-01234567"));
        for other in [
            "",
            "gce://project/zone/name",
            "aws:///us-east-1a/fargate-ip-10-0-1-5",
            "aws:///us-east-1a/i-0123456789abcdef0/x",
            "aws:///i-0123456789abcdef0",
            "aws:///us-east-1a/i-",
            "aws:///us-east-1a/i-0123456789ABCDEF0",
        ] {
            assert_eq!(instance_of(other), None, "{other}");
        }
    }
}
