//! What runs have proven: once for each run and runbook, and the newest counts, whatever the order in which they came.

use std::time::Duration;

use jiff::Timestamp;
use runbookd::incident::proof::{Level, Proof, Times};
use runbookd::store::{KeptProof, Sqlite, Store, StoreError};
use tokio::task::JoinSet;

use super::{Shared, on_every_store, second};

on_every_store!(
    a_proof_is_read_back_as_it_was_kept_and_the_ledger_has_it,
    the_same_again_is_known_and_what_a_run_said_first_stays,
    the_newest_of_each_runbook_and_level_counts_in_whatever_order_they_come,
    a_failure_takes_an_older_success_back_and_one_of_the_same_moment,
    ten_at_once_are_kept_once_and_the_newest_is_the_newest,
);

fn proof(run: &str, at: Level, proven_at: i64, passed: bool) -> Proof {
    Proof {
        run: run.to_owned(),
        scenario: "inference-oom".to_owned(),
        at,
        runbook: "restart".to_owned(),
        text: "a".repeat(64),
        passed,
        proven_at: second(proven_at),
        times: Times { detect: Some(Duration::from_millis(42_500)), ..Times::default() },
        version: "0.1.0".to_owned(),
    }
}

async fn kept(store: &Shared, proof: Proof) {
    assert_eq!(store.keep_proof(proof).await.unwrap(), KeptProof::New);
}

/// The runs that count.
async fn runs(store: &Shared) -> Vec<String> {
    store.proofs().await.unwrap().into_iter().map(|proof| proof.run).collect()
}

async fn a_proof_is_read_back_as_it_was_kept_and_the_ledger_has_it(store: Shared) {
    assert_eq!(store.proofs().await.unwrap(), []);
    let exact = Timestamp::new(1_795_377_600, 123_456_789).unwrap();
    let wanted = Proof { proven_at: exact, ..proof("one", Level::Fault, 0, true) };
    kept(&store, wanted.clone()).await;
    let there = store.proofs().await.unwrap();
    let whole = Timestamp::new(1_795_377_600, 123_456_000).unwrap();
    assert_eq!(there, [Proof { proven_at: whole, ..wanted.clone() }]);
    assert_eq!(store.ledger().await.unwrap().proofs, there, "the guards see the same");
    assert_eq!(store.keep_proof(wanted).await.unwrap(), KeptProof::Known, "as it came, before it was cut");
}

async fn the_same_again_is_known_and_what_a_run_said_first_stays(store: Shared) {
    let failed = proof("one", Level::Fault, 10, false);
    kept(&store, failed.clone()).await;
    assert_eq!(store.keep_proof(failed.clone()).await.unwrap(), KeptProof::Known);
    for other in [
        Proof { passed: true, ..failed.clone() },
        Proof { passed: true, proven_at: second(11), ..failed.clone() },
        Proof { at: Level::Sandbox, ..failed.clone() },
        Proof { text: "b".repeat(64), ..failed.clone() },
    ] {
        assert_eq!(store.keep_proof(other).await.unwrap(), KeptProof::Another);
    }
    assert_eq!(store.proofs().await.unwrap(), std::slice::from_ref(&failed));
    // The same run may prove another runbook, too.
    kept(&store, Proof { runbook: "another".to_owned(), ..failed }).await;
    assert_eq!(runs(&store).await, ["one", "one"]);
}

async fn the_newest_of_each_runbook_and_level_counts_in_whatever_order_they_come(store: Shared) {
    kept(&store, proof("new", Level::Fault, 20, true)).await;
    kept(&store, proof("old", Level::Fault, 10, false)).await;
    kept(&store, proof("sandbox", Level::Sandbox, 30, true)).await;
    let other = Proof { runbook: "another".to_owned(), ..proof("other", Level::Alert, 5, true) };
    kept(&store, other).await;
    assert_eq!(runs(&store).await, ["other", "sandbox", "new"], "by runbook, then from far to near");
    kept(&store, Proof { text: "b".repeat(64), ..proof("changed", Level::Fault, 21, true) }).await;
    assert_eq!(runs(&store).await, ["other", "sandbox", "new", "changed"], "each text stands for itself");
    let scenario = "another-scenario".to_owned();
    kept(&store, Proof { scenario, ..proof("beside", Level::Fault, 1, false) }).await;
    assert_eq!(
        runs(&store).await,
        ["other", "sandbox", "beside", "new", "changed"],
        "each scenario stands for itself"
    );
}

async fn a_failure_takes_an_older_success_back_and_one_of_the_same_moment(store: Shared) {
    kept(&store, proof("passed", Level::Fault, 10, true)).await;
    kept(&store, proof("failed", Level::Fault, 11, false)).await;
    assert_eq!(runs(&store).await, ["failed"]);
    kept(&store, proof("z", Level::Fault, 11, true)).await;
    assert_eq!(runs(&store).await, ["failed"], "a success of the same moment does not take it back");
    kept(&store, proof("again", Level::Fault, 12, true)).await;
    assert_eq!(runs(&store).await, ["again"]);
    kept(&store, proof("late", Level::Fault, 12, false)).await;
    assert_eq!(runs(&store).await, ["late"]);
}

async fn ten_at_once_are_kept_once_and_the_newest_is_the_newest(store: Shared) {
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let store = store.clone();
        let proof = proof(&format!("run-{}", number % 10), Level::Alert, 100 + number % 10, number % 2 == 0);
        tasks.spawn(async move { store.keep_proof(proof).await.unwrap() });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().filter(|kept| **kept == KeptProof::New).count(), 10);
    assert!(all.iter().all(|kept| *kept != KeptProof::Another));
    assert_eq!(runs(&store).await, ["run-9"]);
}

#[tokio::test]
async fn they_outlive_a_restart_and_one_that_can_not_be_read_keeps_everything_from_being_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let store = Sqlite::open(&path).await.unwrap();
    let wanted = proof("one", Level::Fault, 10, true);
    store.keep_proof(wanted.clone()).await.unwrap();
    store.close().await;
    drop(store);
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.proofs().await.unwrap(), [wanted]);
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE proofs SET level = 'moon'", []).unwrap();
    let ledger = store.ledger().await;
    assert!(matches!(ledger, Err(StoreError::Unavailable(_))), "it could be a failure: {ledger:?}");
}
