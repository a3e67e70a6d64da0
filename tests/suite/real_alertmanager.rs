//! A real Alertmanager in front of the real daemon. It is Debian's package `prometheus-alertmanager`, started by
//! hand; where it is not installed, the tests say so and end, and `RUNBOOKD_REAL=require` makes that a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use runbookd::chaos::stage::WEBHOOK_TOKEN;
use runbookd::clients::http_client;
use runbookd::clock;
use runbookd::incident::{Event, Outcome};
use runbookd::receive;
use runbookd::sandbox::{NAMESPACE, System, Trouble};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::daemon::{Daemon, LIMIT, names, until};
use super::sandbox_recordings::shape;
use super::webhook::answering_everything;

const ALERTMANAGER: &str = "prometheus-alertmanager";
/// Alertmanager sends nothing in between: two of its group intervals, and some.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// Where a program of another project lies; None, after saying so, when it is not installed.
pub(super) fn real(program: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whether the real software must be there is the caller's choice"
    )]
    let (path, wanted) = (std::env::var("PATH").unwrap_or_default(), std::env::var("RUNBOOKD_REAL"));
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        assert!(wanted.as_deref() != Ok("require"), "{program} is not installed, and RUNBOOKD_REAL=require");
        // Past the harness, which shows nothing of a test that passes; once for all tests.
        static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        if SAID.lock().unwrap().insert(program.to_owned()) {
            let said = format!("not run: {program} is not installed\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
        }
    }
    found
}

/// The real Alertmanager. Dropping it ends it.
pub(super) struct Alertmanager {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    http: Client,
}

/// The labels of an alert.
pub(super) type Labels = BTreeMap<String, String>;

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// An alert of the shipped runbook.
pub(super) fn high_5xx(app: &str) -> Labels {
    labels([("alertname", "High5xxRate"), ("namespace", NAMESPACE), ("app", app)])
}

impl Alertmanager {
    /// In front of this receiver, with the daemon's token. None when it is not installed.
    pub(super) async fn start(url: &str) -> Option<Self> {
        let program = real(ALERTMANAGER)?;
        let folder = tempfile::tempdir().unwrap();
        let port = runbookd::chaos::stage::free_port().unwrap();
        let token = folder.path().join("token");
        let configuration = format!(
            "route: {{receiver: runbookd, group_by: [alertname, namespace], group_wait: 1s, group_interval: 1s, \
             repeat_interval: 4h}}\n\
             receivers:\n\
             - name: runbookd\n  \
               webhook_configs:\n  \
               - url: {url}{path}\n    \
                 send_resolved: true\n    \
                 http_config: {{authorization: {{credentials_file: {token}}}}}\n",
            path = receive::PATH,
            token = token.display(),
        );
        std::fs::write(folder.path().join("alertmanager.yml"), configuration).unwrap();
        let http = http_client(Duration::from_secs(10)).unwrap();
        let mut alertmanager = Self { program, folder, port, child: None, http };
        alertmanager.shows(WEBHOOK_TOKEN);
        alertmanager.begin("data").await;
        Some(alertmanager)
    }

    /// From now on it shows this token.
    fn shows(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
    }

