//! The words that the head and the replies share: where an incident stands, what was found, done and refused, and what a person does next.

use jiff::Timestamp;

use super::markup::{brief, code, plain, time, took, until};
use super::{by_hand, lasting};
use crate::incident::event::{EffectResult, Found};
use crate::incident::evidence::{Evidence, Verdict};
use crate::incident::plan::{Kind, Plan, Target};
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::incident::{Event, Incident, Outcome, Recorded, Stage};
use crate::runbook::Action;
use crate::text::count;

/// A sign and a few plain words for where the incident stands.
pub(super) fn standing(incident: &Incident) -> (&'static str, &'static str) {
    let acted = incident.effects > 0;
    match &incident.stage {
        Stage::Confirm { .. } if incident.approved.is_some() => ("🔎", "Approved, checking again"),
        Stage::Confirm { .. } | Stage::ChooseLegs | Stage::Begin { .. } | Stage::Planned(_) => {
            ("🔎", "Looking into it")
        }
        Stage::StoodBack { .. } => ("⏳", "Waiting for another incident"),
        Stage::Refused { .. } => ("⏳", "Held back"),
        Stage::Asking { .. } => ("✋", "Needs your approval"),
        Stage::Declined { .. } => ("🚫", "Declined"),
        Stage::Intended(effect)
        | Stage::Unclear { effect, .. }
        | Stage::NotDone { effect, .. }
        | Stage::Following { effect, .. } => ("🔧", doing(&effect.plan)),
        Stage::Awaiting { .. } => ("⏳", "Waiting for what should come by itself"),
        Stage::Verifying { .. } => ("🩺", "Checking whether it helped"),
        Stage::Ending { .. } | Stage::StepEnded { .. } => ("🔎", "Deciding what comes next"),
        Stage::Closed(closed) => outcome(closed.outcome, acted),
    }
}

/// A sign and a few plain words for how it ended.
pub(super) const fn outcome(outcome: Outcome, acted: bool) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Recovered => ("✅", "Recovered"),
        Outcome::SelfHealed => ("✅", "Went away by itself"),
        Outcome::NotConfirmed => ("⚪", "Not confirmed, nothing done"),
        Outcome::Inconclusive if acted => ("❓", "Could not be verified"),
        Outcome::Inconclusive => ("❓", "Could not be checked, nothing done"),
        Outcome::WouldAct => ("👀", "Would have acted"),
        Outcome::Blocked if acted => ("⛔", "Stopped by a limit"),
        Outcome::Blocked => ("⛔", "Blocked, nothing done"),
        Outcome::Declined => ("🚫", "Declined"),
        Outcome::Expired => ("⌛", "Nobody approved in time"),
        Outcome::Joined => ("✅", "Cured by another incident"),
        Outcome::NotRecovered => ("🔴", "Not recovered"),
        Outcome::Failed => ("🔴", "The action failed"),
        Outcome::Ambiguous => ("🔴", "Unclear what was done"),
        Outcome::Stopped => ("🟠", "Stopped before the next step"),
        Outcome::Injected => ("🎭", "A fault of a drill"),
    }
}

/// What was done, such as "restarted".
pub(super) fn done(plan: &Plan) -> &'static str {
    match plan.action {
        Action::Restart => "restarted",
        Action::Rollback => "rolled back",
        Action::Evict => "evicted",
        // Not the node is deleted, but what is stuck there.
        Action::DeletePod if plan.target.kind == Kind::Node => "cleared",
        Action::DeletePod => "deleted",
        Action::Cordon => "cordoned",
        Action::Uncordon => "uncordoned",
        Action::Scale => "scaled",
        Action::Resources | Action::Env => "changed",
        Action::Http => "called",
        Action::Route53 => "repaired",
        Action::Terraform => "applied",
        Action::Workflow => "run",
        Action::PutBack => "put back",
        Action::ChangeAgain => "changed again",
    }
}

