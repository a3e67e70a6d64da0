//! What the answers of other systems mean for a plan and its effect, the same for every action.

use jiff::Timestamp;

use super::{Followed, PlanError};
use crate::clients::kubernetes::{Rollout, Workload};
use crate::clients::{CallError, Reason};
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::Plan;
use crate::runbook::Kind;
use crate::text::count;

/// The kind as its documentation writes it.
pub(super) const fn proper(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployment => "Deployment",
        Kind::StatefulSet => "StatefulSet",
        Kind::DaemonSet => "DaemonSet",
        Kind::Pod => "Pod",
        Kind::Node => "Node",
        Kind::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
        Kind::Certificate => "certificate",
        Kind::Terraform => "directory of terraform",
    }
}

/// A permit that has run out allows nothing.
pub(super) fn void(permit: &Permit, now: Timestamp) -> Option<EffectResult> {
    (now > permit.not_after()).then(|| EffectResult::NotTaken {
        reason: Reason::Timeout.as_str().to_owned(),
        message: "the permit had run out before the call was made".to_owned(),
    })
}

/// Why no plan can be made of a target that could not be read.
pub(super) fn unread(error: CallError) -> PlanError {
    let for_good = matches!(error.reason, Reason::NotFound | Reason::ClientError);
    PlanError { why: error.to_string(), for_good }
}

/// Whether a rollout that an effect began has come to its end. `seen`: what the object says about the effect.
pub(super) fn rolled_out(plan: &Plan, deployment: Workload, seen: Observation) -> Followed {
    match seen {
        Observation::Done => {}
        Observation::NotDone | Observation::Partly { .. } | Observation::Unseen { .. } => {
            return Followed::Overtaken(format!(
                "the {} of {} was put back",
                plan.action.as_str(),
                plan.target
            ));
        }
        Observation::Ambiguous { saw } => return Followed::Overtaken(saw),
    }
    if deployment.paused {
        return Followed::Overtaken(format!("{} was paused while it rolled out", plan.target));
    }
    match deployment.rollout {
        Rollout::Complete { ready } => Followed::Complete(format!(
            "{} new and available",
            count(u64::try_from(ready).unwrap_or_default(), "pod is", "pods are")
        )),
        Rollout::InProgress { what, .. } => Followed::NotYet(what),
        // Going back to a ReplicaSet that is there already leaves the condition of the rollout before standing until something moves.
        Rollout::Failed { what, since } if since.is_some_and(|since| since < plan.made_at) => {
            Followed::NotYet(format!("{what} (before this {})", plan.action.as_str()))
        }
        Rollout::Failed { what, .. } => Followed::Failed(what),
    }
}

/// A target that could not be looked at.
pub(super) fn unfollowed(plan: &Plan, error: &CallError) -> Followed {
    match error.reason {
        Reason::NotFound => Followed::Overtaken(format!("{} is gone", plan.target)),
        _ => Followed::Unseen(error.to_string()),
    }
}

/// What a look at the target that failed says about the effect.
pub(super) fn unobserved(plan: &Plan, error: &CallError) -> Observation {
    match error.reason {
        Reason::NotFound => Observation::Ambiguous { saw: format!("{} is gone", plan.target) },
        _ => Observation::Unseen { why: error.to_string() },
    }
}

/// Another object of the same name tells nothing.
pub(super) fn another(plan: &Plan, uid: &str) -> Option<Observation> {
    (uid != plan.uid).then(|| Observation::Ambiguous {
        saw: format!("{} is another object of the same name (uid {uid})", plan.target),
    })
}

/// Nothing was sent, as something could not be read before.
pub(super) fn unsent(error: &CallError) -> EffectResult {
    match result_of(error.clone()) {
        EffectResult::Unclear { reason, message } => EffectResult::NotTaken { reason, message },
        told => told,
    }
}

/// What a failed write means for its effect.
pub(super) fn result_of(error: CallError) -> EffectResult {
    let (reason, message) = (error.reason.as_str().to_owned(), error.to_string());
    match error.reason {
        // One 403 is no proof: an API server that has just started was seen to refuse what it allows.
        Reason::RateLimited | Reason::Unreachable | Reason::Denied => {
            EffectResult::NotTaken { reason, message }
        }
        Reason::NotFound | Reason::Conflict | Reason::ClientError => {
            EffectResult::Refused { reason, message }
        }
        Reason::Timeout | Reason::ServerError => EffectResult::Unclear { reason, message },
    }
}
