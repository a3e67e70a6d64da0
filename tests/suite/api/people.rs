//! What people say is appended only when it answers exactly what is asked.

use http::StatusCode;
use jiff::Timestamp;
use runbookd::clock;
use runbookd::incident::{Event, Outcome};
use runbookd::store::StoreError;
use serde_json::{Value, json};

use super::{World, story};

fn path(verb: &str) -> String {
    format!("/api/v1/incidents/{}/{verb}", story::id())
}

fn yes() -> Value {
    json!({"by": "alice@laptop", "judged": story::judged()})
}

/// The request is refused like this, and the journal is as it was.
async fn refused(world: &World, verb: &str, body: &Value, status: StatusCode, says: &str) {
    let before = world.store.said();
    let said = world.post(&path(verb), body).await;
    assert_eq!(said.status, status, "{}", said.text);
    assert!(said.error().contains(says), "{:?} does not say {says:?}", said.error());
    assert_eq!(world.store.said(), before, "nothing is appended when it is refused");
}

#[tokio::test]
async fn the_plan_that_was_looked_at_is_approved() {
    let world = World::asking(Timestamp::MAX);
    let said = world.post(&path("approve"), &yes()).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    assert_eq!(said.json()["event"]["event"], "approved");
    assert_eq!(said.json()["event"]["by"], "alice@laptop");
    assert_eq!(world.store.said(), 1);
    refused(&world, "approve", &yes(), StatusCode::CONFLICT, "is confirming and asks nobody").await;
}

#[tokio::test]
async fn another_plan_is_not_approved() {
    let world = World::asking(Timestamp::MAX);
    let other = json!({"by": "alice", "judged": "b".repeat(64)});
    refused(&world, "approve", &other, StatusCode::CONFLICT, "the plan has changed, look again").await;
}

#[tokio::test]
async fn nobody_answers_after_the_question_has_expired() {
    let world = World::asking(clock::now());
    let no = json!({"by": "bob", "reason": "no"});
    refused(&world, "approve", &yes(), StatusCode::CONFLICT, "has expired").await;
    refused(&world, "decline", &no, StatusCode::CONFLICT, "has expired").await;
}

#[tokio::test]
async fn nothing_is_approved_where_nothing_is_asked() {
    let world = World::new();
    world.tell(story::planned());
    refused(&world, "approve", &yes(), StatusCode::CONFLICT, "is planned and asks nobody").await;
    let why = "a person looked".to_owned();
    world.tell(vec![(9.0, Event::Closed { outcome: Outcome::Declined, why })]);
    let says = "is closed as declined (a person looked)";
    refused(&world, "approve", &yes(), StatusCode::CONFLICT, says).await;
    refused(&world, "decline", &json!({"by": "b", "reason": "r"}), StatusCode::CONFLICT, says).await;
}

#[tokio::test]
async fn an_alert_that_joins_meanwhile_does_not_undo_an_approval() {
    let world = World::asking(Timestamp::MAX);
    world.store.comes_first(story::joined());
    world.store.comes_first(story::joined());
    assert_eq!(world.post(&path("approve"), &yes()).await.status, StatusCode::OK);
    assert_eq!(world.store.said(), 1);
}

#[tokio::test]
async fn what_another_person_said_first_counts() {
    let world = World::asking(Timestamp::MAX);
    world.store.comes_first(Event::Declined { by: "bob".to_owned(), reason: "not now".to_owned() });
    refused(&world, "approve", &yes(), StatusCode::CONFLICT, "is declined and asks nobody").await;
}

#[tokio::test]
async fn a_question_that_moves_for_ever_is_given_up() {
    let world = World::asking(Timestamp::MAX);
    (0..100).for_each(|_| world.store.comes_first(story::joined()));
    refused(&world, "approve", &yes(), StatusCode::CONFLICT, "try again").await;
}

#[tokio::test]
async fn a_plan_is_declined_with_a_reason() {
    let world = World::asking(Timestamp::MAX);
    for empty in ["", "  \n"] {
        let body = json!({"by": "bob", "reason": empty});
        refused(&world, "decline", &body, StatusCode::BAD_REQUEST, "`reason` must not be empty").await;
    }
    let said = world.post(&path("decline"), &json!({"by": " bob ", "reason": "migration"})).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    assert_eq!(said.json()["event"], json!({"event": "declined", "by": "bob", "reason": "migration"}));
}

#[tokio::test]
async fn an_answer_has_a_person() {
    let world = World::asking(Timestamp::MAX);
    let nobody = json!({"by": " ", "judged": story::judged()});
    refused(&world, "approve", &nobody, StatusCode::BAD_REQUEST, "`by` must not be empty").await;
    let everybody = json!({"by": "x".repeat(201), "judged": story::judged()});
    refused(&world, "approve", &everybody, StatusCode::BAD_REQUEST, "longer than 200").await;
    let missing = json!({"by": "alice"});
    refused(&world, "approve", &missing, StatusCode::BAD_REQUEST, "missing field `judged`").await;
    let typo = json!({"by": "alice", "judged": story::judged(), "forced": true});
    refused(&world, "approve", &typo, StatusCode::BAD_REQUEST, "unknown field `forced`").await;
}

#[tokio::test]
async fn a_journal_that_is_away_takes_no_answer() {
    let world = World::asking(Timestamp::MAX);
    world.store.break_with(StoreError::Unavailable("disk full".to_owned()));
    refused(&world, "approve", &yes(), StatusCode::SERVICE_UNAVAILABLE, "disk full").await;
}

#[tokio::test]
async fn an_incident_that_there_is_not_can_not_be_answered() {
    let world = World::new();
    refused(&world, "approve", &yes(), StatusCode::NOT_FOUND, "there is no incident").await;
    let said = world.post("/api/v1/incidents/what/approve", &yes()).await;
    assert_eq!(said.status, StatusCode::BAD_REQUEST);
    assert!(said.error().contains("is not an incident's id"), "{}", said.error());
}

#[tokio::test]
async fn a_pause_has_a_reason_and_lasts_until_it_is_resumed() {
    let world = World::new();
    for body in
        [json!({"by": "alice", "reason": " "}), json!({"by": "", "reason": "x"}), json!({"by": "alice"})]
    {
        let said = world.post("/api/v1/pause", &body).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!said.error().is_empty());
    }
    assert_eq!(world.get("/api/v1/status").await.json()["paused"], json!(null));
    let said = world.post("/api/v1/pause", &json!({"by": "alice", "reason": "load test"})).await;
    assert_eq!(said.status, StatusCode::OK);
    let paused = world.get("/api/v1/status").await.json()["paused"].clone();
    assert_eq!(paused, json!({"by": "alice", "reason": "load test", "at": "1970-01-01T00:00:01Z"}));
    let said = world.post("/api/v1/resume", &json!({"by": "bob"})).await;
    assert_eq!(said.json()["was"], paused);
    assert_eq!(world.post("/api/v1/resume", &json!({"by": "bob"})).await.json()["was"], json!(null));
}
