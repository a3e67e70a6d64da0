//! The real daemon in front of the sandbox: one flow per outcome, and for each guard one in which *nothing was
//! called*. Every duration is divided by the same number; nothing sleeps, everything waits for a marker.

mod asking;
mod certificate;
mod database_pool;
mod deploying;
mod drills;
mod guards;
mod high_latency;
mod inference_oom;
mod node_failure;
mod outcomes;
mod owners;
mod pod_crash;
mod pods;
mod proofs;
mod restores;
mod runs;
mod terraform;
mod trouble;
mod workflow;

use std::path::Path;
use std::time::Duration;

use runbookd::chaos::stage::{API_TOKEN, SHIPPED, Setting, Stage};
use runbookd::clients::http_client;
use runbookd::sandbox::{Thread, World};
use serde_json::{Value, json};

/// An hour is two minutes, a minute of `hold` two seconds.
const TIME_SCALE: u32 = 30;
/// A flow that has not ended by then never will.
const LIMIT: Duration = Duration::from_secs(150);
/// What Slack was not told by then, when there was nothing else to wait for, it never will be.
const TOLD: Duration = Duration::from_secs(90);

/// A stage with the daemon running, and what a test asks of it.
struct Flow {
    stage: Stage,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Flow {
    /// The shipped runbook, allowed to act.
    async fn begin() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Setting)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_runbookd"));
        let mut setting = Setting::acting(program, folder.path(), TIME_SCALE);
        change(&mut setting);
        let mut stage = Stage::new(setting).await.unwrap();
        stage.start().await.unwrap();
        Self { stage, http: http_client(Duration::from_secs(40)).unwrap(), _folder: folder }
    }

    fn world(&self) -> World {
        self.stage.world()
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/api/v1{path}", self.stage.url());
        self.http.get(url).bearer_auth(API_TOKEN).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/api/v1{path}", self.stage.url());
        let answer = self.http.post(url).bearer_auth(API_TOKEN).json(&body).send().await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// A person says yes to what is asked for.
    async fn approve(&self, id: &str, judged: &Value) {
        self.post(&format!("/incidents/{id}/approve"), json!({"by": "ana", "judged": judged})).await;
    }

    /// Posts an alert to the webhook, as Alertmanager does, and comes back when it is in the journal.
    async fn alert(&self, status: &str, labels: Value) -> Value {
        let started = "2026-11-22T18:00:00Z";
        let ended = if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-11-22T18:30:00Z" };
        let alert = json!({"status": status, "labels": labels, "annotations": {}, "startsAt": started,
            "endsAt": ended, "generatorURL": ""});
        let body = json!({"version": "4", "receiver": "r", "groupKey": "{}", "truncatedAlerts": 0,
            "status": status, "alerts": [alert]});
        let url = format!("{}{}", self.stage.url(), runbookd::receive::PATH);
        let token = runbookd::chaos::stage::WEBHOOK_TOKEN;
        let answer = self.http.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// The alert that the shipped runbook answers.
    async fn fire(&self) {
        self.alert("firing", high_5xx()).await;
    }

    /// The ids of all incidents, oldest first.
    async fn incidents(&self) -> Vec<String> {
        let listed = self.get("/incidents?limit=100").await;
        let mut ids: Vec<String> = listed["incidents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|incident| incident["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Waits until an incident of this name meets the condition.
    async fn until(&self, id: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let waited = async {
            let mut after = 0;
            loop {
                let view = self.get(&format!("/incidents/{id}")).await;
                if condition(&view) {
                    return view;
                }
                let last = view["events"].as_array().and_then(|events| events.last()?["seq"].as_u64());
                after = last.unwrap_or(after);
                self.get(&format!("/incidents/{id}?after={after}&wait=5s")).await;
            }
        };
        match tokio::time::timeout(LIMIT, waited).await {
            Ok(view) => view,
            Err(_) => {
                let view = self.get(&format!("/incidents/{id}")).await;
                panic!("not {what}: {}\n{view:#}\n{}", view["stage"], self.stage.last_words())
            }
        }
    }

    /// Waits until there is an incident, and gives its id.
    async fn incident(&self) -> String {
        let waited = async {
            loop {
                if let Some(id) = self.incidents().await.into_iter().next() {
                    return id;
                }
                self.world().changed().await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, waited).await;
        waited.unwrap_or_else(|_| panic!("no incident: {}", self.stage.last_words()))
    }

    /// Waits until the first incident has ended.
    async fn end(&self) -> Value {
        let id = self.incident().await;
        self.end_of(&id).await
    }

    async fn end_of(&self, id: &str) -> Value {
        self.until(id, "closed", |view| !view["summary"]["closed_at"].is_null()).await
    }

    /// Waits until the first incident has an event of this name.
    async fn event(&self, name: &str) -> (String, Value) {
        let id = self.incident().await;
        let view = self.until(&id, name, |view| has(view, name)).await;
        (id, view)
    }

    /// Waits until a broken service has written enough for `confirm`.
    async fn evidence_of(&self, service: &str) {
        let world = self.world();
        let enough = world.until(Duration::from_secs(90), |world| {
            world.logs(service).iter().filter(|line| line.text.contains("pool")).count() > 20
        });
        assert!(enough.await, "{service} writes no such lines");
    }

    /// Waits until Slack was told it. It is told behind the journal, the head of a thread before its replies: whoever has read the head can not yet read those.
    async fn told(&self, what: &str, is_told: impl Fn(&[Thread]) -> bool) -> Vec<Thread> {
        let world = self.world();
        let told = world.until(TOLD, |world| is_told(&world.slack_threads())).await;
        let threads = world.slack_threads();
        assert!(told, "not told {what}: {threads:#?}");
        threads
    }

    /// Waits until Slack was told this, wherever it stands.
    async fn told_that(&self, text: &str) {
        self.told(text, |threads| format!("{threads:?}").contains(text)).await;
    }

    /// Waits until the last that there is to say about an incident stands in its thread.
    async fn told_the_end(&self, outcome: &str) -> Vec<Thread> {
        let last = |thread: &Thread| thread.replies.last().is_some_and(|reply| reply.text.contains(outcome));
        self.told("the end", |threads| {
            threads.iter().any(|thread| thread.head.text.contains(outcome) && last(thread))
        })
        .await
    }

    /// Nothing was changed in the cluster, at all.
    fn nothing_was_called(&self) {
        let writes = self.world().writes();
        assert!(writes.is_empty(), "something was called: {writes:#?}");
    }
}

fn high_5xx() -> Value {
    json!({"alertname": "High5xxRate", "app": "chat-api", "namespace": "samosachaat-prod", "severity": "critical"})
}

fn outcome(view: &Value) -> &str {
    view["summary"]["outcome"].as_str().unwrap_or("none")
}

fn events<'a>(view: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = view["events"].as_array().into_iter().flatten();
    all.map(|recorded| &recorded["event"]).filter(move |event| event["event"] == name)
}

fn has(view: &Value, name: &str) -> bool {
    events(view, name).next().is_some()
}

/// The guards that refused, in the order of the journal.
fn refusing(view: &Value) -> Vec<String> {
    events(view, "refused")
        .flat_map(|event| event["refusals"].as_array().into_iter().flatten())
        .map(|refusal| refusal["guard"].as_str().unwrap().to_owned())
        .collect()
}

/// The shipped runbook with some of its text replaced.
fn shipped_with(replacements: &[(&str, &str)]) -> (String, String) {
    let (name, text) = SHIPPED[0];
    let text = replacements.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the shipped runbook has no {from:?}");
        text.replace(from, to)
    });
    (name.to_owned(), text)
}

/// The same without what follows the restart.
fn restart_alone(replacements: &[(&str, &str)]) -> (String, String) {
    let (name, text) = shipped_with(replacements);
    let (before, rest) = text.split_once("  # Does something only in services").unwrap();
    let (_, limits) = rest.split_once("\nlimits:").unwrap();
    (name, format!("{before}limits:{limits}"))
}

impl Flow {
    /// Posts an alert of an incident again, with another status.
    async fn alert_as(&self, alert: &Value, status: &str) {
        self.alert_from(alert["alert"]["labels"].clone(), alert["alert"]["starts_at"].clone(), status).await;
    }

    async fn alert_from(&self, labels: Value, started: Value, status: &str) {
        let now = runbookd::clock::now().to_string();
        let ended = if status == "firing" { "0001-01-01T00:00:00Z".to_owned() } else { now };
        let alert = json!({"status": status, "labels": labels, "startsAt": started, "endsAt": ended});
        let body = json!({"version": "4", "alerts": [alert]});
        let url = format!("{}{}", self.stage.url(), runbookd::receive::PATH);
        let token = runbookd::chaos::stage::WEBHOOK_TOKEN;
        let answer = self.http.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}
