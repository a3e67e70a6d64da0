//! A permit is handed out for an intent that is on disk, and never two for one target.

use runbookd::incident::OperationId;
use runbookd::incident::event::Event;
use runbookd::incident::outcome::StepResult;
use runbookd::incident::permit::Wanted;
use runbookd::incident::refusal::Guard;
use runbookd::store::{Claim, Committed, StoreError};
use tokio::task::JoinSet;

use super::{Shared, asked, closed, incident, names, on_every_store, refused, second, wanted, yes};

on_every_store!(
    a_permit_comes_with_its_intent,
    a_refusal_writes_nothing,
    of_two_incidents_one_gets_the_target,
    twenty_at_once_do_not_pass_a_limit_of_three,
    the_end_of_the_step_frees_the_target,
    the_end_of_the_incident_frees_the_target,
    the_same_operation_is_granted_again_while_it_is_in_flight,
    the_guards_see_the_pause,
    a_stale_writer_does_not_ask_the_guards,
    a_guard_that_panics_grants_nothing,
    a_permit_for_something_else_is_refused,
);

fn granted(committed: Result<Committed, StoreError>) -> bool {
    matches!(committed.unwrap(), Committed::Granted(..))
}

fn ended(claim: &Claim) -> Event {
    let op = Some(OperationId::new(&claim.incident, 1));
    Event::StepEnded { leg: 0, step: 0, op, result: StepResult::Recovered, why: String::new() }
}

async fn a_permit_comes_with_its_intent(store: Shared) {
    let claim = incident(&store, "shop").await;
    let committed = store.commit_effect(&claim, 1, yes(wanted(&claim.incident, 1, "web"))).await.unwrap();
    let Committed::Granted(recorded, permit) = committed else { panic!("{committed:?}") };
    assert_eq!(store.events(&claim.incident, 1).await.unwrap(), std::slice::from_ref(&recorded));
    assert!(matches!(&recorded.event, Event::EffectIntended { op, .. } if op == permit.op()));
    let ledger = store.ledger().await.unwrap();
    assert_eq!(ledger.in_flight[0].op, *permit.op());
    assert_eq!(ledger.in_flight[0].target, "shop/deployment/web");
    assert_eq!(ledger.attempts[0].runbook, "restart");
    assert_eq!(ledger.attempts[0].at, recorded.at);
}

async fn a_refusal_writes_nothing(store: Shared) {
    let claim = incident(&store, "shop").await;
    let no = store.commit_effect(&claim, 1, Box::new(|_| Err(refused(Guard::Cooldown)))).await.unwrap();
    let Committed::Refused(asked) = no else { panic!("{no:?}") };
    assert_eq!(asked.refusals()[0].guard, Guard::Cooldown);
    assert_eq!(names(&store, &claim.incident).await, ["opened"]);
    assert_eq!(store.ledger().await.unwrap().attempts, []);
}

