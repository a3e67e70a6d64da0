//! The API's answers and bodies as types, for the daemon that writes them and the commands that read them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Labels};
use crate::incident::changes::Entry;
use crate::incident::drill::Drill;
use crate::incident::event::Leg;
use crate::incident::ledger::Pause;
use crate::incident::outcome::StepResult;
use crate::incident::plan::{Plan, Target};
use crate::incident::proof::{Level, Proof};
use crate::incident::run::Run;
use crate::incident::{Incident, IncidentId, Recorded, Stage};
use crate::runbook::{Field, Hash, Mode, Runbook};
use crate::store::{Summary, Unanswered};

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// A sentence with what to do.
    pub error: String,
}

/// `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's release.
    pub version: String,
    /// Set while a person has stopped all effects.
    pub paused: Option<Pause>,
    /// How many incidents are open.
    pub incidents_open: usize,
    /// The most that any runbook may do.
    pub ceiling: Mode,
    /// The runbooks that are loaded, in the order in which they are matched.
    pub runbooks: Vec<LoadedRunbook>,
}

/// A runbook that is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedRunbook {
    /// Its name.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// The most that it may do.
    pub mode: Mode,
    /// Its version.
    pub hash: Hash,
    /// When it was proven last, how and how fast, in one line; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<String>,
}

impl From<&Runbook> for LoadedRunbook {
    fn from(runbook: &Runbook) -> Self {
        Self {
            name: runbook.name.clone(),
            summary: runbook.summary.clone(),
            mode: runbook.mode,
            hash: runbook.hash.clone(),
            proven: None,
        }
    }
}

/// `GET /api/v1/changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// What is changed for a while now, by object.
    pub changes: Vec<Change>,
}

/// A field that is changed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What the journal has of it.
    #[serde(flatten)]
    pub entry: Entry,
    /// How the cluster has it at this moment.
    pub live: Live,
    /// Its time has come, and it is not put back yet.
    pub overdue: bool,
}

/// A value in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Live {
    /// As runbookd left it, or as it was before.
    AsWeLeftIt,
    /// It is as it was before the change already.
    AsBefore,
    /// Somebody has changed it since: it will be left alone.
    Changed {
        /// What is there; none: nothing.
        value: Option<String>,
        /// By whom and when, as far as the object says.
        by: Option<String>,
    },
    /// It could not be looked at.
    Unseen {
        /// In an operator's words.
        why: String,
    },
}

/// `GET /api/v1/incidents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incidents {
    /// Given back as `?since=`, with `&wait=30s`, it asks for an answer once anything has changed.
    pub change: u64,
    /// Newest first.
    pub incidents: Vec<Listed>,
}

/// An incident in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What the journal says about it in short.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it is about now, such as "verifying"; "closed" at its end.
    pub stage: String,
}

/// `GET /api/v1/incidents/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// What the journal says about it in short; the outcome stands here.
    pub summary: Summary,
    /// What it is about now.
    pub stage: String,
    /// Why it is there, or why it ended so.
    pub why: Option<String>,
    /// Whether all of its alerts are over: Alertmanager no longer hears of them, or they are suppressed there.
    pub resolved: bool,
    /// Without a decision by then it is closed.
    pub deadline: Option<Timestamp>,
    /// Who began it by hand, if no alert did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// When its runbook was proven last, in one line; none: never, or it puts something back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<String>,
    /// Its alerts as they stand.
    pub alerts: Vec<AlertView>,
    /// How many alerts it has beside those.
    pub more_alerts: u64,
    /// Its targets, in order.
    pub legs: Vec<LegView>,
    /// What a person is asked to approve.
    pub asking: Option<Asking>,
    /// Its events, in order: all of them, or those after `?after=`.
    pub events: Vec<Recorded>,
}

/// An alert of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// As it came last.
    pub alert: Alert,
    /// Whether Alertmanager no longer hears of it.
    pub resolved: bool,
    /// Why Alertmanager sends it to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
}

