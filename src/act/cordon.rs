//! Cordon and uncordon of a node, as kubectl does it, with a note of runbookd's own: the annotation [`CORDONED_AT`] is the idempotency key, and
//! what tells runbookd's cordon from a person's, which is never ended.

use jiff::Timestamp;

use super::{
    Followed, GRACE, PlanError, Reverted, Right, another, result_of, right, unfollowed, unobserved, unread,
};
use crate::clients::kubernetes::{CORDONED_AT, Kubernetes, Node};
use crate::clients::{CallError, Reason};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Against, Change, Circumstances, Plan, Target};
use crate::runbook::Action;

/// The value after an uncordon: no note is left.
const NO_NOTE: &str = "not there";

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] =
    &[right("", "nodes", "get"), right("", "nodes", "list"), right("", "nodes", "patch")];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    action: Action,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let nodes = kubernetes.nodes().await.map_err(unread)?;
    let refuse = |why: &str| Err(PlanError { why: format!("{target} {why}"), for_good: true });
    let Some(node) = nodes.iter().find(|node| node.name == target.name) else {
        return refuse("is not there (any more)");
    };
    let (after, judged, touches) = if action == Action::Cordon {
        if node.unschedulable {
            return refuse("is cordoned already");
        }
        (now.to_string(), "now", "no new pod of any namespace is put on it; those that run there go on")
    } else {
        match (node.unschedulable, &node.cordoned_at) {
            (false, _) => return refuse("is not cordoned"),
            (true, None) => return refuse("was cordoned by somebody else, and is left alone"),
            (true, Some(_)) => {}
        }
        (NO_NOTE.to_owned(), NO_NOTE, "new pods can be put on it again")
    };
    let takes_pods = |other: &&Node| {
        other.name != node.name && other.ready.is_true && !other.unschedulable && !other.tainted
    };
    let last = action == Action::Cordon && !nodes.iter().any(|node| takes_pods(&node));
    let against = last.then(|| Against {
        saw: format!("no node but {target} takes pods"),
        why: "new pods would find no place at all".to_owned(),
        passes: true,
    });
    Ok(Plan {
        uid: node.uid.clone(),
        says: format!("{} {target}", action.as_str()),
        change: Change {
            field: format!("spec.unschedulable, metadata.annotations[{CORDONED_AT}]"),
            before: node.cordoned_at.clone(),
            after,
            judged: judged.to_owned(),
        },
        touches: vec![touches.to_owned()],
        circumstances: Circumstances { against, ..Circumstances::default() },
        settles_within: GRACE,
        ..Plan::bare(action, target.clone(), now)
    })
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    match send(kubernetes, plan).await {
        Ok(()) => EffectResult::Applied,
        // Sent a second time it finds its own work done.
        Err(error)
            if plan.action == Action::Uncordon
                && error.reason == Reason::Conflict
                && is_done(kubernetes, plan).await =>
        {
            EffectResult::Applied
        }
        Err(error) => result_of(error),
    }
}

/// The call, for an effect and for its rehearsal.
pub(super) async fn send(kubernetes: &Kubernetes, plan: &Plan) -> Result<(), CallError> {
    let (name, uid) = (&plan.target.name, &plan.uid);
    if plan.action == Action::Cordon {
        return kubernetes.cordon_node(name, uid, &plan.change.after).await;
    }
    kubernetes.uncordon_node(name, uid, plan.change.before.as_deref().unwrap_or_default()).await
}

async fn is_done(kubernetes: &Kubernetes, plan: &Plan) -> bool {
    observe(kubernetes, plan).await == Observation::Done
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    match kubernetes.node(&plan.target.name).await {
        Ok(Some(node)) => seen(plan, &node),
        Ok(None) => Observation::Ambiguous { saw: format!("{} is gone", plan.target) },
        Err(error) => unobserved(plan, &error),
    }
}

/// What the live node says about the call.
fn seen(plan: &Plan, node: &Node) -> Observation {
    if let Some(another) = another(plan, &node.uid) {
        return another;
    }
    let after = Some(plan.change.after.clone()).filter(|after| after != NO_NOTE);
    let cordons = plan.action == Action::Cordon;
    if node.unschedulable == cordons && node.cordoned_at == after {
        return Observation::Done;
    }
    if node.unschedulable != cordons && node.cordoned_at == plan.change.before {
        return Observation::NotDone;
    }
    let note = node.cordoned_at.as_deref().unwrap_or(NO_NOTE);
    let cordoned = if node.unschedulable { "cordoned" } else { "not cordoned" };
    Observation::Ambiguous {
        saw: format!(
            "{} is {cordoned}, and {CORDONED_AT} is {note}: neither ours nor as before",
            plan.target
        ),
    }
}

pub(super) async fn follow(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    let node = match kubernetes.node(&plan.target.name).await {
        Ok(Some(node)) => node,
        Ok(None) => return Followed::Overtaken(format!("{} is gone", plan.target)),
        Err(error) => return unfollowed(plan, &error),
    };
    match seen(plan, &node) {
        Observation::Done => Followed::Complete(plan.touches.join("; ")),
        Observation::Ambiguous { saw } => Followed::Overtaken(saw),
        Observation::NotDone | Observation::Partly { .. } | Observation::Unseen { .. } => {
            Followed::Overtaken(format!("the {} of {} was put back", plan.action.as_str(), plan.target))
        }
    }
}

/// Ends a cordon of runbookd's own. One that somebody has ended, or has put a cordon of theirs in the place of, is left alone.
pub(super) async fn revert(kubernetes: &Kubernetes, permit: Permit) -> Reverted {
    let plan = permit.plan();
    let node = match kubernetes.node(&plan.target.name).await {
        Ok(Some(node)) => node,
        Ok(None) => return Reverted::LeftAlone(format!("{} is gone", plan.target)),
        Err(error) => return Reverted::Failed(error.to_string()),
    };
    if node.uid == plan.uid && !node.unschedulable {
        // A person was faster; the note that they left behind says nothing more.
        return Reverted::Done;
    }
    if node.uid != plan.uid || node.cordoned_at.as_deref() != Some(&plan.change.after) {
        return Reverted::LeftAlone(format!("{} is not as runbookd left it ({node})", plan.target));
    }
    match kubernetes.uncordon_node(&plan.target.name, &plan.uid, &plan.change.after).await {
        Ok(()) => Reverted::Done,
        Err(error) => Reverted::Failed(error.to_string()),
    }
}
