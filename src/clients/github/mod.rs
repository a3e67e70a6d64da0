//! GitHub Actions: starts one run of a workflow that the configuration lists (`workflow_dispatch`), finds the run again by the operation's id, and follows it to its conclusion.
//!
//! A run is asked for once, whatever comes back. Its mark is the input `runbookd_operation`, which the workflow shows in its `run-name`: with it a lost answer can be cleared up. No token gets into an error.
//! Source: <https://docs.github.com/en/rest/actions/workflows#create-a-workflow-dispatch-event>.

mod answer;
#[cfg(test)]
mod tests;
mod workflow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

pub use answer::{Run, State};
pub use workflow::Workflow;

use super::http::hidden;
use super::server::{authorization, is_address};
use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Questions, Reason, Secret, http_client};
use crate::clock;
use crate::retry::Backoff;

/// The address of github.com's API.
pub const DEFAULT_URL: &str = "https://api.github.com";
/// The input that holds the operation's id.
pub const MARK: &str = "runbookd_operation";
/// A run that was asked for is in the list by then.
pub const SETTLES: Duration = Duration::from_mins(2);
/// Clocks differ by less.
const SKEW: Duration = Duration::from_mins(2);
const VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";
/// How much of an answer is read; a run has some 20 KiB.
const MOST_BYTES: usize = 8 << 20;
/// So many runs are looked through.
const PAGE: usize = 50;
/// How often a question is asked in all before its failure counts.
const ASKED: usize = 3;
/// Between two tries of a question.
const AGAIN: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));
/// Who is to wait for longer does not wait here.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many questions may be under way at once.
const AT_ONCE: usize = 2;
/// More than GitHub takes, the mark included.
const MOST_INPUTS: usize = 24;

/// Which GitHub, who we are there, and what may be started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of the API; a GitHub Enterprise Server's ends in `/api/v3`.
    pub url: String,
    /// A token with the right `actions: write` in the repositories of the workflows, and nothing else.
    pub token: Secret,
    /// The workflows that may be started; empty: none.
    pub workflows: Vec<Workflow>,
    /// Whether the run is asked for in the answer, which a GitHub Enterprise Server may refuse.
    /// Source: <https://github.blog/changelog/2026-02-19-workflow-dispatch-api-now-returns-run-ids>.
    pub run_details: bool,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// github.com, and nothing that may be started.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        let url = DEFAULT_URL.to_owned();
        Self { url, token, workflows: Vec::new(), run_details: true, timeout: DEFAULT_TIMEOUT }
    }
}

/// A GitHub.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    settings: Settings,
    headers: HeaderMap,
    answers: Questions<Arc<Vec<u8>>>,
}

/// What became of the runs that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The run of this operation.
    Run(Run),
    /// No run at all was started by hand or by us since then. Believed once it [`SETTLES`].
    Nothing,
    /// So many were, and none shows the operation's id: the workflow may not show it, so it can not be told.
    Others(u64),
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHub").field("url", &self.0.settings.url).finish_non_exhaustive()
    }
}

