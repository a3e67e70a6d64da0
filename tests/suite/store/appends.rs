//! Events come one after the other; whoever has not seen the last one writes nothing.

use runbookd::incident::Event;
use runbookd::incident::event::Leg;
use runbookd::runbook::Hash;
use runbookd::store::StoreError;
use tokio::task::JoinSet;

use super::{Shared, firing, in_scope, incident, names, on_every_store, plan, second, skipped, yes};

on_every_store!(
    events_are_numbered_without_gaps,
    an_event_that_came_first_is_never_overwritten,
    of_twenty_writers_one_wins_each_number,
    an_alert_that_joins_moves_the_incident_on,
    a_person_needs_no_claim,
    time_does_not_run_backwards,
    what_is_returned_is_what_is_read_later,
    an_event_that_could_not_be_read_again_is_not_written,
    an_intent_is_not_appended,
);

async fn events_are_numbered_without_gaps(store: Shared) {
    let claim = incident(&store, "shop").await;
    for seq in 1..5 {
        let recorded = store.append(&claim, seq, skipped(), Some(second(99))).await.unwrap();
        assert_eq!(recorded.seq, seq + 1);
    }
    let all = store.events(&claim.incident, 0).await.unwrap();
    assert_eq!(all.iter().map(|recorded| recorded.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(store.events(&claim.incident, 3).await.unwrap(), all[3..]);
    assert_eq!(store.events(&claim.incident, 5).await.unwrap(), []);
}

async fn an_event_that_came_first_is_never_overwritten(store: Shared) {
    let claim = incident(&store, "shop").await;
    store.append(&claim, 1, skipped(), None).await.unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        let moved = Err(StoreError::Moved(claim.incident.clone()));
        assert_eq!(store.append(&claim, wrong, skipped(), None).await, moved);
    }
    assert_eq!(names(&store, &claim.incident).await, ["opened", "leg_skipped"]);
}

async fn of_twenty_writers_one_wins_each_number(store: Shared) {
    let claim = incident(&store, "shop").await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, claim) = (store.clone(), claim.clone());
        tasks.spawn(async move { store.append(&claim, 1, skipped(), None).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(store.incident(&claim.incident).await.unwrap().seq, 2);
}

async fn an_alert_that_joins_moves_the_incident_on(store: Shared) {
    let claim = incident(&store, "shop").await;
    store.take_in(in_scope("shop", [firing("b", 10)])).await.unwrap();
    let moved = Err(StoreError::Moved(claim.incident.clone()));
    assert_eq!(store.append(&claim, 1, skipped(), None).await, moved);
    store.append(&claim, 2, skipped(), None).await.unwrap();
}

async fn a_person_needs_no_claim(store: Shared) {
    let claim = incident(&store, "shop").await;
    let approved = || Event::Approved { by: "Ada".to_owned(), judged: Hash("plan".to_owned()) };
    store.say(&claim.incident, 1, approved()).await.unwrap();
    let moved = Err(StoreError::Moved(claim.incident.clone()));
    assert_eq!(store.say(&claim.incident, 1, approved()).await, moved, "two clicks are one");
    let other = store.say(&claim.incident, 2, skipped()).await;
    assert!(matches!(other, Err(StoreError::NotThisWay(_))), "{other:?}");
}

async fn time_does_not_run_backwards(store: Shared) {
    let claim = incident(&store, "shop").await;
    for seq in 1..20 {
        store.append(&claim, seq, skipped(), None).await.unwrap();
    }
    let events = store.events(&claim.incident, 0).await.unwrap();
    assert!(events.is_sorted_by_key(|recorded| recorded.at));
}

async fn what_is_returned_is_what_is_read_later(store: Shared) {
    let claim = incident(&store, "shop").await;
    let leg = Leg { target: plan("web").target, each: [].into(), figure: 0.1 + 0.2 };
    let recorded = store.append(&claim, 1, Event::LegsChosen { legs: vec![leg] }, None).await.unwrap();
    assert_eq!(store.events(&claim.incident, 1).await.unwrap(), [recorded]);
}

async fn an_event_that_could_not_be_read_again_is_not_written(store: Shared) {
    let claim = incident(&store, "shop").await;
    let leg = Leg { target: plan("web").target, each: [].into(), figure: f64::NAN };
    let refused = store.append(&claim, 1, Event::LegsChosen { legs: vec![leg] }, None).await;
    assert!(matches!(refused, Err(StoreError::NotThisWay(_))), "{refused:?}");
    assert_eq!(names(&store, &claim.incident).await, ["opened"]);
}

async fn an_intent_is_not_appended(store: Shared) {
    let claim = incident(&store, "shop").await;
    let wanted = super::wanted(&claim.incident, 1, "web");
    let (intent, _permit) = super::asked().grant(wanted.clone(), second(99)).unwrap();
    let refused = store.append(&claim, 1, intent, None).await;
    assert!(matches!(refused, Err(StoreError::NotThisWay(_))), "{refused:?}");
    store.commit_effect(&claim, 1, yes(wanted)).await.unwrap();
}
