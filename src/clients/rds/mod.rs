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
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderValue, Request, StatusCode, header};
use reqwest::Url;

pub use answer::Instance;
pub use limit::{Limit, Unknown};

use super::aws::{self, Aws, Failure, Service};
use super::error::chain;
use super::{CallError, ConnectError, Questions, Reason, http_client};

const VERSION: &str = "2014-10-31";
const SERVICE: &str = "rds";
/// How much of an answer is read.
const MOST_BYTES: usize = 4 << 20;
/// A group has some 400 parameters, and a page 100.
const PAGES: usize = 50;
/// How many questions may be under way at once.
const AT_ONCE: usize = 2;
/// What each question needs in IAM.
const PERMISSION: &str = "rds:DescribeDBInstances or rds:DescribeDBParameters";

/// The RDS of an account in one region.
#[derive(Clone)]
pub struct Rds(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    url: Url,
    aws: Aws,
    answers: Questions<Arc<Vec<u8>>>,
}

impl std::fmt::Debug for Rds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rds").field("aws", &self.0.aws).finish_non_exhaustive()
    }
}

impl Rds {
    /// Nothing is sent.
    ///
    /// # Errors
    /// When the address of RDS can not be one.
    pub fn new(aws: &Aws) -> Result<Self, ConnectError> {
        let url = Url::parse(&address(aws.endpoint(Service::Rds), aws.region())).map_err(|_| {
            ConnectError::new(format!("there is no address of RDS for the region {}", aws.region()))
        })?;
        let http = http_client(aws.timeout())?;
        Ok(Self(Arc::new(Inner { http, url, aws: aws.clone(), answers: Questions::new(AT_ONCE) })))
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

    /// All that is asked here only reads.
    async fn ask(&self, call: &str, action: &str, pairs: &[(&str, &str)]) -> Result<Arc<Vec<u8>>, CallError> {
        let pairs = [&[("Action", action), ("Version", VERSION)], pairs].concat();
        let form = Url::parse_with_params("http://form/", &pairs);
        let form = form.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default();
        let send = || async { self.send(call, &form).await.map(Arc::new) };
        self.0.answers.ask(form.clone(), || self.0.aws.ask(call, send)).await
    }

    async fn send(&self, call: &str, form: &str) -> Result<Vec<u8>, Failure> {
        let Inner { http, url, aws, .. } = &*self.0;
        let credentials = aws.credentials(call).await?;
        let signed = self.signed(form, credentials).map_err(|what| CallError::unsent(call, &what))?;
        let request = http.post(url.clone()).headers(signed).body(form.to_owned());
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| CallError::of_reqwest(call, error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                let message = format!("the answer is larger than {} MiB", MOST_BYTES >> 20);
                return Err(CallError::new(call, Reason::ClientError, &message).into());
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(call, status, &headers, &body))
    }

    /// The headers of a signed request; they depend on the moment.
    fn signed(&self, form: &str, credentials: Credentials) -> Result<http::HeaderMap, String> {
        let Inner { url, aws, .. } = &*self.0;
        let uri: &str = url.as_str();
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(())
            .map_err(|error| error.to_string())?;
        let identity = credentials.into();
        let now = SystemTime::from(crate::clock::now());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(aws.region())
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

fn address(endpoint: Option<&str>, region: &str) -> String {
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    endpoint.map_or_else(|| format!("https://{SERVICE}.{region}.{end}"), str::to_owned)
}

/// What AWS refuses, by its code.
fn refused(call: &str, status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Failure {
    let Some((code, message)) = answer::error(body) else {
        let text = String::from_utf8_lossy(body);
        return CallError::of_answer(call, status, headers, if text.contains('<') { "" } else { &text })
            .into();
    };
    aws::refused(call, PERMISSION, (status, headers), Some(&code), Some(&message))
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
