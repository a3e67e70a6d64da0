//! Reads probes and thresholds: `confirm:`, the probes of a diagnosis, and what both share with `verify:`.

mod alerts;
mod certificates;
mod cluster;
mod exec;
pub(super) mod http;
mod loki;
mod objects;
mod prometheus;
mod tls;
mod verification;

use std::time::Duration;

pub(super) use http::url as address;

use super::names::{Names, Scope, is_name};
use super::{DAY, Figures, Named, Probe, Template, Threshold};
use crate::yaml::{Faults, Field, Fields, Value, parse_duration};

/// The words that say what is asked.
const KINDS: [&str; 17] = [
    "loki",
    "prometheus",
    "http",
    "pods",
    "nodes",
    "rollouts",
    "logs",
    "events",
    "budgets",
    "autoscalers",
    "alerts",
    "tls",
    "acm",
    "route53",
    "exec",
    "connections",
    "verification",
];

/// Loki itself refuses a range above 30 days and one hour.
const LONGEST_WINDOW: Duration = Duration::from_hours(30 * 24);

/// What other parts of the document must know of a probe, also when something else in it is wrong.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) count_by: CountBy,
    /// Whether it looks at a span of time.
    pub(super) has_window: bool,
    /// What its figures can be; none when nobody can say.
    pub(super) figures: Option<Figures>,
    /// How far back the question itself looks, as it is written.
    pub(super) reach: Duration,
    /// Whether its answer is about the thing itself; true when nobody can say.
    pub(super) tells_of_health: bool,
}

/// What a probe counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CountBy {
    /// Nothing.
    None,
    /// This label.
    Label(String),
    /// Nobody can say: a fault is noted already, and no other should come of it.
    Unreadable,
}

/// Reads a map of probes; what can not be read is missing from the first list and present in the second.
pub(super) fn probes(
    field: Field<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Vec<Named>, Vec<Known>) {
    let mut named = Vec::new();
    let mut known = Vec::new();
    let example = "confirm: {pool_errors: {loki: '{app=\"web\"} |= \"error\"', window: 5m, at_least: 5}}";
    for entry in field.map(example, faults).unwrap_or_default() {
        if !is_name(entry.name) {
            let message =
                format!("{:?} can not be a probe's name; expected letters, digits, `_` and `-`", entry.name);
            faults.add(entry.key, message, None);
        }
        let (probe, count_by) = probe(entry, scope, names, scale, faults);
        known.push(Known {
            name: entry.name.to_owned(),
            count_by,
            has_window: probe.as_ref().is_none_or(Probe::has_window),
            figures: probe.as_ref().map(Probe::figures),
            reach: probe.as_ref().map_or(Duration::ZERO, Probe::reach),
            tells_of_health: probe.as_ref().is_none_or(Probe::tells_of_health),
        });
        named.extend(probe.map(|probe| Named { name: entry.name.to_owned(), probe }));
    }
    (named, known)
}

fn probe(
    entry: Field<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    let Some(mut fields) = Fields::of(entry.node, "the probe", faults) else {
        return (None, CountBy::Unreadable);
    };
    let asked: Vec<_> = KINDS.iter().filter_map(|kind| Some((*kind, fields.get(kind)?))).collect();
    match asked.as_slice() {
        [("pods", field)] => cluster::pods(*field, fields, scope, names, scale, faults),
        [("nodes", field)] => (cluster::nodes(*field, fields, scope, names, scale, faults), CountBy::None),
        [("verification", field)] => {
            (verification::verification(*field, fields, names, faults), CountBy::None)
        }
        [("events", field)] => (objects::events(*field, fields, scope, names, scale, faults), CountBy::None),
        [("budgets", field)] => (objects::budgets(*field, fields, scope, names, faults), CountBy::None),
        [("autoscalers", field)] => {
            (objects::autoscalers(*field, fields, scope, names, faults), CountBy::None)
        }
        [("alerts", field)] => (alerts::alerts(*field, fields, scope, names, faults), CountBy::None),
        [("tls", field)] => (tls::tls(*field, fields, scope, names, faults), CountBy::None),
        [("acm", field)] => (certificates::acm(*field, fields, scope, names, faults), CountBy::None),
        [("route53", field)] => (certificates::route53(*field, fields, scope, names, faults), CountBy::None),
        [("exec", field)] => exec::exec(*field, fields, scope, names, faults),
        [("connections", field)] => exec::connections(*field, fields, scope, names, faults),
        [("rollouts", field)] => {
            (cluster::rollouts(*field, fields, scope, names, scale, faults), CountBy::None)
        }
        [("logs", field)] => (cluster::logs(*field, fields, scope, names, faults), CountBy::None),
        [("http", field)] => (http::http(*field, fields, scope, names, scale, faults), CountBy::None),
        [("prometheus", field)] => prometheus::prometheus(*field, fields, scope, names, faults),
        [(_, field)] => loki::loki(Some(*field), fields, scope, names, scale, faults),
        [] => loki::loki(None, fields, scope, names, scale, faults),
        [(first, _), (second, field), ..] => {
            let hint = "write two probes: each has a name and a threshold of its own";
            let message = format!("`{first}` and `{second}` in one probe; expected one of them");
            faults.add(field.key, message, Some(hint.to_owned()));
            fields.end_without_unknown(faults);
            (None, CountBy::Unreadable)
        }
    }
}

