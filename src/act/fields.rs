//! Values of an object that are set, all of them by one patch or none, on the condition that each still is what the plan saw: compare and swap.
//!
//! The values are the idempotency key. Seen with all values ours, it happened; with all of them as before, it did not; anything else is somebody
//! else's, and ambiguous. `revert` is the same with the values exchanged.

use super::setting::{is, or_nothing, placed, said, writer};
use super::{Followed, Reverted, Right, result_of, right, rolled_out, unfollowed, unobserved, void};
use crate::clients::kubernetes::{FieldPatch, Kubernetes, Object, Plain, SetTo, Workload};
use crate::clients::{CallError, Reason};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Plan, SetField, Sets, Target};

/// The rights that putting back needs.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "deployments", "patch"),
    right("apps", "statefulsets", "get"),
    right("apps", "statefulsets", "patch"),
    right("apps", "daemonsets", "get"),
    right("apps", "daemonsets", "patch"),
    right("autoscaling", "horizontalpodautoscalers", "get"),
    right("autoscaling", "horizontalpodautoscalers", "patch"),
];

pub(super) async fn read(kubernetes: &Kubernetes, object: &Target) -> Result<Object, CallError> {
    kubernetes.object(object.kind.as_str(), &object.namespace, &object.name).await
}

/// The patch that writes one side of each field.
fn patch(
    object: &Object,
    fields: &[SetField],
    to: impl Fn(&SetField) -> Option<&str>,
) -> Result<FieldPatch, CallError> {
    let paths: Vec<Vec<String>> = fields.iter().map(|set| set.field.path()).collect();
    let mut sets = Vec::with_capacity(fields.len());
    for (set, path) in fields.iter().zip(&paths) {
        let plain = match &set.field {
            field if field.is_number() => Plain::Number,
            field if field.is_boolean() => Plain::Boolean,
            _ => Plain::Text,
        };
        sets.push(SetTo { path, to: set.field.or_absent(to(set)), plain });
    }
    object.patch(&sets)
}

/// The patch that sets them.
pub(super) fn patch_of(object: &Object, sets: &Sets) -> Result<FieldPatch, CallError> {
    patch(object, &sets.fields, |set| set.after.as_deref())
}

/// The workload that a change of `object` is about: the object itself, or the target of an autoscaler. A node has none, and rolls nothing out.
pub(super) async fn workload_of(
    kubernetes: &Kubernetes,
    place: &Target,
    object: &Object,
    target: &Target,
) -> Result<Option<Workload>, CallError> {
    if place.kind.is_workload() {
        return object.workload().map(Some);
    }
    if !target.kind.is_workload() {
        return Ok(None);
    }
    read(kubernetes, target).await?.workload().map(Some)
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let refused = |reason: Reason, message: String| EffectResult::Refused {
        reason: reason.as_str().to_owned(),
        message,
    };
    let Some(sets) = &plan.sets else {
        return refused(Reason::ClientError, "the plan sets no fields".to_owned());
    };
    let object = match read(kubernetes, &sets.object).await {
        Ok(object) => object,
        Err(error) => return result_of(error),
    };
    match seen(sets, &object) {
        Observation::Done => return EffectResult::Applied,
        Observation::NotDone => {}
        Observation::Ambiguous { saw } | Observation::Partly { saw } | Observation::Unseen { why: saw } => {
            return refused(Reason::Conflict, saw);
        }
    }
    let patch = match patch_of(&object, sets) {
        Ok(patch) => patch,
        Err(error) => return result_of(error),
    };
    // Reading may have taken long, and a permit is for now.
    if let Some(late) = void(&permit, clock::now()) {
        return late;
    }
    match kubernetes.patch_fields(patch).await {
        Ok(()) => EffectResult::Applied,
        // Sent a second time it finds its own work done.
        Err(error)
            if error.reason == Reason::Conflict && observe(kubernetes, plan).await == Observation::Done =>
        {
            EffectResult::Applied
        }
        Err(error) => result_of(error),
    }
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    let Some(sets) = &plan.sets else {
        return Observation::Ambiguous { saw: "the plan sets no fields".to_owned() };
    };
    match read(kubernetes, &sets.object).await {
        Ok(object) => seen(sets, &object),
        Err(error) if error.reason == Reason::NotFound => {
            Observation::Ambiguous { saw: format!("{} is gone", sets.object) }
        }
        Err(error) => unobserved(plan, &error),
    }
}

