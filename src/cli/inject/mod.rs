//! `runbookd inject`: makes a fault, watches whether everything that must follow comes true, and says so. The exit code is the verdict.

mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::client::{Client, Connection};
use super::load::{self, Load};
use super::output::lines;
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use super::teller::{Folder, Teller};
use crate::api::wire::Proofs;
use crate::chaos::report::{Report, html, json, markdown, words};
use crate::chaos::scenario::{Scenario, load as scenarios};
use crate::chaos::shipped;
use crate::chaos::stage::{SHIPPED, Setting, Stage};
use crate::incident::proof::Proof;
use crate::runbook;
use crate::text::span;

/// Makes a fault, and proves that what must follow comes true.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = AFTER_HELP)]
pub struct Inject {
    #[command(subcommand)]
    what: Option<What>,
    /// Which scenario, or `all`; `runbookd inject list` names them
    #[arg(required = true)]
    scenario: Option<String>,
    /// Where
    #[arg(long, value_enum, default_value_t = At::Sandbox)]
    at: At,
    #[command(flatten)]
    rules: Rules,
    /// Divide every duration by this
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    time_scale: u32,
    /// How the report is written; with another form than text what happens meanwhile is told on standard error
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Hand in what it proves to the daemon at --url, which then shows it with each runbook (`runbookd proofs`)
    #[arg(long)]
    record: bool,
    #[command(flatten)]
    connection: Connection,
}

const AFTER_HELP: &str = "\
At the sandbox nothing outside of this process is touched. The exit code is 0 only if all that the scenario expects came true.

Examples:
  runbookd inject list                          What there is, and what each breaks
  runbookd inject show pod-kill                 What it breaks, what must come of it
  runbookd inject pod-kill                      A pod is deleted; Kubernetes replaces it, and nothing is done
  runbookd inject high-latency --time-scale 80  Inference gets more pods for two hours, which are 90 seconds here
  runbookd inject all --rules rules -o html > report.html
                                                One's own runbooks, and a page for the game day
  runbookd inject load http://chat-api:8002/api/health --concurrency 200 --duration 60s
                                                Load on one address, and nothing is held against it";

/// What else can be asked.
#[derive(Debug, Subcommand)]
enum What {
    /// Name the scenarios, and what each breaks
    List(Rules),
    /// Say what a scenario breaks, and what must come of it
    Show {
        /// Which one
        scenario: String,
        #[command(flatten)]
        rules: Rules,
    },
    // What it says of itself stands where it is defined.
    Load(Box<Load>),
}

/// Which runbooks are put to the proof.
#[derive(Debug, Args)]
struct Rules {
    /// Files and folders with runbooks; scenarios lie in the folder `scenarios` of each [default: what runbookd was built with]
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
}

/// Where the fault is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum At {
    /// In a sandbox on this machine, with the real daemon in front of it
    Sandbox,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people, while it happens
    Text,
    /// For machines
    Json,
    /// For a ticket or a wiki
    Markdown,
    /// A page of its own, for the game day
    Html,
}

/// Plays scenarios, or tells of them.
///
/// # Errors
/// When there is no such scenario, or the sandbox or the daemon can not be started or followed.
pub async fn run(mut args: Inject) -> anyhow::Result<ExitCode> {
    match args.what.take() {
        Some(What::List(rules)) => list(&rules.scenarios(None)?).map(|()| ExitCode::SUCCESS),
        Some(What::Show { scenario, rules }) => {
            let all = rules.scenarios(None)?;
            show(named(&all, &scenario)?).map(|()| ExitCode::SUCCESS)
        }
        Some(What::Load(load)) => load::run(*load).await,
        None => play(&args).await,
    }
}

impl Inject {
    /// Each scenario's time begins anew.
    fn teller(&self) -> Teller {
        match self.output {
            Form::Text => Teller::new(),
            Form::Json | Form::Markdown | Form::Html => Teller::aside(),
        }
    }
}

