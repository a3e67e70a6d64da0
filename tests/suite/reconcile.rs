//! Reconciling with Alertmanager: the real daemon in front of the sandbox's Alertmanager, whose notifications are lost, whose alerts go
//! away or are silenced, and which is down, young, or talks nonsense. Nothing is ever called here.

use std::time::Duration;

use runbookd::api::wire::IncidentView;
use runbookd::chaos::stage::WEBHOOK_TOKEN;
use runbookd::incident::{Event, Outcome};
use runbookd::sandbox::{AlertmanagerTarget, System, Trouble};
use runbookd::{clock, receive};
use serde_json::{Value, json};

use super::daemon::{Daemon, LIMIT, firing, names, notification, until};
use super::sandbox_wire::send;

/// Alertmanager counts as settled after five seconds, an incident has a minute.
const TIME_SCALE: u32 = 60;
/// A tenth of a second between two questions; an alert is lost after half a second.
const QUICK: &str = "every: 6s, grace: 30s";
/// No alert is lost for a minute.
const PATIENT: &str = "every: 6s, grace: 1h";

const LABELS: [(&str, &str); 3] =
    [("alertname", "High5xxRate"), ("app", "chat-api"), ("namespace", "samosachaat-prod")];
const OTHER: [(&str, &str); 3] =
    [("alertname", "High5xxRate"), ("app", "auth"), ("namespace", "samosachaat-prod")];
const WATCHDOG: [(&str, &str); 1] = [("alertname", "Watchdog")];

const LOST: &str = r#"runbookd_reconciled_alerts_total{result="lost"}"#;
const RETURNED: &str = r#"runbookd_reconciled_alerts_total{result="returned"}"#;
const GONE: &str = r#"runbookd_reconciled_alerts_total{result="gone"}"#;
const SUPPRESSED: &str = r#"runbookd_reconciled_alerts_total{result="suppressed"}"#;
const DONE: &str = r#"runbookd_reconciliations_total{result="done"}"#;
const FAILED: &str = r#"runbookd_reconciliations_total{result="failed"}"#;
const REPEATED: &str = r#"runbookd_alerts_total{result="repeated"}"#;

/// The daemon, reconciling, with Loki away: nothing is ever confirmed, and the incident waits.
async fn reconciling(more: &str) -> Daemon {
    let mut daemon = Daemon::new(TIME_SCALE).await;
    let url = daemon.stage.sandbox.alertmanager_url();
    let section = format!("alertmanager: {{url: \"{url}\", receiver: runbookd, {more}}}");
    daemon.stage.change(|setting| setting.more = section).unwrap();
    let world = daemon.stage.world();
    world.disturb(System::Loki, Some(Trouble::Down));
    // As in every Alertmanager that is itself watched: a list is never empty.
    world.route_alert(&WATCHDOG, "watchdog");
    world.fire_alert(&WATCHDOG, &[]);
    daemon.start().await;
    daemon
}

fn labels() -> Value {
    LABELS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

/// What a source does whose alert fires since then.
async fn fire_since(daemon: &Daemon, labels: &Value, since: jiff::Timestamp) {
    let body = json!([{"labels": labels, "annotations": {"summary": "s"}, "startsAt": since.to_string()}]);
    let (url, json) = (daemon.stage.sandbox.alertmanager_url(), [("Content-Type", "application/json")]);
    assert_eq!(send(&url, "POST", "/api/v2/alerts", &json, &body.to_string()).await.unwrap().status, 200);
}

/// What Alertmanager sends gets lost.
fn lose_notifications(daemon: &Daemon) {
    daemon.stage.world().send_alerts_to(None);
}

fn deliver_notifications(daemon: &Daemon) {
    daemon.stage.world().send_alerts_to(Some(AlertmanagerTarget {
        url: format!("{}{}", daemon.stage.url(), receive::PATH),
        bearer: Some(WEBHOOK_TOKEN.to_owned()),
    }));
}

async fn reaches(daemon: &Daemon, series: &str, number: u64) {
    let reached = until(LIMIT, async || daemon.metric(series).await >= number).await;
    assert!(reached, "{series} does not reach {number}: {}", daemon.stage.last_words());
}

/// So many more rounds have come to their end, whatever came of them.
async fn rounds(daemon: &Daemon, series: &str, number: u64) {
    let now = daemon.metric(series).await;
    reaches(daemon, series, now + number).await;
}

/// Alertmanager has run for long enough.
async fn settled(daemon: &Daemon) {
    tokio::time::sleep(daemon.stage.world().real(Duration::from_secs(301))).await;
}

fn of_alerts(view: &IncidentView) -> Vec<&'static str> {
    let mut names = names(&view.events);
    names.retain(|name| name.starts_with("alerts_") || *name == "opened");
    names
}

