//! What a document that is no runbook shares with one: its name, its checks, and texts with `${vars.NAME}`.

use std::collections::BTreeMap;

use super::names::{Names, Scope, own_name};
use super::probes::probes;
use super::read::API_VERSION;
use super::{Named, Verification};
use crate::yaml::{Document, Faults, Field, Fields, Place, Value};

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
        for (field, only) in [("apiVersion", API_VERSION), ("kind", kind)] {
            if let Some(field) = fields.need(field, &format!("{field}: {only}")) {
                field.word(&[only], |word| word, faults);
            }
        }
        let name = fields
            .need("name", "name: pod-kill")
            .and_then(|field| Some((own_name(&field, faults)?, field.place())));
        let summary = fields.need("summary", "summary: what happens").and_then(|field| field.string(faults));
        (name, summary)
    }

    /// A map of probes that must all hold: at least one.
    pub fn checks(&mut self, field: Field<'_>, faults: &mut Faults) -> Vec<Named> {
        if matches!(&field.node.value, Value::Map(entries) if entries.is_empty())
            || field.node.found().contains("empty")
        {
            let hint = "nothing that is asked is no reason to call it well";
            field.wrong("expected at least one probe", Some(hint.to_owned()), faults);
        }
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