async fn of_two_incidents_one_gets_the_target(store: Shared) {
    let (one, other) = (incident(&store, "a").await, incident(&store, "b").await);
    let mut tasks = JoinSet::new();
    for claim in [one, other] {
        let store = store.clone();
        tasks.spawn(async move {
            let result = store.commit_effect(&claim, 1, yes(wanted(&claim.incident, 1, "web"))).await;
            (claim, result)
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) =
        tasks.join_all().await.into_iter().partition(|(_, result)| result.is_ok());
    assert_eq!((won.len(), lost.len()), (1, 1));
    let (loser, error) = &lost[0];
    assert_eq!(error.as_ref().unwrap_err(), &StoreError::TargetTaken("shop/deployment/web".to_owned()));
    assert_eq!(names(&store, &loser.incident).await, ["opened"], "nothing is left of the intent");
    assert_eq!(store.incident(&loser.incident).await.unwrap().seq, 1);
}

async fn twenty_at_once_do_not_pass_a_limit_of_three(store: Shared) {
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let claim = incident(&store, &format!("scope {number}")).await;
        let store = store.clone();
        tasks.spawn(async move {
            let wanted = wanted(&claim.incident, 1, &format!("web-{number}"));
            let ask = Box::new(move |ledger: &runbookd::incident::ledger::Ledger| {
                if ledger.attempts.len() >= 3 {
                    return Err(refused(Guard::GlobalRate));
                }
                asked().grant(wanted, second(99))
            });
            granted(store.commit_effect(&claim, 1, ask).await)
        });
    }
    let granted = tasks.join_all().await.into_iter().filter(|granted| *granted).count();
    assert_eq!(granted, 3);
    assert_eq!(store.ledger().await.unwrap().attempts.len(), 3);
}

async fn the_end_of_the_step_frees_the_target(store: Shared) {
    let (one, other) = (incident(&store, "a").await, incident(&store, "b").await);
    assert!(granted(store.commit_effect(&one, 1, yes(wanted(&one.incident, 1, "web"))).await));
    let taken = store.commit_effect(&other, 1, yes(wanted(&other.incident, 1, "web"))).await;
    assert!(matches!(taken, Err(StoreError::TargetTaken(_))), "{taken:?}");
    store.append(&one, 2, ended(&one), None).await.unwrap();
    assert_eq!(store.ledger().await.unwrap().in_flight, []);
    assert!(granted(store.commit_effect(&other, 1, yes(wanted(&other.incident, 1, "web"))).await));
    assert_eq!(store.ledger().await.unwrap().attempts.len(), 2, "both count");
}

async fn the_end_of_the_incident_frees_the_target(store: Shared) {
    let claim = incident(&store, "a").await;
    assert!(granted(store.commit_effect(&claim, 1, yes(wanted(&claim.incident, 1, "web"))).await));
    store.append(&claim, 2, closed(), None).await.unwrap();
    assert_eq!(store.ledger().await.unwrap().in_flight, []);
}

async fn the_same_operation_is_granted_again_while_it_is_in_flight(store: Shared) {
    let claim = incident(&store, "a").await;
    let again = || Wanted { again: true, ..wanted(&claim.incident, 1, "web") };
    let early = store.commit_effect(&claim, 1, yes(again())).await;
    assert!(matches!(early, Err(StoreError::NotThisWay(_))), "{early:?}");
    assert!(granted(store.commit_effect(&claim, 1, yes(wanted(&claim.incident, 1, "web"))).await));
    assert!(granted(store.commit_effect(&claim, 2, yes(again())).await));
    assert_eq!(store.ledger().await.unwrap().attempts.len(), 1, "it is counted once");
    store.append(&claim, 3, ended(&claim), None).await.unwrap();
    let late = store.commit_effect(&claim, 4, yes(again())).await;
    assert!(matches!(late, Err(StoreError::NotThisWay(_))), "{late:?}");
    assert_eq!(
        names(&store, &claim.incident).await,
        ["opened", "effect_intended", "effect_regranted", "step_ended"]
    );
}

async fn the_guards_see_the_pause(store: Shared) {
    let claim = incident(&store, "a").await;
    store.pause("Ada", "a migration").await.unwrap();
    let ask = Box::new(|ledger: &runbookd::incident::ledger::Ledger| {
        assert_eq!(ledger.pause.as_ref().unwrap().by, "Ada");
        Err(refused(Guard::Pause))
    });
    assert!(!granted(store.commit_effect(&claim, 1, ask).await));
}

async fn a_stale_writer_does_not_ask_the_guards(store: Shared) {
    let claim = incident(&store, "a").await;
    let never = || Box::new(|_: &_| panic!("asked"));
    let moved = store.commit_effect(&claim, 5, never()).await.unwrap_err();
    assert_eq!(moved, StoreError::Moved(claim.incident.clone()));
    let other = Claim { epoch: 7, ..claim.clone() };
    let lost = store.commit_effect(&other, 1, never()).await.unwrap_err();
    assert_eq!(lost, StoreError::NotMine(claim.incident));
}

async fn a_guard_that_panics_grants_nothing(store: Shared) {
    let claim = incident(&store, "a").await;
    let failed = store.commit_effect(&claim, 1, Box::new(|_| panic!("a guard"))).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert!(granted(store.commit_effect(&claim, 1, yes(wanted(&claim.incident, 1, "web"))).await));
}

async fn a_permit_for_something_else_is_refused(store: Shared) {
    let (one, other) = (incident(&store, "a").await, incident(&store, "b").await);
    let stolen = store.commit_effect(&one, 1, yes(wanted(&other.incident, 1, "web"))).await;
    assert!(matches!(stolen, Err(StoreError::NotThisWay(_))), "{stolen:?}");
    let swapped = wanted(&one.incident, 1, "web");
    let other_event = Box::new(move |_: &_| {
        asked().grant(swapped, second(99)).map(|(_, permit)| (super::skipped(), permit))
    });
    let swapped = store.commit_effect(&one, 1, other_event).await;
    assert!(matches!(swapped, Err(StoreError::NotThisWay(_))), "{swapped:?}");
}
