//! What runs have proven: what is taken in and what is not, and how it is shown.

use std::process::ExitCode;
use std::time::Duration;

use http::{Request, StatusCode};
use runbookd::api::wire::{Proofs, Status};
use runbookd::cli::paint::Paint;
use runbookd::cli::{incidents, proofs, status};
use runbookd::clock;
use runbookd::incident::proof::Level;
use runbookd::incident::proven::Demand;
use runbookd::store::{Store as _, StoreError};
use serde_json::{Value, json};

use super::commands::{given, serve};
use super::{World, runbook, story};

fn proof(run: &str) -> Value {
    json!({
        "run": run, "scenario": "stuck-web", "at": "fault", "runbook": "runbook-1",
        "text": runbook(1).text_hash().unwrap(), "passed": true, "proven_at": "2024-11-20T10:00:00Z",
        "times": {"detect_seconds": 42.0, "act_seconds": 50.0, "recover_seconds": 95.5}, "version": "0.1.0",
    })
}

fn with(run: &str, changes: &[(&str, Value)]) -> Value {
    let mut proof = proof(run);
    for (field, value) in changes {
        proof[*field] = value.clone();
    }
    proof
}

fn demand() -> Option<Demand> {
    Some(Demand { at: Level::Fault, within: Duration::from_hours(90 * 24) })
}

async fn shown(world: &World) -> Proofs {
    let said = world.get("/api/v1/proofs").await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    serde_json::from_str(&said.text).unwrap()
}

#[tokio::test]
async fn it_is_kept_once_however_often_it_comes_and_another_of_the_same_run_is_not() {
    let world = World::new();
    let first = world.post("/api/v1/proofs", &proof("one")).await;
    assert_eq!(
        (first.status, first.json()),
        (StatusCode::OK, json!({"repeated": false, "of_this_text": true}))
    );
    let again = world.post("/api/v1/proofs", &proof("one")).await;
    assert_eq!(again.json(), json!({"repeated": true, "of_this_text": true}));
    let other = world.post("/api/v1/proofs", &with("one", &[("passed", json!(false))])).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(other.error().contains("that stays; a new run has a new `run`"), "{}", other.error());
    assert_eq!(world.store.proofs().await.unwrap().len(), 1);
    let of_another_text =
        world.post("/api/v1/proofs", &with("two", &[("text", json!("b".repeat(64)))])).await;
    assert_eq!(of_another_text.json(), json!({"repeated": false, "of_this_text": false}));
}

#[tokio::test]
async fn what_can_not_be_kept_is_said_and_nothing_is_kept() {
    let world = World::new();
    let soon = clock::after(clock::now(), Duration::from_secs(120)).to_string();
    for (field, value, expected) in [
        ("runbook", json!("runbook-2"), "there is no runbook \"runbook-2\"; did you mean runbook-1?"),
        ("run", json!(""), "`run` is \"\"; expected 1 to 128 letters"),
        ("run", json!("a b"), "`run` is \"a b\""),
        ("scenario", json!("x".repeat(129)), "`scenario` is"),
        ("version", json!("1\n"), "`version` is"),
        ("text", json!("b".repeat(63)), "`text` is"),
        ("text", json!("B".repeat(64)), "small hexadecimal digits"),
        ("proven_at", json!(soon), "expected a time that has come"),
        ("proven_at", json!("yesterday"), "proven_at"),
        ("at", json!("moon"), "unknown variant `moon`"),
        ("times", json!({"detect_seconds": -1.0}), "negative"),
        (
            "times",
            json!({"recover_seconds": 604_801}),
            "`times.recover_seconds` is 604801; expected at most 7d",
        ),
    ] {
        let said = world.post("/api/v1/proofs", &with("one", &[(field, value)])).await;
        assert!(said.status.is_client_error(), "{field}: {}", said.text);
        assert!(said.error().contains(expected), "{field}: {}", said.error());
    }
    assert!(world.store.proofs().await.unwrap().is_empty());
    let soon = clock::after(clock::now(), Duration::from_secs(30)).to_string();
    let said = world.post("/api/v1/proofs", &with("one", &[("proven_at", json!(soon))])).await;
    assert_eq!(said.status, StatusCode::OK, "clocks differ: {}", said.text);
}

