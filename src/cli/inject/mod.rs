//! `runbookd inject`: makes a fault, watches whether everything that must follow comes true, and says so. The exit code is the verdict.

mod cleanup;
mod follow;
mod place;
mod play;
mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use self::follow::{Follower, Only};
use self::place::Sandbox;
use self::play::Play;
use self::real::{Answer, RealArgs, Session};
use super::client::{Client, Connection};
use super::load::{self, Load};
use super::output::{finish, lines};
use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use super::teller::{Folder, Teller};
use crate::alert::Labels;
use crate::api::wire::Proofs;
use crate::chaos::report::{FORMAT, Report, html, json, markdown, words};
use crate::chaos::scenario::{Scenario, load as scenarios};
use crate::chaos::shipped;
use crate::chaos::stage::{SHIPPED, Setting, Stage};
use crate::incident::proof::{Level, Proof, Times};
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
    /// How near to the real failure
    #[arg(long, value_enum, default_value_t = At::Sandbox)]
    at: At,
    #[command(flatten)]
    rules: Rules,
    /// Divide every duration by this, in the sandbox [default: 40]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    time_scale: Option<u32>,
    /// How the report is written; with another form than text what happens meanwhile is told on standard error
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Hand in what it proves to the daemon at --url, which then shows it with each runbook (`runbookd proofs`)
    #[arg(long)]
    record: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    real: RealArgs,
}

const AFTER_HELP: &str = "\
At the sandbox nothing outside of this process is touched. At `alert` an alert is made up at the real systems, and what would be done for it is planned and
rehearsed, and not done. At `fault` the real fault is made in the real cluster, with your own rights, in a namespace that allows it by a label; the daemon knows
of it before, and whatever ends the run, it is undone. The exit code is 0 only if all that the scenario expects came true.

Examples:
  runbookd inject list                          What there is, and what each breaks
  runbookd inject show pod-kill                 What it breaks, what must come of it
  runbookd inject pod-kill                      A pod is deleted; Kubernetes replaces it, and nothing is done
  runbookd inject high-latency --time-scale 80  Inference gets more pods for two hours, which are 90 seconds here
  runbookd inject all --rules rules -o html > report.html
                                                One's own runbooks, and a page for the game day
  runbookd inject database-pool --at alert --target prod.yaml
                                                A made-up alert through your Alertmanager and Loki; nothing is changed
  runbookd inject inference-oom --at fault --target staging.yaml --record
                                                The memory limit of inference really is lowered, and must be put right
  runbookd inject cleanup --target staging.yaml  Undo whatever runs have left behind
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
    /// Undo whatever runs at the real systems have left behind, found by its notes; the daemon need not be there
    Cleanup(cleanup::Cleanup),
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
    /// An alert that is made up at the real systems: what is done is a plan and its rehearsal
    Alert,
    /// The real fault in the real cluster
    Fault,
}

impl At {
    const fn level(self) -> Level {
        match self {
            Self::Sandbox => Level::Sandbox,
            Self::Alert => Level::Alert,
            Self::Fault => Level::Fault,
        }
    }
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
        Some(What::List(rules)) => finish(list(&rules.scenarios(None)?).map(|()| ExitCode::SUCCESS)),
        Some(What::Show { scenario, rules }) => {
            let all = rules.scenarios(None)?;
            finish(show(named(&all, &scenario)?).map(|()| ExitCode::SUCCESS))
        }
        Some(What::Cleanup(cleanup)) => cleanup::run(cleanup).await,
        Some(What::Load(load)) => load::run(*load).await,
        None => play(&args).await,
    }
}

impl Inject {
    /// The pace of the sandbox.
    fn pace(&self) -> u32 {
        self.time_scale.unwrap_or(40)
    }

