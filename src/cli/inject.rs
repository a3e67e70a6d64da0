//! `runbookd inject`: makes a fault, watches whether everything that must follow comes true, and says so. The exit code is the verdict.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::load;
use super::paint::Tone;
use super::teller::{Folder, Teller, follow};
use crate::chaos::scenario::{Scenario, Seen};
use crate::chaos::stage::{Setting, Stage};
use crate::clock;
use crate::incident::restore::RESTORE;
use crate::sandbox::World;
use crate::text::span;

/// Makes a fault, and proves that what must follow comes true.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  runbookd inject pod-kill --at sandbox --yes      A pod is deleted; Kubernetes replaces it, and nothing is done
  runbookd inject crash-loop --at sandbox --yes    New pods crash, too; a person is called with the evidence
  runbookd inject inference-oom --at sandbox --yes A limit that is too low is raised, and the declared one is put back
  runbookd inject large-model --at sandbox --yes   Every pod is told to load the smaller model
  runbookd inject high-latency --at sandbox --yes --time-scale 80
                                                   Inference gets more pods for two hours, which are 90 seconds here
  runbookd inject certificate --at sandbox --yes --time-scale 80
                                                   A certificate that ACM can not renew gets its record back

At the sandbox nothing outside of this process is touched. The exit code is 0 only if all that the scenario expects came true.")]
pub struct Inject {
    /// What is broken
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Scenario::ALL.map(|scenario| scenario.name)))]
    #[arg(required = true)]
    scenario: Option<String>,
    /// Where
    #[arg(long, value_enum, required = true)]
    at: Option<At>,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
    /// Divide every duration by this
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    time_scale: u32,
    #[command(subcommand)]
    fault: Option<Fault>,
}

/// A fault that is made by itself, and nothing is held against it.
#[derive(Debug, Subcommand)]
enum Fault {
    Load(Box<load::Load>),
}

/// Where the fault is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum At {
    /// In a sandbox on this machine, with the real daemon in front of it
    Sandbox,
}

/// After this long, at the pace of reality, an alert must have fired, and an incident ended.
const GIVE_UP: Duration = Duration::from_hours(1);

/// Plays the scenario.
///
/// # Errors
/// When the sandbox or the daemon can not be started, or the alert's way can not be followed.
pub async fn run(args: Inject) -> anyhow::Result<ExitCode> {
    if let Some(Fault::Load(args)) = args.fault {
        return load::run(*args).await;
    }
    let (name, at) = args.scenario.zip(args.at).context("a scenario and --at are required")?;
    let scenario = Scenario::named(&name).context("there is no such scenario")?;
    if !args.yes {
        bail!(
            "nothing was done: this would break {} {}; say so with --yes",
            scenario.service,
            match at {
                At::Sandbox => "in a sandbox on this machine",
            }
        );
    }
    let folder = Folder::new()?;
    let setting = Setting::acting(&std::env::current_exe()?, &folder.path, args.time_scale);
    let mut stage = Stage::new(setting).await.context("the sandbox can not be started")?;
    let world = stage.world();
    world.load_alert_rules();
    stage.start().await?;
    let teller = Teller::new();
    teller.title(&format!("{}: {}", scenario.name, scenario.summary))?;
    teller.out([format!("  In a sandbox; every duration is divided by time_scale {}", args.time_scale)])?;

    teller.title("What happens")?;
    let stays = scenario.for_a_while.as_ref().map_or(Duration::ZERO, |change| change.stays);
    let limit = world.real(GIVE_UP + stays).max(Duration::from_secs(60) + world.real(stays));
    if !world.until(limit, |world| scenario.is_well(world)).await {
        bail!("{} is not well before the fault, so nothing was broken", scenario.service);
    }
    teller.say(Tone::Good, "steady", &format!("{}: {}, no alert fires", scenario.service, scenario.means))?;
    (scenario.fault)(&world);
    teller.say(Tone::Bad, "broken", scenario.broke)?;

    let seen = tokio::time::timeout(limit, watch(scenario, &stage, args.time_scale, &teller)).await;
    let seen = seen.with_context(|| {
        format!("no end after {}; the daemon's last words: {}", span(limit), stage.last_words())
    })??;
    if seen.incident.is_some() {
        teller.slack(&world).await?;
    }
    let passed = verdict(scenario, &seen, &teller)?;
    let status = stage.terminate().await?;
    if !status.success() {
        bail!("the daemon did not end gracefully ({status}): {}", stage.last_words());
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn watch(scenario: &Scenario, stage: &Stage, time_scale: u32, teller: &Teller) -> anyhow::Result<Seen> {
    let world = stage.world();
    let mut put_back = None;
    let alert = alert(scenario, &world).await;
    let incident = match &alert {
        Some(alert) => {
            teller.say(Tone::Bad, "fired", alert)?;
            let summary = follow(stage, teller, scenario.runbook).await?.summary;
            // What was not changed is not put back either.
            if let Some(change) = scenario.for_a_while.as_ref().filter(|_| !world.writes().is_empty()) {
                (change.passes)(&world);
                teller.say(Tone::Good, "passed", change.passed)?;
                let restore = follow(stage, teller, RESTORE).await?.summary;
                let after = clock::between(summary.opened_at, restore.opened_at) * time_scale;
                put_back = Some((after, restore.outcome));
            }
            Some((summary.runbook, summary.outcome))
        }
        None => {
            let text = format!("{} is well again, and no alert fired", scenario.service);
            teller.say(Tone::Good, "healed", &text)?;
            None
        }
    };
    // What Kubernetes still does after the daemon is done.
    let well = if scenario.recovers {
        world.until(world.real(Scenario::QUIET), |world| scenario.is_well(world)).await
    } else {
        scenario.is_well(&world)
    };
    Ok(Seen { alert, incident, put_back, writes: world.writes().len(), well })
}

/// The alert that fires, of those that should; none when the service is well again, and stays so for longer than an alert would wait.
async fn alert(scenario: &Scenario, world: &World) -> Option<String> {
    let quiet = world.real(Scenario::QUIET);
    let mut well_since: Option<Instant> = None;
    loop {
        // Others may fire, too: what breaks pods can break requests.
        let firing = world.firing();
        let mut names = firing.iter().filter_map(|labels| labels.get("alertname"));
        if let Some(alert) = names.find(|name| scenario.alerts.contains(&name.as_str())) {
            return Some(alert.clone());
        }
        if scenario.is_well(world) {
            if well_since.get_or_insert_with(Instant::now).elapsed() >= quiet {
                return None;
            }
        } else {
            well_since = None;
        }
        world.changed().await;
    }
}

fn verdict(scenario: &Scenario, seen: &Seen, teller: &Teller) -> anyhow::Result<bool> {
    teller.title("What was expected, and what was found")?;
    let checks = scenario.judge(seen);
    let passed = checks.iter().all(|checked| checked.holds);
    teller.out(checks.iter().map(|checked| {
        let (tone, mark) = if checked.holds { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
        format!("  {} {:<64} {}", teller.paint.mark(tone, mark), checked.expected, checked.found)
    }))?;
    let (tone, word) = if passed { (Tone::Good, "passed") } else { (Tone::Bad, "failed") };
    teller.out([String::new(), format!("{}: {}", scenario.name, teller.paint.mark(tone, word))])?;
    Ok(passed)
}
