//! Plays a scenario in the sandbox, with the real daemon in front of it: what is well, the fault, the way of every incident, and what is left of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::api::wire::{IncidentView, Incidents, Proofs};
use crate::chaos::breaking;
use crate::chaos::report::{Answered, Doer, FORMAT, Moment, News, Report};
use crate::chaos::scenario::{Afterwards, ExpectedIncident, Lasts, PutBack, Scenario, Seen, SeenIncident};
use crate::chaos::stage::Stage;
use crate::cli::client::{Client, Connection};
use crate::cli::paint::Tone;
use crate::cli::teller::{self, Teller};
use crate::cli::timeline;
use crate::clock;
use crate::config::Config;
use crate::incident::event::{Event, Found};
use crate::incident::evidence::{Evidence, Verdict};
use crate::incident::proof::{Level, Times};
use crate::incident::restore::RESTORE;
use crate::incident::{IncidentId, Outcome, Recorded};
use crate::probe::Eyes;
use crate::sandbox::World;

/// A busy machine gets so much more than the scenario allows.
const GRACE: Duration = Duration::from_secs(45);
/// For so long, at the pace of reality, all must be well before it counts as healed without an alert: longer than any of the alerts waits before it
/// fires.
const QUIET: Duration = Duration::from_mins(4);
/// So often is asked whether all is well.
const ASK: Duration = Duration::from_millis(200);
/// As many incidents are followed at once.
const MOST: u32 = 200;
/// Slack is told behind the journal.
const TOLD: Duration = Duration::from_secs(15);

/// One run.
pub(super) struct Play<'p> {
    scenario: &'p Scenario,
    stage: &'p Stage,
    world: World,
    scale: u32,
    teller: &'p Teller,
    eyes: Eyes,
    client: Client,
    moments: RefCell<Vec<Moment>>,
    followed: RefCell<BTreeMap<IncidentId, Followed>>,
    change: RefCell<Option<u64>>,
    /// What the lines on the terminal count from.
    began: Timestamp,
}

/// An incident, as far as it was read.
struct Followed {
    after: u64,
    last: Option<Event>,
    opened_at: Timestamp,
    seen: SeenIncident,
}

/// How the wait for the alert ended.
enum Alerted {
    /// All was well before one could fire.
    Healed,
    /// None fired in time.
    Not,
}

impl<'p> Play<'p> {
    /// Before a daemon that runs.
    pub(super) async fn new(
        scenario: &'p Scenario,
        stage: &'p Stage,
        scale: u32,
        teller: &'p Teller,
    ) -> anyhow::Result<Self> {
        let config = Config::load(Some(&stage.config())).map_err(|faults| anyhow::anyhow!("{faults}"))?;
        let kubernetes = crate::clients::kubernetes::Kubernetes::connect(&config.kubernetes).await?;
        let aws = crate::cli::serve::aws(&config)?;
        let certificates = aws.as_ref().map(crate::cli::serve::certificates);
        let eyes = crate::cli::serve::eyes(&config, kubernetes, certificates)?;
        let connection = Connection { url: stage.url(), token_file: Some(stage.api_token_file()) };
        Ok(Self {
            scenario,
            stage,
            world: stage.world(),
            scale,
            teller,
            eyes,
            client: Client::new(&connection)?,
            moments: RefCell::default(),
            followed: RefCell::default(),
            change: RefCell::default(),
            began: teller.began(),
        })
    }

    /// Plays it to its end, whatever that is.
    pub(super) async fn report(&self, run: &str) -> anyhow::Result<Report> {
        let began_at = clock::now();
        let mut report = Report {
            format: FORMAT,
            run: run.to_owned(),
            scenario: self.scenario.name.clone(),
            summary: self.scenario.summary.clone(),
            at: Level::Sandbox,
            place: "a sandbox on this machine".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time_scale: self.scale,
            began_at,
            ended_at: began_at,
            broke: String::new(),
            times: Times::default(),
            moments: Vec::new(),
            incidents: Vec::new(),
            checks: Vec::new(),
            aborted: None,
            left_behind: Vec::new(),
        };
        match self.unsteady().await {
            Some(why) => {
                self.say(Doer::System, News::Bad, "not steady", &why)?;
                report.aborted =
                    Some(format!("nothing was broken, because the steady state does not hold: {why}"));
            }
            None => {
                self.say(Doer::System, News::Good, "steady", "every check of the steady state holds")?;
                let seen = self.broken(&mut report).await?;
                report.checks = self.scenario.judge(&seen);
                report.incidents = seen
                    .incidents
                    .iter()
                    .map(|incident| Answered {
                        id: incident.id.clone(),
                        runbook: incident.runbook.clone(),
                        outcome: incident.outcome,
                    })
                    .collect();
            }
        }
        report.ended_at = clock::now();
        report.moments = self.moments.take();
        report.moments.sort_by_key(|moment| moment.at);
        Ok(report)
    }

