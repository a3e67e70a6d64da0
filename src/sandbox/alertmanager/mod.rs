//! Alertmanager, with the rules of a Prometheus before it: alerts are grouped by alertname and namespace, wait, repeat,
//! resolve, and are posted to one webhook receiver in the v4 payload. Its waits are divided by the pace.

mod api;
mod inject;
mod payload;
mod post;
mod rules;
mod silence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::state::{Pace, Shared};
use crate::clock;
pub(super) use api::answer;
pub(super) use rules::Rule;
use silence::Silences;

const GROUP_WAIT: Duration = Duration::from_secs(10);
const GROUP_INTERVAL: Duration = Duration::from_mins(1);
const REPEAT_INTERVAL: Duration = Duration::from_hours(4);
const RESOLVE_TIMEOUT: Duration = Duration::from_mins(5);
/// `for` of the 5xx rule.
const PENDING: Duration = Duration::from_mins(1);
/// How long `ReplicasUnavailable` holds before it fires.
const UNAVAILABLE_FOR: Duration = Duration::from_mins(2);
/// A flush gets at least this much real time, or a busy machine would look like a receiver that hangs.
const LEAST_FLUSH: SignedDuration = SignedDuration::from_secs(2);
const LEAST_GAP: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(20);

/// Where the webhook receiver posts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerTarget {
    /// An `http://` URL with a host, a port and a path.
    pub url: String,
    /// The bearer token that it sends; none sends no `Authorization`.
    pub bearer: Option<String>,
}

pub(super) type Labels = BTreeMap<String, String>;
/// The values of alertname and namespace.
type GroupKey = (String, String);

#[derive(Debug, Clone)]
pub(super) struct Alert {
    labels: Labels,
    annotations: Labels,
    starts_at: Timestamp,
    /// None while its source keeps it firing.
    ends_at: Option<Timestamp>,
    /// Nobody named its end, and it is when nothing was heard of it for so long.
    timeout: bool,
    updated_at: Timestamp,
    generator: String,
}

