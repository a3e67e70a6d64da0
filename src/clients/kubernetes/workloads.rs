//! What is read of Deployments, and their restart, as `kubectl rollout` does it.

use std::sync::atomic::Ordering;

use k8s_openapi::api::apps::v1 as apps;
use kube::core::Resource as _;
use kube::core::params::GetParams;
use serde_json::{Value, json};

use super::{
    CallError, Deployment, History, Kubernetes, RESTARTED_AT, Reason, STRATEGIC_MERGE, checked_path,
    deployments, history,
};

impl Kubernetes {
    /// The Deployment as it is now.
    ///
    /// # Errors
    /// `NotFound` also when the *namespace* does not exist: the server's text names the deployment in both cases.
    pub async fn deployment(&self, namespace: &str, name: &str) -> Result<Deployment, CallError> {
        let call = format!("read deployment/{name} in {namespace}");
        let path = checked_path(&call, namespace, name)?;
        let question = format!("{} {path}", self.0.writes.load(Ordering::SeqCst));
        self.0.deployments.ask(question, || self.read_deployment(&call, namespace, name)).await
    }

    async fn read_deployment(
        &self,
        call: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Deployment, CallError> {
        let body = self
            .read(call, || kube::core::Request::new(&deployments(namespace)).get(name, &GetParams::default()))
            .await?;
        let object: apps::Deployment =
            serde_json::from_slice(&body).map_err(|error| CallError::unreadable(call, &error))?;
        let found = Deployment::from(&object);
        // Almost every field may be missing in an answer, so `{}` would be a deployment, too.
        if found.namespace != namespace || found.name != name || found.uid.is_empty() {
            return Err(CallError::new(call, Reason::ServerError, "the answer is another object"));
        }
        Ok(found)
    }

    /// What the Deployment runs, and what it ran.
    ///
    /// # Errors
    /// As for [`Self::deployment`] and [`Self::pods`].
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
        checked_path(call, namespace, name)?;
        let body = self
            .read(call, || kube::core::Request::new(&deployments(namespace)).get(name, &GetParams::default()))
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

    /// Restarts the Deployment with this `uid` by writing `restarted_at` into its pod template. The same value again changes nothing, so
    /// a value that comes from the journal makes this idempotent. A paused Deployment accepts it and rolls nothing out: look first.
    ///
    /// # Errors
    /// `Conflict` when the Deployment of that name is another one by now.
    pub async fn restart_deployment(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        restarted_at: &str,
    ) -> Result<(), CallError> {
        let call = format!("restart deployment/{name} in {namespace}");
        checked_path(&call, namespace, name)?;
        if uid.is_empty() || restarted_at.is_empty() {
            return Err(CallError::unsent(&call, "a restart needs the uid of the deployment and a time"));
        }
        let change = json!({
            // The server compares a uid in a patch with the object's: the precondition holds at the write itself.
            "metadata": {"uid": uid},
            "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: restarted_at}}}},
        });
        self.write(&call, &deployments(namespace), name, STRATEGIC_MERGE, change).await
    }
}
