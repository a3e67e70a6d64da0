//! What GitHub answers about runs. A word that is not known is no conclusion, and never a success.
//! Source: <https://docs.github.com/en/rest/actions/workflow-runs>.

use serde::Deserialize;

type Unreadable = Box<dyn std::error::Error>;

/// No title and no address is longer.
const MOST_CHARS: usize = 300;

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id, the same for all of its attempts.
    pub id: u64,
    /// How far it is.
    pub state: State,
    /// Its page, for people.
    pub url: String,
    /// How often it was begun: somebody can have it done again.
    pub attempt: u64,
    title: String,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits or runs, in GitHub's word: `queued`, `in_progress`, `waiting` (for a person), ...
    UnderWay(String),
    /// It ended well.
    Succeeded,
    /// It ended otherwise, in GitHub's word: `failure`, `cancelled`, `timed_out`, `skipped`, ...
    Ended(String),
}

impl Run {
    /// Whether its name, which `run-name` makes of the inputs, holds this id.
    pub(super) fn carries(&self, operation: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        self.title.match_indices(operation).any(|(at, found)| {
            let before = self.title[..at].chars().next_back();
            let after = self.title[at + found.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    }
}

pub(super) struct Runs {
    pub(super) total: u64,
    pub(super) runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Listed {
    total_count: u64,
    workflow_runs: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    status: Option<String>,
    conclusion: Option<String>,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    display_title: String,
    #[serde(default = "first")]
    run_attempt: u64,
}

const fn first() -> u64 {
    1
}

impl From<Answer> for Run {
    fn from(answer: Answer) -> Self {
        let word = |word: Option<String>| word.map(|word| word.chars().take(40).collect::<String>());
        let state = match (answer.status.as_deref(), word(answer.conclusion)) {
            (Some("completed"), Some(conclusion)) if conclusion == "success" => State::Succeeded,
            (Some("completed"), Some(conclusion)) => State::Ended(conclusion),
            (_, _) => State::UnderWay(word(answer.status).unwrap_or_else(|| "unknown".to_owned())),
        };
        let is_address = answer.html_url.starts_with("https://") || answer.html_url.starts_with("http://");
        let fits = is_address
            && answer.html_url.len() <= MOST_CHARS
            && answer.html_url.bytes().all(|byte| byte.is_ascii_graphic());
        Self {
            id: answer.id,
            state,
            url: if fits { answer.html_url } else { String::new() },
            attempt: answer.run_attempt,
            title: answer.display_title,
        }
    }
}

pub(super) fn run(body: &[u8]) -> Result<Run, Unreadable> {
    Ok(serde_json::from_slice::<Answer>(body)?.into())
}

pub(super) fn runs(body: &[u8]) -> Result<Runs, Unreadable> {
    let Listed { total_count, workflow_runs } = serde_json::from_slice(body)?;
    let runs: Vec<Run> = workflow_runs.into_iter().map(Into::into).collect();
    // What it shows is believed when it says that there is nothing.
    let total = total_count.max(u64::try_from(runs.len()).unwrap_or(u64::MAX));
    Ok(Runs { total, runs })
}

/// The id of a run that was started, where the answer tells it.
pub(super) fn started(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Started {
        workflow_run_id: u64,
    }
    serde_json::from_slice::<Started>(body).ok().map(|started| started.workflow_run_id)
}

/// What an error says.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let message = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.message);
    // A gateway's page says nothing to people.
    message.unwrap_or_else(|_| "no reason that can be read".to_owned())
}
