//! Drills: registered when nothing stands against it, known for ever; and the faults that they announce, which are in the ledger before anybody makes them.

use std::time::Duration;

use runbookd::alert::Labels;
use runbookd::clock::{after, now};
use runbookd::incident::changes::{PutBack, Settled};
use runbookd::incident::drill::{Announced, Drill, INJECT, scope_of};
use runbookd::incident::event::{Event, Opened};
use runbookd::incident::permit::Wanted;
use runbookd::incident::plan::{Kind, SetField, Sets, Stays, Target};
use runbookd::incident::proof::Level;
use runbookd::incident::run::Run;
use runbookd::incident::{Incident, Outcome};
use runbookd::runbook::{Action, Field, Hash};
use runbookd::store::{
    Announcement, Answered, AnsweredBy, Committed, Hindrance, Intake, Registered, StoreError,
};

use super::{Shared, by, firing, in_scope, incident, on_every_store, wanted, yes};

on_every_store!(
    a_drill_is_registered_once_and_known_for_ever,
    no_drill_begins_while_effects_are_paused,
    no_drill_begins_while_a_real_incident_is_open,
    no_two_drills_are_played_at_once,
    what_a_drill_made_up_is_an_incident_of_its_own_and_in_nobodys_way,
    a_fault_is_in_the_ledger_before_it_is_made,
    a_remedy_takes_the_fault_over_and_what_was_there_before_it_is_put_back,
    a_fault_is_never_announced_over_what_is_changed_for_a_while,
    what_a_drill_has_announced_is_due_when_it_is_over,
    the_first_fault_is_refused_while_a_real_incident_is_open,
    no_fault_is_announced_when_it_may_not_be_made,
    only_a_fault_is_announced_this_way,
);

const HOUR: Duration = Duration::from_hours(1);

fn drill(digit: char, at: Level) -> Drill {
    Drill {
        run: digit.to_string().repeat(32),
        scenario: "inference-oom".to_owned(),
        at,
        by: "ana@laptop".to_owned(),
        began_at: now(),
        until: after(now(), HOUR),
        ended_at: None,
    }
}

async fn registered(store: &Shared, digit: char, at: Level) -> Drill {
    match store.register_drill(drill(digit, at)).await.unwrap() {
        Registered::New(drill) => drill,
        other => panic!("{other:?}"),
    }
}

async fn refused(store: &Shared, digit: char) -> Hindrance {
    match store.register_drill(drill(digit, Level::Fault)).await.unwrap() {
        Registered::NotNow(hindrance) => hindrance,
        other => panic!("{other:?}"),
    }
}

async fn a_drill_is_registered_once_and_known_for_ever(store: Shared) {
    let there = registered(&store, 'a', Level::Alert).await;
    assert_eq!(
        store.register_drill(drill('a', Level::Alert)).await.unwrap(),
        Registered::Known(there.clone())
    );
    assert_eq!(store.drill(&there.run).await.unwrap(), Some(there.clone()));
    assert_eq!(store.drill(&"b".repeat(32)).await.unwrap(), None);
    assert_eq!(store.end_drill(&"b".repeat(32)).await.unwrap(), None);
    let over = store.end_drill(&there.run).await.unwrap().unwrap();
    assert!(over.ended_at.is_some() && !over.is_on(now()));
    assert_eq!(store.end_drill(&there.run).await.unwrap(), Some(over.clone()), "it has ended once");
    assert_eq!(refused(&store, 'a').await, Hindrance::Over, "an id is never used twice");
    let second = registered(&store, 'b', Level::Fault).await;
    let all = store.drills(10).await.unwrap();
    assert_eq!(all, [second, over]);
    assert_eq!(store.drills(1).await.unwrap().len(), 1);
}

async fn no_drill_begins_while_effects_are_paused(store: Shared) {
    let pause = store.pause("bob", "a migration").await.unwrap();
    assert_eq!(refused(&store, 'a').await, Hindrance::Paused(pause));
    assert_eq!(store.drills(10).await.unwrap(), []);
    store.resume("bob").await.unwrap();
    registered(&store, 'a', Level::Fault).await;
}