    /// Starts it on this storage and waits until it is ready.
    async fn begin(&mut self, storage: &str) {
        let folder = self.folder.path();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the real program is started by hand")]
        let child = Command::new(&self.program)
            .arg(format!("--config.file={}", folder.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", folder.join(storage).display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let ready = format!("http://127.0.0.1:{}/-/ready", self.port);
        let is_ready =
            async || self.http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success());
        assert!(until(LIMIT, is_ready).await, "Alertmanager is not ready: {}", self.log());
    }

    async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What a Prometheus sends: these alerts fire since `since`, or ended at `until`.
    pub(super) async fn post(&self, alerts: &[Labels], since: Timestamp, until: Option<Timestamp>) {
        let alerts: Vec<Value> = alerts
            .iter()
            .map(|labels| {
                let mut alert = json!({"labels": labels, "startsAt": since.to_string()});
                if let Some(until) = until {
                    alert["endsAt"] = json!(until.to_string());
                }
                alert
            })
            .collect();
        let url = format!("http://127.0.0.1:{}/api/v2/alerts", self.port);
        let answer = self.http.post(url).json(&alerts).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    pub(super) async fn fire(&self, alerts: &[Labels]) -> Timestamp {
        let since = clock::now();
        self.post(alerts, since, None).await;
        since
    }

    async fn resolve(&self, alerts: &[Labels], since: Timestamp) {
        self.post(alerts, since, Some(clock::now())).await;
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What somebody does who silences these labels by hand; the silence's name.
    async fn silence(&self, labels: &Labels) -> String {
        let matchers: Vec<Value> = labels
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value, "isRegex": false, "isEqual": true}))
            .collect();
        let until = clock::after(clock::now(), Duration::from_secs(3600)).to_string();
        let silence = json!({"matchers": matchers, "startsAt": clock::now().to_string(), "endsAt": until,
            "createdBy": "ana", "comment": "deploying"});
        let url = format!("{}/api/v2/silences", self.url());
        let answer: Value = self.http.post(url).json(&silence).send().await.unwrap().json().await.unwrap();
        answer["silenceID"].as_str().unwrap().to_owned()
    }

    async fn end_silence(&self, id: &str) {
        let url = format!("{}/api/v2/silence/{id}", self.url());
        assert!(self.http.delete(url).send().await.unwrap().status().is_success());
    }

    /// The fingerprints that Alertmanager itself gives them.
    pub(super) async fn fingerprints(&self) -> BTreeSet<String> {
        let url = format!("http://127.0.0.1:{}/api/v2/alerts", self.port);
        let alerts: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let fingerprint = |alert: &Value| alert["fingerprint"].as_str().unwrap().to_owned();
        alerts.as_array().unwrap().iter().map(fingerprint).collect()
    }
}

/// The daemon, with Loki away: nothing is ever confirmed, and the incident waits.
async fn unconfirmed() -> Daemon {
    let mut daemon = Daemon::new(1).await;
    daemon.stage.world().disturb(System::Loki, Some(Trouble::Down));
    daemon.start().await;
    daemon
}

const ACCEPTED: &str = r#"runbookd_notifications_total{result="accepted"}"#;
const REPEATED: &str = r#"runbookd_alerts_total{result="repeated"}"#;

async fn reaches(daemon: &Daemon, series: &str, number: u64) {
    let reached = until(LIMIT, async || daemon.metric(series).await >= number).await;
    assert!(reached, "{series} does not reach {number}: {}", daemon.metrics().await);
}

#[tokio::test]
async fn a_firing_alert_opens_an_incident_with_exactly_its_fingerprint() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let alert = high_5xx("chat-api");
    let since = alertmanager.fire(std::slice::from_ref(&alert)).await;
    let view = daemon.view(&daemon.one().await).await;
    let [came] = view.alerts.as_slice() else { panic!("{:#?}", view.alerts) };
    assert_eq!(BTreeSet::from([came.alert.fingerprint.0.clone()]), alertmanager.fingerprints().await);
    assert_eq!(came.alert.labels.0, alert);
    assert_eq!(came.alert.starts_at.as_microsecond(), since.as_microsecond());
    assert_eq!(view.summary.scope.0, labels([("namespace", NAMESPACE)]));
    // After a 2xx Alertmanager is silent until the group changes.
    let accepted = daemon.metric(ACCEPTED).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!((accepted, daemon.metric(ACCEPTED).await), (1, 1));
}