#[tokio::test]
async fn the_token_is_asked_for_and_a_journal_that_is_away_is_said() {
    let world = World::with(Some("correct-horse"), 1);
    assert_eq!(world.post("/api/v1/proofs", &proof("one")).await.status, StatusCode::UNAUTHORIZED);
    let request = Request::get("/api/v1/proofs").body(axum::body::Body::empty()).unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::UNAUTHORIZED);
    assert!(world.store.proofs().await.unwrap().is_empty());
    let world = World::new();
    world.store.break_with(StoreError::Unavailable("disk full".to_owned()));
    let said = world.post("/api/v1/proofs", &proof("one")).await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.error().contains("disk full; nothing was written, try again"), "{}", said.error());
}

#[tokio::test]
async fn every_loaded_runbook_is_shown_proven_or_not_and_what_is_missing() {
    let world = World::demanding(None, 3, demand());
    let recent = clock::before(clock::now(), Duration::from_hours(24)).to_string();
    for proof in [
        with("one", &[("proven_at", json!(recent))]),
        with("two", &[("runbook", json!("runbook-2")), ("passed", json!(false))]),
        with("three", &[("runbook", json!("runbook-2")), ("at", json!("sandbox"))]),
    ] {
        assert_eq!(world.post("/api/v1/proofs", &proof).await.status, StatusCode::OK);
    }
    let all = shown(&world).await;
    assert_eq!(
        all.demand.map(|demand| (demand.at, demand.within_seconds)),
        Some((Level::Fault, 90 * 86_400))
    );
    let names: Vec<&str> = all.runbooks.iter().map(|runbook| runbook.runbook.as_str()).collect();
    assert_eq!(names, ["runbook-1", "runbook-2", "runbook-3"]);
    let [one, two, three] = &all.runbooks[..] else { panic!("{all:#?}") };
    assert_eq!((one.missing.as_deref(), one.proofs[0].of_this_text, one.loaded), (None, true, true));
    assert_eq!(one.text, runbook(1).text_hash());
    assert!(two.missing.as_ref().unwrap().contains("the last proof failed"), "{two:#?}");
    assert!(two.proofs.iter().all(|view| !view.of_this_text), "the text of another runbook");
    assert!(three.proofs.is_empty() && three.missing.as_ref().unwrap().contains("never"), "{three:#?}");
    assert_eq!(shown(&World::new()).await.demand, None);
}

#[tokio::test]
async fn the_table_as_people_read_it() {
    let world = World::demanding(None, 4, demand());
    let text = |number| json!(runbook(number).text_hash());
    for proof in [
        with("one", &[]),
        with("two", &[("at", json!("sandbox")), ("times", json!({"detect_seconds": 2.5}))]),
        with("three", &[("runbook", json!("runbook-2")), ("passed", json!(false)), ("text", text(2))]),
        with("four", &[("runbook", json!("runbook-3"))]),
    ] {
        assert_eq!(world.post("/api/v1/proofs", &proof).await.status, StatusCode::OK);
    }
    let mut all = shown(&world).await;
    // How long ago it is depends on the day; that is the guard's own test.
    all.runbooks[0].missing = None;
    let lines = proofs::list(&all, Paint::PLAIN);
    assert!(lines.iter().all(|line| line.trim_end() == line), "no line ends in spaces");
    insta::assert_snapshot!("proofs", lines.join("\n"));
    let said = world.get("/api/v1/status").await;
    let status: Status = serde_json::from_str(&said.text).unwrap();
    insta::assert_snapshot!("status_with_proofs", status::shown(&status, Paint::PLAIN).join("\n"));

    let url = serve(&world).await;
    for words in [&[][..], &["--output", "json"]] {
        assert_eq!(proofs::run(given(&url, words)).await.unwrap(), ExitCode::SUCCESS, "{words:?}");
    }
}

#[tokio::test]
async fn an_incident_says_when_its_runbook_was_proven() {
    let world = World::new();
    world.tell(story::whole());
    let head = async || {
        let said = world.get(&format!("/api/v1/incidents/{}", story::id())).await;
        let view: runbookd::api::wire::IncidentView = serde_json::from_str(&said.text).unwrap();
        (view.summary.runbook.clone(), incidents::one(&view, story::at(600.0), Paint::PLAIN).join("\n"))
    };
    let (name, text) = head().await;
    assert!(!text.contains("proven"), "{text}");
    let of_it = with("one", &[("runbook", json!(name))]);
    world.store.keep_proof(serde_json::from_value(of_it).unwrap()).await.unwrap();
    let changed = "proven    last proven 2024-11-20: detect 42 s, recover 1m 35s (fault), and its text was changed since";
    let (_, text) = head().await;
    assert!(text.contains(changed), "{text}");
    // The version that it began with is the one that was proven.
    world.store.keep_text(&runbook(1).source);
    let (_, text) = head().await;
    assert!(text.contains("recover 1m 35s (fault)\n"), "{text}");
}