impl GitHub {
    /// Reads the settings. Nothing is sent.
    ///
    /// # Errors
    /// When the address or the token can not be used.
    pub fn new(settings: Settings) -> Result<Self, ConnectError> {
        let settings = Settings { url: settings.url.trim_end_matches('/').to_owned(), ..settings };
        if !is_address(&settings.url) {
            return Err(ConnectError::new(format!(
                "the address of GitHub's API must look like {DEFAULT_URL}"
            )));
        }
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization("GitHub", &settings.token)?),
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (VERSION, HeaderValue::from_static("2022-11-28")),
        ]);
        let http = http_client(settings.timeout)?;
        Ok(Self(Arc::new(Inner { http, settings, headers, answers: Questions::new(AT_ONCE) })))
    }

    /// For so long after it was asked for, a run may be missing in the list: what asks for it has ended by then, and the list has it.
    #[must_use]
    pub fn settles(&self) -> Duration {
        self.0.settings.timeout + SETTLES
    }

    /// The workflows that may be started.
    #[must_use]
    pub fn workflows(&self) -> &[Workflow] {
        &self.0.settings.workflows
    }

    /// Asks for one run, once; the id of the run where GitHub tells it at once, else it has to be found.
    ///
    /// # Errors
    /// `ClientError` for a workflow that is not listed and for inputs that it does not take, `NotFound`, `Denied`, `RateLimited`; with these nothing was started. After a `Timeout`
    /// or a `ServerError` it may have been: [`Self::find`] tells.
    pub async fn dispatch(
        &self,
        workflow: &Workflow,
        inputs: &BTreeMap<String, String>,
        operation: &str,
    ) -> Result<Option<u64>, CallError> {
        let call = format!("start the workflow {workflow}");
        self.listed(&call, workflow)?;
        if inputs.contains_key(MARK) || inputs.len() > MOST_INPUTS {
            let message = format!("expected at most {MOST_INPUTS} inputs, and none of the name {MARK}");
            return Err(CallError::unsent(&call, &message));
        }
        let mut all = inputs.clone();
        all.insert(MARK.to_owned(), operation.to_owned());
        let mut body = json!({"ref": workflow.reference(), "inputs": all});
        if self.0.settings.run_details {
            body["return_run_details"] = true.into();
        }
        let path = format!("{}/dispatches", workflow.path());
        let answer = self.send(&call, Method::POST, &path, &[], Some(&body)).await?;
        // It was started, whatever else the answer says, and as much as nothing (204).
        Ok(answer::started(&answer))
    }

    /// The run that carries the operation's id, among those that were started since shortly before `since`.
    ///
    /// # Errors
    /// Whatever keeps GitHub from answering.
    pub async fn find(
        &self,
        workflow: &Workflow,
        operation: &str,
        since: Timestamp,
    ) -> Result<Found, CallError> {
        let call = format!("look for the run of the workflow {workflow}");
        self.listed(&call, workflow)?;
        if operation.is_empty() {
            return Err(CallError::unsent(&call, "there is no operation's id to look for"));
        }
        let since = clock::before(since, SKEW).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let path = format!("{}/runs", workflow.path());
        let pairs = [
            ("event", "workflow_dispatch".to_owned()),
            ("created", format!(">={since}")),
            ("per_page", PAGE.to_string()),
        ];
        let answer = self.ask(&call, &path, &pairs).await?;
        let runs = answer::runs(&answer).map_err(|error| CallError::unreadable(&call, &*error))?;
        let marked = runs.runs.into_iter().filter(|run| run.carries(operation));
        Ok(match (marked.min_by_key(|run| run.id), runs.total) {
            (Some(run), _) => Found::Run(run),
            (None, 0) => Found::Nothing,
            (None, total) => Found::Others(total),
        })
    }

    /// The run of this id.
    ///
    /// # Errors
    /// Whatever keeps GitHub from answering; `NotFound` when it was deleted.
    pub async fn run(&self, workflow: &Workflow, id: u64) -> Result<Run, CallError> {
        let call = format!("look at run {id} of the workflow {workflow}");
        self.listed(&call, workflow)?;
        let path = format!("/repos/{}/{}/actions/runs/{id}", workflow.owner(), workflow.repository());
        let answer = self.ask(&call, &path, &[]).await?;
        answer::run(&answer).map_err(|error| CallError::unreadable(&call, &*error))
    }

    fn listed(&self, call: &str, workflow: &Workflow) -> Result<(), CallError> {
        if self.0.settings.workflows.contains(workflow) {
            return Ok(());
        }
        let message = format!(
            "the configuration does not list it; add it to `github: {{workflows: [\"{workflow}\"]}}`"
        );
        Err(CallError::unsent(call, &message))
    }

    /// Asks again while GitHub is busy: all that is asked here only reads.
    async fn ask(&self, call: &str, path: &str, pairs: &[(&str, String)]) -> Result<Arc<Vec<u8>>, CallError> {
        let ask = || async {
            let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
            let mut asked = 1;
            loop {
                match self.send(call, Method::GET, path, pairs, None).await {
                    Err(error)
                        if asked < ASKED
                            && matches!(error.reason, Reason::RateLimited | Reason::ServerError)
                            && error.retry_after.is_none_or(|wait| wait <= PATIENCE) =>
                    {
                        let wait = error.retry_after.unwrap_or_else(|| backoff.next_delay());
                        tokio::time::sleep(wait).await;
                        asked += 1;
                    }
                    answered => return answered.map(Arc::new),
                }
            }
        };
        self.0.answers.ask(format!("{path} {pairs:?}"), ask).await
    }

    async fn send(
        &self,
        call: &str,
        method: Method,
        path: &str,
        pairs: &[(&str, String)],
        body: Option<&serde_json::Value>,
    ) -> Result<Vec<u8>, CallError> {
        let Inner { http, settings, headers, .. } = &*self.0;
        let mut request =
            http.request(method.clone(), format!("{}{path}", settings.url)).headers(headers.clone());
        if !pairs.is_empty() {
            request = request.query(pairs);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > MOST_BYTES => {
                    let message = format!("the answer is larger than {} MiB", MOST_BYTES >> 20);
                    return Err(CallError::new(call, Reason::ServerError, &message));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                // What was to be done is done by then.
                Err(_) if status.is_success() && method == Method::POST => return Ok(Vec::new()),
                Err(error) => return Err(CallError::of_reqwest(call, error)),
            }
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(call, status, &headers, &hidden::without(&body, settings.token.reveal())))
    }
}

/// What GitHub refuses, and what to do.
fn refused(call: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallError {
    let said = answer::message(body);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let is_limit = header(REMAINING) == Some(0)
        || headers.contains_key(RETRY_AFTER)
        || said.to_ascii_lowercase().contains("rate limit");
    // Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
    if matches!(status.as_u16(), 403 | 429) && is_limit {
        let mut error = CallError::of_answer(call, status, headers, &said);
        error.reason = Reason::RateLimited;
        if error.retry_after.is_none() && header(REMAINING) == Some(0) {
            let reset = header(RESET).and_then(|seconds| Timestamp::from_second(seconds).ok());
            let wait = reset.map(|reset| clock::between(clock::now(), reset));
            error.retry_after = wait.map(|wait| wait.min(Duration::from_hours(1)));
        }
        return error;
    }
    let help = match status.as_u16() {
        401 => "the token is not accepted: it has expired, or was withdrawn",
        403 => "the token lacks the right `actions: write`, or its organisation does not let it in",
        404 => {
            "there is no such repository, or no workflow of this file on its default branch, or the token may not see it (`actions: write`)"
        }
        422 if said.contains("return_run_details") => {
            "this GitHub does not know it: set `github: {run_details: false}`"
        }
        422 if said.contains(MARK) => {
            "the workflow needs the input `runbookd_operation`, and to show it in its `run-name`"
        }
        301 | 302 | 307 | 308 => "the repository has another name now",
        _ => "",
    };
    let both = if help.is_empty() { said } else { format!("{said}; {help}") };
    CallError::of_answer(call, status, headers, &both)
}