/// A target of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegView {
    /// The object.
    pub target: Target,
    /// The values that chose it.
    pub each: BTreeMap<String, String>,
    /// How affected it is.
    pub figure: f64,
    /// Whether it is worked on now.
    pub current: bool,
    /// How its last step ended.
    pub result: Option<StepResult>,
    /// Why nothing was needed.
    pub skipped: Option<String>,
}

/// What a person is asked to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// What would be done, in full.
    pub plan: Plan,
    /// Names what is judged; an approval has to say it.
    pub judged: Hash,
    /// After this moment nobody can approve.
    pub expires: Timestamp,
    /// Why, where the runbook may act on its own otherwise: the proof that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// `GET /api/v1/unanswered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredAlerts {
    /// Newest first.
    pub unanswered: Vec<Unanswered>,
}

/// The body of `POST /api/v1/pause` and of `.../decline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithReason {
    /// Who says it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The body of `POST /api/v1/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Who says it.
    pub by: String,
}

/// What `POST /api/v1/resume` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// What was paused, if anything.
    pub was: Option<Pause>,
}

/// The body of `POST /api/v1/runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunWanted {
    /// The runbook's name.
    pub runbook: String,
    /// What takes the place of an alert's labels.
    #[serde(default)]
    pub labels: Labels,
    /// Who says it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Names this request: the same again begins nothing twice.
    pub key: String,
}

/// What `POST /api/v1/runs` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBegun {
    /// The incident that is worked on from now on.
    pub incident: IncidentId,
    /// The same request came before, and began it then.
    pub repeated: bool,
    /// The labels that the runbook names nowhere: they choose nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

/// The body of `POST /api/v1/drills`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillWanted {
    /// Names it: 32 small hexadecimal digits of chance. The same again registers nothing twice.
    pub run: String,
    /// Which scenario.
    pub scenario: String,
    /// `alert`: with alerts that are made up; `fault`: with real faults.
    pub at: Level,
    /// Who plays it.
    pub by: String,
    /// It is over after so long, whatever happens.
    pub lasts_seconds: u64,
}

/// What `POST /api/v1/drills` and `POST /api/v1/drills/{run}/end` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    /// What the journal has of it.
    #[serde(flatten)]
    pub drill: Drill,
    /// Whether it is still played.
    pub on: bool,
}

/// `GET /api/v1/drills`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drills {
    /// Newest first.
    pub drills: Vec<DrillView>,
}

/// The body of `POST /api/v1/drills/{run}/faults`: what is about to be broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultWanted {
    /// What is broken, in words.
    pub says: String,
    /// What becomes of it in the end, in words.
    pub undo: String,
    /// The object.
    pub object: Target,
    /// The very object.
    pub uid: String,
    /// What is set there; empty: nothing is.
    #[serde(default)]
    pub fields: Vec<FaultField>,
}

/// A field that is about to be broken. What is put back in the end is `before`, and nothing else can be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultField {
    /// Which.
    pub field: Field,
    /// The value that is there; none: there is none.
    pub before: Option<String>,
    /// The value that it is set to.
    pub after: String,
}

/// What `POST /api/v1/drills/{run}/faults` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultTold {
    /// The incident that tells of it.
    pub incident: IncidentId,
}

/// What `POST /api/v1/proofs` answers; its body is a [`Proof`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofKept {
    /// The very same came before, and was kept then.
    pub repeated: bool,
    /// It is of the text that is loaded here; else it proves nothing for it.
    pub of_this_text: bool,
}

/// `GET /api/v1/proofs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// What must be proven before a runbook may act on its own; none: nothing.
    pub demand: Option<Demanded>,
    /// The loaded ones in the order in which they are matched, proven or not, and then those that are not loaded any more.
    pub runbooks: Vec<ProvenRunbook>,
}

/// `proof:` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demanded {
    /// This level, or a nearer one.
    pub at: Level,
    /// For how long a proof counts.
    pub within_seconds: u64,
}

