//! terraform, as a program: `plan` saves a plan and tells what is in it, `apply` applies that saved plan and no other, `observe` tells what became of it, `output`
//! reads one output.
//!
//! Only in directories that the configuration names, with words and no shell, and with an environment that is listed. One process at a time in a directory, two in all. No value
//! ever leaves this folder but an output that was asked for and is not sensitive: of terraform's own words only the summaries are shown, without the values that the plan or the environment hide.
//! `terraform init` is never run: it loads programs from elsewhere, and belongs where the directory is made ready.

mod address;
mod apply;
mod directories;
mod document;
mod events;
mod files;
mod log;
mod observe;
mod policy;
mod runner;
mod said;
mod sensitive;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, watch};

pub use address::Pattern;
pub use apply::Applied;
pub use directories::is_below;
pub use document::{Act, Basis, Change, Output, Planned};
pub use files::KEPT;
pub use observe::Observed;
pub use policy::Policy;

use self::events::Events;
use self::files::Files;
use self::runner::{Failed, How, Job};
use self::sink::Sink;
use super::{CallError, Reason, Secret};

/// So many processes at once.
const AT_ONCE: u32 = 2;
/// Of more output the rest is thrown away.
pub const MOST_OUTPUT: usize = 10 << 20;
/// How much of an output is shown.
const SHOWN_OUTPUT: usize = 200;

/// What terraform is run with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program: a path, or a name that is looked up in the `PATH` of `environment`.
    pub binary: PathBuf,
    /// Above all directories.
    pub root: PathBuf,
    /// The directories by their names, relative to the root.
    pub directories: BTreeMap<String, PathBuf>,
    /// The folder for saved plans, of nobody else.
    pub plans: PathBuf,
    /// All of its environment, but for what makes it ask nobody.
    pub environment: Vec<Variable>,
    /// How long anything that only reads may take.
    pub plan_within: Duration,
    /// How long an apply may take.
    pub apply_within: Duration,
    /// How long it may take to end after it was interrupted, before it is killed.
    pub grace: Duration,
    /// How long it waits for the lock of the state.
    pub lock_timeout: Duration,
    /// A text of somebody else's as people may see it.
    pub shown: fn(&str) -> String,
}

/// A variable of the environment.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// The value is taken out of every text.
    pub hide: bool,
}

/// terraform, in the directories that it may be run in.
#[derive(Clone)]
pub struct Terraform(Arc<Inner>);

struct Inner {
    settings: Settings,
    files: Files,
    slots: Arc<Semaphore>,
    directories: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
    down: watch::Sender<bool>,
}

/// A directory that nobody else works in; kept until the last process in it has gone.
struct Held {
    path: PathBuf,
    _turn: OwnedMutexGuard<()>,
    _slot: OwnedSemaphorePermit,
}

/// What a command came to.
struct Heard {
    how: How,
    /// What it printed, where all of it was kept.
    whole: Option<Vec<u8>>,
    told: Events,
}

/// What a plan came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// Everything is as the configuration says.
    NoChanges,
    /// It was saved, and can be applied for a day.
    Plan(Box<Planned>),
}

impl std::fmt::Debug for Terraform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terraform").field("root", &self.0.settings.root).finish_non_exhaustive()
    }
}

