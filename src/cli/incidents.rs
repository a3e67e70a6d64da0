//! `runbookd incidents`: the list, one incident with its timeline, and the alerts that nobody answered.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Client, Connection};
use super::follow;
use super::output::{Output, finish, json, lines};
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use super::timeline;
use crate::api::wire::{IncidentView, Incidents, LEFT_ALONE, Listed, UnansweredAlerts};
use crate::clock::between;
use crate::incident::Outcome;
use crate::store::{Summary, Unanswered};
use crate::text::{count, cut, span};

/// Wider scopes and reasons are cut; the incident itself shows them whole.
const WIDE: usize = 60;

/// Shows what runbookd did and does: all incidents, or one with every event and why.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    runbookd incidents                      the newest incidents\n  \
    runbookd incidents --open               those that are worked on now\n  \
    runbookd incidents 1kfm3x9q02vge        one, with its timeline; `vge` will do when only one fits\n  \
    runbookd incidents vge --follow         until it is closed\n  \
    runbookd incidents --follow             everything that happens, until Ctrl-C\n  \
    runbookd incidents --unanswered         why did nothing happen?\n  \
    runbookd incidents --output json | jq   what the API gives")]
pub struct IncidentsArgs {
    /// One incident: its id, or enough of its beginning or end.
    pub id: Option<String>,
    /// Only those that are not closed.
    #[arg(long, conflicts_with_all = ["id", "follow"])]
    pub open: bool,
    /// Shows events as they happen; for one incident until it is closed.
    #[arg(long, short)]
    pub follow: bool,
    /// The alerts that no runbook answered, each with the reason.
    #[arg(long, conflicts_with_all = ["id", "open", "follow"])]
    pub unanswered: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// How to answer.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// Shows incidents.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: IncidentsArgs) -> anyhow::Result<ExitCode> {
    finish(show(args).await)
}

