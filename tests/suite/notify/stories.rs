//! Whole incidents, event by event, as the pipeline would have written them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runbookd::alert::{Alert, Labels, Status};
use runbookd::clients::slack::Message;
use runbookd::incident::event::{EffectResult, Found, Leg, Observation, Opened};
use runbookd::incident::evidence::{Evidence, Sample, Verdict};
use runbookd::incident::outcome::StepResult;
use runbookd::incident::plan::{Change, Circumstances, Kind, Plan, Target};
use runbookd::incident::refusal::{Answer, Guard, Refusal};
use runbookd::incident::run::Run;
use runbookd::incident::{Event, Incident, IncidentId, OperationId, Outcome, Recorded};
use runbookd::notify::texts;
use runbookd::runbook::{Action, Hash};

use super::restores;

pub(super) fn id() -> IncidentId {
    "1kfm3x9q02vge".parse().unwrap()
}

/// Ten past three at night.
pub(super) fn begin() -> Timestamp {
    "2026-11-22T03:12:04.250Z".parse().unwrap()
}

pub(super) fn at(seconds: f64) -> Timestamp {
    begin().checked_add(SignedDuration::from_secs_f64(seconds)).unwrap()
}

/// An incident's events as they come.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) id: IncidentId,
    pub(super) events: Vec<Recorded>,
}

impl Story {
    pub(super) fn new(opened: Opened) -> Self {
        Self { id: id(), events: vec![Recorded { seq: 1, at: begin(), event: Event::Opened(opened) }] }
    }

    pub(super) fn and(mut self, seconds: f64, event: Event) -> Self {
        let seq = self.events.len() as u64 + 1;
        self.events.push(Recorded { seq, at: at(seconds), event });
        self
    }

    /// The head as it stands at the end, and every reply. A history that can not happen fails here.
    pub(super) fn thread(&self) -> Vec<Message> {
        let incident = Incident::replay(&self.id, &self.events).unwrap();
        let mut messages = vec![texts::head(&incident, &self.events)];
        for (position, recorded) in self.events.iter().enumerate() {
            let history = &self.events[..=position];
            let incident = Incident::replay(&self.id, history).unwrap();
            messages.extend(texts::reply(&incident, recorded, history));
        }
        messages
    }

    /// The head after so many events.
    pub(super) fn head_after(&self, events: usize) -> Message {
        let history = &self.events[..events];
        texts::head(&Incident::replay(&self.id, history).unwrap(), history)
    }
}

pub(super) fn alert() -> Alert {
    let labels = Labels::from([
        ("alertname", "High5xxRate"),
        ("namespace", "samosachaat-prod"),
        ("severity", "critical"),
    ]);
    Alert {
        status: Status::Firing,
        annotations: Labels::from([("summary", "More than 5 % of the requests fail with 5xx")]),
        starts_at: at(-60.0),
        ends_at: None,
        generator_url: String::new(),
        fingerprint: labels.fingerprint(),
        labels,
    }
}

pub(super) fn opened() -> Opened {
    Opened {
        runbook: "database-pool-exhaustion".to_owned(),
        hash: Hash("5f2c".to_owned()),
        scope: Labels::from([("namespace", "samosachaat-prod")]),
        deadline: at(3600.0),
        alerts: vec![alert()],
        more: 0,
        truncated: 0,
        restore: None,
        run: None,
        drill: None,
    }
}

const QUERY: &str = r#"sum by (app) (count_over_time({namespace="samosachaat-prod", app=~"auth|chat-api"} | json | __error__="" | message=~".*QueuePool.*overflow.*" [5m]))"#;

