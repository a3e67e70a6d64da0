//! The daemon's API from the outside: one client for all commands, whose errors say what to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use reqwest::{RequestBuilder, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::wire;
use crate::clients::http_client;
use crate::incident::IncidentId;
use crate::incident::proof::Proof;

/// A request that does not wait for an event has its answer within this time.
const WITHIN: Duration = Duration::from_secs(10);
/// What the daemon is asked to wait for an event, and what is allowed for that in all.
const WAIT: &str = "30s";
const WAIT_WITHIN: Duration = Duration::from_secs(45);
/// As many incidents as the API gives at once.
const MOST: u32 = 1_000;

/// So often is said what can be said twice, and so far apart.
const TRIES: u32 = 6;
const AGAIN: Duration = Duration::from_secs(1);

const TOKEN: &str = "RUNBOOKD_API_TOKEN";

/// Which daemon is meant.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Where runbookd answers.
    #[arg(long, env = "RUNBOOKD_URL", value_name = "URL", default_value = "http://127.0.0.1:9099")]
    pub url: String,
    /// A file that holds the API token; without it, the token is taken from `RUNBOOKD_API_TOKEN`.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Nobody is there, the connection broke, or the daemon can not answer now; trying again later can help.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody was there, and no answer came: whether it was done is not known.
    #[error("{0}")]
    Lost(String),
    /// It was asked for wrongly: there is no such thing, or something is missing.
    #[error("{0}")]
    Wrong(String),
    /// Something answered, and said no.
    #[error("{0}")]
    Refused(String),
}

/// The daemon's API.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    token_from: String,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let url = &connection.url;
        let base = match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some() => parsed,
            _ => anyhow::bail!("--url {url:?} is not the address of a daemon; expected http://HOST:9099"),
        };
        let (token, token_from) = match &connection.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    anyhow::anyhow!("--token-file {} can not be read: {error}", path.display())
                })?;
                (Some(text.trim().to_owned()), format!("--token-file {}", path.display()))
            }
            None => (super::environment(TOKEN), TOKEN.to_owned()),
        };
        let token = token.filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.chars().all(|character| character.is_ascii_graphic())) {
            anyhow::bail!("the token from {token_from} holds characters that no token has, such as a space");
        }
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http: http_client(WAIT_WITHIN)?, base, token, token_from })
    }

    pub(super) async fn status<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        self.send(self.get("/status").timeout(WITHIN)).await
    }

    pub(super) async fn changes<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        // The cluster is looked at for each of them.
        self.send(self.get("/changes").timeout(WAIT_WITHIN)).await
    }

    pub(super) async fn proofs<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        self.send(self.get("/proofs").timeout(WITHIN)).await
    }

    /// Hands in what a run has shown of a runbook. It is kept once for each run and runbook, and said again when the answer is lost.
    pub(super) async fn keep_proof(&self, proof: &Proof) -> Result<wire::ProofKept, Failed> {
        self.say_once("/proofs", proof).await
    }

    pub(super) async fn incidents<T: DeserializeOwned>(&self, open: bool, limit: u32) -> Result<T, Failed> {
        let query = [("open", open.to_string()), ("limit", limit.to_string())];
        self.send(self.get("/incidents").query(&query).timeout(WITHIN)).await
    }

    /// The open incidents, once anything has changed since `since`.
    pub(super) async fn next_change(&self, since: Option<u64>) -> Result<wire::Incidents, Failed> {
        let mut query = vec![("open", "true".to_owned()), ("limit", MOST.to_string())];
        if let Some(since) = since {
            query.extend([("since", since.to_string()), ("wait", WAIT.to_owned())]);
        }
        self.send(self.get("/incidents").query(&query)).await
    }

    pub(super) async fn incident<T: DeserializeOwned>(&self, id: &IncidentId) -> Result<T, Failed> {
        self.send(self.get(&format!("/incidents/{id}")).timeout(WITHIN)).await
    }

    /// An incident with its events after `after`, once there are any.
    pub(super) async fn events_after(
        &self,
        id: &IncidentId,
        after: u64,
    ) -> Result<wire::IncidentView, Failed> {
        let query = [("after", after.to_string()), ("wait", WAIT.to_owned())];
        self.send(self.get(&format!("/incidents/{id}")).query(&query)).await
    }

    /// An incident with its events after `after`, as it is now.
    pub(super) async fn events_since(
        &self,
        id: &IncidentId,
        after: u64,
    ) -> Result<wire::IncidentView, Failed> {
        let request = self.get(&format!("/incidents/{id}")).query(&[("after", after)]);
        self.send(request.timeout(WITHIN)).await
    }

    /// The newest drills.
    pub(super) async fn drills(&self) -> Result<wire::Drills, Failed> {
        self.send(self.get("/drills").timeout(WITHIN)).await
    }

    pub(super) async fn unanswered<T: DeserializeOwned>(&self, limit: u32) -> Result<T, Failed> {
        self.send(self.get("/unanswered").query(&[("limit", limit)]).timeout(WITHIN)).await
    }

    pub(super) async fn say<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failed> {
        self.send(self.http.post(format!("{}/api/v1{path}", self.base)).json(body).timeout(WITHIN)).await
    }

    /// Says what has a key, and says it again when the answer is lost: it is done once, however often it comes.
    pub(super) async fn say_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failed> {
        let mut lost = None;
        for number in 1.. {
            match self.say(path, body).await {
                Err(Failed::Lost(why)) if number < TRIES => lost = Some(why),
                // It has gone away with the answer, and comes back perhaps.
                Err(Failed::Unreachable(_)) if lost.is_some() && number < TRIES => {}
                Err(Failed::Unreachable(why)) if lost.is_some() => return Err(Failed::Lost(why)),
                other => return other,
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(Failed::Lost(lost.unwrap_or_default()))
    }

    /// The incident that is meant by an id, or by its beginning or end when only one has it.
    pub(super) async fn resolve(&self, text: &str) -> anyhow::Result<IncidentId> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let listed: wire::Incidents = self.incidents(false, MOST).await?;
        let ids = listed.incidents.into_iter().map(|listed| listed.summary.id).collect();
        meant(text, ids)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}/api/v1{path}", self.base))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failed> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                let base = &self.base;
                Failed::Refused(format!(
                    "what {base} answers is not what this release of runbookd expects: {error}; \
                     is it runbookd, and of the same release?"
                ))
            });
        }
        Err(self.refused(status, &body))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failed {
        let base = &self.base;
        if error.is_connect() {
            return Failed::Unreachable(format!(
                "no runbookd answers at {base}; is `runbookd serve` running? use --url or RUNBOOKD_URL for another address"
            ));
        }
        Failed::Lost(if error.is_timeout() {
            format!("runbookd at {base} did not answer in time; its log may say why")
        } else {
            format!("the connection to runbookd at {base} broke off; look at its log")
        })
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failed {
        if status == StatusCode::UNAUTHORIZED {
            return Failed::Refused(match self.token {
                None => format!("the daemon wants its API token: set {TOKEN} or use --token-file FILE"),
                Some(_) => format!("the token from {} is not the daemon's API token", self.token_from),
            });
        }
        let why = match serde_json::from_slice::<wire::Error>(body) {
            Ok(wire::Error { error }) => super::paint::harmless(&error),
            Err(_) => format!(
                "{} answers {status}, and not as runbookd does; is --url the address of `runbookd serve`?",
                self.base
            ),
        };
        // The journal was busy or away; nothing was done, and trying again can help.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            Failed::Unreachable(why)
        } else if matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
            Failed::Lost(why)
        } else if matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
            Failed::Wrong(why)
        } else {
            Failed::Refused(why)
        }
    }
}

