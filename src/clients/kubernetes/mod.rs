//! Kubernetes: reads workloads, their history, pods and nodes; restarts, rolls back, evicts, deletes pods and cordons, as kubectl does.
//!
//! A write is sent once, whatever comes back: kube's own retries (15 times on 429, 503 and 504, PATCH included) are switched off in the one
//! client there is, and only questions are asked again, here. The answer's status decides, since a proxy's errors are not JSON.

mod autoscalers;
mod budgets;
mod connect;
mod events;
mod exec;
mod field_patch;
mod history;
mod hooks;
mod keepers;
mod names;
mod nodes;
mod notes;
mod objects;
mod owners;
mod pods;
mod quotas;
mod rollback;
#[cfg(test)]
mod tests;
mod workload;
mod workloads;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::client::AuthError;
use kube::core::Resource as _;
use kube::core::params::{GetParams, ListParams, Patch, PatchParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Questions, Reason, error};
use crate::retry::Backoff;

pub use autoscalers::Autoscaler;
pub use budgets::Budget;
pub use connect::{Called, called};
pub use events::Event;
pub use exec::Output;
pub use field_patch::{FieldPatch, Plain, SetTo};
pub use history::{History, Revision, Template};
pub use hooks::{Hook, HookState};
pub use keepers::{Keeper, Writer};
pub use names::{valid_name, valid_namespace};
pub use nodes::{CORDONED_AT, Node, Ready};
pub use objects::{Asks, At, Object};
pub use owners::Owned;
pub use pods::{Container, Ended, Owner, Pod};
pub use quotas::Quota;
pub use rollback::Rollback;
pub use workload::{RESTARTED_AT, Rollout, Workload, rollout_of};

/// How many questions may be under way at once, of all kinds together.
const AT_ONCE: usize = 8;
/// How often a question is asked in all before its failure counts.
const ASKED: usize = 3;
/// Between two tries of a question; a longer `Retry-After` ends the trying instead.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How many objects one answer of a list holds, as kubectl asks for.
const PAGE: u32 = 500;
/// A list that is longer than this many pages is not read to its end.
const PAGES: usize = 20;
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
/// What the server says of a JSON patch one of whose tests fails (422, with no details).
const TEST_FAILED: &str = "the server rejected our request due to an error in our request";
/// Who we are in `managedFields`.
const FIELD_MANAGER: &str = "runbookd";

/// Which cluster. With neither, the cluster that runbookd runs in, or else `$KUBECONFIG` or `~/.kube/config`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it, instead of its current one.
    pub context: Option<String>,
}

/// A cluster.
#[derive(Clone)]
pub struct Kubernetes {
    inner: Arc<Inner>,
    written: Writes,
    /// Who writes, in `managedFields`.
    manager: &'static str,
}

/// What becomes of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// It is carried out.
    Made,
    /// The server says what it would say, and carries nothing out: `dryRun=All`.
    Rehearsed,
}

