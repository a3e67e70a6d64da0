//! The whole state of the world behind one lock, the requests that came in, and the task that lets its time run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};

use super::account::Account;
use super::alertmanager::{self, Alerts, Rule};
use super::chance::Chance;
use super::cluster::{Cluster, Happening};
use super::doors::{Doors, Porters};
use super::endpoints::{self, Inside};
use super::front::Front;
use super::loki::Logs;
use super::server::{Answer, Received, Reply, Request};
use super::services::Services;
use super::slack::{self, Slack};
use super::trouble::{System, Trouble, Troubles};
use super::{Options, acm, ec2, front, health, kubernetes, loki, prometheus, rds, route53};
use crate::clock;

/// The longest time between two looks of the controllers; a write wakes them sooner, as a watch would.
const TICK: Duration = Duration::from_millis(200);
/// A certificate with less left is one that something keeps from being renewed.
const ENDS_SOON: Duration = Duration::from_hours(30 * 24);
/// The shortest, so that a client can see that `observedGeneration` lags.
const REST: Duration = Duration::from_millis(20);
/// How far back the rule `NodeGone` looks for a node that is not there now.
const GONE_FOR: Duration = Duration::from_mins(10);
const REQUESTS_KEPT: usize = 20_000;

/// How much faster than real time the world's durations pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace(u32);

impl Pace {
    /// How long `duration` of the world takes in real time.
    pub(super) fn real(self, duration: Duration) -> SignedDuration {
        SignedDuration::try_from(duration / self.0.max(1)).unwrap_or(SignedDuration::MAX)
    }

    /// The moment in real time that is `duration` of the world after `at`.
    pub(super) fn after(self, at: Timestamp, duration: Duration) -> Timestamp {
        at.checked_add(self.real(duration)).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn factor(self) -> u32 {
        self.0.max(1)
    }
}

/// Everything the world is.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) pace: Pace,
    pub(super) chance: Chance,
    pub(super) cluster: Cluster,
    pub(super) services: Services,
    pub(super) logs: Logs,
    pub(super) slack: Slack,
    pub(super) alerts: Alerts,
    /// Whether Prometheus has loaded `deploy/prometheus/alerts.yaml`.
    pub(super) alert_rules: bool,
    pub(super) troubles: Troubles,
    pub(super) front: Front,
    pub(super) account: Account,
    pub(super) requests: VecDeque<Request>,
    pub(super) doors: Doors,
    /// What the inference service wants to see in `X-Internal-API-Key`.
    pub(super) internal_key: Option<String>,
    /// The services whose image holds nothing but their own program.
    pub(super) bare_images: std::collections::BTreeSet<String>,
    /// The kinds that no role lets runbookd look at, by their names in a path.
    pub(super) forbidden: std::collections::BTreeSet<&'static str>,
}

/// The state with what is needed to share it.
pub(super) struct Shared {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    poke: Notify,
}

impl Shared {
    pub(super) fn new(options: Options, front: Front) -> Self {
        let now = clock::now();
        let pace = Pace(options.pace);
        let mut chance = Chance::new(options.seed);
        let (cluster, happenings) = Cluster::samosachaat(now, pace, &mut chance);
        let mut state = State {
            pace,
            chance,
            cluster,
            services: Services::new(now),
            logs: Logs::new(options.old_lines),
            slack: Slack::new(now),
            alerts: Alerts::new(options.alertmanager_to.clone()),
            troubles: Troubles::default(),
            front,
            account: Account::new(now),
            alert_rules: false,
            requests: VecDeque::new(),
            doors: Doors::new(),
            internal_key: None,
            bare_images: std::collections::BTreeSet::new(),
            forbidden: std::collections::BTreeSet::new(),
            options,
        };
        state.doors.advance(&mut state.cluster);
        if state.options.traffic {
            state.write_happenings(&happenings);
        }
        Self { state: Mutex::new(state), version: watch::Sender::new(0), poke: Notify::new() }
    }

    /// The state. A task that panicked under the lock does not take the world with it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, wakes the controllers and whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.poke.notify_one();
        self.announce();
        result
    }

    pub(super) fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Answers a request, or does what the trouble in force says; and keeps the request in any case.
    pub(super) fn reply(&self, system: System, write: bool, path: String, received: &Received) -> Reply {
        let reply = {
            let mut state = self.lock();
            let now = clock::now();
            let reply = state.reply(system, write, received, now);
            let status = match &reply {
                Reply::Answer(answer) | Reply::Late(answer, _) => Some(answer.status),
                Reply::Cut | Reply::Hang => None,
            };
            if state.requests.len() == REQUESTS_KEPT {
                state.requests.pop_front();
            }
            let body = String::from_utf8_lossy(&received.body).into_owned();
            let asked = received.pod.as_deref();
            let pod = asked.and_then(|uid| state.cluster.pods.values().find(|pod| pod.uid == uid));
            let pod = pod.map(|pod| pod.name.clone());
            state.requests.push_back(Request {
                system,
                pod,
                idempotency_key: received.header("idempotency-key").map(str::to_owned),
                method: received.method.clone(),
                path,
                body,
                status,
                at: now,
            });
            reply
        };
        if write {
            self.poke.notify_one();
        }
        self.announce();
        reply
    }
}

