//! Whether the quotas of a namespace would admit further pods, or larger ones. Pure: what it asks about was read before.

use super::PlanError;
use crate::clients::kubernetes::{Asks, At, Object, Quota};
use crate::incident::plan::{Against, Target};
use crate::runbook::Quantity;

/// What is to come on top of what there is, for the time at which it is most.
#[derive(Debug, Clone)]
pub(super) struct Further<'f> {
    /// So many new pods, and as large as these ...
    pub(super) pods: u32,
    pub(super) new: &'f [Asks],
    /// ... and so many that take the place of one that is as large as these.
    pub(super) replaced: u32,
    pub(super) old: &'f [Asks],
}

/// Whether a rollout makes a new pod before it stops an old one.
pub(super) fn surges(object: &Object, target: &Target, replicas: u32) -> bool {
    let at = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        match object.at(&path) {
            At::Text(text) => Some(text),
            At::Absent | At::From(_) | At::NoItem(_) => None,
        }
    };
    if target.kind != crate::runbook::Kind::Deployment
        || at(&["spec", "strategy", "type"]).as_deref() == Some("Recreate")
    {
        return false;
    }
    // Rounded down; Kubernetes' own default is 25%.
    let unavailable =
        at(&["spec", "strategy", "rollingUpdate", "maxUnavailable"]).unwrap_or_else(|| "25%".to_owned());
    let pods = match unavailable.strip_suffix('%') {
        Some(percent) => u64::from(replicas) * percent.parse::<u64>().unwrap_or_default() / 100,
        None => unavailable.parse().unwrap_or_default(),
    };
    pods == 0
}

/// Why not, if not: which quota, which resource, what is used and what is the most.
pub(super) fn against(quotas: &[Quota], further: &Further<'_>) -> Result<Option<Against>, PlanError> {
    let unread = |quota: &Quota, resource: &str| PlanError {
        why: format!("the amounts of {resource} in resourcequota/{} can not be compared (yet)", quota.name),
        for_good: false,
    };
    for quota in quotas.iter().filter(|quota| counts(quota, further.new)) {
        for (resource, (hard, used)) in &quota.amounts {
            // A larger pod is a new one, too.
            if let Some(container) =
                unsaid(resource, further.new).filter(|_| further.pods + further.replaced > 0)
            {
                return Ok(Some(Against {
                    saw: format!(
                        "resourcequota/{} counts {resource}, and container {container} says none",
                        quota.name
                    ),
                    why: "new pods would not be admitted, unless a LimitRange gives them one, which is not looked at"
                        .to_owned(),
                    passes: false,
                }));
            }
            let unread = || unread(quota, resource);
            let Some(more) = more_of(resource, further).map_err(|()| unread())? else { continue };
            let (most, has) = (read(hard).map_err(|()| unread())?, read(used).map_err(|()| unread())?);
            if !more.is_zero() && has.plus(more) > most {
                return Ok(Some(Against {
                    saw: format!("resourcequota/{} has {used} of {hard} {resource} in use", quota.name),
                    why: format!("{more} more would be needed, and the new pods would not be admitted"),
                    passes: false,
                }));
            }
        }
    }
    Ok(None)
}

fn read(text: &str) -> Result<Quantity, ()> {
    text.parse().map_err(|_| ())
}

/// Whether the quota counts such pods. A scope that is not known counts: to be refused is better than pods that never come.
fn counts(quota: &Quota, pod: &[Asks]) -> bool {
    let asks = pod.iter().any(|one| !one.requests.is_empty() || !one.limits.is_empty());
    quota.scopes.iter().all(|scope| match scope.as_str() {
        "BestEffort" => !asks,
        "NotBestEffort" => asks,
        // Those with a time limit of their own, which a workload's pods never have.
        "Terminating" => false,
        _ => true,
    })
}

/// The first container without an amount that the API server wants to be told where a quota counts it.
fn unsaid<'p>(counted: &str, pod: &'p [Asks]) -> Option<&'p str> {
    let (limit, resource) = match counted {
        "cpu" | "requests.cpu" => (false, "cpu"),
        "memory" | "requests.memory" => (false, "memory"),
        "limits.cpu" => (true, "cpu"),
        "limits.memory" => (true, "memory"),
        _ => return None,
    };
    // Without a request it is the limit.
    let says =
        |one: &&Asks| one.limits.contains_key(resource) || !limit && one.requests.contains_key(resource);
    pod.iter().find(|one| !says(one)).map(|one| one.name.as_str())
}

/// How much more of what a quota counts; none when it is nothing that a pod has.
fn more_of(counted: &str, further: &Further<'_>) -> Result<Option<Quantity>, ()> {
    let (limit, resource) = match counted {
        "pods" | "count/pods" => return Ok(Some(Quantity::whole(u64::from(further.pods)))),
        "cpu" | "memory" | "ephemeral-storage" => (false, counted),
        _ => match (counted.strip_prefix("requests."), counted.strip_prefix("limits.")) {
            (Some(resource), _) => (false, resource),
            (_, Some(resource)) => (true, resource),
            _ => return Ok(None),
        },
    };
    let (new, old) = (of_pod(further.new, limit, resource)?, of_pod(further.old, limit, resource)?);
    Ok(Some(new.times(further.pods).plus(new.minus(old).times(further.replaced))))
}

