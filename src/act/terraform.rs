//! Applies a plan of terraform: made, held against what the step allows, shown, and then that saved plan and no other. Nothing is ever deleted, replaced or
//! forgotten here, and there is nothing to put back: what was applied is what the description says.

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Followed, PlanError, Right, right, rotation, unread};
use crate::clients::kubernetes::Kubernetes;
use crate::clients::terraform::{Applied, Made, Observed, Pattern, Planned, Policy, Terraform};
use crate::clients::{CallError, Reason};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Against, Change, Circumstances, Plan, SavedPlan, Target};
use crate::runbook::{Action, TerraformRun};
use crate::text::cut;

/// For watching nodes that are replaced; what terraform itself does, is not the cluster's to allow.
pub(super) const RIGHTS: &[Right] =
    &[right("", "nodes", "list"), right("", "pods", "list"), right("policy", "poddisruptionbudgets", "list")];
/// So many lines of a plan are shown; what is more is counted.
const MOST_LINES: usize = 30;
/// How much of what stands against a plan is said in one line.
const SHOWN: usize = 600;

type Tools<'t> = Option<&'t Terraform>;

fn none() -> PlanError {
    let why = "the configuration has no `terraform`, so nothing can be planned";
    PlanError { why: why.to_owned(), for_good: true }
}

/// What of a plan may be applied.
fn policy(run: &TerraformRun) -> Result<Policy, PlanError> {
    let read = |text: &String| {
        let why = |expected| PlanError { why: format!("{text:?}: {expected}"), for_good: true };
        Pattern::parse(text).map_err(why)
    };
    let allowed = run.allow.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Policy { allowed, at_most: run.at_most })
}

pub(super) async fn plan(
    tools: Tools<'_>,
    run: &TerraformRun,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let nothing = |says: String| Plan { says, ..Plan::bare(Action::Terraform, target.clone(), now) };
    let Some(terraform) = tools else {
        return Ok(nothing(
            "the configuration names no directory of terraform: what has drifted there is a person's"
                .to_owned(),
        ));
    };
    let policy = policy(run)?;
    let directory = run.directory.as_deref().unwrap_or(&target.name);
    let planned = match terraform.plan(directory).await.map_err(unplanned)? {
        Made::NoChanges => {
            return Ok(nothing(format!("terraform finds nothing to change in {directory}")));
        }
        Made::Plan(planned) => *planned,
    };
    let mut outputs = Vec::new();
    for name in &run.outputs {
        let value = match terraform.output(directory, name).await {
            Ok(value) => Some(value),
            // The first apply makes it.
            Err(error) if error.reason == Reason::NotFound => None,
            Err(error) => {
                terraform.discard(&planned);
                return Err(unplanned(error));
            }
        };
        outputs.push((name.to_owned(), value));
    }
    let breaches = policy.breaches(&planned);
    let against = (!breaches.is_empty()).then(|| {
        terraform.discard(&planned);
        Against {
            saw: cut(&breaches.join("; "), SHOWN),
            why: "the step allows no such plan; a person reads `terraform plan` and applies it".to_owned(),
            passes: false,
        }
    });
    let says = planned.says();
    let saved = SavedPlan {
        directory: directory.to_owned(),
        sha256: planned.sha256.clone(),
        planned: serde_json::to_value(&planned)
            .map_err(|error| PlanError { why: error.to_string(), for_good: true })?,
        outputs,
        nodes_stall_after: run.nodes_stall_after,
    };
    Ok(Plan {
        uid: format!("terraform/{directory}"),
        says: format!("apply a plan of terraform in {directory}: {says}"),
        change: Change {
            field: format!("the resources of {directory}"),
            before: None,
            judged: says.clone(),
            after: says,
        },
        touches: touches(&planned, &saved),
        saved: Some(saved),
        circumstances: Circumstances { against, ..Circumstances::default() },
        settles_within: terraform.settles_within(),
        // It took its time, and it is no older than its end.
        ..Plan::bare(Action::Terraform, target.clone(), clock::now())
    })
}

/// What people read before they say yes.
fn touches(planned: &Planned, saved: &SavedPlan) -> Vec<String> {
    let mut lines: Vec<String> =
        planned.changes.iter().take(MOST_LINES).map(|change| change.says()).collect();
    let more = planned.changes.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.extend(
        planned.drift.iter().take(MOST_LINES).map(|at| format!("changed outside of terraform: {at}")),
    );
    let outputs = planned.outputs.iter().take(MOST_LINES);
    lines.extend(outputs.map(|output| format!("{} the output {}", output.act.word(), output.name)));
    let checks = planned.failing_checks.iter().take(MOST_LINES);
    lines.extend(checks.map(|check| format!("the check {check} of the configuration does not hold")));
    for (name, value) in &saved.outputs {
        lines.push(format!("{name} is {} now", value.as_deref().unwrap_or("nothing")));
    }
    lines.push(format!(
        "the saved plan {} and no other; it is kept for a day",
        &saved.sha256[..12.min(saved.sha256.len())]
    ));
    lines
}

