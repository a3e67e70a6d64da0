//! Restart of a workload, as `kubectl rollout restart` does it: the pod template gets the annotation
//! `kubectl.kubernetes.io/restartedAt`. Its value is journaled before the call, so it is an idempotency key: the
//! same value again changes nothing, and a look at the annotation tells what became of the call.

use jiff::Timestamp;

use super::setting::{held_back, rolls_out};
use super::{
    Followed, GRACE, PlanError, Right, another, result_of, right, rolled_out, unfollowed, unobserved, unread,
};
use crate::clients::CallError;
use crate::clients::kubernetes::{Kubernetes, RESTARTED_AT, Workload};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Change, Circumstances, Plan, Target};
use crate::runbook::Action;

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "deployments", "patch"),
    right("apps", "statefulsets", "get"),
    right("apps", "statefulsets", "patch"),
    right("apps", "daemonsets", "get"),
    right("apps", "daemonsets", "patch"),
];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let workload =
        kubernetes.workload(target.kind.as_str(), &target.namespace, &target.name).await.map_err(unread)?;
    let (touches, against) = (vec![rolls_out(target, &workload)], held_back(target, &workload));
    Ok(Plan {
        uid: workload.uid,
        says: format!("restart {target}"),
        change: Change {
            field: format!("spec.template.metadata.annotations[{RESTARTED_AT}]"),
            before: workload.restarted_at,
            after: now.to_string(),
            judged: "now".to_owned(),
        },
        touches,
        circumstances: Circumstances {
            paused: workload.paused,
            replicas: u32::try_from(workload.replicas).unwrap_or_default(),
            // One that has failed is over: new pods may be just what it needs.
            rollout_in_progress: workload.rolling_out,
            controller: workload.controller,
            may_not_last: Vec::new(),
            against,
            ..Circumstances::default()
        },
        settles_within: workload.progress_deadline + GRACE,
        ..Plan::bare(Action::Restart, target.clone(), now)
    })
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    send(kubernetes, permit.plan()).await.map_or_else(result_of, |()| EffectResult::Applied)
}

/// The call, for an effect and for its rehearsal.
pub(super) async fn send(kubernetes: &Kubernetes, plan: &Plan) -> Result<(), CallError> {
    let Target { kind, namespace, name } = &plan.target;
    kubernetes.restart(kind.as_str(), namespace, name, &plan.uid, &plan.change.after).await
}

async fn of(kubernetes: &Kubernetes, plan: &Plan) -> Result<Workload, CallError> {
    let Target { kind, namespace, name } = &plan.target;
    kubernetes.workload(kind.as_str(), namespace, name).await
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    match of(kubernetes, plan).await {
        Ok(workload) => seen(plan, &workload),
        Err(error) => unobserved(plan, &error),
    }
}

/// What the live object says about the call. Anything but our value or the value before is ambiguous: somebody
/// restarted it in between, and whether ours came first can not be told.
fn seen(plan: &Plan, workload: &Workload) -> Observation {
    if let Some(another) = another(plan, &workload.uid) {
        return another;
    }
    match &workload.restarted_at {
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
    match of(kubernetes, plan).await {
        Ok(workload) => {
            let seen = seen(plan, &workload);
            rolled_out(plan, workload, seen)
        }
        Err(error) => unfollowed(plan, &error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clients::kubernetes::Rollout;
    use crate::runbook::Kind;

    fn workload(uid: &str, restarted_at: Option<&str>) -> Workload {
        Workload {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: uid.to_owned(),
            generation: 1,
            replicas: 2,
            paused: false,
            held_back: None,
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
            uid: "u".to_owned(),
            says: String::new(),
            change: Change {
                field: String::new(),
                before: before.map(str::to_owned),
                after: "ours".to_owned(),
                judged: "now".to_owned(),
            },
            settles_within: GRACE,
            ..Plan::bare(
                Action::Restart,
                Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() },
                Timestamp::UNIX_EPOCH,
            )
        }
    }

    /// The condition of a rollout that failed before outlives the next one's beginning.
    #[test]
    fn a_rollout_that_failed_before_the_effect_says_nothing_of_it() {
        let plan = Plan { made_at: Timestamp::from_second(1_000).unwrap(), ..plan(None) };
        let end = |second| {
            let since = Some(Timestamp::from_second(second).unwrap());
            let rollout = Rollout::Failed { what: "timed out".to_owned(), since };
            let workload = Workload { rollout, ..workload("u", Some("ours")) };
            rolled_out(&plan, workload, Observation::Done)
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
            let word = |uid| match seen(&plan(before), &workload(uid, live)) {
                Observation::Done => "done",
                Observation::NotDone => "not done",
                Observation::Partly { .. } => "partly",
                Observation::Ambiguous { .. } => "ambiguous",
                Observation::Unseen { .. } => "unseen",
            };
            assert_eq!(word("u"), expected, "before {before:?}, now {live:?}");
            assert_eq!(word("another"), "ambiguous", "another object of the same name");
        }
    }
}
