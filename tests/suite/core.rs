//! The pure core against the promises: random histories of several incidents over one ledger and one world, with
//! a crash between any two events. Every choice of the world is a byte, so that a failure shrinks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use runbookd::alert::{Alert, Labels, Status};
use runbookd::clock::{after, before};
use runbookd::guard::{self, Policy, Question};
use runbookd::incident::decide::FRESH;
use runbookd::incident::deploying::{Deploying, Hook, HookState};
use runbookd::incident::event::{EffectResult, Found, Leg, Observation, Opened, Released, Restore};
use runbookd::incident::evidence::{Evidence, Verdict};
use runbookd::incident::ledger::{Attempt, InFlight, Ledger, Pause};
use runbookd::incident::outcome::StepResult;
use runbookd::incident::permit::Wanted;
use runbookd::incident::plan::{Change, Circumstances, Kind, Plan, Target};
use runbookd::incident::proof::{Level, Proof, Times};
use runbookd::incident::proven::Demand;
use runbookd::incident::refusal::Refusal;
use runbookd::incident::restore::{self, CHANGE_AGAIN, RESTORE};
use runbookd::incident::run::Run;
use runbookd::incident::{
    Effect, Event, Incident, IncidentId, Moment, Next, OperationId, Outcome, Recorded, Stage, decide,
};
use runbookd::logql::LogQuery;
use runbookd::runbook::{
    Action, Check, Each, Escalate, Field, Hash, Limits, LokiProbe, Mode, Named, Object, Probe, Rate, Remedy,
    RestoreWhen, Runbook, Step, StepKind, Targets, Template, Threshold, Verify,
};

const NAMESPACE: &str = "shop";
/// Read once: a quarter of the time of a history was its pattern.
static QUERY: LazyLock<LogQuery> =
    LazyLock::new(|| LogQuery::parse(r#"{app=~"auth|chat-api"} |= "pool""#).unwrap());

/// Steps that act; before them, when it is wanted, one that expects something, and a condition on the first that acts.
fn runbook(name: &str, mode: Mode, steps: usize, expects: bool) -> Runbook {
    let probe = LokiProbe {
        query: QUERY.clone(),
        window: Duration::from_secs(300),
        count_by: Some("app".to_owned()),
        threshold: Threshold::AtLeast(5.0),
    };
    let pool = Named { name: "pool".to_owned(), probe: Probe::Loki(probe) };
    let verify = Verify {
        within: Duration::from_secs(300),
        hold: Duration::from_secs(60),
        all: vec![Check::RolloutComplete],
    };
    let step = |number: usize| Step {
        title: format!("restart {number}"),
        mode: None,
        when: if expects && number == 0 { vec![pool.clone()] } else { Vec::new() },
        kind: StepKind::Remediate {
            remedy: Remedy::Plain(Action::Restart),
            restore: RestoreWhen::Never,
            make_it_last: None,
            verify: verify.clone(),
        },
    };
    let expectation = Step {
        title: "it comes back".to_owned(),
        mode: None,
        when: Vec::new(),
        kind: StepKind::Expect(verify.clone()),
    };
    Runbook {
        name: name.to_owned(),
        hash: Hash(name.to_owned()),
        // As much as the hash of its text needs.
        source: format!(r#"{{"document":"{name}","vars":{{}},"time_scale":1}}"#),
        summary: String::new(),
        mode,
        alerts: Vec::new(),
        goes_on: false,
        group_by: Vec::new(),
        // The one with an expectation is also the one that stands back.
        defer_to: if expects { vec!["memory".to_owned()] } else { Vec::new() },
        confirm: vec![pool.clone()],
        probes: Vec::new(),
        confirm_within: Duration::from_secs(120),
        deadline: Duration::from_secs(3_600),
        targets: Targets {
            each: Some(Each { probe: "pool".to_owned(), label: "app".to_owned() }),
            namespace: Template { parts: Vec::new() },
            object: Object::Named(Kind::Deployment, Template { parts: Vec::new() }),
        },
        steps: expects.then_some(expectation).into_iter().chain((0..steps).map(step)).collect(),
        limits: Limits {
            cooldown: Duration::from_secs(900),
            rate: Rate { count: 3, per: Duration::from_secs(3_600) },
        },
        links: Vec::new(),
        escalate: Escalate::default(),
        vars: BTreeMap::new(),
        labels: std::collections::BTreeSet::new(),
        clues: std::collections::BTreeSet::new(),
        time_scale: 1,
    }
}

/// What a person begins. Alerts are said to have joined, resolved and been silenced all the same: nothing of that may count.
fn run() -> Run {
    Run { by: "ana".to_owned(), reason: "it is slow".to_owned(), labels: Labels::default() }
}

fn alert(number: u8) -> Alert {
    let labels = Labels::from([("alertname", "High5xxRate"), ("n", number.to_string().as_str())]);
    Alert {
        status: Status::Firing,
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: Timestamp::UNIX_EPOCH,
        ends_at: None,
        generator_url: String::new(),
    }
}

/// The choices of the world, one byte each; when they are used up, the world is kind and everything ends well.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn more(&self) -> bool {
        !self.0.as_slice().is_empty()
    }

    fn of(&mut self, kinds: u8) -> u8 {
        self.0.next().copied().unwrap_or(0) % kinds
    }
}

/// One incident as its process sees it, and as the journal has it.
struct Case {
    id: IncidentId,
    runbook: Arc<Runbook>,
    journal: Vec<Recorded>,
    /// What the process holds in memory; a crash loses it.
    live: Option<Incident>,
}

/// What really happened to a target.
struct Write {
    op: OperationId,
    took_effect: bool,
}

struct World<'a> {
    choices: Choices<'a>,
    now: Timestamp,
    policy: Arc<Policy>,
    pause: Option<Pause>,
    attempts: Vec<Attempt>,
    in_flight: Vec<InFlight>,
    proofs: Vec<Proof>,
    writes: Vec<Write>,
    cases: Vec<Case>,
}