/// The plan once more, when its file and its state are still the same; none: a new one has to be made.
pub(super) async fn renewed(tools: Tools<'_>, plan: &Plan) -> Result<Option<Plan>, PlanError> {
    let terraform = tools.ok_or_else(none)?;
    let Some(planned) = planned(plan) else { return Ok(None) };
    let stands = terraform.still_stands(&planned).await.map_err(unplanned)?;
    if !stands {
        terraform.discard(&planned);
    }
    Ok(stands.then(|| Plan { made_at: clock::now(), ..plan.clone() }))
}

/// A plan that nobody will apply.
pub(super) fn discard(tools: Tools<'_>, plan: &Plan) {
    if let (Some(terraform), Some(planned)) = (tools, planned(plan)) {
        terraform.discard(&planned);
    }
}

fn planned(plan: &Plan) -> Option<Planned> {
    serde_json::from_value(plan.saved.as_ref()?.planned.clone()).ok()
}

/// A lock passes, and so does an end; what the directory or its configuration lacks, does not.
fn unplanned(error: CallError) -> PlanError {
    let passes = matches!(error.reason, Reason::Conflict | Reason::Unreachable);
    PlanError { for_good: !passes && unread(error.clone()).for_good, why: error.to_string() }
}

pub(super) async fn apply((tools, kubernetes): (Tools<'_>, &Kubernetes), permit: Permit) -> EffectResult {
    let refused = |message: &str| EffectResult::Refused {
        reason: Reason::ClientError.as_str().to_owned(),
        message: message.to_owned(),
    };
    let Some(terraform) = tools else { return refused("the configuration has no `terraform`") };
    let Some(planned) = planned(permit.plan()) else { return refused("the plan holds no saved plan") };
    let Plan { saved, target, .. } = permit.plan();
    let begun = Notify::new();
    let stalled = async {
        // Waiting for others in the directory is no standstill.
        begun.notified().await;
        match saved.as_ref().and_then(|saved| saved.nodes_stall_after) {
            Some(patience) => rotation::stalled(kubernetes, &target.namespace, patience).await,
            None => std::future::pending().await,
        }
    };
    let applied = tokio::select! {
        applied = terraform.apply(&planned, permit.not_after(), &begun) => applied,
        // Dropped, it interrupts terraform in order. What has begun in AWS goes on there.
        saw = stalled => {
            let reason = Reason::Timeout.as_str().to_owned();
            let message = format!("the replacement has stalled, and terraform was interrupted: {saw}");
            return EffectResult::Unclear { reason, message };
        }
    };
    let reason = applied.reason().map_or("", Reason::as_str).to_owned();
    let message = applied.says();
    match applied {
        Applied::Done { .. } => EffectResult::Applied,
        Applied::Locked(_) | Applied::NotNow(_) => EffectResult::NotTaken { reason, message },
        Applied::Stale | Applied::NotBegun(_) => EffectResult::Refused { reason, message },
        Applied::Partial { .. } => EffectResult::InPart { reason, message },
        Applied::Interrupted { .. } | Applied::Unknown(_) => EffectResult::Unclear { reason, message },
    }
}

pub(super) async fn observe(tools: Tools<'_>, plan: &Plan) -> Observation {
    let (Some(terraform), Some(planned)) = (tools, planned(plan)) else {
        return Observation::Ambiguous { saw: "the configuration has no `terraform` any more".to_owned() };
    };
    match terraform.observe(&planned).await {
        Observed::Done => Observation::Done,
        Observed::NotDone(_) => Observation::NotDone,
        Observed::Partly(left) => {
            Observation::Partly { saw: format!("left to do: {}", cut(&left.join(", "), SHOWN)) }
        }
        Observed::Locked(why) => Observation::Unseen { why },
        Observed::Ambiguous(saw) => Observation::Ambiguous { saw },
        Observed::Unseen(error) => Observation::Unseen { why: error.to_string() },
    }
}

/// terraform has ended when its effect is known; what is left is to tell what came of it.
pub(super) async fn follow(tools: Tools<'_>, plan: &Plan) -> Followed {
    let (Some(terraform), Some(saved)) = (tools, &plan.saved) else {
        return Followed::Unseen("the configuration has no `terraform` any more".to_owned());
    };
    let mut said = vec![format!("terraform has applied it: {}", plan.change.after)];
    for (name, before) in &saved.outputs {
        let before = before.as_deref().unwrap_or("nothing");
        match terraform.output(&saved.directory, name).await {
            Ok(now) if now == before => said.push(format!("{name} is {now}, as before")),
            Ok(now) => said.push(format!("{name} was {before} and is {now}")),
            Err(error) if error.reason == Reason::NotFound => said.push(format!("there is no output {name}")),
            Err(error) => return Followed::Unseen(error.to_string()),
        }
    }
    Followed::Complete(said.join("; "))
}
