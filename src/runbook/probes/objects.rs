//! Reads the questions about events, disruption budgets and autoscalers.

use super::super::names::{Names, Scope};
use super::super::{AutoscalerState, AutoscalersProbe, BudgetState, BudgetsProbe, EventsProbe, Probe};
use super::{namespace, optional, threshold, window};
use crate::yaml::{Faults, Field, Fields};

pub(super) fn events(
    reasons: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Probe> {
    let items = reasons.list("events: [FailedScheduling]", faults);
    if items.as_ref().is_some_and(Vec::is_empty) {
        reasons.wrong("expected at least one reason, since empty never means all", None, faults);
    }
    let reasons: Vec<String> =
        items.unwrap_or_default().iter().filter_map(|item| item.string(faults)).collect();
    let namespace = namespace(&mut fields, scope, names, faults);
    let object = optional("object", &mut fields, scope, names, faults);
    let window = fields.need("window", "window: 15m").and_then(|field| window(field, scale, faults));
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    Some(Probe::Events(EventsProbe {
        reasons,
        namespace: namespace?,
        object: object?,
        window: window?,
        threshold: threshold?,
    }))
}

pub(super) fn budgets(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let state = state.word(&BudgetState::ALL, BudgetState::as_str, faults);
    let namespace = namespace(&mut fields, scope, names, faults);
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    Some(Probe::Budgets(BudgetsProbe { state: state?, namespace: namespace?, threshold: threshold? }))
}

pub(super) fn autoscalers(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let state = state.word(&AutoscalerState::ALL, AutoscalerState::as_str, faults);
    let namespace = namespace(&mut fields, scope, names, faults);
    let deployment = optional("deployment", &mut fields, scope, names, faults);
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    Some(Probe::Autoscalers(AutoscalersProbe {
        state: state?,
        namespace: namespace?,
        deployment: deployment?,
        threshold: threshold?,
    }))
}
