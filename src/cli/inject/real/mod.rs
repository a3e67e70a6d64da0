//! A scenario at the real systems: with an alert that is made up, or with the real fault. The person's own rights are used, the daemon is told of everything
//! before it happens, and whatever ends the run, what it made is undone.

mod consent;
mod drill;
mod preflight;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use clap::{Args, ValueEnum};

use super::Inject;
use super::follow::Follower;
use super::play::Play;
use crate::chaos::real::{EndsInstance, Ground};
use crate::chaos::report::Report;
use crate::chaos::scenario::Scenario;
use crate::chaos::synthetic::Way;
use crate::cli::client::{Client, me};
use crate::cli::serve;
use crate::cli::teller::Teller;
use crate::clients::CallError;
use crate::clients::alertmanager::Alertmanager;
use crate::clients::ec2::Ec2;
use crate::clients::kubernetes::{Called, Kubernetes, called};
use crate::clients::loki::Loki;
use crate::clients::webhook::{self, Webhook};
use crate::config::Config;
use crate::incident::proof::Level;
use crate::probe::Eyes;

pub(super) use self::consent::Answer;
pub(super) use self::drill::Drill;

/// How a scenario is played at the real systems.
#[derive(Debug, Args)]
#[command(next_help_heading = "At the real systems (--at alert, --at fault)")]
pub(super) struct RealArgs {
    /// The configuration that says where everything is: in the form of the daemon's, with your own kubeconfig and credentials
    #[arg(long, value_name = "FILE")]
    pub(super) target: Option<PathBuf>,
    /// Where the alert goes [default: Alertmanager, when the target names one]
    #[arg(long, value_enum)]
    via: Option<Via>,
    /// The name of the cluster, as your kubeconfig has it; without it you are asked to type it
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The namespace that is broken; without it you are asked to type it
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Do not ask whether it is meant: for CI, with --cluster and --namespace
    #[arg(long)]
    yes: bool,
    /// Delete every pod of the Deployment at once, where the scenario deletes some
    #[arg(long = "all")]
    all_pods: bool,
    /// The image of runbookd, for a Job that makes load
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Who plays it (by default you, as USER@HOST)
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl RealArgs {
    /// An option that says nothing at this level.
    pub(super) fn misplaced(&self, level: Level) -> Option<&'static str> {
        let sandbox = level == Level::Sandbox;
        let options = [
            (self.target.is_some() && sandbox, "--target"),
            (self.via.is_some() && level != Level::Alert, "--via"),
            (self.cluster.is_some() && sandbox, "--cluster"),
            (self.namespace.is_some() && sandbox, "--namespace"),
            (self.yes && sandbox, "--yes"),
            (self.all_pods && level != Level::Fault, "--all"),
            (self.image.is_some() && level != Level::Fault, "--image"),
            (self.by.is_some() && sandbox, "--by"),
        ];
        options.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

/// Where an alert goes that is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// Into Alertmanager, whose routes decide who hears of it
    Alertmanager,
    /// To the daemon's own webhook
    Webhook,
}

/// Who has made a fault, in `managedFields`: what a person does is not the daemon's.
const MANAGER: &str = "runbookd-inject";

/// Everything that a run at the real systems needs.
pub(super) struct Session {
    level: Level,
    config: Config,
    client: Client,
    eyes: Eyes,
    ground: Ground,
    called: Called,
    loki: Loki,
    alertmanager: Option<Alertmanager>,
    way: Option<Way>,
    all_pods: bool,
    by: String,
    version: String,
}

impl Session {
    /// Reads where everything is, and looks whether it is there. Nothing is made up or broken, and what is found people read.
    ///
    /// # Errors
    /// When something is missing; what to do about each was said.
    pub(super) async fn open(args: &Inject, level: Level, teller: &Teller) -> anyhow::Result<Self> {
        let real = &args.real;
        let target = real.target.as_deref().context(
            "--at alert and --at fault need --target FILE: the configuration that says where the cluster, Loki, Alertmanager and the others are",
        )?;
        let config = Config::load(Some(target)).map_err(|faults| anyhow!("{faults}"))?;
        let namespace = config
            .vars
            .get("namespace")
            .context("the target's `vars:` name no `namespace`; scenarios and runbooks are about one")?;
        let kubernetes = Kubernetes::connect(&config.kubernetes).await?;
        if config.time_scale > 1 && !kubernetes.is_loopback() {
            bail!("`time_scale: {}` of the target is for a sandbox only; take it out", config.time_scale);
        }
        let called = called(&config.kubernetes)?.unwrap_or_else(|| Called {
            context: "the pod's service account".to_owned(),
            cluster: "in-cluster".to_owned(),
        });
        let mut ground = Ground::new(kubernetes.known_as(MANAGER), namespace);
        ground.image.clone_from(&real.image);
        if let Some(aws) = serve::aws(&config)? {
            ground.ends_instances = Some(Arc::new(Machines(Ec2::new(&aws)?)));
            ground.certificates = Some(serve::certificates(&aws));
        }
        let alertmanager =
            config.alertmanager.as_ref().map(|there| Alertmanager::new(&there.settings)).transpose()?;
        let client = Client::new(&args.connection)?;
        let way = match (level, real.via.or(alertmanager.as_ref().map(|_| Via::Alertmanager))) {
            (Level::Alert, Some(Via::Alertmanager)) => Some(Way::Alertmanager(alertmanager.clone().context(
                "--via alertmanager needs an Alertmanager: add `alertmanager: {url: ..., receiver: ...}` to the target",
            )?)),
            (Level::Alert, _) => Some(Way::Webhook(webhook_of(&config, &args.connection.url)?)),
            _ => None,
        };
        let mut session = Self {
            level,
            eyes: serve::eyes(&config, kubernetes, ground.certificates.clone())?,
            loki: Loki::new(&config.loki)?,
            client,
            ground,
            called,
            alertmanager,
            way,
            all_pods: real.all_pods,
            by: real.by.clone().unwrap_or_else(me),
            version: String::new(),
            config,
        };
        session.version = preflight::look(&session, teller).await?;
        // What others have made up is not how it stands.
        for known in session.client.drills().await?.drills {
            session.eyes.tell_of(&known.drill);
        }
        Ok(session)
    }

