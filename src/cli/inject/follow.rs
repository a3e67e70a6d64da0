//! Follows every incident of a daemon by its API, tells each step while it happens, and keeps what the report needs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::wire::{IncidentView, Incidents, Proofs};
use crate::chaos::report::{Doer, Moment, News};
use crate::chaos::scenario::{ExpectedIncident, PutBack, SeenIncident};
use crate::cli::client::Client;
use crate::cli::paint::Tone;
use crate::cli::teller::{self, Teller};
use crate::cli::timeline;
use crate::clock;
use crate::incident::drill::INJECT;
use crate::incident::event::{EffectResult, Event, Found};
use crate::incident::restore::RESTORE;
use crate::incident::{IncidentId, Outcome, Recorded};
use crate::runbook::Action;
use crate::sandbox::World;
use crate::store::Summary;

/// As many incidents are followed at once.
const MOST: u32 = 200;
/// Slack is told behind the journal.
const TOLD: Duration = Duration::from_secs(15);

/// Which incidents are followed.
pub(super) enum Only {
    /// Every one: the daemon works for nobody else.
    All,
    /// What a drill has made up.
    MadeUp {
        /// By its id.
        run: String,
    },
    /// What is real in this namespace, and the faults that a drill announces, since it began.
    Since {
        /// That moment, by the daemon's own clock.
        began_at: Timestamp,
        /// The drill.
        run: String,
        /// The namespace; what names none may be meant.
        namespace: String,
    },
}

impl Only {
    fn means(&self, summary: &Summary) -> bool {
        match self {
            Self::All => true,
            Self::MadeUp { run } => summary.drill.as_ref() == Some(run),
            Self::Since { began_at, run, namespace } => {
                let there = summary.scope.get("namespace");
                let is_here = match summary.scope.get("object").split_once('/') {
                    // What is put back says of which object; a node is in no namespace.
                    Some((of, _)) if summary.runbook == RESTORE => of.is_empty() || of == namespace,
                    _ => there.is_empty() || there == namespace,
                };
                let is_ours = summary.drill.as_ref().is_none_or(|drill| drill == run);
                summary.opened_at >= *began_at && is_here && is_ours
            }
        }
    }
}

/// One run's eyes on the daemon.
pub(super) struct Follower<'p> {
    client: Client,
    only: Only,
    scale: u32,
    teller: &'p Teller,
    moments: RefCell<Vec<Moment>>,
    followed: RefCell<BTreeMap<IncidentId, Followed>>,
    change: RefCell<Option<u64>>,
}

/// An incident, as far as it was read.
struct Followed {
    after: u64,
    last: Option<Event>,
    /// What would be done next.
    planned: Option<Action>,
    /// How many changes the cluster has taken from it.
    changes: usize,
    opened_at: Timestamp,
    seen: SeenIncident,
}

impl<'p> Follower<'p> {
    pub(super) fn new(client: Client, scale: u32, only: Only, teller: &'p Teller) -> Self {
        Self {
            client,
            only,
            scale,
            teller,
            moments: RefCell::default(),
            followed: RefCell::default(),
            change: RefCell::default(),
        }
    }

