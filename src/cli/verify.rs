//! `runbookd verify`: asks the checks of a verification at once, and says whether all is well. Changes nothing, and needs no daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::json;

use super::output::{self, Output};
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use crate::config::Config;
use crate::incident::event::Found;
use crate::incident::evidence::{Evidence, Verdict, all_of_verify};
use crate::runbook::Verification;
use crate::runbook::load;
use crate::text::count;

/// Say whether all is well
///
/// Asks every check of a verification (`kind: Verification` in the configuration's `rules:`) in the cluster and the other systems, and nothing is changed. A runbook can ask the
/// same with the probe `verification: NAME`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Verify {
    /// Which one [default: the only one]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The configuration: where the systems are, the rules and their vars
    #[arg(long, value_name = "FILE", env = "RUNBOOKD_CONFIG")]
    pub config: Option<PathBuf>,
    /// For people, or one JSON document
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

const AFTER_HELP: &str = "\
Exit codes: 0 every check holds, 1 one fails, 3 none fails and one could not be answered.

Examples:
  runbookd verify --config runbookd.yaml                  After a deployment, or when an incident is over
  runbookd verify --config runbookd.yaml -o json | jq -e .well";

/// None fails, and one could not be answered.
const UNKNOWN: u8 = 3;

/// Asks, and prints the answers.
///
/// # Errors
/// When the configuration or the rules can not be read, or name no such verification.
pub async fn run(args: Verify) -> anyhow::Result<ExitCode> {
    let config = Config::load(args.config.as_deref()).map_err(|faults| anyhow!("{faults}"))?;
    let loaded = load::load(&config.rules, Some(&config.vars), config.time_scale)
        .map_err(|faults| anyhow!("{faults}"))?;
    let verification = choose(&loaded.verifications, args.name.as_deref())?;
    let eyes = super::serve::eyes_of(&config).await?;
    let answers = eyes.verification(verification, config.time_scale).await;
    match args.output {
        Output::Text => output::lines(for_people(verification, &answers, Paint::of_stdout()))?,
        Output::Json => output::json(&for_machines(verification, &answers))?,
    }
    Ok(match all(&answers) {
        Word::Well => ExitCode::SUCCESS,
        Word::Fails => ExitCode::FAILURE,
        Word::Unknown => ExitCode::from(UNKNOWN),
    })
}

fn choose<'v>(all: &'v [Arc<Verification>], name: Option<&str>) -> anyhow::Result<&'v Verification> {
    let names: Vec<&str> = all.iter().map(|verification| verification.name.as_str()).collect();
    match (name, all) {
        (_, []) => {
            bail!("`rules:` of the configuration holds no verification; write one with `kind: Verification`")
        }
        (None, [only]) => Ok(only),
        (None, _) => bail!("there are several verifications, name one of them: {}", names.join(", ")),
        (Some(name), _) => all
            .iter()
            .find(|verification| verification.name == name)
            .map(Arc::as_ref)
            .ok_or_else(|| anyhow!("there is no verification {name:?}; there are: {}", names.join(", "))),
    }
}

/// The answers in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Well,
    Fails,
    Unknown,
}

/// Something that fails is known to fail, whatever else could not be answered.
fn all(answers: &[Evidence]) -> Word {
    if answers.iter().any(|answer| answer.verdict == Verdict::Fails) {
        return Word::Fails;
    }
    match all_of_verify(answers) {
        Found::Holds => Word::Well,
        Found::Fails => Word::Fails,
        Found::Unknown => Word::Unknown,
    }
}

fn for_people(verification: &Verification, answers: &[Evidence], paint: Paint) -> Vec<String> {
    let rows = answers
        .iter()
        .map(|answer| {
            let (tone, word) = match answer.verdict {
                Verdict::Holds => (Tone::Good, "ok"),
                Verdict::Fails => (Tone::Bad, "fails"),
                Verdict::Unknown { .. } => (Tone::Wait, "unknown"),
                Verdict::Quiet { .. } => (Tone::Wait, "quiet"),
            };
            [Cell::new(harmless(&answer.probe)), Cell::toned(tone, word), Cell::new(harmless(&answer.saw))]
        })
        .collect();
    let mut lines = table(["CHECK", "ANSWER", "SAW"], rows, paint);
    for answer in answers.iter().filter(|answer| answer.verdict != Verdict::Holds) {
        for sample in &answer.samples {
            lines.push(format!(
                "  {}: {}: {}",
                harmless(&answer.probe),
                harmless(&sample.from),
                harmless(&sample.line)
            ));
        }
    }
    let of = |verdict: fn(&Verdict) -> bool| answers.iter().filter(|answer| verdict(&answer.verdict)).count();
    let (tone, word) = match all(answers) {
        Word::Well => (Tone::Good, "well".to_owned()),
        Word::Fails => (Tone::Bad, format!("not well: {} failed", of(|verdict| *verdict == Verdict::Fails))),
        Word::Unknown => {
            let open = of(|verdict| matches!(verdict, Verdict::Unknown { .. } | Verdict::Quiet { .. }));
            (Tone::Wait, format!("nobody can say: {open} could not be answered"))
        }
    };
    let checks = count(answers.len() as u64, "check", "checks");
    lines.push(String::new());
    lines.push(format!("{}: {} ({checks})", harmless(&verification.name), paint.mark(tone, &word)));
    lines
}

fn for_machines(verification: &Verification, answers: &[Evidence]) -> serde_json::Value {
    json!({
        "verification": verification.name,
        "summary": verification.summary,
        "well": match all(answers) {
            Word::Well => json!(true),
            Word::Fails => json!(false),
            // Neither: whoever asks for `true` gets none.
            Word::Unknown => json!(null),
        },
        "checks": answers,
    })
}
