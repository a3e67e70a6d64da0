//! Actions: one file each, with plan, apply, observe, follow. Only here is anything changed, and only with a
//! permit, which is taken by value.
//!
//! A plan reads. `apply` makes the call once and never again by itself. `observe` tells what became of it.
//! `follow` looks whether the effect has come to its end. `revert` puts back what was changed for a while, when it is still as it was left; most
//! actions have nothing to put back.

mod capacity;
mod cordon;
mod delete_pod;
mod env;
mod evict;
mod fields;
mod http;
mod pod;
mod quota;
mod resources;
mod restart;
mod restore;
mod rollback;
mod scale;
mod setting;

use jiff::Timestamp;

use std::time::Duration;

use crate::clients::http::{Http, Policy};
use crate::clients::kubernetes::{Kubernetes, Rollout, Workload};
use crate::clients::rds::Rds;
use crate::clients::{CallError, Reason};
use crate::incident::changes::Entry;
use crate::incident::event::{EffectResult, Observation, Released};
use crate::incident::permit::Permit;
use crate::incident::plan::{Plan, Stays, Target};
use crate::runbook::{Action, Kind, Remedy};
use crate::text::count;

/// The Deployment controller reports a failure after `progressDeadlineSeconds`; this is how much later it is
/// waited for at the most.
const GRACE: Duration = Duration::from_secs(60);

/// A field that was set counts as set for good only this long after the intent, when it is still so: an autoscaler looks every 15 s, and
/// Argo CD puts back within seconds what is not in its repository.
pub const STICKS_AFTER: Duration = Duration::from_secs(30);

/// A right in the cluster, as a role grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource, with its part: `pods/eviction`.
    pub resource: &'static str,
    /// Such as `get` or `patch`.
    pub verb: &'static str,
}

const fn right(group: &'static str, resource: &'static str, verb: &'static str) -> Right {
    Right { group, resource, verb }
}

/// What an action must be allowed to do in the cluster, reading included.
#[must_use]
pub const fn rights(action: Action) -> &'static [Right] {
    match action {
        Action::Restart => restart::RIGHTS,
        Action::Rollback => rollback::RIGHTS,
        Action::Evict => evict::RIGHTS,
        Action::DeletePod => delete_pod::RIGHTS,
        Action::Cordon | Action::Uncordon => cordon::RIGHTS,
        Action::Scale => scale::RIGHTS,
        Action::Resources => resources::RIGHTS,
        Action::Env => env::RIGHTS,
        Action::Http => http::RIGHTS,
        Action::PutBack | Action::ChangeAgain => fields::RIGHTS,
    }
}

/// The hands: everything that can change something.
#[derive(Clone)]
pub struct Hands {
    kubernetes: Kubernetes,
    /// Where it is asked how many connections a database takes.
    rds: Option<Rds>,
    http: Http,
}

/// What a runbook wants to be done.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'w> {
    /// The action and its options.
    pub remedy: &'w Remedy,
    /// How long what is changed stays so.
    pub stays: Stays,
    /// What a person would change so that it lasts.
    pub make_it_last: Option<&'w str>,
}

/// How entries of the ledger are put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoring {
    /// What is to be written; none when nothing is.
    pub plan: Option<Plan>,
    /// What is not ours to put back, any more.
    pub released: Vec<Released>,
}

/// No plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct PlanError {
    /// In an operator's words.
    pub why: String,
    /// Whether asking again can not help.
    pub for_good: bool,
}

/// Whether an effect has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// It has.
    Complete(String),
    /// Not yet.
    NotYet(String),
    /// It never will.
    Failed(String),
    /// Something else came on top of it.
    Overtaken(String),
    /// It could not be looked at.
    Unseen(String),
}

impl Hands {
    /// Hands for this cluster, and for nothing else.
    #[must_use]
    pub fn new(kubernetes: Kubernetes) -> Self {
        Self { kubernetes, rds: None, http: Http::new(Policy::default()) }
    }

    /// With an RDS that can be asked how many connections a database takes, if there is one.
    #[must_use]
    pub fn with_rds(self, rds: Option<Rds>) -> Self {
        Self { rds, ..self }
    }