struct Inner {
    client: kube::Client,
    server: http::Uri,
    /// How long one request may take.
    timeout: Duration,
    /// What every read needs one of, whatever it asks for.
    slots: Semaphore,
    workloads: Questions<Workload>,
    pods: Questions<Arc<[Pod]>>,
    nodes: Questions<Arc<[Node]>>,
    /// Part of every question, so that one asked after a write never shares the answer to one asked before it.
    writes: AtomicU64,
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").field("server", &self.inner.server).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// Reads the settings. The API server need not be up.
    ///
    /// # Errors
    /// When there is no usable kubeconfig and no service account; the text names the file and the context, and says what to do.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let (client, server) = connect::client(settings).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                server,
                timeout: DEFAULT_TIMEOUT,
                slots: Semaphore::new(AT_ONCE),
                workloads: Questions::new(AT_ONCE),
                pods: Questions::new(AT_ONCE),
                nodes: Questions::new(AT_ONCE),
                writes: AtomicU64::new(0),
            }),
            written: Writes::Made,
            manager: FIELD_MANAGER,
        })
    }

    /// The same cluster, where nothing that is written is carried out: the server looks at it in full (rights, admission, quotas, conflicts) and says what it
    /// would have said. Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run>.
    #[must_use]
    pub fn rehearsing(&self) -> Self {
        Self { written: Writes::Rehearsed, ..self.clone() }
    }

    /// The same cluster, where what is written stands under this name in `managedFields`.
    #[must_use]
    pub fn known_as(&self, manager: &'static str) -> Self {
        Self { manager, ..self.clone() }
    }

    /// The API server's URL.
    #[must_use]
    pub fn server(&self) -> String {
        self.inner.server.to_string()
    }

    /// Whether the API server is on this machine, as a sandbox's is.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.inner.server.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// A whole list, page by page, all of one moment.
    async fn list<K: DeserializeOwned>(&self, call: &str, path: &str) -> Result<Vec<K>, CallError> {
        #[derive(Deserialize)]
        struct Page<K> {
            #[serde(default)]
            metadata: ListMeta,
            items: Vec<K>,
        }
        let mut all = Vec::new();
        let mut how = ListParams::default().limit(PAGE);
        for _ in 0..PAGES {
            let body = self.read(call, || kube::core::Request::new(path).list(&how)).await?;
            let page: Page<K> =
                serde_json::from_slice(&body).map_err(|error| CallError::unreadable(call, &error))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => how.continue_token = Some(token),
                None => return Ok(all),
            }
        }
        Err(CallError::new(call, Reason::ServerError, &format!("there are more than {}", all.len())))
    }

    /// Asks again when the server is busy; for reads only. A busy server's slot stays taken until it is asked again, so that all ask it less.
    async fn read(
        &self,
        call: &str,
        request: impl Fn() -> Result<Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Vec<u8>, CallError> {
        // The semaphore is never closed, and an error here would only mean one question too many.
        let _slot = self.inner.slots.acquire().await.ok();
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        let mut asked = 1;
        loop {
            let request = request().map_err(|error| CallError::unsent(call, &error.to_string()))?;
            match self.send(call, request).await {
                Ok(body) => return Ok(body),
                Err(error) => {
                    let patient = error.retry_after.is_none_or(|wait| wait <= AGAIN.1);
                    let busy = matches!(error.reason, Reason::RateLimited | Reason::ServerError);
                    if asked == ASKED || !busy || !patient {
                        return Err(error);
                    }
                    tokio::time::sleep(backoff.next_delay().max(error.retry_after.unwrap_or_default())).await;
                    asked += 1;
                }
            }
        }
    }

    /// An object as the server sends it; none when there is no such object.
    async fn get_or_none<K: DeserializeOwned>(
        &self,
        call: &str,
        path: &str,
        name: &str,
    ) -> Result<Option<K>, CallError> {
        let get = || kube::core::Request::new(path).get(name, &GetParams::default());
        match self.read(call, get).await {
            Ok(body) => {
                serde_json::from_slice(&body).map(Some).map_err(|error| CallError::unreadable(call, &error))
            }
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Patches an object of the list at `path`, once.
    async fn write(
        &self,
        call: &str,
        path: &str,
        name: &str,
        kind: &'static str,
        change: Value,
    ) -> Result<(), CallError> {
        let how = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() }
            .validation_strict();
        // kube's own JSON patch wants a crate for its operations; the body is the same, and the type is set here.
        let request = kube::core::Request::new(path).patch(name, &how, &Patch::Strategic(change));
        let mut request = request.map_err(|error| CallError::unsent(call, &error.to_string()))?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if kind == JSON_PATCH {
            let body = String::from_utf8_lossy(request.body());
            *request.body_mut() = as_go_writes(&body).into_bytes();
        }
        self.change(call, request).await
    }

    /// Sends what may change something, once. No answer to a question from before it is shared with one from after it.
    async fn change(&self, call: &str, request: Request<Vec<u8>>) -> Result<(), CallError> {
        let request = match self.written {
            Writes::Made => request,
            Writes::Rehearsed => {
                rehearsed(request).ok_or_else(|| CallError::unsent(call, "it can not be rehearsed"))?
            }
        };
        self.inner.writes.fetch_add(1, Ordering::SeqCst);
        let done = self.send(call, request).await;
        self.inner.writes.fetch_add(1, Ordering::SeqCst);
        done.map(drop)
    }

    /// Whether the API server answers us.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), CallError> {
        let call = "ask the Kubernetes API server for its version";
        // Every service account may read this path (the role system:public-info-viewer).
        let request = Request::get("/version").body(Vec::new());
        let request = request.map_err(|error| CallError::unsent(call, &error.to_string()))?;
        self.send(call, request).await.map(drop)
    }

    /// One request, once.
    async fn send(&self, call: &str, request: Request<Vec<u8>>) -> Result<Vec<u8>, CallError> {
        let whole = async {
            let answer = self
                .inner
                .client
                .send(request.map(Into::into))
                .await
                .map_err(|error| broken(call, &error))?;
            let (head, body) = answer.into_parts();
            let body = body.collect_bytes().await.map_err(|error| broken(call, &error))?;
            Ok::<_, CallError>((head, body.to_vec()))
        };
        let (head, body) = tokio::time::timeout(self.inner.timeout, whole).await.map_err(|_| {
            CallError::new(call, Reason::Timeout, &format!("no whole answer within {:?}", self.inner.timeout))
        })??;
        if head.status.is_success() {
            return Ok(body);
        }
        Err(refused(call, head.status, &head.headers, &body))
    }
}

