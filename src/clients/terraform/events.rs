//! terraform's machine-readable output (`-json`), a JSON object per line: which resources it began, finished, failed, and its diagnostics.
//!
//! Only addresses, counts and the *summary* of a diagnostic are kept. Its detail, the snippet of the source and what provisioners print hold values, sensitive ones, too: a
//! failed `local-exec` repeats its command and its output in the detail.
//! Source: <https://developer.hashicorp.com/terraform/internals/machine-readable-ui>.

use serde::Deserialize;

/// Of more resources, or more diagnostics, the rest is only counted by their number.
const MOST: usize = 1000;
const MOST_DIAGNOSTICS: usize = 20;
/// What a held lock is called. Source: terraform's `internal/command/clistate/state.go`.
const LOCKED: &str = "Error acquiring the state lock";
const STALE: &str = "Saved plan is stale";

/// What it told.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// It began to change these.
    pub(super) begun: Vec<String>,
    /// These it finished.
    pub(super) done: Vec<String>,
    /// These it could not.
    pub(super) failed: Vec<String>,
    pub(super) errors: Vec<Problem>,
    /// So much was done in the end.
    pub(super) summary: Option<Changes>,
    /// Somebody holds the state's lock.
    pub(super) locked: Option<Holder>,
    pub(super) stale: bool,
    /// It was more than is looked at with care.
    pub(super) cut: bool,
    /// It was not seen to its end.
    pub(super) lost: bool,
}

/// An error as terraform summarises it, not yet fit for people: a provider can put values even here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) summary: String,
    /// The resource, or else the place in the source.
    pub(super) place: Option<String>,
}

/// How many resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Changes {
    #[serde(default)]
    pub(super) add: u64,
    #[serde(default)]
    pub(super) change: u64,
    #[serde(default)]
    pub(super) remove: u64,
    #[serde(default)]
    operation: Operation,
}

/// What was counted: what would be done, or what was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Apply,
    #[default]
    #[serde(other)]
    Other,
}

/// Who holds the lock, as the lock itself says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) who: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) since: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    hook: Option<Hook>,
    changes: Option<Changes>,
    diagnostic: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Hook {
    resource: Option<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    addr: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    severity: String,
    summary: String,
    #[serde(default)]
    detail: String,
    address: Option<String>,
    range: Option<Range>,
}

#[derive(Deserialize)]
struct Range {
    filename: String,
    start: Start,
}

#[derive(Deserialize)]
struct Start {
    line: u64,
}

