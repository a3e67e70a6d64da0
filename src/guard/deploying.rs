//! Nothing is done into the middle of a deployment: a migration that runs, a hook that has just failed, a rollout of the same release. What could not be
//! seen may be under way.

use std::time::Duration;

use jiff::Timestamp;

use super::{Question, allow, refuse};
use crate::clock::{after, between};
use crate::incident::deploying::{Deploying, HookState};
use crate::incident::plan::Target;
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::text::span;

/// Nobody knows when it is over; it is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(60);
/// A hook that failed stays until the next upgrade, which may be in a month. For so long it is a reason to hold.
const FAILED_HOLDS: Duration = Duration::from_hours(1);

pub(super) fn ask(question: &Question, now: Timestamp) -> (Answer, Option<Refusal>) {
    let plan = &question.wanted.plan;
    let runbook = &question.runbook;
    match judged(&plan.target, &plan.circumstances.deploying, now, runbook.paced(FAILED_HOLDS)) {
        Ok(saw) => allow(Guard::Deploying, saw, "nothing is changed in the middle of a deployment"),
        Err((saw, limit)) => refuse(Guard::Deploying, saw, limit, Some(after(now, runbook.paced(AGAIN)))),
    }
}

/// What is seen where it may be changed; else what is seen, and why that is a reason. `holds`: for how long a failed hook is one.
fn judged(
    target: &Target,
    deploying: &Deploying,
    now: Timestamp,
    holds: Duration,
) -> Result<String, (String, String)> {
    let namespace = &target.namespace;
    let (hooks, rollouts) = match deploying {
        Deploying::Nowhere => return Ok(format!("nothing is deployed on {}", target.short())),
        Deploying::NotLooked => {
            let saw = format!("nobody looked whether something is being deployed in {namespace}");
            return Err((saw, "a plan that was made without a look is made anew".to_owned()));
        }
        Deploying::Unread { why } => {
            return Err((why.clone(), "a migration that can not be seen may be running".to_owned()));
        }
        Deploying::Seen { hooks, rollouts } => (hooks, rollouts),
    };
    let (mut under_way, mut failed, mut old) = (Vec::new(), Vec::new(), Vec::new());
    for hook in hooks {
        match &hook.state {
            HookState::Runs { since, .. } => {
                let since = since.map(|since| format!(" for {}", span(between(since, now))));
                let since = since.unwrap_or_default();
                under_way.push(format!("{hook} has been running{since}{}", hook.state.tried()));
            }
            HookState::Failed { at: Some(at), .. } if now >= after(*at, holds) => old.push(hook),
            HookState::Failed { at, why } => {
                let ago = at.map(|at| format!(" {} ago", span(between(at, now)))).unwrap_or_default();
                failed.push((hook, format!("{hook} failed{ago}: {why}")));
            }
        }
    }
    under_way.extend(rollouts.iter().map(|rollout| format!("a rollout is under way: {rollout}")));
    let mut limit = "nothing is changed in the middle of a deployment".to_owned();
    if let [(first, _), ..] = failed.as_slice() {
        limit = format!(
            "a failed hook holds for {}, unless a later one of its kind succeeds or its Job is deleted; \
             `kubectl -n {namespace} logs job/{}` says why",
            span(holds),
            first.job
        );
    }
    under_way.extend(failed.into_iter().map(|(_, saw)| saw));
    if !under_way.is_empty() {
        return Err((under_way.join("; "), limit));
    }
    Ok(match old.as_slice() {
        [] => "no hook and no rollout of the release is under way".to_owned(),
        [first, ..] => format!("nothing is under way; {first} failed more than {} ago", span(holds)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::deploying::Hook;
    use crate::incident::plan::Kind;

    const HOUR: i64 = 3_600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn hook(job: &str, state: HookState) -> Hook {
        Hook { job: job.to_owned(), what: "pre-upgrade hook of Helm".to_owned(), state }
    }

    fn failed(job: &str, second: Option<i64>) -> Hook {
        hook(job, HookState::Failed { at: second.map(at), why: "DeadlineExceeded".to_owned() })
    }

    fn said(deploying: &Deploying) -> Result<String, (String, String)> {
        let target = Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() };
        judged(&target, deploying, at(2 * HOUR), FAILED_HOLDS)
    }

    fn seen(hooks: Vec<Hook>, rollouts: &[&str]) -> Result<String, (String, String)> {
        let rollouts = rollouts.iter().map(|rollout| (*rollout).to_owned()).collect();
        said(&Deploying::Seen { hooks, rollouts })
    }

    #[test]
    fn what_nobody_looked_at_or_could_look_at_may_be_under_way() {
        assert!(said(&Deploying::default()).is_err(), "a plan without a look");
        assert!(said(&Deploying::Unread { why: "403".to_owned() }).is_err());
        assert!(said(&Deploying::NOTHING).is_ok());
        assert!(said(&Deploying::Nowhere).is_ok());
    }

    #[test]
    fn everything_that_is_under_way_is_named() {
        let runs = hook("migrate", HookState::Runs { since: Some(at(2 * HOUR - 90)), failed: 1 });
        let (saw, limit) = seen(vec![runs], &["deployment/auth: 1 of 2 new pods are available"]).unwrap_err();
        assert_eq!(
            saw,
            "job/migrate (pre-upgrade hook of Helm) has been running for 1m 30s, and 1 pod of it has failed so far; \
             a rollout is under way: deployment/auth: 1 of 2 new pods are available"
        );
        assert_eq!(limit, "nothing is changed in the middle of a deployment");
    }

    #[test]
    fn a_failed_hook_holds_for_an_hour_and_one_without_a_time_for_ever() {
        let (saw, limit) = seen(vec![failed("migrate", Some(HOUR + 1))], &[]).unwrap_err();
        assert_eq!(saw, "job/migrate (pre-upgrade hook of Helm) failed 59m 59s ago: DeadlineExceeded");
        assert_eq!(
            limit,
            "a failed hook holds for 1h, unless a later one of its kind succeeds or its Job is deleted; \
             `kubectl -n shop logs job/migrate` says why"
        );
        assert_eq!(
            seen(vec![failed("migrate", Some(HOUR))], &[]).unwrap(),
            "nothing is under way; job/migrate (pre-upgrade hook of Helm) failed more than 1h ago"
        );
        assert!(seen(vec![failed("migrate", None)], &[]).is_err());
        assert!(seen(vec![failed("old", Some(0)), failed("new", Some(HOUR + 1))], &[]).is_err());
    }
}
