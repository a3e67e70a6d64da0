//! The services behind the deployments: the requests that they answer, the lines that they log, and how their
//! connection pools run dry and recover. A fault has a cause in the pods, and its effects follow from it.

pub(super) mod database;
mod latency;
mod lines;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::chance::Chance;
use super::cluster::{Cluster, Happening, HappeningKind, NAMESPACE, Pod};
use super::load::{self, Load};
use super::loki::{Labels, Logs};
use super::state::Pace;
use latency::Buckets;
use lines::Failed;

/// The services, each with a deployment of the same name.
pub(super) const NAMES: [&str; 4] = ["frontend", "auth", "chat-api", "inference"];
/// Who calls whom for a request.
const CALLS: [(&str, &str); 2] = [("frontend", "chat-api"), ("chat-api", load::SERVICE)];
/// How many requests are under way between two services at the most: far more than one step of time has, however late it comes.
const MOST_PASSED: usize = 4096;
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
    /// The requests need so many connections at the same time, in all pods together. A pod has `SQLALCHEMY_POOL_SIZE` of them, 5 if that is
    /// absent, and 10 more. One that needs more than that is dry; a new one is so after this time. A restart does not cure. A larger pool
    /// does, as long as all pods together have no more open than the database takes; more pods do, too.
    Demand {
        /// How many.
        connections: u32,
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
    took: Buckets,
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
    /// The ids of requests that a service has passed on, by whom it calls.
    passed: BTreeMap<&'static str, VecDeque<String>>,
    pub(super) load: Load,
    pub(super) max_connections: u32,
    /// What the parameter group says of it, when that is no number.
    pub(super) parameter: Option<String>,
    /// What RDS says of the database.
    pub(super) database_status: &'static str,
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
            passed: BTreeMap::new(),
            load: Load::default(),
            max_connections: database::MAX_CONNECTIONS,
            parameter: None,
            database_status: "available",
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
        self.since(service, since).fold((0, 0), |(all, failed), next| (all + next.all, failed + next.failed))
    }

    fn since(&self, service: &str, since: Timestamp) -> impl Iterator<Item = &Answered> {
        let answered = self.answered.get(service).into_iter().flat_map(|answered| answered.iter().rev());
        answered.take_while(move |answered| answered.at > since)
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
        self.load.advance(from, now, pace, cluster);
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
            let refused = self.refused(service, cluster);
            let mut answers = Answered { at: now, all: 0, failed: 0, took: Buckets::default() };
            for number in 0..requests {
                answers.all += 1;
                let trace = self.trace(service, chance);
                // Without a pod the ingress answers 503, and nobody logs.
                let Some(pod) = pods.get(usize::try_from(chance.below(64)).unwrap_or(0) % pods.len().max(1))
                else {
                    answers.failed += 1;
                    continue;
                };
                let failed = if pod.dry && chance.below(10) < 8 {
                    Some(Failed::Pool)
                } else {
                    // In thousandths.
                    (refused > 0.0
                        && f64::from(u16::try_from(chance.below(1000)).unwrap_or(0)) < refused * 1000.0)
                        .then_some(Failed::Database)
                };
                let took = self.took(service, chance);
                answers.failed += u32::from(failed.is_some());
                answers.took.add(took);
                let loaded = self.load.is_on() && matches!(service, "chat-api" | load::SERVICE);
                if self.silent.contains(service) || !(traffic || failed.is_some() || loaded) {
                    continue;
                }
                let line = match failed {
                    Some(why) => lines::failure(service, pod, why, trace, chance),
                    None => lines::success(service, took, trace),
                };
                let (labels, at) = (
                    stream(&pod.namespace, service, &pod.name),
                    nanoseconds(between(from, now, number, requests)),
                );
                logs.push(&labels, at, &line.to_string());
                if loaded && let Some(line) = lines::under_load(service, &self.load, chance) {
                    logs.push(&labels, at, &line);
                }
                if self.garbled.contains(service) && chance.below(4) == 0 {
                    logs.push(&labels, at, r#"{"level":"error","message":"truncated json"#);
                }
            }
            let answered = self.answered.entry(service).or_default();
            answered.push_back(answers);
            let keep = now.saturating_sub(SignedDuration::from_mins(6)).unwrap_or(now);
            while answered.front().is_some_and(|first| first.at < keep) {
                answered.pop_front();
            }
        }
    }

    /// The id of a request: that of the one which it is part of, where another service makes it.
    fn trace(&mut self, service: &str, chance: &mut Chance) -> String {
        let passed = self.passed.get_mut(service).and_then(VecDeque::pop_front);
        let trace = passed.unwrap_or_else(|| trace(chance));
        if let Some((_, called)) = CALLS.iter().find(|(caller, _)| *caller == service) {
            let passed = self.passed.entry(called).or_default();
            if passed.len() == MOST_PASSED {
                passed.pop_front();
            }
            passed.push_back(trace.clone());
        }
        trace
    }

    /// How long a request takes.
    fn took(&self, service: &str, chance: &mut Chance) -> Duration {
        let of_inference = matches!(service, "chat-api" | load::SERVICE);
        if of_inference && self.load.is_on() {
            let jitter = 90 + u32::try_from(chance.below(20)).unwrap_or(0);
            return self.load.latency() * jitter / 100;
        }
        Duration::from_millis(if of_inference { 300 + chance.below(1500) } else { 5 + chance.below(90) })
    }

    fn advance_faults(&mut self, now: Timestamp, pace: Pace, cluster: &mut Cluster) {
        let mut healed = Vec::new();
        for (service, Fault { fault, since }) in &self.faults {
            let needed = self.needed(service, cluster);
            match fault {
                PoolFault::ThesePods => {}
                PoolFault::HealsItself { after } => {
                    if pace.after(*since, *after) <= now {
                        healed.push(service.clone());
                    }
                }
                PoolFault::EveryPod { after } | PoolFault::Demand { after, .. } => {
                    for pod in cluster.pods.values_mut().filter(|pod| pod.service == *service) {
                        let enough = match needed {
                            Some(needed) => database::room(pod) >= needed,
                            None => pod.pool_size() >= ENOUGH,
                        };
                        if enough {
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
