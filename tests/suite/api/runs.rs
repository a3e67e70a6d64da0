//! A person begins a runbook: what is answered, and that nothing is begun where it says no.

use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use runbookd::cli::run;
use runbookd::incident::{Event, Outcome};
use runbookd::store::{Store as _, StoreError};
use serde_json::{Value, json};

use super::World;
use super::commands::{given, serve};

fn wanted(key: &str) -> Value {
    json!({"runbook": "runbook-1", "labels": {"namespace": "shop"}, "by": "ana", "reason": "it is slow", "key": key})
}

async fn open(world: &World) -> usize {
    world.store.incidents(false, 100).await.unwrap().len()
}

#[tokio::test]
async fn it_is_in_the_journal_when_it_is_answered_and_once_however_often_it_is_asked() {
    let world = World::new();
    let first = world.post("/api/v1/runs", &wanted("12345678")).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let id = first.json()["incident"].clone();
    assert_eq!(first.json(), json!({"incident": id, "repeated": false}));
    let again = world.post("/api/v1/runs", &wanted("12345678")).await;
    assert_eq!(again.json(), json!({"incident": id, "repeated": true}));
    let other = world.post("/api/v1/runs", &wanted("87654321")).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(other.error().contains(id.as_str().unwrap()), "{}", other.error());
    assert_eq!(open(&world).await, 1);
    let metrics = world.get("/metrics").await.text;
    for (result, number) in [("begun", 1), ("repeated", 1), ("refused", 1), ("unavailable", 0)] {
        let series = format!("runbookd_runs_total{{result=\"{result}\"}} {number}\n");
        assert!(metrics.contains(&series), "{series}{metrics}");
    }
}

#[tokio::test]
async fn a_journal_that_is_away_and_a_daemon_that_ends_begin_nothing_and_say_that_it_can_be_tried_again() {
    let world = World::new();
    world.store.break_with(StoreError::Unavailable("disk full".to_owned()));
    let said = world.post("/api/v1/runs", &wanted("12345678")).await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.error().contains("disk full; nothing was written, try again"), "{}", said.error());
    let world = World::new();
    world.shutdown.send(true).unwrap();
    let said = world.post("/api/v1/runs", &wanted("12345678")).await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.error().contains("shutting down; nothing was begun"), "{}", said.error());
    assert_eq!(open(&world).await, 0);
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let world = World::with(Some("correct-horse"), 1);
    let said = world.post("/api/v1/runs", &wanted("12345678")).await;
    assert_eq!(said.status, StatusCode::UNAUTHORIZED);
    assert_eq!(open(&world).await, 0);
}

#[tokio::test]
async fn the_command_begins_it_and_its_exit_code_says_how_it_went() {
    let world = World::new();
    let url = serve(&world).await;
    let words = |words: &[&'static str]| -> Vec<&'static str> {
        [&["runbook-1", "--reason", "it is slow", "--by", "ana"], words].concat()
    };
    for wrong in [&["--label", "other=x"][..], &["--label", "namespace=a", "--label", "namespace=b"]] {
        let code = run::run(given(&url, &words(wrong))).await.unwrap();
        assert_eq!((code, open(&world).await), (ExitCode::from(2), 0), "{wrong:?}");
    }
    let unknown = given(&url, &["runbook-9", "--reason", "r", "--label", "namespace=shop"]);
    assert_eq!(run::run(unknown).await.unwrap(), ExitCode::from(2));
    let begin = ["--label", "namespace=shop", "--key", "12345678"];
    assert_eq!(run::run(given(&url, &words(&begin))).await.unwrap(), ExitCode::SUCCESS);
    let error = run::run(given(&url, &words(&begin[..2]))).await.unwrap_err().to_string();
    assert!(error.contains("nothing was begun"), "{error}");
    assert_eq!(open(&world).await, 1);

    let id = world.store.incidents(true, 1).await.unwrap()[0].id.clone();
    for (outcome, code) in
        [(Outcome::NotRecovered, ExitCode::FAILURE), (Outcome::Recovered, ExitCode::SUCCESS)]
    {
        let world = World::new();
        let url = serve(&world).await;
        run::run(given(&url, &words(&begin))).await.unwrap();
        let follow = [&begin[..], &["--follow", "--output", "json"]].concat();
        let following = tokio::spawn(run::run(given(&url, &words(&follow))));
        let why = "verify".to_owned();
        world.store.put(&id, runbookd::clock::now(), Event::Closed { outcome, why });
        let ended = tokio::time::timeout(Duration::from_secs(90), following).await.unwrap();
        assert_eq!(ended.unwrap().unwrap(), code, "{outcome}");
    }
}
