//! What every action must keep, whatever it does: planning changes nothing, applied twice is as once, a failure at any call leaves something that
//! can be told, and another object, or somebody else's change, is never written over. A new action is in here by being in `Action::ALL`.

use std::time::Duration;

use jiff::Timestamp;
use runbookd::act::{Followed, Hands};
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clock::{after, now};
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::permit::{Asked, Permit, Wanted};
use runbookd::incident::plan::{Kind, Plan, Target};
use runbookd::incident::refusal::Answer;
use runbookd::incident::{IncidentId, OperationId};
use runbookd::runbook::Action;
use runbookd::sandbox::{NAMESPACE, Options, Sandbox, System, Trouble, World};
use serde_json::{Value, json};

const SERVICE: &str = "chat-api";
const LIMIT: Duration = Duration::from_secs(60);

struct Set {
    hands: Hands,
    world: World,
    _sandbox: Sandbox,
}

/// A cluster in which the action has something to do.
async fn set_for(action: Action) -> Set {
    let options = Options { traffic: false, pace: 50, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let settings = kubernetes::Settings { kubeconfig: Some(kubeconfig), context: None };
    let hands = Hands::new(Kubernetes::connect(&settings).await.unwrap());
    let world = sandbox.world();
    let set = Set { hands, world, _sandbox: sandbox };
    set.quiet().await;
    match action {
        Action::Restart => {}
        Action::Rollback => {
            // Go writes these otherwise than everybody else.
            assert!(set.world.edit(SERVICE, "kubectl-edit", |object| {
                let container = &mut object["spec"]["template"]["spec"]["containers"][0];
                container["command"] = json!(["sh", "-c", "a && b < c > d"]);
            }));
            set.quiet().await;
            set.set_image("example/chat-api:2");
            set.quiet().await;
        }
    }
    set
}

impl Set {
    async fn quiet(&self) {
        assert!(self.world.until(LIMIT, |world| world.rollout_complete(SERVICE)).await);
        // The newest generation has been seen by the controller.
    }

    fn set_image(&self, image: &str) {
        let image = json!(image);
        assert!(self.world.edit(SERVICE, "kubectl-set", move |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = image;
        }));
    }

    /// What a write could have changed.
    fn spec(&self) -> Value {
        self.world.deployment(SERVICE).unwrap()["spec"].clone()
    }

    async fn plan(&self, action: Action) -> Plan {
        let name = SERVICE.to_owned();
        let target = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
        self.hands.plan(action, &target, now(), now()).await.unwrap()
    }

    async fn apply(&self, plan: &Plan) -> EffectResult {
        self.hands.apply(permit(plan), now()).await
    }

    async fn follow(&self, plan: &Plan) -> Followed {
        let until = after(now(), LIMIT);
        loop {
            match self.hands.follow(plan).await {
                Followed::NotYet(_) if now() < until => self.world.changed().await,
                other => return other,
            }
        }
    }
}

