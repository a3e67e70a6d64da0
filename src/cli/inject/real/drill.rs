//! One run at the real systems, as the place in which its scenario is played: it is registered with the daemon, each fault is announced there and noted on
//! its object before it is made, and in the end all of it is undone, whatever else has happened.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use super::super::follow::{Follower, Only};
use super::super::place::{Break, Place};
use super::Session;
use crate::alert::RUN_LABEL;
use crate::api::wire::{DrillView, DrillWanted, FaultField, FaultTold, FaultWanted};
use crate::chaos::real::{Bounds, Load, NotMade, Planned, Undone, Wanted};
use crate::chaos::scenario::{
    Afterwards, BrokenForReal, Expect, ExpectedIncident, Lasts, RealFault, Scenario, Synthetic,
};
use crate::chaos::synthetic::{Shot, Way};
use crate::cli::paint::Tone;
use crate::cli::run::new_key;
use crate::cli::teller::Teller;
use crate::clients::Reason;
use crate::clock;
use crate::incident::IncidentId;
use crate::incident::plan::{Kind, SetField, Target};
use crate::incident::proof::Level;

/// On top of all that a run may take, at the pace of reality: then it is over for the daemon, whoever has died.
const SPARE: Duration = Duration::from_mins(30);
/// The daemon takes no longer ones.
const LONGEST: Duration = Duration::from_hours(12);
/// What is undone is tried again: it is compared first, so a second time is harmless.
const UNDONE_IN: usize = 3;
/// So often it is looked for what was sent and not answered: longer than one request may take.
const LATE_IN: usize = 8;
const AGAIN: Duration = Duration::from_secs(2);

/// A fault that may have been made.
#[derive(Clone)]
struct Made {
    number: usize,
    planned: Planned,
    /// It is known that it was. Else a write can still come true that nobody has answered.
    surely: bool,
}

/// One run.
pub(in crate::cli::inject) struct Drill<'s> {
    session: &'s Session,
    /// As it is played there.
    scenario: Scenario,
    faults: &'s [BrokenForReal],
    synthetic: Option<Synthetic>,
    breaks: Vec<Break>,
    run: String,
    /// It may be known to the daemon.
    registered: Cell<bool>,
    until: Cell<Timestamp>,
    /// What may have been broken, in its order.
    planned: RefCell<Vec<Made>>,
    /// What may have been fired.
    shot: RefCell<Option<Shot>>,
}

impl<'s> Drill<'s> {
    pub(super) fn new(session: &'s Session, scenario: &'s Scenario) -> anyhow::Result<Self> {
        super::playable(scenario, session.level)?;
        let synthetic = scenario.synthetic.clone().filter(|_| session.level == Level::Alert);
        // The windows of the daemon are at its pace, and so are the lines that must lie in them.
        let synthetic = synthetic.map(|mut synthetic| {
            synthetic.lines.iter_mut().for_each(|lines| lines.over = session.real(lines.over));
            synthetic
        });
        let faults: &[BrokenForReal] = if session.level == Level::Fault { &scenario.real } else { &[] };
        let breaks = match &synthetic {
            Some(synthetic) => vec![fired(synthetic)],
            None => faults.iter().map(broken).collect(),
        };
        let expect = synthetic.as_ref().map_or_else(|| scenario.expect.clone(), expected);
        Ok(Self {
            session,
            scenario: Scenario { expect, ..scenario.clone() },
            faults,
            synthetic,
            breaks,
            run: new_key(),
            registered: Cell::new(false),
            until: Cell::new(clock::now()),
            planned: RefCell::default(),
            shot: RefCell::default(),
        })
    }

    pub(super) const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How long it may take, at the pace of reality.
    fn takes(&self) -> Duration {
        let Expect { incidents, put_back_after, .. } = &self.scenario.expect;
        let longest = incidents.iter().map(|incident| incident.within).max().unwrap_or_default();
        let waits: Duration = self.breaks.iter().map(|broken| broken.wait).sum();
        waits + 2 * (self.scenario.steady_within + longest) + put_back_after.unwrap_or_default() + SPARE
    }

