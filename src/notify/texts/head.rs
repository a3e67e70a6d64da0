//! The head of an incident's thread: the one message that is read by everybody. It is edited as the incident moves.

use std::collections::BTreeSet;

use super::markup::{Draft, brief, code, link, plain, time, took, until};
use super::words::{
    answers, asked_because, came, change, count_of, done, next, object, plan_of, standing, touches,
};
use super::{by_hand, drill, lasting};
use crate::clients::slack::Message;
use crate::incident::event::Found;
use crate::incident::evidence::Evidence;
use crate::incident::outcome::StepResult;
use crate::incident::{Event, Incident, Outcome, Recorded, Stage};

/// How many targets and names are listed.
const SHOWN: usize = 8;

/// The head as it is after `history`, which is everything that has happened to `incident`.
#[must_use]
pub fn head(incident: &Incident, history: &[Recorded]) -> Message {
    if let Some(fault) = drill::fault(incident, history) {
        return fault;
    }
    let (sign, word) = standing(incident);
    let restore = incident.opened.restore.as_ref();
    let runbook = brief(&incident.opened.runbook);
    // Nobody should read of a made-up alert as if it were a real one.
    let sign = match &incident.opened.drill {
        Some(_) => format!("{}: {sign}", drill::MARK),
        None => sign.to_owned(),
    };
    let scope = restore.map_or_else(|| scope(incident), |restore| object(&restore.object));
    let about = match (restore, &incident.opened.run) {
        (Some(restore), _) => lasting::restores(restore),
        (None, Some(run)) => by_hand::begun(run),
        (None, None) if incident.opened.drill.is_some() => format!("*Alert, made up*\n{}", alerts(incident)),
        (None, None) => format!("*Alert*\n{}", alerts(incident)),
    };
    let mut draft = Draft::new(&format!("{sign} {word}: {runbook} ({scope})").replace('`', ""))
        .header(&format!("{sign} {word}: {runbook}"))
        .fields(&[about, format!("*Where*\n{scope}")]);
    if let Some(summary) = summary(incident).filter(|_| restore.is_none()) {
        draft = draft.section(&[format!("> {summary}")]);
    }
    let evidence = found(incident, history);
    if !evidence.is_empty() {
        let mut lines = vec!["*Found*".to_owned()];
        lines.extend(answers(evidence));
        draft = draft.section(&lines);
    }
    draft = draft.section(&links(history));
    draft = draft.section(&targets(incident, history)).section(&now(incident, history));
    draft.context(&small_print(incident)).message()
}

fn alerts(incident: &Incident) -> String {
    let names: BTreeSet<&str> = incident.alerts.values().map(|state| state.alert.name()).collect();
    let shown: Vec<String> = names.iter().take(3).map(|name| code(name)).collect();
    let more = match names.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let kept = u64::try_from(incident.alerts.len()).unwrap_or(u64::MAX);
    let all = kept.saturating_add(incident.more.0);
    let over = incident.alerts.values().filter(|state| state.is_over()).count();
    let word = if incident.alerts.values().any(|state| state.suppressed.is_some()) {
        "resolved or kept quiet in Alertmanager"
    } else {
        "resolved"
    };
    let over = u64::try_from(over).unwrap_or(u64::MAX).saturating_add(incident.more.1).min(all);
    let state = match (all, over) {
        (1, 0) => "firing".to_owned(),
        (1, _) if incident.suppressed().is_some() => "kept quiet in Alertmanager".to_owned(),
        (1, _) => "resolved".to_owned(),
        (_, 0) => format!("{all} alerts, all firing"),
        (_, _) if over == all => format!("{all} alerts, all {word}"),
        _ => format!("{all} alerts, {over} {word}"),
    };
    let cut_off = match incident.opened.truncated {
        0 => String::new(),
        cut_off => format!("; Alertmanager left {cut_off} more out, so targets may be missing"),
    };
    format!("{}{more}, {state}{cut_off}", shown.join(", "))
}

/// The labels that make it one incident; the alert's name stands apart.
fn scope(incident: &Incident) -> String {
    let labels: Vec<String> = incident
        .opened
        .scope
        .0
        .iter()
        .filter(|(name, _)| *name != "alertname")
        .take(SHOWN)
        .map(|(name, value)| format!("{} {}", brief(name), code(value)))
        .collect();
    if labels.is_empty() { "everywhere".to_owned() } else { labels.join(", ") }
}

/// What the author of the alert wrote about it.
fn summary(incident: &Incident) -> Option<String> {
    let annotations = incident.alerts.values().map(|state| &state.alert.annotations);
    let texts = annotations.flat_map(|all| [all.get("summary"), all.get("description")]);
    texts.map(str::trim).find(|text| !text.is_empty()).map(plain)
}

/// What began it all: the answers that held first. Later ones are about single targets, or come after the cure.
fn found<'a>(incident: &'a Incident, history: &'a [Recorded]) -> &'a [Evidence] {
    let held = history.iter().find_map(|recorded| match &recorded.event {
        Event::Confirmed { found: Found::Holds, answers, .. } => Some(answers.as_slice()),
        _ => None,
    });
    held.unwrap_or(&incident.evidence)
}

/// Where the reader sees it for themselves: the dashboards, and the queries that confirmed.
fn links(history: &[Recorded]) -> Vec<String> {
    let all = history.iter().find_map(|recorded| match &recorded.event {
        Event::Confirmed { links, .. } if !links.is_empty() => Some(links),
        _ => None,
    });
    all.into_iter().flatten().map(|to| format!("🔗 {}", link(&to.url, &to.title))).collect()
}

