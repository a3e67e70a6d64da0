//! One suite for every store: what the journal promises, whatever it is made of.

mod appends;
mod changes;
mod drills;
mod episodes;
mod file;
mod incidents;
mod permits;
mod proofs;
mod replay;
mod runs;
mod sinks;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runbookd::alert::{Alert, Labels, Status};
use runbookd::incident::event::Event;
use runbookd::incident::permit::{Asked, Wanted};
use runbookd::incident::plan::{Change, Circumstances, Kind, Plan, Target};
use runbookd::incident::refusal::{Answer, Guard, Refusal};
use runbookd::incident::{IncidentId, OperationId, Outcome};
use runbookd::runbook::{Action, Hash};
use runbookd::store::{Answered, AnsweredBy, AskGuards, Claim, Intake, Sqlite, Store};
use tempfile::TempDir;

/// A store that can be shared among tasks.
type Shared = Arc<dyn Store>;

/// Runs each function once for every kind of store.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod model {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(std::sync::Arc::new(runbookd::store::Model::new())).await;
                }
            )+
        }
        mod sqlite {
            $(
                #[tokio::test]
                async fn $test() {
                    let (_directory, store) = crate::store::sqlite().await;
                    super::$test(store).await;
                }
            )+
        }
    };
}
use on_every_store;

async fn sqlite() -> (TempDir, Arc<Sqlite>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("journal.db")).await.unwrap();
    (directory, Arc::new(store))
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn alert(pod: &str, starts: i64, ends: Option<i64>) -> Alert {
    let labels = Labels::from([("alertname", "Down"), ("pod", pod)]);
    Alert {
        status: if ends.is_some() { Status::Resolved } else { Status::Firing },
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: second(starts),
        ends_at: ends.map(second),
        generator_url: String::new(),
    }
}

fn firing(pod: &str, starts: i64) -> Alert {
    alert(pod, starts, None)
}

fn resolved(pod: &str, starts: i64, ends: i64) -> Alert {
    alert(pod, starts, Some(ends))
}

fn by(runbook: &str, scope: &str) -> AnsweredBy {
    AnsweredBy {
        runbook: runbook.to_owned(),
        hash: Hash(format!("hash of {runbook}")),
        scope: Labels::from([("namespace", scope)]),
        deadline: Duration::from_secs(900),
        drill: None,
    }
}

/// A notification whose alerts one runbook answers, in this scope.
fn in_scope(scope: &str, alerts: impl IntoIterator<Item = Alert>) -> Intake {
    let answered = |alert| Answered { alert, by: vec![by("restart", scope)] };
    Intake { answered: alerts.into_iter().map(answered).collect(), ..Intake::default() }
}

fn intake(alerts: impl IntoIterator<Item = Alert>) -> Intake {
    in_scope("shop", alerts)
}

/// Opens an incident of its own for a new alert, and claims it.
async fn incident(store: &Shared, scope: &str) -> Claim {
    let receipt = store.take_in(in_scope(scope, [firing(scope, 10)])).await.unwrap();
    let id = receipt.opened[0].clone();
    let claims = store.claim("me", Duration::from_secs(60)).await.unwrap();
    claims.into_iter().find(|claim| claim.incident == id).unwrap()
}

/// From now on a write to this table succeeds, and the commit of its transaction fails.
pub(crate) fn no_commit_of(journal: &Path, table: &str) {
    let sql = format!(
        "CREATE TABLE parents (id INTEGER PRIMARY KEY);
         CREATE TABLE late (id INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER spoil AFTER INSERT ON {table} BEGIN INSERT INTO late VALUES (1); END"
    );
    rusqlite::Connection::open(journal).unwrap().execute_batch(&sql).unwrap();
}

/// The names of the events of an incident.
async fn names(store: &Shared, incident: &IncidentId) -> Vec<&'static str> {
    store.events(incident, 0).await.unwrap().iter().map(|recorded| recorded.event.name()).collect()
}

fn skipped() -> Event {
    Event::LegSkipped { leg: 0, why: "nothing to do".to_owned() }
}

fn closed() -> Event {
    Event::Closed { outcome: Outcome::SelfHealed, why: "it went away".to_owned() }
}

fn plan(target: &str) -> Plan {
    Plan {
        uid: "8d4c".to_owned(),
        says: format!("restart deployment/{target} in shop"),
        change: Change {
            field: "spec.template.metadata.annotations".to_owned(),
            before: None,
            after: "2026-05-20T10:00:00Z".to_owned(),
            judged: "now".to_owned(),
        },
        touches: vec!["2 pods are replaced".to_owned()],
        circumstances: Circumstances { replicas: 2, ..Circumstances::default() },
        settles_within: Duration::from_secs(300),
        ..Plan::bare(
            Action::Restart,
            Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: target.to_owned() },
            second(20),
        )
    }
}

fn wanted(incident: &IncidentId, number: u32, target: &str) -> Wanted {
    Wanted { op: OperationId::new(incident, number), leg: 0, step: 0, plan: plan(target), again: false }
}

/// Every guard says yes.
fn asked() -> Asked {
    Asked::every(|guard| (answer(guard, true), None))
}

/// One guard says no.
fn refused(by: Guard) -> Asked {
    Asked::every(|guard| {
        let no = Refusal { guard, saw: "3".to_owned(), limit: "3".to_owned(), until: None };
        (answer(guard, guard != by), (guard == by).then_some(no))
    })
}

fn answer(guard: Guard, allows: bool) -> Answer {
    Answer { guard, saw: "seen".to_owned(), limit: "limit".to_owned(), allows }
}

fn yes(wanted: Wanted) -> AskGuards {
    Box::new(move |_| asked().grant(wanted, second(4_000_000_000)))
}