async fn no_drill_begins_while_a_real_incident_is_open(store: Shared) {
    let claim = incident(&store, "shop").await;
    let open = Hindrance::Incident { id: claim.incident.clone(), runbook: "restart".to_owned() };
    assert_eq!(refused(&store, 'a').await, open);
    assert_eq!(store.drills(10).await.unwrap(), []);
    let closed = Event::Closed { outcome: Outcome::SelfHealed, why: String::new() };
    store.append(&claim, 1, closed, None).await.unwrap();
    registered(&store, 'a', Level::Fault).await;
}

async fn no_two_drills_are_played_at_once(store: Shared) {
    let first = registered(&store, 'a', Level::Alert).await;
    assert_eq!(refused(&store, 'b').await, Hindrance::Drill(Box::new(first.clone())));
    store.end_drill(&first.run).await.unwrap();
    registered(&store, 'b', Level::Fault).await;
}

/// The alert of a drill, as the way into the journal has marked it.
fn made_up(drill: &Drill) -> Intake {
    let mut scope = by("restart", "shop");
    scope.scope.0.insert("runbookd_run".to_owned(), drill.run.clone());
    let answered = AnsweredBy { drill: Some(drill.run.clone()), ..scope };
    Intake {
        answered: vec![Answered { alert: firing("made-up", 10), by: vec![answered] }],
        ..Intake::default()
    }
}

async fn what_a_drill_made_up_is_an_incident_of_its_own_and_in_nobodys_way(store: Shared) {
    let drill = registered(&store, 'a', Level::Alert).await;
    let receipt = store.take_in(made_up(&drill)).await.unwrap();
    let [id] = receipt.opened.as_slice() else { panic!("{receipt:?}") };
    assert_eq!(store.incident(id).await.unwrap().drill.as_ref(), Some(&drill.run));
    let events = store.events(id, 0).await.unwrap();
    assert_eq!(Incident::replay(id, &events).unwrap().opened.drill.as_ref(), Some(&drill.run));
    // A real alert of the same scope has an incident of its own.
    let real = store.take_in(in_scope("shop", [firing("real", 10)])).await.unwrap();
    assert_eq!((real.opened.len(), real.joined), (1, 0), "{real:?}");
    assert_eq!(store.incident(&real.opened[0]).await.unwrap().drill, None);
    // And one that is made up keeps no drill away: only what is real does.
    store.end_drill(&drill.run).await.unwrap();
    let Hindrance::Incident { id, .. } = refused(&store, 'b').await else { panic!("a real one is open") };
    assert_eq!(id, real.opened[0]);
}

fn inference() -> Target {
    Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "inference".to_owned() }
}

fn limit() -> Field {
    Field::Limit { container: "inference".to_owned(), resource: "memory".to_owned() }
}

fn sets(before: &str, after: &str, stays: Stays) -> Sets {
    let (before, after) = (Some(before.to_owned()), Some(after.to_owned()));
    let field = SetField { field: limit(), before, after, baseline: None };
    Sets { object: inference(), uid: "8d4c".to_owned(), fields: vec![field], stays, make_it_last: None }
}

fn announced() -> Announced {
    Announced {
        says: "the memory limit of inference 8Gi -> 512Mi".to_owned(),
        undo: "it is put back".to_owned(),
        object: inference(),
        sets: Some(sets("8Gi", "512Mi", Stays::For(HOUR))),
    }
}

fn opened(run: &str) -> Opened {
    Opened {
        runbook: INJECT.to_owned(),
        hash: Hash("hash of inject".to_owned()),
        scope: scope_of(&announced(), run),
        deadline: after(now(), HOUR),
        alerts: Vec::new(),
        more: 0,
        truncated: 0,
        restore: None,
        run: Some(Run { by: "ana".to_owned(), reason: "drill".to_owned(), labels: Labels::default() }),
        drill: Some(run.to_owned()),
    }
}

