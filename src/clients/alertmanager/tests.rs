//! The Alertmanager client against answers recorded from Alertmanager 0.25.

use super::super::wire::{Reply, Wire};
use super::*;
use jiff::Timestamp;

const ALERTS: &str = include_str!("../../../tests/data/alertmanager-api/am025-alerts.json");
const STATUS: &str = include_str!("../../../tests/data/alertmanager-api/am025-status.json");

async fn with(replies: Vec<Reply>) -> (Alertmanager, Wire) {
    let wire = Wire::start(replies).await;
    (Alertmanager::new(&Settings::new(format!("{}/", wire.url))).unwrap(), wire)
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn a_recorded_list_is_read_whole() {
    let (alertmanager, wire) = with(vec![Reply::json(ALERTS)]).await;
    let Alerts { all, unreadable } = alertmanager.alerts().await.unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|alert| {
            let by = [&alert.silenced_by, &alert.inhibited_by].map(|by| by.len());
            format!("{} {:?} {by:?} {}", alert.label("alertname"), alert.state(), alert.receivers.join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "X Active [0, 0] runbookd r2",
            "Src Active [0, 0] other",
            "Z Suppressed [0, 1] other",
            "Y Suppressed [1, 0] other"
        ]
    );
    assert_eq!((unreadable, all[0].starts_at.to_string().as_str()), (0, "2026-11-22T18:56:09.479Z"));
    assert_eq!(wire.seen()[0].uri, "/api/v2/alerts?active=true&silenced=true&inhibited=true");
}

#[tokio::test]
async fn one_alert_that_can_not_be_read_hides_no_other_and_is_told() {
    let body = ALERTS.replace("\"2026-11-22T18:56:09.479Z\"", "\"yesterday\"").replace("suppressed", "odd");
    let (alertmanager, _wire) = with(vec![Reply::json(&body)]).await;
    let Alerts { all, unreadable } = alertmanager.alerts().await.unwrap();
    assert_eq!((all.len(), unreadable), (1, 3));
}

#[tokio::test]
async fn what_is_no_list_is_no_empty_list() {
    for body in ["{}", "", "null", "<html>", r#"{"status":"success","data":[]}"#] {
        let (alertmanager, _wire) = with(vec![Reply::json(body)]).await;
        assert_eq!(alertmanager.alerts().await.unwrap_err().reason, Reason::ServerError, "{body}");
    }
    for (status, reason) in [(401, Reason::Denied), (503, Reason::ServerError), (302, Reason::ClientError)] {
        let (alertmanager, _wire) = with(vec![Reply::error(status, "[]")]).await;
        assert_eq!(alertmanager.alerts().await.unwrap_err().reason, reason);
    }
}

#[tokio::test]
async fn the_status_says_since_when_and_the_receivers_who() {
    let receivers = r#"[{"name":"runbookd"},{"name":"other"}]"#;
    let silence = r#"{"id":"1bcbec6e","comment":"deploying","createdBy":"alice"}"#;
    let (alertmanager, wire) = with([STATUS, receivers, silence].map(Reply::json).to_vec()).await;
    assert_eq!(alertmanager.running().await.unwrap().since.to_string(), "2026-11-23T06:54:10.841Z");
    assert_eq!(alertmanager.receivers().await.unwrap(), ["runbookd", "other"]);
    let Silence { created_by, comment } = alertmanager.silence("1bcbec6e-f1ca").await.unwrap();
    assert_eq!((created_by.as_str(), comment.as_str()), ("alice", "deploying"));
    let error = alertmanager.silence("../alerts").await.unwrap_err();
    assert_eq!((error.reason, wire.seen().len()), (Reason::ClientError, 3), "{error}");
}

#[tokio::test]
async fn the_state_of_an_alert_is_that_of_exactly_its_labels() {
    let state = async |pairs: BTreeMap<String, String>| {
        // A server that does not filter at all.
        let (alertmanager, wire) = with(vec![Reply::json(ALERTS)]).await;
        (alertmanager.state(&pairs).await, wire)
    };
    let (active, wire) = state(labels([("alertname", "X"), ("q", "a\"b\\c\nd")])).await;
    assert_eq!(active.unwrap(), State::Active);
    let filters = "&filter=alertname%3D%22X%22&filter=q%3D%22a%5C%22b%5C%5Cc%5Cnd%22";
    assert!(wire.seen()[0].uri.ends_with(filters), "{}", wire.seen()[0].uri);
    assert_eq!(state(labels([("alertname", "Y")])).await.0.unwrap(), State::Suppressed);
    assert_eq!(state(labels([("alertname", "X"), ("app", "b")])).await.0.unwrap(), State::Absent);
    let (none, wire) = state(BTreeMap::new()).await;
    assert_eq!((none.unwrap_err().reason, wire.seen().len()), (Reason::ClientError, 0));
    let (alertmanager, _wire) = with(vec![Reply::json("[17]")]).await;
    let unknown = alertmanager.state(&labels([("alertname", "X")])).await.unwrap_err();
    assert_eq!(unknown.reason, Reason::ServerError);
}

#[tokio::test]
async fn the_token_is_shown_and_never_written_down() {
    let wire = Wire::start(vec![Reply::json("[]")]).await;
    let settings = Settings { bearer: Some(Secret::new("t0k")), ..Settings::new(&wire.url) };
    let alertmanager = Alertmanager::new(&settings).unwrap();
    alertmanager.alerts().await.unwrap();
    assert_eq!(wire.seen()[0].headers["authorization"], "Bearer t0k");
    assert!(!format!("{alertmanager:?} {settings:?}").contains("t0k"));
    for url in ["", "alertmanager:9093", "ftp://alertmanager", "http://alertmanager?x=y"] {
        assert!(Alertmanager::new(&Settings::new(url)).is_err(), "{url}");
    }
    let bearer = Settings { bearer: Some(Secret::new("t0k\n")), ..Settings::new("http://alertmanager") };
    assert!(!Alertmanager::new(&bearer).unwrap_err().to_string().contains("t0k"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (alertmanager, _wire) = with(vec![Reply::json(&"x".repeat(SYSTEM.most_mib * 1024 * 1024 + 1))]).await;
    let error = alertmanager.alerts().await.unwrap_err();
    assert!(error.message.contains("larger than 32 MiB"), "{error}");
}

#[tokio::test]
async fn an_alert_is_posted_once_with_its_times_and_nothing_that_it_lacks() {
    let (alertmanager, wire) = with(vec![Reply::Answer(200, Vec::new(), String::new())]).await;
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let posted = Posted {
        labels: labels([("alertname", "X"), ("q", "a\"b")]),
        annotations: labels([("summary", "s")]),
        starts_at: at("2026-11-22T18:56:09.479981Z"),
        ends_at: Some(at("2026-11-22T19:06:09Z")),
        generator_url: "http://p/graph".to_owned(),
    };
    let bare = Posted { ends_at: None, generator_url: String::new(), ..posted.clone() };
    alertmanager.post(&[posted, bare]).await.unwrap();
    let seen = wire.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].uri.as_str()), ("POST", "/api/v2/alerts"));
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    let mut whole = serde_json::json!({"labels": {"alertname": "X", "q": "a\"b"}, "annotations": {"summary": "s"},
        "startsAt": "2026-11-22T18:56:09.479981Z", "endsAt": "2026-11-22T19:06:09Z", "generatorURL": "http://p/graph"});
    assert_eq!(body[0], whole);
    for field in ["endsAt", "generatorURL"] {
        whole.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(body[1], whole);
}

#[tokio::test]
async fn a_refused_post_keeps_alertmanagers_words_and_is_not_sent_again() {
    for (status, said, reason) in [
        (400, "\"invalid label set: invalid name \\\"a-b\\\"\"", Reason::ClientError),
        (401, "", Reason::Denied),
        (503, "", Reason::ServerError),
        (429, "", Reason::RateLimited),
    ] {
        let (alertmanager, wire) = with(vec![Reply::error(status, said)]).await;
        let error = alertmanager.post(&[]).await.unwrap_err();
        assert_eq!((error.reason, wire.seen().len()), (reason, 1));
        assert!(error.message.contains(said), "{error}");
        assert!(error.to_string().starts_with("post alerts to Alertmanager: "), "{error}");
    }
}
