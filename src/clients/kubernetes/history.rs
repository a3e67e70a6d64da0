//! The revisions of a Deployment: what it ran before, and which change came when.
//!
//! Pure: nothing is asked here. Every revision is a `ReplicaSet` that the Deployment controls, with the whole pod template; its number is an
//! annotation. `kubectl rollout history` and `kubectl rollout undo` read the same.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1 as apps;
use serde::Deserialize as _;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::workload::{RESTARTED_AT, Workload};
use crate::text::hex;

/// The annotation that numbers the revisions.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The annotation with the numbers that a revision had before it was gone back to.
/// Source: `RevisionHistoryAnnotation` in Kubernetes' `pkg/controller/deployment/util/deployment_util.go`.
const REVISIONS_BEFORE: &str = "deployment.kubernetes.io/revision-history";
/// The label that the controller adds to the template in a `ReplicaSet`.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What a Deployment runs, and what it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The Deployment itself, read at the same moment.
    pub deployment: Workload,
    /// The pod template as it stands in the Deployment.
    pub template: Template,
    /// All revisions that Kubernetes has kept (`revisionHistoryLimit`), the newest first.
    pub revisions: Vec<Revision>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// As `kubectl rollout history` shows it; a revision that is rolled back to gets the next number.
    pub number: u64,
    /// The `ReplicaSet`.
    pub set: String,
    /// When the `ReplicaSet` was made: when this template was rolled out for the first time.
    pub created: Timestamp,
    /// It ran before, and was gone back to: when it was rolled out again is not kept.
    pub again: bool,
    /// What its pods are made from.
    pub template: Template,
}

/// A pod template, by what can be told of it without keeping its environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// SHA-256 of it.
    pub digest: String,
    /// SHA-256 of it without the annotation of `kubectl rollout restart`: equal for revisions that differ by a restart alone.
    pub lasting: String,
    /// The images of its containers, in their order.
    pub images: Vec<String>,
}

impl History {
    /// The revision that the Deployment runs.
    #[must_use]
    pub fn current(&self) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.template.digest == self.template.digest)
    }

    /// Whether what runs now is what ran before something newer: somebody has gone back already.
    #[must_use]
    pub fn was_rolled_back(&self) -> bool {
        let Some(current) = self.current() else { return false };
        // A restart since then is a new ReplicaSet of what is old all the same.
        let alike = self.revisions.iter().filter(|other| other.template.lasting == current.template.lasting);
        let first = alike.map(|alike| alike.created).min().unwrap_or(current.created);
        self.revisions.iter().any(|other| {
            other.template.lasting != current.template.lasting
                && other.number < current.number
                && other.created > first
        })
    }

    /// The newest revision before the current one that is another one, and not only a restart. None when somebody has gone back already: what
    /// came before is then what was fled from.
    #[must_use]
    pub fn previous(&self) -> Option<&Revision> {
        let current = self.current().filter(|_| !self.was_rolled_back())?;
        self.revisions.iter().find(|revision| {
            revision.number < current.number && revision.template.lasting != current.template.lasting
        })
    }

    /// The revisions that changed something, the newest first, each with the one before it. The first of all changed nothing, and neither did
    /// those that differ by a restart alone.
    pub fn changes(&self) -> impl Iterator<Item = (&Revision, &Revision)> {
        self.revisions
            .windows(2)
            .filter_map(|pair| <&[Revision; 2]>::try_from(pair).ok())
            .map(|[after, before]| (after, before))
            .filter(|(after, before)| after.template.lasting != before.template.lasting)
    }
}

impl Template {
    pub(super) fn of(template: &Value) -> Self {
        let mut lasting = template.clone();
        if let Some(annotations) = lasting.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        {
            annotations.remove(RESTARTED_AT);
        }
        if lasting
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .is_some_and(|all| all.is_empty())
            && let Some(metadata) = lasting.pointer_mut("/metadata").and_then(Value::as_object_mut)
        {
            metadata.remove("annotations");
        }
        let containers = template.pointer("/spec/containers").and_then(Value::as_array);
        let images = containers
            .into_iter()
            .flatten()
            .filter_map(|container| Some(container.get("image")?.as_str()?.to_owned()))
            .collect();
        Self { digest: digest(template), lasting: digest(&lasting), images }
    }
}

fn digest(template: &Value) -> String {
    hex(&Sha256::digest(template.to_string().as_bytes()))
}

/// The pod template of a Deployment, or of a `ReplicaSet` as its Deployment had it.
pub(super) fn template_of(object: &Value) -> Value {
    let mut template = object.pointer("/spec/template").cloned().unwrap_or_default();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(TEMPLATE_HASH);
    }
    template
}