impl Terraform {
    /// Nothing is run. Saved plans that are older than a day are removed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let files = Files::new(settings.plans.clone());
        files.sweep();
        let slots = Arc::new(Semaphore::new(AT_ONCE as usize));
        Self(Arc::new(Inner {
            settings,
            files,
            slots,
            directories: Mutex::default(),
            down: watch::Sender::new(false),
        }))
    }

    /// Makes a plan and saves it. Changes nothing; what the directory says is run all the same (data sources, providers).
    ///
    /// # Errors
    /// `Conflict` when somebody holds the state's lock, `ClientError` when the directory can not be used as it is, `Timeout`, else `ServerError` with the
    /// summaries of what terraform said.
    pub async fn plan(&self, directory: &str) -> Result<Made, CallError> {
        let call = format!("plan the terraform directory {directory}");
        let held = self.hold(directory, &call).await?;
        self.make(directory, &call, &held, self.0.settings.lock_timeout).await
    }

    /// One output of the state, when it is a text, a number, or yes or no.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name, `Denied` when it is sensitive; else as [`Self::plan`].
    pub async fn output(&self, directory: &str, name: &str) -> Result<String, CallError> {
        let call = format!("read the output {name} of the terraform directory {directory}");
        let held = self.hold(directory, &call).await?;
        // Asked for by its name, terraform prints a sensitive one, too, and does not say so.
        let text = self.read(&["output", "-json", "-no-color"], None, &call, &held).await?;
        let outputs: BTreeMap<String, StateOutput> = serde_json::from_slice(&text).map_err(|_| {
            CallError::new(&call, Reason::ServerError, "what terraform answered can not be read")
        })?;
        let Some(output) = outputs.get(name) else {
            return Err(CallError::new(&call, Reason::NotFound, "the state has no such output"));
        };
        if output.sensitive {
            return Err(CallError::new(&call, Reason::Denied, "the output is sensitive, and is not shown"));
        }
        let value = match &output.value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(CallError::unsent(
                    &call,
                    "the output is a list or an object; expected one value",
                ));
            }
        };
        Ok(self.fit(&value, &[], SHOWN_OUTPUT))
    }

    /// Whether the saved plan can still be applied: the file is there and the same, and so is the state.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub async fn still_stands(&self, planned: &Planned) -> Result<bool, CallError> {
        let call = format!("look at the saved plan of the terraform directory {}", planned.directory);
        let held = self.hold(&planned.directory, &call).await?;
        match self.0.files.waiting(&planned.sha256) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
                return Ok(false);
            }
            Err(error) => {
                let message = format!("the saved plan can not be read: {error}");
                return Err(CallError::new(&call, Reason::ServerError, &message));
            }
        }
        let state = self.read(&["state", "pull", "-no-color"], None, &call, &held).await?;
        let basis = document::basis(&state);
        Ok(basis != Basis::Unknown && basis == planned.basis)
    }

    /// How long a plan and an apply may take, with all that is around them.
    #[must_use]
    pub fn settles_within(&self) -> Duration {
        let Settings { plan_within, apply_within, grace, lock_timeout, .. } = &self.0.settings;
        *plan_within + *apply_within + *grace + *lock_timeout
    }

    /// Forgets a saved plan that will not be applied.
    pub fn discard(&self, planned: &Planned) {
        self.0.files.remove(&planned.sha256);
    }

    /// Interrupts whatever runs, and waits until it has gone; nothing is begun any more.
    pub async fn close(&self) {
        self.0.down.send_replace(true);
        // It is never closed, so this only waits.
        drop(self.0.slots.acquire_many(AT_ONCE).await);
    }

    /// Waits until nobody else works in the directory.
    async fn hold(&self, directory: &str, call: &str) -> Result<Arc<Held>, CallError> {
        let Settings { root, directories, .. } = &self.0.settings;
        let path = directories::find(root, directories, directory, call)?;
        let turns = {
            let mut all = self.0.directories.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(path.clone()).or_default())
        };
        let turn = turns.lock_owned().await;
        let slot = Arc::clone(&self.0.slots).acquire_owned().await;
        let slot = slot.ok().filter(|_| !*self.0.down.borrow());
        let slot = slot.ok_or_else(|| CallError::new(call, Reason::Unreachable, "runbookd is ending"))?;
        Ok(Arc::new(Held { path, _turn: turn, _slot: slot }))
    }

    async fn make(
        &self,
        directory: &str,
        call: &str,
        held: &Arc<Held>,
        wait: Duration,
    ) -> Result<Made, CallError> {
        let unsaved = |error: &std::io::Error| {
            let folder = self.0.settings.plans.display();
            CallError::new(call, Reason::ServerError, &format!("no plan can be saved in {folder}: {error}"))
        };
        self.0.files.sweep();
        let draft = self.0.files.draft().map_err(|error| unsaved(&error))?;
        let mut out = OsString::from("-out=");
        out.push(draft.path());
        let mut words = words(&["plan", "-json", "-input=false", "-no-color", "-detailed-exitcode"]);
        words.extend([lock_timeout(wait), out]);
        let to = (Sink::events(MOST_OUTPUT), Some(draft.log()));
        let ran = self.run(words, self.0.settings.plan_within, to, held, call).await?;
        match ran.how {
            How::Exited(0) => return Ok(Made::NoChanges),
            How::Exited(2) => {}
            how => return Err(self.failed(call, how, &ran.told, self.0.settings.plan_within)),
        }
        let shown = self.show(draft.path(), call, held).await?;
        let mut planned =
            document::read(&shown).map_err(|what| CallError::new(call, Reason::ServerError, &what))?;
        drop(shown);
        directory.clone_into(&mut planned.directory);
        planned.basis = self.basis(call, held).await;
        planned.sha256 = self.0.files.keep(&draft).map_err(|error| unsaved(&error))?;
        Ok(Made::Plan(Box::new(planned)))
    }

    /// What terraform shows of a saved plan, sensitive values in clear.
    async fn show(&self, plan: &Path, call: &str, held: &Arc<Held>) -> Result<Vec<u8>, CallError> {
        self.read(&["show", "-json", "-no-color"], Some(plan), call, held).await
    }

    /// Which state there is; that it can not be told is an answer, too.
    async fn basis(&self, call: &str, held: &Arc<Held>) -> Basis {
        let read = self.read(&["state", "pull", "-no-color"], None, call, held).await;
        read.map_or(Basis::Unknown, |text| document::basis(&text))
    }

    /// All of what a command prints that only reads.
    async fn read(
        &self,
        command: &[&str],
        file: Option<&Path>,
        call: &str,
        held: &Arc<Held>,
    ) -> Result<Vec<u8>, CallError> {
        let mut words = words(command);
        words.extend(file.map(|file| file.as_os_str().to_owned()));
        let within = self.0.settings.plan_within;
        let ran = self.run(words, within, (Sink::keep(MOST_OUTPUT), None), held, call).await?;
        if ran.how != How::Exited(0) {
            return Err(self.failed(call, ran.how, &ran.told, within));
        }
        ran.whole.ok_or_else(|| {
            let message = format!("terraform {} printed more than {} MiB", command[0], MOST_OUTPUT >> 20);
            CallError::new(call, Reason::ServerError, &message)
        })
    }

    async fn run(
        &self,
        words: Vec<OsString>,
        within: Duration,
        (sink, log): (Sink, Option<PathBuf>),
        held: &Arc<Held>,
        call: &str,
    ) -> Result<Heard, CallError> {
        let Settings { binary, grace, environment, .. } = &self.0.settings;
        let mut environment = environment.clone();
        // The last one of a name counts, so nothing that is named elsewhere makes it ask, or print what it does.
        for (name, value) in [("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0"), ("CHECKPOINT_DISABLE", "1")] {
            environment.push(Variable { name: name.to_owned(), value: Secret::new(value), hide: false });
        }
        environment.retain(|variable| !never_handed_on(&variable.name));
        let job = Job {
            program: binary.clone(),
            words,
            directory: held.path.clone(),
            environment,
            within,
            grace: *grace,
            sink,
            log,
        };
        let ran = runner::run(job, self.0.down.subscribe(), Arc::clone(held)).await;
        let ran = ran.map_err(|failed| match failed {
            Failed::NotStarted(error) => {
                let message = format!(
                    "{} can not be started: {error}; install terraform, or name it in `terraform: {{binary: ...}}`",
                    binary.display()
                );
                CallError::unsent(call, &message)
            }
            Failed::Lost(error) => {
                CallError::new(call, Reason::ServerError, &format!("terraform was lost sight of: {error}"))
            }
        })?;
        let whole = ran.output.whole().map(<[u8]>::to_vec);
        let mut told = ran.output.told();
        if told.errors.is_empty() {
            told.errors = events::plain(ran.errors.begin());
        }
        Ok(Heard { how: ran.how, whole, told })
    }
}

#[derive(serde::Deserialize)]
struct StateOutput {
    sensitive: bool,
    value: Value,
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn lock_timeout(wait: Duration) -> OsString {
    OsString::from(format!("-lock-timeout={}s", wait.as_secs()))
}

/// Variables that terraform never gets, whoever names them: it would log values, or take further words from them.
#[must_use]
pub fn never_handed_on(name: &str) -> bool {
    name.starts_with("TF_LOG")
        || name.starts_with("TF_CLI_ARGS")
        || name.starts_with("TF_REATTACH_PROVIDERS")
        || name.starts_with("RUNBOOKD_")
        || name.starts_with("LD_")
}
