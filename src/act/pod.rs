//! What the actions on a pod share. A uid is never given twice: that of a pod that is gone tells all, and a delete that names it can be sent again.

use super::{Followed, PlanError, result_of, unfollowed, unobserved, unread};
use crate::clients::kubernetes::{Kubernetes, Pod};
use crate::clients::{CallError, Reason};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::plan::{Against, Plan, Target};
use crate::text::span;

/// The target itself.
pub(super) async fn of(kubernetes: &Kubernetes, target: &Target) -> Result<Pod, PlanError> {
    let pod = kubernetes.pod(&target.namespace, &target.name).await.map_err(unread)?;
    pod.ok_or_else(|| PlanError { why: format!("there is no {target} any more"), for_good: true })
}

/// A pod that nothing makes anew is gone for good.
pub(super) fn lonely(pod: &Pod, target: &Target) -> Option<Against> {
    pod.owner.is_none().then(|| Against {
        saw: format!("{target} has no owner"),
        why: "nothing would make it anew".to_owned(),
        passes: false,
    })
}

/// What happens besides.
pub(super) fn replaced(pod: &Pod) -> String {
    let owner = pod.owner.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    format!("its process gets {} to end; {owner} makes a new pod", span(pod.grace))
}

/// What came of a call that names the pod's uid. That the name is another pod's by now tells that ours is gone, which was all that was wanted; the
/// server asks that pod's disruption budget before it looks at the uid.
pub(super) async fn sent(kubernetes: &Kubernetes, plan: &Plan, sent: Result<(), CallError>) -> EffectResult {
    match sent {
        Ok(()) => EffectResult::Applied,
        Err(error)
            if matches!(error.reason, Reason::Conflict | Reason::RateLimited)
                && matches!(gone(kubernetes, plan).await, Followed::Complete(_)) =>
        {
            EffectResult::Applied
        }
        Err(error) => result_of(error),
    }
}

/// Whether the pod of the plan was asked to stop, or is gone.
pub(super) async fn stopping(kubernetes: &Kubernetes, plan: &Plan) -> Observation {
    match kubernetes.pod(&plan.target.namespace, &plan.target.name).await {
        Ok(Some(pod)) if pod.uid == plan.uid && !pod.stopping => Observation::NotDone,
        Ok(_) => Observation::Done,
        Err(error) => unobserved(plan, &error),
    }
}

/// Whether the pod of the plan is gone.
pub(super) async fn gone(kubernetes: &Kubernetes, plan: &Plan) -> Followed {
    match kubernetes.pod(&plan.target.namespace, &plan.target.name).await {
        Ok(Some(pod)) if pod.uid == plan.uid => Followed::NotYet(format!("{} is stopping", plan.target)),
        Ok(_) => Followed::Complete(format!("{} is gone", plan.target)),
        Err(error) => unfollowed(plan, &error),
    }
}
