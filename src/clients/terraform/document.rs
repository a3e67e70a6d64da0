//! What `terraform show -json PLAN` says, without the values: addresses, actions, names of attributes and outputs. The text itself shows sensitive values
//! in clear and is thrown away when it has been read.
//! Source: <https://developer.hashicorp.com/terraform/internals/json-format>.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::text::count;

/// The version of the format that is read; a new minor one only adds.
const FORMAT: &str = "1.";
/// What a plan holds that is no change by itself.
const KNOWN: [&str; 16] = [
    "format_version",
    "terraform_version",
    "variables",
    "planned_values",
    "resource_drift",
    "resource_changes",
    "output_changes",
    "prior_state",
    "configuration",
    "relevant_attributes",
    "checks",
    "timestamp",
    "applyable",
    "complete",
    "errored",
    "proposed_unknown",
];

/// A saved plan that can be applied: everything that people and a policy judge, and no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The directory, by its name in the configuration.
    pub directory: String,
    /// The hash of the saved plan: this file is applied and no other.
    pub sha256: String,
    /// Which terraform made it.
    pub terraform: String,
    /// The state that it was made from.
    pub basis: Basis,
    /// What would become of resources; those of which nothing would are not in it.
    pub changes: Vec<Change>,
    /// What somebody changed outside of terraform.
    pub drift: Vec<String>,
    /// The outputs that would change.
    pub outputs: Vec<Output>,
    /// The checks of the configuration that do not hold.
    pub failing_checks: Vec<String>,
    /// What else it holds, and this release does not know, or does not want.
    pub strange: Vec<String>,
}

/// Which state there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// It could not be told.
    Unknown,
    /// None yet.
    None,
    /// Each change of a state makes the next serial of the same lineage.
    At {
        /// A state's own id.
        lineage: String,
        /// Its version.
        serial: u64,
    },
}

/// What would become of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Such as `module.dns.aws_route53_record.main["a"]`.
    pub address: String,
    /// What would be done.
    pub act: Act,
    /// The names of those attributes that would have another value.
    pub attributes: Vec<String>,
    /// The address in the state, where it is another one.
    pub moved_from: Option<String>,
    /// It would become part of the state.
    pub imported: bool,
}

/// An output that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What would be done.
    pub act: Act,
}

/// What is done to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Nothing, but for its place in the state.
    Nothing,
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// A data source is read, which is only possible during the apply.
    Read,
    /// It is deleted, and made anew.
    Replace,
    /// It is deleted.
    Delete,
    /// It stays, and terraform knows nothing of it any more.
    Forget,
    /// Something else, in terraform's words.
    Unknown(String),
}

impl Act {
    fn of(words: &[String]) -> Self {
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["no-op"] => Self::Nothing,
            ["create"] => Self::Create,
            ["update"] => Self::Update,
            ["read"] => Self::Read,
            ["delete", "create"] | ["create", "delete"] => Self::Replace,
            ["delete"] => Self::Delete,
            ["forget"] | ["create", "forget"] | ["forget", "create"] => Self::Forget,
            other => Self::Unknown(other.join(" and ")),
        }
    }

    /// What it is called before an address: `update a.b`.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Nothing => "move",
            Self::Create => "create",
            Self::Update => "update",
            Self::Read => "read",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Forget => "forget",
            Self::Unknown(word) => word,
        }
    }

    /// What would happen to it, after `would`.
    pub(super) fn suffered(&self) -> String {
        match self {
            Self::Nothing => "stay".to_owned(),
            Self::Create => "be created".to_owned(),
            Self::Update => "be updated".to_owned(),
            Self::Read => "be read".to_owned(),
            Self::Replace => "be replaced".to_owned(),
            Self::Delete => "be deleted".to_owned(),
            Self::Forget => "be forgotten".to_owned(),
            Self::Unknown(word) => format!("get `{word}`, which is no action that is known"),
        }
    }
}

impl Change {
    /// `update aws_route53_record.a (ttl, records)`.
    #[must_use]
    pub fn says(&self) -> String {
        let names = match (&self.act, self.attributes.as_slice()) {
            (Act::Update | Act::Replace, names @ [_, ..]) => format!(" ({})", names.join(", ")),
            _ => String::new(),
        };
        format!("{} {}{names}", self.act.word(), self.address)
    }
}