/// What a whole pod has: its containers together, or the largest of those that come first.
fn of_pod(containers: &[Asks], limit: bool, resource: &str) -> Result<Quantity, ()> {
    let (mut together, mut first) = (Quantity::whole(0), Quantity::whole(0));
    for one in containers {
        let request = one.requests.get(resource).filter(|_| !limit);
        // Without a request it is the limit.
        let Some(amount) = request.or_else(|| one.limits.get(resource)) else { continue };
        let amount = read(amount)?;
        if one.comes_first {
            first = first.max(amount);
        } else {
            together = together.plus(amount);
        }
    }
    Ok(together.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(request: &str, limit: &str) -> Asks {
        let one = |amount: &str| [("memory".to_owned(), amount.to_owned())].into();
        Asks { name: "c".to_owned(), comes_first: false, requests: one(request), limits: one(limit) }
    }

    fn quota(scope: &str, resource: &str, hard: &str, used: &str) -> Quota {
        Quota {
            name: "q".to_owned(),
            scopes: Some(scope.to_owned()).filter(|scope| !scope.is_empty()).into_iter().collect(),
            amounts: [(resource.to_owned(), (hard.to_owned(), used.to_owned()))].into(),
        }
    }

    fn more(quota: Quota, pods: u32) -> Option<String> {
        let pod = [asks("256Mi", "512Mi"), Asks { comes_first: true, ..asks("300Mi", "300Mi") }];
        let further = Further { pods, new: &pod, replaced: 0, old: &pod };
        against(&[quota], &further).unwrap().map(|against| format!("{}; {}", against.saw, against.why))
    }

    #[test]
    fn what_a_quota_would_not_admit_is_named_with_its_figures() {
        assert_eq!(more(quota("", "pods", "5", "3"), 2), None);
        assert_eq!(
            more(quota("", "pods", "5", "4"), 2).unwrap(),
            "resourcequota/q has 4 of 5 pods in use; 2 more would be needed, and the new pods would not be admitted"
        );
        // The one that comes first asks for more than the other.
        assert_eq!(more(quota("", "requests.memory", "1Gi", "424Mi"), 2), None);
        assert!(more(quota("", "requests.memory", "1Gi", "425Mi"), 2).is_some());
        assert!(more(quota("", "limits.memory", "1Gi", "1Mi"), 2).is_some());
        assert_eq!(more(quota("", "services", "5", "5"), 2), None);
        assert_eq!(more(quota("", "requests.nvidia.com/gpu", "0", "0"), 2), None);
    }

    #[test]
    fn only_the_pods_of_its_scopes_are_counted() {
        let full = |scope: &str| more(quota(scope, "pods", "1", "1"), 1).is_some();
        assert!(full("") && full("NotTerminating") && full("NotBestEffort") && full("PriorityClass"));
        assert!(!full("Terminating") && !full("BestEffort"));
    }

    #[test]
    fn larger_pods_need_what_they_have_more_than_the_old_ones() {
        let (old, new) = ([asks("256Mi", "512Mi")], [asks("256Mi", "1Gi")]);
        let of = |pods, used: &str| {
            let further = Further { pods, new: &new, replaced: 2, old: &old };
            against(&[quota("", "limits.memory", "3Gi", used)], &further).unwrap().is_some()
        };
        assert!(!of(0, "2Gi") && of(0, "2049Mi") && of(1, "2Gi") && !of(1, "1Gi"));
    }

    #[test]
    fn a_container_that_says_nothing_of_what_is_counted_is_not_admitted() {
        let says = |counted: &str| more(quota("", counted, "9", "0"), 1);
        assert_eq!(
            says("limits.cpu").unwrap(),
            "resourcequota/q counts limits.cpu, and container c says none; new pods would not be admitted, unless a LimitRange gives them one, which is not looked at"
        );
        assert!(says("cpu").is_some() && says("requests.cpu").is_some());
        assert_eq!((says("requests.ephemeral-storage"), says("limits.nvidia.com/gpu")), (None, None));
        let limit_alone = [Asks { requests: [].into(), ..asks("0", "1Gi") }];
        assert_eq!(
            (unsaid("requests.memory", &limit_alone), unsaid("limits.memory", &limit_alone)),
            (None, None)
        );
    }

    #[test]
    fn what_can_not_be_compared_is_refused() {
        let pod = [asks("1e3", "512Mi")];
        let further = Further { pods: 1, new: &pod, replaced: 0, old: &pod };
        let error = against(&[quota("", "requests.memory", "1Gi", "0")], &further).unwrap_err();
        assert_eq!(error.why, "the amounts of requests.memory in resourcequota/q can not be compared (yet)");
    }
}
