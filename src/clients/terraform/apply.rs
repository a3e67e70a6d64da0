//! Applies a saved plan, once, and tells what surely changed nothing from what may have.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::events::Events;
use super::runner::{How, Stop};
use super::sink::Sink;
use super::{Act, MOST_OUTPUT, Planned, Terraform, document, lock_timeout, sensitive, words};
use crate::clients::{CallError, Reason, Secret};
use crate::clock;
use crate::text::{count, span};

/// How many addresses are named.
const NAMED: usize = 10;

/// What became of a saved plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// All of it.
    Done {
        /// So many resources were made.
        added: u64,
        /// So many were changed in place.
        changed: u64,
        /// So many were removed; a policy allows none.
        removed: u64,
    },
    /// The state is another one than when the plan was made: nothing was changed, and this plan never will be applied.
    Stale,
    /// Somebody else holds the state's lock: nothing was changed, and the plan can be tried again.
    Locked(String),
    /// Nothing was begun, and the plan can be tried again.
    NotNow(CallError),
    /// Nothing was changed, and this plan never will be applied.
    NotBegun(CallError),
    /// It failed on the way: some of it is done, and stays so.
    Partial {
        /// The resources that were finished.
        done: Vec<String>,
        /// Those that were begun and are not known to be finished.
        open: Vec<String>,
        /// What terraform said.
        errors: String,
    },
    /// It was interrupted, and what was begun is done or not.
    Interrupted {
        /// The resources that were finished.
        done: Vec<String>,
        /// Those that were begun and are not known to be finished.
        open: Vec<String>,
        /// It did not end by itself and was killed, perhaps before it wrote its state.
        killed: bool,
        /// Why it was interrupted.
        why: String,
    },
    /// Nobody knows.
    Unknown(CallError),
}

impl Applied {
    /// Whether surely nothing was changed.
    #[must_use]
    pub const fn surely_without_effect(&self) -> bool {
        match self {
            Self::Stale | Self::Locked(_) | Self::NotNow(_) | Self::NotBegun(_) => true,
            Self::Done { .. } | Self::Partial { .. } | Self::Interrupted { .. } | Self::Unknown(_) => false,
        }
    }

    /// The reason, where it is not done.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Done { .. } => None,
            Self::Stale | Self::Locked(_) => Some(Reason::Conflict),
            Self::NotNow(error) | Self::NotBegun(error) | Self::Unknown(error) => Some(error.reason),
            Self::Partial { .. } => Some(Reason::ServerError),
            Self::Interrupted { .. } => Some(Reason::Timeout),
        }
    }

    /// In words.
    #[must_use]
    pub fn says(&self) -> String {
        match self {
            Self::Done { added, changed, removed } => {
                format!("{added} added, {changed} changed, {removed} removed")
            }
            Self::Stale => "the state was changed since the plan was made; nothing was changed".to_owned(),
            Self::Locked(holder) => format!("{holder}; nothing was changed"),
            Self::NotNow(error) | Self::NotBegun(error) => format!("{}; nothing was changed", error.message),
            Self::Partial { done, open, errors } => {
                format!("it failed on the way: {errors}; {}", both(done, open))
            }
            Self::Interrupted { done, open, killed, why } => {
                let how = if *killed { "it was killed" } else { "it was interrupted" };
                format!("{how}: {why}; {}", both(done, open))
            }
            Self::Unknown(error) => error.message.clone(),
        }
    }
}

/// `done: a.b; perhaps: a.c`.
fn both(done: &[String], open: &[String]) -> String {
    let list = |what: &str, all: &[String]| {
        let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if let Some(more) = all.len().checked_sub(NAMED).filter(|more| *more > 0) {
            text.push_str(&format!(
                " and {}",
                count(u64::try_from(more).unwrap_or(u64::MAX), "other", "others")
            ));
        }
        if all.is_empty() { format!("{what}: none") } else { format!("{what}: {text}") }
    };
    format!("{}; {}", list("done", done), list("perhaps done", open))
}

