//! Amazon RDS: how many connections a DB instance takes. Only `Describe` calls, signed as AWS wants it (Signature Version 4).
//!
//! The protocol is AWS's "query": a form is posted, XML comes back. An error can quote the signed headers, and a session's token is one of them: those words are
//! not kept.

mod answer;
mod class;
mod formula;
mod limit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderValue, Request, StatusCode, header};
use reqwest::Url;

pub use answer::Instance;
pub use limit::{Limit, Unknown};

use super::error::chain;
use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Questions, Reason, Secret, http_client};
use crate::retry::Backoff;

const VERSION: &str = "2014-10-31";
const SERVICE: &str = "rds";
/// How much of an answer is read.
const MOST_BYTES: usize = 4 << 20;
/// A group has some 400 parameters, and a page 100.
const PAGES: usize = 50;
/// How often a question is asked in all before its failure counts.
const ASKED: usize = 3;
/// Between two tries of a question.
const AGAIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));
/// How many questions may be under way at once.
const AT_ONCE: usize = 2;
/// What AWS calls being asked too often (400 or 503).
const THROTTLED: [&str; 4] =
    ["Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled"];

/// Which AWS, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Such as `eu-central-1`.
    pub region: String,
    /// Another address than AWS's own, such as that of a VPC endpoint.
    pub endpoint: Option<String>,
    /// The id of the access key.
    pub access_key: String,
    /// The key itself.
    pub secret: Secret,
    /// Of credentials that are good for a while.
    pub session: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// AWS's own address in a region.
    #[must_use]
    pub fn new(region: impl Into<String>, access_key: impl Into<String>, secret: Secret) -> Self {
        let (region, access_key) = (region.into(), access_key.into());
        Self { region, endpoint: None, access_key, secret, session: None, timeout: DEFAULT_TIMEOUT }
    }

    fn url(&self) -> String {
        let end = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        self.endpoint.clone().unwrap_or_else(|| format!("https://rds.{}.{end}", self.region))
    }
}

/// The RDS of an account in one region.
#[derive(Clone)]
pub struct Rds(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    url: Url,
    region: String,
    credentials: Credentials,
    answers: Questions<Arc<Vec<u8>>>,
}

impl std::fmt::Debug for Rds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rds").field("region", &self.0.region).finish_non_exhaustive()
    }
}