    /// Tells the daemon of it: from then on it knows what belongs to it, and puts back what nobody else does.
    pub(super) async fn register(&self, teller: &Teller) -> anyhow::Result<Only> {
        let session = self.session;
        let lasts = self.session.real(self.takes()).max(Duration::from_mins(2)).min(LONGEST);
        let wanted = DrillWanted {
            run: self.run.clone(),
            scenario: self.scenario.name.clone(),
            at: session.level,
            by: session.by.clone(),
            lasts_seconds: lasts.as_secs(),
        };
        self.registered.set(true);
        let view: DrillView =
            session.client.say_once("/drills", &wanted).await.context("the daemon registers no drill")?;
        self.until.set(view.drill.until);
        session.eyes.tell_of(&view.drill);
        let until = view.drill.until.strftime("%H:%M UTC");
        teller.say(
            Tone::Plain,
            "registered",
            &format!("the daemon knows of drill {}, until {until} at the latest", self.run),
        )?;
        Ok(match session.level {
            Level::Alert => Only::MadeUp { run: self.run.clone() },
            _ => Only::Since {
                began_at: view.drill.began_at,
                run: self.run.clone(),
                namespace: session.ground.namespace.clone(),
            },
        })
    }

    /// What is planned for a fault now.
    pub(super) async fn plan(&self, number: usize) -> anyhow::Result<Planned> {
        let Some(broken) = self.faults.get(number) else { bail!("there is no fault {}", number + 1) };
        let wanted = wanted(&broken.fault, self.session)?;
        let bounds = Bounds { all: self.session.all_pods, ..Bounds::default() };
        Ok(self.session.ground.plan(&wanted, &bounds).await?)
    }

    async fn break_it(&self, number: usize, teller: &Teller) -> anyhow::Result<()> {
        let session = self.session;
        let planned = self.plan(number).await?;
        let announced = FaultWanted {
            says: planned.says.clone(),
            undo: planned.undo_says.clone(),
            object: planned.object.clone().unwrap_or_else(|| whole(&session.ground.namespace)),
            uid: planned.uid.clone(),
            fields: planned.fields.iter().filter_map(announced_field).collect(),
        };
        let path = format!("/drills/{}/faults", self.run);
        // Announced twice it is put back once.
        let told: FaultTold = session
            .client
            .say_once(&path, &announced)
            .await
            .context("the daemon does not take the fault into its ledger, so it was not made")?;
        teller.say(
            Tone::Plain,
            "announced",
            &format!("in the daemon's ledger as incident {}", told.incident),
        )?;
        let note =
            planned.note(&self.run, &self.scenario.name, &session.by, (clock::now(), self.until.get()));
        self.planned.borrow_mut().push(Made { number, planned: planned.clone(), surely: false });
        match session.ground.make(&planned, &note).await {
            Ok(made) => {
                self.planned.borrow_mut().last_mut().into_iter().for_each(|made| made.surely = true);
                teller.say(Tone::Act, "made", &made)
            }
            Err(error) => {
                // Nothing was written.
                if matches!(error, NotMade::Refused(_)) {
                    self.planned.borrow_mut().pop();
                }
                Err(error.into())
            }
        }
    }

    async fn undo(&self, made: &Made) -> Result<Undone, String> {
        let looks = if made.surely { UNDONE_IN } else { LATE_IN };
        let mut last = Err(String::new());
        for number in 0..looks {
            last =
                self.session.ground.undo(&made.planned, &self.run).await.map_err(|error| error.to_string());
            match &last {
                // What nobody has answered may come true a moment later.
                Ok(Undone::Nothing(_)) if !made.surely => {}
                Ok(_) => return last,
                Err(_) => {}
            }
            if number + 1 < looks {
                tokio::time::sleep(AGAIN).await;
            }
        }
        last
    }

    async fn cease_fire(&self) -> Result<(), String> {
        let (Some(way), Some(shot)) = (&self.session.way, self.shot.borrow().clone()) else { return Ok(()) };
        shot.end(way, clock::now()).await.map_err(|error| error.to_string())?;
        self.shot.replace(None);
        Ok(())
    }