impl Events {
    /// One line. What is no event, or none that counts, is passed over.
    pub(super) fn take(&mut self, line: &[u8]) {
        if line.first() != Some(&b'{') {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        let resource = line.hook.and_then(|hook| hook.resource).map(|resource| resource.addr);
        let list = match line.kind.as_str() {
            "apply_start" => &mut self.begun,
            "apply_complete" => &mut self.done,
            "apply_errored" => &mut self.failed,
            "change_summary" => {
                self.summary = line.changes.filter(|changes| changes.operation == Operation::Apply);
                return;
            }
            "diagnostic" => {
                if let Some(diagnostic) = line.diagnostic.filter(|found| found.severity == "error") {
                    self.error(diagnostic);
                }
                return;
            }
            _ => return,
        };
        if list.len() < MOST {
            list.extend(resource);
        }
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        let Diagnostic { summary, detail, address, range, .. } = diagnostic;
        if summary == LOCKED {
            self.locked = Some(holder(&detail));
        }
        self.stale |= summary == STALE;
        let source = || range.map(|range| format!("{} line {}", range.filename, range.start.line));
        if self.errors.len() < MOST_DIAGNOSTICS {
            self.errors.push(Problem { summary, place: address.or_else(source) });
        }
    }

    /// Whether it said that the directory, as it is, was not made ready by `terraform init`.
    pub(super) fn not_initialised(&self) -> bool {
        self.errors.iter().any(|error| asks_for_init(&error.summary))
    }
}

/// The summaries of errors as terraform prints them for people; what stands below each is the detail.
pub(super) fn plain(text: &[u8]) -> Vec<Problem> {
    let text = String::from_utf8_lossy(text);
    let summaries = text.lines().filter_map(|line| line.strip_prefix("Error: "));
    let problem = |summary: &str| Problem { summary: summary.to_owned(), place: None };
    summaries.take(MOST_DIAGNOSTICS).map(problem).collect()
}

/// The summaries of those errors whose remedy is `terraform init`. Source: terraform 1.11; each of them was seen, or stands in its program.
fn asks_for_init(summary: &str) -> bool {
    const SUMMARIES: [&str; 6] = [
        "Inconsistent dependency lock file",
        "Required plugins are not installed",
        "Module not installed",
        "Module source has changed",
        "Module version requirements have changed",
        "Missing required provider",
    ];
    SUMMARIES.contains(&summary)
        || summary.starts_with("Backend initialization required")
        || summary.starts_with("HCP Terraform or Terraform Enterprise initialization required")
}

/// The block `Lock Info:` of the detail; the rest of it is not looked at.
fn holder(detail: &str) -> Holder {
    let field = |name: &str| {
        let mut lines = detail.lines().skip_while(|line| line.trim() != "Lock Info:");
        let value = lines.find_map(|line| line.trim().strip_prefix(name))?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let moment = |text: String| text.split('.').next().unwrap_or_default().to_owned();
    Holder {
        who: field("Who:"),
        operation: field("Operation:").map(|word| word.trim_start_matches("OperationType").to_lowercase()),
        since: field("Created:").map(moment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Events {
        let mut events = Events::default();
        text.lines().for_each(|line| events.take(line.as_bytes()));
        events
    }

    fn recorded(name: &str) -> String {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/terraform");
        std::fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn a_failed_apply_tells_what_is_done_and_nothing_that_a_provisioner_printed() {
        let text = recorded("apply-partial.ndjson");
        assert!(text.contains("hunter2"), "the detail repeats the command");
        let heard = heard(&text);
        assert_eq!(heard.begun, ["terraform_data.ok", "terraform_data.a"]);
        assert_eq!(heard.done, ["terraform_data.ok"]);
        assert_eq!(heard.failed, ["terraform_data.a"]);
        assert_eq!(
            heard.errors,
            [Problem {
                summary: "local-exec provisioner error".to_owned(),
                place: Some("terraform_data.a".to_owned())
            }]
        );
        assert!(!format!("{heard:?}").contains("hunter2"));
    }

    #[test]
    fn the_counts_of_a_plan_are_not_those_of_what_was_done() {
        let text = recorded("plan.ndjson");
        let plan = heard(&text);
        assert!(plan.summary.is_none() && plan.begun.is_empty() && plan.errors.is_empty());
        let done = heard(&text.replace(r#""operation":"plan""#, r#""operation":"apply""#)).summary.unwrap();
        assert_eq!((done.add, done.change, done.remove), (3, 1, 3));
    }

    #[test]
    fn who_holds_the_lock_is_read_from_the_lock_alone() {
        let detail = "Error message: resource temporarily unavailable\nWho: nobody\nLock Info:\n  ID:        1a0d\n  Path:      terraform.tfstate\n  \
                      Operation: OperationTypeApply\n  Who:       root@vm\n  Version:   1.11.4\n  Created:   2026-11-22 19:01:18.868280797 +0000 UTC\n  Info:      \n\n\nTerraform";
        let expected = Holder {
            who: Some("root@vm".to_owned()),
            operation: Some("apply".to_owned()),
            since: Some("2026-11-22 19:01:18".to_owned()),
        };
        assert_eq!(holder(detail), expected);
        assert_eq!(holder("something else"), Holder::default());
    }

    #[test]
    fn what_init_would_mend_is_known_by_its_summary() {
        let line = |summary: &str| {
            serde_json::json!({"type": "diagnostic", "diagnostic": {"severity": "error", "summary": summary}})
                .to_string()
        };
        for summary in [
            "Inconsistent dependency lock file",
            "Backend initialization required, please run \"terraform init\"",
            "Module not installed",
        ] {
            assert!(heard(&line(summary)).not_initialised(), "{summary}");
        }
        assert!(!heard(&line("No value for required variable")).not_initialised());
        assert_eq!(
            plain(b"\nError: No configuration files\n\nhunter2: detail\n")[0].summary,
            "No configuration files"
        );
    }
}
