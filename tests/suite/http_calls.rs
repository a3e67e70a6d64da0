//! The action `http` in the sandbox: what each pod answers, or does not, and what can be told of it afterwards.

use std::time::Duration;

use runbookd::clients::http::{AllowedPods, Http, Policy};
use runbookd::clock::now;
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::Kind;
use runbookd::runbook::{Action, CallTo, HttpCall, Remedy};
use runbookd::sandbox::{NAMESPACE, Request, System, Trouble};

use crate::actions::{Set, set_for};
use crate::invariants::{Ground as _, SMALL, swap, wish};

const POD: System = System::Pod("inference");

async fn set() -> Set {
    set_for((Action::Http, Kind::Deployment)).await
}

/// The calls that came to a pod.
fn calls(set: &Set) -> Vec<Request> {
    set.world.requests().into_iter().filter(|request| request.path == "/models/swap").collect()
}

fn told(set: &Set) -> usize {
    let pods = set.world.pods("inference");
    pods.iter().filter(|pod| set.world.model(&pod.name) == Some(SMALL)).count()
}

fn without_observe() -> HttpCall {
    HttpCall { observe: None, ..swap() }
}

fn remedy(call: HttpCall) -> Remedy {
    Remedy::Http(Box::new(call))
}

/// Whatever a pod does at whichever request, what became of it can be told, and nothing that happened passes for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_pod_does_at_whichever_request_can_be_told() {
    let troubles = [
        Trouble::Down,
        Trouble::CutAfterApply,
        Trouble::Status(500, "broken".to_owned()),
        Trouble::Status(404, "{}".to_owned()),
        Trouble::Status(302, String::new()),
        Trouble::RateLimited { retry_after: Duration::from_secs(60) },
    ];
    // Each of two pods is asked, and then called.
    for skipped in 0..4_u32 {
        let mut all = tokio::task::JoinSet::new();
        for trouble in troubles.clone() {
            all.spawn(fails_once(trouble, skipped));
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
    }
}

