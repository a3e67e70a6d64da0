//! Restart of a Deployment, as `kubectl rollout restart` does it: the pod template gets the annotation
//! `kubectl.kubernetes.io/restartedAt`. Its value is journaled before the call, so it is an idempotency key: the
//! same value again changes nothing, and a look at the annotation tells what became of the call.

use jiff::Timestamp;

use super::{
    Followed, GRACE, PlanError, Right, another, result_of, right, rolled_out, unfollowed, unobserved, unread,
};
use crate::clients::kubernetes::{Deployment, Kubernetes, RESTARTED_AT};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Change, Circumstances, Plan, Target};
use crate::runbook::Action;
use crate::text::count;

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] =
    &[right("apps", "deployments", "get"), right("apps", "deployments", "patch")];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let deployment = kubernetes.deployment(&target.namespace, &target.name).await.map_err(unread)?;
    let replicas = u32::try_from(deployment.replicas).unwrap_or_default();
    let pods = count(u64::from(replicas), "pod is", "pods are");
    Ok(Plan {
        action: Action::Restart,
        target: target.clone(),
        uid: deployment.uid,
        says: format!("restart {target}"),
        change: Change {
            field: format!("spec.template.metadata.annotations[{RESTARTED_AT}]"),
            before: deployment.restarted_at,
            after: now.to_string(),
            judged: "now".to_owned(),
        },
        touches: vec![format!("{pods} replaced by the Deployment's own rollout strategy")],
        objects: Vec::new(),
        circumstances: Circumstances {
            paused: deployment.paused,
            replicas,
            // One that has failed is over: new pods may be just what it needs.
            rollout_in_progress: deployment.rolling_out,
            controller: deployment.controller,
            against: None,
        },
        settles_within: deployment.progress_deadline + GRACE,
        made_at: now,
    })
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let Target { namespace, name, .. } = &plan.target;
    let sent = kubernetes.restart_deployment(namespace, name, &plan.uid, &plan.change.after).await;
    sent.map_or_else(result_of, |()| EffectResult::Applied)
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    match kubernetes.deployment(&plan.target.namespace, &plan.target.name).await {
        Ok(deployment) => seen(plan, &deployment),
        Err(error) => unobserved(plan, &error),
    }
}

/// What the live object says about the call. Anything but our value or the value before is ambiguous: somebody
/// restarted it in between, and whether ours came first can not be told.
fn seen(plan: &Plan, deployment: &Deployment) -> Observation {
    if let Some(another) = another(plan, &deployment.uid) {
        return another;
    }
    match &deployment.restarted_at {
        Some(value) if *value == plan.change.after => Observation::Done,
        value if *value == plan.change.before => Observation::NotDone,
        value => Observation::Ambiguous {
            saw: format!(
                "{RESTARTED_AT} is {}, neither {} (ours) nor {} (before)",
                value.as_deref().unwrap_or("not there"),
                plan.change.after,
                plan.change.before.as_deref().unwrap_or("not there"),
            ),
        },
    }
}

pub(super) async fn follow(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    match kubernetes.deployment(&plan.target.namespace, &plan.target.name).await {
        Ok(deployment) => {
            let seen = seen(plan, &deployment);
            rolled_out(plan, deployment, seen)
        }
        Err(error) => unfollowed(plan, &error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clients::kubernetes::Rollout;
    use crate::incident::plan::Kind;

    fn deployment(uid: &str, restarted_at: Option<&str>) -> Deployment {
        Deployment {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: uid.to_owned(),
            generation: 1,
            replicas: 2,
            paused: false,
            restarted_at: restarted_at.map(str::to_owned),
            rollout: Rollout::Complete { ready: 2 },
            rolling_out: None,
            progress_deadline: Duration::from_secs(600),
            images: Vec::new(),
            controller: None,
        }
    }

    fn plan(before: Option<&str>) -> Plan {
        Plan {
            action: Action::Restart,
            target: Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() },
            uid: "u".to_owned(),
            says: String::new(),
            change: Change {
                field: String::new(),
                before: before.map(str::to_owned),
                after: "ours".to_owned(),
                judged: "now".to_owned(),
            },
            touches: Vec::new(),
            objects: Vec::new(),
            circumstances: Circumstances::default(),
            settles_within: GRACE,
            made_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// The condition of a rollout that failed before outlives the next one's beginning.
    #[test]
    fn a_rollout_that_failed_before_the_effect_says_nothing_of_it() {
        let plan = Plan { made_at: Timestamp::from_second(1_000).unwrap(), ..plan(None) };
        let end = |second| {
            let since = Some(Timestamp::from_second(second).unwrap());
            let rollout = Rollout::Failed { what: "timed out".to_owned(), since };
            let deployment = Deployment { rollout, ..deployment("u", Some("ours")) };
            rolled_out(&plan, deployment, Observation::Done)
        };
        assert!(matches!(end(999), Followed::NotYet(_)));
        assert_eq!(end(1_001), Followed::Failed("timed out".to_owned()));
    }

    #[test]
    fn only_the_very_value_before_means_not_done_and_only_ours_means_done() {
        for (before, live, expected) in [
            (None, Some("ours"), "done"),
            (Some("old"), Some("ours"), "done"),
            (None, None, "not done"),
            (Some("old"), Some("old"), "not done"),
            // Somebody else came, or somebody put something back: ours may have been in between.
            (None, Some("a person's"), "ambiguous"),
            (Some("old"), Some("a person's"), "ambiguous"),
            (Some("old"), None, "ambiguous"),
        ] {
            let word = |uid| match seen(&plan(before), &deployment(uid, live)) {
                Observation::Done => "done",
                Observation::NotDone => "not done",
                Observation::Ambiguous { .. } => "ambiguous",
                Observation::Unseen { .. } => "unseen",
            };
            assert_eq!(word("u"), expected, "before {before:?}, now {live:?}");
            assert_eq!(word("another"), "ambiguous", "another object of the same name");
        }
    }
}