async fn a_fault_is_in_the_ledger_before_it_is_made(store: Shared) {
    let drill = registered(&store, 'a', Level::Fault).await;
    let made = store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    let Announcement::Made(id) = made else { panic!("{made:?}") };
    let summary = store.incident(&id).await.unwrap();
    assert_eq!((summary.outcome, summary.begun_by.as_deref()), (Some(Outcome::Injected), Some("ana")));
    assert_eq!(summary.drill.as_ref(), Some(&drill.run));
    let events = store.events(&id, 0).await.unwrap();
    assert!(Incident::replay(&id, &events).unwrap().closed().is_some(), "nobody works on it");
    let entries = store.entries().await.unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    // Nobody says whether it was made: both values can be there.
    assert_eq!((entry.settled, entry.now.op.incident()), (Settled::Doubtful, id));
    assert_eq!(entry.put_back(Some("8Gi")), PutBack::Already);
    let back = PutBack::Write { only_if: Some("512Mi".to_owned()), base: Some("8Gi".to_owned()) };
    assert_eq!(entry.put_back(Some("512Mi")), back);
    assert!(matches!(entry.put_back(Some("4Gi")), PutBack::LeftAlone { .. }));
    assert!(!entry.is_due(now()) && entry.is_due(after(now(), HOUR + Duration::from_secs(60))));
    // What sets nothing is told all the same, and there is nothing to put back.
    let gone = Announced { sets: None, ..announced() };
    store.announce_fault(opened(&drill.run), gone).await.unwrap();
    assert_eq!(store.entries().await.unwrap(), entries);
}

async fn a_remedy_takes_the_fault_over_and_what_was_there_before_it_is_put_back(store: Shared) {
    let drill = registered(&store, 'a', Level::Fault).await;
    store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    let claim = incident(&store, "shop").await;
    let mut remedy: Wanted = wanted(&claim.incident, 1, "inference");
    remedy.plan.action = Action::Resources;
    remedy.plan.target = inference();
    // Whatever the runbook declares: before the fault it was this.
    let mut raised = sets("512Mi", "2Gi", Stays::For(2 * HOUR));
    raised.fields[0].baseline = Some("16Gi".to_owned());
    remedy.plan.sets = Some(raised);
    let committed = store.commit_effect(&claim, 1, yes(remedy)).await.unwrap();
    assert!(matches!(committed, Committed::Granted(..)));
    let entries = store.entries().await.unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.base.as_deref(), entry.now.value.as_deref()), (Some("8Gi"), Some("2Gi")));
    assert_eq!(entry.now.op.incident(), claim.incident);
}

async fn a_fault_is_never_announced_over_what_is_changed_for_a_while(store: Shared) {
    let claim = incident(&store, "shop").await;
    let mut remedy: Wanted = wanted(&claim.incident, 1, "inference");
    remedy.plan.action = Action::Resources;
    remedy.plan.target = inference();
    remedy.plan.sets = Some(sets("4Gi", "8Gi", Stays::For(2 * HOUR)));
    let op = remedy.op.clone();
    let committed = store.commit_effect(&claim, 1, yes(remedy)).await.unwrap();
    assert!(matches!(committed, Committed::Granted(..)));
    let applied = runbookd::incident::event::EffectResult::Applied;
    store.append(&claim, 2, Event::EffectAnswered { op, result: applied }, None).await.unwrap();
    let closed = Event::Closed { outcome: Outcome::Recovered, why: String::new() };
    store.append(&claim, 3, closed, None).await.unwrap();
    let before = store.entries().await.unwrap();
    let drill = registered(&store, 'a', Level::Fault).await;
    let refused = store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    assert!(matches!(refused, Announcement::NotNow(Hindrance::Changed { .. })), "{refused:?}");
    assert_eq!(store.entries().await.unwrap(), before, "it is the remedy's, with its own time");
}

