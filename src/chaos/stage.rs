//! The stage: the real daemon as a child process, with the shipped runbooks unmodified, in front of the sandbox.
//! `demo` and the tests play on it. Only durations are divided, by a printed `time_scale`.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::sandbox::{ACCESS_KEY, AlertmanagerTarget, DATABASE, HOST, NAMESPACE, Options, Sandbox, World};

/// The runbooks as they are shipped, and what they attach: file name and text.
pub const SHIPPED: [(&str, &str); 8] = [
    ("database-pool.yaml", include_str!("../../rules/database-pool.yaml")),
    ("node-failure.yaml", include_str!("../../rules/node-failure.yaml")),
    ("pod-crash.yaml", include_str!("../../rules/pod-crash.yaml")),
    ("high-latency.yaml", include_str!("../../rules/high-latency.yaml")),
    ("inference-oom.yaml", include_str!("../../rules/inference-oom.yaml")),
    (QUICK_REFERENCE, include_str!("../../rules/quick-reference.yaml")),
    ("certificate.yaml", include_str!("../../rules/certificate.yaml")),
    ("node-rotation.yaml", include_str!("../../rules/node-rotation.yaml")),
];

const QUICK_REFERENCE: &str = "quick-reference.yaml";

/// How the daemon is set up.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The program; `demo` takes itself.
    pub program: PathBuf,
    /// Where its files lie.
    pub folder: PathBuf,
    /// Every duration is divided by it.
    pub time_scale: u32,
    /// The ceiling's mode.
    pub ceiling: String,
    /// The namespaces that may be acted on, as YAML.
    pub namespaces: String,
    /// Further lines of the configuration.
    pub more: String,
    /// The runbooks: file name and text.
    pub rules: Vec<(String, String)>,
    /// Whether what the shipped runbooks attach is there, too, whatever runbooks are played.
    pub attached: bool,
    /// Environment variables of the daemon.
    pub environment: Vec<(String, String)>,
}

impl Setting {
    /// The shipped runbooks, allowed to act.
    #[must_use]
    pub fn acting(program: &Path, folder: &Path, time_scale: u32) -> Self {
        let rules = SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            time_scale,
            ceiling: "act".to_owned(),
            namespaces: format!("{{{NAMESPACE}: act}}"),
            more: String::new(),
            rules,
            attached: true,
            environment: Vec::new(),
        }
    }
}

/// The daemon and the world that it works on. Dropping it ends both.
pub struct Stage {
    /// The world.
    pub sandbox: Sandbox,
    setting: Setting,
    port: u16,
    child: Option<Child>,
}

/// What Alertmanager shows to the webhook.
pub const WEBHOOK_TOKEN: &str = "sandbox-webhook-token";
/// What the commands show to the API.
pub const API_TOKEN: &str = "sandbox-api-token";
/// What the inference service wants to be shown in `X-Internal-API-Key`. Only the daemon's configuration knows it.
pub const INTERNAL_KEY: &str = "sandbox-internal-key";
/// Where the sandbox's people read.
pub const CHANNEL: &str = "#oncall";
/// Nothing is there: it is never asked, and only people would go there.
pub const GRAFANA: &str = "https://grafana.samosachaat.art";

