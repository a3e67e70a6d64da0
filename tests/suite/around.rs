//! What every plan says of the deployments around its target, in the sandbox: no action forgets to look, and what could not be looked at is said.

use std::time::Duration;

use runbookd::clients::kubernetes::HookState;
use runbookd::clock::{before, now};
use runbookd::incident::deploying::Deploying;
use runbookd::incident::plan::{Kind, Target};
use runbookd::runbook::{Action, Remedy};
use runbookd::sandbox::{JobEnd, NAMESPACE, System, Trouble, World};
use serde_json::json;

use crate::actions::{SERVICE, Set, set_for};
use crate::invariants::{Ground as _, LIMIT, cases, wish};

const JOB: &str = "migrate";

/// A version of a service that never becomes ready, rolled out with helm.
fn roll_out(world: &World, service: &str) {
    world.break_rollouts(service);
    assert!(world.edit(service, "helm", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example/new:2");
    }));
}

fn rollouts(deploying: Deploying) -> Vec<String> {
    let Deploying::Seen { rollouts, .. } = deploying else { panic!("{deploying:?}") };
    rollouts.into_iter().map(|rollout| rollout.split(':').next().unwrap_or_default().to_owned()).collect()
}

async fn around(set: &Set, action: Action) -> Deploying {
    set.plan(action).await.circumstances.deploying
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_on_a_workload_or_a_pod_sees_a_migration_that_runs() {
    for case in cases() {
        let set = set_for(case).await;
        set.world.put_job(JOB, &[("helm.sh/hook", "pre-upgrade")], &[], JobEnd::Never);
        set.world.put_job("report", &[], &[], JobEnd::Never);
        match around(&set, case.0).await {
            Deploying::Nowhere => assert_eq!(case.1, Kind::Node, "{case:?}"),
            Deploying::Seen { hooks, rollouts } => {
                let names: Vec<_> = hooks.iter().map(|hook| hook.job.as_str()).collect();
                assert_eq!((names.as_slice(), rollouts.len()), (&[JOB][..], 0), "{case:?}");
                assert_ne!(case.1, Kind::Node, "{case:?}");
            }
            other => panic!("{case:?}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_looked_at_is_said_and_is_not_nothing() {
    let set = set_for((Action::Restart, Kind::Deployment)).await;
    for plural in ["jobs", "statefulsets", "daemonsets"] {
        set.world.forbid(plural);
        let Deploying::Unread { why } = around(&set, Action::Restart).await else { panic!("{plural}") };
        assert!(why.starts_with(&format!("list the {plural} of {NAMESPACE}: ")), "{why}");
        assert!(why.contains("runbookd needs the right to `list` them"), "{why}");
        set.world.grant(plural);
    }
    assert_eq!(around(&set, Action::Restart).await, Deploying::NOTHING);
    // The target is read, and then nothing answers any more.
    set.world.disturb_after(System::Kubernetes, Trouble::Status(403, "{}".to_owned()), 1);
    let seen = around(&set, Action::Restart).await;
    assert!(matches!(seen, Deploying::Unread { .. }), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_belongs_to_the_rollout_of_its_workload_and_to_its_release() {
    let set = set_for((Action::DeletePod, Kind::Pod)).await;
    for service in [SERVICE, "auth"] {
        assert!(set.world.install_with_helm(service, "shop"));
    }
    roll_out(&set.world, "auth");
    assert_eq!(rollouts(around(&set, Action::DeletePod).await), ["deployment/auth of the Helm release shop"]);
    roll_out(&set.world, SERVICE);
    assert_eq!(rollouts(around(&set, Action::DeletePod).await).len(), 2);
}

/// What the release brought is the trouble itself; what somebody began since may mend it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_waits_for_what_was_begun_after_the_alert_and_a_restart_for_all() {
    let set = set_for((Action::Rollback, Kind::Deployment)).await;
    for service in [SERVICE, "auth"] {
        assert!(set.world.install_with_helm(service, "shop"));
    }
    roll_out(&set.world, "auth");
    let name = SERVICE.to_owned();
    let target = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
    let plan = async |action, alerted| {
        let remedy = Remedy::Plain(action);
        set.hands.plan(&wish(&remedy), &target, alerted, now()).await.unwrap().circumstances.deploying
    };
    let (long_ago, later) = (before(now(), LIMIT * 60), runbookd::clock::after(now(), LIMIT));
    assert_eq!(plan(Action::Rollback, later).await, Deploying::NOTHING);
    assert_eq!(rollouts(plan(Action::Rollback, long_ago).await).len(), 1);
    assert_eq!(rollouts(plan(Action::Restart, later).await).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_of_our_own_holds_no_other_workload_of_the_release() {
    let set = set_for((Action::Restart, Kind::Deployment)).await;
    for service in [SERVICE, "auth"] {
        assert!(set.world.install_with_helm(service, "shop"));
    }
    let name = "auth".to_owned();
    let auth = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
    set.world.break_rollouts(SERVICE);
    assert_eq!(
        set.apply(&set.plan(Action::Restart).await).await,
        runbookd::incident::event::EffectResult::Applied
    );
    assert!(!set.world.rollout_complete(SERVICE));
    let remedy = Remedy::Plain(Action::Restart);
    let plan = set.hands.plan(&wish(&remedy), &auth, now(), now()).await.unwrap();
    assert_eq!(plan.circumstances.deploying, Deploying::NOTHING);
    assert!(around(&set, Action::Restart).await == Deploying::NOTHING, "its own circumstances say it");
    assert!(set.plan(Action::Restart).await.circumstances.rollout_in_progress.is_some());
}

/// The sandbox's Jobs go the way of real ones: begun, active, over; and a list of them is read by the real client.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_sandbox_is_active_until_it_ends() {
    let set = set_for((Action::Restart, Kind::Deployment)).await;
    let world = &set.world;
    let hook = [("helm.sh/hook", "pre-upgrade,pre-install")];
    let instance = [("app.kubernetes.io/instance", "shop")];
    world.put_job("a", &hook, &instance, JobEnd::Succeeds(Duration::from_secs(5)));
    world.put_job("b", &hook, &instance, JobEnd::Fails(Duration::from_secs(5)));
    world.put_job("c", &[], &[], JobEnd::Never);
    world.put_job("d", &hook, &[], JobEnd::Never);
    let over = |world: &World| {
        ["a", "b"].iter().all(|job| !world.set("jobs", job).unwrap()["status"]["conditions"].is_null())
    };
    assert!(world.until(LIMIT, over).await);
    assert!(world.until(LIMIT, |world| world.set("jobs", "d").unwrap()["status"]["active"] == 1).await);
    let hooks = set.kubernetes.hooks(NAMESPACE).await.unwrap();
    let states: Vec<_> = hooks.iter().map(|hook| (hook.job.as_str(), &hook.state)).collect();
    let [
        ("a", HookState::Succeeded),
        ("b", HookState::Failed { at: Some(_), why }),
        ("d", HookState::Runs { failed: 0 }),
    ] = states.as_slice()
    else {
        panic!("{states:?}")
    };
    assert_eq!(why, "Job has reached the specified backoff limit");
    assert_eq!(hooks[0].release.as_deref(), Some("the release shop"));
    assert!(world.end_job("d", true) && !world.end_job("d", true), "what is over ends no more");
    assert!(world.delete_job("d") && !world.delete_job("d"));
    assert_eq!(set.kubernetes.hooks(NAMESPACE).await.unwrap().len(), 2);
}
