//! The sandbox's Alertmanager against recorded notifications, and the way it delivers them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runbookd::sandbox::{AlertmanagerTarget, Options, Sandbox, World};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::sandbox_recordings::{folder, shape};
use crate::sandbox_wire::send;

const SOON: Duration = Duration::from_secs(90);
const LABELS: [(&str, &str); 3] =
    [("alertname", "High5xxRate"), ("app", "auth"), ("namespace", "samosachaat-prod")];
const OTHER: [(&str, &str); 3] =
    [("alertname", "High5xxRate"), ("app", "chat-api"), ("namespace", "samosachaat-prod")];

/// The headers of a request and its body.
type Posted = (Vec<String>, Value);

/// What a receiver got.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Posted>>>);

impl Inbox {
    fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

/// A webhook receiver that answers with these statuses, and then with 200.
async fn receiver(statuses: &[u16]) -> (AlertmanagerTarget, Inbox) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let inbox = Inbox::default();
    let (kept, mut statuses) = (inbox.clone(), statuses.iter().copied().collect::<VecDeque<u16>>());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                if line.trim().is_empty() {
                    break;
                }
                headers.push(line.trim().to_owned());
            }
            let length =
                headers.iter().find_map(|header| header.strip_prefix("Content-Length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap()];
            stream.read_exact(&mut body).await.unwrap();
            kept.0.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
            let status = statuses.pop_front().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (AlertmanagerTarget { url, bearer: Some("s3cr3t-token".into()) }, inbox)
}

async fn sandbox_to(statuses: &[u16]) -> (Sandbox, World, Inbox) {
    let (target, inbox) = receiver(statuses).await;
    let options = Options { pace: 200, traffic: false, alertmanager_to: Some(target), ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let world = sandbox.world();
    (sandbox, world, inbox)
}

#[tokio::test]
async fn fingerprints_are_those_of_every_recorded_alert() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let mut compared = 0;
    for file in std::fs::read_dir(folder("alertmanager")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let recorded: Value = serde_json::from_str(&text).unwrap();
        for alert in recorded["alerts"].as_array().into_iter().flatten() {
            let labels: Vec<(String, String)> = alert["labels"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect();
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(sandbox.world().fire_alert(&labels, &[]), alert["fingerprint"].as_str().unwrap());
            compared += 1;
        }
    }
    assert!(compared > 30);
}

#[tokio::test]
async fn a_notification_has_the_recorded_shape_and_headers() {
    let (_sandbox, world, inbox) = sandbox_to(&[]).await;
    for (labels, summary) in [(LABELS, "a"), (OTHER, "b")] {
        world.fire_alert(
            &[&labels[..], &[("severity", "critical")]].concat(),
            &[("runbook_url", "u"), ("summary", summary)],
        );
    }
    assert!(world.until(SOON, |world| world.notifications_delivered() == 1).await);
    let (headers, ours) = inbox.0.lock().unwrap()[0].clone();
    let text =
        std::fs::read_to_string(folder("alertmanager").join("prom242-5xx-group2-firing.json")).unwrap();
    let mut real: Value = serde_json::from_str(&text).unwrap();
    // The recorded alerts have a label more.
    real["commonLabels"].as_object_mut().unwrap().remove("cluster");
    for alert in real["alerts"].as_array_mut().unwrap() {
        alert["labels"].as_object_mut().unwrap().remove("cluster");
    }
    assert_eq!(shape(&ours), shape(&real));
    for field in ["status", "version", "groupKey", "groupLabels", "truncatedAlerts", "commonLabels"] {
        assert_eq!(ours[field], real[field], "{field}");
    }
    assert_eq!(ours["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert!(headers.contains(&"Authorization: Bearer s3cr3t-token".to_owned()));
    assert!(headers.contains(&"Content-Type: application/json".to_owned()));
    assert!(headers.iter().any(|header| header.starts_with("User-Agent: Alertmanager/")));
}

#[tokio::test]
async fn a_group_is_sent_whole_and_mixed_when_one_of_its_alerts_resolves() {
    let (_sandbox, world, inbox) = sandbox_to(&[]).await;
    world.fire_alert(&LABELS, &[]);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 1).await);
    world.fire_alert(&OTHER, &[]);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 2).await);
    world.resolve_alert(&LABELS);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 3).await);
    world.resolve_alert(&OTHER);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 4).await);
    let statuses: Vec<Vec<String>> = inbox
        .bodies()
        .iter()
        .map(|body| {
            let alerts = body["alerts"].as_array().unwrap().iter();
            let mut all = vec![body["status"].as_str().unwrap().to_owned()];
            all.extend(alerts.map(|alert| alert["status"].as_str().unwrap().to_owned()));
            all
        })
        .collect();
    let expected = [
        vec!["firing", "firing"],
        vec!["firing"; 3],
        vec!["firing", "resolved", "firing"],
        vec!["resolved"; 2],
    ];
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_5xx_is_tried_again_in_the_same_flush_and_a_4xx_in_the_next() {
    let (_sandbox, world, inbox) = sandbox_to(&[503, 500, 503]).await;
    world.fire_alert(&LABELS, &[]);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 1).await);
    assert_eq!(inbox.bodies().len(), 4);

    let (_sandbox, world, inbox) = sandbox_to(&[429]).await;
    let before = std::time::Instant::now();
    world.fire_alert(&LABELS, &[]);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 1).await);
    assert_eq!(inbox.bodies().len(), 2);
    assert!(before.elapsed() > world.real(Duration::from_secs(60)), "it waited for the next group_interval");
}

