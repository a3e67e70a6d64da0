//! The note that a fault leaves on the object that it breaks: whoever finds it knows whose it is, until when, and how it is undone. It is written before
//! the fault or with it, so that what a run leaves behind when it dies can be found without it.
//!
//! Kubernetes copies the annotations of a Deployment to its `ReplicaSet`, where the note stays, and `kubectl rollout undo` back to that one brings it to the Deployment again: `cleanup`
//! takes it off, and compares the value first like any other.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runbook::Field;

/// The annotation that holds the note.
pub const INJECTED: &str = "runbookd.dev/injected";

/// What stands in the annotation, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The run that broke it.
    pub run: String,
    /// What was played.
    pub scenario: String,
    /// Who says that they played it.
    pub by: String,
    /// The namespace that was played in.
    pub namespace: String,
    /// When.
    pub made_at: Timestamp,
    /// When it should have been undone.
    pub until: Timestamp,
    /// How it is undone.
    pub undo: Undo,
}

/// How a fault is undone: a closed set. What is not known here is reported, and left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Undo {
    /// The value of a field is put back, if it is still ours.
    Field {
        /// Which.
        field: Field,
        /// What the fault has written.
        ours: String,
        /// What was there before; none: nothing.
        base: Option<String>,
    },
    /// A CNAME of ACM's gets its right value again, if it still has ours.
    Record {
        /// The hosted zone's id.
        zone: String,
        /// The record's.
        name: String,
        /// What ACM asks for.
        base: String,
        /// What the fault has written: it follows from `base` and the run.
        ours: String,
    },
    /// New pods are let onto the node again.
    Uncordon,
    /// The Job is deleted.
    DeleteJob,
    /// Nothing: whoever owns what was broken makes it anew.
    Nothing,
}

/// Why a note can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its annotation {INJECTED} can not be read by this version of runbookd")]
pub struct Unreadable;

impl Note {
    /// Reads an annotation. What is wrong with it is not said: anybody can have written it.
    ///
    /// # Errors
    /// When it is no note, or speaks of something that is not known here.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map_err(|_| Unreadable)
    }

    /// As it stands in the annotation.
    #[must_use]
    pub fn text(&self) -> String {
        // A struct of texts, times and an enum: there is nothing in it that JSON can not say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(undo: Undo) -> Note {
        Note {
            run: "01J".to_owned(),
            scenario: "inference-oom".to_owned(),
            by: "mila \"<&>\"".to_owned(),
            namespace: "shop".to_owned(),
            made_at: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            undo,
        }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let field = Field::Limit { container: "inference".to_owned(), resource: "memory".to_owned() };
        let limit = Undo::Field { field, ours: "512Mi".to_owned(), base: None };
        let [zone, name, base, ours] = ["Z1", "_a.shop.example", "_b", "c._b"].map(str::to_owned);
        let record = Undo::Record { zone, name, base, ours };
        for undo in [limit, record, Undo::Uncordon, Undo::DeleteJob, Undo::Nothing] {
            let note = note(undo);
            assert_eq!(Note::read(&note.text()), Ok(note));
        }
    }

    /// The texts stand in clusters: another version has to read them.
    #[test]
    fn the_form_of_a_note_is_fixed_and_what_is_not_known_is_not_read() {
        let text = note(Undo::Uncordon).text();
        assert_eq!(
            text,
            r#"{"run":"01J","scenario":"inference-oom","by":"mila \"<&>\"","namespace":"shop","made_at":"1970-01-01T00:00:00Z","until":"1970-01-01T00:00:00Z","undo":"uncordon"}"#
        );
        for strange in ["", "{}", "yes", "null", &text.replace("uncordon", "reboot")] {
            assert_eq!(Note::read(strange), Err(Unreadable), "{strange}");
        }
    }
}