    /// Breaks it, and watches what comes of it.
    async fn broken(&self, report: &mut Report) -> anyhow::Result<Seen> {
        let (scenario, world) = (self.scenario, &self.world);
        let writes = world.writes().len();
        let fault_at = clock::now();
        report.broke = scenario.broke();
        let alert = RefCell::new(None);
        let expected = &scenario.expect.incidents;
        let longest = expected.iter().map(|incident| incident.within).max().unwrap_or_default();
        let making = async {
            for broken in &scenario.faults {
                tokio::time::sleep(self.real(broken.wait)).await;
                self.say(Doer::Inject, News::Bad, "broken", &broken.fault.to_string())?;
                breaking::make(&broken.fault, world).await?;
            }
            anyhow::Ok(())
        };
        let answering = async {
            tokio::try_join!(making, self.follow(fault_at, || self.all_ended(expected)))?;
            anyhow::Ok(())
        };
        let watching = async {
            tokio::select! {
                ended = answering => ended.map(|()| None),
                alerted = self.alert(fault_at, &alert) => alerted.map(Some),
            }
        };
        let waited = tokio::time::timeout(self.real(longest) + GRACE, watching).await;
        let alerted = match waited {
            Ok(ended) => ended?,
            Err(_) => None,
        };
        let healed_first = matches!(alerted, Some(Alerted::Healed));
        for broken in scenario.faults.iter().filter(|broken| broken.lasts == Lasts::UntilClosed) {
            breaking::end(&broken.fault, world);
            self.say(Doer::Inject, News::Good, "ended", &format!("no longer: {}", broken.fault))?;
        }
        if let Some(stays) = scenario.expect.put_back_after.filter(|_| world.writes().len() > writes) {
            let put_back =
                self.follow(fault_at, || self.restored().is_some_and(|(_, outcome)| outcome.is_some()));
            if let Ok(ended) = tokio::time::timeout(self.real(stays + longest) + GRACE, put_back).await {
                ended?;
            }
        }
        // Whatever else has answered comes to its end, too.
        let rest = self.follow(fault_at, || {
            self.followed.borrow().values().all(|followed| followed.seen.outcome.is_some())
        });
        if let Ok(ended) = tokio::time::timeout(self.real(QUIET) + Duration::from_secs(5), rest).await {
            ended?;
        }
        let unwell = self.unwell().await;
        if unwell.is_none() {
            self.say(Doer::System, News::Good, "steady", "every check of the steady state holds again")?;
        }
        let untold = self.untold().await;
        let incidents = self.incidents();
        let put_back = self.restored().map(|(after, outcome)| PutBack { after, outcome });
        let alert = alert.into_inner();
        let main = expected.first().and_then(|wanted| {
            incidents.iter().find(|incident| {
                incident.runbook == wanted.runbook && incident.outcome == Some(wanted.outcome)
            })
        });
        report.times = Times {
            detect: alert.as_ref().map(|(_, after): &(String, Duration)| *after),
            confirm: main.and_then(|incident| incident.confirmed),
            act: main.and_then(|incident| incident.acted),
            recover: main.and_then(|incident| incident.closed),
        };
        let changes = world.writes().len() - writes;
        Ok(Seen { alert, healed_first, incidents, put_back, changes, unwell, untold })
    }

    /// A moment of the report, which people read while it happens.
    fn say(&self, by: Doer, tone: News, word: &str, text: &str) -> anyhow::Result<()> {
        self.note(clock::now(), by, tone, word, text);
        let tone = match tone {
            News::Good => Tone::Good,
            News::Bad => Tone::Bad,
            News::Plain => Tone::Wait,
        };
        self.teller.say(tone, word, text)
    }

    fn note(&self, at: Timestamp, by: Doer, tone: News, word: &str, text: &str) {
        let (word, text) = (word.to_owned(), text.to_owned());
        self.moments.borrow_mut().push(Moment { at, by, tone, word, text });
    }

    fn real(&self, duration: Duration) -> Duration {
        self.world.real(duration)
    }

    /// How long after the fault, at the pace of reality.
    fn after(&self, fault_at: Timestamp, at: Timestamp) -> Duration {
        clock::between(fault_at, at).saturating_mul(self.scale)
    }

