//! Any other HTTP service: one GET to an address that a runbook names, one call (`send`), or a look at the certificate that it presents (`tls`). Only hosts and pods that the
//! configuration allows are asked, and only at the addresses that [`Policy`] lets them have; what was checked is what is connected to.
//!
//! Sends no cookies and no credentials but those that the configuration has for this very host, follows no redirect, uses no proxy, keeps no connection. Reads 64 KiB and no more.

pub(super) mod hidden;
mod pods;
mod policy;
mod send;
#[cfg(test)]
mod tests;
mod tls;
mod value;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, HeaderValue};
use reqwest::Url;

pub use pods::{AllowedPods, Key, KeyTo, Network, PodAt};
pub use policy::{Allowed, Origin, Policy, is_special};
pub use send::{Order, Sent};
pub use tls::{Certificate, Trust};
pub use value::value_at;

use super::error::sources;
use super::{CONNECT_TIMEOUT, CallError, DEFAULT_TIMEOUT, Questions, Reason, http_client_builder};

/// How many questions may be under way at once.
const AT_ONCE: usize = 8;
/// Of more pods none is asked or called.
pub const MOST_PODS: usize = 50;
/// The largest answer that is read.
pub const MOST_BYTES: usize = 64 * 1024;

/// What came of a question that the other side had a chance to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It answered.
    Answer {
        /// With this status.
        status: u16,
        /// The body, or its first 64 KiB.
        body: Arc<Vec<u8>>,
        /// Whether that is all of the body.
        whole: bool,
    },
    /// It is there and gave no answer: it refused the connection, broke it off, or took it and stayed silent.
    None(String),
}

/// Knows no name: an address comes from the check before, or there is none.
pub(super) struct Nobody;

impl reqwest::dns::Resolve for Nobody {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async { Err("a name that was not checked is not looked up".into()) })
    }
}

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
type Resolver = Arc<dyn Fn(String, u16) -> Addresses + Send + Sync>;

/// The services that may be asked.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    policy: Policy,
    resolver: Resolver,
    timeout: Duration,
    answers: Questions<Reply>,
    /// How many calls were begun or have ended. No answer to a question from before one is shared with a question from after it.
    calls: AtomicU64,
    trust: Trust,
    shown: Questions<Arc<tls::Shown>>,
    keys: Vec<Key>,
}

/// Who is asked or called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'t> {
    /// Who answers at this address.
    Url(&'t str),
    /// This very pod, with this path.
    Pod(PodAt<'t>, &'t str),
}

/// One who may be asked, and how.
struct Way {
    url: Url,
    origin: Origin,
    /// In words, without the path.
    call: String,
    /// A pod's own address was checked already.
    is_pod: bool,
    key: Option<Key>,
}

