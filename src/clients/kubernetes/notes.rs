//! What a person's faults need besides: the labels of a namespace, annotations, and Jobs of our own.

use std::collections::BTreeMap;

use http::{Request, header};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::Resource as _;
use serde_json::{Value, json};

use super::objects::escaped;
use super::{CallError, JSON_PATCH, Kubernetes, Object, checked_namespace, deployments, history, valid_name};

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

    /// The object of a namespace; none when there is no such namespace.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn namespace(&self, name: &str) -> Result<Option<Object>, CallError> {
        let call = format!("read namespace/{name}");
        checked_namespace(&call, name)?;
        let found: Option<Value> = self.get_or_none(&call, &Namespace::url_path(&(), None), name).await?;
        let object = found.map(|json| Object { call, kind: "namespace".to_owned(), json });
        Ok(object.filter(|object| object.name() == name))
    }

    /// Puts a note onto the object of a namespace that was read without one, and changes nothing else of it.
    ///
    /// # Errors
    /// `Conflict` when the namespace is another one by now, or has such a note.
    pub async fn note_namespace(&self, namespace: &Object, note: (&str, &str)) -> Result<(), CallError> {
        let name = namespace.name();
        let call = format!("put a note onto namespace/{name}");
        checked_namespace(&call, name)?;
        let has_some =
            namespace.json["metadata"]["annotations"].as_object().is_some_and(|all| !all.is_empty());
        let mut change = vec![json!({"op": "test", "path": "/metadata/uid", "value": namespace.uid()})];
        change.extend(with_note(has_some, note));
        self.write(&call, &Namespace::url_path(&(), None), name, JSON_PATCH, Value::Array(change)).await
    }

    /// Takes this note off the object of a namespace, and changes nothing else of it.
    ///
    /// # Errors
    /// `Conflict` when the namespace is another one, or has another note.
    pub async fn remove_note_of_namespace(
        &self,
        name: &str,
        uid: &str,
        note: (&str, &str),
    ) -> Result<(), CallError> {
        let call = format!("take the note off namespace/{name}");
        checked_namespace(&call, name)?;
        self.write(&call, &Namespace::url_path(&(), None), name, JSON_PATCH, without_note(uid, note)).await
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
        let request = Request::post(format!("{path}?fieldManager={}&fieldValidation=Strict", self.manager))
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

/// Where an annotation stands, for a JSON patch.
pub(super) fn of_note(key: &str) -> String {
    format!("/metadata/annotations/{}", escaped(key))
}

/// Puts a note onto an object that has none of this key; whether it has other annotations is tested, too.
pub(super) fn with_note(has_annotations: bool, (key, note): (&str, &str)) -> [Value; 2] {
    let (path, value) = if has_annotations {
        (of_note(key), json!(note))
    } else {
        ("/metadata/annotations".to_owned(), json!({key: note}))
    };
    [json!({"op": "test", "path": path, "value": null}), json!({"op": "add", "path": path, "value": value})]
}

/// Takes this very note off this very object.
pub(super) fn without_note(uid: &str, (key, note): (&str, &str)) -> Value {
    json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": of_note(key), "value": note},
        {"op": "remove", "path": of_note(key)},
    ])
}

fn checked_job(call: &str, namespace: &str, name: &str) -> Result<(), CallError> {
    checked_namespace(call, namespace)?;
    if valid_name(name) {
        return Ok(());
    }
    Err(CallError::unsent(call, &format!("{name:?} is not the name of a job")))
}
