//! Scenarios: what is well before, what is broken, and everything that must come true after it. Plain data, read from YAML, and a verdict; who
//! breaks things and watches is the caller's.

mod fault;
mod judge;
pub mod load;
mod real;
mod synthetic;

use std::path::PathBuf;
use std::time::Duration;

use crate::incident::Outcome;
use crate::incident::proof::Level;
use crate::incident::refusal::Guard;
use crate::runbook::{Action, Verification};

pub use fault::{Away, Fault, Need, Record};
pub use judge::{Health, PutBack, Seen, SeenIncident};
pub use real::{BrokenForReal, RealFault};
pub use synthetic::{ExpectedAnswer, Lines, Synthetic};

/// A fault, and what it must lead to.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// Which file it comes from.
    pub file: PathBuf,
    /// What must hold before anything is broken, and afterwards once more.
    pub steady: Verification,
    /// Within this time it must, before and after.
    pub steady_within: Duration,
    /// What is broken, in this order.
    pub faults: Vec<Broken>,
    /// What must come of it.
    pub expect: Expect,
    /// How it is played with a synthetic alert; none: it can not be.
    pub synthetic: Option<Synthetic>,
    /// What is broken in the cluster itself, in this order; empty: it can not be played there.
    pub real: Vec<BrokenForReal>,
}

/// One fault, when it is made and how long it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// So long after the one before it.
    pub wait: Duration,
    /// What is broken.
    pub fault: Fault,
    /// Until when.
    pub lasts: Lasts,
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Until somebody mends it, or the end of the run.
    UntilMended,
    /// Until the expected incidents are closed: what made a change necessary is over, and it can be put back.
    UntilClosed,
}

impl Lasts {
    const ALL: [Self; 2] = [Self::UntilMended, Self::UntilClosed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::UntilMended => "until_mended",
            Self::UntilClosed => "until_closed",
        }
    }
}

/// What must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The alert that must fire; none: the fault is an alert itself.
    pub alert: Option<ExpectedAlert>,
    /// The incidents that must be opened and end.
    pub incidents: Vec<ExpectedIncident>,
    /// The runbooks that may answer besides: what breaks pods can break requests.
    pub others: Vec<String>,
    /// How many changes the cluster must see, putting back included.
    pub changes: Option<usize>,
    /// What is changed for a while must be put back after so long, and that must recover.
    pub put_back_after: Option<Duration>,
    /// Whether all must be well in the end.
    pub afterwards: Afterwards,
}

/// An alert that must fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedAlert {
    /// One of these.
    pub one_of: Vec<String>,
    /// Within this time of the fault.
    pub within: Duration,
    /// All may also be well again before one fires: then nobody was needed.
    pub may_heal_first: bool,
}

/// An incident that must be opened and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedIncident {
    /// The runbook that must answer.
    pub runbook: String,
    /// How it must end: one of these.
    pub outcomes: Vec<Outcome>,
    /// Within this time of the fault.
    pub within: Duration,
    /// What must be done, in this order; empty: nothing.
    pub actions: Vec<Action>,
    /// Guards that must say no, each at least once.
    pub refused_by: Vec<Guard>,
    /// The runbook that it must stand back behind.
    pub stands_back_behind: Option<String>,
}

/// How it must be in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// As before.
    Steady,
    /// Not well: it is a person's.
    Broken,
    /// Nobody asks.
    Either,
}

impl Afterwards {
    const ALL: [Self; 3] = [Self::Steady, Self::Broken, Self::Either];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Broken => "broken",
            Self::Either => "either",
        }
    }
}

impl Scenario {
    /// What is broken, in words.
    #[must_use]
    pub fn broke(&self) -> String {
        let all: Vec<String> = self.faults.iter().map(|broken| broken.fault.to_string()).collect();
        all.join(", and ")
    }

    /// The levels at which it can be played.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|level| match level {
            Level::Sandbox => true,
            Level::Alert => self.synthetic.is_some(),
            Level::Fault => !self.real.is_empty(),
        })
    }

    /// How long it takes until everything is broken.
    #[must_use]
    pub fn making(&self) -> Duration {
        let takes = |broken: &Broken| match &broken.fault {
            Fault::Alerts { times, every, .. } => {
                broken.wait + every.saturating_mul(2 * times.saturating_sub(1))
            }
            _ => broken.wait,
        };
        self.faults.iter().map(takes).sum()
    }

    /// The runbooks that it puts to the proof.
    pub fn runbooks(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> =
            self.expect.incidents.iter().map(|incident| incident.runbook.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }
}
