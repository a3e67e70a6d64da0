//! Who is let in, and what the daemon says about itself without asking who it is.

use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use proptest::prelude::*;
use runbookd::store::StoreError;
use serde_json::json;

use super::{World, story};

const QUESTIONS: [&str; 4] =
    ["/api/v1/status", "/api/v1/incidents", "/api/v1/unanswered", "/api/v1/there/is/no/such/page"];

fn with_header(path: &str, name: &str, value: &str) -> Request<Body> {
    Request::get(path).header(name, value).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn only_the_right_token_opens_the_api() {
    let world = World::with(Some("correct-horse"), 1);
    for path in QUESTIONS {
        let said = world.get(path).await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(said.error().contains("Authorization: Bearer"), "{}", said.error());
        for wrong in [
            "Bearer wrong-horse00",
            "Bearer correct-hors",
            "Bearer correct-horse-battery",
            "Bearer ",
            "Bearer",
            "Basic correct-horse",
            "correct-horse",
        ] {
            let said = world.send(with_header(path, "authorization", wrong)).await;
            assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{path} {wrong:?}");
        }
        let said = world.send(with_header(path, "authorization", "Bearer correct-horse")).await;
        assert_ne!(said.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let said = world.post("/api/v1/pause", &json!({"by": "eve", "reason": "because"})).await;
    assert_eq!(said.status, StatusCode::UNAUTHORIZED);
    assert!(world.get("/metrics").await.text.contains("runbookd_paused 0"));
}

#[tokio::test]
async fn health_readiness_and_metrics_need_no_token() {
    let world = World::with(Some("correct-horse"), 1);
    for path in ["/-/healthy", "/-/ready", "/metrics"] {
        assert_eq!(world.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_a_web_page_under_another_name_is_not_let_in() {
    let world = World::new();
    for (host, status) in [
        ("127.0.0.1:9099", StatusCode::OK),
        ("localhost:9099", StatusCode::OK),
        ("rebound.example:9099", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(world.send(with_header("/api/v1/status", "host", host)).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_form_of_a_web_page_is_not_taken_for_json() {
    let world = World::new();
    let body = Body::from(r#"{"by": "eve", "reason": "because"}"#);
    let request = Request::post("/api/v1/pause").header("content-type", "text/plain").body(body).unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.get("/api/v1/status").await.json()["paused"], json!(null));
}

#[tokio::test]
async fn ready_says_why_it_is_not() {
    let world = World::with(None, 0);
    let said = world.get("/-/ready").await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(said.text, "not ready: no runbook is loaded, so no alert would be answered\n");

    let world = World::new();
    assert_eq!(world.get("/-/ready").await.text, "ready\n");
    world.store.break_with(StoreError::Unavailable("disk full".to_owned()));
    let said = world.get("/-/ready").await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(said.text, "not ready: the journal is not available: disk full\n");
    assert_eq!(world.get("/-/healthy").await.status, StatusCode::OK);
    assert_eq!(world.get("/metrics").await.status, StatusCode::OK);

    let world = World::new();
    world.shutdown.send(true).unwrap();
    let said = world.get("/-/ready").await;
    assert_eq!(
        (said.status, said.text.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: shutting down\n")
    );
}

#[tokio::test]
async fn ready_does_not_wait_for_a_journal_that_hangs() {
    let world = World::new();
    world.store.hang();
    let said = world.get("/-/ready").await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(said.text, "not ready: the journal did not take a write within 1s\n");
}

#[tokio::test]
async fn the_metrics_say_whether_it_is_paused() {
    let world = World::new();
    assert!(world.get("/metrics").await.text.contains("runbookd_paused 0"));
    world.post("/api/v1/pause", &json!({"by": "alice", "reason": "load test"})).await;
    let said = world.send(with_header("/metrics", "accept", "*/*")).await;
    assert!(said.text.contains("runbookd_paused 1"));
}

#[tokio::test]
async fn the_webhook_lives_beside_it_with_a_door_of_its_own() {
    let mut world = World::with(Some("correct-horse"), 1);
    let webhook = axum::Router::new().route(runbookd::receive::PATH, post(async || "taken"));
    world.router = world.router.merge(webhook);
    let said = world.post(runbookd::receive::PATH, &json!({})).await;
    assert_eq!((said.status, said.text.as_str()), (StatusCode::OK, "taken"));
    assert_eq!(world.get("/api/v1/alerts").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let world = World::new();
    let body = json!({"by": "alice", "reason": "x".repeat(70 * 1024)});
    assert_eq!(world.post("/api/v1/pause", &body).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_journal_that_is_away_is_a_503_everywhere() {
    let world = World::new();
    world.tell(story::planned());
    world.store.break_with(StoreError::Overloaded);
    let one = format!("/api/v1/incidents/{}", story::id());
    for path in ["/api/v1/status", "/api/v1/incidents", "/api/v1/unanswered", &one] {
        let said = world.get(path).await;
        assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(said.error().contains("try again"), "{}", said.error());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_that_is_sent_is_answered_with_a_500(
        path in prop_oneof![
            "/[a-z0-9/%._~-]{0,40}",
            "/api/v1/[a-z]{0,12}(/[0-9a-z%.]{0,15}(/(approve|decline|[a-z]{0,5}))?)?",
            "/api/v1/incidents/1kfm3x9q02vge/(approve|decline)",
            "/api/v1/(pause|resume|incidents|unanswered)",
        ],
        query in "(\\?(after|wait|limit|open|since|[a-z]{1,4})=[0-9a-z%-]{0,22}(&wait=0s)?)?",
        method in prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("DELETE"), Just("HEAD")],
        body in prop_oneof![
            ".{0,60}",
            Just("null".to_owned()),
            r#"\{"by": "[^"\\]{0,10}", "(reason|judged)": "[^"\\]{0,10}"\}"#,
        ],
        json in any::<bool>(),
    ) {
        let Ok(request) = Request::builder()
            .method(method)
            .uri(format!("{path}{query}"))
            .header("content-type", if json { "application/json" } else { "text/plain" })
            .body(Body::from(body))
        else {
            return Ok(());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let said = runtime.block_on(async {
            let world = World::asking(jiff::Timestamp::MAX);
            // At the daemon's end nobody waits, whatever was asked.
            world.shutdown.send(true).unwrap();
            world.send(request).await
        });
        prop_assert!(said.status.as_u16() < 500, "{said:?}");
        if said.status.as_u16() >= 400 && path.len() > 8 && path.starts_with("/api/v1/") && method != "HEAD" {
            prop_assert!(!said.error().is_empty());
        }
    }
}