impl State {
    fn reply(&mut self, system: System, write: bool, received: &Received, now: Timestamp) -> Reply {
        match self.troubles.strike(system, write) {
            None => self.untroubled(system, received, now),
            Some(Trouble::Slow { by }) => match self.untroubled(system, received, now) {
                Reply::Answer(answer) => Reply::Late(answer, by),
                Reply::Late(answer, late) => Reply::Late(answer, late + by),
                other => other,
            },
            Some(Trouble::Down) => Reply::Cut,
            Some(Trouble::Hang) => Reply::Hang,
            Some(Trouble::CutAfterApply) => {
                if matches!(system, System::Pod(_)) {
                    self.answer_as_service(system, received, now);
                } else {
                    self.answer(system, received, now);
                }
                Reply::Cut
            }
            Some(Trouble::LateAfterApply { by }) => Reply::Late(self.answer(system, received, now), by),
            Some(Trouble::RefuseWrites403) => Reply::Answer(kubernetes::refusal(received)),
            Some(Trouble::Status(status, text)) => {
                let json = text.starts_with('{');
                Reply::Answer(if json {
                    Answer::new(status, "application/json", text)
                } else {
                    Answer::text(status, text)
                })
            }
            Some(Trouble::RateLimited { retry_after }) => {
                let answer = match system {
                    System::Kubernetes => Answer::text(429, "Too many requests, please try again later.\n"),
                    System::Loki => Answer::text(429, "too many outstanding requests"),
                    System::Slack => slack::not_ok(429, "ratelimited"),
                    System::Rds => rds::error(400, "Throttling", "Rate exceeded"),
                    System::Ec2 => ec2::error(503, "RequestLimitExceeded", "Request limit exceeded."),
                    System::Acm => acm::error("ThrottlingException", "Rate exceeded"),
                    System::Route53 => route53::error(400, "Throttling", "Rate exceeded"),
                    System::Alertmanager
                    | System::Prometheus
                    | System::Service(_)
                    | System::Pod(_)
                    | System::Front => Answer::text(429, "Too Many Requests\n"),
                };
                Reply::Answer(answer.with("Retry-After", retry_after.as_secs().max(1).to_string()))
            }
            Some(Trouble::NotOk(error)) => Reply::Answer(slack::not_ok(200, error)),
        }
    }

    fn untroubled(&mut self, system: System, received: &Received, now: Timestamp) -> Reply {
        match system {
            System::Service(_) | System::Pod(_) | System::Front => {
                self.answer_as_service(system, received, now)
            }
            _ => Reply::Answer(self.answer(system, received, now)),
        }
    }

    fn answer_as_service(&mut self, system: System, received: &Received, now: Timestamp) -> Reply {
        let inside = Inside {
            cluster: &mut self.cluster,
            services: &self.services,
            key: self.internal_key.as_deref(),
            now,
            pace: self.pace,
        };
        match (system, &received.pod) {
            (System::Service(name), _) => health::answer(name, inside, &mut self.chance, received),
            (System::Front, _) => {
                front::answer(health::answer("frontend", inside, &mut self.chance, received))
            }
            (_, Some(uid)) => endpoints::answer(inside, uid, received),
            (_, None) => Reply::Cut,
        }
    }

    fn answer(&mut self, system: System, received: &Received, now: Timestamp) -> Answer {
        match system {
            System::Kubernetes => kubernetes::answer(self, received, now),
            System::Loki => loki::answer(&mut self.logs, received, now),
            System::Slack => self.slack.answer(&self.options, received, now),
            System::Alertmanager => alertmanager::answer(&mut self.alerts, self.pace, received, now),
            System::Prometheus => {
                let world = prometheus::World {
                    cluster: &self.cluster,
                    services: &self.services,
                    pace: self.pace,
                    now,
                };
                prometheus::answer(&world, received)
            }
            System::Rds => rds::answer(&self.services, received),
            System::Ec2 => ec2::answer(&mut self.cluster, received, now),
            System::Acm => acm::answer(&self.account, received, now),
            System::Route53 => route53::answer(&mut self.account, received, now, self.pace),
            System::Service(_) | System::Pod(_) | System::Front => Answer::text(404, "404 page not found\n"),
        }
    }

