//! The configuration: a YAML file, and the environment for secrets. Everything has a default; `deploy/runbookd.yaml` shows all of it.
//!
//! A secret is never written in the file: it comes from a file of its own or from the environment, and lives in a [`Secret`].

mod asking;
mod aws;
mod github;
mod read;
mod secrets;
mod terraform;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clients::grafana::Grafana;
use crate::clients::{Secret, alertmanager, aws as amazon, http, kubernetes, loki, prometheus, slack};
use crate::guard::Policy;
use crate::runbook::{Mode, Rate};
use crate::telemetry::Format;
use crate::yaml::{Document, Faults, Node, Place, Value, parse, read_file};

/// The commented file of all defaults, for those who begin.
pub const DEFAULT_FILE: &str = include_str!("../../deploy/runbookd.yaml");

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Alertmanager and the commands reach runbookd.
    pub listen: SocketAddr,
    /// The way in for alerts.
    pub webhook: Webhook,
    /// The way in for people and the commands.
    pub api: Api,
    /// The journal's file, relative to the working directory.
    pub journal: PathBuf,
    /// Files and folders of runbooks, made relative to the configuration file's folder.
    pub rules: Vec<PathBuf>,
    /// What may be done: `ceiling:`, `namespaces:`, `limits:` and `proof:` of the file.
    pub policy: Policy,
    /// For how long a person may approve a plan.
    pub approval_within: Duration,
    /// The cluster.
    pub kubernetes: kubernetes::Settings,
    /// Where logs are asked for.
    pub loki: loki::Settings,
    /// Where metrics are asked for; none: no runbook may ask for any.
    pub prometheus: Option<prometheus::Settings>,
    /// Where people look for themselves; none: no links to Explore.
    pub grafana: Option<Grafana>,
    /// Where certificates, names and databases are asked for; none: no runbook may ask for any, and nothing whose bound is a database's may be done.
    pub aws: Option<amazon::Settings>,
    /// The services and pods that `http` and `tls` probes may ask, and `http` actions call.
    pub http: Http,
    /// The programs that `exec` and `connections` probes may run in containers, word for word.
    pub exec: Vec<Vec<String>>,
    /// Where it is asked what fires; none: only the webhook tells.
    pub alertmanager: Option<Alertmanager>,
    /// Where people are told; none: only the journal.
    pub slack: Option<Slack>,
    /// runbookd's own logs.
    pub log: Log,
    /// In which directories terraform may be run; none: in none.
    pub terraform: Option<crate::clients::terraform::Settings>,
    /// Which workflows of GitHub may be started; none: none.
    pub github: Option<crate::clients::github::Settings>,
    /// What runbooks may name as `${vars.NAME}`.
    pub vars: BTreeMap<String, String>,
    /// Divides every duration of the runbooks. Above 1 the daemon only starts against an API server on loopback.
    pub time_scale: u32,
}

/// `webhook:`
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Alertmanager must show it; none: no one need to, and then `listen` is on loopback.
    pub token: Option<Secret>,
    /// No notification may be longer, in bytes.
    pub body_limit: usize,
}

/// `api:`
#[derive(Debug, Clone)]
pub struct Api {
    /// The commands must show it; none: no one need to, and then `listen` is on loopback.
    pub token: Option<Secret>,
}

/// `http:`
#[derive(Debug, Clone, Default)]
pub struct Http {
    /// The hosts that may be asked and called; empty: none.
    pub allowed: Vec<http::Allowed>,
    /// The pods that may be, at their own addresses; empty: none.
    pub pods: Vec<http::AllowedPods>,
    /// What is shown to some of them.
    pub keys: Vec<http::Key>,
    /// Whom to believe besides those whom the system does.
    pub trust: http::Trust,
}

/// `alertmanager:`
#[derive(Debug, Clone)]
pub struct Alertmanager {
    /// Where it is.
    pub settings: alertmanager::Settings,
    /// The receiver in its configuration that is runbookd's webhook: only what is routed there is taken in.
    pub receiver: String,
    /// How often it is asked.
    pub every: Duration,
    /// For how long an alert must have been seen firing there before its notification counts as lost.
    pub grace: Duration,
}

