//! Plays a scenario, with the real daemon in front of it: what is well, the fault, the way of every incident, and what is left of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::follow::Follower;
use super::place::{Break, Place};
use crate::chaos::report::{Answered, Doer, News, Report};
use crate::chaos::scenario::{Afterwards, Health, Scenario, Seen, SeenIncident};
use crate::cli::teller::Teller;
use crate::clock;
use crate::incident::Outcome;
use crate::incident::evidence::{Evidence, Verdict};
use crate::incident::proof::Times;
use crate::probe::Eyes;

/// A busy machine gets so much more than the scenario allows: without it everything would have to be on time to a fraction of a second.
const GRACE: Duration = Duration::from_secs(45);
/// For so long, at the pace of reality, nothing may happen any more before a run is over; and all must be well before it counts as healed without an
/// alert: longer than any of the alerts waits before it fires.
const QUIET: Duration = Duration::from_mins(4);
/// For so long, at the pace of reality, the steady state must hold.
const HOLD: Duration = Duration::from_mins(1);

/// One run.
pub(super) struct Play<'p, P> {
    pub(super) scenario: &'p Scenario,
    pub(super) place: &'p P,
    pub(super) teller: &'p Teller,
    pub(super) eyes: &'p Eyes,
    pub(super) follower: Follower<'p>,
}

/// How the wait for the alert ended.
enum Alerted {
    /// All was well before one could fire.
    Healed,
    /// None fired in time.
    Not,
}