    /// An option that says nothing at this level: somebody means another one.
    fn misplaced(&self) -> Option<&'static str> {
        let pace = (self.at != At::Sandbox && self.time_scale.is_some()).then_some("--time-scale");
        pace.or_else(|| self.real.misplaced(self.at.level()))
    }

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
            let files = scenarios::beside(&self.rules).map_err(|faults| anyhow!("{faults}"))?;
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
        // Two folders may hold files of the same name, and the order of all counts.
        let text = |(number, file): (usize, &PathBuf)| {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("{} can not be read", file.display()))?;
            Ok((format!("{number:03}-{}", file_name(file)), text))
        };
        files.iter().enumerate().map(text).collect()
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
            let levels: Vec<&str> = scenario.levels().map(Level::as_str).collect();
            [
                Cell::new(harmless(&scenario.name)),
                Cell::new(harmless(&proves.join(", "))),
                Cell::new(levels.join(", ")),
                Cell::new(harmless(&scenario.summary)),
            ]
        })
        .collect();
    Ok(lines(table(["SCENARIO", "PROVES", "LEVELS", "WHAT HAPPENS"], rows, Paint::of_stdout()))?)
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
    if let Some(synthetic) = &scenario.synthetic {
        out.extend([String::new(), "At the level alert, where nothing is broken:".to_owned()]);
        let alert = format!("the alert {}", Labels(synthetic.labels.clone()));
        out.push(format!("  {}", harmless(&alert)));
        out.extend(synthetic.lines.iter().map(|lines| format!("  {}", harmless(&lines.to_string()))));
        out.push(format!("  {}", harmless(&synthetic.expect.to_string())));
    }
    if !scenario.real.is_empty() {
        out.extend([String::new(), "At the level fault, in the cluster itself:".to_owned()]);
        out.extend(scenario.real.iter().map(|broken| format!("  {}", harmless(&broken.fault.to_string()))));
    }
    Ok(lines(out)?)
}

