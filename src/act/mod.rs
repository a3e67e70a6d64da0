//! Actions: one file each, with plan, apply, observe, follow. Only here is anything changed, and only with a
//! permit, which is taken by value.
//!
//! A plan reads. `apply` makes the call once and never again by itself. `observe` tells what became of it.
//! `follow` looks whether the effect has come to its end. `revert` puts back what was changed for a while, when it is still as it was left; most
//! actions have nothing to put back.

mod answers;
mod around;
mod capacity;
mod cordon;
mod delete_pod;
mod env;
mod evict;
mod fields;
mod http;
mod pod;
mod quota;
mod rehearse;
mod resources;
mod restart;
mod restore;
mod rollback;
mod rotation;
mod route53;
mod scale;
mod setting;
mod terraform;
mod workflow;

use std::time::Duration;

use jiff::Timestamp;

use self::answers::{another, proper, result_of, rolled_out, unfollowed, unobserved, unread, unsent, void};
use crate::clients::acm::Acm;
use crate::clients::github::GitHub;
use crate::clients::http::{Http, Policy};
use crate::clients::kubernetes::Kubernetes;
use crate::clients::rds::Rds;
use crate::clients::route53::Route53;
use crate::clients::terraform::Terraform;
use crate::incident::changes::Entry;
use crate::incident::drill::Rehearsed;
use crate::incident::event::{EffectResult, Observation, Released};
use crate::incident::permit::Permit;
use crate::incident::plan::{Plan, Stays, Target};
use crate::runbook::{Action, Remedy};

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
pub fn rights(action: Action) -> Vec<Right> {
    let mut all = own_rights(action).to_vec();
    all.extend(around::rights(action));
    all.sort_unstable();
    all.dedup();
    all
}