    /// What does not hold, once it is certain that it will not in time; none: all of it holds.
    async fn unsteady(&self) -> Option<String> {
        let within = self.real(self.scenario.steady_within).max(GRACE);
        let begun = Instant::now();
        loop {
            let why = match self.not_holding().await {
                Some(why) => why,
                None => match self.fires().as_slice() {
                    [] => return None,
                    names => format!("{} fires already", names.join(", ")),
                },
            };
            if begun.elapsed() >= within {
                return Some(why);
            }
            tokio::time::sleep(ASK).await;
        }
    }

    /// Whether it is well in the end: what must be has its time, and what must not be is looked at once.
    async fn unwell(&self) -> Option<String> {
        let within = match self.scenario.expect.afterwards {
            Afterwards::Steady => self.real(self.scenario.steady_within).max(GRACE),
            Afterwards::Broken | Afterwards::Either => Duration::ZERO,
        };
        let begun = Instant::now();
        loop {
            match self.not_holding().await {
                Some(why) if begun.elapsed() >= within => return Some(why),
                Some(_) => tokio::time::sleep(ASK).await,
                None => return None,
            }
        }
    }

    /// The first checks that do not hold, with what was seen.
    async fn not_holding(&self) -> Option<String> {
        let answers = self.eyes.verification(&self.scenario.steady, self.scale).await;
        let wrong = answers.iter().filter(|answer| answer.verdict != Verdict::Holds);
        let words: Vec<String> = wrong.map(|Evidence { probe, saw, .. }| format!("{probe}: {saw}")).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The expected alerts that fire.
    fn fires(&self) -> Vec<String> {
        let Some(wanted) = &self.scenario.expect.alert else { return Vec::new() };
        let names = self.world.firing().into_iter().filter_map(|labels| labels.get("alertname").cloned());
        names.filter(|name| wanted.one_of.contains(name)).collect()
    }

    /// Waits for the alert and notes it; comes back only when none will fire.
    async fn alert(
        &self,
        fault_at: Timestamp,
        seen: &RefCell<Option<(String, Duration)>>,
    ) -> anyhow::Result<Alerted> {
        let Some(wanted) = &self.scenario.expect.alert else { return pending().await };
        let limit = self.real(wanted.within) + GRACE;
        let (begun, mut well_since) = (Instant::now(), None);
        loop {
            if let Some(name) = self.fires().into_iter().next() {
                let now = clock::now();
                self.say(Doer::System, News::Bad, "fired", &name)?;
                *seen.borrow_mut() = Some((name, self.after(fault_at, now)));
                return pending().await;
            }
            if begun.elapsed() >= limit {
                self.say(
                    Doer::System,
                    News::Bad,
                    "not fired",
                    &format!("none of {} fired", wanted.one_of.join(", ")),
                )?;
                return Ok(Alerted::Not);
            }
            if wanted.may_heal_first {
                if self.not_holding().await.is_some() {
                    well_since = None;
                } else if well_since.get_or_insert_with(Instant::now).elapsed() >= self.real(QUIET) {
                    self.say(Doer::System, News::Good, "healed", "all is well again, and no alert fired")?;
                    return Ok(Alerted::Healed);
                }
            }
            tokio::select! {
                () = self.world.changed() => {}
                () = tokio::time::sleep(ASK) => {}
            }
        }
    }

    /// Follows every incident, and tells every step, until it is enough.
    async fn follow(&self, fault_at: Timestamp, enough: impl Fn() -> bool) -> anyhow::Result<()> {
        loop {
            let recent: Incidents = self.client.incidents(false, MOST).await?;
            // The oldest first, as they happened.
            for listed in recent.incidents.iter().rev() {
                let (id, seq) = (&listed.summary.id, listed.summary.seq);
                let after = self.followed.borrow().get(id).map_or(0, |followed| followed.after);
                if seq > after {
                    let view = self.client.events_since(id, after).await?;
                    self.read(&view, fault_at)?;
                }
            }
            if enough() {
                return Ok(());
            }
            let since = *self.change.borrow();
            let open = self.client.next_change(since).await?;
            *self.change.borrow_mut() = Some(open.change);
        }
    }

    /// Takes in what is new of an incident.
    fn read(&self, view: &IncidentView, fault_at: Timestamp) -> anyhow::Result<()> {
        let mut all = self.followed.borrow_mut();
        let summary = &view.summary;
        let followed = all.entry(summary.id.clone()).or_insert_with(|| Followed {
            after: 0,
            last: None,
            opened_at: summary.opened_at,
            seen: SeenIncident::new(summary.id.clone(), summary.runbook.clone()),
        });
        for recorded in &view.events {
            followed.after = followed.after.max(recorded.seq);
            self.take(followed, recorded, fault_at);
            // An alert that joins beside the story is in the incident's own timeline, and so is every answer.
            if matches!(recorded.event, Event::AlertsJoined { .. }) {
                continue;
            }
            if !timeline::repeats(followed.last.as_ref(), &recorded.event) {
                let (tone, word, text) = timeline::told(&recorded.event);
                let tone = match tone {
                    Tone::Good => News::Good,
                    Tone::Bad => News::Bad,
                    _ => News::Plain,
                };
                let text = format!("{}: {text}", summary.runbook);
                self.note(recorded.at, Doer::Runbookd, tone, word, &text);
                self.teller.out(timeline::line(recorded, self.began, self.teller.paint))?;
            }
            followed.last = Some(recorded.event.clone());
        }
        if let (Some(outcome), Some(at)) = (summary.outcome, summary.closed_at) {
            followed.seen.outcome = Some(outcome);
            followed.seen.why.clone_from(&view.why);
            followed.seen.closed = Some(self.after(fault_at, at));
        }
        Ok(())
    }

    fn take(&self, followed: &mut Followed, recorded: &Recorded, fault_at: Timestamp) {
        let after = self.after(fault_at, recorded.at);
        let seen = &mut followed.seen;
        match &recorded.event {
            Event::Confirmed { found: Found::Holds, .. } => {
                seen.confirmed.get_or_insert(after);
            }
            Event::EffectIntended { plan, .. } => {
                seen.acted.get_or_insert(after);
                seen.actions.push(plan.action);
            }
            Event::Refused { refusals, .. } => seen.refused_by.extend(refusals.iter().map(|no| no.guard)),
            Event::StoodBack { runbook, .. } => {
                seen.stood_back_behind.insert(runbook.clone());
            }
            _ => {}
        }
    }

    /// Whether every expected incident has ended.
    fn all_ended(&self, expected: &[ExpectedIncident]) -> bool {
        let followed = self.followed.borrow();
        let ended = |runbook: &str| {
            let of_it = followed.values().filter(|followed| followed.seen.runbook == runbook);
            of_it.filter(|followed| followed.seen.outcome.is_some()).count()
        };
        expected.iter().all(|wanted| {
            let needed = expected.iter().filter(|other| other.runbook == wanted.runbook).count();
            ended(&wanted.runbook) >= needed
        })
    }

    /// How long after the first incident's beginning something was put back, and how that ended.
    fn restored(&self) -> Option<(Duration, Option<Outcome>)> {
        let followed = self.followed.borrow();
        let main = &self.scenario.expect.incidents.first()?.runbook;
        let changed = followed.values().find(|followed| &followed.seen.runbook == main)?;
        let restore = followed.values().find(|followed| followed.seen.runbook == RESTORE)?;
        Some((self.after(changed.opened_at, restore.opened_at), restore.seen.outcome))
    }

    /// The incidents in the order in which they were opened, without those that put something back.
    fn incidents(&self) -> Vec<SeenIncident> {
        let followed = self.followed.borrow();
        let mut all: Vec<&Followed> =
            followed.values().filter(|followed| followed.seen.runbook != RESTORE).collect();
        all.sort_by_key(|followed| followed.opened_at);
        all.into_iter().map(|followed| followed.seen.clone()).collect()
    }

    /// The closed incidents whose end stands in no thread of Slack.
    async fn untold(&self) -> Vec<IncidentId> {
        let closed: Vec<(IncidentId, Outcome)> = self
            .followed
            .borrow()
            .iter()
            .filter_map(|(id, followed)| Some((id.clone(), followed.seen.outcome?)))
            .collect();
        let untold = |world: &World| -> Vec<IncidentId> {
            let threads = world.slack_threads();
            let told = |id, outcome| threads.iter().any(|thread| teller::tells_the_end(thread, id, outcome));
            closed.iter().filter(|(id, outcome)| !told(id, *outcome)).map(|(id, _)| id.clone()).collect()
        };
        self.world.until(TOLD, |world| untold(world).is_empty()).await;
        untold(&self.world)
    }

    /// The hash of each runbook's text, as the daemon that was played with has it.
    pub(super) async fn texts(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let known: Proofs = self.client.proofs().await?;
        Ok(known.runbooks.into_iter().filter_map(|runbook| Some((runbook.runbook, runbook.text?))).collect())
    }

    /// What people read in Slack.
    pub(super) async fn slack(&self) -> anyhow::Result<()> {
        self.teller.slack(&self.world).await
    }

    /// The daemon's last words, for an error.
    pub(super) fn context<T>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        result.with_context(|| format!("the daemon's last words: {}", self.stage.last_words()))
    }
}
