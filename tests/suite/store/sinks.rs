//! The readers of the journal: what they have not delivered they hear of until they have.

use std::time::Duration;

use runbookd::store::Behind;

use super::{Shared, firing, in_scope, incident, on_every_store, skipped};

on_every_store!(
    an_incident_is_behind_until_it_is_delivered,
    a_new_event_makes_it_behind_again,
    an_older_delivery_leaves_it_behind,
    who_waits_longest_comes_first,
    slots_are_apart,
    another_sink_is_not_behind,
);

fn behind(incident: &runbookd::incident::IncidentId, delivered: u64, note: &str) -> Behind {
    Behind { incident: incident.clone(), delivered, note: note.to_owned() }
}

async fn an_incident_is_behind_until_it_is_delivered(store: Shared) {
    let claim = incident(&store, "shop").await;
    assert_eq!(store.behind("slack", 10).await.unwrap(), [behind(&claim.incident, 0, "")]);
    store.delivered("slack", &claim.incident, 1, "ts 1").await.unwrap();
    assert_eq!(store.behind("slack", 10).await.unwrap(), []);
}

async fn a_new_event_makes_it_behind_again(store: Shared) {
    let claim = incident(&store, "shop").await;
    store.delivered("slack", &claim.incident, 1, "ts 1").await.unwrap();
    store.append(&claim, 1, skipped(), None).await.unwrap();
    assert_eq!(store.behind("slack", 10).await.unwrap(), [behind(&claim.incident, 1, "ts 1")]);
    store.delivered("slack", &claim.incident, 2, "ts 1").await.unwrap();
    store.take_in(in_scope("shop", [firing("b", 10)])).await.unwrap();
    assert_eq!(store.behind("slack", 10).await.unwrap(), [behind(&claim.incident, 2, "ts 1")]);
}

async fn an_older_delivery_leaves_it_behind(store: Shared) {
    let claim = incident(&store, "shop").await;
    store.append(&claim, 1, skipped(), None).await.unwrap();
    store.delivered("slack", &claim.incident, 1, "ts 1").await.unwrap();
    assert_eq!(store.behind("slack", 10).await.unwrap(), [behind(&claim.incident, 1, "ts 1")]);
    store.delivered("slack", &claim.incident, 2, "ts 1").await.unwrap();
    store.append(&claim, 2, skipped(), None).await.unwrap();
    store.delivered("slack", &claim.incident, 1, "late").await.unwrap();
    assert_eq!(store.behind("slack", 10).await.unwrap(), [behind(&claim.incident, 2, "late")]);
}

async fn who_waits_longest_comes_first(store: Shared) {
    let pause = || tokio::time::sleep(Duration::from_millis(2));
    let first = incident(&store, "a").await;
    pause().await;
    let second = incident(&store, "b").await;
    pause().await;
    store.append(&first, 1, skipped(), None).await.unwrap();
    let both = [behind(&first.incident, 0, ""), behind(&second.incident, 0, "")];
    assert_eq!(store.behind("slack", 10).await.unwrap(), both);
    assert_eq!(store.behind("slack", 1).await.unwrap(), both[..1]);
    // What is left of the first is younger than the second.
    store.delivered("slack", &first.incident, 1, "").await.unwrap();
    let [first, second] = [behind(&first.incident, 1, ""), behind(&second.incident, 0, "")];
    assert_eq!(store.behind("slack", 10).await.unwrap(), [second, first]);
}

async fn slots_are_apart(store: Shared) {
    let every = Duration::from_secs(1);
    let first = store.slot("slack", every).await.unwrap();
    let second = store.slot("slack", every).await.unwrap();
    let third = store.slot("slack", every).await.unwrap();
    assert_eq!(runbookd::clock::between(first, second), every);
    assert_eq!(runbookd::clock::between(second, third), every);
    let other = store.slot("webhook", every).await.unwrap();
    assert!(other < second, "each sink has its own pace");
    let short = Duration::from_micros(1);
    store.slot("webhook", short).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let now = runbookd::clock::now();
    assert!(store.slot("webhook", short).await.unwrap() >= now, "no slot lies in the past");
}

async fn another_sink_is_not_behind(store: Shared) {
    incident(&store, "shop").await;
    assert_eq!(store.behind("nobody", 10).await.unwrap(), []);
}
