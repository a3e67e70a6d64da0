//! A namespace of a test's own with two nodes of its own, somebody who plays their kubelets, and the end of all of it, whatever became of the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::config::Kubeconfig;
use runbookd::act::Hands;
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clock::now;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::task::{LocalSet, spawn_local};

use crate::admin::Admin;
use crate::objects;

/// Everything that the tests make in no namespace, and their namespaces, have this label; its value is the namespace.
pub(crate) const LABEL: &str = "runbookd.dev/test";
/// What has the label and is older belongs to a run that was killed.
const LEFT_OVER: Duration = Duration::from_secs(3_600);
const LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);
/// A node controller waits longer than this before it calls a node lost.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// What is in no namespace.
const WIDE: [&str; 4] = [
    "/api/v1/nodes",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/api/v1/namespaces",
];

/// Where a test plays.
pub(crate) struct Stage {
    pub(crate) admin: Admin,
    /// runbookd's own client, with the kubeconfig's rights.
    pub(crate) kubernetes: Kubernetes,
    pub(crate) hands: Hands,
    pub(crate) namespace: String,
    /// The nodes of this test; none where the kubeconfig may make none.
    pub(crate) nodes: Vec<String>,
    /// Which cluster it is.
    pub(crate) config: Kubeconfig,
    pub(crate) folder: TempDir,
    /// The nodes whose kubelet is dead.
    dead: Arc<Mutex<BTreeSet<String>>>,
}