pub(super) fn pool_errors(verdict: Verdict, saw: &str) -> Evidence {
    let lines = [
        (
            -1.4,
            "chat-api-7d9f4c6b8-x2x7p",
            "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
        ),
        (
            -2.1,
            "chat-api-7d9f4c6b8-k9vln",
            "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
        ),
        (
            -3.8,
            "auth-6c5d9b7f4-tq4wz",
            "asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already",
        ),
    ];
    let found = verdict == Verdict::Holds;
    Evidence {
        probe: "pool_errors".to_owned(),
        asked: QUERY.to_owned(),
        verdict,
        saw: saw.to_owned(),
        by: if found { BTreeMap::from([("chat-api".to_owned(), 42.0)]) } else { BTreeMap::new() },
        samples: lines
            .iter()
            .filter(|_| found)
            .map(|(seconds, pod, message)| Sample {
                is_state: false,
                at: at(*seconds),
                from: (*pod).to_owned(),
                line:
                    serde_json::json!({"level": "error", "message": message, "trace_id": "4bf92f3577b34da6"})
                        .to_string(),
            })
            .collect(),
        window: Some((at(-300.0), at(0.0))),
        clues: BTreeMap::new(),
    }
}

pub(super) fn confirmed() -> Event {
    let answers = vec![pool_errors(Verdict::Holds, "chat-api 42, auth 3 lines in 5m; at least 5")];
    Event::Confirmed { found: Found::Holds, answers, links: Vec::new() }
}

pub(super) fn loki_down() -> Event {
    let why = "Loki could not be asked: query Loki: unreachable (tcp connect error: Connection refused)";
    let answers = vec![Evidence::unknown("pool_errors", QUERY.to_owned(), why.to_owned())];
    Event::Confirmed { found: Found::Unknown, answers, links: Vec::new() }
}

pub(super) fn target(name: &str) -> Target {
    Target { kind: Kind::Deployment, namespace: "samosachaat-prod".to_owned(), name: name.to_owned() }
}

pub(super) fn legs(names: &[(&str, f64)]) -> Event {
    let leg = |(name, figure): &(&str, f64)| Leg {
        target: target(name),
        each: BTreeMap::from([("app".to_owned(), (*name).to_owned())]),
        figure: *figure,
    };
    Event::LegsChosen { legs: names.iter().map(leg).collect() }
}

pub(super) fn plan(name: &str, seconds: f64) -> Plan {
    Plan {
        uid: "6f1c2b1e-3d0f-4d8f-9a60-0d8b6f1f2f55".to_owned(),
        says: format!("restart {}", target(name)),
        change: Change {
            field: "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]".to_owned(),
            before: None,
            after: at(seconds).to_string(),
            judged: "now".to_owned(),
        },
        touches: vec!["2 pods are replaced by the Deployment's own rollout strategy".to_owned()],
        circumstances: Circumstances { replicas: 2, ..Circumstances::default() },
        settles_within: Duration::from_secs(660),
        ..Plan::bare(Action::Restart, target(name), at(seconds))
    }
}

pub(super) fn planned(leg: usize, name: &str, seconds: f64) -> Event {
    Event::Planned { leg, step: 0, plan: plan(name, seconds), answers: Vec::new() }
}

/// What the guards say when nothing stands against it, but for those in `no`.
pub(super) fn asked(no: &[(Guard, &str, &str)]) -> Vec<Answer> {
    let yes = |guard| match guard {
        Guard::Mode => ("act", "the ceiling, the namespace, the runbook and the step allow it"),
        Guard::Namespace => ("samosachaat-prod", "allowed are samosachaat-prod"),
        Guard::Pause => ("not paused", "no effect while paused"),
        Guard::Freshness => ("confirmed and planned 0.4 s ago", "at most 1m old"),
        Guard::Circumstances => ("2 replicas, not paused, no other controller", "can be changed"),
        Guard::Deploying => ("no hook and no rollout of the release is under way", "can be changed"),
        Guard::Busy => {
            ("nothing in flight on samosachaat-prod/deployment/chat-api", "one effect per target at a time")
        }
        Guard::Cooldown => ("no earlier attempt", "15m between two attempts"),
        Guard::RunbookRate => ("0 attempts so far", "at most 3 in 1h"),
        Guard::GlobalRate => ("1 attempt so far", "at most 10 in 1h"),
    };
    let answer = |guard| {
        let against = no.iter().find(|(who, ..)| *who == guard);
        let (saw, limit) = against.map_or_else(|| yes(guard), |(_, saw, limit)| (*saw, *limit));
        Answer { guard, saw: saw.to_owned(), limit: limit.to_owned(), allows: against.is_none() }
    };
    Guard::ALL.into_iter().map(answer).collect()
}

