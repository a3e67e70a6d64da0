//! Counts log lines in Loki. The traps of the real server are handled here: an empty answer is `[]` and never 0,
//! and says nothing about whether the streams wrote anything at all, which is asked for apart.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Scope, figures, held};
use crate::alert::RUN_LABEL;
use crate::clients::CallError;
use crate::clients::loki::{Line, Loki};
use crate::clock::between;
use crate::incident::evidence::{Evidence, Sample, Verdict};
use crate::logql::Rendered;
use crate::runbook::{LokiProbe, Threshold, no_value};
use crate::text::{cut, span};

/// How many lines are shown to people.
const SAMPLES: usize = 3;
/// How long a line that is shown may be.
const SAMPLE_LENGTH: usize = 300;
/// The ids that services give to a request or a trace are much shorter.
const LONGEST_CLUE: usize = 128;

pub(super) struct Question<'a> {
    pub(super) name: &'a str,
    pub(super) probe: &'a LokiProbe,
    pub(super) threshold: Threshold,
    pub(super) from: Timestamp,
    /// The drills of which lines can be in it.
    pub(super) made_up: Vec<String>,
}

pub(super) async fn ask(loki: &Loki, scope: &Scope<'_>, question: Question<'_>) -> Evidence {
    let Question { name, probe, from, .. } = question;
    let range = between(from, scope.now);
    let rendered = match probe.query.with(|path| scope.value_of(path)) {
        Ok(rendered) => real(narrowed(rendered, probe, scope), scope, &question.made_up),
        Err(path) => return Evidence::unknown(name, String::new(), no_value(&path)),
    };
    let asked = rendered.count(probe.count_by.as_deref(), range);
    match answer(loki, scope, &question, &rendered, &asked).await {
        Ok(evidence) => evidence,
        Err(error) => Evidence {
            window: Some((from, scope.now)),
            ..Evidence::unknown(name, asked, format!("Loki could not be asked: {error}"))
        },
    }
}

/// What drills have made up is evidence of nothing but the drill: only its own incidents see it.
fn real(rendered: Rendered, scope: &Scope<'_>, made_up: &[String]) -> Rendered {
    let others = made_up.iter().filter(|run| Some(*run) != scope.drill());
    others.fold(rendered, |rendered, run| rendered.without(RUN_LABEL, run))
}

/// About one target, only its own streams are looked at, when the label that chose it is one of the stream's.
fn narrowed(rendered: Rendered, probe: &LokiProbe, scope: &Scope<'_>) -> Rendered {
    let Some(leg) = scope.leg else { return rendered };
    leg.each
        .iter()
        .filter(|(label, _)| probe.query.selector_labels().any(|known| known == label.as_str()))
        .fold(rendered, |rendered, (label, value)| rendered.only(label, value))
}

async fn answer(
    loki: &Loki,
    scope: &Scope<'_>,
    question: &Question<'_>,
    rendered: &Rendered,
    asked: &str,
) -> Result<Evidence, CallError> {
    let Question { name, probe, threshold, from, .. } = question;
    let range = between(*from, scope.now);
    let counted = loki.instant(asked, scope.now).await?;
    let mut by = BTreeMap::new();
    let mut total = 0.0;
    for sample in counted {
        total += sample.value;
        if let Some(label) = &probe.count_by {
            let value = sample.labels.get(label).cloned().unwrap_or_default();
            *by.entry(value).or_insert(0.0) += sample.value;
        }
    }
    let nameless = by.remove("").unwrap_or_default();
    if let Some(value) = own_value(probe, scope) {
        // The label is no label of the streams, so the query counted everybody; only the target's own counts.
        by.retain(|found, _| found == value);
        total = by.get(value).copied().unwrap_or_default();
    }
    let all = figures(&by);
    let verdict = held(*threshold, total, probe.count_by.as_ref().map(|_| &mut by));
    let window = span(range);
    let mut saw = match (&probe.count_by, total > 0.0) {
        (Some(_), true) if !all.is_empty() => format!("{all} lines in {window}"),
        (_, true) => format!("{total} lines in {window}"),
        (_, false) => format!("no such line in {window}"),
    };
    if nameless > 0.0 {
        saw = format!("{saw}, and {nameless} without the label");
    }
    let saw = format!("{saw}; {threshold}");
    let verdict = match own_value(probe, scope) {
        _ if total > 0.0 => verdict,
        // Whether these streams write anything says nothing about this target: others write there, too.
        Some(value) => {
            Verdict::Quiet { why: format!("the streams do not tell whether {value} writes anything") }
        }
        None => silent(loki, scope, rendered, *from, verdict).await?,
    };
    let mut lines = if total > 0.0 { lines(loki, rendered, *from, scope.now).await } else { Vec::new() };
    if let (Some(value), Some(label)) = (own_value(probe, scope), &probe.count_by) {
        lines.retain(|line| line.labels.get(label) == Some(value));
    }
    Ok(Evidence {
        by,
        clues: clues(&lines, scope.clues),
        samples: samples(lines, probe),
        window: Some((*from, scope.now)),
        ..Evidence::found(name, asked.to_owned(), verdict, saw)
    })
}

/// The target's value of the label that is counted by, when the streams do not carry that label.
fn own_value<'a>(probe: &LokiProbe, scope: &Scope<'a>) -> Option<&'a String> {
    let label = probe.count_by.as_ref()?;
    let of_the_stream = probe.query.selector_labels().any(|known| known == label.as_str());
    if of_the_stream { None } else { scope.leg?.each.get(label) }
}

/// Nothing was found. Did the streams write anything at all? A wrong label, a wrong tenant and a dead shipper
/// look the same as health, and only this tells them apart.
async fn silent(
    loki: &Loki,
    scope: &Scope<'_>,
    rendered: &Rendered,
    from: Timestamp,
    verdict: Verdict,
) -> Result<Verdict, CallError> {
    let range = between(from, scope.now);
    let query = rendered.all_lines(range);
    let lines: f64 = loki.instant(&query, scope.now).await?.iter().map(|sample| sample.value).sum();
    if lines > 0.0 {
        return Ok(verdict);
    }
    Ok(Verdict::Quiet { why: format!("no log line at all in {} from {query}", span(range)) })
}

/// A few lines, newest first. That they can not be had changes no verdict.
async fn lines(loki: &Loki, rendered: &Rendered, from: Timestamp, to: Timestamp) -> Vec<Line> {
    loki.lines(&rendered.log(), from, to, SAMPLES).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "No sample lines");
        Vec::new()
    })
}

/// The lines as people are shown them.
fn samples(lines: Vec<Line>, probe: &LokiProbe) -> Vec<Sample> {
    let label = probe.count_by.as_deref();
    let sample = |line: Line| {
        let of = |name: &str| line.labels.get(name).cloned();
        let from = of("pod").or_else(|| label.and_then(of)).unwrap_or_default();
        Sample { is_state: false, at: line.at, from, line: cut(&line.text, SAMPLE_LENGTH) }
    };
    lines.into_iter().map(sample).collect()
}

/// What the newest line that has such a label says there. What is too long to be an id is none: cut, it would be another one.
fn clues(lines: &[Line], wanted: &BTreeSet<String>) -> BTreeMap<String, String> {
    let value = |label: &String| {
        let mut values = lines.iter().filter_map(|line| line.labels.get(label));
        let value = values.find(|value| !value.is_empty() && value.len() <= LONGEST_CLUE)?;
        Some((label.clone(), value.clone()))
    };
    wanted.iter().filter_map(value).collect()
}