    /// Undoes everything that may have been made, and ends it. What is left is said, with what to do.
    pub(in crate::cli::inject) async fn close(&self, teller: &Teller) -> Vec<String> {
        let mut left = Vec::new();
        let all: Vec<Made> = self.planned.borrow().iter().rev().cloned().collect();
        for made in &all {
            let planned = &made.planned;
            let word = match self.undo(made).await {
                Ok(Undone::Done(what)) => Some((Tone::Good, "undone", what)),
                // Somebody has changed it since: the daemon, which puts it back in its time, or a person. When its note is gone with that, nothing is left of us.
                Ok(Undone::LeftAlone(why)) => match self.session.ground.undo(planned, &self.run).await {
                    Ok(Undone::LeftAlone(_)) => {
                        left.push(format!("{}: {why}", planned.says));
                        None
                    }
                    _ => Some((Tone::Wait, "left alone", why)),
                },
                Ok(Undone::Nothing(_)) => None,
                Err(why) => {
                    left.push(format!(
                        "{}: {why}; `runbookd inject cleanup --target FILE` undoes it{}",
                        planned.says,
                        if planned.fields.is_empty() {
                            ""
                        } else {
                            ", and so does the daemon now that the drill is over"
                        }
                    ));
                    None
                }
            };
            if let Some((tone, word, text)) = word {
                // What is told to nobody is done all the same.
                let _ = teller.say(tone, word, &text);
            }
        }
        self.planned.borrow_mut().clear();
        if let Err(why) = self.cease_fire().await {
            left.push(format!(
                "the alert that was made up still fires ({why}); {}the daemon does nothing for it",
                match self.session.way {
                    Some(Way::Alertmanager(_)) => "it ends there by itself, and ",
                    _ => "",
                }
            ));
        }
        if self.registered.get() {
            let ended: Result<DrillView, _> = self
                .session
                .client
                .say_once(&format!("/drills/{}/end", self.run), &serde_json::json!({}))
                .await;
            match ended {
                Ok(_) => self.registered.set(false),
                // It was never taken.
                Err(crate::cli::client::Failed::Wrong(_)) => self.registered.set(false),
                Err(error) => left.push(format!(
                    "the daemon still has the drill for running ({error}); it is over by itself, and `runbookd inject cleanup --run {}` ends it",
                    self.run
                )),
            }
        }
        left
    }
}

impl Place for Drill<'_> {
    fn breaks(&self) -> &[Break] {
        &self.breaks
    }

    fn scale(&self) -> u32 {
        self.session.config.time_scale
    }

    fn ask_every(&self) -> Duration {
        self.session.real(Duration::from_secs(5)).max(Duration::from_millis(200))
    }

    async fn make(&self, number: usize, teller: &Teller) -> anyhow::Result<()> {
        let (Some(synthetic), Some(way)) = (&self.synthetic, &self.session.way) else {
            return self.break_it(number, teller).await;
        };
        let shot = Shot::new(synthetic, &self.run, clock::now());
        if !shot.streams.is_empty() {
            shot.push(&self.session.loki).await.context("the lines could not be pushed")?;
            let lines: usize = shot.streams.iter().map(|stream| stream.lines.len()).sum();
            teller.say(
                Tone::Act,
                "pushed",
                &format!("{lines} lines into Loki, with {RUN_LABEL}={}", self.run),
            )?;
        }
        self.shot.replace(Some(shot.clone()));
        let Err(error) = shot.fire(way).await else { return Ok(()) };
        // What was never taken does not fire, and has no end.
        if error.reason.surely_without_effect() {
            self.shot.replace(None);
        }
        let help = match (way, error.reason) {
            (Way::Webhook(_), Reason::Denied) => {
                "; `webhook.token_file` of the target must hold the token of this daemon's webhook"
            }
            _ => "",
        };
        bail!("the alert could not be fired: {error}{help}")
    }

    fn can_refuse(&self) -> bool {
        true
    }

    fn may_have_made(&self, number: usize) -> bool {
        self.shot.borrow().is_some() || self.planned.borrow().iter().any(|made| made.number == number)
    }

    async fn end(&self, number: usize) -> anyhow::Result<()> {
        if self.synthetic.is_some() {
            return self.cease_fire().await.map_err(anyhow::Error::msg);
        }
        let made = self.planned.borrow().iter().find(|made| made.number == number).cloned();
        match made {
            Some(made) => self.undo(&made).await.map(drop).map_err(anyhow::Error::msg),
            None => Ok(()),
        }
    }

    async fn firing(&self) -> anyhow::Result<Vec<String>> {
        let Some(alertmanager) = &self.session.alertmanager else { return Ok(Vec::new()) };
        let namespace = &self.session.ground.namespace;
        let alerts = alertmanager.alerts().await?;
        let here = alerts.all.iter().filter(|alert| {
            let of = alert.label("namespace");
            alert.label(RUN_LABEL).is_empty() && (of.is_empty() || of == namespace)
        });
        Ok(here.map(|alert| alert.label("alertname").to_owned()).collect())
    }

    async fn changed(&self) {
        tokio::time::sleep(self.ask_every()).await;
    }

    fn changes(&self, follower: &Follower<'_>) -> usize {
        follower.changes()
    }

    async fn untold(&self, _: &Follower<'_>) -> Option<Vec<IncidentId>> {
        None
    }

    async fn tell(&self, _: &Teller) -> anyhow::Result<()> {
        Ok(())
    }
}

