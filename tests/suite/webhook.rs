//! The webhook of the real daemon: every recorded notification, and what is not one.

use std::collections::BTreeSet;

use runbookd::alert::Status;
use runbookd::chaos::stage::SHIPPED;
use runbookd::clock;
use runbookd::sandbox::{System, Trouble};
use serde_json::{Value, json};

use super::daemon::{Daemon, LIMIT, firing, notification};

/// Answers every alert, one incident each for every name and namespace. Loki is away, so that nothing is ever
/// confirmed and the incidents stay open.
pub(crate) async fn answering_everything() -> Daemon {
    let (name, text) = SHIPPED[0];
    let text = text
        .replace("'alertname=\"High5xxRate\"'", "'alertname=~\".+\"'")
        .replace("group_by: [namespace]", "group_by: [alertname, namespace]");
    assert!(text.contains("=~\".+\"") && text.contains("[alertname, namespace]"));
    let mut daemon = Daemon::with(1, |setting| setting.rules = vec![(name.to_owned(), text)]).await;
    daemon.stage.world().disturb(System::Loki, Some(Trouble::Down));
    daemon.start().await;
    daemon
}

/// The recorded notifications in the order in which they were sent.
fn recorded() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alertmanager");
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| !name.contains("headers"))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect();
    all.sort_by_key(|(_, body)| newest(body));
    all
}

/// The last moment that a notification speaks of.
fn newest(body: &str) -> jiff::Timestamp {
    let body: Value = serde_json::from_str(body).unwrap();
    let times =
        body["alerts"].as_array().unwrap().iter().flat_map(|alert| [&alert["startsAt"], &alert["endsAt"]]);
    times.map(|time| time.as_str().unwrap().parse().unwrap()).max().unwrap()
}

fn numbers(receipt: &str) -> [u64; 6] {
    let receipt: Value = serde_json::from_str(receipt).unwrap();
    let opened = receipt["opened"].as_array().unwrap().len() as u64;
    let number = |name: &str| receipt[name].as_u64().unwrap_or_else(|| panic!("{name} in {receipt}"));
    [
        opened,
        number("joined"),
        number("resolved"),
        number("repeated"),
        number("unanswered"),
        number("refused"),
    ]
}

/// The fingerprints of all alerts in the journal, and how many events are about alerts.
async fn journaled(daemon: &Daemon) -> (BTreeSet<(String, bool)>, usize) {
    let mut alerts = BTreeSet::new();
    let mut events = 0;
    for listed in daemon.incidents().await {
        let view = daemon.view(&listed.summary.id).await;
        alerts.extend(view.alerts.into_iter().map(|view| (view.alert.fingerprint.0, view.resolved)));
        let about = |name: &str| matches!(name, "opened" | "alerts_joined" | "alerts_resolved");
        events += view.events.iter().filter(|recorded| about(recorded.event.name())).count();
    }
    (alerts, events)
}