/// What it needs besides looking around.
const fn own_rights(action: Action) -> &'static [Right] {
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
        // It is AWS and GitHub that allow it: docs/security.md says what they want.
        Action::Route53 | Action::Workflow => &[],
        Action::Terraform => terraform::RIGHTS,
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
    /// Where certificates and their records are.
    certificates: Option<(Acm, Route53)>,
    terraform: Option<Terraform>,
    github: Option<GitHub>,
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
        Self {
            kubernetes,
            rds: None,
            http: Http::new(Policy::default()),
            certificates: None,
            terraform: None,
            github: None,
        }
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

    /// With hands for certificates and their records, if there is an AWS.
    #[must_use]
    pub fn with_certificates(self, certificates: Option<(Acm, Route53)>) -> Self {
        Self { certificates, ..self }
    }

    /// With a terraform, if there is one.
    #[must_use]
    pub fn with_terraform(self, terraform: Option<Terraform>) -> Self {
        Self { terraform, ..self }
    }

    /// With a GitHub, if there is one.
    #[must_use]
    pub fn with_github(self, github: Option<GitHub>) -> Self {
        Self { github, ..self }
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
        let plan = self.plan_alone(wish, target, alerted, now).await?;
        if plan.is_empty() {
            return Ok(plan);
        }
        Ok(around::seen(&self.kubernetes, plan, alerted).await)
    }

    /// The same, before anybody has looked around.
    async fn plan_alone(
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
            Remedy::Terraform(run) => {
                return terraform::plan(self.terraform.as_ref(), run, target, now).await;
            }
            Remedy::Workflow(run) => return workflow::plan(self.github.as_ref(), run, target, now),
            Remedy::PutBack | Remedy::ChangeAgain => wish.remedy.action(),
        };
        match action {
            Action::Scale
            | Action::Resources
            | Action::Env
            | Action::Http
            | Action::Terraform
            | Action::Workflow
            | Action::PutBack
            | Action::ChangeAgain => {
                Err(PlanError { why: format!("`{}` needs options", action.as_str()), for_good: true })
            }
            Action::Restart => restart::plan(&self.kubernetes, target, now).await,
            Action::Rollback => rollback::plan(&self.kubernetes, target, alerted, now).await,
            Action::Evict => evict::plan(&self.kubernetes, target, now).await,
            Action::DeletePod => delete_pod::plan(&self.kubernetes, target, now).await,
            Action::Cordon | Action::Uncordon => cordon::plan(&self.kubernetes, action, target, now).await,
            Action::Route53 => route53::plan(self.certificates.as_ref(), target, now).await,
        }
    }

    /// A plan that was made before and not used, when it can be used just as it was judged; none: a new one has to be made.
    ///
    /// # Errors
    /// [`PlanError`] when that can not be told.
    pub async fn renewed(&self, plan: &Plan) -> Result<Option<Plan>, PlanError> {
        match plan.action {
            Action::Terraform => {
                let Some(plan) = terraform::renewed(self.terraform.as_ref(), plan).await? else {
                    return Ok(None);
                };
                Ok(Some(self.around(plan).await))
            }
            // What it would do is read anew, and compared with what was judged.
            _ => Ok(None),
        }
    }

    /// The same plan, with what is under way around its target by now.
    pub async fn around(&self, plan: Plan) -> Plan {
        let made_at = plan.made_at;
        around::seen(&self.kubernetes, plan, made_at).await
    }

    /// Nobody will apply this plan: what was kept for that is removed.
    pub fn discard(&self, plan: &Plan) {
        if plan.action == Action::Terraform {
            terraform::discard(self.terraform.as_ref(), plan);
        }
    }

    /// Ends what runs outside of this process.
    pub async fn close(&self) {
        if let Some(terraform) = &self.terraform {
            terraform.close().await;
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
        let mut restoring = restore::plan_restore(&self.kubernetes, entries, target, now).await?;
        if let Some(plan) = restoring.plan.take() {
            restoring.plan = Some(around::seen(&self.kubernetes, plan, now).await);
        }
        Ok(restoring)
    }

    /// How a restore that brought the trouble back is undone: `put_back` is its plan.
    ///
    /// # Errors
    /// [`PlanError`] when the object can not be read, or is no longer as the restore left it.
    pub async fn plan_again(&self, put_back: &Plan, now: Timestamp) -> Result<Plan, PlanError> {
        let plan = restore::plan_again(&self.kubernetes, put_back, now).await?;
        Ok(around::seen(&self.kubernetes, plan, now).await)
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
            Action::Route53 => route53::apply(self.certificates.as_ref(), permit).await,
            Action::Terraform => terraform::apply((self.terraform.as_ref(), &self.kubernetes), permit).await,
            Action::Workflow => workflow::apply(self.github.as_ref(), permit).await,
            Action::Scale | Action::Resources | Action::Env | Action::PutBack | Action::ChangeAgain => {
                fields::apply(&self.kubernetes, permit).await
            }
        }
    }

    /// Asks the other system what it would say to the call of a plan, and not to carry it out.
    pub async fn rehearse(&self, plan: &Plan) -> Rehearsed {
        rehearse::rehearse(&self.kubernetes, plan).await
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
            Action::Route53 => route53::observe(self.certificates.as_ref(), plan).await,
            Action::Terraform => terraform::observe(self.terraform.as_ref(), plan).await,
            Action::Workflow => workflow::observe(self.github.as_ref(), plan).await,
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
            | Action::Http
            // What ACM asks for is asked for ever, and by several certificates at once.
            | Action::Route53
            // What a description elsewhere says is changed there.
            | Action::Terraform
            | Action::Workflow => Reverted::Nothing,
        }
    }

    /// Whether an effect that happened has come to its end. `handles`: what the other system calls its work on it, where it has said so.
    pub async fn follow(&self, plan: &Plan, handles: &[String]) -> Followed {
        match plan.action {
            Action::Restart => restart::follow(&self.kubernetes, plan).await,
            Action::Rollback => rollback::follow(&self.kubernetes, plan).await,
            Action::Evict => evict::follow(&self.kubernetes, plan).await,
            Action::DeletePod => delete_pod::follow(&self.kubernetes, plan).await,
            Action::Cordon | Action::Uncordon => cordon::follow(&self.kubernetes, plan).await,
            Action::Http => http::follow(self.tools(), plan).await,
            Action::Route53 => route53::follow(self.certificates.as_ref(), plan, handles).await,
            Action::Terraform => terraform::follow(self.terraform.as_ref(), plan).await,
            Action::Workflow => workflow::follow(self.github.as_ref(), plan, handles).await,
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
