//! What a remediation does: the action, its options, and when what it changes is put back. Plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Action;
use super::quantity::Quantity;
use super::within::Within;

/// An action with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// One that has none.
    Plain(Action),
    /// More pods.
    Scale(Scale),
    /// Other requests and limits of a container.
    Resources(Resources),
    /// Other environment variables of a container.
    Env(Variables),
    /// An HTTP call.
    Http(Box<HttpCall>),
    /// A plan of terraform.
    Terraform(TerraformRun),
    /// A workflow of GitHub Actions.
    Workflow(WorkflowRun),
    /// What the ledger says is put back. No runbook says so.
    PutBack,
    /// What was put back is changed again. No runbook says so.
    ChangeAgain,
}

impl Remedy {
    /// The action.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Plain(action) => *action,
            Self::Scale(_) => Action::Scale,
            Self::Resources(_) => Action::Resources,
            Self::Env(_) => Action::Env,
            Self::Http(_) => Action::Http,
            Self::Terraform(_) => Action::Terraform,
            Self::Workflow(_) => Action::Workflow,
            Self::PutBack => Action::PutBack,
            Self::ChangeAgain => Action::ChangeAgain,
        }
    }
}

/// What of a plan of terraform may be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerraformRun {
    /// The directory, by its name in the configuration; none: the target is one.
    pub directory: Option<String>,
    /// The addresses that may be created or changed in place, as patterns.
    pub allow: Vec<String>,
    /// At most so many resources.
    pub at_most: u32,
    /// Outputs whose values are told, before and after.
    pub outputs: Vec<String>,
    /// It replaces nodes: when nothing of them has moved for so long, it is stopped.
    pub nodes_stall_after: Option<Duration>,
}

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRun {
    /// Such as `acme/infra/upgrade.yml@main`.
    pub workflow: String,
    /// Its inputs.
    pub inputs: BTreeMap<String, String>,
    /// It has come to its conclusion by then.
    pub within: Duration,
}

/// How many pods there are to be. Never fewer than there are: few pods on one signal is how outages grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// How the number is made.
    pub by: By,
    /// Never more than this.
    pub at_most: u32,
}

/// How a number is made from the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This one.
    To(u32),
    /// So many more.
    Add(u32),
    /// So many hundredths of it, rounded up.
    Percent(u32),
}

impl By {
    /// The number that comes of this one.
    #[must_use]
    pub const fn of(self, live: u32) -> u32 {
        match self {
            Self::To(number) => number,
            Self::Add(more) => live.saturating_add(more),
            Self::Percent(percent) => live.saturating_mul(percent).div_ceil(100),
        }
    }
}

/// Other requests and limits of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// The container.
    pub container: String,
    /// What is changed.
    pub parts: Vec<ResourcePart>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePart {
    /// Whether it is the limit, and not the request.
    pub limit: bool,
    /// Such as `memory`.
    pub resource: String,
    /// The new amount.
    pub to: Amount,
    /// The declared value, which is put back instead of the one that was found: what is found may be the fault.
    pub baseline: Option<Quantity>,
}

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// This much.
    Exactly(Quantity),
    /// So many hundredths of what is there, up to a ceiling.
    Percent {
        /// More than 100.
        percent: u32,
        /// Never more than this.
        at_most: Quantity,
    },
}

/// Other environment variables of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    /// The container; none: the only one of the pod.
    pub container: Option<String>,
    /// What is changed, by name.
    pub variables: Vec<(String, Variable)>,
    /// What a pool of connections must stay below, where the variables are its size.
    pub within: Option<Box<Within>>,
}

/// The new value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// This text.
    Set(String),
    /// So much more than the number that is there.
    Add {
        /// How much.
        add: u32,
        /// The number that a pod without the variable has; none: without the variable there is nothing to add to.
        default: Option<u32>,
        /// Never more than this.
        at_most: u32,
    },
}

/// An HTTP call. Only what is the same for every alert stands in it: no label gets into what is sent, or to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCall {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Who is called.
    pub to: CallTo,
    /// Further headers. None of them is a secret: those stand in the configuration.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub json: Option<serde_json::Value>,
    /// For how long each answer is waited for.
    pub within: Duration,
    /// For how long after that a server may still work on a call whose answer did not come: it does not stop when its client leaves.
    pub may_take: Duration,
    /// How to see whether it has happened.
    pub observe: Option<Observe>,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallTo {
    /// Who answers at this address.
    Url(String),
    /// Every pod of the target, at its own address.
    EachPod {
        /// On this port.
        port: u16,
        /// With this path.
        path: String,
    },
}

/// A question whose answer tells whether a call has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// Asked with GET: an address, or for every pod a path.
    pub at: String,
    /// Where the value stands in the answer (RFC 6901).
    pub pointer: String,
    /// The value that is there when it has happened.
    pub equals: serde_json::Value,
}

/// When what was changed is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreWhen {
    /// It stays.
    Never,
    /// This long after it was changed.
    After(Duration),
    /// When the incident has recovered; when it ends otherwise, some time later.
    Recovered,
}
