//! The handle with which a test or the demo breaks the world, looks at it, and waits for it.

mod deploying;
mod faults;
mod meddling;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::clock;
use crate::sandbox::account::ValidationRecord;
use crate::sandbox::alertmanager::AlertmanagerTarget;
use crate::sandbox::cluster::{CrashFault, NAMESPACE, Name, NodeFault, PodView};
use crate::sandbox::front::CertificateFault;
use crate::sandbox::loki::LogLine;
use crate::sandbox::server::Request;
use crate::sandbox::services::{PoolFault, nanoseconds, service_stream};
use crate::sandbox::slack::Thread;
use crate::sandbox::state::Shared;
use crate::sandbox::trouble::{System, Trouble};

/// A cheap handle on the world of a [`super::Sandbox`]. It outlives the servers, so that a test can look afterwards.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

fn named(deployment: &str) -> Name {
    (NAMESPACE.to_owned(), deployment.to_owned())
}

impl World {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    // What breaks it.

    /// Exhausts the connection pools of a service: its requests fail, it logs why, and its 5xx ratio grows.
    pub fn exhaust_pool(&self, service: &str, fault: PoolFault) {
        self.shared.change(|state| state.services.exhaust(service, fault, &mut state.cluster, clock::now()));
    }

    /// Takes the cause of [`Self::exhaust_pool`] away.
    pub fn relieve_pool(&self, service: &str) {
        self.shared.change(|state| state.services.relieve(service, &mut state.cluster));
    }

    /// The containers of a deployment crash, are started again by the kubelet, and crash.
    pub fn crash(&self, deployment: &str, fault: &CrashFault) {
        self.shared.change(|state| state.cluster.crash(&named(deployment), fault, clock::now()));
    }

    /// From now on the deployment's new pods never become ready; its next rollout fails at the progress deadline.
    pub fn break_rollouts(&self, deployment: &str) {
        self.shared.change(|state| state.cluster.broken.insert(named(deployment)));
    }

    /// Ends [`Self::break_rollouts`]: the pods that were not ready become so.
    pub fn mend_rollouts(&self, deployment: &str) {
        self.shared.change(|state| {
            state.cluster.broken.remove(&named(deployment));
            let now = clock::now();
            for pod in state.cluster.pods.values_mut().filter(|pod| pod.service == deployment && pod.broken) {
                (pod.broken, pod.ready_at) = (false, now);
            }
        });
    }

    /// Pauses or resumes a deployment's rollouts. False when there is no such deployment; so with all of these.
    pub fn pause_deployment(&self, deployment: &str, paused: bool) -> bool {
        self.edit(deployment, "kubectl-rollout", |deployment| {
            if paused {
                deployment["spec"]["paused"] = json!(true);
            } else if let Some(spec) = deployment["spec"].as_object_mut() {
                spec.remove("paused");
            }
        })
    }

    /// Deletes a deployment with everything that it owns.
    pub fn delete_deployment(&self, deployment: &str) -> bool {
        self.shared
            .change(|state| state.cluster.delete_deployment(&named(deployment), clock::now(), state.pace))
    }

    /// What a person's `kubectl rollout restart` does.
    pub fn hand_restart(&self, deployment: &str) -> bool {
        let at = clock::now().to_string();
        self.edit(deployment, "kubectl-rollout", |deployment| {
            deployment["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] =
                json!(at);
        })
    }

    /// What a person's `kubectl scale` does.
    pub fn set_replicas(&self, deployment: &str, replicas: u32) -> bool {
        self.edit(deployment, "kubectl", |deployment| deployment["spec"]["replicas"] = json!(replicas))
    }

    /// Changes a deployment in any way, in the name of `manager`.
    pub fn edit(&self, deployment: &str, manager: &str, edit: impl FnOnce(&mut Value)) -> bool {
        self.shared
            .change(|state| state.cluster.edit_deployment(&named(deployment), manager, clock::now(), edit))
    }

    /// Deletes a pod, as `kubectl delete pod` does; its replica set makes a new one.
    pub fn end_pod(&self, pod: &str) -> bool {
        self.shared.change(|state| state.cluster.stop_pod(&named(pod), clock::now(), state.pace))
    }

    /// The machine of a node ends: its pods serve no more, and the cluster notices only later.
    pub fn end_machine(&self, node: &str, fault: NodeFault) -> bool {
        self.shared.change(|state| state.cluster.end_machine(node, fault, clock::now()))
    }

    /// A machine that did not answer answers again.
    pub fn bring_back(&self, node: &str) -> bool {
        self.shared.change(|state| state.cluster.bring_back(node, clock::now()))
    }

    /// Kubernetes says that something happened to a pod, so many times, and last at this time.
    pub fn put_event(&self, name: &str, pod: &str, reason: &str, last: Timestamp, times: u32) {
        self.shared.change(|state| {
            let uid = state.chance.uid();
            let time = super::cluster::seconds(last);
            state.cluster.store_other("events", json!({
                "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "creationTimestamp": time},
                "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": pod, "apiVersion": "v1"},
                "reason": reason, "message": format!("{reason} of {pod}"), "type": "Warning", "count": times,
                "firstTimestamp": time, "lastTimestamp": time, "eventTime": null, "source": {"component": "kubelet"},
                "reportingComponent": "kubelet", "reportingInstance": "",
            }));
        });
    }