/// It takes a fraction of a second; the rest is for a machine that has much else to do.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A port that is free now and stays so until somebody listens there: below those that the system itself gives to connections (from 32768 on), and another one
/// each time.
///
/// # Errors
/// When none of many is free.
pub fn free_port() -> io::Result<u16> {
    const FIRST: u32 = 20_000;
    const MANY: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two processes begin far from each other.
    let begin = std::process::id().wrapping_mul(997);
    for _ in 0..MANY {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % MANY;
        let port = u16::try_from(FIRST + number).map_err(io::Error::other)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port from 20000 to 31999 is free"))
}

impl Stage {
    /// Starts the sandbox, and writes the daemon's files; the daemon itself is not running yet.
    ///
    /// # Errors
    /// When a port can not be bound or a file can not be written.
    pub async fn new(setting: Setting) -> io::Result<Self> {
        let options = Options { pace: setting.time_scale, ..Options::default() };
        let sandbox = Sandbox::start(options).await?;
        // Known beforehand, so that the daemon comes back under the same address after a crash.
        let port = free_port()?;
        let stage = Self { sandbox, setting, port, child: None };
        stage.write_files()?;
        stage.world().require_internal_key(INTERNAL_KEY);
        stage.world().send_alerts_to(Some(AlertmanagerTarget {
            url: format!("{}{}", stage.url(), crate::receive::PATH),
            bearer: Some(WEBHOOK_TOKEN.to_owned()),
        }));
        Ok(stage)
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Errors
    /// When it ends at once, or is not ready in time; the text has its last words.
    pub async fn start(&mut self) -> io::Result<()> {
        self.spawn()?;
        let http = crate::clients::http_client(Duration::from_secs(2)).map_err(io::Error::other)?;
        let ready = format!("{}/-/ready", self.url());
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                return Err(io::Error::other(format!("runbookd ended with {status}: {}", self.last_words())));
            }
            if http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let within = crate::text::span(READY_WITHIN);
        Err(io::Error::other(format!("runbookd is not ready after {within}: {}", self.last_words())))
    }

    /// Starts the daemon and does not wait for it.
    ///
    /// # Errors
    /// When the program can not be started.
    pub fn spawn(&mut self) -> io::Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place at which the daemon is started as a child"
        )]
        let mut command = Command::new(&self.setting.program);
        command
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            // It sees its end when this process is killed, too.
            .arg("--until-stdin-ends")
            .env("NO_COLOR", "1")
            .envs(self.setting.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When the child can not be killed.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Errors
    /// When it does not end within 30 seconds.
    pub async fn terminate(&mut self) -> io::Result<ExitStatus> {
        let Some(mut child) = self.child.take() else { return Err(io::Error::other("it is not running")) };
        let pid = child.id().map(|pid| pid.to_string()).unwrap_or_default();
        #[expect(
            clippy::disallowed_methods,
            reason = "std has no call for SIGTERM; kill(1) is on every system"
        )]
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        tokio::time::timeout(Duration::from_secs(30), child.wait()).await.map_err(io::Error::other)?
    }

    /// The process id of the daemon.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Changes how the daemon is set up; counts from its next start.
    ///
    /// # Errors
    /// When a file can not be written.
    pub fn change(&mut self, change: impl FnOnce(&mut Setting)) -> io::Result<()> {
        change(&mut self.setting);
        self.write_files()
    }

    /// A handle on the world.
    #[must_use]
    pub fn world(&self) -> World {
        self.sandbox.world()
    }

    /// The daemon's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The daemon's configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.setting.folder.join("runbookd.yaml")
    }

    /// The daemon's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.setting.folder.join("runbookd.log")
    }

    /// The daemon's journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.setting.folder.join("journal.db")
    }

    /// The file with the token for the API.
    #[must_use]
    pub fn api_token_file(&self) -> PathBuf {
        self.setting.folder.join("api-token")
    }

    /// The end of the daemon's log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn write_files(&self) -> io::Result<()> {
        let folder = &self.setting.folder;
        let rules = folder.join("rules");
        if rules.exists() {
            std::fs::remove_dir_all(&rules)?;
        }
        std::fs::create_dir_all(&rules)?;
        let attached = SHIPPED.iter().filter(|(name, _)| self.setting.attached && *name == QUICK_REFERENCE);
        for (name, text) in attached {
            std::fs::write(rules.join(name), text)?;
        }
        for (name, text) in &self.setting.rules {
            std::fs::write(rules.join(name), text)?;
        }
        std::fs::write(folder.join("kubeconfig"), self.sandbox.kubeconfig())?;
        std::fs::write(folder.join("ca.pem"), self.sandbox.front_ca())?;
        std::fs::write(folder.join("webhook-token"), WEBHOOK_TOKEN)?;
        std::fs::write(self.api_token_file(), API_TOKEN)?;
        std::fs::write(folder.join("internal-key"), INTERNAL_KEY)?;
        std::fs::write(folder.join("slack-token"), &Options::default().slack_token)?;
        let credentials =
            format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = sandbox-secret\n");
        std::fs::write(folder.join("aws-credentials"), credentials)?;
        std::fs::write(self.config(), self.configuration())
    }

    fn configuration(&self) -> String {
        let Setting { time_scale, ceiling, namespaces, more, .. } = &self.setting;
        let services: Vec<(&str, String)> = self.sandbox.services().collect();
        let front = self.sandbox.front_address();
        // The one that wants a key gets it, and nobody else does.
        let key = "header: X-Internal-API-Key, value_file: internal-key";
        let allowed = |(name, address): &(&str, String)| match *name {
            "inference" => format!("{{host: \"{address}\", {key}}}"),
            _ => format!("\"{address}\""),
        };
        let allow: Vec<String> = services.iter().map(allowed).chain([format!("\"{front}\"")]).collect();
        // The sandbox's pods have addresses of their own on loopback.
        let pods = format!("{{namespace: {NAMESPACE}, port: 8003, networks: [127.64.0.0/10], {key}}}");
        // `chat_api_address`, as `${vars.NAME}` takes no hyphens.
        let addresses: String = services
            .iter()
            .map(|(name, address)| format!(", {}_address: \"{address}\"", name.replace('-', "_")))
            .collect();
        format!(
            "# Written for a sandbox: every duration is divided by time_scale.\n\
             listen: 127.0.0.1:{port}\n\
             webhook: {{token_file: webhook-token}}\n\
             api: {{token_file: api-token}}\n\
             journal: {journal}\n\
             rules: [rules]\n\
             ceiling: {ceiling}\n\
             namespaces: {namespaces}\n\
             kubernetes: {{kubeconfig: kubeconfig}}\n\
             loki: {{url: \"{loki}\"}}\n\
             prometheus: {{url: \"{prometheus}\"}}\n\
             grafana: {{url: \"{GRAFANA}\", loki: loki, prometheus: prometheus}}\n\
             aws: {{region: eu-central-1, endpoints: {{rds: \"{rds}\", ec2: \"{ec2}\", sts: \"{ec2}\", acm: \"{acm}\", route53: \"{route53}\"}}, credentials_file: aws-credentials}}\n\
             exec: {{allow: [[cat, /proc/net/tcp], [cat, /proc/net/tcp6]]}}\n\
             http: {{allow: [{allow}], pods: [{pods}], ca_file: ca.pem}}\n\
             slack: {{url: \"{slack}\", token_file: slack-token, channel: \"{CHANNEL}\"}}\n\
             vars: {{namespace: {NAMESPACE}, oncall_channel: \"{CHANNEL}\"{addresses}, public_host: {HOST}, public_address: \"{front}\", database: {DATABASE}}}\n\
             time_scale: {time_scale}\n\
             {more}\n",
            port = self.port,
            journal = self.journal().display(),
            loki = self.sandbox.loki_url(),
            prometheus = self.sandbox.prometheus_url(),
            rds = self.sandbox.rds_url(),
            ec2 = self.sandbox.ec2_url(),
            acm = self.sandbox.acm_url(),
            route53 = self.sandbox.route53_url(),
            allow = allow.join(", "),
            slack = self.sandbox.slack_url(),
        )
    }
}