#[tokio::test]
async fn every_recorded_notification_is_journaled_and_a_second_copy_changes_nothing() {
    let daemon = answering_everything().await;
    let recorded = recorded();
    assert!(recorded.len() >= 20, "only {} notifications", recorded.len());
    for (name, body) in &recorded {
        let parsed: Value = serde_json::from_str(body).unwrap();
        let alerts = parsed["alerts"].as_array().unwrap();
        let (status, text) = daemon.post(body.clone()).await;
        assert_eq!(status, 200, "{name}: {text}");
        let [.., unanswered, refused] = numbers(&text);
        assert_eq!((unanswered, refused), (0, 0), "{name}: {text}");

        let (journal, events) = journaled(&daemon).await;
        for alert in alerts {
            let fingerprint = alert["fingerprint"].as_str().unwrap().to_owned();
            let resolved = alert["status"] == "resolved";
            let known = journal.iter().any(|(known, _)| *known == fingerprint);
            // Of a resolved alert that never fired here there is no incident to be in.
            assert!(
                known || resolved,
                "{name}: {fingerprint} is not in the journal: {:#?}",
                daemon.incidents().await
            );
            if known && resolved {
                assert!(journal.contains(&(fingerprint.clone(), true)), "{name}: {fingerprint} still fires");
            }
        }

        let (status, text) = daemon.post(body.clone()).await;
        assert_eq!(status, 200, "{name} again: {text}");
        assert_eq!(numbers(&text), [0, 0, 0, alerts.len() as u64, 0, 0], "{name} again: {text}");
        let after = journaled(&daemon).await;
        assert_eq!(after, (journal, events), "{name} again");
    }
    // Late copies of all of them, in both orders: what is over stays over, what fires goes on.
    let before = journaled(&daemon).await;
    for (name, body) in recorded.iter().chain(recorded.iter().rev()) {
        let (status, text) = daemon.post(body.clone()).await;
        let [opened, joined, resolved, ..] = numbers(&text);
        assert_eq!((status, opened, joined, resolved), (200, 0, 0, 0), "{name}, late: {text}");
    }
    assert_eq!(journaled(&daemon).await, before);
    assert!(daemon.stage.world().writes().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_logged_and_counted() {
    let mut daemon = Daemon::new(1).await;
    daemon.start().await;
    let large = vec![b' '; (16 << 20) + 1];
    let (status, text) = daemon.post(large.clone()).await;
    let said = r#"{"error":"the body is over 16777216 bytes; set `max_alerts: 1000` in the receiver"}"#;
    assert_eq!((status, text.as_str()), (413, said));
    // The same without a length that says so beforehand.
    let url = format!("{}{}", daemon.stage.url(), runbookd::receive::PATH).replace("http://", "");
    let (address, path) = url.split_once('/').unwrap();
    let answer = chunked(address, path, &large).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(said), "{answer}");
    assert_eq!(daemon.metric("runbookd_notifications_total{result=\"too_large\"}").await, 2);
    let logged =
        "A notification over 16777216 bytes was turned away; set `max_alerts: 1000` in alertmanager.yml";
    assert_eq!(daemon.log().matches(logged).count(), 2, "{}", daemon.stage.last_words());
    // Exactly at the limit it is read: and is then not JSON.
    let (status, _) = daemon.post(vec![b' '; 16 << 20]).await;
    assert_eq!(status, 400);
}

async fn chunked(address: &str, path: &str, body: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let token = runbookd::chaos::stage::WEBHOOK_TOKEN;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n"
    );
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(head.as_bytes()).await?;
        for chunk in body.chunks(1 << 20) {
            writer.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
            writer.write_all(chunk).await?;
            writer.write_all(b"\r\n").await?;
        }
        writer.write_all(b"0\r\n\r\n").await
    };
    let mut answer = Vec::new();
    // The answer can come before everything was sent, and then the line is closed: what was read counts.
    let _ = tokio::time::timeout(LIMIT, async { tokio::join!(write, reader.read_to_end(&mut answer)) }).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_notification_is_told_what_was_expected() {
    let mut daemon = Daemon::new(1).await;
    daemon.start().await;
    let (status, text) = daemon.post("not json").await;
    assert_eq!(status, 400);
    insta::assert_snapshot!(text, @r#"{"error":"the body is not JSON (expected ident at line 1 column 2); expected Alertmanager's webhook payload, version \"4\""}"#);
    let (status, text) = daemon.post(r#"{"text": "a template's payload"}"#).await;
    assert_eq!(status, 400);
    insta::assert_snapshot!(text, @r#"{"error":"`version` is missing; expected Alertmanager's webhook payload, version \"4\" (no `payload:` template in the receiver)"}"#);
    assert_eq!(daemon.metric("runbookd_notifications_total{result=\"bad_request\"}").await, 2);
    assert!(daemon.log().contains("A notification can not be read: the body is not JSON"));
}

#[tokio::test]
async fn one_bad_alert_loses_neither_the_others_nor_its_reason() {
    let daemon = answering_everything().await;
    let labels = |pod: &str| json!({"alertname": "Mixed", "namespace": "n", "pod": pod});
    let now = clock::now();
    let mut bad = firing(&labels("b"), now);
    bad["startsAt"] = json!("yesterday");
    let body = notification(&[firing(&labels("a"), now), bad, firing(&labels("c"), now)]);
    let (status, text) = daemon.post(body).await;
    assert_eq!((status, numbers(&text)[5]), (200, 1), "{text}");
    let view = daemon.view(&daemon.one().await).await;
    let pods: Vec<&str> = view.alerts.iter().map(|view| view.alert.labels.get("pod")).collect();
    assert_eq!(BTreeSet::from_iter(pods), BTreeSet::from(["a", "c"]));
    assert!(view.alerts.iter().all(|view| view.alert.status == Status::Firing));

    let token = daemon.stage.api_token_file().display().to_string();
    let url = daemon.stage.url();
    let output = daemon.run(&["incidents", "--unanswered", "--url", &url, "--token-file", &token]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("`startsAt` is \"yesterday\""), "{said}");
    let unanswered = daemon.unanswered().await.unanswered;
    let [refused] = unanswered.as_slice() else { panic!("{unanswered:#?}") };
    assert!(refused.refused && refused.alert.contains("yesterday"), "{refused:#?}");
    insta::assert_snapshot!(refused.reason, @r#"`startsAt` is "yesterday"; expected a time such as 2026-01-31T12:00:00Z"#);
    assert_eq!(daemon.metric("runbookd_alerts_total{result=\"refused\"}").await, 1);
}