async fn show(args: IncidentsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.connection)?;
    let paint = Paint::of_stdout();
    let id = match &args.id {
        Some(text) => Some(client.resolve(text).await?),
        None => None,
    };
    if args.follow {
        return follow::run(&client, id.as_ref(), args.output, paint).await;
    }
    match (id, args.output) {
        (Some(id), Output::Json) => json(&client.incident::<Value>(&id).await?)?,
        (Some(id), Output::Text) => {
            let view: IncidentView = client.incident(&id).await?;
            lines(one(&view, crate::clock::now(), paint))?;
        }
        (None, Output::Json) if args.unanswered => json(&client.unanswered::<Value>(args.limit).await?)?,
        (None, Output::Text) if args.unanswered => {
            let answer: UnansweredAlerts = client.unanswered(args.limit).await?;
            lines(unanswered(&answer.unanswered, crate::clock::now(), paint))?;
        }
        (None, Output::Json) => json(&client.incidents::<Value>(args.open, args.limit).await?)?,
        (None, Output::Text) => {
            let answer: Incidents = client.incidents(args.open, args.limit).await?;
            lines(list(&answer.incidents, args.open, crate::clock::now(), paint))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The table of the incidents.
#[must_use]
pub fn list(incidents: &[Listed], only_open: bool, now: Timestamp, paint: Paint) -> Vec<String> {
    if incidents.is_empty() {
        let text = if only_open { "No incident is open." } else { "There are no incidents yet." };
        return vec![format!(
            "{text} `runbookd incidents --unanswered` lists the alerts that no runbook answered."
        )];
    }
    let rows = incidents.iter().map(|listed| {
        let Summary { id, runbook, scope, opened_at, closed_at, outcome, begun_by, .. } = &listed.summary;
        let by = begun_by.as_ref().map(|by| format!(", by {}", harmless(&cut(by, WIDE)))).unwrap_or_default();
        let (tone, state) = state(&listed.stage, *outcome);
        [
            Cell::toned(Tone::Strong, id.as_str()),
            Cell::new(format!("{} ago", span(between(*opened_at, now)))),
            Cell::new(format!("{}{by}", harmless(runbook))),
            Cell::new(cut(&timeline::scope(scope), WIDE)),
            Cell::toned(tone, state),
            Cell::new(span(between(*opened_at, closed_at.unwrap_or(now)))),
        ]
    });
    table(["ID", "OPENED", "RUNBOOK", "SCOPE", "STATE", "DURATION"], rows.collect(), paint)
}

/// The outcome of what is closed, the stage of what is not.
fn state(stage: &str, outcome: Option<Outcome>) -> (Tone, String) {
    match outcome {
        Some(outcome) => (timeline::outcome_tone(outcome), outcome.to_string()),
        None if stage == LEFT_ALONE => (Tone::Bad, stage.to_owned()),
        None => (Tone::Wait, harmless(stage)),
    }
}

/// One incident: how it stands, and its timeline.
#[must_use]
pub fn one(view: &IncidentView, now: Timestamp, paint: Paint) -> Vec<String> {
    let mut all = head(view, now, paint);
    all.push(String::new());
    let opened_at = view.summary.opened_at;
    all.extend(view.events.iter().flat_map(|recorded| timeline::line(recorded, opened_at, paint)));
    if view.asking.is_some() {
        let id = &view.summary.id;
        all.push(String::new());
        all.push(format!(
            "`runbookd approve {id}` shows the plan and asks; `runbookd decline {id}` says no."
        ));
    }
    all
}

/// How an incident stands, in a few lines.
pub(super) fn head(view: &IncidentView, now: Timestamp, paint: Paint) -> Vec<String> {
    let Summary { id, runbook, scope, opened_at, closed_at, outcome, .. } = &view.summary;
    let row =
        |name: &str, value: String| format!("  {}  {value}", paint.mark(Tone::Faint, &format!("{name:8}")));
    let title = format!("incident {id}: {} for {}", harmless(runbook), timeline::scope(scope));
    let (tone, mut state) = state(&view.stage, *outcome);
    state = paint.mark(tone, &state);
    if let Some(why) = &view.why {
        state = format!("{state}: {}", harmless(why));
    }
    let mut all = vec![
        paint.mark(Tone::Strong, &title),
        row("state", state),
        row(
            "opened",
            format!("{} ({} ago)", opened_at.strftime("%F %T UTC"), span(between(*opened_at, now))),
        ),
    ];
    match (closed_at, view.deadline) {
        (Some(closed_at), _) => all.push(row(
            "closed",
            format!("{} (after {})", closed_at.strftime("%F %T UTC"), span(between(*opened_at, *closed_at))),
        )),
        (None, Some(deadline)) => {
            all.push(row(
                "deadline",
                format!("{} (in {})", deadline.strftime("%F %T UTC"), span(between(now, deadline))),
            ));
        }
        (None, None) => {}
    }
    match &view.run {
        Some(run) => {
            all.push(row("begun", format!("by hand by {}: {}", harmless(&run.by), harmless(&run.reason))));
            all.push(row("labels", timeline::scope(&run.labels)));
        }
        None => all.push(row("alerts", alerts(view))),
    }
    all.extend(view.proven.iter().map(|proven| row("proven", harmless(proven))));
    for leg in &view.legs {
        let how = match (&leg.result, &leg.skipped) {
            (_, Some(why)) => format!(": skipped, {}", harmless(why)),
            (Some(result), None) => format!(": {}", timeline::step_result(*result).1),
            (None, None) if leg.current => ": at this one".to_owned(),
            (None, None) => String::new(),
        };
        all.push(row("target", format!("{}{how}", harmless(&leg.target.to_string()))));
    }
    all
}

/// How its alerts stand.
fn alerts(view: &IncidentView) -> String {
    let number = view.alerts.len() as u64 + view.more_alerts;
    let resolved = if view.resolved {
        "all resolved".to_owned()
    } else {
        let resolved = view.alerts.iter().filter(|alert| alert.resolved).count();
        format!("{resolved} resolved")
    };
    let quiet = view.alerts.iter().filter(|alert| alert.suppressed.is_some()).count();
    let resolved = match quiet {
        0 => resolved,
        quiet => format!(
            "{} resolved, {quiet} suppressed",
            view.alerts.iter().filter(|alert| alert.resolved).count()
        ),
    };
    format!("{}, {resolved}", count(number, "alert", "alerts"))
}

/// The table of the alerts that no runbook answered.
#[must_use]
pub fn unanswered(alerts: &[Unanswered], now: Timestamp, paint: Paint) -> Vec<String> {
    if alerts.is_empty() {
        return vec!["Every alert that came was answered by a runbook.".to_owned()];
    }
    let rows = alerts.iter().map(|alert| {
        let tone = if alert.refused { Tone::Bad } else { Tone::Plain };
        [
            Cell::new(format!("{} ago", span(between(alert.at, now)))),
            Cell::toned(tone, harmless(&alert.reason)),
            Cell::new(harmless(&alert.alert)),
        ]
    });
    table(["CAME", "WHY NOTHING WAS DONE", "ALERT"], rows.collect(), paint)
}
