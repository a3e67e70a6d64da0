//! What processes need of memory, and what the kernel does to one that needs more than its container may have: it is killed at once, and says
//! nothing. The inference service needs what its model needs: its weights when it is loaded, and more while it answers.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::occurrences::Occurrence;
use super::pods::{Crashing, Pod};
use super::{Cluster, CrashCause, CrashFault, NAMESPACE};
use crate::sandbox::quantity::amount;
use crate::sandbox::state::Pace;

const MIB: f64 = 1_048_576.0;
/// The deployment whose pods hold models.
const SERVICE: &str = "inference";
/// What a pod holds that has no model.
const PLAIN: f64 = 90.0 * MIB;
/// What a node holds beside its pods.
const SYSTEM: f64 = 4096.0 * MIB;
/// How long a process answers until it holds all that its model ever needs.
const RAMP: Duration = Duration::from_mins(2);
/// How long it takes to load a model in place of another. Both are held meanwhile, as the real service builds the new pool of workers before
/// it closes the old one.
pub(super) const LOAD: Duration = Duration::from_secs(5);
/// How far back the rule about killed containers looks.
const RECENT: Duration = Duration::from_mins(15);
/// A process that does not end by itself.
const FOR_EVER: Duration = Duration::from_hours(100_000);

/// A model: what its weights need, and what a process needs that has answered with it for a while, in MiB.
#[derive(Debug, PartialEq)]
pub(in crate::sandbox) struct Model {
    pub(in crate::sandbox) tag: &'static str,
    weights: f64,
    full: f64,
}

/// The models that can be loaded. The tags are the real service's.
pub(in crate::sandbox) static MODELS: [Model; 3] = [
    Model { tag: "samosachaat-d6", weights: 60.0, full: 250.0 },
    Model { tag: "samosachaat-d12", weights: 300.0, full: 1100.0 },
    Model { tag: "samosachaat-d32", weights: 5120.0, full: 9216.0 },
];

/// The model of a new process, unless its environment says otherwise.
pub(super) const DEFAULT: &str = "samosachaat-d12";

impl Model {
    pub(in crate::sandbox) fn of(tag: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.tag == tag)
    }
}

/// What a process has loaded.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Loaded {
    pub(in crate::sandbox) model: &'static Model,
    since: Timestamp,
    /// What it loads instead, and when it will have.
    pub(in crate::sandbox) swap: Option<(&'static Model, Timestamp)>,
}

impl Loaded {
    /// The model that answers at this moment.
    pub(in crate::sandbox) fn current(&self, now: Timestamp) -> &'static Model {
        self.swap.filter(|(_, until)| *until <= now).map_or(self.model, |(model, _)| model)
    }

    /// Whether another one is being loaded.
    pub(in crate::sandbox) fn is_loading(&self, now: Timestamp) -> bool {
        self.swap.is_some_and(|(_, until)| until > now)
    }

    fn held(&self, now: Timestamp, pace: Pace) -> f64 {
        let Model { weights, full, .. } = self.model;
        let ramp = pace.real(RAMP).as_secs_f64().max(f64::MIN_POSITIVE);
        let share = (now.duration_since(self.since).as_secs_f64() / ramp).clamp(0.0, 1.0);
        let more = self.swap.map_or(0.0, |(model, _)| model.weights);
        (weights + (full - weights) * share + more) * MIB
    }

    /// When it holds more than it may.
    fn exceeds(&self, limit: f64, pace: Pace) -> Option<Timestamp> {
        let Model { weights, full, .. } = self.model;
        let more = self.swap.map_or(0.0, |(model, _)| model.weights);
        let room = limit / MIB - more;
        if *weights > room {
            return Some(self.since);
        }
        if *full <= room {
            return None;
        }
        let share = (room - weights) / (full - weights);
        Some(pace.after(self.since, RAMP.mul_f64(share)))
    }
}

impl Pod {
    /// The memory limit of its container, in bytes.
    pub(in crate::sandbox) fn memory_limit(&self) -> Option<f64> {
        amount(self.template.pointer("/spec/containers/0/resources/limits/memory")?.as_str()?)
    }

    /// What its process holds, in bytes.
    pub(in crate::sandbox) fn memory(&self, now: Timestamp, pace: Pace) -> f64 {
        if self.ready_since.is_none() || self.lost {
            return 0.0;
        }
        self.loaded.as_ref().map_or(PLAIN, |loaded| loaded.held(now, pace))
    }

