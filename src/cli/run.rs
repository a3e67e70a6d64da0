//! `runbookd run`: begins a runbook by hand. The daemon asks it everything that it would ask an alert.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::process::ExitCode;

use clap::Args;

use super::client::{Client, Connection, Failed, me};
use super::follow;
use super::output::{Output, finish, json, json_line, lines, note};
use super::paint::{Paint, Tone, harmless};
use crate::alert::Labels;
use crate::api::wire::{RunBegun, RunWanted};
use crate::clock;
use crate::incident::Outcome;

/// Begins a runbook by hand, without an alert. Labels take the place of the alert's; what a runbook needs and is not given is said before anything is
/// begun.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Your word takes the place of the alert, and of nothing else: the evidence is confirmed, and pause, mode and ceiling,\n\
    allow-list, cooldown and rates are asked as always. Who begins it has approved nothing: in mode `ask` the plan\n\
    still waits for `runbookd approve`.\n\n\
    Examples:\n  \
    runbookd run pod-crash --label namespace=shop --reason 'the deploy of 14:00 looks stuck'\n  \
    runbookd run node-rotation --reason 'monthly rotation' --follow\n  \
    runbookd status                         the runbooks that there are\n\n\
    Exit codes: 0 begun, with --follow recovered; 1 not begun, with --follow not recovered; 2 wrong usage,\n\
    also a runbook that there is not and a label that is missing"
)]
pub struct RunArgs {
    /// The runbook's name; `runbookd status` lists them.
    pub runbook: String,
    /// A label that an alert would have brought; once for each.
    #[arg(long = "label", short, value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Why; it stands in the journal and in Slack.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Who says it (by default you, as USER@HOST).
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Shows what happens until it is closed; the exit code then says whether it recovered.
    #[arg(long, short)]
    pub follow: bool,
    /// How to answer.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Names this request, so that it begins nothing twice when it is sent twice (by default a new one).
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the title of the flags")]
    pub connection: Connection,
}

/// `NAME=VALUE`; what may stand in them says the daemon, which knows the runbook.
fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE, such as namespace=shop; empty never means all".to_owned()),
    }
}

/// Begins one.
///
/// # Errors
/// When the daemon can not be reached, or says no.
pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    finish(begin(args).await)
}

async fn begin(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut labels = BTreeMap::new();
    for (name, value) in args.labels {
        if labels.insert(name.clone(), value).is_some() {
            note(&format!("runbookd: --label {} is there twice; expected each label once", harmless(&name)));
            return Ok(ExitCode::from(2));
        }
    }
    let client = Client::new(&args.connection)?;
    let wanted = RunWanted {
        runbook: args.runbook,
        labels: Labels(labels),
        by: args.by.unwrap_or_else(me),
        reason: args.reason,
        key: args.key.unwrap_or_else(new_key),
    };
    let begun: RunBegun = match client.say_once("/runs", &wanted).await {
        Ok(begun) => begun,
        Err(Failed::Wrong(why)) => {
            note(&format!("{} {why}", Paint::of_stderr().mark(Tone::Bad, "runbookd:")));
            return Ok(ExitCode::from(2));
        }
        Err(Failed::Lost(why)) => anyhow::bail!(
            "{why}. Whether it has begun is not known: the same command with `--key {}` asks again and begins nothing twice",
            wanted.key
        ),
        Err(failed) => return Err(failed.into()),
    };
    for unused in &begun.unused {
        note(&format!("{} does not name the label {}: it chooses nothing", wanted.runbook, harmless(unused)));
    }
    match (args.output, args.follow) {
        (Output::Json, false) => json(&begun)?,
        (Output::Json, true) => json_line(&begun)?,
        (Output::Text, follow) => lines(told(&begun, &wanted, follow))?,
    }
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(match follow::to_its_end(&client, &begun.incident, args.output, Paint::of_stdout()).await? {
        Some(Outcome::Recovered | Outcome::SelfHealed) => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            note("No longer followed; the incident goes on.");
            ExitCode::FAILURE
        }
    })
}

/// What a person reads at once.
fn told(begun: &RunBegun, wanted: &RunWanted, follow: bool) -> Vec<String> {
    let id = &begun.incident;
    let first = match begun.repeated {
        true => format!("Incident {id} was begun by this request before; nothing new was begun."),
        false => {
            format!("Incident {id} has begun: {}, by {}.", harmless(&wanted.runbook), harmless(&wanted.by))
        }
    };
    let second = "It is confirmed first, and every guard is asked before anything is changed";
    match follow {
        true => vec![first, format!("{second}."), String::new()],
        false => vec![first, format!("{second}; `runbookd incidents {id} --follow` shows it.")],
    }
}

/// A name that nobody has used: 128 bits of chance.
pub(super) fn new_key() -> String {
    let chance = || RandomState::new().hash_one((std::process::id(), clock::now().as_nanosecond()));
    format!("{:016x}{:016x}", chance(), chance())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_name_and_a_value() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        for bad in ["", "a", "a=", "=b"] {
            assert!(label(bad).unwrap_err().contains("NAME=VALUE"), "{bad:?}");
        }
    }

    #[test]
    fn every_request_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<String> = (0..100).map(|_| new_key()).collect();
        assert_eq!(keys.len(), 100);
        assert!(keys.iter().all(|key| key.len() == 32));
    }
}
