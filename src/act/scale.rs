//! More pods: by the number of replicas, or, where an autoscaler owns that number, by the fewest that it leaves. Never fewer, and never of none.

use jiff::Timestamp;

use super::fields::read;
use super::setting::{Setting, may_not_last, named, plain};
use super::{PlanError, Right, Wish, proper, quota, right, unread};
use crate::clients::kubernetes::{Kubernetes, Object};
use crate::incident::plan::{Kind, Plan, SetField, Target};
use crate::runbook::{Action, Field, Scale};
use crate::text::count;

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "deployments", "patch"),
    right("apps", "statefulsets", "get"),
    right("apps", "statefulsets", "patch"),
    right("autoscaling", "horizontalpodautoscalers", "list"),
    right("autoscaling", "horizontalpodautoscalers", "get"),
    right("autoscaling", "horizontalpodautoscalers", "patch"),
    right("", "resourcequotas", "list"),
];

/// The label that KEDA gives its autoscalers.
const KEDA: &str = "scaledobject.keda.sh/name";

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    wish: &Wish<'_>,
    to: Scale,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let none = |why: String| PlanError { why, for_good: true };
    if !Action::Scale.acts_on().contains(&target.kind) {
        return Err(none(format!("{target} is no Deployment or StatefulSet, and has no number of replicas")));
    }
    let object = read(kubernetes, target).await.map_err(unread)?;
    let workload = object.workload().map_err(unread)?;
    let live = u32::try_from(workload.replicas).unwrap_or_default();
    let wanted = wanted(target, to, live).map_err(none)?;
    let autoscalers = kubernetes
        .autoscalers_of(proper(target.kind), &target.namespace, &target.name)
        .await
        .map_err(unread)?;
    let (place, owner, set, more, says) = match the_only(target, &autoscalers)? {
        None => {
            let says = format!("scale {} from {live} to {wanted} replicas", named(target));
            let before = plain(target, &Field::Replicas, object.at(&Field::Replicas.path()))?;
            let set =
                SetField { field: Field::Replicas, before, after: Some(wanted.to_string()), baseline: None };
            (target.clone(), &object, set, wanted - live, says)
        }
        Some(autoscaler) => {
            let Raised { place, before, wanted } = raised(autoscaler, target, live, wanted)?;
            let says = format!(
                "raise the minReplicas of {} from {} to {wanted}, so that {} has more pods",
                named(&place),
                before.as_deref().unwrap_or("1 (the default)"),
                target.short()
            );
            let after = Some(wanted.to_string());
            let set = SetField { field: Field::MinReplicas, before, after, baseline: None };
            (place, autoscaler, set, wanted.saturating_sub(live), says)
        }
    };
    let quotas = kubernetes.quotas(&target.namespace).await.map_err(unread)?;
    let asks = object.asks();
    let against =
        quota::against(&quotas, &quota::Further { pods: more, new: &asks, replaced: 0, old: &asks })?;
    let mut touches =
        vec![format!("{} made, {} in all", count(u64::from(more), "pod is", "pods are"), live + more)];
    if place != *target {
        touches.push(format!("{} goes on by its own metrics, and leaves no fewer", place.short()));
    }
    let sets = wish.sets(place, owner, vec![set]);
    let may_not_last = may_not_last(owner);
    let setting = Setting {
        action: Action::Scale,
        target,
        workload: Some(workload),
        sets,
        says,
        touches,
        may_not_last,
        against,
    };
    setting.into_plan(now).ok_or_else(|| none(format!("nothing of {target} would be changed")))
}

/// How many there are to be; more than there are.
fn wanted(target: &Target, to: Scale, live: u32) -> Result<u32, String> {
    let have = || format!("{target} has {} already", count(u64::from(live), "replica", "replicas"));
    let asked = to.by.of(live);
    if live == 0 {
        return Err(format!("{target} has no replicas; whoever scaled it to zero has to end that"));
    }
    if live >= to.at_most {
        return Err(format!("{}, and the runbook allows no more than {}", have(), to.at_most));
    }
    match asked.min(to.at_most) {
        wanted if wanted < live => {
            Err(format!("{}, and the runbook says {wanted}: pods are never taken away", have()))
        }
        wanted if wanted == live => Err(have()),
        wanted => Ok(wanted),
    }
}

/// The autoscaler that owns the number of pods, if there is one.
fn the_only<'a>(target: &Target, autoscalers: &'a [Object]) -> Result<Option<&'a Object>, PlanError> {
    match autoscalers {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => {
            let names: Vec<_> = several.iter().map(Object::name).collect();
            let why = format!(
                "{target} has {} autoscalers ({}), which work against each other; leave one",
                names.len(),
                names.join(", ")
            );
            Err(PlanError { why, for_good: true })
        }
    }
}

