//! What a person begins: once for its key, never beside the same, and apart from what alerts open.

use std::sync::Arc;

use runbookd::alert::Labels;
use runbookd::incident::IncidentId;
use runbookd::incident::event::Opened;
use runbookd::incident::run::Run;
use runbookd::runbook::Hash;
use runbookd::store::{Begun, Claim, Sqlite, Store, StoreError};
use tokio::task::JoinSet;

use super::{Shared, closed, firing, in_scope, incident, intake, names, on_every_store, resolved, second};

on_every_store!(
    a_run_is_an_incident_that_says_who_began_it,
    the_same_key_begins_nothing_again_not_even_after_its_end,
    twenty_at_once_begin_one,
    no_run_is_begun_beside_an_open_incident_of_the_same,
    an_alert_neither_joins_a_run_nor_ends_it,
    only_a_run_is_begun_this_way,
);

fn run(scope: &str) -> Opened {
    Opened {
        runbook: "restart".to_owned(),
        hash: Hash("hash of restart".to_owned()),
        scope: Labels::from([("namespace", scope)]),
        deadline: second(4_000_000_000),
        alerts: Vec::new(),
        more: 0,
        truncated: 0,
        restore: None,
        drill: None,
        run: Some(Run {
            by: "ana".to_owned(),
            reason: "it is slow".to_owned(),
            labels: Labels::from([("namespace", scope)]),
        }),
    }
}

async fn begun(store: &Shared, key: &str, scope: &str) -> IncidentId {
    match store.open_run(key, run(scope)).await.unwrap() {
        Begun::New(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn claim(store: &Shared, id: &IncidentId) -> Claim {
    let claims = store.claim("me", std::time::Duration::from_secs(60)).await.unwrap();
    claims.into_iter().find(|claim| claim.incident == *id).expect("it is worked on like any other")
}

async fn a_run_is_an_incident_that_says_who_began_it(store: Shared) {
    let changes = store.changes();
    let id = begun(&store, "one", "shop").await;
    assert!(changes.has_changed().unwrap(), "whoever works on incidents is told");
    let summary = store.incident(&id).await.unwrap();
    assert_eq!(
        (summary.begun_by.as_deref(), summary.runbook.as_str(), summary.seq),
        (Some("ana"), "restart", 1)
    );
    assert_eq!(store.incidents(true, 9).await.unwrap(), [summary]);
    let events = store.events(&id, 0).await.unwrap();
    assert_eq!(events[0].event, runbookd::incident::Event::Opened(run("shop")));
    assert_eq!(store.behind("slack", 9).await.unwrap().len(), 1, "Slack is told");
    claim(&store, &id).await;
    let of_alert = incident(&store, "other").await;
    assert_eq!(store.incident(&of_alert.incident).await.unwrap().begun_by, None);
}

async fn the_same_key_begins_nothing_again_not_even_after_its_end(store: Shared) {
    let id = begun(&store, "one", "shop").await;
    let known = Begun::Known(id.clone());
    assert_eq!(store.open_run("one", run("shop")).await.unwrap(), known);
    store.append(&claim(&store, &id).await, 1, closed(), None).await.unwrap();
    assert_eq!(store.open_run("one", run("shop")).await.unwrap(), known);
    assert_ne!(begun(&store, "two", "shop").await, id, "another request, and nothing is in its way");
    assert_eq!(store.incidents(false, 9).await.unwrap().len(), 2);
}

async fn twenty_at_once_begin_one(store: Shared) {
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let (store, key) = (store.clone(), (number / 2).to_string());
        tasks.spawn(async move { store.open_run(&key, run("shop")).await.unwrap() });
    }
    let all = tasks.join_all().await;
    let new: Vec<_> = all.iter().filter(|begun| matches!(begun, Begun::New(_))).collect();
    assert_eq!(new.len(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|begun| matches!(begun, Begun::Known(_))).count(), 1, "{all:?}");
    assert_eq!(store.incidents(false, 99).await.unwrap().len(), 1);
}

async fn no_run_is_begun_beside_an_open_incident_of_the_same(store: Shared) {
    let of_alert = incident(&store, "shop").await;
    assert_eq!(store.open_run("one", run("shop")).await.unwrap(), Begun::Busy(of_alert.incident.clone()));
    let elsewhere = begun(&store, "two", "elsewhere").await;
    assert_eq!(store.open_run("three", run("elsewhere")).await.unwrap(), Begun::Busy(elsewhere));
    store.append(&of_alert, 1, closed(), None).await.unwrap();
    // A key that began nothing is as good as new.
    begun(&store, "one", "shop").await;
}

async fn an_alert_neither_joins_a_run_nor_ends_it(store: Shared) {
    let id = begun(&store, "one", "shop").await;
    let receipt = store.take_in(intake([firing("a", 10)])).await.unwrap();
    assert_eq!((receipt.opened.len(), receipt.joined), (1, 0), "it has an incident of its own");
    store.take_in(intake([firing("b", 10)])).await.unwrap();
    store.take_in(intake([resolved("a", 10, 20), resolved("b", 10, 20)])).await.unwrap();
    assert_eq!(names(&store, &id).await, ["opened"]);
    let of_alerts = names(&store, &receipt.opened[0]).await;
    assert_eq!(of_alerts, ["opened", "alerts_joined", "alerts_resolved"]);
}

async fn only_a_run_is_begun_this_way(store: Shared) {
    let nobodys = Opened { run: None, ..run("shop") };
    let with_alerts = Opened { alerts: vec![firing("a", 10)], ..run("shop") };
    for opened in [nobodys, with_alerts] {
        let refused = store.open_run("one", opened).await;
        assert!(matches!(refused, Err(StoreError::NotThisWay(_))), "{refused:?}");
    }
    assert_eq!(store.incidents(false, 9).await.unwrap(), []);
}

/// The file has it after a restart, key and all; an alert of the same labels that is known changes nothing of that.
#[tokio::test]
async fn a_key_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let store = Arc::new(Sqlite::open(&path).await.unwrap());
    let shared: Shared = store.clone();
    let id = begun(&shared, "one", "shop").await;
    store.take_in(in_scope("shop", [firing("a", 10)])).await.unwrap();
    store.close().await;
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.open_run("one", run("shop")).await.unwrap(), Begun::Known(id.clone()));
    assert_eq!(store.incident(&id).await.unwrap().begun_by.as_deref(), Some("ana"));
}

/// A disk that is full says no, and the key is as good as new.
#[tokio::test]
async fn a_commit_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    Sqlite::open(&path).await.unwrap().close().await;
    super::no_commit_of(&path, "runs");
    let store = Sqlite::open(&path).await.unwrap();
    assert!(matches!(store.open_run("one", run("shop")).await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.incidents(false, 9).await.unwrap(), []);
}