fn fired(synthetic: &Synthetic) -> Break {
    Break {
        wait: Duration::ZERO,
        says: format!("{} fires, which nothing made", synthetic.alertname()),
        fires: Some((synthetic.alertname().to_owned(), Duration::ZERO)),
        until_closed: true,
    }
}

fn broken(broken: &BrokenForReal) -> Break {
    Break {
        wait: broken.wait,
        says: broken.fault.to_string(),
        fires: None,
        until_closed: broken.lasts == Lasts::UntilClosed,
    }
}

/// What must come of an alert that is made up: nothing is changed, and nothing is to be put back.
fn expected(synthetic: &Synthetic) -> Expect {
    let answer = &synthetic.expect;
    Expect {
        alert: None,
        incidents: vec![ExpectedIncident {
            runbook: answer.runbook.clone(),
            outcomes: answer.outcomes.clone(),
            within: answer.within,
            actions: answer.actions.clone(),
            refused_by: Vec::new(),
            stands_back_behind: None,
        }],
        others: Vec::new(),
        changes: Some(0),
        put_back_after: None,
        afterwards: Afterwards::Either,
    }
}

/// What is broken, in the words of the hands that do it.
fn wanted(fault: &RealFault, session: &Session) -> anyhow::Result<Wanted> {
    let all_pods = session.all_pods;
    Ok(match fault {
        RealFault::DeletePods { deployment, count } => {
            let count = if all_pods { None } else { *count };
            if count.is_none() && !all_pods {
                bail!(
                    "the scenario deletes every pod of {deployment} at once; say with --all that this is meant"
                );
            }
            Wanted::DeletePods { deployment: deployment.clone(), count }
        }
        RealFault::EndNode { with_pod_of } => Wanted::EndNode { with_pod_of: with_pod_of.clone() },
        RealFault::MemoryLimit { deployment, limit } => {
            Wanted::MemoryLimit { deployment: deployment.clone(), limit: limit.clone() }
        }
        RealFault::Load { url, concurrency, requests, duration, method, headers, body } => {
            let load = Load {
                url: url.clone(),
                method: Some(method.clone()),
                headers: headers.clone(),
                body: body.clone(),
                concurrency: *concurrency,
                requests: *requests,
                duration: *duration,
            };
            Wanted::Load(load)
        }
        RealFault::ValidationRecord => {
            let host = session
                .config
                .vars
                .get("public_host")
                .context("the target's `vars:` name no `public_host`, whose certificate is meant")?;
            Wanted::ValidationRecord { host: host.clone() }
        }
    })
}

fn announced_field(set: &SetField) -> Option<FaultField> {
    let SetField { field, before, after, .. } = set;
    Some(FaultField { field: field.clone(), before: before.clone(), after: after.clone()? })
}

/// What stands for an object that is not there before the fault is made.
fn whole(namespace: &str) -> Target {
    Target { kind: Kind::Deployment, namespace: namespace.to_owned(), name: "inject".to_owned() }
}