#[tokio::test]
async fn an_alert_that_resolves_before_it_was_sent_is_never_sent() {
    let (_sandbox, world, inbox) = sandbox_to(&[]).await;
    world.fire_alert(&LABELS, &[]);
    world.resolve_alert(&LABELS);
    tokio::time::sleep(world.real(Duration::from_secs(120))).await;
    assert!(inbox.bodies().is_empty());
}

#[tokio::test]
async fn alerts_are_injected_and_listed_through_the_api() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let url = sandbox.alertmanager_url();
    let headers = [("Content-Type", "application/json")];
    let body = json!([{"labels": {"alertname": "KubePodCrashLooping", "namespace": "samosachaat-prod", "empty": ""},
        "annotations": {"summary": "s"}, "startsAt": "2026-11-22T18:56:09.479981594Z", "generatorURL": "http://p/graph"}]);
    assert_eq!(send(&url, "POST", "/api/v2/alerts", &headers, &body.to_string()).await.unwrap().status, 200);
    assert_eq!(
        send(&url, "POST", "/api/v2/alerts", &headers, r#"[{"labels":{}}]"#).await.unwrap().status,
        400
    );
    let listed = send(&url, "GET", "/api/v2/alerts?filter=alertname%3D%22KubePodCrashLooping%22", &[], "")
        .await
        .unwrap()
        .json();
    let keys: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    let expected = [
        "annotations",
        "endsAt",
        "fingerprint",
        "generatorURL",
        "labels",
        "receivers",
        "startsAt",
        "status",
        "updatedAt",
    ];
    assert_eq!(keys, expected);
    assert_eq!(listed[0]["status"]["state"], "active");
    assert_eq!(
        listed[0]["labels"],
        json!({"alertname": "KubePodCrashLooping", "namespace": "samosachaat-prod"})
    );
    let none = send(&url, "GET", "/api/v2/alerts?filter=alertname%3D%22Other%22", &[], "").await.unwrap();
    assert_eq!(none.json(), json!([]));
    assert_eq!(send(&url, "GET", "/-/healthy", &[], "").await.unwrap().body, "OK");
}

