//! Eviction of a pod, as `kubectl drain` does it: the API server asks the disruption budgets, and can refuse. A refusal is an answer; it is
//! never a reason to delete the pod instead.

use jiff::Timestamp;

use super::pod::{self, gone};
use super::{Followed, GRACE, PlanError, Right, right, unread};
use crate::clients::kubernetes::{Budget, Kubernetes};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Against, Change, Circumstances, Plan, Target};
use crate::runbook::Action;

/// The rights that it needs.
pub(super) const RIGHTS: &[Right] = &[
    right("", "pods", "get"),
    right("policy", "poddisruptionbudgets", "list"),
    right("", "pods/eviction", "create"),
];

pub(super) async fn plan(
    kubernetes: &Kubernetes,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let pod = pod::of(kubernetes, target).await?;
    let mut against = pod::lonely(&pod, target);
    if pod.stopping {
        against = Some(Against {
            saw: format!("{target} is stopping already"),
            why: "an eviction would change nothing".to_owned(),
            passes: true,
        });
    }
    let budgets = kubernetes.disruption_budgets(&target.namespace).await.map_err(unread)?;
    let own: Vec<&Budget> = budgets.iter().filter(|budget| budget.protects(&pod)).collect();
    // One that is not ready counts as lost already, and the server may well allow it.
    let refuses = own.iter().find(|budget| pod.ready && budget.allowed < 1);
    if against.is_none() && own.len() > 1 {
        let names: Vec<&str> = own.iter().map(|budget| budget.name.as_str()).collect();
        against = Some(Against {
            saw: format!("{target} has several disruption budgets: {}", names.join(", ")),
            // With status 500. Source: `EvictionREST.Create` in Kubernetes' `pkg/registry/core/pod/storage/eviction.go`.
            why: "the API server evicts no pod that has more than one; narrow their selectors".to_owned(),
            passes: false,
        });
    }
    if let Some(budget) = refuses.filter(|_| against.is_none()) {
        against = Some(Against {
            saw: format!(
                "poddisruptionbudget/{} allows no eviction: {} of its pods are healthy, {} have to be",
                budget.name, budget.healthy, budget.wanted
            ),
            why: "an eviction that a budget refuses never becomes a delete".to_owned(),
            passes: true,
        });
    }
    Ok(Plan {
        says: format!("evict {target}"),
        change: Change {
            field: "metadata.deletionTimestamp".to_owned(),
            before: None,
            after: "now".to_owned(),
            judged: "now".to_owned(),
        },
        touches: vec![pod::replaced(&pod)],
        circumstances: Circumstances { against, ..Circumstances::default() },
        settles_within: pod.grace + GRACE,
        uid: pod.uid,
        ..Plan::bare(Action::Evict, target.clone(), now)
    })
}

pub(super) async fn apply(kubernetes: &Kubernetes, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let sent = kubernetes.evict_pod(&plan.target.namespace, &plan.target.name, &plan.uid).await;
    pod::sent(kubernetes, plan, sent).await
}

pub(super) async fn observe(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    pod::stopping(kubernetes, plan).await
}

pub(super) async fn follow(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    gone(kubernetes, plan).await
}
