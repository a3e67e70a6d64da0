//! Rollback of a Deployment to the revision before this one, as `kubectl rollout undo` does it: the Deployment gets the pod template of an
//! earlier `ReplicaSet`. Revisions that differ by a restart alone count as one.
//!
//! The template is the idempotency key: the same one again changes nothing, and a look at it tells what became of the call. Only digests of it
//! are journaled, since it can hold secrets.

use jiff::Timestamp;

use super::{
    Followed, GRACE, PlanError, Right, another, result_of, right, rolled_out, unfollowed, unobserved, unread,
    void,
};
use crate::clients::Reason;
use crate::clients::kubernetes::{History, Kubernetes, Revision};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Change, Circumstances, Plan, Target};
use crate::runbook::Action;
use crate::text::count;

const FIELD: &str = "spec.template";

/// A revision as it is journaled: `replicaset/web-5d9c (sha256:...)`.
fn named(revision: &Revision) -> String {
    format!("replicaset/{} (sha256:{})", revision.set, revision.template.digest)
}

/// The `ReplicaSet` and the digest of [`named`].
fn parts(named: &str) -> Option<(&str, &str)> {
    named.strip_prefix("replicaset/")?.strip_suffix(')')?.split_once(" (sha256:")
}

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "replicasets", "list"),
    right("apps", "deployments", "patch"),
];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    target: &Target,
    alerted: Timestamp,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let Target { namespace, name, .. } = target;
    let history = kubernetes.history(namespace, name).await.map_err(unread)?;
    let none = |why: &str| PlanError { why: format!("{target} {why}"), for_good: true };
    let current = history.current().ok_or_else(|| PlanError {
        // The controller has not made the ReplicaSet of the newest template yet.
        why: format!("the revision that {target} runs is not among its ReplicaSets"),
        for_good: false,
    })?;
    if history.was_rolled_back() {
        return Err(none("was rolled back already: what it runs is older than the revision before it"));
    }
    let previous = history.previous().ok_or_else(|| {
        none("has no earlier revision that is more than a restart away (`kubectl rollout history`)")
    })?;
    let deployment = &history.deployment;
    let replicas = u32::try_from(deployment.replicas).unwrap_or_default();
    let pods = count(u64::from(replicas), "pod is", "pods are");
    let images = |revision: &Revision| revision.template.images.join(", ");
    let change = if images(current) == images(previous) {
        format!("the image stays {}; something else in the pod template differs", images(current))
    } else {
        format!("image {} instead of {}", images(previous), images(current))
    };
    Ok(Plan {
        uid: deployment.uid.clone(),
        says: format!("roll {target} back from revision {} to {}", current.number, previous.number),
        change: Change {
            field: FIELD.to_owned(),
            before: Some(named(current)),
            after: named(previous),
            judged: named(previous),
        },
        touches: vec![
            change,
            format!("revision {} was first rolled out at {}", previous.number, previous.created),
            format!("{pods} replaced by the Deployment's own rollout strategy"),
        ],
        circumstances: Circumstances {
            paused: deployment.paused,
            replicas,
            // The rollout that is under way, perhaps for ever, is what is undone; but not one that somebody began since, perhaps to mend it.
            rollout_in_progress: (current.created > alerted).then(|| {
                format!(
                    "revision {} was rolled out at {}, after the incident had begun",
                    current.number, current.created
                )
            }),
            controller: deployment.controller.clone(),
            may_not_last: Vec::new(),
            ..Circumstances::default()
        },
        settles_within: deployment.progress_deadline + GRACE,
        ..Plan::bare(Action::Rollback, target.clone(), now)
    })
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let Some((from, to)) = revisions(plan) else {
        return EffectResult::Refused {
            reason: Reason::ClientError.as_str().to_owned(),
            message: NO_REVISIONS.to_owned(),
        };
    };
    let Target { namespace, name, .. } = &plan.target;
    let rollback = match kubernetes.prepare_rollback(namespace, name, &plan.uid, from, to).await {
        Ok(Some(rollback)) => rollback,
        Ok(None) => return EffectResult::Applied,
        Err(error) => return result_of(error),
    };
    // Reading may have taken long, and a permit is for now.
    if let Some(late) = void(&permit, clock::now()) {
        return late;
    }
    kubernetes.roll_back_deployment(rollback).await.map_or_else(result_of, |()| EffectResult::Applied)
}

pub(super) const NO_REVISIONS: &str = "the plan names no revisions";

/// The digest of the template that the plan saw; the wanted `ReplicaSet` and its digest.
pub(super) fn revisions(plan: &Plan) -> Option<(&str, (&str, &str))> {
    let (_, from) = plan.change.before.as_deref().and_then(parts)?;
    Some((from, parts(&plan.change.after)?))
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    match kubernetes.history(&plan.target.namespace, &plan.target.name).await {
        Ok(history) => seen(plan, &history),
        Err(error) => unobserved(plan, &error),
    }
}

/// What the live template says about the call. Anything but the wanted one or the one before is ambiguous: somebody rolled out something else, and
/// whether ours came first can not be told.
fn seen(plan: &Plan, history: &History) -> Observation {
    if let Some(another) = another(plan, &history.deployment.uid) {
        return another;
    }
    let live = history.template.digest.as_str();
    let is = |named: &str| parts(named).is_some_and(|(_, digest)| digest == live);
    if is(&plan.change.after) {
        return Observation::Done;
    }
    if plan.change.before.as_deref().is_some_and(is) {
        return Observation::NotDone;
    }
    let images = history.template.images.join(", ");
    Observation::Ambiguous {
        saw: format!("{} has a third pod template ({images}), neither ours nor the one before", plan.target),
    }
}

pub(super) async fn follow(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    match kubernetes.history(&plan.target.namespace, &plan.target.name).await {
        Ok(history) => {
            let seen = seen(plan, &history);
            rolled_out(plan, history.deployment, seen)
        }
        Err(error) => unfollowed(plan, &error),
    }
}
