//! What the API tells about incidents, and that it can wait for news.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use runbookd::incident::Event;
use runbookd::store::Unanswered;
use serde_json::json;

use super::{World, story};

fn one(query: &str) -> String {
    format!("/api/v1/incidents/{}{query}", story::id())
}

#[tokio::test]
async fn the_status_says_how_the_daemon_stands() {
    let world = World::asking(Timestamp::MAX);
    let status = world.get("/api/v1/status").await.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["incidents_open"], 1);
    assert_eq!(status["ceiling"], "ask");
    assert_eq!(status["runbooks"][0]["name"], "runbook-1");
}

#[tokio::test]
async fn the_list_shows_stages_and_outcomes() {
    let world = World::asking(Timestamp::MAX);
    let list = world.get("/api/v1/incidents?open=true&limit=5").await.json();
    assert_eq!(list["incidents"][0]["id"], "1kfm3x9q02vge");
    assert_eq!(list["incidents"][0]["stage"], "waiting for approval");

    let world = World::new();
    world.tell(story::whole());
    assert_eq!(world.get("/api/v1/incidents?open=true").await.json()["incidents"], json!([]));
    let list = world.get("/api/v1/incidents").await.json();
    assert_eq!(list["incidents"][0]["stage"], "closed");
    assert_eq!(list["incidents"][0]["outcome"], "recovered");
}

#[tokio::test]
async fn one_incident_shows_everything_that_is_known() {
    let world = World::asking(Timestamp::MAX);
    let view = world.get(&one("")).await.json();
    assert_eq!(view["stage"], "waiting for approval");
    assert_eq!(view["why"], "restart deployment/web in shop");
    assert_eq!(view["resolved"], false);
    assert_eq!(view["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(view["legs"][0]["current"], true);
    assert_eq!(view["asking"]["judged"], json!(story::judged()));
    assert_eq!(view["asking"]["plan"]["uid"], json!(story::plan().uid));
    assert_eq!(view["events"].as_array().unwrap().len(), 5);

    let world = World::new();
    world.tell(story::whole());
    let view = world.get(&one("?after=17")).await.json();
    assert_eq!(view["why"], "verify held on every target");
    assert_eq!(view["asking"], json!(null));
    assert_eq!(view["legs"][0]["result"], "recovered");
    let seqs: Vec<_> = view["events"].as_array().unwrap().iter().map(|event| event["seq"].clone()).collect();
    assert_eq!(seqs, [18, 19]);
}

#[tokio::test]
async fn an_incident_whose_events_make_no_sense_is_shown_and_hides_no_other() {
    let world = World::new();
    world.tell(vec![(0.0, story::opened()), (1.0, Event::LegsChosen { legs: Vec::new() })]);
    let view = world.get(&one("")).await.json();
    assert_eq!(view["stage"], "left alone");
    assert!(view["why"].as_str().unwrap().contains("can not follow"), "{}", view["why"]);
    assert_eq!(view["events"].as_array().unwrap().len(), 2);
    assert_eq!(world.get("/api/v1/incidents").await.json()["incidents"][0]["stage"], "left alone");
}

#[tokio::test]
async fn what_nobody_answered_is_kept_with_its_reason() {
    let world = World::new();
    for number in 0..3 {
        world.store.keep_unanswered(Unanswered {
            at: story::at(f64::from(number)),
            alert: r#"{alertname="Watchdog"}"#.to_owned(),
            refused: false,
            reason: "no runbook matches".to_owned(),
        });
    }
    let kept = world.get("/api/v1/unanswered?limit=2").await.json()["unanswered"].clone();
    assert_eq!(kept.as_array().unwrap().len(), 2);
    assert_eq!(kept[0]["reason"], "no runbook matches");
}

#[tokio::test]
async fn wrong_questions_say_what_is_expected() {
    let world = World::asking(Timestamp::MAX);
    for (path, status, says) in [
        ("/api/v1/incidents/1kfm3x9q02vg0", StatusCode::NOT_FOUND, "there is no incident"),
        ("/api/v1/incidents/1kfm", StatusCode::BAD_REQUEST, "expected 13 characters"),
        ("/api/v1/incidents/%ff", StatusCode::BAD_REQUEST, ""),
        ("/api/v1/incidents?limit=many", StatusCode::BAD_REQUEST, "limit"),
        ("/api/v1/incidents?opne=true", StatusCode::BAD_REQUEST, "opne"),
        ("/api/v1/incidents/1kfm3x9q02vge?wait=forever", StatusCode::BAD_REQUEST, "such as `30s`"),
        ("/api/v1/nothing", StatusCode::NOT_FOUND, "/api/v1/nothing"),
        ("/api/v1/pause", StatusCode::METHOD_NOT_ALLOWED, "GET"),
    ] {
        let said = world.get(path).await;
        assert_eq!(said.status, status, "{path}: {}", said.text);
        assert!(said.error().contains(says), "{path}: {}", said.error());
    }
}

/// Who waited for the whole of `wait=30s` took longer than this.
const WAITS: Duration = Duration::from_secs(25);

/// Lets the other tasks run until they all wait.
async fn everybody_waits() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_question_can_wait_for_the_next_event() {
    let world = Arc::new(World::asking(Timestamp::MAX));
    let asked = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&one("?after=5&wait=30s")).await }
    });
    everybody_waits().await;
    // What happens elsewhere is no answer.
    world.store.put(&"1kfm3x9q02vg0".parse().unwrap(), story::at(3.0), story::opened());
    everybody_waits().await;
    assert!(!asked.is_finished());
    world.tell(vec![(4.0, story::joined())]);
    let view = asked.await.unwrap().json();
    assert_eq!(view["events"][0]["seq"], 6);
    assert_eq!(view["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn waiting_ends_after_its_time_and_at_the_daemons_end() {
    let world = Arc::new(World::asking(Timestamp::MAX));
    let begin = Instant::now();
    let view = world.get(&one("?after=5&wait=50ms")).await.json();
    assert_eq!(view["events"], json!([]));
    assert!(begin.elapsed() >= Duration::from_millis(50));

    let asked = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&one("?after=5&wait=30s")).await }
    });
    everybody_waits().await;
    world.shutdown.send(true).unwrap();
    assert_eq!(asked.await.unwrap().status, StatusCode::OK);
    assert!(begin.elapsed() < WAITS);
}

#[tokio::test]
async fn nobody_waits_for_events_of_a_closed_incident() {
    let world = World::new();
    world.tell(story::whole());
    let begin = Instant::now();
    let view = world.get(&one("?after=19&wait=30s")).await.json();
    assert_eq!(view["events"], json!([]));
    assert!(begin.elapsed() < WAITS);
}

#[tokio::test]
async fn the_list_can_wait_for_a_change() {
    let world = Arc::new(World::asking(Timestamp::MAX));
    let change = world.get("/api/v1/incidents").await.json()["change"].as_u64().unwrap();
    let path = format!("/api/v1/incidents?since={change}&wait=30s");
    let asked = tokio::spawn({
        let (world, path) = (Arc::clone(&world), path.clone());
        async move { world.get(&path).await }
    });
    everybody_waits().await;
    assert!(!asked.is_finished());
    world.tell(vec![(4.0, story::joined())]);
    let list = asked.await.unwrap().json();
    assert_eq!(list["incidents"][0]["seq"], 6);
    assert!(list["change"].as_u64().unwrap() > change);
    // What is behind is answered at once.
    let begin = Instant::now();
    world.get(&path).await;
    assert!(begin.elapsed() < WAITS);
}
