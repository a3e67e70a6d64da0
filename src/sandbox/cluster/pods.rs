//! Pods: created, ready after a while, asked to stop, gone.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::memory::Loaded;
use super::occurrences::Occurrence;
use super::{Cluster, Happening, HappeningKind, Name, ReplicaSet, START};
use crate::sandbox::chance::Chance;
use crate::sandbox::state::Pace;

/// How long the kubelet waits before it starts a container again: doubled with each crash, up to five minutes.
/// Source: <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts>.
const BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);
/// How long a replica set waits before it asks again for a pod that was refused.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// Why the container of a service crashes, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashFault {
    /// Kubernetes' word: `Error`, or `OOMKilled` for one that reached its memory limit.
    pub reason: &'static str,
    /// Of its process.
    pub exit_code: i32,
    /// For how long the process runs before it crashes again, and is Ready meanwhile, as without a readiness probe.
    pub lasts: Duration,
    /// Which pods it hits.
    pub cause: CrashCause,
}

/// What a crash belongs to, and so what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrashCause {
    /// These pods alone, as what lies in their `emptyDir` does: it outlives the container, and not the pod.
    ThesePods,
    /// Every pod, new ones, too.
    EveryPod,
    /// Every pod that runs this image.
    Image(String),
}

impl CrashFault {
    /// Whether a pod of this template crashes.
    pub(super) fn hits(&self, template: &Value) -> bool {
        match &self.cause {
            CrashCause::ThesePods => false,
            CrashCause::EveryPod => true,
            CrashCause::Image(image) => {
                template.pointer("/spec/containers/0/image").and_then(Value::as_str) == Some(image)
            }
        }
    }
}

/// A container that crashes, is started again after a while, and crashes.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Crashing {
    pub(in crate::sandbox) fault: CrashFault,
    /// How often it was started again.
    pub(in crate::sandbox) restarts: u32,
    /// When it ended last; none before the first time.
    pub(in crate::sandbox) ended: Option<Timestamp>,
    /// When it is started again.
    starts: Option<Timestamp>,
    /// When it crashes next.
    next: Timestamp,
}

impl Crashing {
    pub(super) fn from(fault: CrashFault, first: Timestamp) -> Self {
        Self { fault, restarts: 0, ended: None, starts: None, next: first }
    }

    /// It ends at this moment, whatever was planned.
    pub(super) fn crash_at(&mut self, at: Timestamp, pace: Pace) {
        self.next = at;
        self.crash(pace);
    }

    /// It ends, and will be started, and end, after the next back-off.
    fn crash(&mut self, pace: Pace) {
        self.restarts += 1;
        self.ended = Some(self.next);
        let wait = BACK_OFF.saturating_mul(1 << self.restarts.min(10)).min(LONGEST_BACK_OFF);
        let starts = pace.after(self.next, wait);
        self.starts = Some(starts);
        self.next = pace.after(starts, self.fault.lasts);
    }

    /// Whether it runs now, between two crashes.
    fn runs_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.starts.filter(|starts| *starts <= now && now < self.next)
    }
}

/// A pod. Whether its connections ran dry belongs to it: a new pod is a new process.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Pod {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) namespace: String,
    /// The deployment and container that it belongs to.
    pub(in crate::sandbox) service: String,
    pub(in crate::sandbox) uid: String,
    pub(in crate::sandbox) version: u64,
    pub(in crate::sandbox) owner_kind: &'static str,
    pub(in crate::sandbox) owner: String,
    pub(in crate::sandbox) owner_uid: String,
    pub(in crate::sandbox) created: Timestamp,
    pub(in crate::sandbox) ready_at: Timestamp,
    pub(in crate::sandbox) ready_since: Option<Timestamp>,
    /// Its probe never succeeds.
    pub(in crate::sandbox) broken: bool,
    pub(in crate::sandbox) stopping_since: Option<Timestamp>,
    pub(in crate::sandbox) gone_at: Option<Timestamp>,
    pub(in crate::sandbox) ip: String,
    /// Where it really answers; none for one that has not.
    pub(in crate::sandbox) address: Option<std::net::Ipv4Addr>,
    /// What its process has loaded.
    pub(in crate::sandbox) loaded: Option<Loaded>,
    /// Where it runs; none while no node has room for it.
    pub(in crate::sandbox) node: Option<String>,
    /// Its machine has ended: nothing runs, and nobody there ends it.
    pub(in crate::sandbox) lost: bool,
    /// `metadata` and `spec` of the template that it was made from.
    pub(in crate::sandbox) template: Value,
    pub(in crate::sandbox) dry: bool,
    /// When its connections will have run dry.
    pub(in crate::sandbox) dry_at: Option<Timestamp>,
    pub(in crate::sandbox) crashing: Option<Crashing>,
}

