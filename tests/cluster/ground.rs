//! What each action is tried on, in the cluster: something that it has to do with.

use std::sync::Arc;
use std::time::Duration;

use runbookd::act::Hands;
use runbookd::clients::kubernetes::CORDONED_AT;
use runbookd::incident::plan::{Kind, Target};
use runbookd::runbook::Action;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};

use crate::admin::Admin;
use crate::invariants::{Case, Ground, Wants, cases};
use crate::objects::{self, is_stopping};
use crate::stage::{Stage, on, until};

/// The name of every workload.
pub(crate) const APP: &str = "web";

/// A target, and the hands that act on it.
pub(crate) struct Set {
    pub(crate) stage: Arc<Stage>,
    pub(crate) target: Target,
    hands: Hands,
    wants: Wants,
    by_autoscaler: bool,
}

/// Whether the cluster can play it; else a line says what it can not.
pub(crate) async fn is_possible(stage: &Stage, case: impl Into<Case>) -> bool {
    let Case(action, kind, by_autoscaler) = case.into();
    // No kubelet runs the pods, so nobody answers at their addresses.
    if action == Action::Http {
        return false;
    }
    if action == Action::Evict && !stage.admin.has("policy/v1", "evict").await {
        return false;
    }
    if by_autoscaler && !stage.admin.has("autoscaling/v2", "what is about autoscalers").await {
        return false;
    }
    !stage.nodes.is_empty() || !matches!(kind, Kind::Node | Kind::DaemonSet)
}

/// So many cases at once, of all tests.
static AT_ONCE: Semaphore = Semaphore::const_new(16);

/// Each case in a namespace of its own, many at once.
pub(crate) async fn in_every_case<T>(test: impl Fn(Arc<Stage>, Case) -> T + Copy + 'static)
where
    T: Future<Output = ()> + 'static,
{
    let one = |case: Case| {
        spawn_local(async move {
            let _turn = AT_ONCE.acquire().await.unwrap();
            let case = move |stage: Arc<Stage>| async move {
                if is_possible(&stage, case).await {
                    test(stage, case).await;
                }
            };
            on(case).await;
        })
    };
    let all = async {
        let all: Vec<_> = cases().into_iter().map(one).collect();
        // To their ends, so that each cleans up, before one that failed fails the test.
        let mut failed = None;
        for one in all {
            failed = one.await.err().or(failed);
        }
        if let Some(failed) = failed {
            std::panic::resume_unwind(failed.into_panic());
        }
    };
    LocalSet::new().run_until(all).await;
}

impl Set {
    /// A cluster in which the action has something to do.
    pub(crate) async fn new(stage: &Arc<Stage>, case: impl Into<Case>) -> Self {
        let case = case.into();
        let Case(action, kind, by_autoscaler) = case;
        let name = match kind {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
                let (kind, plural) = proper(kind);
                let object = objects::workload(kind, APP, &stage.namespace);
                stage.admin.create(&stage.apps(plural), &object).await;
                stage.ready(APP, 2).await;
                APP.to_owned()
            }
            Kind::Pod => {
                stage.deployment(APP).await;
                stage.pods(APP).await[0]["metadata"]["name"].as_str().unwrap().to_owned()
            }
            Kind::Node => stage.nodes[0].clone(),
            Kind::HorizontalPodAutoscaler | Kind::Certificate | Kind::Terraform => {
                unreachable!("never a target here")
            }
        };
        match (action, kind) {
            (Action::Rollback, _) => stage.set_image(APP, "registry.invalid/none:2").await,
            (Action::Evict, _) => {
                stage
                    .admin
                    .create(&stage.path("policy/v1", "poddisruptionbudgets"), &objects::budget(APP, 1))
                    .await;
                let path = stage.path("policy/v1", "poddisruptionbudgets/web");
                stage.admin.once(&path, |budget| budget["status"]["disruptionsAllowed"] == 1).await;
            }
            (Action::DeletePod, Kind::Node) => strand(stage, &name).await,
            (Action::Uncordon, _) => {
                let change = json!({"spec": {"unschedulable": true}, "metadata": {"annotations": {CORDONED_AT: "before"}}});
                stage.admin.merge(&format!("/api/v1/nodes/{name}"), &change).await;
            }
            _ => {}
        }
        if by_autoscaler {
            autoscaler(stage, kind, 2, 4).await;
        }
        let target = Target { kind, namespace: stage.namespace.clone(), name };
        let wants = Wants::of(case, APP);
        let hands = stage.hands.clone();
        let mut set = Self { stage: Arc::clone(stage), target, hands, wants, by_autoscaler };
        set.come_to(action).await;
        set
    }

    /// The same with other rights.
    pub(crate) fn with(self, hands: Hands) -> Self {
        Self { hands, ..self }
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.stage.admin
    }

    async fn pods_on(&self, node: &str) -> Vec<Value> {
        let pods = self.stage.pods(APP).await;
        pods.into_iter().filter(|pod| pod["spec"]["nodeName"] == node).collect()
    }
}