    /// A moment of the report, which people read while it happens.
    pub(super) fn say(&self, by: Doer, tone: News, word: &str, text: &str) -> anyhow::Result<()> {
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

    /// What has happened, in its order.
    pub(super) fn moments(&self) -> Vec<Moment> {
        let mut moments = self.moments.take();
        moments.sort_by_key(|moment| moment.at);
        moments
    }

    /// How long after the fault, at the pace of reality.
    pub(super) fn after(&self, fault_at: Timestamp, at: Timestamp) -> Duration {
        clock::between(fault_at, at).saturating_mul(self.scale)
    }

    /// The hash of each runbook's text, as the daemon has it.
    pub(super) async fn texts(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let known: Proofs = self.client.proofs().await?;
        Ok(known.runbooks.into_iter().filter_map(|runbook| Some((runbook.runbook, runbook.text?))).collect())
    }

    /// Follows every incident, and tells every step, until it is enough.
    pub(super) async fn until(&self, fault_at: Timestamp, enough: impl Fn() -> bool) -> anyhow::Result<()> {
        loop {
            let recent: Incidents = self.client.incidents(false, MOST).await?;
            // The oldest first, as they happened.
            for listed in recent.incidents.iter().rev().filter(|listed| self.only.means(&listed.summary)) {
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

    /// Follows for so long, as what is done a second time comes a little later, and then until all that were opened by then have ended: trouble that lasts is
    /// told of again and again, and nobody waits for the end of that.
    pub(super) async fn until_quiet(&self, fault_at: Timestamp, quiet: Duration) -> anyhow::Result<()> {
        if let Ok(broken) = tokio::time::timeout(quiet, self.until(fault_at, || false)).await {
            broken?;
        }
        let known: Vec<IncidentId> = self.followed.borrow().keys().cloned().collect();
        let has_ended = |id: &IncidentId| {
            self.followed.borrow().get(id).is_some_and(|followed| followed.seen.outcome.is_some())
        };
        self.until(fault_at, || known.iter().all(has_ended)).await
    }

    /// Takes in what is new of an incident.
    fn read(&self, view: &IncidentView, fault_at: Timestamp) -> anyhow::Result<()> {
        let mut all = self.followed.borrow_mut();
        let summary = &view.summary;
        let followed = all.entry(summary.id.clone()).or_insert_with(|| Followed {
            after: 0,
            last: None,
            planned: None,
            changes: 0,
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
                self.teller.out(timeline::line(recorded, self.teller.began(), self.teller.paint))?;
            }
            if matches!(recorded.event, Event::ApprovalAsked { .. }) {
                let text = format!("a person must say yes: `runbookd approve {}`", summary.id);
                self.teller.say(Tone::Wait, "asks", &text)?;
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
            Event::Planned { plan, .. } => followed.planned = Some(plan.action),
            Event::WouldAct { rehearsed: Some(rehearsed), .. } => {
                seen.acted.get_or_insert(after);
                seen.actions.extend(followed.planned.take());
                seen.rehearsed.push(rehearsed.clone());
            }
            Event::EffectAnswered { result: EffectResult::Applied | EffectResult::Begun { .. }, .. } => {
                followed.changes += 1;
            }
            Event::Refused { refusals, .. } => seen.refused_by.extend(refusals.iter().map(|no| no.guard)),
            Event::StoodBack { runbook, .. } => {
                seen.stood_back_behind.insert(runbook.clone());
            }
            _ => {}
        }
    }

    /// Whether every expected incident has ended.
    pub(super) fn all_ended(&self, expected: &[ExpectedIncident]) -> bool {
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

    /// What was put back: how long after the first change of this runbook the first of it was begun, and how it ended. Of several the one that did not end
    /// well, or not yet, tells.
    pub(super) fn put_back(&self, runbook: &str, fault_at: Timestamp) -> Option<PutBack> {
        let followed = self.followed.borrow();
        let acted = followed.values().filter(|followed| followed.seen.runbook == runbook);
        let acted = acted.filter_map(|followed| followed.seen.acted).min()?;
        let restores: Vec<&Followed> =
            followed.values().filter(|followed| followed.seen.runbook == RESTORE).collect();
        let begun = restores.iter().map(|restore| self.after(fault_at, restore.opened_at)).min()?;
        let worst = restores.iter().find(|restore| restore.seen.outcome != Some(Outcome::Recovered));
        let outcome = worst.map_or(Some(Outcome::Recovered), |restore| restore.seen.outcome);
        Some(PutBack { after: begun.saturating_sub(acted), outcome })
    }

    /// How many changes the cluster has taken, by the daemon's own account, putting back included.
    pub(super) fn changes(&self) -> usize {
        self.followed.borrow().values().map(|followed| followed.changes).sum()
    }

    /// The incidents in the order in which they were opened, without those that put something back or announce a fault.
    pub(super) fn incidents(&self) -> Vec<SeenIncident> {
        let followed = self.followed.borrow();
        let mut all: Vec<&Followed> = followed
            .values()
            .filter(|followed| ![RESTORE, INJECT].contains(&followed.seen.runbook.as_str()))
            .collect();
        all.sort_by_key(|followed| followed.opened_at);
        all.into_iter().map(|followed| followed.seen.clone()).collect()
    }

    /// The closed incidents whose end stands in no thread of Slack.
    pub(super) async fn untold(&self, world: &World) -> Vec<IncidentId> {
        let closed: Vec<(IncidentId, Outcome, bool)> = self
            .followed
            .borrow()
            .iter()
            .filter_map(|(id, followed)| {
                Some((id.clone(), followed.seen.outcome?, followed.seen.confirmed.is_some()))
            })
            .collect();
        let untold = |world: &World| -> Vec<IncidentId> {
            let threads = world.slack_threads();
            let told = |(id, outcome, said): &&(IncidentId, Outcome, bool)| {
                threads.iter().any(|thread| teller::tells_the_end(thread, id, *outcome, *said))
            };
            closed.iter().filter(|one| !told(one)).map(|(id, ..)| id.clone()).collect()
        };
        world.until(TOLD, |world| untold(world).is_empty()).await;
        untold(world)
    }
}
