//! The services behind the deployments: the requests that they answer, the lines that they log, and how their
//! connection pools run dry and recover. A fault has a cause in the pods, and its effects follow from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::chance::Chance;
use super::cluster::{Cluster, Happening, HappeningKind, NAMESPACE, Pod};
use super::loki::{Labels, Logs};
use super::state::Pace;

/// The services, each with a deployment of the same name.
pub(super) const NAMES: [&str; 4] = ["frontend", "auth", "chat-api", "inference"];
/// Requests per second of the world and service.
const RATE: u32 = 3;
/// The most lines per second of real time and service: at a high pace, memory is the limit.
const MOST: u32 = 120;
/// A pool of at least this size does not run dry under the load that [`PoolFault::EveryPod`] means.
const ENOUGH: u32 = 10;
const MINUTE: Duration = Duration::from_mins(1);
/// The 5xx ratio is never taken over less than this: at a high pace a minute is shorter than a tick.
const LEAST_WINDOW: SignedDuration = SignedDuration::from_millis(500);

/// Why the connection pool of a service is exhausted, and with it what cures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolFault {
    /// The processes that run now leaked their connections: a restart cures, because the pods are new.
    ThesePods,
    /// The load needs more connections than the pool has: a new pod runs dry again after this time. A restart does
    /// not cure; a `SQLALCHEMY_POOL_SIZE` of at least 10 does.
    EveryPod {
        /// World time from a pod's readiness until it is dry.
        after: Duration,
    },
    /// It passes by itself.
    HealsItself {
        /// World time until it has passed.
        after: Duration,
    },
}

struct Fault {
    fault: PoolFault,
    since: Timestamp,
}

/// How many requests a service answered in one step of time.
#[derive(Debug, Clone, Copy)]
struct Answered {
    at: Timestamp,
    all: u32,
    failed: u32,
}

/// All services.
pub(super) struct Services {
    last: Timestamp,
    faults: BTreeMap<String, Fault>,
    pub(super) silent: BTreeSet<String>,
    pub(super) garbled: BTreeSet<String>,
    /// Requests that were not whole yet, in thousandths.
    carry: BTreeMap<&'static str, u64>,
    answered: BTreeMap<&'static str, VecDeque<Answered>>,
}

impl Services {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            last: now,
            faults: BTreeMap::new(),
            silent: BTreeSet::new(),
            garbled: BTreeSet::new(),
            carry: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    pub(super) fn names(&self) -> [&'static str; 4] {
        NAMES
    }

    /// Begins a fault: the pods that run now are dry at once.
    pub(super) fn exhaust(&mut self, service: &str, fault: PoolFault, cluster: &mut Cluster, now: Timestamp) {
        for pod in cluster.pods.values_mut().filter(|pod| pod.service == service) {
            pod.dry = true;
        }
        self.faults.insert(service.to_owned(), Fault { fault, since: now });
    }

    /// Ends the fault of a service, as if its cause had gone.
    pub(super) fn relieve(&mut self, service: &str, cluster: &mut Cluster) {
        self.faults.remove(service);
        for pod in cluster.pods.values_mut().filter(|pod| pod.service == service) {
            (pod.dry, pod.dry_at) = (false, None);
        }
    }

    /// The share of requests that failed in the last minute of the world; none when there were no requests.
    pub(super) fn ratio_5xx(&self, service: &str, now: Timestamp, pace: Pace) -> Option<f64> {
        let window = pace.real(MINUTE).max(LEAST_WINDOW);
        let (all, failed) = self.counted(service, now.saturating_sub(window).unwrap_or(now));
        (all > 0).then(|| f64::from(failed) / f64::from(all))
    }

    /// How many requests a service answered since then, as far back as is kept, and how many of them failed.
    pub(super) fn counted(&self, service: &str, since: Timestamp) -> (u32, u32) {
        let answered = self.answered.get(service).into_iter().flatten();
        answered
            .filter(|answered| answered.at > since)
            .fold((0, 0), |(all, failed), next| (all + next.all, failed + next.failed))
    }

