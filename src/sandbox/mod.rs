//! A small world on loopback that speaks the real protocols: a Kubernetes API, Loki, Prometheus, Slack and an Alertmanager,
//! with services that run, log, fail and recover behind them, and a public host in front. `demo` and the tests run the daemon against it.
//!
//! It has its own parsers and its own idea of every protocol, taken from recorded answers of the real servers: what
//! it shared with the clients, a test could not find wrong. Its languages are closed; what lies outside of them gets
//! the real server's error. It never listens on anything but 127.0.0.1.

mod account;
mod acm;
mod alertmanager;
mod chance;
mod cluster;
mod doors;
mod ec2;
mod endpoints;
mod front;
mod go;
mod health;
mod kubernetes;
mod load;
mod loki;
mod prometheus;
mod quantity;
mod rds;
mod route53;
mod server;
mod services;
mod slack;
mod state;
mod sts;
mod trouble;
mod websocket;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use account::ValidationRecord;
pub use alertmanager::AlertmanagerTarget;
pub use cluster::{CrashCause, CrashFault, JobEnd, NAMESPACE, NodeFault, PodView};
pub use front::{CertificateFault, HOST};
pub use loki::LogLine;
pub use rds::{ACCESS_KEY, DATABASE};
pub use server::Request;
pub use services::PoolFault;
pub use slack::{Message, Thread};
pub use trouble::{System, Trouble};
pub use world::World;

use state::Shared;

/// What a sandbox is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Every duration of the world is divided by it; 1 is real time.
    pub pace: u32,
    /// Where chance begins: names, trace ids and the mix of requests follow from it.
    pub seed: u64,
    /// Where the Alertmanager's webhook receiver posts to; can also be set later, see [`World::send_alerts_to`].
    pub alertmanager_to: Option<AlertmanagerTarget>,
    /// The only token that the Kubernetes API knows.
    pub kube_token: String,
    /// The only token that Slack knows.
    pub slack_token: String,
    /// The channels that exist in Slack, with their `#`; when empty, every channel exists.
    pub slack_channels: Vec<String>,
    /// Whether Slack refuses more than one message a second and channel. This second is not divided by the pace.
    pub slack_rate_limit: bool,
    /// Whether the services log ordinary traffic, and that they started before the world began. The lines of faults,
    /// and of pods that start and stop later, are written in any case.
    pub traffic: bool,
    /// Whether Loki takes lines of any time, which the real one does not: recordings are of another one.
    pub old_lines: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pace: 1,
            seed: 1,
            alertmanager_to: None,
            kube_token: "sandbox-kubernetes-token".into(),
            slack_token: "xoxb-sandbox-token".into(),
            slack_channels: Vec::new(),
            slack_rate_limit: false,
            traffic: true,
            old_lines: false,
        }
    }
}

/// The running world. Dropping it stops its servers and tasks.
pub struct Sandbox {
    shared: Arc<Shared>,
    ports: Ports,
    _tasks: JoinSet<()>,
}

struct Ports {
    kubernetes: u16,
    loki: u16,
    slack: u16,
    alertmanager: u16,
    prometheus: u16,
    rds: u16,
    ec2: u16,
    acm: u16,
    route53: u16,
    services: BTreeMap<&'static str, u16>,
    front: u16,
}

impl Sandbox {
    /// Starts the servers on free ports of 127.0.0.1 and lets the world's time run.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let front = front::Front::new(crate::clock::now()).map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(options, front));
        let mut tasks = JoinSet::new();
        let mut services = BTreeMap::new();
        let public = TcpListener::bind(("127.0.0.1", 0)).await?;
        for name in services::NAMES {
            services.insert(name, listen(System::Service(name), &shared, &mut tasks).await?);
        }
        let ports = Ports {
            kubernetes: listen(System::Kubernetes, &shared, &mut tasks).await?,
            loki: listen(System::Loki, &shared, &mut tasks).await?,
            slack: listen(System::Slack, &shared, &mut tasks).await?,
            alertmanager: listen(System::Alertmanager, &shared, &mut tasks).await?,
            prometheus: listen(System::Prometheus, &shared, &mut tasks).await?,
            rds: listen(System::Rds, &shared, &mut tasks).await?,
            ec2: listen(System::Ec2, &shared, &mut tasks).await?,
            acm: listen(System::Acm, &shared, &mut tasks).await?,
            route53: listen(System::Route53, &shared, &mut tasks).await?,
            services,
            front: public.local_addr()?.port(),
        };
        tasks.spawn(front::serve(public, Arc::clone(&shared)));
        tasks.spawn(state::run(Arc::clone(&shared)));
        tasks.spawn(alertmanager::run(Arc::clone(&shared)));
        Ok(Self { shared, ports, _tasks: tasks })
    }

    /// A handle on the world: to break it, and to look at it.
    #[must_use]
    pub fn world(&self) -> World {
        World::new(Arc::clone(&self.shared))
    }

    /// A kubeconfig for the API server, as YAML text.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let url = self.kubernetes_url();
        let token = self.shared.lock().options.kube_token.clone();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    server: {url}\n\
             contexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: runbookd\n    namespace: {NAMESPACE}\n\
             users:\n- name: runbookd\n  user:\n    token: {token}\n"
        )
    }

    /// The API server's base URL.
    #[must_use]
    pub fn kubernetes_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.kubernetes)
    }

    /// Loki's base URL; queries go to `{url}/loki/api/v1/...`.
    #[must_use]
    pub fn loki_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.loki)
    }

    /// Slack's base URL; messages go to `{url}/chat.postMessage`.
    #[must_use]
    pub fn slack_url(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.ports.slack)
    }

    /// Prometheus' base URL; queries go to `{url}/api/v1/query`.
    #[must_use]
    pub fn prometheus_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.prometheus)
    }

    /// The base URL of RDS.
    #[must_use]
    pub fn rds_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.rds)
    }

    /// The base URL of EC2.
    #[must_use]
    pub fn ec2_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.ec2)
    }

    /// The base URL of ACM.
    #[must_use]
    pub fn acm_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.acm)
    }

    /// The base URL of Route 53.
    #[must_use]
    pub fn route53_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.route53)
    }

    /// The services, and the address at which each answers `/api/health`: `127.0.0.1:4711`.
    pub fn services(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.ports.services.iter().map(|(name, port)| (*name, format!("127.0.0.1:{port}")))
    }

    /// The address at which the public host [`HOST`] speaks TLS: `127.0.0.1:4711`.
    #[must_use]
    pub fn front_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.front)
    }

    /// The certificate of the authority that vouches for the public host, in PEM.
    #[must_use]
    pub fn front_ca(&self) -> String {
        self.shared.lock().front.root()
    }

    /// Alertmanager's base URL; its API is `{url}/api/v2/...`.
    #[must_use]
    pub fn alertmanager_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.alertmanager)
    }
}

async fn listen(system: System, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tasks.spawn(server::serve(system, None, listener, Arc::clone(shared)));
    Ok(port)
}
