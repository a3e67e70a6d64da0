//! Reads the question whether all is well, which is asked by the name of a verification.

use super::super::names::Names;
use super::super::{Probe, VerificationProbe};
use super::threshold;
use crate::yaml::{Faults, Field, Fields};

pub(super) fn verification(
    name: Field<'_>,
    mut fields: Fields<'_>,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let verification = names.verification(name, faults);
    let threshold = threshold(&mut fields, faults);
    fields.end(faults);
    Some(Probe::Verification(VerificationProbe { verification: verification?, threshold: threshold? }))
}
