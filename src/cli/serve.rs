//! `runbookd serve`: the daemon. Opens the journal, connects the eyes and the hands, and lets the stages run
//! until SIGTERM or SIGINT; calls that are on their way are finished first.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use super::paint::Paint;
use crate::act::Hands;
use crate::api::{self, Api};
use crate::clients::acm::Acm;
use crate::clients::alertmanager::{Alertmanager, SETTLED};
use crate::clients::aws::Aws;
use crate::clients::github::GitHub;
use crate::clients::kubernetes::Kubernetes;
use crate::clients::loki::Loki;
use crate::clients::prometheus::Prometheus;
use crate::clients::rds::Rds;
use crate::clients::route53::Route53;
use crate::clients::slack::Slack;
use crate::clients::terraform::Terraform;
use crate::config::Config;
use crate::guard::Policy;
use crate::incident::proven::Demand;
use crate::incident::refusal::Guard;
use crate::incident::{Incident, drill};
use crate::listen;
use crate::metrics::Metrics;
use crate::notify::slack::{PACE, SlackSink};
use crate::pipeline::reconcile::Reconciler;
use crate::pipeline::{Pipeline, Shelf};
use crate::probe::Eyes;
use crate::receive::{self, Receiver};
use crate::runbook::load::Wants;
use crate::runbook::{Mode, Rate, Runbook, load};
use crate::store::Store;
use crate::store::sqlite::Sqlite;
use crate::telemetry;
use crate::text::span;

/// Runs the daemon: takes alerts in, and runs their runbooks.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runbookd serve --config runbookd.yaml
  RUNBOOKD_WEBHOOK_TOKEN=... runbookd serve --config runbookd.yaml

Nothing is changed until you raise `ceiling:` above `shadow` and list the namespaces that may be acted on.
SIGTERM ends it gracefully; after `kill -9` it goes on where it was.")]
pub struct Serve {
    /// The configuration file; without one everything has its default.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop when standard input ends: whoever holds the other end is gone. A sandbox's daemon does not outlive it.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Runs until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, in words that say what to do.
pub async fn run(args: Serve) -> anyhow::Result<ExitCode> {
    let config = Config::load(args.config.as_deref()).map_err(|faults| anyhow!("{faults}"))?;
    telemetry::begin(config.log.format, &config.log.level, Paint::of_stderr().colours())
        .map_err(|error| anyhow!(error))?;
    let objection = |wants: Wants<'_>| config.objection(wants);
    let loaded = load::load_with(&config.rules, Some(&config.vars), config.time_scale, Some(&objection))
        .map_err(|faults| anyhow!("{faults}"))?;
    for warning in loaded.warnings.iter() {
        warn!("{warning}");
    }
    serve(config, loaded.runbooks, args.until_stdin_ends).await?;
    Ok(ExitCode::SUCCESS)
}

/// Comes when standard input ends, if that is asked for. A thread of its own waits for it, as the runtime would wait for the thread.
async fn stdin_ended(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tell.send(())
    });
    let _ = told.await;
}

/// Lines that older drills have made up lie in no window any more.
const DRILLS: u32 = 1_000;

/// How long the journal may take to write its WAL file back.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