impl World<'_> {
    fn tick(&mut self, seconds: i64) {
        self.now = after(self.now, Duration::from_secs(u64::try_from(seconds).unwrap()));
    }

    /// The incident as its process sees it; after a crash it is read from the journal.
    fn live(&mut self, index: usize) -> Incident {
        let case = &mut self.cases[index];
        case.live.get_or_insert_with(|| replay(&case.id, &case.journal)).clone()
    }

    fn append(&mut self, index: usize, event: Event) {
        let incident = self.live(index);
        let recorded = Recorded { seq: incident.seq + 1, at: self.now, event };
        let moved = incident
            .clone()
            .after(&recorded)
            .unwrap_or_else(|error| panic!("{error}\n{:#?}\n{:#?}", incident.stage, recorded.event));
        match &recorded.event {
            Event::StepEnded { op: Some(op), .. } => self.in_flight.retain(|effect| effect.op != *op),
            Event::Closed { .. } => {
                let id = incident.id.clone();
                assert!(
                    self.in_flight.iter().all(|effect| effect.incident != id),
                    "an incident is closed with an effect in flight"
                );
            }
            _ => {}
        }
        self.cases[index].journal.push(recorded);
        self.cases[index].live = Some(moved);
    }

    fn ledger(&self) -> Ledger {
        Ledger {
            now: self.now,
            pause: self.pause.clone(),
            in_flight: self.in_flight.clone(),
            attempts: self.attempts.clone(),
            proofs: self.proofs.clone(),
        }
    }

    fn evidence(&mut self) -> (Found, Vec<Evidence>) {
        let unknown = Evidence::unknown("pool", String::new(), "Loki is down".to_owned());
        let (found, verdict, by) = match self.choices.of(6) {
            0 | 1 => (Found::Holds, Verdict::Holds, vec![("chat-api", 40.0)]),
            2 => (Found::Holds, Verdict::Holds, vec![("chat-api", 40.0), ("auth", 9.0)]),
            3 => (Found::Fails, Verdict::Fails, vec![]),
            4 => (Found::Unknown, unknown.verdict.clone(), vec![]),
            _ => (Found::Unknown, Verdict::Quiet { why: String::new() }, vec![]),
        };
        let by = by.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
        (found, vec![Evidence { verdict, by, ..unknown }])
    }

    fn plan(&mut self, incident: &Incident, action: Action) -> Plan {
        let target = incident.current_leg().expect("a plan has a target").target.clone();
        let mut deploying = Deploying::NOTHING;
        let (paused, replicas, rolling) = match self.choices.of(12) {
            8 => {
                let (job, what) = ("migrate".to_owned(), "pre-upgrade hook of Helm".to_owned());
                let state = HookState::Runs { since: None, failed: 0 };
                deploying = Deploying::Seen { hooks: vec![Hook { job, what, state }], rollouts: Vec::new() };
                (false, 2, None)
            }
            9 => (false, 2, Some("1 of 2 new pods".to_owned())),
            10 => (true, 2, None),
            11 => (false, 0, None),
            _ => (false, 2, None),
        };
        Plan {
            uid: "u".to_owned(),
            says: format!("restart {target}"),
            change: Change {
                field: "f".to_owned(),
                before: None,
                after: self.now.to_string(),
                judged: "now".to_owned(),
            },
            circumstances: Circumstances {
                paused,
                replicas,
                rollout_in_progress: rolling,
                controller: None,
                may_not_last: Vec::new(),
                against: None,
                deploying,
            },
            settles_within: Duration::from_secs(660),
            ..Plan::bare(action, target, self.now)
        }
    }

    /// One turn of the loop of one incident, with what the world makes of it. A crash is possible at every place
    /// at which the real process could die.
    fn turn(&mut self, index: usize) {
        let incident = self.live(index);
        let runbook = Arc::clone(&self.cases[index].runbook);
        // As the pipeline looks: an open incident of a runbook in `defer_to`.
        let behind = self.cases.iter().find(|case| {
            let open = !matches!(case.journal.last().map(|last| &last.event), Some(Event::Closed { .. }));
            open && runbook.defer_to.contains(&case.runbook.name)
        });
        let behind = behind.map(|case| (case.id.clone(), case.runbook.name.clone()));
        let moment = Moment { now: self.now, paused: self.pause.is_some(), behind };
        let (leg, step) = (incident.leg, incident.step);
        match decide(&incident, &runbook, &moment) {
            Next::Nothing => {}
            Next::Wait(until) => {
                assert!(until > self.now, "a wait that is over would spin");
                self.now = until;
            }
            Next::Append(event) => self.append(index, event),
            // What the ledger says.
            Next::Confirm if incident.opened.restore.is_some() => {
                let due = incident.step == CHANGE_AGAIN || self.choices.of(8) < 7;
                let (found, verdict) =
                    if due { (Found::Holds, Verdict::Holds) } else { (Found::Fails, Verdict::Fails) };
                let unknown = Evidence::unknown("ledger", String::new(), String::new());
                self.append(
                    index,
                    Event::Confirmed {
                        found,
                        answers: vec![Evidence { verdict, ..unknown }],
                        links: Vec::new(),
                    },
                );
            }
            Next::ChooseLegs if let Some(restore) = &incident.opened.restore => {
                self.append(index, Event::LegsChosen { legs: vec![restore.leg.clone()] });
            }
            Next::Confirm => {
                let (found, answers) = self.evidence();
                self.append(index, Event::Confirmed { found, answers, links: Vec::new() });
            }
            Next::ChooseLegs => {
                let target = |name: &str| Target {
                    kind: Kind::Deployment,
                    namespace: NAMESPACE.to_owned(),
                    name: name.to_owned(),
                };
                let found = incident.evidence[0].by.iter();
                let found = found.filter(|(name, _)| !incident.cured.contains(&target(name)));
                let legs = found.map(|(name, figure)| Leg {
                    target: target(name),
                    each: BTreeMap::from([("app".to_owned(), name.clone())]),
                    figure: *figure,
                });
                let legs: Vec<Leg> = legs.collect();
                self.append(
                    index,
                    if legs.is_empty() {
                        Event::Closed { outcome: Outcome::Recovered, why: "cured already".to_owned() }
                    } else {
                        Event::LegsChosen { legs }
                    },
                );
            }
            Next::Diagnose => {
                self.append(index, Event::Diagnosed { leg, step, about: String::new(), answers: Vec::new() })
            }
            Next::Plan => match self.choices.of(8) {
                4 | 5 if incident.opened.restore.is_some() => {
                    let left_alone = self.choices.of(2) == 1;
                    let (object, field) = (restored(), Field::Replicas);
                    let op = OperationId::new(&incident.id, 9);
                    let changes = vec![Released { object, field, op, why: "7 now".to_owned(), left_alone }];
                    self.append(index, Event::Released { leg, changes });
                }
                3 if incident.opened.restore.is_some() => {
                    self.append(index, Event::LegSkipped { leg, why: "nothing is left".to_owned() });
                }
                3 | 4 if !runbook.steps[step].when.is_empty() => {
                    let why = "its condition does not hold".to_owned();
                    self.append(index, Event::StepSkipped { leg, step, why, answers: Vec::new() });
                }
                6 => {
                    let why = "no answer".to_owned();
                    self.append(index, Event::PlanFailed { leg, step, why, for_good: false });
                }
                7 => {
                    let why = "gone".to_owned();
                    self.append(index, Event::PlanFailed { leg, step, why, for_good: true });
                }
                _ => {
                    let StepKind::Remediate { remedy, .. } = &runbook.steps[step].kind else {
                        unreachable!()
                    };
                    let plan = self.plan(&incident, remedy.action());
                    self.append(index, Event::Planned { leg, step, plan, answers: Vec::new() });
                }
            },
            Next::Commit(wanted) => self.commit(index, &incident, &runbook, *wanted),
            Next::Observe(effect) => {
                let found = self.observe(&effect);
                self.append(index, Event::EffectObserved { op: effect.op, found });
            }
            Next::Follow(effect) => {
                assert!(self.took_effect(&effect.op), "only what happened is followed");
                let (op, saw) = (effect.op, "seen".to_owned());
                match self.choices.of(6) {
                    0..=2 => self.append(index, Event::EffectCompleted { op, saw }),
                    3 => self.append(index, Event::EffectStalled { op, saw, failed: true }),
                    4 => self.append(index, Event::EffectStalled { op, saw, failed: false }),
                    _ => self.tick(30),
                }
            }
            Next::Await(since) => {
                assert!(matches!(runbook.steps[step].kind, StepKind::Expect(_)));
                assert!(self.now >= since, "what came before does not count");
                let found = match self.choices.of(4) {
                    0 => Found::Holds,
                    1 | 2 => Found::Fails,
                    _ => Found::Unknown,
                };
                self.append(index, Event::Awaited { leg, step, found, answers: Vec::new() });
            }
            Next::Verify(effect, since) => {
                let StepKind::Remediate { verify, .. } = &runbook.steps[step].kind else { unreachable!() };
                assert!(self.now >= after(since, verify.hold), "verify asks before it can look at `hold`");
                assert_eq!(
                    Some(since),
                    self.completed(index, &effect.op),
                    "verify begins with the completion"
                );
                let found = match self.choices.of(4) {
                    0 | 1 => Found::Holds,
                    2 => Found::Fails,
                    _ => Found::Unknown,
                };
                self.append(index, Event::Verified { op: effect.op, found, answers: Vec::new() });
            }
        }
    }

    fn commit(&mut self, index: usize, incident: &Incident, runbook: &Arc<Runbook>, wanted: Wanted) {
        let judged = wanted.plan.judged(&runbook.hash, wanted.step);
        let approved = incident.approved.as_ref().is_some_and(|(hash, _)| *hash == judged);
        let question = Question {
            wanted: wanted.clone(),
            runbook: Arc::clone(runbook),
            policy: Arc::clone(&self.policy),
            held_at: incident.held_at,
            approved: approved || wanted.again && incident.effect().is_some_and(|effect| effect.approved),
            most: incident.opened.most(),
        };
        let (leg, step) = (wanted.leg, wanted.step);
        self.put_to_the_proof(runbook);
        let mode = guard::effective_mode(&question);
        if mode == Mode::Shadow && !wanted.again {
            return self.append(index, Event::WouldAct { leg, step, asked: Vec::new(), rehearsed: None });
        }
        match guard::grant(&question, &self.ledger()) {
            Ok((event, permit)) => {
                self.check_intent(incident, runbook, &wanted);
                if matches!(event, Event::EffectIntended { .. }) {
                    let target = wanted.plan.target.key();
                    self.attempts.push(Attempt {
                        op: wanted.op.clone(),
                        runbook: runbook.name.clone(),
                        target: target.clone(),
                        at: self.now,
                    });
                    self.in_flight.push(InFlight {
                        op: wanted.op.clone(),
                        incident: incident.id.clone(),
                        target,
                    });
                }
                self.append(index, event);
                if self.choices.of(8) == 7 {
                    return self.crash(index); // After the intent, before the call.
                }
                let (result, took_effect) = match self.choices.of(8) {
                    0..=3 => (EffectResult::Applied, true),
                    4 => (failure(EffectKind::Refused), false),
                    5 => (failure(EffectKind::NotTaken), false),
                    6 => (failure(EffectKind::Unclear), true),
                    _ => (failure(EffectKind::Unclear), false),
                };
                self.write(permit.op(), took_effect);
                drop(permit);
                if self.choices.of(8) == 7 {
                    return self.crash(index); // After the call, before its answer is in the journal.
                }
                self.append(index, Event::EffectAnswered { op: wanted.op, result });
            }
            Err(asked) => {
                let others: Vec<Refusal> = asked
                    .refusals()
                    .iter()
                    .filter(|refusal| wanted.again || !guard::waits_for_a_person(refusal))
                    .cloned()
                    .collect();
                if others.is_empty() {
                    let expires = after(self.now, Duration::from_secs(1_800));
                    self.append(index, Event::ApprovalAsked { leg, step, judged, expires, why: None });
                } else {
                    let until = others.iter().map(|refusal| refusal.until).max().flatten();
                    self.append(index, Event::Refused { leg, step, refusals: others, until });
                }
            }
        }
    }

    /// Where proofs are demanded, one comes in before some effects: passed, failed, or of another text.
    fn put_to_the_proof(&mut self, runbook: &Runbook) {
        if self.policy.proof.is_none() {
            return;
        }
        let (passed, of_this_text) = match self.choices.of(5) {
            0 | 1 => (true, true),
            2 => (false, true),
            3 => (true, false),
            _ => return,
        };
        self.proofs.retain(|proof| proof.runbook != runbook.name);
        self.proofs.push(Proof {
            run: "run".to_owned(),
            scenario: "pool".to_owned(),
            at: Level::Fault,
            runbook: runbook.name.clone(),
            text: if of_this_text { runbook.text_hash().unwrap() } else { "another".to_owned() },
            passed,
            proven_at: self.now,
            times: Times {
                act: Some(Duration::from_secs(50)),
                recover: Some(Duration::from_secs(95)),
                ..Times::default()
            },
            version: "1".to_owned(),
        });
    }

    fn write(&mut self, op: &OperationId, took_effect: bool) {
        assert!(!self.took_effect(op), "{op} was made again although it had happened");
        let known = self.cases.iter().flat_map(|case| &case.journal).any(
            |recorded| matches!(&recorded.event, Event::EffectIntended { op: intended, .. } if intended == op),
        );
        assert!(known, "{op} was made without an intent in the journal");
        self.writes.push(Write { op: op.clone(), took_effect });
    }

    fn took_effect(&self, op: &OperationId) -> bool {
        self.writes.iter().any(|write| write.op == *op && write.took_effect)
    }

    /// When the effect was seen to be complete.
    fn completed(&self, index: usize, op: &OperationId) -> Option<Timestamp> {
        self.cases[index].journal.iter().rev().find_map(|recorded| match &recorded.event {
            Event::EffectCompleted { op: completed, .. } if completed == op => Some(recorded.at),
            _ => None,
        })
    }

    fn observe(&mut self, effect: &Effect) -> Observation {
        match (self.choices.of(8), self.took_effect(&effect.op)) {
            (6, _) => Observation::Unseen { why: "no answer".to_owned() },
            (7, _) => Observation::Ambiguous { saw: "another value".to_owned() },
            (_, true) => Observation::Done,
            (_, false) => Observation::NotDone,
        }
    }

    /// The process dies: what was in memory is gone, the journal and the world are not.
    fn crash(&mut self, index: usize) {
        self.cases[index].live = None;
    }

    /// What must be so whenever an intent is committed.
    fn check_intent(&self, incident: &Incident, runbook: &Runbook, wanted: &Wanted) {
        let target = wanted.plan.target.key();
        assert!(self.pause.is_none(), "an effect while paused");
        assert!(incident.opened.drill.is_none(), "an effect for an alert that a drill made up");
        let ahead = self.cases.iter().any(|case| {
            let open = !matches!(case.journal.last().map(|last| &last.event), Some(Event::Closed { .. }));
            open && runbook.defer_to.contains(&case.runbook.name)
        });
        assert!(!ahead || incident.effects > 0, "an effect that should have stood back");
        assert!(self.policy.namespaces.contains_key(NAMESPACE), "an effect outside the allow-list");
        let restores = wanted.plan.action.restores();
        assert_eq!(restores, incident.opened.restore.is_some());
        assert!(
            restores || self.policy.ceiling >= Mode::Ask && runbook.mode >= Mode::Ask,
            "an effect above the mode"
        );
        if self.policy.ceiling.min(runbook.mode) == Mode::Ask && !wanted.again && !restores {
            let judged = wanted.plan.judged(&runbook.hash, wanted.step);
            assert!(
                incident.approved.as_ref().is_some_and(|(hash, _)| *hash == judged),
                "nobody approved this"
            );
        }
        if let Some(demand) = self.policy.proof.filter(|_| !wanted.again && !restores) {
            let judged = wanted.plan.judged(&runbook.hash, wanted.step);
            let newest = self.proofs.iter().find(|proof| proof.runbook == runbook.name);
            let is_proven = newest.is_some_and(|proof| {
                proof.passed
                    && runbook.text_hash().is_some_and(|text| text == proof.text)
                    && after(proof.proven_at, demand.within) >= self.now
            });
            assert!(
                is_proven || incident.approved.as_ref().is_some_and(|(hash, _)| *hash == judged),
                "not proven, and nobody approved this"
            );
        }
        let journal = &self.cases.iter().find(|case| case.id == incident.id).unwrap().journal;
        let confirmed = journal.iter().rev().find_map(|recorded| match &recorded.event {
            Event::Confirmed { found, .. } => Some((recorded.at, *found)),
            _ => None,
        });
        let (at, found) = confirmed.expect("an effect without evidence");
        assert_eq!(found, Found::Holds, "an effect on evidence that does not hold");
        assert!(after(at, FRESH) >= self.now || incident.step > 0, "an effect on old evidence");
        assert!(!incident.resolved() || incident.effects > 0, "an effect although every alert has resolved");
        let mut quiet = incident.alerts.values().filter(|alert| !alert.resolved).peekable();
        let all_quiet = quiet.peek().is_some() && quiet.all(|alert| alert.suppressed.is_some());
        assert!(
            !all_quiet || incident.opened.run.is_some(),
            "an effect although somebody keeps every alert quiet in Alertmanager"
        );
        let circumstances = &wanted.plan.circumstances;
        assert!(!circumstances.paused && circumstances.replicas > 0);
        assert!(circumstances.rollout_in_progress.is_none(), "a rollout on top of another");
        assert_eq!(circumstances.deploying, Deploying::NOTHING, "an effect in the middle of a deployment");
        if wanted.again {
            return;
        }
        assert!(self.in_flight.iter().all(|effect| effect.target != target), "two effects on one target");
        // What is meant for a while must not become permanent because something is used up.
        if restores {
            return;
        }
        let recent = |window: Duration| {
            let since = before(self.now, window);
            let counts = move |attempt: &&Attempt| attempt.at > since && attempt.runbook != RESTORE;
            self.attempts.iter().filter(counts)
        };
        let by_runbook =
            recent(runbook.limits.rate.per).filter(|attempt| attempt.runbook == runbook.name).count();
        assert!(by_runbook < runbook.limits.rate.count as usize, "more often than the runbook's rate");
        assert!(
            recent(self.policy.rate.per).count() < self.policy.rate.count as usize,
            "over the global rate"
        );
        let others = recent(runbook.limits.cooldown)
            .filter(|attempt| attempt.target == target && attempt.op.incident() != incident.id)
            .count();
        assert_eq!(others, 0, "an effect within the cooldown of the target");
    }

    /// Something from outside: the webhook, a person, the clock, a crash.
    fn outside(&mut self, index: usize) {
        let incident = self.live(index);
        if incident.closed().is_some() {
            return;
        }
        match self.choices.of(14) {
            // No alert is its own.
            6..=8 if incident.opened.restore.is_some() => {}
            6 => {
                let fingerprints = incident.alerts.keys().cloned().collect();
                let why = "silenced in Alertmanager by ana: deploying".to_owned();
                self.append(index, Event::AlertsSuppressed { fingerprints, why });
            }
            7 => self.append(index, Event::AlertsJoined { alerts: vec![alert(7)], more: 0 }),
            8 => {
                let fingerprints = incident.alerts.keys().cloned().collect();
                self.append(index, Event::AlertsResolved { fingerprints });
            }
            9 => {
                let pause = Pause { reason: "deploy".to_owned(), by: "ana".to_owned(), at: self.now };
                self.pause = self.pause.take().map_or(Some(pause), |_| None);
            }
            10 => self.crash(index),
            11 => {
                let minutes = i64::from(self.choices.of(40));
                self.tick(60 * minutes);
            }
            12 | 13 => {
                if let Stage::Asking { judged, .. } = incident.stage.clone() {
                    let by = "ana".to_owned();
                    let judged_another =
                        Event::Approved { by: by.clone(), judged: Hash("another".to_owned()) };
                    let other = Recorded { seq: incident.seq + 1, at: self.now, event: judged_another };
                    assert!(incident.after(&other).is_err(), "an approval of another plan counts");
                    let event = if self.choices.of(3) == 2 {
                        Event::Declined { by, reason: "not now".to_owned() }
                    } else {
                        Event::Approved { by, judged }
                    };
                    self.append(index, event);
                }
            }
            _ => {}
        }
    }
}