impl<P: Place> Play<'_, P> {
    /// The hash of each runbook's text, as the daemon that is played with has it.
    pub(super) async fn texts(&self) -> anyhow::Result<BTreeMap<String, String>> {
        self.follower.texts().await
    }

    /// Plays it to its end, whatever that is, and writes it down.
    pub(super) async fn fill(&self, report: &mut Report) -> anyhow::Result<()> {
        let played = self.played(report).await;
        if let Err(error) = played {
            // What was broken and not seen to its end has failed.
            report.aborted = Some(format!("the run broke off: {error:#}"));
        }
        report.ended_at = clock::now();
        report.moments = self.follower.moments();
        if !report.incidents.is_empty() {
            self.place.tell(self.teller).await?;
        }
        Ok(())
    }

    async fn played(&self, report: &mut Report) -> anyhow::Result<()> {
        if let Some(why) = self.unsteady().await? {
            self.follower.say(Doer::System, News::Bad, "not steady", &why)?;
            report.aborted =
                Some(format!("nothing was broken, because the steady state does not hold: {why}"));
            return Ok(());
        }
        self.follower.say(Doer::System, News::Good, "steady", "every check of the steady state holds")?;
        let seen = self.broken(report).await?;
        report.checks = self.scenario.judge(&seen);
        let detect = self.detected(&seen);
        report.incidents = seen
            .incidents
            .iter()
            .map(|incident| Answered {
                id: incident.id.clone(),
                runbook: incident.runbook.clone(),
                outcome: incident.outcome,
                times: times(incident, detect),
            })
            .collect();
        let main = self.scenario.expect.incidents.first().and_then(|wanted| {
            let of_it = |incident: &&Answered| {
                incident.runbook == wanted.runbook
                    && incident.outcome.is_some_and(|outcome| wanted.outcomes.contains(&outcome))
            };
            report.incidents.iter().find(of_it)
        });
        report.times = main.map_or(Times { detect, ..Times::default() }, |incident| incident.times);
        Ok(())
    }

    /// How long the detection took; none where the fault is the alert itself, and nothing had to be detected.
    fn detected(&self, seen: &Seen) -> Option<Duration> {
        let wanted = self.scenario.expect.alert.as_ref()?;
        let made = self.place.breaks().iter().filter_map(|broken| broken.fires.as_ref());
        let is_made = made.into_iter().any(|(name, _)| wanted.one_of.contains(name));
        seen.alert.as_ref().filter(|_| !is_made).map(|(_, after)| *after)
    }

    /// Breaks it, and watches what comes of it.
    async fn broken(&self, report: &mut Report) -> anyhow::Result<Seen> {
        let (scenario, place, follower) = (self.scenario, self.place, &self.follower);
        let breaks = place.breaks();
        let fault_at = clock::now();
        let all: Vec<&str> = breaks.iter().map(|broken| broken.says.as_str()).collect();
        report.broke = all.join(", and ");
        let alert = RefCell::new(None);
        let made = Cell::new(0);
        let expected = &scenario.expect.incidents;
        let longest = expected.iter().map(|incident| incident.within).max().unwrap_or_default();
        let making = async {
            for (number, Break { wait, says, .. }) in breaks.iter().enumerate() {
                tokio::time::sleep(self.real(*wait)).await;
                let broken = |says: &str| follower.say(Doer::Inject, News::Bad, "broken", says);
                if place.can_refuse() {
                    match place.make(number, self.teller).await {
                        Ok(()) => broken(says)?,
                        Err(error) if !place.may_have_made(number) => return Err(error),
                        Err(error) => {
                            broken(&format!("perhaps: {says}"))?;
                            return Err(error);
                        }
                    }
                } else {
                    broken(says)?;
                    place.make(number, self.teller).await?;
                }
                made.set(made.get() + 1);
            }
            anyhow::Ok(())
        };
        let answering = async {
            tokio::try_join!(making, follower.until(fault_at, || follower.all_ended(expected)))?;
            anyhow::Ok(())
        };
        let all_made = || made.get() == breaks.len();
        let watching = async {
            tokio::select! {
                ended = answering => ended.map(|()| None),
                alerted = self.alert(fault_at, &alert, all_made) => alerted.map(Some),
            }
        };
        let making =
            |broken: &Break| broken.wait + broken.fires.as_ref().map_or(Duration::ZERO, |(_, takes)| *takes);
        let takes = longest + breaks.iter().map(making).sum::<Duration>();
        let alerted = match tokio::time::timeout(self.real(takes) + GRACE, watching).await {
            Ok(ended) => ended?,
            Err(_) => None,
        };
        for (number, broken) in breaks.iter().enumerate().filter(|(_, broken)| broken.until_closed) {
            place.end(number).await?;
            follower.say(Doer::Inject, News::Good, "ended", &format!("no longer: {}", broken.says))?;
        }
        let main = expected.first().map_or("", |wanted| wanted.runbook.as_str());
        let put_back = || follower.put_back(main, fault_at);
        if let Some(stays) = scenario.expect.put_back_after.filter(|_| place.changes(follower) > 0) {
            let restored = || put_back().is_some_and(|put_back| put_back.outcome.is_some());
            let putting = follower.until(fault_at, restored);
            if let Ok(ended) = tokio::time::timeout(self.real(stays + longest) + GRACE, putting).await {
                ended?;
            }
        }
        // Whatever else has answered comes to its end, too, and what is done once more is still seen.
        let rest = follower.until_quiet(fault_at, self.real(QUIET));
        if let Ok(ended) = tokio::time::timeout(self.real(QUIET) * 5 + GRACE, rest).await {
            ended?;
        }
        let health = self.health().await;
        if health == Health::Well {
            follower.say(
                Doer::System,
                News::Good,
                "steady",
                "every check of the steady state holds again",
            )?;
        }
        Ok(Seen {
            alert: alert.into_inner(),
            healed_first: matches!(alerted, Some(Alerted::Healed)),
            untold: place.untold(follower).await,
            incidents: follower.incidents(),
            put_back: put_back(),
            changes: place.changes(follower),
            health,
            not_made: breaks[made.get()..].iter().map(|broken| broken.says.clone()).collect(),
            grace: GRACE.saturating_mul(place.scale()),
        })
    }

    fn real(&self, duration: Duration) -> Duration {
        self.place.real(duration)
    }

    /// What does not hold, once it is certain that it will not in time; none: all of it holds.
    async fn unsteady(&self) -> anyhow::Result<Option<String>> {
        let within = self.real(self.scenario.steady_within).max(GRACE);
        let begun = Instant::now();
        loop {
            let why = match self.asked().await {
                Health::Unwell(why) | Health::Unknown(why) => why,
                Health::Well => match self.fires().await.as_deref() {
                    Ok([]) => return Ok(None),
                    Err(error) => format!("nobody can say what fires: {error:#}"),
                    Ok(names) => format!("{} fires already", names.join(", ")),
                },
            };
            if begun.elapsed() >= within {
                return Ok(Some(why));
            }
            tokio::time::sleep(self.place.ask_every()).await;
        }
    }

    /// How it is in the end. What must hold has its time until it does, and then holds for a while; what must not hold is looked for until it is seen.
    async fn health(&self) -> Health {
        let within = match self.scenario.expect.afterwards {
            Afterwards::Steady => self.real(self.scenario.steady_within).max(GRACE),
            Afterwards::Broken => GRACE,
            Afterwards::Either => Duration::ZERO,
        };
        let (begun, mut well_since) = (Instant::now(), None);
        loop {
            let health = self.asked().await;
            let is_late = begun.elapsed() >= within;
            match (self.scenario.expect.afterwards, &health) {
                (Afterwards::Broken, Health::Unwell(_)) | (Afterwards::Either, _) => return health,
                (Afterwards::Steady, Health::Well) => {
                    if well_since.get_or_insert_with(Instant::now).elapsed() >= self.real(HOLD) {
                        return health;
                    }
                }
                _ if is_late => return health,
                _ => well_since = None,
            }
            tokio::time::sleep(self.place.ask_every()).await;
        }
    }

    /// The checks of the steady state, with what was seen of those that do not hold.
    async fn asked(&self) -> Health {
        let answers = self.eyes.verification(&self.scenario.steady, self.place.scale()).await;
        let words = |answers: &mut dyn Iterator<Item = &Evidence>| -> Vec<String> {
            answers.map(|Evidence { probe, saw, .. }| format!("{probe}: {saw}")).collect()
        };
        let fails = words(&mut answers.iter().filter(|answer| answer.verdict == Verdict::Fails));
        let open = words(&mut answers.iter().filter(|answer| answer.verdict != Verdict::Holds));
        match (fails.is_empty(), open.is_empty()) {
            (false, _) => Health::Unwell(fails.join("; ")),
            (true, false) => Health::Unknown(open.join("; ")),
            (true, true) => Health::Well,
        }
    }

    /// The expected alerts that fire.
    async fn fires(&self) -> anyhow::Result<Vec<String>> {
        let Some(wanted) = &self.scenario.expect.alert else { return Ok(Vec::new()) };
        let names = self.place.firing().await?.into_iter();
        Ok(names.filter(|name| wanted.one_of.contains(name)).collect())
    }

    /// Waits for the alert and notes it; comes back only when none will fire. Its time begins when all is broken.
    async fn alert(
        &self,
        fault_at: Timestamp,
        seen: &RefCell<Option<(String, Duration)>>,
        all_made: impl Fn() -> bool,
    ) -> anyhow::Result<Alerted> {
        let Some(wanted) = &self.scenario.expect.alert else { return pending().await };
        let limit = self.real(wanted.within) + GRACE;
        let (mut begun, mut well_since) = (Instant::now(), None);
        loop {
            let fires = self.fires().await;
            if fires.is_err() {
                // What nobody can see has neither fired nor healed.
                well_since = None;
            }
            let can_say = fires.is_ok();
            if let Some(name) = fires.unwrap_or_default().into_iter().next() {
                let now = clock::now();
                self.follower.say(Doer::System, News::Bad, "fired", &name)?;
                *seen.borrow_mut() = Some((name, self.follower.after(fault_at, now)));
                return pending().await;
            }
            if !all_made() {
                begun = Instant::now();
            } else if begun.elapsed() >= limit {
                let text = format!("none of {} fired", wanted.one_of.join(", "));
                self.follower.say(Doer::System, News::Bad, "not fired", &text)?;
                return Ok(Alerted::Not);
            } else if wanted.may_heal_first && can_say {
                if self.asked().await != Health::Well {
                    well_since = None;
                } else if well_since.get_or_insert_with(Instant::now).elapsed() >= self.real(QUIET) {
                    let text = "all is well again, and no alert fired";
                    self.follower.say(Doer::System, News::Good, "healed", text)?;
                    return Ok(Alerted::Healed);
                }
            }
            self.place.changed().await;
        }
    }
}

/// What an incident took. That it was closed is a recovery only when it says so.
fn times(incident: &SeenIncident, detect: Option<Duration>) -> Times {
    let is_well = matches!(incident.outcome, Some(Outcome::Recovered | Outcome::SelfHealed));
    Times {
        detect,
        confirm: incident.confirmed,
        act: incident.acted,
        recover: incident.closed.filter(|_| is_well),
    }
}
