//! What is changed for a while is written down with the intent, in the same commit, and put back by one incident at a time.

use std::time::Duration;

use runbookd::alert::Labels;
use runbookd::clock::after;
use runbookd::incident::changes::{Entry, PutBack, Settled};
use runbookd::incident::event::{EffectResult, Event, Leg, Opened, Released, Restore};
use runbookd::incident::outcome::StepResult;
use runbookd::incident::permit::Wanted;
use runbookd::incident::plan::{SetField, Sets, Stays};
use runbookd::incident::restore::RESTORE;
use runbookd::incident::{IncidentId, OperationId, Outcome};
use runbookd::runbook::{Action, Field, Hash};
use runbookd::store::{Claim, Committed, StoreError};

use super::{Shared, asked, incident, names, on_every_store, plan, second, sqlite, wanted, yes};

on_every_store!(
    an_intent_writes_down_what_it_changes,
    what_a_guard_refuses_changes_nothing,
    what_did_not_happen_is_not_put_back,
    a_second_change_takes_the_first_one_over,
    what_was_put_back_is_no_longer_changed,
    what_is_released_is_no_longer_changed,
    the_end_of_the_incident_says_when_it_is_put_back,
    one_restore_is_open_for_an_object,
    nothing_changed_is_nothing_to_restore,
    an_incident_that_restores_nothing_is_not_opened_this_way,
);

const HOUR: Duration = Duration::from_hours(1);

fn scaling(incident: &IncidentId, number: u32, (before, after): (&str, &str), stays: Stays) -> Wanted {
    let mut wanted = wanted(incident, number, "web");
    let field = SetField {
        field: Field::Replicas,
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
        baseline: None,
    };
    wanted.plan.action = Action::Scale;
    wanted.plan.sets = Some(Sets {
        object: wanted.plan.target.clone(),
        uid: "8d4c".to_owned(),
        fields: vec![field],
        stays,
        make_it_last: Some("replicaCount in values.yaml".to_owned()),
    });
    wanted
}

/// Intends it, and says what came of it.
async fn change(store: &Shared, claim: &Claim, expected: u64, wanted: Wanted, result: StepResult) {
    let op = wanted.op.clone();
    let committed = store.commit_effect(claim, expected, yes(wanted)).await.unwrap();
    assert!(matches!(committed, Committed::Granted(..)));
    let happened = !matches!(result, StepResult::Dropped | StepResult::Failed);
    let answer = match happened {
        true => EffectResult::Applied,
        false => EffectResult::NotTaken { reason: "timeout".to_owned(), message: "no".to_owned() },
    };
    let answered = Event::EffectAnswered { op: op.clone(), result: answer };
    store.append(claim, expected + 1, answered, None).await.unwrap();
    let ended = Event::StepEnded { leg: 0, step: 0, op: Some(op), result, why: String::new() };
    store.append(claim, expected + 2, ended, None).await.unwrap();
}

