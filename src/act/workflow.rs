//! Starts a workflow of GitHub Actions and follows its run to its conclusion. One run is asked for; whether a lost answer was one is told by the mark that its
//! name shows. A run can not be taken back.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Followed, PlanError, result_of, void};
use crate::clients::Reason;
use crate::clients::github::{Found, GitHub, Run, State, Workflow};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Change, Circumstances, Dispatch, Plan, Target};
use crate::runbook::{Action, WorkflowRun};
use crate::text::{hex, span};

type Tools<'t> = Option<&'t GitHub>;

pub(super) fn plan(
    tools: Tools<'_>,
    run: &WorkflowRun,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let for_good = |why: String| PlanError { why, for_good: true };
    let github = tools
        .ok_or_else(|| for_good("the configuration has no `github`, so nothing can be started".to_owned()))?;
    let workflow = Workflow::parse(&run.workflow)
        .map_err(|expected| for_good(format!("{:?}: {expected}", run.workflow)))?;
    if !github.workflows().contains(&workflow) {
        return Err(for_good(format!("the configuration does not list the workflow {workflow}")));
    }
    let inputs: Vec<String> = run.inputs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let with = if inputs.is_empty() { String::new() } else { format!(" with {}", inputs.join(", ")) };
    let hash = Sha256::digest(format!("{workflow} {} {}", target.key(), now.as_nanosecond()));
    let mark = format!("runbookd-{}", &hex(&hash)[..16]);
    Ok(Plan {
        uid: format!("workflow/{workflow}"),
        says: format!("start the workflow {workflow} for {target}"),
        change: Change {
            field: "a run of the workflow".to_owned(),
            before: None,
            after: mark.clone(),
            judged: format!("{workflow}{with}"),
        },
        touches: inputs
            .into_iter()
            .map(|input| format!("input {input}"))
            .chain([
                format!("its run is waited for, up to {}", span(run.within)),
                "what it does is the workflow's; a run can not be taken back".to_owned(),
            ])
            .collect(),
        dispatch: Some(Dispatch {
            workflow: run.workflow.clone(),
            inputs: run.inputs.clone(),
            mark,
            settles: github.settles(),
        }),
        circumstances: Circumstances::default(),
        settles_within: run.within,
        ..Plan::bare(Action::Workflow, target.clone(), now)
    })
}

/// Whom to ask, and about what.
fn parts<'p>(tools: Tools<'p>, plan: &'p Plan) -> Result<(&'p GitHub, Workflow, &'p Dispatch), String> {
    let github = tools.ok_or("the configuration has no `github` any more")?;
    let dispatch = plan.dispatch.as_ref().ok_or("the plan starts no workflow")?;
    let workflow = Workflow::parse(&dispatch.workflow)?;
    Ok((github, workflow, dispatch))
}

pub(super) async fn apply(tools: Tools<'_>, permit: Permit) -> EffectResult {
    let (github, workflow, dispatch) = match parts(tools, permit.plan()) {
        Ok(parts) => parts,
        Err(message) => {
            return EffectResult::Refused { reason: Reason::ClientError.as_str().to_owned(), message };
        }
    };
    if let Some(late) = void(&permit, clock::now()) {
        return late;
    }
    match github.dispatch(&workflow, &dispatch.inputs, &dispatch.mark).await {
        Ok(id) => EffectResult::Begun { handles: id.iter().map(u64::to_string).collect() },
        Err(error) => result_of(error),
    }
}

pub(super) async fn observe(tools: Tools<'_>, plan: &Plan) -> Observation {
    let (github, workflow, dispatch) = match parts(tools, plan) {
        Ok(parts) => parts,
        Err(saw) => return Observation::Ambiguous { saw },
    };
    match github.find(&workflow, &dispatch.mark, plan.made_at).await {
        Ok(Found::Run(_)) => Observation::Done,
        Ok(Found::Nothing) => Observation::NotDone,
        Ok(Found::Others(others)) => Observation::Ambiguous { saw: unmarked(others) },
        Err(error) if error.reason == Reason::NotFound => Observation::Ambiguous { saw: error.to_string() },
        Err(error) => Observation::Unseen { why: error.to_string() },
    }
}

fn unmarked(others: u64) -> String {
    format!(
        "{others} runs were started since, and none of them shows the mark; the workflow must show `inputs.runbookd_operation` in its `run-name`"
    )
}

pub(super) async fn follow(tools: Tools<'_>, plan: &Plan, handles: &[String]) -> Followed {
    let (github, workflow, dispatch) = match parts(tools, plan) {
        Ok(parts) => parts,
        Err(why) => return Followed::Unseen(why),
    };
    let run = match handles.first().and_then(|id| id.parse().ok()) {
        Some(id) => github.run(&workflow, id).await,
        None => match github.find(&workflow, &dispatch.mark, plan.made_at).await {
            Ok(Found::Run(run)) => Ok(run),
            Ok(Found::Nothing) => return Followed::NotYet("its run is not in the list yet".to_owned()),
            Ok(Found::Others(others)) => return Followed::Unseen(unmarked(others)),
            Err(error) => Err(error),
        },
    };
    match run {
        Ok(run) => concluded(&run),
        Err(error) if error.reason == Reason::NotFound => {
            Followed::Overtaken(format!("its run was deleted ({error})"))
        }
        Err(error) => Followed::Unseen(error.to_string()),
    }
}

fn concluded(run: &Run) -> Followed {
    let page = &run.url;
    let again = if run.attempt > 1 { format!(", at attempt {}", run.attempt) } else { String::new() };
    match &run.state {
        State::Succeeded => Followed::Complete(format!("its run has succeeded{again}: {page}")),
        State::Ended(how) => Followed::Failed(format!("its run has ended with {how:?}{again}: {page}")),
        State::UnderWay(how) => Followed::NotYet(format!("its run is {how}: {page}")),
    }
}