enum EffectKind {
    Refused,
    NotTaken,
    Unclear,
}

fn failure(kind: EffectKind) -> EffectResult {
    let (reason, message) = ("timeout".to_owned(), "no answer".to_owned());
    match kind {
        EffectKind::Refused => EffectResult::Refused { reason, message },
        EffectKind::NotTaken => EffectResult::NotTaken { reason, message },
        EffectKind::Unclear => EffectResult::Unclear { reason, message },
    }
}

fn replay(id: &IncidentId, journal: &[Recorded]) -> Incident {
    Incident::replay(id, journal).expect("the journal is always a legal history")
}

/// What must be so for an incident that has ended.
fn check_the_end(world: &World<'_>, case: &Case) {
    let incident = replay(&case.id, &case.journal);
    if incident.opened.restore.is_some() {
        return check_the_end_of_a_restore(world, case, &incident);
    }
    if let Some(live) = &case.live {
        assert_eq!(*live, incident, "an incident is the fold of its events");
    }
    let closed = incident.closed().unwrap_or_else(|| {
        let names: Vec<&str> = case.journal.iter().map(|recorded| recorded.event.name()).collect();
        let last = &names[names.len().saturating_sub(12)..];
        panic!("{} does not come to an end, it is {}: {last:?}", case.id, incident.stage.name())
    });
    if incident.opened.run.is_some() {
        let (outcome, why) = (closed.outcome, &closed.why);
        let by_alert = ["the alert", "silenced"].iter().any(|word| why.contains(word));
        assert!(!by_alert, "an alert ends what a person began: {outcome}, {why}");
    }
    let writes: Vec<&Write> = world.writes.iter().filter(|write| write.op.incident() == case.id).collect();
    let happened: BTreeSet<&OperationId> =
        writes.iter().filter(|write| write.took_effect).map(|write| &write.op).collect();
    let ends: Vec<StepResult> = case
        .journal
        .iter()
        .filter_map(|recorded| match &recorded.event {
            // An effect that never happened leaves what came before it as it was.
            Event::StepEnded { result, .. } if *result != StepResult::Dropped => Some(*result),
            _ => None,
        })
        .collect();
    match closed.outcome {
        Outcome::WouldAct | Outcome::NotConfirmed | Outcome::Joined => {
            assert!(happened.is_empty(), "{} with an effect", closed.outcome);
        }
        // Kept quiet in Alertmanager: that can come at any time, and nothing is begun after it.
        Outcome::Declined if incident.suppressed().is_some() => {}
        // An earlier target may have been approved; the plan that nobody approved has no intent.
        Outcome::Declined | Outcome::Expired => {
            let last = |wanted: fn(&Event) -> bool| {
                case.journal
                    .iter()
                    .rev()
                    .find(|recorded| wanted(&recorded.event))
                    .map(|recorded| recorded.seq)
            };
            let asked = last(|event| matches!(event, Event::ApprovalAsked { .. }));
            let intended = last(|event| matches!(event, Event::EffectIntended { .. }));
            assert!(asked > intended, "{} with an intent after the question", closed.outcome);
        }
        Outcome::SelfHealed => assert!(happened.is_empty(), "self_healed with an effect"),
        Outcome::Injected => panic!("no drill has announced a fault"),
        Outcome::Recovered => {
            assert!(!happened.is_empty(), "recovered by nothing");
            // What was only waited for, and did not come, says nothing of what was done elsewhere.
            let mut acted_on: BTreeMap<(u32, usize), StepResult> = BTreeMap::new();
            let mut chosen = 0;
            for recorded in &case.journal {
                match &recorded.event {
                    // The legs begin at 0 again.
                    Event::LegsChosen { .. } => chosen += 1,
                    Event::StepEnded { result: StepResult::Dropped, .. } => {}
                    Event::StepEnded { leg, op: Some(_), result, .. } => {
                        acted_on.insert((chosen, *leg), *result);
                    }
                    Event::StepEnded { leg, op: None, result, .. } => {
                        acted_on.entry((chosen, *leg)).and_modify(|last| *last = *result);
                    }
                    _ => {}
                }
            }
            assert!(!acted_on.is_empty(), "recovered, and no step that acted has ended");
            for (leg, result) in acted_on {
                assert_eq!(
                    result,
                    StepResult::Recovered,
                    "recovered, and the verify of leg {leg:?} did not hold"
                );
            }
        }
        Outcome::Ambiguous => assert_eq!(ends.last(), Some(&StepResult::Ambiguous)),
        Outcome::NotRecovered if ends.last() != Some(&StepResult::NotRecovered) => {
            let left_out = |recorded: &Recorded| matches!(recorded.event, Event::StepSkipped { .. });
            assert!(case.journal.iter().any(left_out), "not_recovered, and nothing was tried or left out");
        }
        Outcome::NotRecovered => {}
        Outcome::Stopped => assert_eq!(ends.last(), Some(&StepResult::NotRecovered)),
        Outcome::Inconclusive | Outcome::Blocked | Outcome::Failed => {}
    }
    // Unknown never counts as recovered, and never goes on to the next step.
    let mut verified = None;
    let mut held: Option<(Timestamp, Timestamp)> = None;
    for recorded in &case.journal {
        match &recorded.event {
            Event::Awaited { found: Found::Holds, .. } => {
                held = Some((held.map_or(recorded.at, |(since, _)| since), recorded.at));
            }
            Event::Awaited { .. } | Event::Awaiting { .. } => held = None,
            Event::StepEnded { op: None, result: StepResult::Recovered, .. } => {
                let (since, until) = held.expect("nobody said that it came");
                let hold = Duration::from_secs(60);
                assert!(
                    until >= after(since, hold),
                    "an expectation ends before it held for as long as `hold`"
                );
            }
            _ => {}
        }
        match &recorded.event {
            Event::Verified { found, .. } | Event::Awaited { found, .. } => verified = Some(*found),
            Event::Awaiting { .. } => verified = None,
            Event::StepEnded { result: StepResult::Recovered, .. } => {
                assert_eq!(verified, Some(Found::Holds))
            }
            Event::StepBegan { step, .. } if *step > 0 => assert_eq!(verified, Some(Found::Fails)),
            Event::EffectIntended { .. } => verified = None,
            _ => {}
        }
    }
    if world.policy.ceiling < Mode::Ask || !world.policy.namespaces.contains_key(NAMESPACE) {
        assert!(writes.is_empty(), "something was called although nothing is allowed");
    }
}

