//! Reads a question to Prometheus.

use super::super::names::{Names, Scope, is_label};
use super::super::{Figures, Probe, PrometheusProbe};
use super::{CountBy, threshold_of};
use crate::promql::PromQuery;
use crate::yaml::{Faults, Field, Fields};

pub(super) fn prometheus(
    field: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> (Option<Probe>, CountBy) {
    let query = query(field, scope, names, faults);
    let count_by = fields.get("count_by").map_or(CountBy::None, |field| count_by(field, faults));
    let threshold = threshold_of(&mut fields, Some(Figures::Decimal), faults);
    let count_by = if fields.has_almost(&["count_by"]) { CountBy::Unreadable } else { count_by };
    let hint = "the query says itself how far back it looks: `rate(...[5m])`";
    fields.refuse("window", "`window` of `prometheus`, which asks about this moment", hint, faults);
    fields.end(faults);
    let label = match &count_by {
        CountBy::Label(label) => Some(label.clone()),
        CountBy::None | CountBy::Unreadable => None,
    };
    let (Some(query), Some(threshold)) = (query, threshold) else { return (None, count_by) };
    let probe = Probe::Prometheus(PrometheusProbe { query, count_by: label, threshold });
    names.object(&probe, field.place(), faults);
    (Some(probe), count_by)
}

fn count_by(field: Field<'_>, faults: &mut Faults) -> CountBy {
    let Some(scalar) = field.text(faults) else { return CountBy::Unreadable };
    if is_label(&scalar.text) {
        return CountBy::Label(scalar.text.clone());
    }
    field.wrong("expected the name of one label: letters, digits and `_`", None, faults);
    CountBy::Unreadable
}

fn query(field: Field<'_>, scope: Scope, names: &mut Names<'_>, faults: &mut Faults) -> Option<PromQuery> {
    let scalar = field.text(faults)?;
    match PromQuery::parse(&scalar.text) {
        Ok(query) => {
            for (path, at) in query.placeholders() {
                names.check(path, scope, scalar.place_of(at), faults);
            }
            if let Some(at) = query.filters_at() {
                let hint = "take it off, and hold the value against `at_least` or `at_most`; or write `bool` after it, for 1 and 0";
                faults.warn(
                    scalar.place_of(at),
                    "this comparison leaves out the series that do not meet it, and no series at all is unknown",
                    Some(hint.to_owned()),
                );
            }
            Some(query)
        }
        Err(wrong) => {
            for fault in wrong {
                let message = format!("in the PromQL query: {}", fault.message);
                faults.add(scalar.place_of(fault.at), message, fault.hint);
            }
            None
        }
    }
}