/// A line for each target: what was done there, or would be.
fn targets(incident: &Incident, history: &[Recorded]) -> Vec<String> {
    if incident.legs.is_empty() {
        return Vec::new();
    }
    let title = if incident.legs.len() == 1 { "*Target*" } else { "*Targets*, worst first" };
    let mut lines = vec![title.to_owned()];
    for (position, state) in incident.legs.iter().enumerate().take(SHOWN) {
        let word = leg(incident, history, position);
        lines.push(format!("• {}: {word}", object(&state.leg.target)));
    }
    if incident.legs.len() > SHOWN {
        lines.push(format!("… and {}", count_of(incident.legs.len() - SHOWN, "more", "more")));
    }
    lines
}

fn leg(incident: &Incident, history: &[Recorded], position: usize) -> String {
    let state = &incident.legs[position];
    let done = plan_of(history, position).map_or("changed", |plan| done(plan));
    // While a further step is on its way, how the one before it ended is old news.
    let is_at_work = position == incident.leg
        && matches!(
            incident.stage,
            Stage::Awaiting { .. }
                | Stage::Asking { .. }
                | Stage::Refused { .. }
                | Stage::Intended(_)
                | Stage::Unclear { .. }
                | Stage::NotDone { .. }
                | Stage::Following { .. }
                | Stage::Verifying { .. }
        );
    if let Some(result) = state.result.filter(|_| !is_at_work) {
        let repeated = position == incident.leg && incident.closed().is_none();
        let word = match result {
            StepResult::Recovered if !state.acted => "healthy again by itself".to_owned(),
            StepResult::NotRecovered if !state.acted => "did not recover by itself".to_owned(),
            StepResult::Inconclusive if !state.acted => "not known whether it recovered".to_owned(),
            StepResult::Recovered => format!("{done}, healthy again"),
            StepResult::NotRecovered if repeated => format!("{done}, no better; the next step follows"),
            StepResult::NotRecovered => format!("{done}, no better"),
            StepResult::Inconclusive => format!("{done}, could not be verified"),
            StepResult::Failed => "the action failed".to_owned(),
            StepResult::Ambiguous => format!("not known whether it was {done}"),
            StepResult::Dropped => format!("not {done}"),
            StepResult::WouldAct => format!("would have been {done}; nothing was changed"),
        };
        return word;
    }
    if state.skipped.is_some() {
        return "needs nothing any more".to_owned();
    }
    match &incident.stage {
        Stage::Closed(_) => "nothing done".to_owned(),
        _ if position > incident.leg => "waits for its turn".to_owned(),
        Stage::Asking { .. } => format!("to be {done} when you approve"),
        Stage::Refused { .. } => "held back".to_owned(),
        Stage::Intended(_) | Stage::Unclear { .. } | Stage::NotDone { .. } => format!("to be {done} now"),
        Stage::Awaiting { .. } => "should recover by itself".to_owned(),
        Stage::Following { .. } => format!("is being {done}"),
        Stage::Verifying { .. } => format!("{done}; being checked"),
        _ => "being looked at".to_owned(),
    }
}

/// What happens now, or how it ended; and what the reader does.
fn now(incident: &Incident, history: &[Recorded]) -> Vec<String> {
    let at = incident.touched_at;
    let id = &incident.id;
    match &incident.stage {
        Stage::Asking { plan, expires, why, .. } => {
            let mut lines =
                vec![format!("*{}?* Please decide by {}.", sentence(&plan.says), until(*expires, at))];
            lines.push(change(plan));
            lines.extend(touches(plan));
            lines.extend(why.as_deref().map(asked_because));
            lines.push(format!("Yes: {}", code(&format!("runbookd approve {id}"))));
            lines.push(format!("No: {}", code(&format!("runbookd decline {id} --reason \"...\""))));
            lines
        }
        Stage::Refused { until: Some(again), .. } if *again > at => {
            let guards: Vec<&str> = incident.refusals.iter().map(|refusal| refusal.guard.as_str()).collect();
            vec![format!("*Held back* by {}; asked again at {}.", guards.join(", "), until(*again, at))]
        }
        Stage::StoodBack { until: again } => {
            vec![format!("*Waiting* behind another incident; it looks again at {}.", until(*again, at))]
        }
        Stage::Unclear { .. } => vec![
            "*Unclear*: the call got no clear answer. The target is looked at before anything else is done."
                .to_owned(),
        ],
        Stage::Closed(closed) => {
            let word = match closed.outcome {
                Outcome::Recovered => "Recovered",
                _ => "Closed",
            };
            let whole = took(incident.opened_at, closed.at);
            let because = match closed.outcome {
                // The header and the advice say it.
                Outcome::WouldAct => String::new(),
                _ => format!(": {}", plain(closed.why.trim_end_matches('.'))),
            };
            let since = match (&incident.opened.restore, &incident.opened.run) {
                (Some(_), _) => "its time came",
                (None, Some(_)) => "it was begun",
                (None, None) => "the alert came",
            };
            let mut lines = vec![format!("*{word}* {whole} after {since}{because}.")];
            lines.extend(lasting::changed(incident, history));
            lines.push(next(incident, closed.outcome, history));
            lines
        }
        _ => Vec::new(),
    }
}

/// The plan's own words with a capital letter.
fn sentence(says: &str) -> String {
    let says = plain(says);
    let mut letters = says.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn small_print(incident: &Incident) -> Vec<String> {
    let mut items = vec![format!("{} {}", came(incident), time(incident.opened_at))];
    if let Some(closed) = incident.closed() {
        items.push(format!("closed {}", time(closed.at)));
    } else {
        items.push(format!("gives up at {}", time(incident.opened.deadline)));
    }
    items.push(format!("incident {}", code(incident.id.as_str())));
    items
}