    /// Lets the services answer and log until `now`.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        pace: Pace,
        traffic: bool,
        chance: &mut Chance,
        cluster: &mut Cluster,
        logs: &mut Logs,
    ) {
        self.advance_faults(now, pace, cluster);
        let from = self.last;
        self.last = now;
        let millis = u64::try_from(now.duration_since(from).as_millis()).unwrap_or(0);
        let rate = u64::from((RATE * pace.factor()).min(MOST));
        for service in NAMES {
            let carry = self.carry.entry(service).or_default();
            *carry += millis * rate;
            let requests = *carry / 1000;
            *carry %= 1000;
            if requests == 0 {
                continue;
            }
            let pods: Vec<&Pod> =
                cluster.pods.values().filter(|pod| pod.service == service && pod.serves()).collect();
            let mut failed = 0;
            for number in 0..requests {
                let at = between(from, now, number, requests);
                // Without a pod the ingress answers 503, and nobody logs.
                let Some(pod) = pods.get(usize::try_from(chance.below(64)).unwrap_or(0) % pods.len().max(1))
                else {
                    failed += 1;
                    continue;
                };
                let fails = pod.dry && chance.below(10) < 8;
                failed += u32::from(fails);
                if self.silent.contains(service) || !(traffic || fails) {
                    continue;
                }
                let line = if fails { failure(service, pod, chance) } else { success(service, chance) };
                logs.push(&stream(&pod.namespace, service, &pod.name), nanoseconds(at), &line.to_string());
                if self.garbled.contains(service) && chance.below(4) == 0 {
                    let broken = r#"{"level":"error","message":"truncated json"#;
                    logs.push(&stream(&pod.namespace, service, &pod.name), nanoseconds(at), broken);
                }
            }
            let all = u32::try_from(requests).unwrap_or(u32::MAX);
            let answered = self.answered.entry(service).or_default();
            answered.push_back(Answered { at: now, all, failed });
            let keep = now.saturating_sub(SignedDuration::from_mins(2)).unwrap_or(now);
            while answered.front().is_some_and(|first| first.at < keep) {
                answered.pop_front();
            }
        }
    }

    fn advance_faults(&mut self, now: Timestamp, pace: Pace, cluster: &mut Cluster) {
        let mut healed = Vec::new();
        for (service, Fault { fault, since }) in &self.faults {
            match fault {
                PoolFault::ThesePods => {}
                PoolFault::HealsItself { after } => {
                    if pace.after(*since, *after) <= now {
                        healed.push(service.clone());
                    }
                }
                PoolFault::EveryPod { after } => {
                    for pod in cluster.pods.values_mut().filter(|pod| pod.service == *service) {
                        if pod.pool_size() >= ENOUGH {
                            (pod.dry, pod.dry_at) = (false, None);
                            continue;
                        }
                        if let (Some(ready), None) = (pod.ready_since, pod.dry_at) {
                            pod.dry_at = Some(pace.after(ready, *after));
                        }
                        pod.dry |= pod.dry_at.is_some_and(|dry| dry <= now);
                    }
                }
            }
        }
        for service in healed {
            self.relieve(&service, cluster);
        }
    }

    /// Writes the line that a process logs when it starts or is asked to stop.
    pub(super) fn write_happening(&self, happening: &Happening, chance: &mut Chance, logs: &mut Logs) {
        if self.silent.contains(&happening.service) {
            return;
        }
        let message = match happening.kind {
            HappeningKind::Started => "Application startup complete",
            HappeningKind::Stopping => "shutdown requested",
        };
        let service = &happening.service;
        let line =
            json!({"level": "info", "service": service, "message": message, "trace_id": trace(chance)});
        let labels = stream(&happening.namespace, service, &happening.pod);
        logs.push(&labels, nanoseconds(happening.at), &line.to_string());
    }
}

/// The labels of the stream that a pod's lines go to.
pub(super) fn stream(namespace: &str, app: &str, pod: &str) -> Labels {
    [("namespace", namespace), ("app", app), ("pod", pod)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

/// The labels of a service's stream that belongs to no pod in particular.
pub(super) fn service_stream(app: &str) -> Labels {
    stream(NAMESPACE, app, &format!("{app}-pushed"))
}

pub(super) fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

fn between(from: Timestamp, to: Timestamp, number: u64, of: u64) -> Timestamp {
    let span = to.duration_since(from).as_nanos();
    let part = span * i128::from(number + 1) / i128::from(of.max(1));
    i64::try_from(part)
        .ok()
        .and_then(|part| from.checked_add(SignedDuration::from_nanos(part)).ok())
        .unwrap_or(to)
}

fn trace(chance: &mut Chance) -> String {
    format!("{:016x}", chance.next())
}

fn success(service: &str, chance: &mut Chance) -> Value {
    let path = match service {
        "frontend" => "/",
        "auth" => "/api/session",
        "inference" => "/generate",
        _ => "/api/chats",
    };
    let mut line = json!({
        "level": "info", "service": service, "message": "request done", "method": "GET", "path": path, "status": 200,
        "duration_ms": 5 + chance.below(90), "trace_id": trace(chance),
    });
    if service == "chat-api" {
        line["inference_time_ms"] = json!(300 + chance.below(1500));
    }
    line
}

fn failure(service: &str, pod: &Pod, chance: &mut Chance) -> Value {
    let message = match chance.below(4) {
        0 => "timeout acquiring connection from pool".to_owned(),
        1 => "sqlalchemy QueuePool overflow".to_owned(),
        2 => "asyncpg.exceptions.TooManyConnectionsError: connection pool exhausted".to_owned(),
        _ => format!("QueuePool limit of size {} overflow 10 reached, connection timed out", pod.pool_size()),
    };
    json!({"level": "error", "service": service, "message": message, "status": 503, "trace_id": trace(chance)})
}