    /// Lets the world go on until `now`. True when something is still moving, so that the next look should come soon.
    fn advance(&mut self, now: Timestamp) -> bool {
        let (moved, happenings) = self.cluster.advance(now, self.pace, &mut self.chance);
        self.write_happenings(&happenings);
        self.doors.advance(&mut self.cluster);
        if self.account.advance(now, self.pace) {
            // The load balancer has it as soon as ACM does.
            let _ = self.front.present_acms(self.account.validity);
        }
        self.services.advance(
            now,
            self.pace,
            self.options.traffic,
            &mut self.chance,
            &mut self.cluster,
            &mut self.logs,
        );
        for name in self.services.names() {
            let ratio = self.services.ratio_5xx(name, now, self.pace);
            self.alerts.evaluate_5xx(name, ratio, now, self.pace);
        }
        if self.alert_rules {
            self.evaluate_rules(now);
            for (name, deployment) in &self.cluster.deployments {
                let status = &deployment["status"];
                let count = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
                let wanted = count(&deployment["spec"]["replicas"]);
                let pods = self.cluster.pods_of_deployment(name);
                let restarts = pods.map(|pod| (pod.name.clone(), pod.restarts())).collect();
                let missing = count(&status["availableReplicas"]) < wanted
                    && count(&status["updatedReplicas"]) == wanted;
                let pods = alertmanager::Pods { deployment: &name.1, missing, restarts };
                self.alerts.evaluate_pods(&pods, now, self.pace);
            }
            for (node, is_ready) in self.cluster.nodes() {
                self.alerts.evaluate_node("NodeNotReady", &node, !is_ready, now, self.pace);
            }
            for (node, (since, was_cordoned)) in &self.cluster.nodes.gone {
                // One that was drained before is not missed.
                let holds = !was_cordoned && now < self.pace.after(*since, GONE_FOR);
                self.alerts.evaluate_node("NodeNotReady", node, false, now, self.pace);
                self.alerts.evaluate_node("NodeGone", node, holds, now, self.pace);
            }
        }
        moved
    }

    /// The rules of `deploy/prometheus/alerts.yaml` about memory, latency and certificates.
    fn evaluate_rules(&mut self, now: Timestamp) {
        let (pace, mins) = (self.pace, Duration::from_mins);
        let rule = |alert, of, severity, pending| Rule { alert, of, severity, pending };
        let owned = |labels: [(&str, String); 3]| labels.map(|(name, value)| (name.to_owned(), value)).into();
        let containers = self.cluster.container_memory(now, pace).into_iter();
        let high = containers.filter(|(_, share)| *share > 0.9).map(|(labels, share)| {
            let [namespace, pod, container] = labels.clone().map(|(_, value)| value);
            let percent = share * 100.0;
            (
                owned(labels),
                format!("{container} of {namespace}/{pod} uses {percent:.4}% of its memory limit"),
            )
        });
        self.alerts.evaluate_rule(&rule("HighMemory", "container", "warning", mins(2)), high, now, pace);
        let nodes = self.cluster.node_memory(now, pace).into_iter();
        let high = nodes.filter(|(_, share)| *share > 0.85).map(|(node, share)| {
            let instance = format!("{node}:9100");
            let labels = [("instance", instance.clone()), ("job", "node-exporter".to_owned())];
            let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
            (labels, format!("{instance} uses {}% of its memory", percent(share)))
        });
        self.alerts.evaluate_rule(&rule("HighMemory", "node", "critical", mins(5)), high, now, pace);
        let killed = self.cluster.oom_killed(now, pace).into_iter().map(|labels| {
            let [namespace, pod, container] = labels.clone().map(|(_, value)| value);
            let mut labels: std::collections::BTreeMap<String, String> = owned(labels);
            labels.insert("reason".to_owned(), "OOMKilled".to_owned());
            (
                labels,
                format!("{container} of {namespace}/{pod} was killed: it needed more memory than its limit"),
            )
        });
        let now_or_never = rule("ContainerOOMKilled", "", "warning", Duration::ZERO);
        self.alerts.evaluate_rule(&now_or_never, killed, now, pace);
        let slow = self.services.names().into_iter().filter_map(|app| {
            let p99 = self.services.quantile(app, 0.99, now, pace.real(mins(5)))?;
            let labels = [("namespace", super::NAMESPACE), ("app", app)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let summary = format!("the slowest hundredth of the answers of {app} takes {p99:.1} s or longer");
            (p99 > 5.0).then_some((labels, summary))
        });
        self.alerts.evaluate_rule(&rule("HighP99Latency", "", "warning", mins(3)), slow, now, pace);
        // Dates are by the real clock, and so is what is left of them.
        let left = clock::between(now, self.account.validity.1);
        let ends = (left < ENDS_SOON).then(|| {
            let instance = format!("https://{}", super::HOST);
            let labels = [("instance", instance.clone()), ("job", "blackbox".to_owned())];
            let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
            (labels, format!("the certificate of {instance} ends in {} days", left.as_secs() / 86_400))
        });
        let soon = rule("CertificateExpiresSoon", "", "warning", mins(10));
        self.alerts.evaluate_rule(&soon, ends, now, pace);
    }

    fn write_happenings(&mut self, happenings: &[Happening]) {
        for happening in happenings {
            self.services.write_happening(happening, &mut self.chance, &mut self.logs);
        }
    }
}

/// `humanizePercentage`, without its last digits.
fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}

/// Lets the world's time run, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut porters = Porters::default();
    loop {
        let (moved, due) = {
            let mut state = shared.lock();
            let now = clock::now();
            let moved = state.advance(now);
            (moved, state.cluster.next_due(now, state.pace))
        };
        porters.follow(&shared);
        shared.announce();
        let wait = if moved { REST } else { due.map_or(TICK, |due| due.clamp(REST, TICK)) };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.poke.notified() => tokio::time::sleep(REST).await,
        }
    }
}