    /// From now on another kind owns the replica sets of a deployment, such as `Rollout`.
    pub fn own(&self, deployment: &str, kind: &'static str) {
        self.shared.change(|state| {
            for set in state.cluster.replica_sets.values_mut().filter(|set| set.deployment == deployment) {
                set.owner_kind = kind;
            }
        });
    }

    /// Puts a `StatefulSet` with these replicas into the cluster.
    pub fn put_stateful_set(&self, name: &str, replicas: u32) {
        self.put_set("statefulsets", name, replicas);
    }

    /// Puts a `DaemonSet` into the cluster.
    pub fn put_daemon_set(&self, name: &str) {
        self.put_set("daemonsets", name, 0);
    }

    fn put_set(&self, plural: &'static str, name: &str, replicas: u32) {
        self.shared.change(|state| {
            let super::state::State { cluster, chance, .. } = state;
            cluster.put_set(plural, &named(name), replicas, clock::now(), chance);
        });
    }

    /// A `StatefulSet` or `DaemonSet` as the API serves it; `plural` is the name of its kind in a path.
    #[must_use]
    pub fn set(&self, plural: &str, name: &str) -> Option<Value> {
        self.shared.lock().cluster.others.get(plural)?.get(&named(name)).cloned()
    }

    /// Removes the object of a node, as `kubectl delete node` does.
    pub fn remove_node(&self, node: &str) {
        self.shared.change(|state| state.cluster.remove_node(node, clock::now()));
    }

    /// From now on no node takes more pods than these.
    pub fn set_room(&self, pods: usize) {
        self.shared.change(|state| state.cluster.nodes.room = Some(pods));
    }