/// What is being done, such as "Restarting".
pub(super) fn doing(plan: &Plan) -> &'static str {
    match plan.action {
        Action::Restart => "Restarting",
        Action::Rollback => "Rolling back",
        Action::Evict => "Evicting",
        Action::DeletePod if plan.target.kind == Kind::Node => "Clearing",
        Action::DeletePod => "Deleting",
        Action::Cordon => "Cordoning",
        Action::Uncordon => "Uncordoning",
        Action::Scale => "Scaling",
        Action::Resources | Action::Env => "Changing",
        Action::Http => "Calling",
        Action::Route53 => "Repairing",
        Action::Terraform => "Applying terraform for",
        Action::Workflow => "Running a workflow for",
        Action::PutBack => "Putting back",
        Action::ChangeAgain => "Changing again",
    }
}

/// The action as a noun, such as "restart".
pub(super) const fn noun(action: Action) -> &'static str {
    match action {
        Action::Restart => "restart",
        Action::Rollback => "rollback",
        Action::Evict => "eviction",
        Action::DeletePod => "deletion",
        Action::Cordon => "cordon",
        Action::Uncordon => "uncordon",
        Action::Scale => "scaling",
        Action::Resources => "change of resources",
        Action::Env => "change of variables",
        Action::Http => "HTTP call",
        Action::Route53 => "repair of records",
        Action::Terraform => "terraform apply",
        Action::Workflow => "workflow",
        Action::PutBack => "restore",
        Action::ChangeAgain => "second change",
    }
}

/// `deployment/chat-api` and its namespace, as code.
pub(super) fn object(target: &Target) -> String {
    match target.kind {
        Kind::Node => code(&target.short()),
        _ => format!("{} in {}", code(&target.short()), code(&target.namespace)),
    }
}

/// The answers, one line each, with the verdict where it is not simply "yes".
pub(super) fn answers(answers: &[Evidence]) -> Vec<String> {
    const SHOWN: usize = 6;
    let mut lines: Vec<String> = answers.iter().take(SHOWN).map(answer).collect();
    if answers.len() > SHOWN {
        lines.push(format!("… and {} more", count_of(answers.len() - SHOWN, "answer", "answers")));
    }
    lines
}

fn answer(evidence: &Evidence) -> String {
    let name = code(&evidence.probe);
    match &evidence.verdict {
        Verdict::Holds | Verdict::Fails => format!("• {name}: {}", saw(evidence)),
        Verdict::Unknown { why } => format!("• {name}: *no answer*. {}", plain(why)),
        Verdict::Quiet { why } => format!("• {name}: *silence*. {}", plain(why)),
    }
}

/// The figures and what they were held against, such as "chat-api 42 lines in 5m (threshold: at least 5)".
fn saw(evidence: &Evidence) -> String {
    match evidence.saw.rsplit_once("; ") {
        Some((figures, threshold))
            if threshold.starts_with("at least ") || threshold.starts_with("at most ") =>
        {
            format!("{} (threshold: {})", plain(figures), brief(threshold))
        }
        _ => plain(&evidence.saw),
    }
}

/// What every guard said, the ones that said no first.
pub(super) fn guards(asked: &[Answer]) -> Vec<String> {
    let said = |allows: bool, sign: &'static str| {
        asked
            .iter()
            .filter(move |answer| answer.allows == allows)
            .map(move |answer| format!("{sign} {}: {}", answer.guard, brief(&answer.saw)))
    };
    said(false, "✗").chain(said(true, "✓")).collect()
}

/// Why a person is asked about what the runbook may do on its own otherwise.
pub(super) fn asked_because(why: &str) -> String {
    format!("• You are asked because it is {}", plain(why))
}

/// Who said no, what it saw, what it holds that against, and until when.
pub(super) fn refusal(refusal: &Refusal, now: Timestamp) -> String {
    let until = match refusal.until {
        Some(at) if at > now => format!(", until {}", until(at, now)),
        _ => String::new(),
    };
    format!("• *{}*: {} ({}){until}", refusal.guard, plain(&refusal.saw), plain(&refusal.limit))
}