async fn only(store: &Shared) -> Entry {
    let mut entries = store.entries().await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

fn restore(of: &IncidentId) -> Opened {
    let target = plan("web").target;
    let leg = Leg { target: target.clone(), each: [].into(), figure: 0.0 };
    Opened {
        runbook: RESTORE.to_owned(),
        hash: Hash("hash of restart".to_owned()),
        scope: Labels::from([("object", target.key().as_str())]),
        deadline: second(4_000_000_000),
        alerts: Vec::new(),
        more: 0,
        truncated: 0,
        restore: Some(Restore {
            object: target,
            of: of.clone(),
            runbook: "restart".to_owned(),
            leg,
            step: 0,
        }),
        run: None,
        drill: None,
    }
}

async fn an_intent_writes_down_what_it_changes(store: Shared) {
    let claim = incident(&store, "shop").await;
    let wanted = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    let committed = store.commit_effect(&claim, 1, yes(wanted)).await.unwrap();
    let Committed::Granted(recorded, _permit) = committed else { panic!("{committed:?}") };
    let entry = only(&store).await;
    assert_eq!((entry.base.as_deref(), entry.now.value.as_deref()), (Some("2"), Some("5")));
    assert_eq!(entry.settled, Settled::NotYet, "nobody knows yet whether it happened");
    assert_eq!(entry.since, recorded.at);
    assert_eq!(entry.now.until, Some(after(recorded.at, HOUR)));
    assert_eq!(entry.make_it_last.as_deref(), Some("replicaCount in values.yaml"));
    // Whether or not it happened: the value before is as it was, and ours is put back.
    assert_eq!(entry.put_back(Some("2")), PutBack::Already);
    assert!(matches!(entry.put_back(Some("5")), PutBack::Write { .. }));
}

async fn what_a_guard_refuses_changes_nothing(store: Shared) {
    let claim = incident(&store, "shop").await;
    let refused = super::refused(runbookd::incident::refusal::Guard::Pause);
    store.commit_effect(&claim, 1, Box::new(|_| Err(refused))).await.unwrap();
    assert_eq!(store.entries().await.unwrap(), []);
}

async fn what_did_not_happen_is_not_put_back(store: Shared) {
    let claim = incident(&store, "shop").await;
    let wanted = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    change(&store, &claim, 1, wanted, StepResult::Dropped).await;
    assert_eq!(store.entries().await.unwrap(), []);
}

async fn a_second_change_takes_the_first_one_over(store: Shared) {
    let (one, other) = (incident(&store, "a").await, incident(&store, "b").await);
    let first = scaling(&one.incident, 1, ("2", "5"), Stays::For(HOUR));
    change(&store, &one, 1, first, StepResult::Recovered).await;
    let second = scaling(&other.incident, 1, ("5", "8"), Stays::For(2 * HOUR));
    change(&store, &other, 1, second, StepResult::Recovered).await;
    let entry = only(&store).await;
    assert_eq!((entry.base.as_deref(), entry.now.value.as_deref()), (Some("2"), Some("8")));
    assert_eq!(entry.now.op.incident(), other.incident);
    // One that is refused by the cluster leaves what was there.
    let third = scaling(&other.incident, 2, ("8", "9"), Stays::For(HOUR));
    change(&store, &other, 4, third, StepResult::Failed).await;
    assert_eq!(only(&store).await, entry);
}

async fn what_was_put_back_is_no_longer_changed(store: Shared) {
    let claim = incident(&store, "shop").await;
    let there = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    change(&store, &claim, 1, there, StepResult::Recovered).await;
    let back = scaling(&claim.incident, 2, ("5", "2"), Stays::ForGood);
    change(&store, &claim, 4, back, StepResult::NotRecovered).await;
    assert_eq!(store.entries().await.unwrap(), []);
    // It brought the trouble back, and is changed once more.
    let again = scaling(&claim.incident, 3, ("2", "5"), Stays::UntilAPersonDecides);
    change(&store, &claim, 7, again, StepResult::Recovered).await;
    let entry = only(&store).await;
    assert_eq!((entry.base.as_deref(), entry.now.until), (Some("2"), None));
}

async fn what_is_released_is_no_longer_changed(store: Shared) {
    let claim = incident(&store, "shop").await;
    let wanted = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    change(&store, &claim, 1, wanted, StepResult::Recovered).await;
    let (object, why) = (plan("web").target, "ana made it 7".to_owned());
    let of_op = |op: &OperationId, field| {
        let (object, why) = (object.clone(), why.clone());
        Released { object, field, op: op.clone(), why, left_alone: true }
    };
    let op = only(&store).await.now.op;
    let one = |field| of_op(&op, field);
    let before = OperationId::new(&claim.incident, 9);
    let outdated = Event::Released { leg: 0, changes: vec![of_op(&before, Field::Replicas)] };
    let other = Event::Released { leg: 0, changes: vec![one(Field::MinReplicas)] };
    store.append(&claim, 4, other, None).await.unwrap();
    store.append(&claim, 5, outdated, None).await.unwrap();
    only(&store).await;
    let this = Event::Released { leg: 0, changes: vec![one(Field::Replicas)] };
    store.append(&claim, 6, this, None).await.unwrap();
    assert_eq!(store.entries().await.unwrap(), []);
}

async fn the_end_of_the_incident_says_when_it_is_put_back(store: Shared) {
    let claim = incident(&store, "shop").await;
    let stays = Stays::UntilRecovered { or_else: HOUR };
    change(&store, &claim, 1, scaling(&claim.incident, 1, ("2", "5"), stays), StepResult::Recovered).await;
    assert_eq!(only(&store).await.now.until, None);
    let closed = Event::Closed { outcome: Outcome::Recovered, why: String::new() };
    let recorded = store.append(&claim, 4, closed, None).await.unwrap();
    assert_eq!(only(&store).await.now.until, Some(recorded.at));
}

async fn one_restore_is_open_for_an_object(store: Shared) {
    let claim = incident(&store, "shop").await;
    let wanted = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    change(&store, &claim, 1, wanted, StepResult::Recovered).await;
    let id = store.open_restore(restore(&claim.incident)).await.unwrap().expect("something is changed");
    assert_eq!(names(&store, &id).await, ["opened"]);
    assert_eq!(store.incident(&id).await.unwrap().runbook, RESTORE);
    assert_eq!(store.open_restore(restore(&claim.incident)).await.unwrap(), None, "one is open");
    let claims = store.claim("me", HOUR).await.unwrap();
    let mine = claims.into_iter().find(|claim| claim.incident == id).expect("it is worked on like any other");
    let closed = Event::Closed { outcome: Outcome::Blocked, why: String::new() };
    store.append(&mine, 1, closed, None).await.unwrap();
    assert!(store.open_restore(restore(&claim.incident)).await.unwrap().is_some(), "it can be tried again");
}

async fn nothing_changed_is_nothing_to_restore(store: Shared) {
    let claim = incident(&store, "shop").await;
    assert_eq!(store.open_restore(restore(&claim.incident)).await.unwrap(), None);
}

async fn an_incident_that_restores_nothing_is_not_opened_this_way(store: Shared) {
    let claim = incident(&store, "shop").await;
    let opened = Opened { restore: None, ..restore(&claim.incident) };
    let refused = store.open_restore(opened).await;
    assert!(matches!(refused, Err(StoreError::NotThisWay(_))), "{refused:?}");
}

/// The file has them after a restart.
#[tokio::test]
async fn what_is_changed_survives_a_restart() {
    let (directory, store) = sqlite().await;
    let shared: Shared = store.clone();
    let claim = incident(&shared, "shop").await;
    let wanted = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    let op: OperationId = wanted.op.clone();
    store
        .commit_effect(&claim, 1, Box::new(move |_| asked().grant(wanted, second(4_000_000_000))))
        .await
        .unwrap();
    let before = store.entries().await.unwrap();
    store.close().await;
    let again = runbookd::store::Sqlite::open(&directory.path().join("journal.db")).await.unwrap();
    use runbookd::store::Store as _;
    assert_eq!(again.entries().await.unwrap(), before);
    assert_eq!(before[0].now.op, op);
}

/// One that a person has broken, or a later version wrote, is reported, and holds up nothing else.
#[tokio::test]
async fn an_entry_that_can_not_be_read_holds_up_no_other() {
    let (directory, store) = sqlite().await;
    let shared: Shared = store.clone();
    let claim = incident(&shared, "shop").await;
    let first = scaling(&claim.incident, 1, ("2", "5"), Stays::For(HOUR));
    change(&shared, &claim, 1, first, StepResult::Recovered).await;
    store.close().await;
    drop((shared, store));
    let path = directory.path().join("journal.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    let broken = file.execute(
        "INSERT INTO changes (object, field, op, incident, body) VALUES ('a', 'b', 'c', ?1, '{\"base\": 1}')",
        [claim.incident.as_str()],
    );
    assert_eq!(broken.unwrap(), 1);
    drop(file);
    let again: Shared = std::sync::Arc::new(runbookd::store::Sqlite::open(&path).await.unwrap());
    assert_eq!(only(&again).await.base.as_deref(), Some("2"));
    let claim = incident(&again, "other").await;
    let second = scaling(&claim.incident, 1, ("5", "8"), Stays::For(HOUR));
    change(&again, &claim, 1, second, StepResult::Recovered).await;
    assert_eq!(only(&again).await.now.value.as_deref(), Some("8"));
}
