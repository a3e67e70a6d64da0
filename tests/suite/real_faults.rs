//! Faults in a real cluster, against the sandbox: what keeps one from being made, that its note is there before it, and that whatever breaks off at whichever
//! write is found by its note and undone, without overwriting anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use runbookd::chaos::real::{
    Bounds, CHAOS, Cleaned, EndsInstance, Ground, INJECTED, Load, NotMade, Note, Planned, Undo, Undone,
    Wanted, cleanup,
};
use runbookd::clients::acm::Acm;
use runbookd::clients::aws::{self, Aws, Service};
use runbookd::clients::kubernetes::{Kubernetes, Settings};
use runbookd::clients::route53::Route53;
use runbookd::clients::{CallError, Reason, Secret};
use runbookd::runbook::Field;
use runbookd::sandbox::{
    ACCESS_KEY, HOST, NAMESPACE, NodeFault, Options, Request, Sandbox, System, Trouble, World,
};
use serde_json::{Value, json};

use crate::actions::right_of;

const SERVICE: &str = "chat-api";
const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const RUN: &str = "run-1";

/// What somebody does to an object.
type Edit = fn(&mut Value);

pub(crate) struct Set {
    pub(crate) world: World,
    pub(crate) ground: Ground,
    _sandbox: Sandbox,
}

/// A cluster whose namespace says that it may be broken.
pub(crate) async fn set() -> Set {
    let options = Options { traffic: false, pace: 50, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let settings = Settings { kubeconfig: Some(kubeconfig), context: None };
    let kubernetes = Kubernetes::connect(&settings).await.unwrap();
    let world = sandbox.world();
    world.label_namespace(CHAOS, Some("allowed"));
    let endpoints =
        BTreeMap::from([(Service::Acm, sandbox.acm_url()), (Service::Route53, sandbox.route53_url())]);
    let settings = aws::Settings { endpoints, ..aws::Settings::new("eu-central-1") };
    let aws = Aws::new(&settings.with_key(ACCESS_KEY, Secret::new("sandbox-secret"), None)).unwrap();
    let ground = Ground {
        image: Some("example/runbookd:1".to_owned()),
        certificates: Some((Acm::new(&aws), Route53::new(&aws))),
        ..Ground::new(kubernetes, NAMESPACE)
    };
    let set = Set { world, ground, _sandbox: sandbox };
    set.quiet().await;
    set
}

fn pods(count: Option<u32>) -> Wanted {
    Wanted::DeletePods { deployment: SERVICE.to_owned(), count }
}

fn limit(limit: &str) -> Wanted {
    Wanted::MemoryLimit { deployment: SERVICE.to_owned(), limit: limit.to_owned() }
}

fn node() -> Wanted {
    Wanted::EndNode { with_pod_of: SERVICE.to_owned() }
}

fn load() -> Load {
    Load {
        url: "http://inference:8003/generate".to_owned(),
        method: None,
        headers: vec!["Content-Type: application/json".to_owned()],
        body: Some("{\"prompt\":\"a story for $5\"}".to_owned()),
        concurrency: 60,
        requests: None,
        duration: Duration::from_mins(5),
    }
}

pub(crate) fn record() -> Wanted {
    Wanted::ValidationRecord { host: HOST.to_owned() }
}

/// One of each.
fn all() -> [Wanted; 5] {
    [pods(Some(1)), limit("256Mi"), node(), Wanted::Load(load()), record()]
}

pub(crate) fn noted(planned: &Planned) -> Note {
    note_of(planned, RUN)
}

pub(crate) fn note_of(planned: &Planned, run: &str) -> Note {
    let until = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
    planned.note(run, "a-scenario", "mila", (Timestamp::UNIX_EPOCH, until))
}

impl Set {
    async fn quiet(&self) {
        let steady = |world: &World| {
            world.rollout_complete(SERVICE)
                && world.pods(SERVICE).len() == 2
                && world.pods(SERVICE).iter().all(|pod| pod.ready && !pod.stopping)
        };
        assert!(self.world.until(LIMIT, steady).await);
    }

    pub(crate) async fn plan(&self, wanted: &Wanted) -> Planned {
        self.ground.plan(wanted, &Bounds::default()).await.unwrap()
    }

    pub(crate) async fn refused(&self, wanted: &Wanted, bounds: Bounds) -> String {
        let said = match self.ground.plan(wanted, &bounds).await {
            Ok(planned) => panic!("{wanted:?} is planned: {}", planned.says),
            Err(error) => error.to_string(),
        };
        self.nothing_was_written();
        said
    }

    pub(crate) async fn make(&self, wanted: &Wanted) -> Planned {
        let planned = self.plan(wanted).await;
        self.ground.make(&planned, &noted(&planned)).await.unwrap();
        planned
    }

    #[track_caller]
    pub(crate) fn nothing_was_written(&self) {
        assert_eq!(self.world.writes(), [], "something was written");
        assert_eq!(self.records_written(), [] as [String; 0], "something was written");
    }

    /// The changes that Route 53 was sent.
    pub(crate) fn records_written(&self) -> Vec<String> {
        let all = self.world.requests().into_iter();
        let sent = all.filter(|request| request.system == System::Route53 && request.method != "GET");
        sent.map(|request| request.body).collect()
    }

    fn limit(&self) -> Value {
        let deployment = self.world.deployment(SERVICE).unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].clone()
    }

    fn node(&self) -> String {
        let mut pods = self.world.pods(SERVICE);
        pods.sort_by(|one, other| one.node.cmp(&other.node));
        pods.remove(0).node.unwrap()
    }

    /// Every note that there is, and every cordon.
    pub(crate) fn left(&self) -> Vec<String> {
        let of = |what: &str, object: &Value| {
            let note = object["metadata"]["annotations"][INJECTED].as_str();
            note.map(|note| format!("{what}: {note}"))
        };
        let mut left: Vec<String> =
            self.world.deployment(SERVICE).iter().filter_map(|object| of("deployment", object)).collect();
        left.extend(of("namespace", &self.world.namespace()));
        left.extend((!self.world.validation_record_is_right()).then(|| "the record is wrong".to_owned()));
        left.extend(self.world.jobs().iter().map(|job| format!("job {}", job["metadata"]["name"])));
        for (name, _) in self.world.nodes() {
            let node = self.world.node(&name).unwrap();
            left.extend(of(&name, &node));
            left.extend((node["spec"]["unschedulable"] == true).then(|| format!("{name} is cordoned")));
        }
        left
    }

    pub(crate) async fn cleanup(&self) -> Vec<Cleaned> {
        cleanup(&self.ground, None).await.unwrap()
    }
}

