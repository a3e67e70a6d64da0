//! Deletion of a pod, as `kubectl delete pod` does it; disruption budgets are not asked. On a node: of the pods that are stuck there.
//!
//! By force (`--grace-period=0`) only what is stuck on a node that is gone: the object is removed whether or not the process has ended, and where
//! the node might still run it, a `StatefulSet`'s pod would run twice. A node that merely does not answer is not gone.

use jiff::Timestamp;

use super::pod::{self, gone};
use super::{Followed, GRACE, PlanError, Right, result_of, right, unobserved, unread, void};
use crate::clients::kubernetes::{Kubernetes, Node, Pod};
use crate::clients::{CallError, Reason};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Against, Change, Circumstances, Kind, Object, Plan, Target};
use crate::runbook::Action;
use crate::text::count;

/// What a person judges, and the journal keeps, of a deletion by force.
const BY_FORCE: &str = "removed by force";
const DELETED: &str = "deleted";

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("", "pods", "get"),
    right("", "pods", "list"),
    right("apps", "replicasets", "list"),
    right("", "nodes", "get"),
    right("", "pods", "delete"),
];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    match target.kind {
        Kind::Node => plan_for_node(kubernetes, target, now).await,
        _ => plan_for_pod(kubernetes, target, now).await,
    }
}

async fn plan_for_pod(kubernetes: &Kubernetes, target: &Target, now: Timestamp) -> Result<Plan, PlanError> {
    let pod = pod::of(kubernetes, target).await?;
    let mut against = pod::lonely(&pod, target);
    let mut says = format!("delete {target}");
    if pod.stopping {
        let node = pod.node.clone().unwrap_or_default();
        says = format!("remove {target} by force, which is stuck on node/{node}");
        against = if is_stuck(&pod, now) {
            still_there(kubernetes.node(&node).await.map_err(unread)?.as_ref())
        } else {
            Some(Against {
                saw: format!("{target} is stopping already"),
                why: "it still has time to end by itself".to_owned(),
                passes: true,
            })
        };
    }
    let touches = if pod.stopping { "its owner makes a new pod".to_owned() } else { pod::replaced(&pod) };
    Ok(Plan {
        says,
        change: change(pod.stopping),
        touches: vec![touches, "disruption budgets are not asked".to_owned()],
        circumstances: Circumstances { against, ..Circumstances::default() },
        settles_within: pod.grace + GRACE,
        uid: pod.uid,
        ..Plan::bare(Action::DeletePod, target.clone(), now)
    })
}

async fn plan_for_node(kubernetes: &Kubernetes, target: &Target, now: Timestamp) -> Result<Plan, PlanError> {
    let Target { namespace, name, .. } = target;
    let node = kubernetes.node(name).await.map_err(unread)?;
    let pods = kubernetes.pods(namespace).await.map_err(unread)?;
    let stuck: Vec<&Pod> =
        pods.iter().filter(|pod| pod.node.as_ref() == Some(name) && is_stuck(pod, now)).collect();
    if stuck.is_empty() {
        let why = format!("no pod of {namespace} is stuck on {target}");
        return Err(PlanError { why, for_good: false });
    }
    let number = count(stuck.len() as u64, "pod", "pods");
    Ok(Plan {
        uid: node.as_ref().map(|node| node.uid.clone()).unwrap_or_default(),
        says: format!("remove {number} of {namespace} by force that are stuck on {target}"),
        change: change(true),
        touches: stuck.iter().map(|pod| format!("pod/{}", pod.name)).collect(),
        objects: stuck.iter().map(|pod| Object { name: pod.name.clone(), uid: pod.uid.clone() }).collect(),
        circumstances: Circumstances { against: still_there(node.as_ref()), ..Circumstances::default() },
        settles_within: GRACE,
        ..Plan::bare(Action::DeletePod, target.clone(), now)
    })
}

fn change(by_force: bool) -> Change {
    let after = if by_force { BY_FORCE } else { DELETED };
    Change {
        field: "metadata.deletionTimestamp".to_owned(),
        before: by_force.then(|| "stuck".to_owned()),
        after: after.to_owned(),
        judged: after.to_owned(),
    }
}

/// Whether the pod was to have ended by now.
fn is_stuck(pod: &Pod, now: Timestamp) -> bool {
    pod.ends_by.is_some_and(|ends_by| now > ends_by)
}

