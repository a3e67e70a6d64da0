//! What a document that is no runbook shares with one: its name, its checks, and texts with `${vars.NAME}`.

use std::collections::BTreeMap;

use super::names::{Names, Scope, own_name};
use super::probes::probes;
use super::read::API_VERSION;
use super::{Named, Verification};
use crate::yaml::{Document, Faults, Field, Fields, Place};

/// Why a document whose checks are all left out says nothing.
pub(super) const PROVES_NOTHING: &str = "nothing that is asked is no reason to call it well";

/// The fields with which every document begins: its name and where that stood, and its summary. With examples of both.
pub(super) fn head(
    fields: &mut Fields<'_>,
    kind: &'static str,
    [a_name, a_summary]: [&str; 2],
    faults: &mut Faults,
) -> (Option<(String, Place)>, Option<String>) {
    for (field, only) in [("apiVersion", API_VERSION), ("kind", kind)] {
        if let Some(field) = fields.need(field, &format!("{field}: {only}")) {
            field.word(&[only], |word| word, faults);
        }
    }
    let name = fields.need("name", &format!("name: {a_name}"));
    let name = name.and_then(|field| Some((own_name(&field, faults)?, field.place())));
    let summary = fields.need("summary", &format!("summary: {a_summary}"));
    (name, summary.and_then(|field| field.string(faults)))
}

/// Probes of which there must be one: also what is commented out to the last line is none.
pub(super) fn at_least_one(field: &Field<'_>, hint: &str, faults: &mut Faults) {
    if field.node.is_empty() {
        field.wrong("expected at least one probe", Some(hint.to_owned()), faults);
    }
}

/// Reads the parts of a document of another kind, such as a scenario of `runbookd inject`.
pub struct Reader<'v> {
    names: Names<'v>,
    scale: u32,
}

impl<'v> Reader<'v> {
    /// With the configuration's `vars:`, or none: then every name is believed. `scale` divides the durations of the checks.
    #[must_use]
    pub fn new(vars: Option<&'v BTreeMap<String, String>>, scale: u32) -> Self {
        Self { names: Names::new(vars), scale: scale.max(1) }
    }

    /// The fields `apiVersion`, `kind`, `name` and `summary`, and where the name stood.
    pub fn head(
        &mut self,
        fields: &mut Fields<'_>,
        kind: &'static str,
        faults: &mut Faults,
    ) -> (Option<(String, Place)>, Option<String>) {
        head(fields, kind, ["pod-kill", "what happens"], faults)
    }

    /// A map of probes that must all hold: at least one.
    pub fn checks(&mut self, field: Field<'_>, faults: &mut Faults) -> Vec<Named> {
        at_least_one(&field, PROVES_NOTHING, faults);
        probes(field, Scope::Installation, &mut self.names, self.scale, faults).0
    }

    /// A text, with its `${vars.NAME}` replaced.
    pub fn text(&mut self, field: Field<'_>, faults: &mut Faults) -> Option<String> {
        let before = faults.count();
        let template = self.names.template(field, Scope::Installation, faults)?;
        if faults.count() > before {
            return None;
        }
        // What is only believed stands there as it was written.
        template.with(|path| self.names.value(path).or_else(|| Some(format!("${{{path}}}")))).ok()
    }

    /// The checks as what can be asked, with the variables that were named.
    #[must_use]
    pub fn verification(
        &self,
        name: &str,
        summary: &str,
        checks: Vec<Named>,
        document: &Document,
    ) -> Verification {
        Verification {
            name: name.to_owned(),
            summary: summary.to_owned(),
            checks,
            vars: self.names.used.clone(),
            text: document.text.clone(),
        }
    }
}
