//! Reads a question to Loki.

use super::super::names::{Names, Scope, is_label};
use super::super::{LokiProbe, Probe};
use super::{CountBy, KINDS, counting, window};
use crate::logql::LogQuery;
use crate::yaml::{Faults, Field, Fields};

pub(super) fn loki(
    loki: Option<Field<'_>>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    if loki.is_none() && !fields.has_almost(&KINDS) {
        let hint = "add `loki: '{app=\"web\"} |= \"error\"'` or `pods: crash_looping`";
        let message = format!("the probe asks nothing; expected one of {}", KINDS.join(", "));
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

fn count_by(field: Field<'_>, faults: &mut Faults) -> CountBy {
    let Some(scalar) = field.text(faults) else { return CountBy::Unreadable };
    if is_label(&scalar.text) {
        return CountBy::Label(scalar.text.clone());
    }
    field.wrong("expected the name of one label: letters, digits and `_`", None, faults);
    CountBy::Unreadable
}

fn query(field: Field<'_>, scope: Scope, names: &mut Names<'_>, faults: &mut Faults) -> Option<LogQuery> {
    let scalar = field.text(faults)?;
    match LogQuery::parse(&scalar.text) {
        Ok(query) => {
            for (path, at) in query.placeholders() {
                names.check_in_logs(path, scope, scalar.place_of(at), faults);
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