impl Terraform {
    /// Applies this saved plan, once, and begins before `not_after`, whoever else works in the directory. When this future is dropped, terraform is
    /// interrupted, and nothing more is told.
    /// `begun` is told when it begins.
    pub async fn apply(&self, planned: &Planned, not_after: Timestamp, begun: &Notify) -> Applied {
        let call = format!("apply the saved plan of the terraform directory {}", planned.directory);
        let held = match self.hold(&planned.directory, &call).await {
            Ok(held) => held,
            Err(error) if error.reason == Reason::Unreachable => return Applied::NotNow(error),
            Err(error) => return Applied::NotBegun(error),
        };
        let lost = |error: &std::io::Error| {
            let message =
                format!("the saved plan can not be used: {error}; it is kept for a day, and applied once");
            Applied::NotBegun(CallError::new(&call, Reason::NotFound, &message))
        };
        let plan = match self.0.files.waiting(&planned.sha256) {
            Ok(plan) => plan,
            Err(error) => return lost(&error),
        };
        let shown = match self.show(&plan, &call, &held).await {
            Ok(shown) => shown,
            Err(error) if error.reason != Reason::ClientError => return Applied::NotNow(error),
            Err(error) => return Applied::NotBegun(error),
        };
        // The hash says that it is the same file; this, that what people saw is what is in it.
        match document::read(&shown) {
            Ok(found) if found.changes == planned.changes && found.outputs == planned.outputs => {}
            Ok(_) | Err(_) => {
                let message = "what is in the saved plan is not what was approved";
                return Applied::NotBegun(CallError::new(&call, Reason::Conflict, message));
            }
        }
        let hide = sensitive::values(&shown);
        drop(shown);
        if *self.0.down.borrow() {
            return Applied::NotNow(CallError::new(&call, Reason::Unreachable, "runbookd is ending"));
        }
        if clock::now() > not_after {
            let message = "the time in which it could be begun was over before it was";
            return Applied::NotNow(CallError::new(&call, Reason::Timeout, message));
        }
        let plan = match self.0.files.begin(&planned.sha256) {
            Ok(plan) => plan,
            Err(error) => return lost(&error),
        };
        begun.notify_one();
        let (within, wait) = (self.0.settings.apply_within, self.0.settings.lock_timeout);
        let mut words = words(&["apply", "-json", "-input=false", "-no-color"]);
        words.extend([lock_timeout(wait), plan.into_os_string()]);
        let to = (Sink::events(MOST_OUTPUT), Some(self.0.files.log(&planned.sha256)));
        let ran = self.run(words, within, to, &held, &call).await;
        let applied = match ran {
            Err(error) if error.reason.surely_without_effect() => Applied::NotBegun(error),
            Err(error) => Applied::Unknown(error),
            Ok(ran) => self.became(planned, ran.how, ran.told, (&call, within), &hide),
        };
        match applied {
            Applied::Locked(_) => self.0.files.give_back(&planned.sha256),
            // What it had begun, terraform's own words tell.
            Applied::Interrupted { .. } | Applied::Unknown(_) => self.0.files.spend(&planned.sha256),
            _ => self.0.files.remove(&planned.sha256),
        }
        applied
    }

    fn became(
        &self,
        planned: &Planned,
        how: How,
        told: Events,
        (call, within): (&str, Duration),
        hide: &[Secret],
    ) -> Applied {
        let errors = self.errors(&told, hide);
        let untouched = told.begun.is_empty() && told.done.is_empty() && told.failed.is_empty() && !told.lost;
        // Nothing tells that a place in the state, or an output, was changed.
        let is_told = |act: &Act| matches!(act, Act::Create | Act::Update | Act::Read);
        let untouched = untouched
            && planned.outputs.is_empty()
            && planned.changes.iter().all(|change| is_told(&change.act) && !change.imported);
        let Events { begun, done, summary, locked, stale, .. } = told;
        let mut open = begun;
        open.retain(|address| !done.contains(address));
        match how {
            How::Exited(0) => match summary {
                Some(counts) => {
                    Applied::Done { added: counts.add, changed: counts.change, removed: counts.remove }
                }
                None => Applied::Unknown(CallError::new(
                    call,
                    Reason::ServerError,
                    "terraform ended well and did not say what it did",
                )),
            },
            How::Exited(_) if stale && done.is_empty() && open.is_empty() => Applied::Stale,
            How::Exited(_) if done.is_empty() && open.is_empty() && locked.is_some() => {
                Applied::Locked(self.locked(&locked.unwrap_or_default()))
            }
            How::Exited(code) if untouched && !errors.is_empty() => Applied::NotBegun(CallError::new(
                call,
                Reason::ServerError,
                &format!("terraform ended with code {code}: {errors}"),
            )),
            How::Exited(code) => {
                let errors =
                    if errors.is_empty() { format!("terraform ended with code {code}") } else { errors };
                Applied::Partial { done, open, errors }
            }
            How::Stopped { killed: false, why: Stop::Late, .. } if untouched => {
                Applied::NotBegun(CallError::new(
                    call,
                    Reason::Timeout,
                    &format!("terraform had begun nothing after {}, and was stopped", span(within)),
                ))
            }
            How::Stopped { why, killed } => {
                let why = match why {
                    Stop::Late => format!("it took longer than {}", span(within)),
                    Stop::NobodyWaits => "nobody waited for it any more".to_owned(),
                    Stop::ShuttingDown => "runbookd is ending".to_owned(),
                };
                Applied::Interrupted { done, open, killed, why }
            }
            How::Signalled(signal) => Applied::Unknown(CallError::new(
                call,
                Reason::ServerError,
                &format!("terraform was ended by signal {signal}; {}", both(&done, &open)),
            )),
        }
    }
}