/// How a runbook stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenRunbook {
    /// Its name.
    pub runbook: String,
    /// Whether it is loaded.
    pub loaded: bool,
    /// The hash of the text that is loaded: what a proof has to be of.
    pub text: Option<String>,
    /// The newest at each level by each scenario, whatever its text, passed or not; none: it was never put to the proof.
    pub proofs: Vec<ProofView>,
    /// What it lacks of the proof that the configuration demands, and how to get it; none: nothing. Where its mode is `act`, a person is asked as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A proof, and whether it still says something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// What was kept.
    #[serde(flatten)]
    pub proof: Proof,
    /// Whether the text that is loaded is the one that was put to the proof.
    pub of_this_text: bool,
}

/// The body of `POST /api/v1/incidents/{id}/approve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Who says it.
    pub by: String,
    /// What they looked at: [`Asking::judged`].
    pub judged: Hash,
}

impl IncidentView {
    /// What is shown of an incident.
    #[must_use]
    pub fn of(summary: Summary, incident: Incident, events: Vec<Recorded>) -> Self {
        let resolved = incident.resolved();
        let why = why(&incident);
        let current = incident.leg;
        let legs = incident.legs.into_iter().enumerate().map(|(position, state)| {
            let Leg { target, each, figure } = state.leg;
            let current = position == current && summary.closed_at.is_none();
            LegView { target, each, figure, current, result: state.result, skipped: state.skipped }
        });
        let asking = match &incident.stage {
            Stage::Asking { plan, judged, expires, why } => Some(Asking {
                plan: plan.clone(),
                judged: judged.clone(),
                expires: *expires,
                why: why.clone(),
            }),
            _ => None,
        };
        Self {
            stage: incident.stage.name().to_owned(),
            why,
            resolved,
            deadline: Some(incident.opened.deadline),
            run: incident.opened.by_hand().cloned(),
            proven: None,
            alerts: incident
                .alerts
                .into_values()
                .map(|state| AlertView {
                    alert: state.alert,
                    resolved: state.resolved,
                    suppressed: state.suppressed,
                })
                .collect(),
            more_alerts: incident.more.0,
            legs: legs.collect(),
            asking,
            events,
            summary,
        }
    }

    /// What is shown of an incident whose events do not make one: it is left alone, and a person should look.
    #[must_use]
    pub fn left_alone(summary: Summary, why: String, events: Vec<Recorded>) -> Self {
        Self {
            summary,
            stage: LEFT_ALONE.to_owned(),
            why: Some(why),
            resolved: false,
            deadline: None,
            run: None,
            proven: None,
            alerts: Vec::new(),
            more_alerts: 0,
            legs: Vec::new(),
            asking: None,
            events,
        }
    }
}

/// The stage of an incident whose journal can not be followed.
pub const LEFT_ALONE: &str = "left alone";

fn why(incident: &Incident) -> Option<String> {
    match &incident.stage {
        Stage::Closed(closed) => Some(closed.why.clone()),
        Stage::Declined { why } | Stage::Ending { why, .. } | Stage::StepEnded { why, .. } => {
            Some(why.clone())
        }
        Stage::Begin { failed: Some((_, _, why)) } => Some(why.clone()),
        Stage::Refused { .. } => {
            let no: Vec<String> = incident
                .refusals
                .iter()
                .map(|refusal| format!("{}: {} ({})", refusal.guard, refusal.saw, refusal.limit))
                .collect();
            Some(no.join("; "))
        }
        Stage::Asking { plan, .. } => Some(plan.says.clone()),
        Stage::Intended(effect)
        | Stage::Unclear { effect, .. }
        | Stage::NotDone { effect, .. }
        | Stage::Following { effect, .. }
        | Stage::Verifying { effect, .. } => Some(effect.plan.says.clone()),
        Stage::Confirm { .. }
        | Stage::StoodBack { .. }
        | Stage::ChooseLegs
        | Stage::Begin { failed: None }
        | Stage::Awaiting { .. }
        | Stage::Planned(_) => None,
    }
    .filter(|why| !why.is_empty())
}