    /// The nodes, with whether each is ready.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, bool)> {
        self.shared.lock().cluster.nodes()
    }

    /// Changes a node in any way.
    pub fn edit_node(&self, node: &str, edit: impl FnOnce(&mut Value)) -> bool {
        self.shared.change(|state| state.cluster.edit_node(node, edit))
    }

    /// A node as the API serves it.
    #[must_use]
    pub fn node(&self, node: &str) -> Option<Value> {
        let name = (String::new(), node.to_owned());
        self.shared.lock().cluster.others.get("nodes")?.get(&name).cloned()
    }

    /// Puts a `PodDisruptionBudget` into the cluster.
    pub fn put_disruption_budget(&self, deployment: &str, max_unavailable: u32) {
        self.put_named_budget(deployment, deployment, max_unavailable);
    }

    /// The same under a name of its own: a pod can have several.
    pub fn put_named_budget(&self, name: &str, deployment: &str, max_unavailable: u32) {
        self.shared.change(|state| {
            let uid = state.chance.uid();
            state.cluster.store_other("poddisruptionbudgets", json!({
                "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1,
                             "creationTimestamp": Timestamp::from_second(clock::now().as_second()).unwrap_or_default().to_string()},
                "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": deployment}}, "maxUnavailable": max_unavailable},
                "status": {"observedGeneration": 1, "conditions": []},
            }));
            state.cluster.advance_budgets();
        });
    }

    /// The certificate that ACM holds, and the public host presents, has so long left. ACM renews it some time after the record that validates it is right.
    pub fn let_certificate_run_out(&self, left: Duration) -> bool {
        self.shared.change(|state| {
            state.account.run_out(left, clock::now());
            state.front.present_acms(state.account.validity).is_ok()
        })
    }

    /// What is left of the certificate that ACM holds.
    #[must_use]
    pub fn certificate_left(&self) -> Duration {
        clock::between(clock::now(), self.shared.lock().account.validity.1)
    }

    /// Whether the record that validates the certificate is what ACM asks for.
    #[must_use]
    pub fn validation_record_is_right(&self) -> bool {
        self.shared.lock().account.record_is_right()
    }

    /// Somebody makes the record that validates the certificate so.
    pub fn make_validation_record(&self, record: ValidationRecord) {
        self.shared.change(|state| state.account.make_record(record, clock::now()));
    }

    /// Somebody leaves a name of the public zone, and all below it, to this name server.
    pub fn delegate_name(&self, name: &str, server: &str) {
        self.shared.change(|state| state.account.delegate(name, server, clock::now()));
    }

    /// The public host presents a certificate with this fault from now on, or a good one: as after a renewal.
    pub fn present_certificate(&self, fault: Option<CertificateFault>) -> bool {
        self.shared.change(|state| state.front.present(fault, clock::now()).is_ok())
    }

    /// Puts a trouble between the clients and a system, or takes it away.
    pub fn disturb(&self, system: System, trouble: Option<Trouble>) {
        self.shared.change(|state| state.troubles.set(system, trouble, None));
    }

    /// Like [`Self::disturb`], for the next `times` requests that it strikes.
    pub fn disturb_next(&self, system: System, trouble: Trouble, times: u32) {
        self.shared.change(|state| state.troubles.set(system, Some(trouble), Some(times)));
    }

    /// Like [`Self::disturb`], from the request on that comes after `skipped` of those that it would strike.
    pub fn disturb_after(&self, system: System, trouble: Trouble, skipped: u32) {
        self.shared.change(|state| state.troubles.set_after(system, trouble, skipped));
    }

    /// The log shipper of a service died, or is well again: no lines at all while it is dead.
    pub fn silence_logs(&self, service: &str, silent: bool) {
        self.shared.change(|state| toggle(&mut state.services.silent, service, silent));
    }

    /// The service writes malformed JSON lines among its own, or stops that.
    pub fn garble_logs(&self, service: &str, garbled: bool) {
        self.shared.change(|state| toggle(&mut state.services.garbled, service, garbled));
    }

    /// Adds a line to the stream of a service, with the present time.
    pub fn push_log(&self, service: &str, line: &str) {
        self.push_log_at(service, line, clock::now());
    }

    /// Adds a line to the stream of a service, with any time.
    pub fn push_log_at(&self, service: &str, line: &str, at: Timestamp) {
        self.shared.change(|state| state.logs.push(&service_stream(service), nanoseconds(at), line));
    }

    /// Makes an alert with these labels and annotations fire until [`Self::resolve_alert`]. Returns its fingerprint.
    pub fn fire_alert(&self, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> String {
        self.shared.change(|state| state.alerts.fire(labels, annotations, clock::now(), state.pace))
    }

    /// Resolves an alert that [`Self::fire_alert`] made fire.
    pub fn resolve_alert(&self, labels: &[(&str, &str)]) {
        self.shared.change(|state| state.alerts.resolve(labels, clock::now(), state.pace));
    }

    /// Silences an alert, or ends that: it goes on firing, and its receiver is told nothing of it.
    pub fn silence_alert(&self, labels: &[(&str, &str)], silenced: bool) {
        self.shared.change(|state| state.alerts.silence(labels, silenced, clock::now()));
    }

    /// The alert is routed to another receiver, and the webhook is told nothing of it.
    pub fn route_alert(&self, labels: &[(&str, &str)], receiver: &str) {
        self.shared.change(|state| state.alerts.route(labels, receiver));
    }

    /// The Alertmanager no longer knows of an alert, and says so to nobody.
    pub fn lose_alert(&self, labels: &[(&str, &str)]) {
        self.shared.change(|state| state.alerts.lose(labels));
    }

    /// Kills the Alertmanager and starts it again: it forgets what it has said, and says all of it again.
    pub fn restart_alertmanager(&self) {
        self.shared.change(|state| state.alerts.forget(clock::now(), state.pace));
    }

    /// Sets where the Alertmanager posts to.
    pub fn send_alerts_to(&self, target: Option<AlertmanagerTarget>) {
        self.shared.change(|state| state.alerts.target = target);
    }

    // What can be seen of it.

    /// Every request that any server received, oldest first; the newest 20,000 are kept.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// The requests that could have changed the cluster.
    #[must_use]
    pub fn writes(&self) -> Vec<Request> {
        self.shared.lock().requests.iter().filter(|request| request.is_kubernetes_write()).cloned().collect()
    }

    /// The messages of Slack with their replies, as people would read them, oldest first.
    #[must_use]
    pub fn slack_threads(&self) -> Vec<Thread> {
        self.shared.lock().slack.threads()
    }

    /// A deployment as the API serves it.
    #[must_use]
    pub fn deployment(&self, deployment: &str) -> Option<Value> {
        self.shared.lock().cluster.deployments.get(&named(deployment)).cloned()
    }

    /// Whether a deployment has only pods of its present template, all ready, and none that is stopping.
    #[must_use]
    pub fn rollout_complete(&self, deployment: &str) -> bool {
        self.deployment(deployment).is_some_and(|deployment| {
            let status = &deployment["status"];
            let wanted = &deployment["spec"]["replicas"];
            status["observedGeneration"] == deployment["metadata"]["generation"]
                && ["replicas", "updatedReplicas", "availableReplicas"]
                    .iter()
                    .all(|field| status[field] == *wanted)
                && status["terminatingReplicas"] == 0
        })
    }

    /// The reason of a deployment's `Progressing` condition.
    #[must_use]
    pub fn progress(&self, deployment: &str) -> Option<String> {
        let deployment = self.deployment(deployment)?;
        let conditions = deployment["status"]["conditions"].as_array()?;
        let progressing = conditions.iter().find(|condition| condition["type"] == "Progressing")?;
        Some(progressing["reason"].as_str()?.to_owned())
    }

    /// The pods of a deployment, stopping ones included.
    #[must_use]
    pub fn pods(&self, deployment: &str) -> Vec<PodView> {
        self.shared.lock().cluster.pods_of_deployment(&named(deployment)).map(PodView::from).collect()
    }

    /// The events that were created in the cluster, as `v1` serves them.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let state = self.shared.lock();
        state.cluster.others.get("events").into_iter().flat_map(|events| events.values().cloned()).collect()
    }

    /// The log lines of a service, oldest first.
    #[must_use]
    pub fn logs(&self, service: &str) -> Vec<LogLine> {
        self.shared.lock().logs.of_app(service)
    }

    /// The share of a service's requests that failed in the last minute; none when there were none.
    #[must_use]
    pub fn ratio_5xx(&self, service: &str) -> Option<f64> {
        let state = self.shared.lock();
        state.services.ratio_5xx(service, clock::now(), state.pace)
    }

    /// The labels of the alerts that fire now, in the Alertmanager's own order.
    #[must_use]
    pub fn firing(&self) -> Vec<std::collections::BTreeMap<String, String>> {
        self.shared.lock().alerts.firing(clock::now())
    }

    /// Prometheus loads the rules of `deploy/prometheus/alerts.yaml`; `High5xxRate` it always has.
    pub fn load_alert_rules(&self) {
        self.shared.change(|state| state.alert_rules = true);
    }

    /// How many notifications the webhook receiver took, with any 2xx.
    #[must_use]
    pub fn notifications_delivered(&self) -> u64 {
        self.shared.lock().alerts.delivered
    }

    // What waits for it.

    /// Waits until something has changed: a request came, the world moved on, or somebody broke it.
    pub async fn changed(&self) {
        // The sender lives as long as this handle does.
        let _ = self.shared.changes().changed().await;
    }

    /// Waits until `condition` holds; looks again after every change. False when it did not within `limit`.
    pub async fn until(&self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let mut changes = self.shared.changes();
        let waited = async {
            while !condition(self) {
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(limit, waited).await.is_ok()
    }

    /// How long `duration` of the world takes in real time.
    #[must_use]
    pub fn real(&self, duration: Duration) -> Duration {
        self.shared.lock().pace.real(duration).max(SignedDuration::ZERO).unsigned_abs()
    }
}

fn toggle(set: &mut std::collections::BTreeSet<String>, name: &str, on: bool) {
    if on {
        set.insert(name.to_owned());
    } else {
        set.remove(name);
    }
}
