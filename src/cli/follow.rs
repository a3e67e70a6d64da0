//! `runbookd incidents --follow`: events as they happen. The daemon answers when there is something to tell, so
//! nothing is asked again and again; a daemon that restarts is waited for.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::{Client, Failed};
use super::incidents::head;
use super::output::{Output, json_line, lines, note};
use super::paint::{Paint, Tone};
use super::timeline;
use crate::api::wire::{IncidentView, Incidents};
use crate::clock;
use crate::incident::{IncidentId, Outcome, Recorded};
use crate::text::count;

/// The pace at which a daemon that is gone, or that does not let anybody wait, is asked again.
const PACE: Duration = Duration::from_secs(1);
/// So many closed incidents are looked at for some that came and went between two answers.
const RECENT: u32 = 50;

/// One event of one incident.
#[derive(Serialize)]
struct Line<'a> {
    incident: &'a IncidentId,
    #[serde(flatten)]
    recorded: &'a Recorded,
}

/// Follows one incident to its end, or all of them until Ctrl-C.
pub(super) async fn run(
    client: &Client,
    id: Option<&IncidentId>,
    output: Output,
    paint: Paint,
) -> anyhow::Result<ExitCode> {
    let following = async {
        match id {
            Some(id) => one(client, id, output, paint).await.map(|_| ()),
            None => all(client, output, paint).await,
        }
    };
    tokio::select! {
        result = following => result?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Follows one incident to its end, and says how that was; none after Ctrl-C.
pub(super) async fn to_its_end(
    client: &Client,
    id: &IncidentId,
    output: Output,
    paint: Paint,
) -> anyhow::Result<Option<Outcome>> {
    tokio::select! {
        outcome = one(client, id, output, paint) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(None),
    }
}

async fn one(
    client: &Client,
    id: &IncidentId,
    output: Output,
    paint: Paint,
) -> anyhow::Result<Option<Outcome>> {
    let mut patience = Patience::default();
    let mut after = 0;
    loop {
        let asked = Instant::now();
        let Some(view) = patience.of(client.events_after(id, after).await).await? else { continue };
        if after == 0 && output == Output::Text {
            lines(head(&view, clock::now(), paint))?;
            lines([""])?;
        }
        tell(&view, None, output, paint)?;
        if view.summary.closed_at.is_some() {
            return Ok(view.summary.outcome);
        }
        let nothing_new = view.summary.seq <= after;
        after = view.summary.seq;
        if nothing_new && asked.elapsed() < PACE {
            // The daemon is ending, and lets nobody wait.
            tokio::time::sleep(PACE).await;
        }
    }
}

async fn all(client: &Client, output: Output, paint: Paint) -> anyhow::Result<()> {
    let mut patience = Patience::default();
    let mut told: BTreeMap<IncidentId, u64> = BTreeMap::new();
    let mut since = None;
    let mut begin = true;
    loop {
        let asked = Instant::now();
        let Some(open) = patience.of(client.next_change(since).await).await? else { continue };
        let Some(recent) = patience.of(client.incidents::<Incidents>(false, RECENT).await).await? else {
            continue;
        };
        let listed = open.incidents.iter().chain(&recent.incidents).map(|listed| &listed.summary);
        // In the order of their beginning, which is the order of their ids.
        let now: BTreeMap<&IncidentId, u64> = listed.map(|summary| (&summary.id, summary.seq)).collect();
        if begin {
            begin = false;
            told = now.iter().map(|(id, seq)| ((*id).clone(), *seq)).collect();
            note(&format!(
                "Following; {} open. Ctrl-C ends this.",
                count(open.incidents.len() as u64, "incident is", "incidents are")
            ));
        }
        // One that was open and is in neither list has closed since.
        let gone = told.keys().filter(|id| !now.contains_key(id)).cloned();
        let moved = now.iter().filter(|(id, seq)| told.get(*id).is_none_or(|told| told < *seq));
        let moved: Vec<IncidentId> = moved.map(|(id, _)| (*id).clone()).chain(gone).collect();
        let mut missed = false;
        for id in moved {
            let after = told.get(&id).copied().unwrap_or_default();
            let seq = match patience.of(client.events_since(&id, after).await).await {
                Ok(Some(view)) => {
                    tell(&view, Some(&id), output, paint)?;
                    view.summary.seq
                }
                Ok(None) => {
                    missed = true;
                    continue;
                }
                Err(failed) => {
                    // One incident that can not be read must not hide all the others.
                    note(&format!("incident {id}: {failed}"));
                    now.get(&id).copied().unwrap_or_default()
                }
            };
            if now.contains_key(&id) {
                told.insert(id, seq);
            } else {
                told.remove(&id);
            }
        }
        if since == Some(open.change) && asked.elapsed() < PACE {
            // The daemon is ending, and lets nobody wait.
            tokio::time::sleep(PACE).await;
        }
        // What was missed is asked for again at once, not after the next change.
        since = (!missed).then_some(open.change);
    }
}

fn tell(view: &IncidentView, named: Option<&IncidentId>, output: Output, paint: Paint) -> anyhow::Result<()> {
    for recorded in &view.events {
        match output {
            Output::Json => json_line(&Line { incident: &view.summary.id, recorded })?,
            Output::Text => {
                let text = timeline::line(recorded, view.summary.opened_at, paint);
                match named {
                    None => lines(text)?,
                    Some(id) => {
                        let name = paint.mark(Tone::Faint, id.as_str());
                        lines(text.into_iter().map(|line| format!("{name} {line}")))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Waits for a daemon that was there once; one that never answered is an error at once.
#[derive(Default)]
struct Patience {
    answered: bool,
    lost: bool,
}

impl Patience {
    /// The answer; none: ask again.
    async fn of<T>(&mut self, answer: Result<T, Failed>) -> Result<Option<T>, Failed> {
        match answer {
            Ok(answer) => {
                if self.lost {
                    note("runbookd answers again.");
                }
                (self.answered, self.lost) = (true, false);
                Ok(Some(answer))
            }
            Err(Failed::Unreachable(why) | Failed::Lost(why)) if self.answered => {
                if !self.lost {
                    note(&format!("{why}; waiting for it"));
                }
                self.lost = true;
                tokio::time::sleep(PACE).await;
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }
}
