//! Reads the questions about certificates in AWS.

use super::super::names::{Names, Scope};
use super::super::{AcmProbe, AcmState, Figures, Probe, Route53Probe, Route53State, Template};
use super::{no_window, threshold, threshold_of};
use crate::yaml::{Faults, Field, Fields};

const EXAMPLE: &str = "certificate: ${vars.domain}";

pub(super) fn acm(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let place = state.place();
    let state = state.word(&AcmState::ALL, AcmState::as_str, faults);
    let certificate = certificate(&mut fields, scope, names, faults);
    // Of a word that could not be read nobody knows what it counts.
    let figures = state.map(|state| match state {
        AcmState::DaysLeft => Figures::Days,
        AcmState::RenewalBlocked => Figures::Whole,
    });
    let threshold = threshold_of(&mut fields, figures, faults);
    no_window("acm", &mut fields, faults);
    fields.end(faults);
    let probe = Probe::Acm(AcmProbe { state: state?, certificate: certificate?, threshold: threshold? });
    names.object(&probe, place, faults);
    Some(probe)
}

pub(super) fn route53(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let place = state.place();
    let state = state.word(&Route53State::ALL, Route53State::as_str, faults);
    let certificate = certificate(&mut fields, scope, names, faults);
    let threshold = threshold(&mut fields, faults);
    no_window("route53", &mut fields, faults);
    fields.end(faults);
    let probe =
        Probe::Route53(Route53Probe { state: state?, certificate: certificate?, threshold: threshold? });
    names.object(&probe, place, faults);
    Some(probe)
}

fn certificate(
    fields: &mut Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Template> {
    let field = fields.need("certificate", EXAMPLE)?;
    names.template(field, scope, faults)
}
