//! The deployment controller: it follows the one of Kubernetes (`pkg/controller/deployment`) step by step, for
//! rolling updates, pauses, rollbacks and the progress deadline.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::conditions::{Condition, availability, progress, progressing, set_condition};
use super::template::{canonical, with_hash};
use super::{Cluster, Name};
use crate::sandbox::chance::template_hash;
use crate::sandbox::state::Pace;

/// How many pods a replica set has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::sandbox) struct Counts {
    pub(in crate::sandbox) replicas: usize,
    pub(in crate::sandbox) ready: usize,
    pub(in crate::sandbox) terminating: usize,
}

/// A replica set.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct ReplicaSet {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) namespace: String,
    pub(in crate::sandbox) deployment: String,
    /// `Deployment`, or another kind that has its own controller and makes replica sets all the same.
    pub(in crate::sandbox) owner_kind: &'static str,
    pub(in crate::sandbox) owner_uid: String,
    pub(in crate::sandbox) uid: String,
    pub(in crate::sandbox) version: u64,
    pub(in crate::sandbox) created: Timestamp,
    pub(in crate::sandbox) hash: String,
    /// The template, with the hash among its labels.
    pub(in crate::sandbox) template: Value,
    /// `spec.replicas`.
    pub(in crate::sandbox) replicas: usize,
    pub(in crate::sandbox) revision: u64,
    pub(in crate::sandbox) desired: usize,
    pub(in crate::sandbox) max: usize,
    pub(in crate::sandbox) generation: u64,
    pub(in crate::sandbox) observed: u64,
    pub(in crate::sandbox) counts: Counts,
    /// What the server says against its next pod, and when it was asked.
    pub(in crate::sandbox) failure: Option<(String, Timestamp)>,
}

impl Cluster {
    pub(super) fn count(&self, replica_set_uid: &str) -> Counts {
        let mut counts = Counts::default();
        for pod in self.pods_of(replica_set_uid) {
            if pod.stopping_since.is_some() {
                counts.terminating += 1;
            } else {
                counts.replicas += 1;
                counts.ready += usize::from(pod.ready_since.is_some());
            }
        }
        counts
    }

    pub(super) fn advance_rollouts(&mut self, now: Timestamp, pace: Pace) {
        let names: Vec<Name> = self.deployments.keys().cloned().collect();
        for name in names {
            self.advance_rollout(&name, now, pace);
        }
    }

    fn sets_of(&self, uid: &str) -> Vec<ReplicaSet> {
        self.replica_sets.values().filter(|set| set.owner_uid == uid).cloned().collect()
    }