fn nothing_was_called(daemon: &Daemon) {
    let writes = daemon.stage.world().writes();
    assert!(writes.is_empty(), "something was called: {writes:#?}");
}

async fn still_firing(daemon: &Daemon) {
    let view = daemon.view(&daemon.one().await).await;
    let so = view.summary.closed_at.is_none() && !view.resolved;
    assert!(so && of_alerts(&view) == ["opened"], "{:#?}", view.events);
    assert_eq!((daemon.metric(GONE).await, daemon.metric(SUPPRESSED).await), (0, 0));
}

#[tokio::test]
async fn an_alert_whose_notification_was_lost_is_worked_on_once() {
    let daemon = reconciling(QUICK).await;
    lose_notifications(&daemon);
    // As exact as other sources than Prometheus are; Alertmanager's API tells milliseconds.
    let since = clock::before(clock::now(), Duration::from_secs(3600));
    let since = since.round(jiff::Unit::Second).unwrap() + jiff::SignedDuration::from_nanos(123_456_789);
    let labels = labels();
    fire_since(&daemon, &labels, since).await;

    let id = daemon.one().await;
    reaches(&daemon, LOST, 1).await;
    let said = "An alert fires at Alertmanager, and its notification never came";
    assert!(daemon.logged(said, LIMIT).await);
    let came = daemon.view(&id).await.alerts.remove(0).alert;
    assert_eq!((came.labels.get("app"), came.annotations.get("summary")), ("chat-api", "s"));

    // The webhook's copy comes after all, and tells the beginning to the nanosecond.
    let (status, text) = daemon.post(notification(&[firing(&labels, since)])).await;
    assert_eq!(status, 200);
    let receipt: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&receipt["repeated"], &receipt["joined"]), (&json!(1), &json!(0)), "{text}");
    deliver_notifications(&daemon);
    reaches(&daemon, REPEATED, 2).await;
    rounds(&daemon, DONE, 5).await;
    assert_eq!(of_alerts(&daemon.view(&id).await), ["opened"]);
    assert_eq!((daemon.incidents().await.len(), daemon.metric(LOST).await), (1, 1));
    nothing_was_called(&daemon);
}

#[tokio::test]
async fn whoever_comes_first_an_alert_is_one_episode() {
    let daemon = reconciling("every: 3s, grace: 1ms").await;
    lose_notifications(&daemon);
    for number in 0..20 {
        let namespace = format!("n{number}");
        let since = clock::now();
        let labels = json!({"alertname": "High5xxRate", "app": "a", "namespace": namespace});
        fire_since(&daemon, &labels, since).await;
        // A round is under way at any moment.
        for _ in 0..number % 4 {
            let (status, _) = daemon.post(notification(&[firing(&labels, since)])).await;
            assert_eq!(status, 200);
        }
    }
    rounds(&daemon, DONE, 3).await;
    let incidents = daemon.incidents().await;
    assert_eq!(incidents.len(), 20);
    for listed in incidents {
        let view = daemon.view(&listed.summary.id).await;
        assert_eq!(of_alerts(&view), ["opened"], "{:#?}", view.events);
    }
    let lost = daemon.metric(LOST).await;
    assert!(lost >= 5, "of every fourth there was no notification: {lost}");
}

#[tokio::test]
async fn a_notification_that_may_still_be_on_its_way_is_not_lost() {
    let daemon = reconciling(PATIENT).await;
    lose_notifications(&daemon);
    daemon.stage.world().fire_alert(&LABELS, &[]);
    rounds(&daemon, DONE, 10).await;
    assert!(daemon.incidents().await.is_empty());
    deliver_notifications(&daemon);
    daemon.one().await;
    assert_eq!(daemon.metric(LOST).await, 0);
}