/// The end of every probe: by what it counts, the threshold, and no further field.
fn counting(
    mut fields: Fields<'_>,
    read: impl FnOnce(Field<'_>, &mut Faults) -> CountBy,
    faults: &mut Faults,
) -> (CountBy, Option<Threshold>) {
    let count_by = fields.get("count_by").map_or(CountBy::None, |field| read(field, faults));
    let threshold = threshold(&mut fields, faults);
    let count_by = if fields.has_almost(&["count_by"]) { CountBy::Unreadable } else { count_by };
    fields.end(faults);
    (count_by, threshold)
}

/// The namespace that a question is about.
fn namespace(
    fields: &mut Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Template> {
    let field = fields.need("namespace", "namespace: ${labels.namespace}")?;
    names.template(field, scope, faults)
}

/// A field with a name in it, which may be missing.
fn optional(
    name: &'static str,
    fields: &mut Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Option<Template>> {
    match fields.get(name) {
        Some(field) => names.template(field, scope, faults).map(Some),
        None => Some(None),
    }
}

/// A question about this moment has no window.
fn no_window(question: &str, fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Option<Duration>> {
    let message = format!("`window` of `{question}`, which is about this moment");
    fields.refuse("window", &message, "remove it", faults);
    Some(None)
}

pub use exec::argv;

/// How far a question looks back.
pub(super) fn window(field: Field<'_>, scale: u32, faults: &mut Faults) -> Option<Duration> {
    let why = "Loki answers for 30 days at most";
    field.duration_up_to(LONGEST_WINDOW, why, faults).map(|window| window / scale)
}

/// Exactly one of `at_least` and `at_most`, of a count.
pub(super) fn threshold(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Threshold> {
    threshold_of(fields, Some(Figures::Whole), faults)
}

/// Exactly one of `at_least` and `at_most`, of such a figure; without knowing which, any number will do.
pub(super) fn threshold_of(
    fields: &mut Fields<'_>,
    figures: Option<Figures>,
    faults: &mut Faults,
) -> Option<Threshold> {
    let whole = |field: Field<'_>, faults: &mut Faults| {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let number = field.whole(0, faults)? as f64;
        Some(number)
    };
    let wrong = |field: Field<'_>, expected, hint: &str, faults: &mut Faults| {
        field.wrong(expected, Some(hint.to_owned()), faults);
        None
    };
    let (at_least, at_most) = (fields.get("at_least"), fields.get("at_most"));
    // Of a probe that could not be read nobody knows which of the two it wants.
    let is_time = |field: Field<'_>| matches!(&field.node.value, Value::Scalar(scalar) if parse_duration(&scalar.text).is_ok());
    let figures = match (figures, at_least.or(at_most)) {
        (None, Some(field)) if is_time(field) => Some(Figures::Days),
        _ => figures,
    };
    match (at_least, at_most) {
        (Some(field), None) => match figures.unwrap_or(Figures::Decimal) {
            Figures::Decimal => field.decimal(faults).map(Threshold::AtLeast),
            Figures::Days => match days(field, faults)? {
                0.0 => wrong(field, "expected more than nothing, which always holds", DAYS, faults),
                number => Some(Threshold::AtLeast(number)),
            },
            Figures::Whole => match whole(field, faults)? {
                0.0 => {
                    let hint = "`at_least: 1` for any line, `at_most: 0` for none";
                    wrong(field, "expected at least 1, as 0 always holds", hint, faults)
                }
                number => Some(Threshold::AtLeast(number)),
            },
            Figures::YesOrNo => match whole(field, faults)? {
                1.0 => Some(Threshold::AtLeast(1.0)),
                _ => wrong(field, "expected 1, as the figure is 1 or 0", YES_OR_NO, faults),
            },
        },
        (None, Some(field)) => match figures.unwrap_or(Figures::Decimal) {
            Figures::Decimal => field.decimal(faults).map(Threshold::AtMost),
            Figures::Days => days(field, faults).map(Threshold::AtMost),
            Figures::Whole => whole(field, faults).map(Threshold::AtMost),
            Figures::YesOrNo => match whole(field, faults)? {
                0.0 => Some(Threshold::AtMost(0.0)),
                _ => wrong(field, "expected 0, as the figure is 1 or 0", YES_OR_NO, faults),
            },
        },
        (Some(_), Some(second)) => {
            faults.add(
                second.key,
                "`at_least` and `at_most` together; expected one of them",
                Some("remove one of the two".to_owned()),
            );
            None
        }
        (None, None) => {
            let hint = match figures {
                Some(Figures::YesOrNo) => YES_OR_NO,
                Some(Figures::Days) => DAYS,
                _ => "add `at_least: 5` or `at_most: 0`",
            };
            faults.add(
                fields.place,
                "there is neither `at_least` nor `at_most`; expected one of them",
                Some(hint.to_owned()),
            );
            None
        }
    }
}

/// A time, as a number of days.
fn days(field: Field<'_>, faults: &mut Faults) -> Option<f64> {
    if let Value::Scalar(scalar) = &field.node.value
        && scalar.is_number()
    {
        field.wrong("expected a time such as 14d", Some(format!("did you mean {}d?", scalar.text)), faults);
        return None;
    }
    Some(field.duration_or_zero(faults)?.as_secs_f64() / DAY.as_secs_f64())
}

const DAYS: &str = "`at_least: 14d` holds when it is good for so long, `at_most: 14d` when it is not";
const YES_OR_NO: &str =
    "`at_least: 1` holds when the status is the expected one, `at_most: 0` when it is not";