/// A node that is known to the API server may still run its pods, whatever it answers; unless somebody has declared it off, and it does not say the
/// opposite itself: nobody but a person takes that taint off a node that is back.
fn still_there(node: Option<&Node>) -> Option<Against> {
    let node = node.filter(|node| node.ready.is_true || !node.out_of_service)?;
    let name = &node.name;
    Some(Against {
        saw: format!("node/{name} is still there ({node})"),
        why: format!(
            "its pods may still run; once its machine is surely off: `kubectl taint node {name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`"
        ),
        passes: true,
    })
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let Target { kind, namespace, name } = &plan.target;
    let by_force = plan.change.after == BY_FORCE;
    if *kind == Kind::Pod && !by_force {
        let sent = kubernetes.delete_pod(namespace, name, &plan.uid, false).await;
        return pod::sent(kubernetes, plan, sent).await;
    }
    let own = [Object { name: name.clone(), uid: plan.uid.clone() }];
    let objects = if *kind == Kind::Pod { &own[..] } else { &plan.objects[..] };
    for (done, object) in objects.iter().enumerate() {
        let stopped = match ready_for(kubernetes, &permit).await {
            Some(stopped) => Some(stopped),
            None => match kubernetes.delete_pod(namespace, &object.name, &object.uid, true).await {
                Ok(()) => None,
                // A StatefulSet has made another one of the same name: ours is gone.
                Err(error) if error.reason == Reason::Conflict && is_gone(kubernetes, plan, object).await => {
                    None
                }
                Err(error) => Some(result_of(error)),
            },
        };
        match stopped {
            None => {}
            // Some are gone already: a look tells which, and the rest can be tried again.
            Some(EffectResult::NotTaken { reason, message } | EffectResult::Refused { reason, message })
                if done > 0 =>
            {
                return EffectResult::Unclear { reason, message };
            }
            Some(result) => return result,
        }
    }
    EffectResult::Applied
}

/// Why the next pod is not removed: the permit has run out, or the node is back since the plan was made and runs its pods again.
async fn ready_for(kubernetes: &Kubernetes, permit: &Permit) -> Option<EffectResult> {
    if let Some(late) = void(permit, clock::now()) {
        return Some(late);
    }
    match node_of(kubernetes, permit.plan()).await {
        Ok(node) => still_there(node.as_ref()).map(|Against { saw, .. }| EffectResult::Refused {
            reason: Reason::Conflict.as_str().to_owned(),
            message: saw,
        }),
        Err(error) => {
            let (reason, message) = (error.reason.as_str().to_owned(), error.to_string());
            Some(EffectResult::NotTaken { reason, message })
        }
    }
}

async fn is_gone(kubernetes: &Kubernetes, plan: &Plan, object: &Object) -> bool {
    let found = kubernetes.pod(&plan.target.namespace, &object.name).await;
    found.is_ok_and(|found| found.is_none_or(|pod| pod.uid != object.uid))
}

/// The node that the pods of the plan are stuck on.
async fn node_of(kubernetes: &Kubernetes, plan: &Plan) -> Result<Option<Node>, CallError> {
    if plan.target.kind == Kind::Node {
        return kubernetes.node(&plan.target.name).await;
    }
    match kubernetes.pod(&plan.target.namespace, &plan.target.name).await? {
        Some(pod) => kubernetes.node(&pod.node.unwrap_or_default()).await,
        None => Ok(None),
    }
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    if plan.change.after != BY_FORCE {
        return pod::stopping(kubernetes, plan).await;
    }
    match left(kubernetes, plan).await {
        Ok(0) => Observation::Done,
        Ok(left) if left < plan.objects.len() => {
            Observation::Partly { saw: format!("{left} of {} pods are still there", plan.objects.len()) }
        }
        Ok(_) => Observation::NotDone,
        Err(error) => unobserved(plan, &error),
    }
}

/// How many of the plan's pods are still there.
async fn left(kubernetes: &Kubernetes, plan: &Plan) -> Result<usize, CallError> {
    let pods = kubernetes.pods(&plan.target.namespace).await?;
    let is_ours = |pod: &&Pod| pod.uid == plan.uid || plan.objects.iter().any(|object| object.uid == pod.uid);
    Ok(pods.iter().filter(is_ours).count())
}

pub(super) async fn follow(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    if plan.target.kind == Kind::Pod {
        return gone(kubernetes, plan).await;
    }
    match left(kubernetes, plan).await {
        Ok(0) => {
            let number = count(plan.objects.len() as u64, "pod is", "pods are");
            Followed::Complete(format!("{number} gone"))
        }
        Ok(left) => Followed::NotYet(format!("{} still there", count(left as u64, "pod is", "pods are"))),
        Err(error) => super::unfollowed(plan, &error),
    }
}