fn restored() -> Target {
    Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name: "chat-api".to_owned() }
}

/// What is put back is put back once, and changed again once at the most, and only because the trouble came with it.
fn check_the_end_of_a_restore(world: &World<'_>, case: &Case, incident: &Incident) {
    let closed = incident.closed().expect("a restore comes to an end");
    let mut happened = [0, 0];
    let mut verified = [None, None];
    let mut stalled = false;
    let mut step_of = BTreeMap::new();
    for recorded in &case.journal {
        match &recorded.event {
            Event::EffectIntended { op, step, plan, .. } => {
                let action = if *step == CHANGE_AGAIN { Action::ChangeAgain } else { Action::PutBack };
                assert_eq!(plan.action, action);
                step_of.insert(op.clone(), *step);
                assert!(
                    *step == 0 || stalled || verified[0] == Some(Found::Fails),
                    "changed again without a reason"
                );
            }
            Event::Verified { op, found, .. } => verified[step_of[op]] = Some(*found),
            Event::EffectStalled { op, failed: true, .. } => stalled |= step_of[op] == 0,
            Event::StepEnded { step: 0, result, .. } if stalled => {
                assert_eq!(*result, StepResult::NotRecovered, "what does not run as before is changed again");
            }
            Event::WouldAct { .. } | Event::ApprovalAsked { .. } => panic!("a restore asks for no mode"),
            _ => {}
        }
    }
    for write in world.writes.iter().filter(|write| write.op.incident() == case.id && write.took_effect) {
        happened[step_of[&write.op]] += 1;
    }
    assert!(happened[0] <= 1 && happened[1] <= happened[0], "{happened:?}");
    match closed.outcome {
        Outcome::Recovered => assert_eq!((happened, verified[0]), ([1, 0], Some(Found::Holds))),
        // Another incident's change took the place of what was to be put back.
        Outcome::SelfHealed | Outcome::NotConfirmed | Outcome::Joined => {
            assert_eq!(happened, [0, 0], "{}", closed.outcome);
        }
        Outcome::NotRecovered => assert!(stalled || verified[0] == Some(Found::Fails)),
        Outcome::Blocked | Outcome::Inconclusive | Outcome::Failed | Outcome::Ambiguous => {}
        other => panic!("{other} is no end of a restore"),
    }
    if !world.policy.namespaces.contains_key(NAMESPACE) {
        assert_eq!(happened, [0, 0], "outside of the allow-list");
    }
}