async fn play(args: &Inject) -> anyhow::Result<ExitCode> {
    let wanted = args.scenario.as_deref().context("which scenario?")?;
    let level = args.at.level();
    if let Some(option) = args.misplaced() {
        super::output::note(&format!("runbookd: {option} says nothing at --at {level}; nothing was done"));
        return Ok(ExitCode::from(2));
    }
    let session = match level {
        Level::Sandbox => None,
        _ => Some(Session::open(args, level, &args.teller()).await?),
    };
    let played = session.as_ref().map(|session| (&session.config().vars, session.config().time_scale));
    let all = args.rules.scenarios(played)?;
    let names: Vec<String> = match wanted {
        "all" => all
            .iter()
            .filter(|scenario| scenario.levels().any(|known| known == level))
            .map(|scenario| scenario.name.clone())
            .collect(),
        name => vec![named(&all, name)?.name.clone()],
    };
    if let Some(session) = &session {
        let scenarios = names.iter().map(|name| named(&all, name)).collect::<anyhow::Result<Vec<_>>>()?;
        for scenario in &scenarios {
            real::playable(scenario, level)?;
        }
        if session.meant(args, &scenarios, &args.teller()).await? == Answer::NotMeant {
            return Ok(ExitCode::from(2));
        }
    }
    // From here on whatever ends it is heard; before, there is nothing to undo.
    let mut stopped = std::pin::pin!(left_alone()?);
    let mut reports = Vec::new();
    // Asked before anything is broken: who has no token learns it now.
    let keeper = args.record.then(|| Client::new(&args.connection)).transpose()?;
    if let Some(keeper) = &keeper {
        let _: Proofs = keeper.proofs().await?;
    }
    let mut unrecorded = false;
    for name in &names {
        let teller = args.teller();
        let scenario = named(&all, name)?;
        let mut report = blank(scenario, args, session.as_ref());
        let mut texts = BTreeMap::new();
        let drill = session.as_ref().map(|session| session.drill(scenario)).transpose()?;
        let playing = async {
            match (&session, &drill) {
                (Some(session), Some(drill)) => {
                    teller.title(&format!("{}: {}", report.scenario, report.summary))?;
                    session.play(drill, &mut report, &mut texts, &teller).await
                }
                _ => one(args, &mut report, &mut texts, &teller).await,
            }
        };
        let played = tokio::select! {
            played = playing => Some(played),
            // Dropped, and with it a sandbox's daemon and its folder.
            () = &mut stopped => None,
        };
        // Whatever ended it.
        if let Some(drill) = &drill {
            report.left_behind = drill.close(&teller).await;
        }
        let is_stopped = played.is_none();
        match played {
            Some(Ok(())) => {}
            Some(Err(error)) => report.aborted = Some(format!("{error:#}")),
            None if drill.is_some() => report.aborted = Some("interrupted".to_owned()),
            None => report.aborted = Some("interrupted; the sandbox and its daemon are gone".to_owned()),
        }
        report.ended_at = crate::clock::now();
        teller.out([String::new(), super::report::one(&report, teller.paint)])?;
        if let Some(keeper) = &keeper
            && let Err(error) = record(keeper, &proofs(named(&all, name)?, &report, &texts), &teller).await
        {
            unrecorded = true;
            super::output::note(&format!("not recorded: {}", harmless(&format!("{error:#}"))));
        }
        reports.push(report);
        if is_stopped {
            break;
        }
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
    let passed = words::all_passed(&reports) && reports.len() == names.len() && !unrecorded;
    // That nobody reads any more changes no verdict.
    finish(lines(written).map(|()| ExitCode::SUCCESS).map_err(Into::into))?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Comes when somebody ends it, also by closing the terminal that it runs in: what it has made is undone first.
fn left_alone() -> std::io::Result<impl Future<Output = ()>> {
    let (mut hung_up, stopped) = (signal(SignalKind::hangup())?, super::stopped()?);
    Ok(async move {
        tokio::select! {
            _ = hung_up.recv() => {}
            () = stopped => {}
        }
    })
}

/// A report of which nothing is known yet.
fn blank(scenario: &Scenario, args: &Inject, session: Option<&Session>) -> Report {
    let now = crate::clock::now();
    Report {
        format: FORMAT,
        run: format!("{}-{}", scenario.name, now.as_millisecond()),
        scenario: scenario.name.clone(),
        summary: scenario.summary.clone(),
        at: args.at.level(),
        place: session.map_or_else(|| "a sandbox on this machine".to_owned(), Session::place),
        version: session.map_or(env!("CARGO_PKG_VERSION"), Session::version).to_owned(),
        time_scale: session.map_or(args.pace(), |session| session.config().time_scale),
        began_at: now,
        ended_at: now,
        broke: String::new(),
        times: Times::default(),
        moments: Vec::new(),
        incidents: Vec::new(),
        checks: Vec::new(),
        aborted: None,
        left_behind: Vec::new(),
    }
}

/// Plays one scenario before a daemon and a sandbox of its own. What it learns stands in `report` and `texts`, also when it breaks off.
async fn one(
    args: &Inject,
    report: &mut Report,
    texts: &mut BTreeMap<String, String>,
    teller: &Teller,
) -> anyhow::Result<()> {
    teller.title(&format!("{}: {}", report.scenario, report.summary))?;
    teller.out([format!("  In a sandbox; every duration is divided by time_scale {}", args.pace())])?;
    let folder = Folder::new()?;
    let mut setting = Setting::acting(&std::env::current_exe()?, &folder.path, args.pace());
    setting.rules = args.rules.texts()?;
    // One's own runbooks are played as they are.
    setting.attached = args.rules.rules.is_empty();
    let mut stage = Stage::new(setting).await.context("the sandbox can not be started")?;
    stage.world().load_alert_rules();
    stage.start().await?;
    let config = crate::config::Config::load(Some(&stage.config())).map_err(|faults| anyhow!("{faults}"))?;
    let all = args.rules.scenarios(Some((&config.vars, config.time_scale)))?;
    let scenario = named(&all, &report.scenario)?;
    teller.title("What happens")?;
    let eyes = super::serve::eyes_of(&config).await?;
    let connection = Connection { url: stage.url(), token_file: Some(stage.api_token_file()) };
    let follower = Follower::new(Client::new(&connection)?, args.pace(), Only::All, teller);
    let place = Sandbox::new(stage.world(), args.pace(), &scenario.faults);
    let play = Play { scenario, place: &place, teller, eyes: &eyes, follower };
    *texts = play.texts().await?;
    play.fill(report).await.with_context(|| format!("the daemon's last words: {}", stage.last_words()))?;
    let status = stage.terminate().await?;
    if !status.success() {
        bail!("the daemon did not end gracefully ({status}): {}", stage.last_words());
    }
    Ok(())
}

/// What the run says of each runbook that it puts to the proof. Where nothing was broken, it says nothing; and where all went well without a runbook, it says
/// nothing of that one.
fn proofs(scenario: &Scenario, report: &Report, texts: &BTreeMap<String, String>) -> Vec<Proof> {
    if !report.was_broken() {
        return Vec::new();
    }
    let of = |runbook: &str| {
        let answered = report.incidents.iter().find(|incident| incident.runbook == runbook);
        if report.passed() && answered.is_none() {
            return None;
        }
        Some(Proof {
            run: report.run.clone(),
            scenario: report.scenario.clone(),
            at: report.at,
            runbook: runbook.to_owned(),
            text: texts.get(runbook)?.clone(),
            passed: report.passed(),
            proven_at: report.ended_at,
            times: answered.map(|incident| incident.times).unwrap_or_default(),
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
        teller.say(tone, "recorded", &text)?;
    }
    Ok(())
}