impl Planned {
    /// `2 to create, 1 to update`; the changes themselves are lines of their own.
    #[must_use]
    pub fn says(&self) -> String {
        let acts: BTreeSet<&Act> = self.changes.iter().map(|change| &change.act).collect();
        let number = |act: &Act| self.changes.iter().filter(|change| change.act == *act).count();
        let mut parts: Vec<String> =
            acts.into_iter().map(|act| format!("{} to {}", number(act), act.word())).collect();
        if !self.outputs.is_empty() {
            let outputs = u64::try_from(self.outputs.len()).unwrap_or(u64::MAX);
            parts.push(format!("{} to change", count(outputs, "output", "outputs")));
        }
        parts.join(", ")
    }
}

#[derive(Deserialize)]
struct Document {
    format_version: String,
    terraform_version: String,
    #[serde(default)]
    resource_changes: Vec<Resource>,
    #[serde(default)]
    resource_drift: Vec<Resource>,
    #[serde(default)]
    output_changes: std::collections::BTreeMap<String, Changed>,
    #[serde(default)]
    checks: Vec<Check>,
    applyable: bool,
    complete: bool,
    errored: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Resource {
    address: String,
    previous_address: Option<String>,
    deposed: Option<String>,
    change: Changed,
}

#[derive(Deserialize)]
struct Changed {
    actions: Vec<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    after_unknown: Value,
    importing: Option<Value>,
}

#[derive(Deserialize)]
struct Check {
    address: CheckAddress,
    status: String,
}

#[derive(Deserialize)]
struct CheckAddress {
    to_display: String,
}

/// Reads it; the error says what keeps the plan from being used.
pub(super) fn read(text: &[u8]) -> Result<Planned, String> {
    // What serde says of a text it can not read may quote it.
    let document: Document = serde_json::from_slice(text).map_err(|error| {
        format!("what terraform shows of its plan can not be read ({:?})", error.classify())
    })?;
    if !document.format_version.starts_with(FORMAT) {
        return Err(format!(
            "terraform shows its plan in format {:?}; expected {FORMAT}x",
            document.format_version.chars().take(20).collect::<String>()
        ));
    }
    if document.errored || !document.complete || !document.applyable {
        return Err(format!(
            "the plan is not one that can be used (complete: {}, applyable: {}, errored: {})",
            document.complete, document.applyable, document.errored
        ));
    }
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let strange =
        document.rest.iter().filter(|(name, value)| !KNOWN.contains(&name.as_str()) && !is_empty(value));
    let failing = document.checks.iter().filter(|check| !matches!(check.status.as_str(), "pass" | "unknown"));
    let output = |(name, changed): (&String, &Changed)| {
        let act = Act::of(&changed.actions);
        (act != Act::Nothing).then(|| Output { name: name.clone(), act })
    };
    Ok(Planned {
        directory: String::new(),
        sha256: String::new(),
        terraform: document.terraform_version,
        basis: Basis::Unknown,
        changes: document.resource_changes.iter().filter_map(change).collect(),
        drift: document.resource_drift.iter().map(|resource| resource.address.clone()).collect(),
        outputs: document.output_changes.iter().filter_map(output).collect(),
        failing_checks: failing.map(|check| check.address.to_display.clone()).collect(),
        strange: strange.map(|(name, _)| name.clone()).collect(),
    })
}

/// What would become of it; none when nothing would.
fn change(resource: &Resource) -> Option<Change> {
    let Resource { address, previous_address, deposed, change } = resource;
    let act = Act::of(&change.actions);
    let moved_from = previous_address.clone().filter(|before| before != address);
    let imported = change.importing.as_ref().is_some_and(|importing| !importing.is_null());
    if act == Act::Nothing && moved_from.is_none() && !imported {
        return None;
    }
    let address = match deposed {
        Some(key) => format!("{address} (deposed object {key})"),
        None => address.clone(),
    };
    Some(Change { address, act, attributes: attributes(change), moved_from, imported })
}

/// The names of those attributes whose value changes, or may.
fn attributes(change: &Changed) -> Vec<String> {
    let none = Map::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| none.clone());
    let (before, after) = (object(&change.before), object(&change.after));
    let unknown = object(&change.after_unknown);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).chain(unknown.keys()).collect();
    let changes = |name: &&&String| {
        let is_unknown = unknown.get(**name).is_some_and(holds_true);
        is_unknown || before.get(**name).unwrap_or(&Value::Null) != after.get(**name).unwrap_or(&Value::Null)
    };
    names.iter().filter(changes).map(|name| (**name).clone()).collect()
}