/// The plan of the last step that had one, on this target.
pub(super) fn plan_of(history: &[Recorded], wanted: usize) -> Option<&Plan> {
    history.iter().rev().find_map(|recorded| match &recorded.event {
        Event::Planned { leg, plan, .. } | Event::EffectIntended { leg, plan, .. } if *leg == wanted => {
            Some(plan)
        }
        _ => None,
    })
}

/// The object's surroundings as they were read for the plan.
pub(super) fn circumstances(plan: &Plan) -> String {
    let surroundings = &plan.circumstances;
    if !plan.target.kind.is_workload() {
        let against = surroundings.against.as_ref();
        return against.map_or_else(|| "nothing stands against it".to_owned(), |against| plain(&against.saw));
    }
    let mut words = vec![count(u64::from(surroundings.replicas), "replica", "replicas")];
    words.push(if surroundings.paused { "*paused*" } else { "not paused" }.to_owned());
    words.push(match &surroundings.rollout_in_progress {
        Some(what) => format!("a rollout is under way: {}", plain(what)),
        None => "no rollout under way".to_owned(),
    });
    if let Some(controller) = &surroundings.controller {
        words.push(format!("controlled by {}", code(controller)));
    }
    words.join(", ")
}

/// `field: before → after`.
pub(super) fn change(plan: &Plan) -> String {
    let before = plan.change.before.as_deref().map_or_else(|| "not set".to_owned(), code);
    format!("{}: {before} → {}", code(&plan.change.field), code(&plan.change.after))
}

/// What else happens, each a line.
pub(super) fn touches(plan: &Plan) -> Vec<String> {
    let undone = plan.circumstances.may_not_last.iter().take(3);
    let undone = undone.map(|what| format!("• ⚠️ May not last: {}", plain(what)));
    plan.touches.iter().take(5).map(|what| format!("• {}", plain(what))).chain(undone).collect()
}

/// What the person who reads this does next.
pub(super) fn next(incident: &Incident, outcome: Outcome, history: &[Recorded]) -> String {
    if let Some(restore) = &incident.opened.restore {
        return lasting::next(incident, restore, outcome);
    }
    let target = incident.current_leg().map(|leg| &leg.target);
    let verb = plan_of(history, incident.leg).map_or("action", |plan| noun(plan.action));
    let look = target.map_or_else(String::new, |target| format!(" Begin with {}.", status(target)));
    if let Some(of_run) =
        incident.opened.run.as_ref().and_then(|_| by_hand::next(outcome, incident.effects > 0, verb, &look))
    {
        return of_run;
    }
    match outcome {
        Outcome::Recovered if !incident.resolved() => {
            "Nothing for you to do: the alert itself ends when its rule has caught up.".to_owned()
        }
        _ if incident.opened.drill.is_some() => {
            "Nothing for you to do: this was a drill, and nothing was changed.".to_owned()
        }
        Outcome::Recovered | Outcome::SelfHealed | Outcome::Joined | Outcome::Injected => {
            "Nothing for you to do.".to_owned()
        }
        Outcome::NotConfirmed => {
            "Nothing was changed. If the alert keeps firing, its rule and the runbook's check disagree."
                .to_owned()
        }
        Outcome::WouldAct => {
            format!("Nothing was changed. If the alert is real, the {verb} is yours to do.{look}")
        }
        Outcome::Declined if incident.effects > 0 => {
            "What was done stays as it is, and nothing more will be tried here.".to_owned()
        }
        Outcome::Declined => "Nothing was changed, and nothing more will be tried here.".to_owned(),
        Outcome::Inconclusive if incident.effects > 0 => {
            format!(
                "Please look: whether the {verb} helped is not known, and nothing more will be tried.{look}"
            )
        }
        Outcome::Inconclusive => {
            "Please look: the alert fires, and what it says could not be checked. Nothing was changed."
                .to_owned()
        }
        Outcome::Blocked if cooling(incident) => format!(
            "Please look: it came back soon after the last attempt, so another {verb} is unlikely to be the cure.{look}"
        ),
        Outcome::Blocked => {
            format!("Please look: the trouble is confirmed, and nothing more will be tried.{look}")
        }
        Outcome::Expired => format!("Please look: nothing was changed, and the alert may still fire.{look}"),
        Outcome::NotRecovered if !incident.legs.get(incident.leg).is_some_and(|leg| leg.acted) => {
            format!("Please look: nothing was changed, and it did not recover by itself.{look}")
        }
        Outcome::NotRecovered => {
            format!("Please look: the {verb} was done and did not help. Nothing more will be tried.{look}")
        }
        Outcome::Failed => {
            format!("Please look: the {verb} did not come to a good end. Nothing more will be tried.{look}")
        }
        Outcome::Ambiguous => {
            let ages = target.map_or_else(String::new, |target| {
                if target.kind != Kind::Deployment {
                    return format!(" {} tells.", status(target));
                }
                let command = format!("kubectl -n {} get replicasets", target.namespace);
                format!(" The ages in {} tell.", code(&command))
            });
            format!(
                "Please look: find out whether the {verb} happened before you repeat it. It will not be tried again.{ages}"
            )
        }
        Outcome::Stopped => format!(
            "Please look: the alert has stopped, but the {verb} did not pass its check, so it may come back.{look}"
        ),
    }
}

