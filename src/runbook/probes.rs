//! Reads probes and thresholds: `confirm:`, the probes of a diagnosis, and what both share with `verify:`.

use std::time::Duration;

use super::names::{Names, Scope, is_label, is_name};
use super::{
    BY_DEPLOYMENT, LogsProbe, LokiProbe, Named, PodState, PodsProbe, Probe, RolloutsProbe, Template,
    Threshold,
};
use crate::logql::LogQuery;
use crate::yaml::{Faults, Field, Fields};

/// The words that say what is asked.
const KINDS: [&str; 4] = ["loki", "pods", "rollouts", "logs"];
/// What a probe of rollouts counts.
const CHANGED: &str = "changed";
/// Whose lines a probe of logs counts.
const PREVIOUS: &str = "previous";

/// Loki itself refuses a range above 30 days and one hour.
const LONGEST_WINDOW: Duration = Duration::from_hours(30 * 24);

/// What other parts of the document must know of a probe, also when something else in it is wrong.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) count_by: CountBy,
    /// Whether it looks at a span of time.
    pub(super) has_window: bool,
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
        let has_window =
            !matches!(&probe, Some(Probe::Pods(PodsProbe { window: None, .. }) | Probe::Logs(_)));
        known.push(Known { name: entry.name.to_owned(), count_by, has_window });
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
        [("pods", field)] => pods_probe(*field, fields, scope, names, scale, faults),
        [("rollouts", field)] => (rollouts_probe(*field, fields, scope, names, scale, faults), CountBy::None),
        [("logs", field)] => (logs_probe(*field, fields, scope, names, faults), CountBy::None),
        [(_, field)] => loki_probe(Some(*field), fields, scope, names, scale, faults),
        [] => loki_probe(None, fields, scope, names, scale, faults),
        [(first, _), (second, field), ..] => {
            let hint = "write two probes: each has a name and a threshold of its own";
            let message = format!("`{first}` and `{second}` in one probe; expected one of them");
            faults.add(field.key, message, Some(hint.to_owned()));
            fields.end_without_unknown(faults);
            (None, CountBy::Unreadable)
        }
    }
}

fn loki_probe(
    loki: Option<Field<'_>>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    if loki.is_none() && !fields.has_almost(&KINDS) {
        let hint = "add `loki: '{app=\"web\"} |= \"error\"'` or `pods: crash_looping`";
        let message = "the probe asks nothing; expected `loki`, `pods`, `rollouts` or `logs`";
        faults.add(fields.place, message, Some(hint.to_owned()));
    }
    let query = loki.and_then(|field| query(field, scope, names, faults));
    let window = fields.need("window", "window: 5m").and_then(|field| window(field, scale, faults));
    let (count_by, threshold) = counting(fields, count_by, faults);
    let label = match &count_by {
        CountBy::Label(label) => Some(label.clone()),
        CountBy::None | CountBy::Unreadable => None,
    };
    let probe = match (query, window, threshold) {
        (Some(query), Some(window), Some(threshold)) => {
            Some(Probe::Loki(LokiProbe { query, window, count_by: label, threshold }))
        }
        _ => None,
    };
    (probe, count_by)
}

fn pods_probe(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    let state = state.word(&PodState::ALL, PodState::as_str, faults);
    let (namespace, deployment) = deployment(&mut fields, scope, false, names, faults);
    let window = match state {
        Some(state) if state.is_past() => {
            fields.need("window", "window: 10m").and_then(|field| window(field, scale, faults)).map(Some)
        }
        Some(state) => {
            let message = format!("`window` of `pods: {}`, which is about this moment", state.as_str());
            fields.refuse("window", &message, "remove it", faults);
            Some(None)
        }
        // Nobody can say whether there should be one.
        None => fields.get("window").map(|_| None),
    };
    let by_deployment = |field: Field<'_>, faults: &mut Faults| {
        let word = field.word(&[BY_DEPLOYMENT], |word| word, faults);
        word.map_or(CountBy::Unreadable, |word| CountBy::Label(word.to_owned()))
    };
    let (count_by, threshold) = counting(fields, by_deployment, faults);
    let by_deployment = count_by != CountBy::None;
    let probe = match (namespace, deployment, state, window, threshold) {
        (Some(namespace), Some(deployment), Some(state), Some(window), Some(threshold)) => {
            Some(Probe::Pods(PodsProbe { namespace, deployment, state, window, by_deployment, threshold }))
        }
        _ => None,
    };
    (probe, count_by)
}