impl Http {
    /// Who may be asked and called.
    #[must_use]
    pub fn policy(&self) -> http::Policy {
        http::Policy::new(self.allowed.clone()).with_pods(self.pods.clone())
    }

    /// The client for them.
    #[must_use]
    pub fn client(&self) -> http::Http {
        http::Http::showing(self.policy(), self.trust.clone(), self.keys.clone())
    }
}

impl Alertmanager {
    /// As often, and with as much patience, as the default file says.
    #[must_use]
    pub const fn new(settings: alertmanager::Settings, receiver: String) -> Self {
        Self { settings, receiver, every: Duration::from_mins(1), grace: Duration::from_mins(6) }
    }
}

/// `slack:`
#[derive(Debug, Clone)]
pub struct Slack {
    /// Where Slack is, and the bot's token.
    pub settings: slack::Settings,
    /// The channel of every runbook that names none.
    pub channel: String,
}

/// `log:`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: Format,
    /// A level, or `EnvFilter` directives such as `info,runbookd=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9099)),
            webhook: Webhook { token: None, body_limit: 16 << 20 },
            api: Api { token: None },
            journal: PathBuf::from("./runbookd.db"),
            rules: vec![PathBuf::from("rules")],
            policy: Policy {
                ceiling: Mode::Shadow,
                namespaces: BTreeMap::new(),
                nodes: Mode::Shadow,
                rate: Rate { count: 10, per: Duration::from_hours(1) },
                proof: None,
            },
            approval_within: Duration::from_mins(30),
            kubernetes: kubernetes::Settings::default(),
            loki: loki::Settings::new("http://127.0.0.1:3100"),
            prometheus: None,
            grafana: None,
            aws: None,
            http: Http::default(),
            exec: Vec::new(),
            alertmanager: None,
            slack: None,
            log: Log { format: Format::Text, level: "info".to_owned() },
            terraform: None,
            github: None,
            vars: BTreeMap::new(),
            time_scale: 1,
        }
    }
}

/// What the configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To run with it: every secret that it names must be there.
    Run,
    /// To look whether it is right, perhaps on a machine that has none of the secrets: a missing one is a warning.
    Check,
}

impl Config {
    /// Reads the configuration to run with it; without a file everything has its default, and secrets still come from the environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: Option<&Path>) -> Result<Self, Faults> {
        match Self::load_for(Purpose::Run, path) {
            (Some(config), faults) if !faults.any() => Ok(config),
            (_, faults) => Err(faults),
        }
    }

    /// Reads the configuration and says everything that is wrong with it. Where something is, the rest can still be looked at; there is
    /// no configuration at all only when it is not YAML.
    #[must_use]
    pub fn load_for(purpose: Purpose, path: Option<&Path>) -> (Option<Self>, Faults) {
        let mut faults = Faults::new();
        let text = match path {
            Some(path) => read_file(path, &mut faults),
            None => Some(String::new()),
        };
        if let Some(text) = text {
            return Self::read(&text, path, purpose, &from_environment);
        }
        let mut all = Faults::new();
        all.take_in(path, faults);
        (None, all)
    }

    /// Reads a text as the configuration file at `path`, with `environment` to look variables up in.
    pub fn read(
        text: &str,
        path: Option<&Path>,
        purpose: Purpose,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> (Option<Self>, Faults) {
        let mut faults = Faults::new();
        let documents = parse(text, &mut faults);
        let mut config = None;
        if !documents.is_empty() || !faults.any() {
            let folder = path.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
            let secrets = secrets::Secrets { folder, purpose, environment };
            config = read::config(&only(&documents, &mut faults), &secrets, &mut faults);
        }
        let mut all = Faults::new();
        all.take_in(path, faults);
        (config, all)
    }
}

/// The root of the only document; an empty file is one without fields.
fn only(documents: &[Document], faults: &mut Faults) -> Node {
    if let Some(second) = documents.get(1) {
        let hint = "runbooks do not belong into the configuration; name their files in `rules:`";
        faults.add(
            second.root.place,
            "a second document in the configuration; expected one",
            Some(hint.to_owned()),
        );
    }
    let empty = || Node { place: Place::START, value: Value::Map(Vec::new()) };
    documents.first().map_or_else(empty, |document| document.root.clone())
}

fn from_environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    std::env::var(name).ok()
}