/// How an incident comes into the world.
pub(super) fn came(incident: &Incident) -> &'static str {
    if incident.opened.by_hand().is_some() { "Begun" } else { "Received" }
}

fn cooling(incident: &Incident) -> bool {
    incident.refusals.iter().any(|refusal| refusal.guard == Guard::Cooldown)
}

/// The command that shows how the target is.
fn status(target: &Target) -> String {
    code(&match target.kind {
        Kind::Node => format!("kubectl describe {}", target.short()),
        Kind::HorizontalPodAutoscaler | Kind::Pod => {
            format!("kubectl -n {} describe {}", target.namespace, target.short())
        }
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
            format!("kubectl -n {} rollout status {}", target.namespace, target.short())
        }
        Kind::Certificate => "aws acm list-certificates".to_owned(),
        Kind::Terraform => "terraform plan".to_owned(),
    })
}

/// Why it ended, unless the line before has said so already, or the outcome's own words do.
pub(super) fn why(outcome: Outcome, why: &str, history: &[Recorded]) -> Option<String> {
    let said = history.iter().rev().nth(1).is_some_and(|before| match &before.event {
        Event::StepEnded { why: said, .. } => said == why,
        Event::Declined { .. } => true,
        _ => false,
    });
    (!said && outcome != Outcome::WouldAct).then(|| plain(why.trim_end_matches('.')))
}

/// When what happened, counted from the alert.
pub(super) fn timeline(incident: &Incident, history: &[Recorded]) -> Vec<String> {
    let first = |wanted: fn(&Event) -> bool| {
        history.iter().find(|recorded| wanted(&recorded.event)).map(|recorded| recorded.at)
    };
    let since = |at: Timestamp| took(incident.opened_at, at);
    let mut items = vec![format!("{} {}", came(incident), time(incident.opened_at))];
    if let Some(at) = first(|event| matches!(event, Event::Confirmed { found: Found::Holds, .. })) {
        items.push(format!("confirmed after {}", since(at)));
    }
    if let Some(at) = first(|event| matches!(event, Event::ApprovalAsked { .. })) {
        items.push(format!("asked after {}", since(at)));
    }
    if let Some(at) = first(|event| matches!(event, Event::Approved { .. })) {
        items.push(format!("approved after {}", since(at)));
    }
    let applied = |event: &Event| {
        matches!(
            event,
            Event::EffectAnswered { result: EffectResult::Applied | EffectResult::Begun { .. }, .. }
        ) || matches!(event, Event::EffectObserved { found: crate::incident::event::Observation::Done, .. })
    };
    if let Some(at) = first(applied) {
        items.push(format!("acted after {}", since(at)));
    }
    if let Some(closed) = incident.closed() {
        let word = match closed.outcome {
            Outcome::Recovered => "recovered",
            _ => "closed",
        };
        items.push(format!("{word} after {}", since(closed.at)));
    }
    items
}

/// `3 answers`, of a length.
pub(super) fn count_of(number: usize, one: &str, many: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), one, many)
}