/// The one id that begins or ends with `text`. Ids begin with the time, so those of one day differ at their ends.
fn meant(text: &str, ids: Vec<IncidentId>) -> anyhow::Result<IncidentId> {
    let part = text.to_ascii_lowercase();
    if part.is_empty() {
        anyhow::bail!("the incident's id is empty; see `runbookd incidents`");
    }
    let mut found: Vec<IncidentId> =
        ids.into_iter().filter(|id| id.as_str().starts_with(&part) || id.as_str().ends_with(&part)).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => anyhow::bail!("no incident's id begins or ends with {text:?}; see `runbookd incidents`"),
        number => {
            let shown: Vec<&str> = found.iter().take(5).map(IncidentId::as_str).collect();
            let more = if number > shown.len() { ", ..." } else { "" };
            anyhow::bail!("{number} incidents fit {text:?}: {}{more}; give more of the id", shown.join(", "))
        }
    }
}

/// Who is at the keyboard: `alice@laptop`.
pub(super) fn me() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(super::environment).filter(|user| !user.is_empty());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| super::environment("HOSTNAME"))
        .map(|host| host.trim().to_owned())
        .filter(|host| !host.is_empty());
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), host.as_deref().unwrap_or("somewhere"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_cut_as_long_as_only_one_fits() {
        let ids: Vec<IncidentId> =
            ["1kfm3x9q02vge", "1kfm3x9q02abc", "1kg00000000aa"].map(|id| id.parse().unwrap()).to_vec();
        let meant = |text| meant(text, ids.clone()).map_err(|error| error.to_string());
        assert_eq!(meant("1kg"), Ok(ids[2].clone()));
        assert_eq!(meant("VGE"), Ok(ids[0].clone()));
        insta::assert_snapshot!(meant("1kfm").unwrap_err(), @r#"2 incidents fit "1kfm": 1kfm3x9q02vge, 1kfm3x9q02abc; give more of the id"#);
        insta::assert_snapshot!(meant("zz").unwrap_err(), @r#"no incident's id begins or ends with "zz"; see `runbookd incidents`"#);
        insta::assert_snapshot!(meant("").unwrap_err(), @"the incident's id is empty; see `runbookd incidents`");
    }
}