pub(super) fn op(number: u32) -> OperationId {
    OperationId::new(&id(), number)
}

pub(super) fn intended(number: u32, leg: usize, name: &str, seconds: f64) -> Event {
    Event::EffectIntended {
        op: op(number),
        leg,
        step: 0,
        plan: plan(name, seconds),
        asked: asked(&[]),
        not_after: at(seconds + 30.0),
    }
}

pub(super) fn applied(number: u32) -> Event {
    Event::EffectAnswered { op: op(number), result: EffectResult::Applied }
}

pub(super) fn completed(number: u32) -> Event {
    Event::EffectCompleted { op: op(number), saw: "2 pods are new and available".to_owned() }
}

pub(super) fn verified(number: u32, found: Found) -> Event {
    let answers = match found {
        Found::Holds => vec![
            Evidence {
                window: Some((at(52.0), at(112.0))),
                ..pool_errors(Verdict::Holds, "no such line in 1m; at most 0")
            },
            rollout(),
        ],
        Found::Fails => vec![pool_errors(Verdict::Fails, "chat-api 17 lines in 5m; at most 0"), rollout()],
        Found::Unknown => {
            let why = "Loki could not be asked: query Loki: timeout (operation timed out)";
            vec![Evidence::unknown("pool_errors", QUERY.to_owned(), why.to_owned()), rollout()]
        }
    };
    Event::Verified { op: op(number), found, answers }
}

fn rollout() -> Evidence {
    Evidence {
        verdict: Verdict::Holds,
        saw: "complete, 2 pods available".to_owned(),
        ..Evidence::unknown(
            "rollout",
            "rollout of deployment/chat-api in samosachaat-prod".to_owned(),
            String::new(),
        )
    }
}

pub(super) fn ended(leg: usize, number: u32, result: StepResult, why: &str) -> Event {
    Event::StepEnded { leg, step: 0, op: Some(op(number)), result, why: why.to_owned() }
}

pub(super) fn closed(outcome: Outcome, why: &str) -> Event {
    Event::Closed { outcome, why: why.to_owned() }
}

fn until_planned() -> Story {
    Story::new(opened())
        .and(1.2, confirmed())
        .and(1.3, legs(&[("chat-api", 42.0)]))
        .and(1.7, planned(0, "chat-api", 1.6))
}

pub(super) fn recovered() -> Story {
    until_planned()
        .and(2.0, intended(1, 0, "chat-api", 1.6))
        .and(2.4, applied(1))
        .and(51.8, completed(1))
        .and(112.0, verified(1, Found::Holds))
        .and(112.1, ended(0, 1, StepResult::Recovered, "verify held for 1m"))
        .and(112.2, closed(Outcome::Recovered, "verify held on every target"))
}

/// The same, and no alert: a person saw it first.
pub(super) fn begun_by_hand() -> Story {
    let mut story = recovered();
    let run = Run {
        by: "ana@laptop".to_owned(),
        reason: "chat is slow since the deploy".to_owned(),
        labels: Labels::from([("namespace", "samosachaat-prod"), ("app", "chat-api")]),
    };
    let opened = Opened { alerts: Vec::new(), run: Some(run), ..opened() };
    story.events[0].event = Event::Opened(opened);
    story
}

pub(super) fn two_targets() -> Story {
    let again = Event::Confirmed {
        found: Found::Fails,
        answers: vec![pool_errors(Verdict::Fails, "no such line in 5m; at least 5")],
        links: Vec::new(),
    };
    Story::new(Opened { truncated: 3, ..opened() })
        .and(1.2, confirmed())
        .and(1.3, legs(&[("chat-api", 42.0), ("auth", 9.0)]))
        .and(1.7, planned(0, "chat-api", 1.6))
        .and(2.0, intended(1, 0, "chat-api", 1.6))
        .and(2.4, applied(1))
        .and(51.8, completed(1))
        .and(112.0, verified(1, Found::Holds))
        .and(112.1, ended(0, 1, StepResult::Recovered, "verify held for 1m"))
        .and(112.2, Event::StepBegan { leg: 1, step: 0 })
        .and(113.0, again)
        .and(113.1, closed(Outcome::Recovered, "the remaining targets show no evidence any more"))
}