    fn advance_rollout(&mut self, name: &Name, now: Timestamp, pace: Pace) {
        let Some(before) = self.deployments.get(name).cloned() else { return };
        let mut after = before.clone();
        let paused = before["spec"]["paused"].as_bool().unwrap_or(false);
        let uid = before["metadata"]["uid"].as_str().unwrap_or_default();
        let limits = Limits::of(&before["spec"]);
        let new = self.new_replica_set(name, &mut after, &limits, paused, now);
        let sets = self.sets_of(uid);
        let (new, old): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| Some(&set.name) == new.as_ref());
        let new = new.into_iter().next();
        self.scale(new.as_ref(), &old, &limits, paused);
        self.forget_old(&before["spec"], &old);
        let sets = self.sets_of(uid);
        let new = new.and_then(|new| sets.iter().find(|set| set.name == new.name));
        self.write_status(name, &mut after, &sets, new, &limits, now, pace);
        if after != before {
            self.store_deployment(name, after);
        }
    }

    /// The name of the replica set of the present template; it is made, unless the deployment is paused.
    fn new_replica_set(
        &mut self,
        name: &Name,
        deployment: &mut Value,
        limits: &Limits,
        paused: bool,
        now: Timestamp,
    ) -> Option<String> {
        let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let template = deployment["spec"]["template"].clone();
        let sets = self.sets_of(&uid);
        let hash = template_hash(&canonical(&template));
        let existing = sets.iter().find(|set| set.hash == hash);
        let newest = sets.iter().filter(|set| set.hash != hash).map(|set| set.revision).max().unwrap_or(0);
        if paused {
            return existing.map(|set| set.name.clone());
        }
        let revision = existing.map_or(newest + 1, |set| set.revision.max(newest + 1));
        if let Some(set) = existing {
            let changed = (set.revision, set.desired, set.max) != (revision, limits.replicas, limits.most());
            if changed {
                let mut set = set.clone();
                (set.revision, set.desired, set.max) = (revision, limits.replicas, limits.most());
                set.version = self.next_version();
                self.replica_sets.insert((set.namespace.clone(), set.name.clone()), set);
            }
        } else {
            let set = ReplicaSet {
                name: format!("{}-{hash}", name.1),
                namespace: name.0.clone(),
                deployment: name.1.clone(),
                owner_kind: "Deployment",
                owner_uid: uid.clone(),
                uid: format!("{}{}", &uid[..uid.len().min(24)], &format!("{:012x}", self.version)),
                version: self.next_version(),
                created: now,
                template: with_hash(&template, &hash),
                hash: hash.clone(),
                replicas: 0,
                revision,
                desired: limits.replicas,
                max: limits.most(),
                generation: 1,
                observed: 0,
                counts: Counts::default(),
                failure: None,
            };
            let message = format!("Created new replica set {:?}", set.name);
            self.replica_sets.insert((set.namespace.clone(), set.name.clone()), set);
            set_condition(
                deployment,
                &Condition { kind: "Progressing", status: "True", reason: "NewReplicaSetCreated", message },
                now,
            );
            self.progressed.insert(name.clone(), now);
        }
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] =
            json!(revision.to_string());
        Some(format!("{}-{hash}", name.1))
    }

    /// Scales the new replica set up and the old ones down, one careful step.
    fn scale(&mut self, new: Option<&ReplicaSet>, old: &[ReplicaSet], limits: &Limits, paused: bool) {
        if paused {
            let mut active = new.into_iter().chain(old).filter(|set| set.replicas > 0);
            if let (Some(only), None) = (active.next(), active.next()) {
                self.resize(only, limits.replicas);
            }
            return;
        }
        let Some(new) = new else { return };
        let total = new.replicas + old.iter().map(|set| set.replicas).sum::<usize>();
        if new.replicas > limits.replicas {
            return self.resize(new, limits.replicas);
        }
        let room = limits.most().saturating_sub(total);
        let wanted = limits.replicas.min(new.replicas + room);
        if wanted != new.replicas {
            return self.resize(new, wanted);
        }
        self.scale_down(new, old, total, limits);
    }

    /// Removes the oldest replica sets that no longer have pods, beyond `revisionHistoryLimit`.
    fn forget_old(&mut self, spec: &Value, old: &[ReplicaSet]) {
        let keep = usize::try_from(spec["revisionHistoryLimit"].as_u64().unwrap_or(10)).unwrap_or(10);
        let mut empty: Vec<&ReplicaSet> =
            old.iter().filter(|set| set.replicas == 0 && set.counts == Counts::default()).collect();
        empty.sort_by_key(|set| set.revision);
        for set in empty.iter().take(empty.len().saturating_sub(keep)) {
            self.replica_sets.remove(&(set.namespace.clone(), set.name.clone()));
            self.next_version();
        }
    }

    fn scale_down(&mut self, new: &ReplicaSet, old: &[ReplicaSet], total: usize, limits: &Limits) {
        let least = limits.least();
        let new_unavailable = new.replicas.saturating_sub(new.counts.ready);
        let mut spare = total.saturating_sub(least + new_unavailable);
        let mut old: Vec<ReplicaSet> = old.iter().filter(|set| set.replicas > 0).cloned().collect();
        old.sort_by_key(|set| set.created);
        for set in &mut old {
            let unhealthy = set.replicas.saturating_sub(set.counts.ready).min(spare);
            if unhealthy > 0 {
                spare -= unhealthy;
                self.resize(set, set.replicas - unhealthy);
                set.replicas -= unhealthy;
            }
        }
        let available: usize =
            new.counts.ready + old.iter().map(|set| set.counts.ready.min(set.replicas)).sum::<usize>();
        let mut spare = spare.min(available.saturating_sub(least));
        for set in old {
            let down = set.replicas.min(spare);
            spare -= down;
            self.resize(&set, set.replicas - down);
        }
    }

    fn resize(&mut self, set: &ReplicaSet, replicas: usize) {
        let version = self.version + 1;
        if let Some(set) = self.replica_sets.get_mut(&(set.namespace.clone(), set.name.clone()))
            && set.replicas != replicas
        {
            set.replicas = replicas;
            set.generation += 1;
            set.version = version;
            self.version = version;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the controller's own function takes the same")]
    fn write_status(
        &mut self,
        name: &Name,
        deployment: &mut Value,
        sets: &[ReplicaSet],
        new: Option<&ReplicaSet>,
        limits: &Limits,
        now: Timestamp,
        pace: Pace,
    ) {
        let old = deployment["status"].clone();
        let was = |field: &str| usize::try_from(old[field].as_u64().unwrap_or(0)).unwrap_or(0);
        let sum = |of: fn(&ReplicaSet) -> usize| sets.iter().map(of).sum::<usize>();
        let wanted = sum(|set| set.replicas);
        let replicas = sum(|set| set.counts.replicas);
        let ready = sum(|set| set.counts.ready);
        let updated = new.map_or(0, |set| set.counts.replicas);
        let status = &mut deployment["status"];
        let counts = [
            ("replicas", replicas),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("unavailableReplicas", wanted.saturating_sub(ready)),
        ];
        for (field, count) in counts {
            set_count(status, field, count);
        }
        status["terminatingReplicas"] = json!(sum(|set| set.counts.terminating));
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        set_condition(deployment, &availability(ready, limits.least()), now);
        match sets.iter().find_map(|set| set.failure.as_ref()) {
            Some((message, _)) => {
                let message = message.clone();
                let failed =
                    Condition { kind: "ReplicaFailure", status: "True", reason: "FailedCreate", message };
                set_condition(deployment, &failed, now);
            }
            None => {
                if let Some(conditions) = deployment["status"]["conditions"].as_array_mut() {
                    conditions.retain(|condition| condition["type"] != "ReplicaFailure");
                }
            }
        }

        let paused = deployment["spec"]["paused"].as_bool().unwrap_or(false);
        let reason = progressing(&old)["reason"].as_str().unwrap_or_default().to_owned();
        if paused || reason == "DeploymentPaused" {
            if paused != (reason == "DeploymentPaused") && reason != "ProgressDeadlineExceeded" {
                let (reason, message) = if paused {
                    ("DeploymentPaused", "Deployment is paused")
                } else {
                    ("DeploymentResumed", "Deployment is resumed")
                };
                let message = message.to_owned();
                set_condition(
                    deployment,
                    &Condition { kind: "Progressing", status: "Unknown", reason, message },
                    now,
                );
                self.progressed.insert(name.clone(), now);
            }
            if paused {
                return;
            }
        }
        let Some(new) = new else { return };
        let reason = progressing(&deployment["status"])["reason"].as_str().unwrap_or_default().to_owned();
        if replicas == updated && reason == "NewReplicaSetAvailable" {
            return;
        }
        let complete = updated == limits.replicas && replicas == updated && ready == updated;
        let grew = updated > was("updatedReplicas")
            || replicas.saturating_sub(updated) < was("replicas").saturating_sub(was("updatedReplicas"))
            || ready > was("readyReplicas");
        let deadline = self.progressed.get(name).map(|at| pace.after(*at, limits.deadline));
        if complete {
            progress(
                deployment,
                "True",
                "NewReplicaSetAvailable",
                &new.name,
                "has successfully progressed.",
                now,
            );
        } else if grew {
            self.progressed.insert(name.clone(), now);
            progress(deployment, "True", "ReplicaSetUpdated", &new.name, "is progressing.", now);
        } else if deadline.is_some_and(|deadline| deadline < now) {
            progress(
                deployment,
                "False",
                "ProgressDeadlineExceeded",
                &new.name,
                "has timed out progressing.",
                now,
            );
        }
    }
}

/// What a deployment's spec allows.
struct Limits {
    replicas: usize,
    surge: usize,
    unavailable: usize,
    deadline: std::time::Duration,
}

impl Limits {
    fn of(spec: &Value) -> Self {
        let replicas = usize::try_from(spec["replicas"].as_u64().unwrap_or(1)).unwrap_or(1);
        let rolling = &spec["strategy"]["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], replicas, true);
        let mut unavailable = share(&rolling["maxUnavailable"], replicas, false);
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        let deadline =
            std::time::Duration::from_secs(spec["progressDeadlineSeconds"].as_u64().unwrap_or(600));
        Self { replicas, surge, unavailable: unavailable.min(replicas), deadline }
    }

    /// The fewest pods that must be ready.
    fn least(&self) -> usize {
        self.replicas.saturating_sub(self.unavailable)
    }

    /// The most pods that there may be, surge included.
    fn most(&self) -> usize {
        self.replicas + self.surge
    }
}

/// A number or a percentage of the replicas; a surge is rounded up, the unavailable are rounded down.
fn share(value: &Value, replicas: usize, up: bool) -> usize {
    if let Some(number) = value.as_u64() {
        return usize::try_from(number).unwrap_or(replicas);
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok()).unwrap_or(25);
    if up { (replicas * percent).div_ceil(100) } else { replicas * percent / 100 }
}

fn set_count(status: &mut Value, field: &str, count: usize) {
    if count > 0 {
        status[field] = json!(count);
    } else if let Some(status) = status.as_object_mut() {
        // Go's omitempty.
        status.remove(field);
    }
}
