//! The real daemon as a test sees it: its API, its log, its metrics, and its journal once it has ended.

use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Client;
use runbookd::api::wire::{IncidentView, Incidents, Listed, UnansweredAlerts};
use runbookd::chaos::stage::{API_TOKEN, Setting, Stage, WEBHOOK_TOKEN};
use runbookd::clients::http_client;
use runbookd::incident::{IncidentId, Recorded};
use runbookd::receive;
use runbookd::store::{Sqlite, Store as _};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// The binary that was built with this test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_runbookd");
/// Nothing that a test waits for takes as long, on however busy a machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(150);
/// So often is looked at what can not be waited for.
const LOOK: Duration = Duration::from_millis(20);

/// The daemon on its stage.
pub(crate) struct Daemon {
    pub(crate) stage: Stage,
    http: Client,
    folder: TempDir,
}

impl Daemon {
    /// The shipped runbooks, allowed to act, in front of a fresh sandbox. Not running yet.
    pub(crate) async fn new(time_scale: u32) -> Self {
        Self::with(time_scale, |_| {}).await
    }

    pub(crate) async fn with(time_scale: u32, change: impl FnOnce(&mut Setting)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut setting = Setting::acting(PROGRAM.as_ref(), folder.path(), time_scale);
        change(&mut setting);
        let stage = Stage::new(setting).await.unwrap();
        Self { stage, http: http_client(LIMIT).unwrap(), folder }
    }

    pub(crate) async fn start(&mut self) {
        self.stage.start().await.unwrap();
    }

    /// A file beside the daemon's own.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let url = format!("{}/api/v1{path}", self.stage.url());
        let answer = self.http.get(&url).bearer_auth(API_TOKEN).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {status}, {error}: {text}"))
    }

    pub(crate) async fn incidents(&self) -> Vec<Listed> {
        self.get::<Incidents>("/incidents").await.incidents
    }

    pub(crate) async fn view(&self, id: &IncidentId) -> IncidentView {
        self.get(&format!("/incidents/{id}")).await
    }

    /// The one incident, once it is there.
    pub(crate) async fn one(&self) -> IncidentId {
        let mut since = String::new();
        let begun = Instant::now();
        loop {
            let list: Incidents = self.get(&format!("/incidents?wait=10s{since}")).await;
            match list.incidents.as_slice() {
                [one] => return one.summary.id.clone(),
                [] => assert!(begun.elapsed() < LIMIT, "no incident: {}", self.stage.last_words()),
                more => panic!("more than one incident: {more:#?}"),
            }
            since = format!("&since={}", list.change);
        }
    }

    /// The incident, once it is as wanted.
    pub(crate) async fn once(
        &self,
        id: &IncidentId,
        what: &str,
        mut wanted: impl FnMut(&IncidentView) -> bool,
    ) -> IncidentView {
        let begun = Instant::now();
        loop {
            let view = self.view(id).await;
            if wanted(&view) {
                return view;
            }
            let closed = view.summary.closed_at.is_some();
            assert!(
                !closed && begun.elapsed() < LIMIT,
                "{what} never came; the incident's events: {:#?}\n{}",
                names(&view.events),
                self.stage.last_words()
            );
            let _: IncidentView =
                self.get(&format!("/incidents/{id}?after={}&wait=2s", view.summary.seq)).await;
        }
    }

    /// The one incident, once it is closed.
    pub(crate) async fn ended(&self) -> IncidentView {
        let id = self.one().await;
        self.once(&id, "the end", |view| view.summary.closed_at.is_some()).await
    }

    /// The one incident, once it has an event of this name.
    pub(crate) async fn event(&self, name: &str) -> IncidentView {
        let id = self.one().await;
        self.once(&id, name, |view| names(&view.events).contains(&name)).await
    }

    pub(crate) async fn unanswered(&self) -> UnansweredAlerts {
        self.get("/unanswered").await
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.stage.url());
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The value of a series, such as `runbookd_alerts_total{result="opened"}`.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }

    /// Posts to the webhook; the status and the text of the answer.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        self.try_post(body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, body: impl Into<reqwest::Body>) -> reqwest::Result<(u16, String)> {
        let url = format!("{}{}", self.stage.url(), receive::PATH);
        let answer = self.http.post(url).bearer_auth(WEBHOOK_TOKEN).body(body).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.stage.log()).unwrap_or_default()
    }

    /// Waits until the log has this text.
    pub(crate) async fn logged(&self, text: &str, limit: Duration) -> bool {
        until(limit, async || self.log().contains(text)).await
    }

    /// Runs the program beside the daemon, with these arguments.
    #[expect(clippy::disallowed_methods, reason = "the tests start what a person would start")]
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(arguments).current_dir(self.folder.path()).env("NO_COLOR", "1").kill_on_drop(true);
        for name in ["RUNBOOKD_WEBHOOK_TOKEN", "RUNBOOKD_API_TOKEN", "KUBECONFIG"] {
            command.env_remove(name);
        }
        tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap()
    }

    /// The journal of a daemon that has ended, every hash checked: the events by incident, oldest first.
    pub(crate) async fn journal(&self) -> Vec<(IncidentId, Vec<Recorded>)> {
        let store = Sqlite::open(&self.stage.journal()).await.unwrap();
        let mut all = Vec::new();
        for summary in store.incidents(false, 1_000).await.unwrap().into_iter().rev() {
            let events = store.events(&summary.id, 0).await.unwrap();
            assert_eq!(events.len() as u64, summary.seq, "the journal of {} has a gap", summary.id);
            all.push((summary.id, events));
        }
        store.close().await;
        all
    }
}

/// The names of events, in order.
pub(crate) fn names(events: &[Recorded]) -> Vec<&'static str> {
    events.iter().map(|recorded| recorded.event.name()).collect()
}

/// Looks again and again until it is so; false when it was not within `limit`.
pub(crate) async fn until(limit: Duration, mut so: impl AsyncFnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !so().await {
        if begun.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// A notification of these alerts, as Alertmanager posts it.
pub(crate) fn notification(alerts: &[serde_json::Value]) -> String {
    serde_json::json!({
        "version": "4", "groupKey": "{}:{alertname=\"Test\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "runbookd", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093", "alerts": alerts,
    })
    .to_string()
}

/// An alert that fires, as it stands in a notification.
pub(crate) fn firing(labels: &serde_json::Value, since: Timestamp) -> serde_json::Value {
    serde_json::json!({
        "status": "firing", "labels": labels, "annotations": {}, "startsAt": since.to_string(),
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
    })
}
