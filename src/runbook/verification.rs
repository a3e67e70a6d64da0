//! Reads a document that says when all is well.

use std::sync::Arc;

use super::Verification;
use super::names::{Names, Scope, is_name};
use super::probes::probes;
use super::read::API_VERSION;
use super::steps::ONLY_ALERTS;
use crate::yaml::{Document, Faults, Fields, Place, Value};

/// The kind of document that holds a verification.
pub(super) const KIND: &str = "Verification";

/// Whether the document says that it is a verification.
pub(super) fn is_verification(document: &Document) -> bool {
    let Value::Map(entries) = &document.root.value else { return false };
    entries.iter().any(|entry| {
        entry.key == "kind" && matches!(&entry.value.value, Value::Scalar(kind) if kind.text == KIND)
    })
}

/// Reads a document; nothing when something is wrong with it. Also where its name stood.
pub(super) fn verification(
    document: &Document,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Arc<Verification>>, Option<(String, Place)>) {
    let before = faults.count();
    let Some(mut fields) = Fields::of(&document.root, "the verification", faults) else {
        return (None, None);
    };
    for (field, only) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        if let Some(field) = fields.need(field, &format!("{field}: {only}")) {
            field.word(&[only], |word| word, faults);
        }
    }
    let mut place = None;
    let name = fields.need("name", "name: shop").and_then(|field| {
        let name = field.string(faults)?;
        if !is_name(&name) {
            field.wrong("expected letters, digits, `-` and `_`, at most 63", None, faults);
            return None;
        }
        place = Some((name.clone(), field.place()));
        Some(name)
    });
    let summary = fields.need("summary", "summary: when all is well").and_then(|field| field.string(faults));
    let example = "checks: {pods: {pods: unhealthy, namespace: shop, at_most: 0}}";
    let checks = fields.need("checks", example).map(|field| {
        if matches!(&field.node.value, Value::Map(entries) if entries.is_empty()) {
            let hint = "nothing that is asked is no reason to call it well";
            field.wrong("expected at least one probe", Some(hint.to_owned()), faults);
        }
        let (checks, known) = probes(field, Scope::Installation, names, scale, faults);
        if !known.is_empty() && known.iter().all(|known| !known.tells_of_health) {
            let hint = "add what shows that it works: pods, a rollout or an address";
            faults.add(field.place(), ONLY_ALERTS, Some(hint.to_owned()));
        }
        checks
    });
    fields.end(faults);
    if faults.count() > before {
        return (None, place);
    }
    let read = (|| {
        Some(Arc::new(Verification {
            name: name?,
            summary: summary?,
            checks: checks?,
            vars: names.used.clone(),
            text: document.text.clone(),
        }))
    })();
    (read, place)
}
