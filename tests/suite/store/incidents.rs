//! Incidents, claims, runbooks, the pause, and the alerts that nobody answered.

use std::time::Duration;

use runbookd::alert::Labels;
use runbookd::incident::{IncidentId, Outcome};
use runbookd::runbook::Hash;
use runbookd::store::{Intake, StoreError, UNANSWERED_KEPT, Unanswered};
use tokio::task::JoinSet;

use super::{Shared, closed, firing, in_scope, incident, intake, on_every_store, second, skipped};

const LEASE: Duration = Duration::from_secs(60);

on_every_store!(
    twenty_intakes_at_once_open_one_incident,
    a_claim_is_of_one_owner_until_its_lease_ends,
    an_owner_that_is_late_to_prolong_its_lease_keeps_its_incidents,
    a_released_incident_can_be_claimed_by_another,
    who_lost_the_claim_can_write_no_more,
    a_closed_incident_is_no_longer_claimed,
    lists_show_the_newest_first,
    an_unknown_incident_is_named,
    a_pause_lasts_until_it_is_ended,
    a_runbook_is_kept_by_its_hash,
    the_newest_thousand_unanswered_alerts_are_kept,
    an_unanswered_alert_sent_again_is_one_row,
    what_touches_an_incident_wakes_those_who_wait,
    a_store_that_works_is_writable,
);

async fn twenty_intakes_at_once_open_one_incident(store: Shared) {
    let mut tasks = JoinSet::new();
    for pod in 0..20 {
        let store = store.clone();
        tasks.spawn(async move { store.take_in(intake([firing(&pod.to_string(), 10)])).await.unwrap() });
    }
    let receipts = tasks.join_all().await;
    assert_eq!(receipts.iter().map(|receipt| receipt.opened.len()).sum::<usize>(), 1);
    assert_eq!(receipts.iter().map(|receipt| receipt.joined).sum::<usize>(), 19);
    let open = store.incidents(true, 10).await.unwrap();
    assert_eq!((open.len(), open[0].seq), (1, 20));
    assert_eq!(store.events(&open[0].id, 0).await.unwrap().len(), 20);
}

async fn a_claim_is_of_one_owner_until_its_lease_ends(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    let mine = store.claim("me", Duration::ZERO).await.unwrap();
    assert_eq!((mine.len(), mine[0].epoch), (1, 1));
    tokio::time::sleep(Duration::from_millis(2)).await;
    let theirs = store.claim("they", Duration::ZERO).await.unwrap();
    assert_eq!(theirs[0].epoch, 2, "the lease had run out");
    store.renew("they", LEASE).await.unwrap();
    store.renew("me", LEASE).await.unwrap();
    assert_eq!(store.claim("me", LEASE).await.unwrap(), []);
}

