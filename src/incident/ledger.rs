//! The ledger: what the limits are counted from, and what is changed for a while, as the journal has it. The
//! store reads it under a lock and shows it to the guards; nobody counts in memory.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::Target;
use super::{IncidentId, OperationId};

/// What the guards are shown, all read at one moment under the lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// The store's time.
    pub now: Timestamp,
    /// Set when a person stopped all effects.
    pub pause: Option<Pause>,
    /// Effects whose step has not come to its end: their targets belong to one incident.
    pub in_flight: Vec<InFlight>,
    /// All attempts of the last [`KEPT_HOURS`] hours, failed ones included: an attempt is a risk.
    pub attempts: Vec<Attempt>,
}

/// How far back attempts are read: no limit may look further back than this.
pub const KEPT_HOURS: u64 = 7 * 24;

/// A person stopped all effects. Durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// An effect that was begun and whose step is not at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Its name.
    pub op: OperationId,
    /// Whose it is.
    pub incident: IncidentId,
    /// The key of its target.
    pub target: String,
}

/// An effect that was begun at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its name.
    pub op: OperationId,
    /// The runbook that made it.
    pub runbook: String,
    /// The key of its target.
    pub target: String,
    /// When its intent was committed.
    pub at: Timestamp,
}

/// A field that is changed for a while. It belongs to the object and not to an incident: closing or crashing one
/// changes nothing about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The object.
    pub object: Target,
    /// The field's path in it.
    pub field: String,
    /// The value before our first change, or the declared one: what is put back in the end.
    pub base: Option<String>,
    /// The value that we wrote last.
    pub ours: Option<String>,
    /// When it is put back.
    pub until: Timestamp,
}

/// What becomes of a field whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// The live value is ours: `base` is written, on the condition that it still is ours at that moment.
    PutBack {
        /// The value that must still be there.
        only_if: Option<String>,
        /// The value that is written.
        base: Option<String>,
    },
    /// The live value is `base` already.
    Already,
    /// Somebody else has changed it since. It is left alone, and a person is told what is there.
    LeftAlone {
        /// The live value.
        live: Option<String>,
    },
}

impl Entry {
    /// The entry after a further change of the same field: the base stays, however many changes follow.
    #[must_use]
    pub fn taken_over(self, ours: Option<String>, until: Timestamp) -> Self {
        Self { ours, until, ..self }
    }

    /// What is to be done about the live value. Compare and swap: only what is still ours is put back.
    #[must_use]
    pub fn restore(&self, live: Option<&str>) -> Restore {
        if live == self.base.as_deref() {
            return Restore::Already;
        }
        if live != self.ours.as_deref() {
            return Restore::LeftAlone { live: live.map(str::to_owned) };
        }
        Restore::PutBack { only_if: self.ours.clone(), base: self.base.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::incident::plan::Kind;

    /// Somebody who writes the field.
    #[derive(Debug, Clone)]
    enum Writer {
        Us(u8),
        Human(u8),
        Restore,
    }

    fn writer() -> impl Strategy<Value = Writer> {
        prop_oneof![(0..4u8).prop_map(Writer::Us), (0..4u8).prop_map(Writer::Human), Just(Writer::Restore)]
    }

    proptest! {
        /// Whoever writes in whatever order: a restore never overwrites what another wrote last, and when it
        /// writes, it writes the value from before our first change.
        #[test]
        fn a_restore_puts_back_the_base_and_never_overwrites_another(writers in prop::collection::vec(writer(), 0..12)) {
            let value = |byte: u8| Some(format!("{byte}Gi"));
            let mut live = Some("8Gi".to_owned());
            let mut last_was_ours = false;
            let mut entry: Option<Entry> = None;
            for writer in writers {
                match writer {
                    Writer::Us(byte) => {
                        let (ours, until) = (value(byte), Timestamp::UNIX_EPOCH);
                        entry = Some(match entry.take() {
                            Some(entry) => entry.taken_over(ours.clone(), until),
                            None => Entry {
                                object: Target { kind: Kind::Deployment, namespace: "n".into(), name: "d".into() },
                                field: "memory".to_owned(),
                                base: live.clone(),
                                ours: ours.clone(),
                                until,
                            },
                        });
                        live = ours;
                        last_was_ours = true;
                    }
                    Writer::Human(byte) => {
                        last_was_ours &= live == value(byte);
                        live = value(byte);
                    }
                    Writer::Restore => {
                        let Some(entry) = entry.take() else { continue };
                        let before = live.clone();
                        match entry.restore(live.as_deref()) {
                            Restore::PutBack { only_if, base } => {
                                prop_assert_eq!(&only_if, &before);
                                prop_assert!(last_was_ours || before == entry.ours, "another's value was overwritten");
                                prop_assert_eq!(&base, &entry.base);
                                live = base;
                            }
                            Restore::Already => prop_assert_eq!(&before, &entry.base),
                            Restore::LeftAlone { live: seen } => {
                                prop_assert_eq!(&seen, &before);
                                prop_assert!(!last_was_ours || before == entry.base);
                            }
                        }
                        last_was_ours = false;
                    }
                }
            }
        }
    }

    /// The chaos page's "restore original limits": 8Gi is the base of the fault, and stays it through the cure.
    #[test]
    fn a_fault_and_its_cure_end_at_the_value_before_the_fault() {
        let object = Target { kind: Kind::Deployment, namespace: "n".into(), name: "inference".into() };
        let some = |value: &str| Some(value.to_owned());
        let until = Timestamp::UNIX_EPOCH;
        let fault = Entry { object, field: "memory".into(), base: some("8Gi"), ours: some("512Mi"), until };
        let cure = fault.taken_over(some("2Gi"), until);
        assert_eq!(cure.restore(Some("2Gi")), Restore::PutBack { only_if: some("2Gi"), base: some("8Gi") });
        assert_eq!(cure.restore(Some("3Gi")), Restore::LeftAlone { live: some("3Gi") });
    }
}