impl Http {
    /// Asks these hosts, and no others.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self::trusting(policy, Trust::default())
    }

    /// The same, and believes what these certificates vouch for, too.
    #[must_use]
    pub fn trusting(policy: Policy, trust: Trust) -> Self {
        Self::showing(policy, trust, Vec::new())
    }

    /// The same, with what is shown to some of them.
    #[must_use]
    pub fn showing(policy: Policy, trust: Trust, keys: Vec<Key>) -> Self {
        let resolver: Resolver = Arc::new(|host, port| Box::pin(system(host, port)));
        Self::with_keys(policy, DEFAULT_TIMEOUT, resolver, trust, keys)
    }

    #[cfg(test)]
    fn with(policy: Policy, timeout: Duration, resolver: Resolver, trust: Trust) -> Self {
        Self::with_keys(policy, timeout, resolver, trust, Vec::new())
    }

    fn with_keys(
        policy: Policy,
        timeout: Duration,
        resolver: Resolver,
        trust: Trust,
        keys: Vec<Key>,
    ) -> Self {
        let (answers, shown) = (Questions::new(AT_ONCE), Questions::new(AT_ONCE));
        let calls = AtomicU64::new(0);
        Self(Arc::new(Inner { policy, resolver, timeout, answers, calls, trust, shown, keys }))
    }

    /// What the address answers to a GET.
    ///
    /// # Errors
    /// `ClientError` for an address that may not be asked, whereupon nothing is; `Unreachable` or `Timeout` when no connection came
    /// about and nobody refused it: then nothing is known of the other side.
    pub async fn get(&self, url: &str) -> Result<Reply, CallError> {
        self.ask(To::Url(url)).await
    }

    /// The same, of a pod at its own address, too.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn ask(&self, to: To<'_>) -> Result<Reply, CallError> {
        let way = self.way(to)?;
        // A host and a pod at one address are not shown the same.
        let of = if let To::Pod(pod, _) = to { pod.namespace } else { "" };
        let question = format!("{} {of} {}", self.0.calls.load(Ordering::SeqCst), way.url);
        self.0.answers.ask(question, || self.get_once(&way)).await
    }

    /// Whether this may be asked and called at all; nothing is looked up.
    ///
    /// # Errors
    /// `ClientError`, with why not.
    pub fn may(&self, to: To<'_>) -> Result<(), CallError> {
        self.way(to).map(|_| ())
    }

    fn way(&self, to: To<'_>) -> Result<Way, CallError> {
        let (url, origin, call) = match to {
            To::Url(url) => self.allowed(url)?,
            To::Pod(pod, path) => self.allowed_pod(pod, path)?,
        };
        let is_for = |key: &&Key| match (&key.to, to) {
            (KeyTo::Host(host), To::Url(_)) => host.covers(&origin),
            (KeyTo::Pods { namespace, port }, To::Pod(pod, _)) => {
                namespace == pod.namespace && *port == pod.port
            }
            _ => false,
        };
        let key = self.0.keys.iter().find(is_for).cloned();
        Ok(Way { url, origin, call, is_pod: matches!(to, To::Pod(..)), key })
    }

    /// The address of a pod, when it may be asked.
    fn allowed_pod(&self, pod: PodAt<'_>, path: &str) -> Result<(Url, Origin, String), CallError> {
        let at = SocketAddr::new(pod.address, pod.port);
        let call = format!("ask the pod at {at}");
        if !self.0.policy.allows_pods(Some(pod.namespace), pod.port) {
            return Err(CallError::unsent(&call, &pods_not_allowed(pod.namespace, pod.port)));
        }
        if !self.0.policy.connects_to_pod(pod) {
            let message = "its address is in none of the networks that `http: {pods: [...]}` of the configuration names, or is this machine's, its link's or a metadata service's; nothing was asked";
            return Err(CallError::unsent(&call, message));
        }
        let unfit = || CallError::unsent(&call, "it is not a path that can be asked");
        let url = Url::parse(&format!("http://{at}{path}")).map_err(|_| unfit())?;
        let origin = Origin::of(&url).ok_or_else(unfit)?;
        let is_there = origin.address() == Some(pod.address.to_canonical()) && origin.port() == pod.port;
        if !path.starts_with('/') || !is_there {
            return Err(unfit());
        }
        Ok((url, origin, call))
    }

    /// The address, when its host may be asked, and the call in words.
    fn allowed(&self, url: &str) -> Result<(Url, Origin, String), CallError> {
        let unfit = || CallError::unsent("ask an address", "it is not one that can be asked");
        let url = Url::parse(url).map_err(|_| unfit())?;
        let origin = Origin::of(&url).ok_or_else(unfit)?;
        let call = format!("ask {origin}");
        if !self.0.policy.allows(&origin) {
            return Err(CallError::unsent(&call, &not_allowed(&origin)));
        }
        Ok((url, origin, call))
    }

    async fn get_once(&self, way: &Way) -> Result<Reply, CallError> {
        let client = self.client(way, self.0.timeout).await?;
        let request = client.get(way.url.clone()).header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        match shown(request, way).send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let (body, whole) = body(answer, way).await;
                Ok(Reply::Answer { status, body: Arc::new(body), whole })
            }
            Err(error) => no_answer(&way.call, error, self.0.timeout),
        }
    }

    /// A client that connects to what was checked, and to nothing else.
    async fn client(&self, way: &Way, timeout: Duration) -> Result<reqwest::Client, CallError> {
        let addresses = match (way.is_pod, way.origin.address()) {
            (true, Some(address)) => vec![SocketAddr::new(address, way.origin.port())],
            _ => self.addresses(&way.call, &way.url, &way.origin).await?,
        };
        let mut client = http_client_builder(timeout)
            .pool_max_idle_per_host(0)
            // Sooner than the whole, so that nobody there is told from nobody answering.
            .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
            .referer(false)
            // What was checked is what is connected to: no name is looked up again.
            .dns_resolver(Nobody)
            .resolve_to_addrs(way.url.host_str().unwrap_or_default(), &addresses);
        if way.url.scheme() == "http" {
            // No certificate is looked at, and reading the system's takes longer than the question.
            client = client.tls_certs_only([]);
        } else {
            client = client.tls_certs_merge(self.0.trust.for_reqwest());
        }
        super::built(client)
            .map_err(|error| CallError::new(&way.call, Reason::ClientError, &error.to_string()))
    }

    /// The addresses of the host, every one of which may be connected to.
    async fn addresses(&self, call: &str, url: &Url, origin: &Origin) -> Result<Vec<SocketAddr>, CallError> {
        let addresses = match origin.address() {
            Some(address) => vec![address],
            None => {
                let host = url.host_str().unwrap_or_default().to_owned();
                let looked_up = (self.0.resolver)(host, origin.port());
                let unreachable = |message: &str| CallError::new(call, Reason::Unreachable, message);
                match tokio::time::timeout(CONNECT_TIMEOUT, looked_up).await {
                    Err(_) => return Err(unreachable("the name could not be looked up in time")),
                    Ok(Err(error)) => {
                        return Err(unreachable(&format!("the name could not be looked up: {error}")));
                    }
                    Ok(Ok(found)) if found.is_empty() => {
                        return Err(unreachable("the name has no address"));
                    }
                    Ok(Ok(found)) => found,
                }
            }
        };
        // One that may not be connected to is reason enough to mistrust the others.
        if let Some(address) = addresses.iter().find(|address| !self.0.policy.connects(origin, **address)) {
            let message = format!(
                "it resolves to {address}, which is this machine, its link or a metadata service, and not in `http: {{allow: [...]}}` by itself; nothing was asked"
            );
            return Err(CallError::unsent(call, &message));
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, origin.port())).collect())
    }
}

