//! What a plan may hold so that it may be applied. Pure; every breach is named, with its address.
//!
//! Nothing is ever deleted, replaced or forgotten, and nothing is imported or moved: a person does that. An empty list of addresses allows none.

use super::address::Pattern;
use super::document::{Act, Change, Planned};
use crate::text::count;

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The resources that may be created, updated or read.
    pub allowed: Vec<Pattern>,
    /// No more than so many of them.
    pub at_most: u32,
}

impl Policy {
    /// Everything that stands against the plan, in words; empty when nothing does.
    #[must_use]
    pub fn breaches(&self, planned: &Planned) -> Vec<String> {
        let mut breaches = Vec::new();
        for word in &planned.strange {
            breaches.push(format!("the plan holds `{word}`, which is not known to be harmless"));
        }
        for change in &planned.changes {
            breaches.extend(self.against(change));
        }
        for output in planned.outputs.iter().filter(|output| !matches!(output.act, Act::Create | Act::Update))
        {
            breaches.push(format!("the output {} would {}", output.name, output.act.suffered()));
        }
        let changes = planned.changes.len();
        if changes == 0 {
            breaches.push("no resource would be changed".to_owned());
        }
        if u32::try_from(changes).map_or(true, |changes| changes > self.at_most) {
            breaches.push(format!(
                "{} would be changed; at most {} may be",
                count(u64::try_from(changes).unwrap_or(u64::MAX), "resource", "resources"),
                self.at_most
            ));
        }
        breaches
    }

    fn against(&self, change: &Change) -> Vec<String> {
        let Change { address, act, .. } = change;
        let mut breaches = Vec::new();
        if !self.allowed.iter().any(|pattern| pattern.allows(address)) {
            breaches.push(format!("{address} is none of the addresses that may be changed"));
        }
        let is_moved_only = *act == Act::Nothing;
        if !matches!(act, Act::Create | Act::Update | Act::Read) && !is_moved_only {
            breaches.push(format!("{address} would {}", act.suffered()));
        }
        if let Some(from) = &change.moved_from {
            breaches.push(format!("{address} would be moved in the state, from {from}"));
        }
        if change.imported {
            breaches.push(format!("{address} would be imported into the state"));
        }
        breaches
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::{Basis, Output};
    use super::*;

    fn change(address: &str, act: Act) -> Change {
        Change { address: address.to_owned(), act, attributes: Vec::new(), moved_from: None, imported: false }
    }

    fn planned(changes: Vec<Change>) -> Planned {
        Planned {
            directory: "dns".to_owned(),
            sha256: "0".repeat(64),
            terraform: "1.11.4".to_owned(),
            basis: Basis::None,
            changes,
            drift: Vec::new(),
            outputs: Vec::new(),
            failing_checks: Vec::new(),
            strange: Vec::new(),
        }
    }

    fn policy(allowed: &[&str]) -> Policy {
        Policy { allowed: allowed.iter().map(|text| Pattern::parse(text).unwrap()).collect(), at_most: 2 }
    }

    #[test]
    fn every_breach_is_named_with_its_address() {
        let mut moved = change("a.moved", Act::Nothing);
        moved.moved_from = Some("a.before".to_owned());
        let mut imported = change("a.imported", Act::Update);
        imported.imported = true;
        let mut planned = planned(vec![
            change("a.fine", Act::Update),
            change("a.gone", Act::Delete),
            change("a.new", Act::Replace),
            change("a.left", Act::Forget),
            change("a.odd", Act::Unknown("frobnicate".to_owned())),
            moved,
            imported,
            change("a.other", Act::Create),
        ]);
        planned.outputs = vec![
            Output { name: "id".to_owned(), act: Act::Update },
            Output { name: "old".to_owned(), act: Act::Delete },
        ];
        planned.strange = vec!["deferred_changes".to_owned()];
        let names =
            ["fine", "gone", "new", "left", "odd", "moved", "imported"].map(|name| format!("a.{name}"));
        let policy = policy(&names.each_ref().map(String::as_str));
        assert_eq!(
            policy.breaches(&planned),
            [
                "the plan holds `deferred_changes`, which is not known to be harmless",
                "a.gone would be deleted",
                "a.new would be replaced",
                "a.left would be forgotten",
                "a.odd would get `frobnicate`, which is no action that is known",
                "a.moved would be moved in the state, from a.before",
                "a.imported would be imported into the state",
                "a.other is none of the addresses that may be changed",
                "the output old would be deleted",
                "8 resources would be changed; at most 2 may be",
            ]
        );
    }

    #[test]
    fn what_is_allowed_may_be_created_updated_and_read() {
        let policy = policy(&["a.b[*]", "data.a.b"]);
        for (address, act) in [("a.b[0]", Act::Create), ("a.b[0]", Act::Update), ("data.a.b", Act::Read)] {
            assert!(policy.breaches(&planned(vec![change(address, act)])).is_empty(), "{address}");
        }
    }

    #[test]
    fn an_empty_list_allows_nothing_and_an_empty_plan_is_none() {
        let one = planned(vec![change("a.b", Act::Update)]);
        assert_eq!(policy(&[]).breaches(&one), ["a.b is none of the addresses that may be changed"]);
        assert_eq!(policy(&["a.b"]).breaches(&planned(Vec::new())), ["no resource would be changed"]);
    }
}
