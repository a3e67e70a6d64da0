//! Jobs, as the job controller of Kubernetes 1.36 keeps their status. A Job makes one pod after the other until one succeeds, or until more have failed than
//! its `backoffLimit`. Those pods are not played: nobody asks for them here, and what is asked of the Job stands in its status.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, NAMESPACE, Name, seconds};
use crate::sandbox::chance::Chance;
use crate::sandbox::state::Pace;

const PLURAL: &str = "jobs";
const BACKOFF_LIMIT: u64 = 2;

/// How a Job will end, counted from when it is put into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// Not by itself.
    Never,
    /// Its pod succeeds after this long.
    Succeeds(Duration),
    /// One pod more than its `backoffLimit` has failed after this long.
    Fails(Duration),
}

/// What is known of a Job that was made by way of the API.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct MadeJob {
    /// Its pod succeeds after this long.
    pub(in crate::sandbox) takes: Duration,
    /// So many clients it is, of the inference service.
    pub(in crate::sandbox) clients: u32,
}

/// Keys and values of labels or annotations.
pub(in crate::sandbox) type Texts<'t> = &'t [(&'t str, &'t str)];

/// When the Jobs that are to end will, and whether they succeed.
pub(super) type JobEnds = BTreeMap<Name, (Timestamp, bool)>;

impl Cluster {
    /// Puts a Job into the cluster. One of the same name goes first, as Helm's `before-hook-creation` has it.
    pub(in crate::sandbox) fn put_job(
        &mut self,
        name: &str,
        (annotations, labels): (Texts<'_>, Texts<'_>),
        end: JobEnd,
        (now, pace): (Timestamp, Pace),
        chance: &mut Chance,
    ) {
        let texts = |all: Texts<'_>| -> serde_json::Map<String, Value> {
            all.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
        };
        let (key, uid) = ((NAMESPACE.to_owned(), name.to_owned()), chance.uid());
        let own = json!({
            "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
            "controller-uid": uid, "job-name": name,
        });
        let mut labels = texts(labels);
        // The server gives a Job the labels of its template.
        labels.extend(own.as_object().cloned().into_iter().flatten());
        let container = json!({
            "name": "migrate", "image": "example/migrate:1", "resources": {}, "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        });
        let template = json!({
            "metadata": {"labels": own},
            "spec": {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 30,
                     "dnsPolicy": "ClusterFirst", "securityContext": {}, "schedulerName": "default-scheduler"},
        });
        let mut job = json!({
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1,
                         "creationTimestamp": seconds(now), "labels": labels},
            "spec": {"parallelism": 1, "completions": 1, "backoffLimit": BACKOFF_LIMIT,
                     "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
                     "template": template, "completionMode": "NonIndexed", "suspend": false,
                     "podReplacementPolicy": "TerminatingOrFailed"},
            "status": {},
        });
        if !annotations.is_empty() {
            job["metadata"]["annotations"] = json!(texts(annotations));
        }
        self.store_other(PLURAL, job);
        match end {
            JobEnd::Never => self.job_ends.remove(&key),
            JobEnd::Succeeds(after) => self.job_ends.insert(key, (pace.after(now, after), true)),
            JobEnd::Fails(after) => self.job_ends.insert(key, (pace.after(now, after), false)),
        };
    }