fn rollouts_probe(
    kind: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Probe> {
    let kind = kind.word(&[CHANGED], |word| word, faults);
    let (namespace, deployment) = deployment(&mut fields, scope, scope == Scope::Alert, names, faults);
    let window = fields.need("window", "window: 30m").and_then(|field| window(field, scale, faults));
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    kind?;
    Some(Probe::Rollouts(RolloutsProbe {
        namespace: namespace?,
        deployment: deployment?,
        window: window?,
        threshold: threshold?,
    }))
}

fn logs_probe(
    kind: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let kind = kind.word(&[PREVIOUS], |word| word, faults);
    let (namespace, deployment) = deployment(&mut fields, scope, scope == Scope::Alert, names, faults);
    let message = "`window` of `logs: previous`, which are the lines of the container before this one";
    fields.refuse("window", message, "remove it", faults);
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    kind?;
    Some(Probe::Logs(LogsProbe { namespace: namespace?, deployment: deployment?, threshold: threshold? }))
}

/// Which Deployment a probe is about. One that is about a single one needs its name before there are targets: nobody else can say it then.
fn deployment(
    fields: &mut Fields<'_>,
    scope: Scope,
    needed: bool,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> (Option<Template>, Option<Option<Template>>) {
    let namespace = fields
        .need("namespace", "namespace: ${labels.namespace}")
        .and_then(|field| names.template(field, scope, faults));
    let deployment = match fields.get("deployment") {
        Some(field) => names.template(field, scope, faults).map(Some),
        None if needed => {
            fields.need("deployment", "deployment: ${labels.deployment}");
            None
        }
        None => Some(None),
    };
    (namespace, deployment)
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

fn count_by(field: Field<'_>, faults: &mut Faults) -> CountBy {
    let Some(scalar) = field.text(faults) else { return CountBy::Unreadable };
    if is_label(&scalar.text) {
        return CountBy::Label(scalar.text.clone());
    }
    field.wrong("expected the name of one label: letters, digits and `_`", None, faults);
    CountBy::Unreadable
}

/// How far a question looks back.
pub(super) fn window(field: Field<'_>, scale: u32, faults: &mut Faults) -> Option<Duration> {
    let why = "Loki answers for 30 days at most";
    field.duration_up_to(LONGEST_WINDOW, why, faults).map(|window| window / scale)
}

fn query(field: Field<'_>, scope: Scope, names: &mut Names<'_>, faults: &mut Faults) -> Option<LogQuery> {
    let scalar = field.text(faults)?;
    match LogQuery::parse(&scalar.text) {
        Ok(query) => {
            for (path, at) in query.placeholders() {
                names.check(path, scope, scalar.place_of(at), faults);
            }
            Some(query)
        }
        Err(wrong) => {
            for fault in wrong {
                faults.add(
                    scalar.place_of(fault.at),
                    format!("in the LogQL query: {}", fault.message),
                    fault.hint,
                );
            }
            None
        }
    }
}

/// Exactly one of `at_least` and `at_most`.
pub(super) fn threshold(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Threshold> {
    match (fields.get("at_least"), fields.get("at_most")) {
        (Some(field), None) => {
            let number = field.whole(0, faults)?;
            if number == 0 {
                let hint = "`at_least: 1` for any line, `at_most: 0` for none";
                field.wrong("expected at least 1, as 0 always holds", Some(hint.to_owned()), faults);
                return None;
            }
            Some(Threshold::AtLeast(number))
        }
        (None, Some(field)) => field.whole(0, faults).map(Threshold::AtMost),
        (Some(_), Some(second)) => {
            faults.add(
                second.key,
                "`at_least` and `at_most` together; expected one of them",
                Some("remove one of the two".to_owned()),
            );
            None
        }
        (None, None) => {
            faults.add(
                fields.place,
                "there is neither `at_least` nor `at_most`; expected one of them",
                Some("add `at_least: 5` or `at_most: 0`".to_owned()),
            );
            None
        }
    }
}