    /// With hands for the services that may be called.
    #[must_use]
    pub fn with_http(self, http: Http) -> Self {
        Self { http, ..self }
    }

    const fn tools(&self) -> http::Tools<'_> {
        http::Tools { kubernetes: &self.kubernetes, http: &self.http }
    }

    /// What the action would do. Reads only. `alerted`: what somebody changed since then is none of the trouble's causes.
    ///
    /// # Errors
    /// [`PlanError`] when the target does not exist or can not be read.
    pub async fn plan(
        &self,
        wish: &Wish<'_>,
        target: &Target,
        alerted: Timestamp,
        now: Timestamp,
    ) -> Result<Plan, PlanError> {
        let action = match wish.remedy {
            Remedy::Plain(action) => *action,
            Remedy::Scale(to) => return scale::plan(&self.kubernetes, wish, *to, target, now).await,
            Remedy::Resources(to) => return resources::plan(&self.kubernetes, wish, to, target, now).await,
            Remedy::Env(to) => {
                return env::plan(&self.kubernetes, self.rds.as_ref(), wish, to, target, now).await;
            }
            Remedy::Http(call) => return http::plan(self.tools(), call, target, now).await,
            Remedy::PutBack | Remedy::ChangeAgain => wish.remedy.action(),
        };
        match action {
            Action::Scale
            | Action::Resources
            | Action::Env
            | Action::Http
            | Action::PutBack
            | Action::ChangeAgain => {
                Err(PlanError { why: format!("`{}` needs options", action.as_str()), for_good: true })
            }
            Action::Restart => restart::plan(&self.kubernetes, target, now).await,
            Action::Rollback => rollback::plan(&self.kubernetes, target, alerted, now).await,
            Action::Evict => evict::plan(&self.kubernetes, target, now).await,
            Action::DeletePod => delete_pod::plan(&self.kubernetes, target, now).await,
            Action::Cordon | Action::Uncordon => cordon::plan(&self.kubernetes, action, target, now).await,
        }
    }

    /// How what is changed for a while is put back: as far as it still is as we left it. Reads only.
    ///
    /// # Errors
    /// [`PlanError`] when the object can not be read.
    pub async fn plan_restore(
        &self,
        entries: &[Entry],
        target: &Target,
        now: Timestamp,
    ) -> Result<Restoring, PlanError> {
        restore::plan_restore(&self.kubernetes, entries, target, now).await
    }

    /// How a restore that brought the trouble back is undone: `put_back` is its plan.
    ///
    /// # Errors
    /// [`PlanError`] when the object can not be read, or is no longer as the restore left it.
    pub async fn plan_again(&self, put_back: &Plan, now: Timestamp) -> Result<Plan, PlanError> {
        restore::plan_again(&self.kubernetes, put_back, now).await
    }

    /// Makes the effect, once. The permit is used up, whatever comes of it.
    pub async fn apply(&self, permit: Permit, now: Timestamp) -> EffectResult {
        if let Some(late) = void(&permit, now) {
            return late;
        }
        match permit.plan().action {
            Action::Restart => restart::apply(&self.kubernetes, permit).await,
            Action::Rollback => rollback::apply(&self.kubernetes, permit).await,
            Action::Evict => evict::apply(&self.kubernetes, permit).await,
            Action::DeletePod => delete_pod::apply(&self.kubernetes, permit).await,
            Action::Cordon | Action::Uncordon => cordon::apply(&self.kubernetes, permit).await,
            Action::Http => http::apply(self.tools(), permit).await,
            Action::Scale | Action::Resources | Action::Env | Action::PutBack | Action::ChangeAgain => {
                fields::apply(&self.kubernetes, permit).await
            }
        }
    }

    /// What became of an effect that was intended.
    pub async fn observe(&self, plan: &Plan) -> Observation {
        match plan.action {
            Action::Restart => restart::observe(&self.kubernetes, plan).await,
            Action::Rollback => rollback::observe(&self.kubernetes, plan).await,
            Action::Evict => evict::observe(&self.kubernetes, plan).await,
            Action::DeletePod => delete_pod::observe(&self.kubernetes, plan).await,
            Action::Cordon | Action::Uncordon => cordon::observe(&self.kubernetes, plan).await,
            Action::Http => http::observe(self.tools(), plan).await,
            Action::Scale | Action::Resources | Action::Env | Action::PutBack | Action::ChangeAgain => {
                fields::observe(&self.kubernetes, plan).await
            }
        }
    }

    /// Puts back what the effect of the permit's plan changed for a while.
    pub async fn revert(&self, permit: Permit, now: Timestamp) -> Reverted {
        if let Some(EffectResult::NotTaken { message, .. }) = void(&permit, now) {
            return Reverted::Failed(message);
        }
        match permit.plan().action {
            Action::Cordon => cordon::revert(&self.kubernetes, permit).await,
            Action::Scale | Action::Resources | Action::Env | Action::PutBack | Action::ChangeAgain => {
                fields::revert(&self.kubernetes, permit).await
            }
            // A new process, an older revision, a pod that is gone: nothing of it is meant for a while.
            Action::Restart
            | Action::Rollback
            | Action::Evict
            | Action::DeletePod
            | Action::Uncordon
            // What was told to somebody can be taken back only by telling them otherwise, which is a step of its own.
            | Action::Http => Reverted::Nothing,
        }
    }

    /// Whether an effect that happened has come to its end.
    pub async fn follow(&self, plan: &Plan) -> Followed {
        match plan.action {
            Action::Restart => restart::follow(&self.kubernetes, plan).await,
            Action::Rollback => rollback::follow(&self.kubernetes, plan).await,
            Action::Evict => evict::follow(&self.kubernetes, plan).await,
            Action::DeletePod => delete_pod::follow(&self.kubernetes, plan).await,
            Action::Cordon | Action::Uncordon => cordon::follow(&self.kubernetes, plan).await,
            Action::Http => http::follow(self.tools(), plan).await,
            Action::Scale | Action::Resources | Action::Env | Action::PutBack | Action::ChangeAgain => {
                fields::follow(&self.kubernetes, plan).await
            }
        }
    }
}

