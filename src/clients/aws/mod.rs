//! Amazon Web Services: what the clients of its services share. Who we are there (`identity`), where a service is, with what HTTP it is spoken to, and how its
//! errors are read. It knows no service's questions.
//!
//! The SDK sends everything once: what is asked again is asked again here, and only questions are.

mod failure;
mod identity;
mod query;
#[cfg(test)]
pub(crate) mod tests;
mod web_identity;
mod who;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::SharedHttpClient;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use failure::refused;
pub(super) use failure::{Failure, failed};
use identity::Identity;
#[cfg(test)]
pub(super) use query::address;
pub(super) use query::{Answered, Query, form};
pub use who::Who;

use super::server::is_address;
use super::{CONNECT_TIMEOUT, CallError, ConnectError, DEFAULT_TIMEOUT, Reason, Secret};
use crate::retry::Backoff;

/// How often a question is asked in all before its failure counts.
const ASKED: usize = 3;
/// Between two tries of a question.
const AGAIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));
/// Whatever the SDK does around a request, it does within this.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A service that is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Certificates.
    Acm,
    /// Names.
    Route53,
    /// Databases.
    Rds,
    /// Machines.
    Ec2,
    /// Gives credentials for a web identity.
    Sts,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Acm, Self::Route53, Self::Rds, Self::Ec2, Self::Sts];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acm => "acm",
            Self::Route53 => "route53",
            Self::Rds => "rds",
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
        }
    }
}

/// Which AWS, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Such as `eu-central-1`.
    pub region: String,
    /// Another address than AWS's own, for every service.
    pub endpoint: Option<String>,
    /// Another address for one service, such as that of a VPC endpoint.
    pub endpoints: BTreeMap<Service, String>,
    /// Where the credentials are.
    pub credentials: Source,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Where credentials come from. Nothing of it is looked up before the first call.
#[derive(Debug, Clone)]
pub enum Source {
    /// Where AWS's own tools look, one after the other: the environment, the profile of the shared files, a web identity (IRSA), the container's endpoint (EKS Pod
    /// Identity), the instance's role.
    Usual {
        /// What the environment says of a web identity.
        web_identity: Option<WebIdentity>,
    },
    /// A profile, and nothing else: who names one does not mean another.
    Profile {
        /// Its name; none: `AWS_PROFILE`, or `default`.
        name: Option<String>,
        /// The file of credentials that it stands in; none: the shared files.
        file: Option<PathBuf>,
    },
    /// These.
    Keys {
        /// The id of the access key.
        access_key: String,
        /// The key itself.
        secret: Secret,
        /// Of credentials that are good for a while.
        session: Option<Secret>,
    },
}

/// A token in a file, for which STS gives the credentials of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    /// Where the token is; it is read anew each time.
    pub token_file: PathBuf,
    /// The role.
    pub role_arn: String,
    /// What the session is called in AWS's own logs.
    pub session_name: Option<String>,
}

impl Settings {
    /// AWS's own addresses in a region, with credentials from where AWS's own tools look.
    #[must_use]
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            endpoint: None,
            endpoints: BTreeMap::new(),
            credentials: Source::Usual { web_identity: None },
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// With this key.
    #[must_use]
    pub fn with_key(self, access_key: impl Into<String>, secret: Secret, session: Option<Secret>) -> Self {
        Self { credentials: Source::Keys { access_key: access_key.into(), secret, session }, ..self }
    }
}

/// AWS, as one of its accounts sees it.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    region: String,
    endpoint: Option<String>,
    endpoints: BTreeMap<Service, String>,
    timeout: Duration,
    http: SharedHttpClient,
    identity: Identity,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("region", &self.0.region).finish_non_exhaustive()
    }
}

impl Aws {
    /// Reads the settings. Nothing is sent, and no credentials are looked for.
    ///
    /// # Errors
    /// When an address can not be used.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let Settings { region, endpoint, endpoints, credentials, timeout } = settings;
        for url in endpoint.iter().chain(endpoints.values()) {
            if !is_address(url) {
                let expected = "an endpoint of AWS must look like https://rds.eu-central-1.amazonaws.com";
                return Err(ConnectError::new(expected));
            }
        }
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let sts = endpoints.get(&Service::Sts).or(endpoint.as_ref());
        let sts = config(region, *timeout, &http, sts.map(String::as_str), None);
        Ok(Self(Arc::new(Inner {
            identity: Identity::new(credentials.clone(), http.clone(), region, &sts),
            region: region.clone(),
            endpoint: endpoint.clone(),
            endpoints: endpoints.clone(),
            timeout: *timeout,
            http,
        })))
    }

    pub(super) fn region(&self) -> &str {
        &self.0.region
    }

    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Where a service is, when it is not at AWS's own address.
    pub(super) fn endpoint(&self, service: Service) -> Option<&str> {
        self.0.endpoints.get(&service).or(self.0.endpoint.as_ref()).map(String::as_str)
    }

    /// Who we are, now.
    pub(super) async fn credentials(&self, call: &str) -> Result<Credentials, CallError> {
        self.0.identity.credentials().await.map_err(|untold| CallError::new(call, untold.reason, &untold.why))
    }

    /// AWS says that the credentials have ended: the next call looks for others.
    pub(super) async fn forget(&self) {
        self.0.identity.forget().await;
    }

    /// How a service's client of the SDK is made.
    pub(super) fn sdk(&self, service: Service) -> SdkConfig {
        let Inner { region, timeout, http, identity, .. } = &*self.0;
        let identity = SharedCredentialsProvider::new(identity.clone());
        config(region, *timeout, http, self.endpoint(service), Some(identity))
    }

    /// Asks a question, again while AWS is busy, and once more with other credentials when those at hand have ended.
    pub(super) async fn ask<T, F>(&self, call: &str, question: impl Fn() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        let mut asked = 1;
        loop {
            let error = match self.once(call, question()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.is_stale && asked == 1 => failure.error,
                Err(Failure { error, .. })
                    if asked < ASKED && matches!(error.reason, Reason::RateLimited | Reason::ServerError) =>
                {
                    tokio::time::sleep(backoff.next_delay()).await;
                    error
                }
                Err(failure) => return Err(failure.error),
            };
            tracing::debug!("Asking AWS again: {error}");
            asked += 1;
        }
    }

    /// Sends a write, once, whatever comes back.
    pub(super) async fn tell<T>(
        &self,
        call: &str,
        write: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, CallError> {
        self.once(call, write).await.map_err(|failure| failure.error)
    }

    async fn once<T>(
        &self,
        call: &str,
        send: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        // Asked for first, as the SDK would say no more than that there are none.
        self.credentials(call).await.map_err(Failure::from)?;
        let answer = send.await;
        if answer.as_ref().is_err_and(|failure| failure.is_stale) {
            self.forget().await;
        }
        answer
    }
}

/// A request of the SDK in a box: its future names every type that it passes through, and whoever awaits it would name them again.
pub(super) fn boxed<'f, T>(
    request: impl Future<Output = T> + Send + 'f,
) -> Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    Box::pin(request)
}

fn config(
    region: &str,
    timeout: Duration,
    http: &SharedHttpClient,
    endpoint: Option<&str>,
    identity: Option<SharedCredentialsProvider>,
) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(timeout)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .http_client(http.clone())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // `identity` keeps them, for RDS as well.
        .identity_cache(IdentityCache::no_cache());
    config.set_app_name(AppName::new("runbookd").ok());
    config.set_endpoint_url(endpoint.map(str::to_owned));
    config.set_credentials_provider(identity);
    config.build()
}