impl Rules {
    /// The scenarios; with the variables of a configuration, or with every name believed.
    fn scenarios(&self, played: Option<(&BTreeMap<String, String>, u32)>) -> anyhow::Result<Vec<Scenario>> {
        let (vars, scale) = (played.map(|(vars, _)| vars), played.map_or(1, |(_, scale)| scale));
        let read = if self.rules.is_empty() {
            let texts: Vec<(&str, &str)> = SHIPPED.to_vec();
            let known = names_of(&texts);
            scenarios::load_texts(&shipped::SCENARIOS, vars, Some(&known), scale)
        } else {
            let files = scenarios::beside(&self.rules);
            if files.is_empty() {
                bail!(
                    "there is no scenario beside {}; expected *.yaml files in a folder `{}` in it",
                    self.rules.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
                    scenarios::FOLDER
                );
            }
            let texts = self.texts()?;
            let texts: Vec<(&str, &str)> =
                texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            scenarios::load(&files, vars, Some(&names_of(&texts)), scale)
        };
        read.map_err(|faults| anyhow!("{faults}"))
    }

    /// The runbooks: file names and texts.
    fn texts(&self) -> anyhow::Result<Vec<(String, String)>> {
        if self.rules.is_empty() {
            return Ok(SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect());
        }
        let files = runbook::load::rule_files(&self.rules).map_err(|faults| anyhow!("{faults}"))?;
        files.iter().map(|file| Ok((file_name(file), std::fs::read_to_string(file)?))).collect()
    }
}

fn file_name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The names of the runbooks in texts that may stand on variables which nobody knows here.
fn names_of(texts: &[(&str, &str)]) -> BTreeSet<String> {
    texts.iter().flat_map(|(_, text)| runbook::load::names_in(text)).collect()
}

fn named<'s>(all: &'s [Scenario], name: &str) -> anyhow::Result<&'s Scenario> {
    all.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        let near = crate::yaml::did_you_mean(name, names.iter().copied());
        let hint = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
        anyhow!("there is no scenario {name:?}{hint}; there are: {}", names.join(", "))
    })
}

fn list(all: &[Scenario]) -> anyhow::Result<()> {
    let rows = all
        .iter()
        .map(|scenario| {
            let proves: Vec<&str> = scenario.runbooks().collect();
            [
                Cell::new(harmless(&scenario.name)),
                Cell::new(harmless(&proves.join(", "))),
                Cell::new(harmless(&scenario.summary)),
            ]
        })
        .collect();
    Ok(lines(table(["SCENARIO", "PROVES", "WHAT HAPPENS"], rows, Paint::of_stdout()))?)
}

fn show(scenario: &Scenario) -> anyhow::Result<()> {
    let paint = Paint::of_stdout();
    let mut out = vec![
        paint.mark(Tone::Strong, &harmless(&scenario.name)),
        format!("  {}", harmless(&scenario.summary)),
        format!("  from {}", harmless(&scenario.file.display().to_string())),
        String::new(),
        format!("Well before, within {}:", span(scenario.steady_within)),
    ];
    out.extend(scenario.steady.checks.iter().map(|check| format!("  {}", harmless(&check.name))));
    out.extend([String::new(), "Broken:".to_owned()]);
    out.extend(scenario.faults.iter().map(|broken| format!("  {}", harmless(&broken.fault.to_string()))));
    out.extend([String::new(), "Must come true:".to_owned()]);
    out.extend(scenario.wants().iter().map(|wanted| format!("  {}", harmless(wanted))));
    Ok(lines(out)?)
}

