//! The events of an incident that goes the whole way, for the tests to cut where they like.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runbookd::alert::{Alert, Labels, Status};
use runbookd::incident::event::{EffectResult, Found, Leg, Opened};
use runbookd::incident::evidence::{Evidence, Sample, Verdict};
use runbookd::incident::outcome::StepResult;
use runbookd::incident::plan::{Change, Circumstances, Kind, Plan, Target};
use runbookd::incident::refusal::{Answer, Guard, Refusal};
use runbookd::incident::{Event, IncidentId, OperationId, Outcome, Recorded};
use runbookd::runbook::{Action, Hash};

pub(super) fn id() -> IncidentId {
    "1kfm3x9q02vge".parse().unwrap()
}

/// The second `second` of the story.
pub(super) fn at(second: f64) -> Timestamp {
    let begin: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    begin + SignedDuration::from_secs_f64(second)
}

pub(super) fn alert(service: &str) -> Alert {
    let labels = Labels::from([("alertname", "High5xxRate"), ("namespace", "shop"), ("service", service)]);
    Alert {
        status: Status::Firing,
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: at(-60.0),
        ends_at: None,
        generator_url: String::new(),
    }
}

pub(super) fn opened() -> Event {
    Event::Opened(Opened {
        runbook: "database-pool".to_owned(),
        hash: Hash("a".repeat(64)),
        scope: Labels::from([("namespace", "shop")]),
        deadline: at(3_600.0),
        alerts: vec![alert("web"), alert("auth")],
        more: 0,
        truncated: 2,
        restore: None,
        run: None,
        drill: None,
    })
}

pub(super) fn joined() -> Event {
    Event::AlertsJoined { alerts: vec![alert("cart")], more: 0 }
}

fn evidence(verdict: Verdict, saw: &str) -> Evidence {
    let line = "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached\u{1b}[2J";
    Evidence {
        samples: vec![Sample {
            is_state: false,
            at: at(-3.0),
            from: "web-6d5f-abcde".to_owned(),
            line: line.to_owned(),
        }],
        saw: saw.to_owned(),
        verdict,
        ..Evidence::unknown("pool_errors", "sum by (app) (...)".to_owned(), String::new())
    }
}

fn target() -> Target {
    Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() }
}

pub(super) fn plan() -> Plan {
    Plan {
        uid: "6f0c1a9e-0000-4000-8000-000000000001".to_owned(),
        says: "restart deployment/web in shop".to_owned(),
        change: Change {
            field: "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]".to_owned(),
            before: None,
            after: "2026-11-22T12:00:02Z".to_owned(),
            judged: "now".to_owned(),
        },
        touches: vec!["2 pods are replaced by the Deployment's own rollout strategy".to_owned()],
        circumstances: Circumstances { replicas: 2, ..Circumstances::default() },
        settles_within: Duration::from_secs(660),
        ..Plan::bare(Action::Restart, target(), at(2.0))
    }
}

pub(super) fn judged() -> Hash {
    plan().judged(&Hash("a".repeat(64)), 0)
}

/// From the alert to the plan.
pub(super) fn planned() -> Vec<(f64, Event)> {
    let leg =
        Leg { target: target(), each: BTreeMap::from([("app".to_owned(), "web".to_owned())]), figure: 42.0 };
    vec![
        (0.0, opened()),
        (
            1.24,
            Event::Confirmed {
                found: Found::Holds,
                answers: vec![evidence(Verdict::Holds, "web 42, auth 3 lines in 5m; at least 5")],
                links: Vec::new(),
            },
        ),
        (1.3, Event::LegsChosen { legs: vec![leg] }),
        (2.0, Event::Planned { leg: 0, step: 0, plan: plan(), answers: Vec::new() }),
    ]
}