    /// The variables and the pace that the scenarios are read with.
    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// Where it is played, for people.
    pub(super) fn place(&self) -> String {
        format!("cluster {}, namespace {}", self.called.cluster, self.ground.namespace)
    }

    /// The daemon's release.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Says what would happen, and asks whether it is meant.
    pub(super) async fn meant(
        &self,
        args: &Inject,
        scenarios: &[&Scenario],
        teller: &Teller,
    ) -> anyhow::Result<Answer> {
        consent::ask(self, &args.real, scenarios, teller).await
    }

    /// Plays one.
    pub(super) async fn play(
        &self,
        drill: &Drill<'_>,
        report: &mut Report,
        texts: &mut BTreeMap<String, String>,
        teller: &Teller,
    ) -> anyhow::Result<()> {
        let only = drill.register(teller).await?;
        let scale = self.config.time_scale;
        let follower = Follower::new(self.client.clone(), scale, only, teller);
        let play = Play { scenario: drill.scenario(), place: drill, teller, eyes: &self.eyes, follower };
        *texts = play.texts().await?;
        play.fill(report).await
    }

    /// A run of this scenario, of which nobody knows yet.
    pub(super) fn drill<'s>(&'s self, scenario: &'s Scenario) -> anyhow::Result<Drill<'s>> {
        Drill::new(self, scenario)
    }

    fn real(&self, duration: Duration) -> Duration {
        duration / self.config.time_scale.max(1)
    }
}

/// The way to the daemon's own webhook.
fn webhook_of(config: &Config, url: &str) -> anyhow::Result<Webhook> {
    let mut settings =
        webhook::Settings::new(format!("{}{}", url.trim_end_matches('/'), crate::receive::PATH));
    settings.bearer.clone_from(&config.webhook.token);
    Ok(Webhook::new(&settings)?)
}

/// The machines behind the nodes.
struct Machines(Ec2);

#[async_trait]
impl EndsInstance for Machines {
    async fn may_terminate(&self, instance_id: &str) -> Result<(), CallError> {
        self.0.may_terminate(instance_id).await
    }

    async fn terminate(&self, instance_id: &str) -> Result<(), CallError> {
        self.0.terminate(instance_id).await
    }
}

/// Whether this scenario can be played there at all.
///
/// # Errors
/// When it says nothing of that level.
pub(super) fn playable(scenario: &Scenario, level: Level) -> anyhow::Result<()> {
    if scenario.levels().any(|known| known == level) {
        return Ok(());
    }
    let (section, what) = match level {
        Level::Alert => ("synthetic", "which alert is made up, and what must come of it"),
        _ => ("real", "what is broken in the cluster itself"),
    };
    bail!(
        "{} can not be played at {level}: it has no `{section}:`, which says {what}; `runbookd inject list` shows the levels of each",
        scenario.name
    )
}