/// What became of putting something back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverted {
    /// The action changes nothing for a while.
    Nothing,
    /// It is as it was before, whoever put it back.
    Done,
    /// It is no longer as it was left: somebody else has changed it.
    LeftAlone(String),
    /// It could not be done, or is not known to have been; to be tried again.
    Failed(String),
}

/// The kind as its documentation writes it.
const fn proper(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployment => "Deployment",
        Kind::StatefulSet => "StatefulSet",
        Kind::DaemonSet => "DaemonSet",
        Kind::Pod => "Pod",
        Kind::Node => "Node",
        Kind::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
    }
}

/// A permit that has run out allows nothing.
fn void(permit: &Permit, now: Timestamp) -> Option<EffectResult> {
    (now > permit.not_after()).then(|| EffectResult::NotTaken {
        reason: Reason::Timeout.as_str().to_owned(),
        message: "the permit had run out before the call was made".to_owned(),
    })
}

/// Why no plan can be made of a target that could not be read.
fn unread(error: CallError) -> PlanError {
    let for_good = matches!(error.reason, Reason::NotFound | Reason::ClientError);
    PlanError { why: error.to_string(), for_good }
}

/// Whether a rollout that an effect began has come to its end. `seen`: what the object says about the effect.
fn rolled_out(plan: &Plan, deployment: Workload, seen: Observation) -> Followed {
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
fn unfollowed(plan: &Plan, error: &CallError) -> Followed {
    match error.reason {
        Reason::NotFound => Followed::Overtaken(format!("{} is gone", plan.target)),
        _ => Followed::Unseen(error.to_string()),
    }
}

/// What a look at the target that failed says about the effect.
fn unobserved(plan: &Plan, error: &CallError) -> Observation {
    match error.reason {
        Reason::NotFound => Observation::Ambiguous { saw: format!("{} is gone", plan.target) },
        _ => Observation::Unseen { why: error.to_string() },
    }
}

/// Another object of the same name tells nothing.
fn another(plan: &Plan, uid: &str) -> Option<Observation> {
    (uid != plan.uid).then(|| Observation::Ambiguous {
        saw: format!("{} is another object of the same name (uid {uid})", plan.target),
    })
}

/// What a failed write means for its effect.
fn result_of(error: CallError) -> EffectResult {
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
