//! Any sequence of notifications: both stores come to the same, alone or many at once, and a replay changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use runbookd::alert::Alert;
use runbookd::incident::Event;
use runbookd::store::{Answered, Intake, Model, Receipt, Sqlite};
use tokio::task::JoinSet;

use super::{Shared, alert, by, closed};

/// Pod, start, length of the episode when it is resolved, and which runbooks answer.
type Sent = (u8, i64, Option<i64>, u8);

fn sent() -> impl Strategy<Value = Sent> {
    let sent = (0..5_u8, 0..12_i64, proptest::option::of(-2..6_i64), 0..4_u8);
    // Only the end of an alert may come to the journal without a runbook that answers it.
    sent.prop_map(|(pod, starts, length, by)| {
        (pod, starts, length, if length.is_none() { by.max(1) } else { by })
    })
}

fn intakes() -> impl Strategy<Value = Vec<Vec<Sent>>> {
    proptest::collection::vec(proptest::collection::vec(sent(), 0..5), 1..12)
}

fn intake(alerts: &[Sent]) -> Intake {
    let answered = |&(pod, starts, length, runbooks): &Sent| Answered {
        alert: alert(&pod.to_string(), starts, length.map(|length| starts + length)),
        by: ["restart", "scale"]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| runbooks & (1 << bit) != 0)
            .map(|(_, runbook)| by(runbook, &(pod % 2).to_string()))
            .collect(),
    };
    Intake { answered: alerts.iter().map(answered).collect(), ..Intake::default() }
}

/// A receipt without the ids.
fn counts(receipt: &Receipt) -> (usize, usize, usize, usize) {
    (receipt.opened.len(), receipt.joined, receipt.resolved, receipt.repeated)
}

/// What is in a store, without ids and times.
async fn seen(store: &Shared) -> Vec<String> {
    let pods = |alerts: &[Alert]| -> Vec<String> {
        alerts.iter().map(|alert| format!("{} {}", alert.labels.get("pod"), alert.starts_at)).collect()
    };
    let mut all = Vec::new();
    for summary in store.incidents(false, 1000).await.unwrap() {
        let events = store.events(&summary.id, 0).await.unwrap();
        let events: Vec<String> = events
            .iter()
            .map(|recorded| match &recorded.event {
                Event::Opened(opened) => format!("opened {:?}", pods(&opened.alerts)),
                Event::AlertsJoined { alerts, more } => format!("joined {:?} {more}", pods(alerts)),
                other => format!("{other:?}"),
            })
            .collect();
        all.push(format!("{} {} {:?} {events:?}", summary.runbook, summary.scope, summary.outcome));
    }
    all.sort();
    all
}

/// Closes what is open, so that the next episode opens something.
async fn close(store: &Shared) {
    store.release("me").await.unwrap();
    for claim in store.claim("me", std::time::Duration::from_secs(60)).await.unwrap() {
        let seq = store.incident(&claim.incident).await.unwrap().seq;
        store.append(&claim, seq, closed(), None).await.unwrap();
    }
}

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_come_to_the_same(intakes in intakes(), close_every in 1..6_usize, open_every in 1..8_usize) {
        run(async move {
            let model: Shared = Arc::new(Model::new());
            let (directory, mut file) = super::sqlite().await;
            let mut sqlite: Shared = file.clone();
            for (number, alerts) in intakes.iter().enumerate() {
                let expected = model.take_in(intake(alerts)).await.unwrap();
                let got = sqlite.take_in(intake(alerts)).await.unwrap();
                prop_assert_eq!(counts(&got), counts(&expected));
                // Alertmanager never has an alert twice in one notification; both stores take it all the same.
                let pods: BTreeSet<u8> = alerts.iter().map(|(pod, ..)| *pod).collect();
                for store in [&model, &sqlite].into_iter().filter(|_| pods.len() == alerts.len()) {
                    let again = store.take_in(intake(alerts)).await.unwrap();
                    prop_assert_eq!(counts(&again), (0, 0, 0, alerts.len()), "a replay");
                }
                // What it knew without the disk is gone then.
                if number % open_every == 0 {
                    file.close().await;
                    file = Arc::new(Sqlite::open(&directory.path().join("journal.db")).await.unwrap());
                    sqlite = file.clone();
                }
                if number % close_every == 0 {
                    close(&model).await;
                    close(&sqlite).await;
                }
            }
            prop_assert_eq!(seen(&sqlite).await, seen(&model).await);
            Ok(())
        })?;
    }

    #[test]
    fn many_at_once_are_as_one_after_the_other(intakes in intakes()) {
        run(async move {
            let model: Shared = Arc::new(Model::new());
            let (directory, sqlite) = super::sqlite().await;
            let sqlite: Shared = sqlite;
            // The writer waits for this one until all of them wait for the writer: what is on disk changes for none of them in between.
            let other = rusqlite::Connection::open(directory.path().join("journal.db")).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut tasks = JoinSet::new();
            let mut expected = Vec::new();
            for (number, alerts) in intakes.iter().enumerate() {
                expected.push(counts(&model.take_in(intake(alerts)).await.unwrap()));
                let (sqlite, intake) = (sqlite.clone(), intake(alerts));
                // One thread begins them in this order.
                tasks.spawn(async move { (number, counts(&sqlite.take_in(intake).await.unwrap())) });
            }
            for _ in 0..=intakes.len() {
                tokio::task::yield_now().await;
            }
            other.execute_batch("ROLLBACK").unwrap();
            let mut got = tasks.join_all().await;
            got.sort_unstable();
            let got: Vec<_> = got.into_iter().map(|(_, counts)| counts).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(seen(&sqlite).await, seen(&model).await);
            Ok(())
        })?;
    }
}