/// A permit that every guard granted.
fn permit(plan: &Plan) -> Permit {
    let op = OperationId::new(&IncidentId::new(1, 1), 1);
    let wanted = Wanted { op, leg: 0, step: 0, plan: plan.clone(), again: false };
    let all = Asked::every(|guard| {
        (Answer { guard, saw: String::new(), limit: String::new(), allows: true }, None)
    });
    let not_after: Timestamp = after(now(), Duration::from_secs(30));
    all.grant(wanted, not_after).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_says_the_same_again() {
    for action in Action::ALL {
        let set = set_for(action).await;
        let before = set.spec();
        let (first, second) = (set.plan(action).await, set.plan(action).await);
        assert_eq!(set.spec(), before, "{action:?}");
        assert!(set.world.writes().is_empty(), "{action:?} writes while it plans");
        let hash = runbookd::runbook::Hash("r".to_owned());
        assert_eq!(first.judged(&hash, 0), second.judged(&hash, 0), "{action:?}: what a person judges moves");
        assert_eq!(set.hands.observe(&first).await, Observation::NotDone, "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applied_twice_is_as_once_and_comes_to_its_end() {
    for action in Action::ALL {
        let set = set_for(action).await;
        let plan = set.plan(action).await;
        let before = set.spec();
        assert_eq!(set.apply(&plan).await, EffectResult::Applied, "{action:?}");
        let once = set.spec();
        assert_ne!(once, before, "{action:?} changes nothing");
        assert_eq!(set.hands.observe(&plan).await, Observation::Done, "{action:?}");
        assert_eq!(set.apply(&plan).await, EffectResult::Applied, "{action:?}");
        assert_eq!(set.spec(), once, "{action:?} done twice");
        let end = set.follow(&plan).await;
        assert!(matches!(end, Followed::Complete(_)), "{action:?}: {end:?}");
        assert_eq!(set.hands.observe(&plan).await, Observation::Done, "{action:?}, after its end");
    }
}

/// Whatever goes wrong, at whichever call, a look at the target afterwards tells what became of it, and "surely not" is never said of what happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_call_leaves_something_that_can_be_told() {
    let troubles = [
        Trouble::Down,
        Trouble::CutAfterApply,
        Trouble::Status(403, "{}".to_owned()),
        Trouble::Status(409, "{}".to_owned()),
        Trouble::Status(500, "broken".to_owned()),
        Trouble::RateLimited { retry_after: Duration::from_secs(60) },
    ];
    for action in Action::ALL {
        // An action reads before it writes: the first, the second and the third call fail in turn.
        for skipped in 0..3_u32 {
            for trouble in &troubles {
                let set = set_for(action).await;
                let plan = set.plan(action).await;
                let before = set.spec();
                set.world.disturb_after(System::Kubernetes, trouble.clone(), skipped);
                let result = set.apply(&plan).await;
                set.world.disturb(System::Kubernetes, None);
                let happened = set.spec() != before;
                let case = format!("{action:?}, {trouble:?} after {skipped} calls: {result:?}");
                match &result {
                    EffectResult::Refused { .. } | EffectResult::NotTaken { .. } => {
                        assert!(!happened, "{case}, and it happened");
                    }
                    EffectResult::Applied => assert!(happened, "{case}, and nothing happened"),
                    EffectResult::Unclear { .. } => {}
                }
                let expected = if happened { Observation::Done } else { Observation::NotDone };
                assert_eq!(set.hands.observe(&plan).await, expected, "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_object_of_the_same_name_is_never_touched() {
    for action in Action::ALL {
        let set = set_for(action).await;
        let plan = Plan { uid: "00000000-0000-4000-a000-000000000000".to_owned(), ..set.plan(action).await };
        let before = set.spec();
        let result = set.apply(&plan).await;
        assert!(matches!(result, EffectResult::Refused { .. }), "{action:?}: {result:?}");
        assert_eq!(set.spec(), before, "{action:?}");
        let seen = set.hands.observe(&plan).await;
        assert!(matches!(seen, Observation::Ambiguous { .. }), "{action:?}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_never_writes_over_what_somebody_rolled_out_meanwhile() {
    let set = set_for(Action::Rollback).await;
    let plan = set.plan(Action::Rollback).await;
    set.set_image("example/chat-api:3");
    let result = set.apply(&plan).await;
    let EffectResult::Refused { reason, message } = result else { panic!("{result:?}") };
    assert_eq!(reason, "conflict");
    assert!(message.contains("somebody has changed the pod template since the plan was made"), "{message}");
    assert!(set.world.writes().is_empty());
    let image = &set.spec()["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "example/chat-api:3");
    let seen = set.hands.observe(&plan).await;
    assert!(matches!(&seen, Observation::Ambiguous { saw } if saw.contains("chat-api:3")), "{seen:?}");
}

/// The trouble can not come from what was rolled out after it began; perhaps that is what mends it.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_rolls_out_after_the_alert_is_not_rolled_back() {
    let set = set_for(Action::Rollback).await;
    let name = SERVICE.to_owned();
    let target = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
    let before = set.plan(Action::Rollback).await;
    assert_eq!(before.circumstances.rollout_in_progress, None);
    let alerted = before_all(now());
    let plan = set.hands.plan(Action::Rollback, &target, alerted, now()).await.unwrap();
    let why = plan.circumstances.rollout_in_progress.unwrap();
    assert!(why.ends_with("after the alert came"), "{why}");
}

/// Before everything in this world.
fn before_all(now: Timestamp) -> Timestamp {
    runbookd::clock::before(now, Duration::from_secs(3_600 * 24))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_earlier_revision_there_is_no_plan() {
    let set = set_for(Action::Restart).await;
    let name = SERVICE.to_owned();
    let target = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
    let none = set.hands.plan(Action::Rollback, &target, now(), now()).await.unwrap_err();
    assert!(none.for_good);
    assert_eq!(
        none.why,
        "deployment/chat-api in samosachaat-prod has no earlier revision that is more than a restart away (`kubectl rollout history`)"
    );
}
