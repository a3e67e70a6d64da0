//! Any other HTTP service: one GET to an address that a runbook names, or a look at the certificate that it presents (`tls`). Only hosts that the configuration allows are asked, and only at the
//! addresses that [`Policy`] lets a name have; what was checked is what is connected to.
//!
//! Sends no credentials and no cookies, follows no redirect, uses no proxy, keeps no connection. Reads 64 KiB and no more.

mod policy;
#[cfg(test)]
mod tests;
mod tls;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, HeaderValue};
use reqwest::Url;

pub use policy::{Allowed, Origin, Policy, is_special};
pub use tls::{Certificate, Trust};

use super::error::sources;
use super::{CONNECT_TIMEOUT, CallError, DEFAULT_TIMEOUT, Questions, Reason, http_client_builder};

/// How many questions may be under way at once.
const AT_ONCE: usize = 4;
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
struct Nobody;

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
    trust: Trust,
    shown: Questions<Arc<tls::Shown>>,
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
        let resolver: Resolver = Arc::new(|host, port| Box::pin(system(host, port)));
        Self::with(policy, DEFAULT_TIMEOUT, resolver, trust)
    }

    fn with(policy: Policy, timeout: Duration, resolver: Resolver, trust: Trust) -> Self {
        let (answers, shown) = (Questions::new(AT_ONCE), Questions::new(AT_ONCE));
        Self(Arc::new(Inner { policy, resolver, timeout, answers, trust, shown }))
    }

    /// What the address answers to a GET.
    ///
    /// # Errors
    /// `ClientError` for an address that may not be asked, whereupon nothing is; `Unreachable` or `Timeout` when no connection came
    /// about and nobody refused it: then nothing is known of the other side.
    pub async fn get(&self, url: &str) -> Result<Reply, CallError> {
        let (url, origin, call) = self.allowed(url)?;
        let question = url.to_string();
        self.0.answers.ask(question, || self.get_once(&call, &url, &origin)).await
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

    async fn get_once(&self, call: &str, url: &Url, origin: &Origin) -> Result<Reply, CallError> {
        let addresses = self.addresses(call, url, origin).await?;
        let mut client = http_client_builder(self.0.timeout)
            .pool_max_idle_per_host(0)
            // Sooner than the whole, so that nobody there is told from nobody answering.
            .connect_timeout(CONNECT_TIMEOUT.min(self.0.timeout / 2))
            .referer(false)
            // What was checked is what is connected to: no name is looked up again.
            .dns_resolver(Nobody)
            .resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses);
        if url.scheme() == "http" {
            // No certificate is looked at, and reading the system's takes longer than the question.
            client = client.tls_certs_only([]);
        } else {
            client = client.tls_certs_merge(self.0.trust.for_reqwest());
        }
        let client = super::built(client)
            .map_err(|error| CallError::new(call, Reason::ClientError, &error.to_string()))?;
        let request = client
            .get(url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"))
            .header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return no_answer(call, error, self.0.timeout),
        };
        let status = answer.status().as_u16();
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
        Ok(Reply::Answer { status, body: Arc::new(body), whole })
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