/// The journal was away for longer than the lease: the loops that are at work must not lose their claims to themselves.
async fn an_owner_that_is_late_to_prolong_its_lease_keeps_its_incidents(store: Shared) {
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    let claim = store.claim("me", Duration::ZERO).await.unwrap().remove(0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(store.claim("me", Duration::from_secs(60)).await.unwrap().is_empty());
    store.append(&claim, 1, skipped(), None).await.unwrap();
    store.renew("me", Duration::from_secs(60)).await.unwrap();
    assert!(store.claim("other", Duration::from_secs(60)).await.unwrap().is_empty());
}

async fn a_released_incident_can_be_claimed_by_another(store: Shared) {
    incident(&store, "shop").await;
    assert_eq!(store.claim("they", LEASE).await.unwrap(), []);
    store.release("they").await.unwrap();
    assert_eq!(store.claim("they", LEASE).await.unwrap(), []);
    store.release("me").await.unwrap();
    assert_eq!(store.claim("they", LEASE).await.unwrap().len(), 1);
}

async fn who_lost_the_claim_can_write_no_more(store: Shared) {
    let mine = incident(&store, "shop").await;
    store.release("me").await.unwrap();
    let theirs = store.claim("they", LEASE).await.unwrap().remove(0);
    let lost = Err(StoreError::NotMine(mine.incident.clone()));
    assert_eq!(store.append(&mine, 1, skipped(), None).await, lost);
    store.append(&theirs, 1, skipped(), None).await.unwrap();
    assert_eq!(store.append(&mine, 2, skipped(), None).await, lost);
}

async fn a_closed_incident_is_no_longer_claimed(store: Shared) {
    let claim = incident(&store, "shop").await;
    store.append(&claim, 1, closed(), None).await.unwrap();
    store.release("me").await.unwrap();
    assert_eq!(store.claim("they", LEASE).await.unwrap(), []);
    assert_eq!(
        store.append(&claim, 2, skipped(), None).await,
        Err(StoreError::Moved(claim.incident.clone())),
        "nothing follows on the end"
    );
}

async fn lists_show_the_newest_first(store: Shared) {
    let first = incident(&store, "a").await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let second = incident(&store, "b").await;
    store.append(&first, 1, closed(), None).await.unwrap();
    let ids = |all: Vec<runbookd::store::Summary>| -> Vec<IncidentId> {
        all.into_iter().map(|summary| summary.id).collect()
    };
    let both = [second.incident.clone(), first.incident.clone()];
    assert_eq!(ids(store.incidents(false, 10).await.unwrap()), both);
    assert_eq!(ids(store.incidents(false, 1).await.unwrap()), both[..1]);
    assert_eq!(ids(store.incidents(true, 10).await.unwrap()), both[..1]);
    let summary = store.incident(&first.incident).await.unwrap();
    assert_eq!(summary.outcome, Some(Outcome::SelfHealed));
    assert_eq!((summary.runbook.as_str(), summary.seq), ("restart", 2));
    assert_eq!(summary.scope, Labels::from([("namespace", "a")]));
    assert!(summary.closed_at.unwrap() >= summary.opened_at);
}

async fn an_unknown_incident_is_named(store: Shared) {
    let unknown = IncidentId::new(1, 1);
    let error = StoreError::NoSuchIncident(unknown.clone());
    assert_eq!(store.incident(&unknown).await, Err(error.clone()));
    assert_eq!(store.events(&unknown, 0).await, Err(error.clone()));
    assert_eq!(store.delivered("slack", &unknown, 1, "").await, Err(error.clone()));
    let claim = runbookd::store::Claim { incident: unknown, epoch: 1 };
    assert_eq!(store.append(&claim, 0, skipped(), None).await, Err(error));
}

async fn a_pause_lasts_until_it_is_ended(store: Shared) {
    assert_eq!(store.paused().await.unwrap(), None);
    assert_eq!(store.resume("Ada").await.unwrap(), None);
    let pause = store.pause("Ada", "a migration").await.unwrap();
    assert_eq!((pause.by.as_str(), pause.reason.as_str()), ("Ada", "a migration"));
    assert_eq!(store.paused().await.unwrap(), Some(pause.clone()));
    assert_eq!(store.ledger().await.unwrap().pause, Some(pause.clone()));
    assert_eq!(store.resume("Bob").await.unwrap(), Some(pause));
    assert_eq!(store.paused().await.unwrap(), None);
}

async fn a_runbook_is_kept_by_its_hash(store: Shared) {
    let hash = Hash("one".to_owned());
    store.keep_runbook("restart", &hash, "text").await.unwrap();
    store.keep_runbook("restart", &hash, "text").await.unwrap();
    assert_eq!(store.runbook(&hash).await.unwrap().as_deref(), Some("text"));
    assert_eq!(store.runbook(&Hash("two".to_owned())).await.unwrap(), None);
}

fn unanswered(alerts: impl IntoIterator<Item = String>) -> Intake {
    let one = |alert| Unanswered { at: second(0), alert, refused: false, reason: "no runbook".to_owned() };
    Intake { unanswered: alerts.into_iter().map(one).collect(), ..Intake::default() }
}

async fn the_newest_thousand_unanswered_alerts_are_kept(store: Shared) {
    store.take_in(unanswered(["the first".to_owned()])).await.unwrap();
    for chunk in 0..11 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        store.take_in(unanswered((0..100).map(|n| format!("{chunk} {n}")))).await.unwrap();
    }
    let kept = store.unanswered(5_000).await.unwrap();
    assert_eq!(kept.len(), UNANSWERED_KEPT as usize);
    assert!(kept.iter().all(|one| one.alert != "the first" && !one.alert.starts_with("0 ")));
    assert!(kept.is_sorted_by_key(|one| std::cmp::Reverse(one.at)));
    assert!(kept[0].at > second(1_000_000), "the store's time");
    assert_eq!(store.unanswered(3).await.unwrap(), kept[..3]);
}

async fn an_unanswered_alert_sent_again_is_one_row(store: Shared) {
    let text = || "a".to_owned();
    store.take_in(unanswered([text(), text()])).await.unwrap();
    let before = store.unanswered(10).await.unwrap();
    assert_eq!(before.len(), 1);
    tokio::time::sleep(Duration::from_millis(2)).await;
    store.take_in(unanswered([text()])).await.unwrap();
    let after = store.unanswered(10).await.unwrap();
    assert_eq!(after.len(), 1);
    assert!(after[0].at > before[0].at, "it shows when it came last");
}

async fn what_touches_an_incident_wakes_those_who_wait(store: Shared) {
    let mut changes = store.changes();
    changes.mark_unchanged();
    let claim = incident(&store, "shop").await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    store.take_in(in_scope("shop", [firing("shop", 10)])).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "the same notification again");
    store.claim("me", LEASE).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "who looks for work must not wake itself");
    store.append(&claim, 1, skipped(), None).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    store.pause("Ada", "").await.unwrap();
    assert!(changes.has_changed().unwrap());
}

async fn a_store_that_works_is_writable(store: Shared) {
    assert_eq!(store.writable().await, Ok(()));
}