async fn what_a_drill_has_announced_is_due_when_it_is_over(store: Shared) {
    let drill = registered(&store, 'a', Level::Fault).await;
    let first = store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    let again = store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    assert_eq!(first, again, "its answer was lost, and it was said once more");
    let mut other = announced();
    other.sets.as_mut().unwrap().fields[0].after = Some("1Gi".to_owned());
    let refused = store.announce_fault(opened(&drill.run), other).await.unwrap();
    assert!(matches!(refused, Announcement::NotNow(Hindrance::Changed { .. })), "{refused:?}");
    assert!(store.entries().await.unwrap().iter().all(|entry| !entry.is_due(now())));
    store.end_drill(&drill.run).await.unwrap();
    let entries = store.entries().await.unwrap();
    let soon = after(now(), Duration::from_secs(1));
    assert!(entries.len() == 1 && entries[0].is_due(soon), "{entries:?}");
    let back = PutBack::Write { only_if: Some("512Mi".to_owned()), base: Some("8Gi".to_owned()) };
    assert_eq!(entries[0].put_back(Some("512Mi")), back);
}

async fn the_first_fault_is_refused_while_a_real_incident_is_open(store: Shared) {
    let drill = registered(&store, 'a', Level::Fault).await;
    // Opened while the run waited for its steady state.
    let claim = incident(&store, "shop").await;
    let open = Hindrance::Incident { id: claim.incident.clone(), runbook: "restart".to_owned() };
    let refused = store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    assert_eq!(refused, Announcement::NotNow(open));
    let closed = Event::Closed { outcome: Outcome::SelfHealed, why: String::new() };
    store.append(&claim, 1, closed, None).await.unwrap();
    store.announce_fault(opened(&drill.run), announced()).await.unwrap();
    // A later one has the incidents of the first.
    store.take_in(in_scope("elsewhere", [firing("two", 20)])).await.unwrap();
    let second = Announced { sets: None, ..announced() };
    let made = store.announce_fault(opened(&drill.run), second).await.unwrap();
    assert!(matches!(made, Announcement::Made(_)), "{made:?}");
}

async fn no_fault_is_announced_when_it_may_not_be_made(store: Shared) {
    let no = async |run: &str| match store.announce_fault(opened(run), announced()).await.unwrap() {
        Announcement::NotNow(hindrance) => hindrance,
        Announcement::Made(id) => panic!("{id} was announced"),
    };
    assert_eq!(no(&"a".repeat(32)).await, Hindrance::Unknown);
    let alerts = registered(&store, 'a', Level::Alert).await;
    assert_eq!(no(&alerts.run).await, Hindrance::NoFaults);
    store.end_drill(&alerts.run).await.unwrap();
    let faults = registered(&store, 'b', Level::Fault).await;
    let pause = store.pause("bob", "enough").await.unwrap();
    assert_eq!(no(&faults.run).await, Hindrance::Paused(pause));
    store.resume("bob").await.unwrap();
    store.end_drill(&faults.run).await.unwrap();
    assert_eq!(no(&faults.run).await, Hindrance::Over);
    assert_eq!(store.entries().await.unwrap(), []);
    assert_eq!(store.incidents(false, 10).await.unwrap(), []);
}

async fn only_a_fault_is_announced_this_way(store: Shared) {
    let drill = registered(&store, 'a', Level::Fault).await;
    let right = opened(&drill.run);
    for wrong in [
        Opened { runbook: "restart".to_owned(), ..right.clone() },
        Opened { drill: None, ..right.clone() },
        Opened { run: None, ..right },
    ] {
        let refused = store.announce_fault(wrong, announced()).await;
        assert!(matches!(refused, Err(StoreError::NotThisWay(_))), "{refused:?}");
    }
    // And no other way leads there.
    let claim = incident(&store, "shop").await;
    let op = runbookd::incident::OperationId::new(&claim.incident, 1);
    let told = Event::FaultAnnounced { op, announced: announced() };
    assert!(matches!(store.append(&claim, 1, told, None).await, Err(StoreError::NotThisWay(_))));
    assert_eq!(store.entries().await.unwrap(), []);
}