impl Rds {
    /// Reads the settings. Nothing is sent.
    ///
    /// # Errors
    /// When the address can not be used.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let url = Url::parse(&settings.url()).ok();
        let usable = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.query().is_none()
                && url.username().is_empty()
        };
        let url = url.filter(usable).ok_or_else(|| {
            ConnectError::new("the endpoint of AWS must look like https://rds.eu-central-1.amazonaws.com")
        })?;
        let session = settings.session.as_ref().map(|token| token.reveal().to_owned());
        let credentials =
            Credentials::new(&settings.access_key, settings.secret.reveal(), session, None, "runbookd");
        Ok(Self(Arc::new(Inner {
            http: http_client(settings.timeout)?,
            url,
            region: settings.region.clone(),
            credentials,
            answers: Questions::new(AT_ONCE),
        })))
    }

    /// How many connections a DB instance takes, as far as that can be told for certain; else why not.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such instance.
    pub async fn max_connections(&self, instance: &str) -> Result<Result<Limit, Unknown>, CallError> {
        let instance = self.instance(instance).await?;
        let group = match instance.group() {
            Ok(group) => group.to_owned(),
            Err(unknown) => return Ok(Err(unknown)),
        };
        let formula = self.parameter(&group, limit::PARAMETER).await?;
        Ok(limit::of(&instance, &group, formula.as_deref()))
    }

    /// The DB instance of this name.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such instance.
    pub async fn instance(&self, name: &str) -> Result<Instance, CallError> {
        let call = format!("describe the DB instance {name}");
        checked(&call, name)?;
        let body = self.ask(&call, "DescribeDBInstances", &[("DBInstanceIdentifier", name)]).await?;
        answer::instance(&body, name).map_err(|what| CallError::new(&call, Reason::ServerError, &what))
    }

    /// The value of a parameter of a DB parameter group; none where the group leaves it to the engine, or has no such parameter.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such group.
    pub async fn parameter(&self, group: &str, name: &str) -> Result<Option<String>, CallError> {
        let call = format!("describe the DB parameter group {group}");
        checked(&call, group)?;
        let mut marker: Option<String> = None;
        for _ in 0..PAGES {
            let mut pairs = vec![("DBParameterGroupName", group)];
            pairs.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let body = self.ask(&call, "DescribeDBParameters", &pairs).await?;
            let page = answer::parameters(&body, name)
                .map_err(|what| CallError::new(&call, Reason::ServerError, &what))?;
            match page {
                answer::Page { found: Some(value), .. } => return Ok(value),
                answer::Page { marker: Some(next), .. } => marker = Some(next),
                answer::Page { .. } => return Ok(None),
            }
        }
        Err(CallError::new(
            &call,
            Reason::ServerError,
            &format!("there are more than {PAGES} pages of parameters"),
        ))
    }

    /// Asks again when AWS is busy: all that is asked here only reads.
    async fn ask(&self, call: &str, action: &str, pairs: &[(&str, &str)]) -> Result<Arc<Vec<u8>>, CallError> {
        let pairs = [&[("Action", action), ("Version", VERSION)], pairs].concat();
        let form = Url::parse_with_params("http://form/", &pairs);
        let form = form.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default();
        let ask = || async {
            let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
            let mut asked = 1;
            loop {
                match self.send(call, &form).await {
                    Err(error)
                        if asked < ASKED
                            && matches!(error.reason, Reason::RateLimited | Reason::ServerError) =>
                    {
                        tokio::time::sleep(backoff.next_delay()).await;
                        asked += 1;
                    }
                    answered => return answered.map(Arc::new),
                }
            }
        };
        self.0.answers.ask(form.clone(), ask).await
    }

    async fn send(&self, call: &str, form: &str) -> Result<Vec<u8>, CallError> {
        let Inner { http, url, .. } = &*self.0;
        let signed = self.signed(form).map_err(|what| CallError::unsent(call, &what))?;
        let request = http.post(url.clone()).headers(signed).body(form.to_owned());
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| CallError::of_reqwest(call, error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                let message = format!("the answer is larger than {} MiB", MOST_BYTES >> 20);
                return Err(CallError::new(call, Reason::ClientError, &message));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(call, status, &headers, &body))
    }

    /// The headers of a signed request; they depend on the moment.
    fn signed(&self, form: &str) -> Result<http::HeaderMap, String> {
        let Inner { url, region, credentials, .. } = &*self.0;
        let uri: &str = url.as_str();
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(())
            .map_err(|error| error.to_string())?;
        let identity = credentials.clone().into();
        let now = SystemTime::from(crate::clock::now());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let signable =
            SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(form.as_bytes()));
        // What it can not sign it may quote.
        let unsigned = |_| "the request can not be signed with these credentials".to_owned();
        let (instructions, _) = sign(signable.map_err(unsigned)?, &params).map_err(unsigned)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request.into_parts().0.headers)
    }
}

/// What AWS refuses, by its code.
fn refused(call: &str, status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> CallError {
    let Some((code, message)) = answer::error(body) else {
        let text = String::from_utf8_lossy(body);
        return CallError::of_answer(call, status, headers, if text.contains('<') { "" } else { &text });
    };
    let said = match code.as_str() {
        "SignatureDoesNotMatch" => {
            format!(
                "{code}: the secret key is not the one of this access key, or something in between changed the request"
            )
        }
        "IncompleteSignature" | "InvalidSignatureException" => code.clone(),
        _ => format!("{code}: {message}"),
    };
    let mut error = CallError::of_answer(call, status, headers, &said);
    if THROTTLED.contains(&code.as_str()) {
        error.reason = Reason::RateLimited;
    }
    error
}

/// Names of RDS: letters, digits and hyphens; of a group points, too, as in `default.postgres15`.
/// Source: <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html>.
fn checked(call: &str, name: &str) -> Result<(), CallError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if (1..=255).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(CallError::unsent(call, "the name of a DB instance has letters, digits and hyphens only"))
}

/// The text of an error of the XML reader.
fn unreadable(error: &roxmltree::Error) -> String {
    format!("the answer can not be read: {}", chain(error))
}