/// Five of one group, then two of them resolved, then a sixth, for which the whole group is sent again.
#[tokio::test]
async fn a_group_is_one_incident_in_which_each_alert_comes_and_goes_by_itself() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let group: Vec<Labels> = ["a", "b", "c", "d", "e"].map(high_5xx).to_vec();
    let since = alertmanager.fire(&group).await;
    let id = daemon.one().await;
    let view = daemon.view(&id).await;
    assert_eq!(view.alerts.len(), 5);
    let fingerprints: BTreeSet<String> =
        view.alerts.iter().map(|view| view.alert.fingerprint.0.clone()).collect();
    assert_eq!(fingerprints, alertmanager.fingerprints().await);

    alertmanager.resolve(&group[..2], since).await;
    let event = |name: &'static str| {
        let (daemon, id) = (&daemon, &id);
        async move { daemon.once(id, name, |view| names(&view.events).contains(&name)).await }
    };
    let view = event("alerts_resolved").await;
    let gone: BTreeSet<&str> =
        view.alerts.iter().filter(|view| view.resolved).map(|view| view.alert.labels.get("app")).collect();
    assert_eq!(gone, BTreeSet::from(["a", "b"]));
    assert!(!view.resolved && view.summary.closed_at.is_none(), "three of them fire");

    let repeated = daemon.metric(REPEATED).await;
    alertmanager.fire(&[high_5xx("f")]).await;
    let view = event("alerts_joined").await;
    let joined: Vec<&str> = view
        .events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::AlertsJoined { alerts, .. } => Some(alerts),
            _ => None,
        })
        .flatten()
        .map(|alert| alert.labels.get("app"))
        .collect();
    assert_eq!(joined, ["f"], "the group was sent again, and only one of it is new");
    assert!(daemon.metric(REPEATED).await >= repeated + 3);
    assert_eq!(daemon.incidents().await.len(), 1);
}

#[tokio::test]
async fn resolved_before_the_intent_nothing_is_called_and_a_refire_is_a_new_episode() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let alert = [high_5xx("chat-api")];
    let since = alertmanager.fire(&alert).await;
    let first = daemon.one().await;
    alertmanager.resolve(&alert, since).await;
    let view = daemon.ended().await;
    assert_eq!(view.summary.outcome, Some(Outcome::SelfHealed), "{:?}", view.why);
    let requests = daemon.stage.world().requests();
    let kubernetes: Vec<_> = requests.iter().filter(|request| request.system == System::Kubernetes).collect();
    assert!(kubernetes.is_empty(), "{kubernetes:#?}");

    alertmanager.fire(&alert).await;
    assert!(until(LIMIT, async || daemon.incidents().await.len() == 2).await);
    let incidents = daemon.incidents().await;
    assert!(incidents[0].summary.closed_at.is_none() && incidents[1].summary.id == first, "{incidents:#?}");
}

/// Between Alertmanager and the daemon: passes on what comes, or answers with a status of its own.
struct Between {
    url: String,
    status: Arc<AtomicU16>,
    refused: Arc<AtomicU32>,
}