pub(super) fn shadow() -> Story {
    let no = [
        (Guard::Mode, "shadow", "set by the ceiling"),
        (Guard::Cooldown, "last attempt 4m ago", "15m between two attempts"),
    ];
    until_planned()
        .and(2.0, Event::WouldAct { leg: 0, step: 0, asked: asked(&no), rehearsed: None })
        .and(2.1, closed(Outcome::WouldAct, "in shadow: nothing was done"))
}

pub(super) fn asking() -> Story {
    let judged = plan("chat-api", 1.6).judged(&Hash("5f2c".to_owned()), 0);
    until_planned().and(2.0, Event::ApprovalAsked { leg: 0, step: 0, judged, expires: at(1802.0), why: None })
}

pub(super) fn approved() -> Story {
    let judged = plan("chat-api", 1.6).judged(&Hash("5f2c".to_owned()), 0);
    asking()
        .and(95.0, Event::Approved { by: "mano".to_owned(), judged })
        .and(96.0, confirmed())
        .and(96.2, planned(0, "chat-api", 96.2))
        .and(96.4, intended(1, 0, "chat-api", 96.2))
}

pub(super) fn declined() -> Story {
    let reason = "the database is being moved, this is expected".to_owned();
    asking()
        .and(95.0, Event::Declined { by: "mano".to_owned(), reason })
        .and(95.1, closed(Outcome::Declined, "mano: the database is being moved, this is expected"))
}

pub(super) fn blocked_by_cooldown() -> Story {
    let refusal = Refusal {
        guard: Guard::Cooldown,
        saw: "last attempt 4m ago".to_owned(),
        limit: "15m between two attempts".to_owned(),
        until: Some(at(660.0)),
    };
    let refused = Event::Refused { leg: 0, step: 0, refusals: vec![refusal.clone()], until: refusal.until };
    let rate = Refusal {
        guard: Guard::RunbookRate,
        saw: "3 attempts so far".to_owned(),
        limit: "at most 3 in 1h".to_owned(),
        until: Some(at(3700.0)),
    };
    let why = "cooldown: last attempt 15m ago (15m between two attempts); runbook_rate: 3 attempts so far (at most 3 in 1h)";
    until_planned()
        .and(2.0, refused)
        .and(660.5, confirmed())
        .and(660.9, planned(0, "chat-api", 660.8))
        .and(661.2, Event::Refused { leg: 0, step: 0, until: rate.until, refusals: vec![refusal, rate] })
        .and(661.3, closed(Outcome::Blocked, why))
}

/// Asked again every minute, and told only when there is news.
pub(super) fn held_by_a_migration() -> Story {
    let held = |seconds: f64, saw: &str, limit: &str| {
        let until = Some(at(seconds + 60.0));
        let (saw, limit) = (format!("job/migrate (pre-upgrade hook of Helm) {saw}"), limit.to_owned());
        let refusal = Refusal { guard: Guard::Deploying, saw, limit, until };
        (seconds, Event::Refused { leg: 0, step: 0, refusals: vec![refusal], until })
    };
    let middle = "nothing is changed in the middle of a deployment";
    let failed = "a failed hook holds for 1h, unless a later one of its kind succeeds or its Job is deleted; \
                  `kubectl -n samosachaat-prod logs job/migrate` says why";
    let limit = "Job has reached the specified backoff limit";
    let mut story = until_planned();
    for (seconds, refused) in [
        held(2.0, "has been running for 40s", middle),
        held(62.5, "has been running for 1m 40s", middle),
        held(123.0, &format!("failed 20s ago: {limit}"), failed),
        held(183.5, &format!("failed 1m 20s ago: {limit}"), failed),
    ] {
        story = story
            .and(seconds, refused)
            .and(seconds + 60.1, confirmed())
            .and(seconds + 60.2, planned(0, "chat-api", seconds + 60.2));
    }
    story
}