/// From the alert to the question, which expires then.
pub(super) fn asking(expires: Timestamp) -> Vec<(f64, Event)> {
    let mut events = planned();
    events.push((2.1, Event::ApprovalAsked { leg: 0, step: 0, judged: judged(), expires, why: None }));
    events
}

/// What some guards said; all of them allow, or only the pause does.
pub(super) fn guards(allow: bool) -> Vec<Answer> {
    let answer = |guard, saw: &str, limit: &str, allows| Answer {
        guard,
        saw: saw.to_owned(),
        limit: limit.to_owned(),
        allows,
    };
    let (mode, rate) = if allow { ("act", "1 attempt so far") } else { ("shadow", "3 attempts so far") };
    vec![
        answer(Guard::Mode, mode, "set by the ceiling", allow),
        answer(Guard::Pause, "not paused", "no effect while paused", true),
        answer(Guard::RunbookRate, rate, "at most 3 in 1h", allow),
    ]
}

/// An incident on which everything is seen once: a refusal, an approval, an effect, a verify, a recovery.
pub(super) fn whole() -> Vec<(f64, Event)> {
    let op = OperationId::new(&id(), 1);
    let again = || Event::Confirmed {
        found: Found::Holds,
        answers: vec![Evidence {
            samples: Vec::new(),
            ..evidence(Verdict::Holds, "web 51 lines in 5m; at least 5")
        }],
        links: Vec::new(),
    };
    let mut events = planned();
    events.extend([
        (
            2.1,
            Event::Refused {
                leg: 0,
                step: 0,
                refusals: vec![Refusal {
                    guard: Guard::Cooldown,
                    saw: "last attempt 14m ago".to_owned(),
                    limit: "15m between two attempts".to_owned(),
                    until: Some(at(60.0)),
                }],
                until: Some(at(60.0)),
            },
        ),
        (60.4, again()),
        (60.5, Event::Planned { leg: 0, step: 0, plan: plan(), answers: Vec::new() }),
        (60.6, Event::ApprovalAsked { leg: 0, step: 0, judged: judged(), expires: at(1_860.0), why: None }),
        (90.0, joined()),
        (125.0, Event::Approved { by: "alice@laptop".to_owned(), judged: judged() }),
        (126.0, again()),
        (126.1, Event::Planned { leg: 0, step: 0, plan: plan(), answers: Vec::new() }),
        (
            126.2,
            Event::EffectIntended {
                op: op.clone(),
                leg: 0,
                step: 0,
                plan: plan(),
                asked: guards(true),
                not_after: at(156.0),
            },
        ),
        (126.3, Event::EffectAnswered { op: op.clone(), result: EffectResult::Applied }),
        (141.0, Event::EffectCompleted { op: op.clone(), saw: "2 pods are new and available".to_owned() }),
        (
            201.0,
            Event::Verified {
                op: op.clone(),
                found: Found::Unknown,
                answers: vec![Evidence {
                    samples: Vec::new(),
                    ..evidence(
                        Verdict::Quiet { why: "no log line at all in 1m from {app=\"web\"}".to_owned() },
                        "no such line in 1m; at most 0",
                    )
                }],
            },
        ),
        (
            206.0,
            Event::Verified {
                op: op.clone(),
                found: Found::Holds,
                answers: vec![Evidence {
                    samples: Vec::new(),
                    ..evidence(Verdict::Holds, "no such line in 1m; at most 0")
                }],
            },
        ),
        (
            206.1,
            Event::StepEnded {
                leg: 0,
                step: 0,
                op: Some(op),
                result: StepResult::Recovered,
                why: "verify held for 1m".to_owned(),
            },
        ),
        (206.2, Event::Closed { outcome: Outcome::Recovered, why: "verify held on every target".to_owned() }),
    ]);
    events
}

/// The events in their places.
pub(super) fn recorded(events: Vec<(f64, Event)>) -> Vec<Recorded> {
    (1..).zip(events).map(|(seq, (second, event))| Recorded { seq, at: at(second), event }).collect()
}
