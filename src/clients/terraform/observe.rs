//! What became of a saved plan when nobody heard: from whether it was begun, from what terraform wrote, and else from a plan that is made anew and the state's serial.
//!
//! A killed terraform leaves most locks behind, but not that of a local state, and it may have made things that the state does not know. So what would be created
//! is never taken for not done.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use super::events::Events;
use super::sink::Sink;
use super::{Act, Basis, Change, MOST_OUTPUT, Made, Planned, Terraform};
use crate::clients::{CallError, Reason};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Everything is as the configuration says.
    Done,
    /// It was not begun, or nothing of it was done.
    NotDone(String),
    /// Some of it is done; these changes are left.
    Partly(Vec<String>),
    /// Somebody works on the state, and it may be this very plan: it can not be told yet.
    Locked(String),
    /// It can not be told, and asking again will not help.
    Ambiguous(String),
    /// It could not be looked at.
    Unseen(CallError),
}

impl Terraform {
    /// Looks what became of it. Makes a new plan unless it was surely not begun; that is thrown away.
    pub async fn observe(&self, planned: &Planned) -> Observed {
        let call = format!("look what became of the plan of the terraform directory {}", planned.directory);
        let held = match self.hold(&planned.directory, &call).await {
            Ok(held) => held,
            Err(error) => return Observed::Unseen(error),
        };
        if self.0.files.waiting(&planned.sha256).is_ok() {
            return Observed::NotDone("the saved plan was never begun".to_owned());
        }
        let told = self.told(planned);
        if told.summary.is_some() && told.errors.is_empty() {
            return Observed::Done;
        }
        let made = match self.make(&planned.directory, &call, &held, Duration::ZERO).await {
            Ok(made) => made,
            Err(error) if error.reason == Reason::Conflict => return Observed::Locked(error.message),
            Err(error) => return Observed::Unseen(error),
        };
        if let Made::Plan(fresh) = &made {
            self.discard(fresh);
        }
        if made != Made::NoChanges
            && let Some(open) = told.begun.iter().find(|begun| !told.done.contains(begun))
        {
            let saw = format!("terraform had begun {open} and was not heard to end it: it may still go on");
            return Observed::Ambiguous(saw);
        }
        judge(planned, &made)
    }

    /// What terraform wrote while it applied it, whether or not anybody read it.
    fn told(&self, planned: &Planned) -> Events {
        let Ok(mut log) = File::open(self.0.files.log(&planned.sha256)) else { return Events::default() };
        let mut sink = Sink::events(MOST_OUTPUT);
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count @ 1..) = log.read(&mut chunk) {
            sink.take(&chunk[..count]);
        }
        sink.end();
        sink.told()
    }
}

/// Pure: what a new plan says about an old one.
fn judge(planned: &Planned, made: &Made) -> Observed {
    let fresh = match made {
        Made::NoChanges => return Observed::Done,
        Made::Plan(fresh) => fresh,
    };
    let key = |change: &Change| (change.address.clone(), change.act.clone());
    let wanted: Vec<_> = planned.changes.iter().map(key).collect();
    let left: Vec<_> = fresh.changes.iter().map(key).collect();
    let of_ours = left.iter().all(|change| wanted.contains(change));
    let same_state = planned.basis != Basis::Unknown && planned.basis == fresh.basis;
    if !of_ours {
        return Observed::Ambiguous("other changes are to be made now than were planned".to_owned());
    }
    if left.is_empty() {
        return Observed::Ambiguous("of the plan only outputs are left".to_owned());
    }
    if left.len() < wanted.len() {
        return Observed::Partly(fresh.changes.iter().map(Change::says).collect());
    }
    if !same_state {
        return Observed::Ambiguous(
            "the same changes are still to be made, and the state was written since".to_owned(),
        );
    }
    if planned.changes.iter().any(|change| change.act != Act::Update && change.act != Act::Read) {
        let what = "the same changes are still to be made, and something may have been created that the state does not know";
        return Observed::Ambiguous(what.to_owned());
    }
    Observed::NotDone("the same changes are still to be made, and the state is the same".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(serial: u64, changes: &[(&str, Act)]) -> Planned {
        let change = |(address, act): &(&str, Act)| Change {
            address: (*address).to_owned(),
            act: act.clone(),
            attributes: Vec::new(),
            moved_from: None,
            imported: false,
        };
        Planned {
            directory: "dns".to_owned(),
            sha256: String::new(),
            terraform: String::new(),
            basis: Basis::At { lineage: "l".to_owned(), serial },
            changes: changes.iter().map(change).collect(),
            drift: Vec::new(),
            outputs: Vec::new(),
            failing_checks: Vec::new(),
            strange: Vec::new(),
        }
    }

    #[test]
    fn it_is_done_not_done_or_nobody_can_tell() {
        use Act::{Create, Update};
        let after = |fresh: Planned| Made::Plan(Box::new(fresh));
        let updates = plan(3, &[("a.b", Update), ("a.c", Update)]);
        assert_eq!(judge(&updates, &Made::NoChanges), Observed::Done);
        assert!(matches!(judge(&updates, &after(updates.clone())), Observed::NotDone(_)));
        let one = plan(4, &[("a.c", Update)]);
        assert_eq!(judge(&updates, &after(one)), Observed::Partly(vec!["update a.c".to_owned()]));
        let written = plan(4, &[("a.b", Update), ("a.c", Update)]);
        let other = plan(3, &[("a.b", Update), ("a.d", Update)]);
        let another = plan(3, &[("a.b", Update), ("a.c", Act::Replace)]);
        let none = plan(4, &[]);
        for fresh in [written, other, another, none] {
            assert!(matches!(judge(&updates, &after(fresh)), Observed::Ambiguous(_)));
        }
        let creates = plan(3, &[("a.b", Create)]);
        assert!(matches!(judge(&creates, &after(creates.clone())), Observed::Ambiguous(_)));
        let unknown = Planned { basis: Basis::Unknown, ..updates };
        assert!(matches!(judge(&unknown, &after(unknown.clone())), Observed::Ambiguous(_)));
    }
}
