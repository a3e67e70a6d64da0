//! The actions in the sandbox: what each must keep (`invariants.rs`), and what only the sandbox can be made to do: a failure at any call leaves
//! something that can be told, and the rights that are named are those that are used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use runbookd::act::{Hands, Reverted, rights};
use runbookd::clients::http::{AllowedPods, Http, Network, Policy};
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clock::now;
use runbookd::incident::drill::Rehearsed;
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::{Kind, Object, Target};
use runbookd::runbook::{Action, Remedy};
use runbookd::sandbox::{NAMESPACE, NodeFault, Options, PodView, Request, Sandbox, System, Trouble, World};
use serde_json::{Value, json};

use crate::invariants::{self, Case, Ground, LIMIT, SMALL, Wants, cases, permit, wish};

pub(crate) const SERVICE: &str = "chat-api";
const AUTOSCALERS: &str = "horizontalpodautoscalers";

pub(crate) struct Set {
    pub(crate) hands: Hands,
    pub(crate) kubernetes: Kubernetes,
    pub(crate) world: World,
    pub(crate) target: Target,
    wants: Wants,
    by_autoscaler: bool,
    /// So many requests, and so many writes, belong to what had to be there before.
    requests: usize,
    writes: usize,
    _sandbox: Sandbox,
}