async fn play(args: &Inject) -> anyhow::Result<ExitCode> {
    let wanted = args.scenario.as_deref().context("which scenario?")?;
    let all = args.rules.scenarios(None)?;
    let names: Vec<String> = match wanted {
        "all" => all.iter().map(|scenario| scenario.name.clone()).collect(),
        name => vec![named(&all, name)?.name.clone()],
    };
    let mut reports = Vec::new();
    // Asked before anything is broken: who has no token learns it now.
    let keeper = args.record.then(|| Client::new(&args.connection)).transpose()?;
    if let Some(keeper) = &keeper {
        let _: Proofs = keeper.proofs().await?;
    }
    for name in &names {
        let teller = args.teller();
        let (report, proofs) = one(args, name, &teller).await?;
        if let Some(keeper) = &keeper {
            record(keeper, &proofs, &teller).await?;
        }
        reports.push(report);
    }
    let written = match (args.output, reports.as_slice()) {
        (Form::Text, [_]) => None,
        (Form::Text, several) => Some(super::report::all(several, Paint::of_stdout())),
        (Form::Json, [one]) => Some(json::one(one)?),
        (Form::Json, several) => Some(json::all(several)?),
        (Form::Markdown, [one]) => Some(markdown::one(one)),
        (Form::Markdown, several) => Some(markdown::all(several)),
        (Form::Html, [one]) => Some(html::one(one)),
        (Form::Html, several) => Some(html::all(several)),
    };
    lines(written)?;
    Ok(if words::all_passed(&reports) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays one scenario before a daemon and a sandbox of its own.
async fn one(args: &Inject, name: &str, teller: &Teller) -> anyhow::Result<(Report, Vec<Proof>)> {
    let folder = Folder::new()?;
    let mut setting = Setting::acting(&std::env::current_exe()?, &folder.path, args.time_scale);
    setting.rules = args.rules.texts()?;
    let mut stage = Stage::new(setting).await.context("the sandbox can not be started")?;
    stage.world().load_alert_rules();
    stage.start().await?;
    let config = crate::config::Config::load(Some(&stage.config())).map_err(|faults| anyhow!("{faults}"))?;
    let all = args.rules.scenarios(Some((&config.vars, config.time_scale)))?;
    let scenario = named(&all, name)?;
    teller.title(&format!("{}: {}", scenario.name, scenario.summary))?;
    teller.out([format!("  In a sandbox; every duration is divided by time_scale {}", args.time_scale)])?;
    teller.title("What happens")?;
    let play = play::Play::new(scenario, &stage, args.time_scale, teller).await?;
    let run = format!("{}-{}", scenario.name, crate::clock::now().as_millisecond());
    let mut report = play.context(play.report(&run).await)?;
    if !report.incidents.is_empty() {
        play.slack().await?;
    }
    let texts = play.texts().await?;
    drop(play);
    let status = stage.terminate().await?;
    if !status.success() {
        report.aborted =
            Some(format!("the daemon did not end gracefully ({status}): {}", stage.last_words()));
    }
    teller.out([String::new(), super::report::one(&report, teller.paint)])?;
    let proofs = proofs(scenario, &report, &texts);
    Ok((report, proofs))
}

/// What the run says of each runbook that it puts to the proof. Where nothing was broken, it says nothing.
fn proofs(scenario: &Scenario, report: &Report, texts: &BTreeMap<String, String>) -> Vec<Proof> {
    if !report.was_broken() {
        return Vec::new();
    }
    let of = |runbook: &str| {
        Some(Proof {
            run: report.run.clone(),
            scenario: report.scenario.clone(),
            at: report.at,
            runbook: runbook.to_owned(),
            text: texts.get(runbook)?.clone(),
            passed: report.passed(),
            proven_at: report.ended_at,
            times: report.times,
            version: report.version.clone(),
        })
    };
    scenario.runbooks().filter_map(of).collect()
}

/// Hands them in, and says what that is worth there.
async fn record(keeper: &Client, proofs: &[Proof], teller: &Teller) -> anyhow::Result<()> {
    for proof in proofs {
        let kept = keeper.keep_proof(proof).await?;
        let Proof { runbook, at, .. } = proof;
        let text = match (proof.passed, kept.of_this_text) {
            (true, true) => format!("{runbook} is proven at {at}"),
            (true, false) => {
                format!("{runbook} was proven at {at} with another text than the one that is loaded there")
            }
            (false, _) => format!("{runbook} has failed at {at}"),
        };
        let tone = if proof.passed && kept.of_this_text { Tone::Good } else { Tone::Bad };
        teller.say(tone, "recorded", &harmless(&text))?;
    }
    Ok(())
}