#[tokio::test]
async fn a_silenced_alert_is_listed_and_not_sent_and_a_killed_alertmanager_says_everything_again() {
    let (sandbox, world, inbox) = sandbox_to(&[]).await;
    world.silence_alert(&OTHER, true);
    world.fire_alert(&LABELS, &[]);
    world.fire_alert(&OTHER, &[]);
    assert!(world.until(SOON, |world| world.notifications_delivered() == 1).await);
    assert_eq!(inbox.bodies()[0]["alerts"].as_array().unwrap().len(), 1);
    let listed = send(&sandbox.alertmanager_url(), "GET", "/api/v2/alerts", &[], "").await.unwrap().json();
    let mut states: Vec<&str> =
        listed.as_array().unwrap().iter().map(|alert| alert["status"]["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["active", "suppressed"]);
    world.restart_alertmanager();
    assert!(world.until(SOON, |world| world.notifications_delivered() == 2).await);
    assert_eq!(inbox.bodies()[1]["alerts"], inbox.bodies()[0]["alerts"]);
}

/// The words of Alertmanager 0.25; `tests/suite/real_alertmanager.rs` holds them against the real one where it is installed.
#[tokio::test]
async fn what_is_wrong_with_a_posted_alert_is_said_and_the_others_are_taken() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    for (body, status, said) in REFUSED {
        let (answered, text) = post(&sandbox, body).await;
        assert_eq!(answered, *status, "{body}: {text}");
        assert!(text.contains(said), "{body}: {text}");
    }
    let url = sandbox.alertmanager_url();
    let answer = send(&url, "POST", "/api/v2/alerts", &[("Content-Type", "text/plain")], "[]").await.unwrap();
    assert_eq!(answer.status, 415);
    let listed = send(&url, "GET", "/api/v2/alerts", &[], "").await.unwrap().json();
    let labels: Vec<&Value> = listed.as_array().unwrap().iter().map(|alert| &alert["labels"]).collect();
    assert_eq!(labels, [&json!({"good": "1"})]);
}

/// What is posted, and how it is answered.
pub(crate) const REFUSED: &[(&str, u16, &str)] = &[
    (r#"[{"labels":{}}]"#, 400, r#""at least one label pair required""#),
    (r#"[{"labels":{"a":""}}]"#, 400, r#""at least one label pair required""#),
    (r#"[{}]"#, 422, r#"{"code":602,"message":"0.labels in body is required"}"#),
    ("{}", 400, "json: cannot unmarshal object into Go value of type models.PostableAlerts"),
    ("x", 400, r#"{"code":400,"message":"parsing alerts body from \"\" failed, because "#),
    ("", 422, r#"{"code":602,"message":"alerts in body is required"}"#),
    (r#"[{"labels":{"a-b":"c"}}]"#, 400, r#""invalid label set: invalid name \"a-b\"""#),
    (
        r#"[{"labels":{"a":"b"},"annotations":{"x-y":"z"}}]"#,
        400,
        r#""invalid annotations: invalid name \"x-y\"""#,
    ),
    (
        r#"[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]"#,
        400,
        r#""start time must be before end time""#,
    ),
    (
        r#"[{"labels":{"a":"b"},"startsAt":"yesterday"}]"#,
        400,
        r#"because parsing time \"yesterday\" as \"2006-01-02 15:04:05\": cannot parse \"yesterday\" as \"2006\""#,
    ),
    (
        r#"[{"labels":{"a":1}}]"#,
        400,
        "json: cannot unmarshal number into Go struct field Alert.labels of type string",
    ),
    (
        r#"[{"labels":"a"}]"#,
        400,
        "json: cannot unmarshal string into Go struct field Alert.labels of type models.LabelSet",
    ),
    (
        r#"[{"labels":{"a":"b"},"startsAt":"2096-01-02T00:00:00Z"}]"#,
        400,
        r#""start time must be before end time""#,
    ),
    (r#"[{"labels":{"good":"1"},"generatorURL":""}]"#, 200, ""),
    (
        r#"[{"labels":{"a":"b"},"generatorURL":"no url"}]"#,
        422,
        r#"{"code":601,"message":"0.generatorURL in body must be of type uri: \"no url\""}"#,
    ),
    (
        r#"[{"labels":{"good":"1"}},{"labels":{}},{"labels":{"x-y":"1"}}]"#,
        400,
        r#""at least one label pair required; invalid label set: invalid name \"x-y\"""#,
    ),
];

async fn post(sandbox: &Sandbox, body: &str) -> (u16, String) {
    let headers = [("Content-Type", "application/json")];
    let answer = send(&sandbox.alertmanager_url(), "POST", "/api/v2/alerts", &headers, body).await.unwrap();
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_posted_alert_is_told_of_and_ends_when_it_is_said_or_when_nobody_speaks_of_it_any_more() {
    let (sandbox, world, inbox) = sandbox_to(&[]).await;
    let labels = json!({"alertname": "Posted", "namespace": "n"});
    assert_eq!(post(&sandbox, &json!([{"labels": labels}]).to_string()).await, (200, String::new()));
    // Five minutes at the pace of this world, and one more for the group.
    let since = std::time::Instant::now();
    assert!(world.until(SOON, |world| world.notifications_delivered() == 2).await);
    assert!(since.elapsed() > world.real(Duration::from_mins(5)));
    let told = |at: usize| inbox.bodies()[at]["alerts"][0]["status"].as_str().unwrap().to_owned();
    assert_eq!([told(0), told(1)], ["firing", "resolved"]);

    let end = "2096-01-01T00:00:00Z";
    post(&sandbox, &json!([{"labels": labels, "endsAt": end}]).to_string()).await;
    assert!(world.until(SOON, |world| world.notifications_delivered() == 3).await);
    // Who names no end does not shorten the one that was named.
    post(&sandbox, &json!([{"labels": labels}]).to_string()).await;
    let listed = send(&sandbox.alertmanager_url(), "GET", "/api/v2/alerts", &[], "").await.unwrap().json();
    assert_eq!(listed[0]["endsAt"], "2096-01-01T00:00:00.000Z");
    let past =
        json!([{"labels": labels, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-02T00:00:00Z"}]);
    post(&sandbox, &past.to_string()).await;
    assert!(world.until(SOON, |world| world.notifications_delivered() == 4).await);
    assert_eq!([told(2), told(3)], ["firing", "resolved"]);
}