/// A cluster in which the action has something to do.
pub(crate) async fn set_for(case: impl Into<Case>) -> Set {
    let case = case.into();
    let Case(action, kind, by_autoscaler) = case;
    let options = Options { traffic: false, pace: 50, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let settings = kubernetes::Settings { kubeconfig: Some(kubeconfig), context: None };
    let kubernetes = Kubernetes::connect(&settings).await.unwrap();
    let pods = AllowedPods {
        namespace: NAMESPACE.to_owned(),
        port: 8003,
        networks: vec![Network::parse("127.64.0.0/10").unwrap()],
    };
    let http = Http::new(Policy::default().with_pods(vec![pods]));
    let hands = Hands::new(kubernetes.clone()).with_http(http);
    let world = sandbox.world();
    let pod = world.pods(SERVICE).remove(0);
    let node = pod.node.clone().unwrap();
    let name = match kind {
        _ if action == Action::Http => {
            put_models(&world, kind).await;
            MODELS.to_owned()
        }
        Kind::Pod => pod.name.clone(),
        Kind::Node => node.clone(),
        Kind::Deployment => SERVICE.to_owned(),
        Kind::StatefulSet => {
            world.put_stateful_set("db", 2);
            "db".to_owned()
        }
        Kind::DaemonSet => {
            world.put_daemon_set("shipper");
            "shipper".to_owned()
        }
        Kind::HorizontalPodAutoscaler => panic!("it is never a target"),
        Kind::Certificate | Kind::Terraform => panic!("it is not of the cluster"),
    };
    let target = Target { kind, namespace: NAMESPACE.to_owned(), name };
    let container = if kind == Kind::Deployment { SERVICE } else { &target.name };
    let wants = Wants::of(case, container);
    let (requests, writes) = (0, 0);
    let mut set =
        Set { hands, kubernetes, world, target, wants, by_autoscaler, requests, writes, _sandbox: sandbox };
    set.quiet().await;
    if by_autoscaler {
        set.world.put_autoscaler(SERVICE, 2, 4);
    }
    match action {
        Action::Restart | Action::Cordon | Action::Scale | Action::Resources | Action::Env | Action::Http => {
        }
        Action::PutBack | Action::ChangeAgain => set.come_to(action).await,
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
        Action::Route53 | Action::Terraform | Action::Workflow => panic!("it is not of the cluster"),
        Action::Evict => set.world.put_disruption_budget(SERVICE, 1),
        Action::DeletePod if kind == Kind::Pod => {}
        Action::DeletePod => set.strand(&node).await,
        Action::Uncordon => {
            assert!(set.world.edit_node(&node, |object| {
                object["spec"]["unschedulable"] = json!(true);
                object["metadata"]["annotations"]["runbookd.dev/cordoned-at"] = json!("before");
            }));
        }
    }
    (set.requests, set.writes) = (set.world.requests().len(), set.world.writes().len());
    set
}

/// Workloads of this name have models.
const MODELS: &str = "inference";

/// More than one pod with a model, of such a workload.
async fn put_models(world: &World, kind: Kind) {
    match kind {
        Kind::StatefulSet => {
            world.delete_deployment(MODELS);
            world.put_stateful_set(MODELS, 2);
        }
        Kind::DaemonSet => {
            world.delete_deployment(MODELS);
            world.put_daemon_set(MODELS);
        }
        _ => assert!(world.set_replicas(MODELS, 2)),
    }
    let loaded = |world: &World| {
        let pods = world.pods(MODELS);
        let of_kind =
            |pod: &PodView| kind == Kind::Deployment || world.deployment(MODELS).is_none() && !pod.stopping;
        pods.len() > 1 && pods.iter().all(|pod| of_kind(pod) && world.model(&pod.name).is_some())
    };
    assert!(world.until(LIMIT, loaded).await, "{:?}", world.pods(MODELS));
}

impl Set {
    pub(crate) async fn quiet(&self) {
        assert!(self.world.until(LIMIT, |world| world.rollout_complete(SERVICE)).await);
        let ready = |pods: Vec<PodView>| pods.iter().all(|pod| pod.ready && !pod.stopping);
        let sets = |world: &World| {
            let (db, shipper) = (world.pods("db"), world.pods("shipper"));
            let all = |plural, name, pods: usize| world.set(plural, name).is_none_or(|_| pods > 1);
            all("statefulsets", "db", db.len())
                && all("daemonsets", "shipper", shipper.len())
                && ready(db)
                && ready(shipper)
        };
        assert!(self.world.until(LIMIT, sets).await);
    }

    /// A node is gone, and its pods, which were to stop, are still there.
    async fn strand(&self, node: &str) {
        let fault = NodeFault { removed: false, collected: false, replaced: false };
        assert!(self.world.end_machine(node, fault));
        self.world.remove_node(node);
        for pod in self.on(node) {
            assert!(self.world.end_pod(&pod.name));
        }
        // Until the kubelet should have ended them.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    fn on(&self, node: &str) -> Vec<PodView> {
        let all = ["frontend", "auth", SERVICE, "inference"].map(|service| self.world.pods(service));
        all.into_iter().flatten().filter(|pod| pod.node.as_deref() == Some(node)).collect()
    }

    fn set_image(&self, image: &str) {
        let image = json!(image);
        assert!(self.world.edit(SERVICE, "kubectl-set", move |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = image;
        }));
    }

    /// What a write could have changed.
    pub(crate) fn spec(&self) -> Value {
        let stops = |pod: PodView| json!([pod.uid, pod.stopping]);
        if self.target.name == MODELS {
            let pods = self.world.pods(MODELS);
            return pods.iter().map(|pod| json!([pod.uid, self.world.model(&pod.name)])).collect();
        }
        if self.by_autoscaler {
            // The number of pods moves behind it.
            return self.world.set(AUTOSCALERS, SERVICE).unwrap()["spec"].clone();
        }
        match self.target.kind {
            Kind::Pod => {
                let own = self.world.pods(SERVICE).into_iter().find(|pod| pod.name == self.target.name);
                own.map_or(json!("stops"), |pod| if pod.stopping { json!("stops") } else { stops(pod) })
            }
            Kind::Node => json!([
                self.world
                    .node(&self.target.name)
                    .map(|node| json!([node["spec"], node["metadata"]["annotations"]])),
                self.on(&self.target.name).into_iter().map(stops).collect::<Vec<_>>(),
            ]),
            Kind::StatefulSet => self.world.set("statefulsets", "db").unwrap()["spec"].clone(),
            Kind::DaemonSet => self.world.set("daemonsets", "shipper").unwrap()["spec"].clone(),
            Kind::Deployment | Kind::HorizontalPodAutoscaler | Kind::Certificate | Kind::Terraform => {
                self.world.deployment(SERVICE).unwrap()["spec"].clone()
            }
        }
    }
}