    /// Takes a Job that was sent, and runs it.
    pub(in crate::sandbox) fn make_job(
        &mut self,
        mut job: Value,
        made: MadeJob,
        (now, pace): (Timestamp, Pace),
        chance: &mut Chance,
    ) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&job["metadata"]["namespace"]), text(&job["metadata"]["name"]));
        let uid = chance.uid();
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &key.1),
            ("controller-uid", &uid),
            ("job-name", &key.1),
        ] {
            job["spec"]["template"]["metadata"]["labels"][label] = json!(value);
        }
        for (label, value) in
            job["spec"]["template"]["metadata"]["labels"].clone().as_object().into_iter().flatten()
        {
            job["metadata"]["labels"][label] = value.clone();
        }
        job["metadata"]["uid"] = json!(uid);
        job["metadata"]["generation"] = json!(1);
        job["metadata"]["creationTimestamp"] = json!(seconds(now));
        for (field, default) in [
            ("parallelism", json!(1)),
            ("completions", json!(1)),
            ("backoffLimit", json!(6)),
            ("completionMode", json!("NonIndexed")),
            ("suspend", json!(false)),
            ("podReplacementPolicy", json!("TerminatingOrFailed")),
            ("selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})),
        ] {
            if job["spec"][field].is_null() {
                job["spec"][field] = default;
            }
        }
        job["status"] = json!({});
        let deadline = job["spec"]["activeDeadlineSeconds"].as_u64().map(Duration::from_secs);
        let in_time = deadline.is_none_or(|deadline| made.takes < deadline);
        let takes = deadline.map_or(made.takes, |deadline| deadline.min(made.takes));
        self.store_other(PLURAL, job);
        self.job_clients.insert(key.clone(), made.clients);
        self.job_ends.insert(key, (pace.after(now, takes), in_time));
    }

    /// How many clients of the inference service the Jobs are that run.
    pub(in crate::sandbox) fn clients_of_jobs(&self) -> u32 {
        self.job_clients.values().sum()
    }

    /// Ends a Job that runs. False when there is none.
    pub(in crate::sandbox) fn end_job(&mut self, name: &Name, succeeds: bool, now: Timestamp) -> bool {
        let found = self.others.get(PLURAL).and_then(|jobs| jobs.get(name));
        let Some(mut job) = found.filter(|job| job["status"]["conditions"].is_null()).cloned() else {
            return false;
        };
        let says = |kind: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": "True", "lastProbeTime": seconds(now), "lastTransitionTime": seconds(now),
                   "reason": reason, "message": message})
        };
        let started = job["status"]["startTime"].as_str().map_or_else(|| seconds(now), str::to_owned);
        let mut status =
            json!({"startTime": started, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
        let (first, then, reason, message) = if succeeds {
            status["succeeded"] = json!(1);
            status["completionTime"] = json!(seconds(now));
            (
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            )
        } else {
            let limit = job["spec"]["backoffLimit"].as_u64().unwrap_or(BACKOFF_LIMIT);
            status["failed"] = json!(limit + 1);
            if job["spec"]["activeDeadlineSeconds"].is_u64() {
                status["failed"] = json!(1);
                let message = "Job was active longer than specified deadline";
                ("FailureTarget", "Failed", "DeadlineExceeded", message)
            } else {
                let message = "Job has reached the specified backoff limit";
                ("FailureTarget", "Failed", "BackoffLimitExceeded", message)
            }
        };
        status["conditions"] = json!([says(first, reason, message), says(then, reason, message)]);
        job["status"] = status;
        self.store_other(PLURAL, job);
        self.job_ends.remove(name);
        self.job_clients.remove(name);
        true
    }

    /// Deletes a Job, as `kubectl delete job` does. False when there is none.
    pub(in crate::sandbox) fn delete_job(&mut self, name: &Name) -> bool {
        self.job_ends.remove(name);
        self.job_clients.remove(name);
        let gone = self.others.get_mut(PLURAL).and_then(|jobs| jobs.remove(name));
        if gone.is_some() {
            self.next_version();
        }
        gone.is_some()
    }

    pub(super) fn advance_jobs(&mut self, now: Timestamp, pace: Pace) {
        let jobs = self.others.get(PLURAL).into_iter().flat_map(BTreeMap::values);
        let new = |job: &&Value| job["status"].as_object().is_some_and(serde_json::Map::is_empty);
        for mut job in jobs.filter(new).cloned().collect::<Vec<_>>() {
            job["status"] = json!({"active": 1, "ready": 1, "startTime": seconds(now), "terminating": 0,
                                   "uncountedTerminatedPods": {}});
            self.store_other(PLURAL, job);
        }
        let over = self.job_ends.iter().filter(|(_, (at, _))| *at <= now);
        for (name, succeeds) in
            over.map(|(name, (_, succeeds))| (name.clone(), *succeeds)).collect::<Vec<_>>()
        {
            self.end_job(&name, succeeds, now);
        }
        self.remove_finished(now, pace);
    }

    /// The TTL controller: a Job that has said so is removed so long after its end.
    fn remove_finished(&mut self, now: Timestamp, pace: Pace) {
        let jobs = self.others.get(PLURAL).into_iter().flatten();
        let over = |job: &Value| {
            let ttl = job["spec"]["ttlSecondsAfterFinished"].as_u64()?;
            let ended: Timestamp =
                job["status"]["conditions"][1]["lastTransitionTime"].as_str()?.parse().ok()?;
            Some(pace.after(ended, Duration::from_secs(ttl)) <= now)
        };
        let names: Vec<Name> =
            jobs.filter(|(_, job)| over(job) == Some(true)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.delete_job(&name);
        }
    }
}