/// How an autoscaler's fewest pods become more.
#[derive(Debug, PartialEq)]
struct Raised {
    place: Target,
    before: Option<String>,
    wanted: u32,
}

fn raised(autoscaler: &Object, target: &Target, live: u32, wanted: u32) -> Result<Raised, PlanError> {
    let none = |why: String| PlanError { why, for_good: true };
    let place = Target {
        kind: Kind::HorizontalPodAutoscaler,
        namespace: target.namespace.clone(),
        name: autoscaler.name().to_owned(),
    };
    let owner = autoscaler.controller();
    let keda = autoscaler.label(KEDA).map(str::to_owned);
    let keda = keda.or_else(|| owner.as_deref()?.strip_prefix("ScaledObject/").map(str::to_owned));
    if let Some(name) = keda {
        return Err(none(format!(
            "{place} is KEDA's own, and is put back from scaledobject/{name}: its minReplicaCount is what to change"
        )));
    }
    if let Some(owner) = owner {
        return Err(none(format!("{place} is controlled by {owner}, which would undo the change")));
    }
    let number = |field: &Field, path: &[String]| {
        let text = plain(&place, field, autoscaler.at(path))?;
        let number = text.as_deref().map(str::parse::<u32>).transpose();
        number
            .map(|number| (text, number))
            .map_err(|_| none(format!("the figures of {place} can not be read")))
    };
    let most = number(&Field::MinReplicas, &["spec".to_owned(), "maxReplicas".to_owned()])?.1;
    let (before, least) = number(&Field::MinReplicas, &Field::MinReplicas.path())?;
    // One that is switched off with the target at zero never comes here; without a minimum it is 1.
    let (least, most) = (least.unwrap_or(1), most.unwrap_or(live));
    if live >= most {
        return Err(none(format!(
            "{place} has {live} of at most {most} pods: its maxReplicas is what to change, by a person"
        )));
    }
    let wanted = wanted.min(most);
    if wanted <= least {
        return Err(none(format!("{place} leaves no fewer than {least} pods already")));
    }
    Ok(Raised { place, before, wanted })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn target() -> Target {
        Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    fn autoscaler(metadata: &Value) -> Object {
        let mut json = json!({"metadata": {"name": "web-hpa"}, "spec": {"minReplicas": 2, "maxReplicas": 6}});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            json["metadata"][key] = value.clone();
        }
        Object::of("horizontalpodautoscaler", json)
    }

    fn refused(metadata: &Value, live: u32, wanted: u32) -> String {
        raised(&autoscaler(metadata), &target(), live, wanted).unwrap_err().why
    }

    #[test]
    fn an_autoscaler_is_raised_up_to_its_maximum_and_never_lowered() {
        let none = json!({});
        let raised =
            |live, wanted| raised(&autoscaler(&none), &target(), live, wanted).map(|raised| raised.wanted);
        assert_eq!(raised(2, 4).unwrap(), 4);
        assert_eq!(raised(5, 9).unwrap(), 6);
        assert!(
            refused(&none, 6, 7)
                .ends_with("has 6 of at most 6 pods: its maxReplicas is what to change, by a person")
        );
        assert!(refused(&none, 1, 2).ends_with("leaves no fewer than 2 pods already"));
    }

    #[test]
    fn an_autoscaler_that_somebody_else_writes_is_left_alone() {
        let keda = json!({"labels": {"scaledobject.keda.sh/name": "web"}});
        let owner =
            |kind: &str| json!({"ownerReferences": [{"kind": kind, "name": "web", "controller": true}]});
        for metadata in [keda, owner("ScaledObject")] {
            assert_eq!(
                refused(&metadata, 2, 4),
                "horizontalpodautoscaler/web-hpa in shop is KEDA's own, and is put back from scaledobject/web: its minReplicaCount is what to change"
            );
        }
        assert!(
            refused(&owner("Service"), 2, 4)
                .ends_with("is controlled by Service/web, which would undo the change")
        );
    }

    #[test]
    fn two_autoscalers_of_one_target_are_a_reason_to_stop() {
        let all = [autoscaler(&json!({})), autoscaler(&json!({"name": "other"}))];
        assert_eq!(
            the_only(&target(), &all).unwrap_err().why,
            "deployment/web in shop has 2 autoscalers (web-hpa, other), which work against each other; leave one"
        );
    }
}