impl Ground for Set {
    fn hands(&self) -> &Hands {
        &self.hands
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn wants(&self) -> &Wants {
        &self.wants
    }

    fn want(&mut self, wants: Wants) {
        self.wants = wants;
    }

    async fn state(&self) -> Value {
        self.spec()
    }

    async fn moved(&self) {
        self.world.changed().await;
    }
}

/// A wish for what has no options.
fn plain(action: Action) -> Remedy {
    Remedy::Plain(action)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_says_the_same_again() {
    for case in cases() {
        let set = set_for(case).await;
        invariants::a_plan_changes_nothing_and_says_the_same_again(&set, case.0).await;
        assert_eq!(set.world.writes().len(), set.writes, "{case:?} writes while it plans");
    }
}

/// What a drill does instead of acting: the very call, which the server looks at in full and does not carry out.
#[tokio::test(flavor = "multi_thread")]
async fn rehearsed_it_changes_nothing_and_the_call_is_the_one_that_would_be_made() {
    for case in cases() {
        let set = set_for(case).await;
        let plan = set.plan(case.0).await;
        let (before, asked) = (set.spec(), set.world.requests().len());
        let said = set.hands.rehearse(&plan).await;
        let rehearsal: Vec<Request> = set.world.requests().split_off(asked);
        assert_eq!(set.world.writes().len(), set.writes, "{case:?} writes while it is rehearsed");
        assert_eq!(set.spec(), before, "{case:?}");
        if case.0 == Action::Http {
            assert!(matches!(said, Rehearsed::OnlyPlanned { .. }), "{said}");
            assert!(rehearsal.is_empty(), "{rehearsal:?}");
            continue;
        }
        assert!(matches!(said, Rehearsed::Accepted { .. }), "{case:?}: {said}");
        // What would be sent, but for where it says that it is a dry run.
        let bare = |request: &Request| {
            let path = request.path.replace("?dryRun=All", "").replace("&dryRun=All", "");
            let mut body: Value = serde_json::from_str(&request.body).unwrap();
            body.as_object_mut().and_then(|body| body.remove("dryRun"));
            (request.method.clone(), path, body)
        };
        let dry: Vec<_> = rehearsal.iter().filter(|request| request.method != "GET").map(bare).collect();
        assert_eq!(set.apply(&plan).await, EffectResult::Applied, "{case:?}");
        let wet: Vec<_> = set.world.writes().split_off(set.writes).iter().map(bare).collect();
        assert_eq!(dry, wet, "{case:?}");
    }
}

/// The right that a request takes.
pub(crate) fn right_of(request: &Request) -> (String, String, &'static str) {
    let path = request.path.split('?').next().unwrap();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => panic!("{path}"),
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, named) = match rest {
        [plural] => ((*plural).to_owned(), false),
        [plural, _] => ((*plural).to_owned(), true),
        [plural, _, part] => (format!("{plural}/{part}"), true),
        _ => panic!("{path}"),
    };
    let verb = match (request.method.as_str(), named) {
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        _ => panic!("{}", request.method),
    };
    (group.to_owned(), resource, verb)
}

/// Whoever grants these, and no more, can let it act.
#[tokio::test(flavor = "multi_thread")]
async fn each_action_needs_the_rights_that_it_names_and_no_other() {
    let mut needed: BTreeMap<&str, BTreeSet<(String, String, &str)>> = BTreeMap::new();
    for case in cases() {
        let set = set_for(case).await;
        let plan = set.plan(case.0).await;
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        set.hands.observe(&plan).await;
        set.follow(&plan).await;
        set.hands.revert(permit(&plan), now()).await;
        let requests = set.world.requests().split_off(set.requests);
        let asked = requests.iter().filter(|request| request.system == System::Kubernetes).map(right_of);
        needed.entry(case.0.as_str()).or_default().extend(asked);
    }
    // The others are tried in `flows::terraform` and `flows::workflow`.
    for action in Action::ALL.into_iter().filter(|action| !action.is_elsewhere()) {
        let named = rights(action).into_iter();
        let named: BTreeSet<_> =
            named.map(|right| (right.group.to_owned(), right.resource.to_owned(), right.verb)).collect();
        let needed = needed.remove(action.as_str()).unwrap_or_default();
        assert_eq!(needed, named, "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applied_twice_is_as_once_and_comes_to_its_end() {
    for case in cases() {
        invariants::applied_twice_is_as_once_and_comes_to_its_end(&set_for(case).await, case.0).await;
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
    for case in cases() {
        // An action reads before it writes: the first, the second and the third call fail in turn, as far as there are so many.
        for skipped in 0..calls_of(case).await.min(3) {
            let mut all = tokio::task::JoinSet::new();
            for trouble in troubles.clone() {
                all.spawn(fails_once(case, trouble, skipped));
            }
            while let Some(done) = all.join_next().await {
                done.unwrap();
            }
        }
    }
}

/// How many calls it takes when nothing fails.
async fn calls_of(case: Case) -> u32 {
    let set = set_for(case).await;
    let plan = set.plan(case.0).await;
    let before = set.world.requests().len();
    set.apply(&plan).await;
    let calls = set.world.requests().len() - before;
    assert!(calls > 0, "{case:?}");
    u32::try_from(calls).unwrap()
}

async fn fails_once(case: Case, trouble: Trouble, skipped: u32) {
    let set = set_for(case).await;
    let plan = set.plan(case.0).await;
    let before = set.spec();
    set.world.disturb_after(System::Kubernetes, trouble.clone(), skipped);
    let result = set.apply(&plan).await;
    set.world.disturb(System::Kubernetes, None);
    let happened = set.spec() != before;
    let told = format!("{case:?}, {trouble:?} after {skipped} calls: {result:?}");
    match &result {
        EffectResult::Refused { .. } | EffectResult::NotTaken { .. } => {
            assert!(!happened, "{told}, and it happened");
        }
        EffectResult::Applied | EffectResult::Begun { .. } | EffectResult::InPart { .. } => {
            assert!(happened, "{told}, and nothing happened")
        }
        EffectResult::Unclear { .. } => {}
    }
    // Several objects can be done in part, and that is not done.
    let left = |object: &Object| set.on(&set.target.name).iter().any(|pod| pod.uid == object.uid);
    let lacks = |object: &Object| set.world.model(&object.name) != Some(SMALL);
    let in_part =
        plan.objects.iter().any(|object| if case.0 == Action::Http { lacks(object) } else { left(object) });
    match set.hands.observe(&plan).await {
        Observation::Done => assert!(happened && !in_part, "{told}"),
        Observation::NotDone => assert!(!happened, "{told}"),
        Observation::Partly { .. } => assert!(happened && in_part, "{told}"),
        other => panic!("{told}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_object_of_the_same_name_is_never_touched() {
    for case in cases() {
        invariants::another_object_of_the_same_name_is_never_touched(&set_for(case).await, case.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reverted_twice_is_as_once() {
    for case in cases() {
        invariants::reverted_twice_is_as_once(&set_for(case).await, case.0).await;
    }
}

/// Whatever became of it, a failure at any call of an effect can be put back, and one of putting it back can be tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_call_leaves_what_can_be_put_back() {
    let for_a_while = [
        Case(Action::Cordon, Kind::Node, false),
        Case(Action::Scale, Kind::StatefulSet, false),
        Case(Action::Scale, Kind::Deployment, true),
        Case(Action::Resources, Kind::Deployment, false),
        Case(Action::Env, Kind::DaemonSet, false),
    ];
    for case in for_a_while {
        for trouble in [Trouble::Down, Trouble::CutAfterApply, Trouble::Status(500, "broken".to_owned())] {
            for skipped in 0..3_u32 {
                let set = set_for(case).await;
                let before = set.spec();
                let plan = set.plan(case.0).await;
                let _ = set.apply(&plan).await;
                set.world.disturb_after(System::Kubernetes, trouble.clone(), skipped);
                let _ = set.hands.revert(permit(&plan), now()).await;
                set.world.disturb(System::Kubernetes, None);
                assert_eq!(
                    set.hands.revert(permit(&plan), now()).await,
                    Reverted::Done,
                    "{case:?}, {trouble:?}"
                );
                assert_eq!(set.spec(), before, "{case:?}, {trouble:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_that_a_person_made_is_never_ended() {
    let set = set_for((Action::Cordon, Kind::Node)).await;
    let plan = set.plan(Action::Cordon).await;
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    // A person ends it, and cordons the node for a reason of their own.
    assert!(set.world.edit_node(&set.target.name, |object| {
        object["metadata"]["annotations"].as_object_mut().unwrap().remove("runbookd.dev/cordoned-at");
    }));
    let theirs = set.spec();
    let left = set.hands.revert(permit(&plan), now()).await;
    assert!(matches!(left, Reverted::LeftAlone(_)), "{left:?}");
    let none = set.hands.plan(&wish(&plain(Action::Uncordon)), &set.target, now(), now()).await.unwrap_err();
    assert!(
        none.for_good && none.why.ends_with("was cordoned by somebody else, and is left alone"),
        "{none}"
    );
    assert_eq!(set.spec(), theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_node_that_takes_pods_is_never_cordoned() {
    let set = set_for((Action::Cordon, Kind::Node)).await;
    for (node, _) in set.world.nodes() {
        if node != set.target.name {
            assert!(set.world.edit_node(&node, |object| object["spec"]["unschedulable"] = json!(true)));
        }
    }
    let plan = set.plan(Action::Cordon).await;
    let against = plan.circumstances.against.unwrap();
    assert!(against.saw.starts_with("no node but node/"), "{against:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_that_a_budget_refuses_never_becomes_a_delete() {
    let set = set_for((Action::Evict, Kind::Pod)).await;
    let plan = set.plan(Action::Evict).await;
    assert_eq!(plan.circumstances.against, None);
    set.world.put_disruption_budget(SERVICE, 0);
    let late = set.plan(Action::Evict).await.circumstances.against.unwrap();
    assert!(
        late.saw.starts_with("poddisruptionbudget/chat-api allows no eviction: 2 of its pods"),
        "{late:?}"
    );
    let before = set.world.writes().len();
    let EffectResult::NotTaken { message, .. } = set.apply(&plan).await else { panic!() };
    assert!(message.contains("disruption budget"), "{message}");
    let writes = &set.world.writes()[before..];
    assert_eq!(writes.len(), 1, "sent once: {writes:?}");
    assert!(writes[0].path.ends_with("/eviction") && writes[0].method == "POST", "{writes:?}");
    assert_eq!(set.hands.observe(&plan).await, Observation::NotDone);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_force_only_what_is_stuck_on_a_node_that_is_gone() {
    let set = set_for((Action::Cordon, Kind::Node)).await;
    let node = set.target.name.clone();
    let fault = NodeFault { removed: false, collected: false, replaced: false };
    assert!(set.world.end_machine(&node, fault));
    let none = set.hands.plan(&wish(&plain(Action::DeletePod)), &set.target, now(), now()).await.unwrap_err();
    assert!(none.why.contains("no pod of samosachaat-prod is stuck"), "{none}");
    for pod in set.on(&node) {
        assert!(set.world.end_pod(&pod.name));
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    // Nothing is heard of it, but it is not gone: its pods may run.
    let plan = set.plan(Action::DeletePod).await;
    let against = plan.circumstances.against.clone().unwrap();
    assert!(against.saw.contains("is still there (Ready="), "{against:?}");
    assert!(against.why.contains("node.kubernetes.io/out-of-service"), "{against:?}");
    // Even with a permit nothing is removed: the node is asked for again.
    let result = set.apply(&plan).await;
    assert!(matches!(result, EffectResult::Refused { .. }), "{result:?}");
    assert!(set.world.writes().is_empty(), "{:?}", set.world.writes());
    // A person knows that the machine is off, and says so; of a node that says itself that it is Ready, that is out of date.
    let says_off = |object: &mut Value| {
        let taint = json!({"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"});
        object["spec"]["taints"] = json!([taint]);
    };
    assert_eq!(set.world.node(&node).unwrap()["status"]["conditions"][0]["status"], "True");
    assert!(set.world.edit_node(&node, says_off));
    assert!(set.plan(Action::DeletePod).await.circumstances.against.is_some());
    let noticed = |world: &World| world.nodes().contains(&(node.clone(), false));
    assert!(set.world.until(LIMIT, noticed).await);
    assert!(set.world.edit_node(&node, says_off));
    let plan = set.plan(Action::DeletePod).await;
    assert_eq!(plan.circumstances.against, None);
    let stuck = set.on(&node).iter().filter(|pod| pod.stopping).count();
    assert_eq!((plan.objects.len(), plan.touches.len()), (stuck, stuck));
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    assert!(set.on(&node).iter().all(|pod| !pod.stopping));
    assert!(set.world.writes().iter().all(|write| write.body.contains(r#""preconditions":{"uid":"#)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clearing_that_stops_half_way_is_seen_and_finished() {
    let set = set_for((Action::DeletePod, Kind::Node)).await;
    let plan = set.plan(Action::DeletePod).await;
    let stuck = plan.objects.len();
    assert!(stuck >= 2, "{plan:?}");
    // It looks at the node, removes a pod, and then nothing answers any more.
    set.world.disturb_after(System::Kubernetes, Trouble::Status(403, "{}".to_owned()), 2);
    let result = set.apply(&plan).await;
    assert!(matches!(result, EffectResult::Unclear { .. }), "{result:?}");
    set.world.disturb(System::Kubernetes, None);
    assert_eq!(set.on(&set.target.name).len(), stuck - 1);
    let seen = set.hands.observe(&plan).await;
    assert!(matches!(seen, Observation::Partly { .. }), "{seen:?}");
    // What is gone may have been made anew under the same name, as a StatefulSet does: that is no reason to stop.
    let mut plan = plan;
    let gone = plan.objects.remove(0);
    let other =
        set.world.pods(SERVICE).into_iter().find(|pod| pod.node.as_ref() != Some(&set.target.name)).unwrap();
    plan.objects.insert(0, Object { name: other.name.clone(), uid: gone.uid });
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    assert!(
        set.world.pods(SERVICE).iter().any(|pod| pod.uid == other.uid),
        "another pod of the name is left"
    );
    assert_eq!(set.hands.observe(&plan).await, Observation::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_never_writes_over_what_somebody_rolled_out_meanwhile() {
    let set = set_for((Action::Rollback, Kind::Deployment)).await;
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
    let set = set_for((Action::Rollback, Kind::Deployment)).await;
    let name = SERVICE.to_owned();
    let target = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
    let before = set.plan(Action::Rollback).await;
    assert_eq!(before.circumstances.rollout_in_progress, None);
    let alerted = before_all(now());
    let plan = set.hands.plan(&wish(&plain(Action::Rollback)), &target, alerted, now()).await.unwrap();
    let why = plan.circumstances.rollout_in_progress.unwrap();
    assert!(why.ends_with("after the incident had begun"), "{why}");
}

/// Before everything in this world.
fn before_all(now: Timestamp) -> Timestamp {
    runbookd::clock::before(now, Duration::from_secs(3_600 * 24))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_earlier_revision_there_is_no_plan() {
    let set = set_for((Action::Restart, Kind::Deployment)).await;
    let name = SERVICE.to_owned();
    let target = Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name };
    let none = set.hands.plan(&wish(&plain(Action::Rollback)), &target, now(), now()).await.unwrap_err();
    assert!(none.for_good);
    assert_eq!(
        none.why,
        "deployment/chat-api in samosachaat-prod has no earlier revision that is more than a restart away (`kubectl rollout history`)"
    );
}