    fn has_model(&self) -> bool {
        self.service == SERVICE
    }

    fn first_model(&self, default: &str) -> &'static Model {
        let env = self.template.pointer("/spec/containers/0/env").and_then(Value::as_array);
        let own = env.into_iter().flatten().find(|entry| entry["name"] == "DEFAULT_MODEL_TAG");
        let tag = own.and_then(|entry| entry["value"].as_str()).unwrap_or(default);
        Model::of(tag).unwrap_or(&MODELS[1])
    }

    /// Whether its container's last end was that.
    pub(in crate::sandbox) fn killed_for_memory(&self) -> bool {
        let crashing = self.crashing.as_ref();
        crashing.is_some_and(|crashing| crashing.fault.reason == "OOMKilled" && crashing.ended.is_some())
    }

    /// When its process next needs more than it may have.
    pub(super) fn oom_at(&self, pace: Pace) -> Option<Timestamp> {
        let limit = self.memory_limit()?;
        self.loaded.as_ref().filter(|_| self.serves())?.exceeds(limit, pace)
    }

    /// When what its process holds next changes what becomes of it.
    pub(super) fn memory_due(&self, pace: Pace) -> Option<Timestamp> {
        let swap = self.loaded.as_ref().and_then(|loaded| loaded.swap).map(|(_, until)| until);
        self.oom_at(pace).into_iter().chain(swap).min()
    }

    /// The kernel kills its process, and the kubelet starts another after a while.
    fn oom_kill(&mut self, at: Timestamp, pace: Pace) {
        let fault =
            CrashFault { reason: "OOMKilled", exit_code: 137, lasts: FOR_EVER, cause: CrashCause::ThesePods };
        let crashing = self.crashing.get_or_insert_with(|| Crashing::from(fault.clone(), at));
        let lasts = crashing.fault.lasts;
        crashing.fault = CrashFault { lasts, ..fault };
        crashing.crash_at(at, pace);
        self.ready_since = None;
        self.loaded = None;
    }
}

impl Cluster {
    /// Loads models where processes have begun to answer, ends swaps, and kills what holds too much.
    pub(super) fn advance_memory(&mut self, now: Timestamp, pace: Pace) {
        let mut killed = Vec::new();
        let default = self.default_model;
        for pod in self.pods.values_mut().filter(|pod| pod.has_model() && pod.serves()) {
            let since = pod.ready_since.unwrap_or(now);
            if pod.loaded.as_ref().is_none_or(|loaded| loaded.since < since) {
                pod.loaded = Some(Loaded { model: pod.first_model(default), since, swap: None });
            }
            if let Some(at) = pod.oom_at(pace).filter(|at| *at <= now) {
                pod.oom_kill(at.max(since), pace);
                killed.push(pod.key());
                continue;
            }
            if let Some(loaded) = &mut pod.loaded
                && let Some((model, until)) = loaded.swap.filter(|(_, until)| *until <= now)
            {
                *loaded = Loaded { model, since: until, swap: None };
            }
        }
        for key in killed {
            let version = self.next_version();
            if let Some(pod) = self.pods.get_mut(&key) {
                pod.version = version;
            }
            self.tell_oom(&key, now);
        }
    }

    /// The kubelet says that it backs off, and nothing of the reason (kubernetes#69676). Whatever watches the kernel's log says so of the node.
    fn tell_oom(&mut self, key: &super::Name, now: Timestamp) {
        self.tell_back_off(key, now);
        let Some(pod) = self.pods.get(key).filter(|_| self.nodes.watched) else { return };
        let node = (String::new(), pod.node.clone().unwrap_or_default());
        let limit = pod.memory_limit().unwrap_or(0.0) / 1024.0;
        let Some(node) = self.others.get("nodes").and_then(|nodes| nodes.get(&node)).cloned() else { return };
        let message = format!(
            "Memory cgroup out of memory: Killed process 4211 (python) total-vm:{:.0}kB, anon-rss:{limit:.0}kB, file-rss:0kB, \
             shmem-rss:0kB, UID:0 pgtables:9120kB oom_score_adj:985",
            limit * 2.0
        );
        let what = Occurrence {
            kind: ("Node", "v1"),
            reason: "OOMKilling",
            warning: true,
            message,
            component: "kernel-monitor",
        };
        self.tell(&node, &what, now);
    }

