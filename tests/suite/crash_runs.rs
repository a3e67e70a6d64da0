//! `kill -9` while a person begins a runbook: wherever it dies, the request that is sent again begins it once.

use runbookd::crash::RUN_POINTS;
use runbookd::incident::Outcome;

use super::crash::side_by_side;
use super::daemon::{Daemon, LIMIT, names};
use super::runs::in_trouble;

const KEY: &str = "3c9c1f0e-one-request";
/// So often a person sends it again when they are told that nobody knows.
const TRIES: usize = 20;

async fn play(point: &'static str) {
    let mut daemon = Daemon::new(25).await;
    let environment = vec![("RUNBOOKD_CRASH_AT".to_owned(), point.to_owned())];
    daemon.stage.change(|setting| setting.environment = environment).unwrap();
    daemon.start().await;
    in_trouble(&daemon).await;
    let token = daemon.stage.api_token_file();
    let url = daemon.stage.url();
    let command = [
        "run",
        "database-pool-exhaustion",
        "--label",
        "namespace=samosachaat-prod",
        "--reason",
        "it is slow",
        "--key",
        KEY,
        "--url",
        &url,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let stands = format!("runbookd stands at crash point {point}\n");
    // The answer of the first is lost with the daemon.
    tokio::select! {
        output = daemon.run(&command) => panic!("{point}: answered before it died: {output:?}"),
        stood = daemon.logged(&stands, LIMIT) => assert!(stood, "{point}: {}", daemon.stage.last_words()),
    }
    daemon.stage.kill().await.unwrap();
    daemon.stage.change(|setting| setting.environment.clear()).unwrap();
    daemon.start().await;
    let mut said = Vec::new();
    for _ in 0..TRIES {
        let output = daemon.run(&command).await;
        said.push(String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap());
        if output.status.success() {
            break;
        }
    }
    let last = said.last().unwrap();
    assert!(last.starts_with("Incident "), "{point}: {said:#?}");
    assert_eq!(last.contains("nothing new was begun"), point == "run-after-commit", "{point}: {said:#?}");
    let view = daemon.ended().await;
    assert_eq!(view.summary.outcome, Some(Outcome::Recovered), "{point}: {:?}", names(&view.events));
    assert_eq!(daemon.stage.world().writes().len(), 1, "{point}: one PATCH and no other write");
    daemon.stage.terminate().await.unwrap();
    assert_eq!(daemon.journal().await.len(), 1, "{point}: one incident");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_person_begins_it_the_same_request_again_begins_it_once() {
    side_by_side(RUN_POINTS.iter().map(|point| ((*point).to_owned(), play(point))).collect()).await;
}
