//! The protocol "query" of the older services of AWS: a form is posted, signed as AWS wants it (Signature Version 4), and XML comes back. It is sent once; what
//! an answer means is the service's client's to say.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use reqwest::Url;

use super::super::http_client;
use super::{Aws, CallError, ConnectError, Failure, Reason, Service, refused};

/// How much of an answer is read.
const MOST_BYTES: usize = 4 << 20;

/// A service that speaks it.
pub(in crate::clients) struct Query {
    http: reqwest::Client,
    url: Url,
    aws: Aws,
    service: Service,
}

/// What came back.
pub(in crate::clients) struct Answered {
    pub(in crate::clients) status: StatusCode,
    pub(in crate::clients) body: Vec<u8>,
    headers: HeaderMap,
}

impl Answered {
    /// What AWS refuses: by the code and the message that are in the body, if there are any; `permission` is what the call needs in IAM.
    pub(in crate::clients) fn refused(
        &self,
        call: &str,
        permission: &str,
        said: Option<(String, String)>,
    ) -> Failure {
        let Some((code, message)) = said else {
            let text = String::from_utf8_lossy(&self.body);
            let text = if text.contains('<') { "" } else { &text };
            return CallError::of_answer(call, self.status, &self.headers, text).into();
        };
        refused(call, permission, (self.status, &self.headers), Some(&code), Some(&message))
    }
}

impl Query {
    /// Nothing is sent.
    ///
    /// # Errors
    /// When the address of the service can not be one.
    pub(in crate::clients) fn new(aws: &Aws, service: Service) -> Result<Self, ConnectError> {
        let url = Url::parse(&address(aws.endpoint(service), service, aws.region())).map_err(|_| {
            let (service, region) = (service.as_str(), aws.region());
            ConnectError::new(format!("there is no address of {service} for the region {region}"))
        })?;
        Ok(Self { http: http_client(aws.timeout())?, url, aws: aws.clone(), service })
    }

    /// Sends a form, and reads the answer whatever its status is.
    pub(in crate::clients) async fn send(&self, call: &str, form: &str) -> Result<Answered, Failure> {
        let credentials = self.aws.credentials(call).await?;
        let signed = self.signed(form, credentials).map_err(|what| CallError::unsent(call, &what))?;
        let request = self.http.post(self.url.clone()).headers(signed).body(form.to_owned());
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
        Ok(Answered { status, body, headers })
    }

    /// The headers of a signed request; they depend on the moment.
    fn signed(&self, form: &str, credentials: Credentials) -> Result<HeaderMap, String> {
        let uri: &str = self.url.as_str();
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(())
            .map_err(|error| error.to_string())?;
        let identity = credentials.into();
        let now = SystemTime::from(crate::clock::now());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.aws.region())
            .name(self.service.as_str())
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

/// The pairs as a form.
pub(in crate::clients) fn form(pairs: &[(&str, &str)]) -> String {
    let form = Url::parse_with_params("http://form/", pairs);
    form.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

pub(in crate::clients) fn address(endpoint: Option<&str>, service: Service, region: &str) -> String {
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    endpoint.map_or_else(|| format!("https://{}.{region}.{end}", service.as_str()), str::to_owned)
}