impl Between {
    async fn start(daemon: String) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (status, refused) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicU32::new(0)));
        let (state, count) = (Arc::clone(&status), Arc::clone(&refused));
        let http = http_client(LIMIT).unwrap();
        let pass = move |request: Request| {
            let (state, count) = (Arc::clone(&state), Arc::clone(&count));
            let (http, daemon) = (http.clone(), daemon.clone());
            async move {
                let own = state.load(Ordering::SeqCst);
                if own != 0 {
                    count.fetch_add(1, Ordering::SeqCst);
                    return Response::builder().status(own).body(Body::empty()).unwrap();
                }
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let passed = http
                    .post(format!("{daemon}{}", parts.uri.path()))
                    .header("authorization", parts.headers["authorization"].clone())
                    .body(body);
                let answer = passed.send().await.unwrap();
                Response::builder()
                    .status(answer.status())
                    .body(answer.bytes().await.unwrap().into())
                    .unwrap()
            }
        };
        let router = axum::Router::new().fallback(pass);
        let (_stop, never) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            let _stop = _stop;
            runbookd::listen::serve(listener, router, never).await;
        });
        Self { url, status, refused }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn passes(&self) {
        self.status.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_was_answered_with_503_for_a_while_is_delivered() {
    let daemon = unconfirmed().await;
    let between = Between::start(daemon.stage.url()).await;
    let Some(alertmanager) = Alertmanager::start(&between.url).await else { return };
    between.answers(503);
    alertmanager.fire(&[high_5xx("a")]).await;
    // It is tried again at once, and what comes meanwhile is not lost either.
    assert!(
        until(LIMIT, async || between.refused.load(Ordering::SeqCst) >= 3).await,
        "{}",
        alertmanager.log()
    );
    alertmanager.fire(&[high_5xx("b")]).await;
    assert!(
        until(LIMIT, async || between.refused.load(Ordering::SeqCst) >= 5).await,
        "{}",
        alertmanager.log()
    );
    assert!(daemon.incidents().await.is_empty());
    between.passes();
    let id = daemon.one().await;
    let view = daemon.once(&id, "both alerts", |view| view.alerts.len() == 2).await;
    assert!(view.summary.closed_at.is_none());
}

#[tokio::test]
async fn what_fired_while_the_daemon_was_down_is_delivered_after_its_start() {
    let mut daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    daemon.stage.kill().await.unwrap();
    alertmanager.fire(&[high_5xx("a"), high_5xx("b")]).await;
    let failed = || alertmanager.log().matches("connection refused").count() >= 1;
    assert!(until(LIMIT, async || failed()).await, "{}", alertmanager.log());
    daemon.start().await;
    let id = daemon.one().await;
    assert_eq!(daemon.view(&id).await.alerts.len(), 2);
}

/// Whoever may not write the journal must not say 2xx.
#[tokio::test]
async fn what_the_journal_did_not_take_is_answered_with_503_and_delivered_later() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    // Another writer holds the database, longer than anybody wants to wait.
    let other = rusqlite::Connection::open(daemon.stage.journal()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    alertmanager.fire(&[high_5xx("a")]).await;
    reaches(&daemon, r#"runbookd_notifications_total{result="unavailable"}"#, 1).await;
    assert_eq!(daemon.metric(ACCEPTED).await, 0);
    other.execute_batch("ROLLBACK").unwrap();
    daemon.one().await;
    reaches(&daemon, ACCEPTED, 1).await;
}

#[tokio::test]
async fn an_alertmanager_that_lost_its_memory_sends_everything_again_and_nothing_is_new() {
    let daemon = unconfirmed().await;
    let Some(mut alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let group = ["a", "b", "c"].map(high_5xx);
    let since = alertmanager.fire(&group).await;
    let id = daemon.one().await;
    alertmanager.kill().await;
    alertmanager.begin("other-data").await;
    // Prometheus sends what fires again and again, with the same beginning.
    alertmanager.post(&group, since, None).await;
    reaches(&daemon, REPEATED, 3).await;
    let view = daemon.view(&id).await;
    assert_eq!(daemon.incidents().await.len(), 1);
    let about = ["alerts_joined", "alerts_resolved"];
    assert!(!names(&view.events).iter().any(|name| about.contains(name)), "{:?}", names(&view.events));
}

#[tokio::test]
async fn a_wrong_token_is_counted_and_the_alert_comes_once_it_is_right() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    alertmanager.shows("somebody-elses-token");
    alertmanager.fire(&[high_5xx("a")]).await;
    reaches(&daemon, r#"runbookd_notifications_total{result="unauthorized"}"#, 1).await;
    let logged = "A notification without the right Bearer token was turned away";
    assert!(daemon.logged(logged, LIMIT).await);
    assert!(!daemon.log().contains("somebody-elses-token"), "a token has no place in a log");
    assert!(daemon.incidents().await.is_empty());
    alertmanager.shows(WEBHOOK_TOKEN);
    daemon.one().await;
}

#[tokio::test]
async fn labels_arrive_as_they_are_whatever_they_hold() {
    let daemon = answering_everything().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let recorded = include_str!("../data/alertmanager/am025-special-chars-firing.json");
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    let alert: Labels = serde_json::from_value(recorded["alerts"][0]["labels"].clone()).unwrap();
    assert!(alert.len() >= 8, "{alert:?}");
    alertmanager.fire(std::slice::from_ref(&alert)).await;
    let view = daemon.view(&daemon.one().await).await;
    assert_eq!(view.alerts[0].alert.labels.0, alert);
    assert_eq!(json!(view.alerts[0].alert.fingerprint.0), recorded["alerts"][0]["fingerprint"]);
    assert_eq!(
        BTreeSet::from([view.alerts[0].alert.fingerprint.0.clone()]),
        alertmanager.fingerprints().await
    );
}

/// HA peers can say that it began earlier: that is no new episode.
#[tokio::test]
async fn a_beginning_that_moves_earlier_opens_nothing() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let since = alertmanager.fire(&[high_5xx("a")]).await;
    let id = daemon.one().await;
    let earlier = since.checked_sub(SignedDuration::from_mins(5)).unwrap();
    alertmanager.post(&[high_5xx("a")], earlier, None).await;
    // Another member makes Alertmanager send the group again, with the earlier beginning.
    alertmanager.fire(&[high_5xx("b")]).await;
    let view = daemon.once(&id, "the other alert", |view| view.alerts.len() == 2).await;
    reaches(&daemon, REPEATED, 1).await;
    assert_eq!(daemon.incidents().await.len(), 1);
    assert!(view.summary.closed_at.is_none());
}

/// The daemon asks this Alertmanager what fires.
async fn reconcile_with(daemon: &mut Daemon, alertmanager: &Alertmanager) {
    daemon.stage.terminate().await.unwrap();
    let url = alertmanager.url();
    let section = format!("alertmanager: {{url: \"{url}\", receiver: runbookd, every: 200ms, grace: 1s}}");
    daemon.stage.change(|setting| setting.more = section).unwrap();
    daemon.start().await;
}

/// The receiver fails for as long as it takes; nothing is ever delivered.
#[tokio::test]
async fn what_the_webhook_never_brought_is_found_by_asking_and_its_late_copy_is_known() {
    let mut daemon = unconfirmed().await;
    let between = Between::start(daemon.stage.url()).await;
    let Some(alertmanager) = Alertmanager::start(&between.url).await else { return };
    reconcile_with(&mut daemon, &alertmanager).await;
    between.answers(400);
    let group = [high_5xx("a"), high_5xx("b")];
    alertmanager.fire(&group).await;
    let id = daemon.one().await;
    let view = daemon.once(&id, "both alerts", |view| view.alerts.len() == 2).await;
    let fingerprints: BTreeSet<String> =
        view.alerts.iter().map(|view| view.alert.fingerprint.0.clone()).collect();
    assert_eq!(fingerprints, alertmanager.fingerprints().await);
    reaches(&daemon, r#"runbookd_reconciled_alerts_total{result="lost"}"#, 2).await;
    assert!(between.refused.load(Ordering::SeqCst) >= 1, "it was tried: {}", alertmanager.log());
    // The webhook is there again, and brings the same alerts with all digits of their beginning.
    between.passes();
    reaches(&daemon, REPEATED, 2).await;
    let view = daemon.view(&id).await;
    assert!(!names(&view.events).contains(&"alerts_joined"), "{:?}", names(&view.events));
    assert_eq!(daemon.incidents().await.len(), 1);
}

#[tokio::test]
async fn a_silence_made_by_hand_ends_what_was_begun_and_its_end_is_seen_although_nothing_is_sent() {
    let mut daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    reconcile_with(&mut daemon, &alertmanager).await;
    let alert = high_5xx("a");
    alertmanager.fire(std::slice::from_ref(&alert)).await;
    let first = daemon.one().await;
    let silence = alertmanager.silence(&alert).await;
    let view = daemon.ended().await;
    let why = "the alert was silenced in Alertmanager by ana: deploying, before anything was done";
    assert_eq!((view.summary.outcome, view.why.as_deref()), (Some(Outcome::Declined), Some(why)));
    let accepted = daemon.metric(ACCEPTED).await;
    alertmanager.end_silence(&silence).await;
    assert!(until(LIMIT, async || daemon.incidents().await.len() == 2).await, "{}", alertmanager.log());
    assert!(daemon.incidents().await[1].summary.id == first);
    // Alertmanager has told it, and does not tell it again before its `repeat_interval`.
    assert_eq!(daemon.metric(ACCEPTED).await, accepted);
    reaches(&daemon, r#"runbookd_reconciled_alerts_total{result="returned"}"#, 1).await;
    assert!(daemon.stage.world().writes().is_empty());
}

/// What the sandbox answers to the daemon's questions has the shape of the real answers.
#[tokio::test]
async fn the_sandbox_speaks_as_the_real_alertmanager_does() {
    let daemon = unconfirmed().await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let sandbox = daemon.stage.sandbox.alertmanager_url();
    let mut answers = Vec::new();
    for url in [alertmanager.url(), sandbox] {
        let get = async |path: &str| {
            let answer = alertmanager.http.get(format!("{url}{path}")).send().await.unwrap();
            let status = answer.status().as_u16();
            (path.to_owned(), status, answer.json::<Value>().await.unwrap_or_default())
        };
        let post = async |path: &str, body: Value| {
            let answer = alertmanager.http.post(format!("{url}{path}")).json(&body).send().await.unwrap();
            (path.to_owned(), answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
        };
        let started = "2026-11-22T18:56:09.479981594Z";
        let (quiet, loud) =
            (labels([("alertname", "Quiet")]), labels([("alertname", "Loud"), ("q", "a\"b\\c")]));
        post(
            "/api/v2/alerts",
            json!([{"labels": quiet, "startsAt": started}, {"labels": loud, "startsAt": started}]),
        )
        .await;
        let silence = json!({"matchers": [{"name": "alertname", "value": "Quiet", "isRegex": false, "isEqual": true}],
            "startsAt": "2026-11-01T00:00:00Z", "endsAt": "2096-11-01T00:00:00Z", "createdBy": "ana", "comment": "c"});
        let made = post("/api/v2/silences", silence).await;
        let id = made.2["silenceID"].as_str().unwrap().to_owned();
        let mut all = vec![made, post("/api/v2/silences", json!({"matchers": []})).await];
        // The real one takes a moment until it has processed what came.
        let both = async || get("/api/v2/alerts?active=false").await.2.as_array().map(Vec::len) == Some(1);
        assert!(until(LIMIT, both).await);
        for path in [
            "/api/v2/alerts?active=true&silenced=true&inhibited=true&filter=q%3D%22a%5C%22b%5C%5Cc%22",
            "/api/v2/alerts?filter=alertname%3D%22Quiet%22",
            "/api/v2/alerts?silenced=false",
            "/api/v2/alerts?active=false",
            "/api/v2/alerts?receiver=runbookd",
            "/api/v2/alerts?receiver=runbook",
            "/api/v2/alerts?filter=bad",
            "/api/v2/status",
            "/api/v2/receivers",
            "/api/v2/silence/5ab43f1c-6c2b-4f6b-9c39-2f3d0c6d0f5e",
        ] {
            all.push(get(path).await);
        }
        let (_, status, body) = get(&format!("/api/v2/silence/{id}")).await;
        all.push(("the silence".to_owned(), status, body));
        answers.push(all);
    }
    for (real, ours) in answers[0].iter().zip(&answers[1]) {
        assert_eq!((&real.0, real.1, shape_of(&real.2)), (&ours.0, ours.1, shape_of(&ours.2)));
        let told = |answer: &Value| -> Vec<Value> {
            let alerts = answer.as_array().into_iter().flatten();
            alerts
                .map(|alert| json!([alert["fingerprint"], alert["startsAt"], alert["status"]["state"]]))
                .collect()
        };
        let (real, ours) = (told(&real.2), told(&ours.2));
        assert!(
            real.len() == ours.len() && real.iter().all(|alert| ours.contains(alert)),
            "{real:?} {ours:?}"
        );
    }
}

/// Without what differs from one release to the next.
fn shape_of(answer: &Value) -> BTreeSet<String> {
    let mut answer = answer.clone();
    for alert in answer.as_array_mut().into_iter().flatten() {
        if let Some(status) = alert["status"].as_object_mut() {
            status.remove("mutedBy");
        }
        if let Some(alert) = alert.as_object_mut() {
            alert.remove("generatorURL");
            alert.remove("receivers");
        }
    }
    shape(&answer)
}

/// What a person's synthetic alert is made of, at the real one.
#[tokio::test]
async fn an_alert_that_the_client_posts_fires_there_and_ends_when_it_is_said() {
    use runbookd::clients::Reason;
    use runbookd::clients::alertmanager::{Alertmanager as Client, Posted, Settings, State};

    let Some(alertmanager) = Alertmanager::start("http://127.0.0.1:1").await else { return };
    let client = Client::new(&Settings::new(alertmanager.url())).unwrap();
    let alert = labels([("alertname", "Made"), ("runbookd_run", "r1"), ("q", "a\"b\\c\nd")]);
    let now = clock::now();
    let posted = Posted {
        labels: alert.clone(),
        annotations: labels([("summary", "s")]),
        starts_at: now,
        ends_at: Some(clock::after(now, Duration::from_secs(1200))),
        generator_url: String::new(),
    };
    client.post(std::slice::from_ref(&posted)).await.unwrap();
    let fires = async || client.state(&alert).await == Ok(State::Active);
    assert!(until(LIMIT, fires).await, "{}", alertmanager.log());
    let listed = client.alerts().await.unwrap();
    let [one] = listed.all.as_slice() else { panic!("{listed:#?}") };
    assert_eq!((&one.labels, &one.annotations), (&posted.labels, &posted.annotations));
    assert_eq!(one.starts_at.as_millisecond(), now.as_millisecond());
    assert_eq!(one.fingerprint, runbookd::alert::Labels(alert.clone()).fingerprint().0);

    client.post(&[Posted { ends_at: Some(clock::now()), ..posted.clone() }]).await.unwrap();
    let gone = async || client.state(&alert).await == Ok(State::Absent);
    assert!(until(LIMIT, gone).await, "{}", alertmanager.log());

    let bare = Posted { labels: Labels::new(), ..posted };
    let error = client.post(&[bare]).await.unwrap_err();
    assert_eq!(error.reason, Reason::ClientError);
    assert!(error.message.contains("at least one label pair required"), "{error}");
}

/// The sandbox refuses what the real one refuses, in its words.
#[tokio::test]
async fn what_is_wrong_with_a_posted_alert_is_said_as_the_sandbox_says_it() {
    let Some(alertmanager) = Alertmanager::start("http://127.0.0.1:1").await else { return };
    for (body, status, said) in super::sandbox_alertmanager::REFUSED {
        let request = alertmanager.http.post(format!("{}/api/v2/alerts", alertmanager.url()));
        let answer = request.header("content-type", "application/json").body(*body).send().await.unwrap();
        let (answered, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(answered, *status, "{body}: {text}");
        assert!(text.contains(said), "{body}: {text}");
    }
}

#[tokio::test]
async fn prometheus_own_linter_has_nothing_to_say_about_the_metrics() {
    let Some(promtool) = real("promtool") else { return };
    let daemon = unconfirmed().await;
    #[expect(clippy::disallowed_methods, reason = "the real program is started by hand")]
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = check.stdin.take().unwrap();
    input.write_all(daemon.metrics().await.as_bytes()).await.unwrap();
    drop(input);
    let output = check.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
