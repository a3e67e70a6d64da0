//! `runbookd demo`: an alert's whole way, live, in a sandbox on this machine. The daemon is this very program as
//! a child process, with the shipped runbook unmodified; the fault has causes and effects, and nothing is staged.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::paint::Tone;
use super::teller::{self, Folder, Teller};
use crate::api::wire::IncidentView;
use crate::chaos::stage::{Setting, Stage};
use crate::clock;
use crate::incident::{Event, Outcome};
use crate::sandbox::{PoolFault, World};
use crate::text::{count, span};

/// Shows an alert's whole way in a sandbox on this machine. Nothing outside of it is touched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runbookd demo                  The database pool of chat-api runs dry; a restart cures it
  runbookd demo --persists       New pods run dry, too: the restart does not help, and the pool is made larger
  runbookd demo --keep           Leave everything running afterwards, to play with

The exit code is 0 only if the service recovered.")]
pub struct Demo {
    /// Leave the sandbox and the daemon running, and say what to try
    #[arg(long)]
    keep: bool,
    /// Make a fault that a restart does not cure
    #[arg(long)]
    persists: bool,
    /// Divide every duration by this
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    time_scale: u32,
}

/// The runbook that is shown.
const RUNBOOK: &str = "database-pool-exhaustion";
/// The service that is broken.
const SERVICE: &str = "chat-api";
/// After this long, at the pace of reality, an incident must have ended.
const GIVE_UP: Duration = Duration::from_secs(3_600);

/// Plays the whole way.
///
/// # Errors
/// When the sandbox or the daemon can not be started, or the alert's way can not be followed.
pub async fn run(args: Demo) -> anyhow::Result<ExitCode> {
    let folder = Folder::new()?;
    let setting = Setting::acting(&std::env::current_exe()?, &folder.path, args.time_scale);
    let mut stage = Stage::new(setting).await.context("the sandbox can not be started")?;
    stage.start().await?;
    let teller = Teller::new();
    teller.stage(&stage, &args)?;

    let fault = if args.persists {
        PoolFault::Demand { connections: 40, after: Duration::from_secs(20) }
    } else {
        PoolFault::ThesePods
    };
    let world = stage.world();
    world.exhaust_pool(SERVICE, fault);
    teller.say(Tone::Bad, "broken", &format!("the database pool of every {SERVICE} pod is used up"))?;

    let limit = world.real(GIVE_UP).max(Duration::from_secs(60));
    let view = tokio::time::timeout(limit, follow(&stage, &teller)).await.with_context(|| {
        format!("no end after {}; the daemon's log is {}", span(limit), stage.log().display())
    })??;
    let outcome = view.summary.outcome;
    teller.slack(&world).await?;
    teller.times(&view)?;
    teller.the_end(&view, &world)?;
    if args.keep {
        keep(&stage, &teller).await?;
    }
    let status = stage.terminate().await?;
    if !status.success() {
        bail!("the daemon did not end gracefully ({status}): {}", stage.last_words());
    }
    Ok(if outcome == Some(Outcome::Recovered) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Follows the alert from the first failed request to the end of its incident, and tells every step.
async fn follow(stage: &Stage, teller: &Teller) -> anyhow::Result<IncidentView> {
    let world = stage.world();
    while world.firing().is_empty() {
        world.changed().await;
    }
    let ratio = world.ratio_5xx(SERVICE).unwrap_or_default() * 100.0;
    teller.say(Tone::Bad, "fired", &format!("High5xxRate: {ratio:.0} % of {SERVICE}'s answers are 5xx"))?;

    teller::follow(stage, teller, RUNBOOK).await
}

/// What only the demonstration tells.
impl Teller {
    fn stage(&self, stage: &Stage, args: &Demo) -> anyhow::Result<()> {
        self.title("The sandbox: samosaChaat on this machine, and the real daemon in front of it")?;
        self.out([
            format!("  Kubernetes {}, Loki {}", stage.sandbox.kubernetes_url(), stage.sandbox.loki_url()),
            format!(
                "  Alertmanager {}, Slack {}",
                stage.sandbox.alertmanager_url(),
                stage.sandbox.slack_url()
            ),
            format!(
                "  Prometheus {}, services {}",
                stage.sandbox.prometheus_url(),
                stage
                    .sandbox
                    .services()
                    .map(|(name, address)| format!("{name} http://{address}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            format!("  runbookd {}, process {}", stage.url(), stage.pid().unwrap_or_default()),
            format!(
                "  rules/database-pool.yaml as it is shipped; every duration is divided by time_scale {}",
                args.time_scale
            ),
        ])?;
        self.title("The way of the alert")
    }

    fn times(&self, view: &IncidentView) -> anyhow::Result<()> {
        self.title("The time each took")?;
        let mut last = view.summary.opened_at;
        let mut rows = Vec::new();
        for recorded in &view.events {
            let word = match &recorded.event {
                Event::Confirmed { .. } => "confirm",
                Event::Planned { .. } => "targets and plan",
                Event::EffectIntended { .. } => "guards and intent on disk",
                Event::EffectAnswered { .. } => "the change itself",
                Event::EffectCompleted { .. } => "rollout",
                Event::StepEnded { .. } => "verify",
                _ => continue,
            };
            rows.push(format!("  {word:<28} {:>9}", span(clock::between(last, recorded.at))));
            last = recorded.at;
        }
        let closed = view.summary.closed_at.unwrap_or(last);
        let whole = span(clock::between(view.summary.opened_at, closed));
        rows.push(self.paint.mark(Tone::Strong, &format!("  {:<28} {whole:>9}", "from received to the end")));
        self.out(rows)
    }

    fn the_end(&self, view: &IncidentView, world: &World) -> anyhow::Result<()> {
        let outcome = view.summary.outcome.map_or("open", Outcome::as_str);
        let why = view.why.clone().unwrap_or_default();
        let tone = if outcome == Outcome::Recovered.as_str() { Tone::Good } else { Tone::Bad };
        let ratio = world.ratio_5xx(SERVICE).unwrap_or_default() * 100.0;
        let writes = count(world.writes().len() as u64, "write", "writes");
        self.out([
            String::new(),
            format!("{} {why}", self.paint.mark(tone, &format!("{outcome}:"))),
            format!("{SERVICE} now answers {ratio:.0} % 5xx; Kubernetes saw {writes} in all."),
        ])
    }
}

/// Leaves everything running until Ctrl-C, and says what to try.
async fn keep(stage: &Stage, teller: &Teller) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let program = program.display();
    let flags = format!("--url {} --token-file {}", stage.url(), stage.api_token_file().display());
    teller.title("It is left running until Ctrl-C. What to try, in another terminal")?;
    teller.out([
        format!("  {program} incidents {flags}"),
        format!("  {program} pause --reason 'a deploy' {flags}     and `resume`"),
        format!(
            "  curl -s {}/api/v2/alerts -H 'Content-Type: application/json' \\\n    -d '[{{\"labels\": {{\"alertname\": \"High5xxRate\", \"namespace\": \"samosachaat-prod\", \"app\": \"auth\"}}}}]'",
            stage.sandbox.alertmanager_url()
        ),
        format!("  kill -9 {}; {program} serve --config {}", stage.pid().unwrap_or_default(), stage.config().display()),
        format!("  kubectl --kubeconfig {} get deployments", stage.config().with_file_name("kubeconfig").display()),
        format!("  curl -s {}/metrics", stage.url()),
    ])?;
    super::stopped()?.await;
    Ok(())
}
