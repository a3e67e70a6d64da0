//! The very call of a plan, which the other system is asked not to carry out: what a drill does instead of acting. It needs no permit, as it changes nothing;
//! only the cluster can be asked so.

use super::fields::{self, read};
use super::{cordon, restart, rollback};
use crate::clients::CallError;
use crate::clients::Reason;
use crate::clients::kubernetes::Kubernetes;
use crate::incident::drill::Rehearsed;
use crate::incident::event::Observation;
use crate::incident::plan::{Kind, Object, Plan, Target};
use crate::runbook::Action;

/// What the API server says to it.
pub(super) async fn rehearse(kubernetes: &Kubernetes, plan: &Plan) -> Rehearsed {
    let dry = kubernetes.rehearsing();
    let sent = match plan.action {
        Action::Restart => restart::send(&dry, plan).await,
        Action::Rollback => return rolled_back(&dry, plan).await,
        Action::Evict => dry.evict_pod(&plan.target.namespace, &plan.target.name, &plan.uid).await,
        Action::DeletePod => removed(&dry, plan).await,
        Action::Cordon | Action::Uncordon => cordon::send(&dry, plan).await,
        Action::Scale | Action::Resources | Action::Env | Action::PutBack | Action::ChangeAgain => {
            return set(&dry, plan).await;
        }
        Action::Http => return only_planned("a call to a service can not be rehearsed"),
        Action::Route53 => return only_planned("Route 53 has no dry run; the zone and the record were read"),
        Action::Terraform => return only_planned("terraform's own plan is its dry run"),
        Action::Workflow => return only_planned("GitHub has no dry run of a workflow"),
    };
    said(plan, sent)
}

fn said(plan: &Plan, sent: Result<(), CallError>) -> Rehearsed {
    match sent {
        Ok(()) => Rehearsed::Accepted { what: format!("the API server would {}", plan.says) },
        Err(error) if is_answer(&error) => Rehearsed::Refused { why: error.to_string() },
        Err(error) => Rehearsed::Unanswered { why: error.to_string() },
    }
}

fn only_planned(why: &str) -> Rehearsed {
    Rehearsed::OnlyPlanned { why: why.to_owned() }
}

/// Whether the server has said no; else nobody knows what it would have said.
const fn is_answer(error: &CallError) -> bool {
    matches!(
        error.reason,
        Reason::Conflict | Reason::Denied | Reason::NotFound | Reason::ClientError | Reason::RateLimited
    )
}

/// The pods that would be deleted.
async fn removed(dry: &Kubernetes, plan: &Plan) -> Result<(), CallError> {
    let Target { kind, namespace, name } = &plan.target;
    if *kind == Kind::Pod {
        return dry.delete_pod(namespace, name, &plan.uid, plan.change.before.is_some()).await;
    }
    for Object { name, uid } in &plan.objects {
        dry.delete_pod(namespace, name, uid, true).await?;
    }
    Ok(())
}

/// The revision that would be rolled back to.
async fn rolled_back(dry: &Kubernetes, plan: &Plan) -> Rehearsed {
    let Some((from, to)) = rollback::revisions(plan) else {
        return Rehearsed::Refused { why: rollback::NO_REVISIONS.to_owned() };
    };
    let Target { namespace, name, .. } = &plan.target;
    let sent = match dry.prepare_rollback(namespace, name, &plan.uid, from, to).await {
        Ok(Some(rollback)) => dry.roll_back_deployment(rollback).await,
        other => other.map(drop),
    };
    said(plan, sent)
}

/// The fields that would be set.
async fn set(dry: &Kubernetes, plan: &Plan) -> Rehearsed {
    let Some(sets) = &plan.sets else {
        return Rehearsed::Refused { why: "the plan sets no fields".to_owned() };
    };
    let object = match read(dry, &sets.object).await {
        Ok(object) => object,
        Err(error) => return said(plan, Err(error)),
    };
    match fields::seen(sets, &object) {
        Observation::NotDone => match fields::patch_of(&object, sets) {
            Ok(patch) => said(plan, dry.patch_fields(patch).await),
            Err(error) => said(plan, Err(error)),
        },
        Observation::Done => said(plan, Ok(())),
        Observation::Ambiguous { saw } | Observation::Partly { saw } | Observation::Unseen { why: saw } => {
            Rehearsed::Refused { why: saw }
        }
    }
}