/// The kind as the API writes it, and its plural.
pub(crate) fn proper(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Deployment => ("Deployment", "deployments"),
        Kind::StatefulSet => ("StatefulSet", "statefulsets"),
        Kind::DaemonSet => ("DaemonSet", "daemonsets"),
        Kind::Pod => ("Pod", "pods"),
        Kind::Node => ("Node", "nodes"),
        Kind::HorizontalPodAutoscaler => ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        Kind::Certificate | Kind::Terraform => unreachable!("not of the cluster"),
    }
}

/// An autoscaler of the workload of this kind; nothing measures the pods, and so it keeps to its least and most.
pub(crate) async fn autoscaler(stage: &Stage, kind: Kind, least: impl Into<Value>, most: u32) -> String {
    let object = objects::autoscaler(APP, proper(kind).0, &least.into(), most);
    let path = stage.path("autoscaling/v2", "horizontalpodautoscalers");
    stage.admin.create(&path, &object).await;
    format!("{path}/{APP}")
}

/// Pods of the node that were to stop, and that nobody stops.
pub(crate) async fn leave_stopping(stage: &Stage, node: &str) {
    let object = objects::workload("StatefulSet", APP, &stage.namespace);
    stage.admin.create(&stage.apps("statefulsets"), &object).await;
    stage.ready(APP, 2).await;
    stage.kill_kubelet(node);
    let here = async || {
        let pods = stage.pods(APP).await;
        pods.into_iter().filter(|pod| pod["spec"]["nodeName"] == node).collect::<Vec<_>>()
    };
    assert!(!here().await.is_empty(), "{:#?}", stage.pods(APP).await);
    for pod in here().await {
        let name = pod["metadata"]["name"].as_str().unwrap();
        stage.admin.delete(&stage.core(&format!("pods/{name}")), &Value::Null).await;
    }
    assert!(here().await.iter().all(is_stopping));
    // Until the kubelet should have ended them: a grace of one second, in whole seconds.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
}

/// A node is gone, and its pods, which were to stop, are still there.
async fn strand(stage: &Stage, node: &str) {
    leave_stopping(stage, node).await;
    stage.admin.delete(&format!("/api/v1/nodes/{node}"), &Value::Null).await;
    assert!(until(async || stage.admin.get(&format!("/api/v1/nodes/{node}")).await.is_none()).await);
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
        if self.by_autoscaler {
            // The number of pods moves behind it.
            let path = self.stage.path("autoscaling/v2", "horizontalpodautoscalers/web");
            return self.admin().get(&path).await.unwrap()["spec"].clone();
        }
        let Target { kind, name, .. } = &self.target;
        let stops = |pod: &Value| json!([pod["metadata"]["uid"], is_stopping(pod)]);
        match kind {
            Kind::Pod => {
                let pod = self.admin().get(&self.stage.core(&format!("pods/{name}"))).await;
                // One that stops is soon gone.
                pod.filter(|pod| !is_stopping(pod)).map_or(json!("stops"), |pod| stops(&pod))
            }
            Kind::Node => {
                let node = self.stage.node(name).await;
                let here = self.pods_on(name).await;
                let pods: Vec<Value> = here.iter().map(stops).collect();
                // Taints and other annotations are the node controllers' own.
                json!([node["spec"]["unschedulable"], node["metadata"]["annotations"][CORDONED_AT], pods])
            }
            workload => {
                let path = self.stage.apps(&format!("{}/{name}", proper(*workload).1));
                self.admin().get(&path).await.unwrap()["spec"].clone()
            }
        }
    }

    async fn moved(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