async fn serve(config: Config, runbooks: Vec<Arc<Runbook>>, until_stdin_ends: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can not listen on {}; is another runbookd running?", config.listen))?;
    let kubernetes = Kubernetes::connect(&config.kubernetes).await?;
    if config.time_scale > 1 && !kubernetes.is_loopback() {
        bail!(
            "`time_scale: {}` makes every wait shorter and is for a sandbox only, and {} is not on loopback; \
             take it out of the configuration",
            config.time_scale,
            kubernetes.server()
        );
    }
    let journal = Arc::new(Sqlite::open(&config.journal).await?);
    let store: Arc<dyn Store> = journal.clone();
    let inject = Arc::new(drill::runbook(config.time_scale).map_err(|faults| anyhow!("{faults}"))?);
    for runbook in runbooks.iter().chain([&inject]) {
        store.keep_runbook(&runbook.name, &runbook.hash, &runbook.source).await?;
    }
    let aws = aws(&config)?;
    // The same clients for those who ask and those who act: each system has one limit for all together.
    let certificates = aws.as_ref().map(certificates);
    let eyes = eyes(&config, kubernetes.clone(), certificates.clone())?;
    for drill in store.drills(DRILLS).await? {
        eyes.tell_of(&drill);
    }
    let rds = aws.as_ref().map(Rds::new).transpose()?;
    let policy = Arc::new(paced(config.policy, config.time_scale));
    let metrics = metrics(&runbooks)?;
    let (stop, shutdown) = watch::channel(false);
    let shelf = Shelf::new(&runbooks);
    let channels = channels(&runbooks);

    let router = receive::router(Receiver {
        store: Arc::clone(&store),
        runbooks: runbooks.clone(),
        token: config.webhook.token,
        body_limit: config.webhook.body_limit,
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    })
    .merge(api::router(Api {
        store: Arc::clone(&store),
        metrics: metrics.clone(),
        token: config.api.token,
        runbooks: runbooks.clone(),
        policy: Arc::clone(&policy),
        inject,
        eyes: Some(eyes.clone()),
        shutdown: shutdown.clone(),
    }))
    .layer(tower_http::catch_panic::CatchPanicLayer::new());

    // Before the first answer, so that whatever has begun is always ended properly.
    let signalled = super::stopped()?;
    let left_alone = stdin_ended(until_stdin_ends);
    let told_to_stop = async move {
        tokio::select! {
            () = signalled => {}
            () = left_alone => {}
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(listen::serve(listener, router, shutdown.clone()));
    if let Some(slack) = config.slack {
        let sink = SlackSink::new(Slack::new(slack.settings)?, slack.channel, channels)
            .with_pace(PACE / config.time_scale.max(1));
        tasks.spawn(sink.run(Arc::clone(&store), metrics.clone(), shutdown.clone()));
    }
    if let Some(alertmanager) = config.alertmanager {
        let pace = config.time_scale.max(1);
        let reconciler = Reconciler {
            alertmanager: Alertmanager::new(&alertmanager.settings)?,
            receiver: alertmanager.receiver,
            every: alertmanager.every / pace,
            grace: alertmanager.grace / pace,
            settled: SETTLED / pace,
            store: Arc::clone(&store),
            runbooks: runbooks.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(reconciler.run(shutdown.clone()));
    }
    let hands = Hands::new(kubernetes.clone())
        .with_rds(rds)
        .with_http(config.http.client())
        .with_certificates(certificates)
        .with_terraform(config.terraform.map(Terraform::new))
        .with_github(config.github.map(GitHub::new).transpose()?);
    let pipeline = Arc::new(Pipeline {
        store,
        shelf,
        eyes,
        hands: hands.clone(),
        policy: Arc::clone(&policy),
        grafana: config.grafana.clone(),
        approval_within: config.approval_within / config.time_scale.max(1),
        owner: format!("{}-{}", std::process::id(), crate::clock::now().as_microsecond()),
        metrics,
    });
    tasks.spawn(Arc::clone(&pipeline).restore_what_is_due(shutdown.clone()));
    tasks.spawn(pipeline.run(shutdown));
    announce(&runbooks, &policy, &config.listen.to_string(), &kubernetes.server(), config.time_scale);

    let mut changes = journal.changes();
    let died = tokio::select! {
        () = told_to_stop => false,
        // Every task runs until it is told to stop; one that ends before has died.
        _ = tasks.join_next() => true,
        // So has the journal when nobody is left who could change it.
        () = async { while changes.changed().await.is_ok() {} } => true,
    };
    if died {
        tracing::error!("A part of runbookd has died; it ends, so that it is started anew");
    }
    info!("Shutting down: nothing new is taken in, calls on their way are finished");
    // Nobody has to be there to hear it.
    let _ = stop.send(true);
    // What may take an hour is interrupted in order, and looked at after the next start.
    hands.close().await;
    while tasks.join_next().await.is_some() {}
    // The file is then whole by itself. That it is not changes nothing but the next start.
    let _ = tokio::time::timeout(CLOSE_WITHIN, journal.close()).await;
    if died {
        bail!("a part of it has died; see the log");
    }
    info!("Stopped");
    Ok(())
}

/// AWS, of which all clients have the same credentials.
pub(super) fn aws(config: &Config) -> anyhow::Result<Option<Aws>> {
    Ok(config.aws.as_ref().map(Aws::new).transpose()?)
}

/// Where certificates and their records are.
pub(super) fn certificates(aws: &Aws) -> (Acm, Route53) {
    (Acm::new(aws), Route53::new(aws))
}

/// Eyes on the systems of the configuration, for a person.
pub(super) async fn eyes_of(config: &Config) -> anyhow::Result<Eyes> {
    let kubernetes = Kubernetes::connect(&config.kubernetes).await?;
    let aws = aws(config)?;
    eyes(config, kubernetes, aws.as_ref().map(certificates))
}

/// Eyes on the systems of the configuration, by clients that are there already.
pub(super) fn eyes(
    config: &Config,
    kubernetes: Kubernetes,
    certificates: Option<(Acm, Route53)>,
) -> anyhow::Result<Eyes> {
    let alertmanager = config.alertmanager.as_ref().map(|there| Alertmanager::new(&there.settings));
    Ok(Eyes::new(Loki::new(&config.loki)?, kubernetes)
        .with_http(config.http.client())
        .with_prometheus(config.prometheus.as_ref().map(Prometheus::new).transpose()?)
        .with_alertmanager(alertmanager.transpose()?)
        .with_certificates(certificates)
        .with_exec(&config.exec))
}

fn metrics(runbooks: &[Arc<Runbook>]) -> anyhow::Result<Metrics> {
    let names: Vec<&str> = runbooks.iter().map(|runbook| runbook.name.as_str()).collect();
    Ok(Metrics::new(&names, &Guard::ALL.map(|guard| (guard, true)))?)
}

/// The limits of the configuration at the pace of the runbooks.
fn paced(policy: Policy, time_scale: u32) -> Policy {
    Policy { rate: Rate { per: policy.rate.per / time_scale.max(1), ..policy.rate }, ..policy }
}

fn channels(runbooks: &[Arc<Runbook>]) -> impl Fn(&Incident) -> Option<String> + Send + Sync + 'static {
    let channels: std::collections::HashMap<String, String> = runbooks
        .iter()
        .filter_map(|runbook| Some((runbook.name.clone(), runbook.escalate.slack.clone()?)))
        .collect();
    move |incident| {
        // What is put back is told where the change was.
        let opened = &incident.opened;
        let runbook = opened.restore.as_ref().map_or(&opened.runbook, |restore| &restore.runbook);
        channels.get(runbook).cloned()
    }
}

fn announce(runbooks: &[Arc<Runbook>], policy: &Policy, listen: &str, server: &str, time_scale: u32) {
    for runbook in runbooks {
        let mode = runbook.mode.min(policy.ceiling);
        info!(runbook = runbook.name, %mode, "Runbook {} is loaded", runbook.name);
    }
    if let Some(Demand { at, within }) = policy.proof {
        info!("A runbook acts on its own only when it was proven at {at} within {}", span(within));
    }
    if policy.ceiling <= Mode::Shadow {
        info!("The ceiling is {}: nothing will be changed", policy.ceiling);
    }
    if time_scale > 1 {
        warn!("Every wait is {time_scale} times shorter than written (`time_scale`)");
    }
    info!("Listening on {listen}, watching {server}, guards armed: all {}", Guard::ALL.len());
}