    pub(super) fn tell_back_off(&mut self, key: &super::Name, now: Timestamp) {
        let Some(pod) = self.pods.get(key) else { return };
        let (about, uid) = (pod.render(), &pod.uid);
        let message = format!(
            "Back-off restarting failed container {} in pod {}_{}({uid})",
            pod.service, pod.name, pod.namespace
        );
        let what = Occurrence {
            kind: ("Pod", "v1"),
            reason: "BackOff",
            warning: true,
            message,
            component: "kubelet",
        };
        self.tell(&about, &what, now);
    }

    /// Begins to load another model into one process. The moment at which it will have; none when there is no such process.
    pub(in crate::sandbox) fn swap(
        &mut self,
        uid: &str,
        model: &'static Model,
        now: Timestamp,
        pace: Pace,
    ) -> Option<Timestamp> {
        let pod = self.pods.values_mut().find(|pod| pod.uid == uid && pod.serves())?;
        let loaded = pod.loaded.as_mut()?;
        if loaded.model == model && loaded.swap.is_none() {
            return Some(now);
        }
        // One after the other.
        let begins = loaded.swap.map_or(now, |(_, until)| until);
        let until = pace.after(begins, self.load);
        loaded.swap = Some((model, until));
        let fits = pod.memory_limit().is_none_or(|limit| pod.memory(now, pace) <= limit);
        if !fits {
            pod.oom_kill(now, pace);
            let key = pod.key();
            self.tell_oom(&key, now);
        }
        self.next_version();
        Some(until)
    }

    /// How long it takes to load another model from now on.
    pub(in crate::sandbox) const fn set_load(&mut self, load: Duration) {
        self.load = load;
    }

    /// The default of new processes, and what those that run now hold.
    pub(in crate::sandbox) fn set_default_model(&mut self, model: &'static Model, now: Timestamp) {
        self.default_model = model.tag;
        for pod in self.pods.values_mut().filter(|pod| pod.has_model() && pod.serves()) {
            pod.loaded = Some(Loaded { model, since: now, swap: None });
        }
    }

    /// The share of its memory that each node uses.
    pub(in crate::sandbox) fn node_memory(&self, now: Timestamp, pace: Pace) -> Vec<(String, f64)> {
        let nodes = self.others.get("nodes").into_iter().flatten();
        let share = |(name, node): (&String, &Value)| {
            let total = node["status"]["capacity"]["memory"].as_str().and_then(amount).unwrap_or(1.0);
            let pods = self.pods.values().filter(|pod| pod.node.as_ref() == Some(name));
            let used = SYSTEM + pods.map(|pod| pod.memory(now, pace)).sum::<f64>();
            let share = self.nodes.pressed.get(name).copied().unwrap_or(0.0).max(used / total);
            (name.clone(), share)
        };
        nodes.map(|((_, name), node)| share((name, node))).collect()
    }

    /// What each container holds of the memory that it may have; without a limit there is none.
    pub(in crate::sandbox) fn container_memory(
        &self,
        now: Timestamp,
        pace: Pace,
    ) -> Vec<([(&'static str, String); 3], f64)> {
        let runs = self.pods.values().filter(|pod| pod.ready_since.is_some() && !pod.lost);
        let share = |pod: &Pod| {
            let labels = [
                ("namespace", pod.namespace.clone()),
                ("pod", pod.name.clone()),
                ("container", pod.service.clone()),
            ];
            Some((labels, pod.memory(now, pace) / pod.memory_limit()?))
        };
        runs.filter_map(share).collect()
    }

    /// The containers that were killed for their memory within a quarter of an hour: their last end is that.
    pub(in crate::sandbox) fn oom_killed(
        &self,
        now: Timestamp,
        pace: Pace,
    ) -> Vec<[(&'static str, String); 3]> {
        let killed = |pod: &&Pod| {
            pod.crashing
                .as_ref()
                .filter(|crashing| crashing.fault.reason == "OOMKilled")
                .is_some_and(|crashing| crashing.ended.is_some_and(|ended| now < pace.after(ended, RECENT)))
        };
        let labels = |pod: &Pod| {
            [
                ("namespace", pod.namespace.clone()),
                ("pod", pod.name.clone()),
                ("container", pod.service.clone()),
            ]
        };
        self.pods.values().filter(|pod| pod.namespace == NAMESPACE).filter(killed).map(labels).collect()
    }
}

/// `/stats`, the part about memory.
pub(in crate::sandbox) fn told(pod: &Pod, now: Timestamp, pace: Pace) -> Value {
    json!({"used_bytes": pod.memory(now, pace).round(), "limit_bytes": pod.memory_limit()})
}
