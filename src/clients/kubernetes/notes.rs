//! What a person's faults need besides: the labels of a namespace, annotations, and Jobs of our own.

use std::collections::BTreeMap;

use http::{Request, header};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::Resource as _;
use serde_json::{Value, json};

use super::{CallError, Kubernetes, Object, checked_namespace, deployments, history, valid_name};

impl Object {
    /// An annotation of it.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.json["metadata"]["annotations"][key].as_str()
    }
}

impl Kubernetes {
    /// The labels of a namespace; none when there is no such namespace.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn namespace_labels(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, CallError> {
        let call = format!("read namespace/{name}");
        checked_namespace(&call, name)?;
        let found: Option<Namespace> = self.get_or_none(&call, &Namespace::url_path(&(), None), name).await?;
        let found = found.filter(|found| found.metadata.name.as_deref() == Some(name));
        Ok(found.map(|found| found.metadata.labels.unwrap_or_default()))
    }

    /// All objects of a kind in a namespace; `kind` is `deployment` or `job`.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn objects_of(&self, kind: &str, namespace: &str) -> Result<Vec<Object>, CallError> {
        let call = format!("list the {kind}s of {namespace}");
        checked_namespace(&call, namespace)?;
        let path = match kind {
            "deployment" => deployments(namespace),
            "job" => Job::url_path(&(), Some(namespace)),
            _ => return Err(CallError::unsent(&call, "objects of this kind are not asked for")),
        };
        let all: Vec<Value> = self.list(&call, &path).await?;
        let object = |json| Object { call: call.clone(), kind: kind.to_owned(), json };
        Ok(all.into_iter().map(object).collect())
    }

    /// Makes a Job, once.
    ///
    /// # Errors
    /// `Conflict` when there is one of that name.
    pub async fn create_job(&self, namespace: &str, job: &Value) -> Result<(), CallError> {
        let name = history::text(job, "/metadata/name");
        let call = format!("create job/{name} in {namespace}");
        checked_job(&call, namespace, name)?;
        let path = Job::url_path(&(), Some(namespace));
        let request =
            Request::post(format!("{path}?fieldManager={}&fieldValidation=Strict", super::FIELD_MANAGER))
                .header(header::CONTENT_TYPE, "application/json")
                .body(job.to_string().into_bytes());
        let request = request.map_err(|error| CallError::unsent(&call, &error.to_string()))?;
        self.change(&call, request).await
    }

    /// Deletes the Job of this `uid`, and its pods after it. One that is gone is deleted.
    ///
    /// # Errors
    /// `Conflict` when the Job of that name is another one by now.
    pub async fn remove_job(&self, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
        let call = format!("delete job/{name} in {namespace}");
        checked_job(&call, namespace, name)?;
        let path = format!("{}/{name}", Job::url_path(&(), Some(namespace)));
        self.delete(&call, &path, uid, &json!({"propagationPolicy": "Background"})).await
    }
}

fn checked_job(call: &str, namespace: &str, name: &str) -> Result<(), CallError> {
    checked_namespace(call, namespace)?;
    if valid_name(name) {
        return Ok(());
    }
    Err(CallError::unsent(call, &format!("{name:?} is not the name of a job")))
}
