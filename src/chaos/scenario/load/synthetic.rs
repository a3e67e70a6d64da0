//! How a scenario is played with a synthetic alert, from YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fault::number;
use super::{actions, not_empty, outcomes, runbook, within};
use crate::alert::RUN_LABEL;
use crate::chaos::scenario::{ExpectedAnswer, Lines, Synthetic};
use crate::runbook::others::Reader;
use crate::yaml::{Faults, Field, Fields};

/// More lines at once would be a test of Loki.
const MOST_LINES: u64 = 1_000;
/// A line that is further behind the newest of its stream Loki does not take: half of its `max_chunk_age`.
const LONGEST: Duration = Duration::from_hours(1);

/// The section `synthetic`.
pub(super) fn read(
    field: Field<'_>,
    reader: &mut Reader<'_>,
    runbooks: Option<&BTreeSet<String>>,
    faults: &mut Faults,
) -> Option<Synthetic> {
    let mut fields = Fields::of(field.node, "`synthetic`", faults)?;
    let example = "labels: {alertname: High5xxRate, namespace: shop}";
    let labels = fields.need("labels", example).and_then(|field| {
        let before = faults.count();
        let labels = pairs(field, example, reader, faults);
        if !labels.contains_key("alertname") && faults.count() == before {
            field.wrong("expected an `alertname` among them", None, faults);
        }
        (faults.count() == before).then_some(labels)
    });
    let annotations = fields
        .get("annotations")
        .map(|field| pairs(field, "annotations: {summary: one answer in two fails}", reader, faults));
    let example = "lines: [{stream: {app: web}, line: timeout, count: 5}]";
    let all = fields.get("lines").map(|field| not_empty(field, example, faults)).unwrap_or_default();
    let all = all.into_iter().filter_map(|item| lines(item, reader, faults)).collect();
    let expect = fields
        .need("expect", "expect: {runbook: pod-crash, outcome: not_confirmed}")
        .and_then(|field| expected(field, runbooks, faults));
    fields.end(faults);
    Some(Synthetic {
        labels: labels?,
        annotations: annotations.unwrap_or_default(),
        lines: all,
        expect: expect?,
    })
}

fn lines(item: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Lines> {
    let mut fields = Fields::of(item.node, "the line", faults)?;
    let example = "stream: {namespace: shop, app: web}";
    let stream = fields.need("stream", example).and_then(|field| {
        let before = faults.count();
        let stream = pairs(field, example, reader, faults);
        if stream.is_empty() && faults.count() == before {
            let hint = "Loki takes no stream without one";
            field.wrong("expected at least one label", Some(hint.to_owned()), faults);
        }
        (faults.count() == before).then_some(stream)
    });
    let line = fields
        .need("line", "line: '{\"level\":\"error\",\"message\":\"timeout\"}'")
        .and_then(|field| reader.text(field, faults));
    let count = fields.get("count").map_or(Some(1), |field| number(field, 1, MOST_LINES, faults));
    let why = "Loki takes no line that is further behind the newest of its stream";
    let over = fields
        .get("over")
        .map_or(Some(Duration::from_mins(1)), |field| field.duration_up_to(LONGEST, why, faults));
    fields.end(faults);
    Some(Lines { stream: stream?, line: line?, count: count?, over: over? })
}

fn expected(
    field: Field<'_>,
    runbooks: Option<&BTreeSet<String>>,
    faults: &mut Faults,
) -> Option<ExpectedAnswer> {
    let mut fields = Fields::of(field.node, "`expect`", faults)?;
    let name =
        fields.need("runbook", "runbook: pod-crash").and_then(|field| runbook(field, runbooks, faults));
    let outcomes = fields.need("outcome", "outcome: would_act").map(|field| outcomes(field, faults));
    let actions = actions(fields.get("actions"), faults);
    let within = within(&mut fields, Duration::from_mins(10), faults);
    fields.end(faults);
    Some(ExpectedAnswer { runbook: name?, outcomes: outcomes?, actions, within: within? })
}

/// Names and values as Prometheus, Alertmanager and Loki take them.
fn pairs(
    field: Field<'_>,
    example: &str,
    reader: &mut Reader<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in field.map(example, faults).unwrap_or_default() {
        let name = entry.name;
        let shown = crate::text::cut(name, 60);
        if name == RUN_LABEL {
            let hint = "take it away: a run writes its own id there";
            let message = format!("`{RUN_LABEL}` stands in `{}`; expected any other label", field.name);
            faults.add(entry.key, message, Some(hint.to_owned()));
        } else if !is_label(name) {
            let message = format!("`{shown}` is no name of a label; expected letters, digits and `_`");
            faults.add(entry.key, message, None);
        }
        all.extend(reader.text(entry, faults).map(|value| (name.to_owned(), value)));
    }
    all
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, and none of those that begin with `__`: they are the systems' own.
fn is_label(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    is_word && begins && !name.starts_with("__")
}
