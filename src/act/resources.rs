//! Other requests and limits of a container: a share more than it has, or exactly so much. Less only when the runbook says how much exactly.

use jiff::Timestamp;

use super::fields::read;
use super::setting::{Setting, held_back, may_not_last, placed, plain, rolls_out, says};
use super::{PlanError, Right, Wish, quota, right, unread};
use crate::clients::kubernetes::{Asks, Kubernetes, Node, Object};
use crate::incident::plan::{Plan, SetField, Target};
use crate::runbook::{Action, Amount, Field, Quantity, ResourcePart, Resources};

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "deployments", "patch"),
    right("apps", "statefulsets", "get"),
    right("apps", "statefulsets", "patch"),
    right("apps", "daemonsets", "get"),
    right("apps", "daemonsets", "patch"),
    right("", "nodes", "list"),
    right("", "resourcequotas", "list"),
];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    wish: &Wish<'_>,
    to: &Resources,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let none = |why: String| PlanError { why, for_good: true };
    let object = read(kubernetes, target).await.map_err(unread)?;
    let workload = object.workload().map_err(unread)?;
    let containers = object.containers();
    if !containers.contains(&to.container) {
        let has = containers.join(", ");
        return Err(none(format!("{target} has no container {}; it has: {has}", to.container)));
    }
    let fields = changed(target, to, &object)?;
    let (old, new) = (object.asks(), after(object.asks(), &to.container, &fields));
    if let Some(one) = new.iter().find(|one| one.name == to.container && !one.comes_first) {
        limits_hold(one).map_err(|why| none(format!("{target}: {why}")))?;
    }
    let nodes = kubernetes.nodes().await.map_err(unread)?;
    has_room(&nodes, &fields).map_err(none)?;
    let replicas = u32::try_from(workload.replicas).unwrap_or_default();
    let surges = quota::surges(&object, target, replicas);
    let further = quota::Further {
        pods: u32::from(surges),
        new: &new,
        replaced: replicas.saturating_sub(u32::from(surges)),
        old: &old,
    };
    let quotas = kubernetes.quotas(&target.namespace).await.map_err(unread)?;
    let against = match held_back(target, &workload) {
        Some(held_back) => Some(held_back),
        None => quota::against(&quotas, &further)?,
    };
    let setting = Setting {
        action: Action::Resources,
        target,
        says: says(verb(&fields), target, &fields),
        touches: vec![rolls_out(target, &workload)],
        may_not_last: may_not_last(&object),
        against,
        workload: Some(workload),
        sets: wish.sets(target.clone(), &object, fields),
    };
    setting.into_plan(now).ok_or_else(|| none(format!("nothing of {target} would be changed")))
}

/// The parts that are not as they should be already.
fn changed(target: &Target, to: &Resources, object: &Object) -> Result<Vec<SetField>, PlanError> {
    let (mut fields, mut already) = (Vec::new(), Vec::new());
    for part in &to.parts {
        let (container, resource) = (to.container.clone(), part.resource.clone());
        let field = if part.limit {
            Field::Limit { container, resource }
        } else {
            Field::Request { container, resource }
        };
        let before = plain(target, &field, object.at(&field.path()))?;
        match amount(&field, part, before.as_deref()) {
            Err(why) => return Err(PlanError { why: format!("{target}: {why}"), for_good: true }),
            Ok(after) if field.same(before.as_deref(), Some(&after)) => {
                already.push(format!("{} is {after} already", placed(&field, target)));
            }
            Ok(after) => {
                let baseline = part.baseline.map(|baseline| baseline.to_string());
                fields.push(SetField { field, before, after: Some(after), baseline });
            }
        }
    }
    if fields.is_empty() {
        return Err(PlanError { why: already.join("; "), for_good: true });
    }
    Ok(fields)
}

/// The new amount.
fn amount(field: &Field, part: &ResourcePart, live: Option<&str>) -> Result<String, String> {
    let (percent, at_most) = match part.to {
        Amount::Exactly(amount) => return Ok(amount.to_string()),
        Amount::Percent { percent, at_most } => (percent, at_most),
    };
    let Some(live) = live else { return Err(format!("there is no {field}, and so no share of it")) };
    let has: Quantity = live.parse().map_err(|_| format!("the {field} can not be read"))?;
    if has >= at_most {
        return Err(format!("the {field} is {live} already, and the runbook allows no more than {at_most}"));
    }
    let share = has.percent(percent);
    let share = if part.resource == "memory" { share.in_mebibytes() } else { share };
    // Rounded down to whole mebibytes a share can be what is there, or even less.
    Ok(share.max(has).min(at_most).to_string())
}