fn holds_true(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        Value::Array(items) => items.iter().any(holds_true),
        Value::Object(items) => items.values().any(holds_true),
        Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

/// What `terraform state pull` says of the state; nothing else of it is kept.
pub(super) fn basis(text: &[u8]) -> Basis {
    #[derive(Deserialize)]
    struct State {
        lineage: String,
        serial: u64,
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Basis::None;
    }
    let state = serde_json::from_slice(text);
    state.map_or(Basis::Unknown, |State { lineage, serial }| Basis::At { lineage, serial })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/terraform");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn says(planned: &Planned) -> Vec<String> {
        let outputs =
            planned.outputs.iter().map(|output| format!("{} output {}", output.act.word(), output.name));
        planned.changes.iter().map(Change::says).chain(outputs).collect()
    }

    #[test]
    fn what_a_real_plan_would_do_is_told_without_a_value() {
        let planned = read(&recorded("plan-create-update-delete-replace.json")).unwrap();
        assert_eq!(
            says(&planned),
            [
                "delete terraform_data.many[\"a\"]",
                "create terraform_data.many[\"c\"]",
                "replace terraform_data.rep (id, output, triggers_replace)",
                "replace terraform_data.slow (id, input, output, triggers_replace)",
                "update terraform_data.upd (input, output)",
                "update output o",
            ]
        );
        assert_eq!(planned.says(), "1 to create, 1 to update, 2 to replace, 1 to delete, 1 output to change");
        for name in ["plan-create-update-delete-replace.json", "plan-create.json"] {
            let planned = read(&recorded(name)).unwrap();
            let all = format!("{planned:?} {}", serde_json::to_string(&planned).unwrap());
            assert!(!all.contains("hunter2"), "{all}");
        }
    }

    #[test]
    fn what_is_rare_is_seen_too() {
        let planned = read(&recorded("plan-forget-import-move-read.json")).unwrap();
        assert_eq!(
            says(&planned),
            [
                "read data.terraform_remote_state.x",
                "forget terraform_data.a",
                "create terraform_data.c",
                "create terraform_data.d",
                "move terraform_data.imp",
                "create output x",
            ]
        );
        assert!(planned.changes[4].imported);
        assert_eq!(planned.failing_checks, ["check.c"]);
        assert_eq!(planned.strange, Vec::<String>::new());
    }

    #[test]
    fn a_plan_that_errored_can_not_be_used_although_its_file_is_there() {
        let error = read(&recorded("plan-errored.json")).unwrap_err();
        assert_eq!(
            error,
            "the plan is not one that can be used (complete: false, applyable: false, errored: true)"
        );
    }

    #[test]
    fn what_is_not_known_is_not_taken_for_harmless() {
        let mut plan: Value = serde_json::from_slice(&recorded("plan-create.json")).unwrap();
        plan["deferred_changes"] = serde_json::json!([{"reason": "provider_config_unknown"}]);
        plan["action_invocations"] = serde_json::json!([]);
        plan["something_new"] = serde_json::json!({"a": "hunter2"});
        let text = plan.to_string();
        assert_eq!(read(text.as_bytes()).unwrap().strange, ["deferred_changes", "something_new"]);
        for field in ["complete", "applyable", "errored", "format_version", "terraform_version"] {
            let mut plan = plan.clone();
            plan.as_object_mut().unwrap().remove(field);
            let error = read(plan.to_string().as_bytes()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        plan["format_version"] = "2.0".into();
        assert!(read(plan.to_string().as_bytes()).is_err());
    }

    #[test]
    fn moved_and_deposed_objects_are_changes() {
        let resource = |text: &str| change(&serde_json::from_str(text).unwrap());
        let moved = r#"{"address": "a.c", "previous_address": "a.b", "change": {"actions": ["no-op"]}}"#;
        assert_eq!(resource(moved).unwrap().moved_from.as_deref(), Some("a.b"));
        let deposed = r#"{"address": "a.c", "deposed": "1234", "change": {"actions": ["delete"]}}"#;
        assert_eq!(resource(deposed).unwrap().address, "a.c (deposed object 1234)");
        assert!(resource(r#"{"address": "a.c", "change": {"actions": ["no-op"]}}"#).is_none());
        let new = r#"{"address": "a.c", "change": {"actions": ["update", "frobnicate"]}}"#;
        assert_eq!(resource(new).unwrap().act, Act::Unknown("update and frobnicate".to_owned()));
    }

    #[test]
    fn of_a_state_only_its_version_is_read() {
        let state = br#"{"version": 4, "serial": 3, "lineage": "l", "outputs": {"o": {"value": "hunter2"}}}"#;
        assert_eq!(basis(state), Basis::At { lineage: "l".to_owned(), serial: 3 });
        assert_eq!(basis(b"\n"), Basis::None);
        assert_eq!(basis(b"{}"), Basis::Unknown);
    }
}