impl Pod {
    pub(in crate::sandbox) fn key(&self) -> Name {
        (self.namespace.clone(), self.name.clone())
    }

    /// Whether it takes requests.
    pub(in crate::sandbox) fn serves(&self) -> bool {
        self.ready_since.is_some() && self.stopping_since.is_none() && !self.lost
    }

    /// Whether its container's process runs, ready or not.
    pub(in crate::sandbox) fn runs(&self) -> bool {
        self.node.is_some() && !self.lost && (self.crashing.is_none() || self.ready_since.is_some())
    }

    /// Its pool size, as its environment says; `SQLAlchemy`'s own default is 5.
    pub(in crate::sandbox) fn pool_size(&self) -> u32 {
        let env = self.template.pointer("/spec/containers/0/env").and_then(Value::as_array);
        env.into_iter()
            .flatten()
            .find(|entry| entry["name"] == "SQLALCHEMY_POOL_SIZE")
            .and_then(|entry| entry["value"].as_str()?.parse().ok())
            .unwrap_or(5)
    }

    /// How often its container was started again.
    pub(in crate::sandbox) fn restarts(&self) -> u32 {
        self.crashing.as_ref().map_or(0, |crashing| crashing.restarts)
    }

    /// What its process wrote before it ended last. One that was killed says nothing more.
    pub(in crate::sandbox) fn last_words(&self) -> Option<Vec<String>> {
        let crashing = self.crashing.as_ref().filter(|crashing| crashing.ended.is_some())?;
        let mut lines = vec![format!("starting {}", self.service)];
        if crashing.fault.reason == "Error" {
            lines.push("Traceback (most recent call last):".to_owned());
            lines.extend((1..8).map(|number| format!("  File \"app.py\", line {number}")));
            lines.push(format!("RuntimeError: {} can not start", self.service));
        }
        Some(lines)
    }

    /// When it next changes by itself.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match (self.gone_at, self.ready_since) {
            _ if self.lost || self.node.is_none() => None,
            (Some(gone), _) => Some(gone),
            _ if self.crashing.is_some() => self.crashing.as_ref().map(|crashing| {
                let starts = crashing.starts.filter(|_| self.ready_since.is_none());
                starts.unwrap_or(crashing.next).min(crashing.next)
            }),
            (None, None) if !self.broken => Some(self.ready_at),
            (None, None | Some(_)) => None,
        }
    }
}

/// A pod, as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its uid, which no other pod ever has.
    pub uid: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it was asked to stop.
    pub stopping: bool,
    /// Whether its connection pool is exhausted.
    pub exhausted: bool,
    /// The node that it was put on.
    pub node: Option<String>,
}

impl From<&Pod> for PodView {
    fn from(pod: &Pod) -> Self {
        Self {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            ready: pod.ready_since.is_some(),
            stopping: pod.stopping_since.is_some(),
            exhausted: pod.dry,
            node: pod.node.clone(),
        }
    }
}

impl Cluster {
    pub(super) fn advance_pods(&mut self, now: Timestamp, pace: Pace, happenings: &mut Vec<Happening>) {
        let before = self.pods.len();
        self.pods.retain(|_, pod| pod.lost || pod.gone_at.is_none_or(|gone| gone > now));
        if self.pods.len() != before {
            self.next_version();
        }
        let mut crashed = Vec::new();
        for pod in self.pods.values_mut().filter(|pod| !pod.lost && pod.node.is_some()) {
            if pod.stopping_since.is_none()
                && let Some(crashing) = pod.crashing.as_mut().filter(|crashing| crashing.next <= now)
            {
                crashing.crash(pace);
                pod.ready_since = None;
                crashed.push(pod.key());
                self.version += 1;
                pod.version = self.version;
                continue;
            }
            let runs = pod.crashing.as_ref().and_then(|crashing| crashing.runs_since(now));
            if pod.stopping_since.is_none() && pod.ready_since.is_none() && runs.is_some() {
                pod.ready_since = runs;
                self.version += 1;
                pod.version = self.version;
                if pod.loaded.is_none()
                    && pod.crashing.as_ref().is_some_and(|c| c.fault.reason == "OOMKilled")
                {
                    happenings.push(happening(pod, now, HappeningKind::Started));
                }
                continue;
            }
            let waits = pod.crashing.is_none() && pod.ready_since.is_none() && pod.stopping_since.is_none();
            if waits && !pod.broken && pod.ready_at <= now {
                pod.ready_since = Some(pod.ready_at);
                self.version += 1;
                pod.version = self.version;
                happenings.push(happening(pod, pod.ready_at, HappeningKind::Started));
            }
        }
        for pod in crashed {
            self.tell_back_off(&pod, now);
        }
    }