/// The same request, carried out by nobody; none when it can not be said in it. A deletion that has options in its body takes them from there alone: said in
/// the address, the server would not hear it, and delete.
fn rehearsed(request: Request<Vec<u8>>) -> Option<Request<Vec<u8>>> {
    let (mut head, mut body) = request.into_parts();
    if head.method == http::Method::DELETE {
        let mut options: serde_json::Map<String, Value> = serde_json::from_slice(&body).ok()?;
        options.insert("dryRun".to_owned(), json!(["All"]));
        body = serde_json::to_vec(&options).ok()?;
    } else {
        let sign = if head.uri.query().is_some() { '&' } else { '?' };
        head.uri = format!("{}{sign}dryRun=All", head.uri).parse().ok()?;
    }
    Some(Request::from_parts(head, body))
}

/// A `test` of a JSON patch compares texts, and the server's side is written by Go, which escapes these: so must ours be. They stand in strings
/// only. Source: <https://github.com/kubernetes/apiserver/issues/100>, and tried with Kubernetes 1.36.
fn as_go_writes(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                use fmt::Write as _;
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

/// The error that an answer with a bad status is.
fn refused(call: &str, status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> CallError {
    let text = String::from_utf8_lossy(body);
    let said = serde_json::from_slice::<kube::core::Status>(body)
        .map_or_else(|_| text.into_owned(), |status| status.message);
    let mut error = CallError::of_answer(call, status, headers, &without_object(&said));
    // A wrong uid is not a 409 in a patch: 422 `metadata.uid: Invalid value: "...": field is immutable`.
    if status == StatusCode::UNPROCESSABLE_ENTITY
        && said.contains("metadata.uid")
        && said.contains("field is immutable")
    {
        error.reason = Reason::Conflict;
    }
    if status == StatusCode::UNPROCESSABLE_ENTITY && said == TEST_FAILED {
        error = CallError::new(call, Reason::Conflict, "somebody else changed it at the same moment");
    }
    error
}

/// The error that a status is whose text has been read already.
fn refused_with(call: &str, status: StatusCode, said: &str) -> CallError {
    CallError::of_answer(call, status, &http::HeaderMap::new(), said)
}

/// A 422 can quote the whole object, with the values of its environment variables: that part goes.
fn without_object(said: &str) -> String {
    let Some(start) = said.find("Invalid value: \"{") else { return said.to_owned() };
    let tail = said.rfind("}\": ").filter(|end| *end > start).map_or("", |end| &said[end + 4..]);
    format!("{}Invalid value: (the object): {tail}", &said[..start])
}

/// The error that a broken or missing connection is.
fn broken(call: &str, error: &kube::Error) -> CallError {
    let sources = || error::sources(error);
    if let Some(error) = sources().find_map(|error| error.downcast_ref::<AuthError>()) {
        // Without credentials nothing was sent.
        return CallError::new(call, Reason::Denied, &no_credentials(error));
    }
    let connecting = |error: &hyper_util::client::legacy::Error| error.is_connect();
    let late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::TimedOut;
    // The order matters: a time-out while connecting is both, and nothing was sent then.
    let reason = if sources().any(|error| error.downcast_ref().is_some_and(connecting)) {
        Reason::Unreachable
    } else if sources().any(|error| error.downcast_ref().is_some_and(late)) {
        Reason::Timeout
    } else {
        Reason::ServerError
    };
    CallError::new(call, reason, &error::chain(error))
}

/// Why there are no credentials. A kubeconfig's command and its output can hold a token, so both are left out.
fn no_credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!("the command for credentials failed: {}", out.status),
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            "the command for credentials printed something else".to_owned()
        }
        other => other.to_string(),
    }
}

fn deployments(namespace: &str) -> String {
    apps::Deployment::url_path(&(), Some(namespace))
}

fn checked_namespace(call: &str, namespace: &str) -> Result<(), CallError> {
    if valid_namespace(namespace) {
        return Ok(());
    }
    Err(CallError::unsent(call, &format!("{namespace:?} is not the name of a namespace")))
}
