//! What the actions that set fields have in common: how a plan of them is made, how a value is read and said, and what may undo it.

use jiff::Timestamp;

use super::{GRACE, PlanError, Wish, proper};
use crate::clients::kubernetes::{At, Keeper, Object, Workload};
use crate::incident::plan::{Against, Change, Circumstances, Plan, SetField, Sets, Target};
use crate::runbook::{Action, Field, Kind};
use crate::text::count;

/// A plan that sets fields, before it is one.
#[derive(Debug)]
pub(super) struct Setting<'s> {
    pub(super) action: Action,
    pub(super) target: &'s Target,
    /// What is rolled out; none where nothing is.
    pub(super) workload: Option<Workload>,
    pub(super) sets: Sets,
    pub(super) says: String,
    pub(super) touches: Vec<String>,
    pub(super) may_not_last: Vec<String>,
    pub(super) against: Option<Against>,
}

impl Setting<'_> {
    /// The plan; none when nothing is set.
    pub(super) fn into_plan(self, now: Timestamp) -> Option<Plan> {
        let first = self.sets.fields.first()?;
        let after = first.after.clone().unwrap_or_else(|| or_nothing(None).to_owned());
        let change = Change {
            field: written(&first.field),
            before: first.before.clone(),
            judged: after.clone(),
            after,
        };
        let around = Circumstances {
            may_not_last: self.may_not_last,
            against: self.against,
            ..Circumstances::default()
        };
        let (uid, circumstances, settles_within) = match self.workload {
            Some(workload) => {
                let circumstances = Circumstances {
                    paused: workload.paused,
                    replicas: u32::try_from(workload.replicas).unwrap_or_default(),
                    rollout_in_progress: workload.rolling_out,
                    controller: workload.controller,
                    ..around
                };
                (workload.uid, circumstances, workload.progress_deadline + GRACE)
            }
            None => (self.sets.uid.clone(), around, GRACE),
        };
        Some(Plan {
            uid,
            says: self.says,
            change,
            touches: self.touches,
            sets: Some(self.sets),
            circumstances,
            settles_within,
            ..Plan::bare(self.action, self.target.clone(), now)
        })
    }
}

impl Wish<'_> {
    /// These fields of an object as it was read, for as long as is wished.
    pub(super) fn sets(&self, place: Target, object: &Object, fields: Vec<SetField>) -> Sets {
        let make_it_last = self.make_it_last.map(str::to_owned);
        Sets { object: place, uid: object.uid().to_owned(), fields, stays: self.stays, make_it_last }
    }
}

/// `spec.template.spec.containers[web].resources.limits.memory`.
fn written(field: &Field) -> String {
    let mut text = String::new();
    for part in field.path() {
        if !text.is_empty() && !part.starts_with('[') {
            text.push('.');
        }
        text.push_str(&part);
    }
    text
}

/// A value as people read it.
pub(super) fn or_nothing(value: Option<&str>) -> &str {
    match value {
        None => "nothing",
        Some("") => "an empty text",
        Some(value) => value,
    }
}

/// `deployment/web of shop`.
pub(super) fn named(object: &Target) -> String {
    // It is in no namespace.
    if object.kind == Kind::Node {
        return object.short();
    }
    format!("{} of {}", object.short(), object.namespace)
}

/// The field as people say it: a variable has a name of its own.
fn the(field: &Field) -> String {
    match field {
        Field::Limit { .. } | Field::Request { .. } => format!("the {field}"),
        Field::Replicas | Field::MinReplicas | Field::Env { .. } | Field::Unschedulable => field.to_string(),
    }
}

/// `the memory limit of web in deployment/web of shop`.
pub(super) fn placed(field: &Field, object: &Target) -> String {
    format!("{} in {}", the(field), named(object))
}

/// The change in an operator's words: `raise the memory limit of web in deployment/web of shop from 512Mi to 1Gi`.
pub(super) fn says(verb: &str, object: &Target, fields: &[SetField]) -> String {
    let values = |set: &SetField| {
        let after = or_nothing(set.field.or_absent(set.after.as_deref()));
        match set.field.or_absent(set.before.as_deref()) {
            None => format!("to {after}, where there was nothing"),
            before => format!("from {} to {after}", or_nothing(before)),
        }
    };
    match fields {
        [one] => format!("{verb} {} {}", placed(&one.field, object), values(one)),
        several => {
            let parts: Vec<_> =
                several.iter().map(|set| format!("{} {}", the(&set.field), values(set))).collect();
            format!("{verb} {} in {}", parts.join(" and "), named(object))
        }
    }
}

/// What a new pod template does.
pub(super) fn rolls_out(target: &Target, workload: &Workload) -> String {
    let pods = count(u64::try_from(workload.replicas).unwrap_or_default(), "pod is", "pods are");
    format!("{pods} replaced by the {}'s own rollout strategy", proper(target.kind))
}

/// A new template that does not replace every pod.
pub(super) fn held_back(target: &Target, workload: &Workload) -> Option<Against> {
    workload.held_back.as_ref().map(|how| Against {
        saw: format!("the updateStrategy of {target} {how}"),
        why: "a new template would not replace every pod".to_owned(),
        passes: false,
    })
}

/// What may undo a change of this object, in sentences.
pub(super) fn may_not_last(object: &Object) -> Vec<String> {
    let line = |keeper: Keeper| match keeper {
        Keeper::ArgoCd(name) => {
            format!(
                "Argo CD's application {name} undoes this within seconds if it has selfHeal, else with its next sync"
            )
        }
        Keeper::Kustomization(name) => {
            format!("Flux's kustomization {name} undoes this with its next reconciliation")
        }
        Keeper::HelmRelease(name) => {
            format!("Flux's helmrelease {name} overwrites this with its next upgrade")
        }
        Keeper::Helm(name) => format!("the next upgrade of the Helm release {name} overwrites this"),
        Keeper::Instance(name) => format!(
            "its label app.kubernetes.io/instance is {name}: if that is an application of Argo CD with selfHeal, it undoes this"
        ),
    };
    object.keepers().into_iter().map(line).collect()
}

/// A plain value, or that there is none.
pub(super) fn plain(target: &Target, field: &Field, at: At) -> Result<Option<String>, PlanError> {
    let why = match at {
        At::Text(text) => return Ok(Some(text)),
        At::Absent => return Ok(None),
        At::From(source) => format!("{} comes from {source}, and is changed there", placed(field, target)),
        At::NoItem(name) => format!("{target} has no container {name}"),
    };
    Err(PlanError { why, for_good: true })
}

/// What is there, for people. Where it comes from is said, and not what it is there.
pub(super) fn said(field: &Field, at: &At) -> String {
    match at {
        At::Text(text) => or_nothing(Some(field.shown(text))).to_owned(),
        At::Absent => or_nothing(field.or_absent(None)).to_owned(),
        At::From(source) => format!("taken from {source}"),
        At::NoItem(name) => format!("gone with its container {name}"),
    }
}

/// Who wrote it, as far as that can be told.
pub(super) fn writer(object: &Object, field: &Field) -> String {
    match object.written_by(&field.path()) {
        Some(writer) => format!("written by {writer}"),
        // Nobody owns what was removed.
        None => "by whom can not be told".to_owned(),
    }
}

/// Whether what is there is this value.
pub(super) fn is(field: &Field, at: &At, value: Option<&str>) -> bool {
    match at {
        At::Text(live) => field.same(Some(live), value),
        At::Absent => field.same(None, value),
        At::From(_) => false,
        // Without its container the value is not there either; but only nothing can be the same as that.
        At::NoItem(_) => value.is_none(),
    }
}