/// What the containers ask for afterwards.
fn after(mut asks: Vec<Asks>, container: &str, fields: &[SetField]) -> Vec<Asks> {
    for one in asks.iter_mut().filter(|one| one.name == container && !one.comes_first) {
        for set in fields {
            let (amounts, resource) = match &set.field {
                Field::Limit { resource, .. } => (&mut one.limits, resource),
                Field::Request { resource, .. } => (&mut one.requests, resource),
                Field::Replicas | Field::MinReplicas | Field::Env { .. } | Field::Unschedulable => continue,
            };
            if let Some(after) = &set.after {
                amounts.insert(resource.clone(), after.clone());
            }
        }
    }
    asks
}

/// The API server takes no limit below its request.
fn limits_hold(container: &Asks) -> Result<(), String> {
    for (resource, limit) in &container.limits {
        let Some(request) = container.requests.get(resource) else { continue };
        let (Ok(most), Ok(least)) = (limit.parse::<Quantity>(), request.parse::<Quantity>()) else {
            return Err(format!("its request and limit of {resource} can not be compared"));
        };
        if most < least {
            let name = &container.name;
            return Err(format!(
                "the {resource} limit of {name} would be {limit}, below its request of {request}"
            ));
        }
    }
    Ok(())
}

/// At least one node could have such a pod.
fn has_room(nodes: &[Node], fields: &[SetField]) -> Result<(), String> {
    let wanted: Vec<(&str, Quantity)> = fields
        .iter()
        .filter_map(|set| match &set.field {
            Field::Limit { resource, .. } | Field::Request { resource, .. } => {
                Some((resource.as_str(), set.after.as_deref()?.parse().ok()?))
            }
            Field::Replicas | Field::MinReplicas | Field::Env { .. } | Field::Unschedulable => None,
        })
        .collect();
    let has = |node: &Node, resource: &str| node.allocatable.get(resource)?.parse::<Quantity>().ok();
    let takes_pods = || nodes.iter().filter(|node| node.ready.is_true && !node.unschedulable);
    if takes_pods()
        .any(|node| wanted.iter().all(|(what, much)| has(node, what).is_some_and(|room| *much <= room)))
    {
        return Ok(());
    }
    let largest = |resource: &str| takes_pods().filter_map(|node| has(node, resource)).max();
    let lines = wanted.iter().map(|(resource, much)| match largest(resource) {
        Some(most) => format!("{much} of {resource} are wanted, and the largest node has {most}"),
        None => format!("{much} of {resource} are wanted, and no node that takes pods has any"),
    });
    Err(format!(
        "no node that is ready and takes pods could have such a pod: {}",
        lines.collect::<Vec<_>>().join("; ")
    ))
}

/// Whether it becomes more.
fn verb(fields: &[SetField]) -> &'static str {
    let grows = |set: &SetField| {
        let read = |text: &Option<String>| text.as_deref()?.parse::<Quantity>().ok();
        Some(read(&set.after)? > read(&set.before)?)
    };
    let all = |wanted: bool| fields.iter().all(|set| grows(set) == Some(wanted));
    if all(true) {
        "raise"
    } else if all(false) {
        "lower"
    } else {
        "set"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_whole_mebibytes_and_never_less_than_there_is() {
        let field = Field::Limit { container: "c".to_owned(), resource: "memory".to_owned() };
        let of = |resource: &str, live: Option<&str>, percent: u32, at_most: &str| {
            let to = Amount::Percent { percent, at_most: at_most.parse().unwrap() };
            let part = ResourcePart { limit: true, resource: resource.to_owned(), to, baseline: None };
            amount(&field, &part, live)
        };
        assert_eq!(of("memory", Some("1000Mi"), 133, "4Gi").unwrap(), "1330Mi");
        assert_eq!(of("memory", Some("1000Mi"), 1000, "4Gi").unwrap(), "4Gi");
        assert_eq!(of("memory", Some("1500k"), 101, "4Gi").unwrap(), "1500000");
        assert_eq!(of("cpu", Some("250m"), 150, "2").unwrap(), "375m");
        assert_eq!(
            of("memory", Some("4096Mi"), 150, "4Gi").unwrap_err(),
            "the memory limit of c is 4096Mi already, and the runbook allows no more than 4Gi"
        );
        assert_eq!(
            of("memory", None, 150, "4Gi").unwrap_err(),
            "there is no memory limit of c, and so no share of it"
        );
        assert!(of("memory", Some("1e9"), 150, "4Gi").is_err());
    }
}
