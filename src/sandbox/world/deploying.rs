//! Deployments that are under way: the Jobs that they wait for, and whose release a workload is. And what runbookd may not look at.

use serde_json::{Value, json};

use super::{World, named};
use crate::clock;
use crate::sandbox::cluster::{JobEnd, NAMESPACE};
use crate::sandbox::state::State;

impl World {
    /// Puts a Job into the namespace, such as a migration that a deployment waits for: its annotations say of which hook it is. One of the same name
    /// goes first.
    pub fn put_job(&self, name: &str, annotations: &[(&str, &str)], labels: &[(&str, &str)], end: JobEnd) {
        self.shared.change(|state| {
            let moment = (clock::now(), state.pace);
            state.cluster.put_job(name, (annotations, labels), end, moment, &mut state.chance);
        });
    }

    /// Ends a Job that runs. False when there is none.
    pub fn end_job(&self, name: &str, succeeds: bool) -> bool {
        self.shared.change(|state| state.cluster.end_job(&named(name), succeeds, clock::now()))
    }

    /// Changes a Job as it stands in the cluster, as if it had always been so. False when there is none.
    pub fn edit_job(&self, name: &str, edit: impl FnOnce(&mut Value)) -> bool {
        self.shared.change(|state| {
            let jobs = state.cluster.others.get("jobs");
            let Some(mut job) = jobs.and_then(|jobs| jobs.get(&named(name))).cloned() else { return false };
            edit(&mut job);
            state.cluster.store_other("jobs", job);
            true
        })
    }

    /// What a person's `kubectl delete job` does. False when there is none.
    pub fn delete_job(&self, name: &str) -> bool {
        self.shared.change(|state| state.cluster.delete_job(&named(name)))
    }

    /// The Jobs of the namespace, as the API serves them.
    #[must_use]
    pub fn jobs(&self) -> Vec<Value> {
        let state = self.shared.lock();
        let jobs = state.cluster.others.get("jobs").into_iter().flatten();
        jobs.filter(|((namespace, _), _)| namespace == NAMESPACE).map(|(_, job)| job.clone()).collect()
    }

    /// Sets a label of the namespace, or takes it away, as `kubectl label namespace` does.
    pub fn label_namespace(&self, key: &str, value: Option<&str>) {
        self.edit_namespace(|namespace| match (value, namespace["metadata"]["labels"].as_object_mut()) {
            (Some(value), Some(labels)) => drop(labels.insert(key.to_owned(), json!(value))),
            (None, Some(labels)) => drop(labels.remove(key)),
            (_, None) => {}
        });
    }

    /// Changes the object of the namespace as it stands in the cluster.
    pub fn edit_namespace(&self, edit: impl FnOnce(&mut Value)) {
        self.shared.change(|state| {
            let mut namespace = own_namespace(state);
            edit(&mut namespace);
            state.cluster.store_other("namespaces", namespace);
        });
    }

    /// The object of the namespace, as the API serves it.
    #[must_use]
    pub fn namespace(&self) -> Value {
        own_namespace(&self.shared.lock())
    }

    /// The deployment is part of this release of Helm. False when there is no such deployment.
    pub fn install_with_helm(&self, deployment: &str, release: &str) -> bool {
        self.edit(deployment, "helm", |object| {
            object["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!(release);
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
        })
    }

    /// No role lets runbookd look at objects of this kind, or change them, from now on; `plural` is its name in a path, such as `jobs`.
    pub fn forbid(&self, plural: &'static str) {
        self.shared.change(|state| state.forbidden.insert(plural));
    }

    /// Ends [`Self::forbid`].
    pub fn grant(&self, plural: &str) {
        self.shared.change(|state| state.forbidden.remove(plural));
    }
}

fn own_namespace(state: &State) -> Value {
    let all = state.cluster.others.get("namespaces");
    all.and_then(|all| all.get(&(String::new(), NAMESPACE.to_owned()))).cloned().unwrap_or_default()
}