/// Past the harness, which shows nothing of a test that passes; each line once.
pub(crate) fn say(line: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(line.to_owned()) {
        std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Whether it came to be so, in good time.
pub(crate) async fn until(mut so: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !so().await {
        if begun.elapsed() > LIMIT {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// Where the cluster is. `RUNBOOKD_REAL=require` asks for programs that a package brings, not for a cluster.
pub(crate) fn kubeconfig() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "which cluster may be played in is the caller's choice")]
    let named = std::env::var("RUNBOOKD_TEST_KUBECONFIG").ok().filter(|named| !named.is_empty());
    if named.is_none() {
        say("not run: RUNBOOKD_TEST_KUBECONFIG names no kubeconfig of a cluster to test in");
    }
    named.map(PathBuf::from)
}

/// Runs a test in a namespace of its own; afterwards nothing is left of it, also when it fails.
pub(crate) async fn on<T>(test: impl FnOnce(Arc<Stage>) -> T)
where
    T: Future<Output = ()> + 'static,
{
    let Some(file) = kubeconfig() else { return };
    LocalSet::new().run_until(play(Arc::new(Stage::new(file).await), test)).await;
}

async fn play<T>(stage: Arc<Stage>, test: impl FnOnce(Arc<Stage>) -> T)
where
    T: Future<Output = ()> + 'static,
{
    let kubelets = spawn_local(Kubelets::of(&stage).run());
    let end = spawn_local(test(Arc::clone(&stage))).await;
    let left = stage.end().await;
    kubelets.abort();
    if let Err(failed) = end {
        if let Some(left) = left {
            say(&left);
        }
        std::panic::resume_unwind(failed.into_panic());
    }
    assert_eq!(left, None);
}

impl Stage {
    async fn new(file: PathBuf) -> Self {
        let config = Kubeconfig::read_from(&file)
            .unwrap_or_else(|error| panic!("RUNBOOKD_TEST_KUBECONFIG={}: {error}", file.display()));
        let admin = Admin::new(config.clone()).await;
        let settings = kubernetes::Settings { kubeconfig: Some(file), context: None };
        let kubernetes = Kubernetes::connect(&settings).await.unwrap();
        let namespace = format!("runbookd-test-{:08x}", rand_number());
        let object = json!({"metadata": {"name": namespace, "labels": {LABEL: namespace}}});
        let made = admin.create("/api/v1/namespaces", &object).await;
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        // The server's clock against the server's clock.
        SWEPT.get_or_init(|| sweep(&admin, LABEL, created(&made))).await;
        let mut nodes = Vec::new();
        for letter in ["a", "b"] {
            let name = format!("{namespace}-{letter}");
            match admin.try_create("/api/v1/nodes", &objects::node(&name, &namespace)).await {
                Ok(_) => nodes.push(name),
                Err((403, _)) => say("not run: whatever is about nodes, for this kubeconfig may make none"),
                Err(other) => panic!("{other:?}"),
            }
        }
        let hands = Hands::new(kubernetes.clone());
        let folder = tempfile::tempdir().unwrap();
        let stage = Self { admin, kubernetes, hands, namespace, nodes, config, folder, dead: Arc::default() };
        // Pods are refused before the namespace has it.
        stage.admin.once(&stage.core("serviceaccounts/default"), |_| true).await;
        stage
    }

    /// A path in the namespace: `deployments/web` of the group `apps/v1`.
    pub(crate) fn path(&self, group: &str, rest: &str) -> String {
        format!("/apis/{group}/namespaces/{}/{rest}", self.namespace)
    }

    /// The same, of the core.
    pub(crate) fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    pub(crate) fn apps(&self, rest: &str) -> String {
        self.path("apps/v1", rest)
    }

    /// The pods with this label `app`, the oldest first; those that stop as well.
    pub(crate) async fn pods(&self, app: &str) -> Vec<Value> {
        self.admin.items(&format!("{}?labelSelector=app%3D{app}", self.core("pods"))).await
    }

    /// Until the kubelets have made all of its pods ready, and the controllers know it.
    pub(crate) async fn ready(&self, app: &str, number: usize) {
        let is = async || {
            let pods = self.pods(app).await;
            pods.len() == number
                && pods.iter().all(|pod| objects::is_ready(pod) && !objects::is_stopping(pod))
        };
        assert!(until(is).await, "the pods of {app} are never ready: {:#?}", self.pods(app).await);
        for plural in ["deployments", "statefulsets", "daemonsets"] {
            let path = self.apps(&format!("{plural}/{app}"));
            if self.admin.get(&path).await.is_some() {
                self.admin.once(&path, |object| objects::is_rolled_out(object, number)).await;
            }
        }
    }

    /// A Deployment of two pods, ready.
    pub(crate) async fn deployment(&self, name: &str) {
        let object = objects::workload("Deployment", name, &self.namespace);
        self.admin.create(&self.apps("deployments"), &object).await;
        self.ready(name, 2).await;
    }

    /// Rolls out another image, and waits for the end of it.
    pub(crate) async fn set_image(&self, name: &str, image: &str) {
        let template = json!({"spec": {"containers": [{"name": name, "image": image}]}});
        let path = self.apps(&format!("deployments/{name}"));
        self.admin.patch(&path, &json!({"spec": {"template": template}})).await;
        self.ready(name, 2).await;
    }

    /// The node's kubelet says nothing from now on, and ends no pod.
    pub(crate) fn kill_kubelet(&self, node: &str) {
        self.dead.lock().unwrap().insert(node.to_owned());
    }

    pub(crate) async fn node(&self, name: &str) -> Value {
        self.admin.get(&format!("/api/v1/nodes/{name}")).await.unwrap_or_default()
    }

    /// Removes everything; what could not be removed, in a sentence.
    async fn end(&self) -> Option<String> {
        for path in WIDE {
            for object in
                self.admin.items(&format!("{path}?labelSelector={LABEL}%3D{}", self.namespace)).await
            {
                let name = object["metadata"]["name"].as_str().unwrap();
                self.admin.delete(&format!("{path}/{name}"), &Value::Null).await;
            }
        }
        let gone = async || {
            // Their kubelets may be dead.
            for pod in self.admin.items(&self.core("pods")).await {
                self.admin.end_pod(&self.namespace, &pod).await;
            }
            self.admin.get(&format!("/api/v1/namespaces/{}", self.namespace)).await.is_none()
        };
        let is_gone = until(gone).await;
        (!is_gone).then(|| format!("namespace {} was deleted, and does not go away", self.namespace))
    }
}

fn rand_number() -> u32 {
    let name = tempfile::NamedTempFile::new().unwrap();
    let name = name.path().display().to_string();
    // FNV-1a of a name that is chosen by chance.
    name.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

pub(crate) fn created(object: &Value) -> Timestamp {
    object["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap()
}

/// Removes what runs that were killed have left behind, as far as it is selected.
pub(crate) async fn sweep(admin: &Admin, selector: &str, now: Timestamp) {
    for path in WIDE {
        for object in admin.items(&format!("{path}?labelSelector={selector}")).await {
            if runbookd::clock::between(created(&object), now) < LEFT_OVER {
                continue;
            }
            let name = object["metadata"]["name"].as_str().unwrap();
            say(&format!("left over from a run that was killed, and removed: {path}/{name}"));
            for pod in admin.items(&format!("/api/v1/namespaces/{name}/pods")).await {
                admin.end_pod(name, &pod).await;
            }
            admin.delete(&format!("{path}/{name}"), &Value::Null).await;
        }
    }
}

/// The kubelets of the test's nodes, and the scheduler for its pods.
struct Kubelets {
    admin: Admin,
    pods: String,
    namespace: String,
    nodes: Vec<String>,
    dead: Arc<Mutex<BTreeSet<String>>>,
}

impl Kubelets {
    fn of(stage: &Stage) -> Self {
        Self {
            admin: stage.admin.clone(),
            pods: stage.core("pods"),
            namespace: stage.namespace.clone(),
            nodes: stage.nodes.clone(),
            dead: Arc::clone(&stage.dead),
        }
    }

    async fn run(self) {
        let mut beat = BTreeMap::new();
        loop {
            for node in &self.nodes {
                let is_due = beat.get(node).is_none_or(|last: &Instant| last.elapsed() > HEARTBEAT);
                if is_due && self.lives(node) {
                    let status = json!({"status": {"conditions": objects::node_conditions(now())}});
                    // It may be gone: a test removes it.
                    let _ = self.admin.try_merge(&format!("/api/v1/nodes/{node}/status"), &status).await;
                    beat.insert(node.clone(), Instant::now());
                }
            }
            for pod in self.admin.items(&self.pods).await {
                self.look(&pod).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lives(&self, node: &str) -> bool {
        !self.dead.lock().unwrap().contains(node)
    }

    async fn look(&self, pod: &Value) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let node = pod["spec"]["nodeName"].as_str();
        let lives = node.is_none_or(|node| self.lives(node));
        if !lives || pod["metadata"]["labels"][objects::LEFT].is_string() {
            return;
        }
        if objects::is_stopping(pod) {
            return self.admin.end_pod(&self.namespace, pod).await;
        }
        if node.is_none() && !self.nodes.is_empty() {
            let free: Vec<&String> = self.nodes.iter().filter(|node| self.lives(node)).collect();
            // A DaemonSet's pod says itself where it belongs.
            let own = objects::wanted_node(pod).or_else(|| {
                let number = name.bytes().map(usize::from).sum::<usize>();
                Some((*free.get(number % free.len().max(1))?).clone())
            });
            let Some(node) = own else { return };
            let target = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
            let _ = self.admin.try_create(&format!("{}/{name}/binding", self.pods), &target).await;
            return;
        }
        if pod["status"]["containerStatuses"].is_null() {
            // It may be gone by now.
            let _ = self
                .admin
                .try_merge(&format!("{}/{name}/status", self.pods), &objects::running(pod, now()))
                .await;
        }
    }
}
