//! What breaks the inference service and the database, and what can be seen of that.

use std::time::Duration;

use crate::clock;
use crate::sandbox::cluster::{Model, Pod};
use crate::sandbox::services::database;

use super::{World, named};

impl World {
    /// So many clients ask the inference service at the same time, each again when it has its answer. More than the workers of all pods, four
    /// in each, make a queue, and every answer takes longer. 0 ends it.
    pub fn flood(&self, clients: u32) {
        self.shared.change(|state| state.services.load.outside = clients);
    }

    /// The slowest hundredth of a service's answers of the last five minutes took this many seconds or longer; none without an answer.
    #[must_use]
    pub fn p99(&self, service: &str) -> Option<f64> {
        let state = self.shared.lock();
        let window = state.pace.real(Duration::from_mins(5));
        state.services.quantile(service, 0.99, clock::now(), window)
    }

    /// The model that the processes of the inference service hold from now on, new ones, too, unless `DEFAULT_MODEL_TAG` stands in their
    /// environment: `samosachaat-d6`, `samosachaat-d12` (as the world begins) or `samosachaat-d32`, which needs more than 8Gi. False for another.
    pub fn set_default_model(&self, tag: &str) -> bool {
        let Some(model) = Model::of(tag) else { return false };
        self.shared.change(|state| state.cluster.set_default_model(model, clock::now()));
        true
    }

    /// From now on it takes so long, in the world's own time, to load a model in place of another.
    pub fn set_model_load(&self, load: Duration) {
        self.shared.change(|state| state.cluster.set_load(load));
    }

    /// The model that a pod holds; none where it does not run, or has none.
    #[must_use]
    pub fn model(&self, pod: &str) -> Option<&'static str> {
        let state = self.shared.lock();
        let pod = state.cluster.pods.get(&named(pod))?;
        Some(pod.loaded.as_ref().filter(|_| pod.serves())?.current(clock::now()).tag)
    }

    /// How many pods of a deployment have a container whose last end was that it needed more memory than its limit.
    #[must_use]
    pub fn killed_for_memory(&self, deployment: &str) -> usize {
        let state = self.shared.lock();
        let of = |pod: &&Pod| pod.service == deployment && pod.killed_for_memory();
        state.cluster.pods.values().filter(of).count()
    }

    /// The address at which a pod answers while it serves: `127.64.0.1:8003`.
    #[must_use]
    pub fn pod_address(&self, pod: &str) -> Option<String> {
        let state = self.shared.lock();
        let pod = state.cluster.pods.get(&named(pod)).filter(|pod| pod.serves())?;
        let port = pod.template.pointer("/spec/containers/0/ports/0/containerPort")?;
        Some(format!("{}:{port}", pod.address?))
    }

    /// Whether somebody watches the kernels' logs, as node-problem-detector does: an OOM kill is then an event on the node.
    pub fn detect_node_problems(&self, watched: bool) {
        self.shared.change(|state| state.cluster.nodes.watched = watched);
    }

    /// Something outside of the pods uses this share of a node's memory, from 0 to 1.
    pub fn press_node(&self, node: &str, share: f64) {
        self.shared.change(|state| state.cluster.nodes.pressed.insert(node.to_owned(), share));
    }

    /// The inference service wants this key in `X-Internal-API-Key` from now on, but for its health; as the world begins it wants none.
    pub fn require_internal_key(&self, key: &str) {
        self.shared.change(|state| state.internal_key = Some(key.to_owned()));
    }

    /// The database takes so many connections, three of them from its administrators only; 200 as the world begins.
    pub fn set_max_connections(&self, most: u32) {
        self.shared.change(|state| state.services.max_connections = most);
    }

    /// What the database's parameter group says of its limit from now on: a formula, as of a default group. How many it takes stays as it is.
    pub fn set_parameter(&self, formula: &str) {
        self.shared.change(|state| state.services.parameter = Some(formula.to_owned()));
    }

    /// What RDS says of the database from now on; `available` as the world begins.
    pub fn set_database_status(&self, status: &'static str) {
        self.shared.change(|state| state.services.database_status = status);
    }

    /// The image of a service holds its own program from now on, and nothing else: there is no `cat` to run in its containers.
    pub fn strip_image(&self, service: &str) {
        self.shared.change(|state| state.bare_images.insert(service.to_owned()));
    }

    /// How many connections to the database a pod has open; none when there is no such pod.
    #[must_use]
    pub fn connections(&self, pod: &str) -> Option<u32> {
        let state = self.shared.lock();
        let pod = state.cluster.pods.get(&named(pod))?;
        Some(state.services.connections(pod, &state.cluster))
    }

    /// What `cat /proc/net/tcp` prints in a pod: its listener, and a line for each connection to the database.
    #[must_use]
    pub fn proc_net_tcp(&self, pod: &str) -> Option<String> {
        let state = self.shared.lock();
        let pod = state.cluster.pods.get(&named(pod))?;
        Some(database::proc_net_tcp(pod, state.services.connections(pod, &state.cluster)))
    }
}