    /// Makes a pod, unless a quota is against it.
    fn create_pod(
        &mut self,
        set: &ReplicaSet,
        now: Timestamp,
        pace: Pace,
        chance: &mut Chance,
    ) -> Result<(), String> {
        let name = format!("{}-{}", set.name, chance.suffix());
        if let Some(why) = self.refused_by_quota(&set.namespace, &name, &set.template) {
            return Err(why);
        }
        let owner = ("ReplicaSet", set.name.as_str(), set.uid.as_str());
        let deployment = (set.namespace.clone(), set.deployment.clone());
        let fault = self.crashing.get(&deployment).filter(|fault| fault.hits(&set.template)).cloned();
        let pod = self.new_pod((&set.namespace, &name), owner, &set.template, (now, pace), chance);
        let pod = Pod {
            node: self.place(),
            service: set.deployment.clone(),
            broken: self.broken.contains(&deployment),
            crashing: fault.map(|fault| Crashing::from(fault, pace.after(now, START))),
            ..pod
        };
        self.pods.insert(pod.key(), pod);
        Ok(())
    }

    fn tell_failed_create(&mut self, set: &ReplicaSet, why: &str, now: Timestamp) {
        let what = Occurrence {
            kind: ("ReplicaSet", "apps/v1"),
            reason: "FailedCreate",
            warning: true,
            message: format!("Error creating: {why}"),
            component: "replicaset-controller",
        };
        self.tell(&set.render(), &what, now);
    }

    /// Creates and stops pods until each replica set has what it wants, and counts what it has.
    pub(super) fn advance_replica_sets(
        &mut self,
        now: Timestamp,
        pace: Pace,
        chance: &mut Chance,
        happenings: &mut Vec<Happening>,
    ) {
        let names: Vec<Name> = self.replica_sets.keys().cloned().collect();
        for name in names {
            let Some(mut set) = self.replica_sets.get(&name).cloned() else { continue };
            let mut active: Vec<Pod> =
                self.pods_of(&set.uid).filter(|pod| pod.stopping_since.is_none()).cloned().collect();
            // Those that are not ready go first, then the youngest.
            active.sort_by_key(|pod| (pod.ready_since.is_some(), std::cmp::Reverse(pod.created)));
            let refused = set.failure.clone();
            let waits = refused.as_ref().is_some_and(|(_, at)| now < pace.after(*at, TRY_AGAIN));
            if !waits || active.len() >= set.replicas {
                set.failure = None;
                for _ in active.len()..set.replicas {
                    if let Err(why) = self.create_pod(&set, now, pace, chance) {
                        self.tell_failed_create(&set, &why, now);
                        set.failure = Some((why, now));
                        break;
                    }
                }
            }
            for pod in active.iter().take(active.len().saturating_sub(set.replicas)) {
                self.stop_pod(&pod.key(), now, pace);
                happenings.push(happening(pod, now, HappeningKind::Stopping));
            }
            let counts = self.count(&set.uid);
            if counts != set.counts || set.observed != set.generation || set.failure != refused {
                set.counts = counts;
                set.observed = set.generation;
                set.version = self.next_version();
                self.replica_sets.insert(name, set);
            }
        }
    }
}

fn happening(pod: &Pod, at: Timestamp, kind: HappeningKind) -> Happening {
    Happening {
        pod: pod.name.clone(),
        namespace: pod.namespace.clone(),
        service: pod.service.clone(),
        at,
        kind,
    }
}
