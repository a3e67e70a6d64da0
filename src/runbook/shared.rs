//! Reads the documents that runbooks name: what says when all is well (`kind: Verification`), and questions that any diagnosis can attach (`kind: Diagnosis`).

use std::sync::Arc;

use super::names::{Names, Scope};
use super::others::{PROVES_NOTHING, at_least_one, head};
use super::probes::probes;
use super::steps::ONLY_ALERTS;
use super::{Diagnosis, Verification};
use crate::yaml::{Document, Faults, Fields, Place, Value};

/// The kinds of document that others name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Verification,
    Diagnosis,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Verification, Self::Diagnosis];

    /// The word after `kind:`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "Verification",
            Self::Diagnosis => "Diagnosis",
        }
    }

    /// The word in messages.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Diagnosis => "diagnosis",
        }
    }

    /// What the document says that it is, when it is one of these.
    pub(super) fn of(document: &Document) -> Option<Self> {
        let Value::Map(entries) = &document.root.value else { return None };
        let says = |kind: &Self| {
            entries.iter().any(|entry| {
                entry.key == "kind"
                    && matches!(&entry.value.value, Value::Scalar(word) if word.text == kind.as_str())
            })
        };
        Self::ALL.into_iter().find(says)
    }
}

/// A document that others name.
#[derive(Debug, Clone)]
pub(super) enum Shared {
    Verification(Arc<Verification>),
    Diagnosis(Arc<Diagnosis>),
}

/// Reads a document; nothing when something is wrong with it. Also where its name stood.
pub(super) fn shared(
    document: &Document,
    kind: Kind,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> (Option<Shared>, Option<(String, Place)>) {
    let before = faults.count();
    let what = match kind {
        Kind::Verification => "the verification",
        Kind::Diagnosis => "the diagnosis",
    };
    let Some(mut fields) = Fields::of(&document.root, what, faults) else {
        return (None, None);
    };
    let (place, summary) = head(&mut fields, kind.as_str(), ["shop", "when all is well"], faults);
    let (questions, example, hint) = match kind {
        Kind::Verification => {
            ("checks", "checks: {pods: {pods: unhealthy, namespace: shop, at_most: 0}}", PROVES_NOTHING)
        }
        Kind::Diagnosis => (
            "probes",
            "probes: {errors: {loki: ..., window: 15m, at_least: 1}}",
            "nothing that is asked finds nothing",
        ),
    };
    let asked = fields.need(questions, example).map(|field| {
        at_least_one(&field, hint, faults);
        names.set_diagnosing(kind == Kind::Diagnosis);
        let (asked, known) = probes(field, Scope::Installation, names, scale, faults);
        let blind = !known.is_empty() && known.iter().all(|known| !known.tells_of_health);
        if blind && kind == Kind::Verification {
            let hint = "add what shows that it works: pods, a rollout or an address";
            faults.add(field.place(), ONLY_ALERTS, Some(hint.to_owned()));
        }
        asked
    });
    fields.end(faults);
    if faults.count() > before {
        return (None, place);
    }
    let read = (|| {
        let (name, summary, asked) = (place.clone()?.0, summary?, asked?);
        let (vars, text) = (names.used.clone(), document.text.clone());
        Some(match kind {
            Kind::Verification => {
                Shared::Verification(Arc::new(Verification { name, summary, checks: asked, vars, text }))
            }
            Kind::Diagnosis => {
                let clues = names.clues.clone();
                Shared::Diagnosis(Arc::new(Diagnosis { name, summary, probes: asked, vars, clues, text }))
            }
        })
    })();
    (read, place)
}