fn history(bytes: &[u8], expects: bool) {
    history_with(bytes, expects, false, false, false);
}

fn history_with(bytes: &[u8], expects: bool, restores: bool, by_hand: bool, drills: bool) {
    let mut choices = Choices(bytes.iter());
    let mode = |byte: u8| match byte {
        0..=3 => Mode::Act,
        4 => Mode::Ask,
        _ => Mode::Shadow,
    };
    let ceiling = mode(choices.of(7));
    let modes = [mode(choices.of(7)), mode(choices.of(7))];
    let allowed = if choices.of(12) == 11 {
        BTreeMap::new()
    } else {
        BTreeMap::from([(NAMESPACE.to_owned(), Mode::Act)])
    };
    let demand = Demand { at: Level::Alert, within: Duration::from_secs(1_800) };
    let proof = (choices.of(3) == 2).then_some(demand);
    let rate = Rate { count: 4, per: Duration::from_secs(3_600) };
    let policy = Arc::new(Policy { ceiling, namespaces: allowed, nodes: Mode::Off, rate, proof });
    let runbooks =
        [Arc::new(runbook("pool", modes[0], 2, expects)), Arc::new(runbook("memory", modes[1], 1, false))];
    let begin = Timestamp::from_second(1_795_377_000).unwrap();
    let mut world = World {
        choices,
        now: begin,
        policy,
        pause: None,
        attempts: Vec::new(),
        in_flight: Vec::new(),
        proofs: Vec::new(),
        writes: Vec::new(),
        cases: Vec::new(),
    };
    let begun = |number: u32| (by_hand && number >= 2).then(run);
    for number in 0..5u32 {
        let runbook = Arc::clone(&runbooks[number as usize % 2]);
        let opened = Opened {
            runbook: runbook.name.clone(),
            hash: runbook.hash.clone(),
            scope: Labels::default(),
            deadline: after(world.now, runbook.deadline),
            alerts: if begun(number).is_some() { Vec::new() } else { vec![alert(0)] },
            more: 0,
            truncated: 0,
            restore: None,
            run: begun(number),
            drill: (drills && number % 2 == 1).then(|| "d".repeat(32)),
        };
        let journal = vec![Recorded { seq: 1, at: world.now, event: Event::Opened(opened) }];
        world.cases.push(Case {
            id: IncidentId::new(u64::from(number), number),
            runbook,
            journal,
            live: None,
        });
        world.tick(5);
    }
    if restores {
        let original = &runbooks[0];
        let step = original.steps.iter().position(|step| matches!(step.kind, StepKind::Remediate { .. }));
        let step = step.unwrap();
        let leg = Leg { target: restored(), each: BTreeMap::new(), figure: 0.0 };
        let of = world.cases[0].id.clone();
        let opened = Opened {
            runbook: RESTORE.to_owned(),
            hash: original.hash.clone(),
            scope: Labels::default(),
            deadline: after(world.now, Duration::from_secs(1_800)),
            alerts: vec![alert(0)],
            more: 0,
            truncated: 0,
            restore: Some(Restore { object: restored(), of, runbook: original.name.clone(), leg, step }),
            run: by_hand.then(run),
            drill: None,
        };
        let journal = vec![Recorded { seq: 1, at: world.now, event: Event::Opened(opened) }];
        let runbook = Arc::new(restore::runbook(original, step).unwrap());
        world.cases.push(Case { id: IncidentId::new(9, 9), runbook, journal, live: None });
    }
    let number = u8::try_from(world.cases.len()).unwrap();
    while world.choices.more() {
        let index = usize::from(world.choices.of(number));
        world.turn(index);
        world.outside(index);
        world.tick(1);
    }
    // From wherever they are, all come to an end in a world that is kind, or at their deadlines.
    world.pause = None;
    for _ in 0..1_000 {
        let open: Vec<usize> =
            (0..world.cases.len()).filter(|index| world.live(*index).closed().is_none()).collect();
        if open.is_empty() {
            break;
        }
        for index in open {
            world.turn(index);
        }
        world.tick(1);
    }
    for case in &world.cases {
        check_the_end(&world, case);
    }
    assert!(world.in_flight.is_empty(), "an effect is forgotten: {:?}", world.in_flight);
}