impl Alert {
    fn resolved(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

#[derive(Debug)]
struct Group {
    next_flush: Timestamp,
    members: BTreeSet<String>,
    in_flight: bool,
}

/// What a group's last notification said.
#[derive(Debug, Clone)]
struct Notified {
    at: Timestamp,
    firing: BTreeSet<String>,
    resolved: BTreeSet<String>,
}

/// The state of the Alertmanager.
#[derive(Debug)]
pub(super) struct Alerts {
    pub(super) target: Option<AlertmanagerTarget>,
    pub(super) delivered: u64,
    /// By fingerprint.
    alerts: BTreeMap<String, Alert>,
    groups: BTreeMap<GroupKey, Group>,
    notified: BTreeMap<GroupKey, Notified>,
    pending: BTreeMap<String, Timestamp>,
    held: rules::Held,
    silences: Silences,
    /// The receivers, by fingerprint, of what is not for the webhook.
    elsewhere: BTreeMap<String, String>,
    started_at: Timestamp,
}

/// One flush of a group.
struct Flush {
    key: GroupKey,
    /// None when there is nothing to say that was not said.
    body: Option<String>,
    target: AlertmanagerTarget,
    said: Notified,
    deadline: Timestamp,
}

/// What kube-state-metrics tells of the pods of a Deployment.
pub(super) struct Pods<'a> {
    pub(super) deployment: &'a str,
    /// Fewer are available than wanted, and no rollout moves.
    pub(super) missing: bool,
    /// How often the container of each was started again.
    pub(super) restarts: Vec<(String, u32)>,
}

fn borrowed<'l>(labels: &'l [(&'l str, String)]) -> Vec<(&'l str, &'l str)> {
    labels.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

impl Alerts {
    pub(super) fn new(target: Option<AlertmanagerTarget>) -> Self {
        Self {
            target,
            delivered: 0,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            notified: BTreeMap::new(),
            pending: BTreeMap::new(),
            held: rules::Held::new(),
            silences: Silences::default(),
            elsewhere: BTreeMap::new(),
            started_at: clock::now(),
        }
    }

    /// The labels of what fires now.
    pub(super) fn firing(&self, now: Timestamp) -> Vec<Labels> {
        self.alerts.values().filter(|alert| !alert.resolved(now)).map(|alert| alert.labels.clone()).collect()
    }

    pub(super) fn fire(
        &mut self,
        labels: &[(&str, &str)],
        annotations: &[(&str, &str)],
        now: Timestamp,
        pace: Pace,
    ) -> String {
        let owned = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let generator = "http://127.0.0.1:9090/graph".to_owned();
        let (labels, annotations) = (owned(labels), owned(annotations));
        let (ends_at, timeout) = (None, false);
        let alert =
            Alert { labels, annotations, starts_at: now, ends_at, timeout, updated_at: now, generator };
        self.insert(alert, now, pace)
    }

    pub(super) fn resolve(&mut self, labels: &[(&str, &str)], now: Timestamp, pace: Pace) {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if let Some(alert) = self.alerts.get(&payload::fingerprint(&labels)).cloned() {
            self.insert(Alert { ends_at: Some(now), updated_at: now, ..alert }, now, pace);
        }
    }

    pub(super) fn silence(&mut self, labels: &[(&str, &str)], silenced: bool, now: Timestamp) {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if silenced {
            self.silences.add(&labels, "ana", "deploying", now);
        } else {
            self.silences.end(&labels, now);
        }
    }

    /// Routes an alert to another receiver than the webhook.
    pub(super) fn route(&mut self, labels: &[(&str, &str)], receiver: &str) {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.elsewhere.insert(payload::fingerprint(&labels), receiver.to_owned());
    }

    /// Loses an alert, and tells nobody.
    pub(super) fn lose(&mut self, labels: &[(&str, &str)]) {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let fingerprint = payload::fingerprint(&labels);
        self.alerts.remove(&fingerprint);
        for group in self.groups.values_mut() {
            group.members.remove(&fingerprint);
        }
        self.groups.retain(|_, group| !group.members.is_empty() || group.in_flight);
    }

    fn receiver_of(&self, fingerprint: &str) -> &str {
        self.elsewhere.get(fingerprint).map_or("runbookd", String::as_str)
    }

    fn receivers(&self) -> BTreeSet<String> {
        self.elsewhere.values().cloned().chain(["runbookd".to_owned()]).collect()
    }

    /// What a SIGKILL does: the notification log is lost, and the groups wait anew.
    pub(super) fn forget(&mut self, now: Timestamp, pace: Pace) {
        self.started_at = now;
        self.notified.clear();
        self.alerts.retain(|_, alert| !alert.resolved(now));
        let alerts = &self.alerts;
        for group in self.groups.values_mut() {
            group.members.retain(|member| alerts.contains_key(member));
            group.next_flush = pace.after(now, GROUP_WAIT);
        }
        self.groups.retain(|_, group| !group.members.is_empty() || group.in_flight);
    }

    /// Takes an alert from its source; returns its fingerprint.
    fn insert(&mut self, mut alert: Alert, now: Timestamp, pace: Pace) -> String {
        let fingerprint = payload::fingerprint(&alert.labels);
        match self.alerts.get(&fingerprint) {
            Some(known) if !known.resolved(now) => alert.starts_at = alert.starts_at.min(known.starts_at),
            // Nobody was told that it fired, so nobody is told that it does not.
            None if alert.resolved(now) => return fingerprint,
            Some(_) | None => {}
        }
        let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
        let late = pace.after(alert.starts_at, GROUP_WAIT) < now;
        let first_flush = if late { now } else { pace.after(now, GROUP_WAIT) };
        let group = self.groups.entry((label("alertname"), label("namespace"))).or_insert_with(|| Group {
            next_flush: first_flush,
            members: BTreeSet::new(),
            in_flight: false,
        });
        group.members.insert(fingerprint.clone());
        self.alerts.insert(fingerprint.clone(), alert);
        fingerprint
    }

    /// The rule `High5xxRate`: more than 5 % of a service's requests failed in the last minute, for a minute.
    pub(super) fn evaluate_5xx(&mut self, service: &str, ratio: Option<f64>, now: Timestamp, pace: Pace) {
        let labels = [
            ("alertname", "High5xxRate"),
            ("app", service),
            ("cluster", "samosachaat-prod-eks"),
            ("namespace", super::NAMESPACE),
            ("severity", "critical"),
        ];
        let summary = format!("{service} 5xx ratio {:.0}%", ratio.unwrap_or_default() * 100.0);
        let annotations =
            [("runbook_url", "https://example.invalid/runbook#3"), ("summary", summary.as_str())];
        let holds = ratio.is_some_and(|ratio| ratio > 0.05);
        self.evaluate(&labels, &annotations, holds, PENDING, now, pace);
    }

    /// The rules of `deploy/prometheus/alerts.yaml` about the pods of a Deployment, as Prometheus would find them in kube-state-metrics.
    pub(super) fn evaluate_pods(&mut self, pods: &Pods<'_>, now: Timestamp, pace: Pace) {
        let Pods { deployment, missing, restarts } = pods;
        let of = |alertname, more: (&'static str, &str)| -> Vec<(&str, String)> {
            let own =
                [("alertname", alertname), ("namespace", super::NAMESPACE), more, ("severity", "warning")];
            own.map(|(name, value)| (name, value.to_owned())).to_vec()
        };
        let labels = of("ReplicasUnavailable", ("deployment", deployment));
        let summary = format!("{}/{deployment} has fewer pods available than are wanted", super::NAMESPACE);
        self.evaluate(&borrowed(&labels), &[("summary", &summary)], *missing, UNAVAILABLE_FOR, now, pace);
        // One of a pod that is gone goes on: `increase` looks a quarter of an hour back.
        for (pod, restarts) in restarts {
            let mut labels = of("PodRestarts", ("pod", pod));
            labels.push(("container", (*deployment).to_owned()));
            let summary =
                format!("{deployment} of {}/{pod} was restarted {restarts} times", super::NAMESPACE);
            self.evaluate(&borrowed(&labels), &[("summary", &summary)], *restarts > 2, PENDING, now, pace);
        }
    }

    /// The rules of `deploy/prometheus/alerts.yaml` about nodes.
    pub(super) fn evaluate_node(
        &mut self,
        alertname: &str,
        node: &str,
        holds: bool,
        now: Timestamp,
        pace: Pace,
    ) {
        let (severity, what) = match alertname {
            "NodeNotReady" => ("critical", "is not Ready"),
            _ => ("warning", "is gone"),
        };
        let labels = [("alertname", alertname), ("node", node), ("severity", severity)];
        let summary = format!("node {node} {what}");
        self.evaluate(&labels, &[("summary", &summary)], holds, PENDING, now, pace);
    }

    /// A rule: what holds for so long fires, and what holds no more resolves.
    fn evaluate(
        &mut self,
        labels: &[(&str, &str)],
        annotations: &[(&str, &str)],
        holds: bool,
        pending: Duration,
        now: Timestamp,
        pace: Pace,
    ) {
        let key = format!("{labels:?}");
        if !holds {
            if self.pending.remove(&key).is_some() {
                self.resolve(labels, now, pace);
            }
            return;
        }
        let since = *self.pending.entry(key).or_insert(now);
        if pace.after(since, pending) <= now {
            self.fire(labels, annotations, now, pace);
        }
    }

    /// Begins the flushes that are due.
    fn due(&mut self, now: Timestamp, pace: Pace) -> Vec<Flush> {
        let Some(target) = &self.target else { return Vec::new() };
        let mut flushes = Vec::new();
        for (key, group) in
            self.groups.iter_mut().filter(|(_, group)| !group.in_flight && group.next_flush <= now)
        {
            group.in_flight = true;
            group.next_flush = pace.after(now, GROUP_INTERVAL);
            let ours = group.members.iter().filter(|member| !self.elsewhere.contains_key(*member));
            let alerts: Vec<&Alert> = ours
                .filter_map(|member| self.alerts.get(member))
                .filter(|alert| self.silences.of(&alert.labels, now).is_empty())
                .collect();
            let (resolved, firing): (BTreeSet<String>, BTreeSet<String>) = {
                let (resolved, firing): (Vec<_>, Vec<_>) =
                    alerts.iter().partition(|alert| alert.resolved(now));
                let names = |alerts: Vec<&&Alert>| {
                    alerts.iter().map(|alert| payload::fingerprint(&alert.labels)).collect()
                };
                (names(resolved), names(firing))
            };
            let said = Notified { at: now, firing, resolved };
            let needed = !alerts.is_empty() && needs_saying(self.notified.get(key), &said, pace);
            let deadline = now.saturating_add(pace.real(GROUP_INTERVAL).max(LEAST_FLUSH)).unwrap_or(now);
            let body = needed.then(|| payload::payload(key, &alerts, now));
            flushes.push(Flush { key: key.clone(), body, target: target.clone(), said, deadline });
        }
        flushes
    }

    /// Ends a flush: what was said need not be said again, and what is resolved and said is forgotten.
    fn flushed(&mut self, flush: &Flush, delivered: bool) {
        let Some(group) = self.groups.get_mut(&flush.key) else { return };
        group.in_flight = false;
        if !delivered {
            return;
        }
        if flush.body.is_some() {
            self.delivered += 1;
            self.notified.insert(flush.key.clone(), flush.said.clone());
        }
        for fingerprint in &flush.said.resolved {
            let still = self.alerts.get(fingerprint).is_some_and(|alert| alert.resolved(flush.said.at));
            if still {
                self.alerts.remove(fingerprint);
                group.members.remove(fingerprint);
            }
        }
        if group.members.is_empty() {
            self.groups.remove(&flush.key);
        }
    }
}

/// The notification log's question: is there anything that the receiver does not know?
fn needs_saying(before: Option<&Notified>, now: &Notified, pace: Pace) -> bool {
    let Some(before) = before else { return !now.firing.is_empty() };
    if !now.firing.is_subset(&before.firing) {
        return true;
    }
    if now.firing.is_empty() {
        return !before.firing.is_empty();
    }
    !now.resolved.is_subset(&before.resolved) || pace.after(before.at, REPEAT_INTERVAL) < now.at
}

/// Flushes groups when they are due, for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut flushes = JoinSet::new();
    loop {
        let due = {
            let mut state = shared.lock();
            let pace = state.pace;
            state.alerts.due(clock::now(), pace)
        };
        for flush in due {
            flushes.spawn(deliver(Arc::clone(&shared), flush));
        }
        while flushes.try_join_next().is_some() {}
        tokio::time::sleep(LOOK).await;
    }
}

/// Posts a notification; refusals by the server's own fault are tried again until the flush's deadline.
async fn deliver(shared: Arc<Shared>, flush: Flush) {
    let mut delivered = flush.body.is_none();
    let mut gap = Duration::from_millis(500);
    while let (false, Some(body)) = (delivered, &flush.body) {
        let left = flush.deadline.duration_since(clock::now());
        if !left.is_positive() {
            break;
        }
        match tokio::time::timeout(left.unsigned_abs(), post::post(&flush.target, body)).await {
            Ok(Ok(status)) if (200..300).contains(&status) => delivered = true,
            // Only a server's own failure is worth another try now; anything else comes again with the next flush.
            Ok(Ok(status)) if status < 500 => break,
            Ok(Ok(_) | Err(_)) | Err(_) => {
                let factor = 50 + shared.lock().chance.below(100);
                let pace = shared.lock().pace.factor();
                let jittered = gap * u32::try_from(factor).unwrap_or(100) / 100 / pace;
                tokio::time::sleep(jittered.max(LEAST_GAP)).await;
                gap = gap * 3 / 2;
            }
        }
    }
    shared.change(|state| state.alerts.flushed(&flush, delivered));
}