/// What is said of a host that is not in the list.
#[must_use]
pub fn not_allowed(origin: &Origin) -> String {
    format!("{origin} is not in `http: {{allow: [...]}}` of the configuration, so nothing was asked")
}

/// The same of pods.
#[must_use]
pub fn pods_not_allowed(namespace: &str, port: u16) -> String {
    format!(
        "port {port} of the pods of {namespace} is not in `http: {{pods: [...]}}` of the configuration, so nothing was asked"
    )
}

/// The request with what every request has, and with what the configuration shows to this one.
fn shown(request: reqwest::RequestBuilder, way: &Way) -> reqwest::RequestBuilder {
    let request = request.header(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
    let Some(key) = &way.key else { return request };
    match HeaderValue::from_str(key.value.reveal()) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(key.header.clone(), value)
        }
        // It was looked at when the configuration was read.
        Err(_) => request,
    }
}

/// The body, or its beginning, and whether that is all of it. What was shown to the other side does not come back in it.
async fn body(mut answer: reqwest::Response, way: &Way) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    // A body that breaks off changes nothing about the status.
    let whole = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MOST_BYTES => {
                body.extend_from_slice(&chunk[..MOST_BYTES - body.len()]);
                break false;
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    match &way.key {
        Some(key) => (hidden::without(&body, key.value.reveal()), whole),
        None => (body, whole),
    }
}

async fn system(host: String, port: u16) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.map(|address| address.ip()).collect())
}

/// A request without an answer. What the other side did counts as its answer; what the network did not deliver says nothing about it.
fn no_answer(call: &str, error: reqwest::Error, timeout: Duration) -> Result<Reply, CallError> {
    if error.is_builder() {
        return Err(CallError::of_reqwest(call, error));
    }
    if error.is_connect() {
        let refused = sources(&error)
            .filter_map(|source| source.downcast_ref::<io::Error>())
            .any(|source| source.kind() == io::ErrorKind::ConnectionRefused);
        return match refused {
            true => Ok(Reply::None("the connection was refused".to_owned())),
            false => Err(CallError::of_reqwest(call, error)),
        };
    }
    if error.is_timeout() {
        let waited = crate::text::span(timeout);
        return Ok(Reply::None(format!("the connection was taken, and no answer came within {waited}")));
    }
    Ok(Reply::None("the connection was broken off, or what came over it was no answer".to_owned()))
}