pub(super) fn not_recovered() -> Story {
    until_planned()
        .and(2.0, intended(1, 0, "chat-api", 1.6))
        .and(2.4, applied(1))
        .and(51.8, completed(1))
        .and(112.0, verified(1, Found::Fails))
        .and(352.0, verified(1, Found::Fails))
        .and(352.1, ended(0, 1, StepResult::NotRecovered, "verify did not hold within 5m"))
        .and(352.2, closed(Outcome::NotRecovered, "verify did not hold within 5m"))
}

pub(super) fn ambiguous() -> Story {
    let unclear = EffectResult::Unclear {
        reason: "timeout".to_owned(),
        message: "restart deployment/chat-api in samosachaat-prod: timeout (operation timed out)".to_owned(),
    };
    let unseen = Observation::Unseen {
        why: "read deployment/chat-api in samosachaat-prod: unreachable (Connection refused)".to_owned(),
    };
    let saw = "kubectl.kubernetes.io/restartedAt is 2026-11-22T03:12:09Z, neither 2026-11-22T03:12:05.85Z (ours) nor not there (before)";
    until_planned()
        .and(2.0, intended(1, 0, "chat-api", 1.6))
        .and(12.0, Event::EffectAnswered { op: op(1), result: unclear })
        .and(12.5, Event::EffectObserved { op: op(1), found: unseen.clone() })
        .and(22.5, Event::EffectObserved { op: op(1), found: unseen })
        .and(42.5, Event::EffectObserved { op: op(1), found: Observation::Ambiguous { saw: saw.to_owned() } })
        .and(42.6, ended(0, 1, StepResult::Ambiguous, saw))
        .and(42.7, closed(Outcome::Ambiguous, saw))
}

pub(super) fn loki_is_down() -> Story {
    let mut story = Story::new(opened());
    for seconds in [1.2, 11.2, 31.2, 71.2] {
        story = story.and(seconds, loki_down());
    }
    story.and(3600.4, closed(Outcome::Inconclusive, "the evidence could not be had before the deadline"))
}

pub(super) fn self_healed() -> Story {
    let fingerprints = vec![alert().fingerprint];
    Story::new(opened())
        .and(1.2, confirmed())
        .and(1.3, legs(&[("chat-api", 42.0)]))
        .and(1.5, Event::AlertsResolved { fingerprints })
        .and(1.6, closed(Outcome::SelfHealed, "the alert resolved before anything was done"))
}

pub(super) fn silenced() -> Story {
    let fingerprints = vec![alert().fingerprint];
    let why = "silenced in Alertmanager by ana: <!channel> deploying";
    Story::new(opened())
        .and(1.2, confirmed())
        .and(1.3, legs(&[("chat-api", 42.0)]))
        .and(1.5, Event::AlertsSuppressed { fingerprints, why: why.to_owned() })
        .and(1.6, closed(Outcome::Declined, &format!("the alert was {why}, before anything was done")))
}

pub(super) fn all() -> Vec<(&'static str, Story)> {
    vec![
        ("recovered", recovered()),
        ("begun_by_hand", begun_by_hand()),
        ("two_targets", two_targets()),
        ("shadow", shadow()),
        ("asking", asking()),
        ("approved", approved()),
        ("declined", declined()),
        ("blocked_by_cooldown", blocked_by_cooldown()),
        ("held_by_a_migration", held_by_a_migration()),
        ("not_recovered", not_recovered()),
        ("ambiguous", ambiguous()),
        ("loki_is_down", loki_is_down()),
        ("self_healed", self_healed()),
        ("silenced", silenced()),
        ("changed_for_a_while", restores::changed_for_a_while()),
        ("put_back", restores::put_back()),
        ("the_trouble_came_back", restores::the_trouble_came_back()),
        ("left_alone", restores::left_alone()),
    ]
}