/// How many histories; the whole check asks for many more.
fn cases() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "the whole check asks for more cases")]
    let asked = std::env::var("RUNBOOKD_CASES").ok();
    asked.map_or(2_000, |cases| cases.parse().expect("RUNBOOKD_CASES is a number"))
}

#[test]
fn every_history_keeps_the_promises() {
    const THREADS: u32 = 2;
    let config = ProptestConfig {
        cases: cases().div_ceil(THREADS),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = || {
        let flag = any::<bool>;
        let bytes = (prop::collection::vec(any::<u8>(), 0..600), flag(), flag(), flag(), flag());
        TestRunner::new(config.clone()).run(&bytes, |(bytes, expects, restores, by_hand, drills)| {
            history_with(&bytes, expects, restores, by_hand, drills);
            Ok(())
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
        for thread in threads {
            thread
                .join()
                .expect("a history fails inside of its runner")
                .unwrap_or_else(|error| panic!("{error}"));
        }
    });
}

#[test]
fn a_kind_world_recovers_on_the_first_step() {
    history(&[], false);
    history(&[], true);
    history_with(&[], false, true, false, false);
    history_with(&[], true, true, true, true);
}

/// An answer that took long is as old as what was looked at, not as young as its arrival.
#[test]
fn evidence_is_as_old_as_the_window_that_was_looked_at() {
    let asked = Timestamp::from_second(1_795_377_000).unwrap();
    let answered = after(asked, Duration::from_secs(40));
    let opened = Opened {
        runbook: "pool".to_owned(),
        hash: Hash("pool".to_owned()),
        scope: Labels::default(),
        deadline: after(asked, Duration::from_secs(3_600)),
        alerts: vec![alert(0)],
        more: 0,
        truncated: 0,
        restore: None,
        run: None,
        drill: None,
    };
    let window = Some((before(asked, Duration::from_secs(300)), asked));
    let evidence = Evidence {
        verdict: Verdict::Holds,
        window,
        ..Evidence::unknown("pool", String::new(), String::new())
    };
    let confirmed = Event::Confirmed { found: Found::Holds, answers: vec![evidence], links: Vec::new() };
    let journal = [
        Recorded { seq: 1, at: asked, event: Event::Opened(opened) },
        Recorded { seq: 2, at: answered, event: confirmed },
    ];
    assert_eq!(replay(&IncidentId::new(1, 1), &journal).held_at, Some(asked));
}

/// Histories that once broke a promise.
#[test]
fn what_was_found_once_stays_mended() {
    history(
        &[
            63, 0, 21, 0, 111, 230, 0, 5, 45, 0, 66, 12, 232, 126, 40, 36, 8, 0, 52, 3, 99, 40, 181, 0, 5, 0,
            221, 201, 224, 0, 0, 32, 0, 107, 0, 0, 0, 153, 15, 10, 196, 42, 40, 111, 0, 215, 182, 0, 5, 0,
            27, 0, 136, 0, 72, 40, 0, 25, 40, 72, 66, 71, 72, 0, 19, 0, 5, 0, 118, 86, 94, 14, 0, 0, 0, 10,
            0, 234, 0, 109, 0, 27, 0, 68, 63, 12, 153, 0, 0, 40, 156, 152, 0, 191, 40, 73, 40, 106, 0, 231,
            16, 12, 111, 0, 26, 30, 26, 46, 8, 0, 26, 11, 0, 5, 0, 120, 0, 0, 0, 0, 0,
        ],
        false,
    );
    // What was expected of one target did not come, and then the alert resolved.
    history(
        &[
            7, 0, 5, 0, 131, 48, 52, 228, 2, 0, 2, 0, 76, 0, 0, 12, 0, 0, 22, 12, 108, 12, 133, 0, 0, 122,
            68, 0, 26, 0, 0, 0, 78, 247, 28, 183, 0, 0, 0, 26, 24, 1, 0, 0, 23, 1, 11, 1, 16, 46, 0, 192, 10,
            0, 0, 0, 0, 0, 0, 0, 0, 26, 0, 0, 0, 0, 26, 24, 0, 193, 5, 105, 29, 12, 255, 0, 2, 28, 52, 117,
            12, 40, 12, 24, 121, 40, 126, 40, 5, 216, 120, 0, 44, 26, 235, 0, 144, 0, 12, 5, 48, 12, 5, 0,
            55, 84, 0, 105, 175, 75, 20, 0, 170, 0, 25, 81, 45, 35, 29, 23, 0, 51, 0, 0, 0, 15, 0,
        ],
        true,
    );
    history(
        &[
            54, 0, 0, 0, 224, 9, 14, 0, 19, 26, 78, 48, 51, 14, 0, 24, 0, 64, 0, 148, 0, 86, 0, 190, 198, 87,
            0, 106, 157, 0, 128, 107, 221, 40, 234, 224, 0, 0, 18, 0, 239, 0, 28, 159, 26, 77, 0, 221, 5,
            144, 9, 0, 54, 0, 0, 0, 8, 64, 0, 0, 0, 214, 158, 9, 239, 61, 0, 0, 0, 0, 0, 0, 0, 1, 53, 67, 0,
            179, 0, 143, 224, 0, 54, 84, 40, 4, 207, 5, 114, 45, 218,
        ],
        true,
    );
}
