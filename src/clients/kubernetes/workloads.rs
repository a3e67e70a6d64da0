//! What is asked about workloads, and their restart, as `kubectl rollout` does it.

use std::sync::atomic::Ordering;

use k8s_openapi::api::apps::v1 as apps;
use kube::core::Resource as _;
use kube::core::params::GetParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    CallError, History, Kubernetes, Object, RESTARTED_AT, Reason, STRATEGIC_MERGE, Workload,
    checked_namespace, deployments, history, objects, valid_name,
};

impl Kubernetes {
    /// The workload as it is now; `kind` is `deployment`, `statefulset` or `daemonset`.
    ///
    /// # Errors
    /// `NotFound` also when the *namespace* does not exist: the server's text names the object in both cases.
    pub async fn workload(&self, kind: &str, namespace: &str, name: &str) -> Result<Workload, CallError> {
        let call = format!("read {kind}/{name} in {namespace}");
        checked(&call, kind, namespace, name)?;
        let question = format!("{} {kind}/{namespace}/{name}", self.inner.writes.load(Ordering::SeqCst));
        let read = || async {
            match kind {
                "statefulset" => self.read_workload::<apps::StatefulSet>(&call, namespace, name).await,
                "daemonset" => self.read_workload::<apps::DaemonSet>(&call, namespace, name).await,
                _ => self.read_workload::<apps::Deployment>(&call, namespace, name).await,
            }
        };
        self.inner.workloads.ask(question, read).await
    }

    /// All Deployments of a namespace.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn deployments(&self, namespace: &str) -> Result<Vec<Workload>, CallError> {
        let call = format!("list the deployments of {namespace}");
        checked_namespace(&call, namespace)?;
        let all: Vec<apps::Deployment> = self.list(&call, &deployments(namespace)).await?;
        Ok(all.iter().map(Workload::from).collect())
    }

    /// All workloads of a namespace: Deployments, `StatefulSet`s and `DaemonSet`s.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn workloads_of(&self, namespace: &str) -> Result<Vec<Object>, CallError> {
        let mut objects = Vec::new();
        for kind in KINDS {
            let call = format!("list the {kind}s of {namespace}");
            checked_namespace(&call, namespace)?;
            let Some(path) = objects::path_of(kind, namespace) else { continue };
            let all: Vec<Value> = self.list(&call, &path).await?;
            let object = |json| Object { call: call.clone(), kind: kind.to_owned(), json };
            objects.extend(all.into_iter().map(object));
        }
        Ok(objects)
    }

    async fn read_workload<K>(&self, call: &str, namespace: &str, name: &str) -> Result<Workload, CallError>
    where
        K: kube::core::Resource<DynamicType = ()> + DeserializeOwned,
        for<'k> Workload: From<&'k K>,
    {
        let path = K::url_path(&(), Some(namespace));
        let get = || kube::core::Request::new(path.as_str()).get(name, &GetParams::default());
        let object: K = serde_json::from_slice(&self.read(call, get).await?)
            .map_err(|error| CallError::unreadable(call, &error))?;
        let found = Workload::from(&object);
        // Almost every field may be missing in an answer, so `{}` would be one, too.
        if found.namespace != namespace || found.name != name || found.uid.is_empty() {
            return Err(CallError::new(call, Reason::ServerError, "the answer is another object"));
        }
        Ok(found)
    }

    /// What the Deployment runs, and what it ran.
    ///
    /// # Errors
    /// As for [`Self::workload`] and [`Self::pods`].
    pub async fn history(&self, namespace: &str, name: &str) -> Result<History, CallError> {
        let call = format!("read the history of deployment/{name} in {namespace}");
        let (deployment, sets) = self.revisions(&call, namespace, name).await?;
        history::read(&deployment, &sets).map_err(|error| CallError::unreadable(&call, &error))
    }

    /// The Deployment, and all `ReplicaSet`s of its namespace, as the server sends them.
    pub(super) async fn revisions(
        &self,
        call: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(Value, Vec<Value>), CallError> {
        checked(call, "deployment", namespace, name)?;
        let body = self
            .read(call, || kube::core::Request::new(deployments(namespace)).get(name, &GetParams::default()))
            .await?;
        let deployment: Value =
            serde_json::from_slice(&body).map_err(|error| CallError::unreadable(call, &error))?;
        if history::text(&deployment, "/metadata/name") != name
            || history::text(&deployment, "/metadata/uid").is_empty()
        {
            return Err(CallError::new(call, Reason::ServerError, "the answer is another object"));
        }
        let sets = self.list(call, &apps::ReplicaSet::url_path(&(), Some(namespace))).await?;
        Ok((deployment, sets))
    }

    /// Restarts the workload with this `uid` by writing `restarted_at` into its pod template. The same value again changes nothing, so
    /// a value that comes from the journal makes this idempotent. A paused Deployment accepts it and rolls nothing out: look first.
    ///
    /// # Errors
    /// `Conflict` when the object of that name is another one by now.
    pub async fn restart(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        uid: &str,
        restarted_at: &str,
    ) -> Result<(), CallError> {
        let call = format!("restart {kind}/{name} in {namespace}");
        checked(&call, kind, namespace, name)?;
        if uid.is_empty() || restarted_at.is_empty() {
            return Err(CallError::unsent(&call, "a restart needs the uid of the object and a time"));
        }
        let change = json!({
            // The server compares a uid in a patch with the object's: the precondition holds at the write itself.
            "metadata": {"uid": uid},
            "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: restarted_at}}}},
        });
        let path = match kind {
            "statefulset" => apps::StatefulSet::url_path(&(), Some(namespace)),
            "daemonset" => apps::DaemonSet::url_path(&(), Some(namespace)),
            _ => deployments(namespace),
        };
        self.write(&call, &path, name, STRATEGIC_MERGE, change).await
    }
}

/// The kinds that roll a pod template out.
const KINDS: [&str; 3] = ["deployment", "statefulset", "daemonset"];

/// Names become parts of a path, so they have to be names.
fn checked(call: &str, kind: &str, namespace: &str, name: &str) -> Result<(), CallError> {
    if !KINDS.contains(&kind) {
        return Err(CallError::unsent(call, &format!("a {kind} rolls nothing out")));
    }
    checked_namespace(call, namespace)?;
    if !valid_name(name) {
        return Err(CallError::unsent(call, &format!("{name:?} is not the name of a {kind}")));
    }
    Ok(())
}