async fn fails_once(trouble: Trouble, skipped: u32) {
    let set = set().await;
    let plan = set.plan(Action::Http).await;
    set.world.disturb_after(POD, trouble.clone(), skipped);
    let result = set.apply(&plan).await;
    set.world.disturb(POD, None);
    let name = format!("{trouble:?} after {skipped} requests: {result:?}");
    // What a pod was told before the line was cut goes on.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let happened = told(&set);
    match &result {
        EffectResult::Refused { .. } | EffectResult::NotTaken { .. } => assert_eq!(happened, 0, "{name}"),
        EffectResult::Applied | EffectResult::Begun { .. } => assert_eq!(happened, 2, "{name}"),
        EffectResult::InPart { message, .. } => {
            let first = plan.objects[0].name.as_str();
            assert!(message.contains(&format!("1 of 2 have been told (pod/{first})")), "{name}");
            assert_eq!(happened, 1, "{name}");
        }
        EffectResult::Unclear { .. } => {}
    }
    // A redirect is the ordinary answer to what was done, too.
    if trouble == Trouble::Status(302, String::new()) && skipped % 2 == 1 {
        assert!(matches!(result, EffectResult::Unclear { .. }), "{name}");
    }
    if matches!(&trouble, Trouble::Status(404, _)) && skipped == 3 {
        assert!(matches!(result, EffectResult::InPart { .. }), "{name}");
    }
    let seen = set.hands.observe(&plan).await;
    match (happened, &seen) {
        (0, Observation::NotDone) | (1, Observation::Partly { .. }) | (2, Observation::Done) => {}
        _ => panic!("{name}: {happened} of 2, and it says {seen:?}"),
    }
    // Tried again, only those that have not heard it are told.
    if happened < 2 {
        let before = calls(&set).len();
        assert_eq!(set.apply(&plan).await, EffectResult::Applied, "{name}");
        assert_eq!(calls(&set).len() - before, 2 - happened, "{name}");
    }
    let op = crate::invariants::permit(&plan).op().clone();
    let keys: std::collections::BTreeSet<String> =
        calls(&set).into_iter().filter_map(|call| call.idempotency_key).collect();
    let expected: std::collections::BTreeSet<String> =
        plan.objects.iter().map(|pod| format!("{op}/{}", pod.uid)).collect();
    assert_eq!(keys, expected, "{name}: for the same pod the same key, and for no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_configuration_does_not_allow_are_not_even_asked() {
    let set = set().await;
    let other = AllowedPods { namespace: NAMESPACE.to_owned(), port: 8003, networks: Vec::new() };
    for (pods, why) in [
        (vec![], "is not in `http: {pods: [...]}` of the configuration, so nothing was asked"),
        // Without its network this machine's own addresses are no pods'.
        (vec![other], "or is this machine's, its link's or a metadata service's; nothing was asked"),
    ] {
        let hands = set.hands.clone().with_http(Http::new(Policy::default().with_pods(pods)));
        let planned = hands.plan(&wish(&remedy(swap())), &set.target, now(), now()).await.unwrap_err();
        assert!(planned.for_good && planned.why.contains(why), "{planned}");
        // Nor with a permit, when the list has become shorter since.
        let plan = set.plan(Action::Http).await;
        let asked = set.world.requests().iter().filter(|request| request.system == POD).count();
        let result = hands.apply(crate::invariants::permit(&plan), now()).await;
        assert!(!matches!(result, EffectResult::Applied), "{result:?}");
        let again = set.world.requests().iter().filter(|request| request.system == POD).count();
        assert_eq!((again, calls(&set).len()), (asked, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_to_look_nothing_is_known_of_a_lost_answer() {
    let set = set().await;
    let plan = set.tries(&remedy(without_observe())).await.unwrap();
    assert!(plan.touches.iter().any(|line| line.contains("nothing tells afterwards")), "{:?}", plan.touches);
    set.world.disturb_next(POD, Trouble::CutAfterApply, 1);
    let result = set.apply(&plan).await;
    assert!(matches!(result, EffectResult::Unclear { .. }), "{result:?}");
    let Observation::Ambiguous { saw } = set.hands.observe(&plan).await else { panic!() };
    assert_eq!(saw, "the step has no `observe`, so nothing tells whether the call was made");
}

/// The first request with this key may be what the second one collides with.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_no_refusal_where_it_can_be_looked_at() {
    let set = set().await;
    for (call, is_unclear) in [(swap(), true), (without_observe(), false)] {
        let asked = u32::from(call.observe.is_some());
        let plan = set.tries(&remedy(call)).await.unwrap();
        set.world.disturb_after(POD, Trouble::Status(409, "{}".to_owned()), asked);
        let result = set.apply(&plan).await;
        set.world.disturb(POD, None);
        assert_eq!(matches!(result, EffectResult::Unclear { .. }), is_unclear, "{result:?}");
        assert_eq!(matches!(result, EffectResult::Refused { .. }), !is_unclear, "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_runs_out_while_pods_are_looked_at_sends_nothing() {
    let set = set().await;
    let plan = set.plan(Action::Http).await;
    // The time goes by with the look at the first pod.
    set.world.disturb_next(POD, Trouble::Slow { by: Duration::from_millis(1500) }, 1);
    let permit = crate::invariants::permit_for(&plan, Duration::from_secs(1));
    let result = set.hands.apply(permit, now()).await;
    let EffectResult::NotTaken { message, .. } = &result else { panic!("{result:?}") };
    assert_eq!(message, "the permit had run out before the call was made");
    assert_eq!(calls(&set).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_a_secret_in_an_answer_is_not_shown() {
    let set = set().await;
    let plan = set.plan(Action::Http).await;
    let body = "no\ndial postgres://app:hunter2@db/chat\nend".to_owned();
    set.world.disturb_after(POD, Trouble::Status(422, body), 1);
    let EffectResult::Refused { message, .. } = set.apply(&plan).await else { panic!() };
    assert!(message.ends_with("HTTP 422: no\n(hidden: it may hold a secret)\nend"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_pods_are_not_called() {
    let set = set().await;
    assert!(set.world.set_replicas("inference", 51));
    let all = |world: &runbookd::sandbox::World| world.pods("inference").len() == 51;
    assert!(set.world.until(crate::invariants::LIMIT, all).await);
    let why = set.tries(&remedy(swap())).await.unwrap_err().why;
    assert!(why.contains("has 51 pods, and at most 50 are called"), "{why}");
}

/// A pod that is gone has taken with it what it was told; its address may be another one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_gone_since_the_plan_stops_the_call_of_all() {
    let set = set().await;
    let plan = set.plan(Action::Http).await;
    let gone = plan.objects[0].name.clone();
    assert!(set.world.end_pod(&gone));
    let away = |world: &runbookd::sandbox::World| !world.pods("inference").iter().any(|pod| pod.name == gone);
    assert!(set.world.until(crate::invariants::LIMIT, away).await);
    let EffectResult::Refused { reason, message } = set.apply(&plan).await else { panic!() };
    assert_eq!(reason, "conflict");
    assert!(message.ends_with("is gone, or has another address, since the plan was made"), "{message}");
    assert_eq!(calls(&set).len(), 0);
    assert!(matches!(set.hands.observe(&plan).await, Observation::Ambiguous { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_plan_where_every_pod_has_heard_it_or_one_can_not_be_asked() {
    let set = set().await;
    set.world.disturb(POD, Some(Trouble::Status(503, "{}".to_owned())));
    let error = set.tries(&remedy(swap())).await.unwrap_err();
    assert!(!error.for_good && error.why.contains("HTTP 503 instead of 200"), "{error}");
    set.world.disturb(POD, None);
    let plan = set.plan(Action::Http).await;
    assert_eq!(plan.change.before.as_deref(), Some("samosachaat-d12"));
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    assert_eq!(set.refuses(&remedy(swap())).await, "/current_model is samosachaat-d6 already");
    let elsewhere = CallTo::Url("http://inference:8003/models/swap".to_owned());
    let why = set.refuses(&remedy(HttpCall { to: elsewhere, ..swap() })).await;
    assert!(why.contains("inference:8003 is not in `http: {allow: [...]}`"), "{why}");
}
