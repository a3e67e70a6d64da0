//! Who we are in AWS. Looked up at the first call, never at the start; kept until shortly before it ends, and, where it never ends, for a while, because files change.
//!
//! The steps are aws-config's own; they are asked one after the other here, so that an error says which were tried. None of it shows a secret.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, imds};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sts::config::SharedHttpClient;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::super::error::chain;
use super::web_identity::assume;
use super::{Reason, Source};
use crate::clock::{after, before, now};

/// Within this they are there, or they are not.
const LOOKED_FOR: Duration = Duration::from_secs(10);
/// So long before they end others are looked for.
const EARLY: Duration = Duration::from_mins(5);
/// Credentials without an end are looked up anew after this, as a file of them can be replaced.
const KEPT: Duration = Duration::from_mins(1);
/// After none were found, nobody looks again for this long: a hundred incidents would.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where there is no instance nothing answers, and nobody should wait for long.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there are no credentials.
#[derive(Debug, Clone)]
pub(super) struct Untold {
    pub(super) reason: Reason,
    pub(super) why: String,
}

/// Who we are.
#[derive(Clone)]
pub(super) struct Identity(Arc<State>);

struct State {
    source: Source,
    steps: ProviderConfig,
    sts: aws_sdk_sts::Client,
    kept: Mutex<Option<Kept>>,
}

/// What the last look brought.
struct Kept {
    found: Result<Credentials, Untold>,
    until: Timestamp,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(...)")
    }
}

impl Identity {
    /// Nothing is looked up.
    pub(super) fn new(source: Source, http: SharedHttpClient, region: &str, sts: &SdkConfig) -> Self {
        let steps = ProviderConfig::default()
            .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
            .with_region(Some(Region::new(region.to_owned())))
            .with_http_client(http);
        Self(Arc::new(State { source, steps, sts: aws_sdk_sts::Client::new(sts), kept: Mutex::new(None) }))
    }

    /// The credentials at hand, or others when those are about to end. Whoever comes meanwhile waits for the same ones.
    pub(super) async fn credentials(&self) -> Result<Credentials, Untold> {
        let mut kept = self.0.kept.lock().await;
        let now = now();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
            return kept.found.clone();
        }
        let found = match tokio::time::timeout(LOOKED_FOR, self.look()).await {
            Ok(found) => found,
            Err(_) => Err(Untold {
                reason: Reason::Timeout,
                why: format!(
                    "no credentials for AWS: nobody gave any within {} s; asked were {}",
                    LOOKED_FOR.as_secs(),
                    self.tried()
                ),
            }),
        };
        let until = match &found {
            Ok(credentials) => match credentials.expiry().map(moment) {
                Some(end) => before(end, EARLY).max(after(now, PATIENCE)),
                None => after(now, KEPT),
            },
            Err(_) => after(now, PATIENCE),
        };
        *kept = Some(Kept { found: found.clone(), until });
        found
    }

    pub(super) async fn forget(&self) {
        *self.0.kept.lock().await = None;
    }

    async fn look(&self) -> Result<Credentials, Untold> {
        let State { source, steps, sts, .. } = &*self.0;
        match source {
            Source::Keys { access_key, secret, session } => {
                let session = session.as_ref().map(|token| token.reveal().to_owned());
                Ok(Credentials::new(access_key, secret.reveal(), session, None, "runbookd"))
            }
            Source::Profile { name, file } => {
                let found = profile(steps, name.as_deref(), file.as_deref()).provide_credentials().await;
                found.map_err(|error| failed(&self.tried(), &error))
            }
            Source::Usual { web_identity } => {
                let environment = EnvironmentVariableCredentialsProvider::new().provide_credentials().await;
                if let Some(found) = Self::step("the environment", environment)? {
                    return Ok(found);
                }
                let profile = profile(steps, None, None).provide_credentials().await;
                if let Some(found) = Self::step("the profile", profile)? {
                    return Ok(found);
                }
                if let Some(identity) = web_identity {
                    return assume(sts, identity).await;
                }
                let container = EcsCredentialsProvider::builder().configure(steps).build();
                if let Some(found) = Self::step(
                    "the container's endpoint (Pod Identity)",
                    container.provide_credentials().await,
                )? {
                    return Ok(found);
                }
                // Nothing comes after it, and what is no instance fails in several ways.
                let client = imds::Client::builder()
                    .configure(steps)
                    .max_attempts(1)
                    .connect_timeout(INSTANCE_TIMEOUT)
                    .read_timeout(INSTANCE_TIMEOUT)
                    .build();
                let instance =
                    ImdsCredentialsProvider::builder().configure(steps).imds_client(client).build();
                instance.provide_credentials().await.map_err(|_| Untold {
                    reason: Reason::Denied,
                    why: format!("no credentials for AWS: they are in none of {}", self.tried()),
                })
            }
        }
    }

    /// What one step found; nothing when it is not set up. One that is set up and fails ends the search: another identity was not meant.
    fn step(step: &str, found: Result<Credentials, CredentialsError>) -> Result<Option<Credentials>, Untold> {
        match found {
            Ok(credentials) => Ok(Some(credentials)),
            Err(CredentialsError::CredentialsNotLoaded(_)) => Ok(None),
            Err(error) => Err(failed(step, &error)),
        }
    }

    /// Where was looked, in words.
    fn tried(&self) -> String {
        match &self.0.source {
            Source::Keys { .. } => "the settings".to_owned(),
            Source::Profile { name, file } => {
                let name = name.as_deref().unwrap_or("default");
                match file {
                    Some(file) => format!("the profile {name} of {}", file.display()),
                    None => format!("the profile {name} of the shared files"),
                }
            }
            Source::Usual { .. } => {
                "the environment, the shared files' profile, a web identity (IRSA), the container's endpoint (Pod Identity), the instance's role"
                    .to_owned()
            }
        }
    }
}

fn failed(step: &str, error: &CredentialsError) -> Untold {
    let reason = match error {
        CredentialsError::ProviderTimedOut(_) => Reason::Timeout,
        CredentialsError::ProviderError(_) => Reason::ServerError,
        // A file, a name, a variable is wrong: asking again does not help.
        _ => Reason::Denied,
    };
    Untold { reason, why: format!("no credentials for AWS: {step}: {}", chain(error)) }
}

impl ProvideCredentials for Identity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.credentials().await.map_err(|untold| CredentialsError::provider_error(untold.why))
        })
    }
}

/// Made anew for every look: it keeps what it has once read.
fn profile(
    steps: &ProviderConfig,
    name: Option<&str>,
    file: Option<&std::path::Path>,
) -> ProfileFileCredentialsProvider {
    let mut builder = ProfileFileCredentialsProvider::builder().configure(steps);
    if let Some(name) = name {
        builder = builder.profile_name(name);
    }
    if let Some(file) = file {
        use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file).build();
        builder = builder.profile_files(files);
    }
    builder.build()
}

/// What can not be said in our time is long past or far away.
fn moment(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}