pub(crate) fn said(cleaned: &[Cleaned]) -> String {
    let line = |one: &Cleaned| match &one.came {
        Ok(undone) => format!("{}: {undone}\n", one.object),
        Err(error) => format!("{}: failed: {error}\n", one.object),
    };
    cleaned.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_broken_in_a_namespace_that_does_not_say_that_it_may_be() {
    let set = set().await;
    let mut told = BTreeSet::new();
    for value in [None, Some("yes"), Some("Allowed"), Some("")] {
        set.world.label_namespace(CHAOS, value);
        for wanted in all() {
            told.insert(set.refused(&wanted, Bounds { all: true, ..Bounds::default() }).await);
        }
        assert!(set.ground.opted_in().await.is_err(), "{value:?}");
    }
    set.world.label_namespace(CHAOS, Some("allowed"));
    assert_eq!(set.ground.opted_in().await, Ok(()));
    for name in
        ["nowhere", "default", "kube-system", "kube-public", "kube-node-lease", "kube-flannel", "../x"]
    {
        let ground = Ground { namespace: name.to_owned(), ..set.ground.clone() };
        for wanted in all() {
            told.insert(ground.plan(&wanted, &Bounds::default()).await.unwrap_err().to_string());
        }
    }
    set.nothing_was_written();
    let told: Vec<_> = told.into_iter().collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_when_it_is_planned_is_asked_again_before_the_first_write() {
    let set = set().await;
    for wanted in all() {
        set.world.label_namespace(CHAOS, Some("allowed"));
        let planned = set.plan(&wanted).await;
        set.world.label_namespace(CHAOS, None);
        let not_made = set.ground.make(&planned, &noted(&planned)).await.unwrap_err();
        assert!(matches!(not_made, NotMade::Refused(_)), "{not_made}");
        assert!(not_made.to_string().contains("has no label runbookd.dev/chaos"), "{not_made}");
    }
    set.nothing_was_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_was_planned_is_not_broken() {
    let set = set().await;
    let (of_pods, of_limit, of_node) =
        (set.plan(&pods(Some(1))).await, set.plan(&limit("256Mi")).await, set.plan(&node()).await);
    // Another pod, another limit, and a node that takes no pods.
    assert!(set.world.set_memory_limit(SERVICE, "600Mi"));
    set.quiet().await;
    let first = of_node.object.clone().unwrap().name;
    set.world.edit_node(&first, |node| node["spec"]["unschedulable"] = json!(true));
    for planned in [&of_pods, &of_limit, &of_node] {
        let not_made = set.ground.make(planned, &noted(planned)).await.unwrap_err();
        assert!(matches!(not_made, NotMade::Refused(_)), "{}: {not_made}", planned.says);
    }
    // A note of another fault.
    let planned = set.plan(&pods(Some(1))).await;
    assert!(set.ground.make(&planned, &noted(&of_limit)).await.is_err());
    set.nothing_was_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_pods_are_deleted_than_the_bounds_say() {
    let set = set().await;
    let bounds = |all, pods| Bounds { all, pods, anywhere: false };
    let mut told = String::new();
    for (count, within) in [
        (None, bounds(false, 1)),
        (None, bounds(false, 9)),
        (Some(2), bounds(false, 1)),
        (Some(2), bounds(false, 2)),
        (Some(3), bounds(true, 9)),
        (Some(0), bounds(true, 9)),
    ] {
        told += &format!("{}\n", set.refused(&pods(count), within).await);
    }
    let nobody = Wanted::DeletePods { deployment: "nobody".to_owned(), count: Some(1) };
    told += &format!("{}\n", set.refused(&nobody, bounds(true, 9)).await);
    insta::assert_snapshot!(told);
    let planned = set.ground.plan(&pods(None), &bounds(true, 1)).await.unwrap();
    insta::assert_debug_snapshot!((planned.touches, planned.undo_says));
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_deployment_does_not_own_are_never_taken_for_its_own() {
    let set = set().await;
    set.world.own(SERVICE, "Rollout");
    for wanted in [pods(Some(1)), limit("256Mi"), node()] {
        let why = set.refused(&wanted, Bounds { all: true, ..Bounds::default() }).await;
        assert!(why.contains("is not steady: 0 of 2 pods are ready"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_steady_is_not_broken_further() {
    let set = set().await;
    set.world.break_rollouts(SERVICE);
    assert!(set.world.set_memory_limit(SERVICE, "600Mi"));
    for wanted in [pods(Some(1)), limit("256Mi"), node()] {
        let why = set.refused(&wanted, Bounds::default()).await;
        assert!(why.contains("is not steady") && why.contains("mend it first"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ended_only_while_two_others_take_pods_and_never_one_of_the_control_plane() {
    let set = set().await;
    let first = set.node();
    let names: Vec<String> = set.world.nodes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 3);
    let others: Vec<&String> = names.iter().filter(|name| **name != first).collect();
    let edits: [Edit; 3] = [
        |node| node["spec"]["unschedulable"] = json!(true),
        |node| node["spec"]["taints"] = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),
        |node| node["status"]["conditions"][0]["status"] = json!("Unknown"),
    ];
    for edit in edits {
        let before = set.world.node(others[0]).unwrap();
        assert!(set.world.edit_node(others[0], edit));
        let why = set.refused(&node(), Bounds::default()).await;
        assert!(why.contains("1 node would take pods"), "{why}");
        assert!(set.world.edit_node(others[0], |node| *node = before));
    }
    for name in &names {
        assert!(set.world.edit_node(name, |node| {
            node["spec"]["taints"] =
                json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "PreferNoSchedule"}]);
        }));
    }
    let why = set.refused(&node(), Bounds::default()).await;
    assert!(why.contains("belongs to the control plane"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_not_lower_is_no_fault() {
    let set = set().await;
    let mut told = String::new();
    for text in ["512Mi", "0.5Gi", "1Gi", "64Mi", "0", "much"] {
        told += &format!("{}\n", set.refused(&limit(text), Bounds::default()).await);
    }
    let others = ["one", "other"];
    assert!(set.world.edit(SERVICE, "kubectl-edit", |object| {
        let containers = &mut object["spec"]["template"]["spec"]["containers"];
        let like = containers[0].clone();
        *containers = others
            .iter()
            .map(|name| {
                let mut one = like.clone();
                one["name"] = json!(name);
                one
            })
            .collect();
    }));
    set.quiet().await;
    told += &set.refused(&limit("256Mi"), Bounds::default()).await;
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bears_a_note_is_not_broken_again() {
    let set = set().await;
    set.make(&limit("256Mi")).await;
    set.quiet().await;
    let writes = set.world.writes().len();
    for wanted in [pods(Some(1)), limit("200Mi"), node()] {
        let why = set.ground.plan(&wanted, &Bounds::default()).await.unwrap_err().to_string();
        assert!(
            why.contains("the run run-1 of a-scenario") && why.contains("`runbookd inject cleanup`"),
            "{why}"
        );
    }
    assert_eq!(set.world.writes().len(), writes);
}

/// The writes as a person would read them.
fn written(request: &Request) -> String {
    let path = request.path.split('?').next().unwrap();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let operations = body.as_array().into_iter().flatten().map(|one| {
        let (op, path) = (one["op"].as_str().unwrap(), one["path"].as_str().unwrap());
        format!("\n    {op} {path}")
    });
    let uid = if body["preconditions"]["uid"].is_string() { "\n    by its uid" } else { "" };
    let how = body["propagationPolicy"].as_str().map(|how| format!("\n    {how}")).unwrap_or_default();
    let names = path.rsplit_once('/').unwrap().0;
    format!("{} {names}{uid}{how}{}\n", request.method, operations.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_note_is_written_before_the_fault_or_with_it_and_every_write_names_the_very_object() {
    let mut told = String::new();
    for wanted in all() {
        let set = set().await;
        let planned = set.plan(&wanted).await;
        set.nothing_was_written();
        told += &format!("{}\n", planned.says);
        for line in planned.touches.iter().chain([&planned.undo_says]) {
            // A certificate is good until another moment in each world.
            let dated =
                line.split_once(" until ").and_then(|(before, rest)| Some((before, rest.split_once(',')?.1)));
            let line =
                dated.map_or_else(|| line.clone(), |(before, after)| format!("{before} until then,{after}"));
            told += &format!("  {line}\n");
        }
        let done = set.ground.make(&planned, &noted(&planned)).await.unwrap();
        told += &format!("{done}\n");
        let made = set.world.writes().len();
        let left = set.left();
        if !matches!(wanted, Wanted::EndNode { .. }) {
            assert_ne!(left, [] as [String; 0], "{wanted:?} left no note");
        }
        let undone = set.ground.undo(&planned, RUN).await.unwrap();
        let writes = set.world.writes();
        told.extend(writes[..made].iter().map(|request| format!("  {}", written(request))));
        told += &format!("{undone}\n");
        told.extend(writes[made..].iter().map(|request| format!("  {}", written(request))));
        told += "\n";
        assert_eq!(set.left(), [] as [String; 0], "{wanted:?}");
        // A second time there is nothing to do.
        let again = set.ground.undo(&planned, RUN).await.unwrap();
        assert!(matches!(again, Undone::Nothing(_)), "{again}");
        assert_eq!(set.world.writes().len(), writes.len());
        assert_eq!(set.limit(), "512Mi");
    }
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_is_another_one_soon_and_a_deleted_node_loses_its_pods_and_stays_away() {
    let set = set().await;
    let before: BTreeSet<String> = set.world.pods(SERVICE).into_iter().map(|pod| pod.uid).collect();
    set.make(&pods(Some(1))).await;
    set.quiet().await;
    let after: BTreeSet<String> = set.world.pods(SERVICE).into_iter().map(|pod| pod.uid).collect();
    assert_eq!(before.intersection(&after).count(), 1);
    set.cleanup().await;
    let planned = set.make(&node()).await;
    let name = planned.object.unwrap().name;
    assert!(set.world.node(&name).is_none());
    let gone = |world: &World| world.pods(SERVICE).iter().all(|pod| pod.node.as_deref() != Some(&name));
    assert!(set.world.until(LIMIT, gone).await, "the garbage collector never came");
    set.quiet().await;
    tokio::time::sleep(set.world.real(Duration::from_mins(4))).await;
    assert_eq!(set.world.nodes().len(), 2, "no machine has ended, and so none is replaced");
}

/// Terminates machines of the sandbox.
struct Ec2 {
    world: World,
    refuses: Option<&'static str>,
    /// It says so when it is asked before.
    may_not: AtomicBool,
    asked: Mutex<Vec<String>>,
}

fn refusal(reason: &str) -> CallError {
    CallError {
        call: "terminate".to_owned(),
        reason: serde_json::from_value(json!(reason)).unwrap(),
        message: "no".to_owned(),
        retry_after: None,
    }
}

#[async_trait]
impl EndsInstance for Ec2 {
    async fn may_terminate(&self, _: &str) -> Result<(), CallError> {
        if self.may_not.load(Ordering::SeqCst) { Err(refusal("denied")) } else { Ok(()) }
    }

    async fn terminate(&self, instance_id: &str) -> Result<(), CallError> {
        self.asked.lock().unwrap().push(instance_id.to_owned());
        if let Some(reason) = self.refuses {
            return Err(refusal(reason));
        }
        let nodes = self.world.nodes().into_iter().map(|(name, _)| name);
        let of = |name: &String| {
            let node = self.world.node(name).unwrap();
            node["spec"]["providerID"].as_str().unwrap().ends_with(instance_id)
        };
        let fault = NodeFault { removed: true, collected: true, replaced: true };
        assert!(self.world.end_machine(&nodes.into_iter().find(of).unwrap(), fault));
        Ok(())
    }
}

fn with_ec2(set: &Set, refuses: Option<&'static str>) -> (Ground, Arc<Ec2>) {
    let may_not = AtomicBool::new(false);
    let ec2 = Arc::new(Ec2 { world: set.world.clone(), refuses, may_not, asked: Mutex::default() });
    (Ground { ends_instances: Some(ec2.clone()), ..set.ground.clone() }, ec2)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_of_a_node_is_terminated_where_that_can_be_and_its_object_is_not_touched() {
    let set = set().await;
    let (ground, ec2) = with_ec2(&set, None);
    // Who may not do it learns that before anything is written.
    ec2.may_not.store(true, Ordering::SeqCst);
    ground.plan(&node(), &Bounds::default()).await.unwrap_err();
    ec2.may_not.store(false, Ordering::SeqCst);
    let planned = ground.plan(&node(), &Bounds::default()).await.unwrap();
    ec2.may_not.store(true, Ordering::SeqCst);
    ground.make(&planned, &noted(&planned)).await.unwrap_err();
    assert!(set.world.writes().is_empty() && ec2.asked.lock().unwrap().is_empty());
    ec2.may_not.store(false, Ordering::SeqCst);
    let name = planned.object.clone().unwrap().name;
    ground.make(&planned, &noted(&planned)).await.unwrap();
    let id = set.world.node(&name).unwrap()["spec"]["providerID"]
        .as_str()
        .unwrap()
        .rsplit_once('/')
        .unwrap()
        .1
        .to_owned();
    assert_eq!(*ec2.asked.lock().unwrap(), [id]);
    assert_eq!(set.world.writes().len(), 1, "the note alone");
    let replaced = |world: &World| world.node(&name).is_none() && world.nodes().len() == 3;
    assert!(set.world.until(LIMIT, replaced).await);
    assert!(matches!(ground.undo(&planned, RUN).await.unwrap(), Undone::Nothing(_)));
    // A machine that is none of EC2's is not asked for.
    let names: Vec<String> = set.world.nodes().into_iter().map(|(name, _)| name).collect();
    for name in names {
        set.world.edit_node(&name, |node| node["spec"]["providerID"] = json!("kind://docker/kind/x"));
    }
    set.quiet().await;
    let planned = ground.plan(&node(), &Bounds::default()).await.unwrap();
    assert!(planned.says.ends_with("and delete its object"), "{}", planned.says);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_be_ended_takes_pods_again_and_one_of_which_nothing_is_known_stays_noted() {
    for (reason, stays) in [("denied", false), ("timeout", true)] {
        let set = set().await;
        let (ground, _) = with_ec2(&set, Some(reason));
        let planned = ground.plan(&node(), &Bounds::default()).await.unwrap();
        let not_made = ground.make(&planned, &noted(&planned)).await.unwrap_err();
        assert_eq!(!set.left().is_empty(), stays, "{not_made}");
        let cleaned = set.cleanup().await;
        assert_eq!(cleaned.len(), usize::from(stays), "{}", said(&cleaned));
        assert_eq!(set.left(), [] as [String; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_is_a_job_that_the_cluster_ends_itself() {
    let set = set().await;
    set.make(&Wanted::Load(load())).await;
    let [job] = set.world.jobs().try_into().unwrap();
    let mut spec = job["spec"].clone();
    spec["selector"] = json!("its own");
    spec["template"]["metadata"]["labels"] = json!("its own");
    insta::assert_snapshot!(serde_json::to_string_pretty(&spec).unwrap());
    assert!(Note::read(job["metadata"]["annotations"][INJECTED].as_str().unwrap()).is_ok());
    assert_eq!(job["metadata"]["labels"]["app.kubernetes.io/managed-by"], "runbookd");
    assert!(set.world.until(LIMIT, |world| world.jobs()[0]["status"]["active"] == 1).await);
    // Its clients are in the world: the answers take longer.
    let slow = |world: &World| world.p99("inference").is_some_and(|p99| p99 > 5.0);
    assert!(set.world.until(LIMIT, slow).await);
    // Everybody is gone: it ends, and then it is removed.
    assert!(set.world.until(LIMIT, |world| world.jobs().is_empty()).await);
    assert_eq!(set.world.writes().len(), 1, "nobody but the cluster has ended it");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_has_no_secret_in_it_and_stays_in_the_namespace() {
    let set = set().await;
    let with = |change: fn(&mut Load)| {
        let mut load = load();
        change(&mut load);
        Wanted::Load(load)
    };
    let mut told = String::new();
    for wanted in [
        with(|load| load.headers = vec!["Authorization: Bearer do-not-show".to_owned()]),
        with(|load| load.headers = vec!["Cookie: session=do-not-show".to_owned()]),
        with(|load| load.headers = vec!["X-Internal-API-Key: do-not-show".to_owned()]),
        with(|load| load.url = "http://inference:8003/?token=do-not-show".to_owned()),
        with(|load| load.body = Some("password=do-not-show".to_owned())),
        with(|load| load.body = Some("x".repeat(70_000))),
        with(|load| load.url = "http://user:do-not-show@inference:8003/".to_owned()),
        with(|load| load.url = "https://samosachaat.art/".to_owned()),
        with(|load| load.url = "http://web.other.svc/".to_owned()),
        with(|load| load.url = "--rate=1".to_owned()),
        with(|load| load.method = Some("BREW".to_owned())),
        with(|load| load.concurrency = 1_001),
        with(|load| load.duration = Duration::from_hours(2)),
    ] {
        told += &format!("{}\n", set.refused(&wanted, Bounds::default()).await);
    }
    let bare = Ground { image: None, ..set.ground.clone() };
    told += &bare.plan(&Wanted::Load(load()), &Bounds::default()).await.unwrap_err().to_string();
    assert!(!told.contains("do-not-show"), "{told}");
    insta::assert_snapshot!(told);
    set.nothing_was_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_somebody_else_has_set_since_is_left_alone_and_only_the_note_goes() {
    for (theirs, expected) in [
        (
            "1Gi",
            "left alone: the memory limit of chat-api of deployment/chat-api is 1Gi and not 256Mi (ours), written by kubectl-set at ",
        ),
        (
            "512Mi",
            "the memory limit of chat-api of deployment/chat-api is as before already, written by kubectl-set at ",
        ),
    ] {
        let set = set().await;
        let planned = set.make(&limit("256Mi")).await;
        assert!(set.world.set_memory_limit(SERVICE, theirs));
        let undone = set.ground.undo(&planned, RUN).await.unwrap().to_string();
        assert!(undone.starts_with(expected), "{undone}");
        assert_eq!((set.limit(), set.left()), (json!(theirs), vec![]));
    }
    // The same amount in other words is ours.
    let set = set().await;
    let planned = set.make(&limit("256Mi")).await;
    assert!(set.world.set_memory_limit(SERVICE, "262144Ki"));
    set.ground.undo(&planned, RUN).await.unwrap();
    assert_eq!((set.limit(), set.left()), (json!("512Mi"), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_was_no_limit_there_is_none_again_and_what_came_beside_it_stays() {
    let set = set().await;
    assert!(set.world.edit(SERVICE, "kubectl-edit", |object| {
        let container = &mut object["spec"]["template"]["spec"]["containers"][0];
        container["resources"].as_object_mut().unwrap().remove("limits");
    }));
    set.quiet().await;
    let planned = set.make(&limit("256Mi")).await;
    assert_eq!(set.limit(), "256Mi");
    assert!(set.world.edit(SERVICE, "helm", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("2");
    }));
    set.ground.undo(&planned, RUN).await.unwrap();
    let deployment = set.world.deployment(SERVICE).unwrap();
    let resources = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(resources["limits"], json!({"cpu": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_touches_only_what_bears_a_note_that_it_can_read_of_the_run_and_the_namespace_that_are_meant()
{
    let set = set().await;
    let [one, other, third] = ["node-1", "node-2", "node-3"];
    let planned = set.plan(&node()).await;
    let theirs = Note { namespace: "other".to_owned(), ..note_of(&planned, "run-7") };
    for (name, note) in
        [(one, Some(theirs.text())), (other, None), (third, Some("{\"undo\":\"reboot\"}".to_owned()))]
    {
        assert!(set.world.edit_node(name, |node| {
            node["spec"]["unschedulable"] = json!(true);
            if let Some(note) = note {
                node["metadata"]["annotations"][INJECTED] = json!(note);
            }
        }));
    }
    set.world.put_job("migrate", &[], &[], runbookd::sandbox::JobEnd::Never);
    let left = set.left();
    let cleaned = set.cleanup().await;
    assert_eq!(
        said(&cleaned),
        "node/node-3: left alone: node/node-3: its annotation runbookd.dev/injected can not be read by this version of runbookd\n"
    );
    set.nothing_was_written();
    assert_eq!(set.left(), left);
    // Notes that speak of what is never made there.
    let field = |container: &str, resource: &str, ours: &str, base: Option<&str>| Undo::Field {
        field: Field::Limit { container: container.to_owned(), resource: resource.to_owned() },
        ours: ours.to_owned(),
        base: base.map(str::to_owned),
    };
    // The node's note would be in the way of the next question.
    assert!(set.world.edit_node(one, |node| {
        node["metadata"]["annotations"].as_object_mut().unwrap().remove(INJECTED);
    }));
    for undo in [
        Undo::DeleteJob,
        Undo::Uncordon,
        Undo::Field { field: Field::Replicas, ours: "2".to_owned(), base: Some("0".to_owned()) },
        field(SERVICE, "cpu", "1", None),
        field(SERVICE, "memory", "512Mi", Some("\u{1b}[2J")),
        field("\u{1b}[2J", "memory", "512Mi", None),
    ] {
        let forged = Note { undo, ..note_of(&planned, "\u{1b}[2J") };
        assert!(set.world.edit(SERVICE, "kubectl-annotate", |object| {
            object["metadata"]["annotations"][INJECTED] = json!(forged.text());
        }));
        let cleaned = set.cleanup().await;
        assert!(matches!(cleaned[0].came, Ok(Undone::LeftAlone(_))), "{}", said(&cleaned));
        assert!(!said(&cleaned).contains('\u{1b}'), "{cleaned:?}");
        let why = set.refused(&pods(Some(1)), Bounds::default()).await;
        assert!(why.contains("the run ·[2J of a-scenario"), "{why}");
    }
    set.nothing_was_written();
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_of_one_run_leaves_the_others_and_needs_no_label() {
    let set = set().await;
    let planned = set.plan(&limit("256Mi")).await;
    set.ground.make(&planned, &note_of(&planned, "run-1")).await.unwrap();
    let planned = set.plan(&Wanted::Load(load())).await;
    set.ground.make(&planned, &note_of(&planned, "run-2")).await.unwrap();
    set.world.label_namespace(CHAOS, None);
    let writes = set.world.writes().len();
    assert_eq!(cleanup(&set.ground, Some("run-3")).await.unwrap(), []);
    assert_eq!(set.world.writes().len(), writes);
    let undone = set.ground.undo(&planned, "run-3").await.unwrap();
    assert!(matches!(undone, Undone::Nothing(_)), "{undone}");
    let cleaned = cleanup(&set.ground, Some("run-1")).await.unwrap();
    assert_eq!(
        said(&cleaned),
        "deployment/chat-api: the memory limit of chat-api of deployment/chat-api is 512Mi again\n"
    );
    assert_eq!((set.limit(), set.world.jobs().len()), (json!("512Mi"), 1));
    // What can not be looked at is told, and the rest is done.
    set.world.forbid("nodes");
    let cleaned = set.cleanup().await;
    assert!(cleaned.iter().any(|one| one.object == "nodes" && one.came.is_err()), "{}", said(&cleaned));
    assert_eq!(set.world.jobs().len(), 0);
}

/// What somebody else does while a fault stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Nothing,
    /// They set the limit to 1Gi, and note something of their own everywhere.
    Writes,
    /// They lift the cordon.
    Uncordons,
}

/// Whatever breaks off at whichever write, and whatever somebody else does then: cleanup finds it, nothing of ours is left, and nothing of theirs is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_at_any_write_is_cleaned_up_and_nobody_is_overwritten() {
    let troubles = [
        Trouble::Down,
        Trouble::CutAfterApply,
        Trouble::RefuseWrites403,
        Trouble::Status(500, "broken".to_owned()),
    ];
    let cases: Vec<(Wanted, Bounds)> = vec![
        (pods(None), Bounds { all: true, ..Bounds::default() }),
        (limit("256Mi"), Bounds::default()),
        (node(), Bounds::default()),
        (Wanted::Load(load()), Bounds::default()),
    ];
    for (wanted, bounds) in &cases {
        // The writes of making it, counted once undisturbed.
        let calm = set().await;
        let planned = calm.ground.plan(wanted, bounds).await.unwrap();
        calm.ground.make(&planned, &noted(&planned)).await.unwrap();
        let writes = calm.world.writes().len();
        for trouble in &troubles {
            for skipped in 0..=writes {
                for meanwhile in [Meanwhile::Nothing, Meanwhile::Writes, Meanwhile::Uncordons] {
                    if meanwhile == Meanwhile::Uncordons && *wanted != node() {
                        continue;
                    }
                    break_off(wanted, *bounds, trouble, u32::try_from(skipped).unwrap(), meanwhile).await;
                }
            }
        }
    }
}

async fn break_off(wanted: &Wanted, bounds: Bounds, trouble: &Trouble, skipped: u32, meanwhile: Meanwhile) {
    let case = format!("{wanted:?}, {trouble:?} after {skipped} writes, then {meanwhile:?}");
    let set = set().await;
    let planned = set.ground.plan(wanted, &bounds).await.unwrap();
    let is_of_writes = matches!(trouble, Trouble::CutAfterApply | Trouble::RefuseWrites403);
    // Of the troubles that strike reads, too, the reads right before the first write go through.
    let reads = if is_of_writes { 0 } else { reads_of_look(&set, &planned, bounds).await };
    set.world.disturb_after(System::Kubernetes, trouble.clone(), skipped + reads);
    let made = set.ground.make(&planned, &noted(&planned)).await;
    set.world.disturb(System::Kubernetes, None);
    // Nothing was sent twice; what a person begins, `cleanup`, may do again what was refused.
    let writes = set.world.writes();
    let bodies: BTreeSet<_> = writes.iter().map(|write| (&write.method, &write.path, &write.body)).collect();
    assert_eq!(bodies.len(), writes.len(), "{case}");
    let before = set.world.deployment(SERVICE).unwrap()["spec"]["template"].clone();
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Writes => {
            assert!(set.world.set_memory_limit(SERVICE, "1Gi"));
            assert!(set.world.edit(SERVICE, "helm", |object| {
                object["metadata"]["annotations"]["theirs"] = json!("stays");
            }));
            for (name, _) in set.world.nodes() {
                set.world.edit_node(&name, |node| node["metadata"]["annotations"]["theirs"] = json!("stays"));
            }
        }
        Meanwhile::Uncordons => {
            for (name, _) in set.world.nodes() {
                set.world.edit_node(&name, |node| {
                    node["spec"].as_object_mut().unwrap().remove("unschedulable");
                });
            }
        }
    }
    let cleaned = set.cleanup().await;
    let told = said(&cleaned);
    assert_eq!(set.left(), [] as [String; 0], "{case}: {made:?}\n{told}");
    for one in &cleaned {
        assert!(one.came.is_ok(), "{case}: {told}");
    }
    let expected = if meanwhile == Meanwhile::Writes { "1Gi" } else { "512Mi" };
    assert_eq!(set.limit(), expected, "{case}: {made:?}\n{told}");
    if meanwhile == Meanwhile::Writes {
        assert_eq!(
            set.world.deployment(SERVICE).unwrap()["metadata"]["annotations"]["theirs"],
            "stays",
            "{case}"
        );
        for (name, _) in set.world.nodes() {
            assert_eq!(
                set.world.node(&name).unwrap()["metadata"]["annotations"]["theirs"],
                "stays",
                "{case}"
            );
        }
    } else if !matches!(wanted, Wanted::MemoryLimit { .. }) {
        assert_eq!(
            set.world.deployment(SERVICE).unwrap()["spec"]["template"],
            before,
            "{case}: it rolled out"
        );
    }
    // And a second time there is nothing to do.
    let writes = set.world.writes();
    assert_eq!(set.cleanup().await, [], "{case}");
    assert_eq!(set.world.writes().len(), writes.len(), "{case}");
}

/// The same for what undoes it: refused, cut off or unanswered, it is done by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_undone_now_is_undone_later() {
    let troubles = [
        Trouble::CutAfterApply,
        Trouble::RefuseWrites403,
        Trouble::Down,
        Trouble::Status(500, "broken".to_owned()),
    ];
    for trouble in troubles {
        for wanted in all() {
            let set = set().await;
            let planned = match &wanted {
                // A node that is deleted has nothing to undo: here nobody knows what came of it.
                Wanted::EndNode { .. } => {
                    let (ground, _) = with_ec2(&set, Some("timeout"));
                    let planned = ground.plan(&wanted, &Bounds::default()).await.unwrap();
                    ground.make(&planned, &noted(&planned)).await.unwrap_err();
                    planned
                }
                _ => set.make(&wanted).await,
            };
            assert_ne!(set.left(), [] as [String; 0], "{wanted:?}");
            set.world.disturb(System::Kubernetes, Some(trouble.clone()));
            assert!(set.ground.undo(&planned, RUN).await.is_err(), "{wanted:?}, {trouble:?}");
            set.world.disturb(System::Kubernetes, None);
            let again = set.ground.undo(&planned, RUN).await.unwrap();
            let applied = trouble == Trouble::CutAfterApply;
            assert_eq!(matches!(again, Undone::Nothing(_)), applied, "{wanted:?}, {trouble:?}: {again}");
            assert_eq!((set.left(), set.limit()), (vec![], json!("512Mi")), "{wanted:?}, {trouble:?}");
        }
    }
}

/// The write itself holds the cluster to what was read.
#[tokio::test(flavor = "multi_thread")]
async fn who_writes_between_the_look_and_the_write_wins() {
    let late = Trouble::Slow { by: Duration::from_millis(600) };
    let meanwhile = async |world: &World| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(world.set_memory_limit(SERVICE, "1Gi"));
    };
    let set = set().await;
    let planned = set.plan(&limit("256Mi")).await;
    let note = noted(&planned);
    // The deployment has been read, and the answer about its pods is late.
    set.world.disturb_after(System::Kubernetes, late.clone(), 3);
    let (made, ()) = tokio::join!(set.ground.make(&planned, &note), meanwhile(&set.world));
    set.world.disturb(System::Kubernetes, None);
    let Err(NotMade::Failed { error, left }) = made else { panic!("{made:?}") };
    assert_eq!((error.reason, left.as_str()), (Reason::Conflict, "nothing was changed"));
    assert_eq!((set.limit(), set.left()), (json!("1Gi"), vec![]));
    assert!(set.world.set_memory_limit(SERVICE, "512Mi"));
    set.quiet().await;
    let planned = set.make(&limit("256Mi")).await;
    set.world.disturb_next(System::Kubernetes, late, 1);
    let (undone, ()) = tokio::join!(set.ground.undo(&planned, RUN), meanwhile(&set.world));
    assert_eq!(undone.unwrap_err().reason, Reason::Conflict);
    assert_eq!(set.limit(), "1Gi");
    let undone = set.ground.undo(&planned, RUN).await.unwrap();
    assert!(matches!(undone, Undone::LeftAlone(_)), "{undone}");
    assert_eq!((set.limit(), set.left()), (json!("1Gi"), vec![]));
}

/// The API of the sandbox, where these faults need more of it than others do.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_a_job_once_and_only_as_the_schema_has_it() {
    let set = set().await;
    let kubernetes = &set.ground.kubernetes;
    let job = |edit: Edit| {
        let mut job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a-job"},
            "spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "args": ["--duration=1s"]}],
            }}},
        });
        edit(&mut job);
        job
    };
    let edits: [(Edit, &str); 3] = [
        (|job| job["spec"]["strange"] = json!(1), "unknown field"),
        (
            |job| job["spec"]["template"]["spec"]["restartPolicy"] = json!("Always"),
            "valid values: \"OnFailure\", \"Never\"",
        ),
        (|job| job["spec"]["backoffLimit"] = json!("0"), "cannot convert string to int32"),
    ];
    for (edit, said) in edits {
        let error = kubernetes.create_job(NAMESPACE, &job(edit)).await.unwrap_err();
        assert_eq!(error.reason, Reason::ClientError, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = kubernetes.create_job("nowhere", &job(|_| {})).await.unwrap_err();
    assert_eq!(error.reason, Reason::NotFound, "{error}");
    kubernetes.create_job(NAMESPACE, &job(|_| {})).await.unwrap();
    let error = kubernetes.create_job(NAMESPACE, &job(|_| {})).await.unwrap_err();
    assert_eq!(error.reason, Reason::Conflict, "{error}");
    let done = |world: &World| world.jobs()[0]["status"]["succeeded"] == 1;
    assert!(set.world.until(LIMIT, done).await);
    let error = kubernetes.remove_job(NAMESPACE, "a-job", "another").await.unwrap_err();
    assert_eq!(error.reason, Reason::Conflict, "{error}");
    let error = kubernetes.delete_node("node-1", "another").await.unwrap_err();
    assert_eq!(error.reason, Reason::Conflict, "{error}");
    assert_eq!((set.world.jobs().len(), set.world.nodes().len()), (1, 3));
    // A deadline that is sooner than its work is its end.
    let late = job(|job| {
        job["metadata"]["name"] = json!("late");
        job["spec"]["activeDeadlineSeconds"] = json!(1);
        job["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--duration=1h"]);
    });
    kubernetes.create_job(NAMESPACE, &late).await.unwrap();
    let failed = |world: &World| world.jobs()[1]["status"]["conditions"][1]["reason"] == "DeadlineExceeded";
    assert!(set.world.until(LIMIT, failed).await);
}

/// How many requests it takes to look whether it may be broken.
async fn reads_of_look(set: &Set, planned: &Planned, bounds: Bounds) -> u32 {
    let before = set.world.requests().len();
    set.ground.plan(planned.wanted(), &bounds).await.unwrap();
    u32::try_from(set.world.requests().len() - before).unwrap()
}

/// Everything that is asked of the cluster stands in the table of rights, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_the_rights_that_are_used_and_no_other() {
    let mut used = BTreeSet::new();
    for wanted in all() {
        let set = set().await;
        let from = set.world.requests().len();
        let planned = set.make(&wanted).await;
        set.ground.undo(&planned, RUN).await.unwrap();
        set.cleanup().await;
        let requests = set.world.requests();
        used.extend(
            requests[from..].iter().filter(|request| request.system == System::Kubernetes).map(right_of),
        );
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let (_, section) = page.split_once("### What `inject --at fault` needs").unwrap();
    let table = section.split("```").nth(1).unwrap();
    let list = |text: &str| -> Vec<String> {
        let inner = text.split(']').next().unwrap();
        inner.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect()
    };
    let mut named = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("- {apiGroups")) {
        let part = |key: &str| list(line.split_once(&format!("{key}: [")).unwrap().1);
        let (groups, resources, verbs) = (part("apiGroups"), part("resources"), part("verbs"));
        for verb in verbs {
            named.insert((groups[0].clone(), resources[0].clone(), verb));
        }
    }
    let used: BTreeSet<_> =
        used.into_iter().map(|(group, resource, verb)| (group, resource, verb.to_owned())).collect();
    assert_eq!(named, used);
}