/// What the live object says about the call.
pub(super) fn seen(sets: &Sets, object: &Object) -> Observation {
    if object.uid() != sets.uid {
        let saw = format!("{} is another object of the same name (uid {})", sets.object, object.uid());
        return Observation::Ambiguous { saw };
    }
    let all = |side: fn(&SetField) -> Option<&str>| {
        sets.fields.iter().all(|set| is(&set.field, &object.at(&set.field.path()), side(set)))
    };
    if all(|set| set.after.as_deref()) {
        return Observation::Done;
    }
    if all(|set| set.before.as_deref()) {
        return Observation::NotDone;
    }
    let strange = |set: &SetField| {
        let live = object.at(&set.field.path());
        let how =
            match (is(&set.field, &live, set.after.as_deref()), is(&set.field, &live, set.before.as_deref()))
            {
                (true, _) => "as we would leave it".to_owned(),
                (_, true) => "as before".to_owned(),
                _ => format!(
                    "neither {} (ours) nor {} (before), {}",
                    or_nothing(set.after.as_deref()),
                    or_nothing(set.before.as_deref()),
                    writer(object, &set.field)
                ),
            };
        format!("{} is {}, {how}", set.field, said(&set.field, &live))
    };
    let saw: Vec<String> = sets.fields.iter().map(strange).collect();
    Observation::Ambiguous { saw: format!("{}: {}", sets.object, saw.join("; ")) }
}

pub(super) async fn follow(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    let Some(sets) = &plan.sets else { return Followed::Overtaken("the plan sets no fields".to_owned()) };
    let object = match read(kubernetes, &sets.object).await {
        Ok(object) => object,
        Err(error) if error.reason == Reason::NotFound => {
            return Followed::Overtaken(format!("{} is gone", sets.object));
        }
        Err(error) => return Followed::Unseen(error.to_string()),
    };
    let seen = seen(sets, &object);
    if seen == Observation::NotDone {
        let back = |set: &SetField| {
            let before = or_nothing(set.before.as_deref());
            format!(
                "{} was put back to {before}, {}",
                placed(&set.field, &sets.object),
                writer(&object, &set.field)
            )
        };
        return Followed::Overtaken(sets.fields.iter().map(back).collect::<Vec<_>>().join("; "));
    }
    let workload = match workload_of(kubernetes, &sets.object, &object, &plan.target).await {
        Ok(Some(workload)) => workload,
        Ok(None) => return set_is_all(sets, seen),
        Err(error) => return unfollowed(plan, &error),
    };
    // An autoscaler needs its time to notice.
    let pods = sets.fields.iter().filter(|set| set.field.is_number());
    let wanted = pods.filter_map(|set| set.after.as_deref()?.parse::<i32>().ok()).max();
    if let Some(wanted) = wanted.filter(|wanted| seen == Observation::Done && workload.replicas < *wanted) {
        return Followed::NotYet(format!("{} has {} of {wanted} replicas", plan.target, workload.replicas));
    }
    rolled_out(plan, workload, seen)
}

/// Where nothing is rolled out, what is set is complete.
fn set_is_all(sets: &Sets, seen: Observation) -> Followed {
    match seen {
        Observation::Done => {
            let one = |set: &SetField| {
                let after = or_nothing(set.field.or_absent(set.after.as_deref()));
                format!("{} is {after}", placed(&set.field, &sets.object))
            };
            Followed::Complete(sets.fields.iter().map(one).collect::<Vec<_>>().join("; "))
        }
        Observation::NotDone => Followed::Overtaken(format!("{} is as before", sets.object)),
        Observation::Ambiguous { saw } | Observation::Partly { saw } | Observation::Unseen { why: saw } => {
            Followed::Overtaken(saw)
        }
    }
}

/// Puts every field back that the plan set, when all of them are as it left them.
pub(super) async fn revert(kubernetes: &Kubernetes, permit: Permit) -> Reverted {
    let Some(sets) = &permit.plan().sets else { return Reverted::Nothing };
    let object = match read(kubernetes, &sets.object).await {
        Ok(object) => object,
        Err(error) if error.reason == Reason::NotFound => {
            return Reverted::LeftAlone(format!("{} is gone", sets.object));
        }
        Err(error) => return Reverted::Failed(error.to_string()),
    };
    match seen(sets, &object) {
        Observation::NotDone => return Reverted::Done,
        Observation::Done => {}
        Observation::Ambiguous { saw } | Observation::Partly { saw } | Observation::Unseen { why: saw } => {
            return Reverted::LeftAlone(saw);
        }
    }
    let patch = match patch(&object, &sets.fields, |set| set.before.as_deref()) {
        Ok(patch) => patch,
        Err(error) => return Reverted::Failed(error.to_string()),
    };
    if let Some(EffectResult::NotTaken { message, .. }) = void(&permit, clock::now()) {
        return Reverted::Failed(message);
    }
    match kubernetes.patch_fields(patch).await {
        Ok(()) => Reverted::Done,
        Err(error) => Reverted::Failed(error.to_string()),
    }
}