#[tokio::test]
async fn what_is_routed_to_another_receiver_is_never_taken_in() {
    let daemon = reconciling(QUICK).await;
    lose_notifications(&daemon);
    let world = daemon.stage.world();
    world.route_alert(&LABELS, "pager");
    world.fire_alert(&LABELS, &[]);
    rounds(&daemon, DONE, 10).await;
    world.fire_alert(&OTHER, &[]);
    let view = daemon.view(&daemon.one().await).await;
    let apps: Vec<&str> = view.alerts.iter().map(|view| view.alert.labels.get("app")).collect();
    assert_eq!(apps, ["auth"]);
    reaches(&daemon, LOST, 1).await;
    assert_eq!((daemon.incidents().await.len(), daemon.metric(LOST).await), (1, 1));
}

#[tokio::test]
async fn an_alert_that_is_gone_has_resolved_although_nobody_said_so() {
    let daemon = reconciling(PATIENT).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    daemon.one().await;
    settled(&daemon).await;
    still_firing(&daemon).await;
    lose_notifications(&daemon);
    world.lose_alert(&LABELS);
    let view = daemon.ended().await;
    assert_eq!(view.summary.outcome, Some(Outcome::SelfHealed), "{:?}", view.why);
    assert_eq!(of_alerts(&view), ["opened", "alerts_resolved"]);
    reaches(&daemon, GONE, 1).await;
    // It fires again: that is another episode.
    let (status, text) = daemon.post(notification(&[firing(&labels(), clock::now())])).await;
    assert!(status == 200 && text.contains(r#""opened":[""#), "{text}");
    nothing_was_called(&daemon);
}

#[tokio::test]
async fn one_of_two_alerts_that_is_gone_ends_nothing() {
    let daemon = reconciling(PATIENT).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    world.fire_alert(&OTHER, &[]);
    let id = daemon.one().await;
    daemon.once(&id, "both", |view| view.alerts.len() == 2).await;
    settled(&daemon).await;
    lose_notifications(&daemon);
    world.lose_alert(&LABELS);
    let view = daemon.event("alerts_resolved").await;
    let apps: Vec<&str> =
        view.alerts.iter().filter(|view| view.resolved).map(|view| view.alert.labels.get("app")).collect();
    assert_eq!(apps, ["chat-api"]);
    rounds(&daemon, DONE, 5).await;
    assert!(daemon.view(&id).await.summary.closed_at.is_none());
}

#[tokio::test]
async fn an_empty_list_means_nothing() {
    let daemon = reconciling(PATIENT).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    daemon.one().await;
    settled(&daemon).await;
    lose_notifications(&daemon);
    world.lose_alert(&WATCHDOG);
    world.lose_alert(&LABELS);
    rounds(&daemon, DONE, 10).await;
    still_firing(&daemon).await;
}

#[tokio::test]
async fn an_alertmanager_that_has_just_started_knows_nothing_yet() {
    let daemon = reconciling(PATIENT).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    daemon.one().await;
    settled(&daemon).await;
    lose_notifications(&daemon);
    world.restart_alertmanager();
    world.lose_alert(&LABELS);
    rounds(&daemon, DONE, 10).await;
    still_firing(&daemon).await;
    // And once it has run for long enough, it counts.
    assert_eq!(daemon.ended().await.summary.outcome, Some(Outcome::SelfHealed));
}

#[tokio::test]
async fn while_alertmanager_can_not_be_asked_nothing_is_concluded_and_the_webhook_works() {
    let daemon = reconciling(QUICK).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    let id = daemon.one().await;
    settled(&daemon).await;
    let log = "Reconciling with Alertmanager does not work; only the webhook tells";
    let again = "Reconciling with Alertmanager works again";
    let garbage = |text: &str| Trouble::Status(200, text.to_owned());
    let troubles =
        [Trouble::Down, Trouble::Status(503, "no".to_owned()), garbage("{}"), garbage("[]"), garbage("<p>")];
    let number = troubles.len();
    for (position, trouble) in troubles.into_iter().enumerate() {
        world.disturb(System::Alertmanager, Some(trouble.clone()));
        rounds(&daemon, FAILED, 4).await;
        let ready = format!("{}/-/ready", daemon.stage.url());
        let answer = runbookd::clients::http_client(LIMIT).unwrap().get(ready).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{trouble:?}");
        assert_eq!(of_alerts(&daemon.view(&id).await), ["opened"], "{trouble:?}");
        world.disturb(System::Alertmanager, None);
        rounds(&daemon, DONE, 1).await;
        assert!(until(LIMIT, async || daemon.log().matches(again).count() == position + 1).await);
    }
    assert_eq!(daemon.log().matches(log).count(), number, "once for each outage");
    assert_eq!((daemon.metric(GONE).await, daemon.metric(LOST).await), (0, 0));
    world.disturb(System::Alertmanager, Some(Trouble::Down));
    world.fire_alert(&OTHER, &[]);
    daemon.once(&id, "the webhook's alert", |view| view.alerts.len() == 2).await;
}

#[tokio::test]
async fn a_receiver_that_alertmanager_does_not_have_is_told_and_nothing_is_concluded() {
    let mut daemon = reconciling(QUICK).await;
    daemon.stage.terminate().await.unwrap();
    daemon
        .stage
        .change(|setting| setting.more = setting.more.replace("receiver: runbookd", "receiver: runbok"))
        .unwrap();
    daemon.start().await;
    let said = r#"Alertmanager has no receiver "runbok"; it has runbookd, watchdog"#;
    assert!(daemon.logged(said, LIMIT).await, "{}", daemon.stage.last_words());
    assert_eq!(daemon.metric(DONE).await, 0);
}

#[tokio::test]
async fn for_what_a_person_silences_nothing_is_begun_and_after_the_silence_it_is_worked_on_anew() {
    let daemon = reconciling(QUICK).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    let first = daemon.one().await;
    world.silence_alert(&LABELS, true);
    let view = daemon.ended().await;
    assert_eq!(of_alerts(&view), ["opened", "alerts_suppressed"]);
    let why = "the alert was silenced in Alertmanager by ana: deploying, before anything was done";
    assert_eq!((view.summary.outcome, view.why.as_deref()), (Some(Outcome::Declined), Some(why)));
    assert_eq!(view.alerts[0].suppressed.as_deref(), Some("silenced in Alertmanager by ana: deploying"));
    let told = world.until(LIMIT, |world| {
        let replies = world.slack_threads().into_iter().flat_map(|thread| thread.replies);
        replies.into_iter().any(|reply| reply.text.contains("silenced in Alertmanager by ana"))
    });
    assert!(told.await, "{:#?}", world.slack_threads());
    // While the silence lasts, nothing.
    world.disturb(System::Loki, None);
    rounds(&daemon, DONE, 10).await;
    assert_eq!((daemon.incidents().await.len(), daemon.metric(SUPPRESSED).await), (1, 1));

    // It still fires, with the same beginning, and Alertmanager says nothing of it.
    world.disturb(System::Loki, Some(Trouble::Down));
    world.silence_alert(&LABELS, false);
    assert!(
        until(LIMIT, async || daemon.incidents().await.len() == 2).await,
        "{}",
        daemon.stage.last_words()
    );
    let incidents = daemon.incidents().await;
    assert!(incidents[0].summary.closed_at.is_none() && incidents[1].summary.id == first);
    reaches(&daemon, RETURNED, 1).await;
    assert_eq!(daemon.metric(LOST).await, 0, "no notification was lost");
    nothing_was_called(&daemon);
}

#[tokio::test]
async fn a_silence_of_one_alert_leaves_the_others_of_its_incident() {
    let daemon = reconciling(QUICK).await;
    let world = daemon.stage.world();
    world.fire_alert(&LABELS, &[]);
    world.fire_alert(&OTHER, &[]);
    let id = daemon.one().await;
    daemon.once(&id, "both", |view| view.alerts.len() == 2).await;
    world.silence_alert(&OTHER, true);
    let view = daemon.event("alerts_suppressed").await;
    assert!(view.summary.closed_at.is_none() && !view.resolved);
    // It comes back into the same incident.
    world.silence_alert(&OTHER, false);
    let view = daemon.once(&id, "its return", |view| of_alerts(view).contains(&"alerts_joined")).await;
    assert!(view.alerts.iter().all(|alert| alert.suppressed.is_none()), "{:#?}", view.alerts);
    let suppressed =
        view.events.iter().filter(|recorded| matches!(recorded.event, Event::AlertsSuppressed { .. }));
    assert_eq!(suppressed.count(), 1);
}
