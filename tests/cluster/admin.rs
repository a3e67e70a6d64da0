//! What the tests themselves ask of the cluster, with the rights of the kubeconfig: plain requests and plain JSON, none of runbookd's own client.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::stage::until;

/// The cluster, as an administrator.
#[derive(Clone)]
pub(crate) struct Admin(Client);

/// The status and the message of an answer that is none of success.
pub(crate) type Refused = (u16, String);

impl Admin {
    pub(crate) async fn new(kubeconfig: Kubeconfig) -> Self {
        runbookd::clients::install_tls();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Self(Client::try_from(config).unwrap())
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Value, Refused> {
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.0.request(request.body(body).unwrap()).await.map_err(|error| match error {
            kube::Error::Api(status) => (status.code, status.message),
            other => panic!("{method} {path}: {other:?}"),
        })
    }

    /// The object, or the list; none when it is not there.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match self.send("GET", path, "application/json", &Value::Null).await {
            Ok(found) => Some(found),
            Err((404, _)) => None,
            Err(other) => panic!("GET {path}: {other:?}"),
        }
    }

    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) async fn try_create(&self, path: &str, object: &Value) -> Result<Value, Refused> {
        self.send("POST", path, "application/json", object).await
    }

    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let made = self.try_create(path, object).await;
        made.unwrap_or_else(|refused| panic!("POST {path}: {refused:?}: {object:#}"))
    }

    /// A merge patch of a list's or a status's fields.
    pub(crate) async fn try_merge(&self, path: &str, change: &Value) -> Result<Value, Refused> {
        self.send("PATCH", path, "application/merge-patch+json", change).await
    }

    pub(crate) async fn merge(&self, path: &str, change: &Value) -> Value {
        let made = self.try_merge(path, change).await;
        made.unwrap_or_else(|refused| panic!("PATCH {path}: {refused:?}: {change:#}"))
    }

    /// Merges lists by their keys, as kubectl does.
    pub(crate) async fn patch(&self, path: &str, change: &Value) -> Value {
        let made = self.send("PATCH", path, "application/strategic-merge-patch+json", change).await;
        made.unwrap_or_else(|refused| panic!("PATCH {path}: {refused:?}: {change:#}"))
    }

    /// Declares what is to be there, as server-side apply does.
    pub(crate) async fn apply(&self, path: &str, wanted: &Value) -> Value {
        // JSON is YAML.
        let made = self.send("PATCH", path, "application/apply-patch+yaml", wanted).await;
        made.unwrap_or_else(|refused| panic!("PATCH {path}: {refused:?}: {wanted:#}"))
    }

    /// What is gone already is deleted.
    pub(crate) async fn delete(&self, path: &str, options: &Value) {
        match self.send("DELETE", path, "application/json", options).await {
            // Another uid by now: ours is gone.
            Ok(_) | Err((404 | 409, _)) => {}
            Err(other) => panic!("DELETE {path}: {other:?}"),
        }
    }

    /// Removes the pod's object, as a kubelet does whose containers have ended.
    pub(crate) async fn end_pod(&self, namespace: &str, pod: &Value) {
        let uid = &pod["metadata"]["uid"];
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        let name = pod["metadata"]["name"].as_str().unwrap();
        self.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}"), &options).await;
    }

    /// Whether the server serves this group; says so when it does not.
    pub(crate) async fn has(&self, group: &str, what: &str) -> bool {
        let has = self.get(&format!("/apis/{group}")).await.is_some();
        if !has {
            crate::stage::say(&format!("not run: {what}, for the cluster has no {group}"));
        }
        has
    }

    /// Until the object is as wanted.
    pub(crate) async fn once(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let is = async || self.get(path).await.as_ref().is_some_and(&wanted);
        let came = until(is).await;
        let seen = self.get(path).await;
        assert!(came, "{path} never was as wanted: {seen:#?}");
        seen.unwrap_or_default()
    }
}