/// The history of this Deployment, from the `ReplicaSet`s of its namespace.
///
/// # Errors
/// The answer is no Deployment.
pub(super) fn read(deployment: &Value, sets: &[Value]) -> Result<History, serde_json::Error> {
    let uid = text(deployment, "/metadata/uid");
    let mut revisions: Vec<Revision> =
        sets.iter().filter(|set| is_controlled_by(set, uid)).filter_map(revision).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    let template = Template::of(&template_of(deployment));
    Ok(History {
        deployment: Workload::from(&apps::Deployment::deserialize(deployment)?),
        template,
        revisions,
    })
}

fn revision(set: &Value) -> Option<Revision> {
    Some(Revision {
        number: set.pointer("/metadata/annotations")?.get(REVISION)?.as_str()?.parse().ok()?,
        set: text(set, "/metadata/name").to_owned(),
        created: text(set, "/metadata/creationTimestamp").parse().ok()?,
        again: set.pointer("/metadata/annotations").is_some_and(|all| all.get(REVISIONS_BEFORE).is_some()),
        template: Template::of(&template_of(set)),
    })
}

pub(super) fn is_controlled_by(set: &Value, uid: &str) -> bool {
    let owners = set.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners
        .into_iter()
        .flatten()
        .any(|owner| owner["controller"] == true && !uid.is_empty() && text(owner, "/uid") == uid)
}

pub(super) fn text<'v>(object: &'v Value, path: &str) -> &'v str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(number: u64, image: &str, restarted: Option<&str>) -> Value {
        let mut template = json!({"metadata": {"labels": {"app": "web", "pod-template-hash": format!("h{number}")}},
            "spec": {"containers": [{"name": "web", "image": image}]}});
        if let Some(at) = restarted {
            template["metadata"]["annotations"] = json!({RESTARTED_AT: at});
        }
        json!({"metadata": {"name": format!("web-h{number}"), "creationTimestamp": format!("2026-11-22T18:{number:02}:00Z"),
            "annotations": {REVISION: number.to_string()},
            "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "u", "controller": true}]},
            "spec": {"template": template}})
    }

    fn deployment(of: &Value) -> Value {
        json!({"metadata": {"uid": "u"}, "spec": {"template": template_of(of)}})
    }

    #[test]
    fn a_restart_is_no_change_and_is_not_what_is_gone_back_to() {
        let sets =
            [set(9, "web:1", None), set(10, "web:2", None), set(11, "web:2", Some("2026-11-22T18:11:00Z"))];
        let history = read(&deployment(&sets[2]), &sets).unwrap();
        assert_eq!(history.current().map(|revision| revision.number), Some(11));
        assert_eq!(
            history.previous().map(|revision| revision.number),
            Some(9),
            "10 and 11 are the same but for the restart"
        );
        let changes: Vec<_> =
            history.changes().map(|(after, before)| (after.number, before.number)).collect();
        assert_eq!(changes, [(10, 9)], "by number, not by text: 9 comes before 10");
    }

    #[test]
    fn what_another_deployment_ran_is_none_of_its_history() {
        let mut foreign = set(1, "db:1", None);
        foreign["metadata"]["ownerReferences"][0]["uid"] = json!("another");
        let own = set(2, "web:2", None);
        let history = read(&deployment(&own), &[foreign, own.clone()]).unwrap();
        assert_eq!(history.revisions.len(), 1);
        assert_eq!(history.previous(), None);
        assert_eq!(history.changes().count(), 0, "the first of all changed nothing");
    }

    #[test]
    fn after_a_rollback_nothing_leads_forward_to_what_was_fled_from() {
        // 4 runs what 2 ran: Kubernetes has renumbered its ReplicaSet, and left its age.
        let mut back = set(4, "web:1", None);
        back["metadata"]["creationTimestamp"] = json!("2026-11-22T18:02:00Z");
        let sets = [set(1, "web:0", None), set(3, "web:bad", None), back.clone()];
        let history = read(&deployment(&back), &sets).unwrap();
        assert!(history.was_rolled_back());
        assert_eq!(history.previous(), None);
        // A restart makes it a new ReplicaSet, and not a new thing.
        let restarted = set(5, "web:1", Some("2026-11-22T18:05:00Z"));
        let sets = [set(1, "web:0", None), set(3, "web:bad", None), back, restarted.clone()];
        let history = read(&deployment(&restarted), &sets).unwrap();
        assert!(history.was_rolled_back());
        assert_eq!(history.previous(), None);
    }
}
