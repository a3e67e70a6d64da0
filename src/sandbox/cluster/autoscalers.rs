//! The controller of `HorizontalPodAutoscalers`, after `pkg/controller/podautoscaler`: it looks every 15 s, keeps replicas within the bounds, and
//! follows the CPU that the pods use, where somebody measures it. Replicas of 0 switch it off.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::occurrences::Occurrence;
use super::{Cluster, Name, Writer, seconds};
use crate::sandbox::state::Pace;

const PLURAL: &str = "horizontalpodautoscalers";
/// `--horizontal-pod-autoscaler-sync-period`.
const SYNC: Duration = Duration::from_secs(15);
/// `--horizontal-pod-autoscaler-downscale-stabilization`.
const STABLE: Duration = Duration::from_mins(5);
/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
/// What a service uses of the CPU that it requests while it has the replicas that its chart declares.
const CALM: f64 = 65.0;
/// What a pod uses whose workers are all busy.
const BUSY: f64 = 140.0;

/// What the controller remembers.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Autoscalers {
    next: BTreeMap<Name, Timestamp>,
    recommended: BTreeMap<Name, VecDeque<(Timestamp, u64)>>,
    /// Nobody measures: there is no `metrics.k8s.io`.
    pub(in crate::sandbox) blind: bool,
    /// The share of each deployment's workers that are busy, where it has workers.
    pub(in crate::sandbox) busy: BTreeMap<Name, f64>,
}

impl Autoscalers {
    /// When it looks next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.next.values().min().copied()
    }
}

struct Wish {
    replicas: u64,
    reason: String,
}

impl Cluster {
    pub(super) fn advance_autoscalers(&mut self, now: Timestamp, pace: Pace) {
        let all = self.others.get(PLURAL).cloned().unwrap_or_default();
        self.autoscalers.next.retain(|name, _| all.contains_key(name));
        for (name, autoscaler) in all {
            if self.autoscalers.next.get(&name).is_none_or(|next| *next <= now) {
                self.autoscalers.next.insert(name.clone(), pace.after(now, SYNC));
                self.sync(&name, &autoscaler, now, pace);
            }
        }
    }

    fn sync(&mut self, name: &Name, before: &Value, now: Timestamp, pace: Pace) {
        let mut autoscaler = before.clone();
        let spec = &before["spec"];
        let target = (name.0.clone(), spec["scaleTargetRef"]["name"].as_str().unwrap_or_default().to_owned());
        let Some(deployment) = self.deployments.get(&target) else {
            let why = format!(
                "the HPA controller was unable to get the target's current scale: deployments/scale.apps {:?} not found",
                target.1
            );
            condition(&mut autoscaler, ("AbleToScale", "False", "FailedGetScale", &why), now);
            return self.keep(before, autoscaler);
        };
        let current = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let (min, max) =
            (spec["minReplicas"].as_u64().unwrap_or(1), spec["maxReplicas"].as_u64().unwrap_or(1));
        let able = "the HPA controller was able to get the target's current scale";
        condition(&mut autoscaler, ("AbleToScale", "True", "SucceededGetScale", able), now);
        let wish = if current == 0 {
            let why = "scaling is disabled since the replica count of the target is zero";
            condition(&mut autoscaler, ("ScalingActive", "False", "ScalingDisabled", why), now);
            Some(Wish { replicas: 0, reason: String::new() })
        } else if current > max {
            Some(Wish {
                replicas: max,
                reason: "Current number of replicas above Spec.MaxReplicas".to_owned(),
            })
        } else if current < min {
            let reason = "Current number of replicas below Spec.MinReplicas".to_owned();
            Some(Wish { replicas: min, reason })
        } else {
            self.follow_metrics(name, &target, &mut autoscaler, (current, min, max), now, pace)
        };
        autoscaler["status"]["currentReplicas"] = json!(current);
        if let Some(wish) = wish {
            autoscaler["status"]["desiredReplicas"] = json!(wish.replicas);
            if wish.replicas != current {
                self.rescale(&target, before, &mut autoscaler, &wish, now);
            }
        }
        self.keep(before, autoscaler);
    }

    fn keep(&mut self, before: &Value, after: Value) {
        if *before != after {
            self.store_other(PLURAL, after);
        }
    }

    fn rescale(
        &mut self,
        target: &Name,
        before: &Value,
        autoscaler: &mut Value,
        wish: &Wish,
        now: Timestamp,
    ) {
        let writer =
            Writer { manager: "kube-controller-manager", version: "apps/v1", subresource: Some("scale") };
        self.write_deployment(target, writer, now, |deployment| {
            deployment["spec"]["replicas"] = json!(wish.replicas);
        });
        let why = format!("the HPA controller was able to update the target scale to {}", wish.replicas);
        condition(autoscaler, ("AbleToScale", "True", "SucceededRescale", &why), now);
        autoscaler["status"]["lastScaleTime"] = json!(seconds(now));
        let message = format!("New size: {}; reason: {}", wish.replicas, wish.reason);
        self.tell(
            before,
            &Occurrence {
                kind: ("HorizontalPodAutoscaler", "autoscaling/v2"),
                reason: "SuccessfulRescale",
                warning: false,
                message,
                component: "horizontal-pod-autoscaler",
            },
            now,
        );
    }

    /// How many pods the metric asks for; none where nobody measures.
    fn follow_metrics(
        &mut self,
        name: &Name,
        target: &Name,
        autoscaler: &mut Value,
        (current, min, max): (u64, u64, u64),
        now: Timestamp,
        pace: Pace,
    ) -> Option<Wish> {
        let wanted = autoscaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].as_f64();
        let Some(wanted) = wanted.filter(|_| !self.autoscalers.blind) else {
            let why = "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for \
                       resource cpu: unable to fetch metrics from resource metrics API: the server could not find the \
                       requested resource (get pods.metrics.k8s.io)";
            condition(autoscaler, ("ScalingActive", "False", "FailedGetResourceMetric", why), now);
            autoscaler["status"]["currentMetrics"] = json!([{"type": ""}]);
            return None;
        };
        let used = self.utilization(target, current);
        let why = "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)";
        condition(autoscaler, ("ScalingActive", "True", "ValidMetricFound", why), now);
        #[expect(clippy::cast_possible_truncation, reason = "at most some hundreds")]
        let percent = used.round() as i32;
        autoscaler["status"]["currentMetrics"] = json!([{"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": percent, "averageValue": format!("{percent}m")}}}]);
        let ratio = used / wanted;
        #[expect(clippy::cast_precision_loss, reason = "replicas are few")]
        let exact = (current as f64 * ratio).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few, and not negative")]
        let recommended = if (ratio - 1.0).abs() <= TOLERANCE { current } else { exact as u64 };
        let known =
            self.autoscalers.recommended.entry(name.clone()).or_insert_with(|| [(now, current)].into());
        known.push_back((now, recommended));
        while known.front().is_some_and(|(at, _)| pace.after(*at, STABLE) < now) {
            known.pop_front();
        }
        let stable = known.iter().map(|(_, replicas)| *replicas).max().unwrap_or(recommended);
        // `calculateScaleUpLimit`.
        let fastest = (2 * current).max(4);
        let (able, why) = if stable > recommended {
            (
                "ScaleDownStabilized",
                "recent recommendations were higher than current one, applying the highest recent recommendation",
            )
        } else {
            ("ReadyForNewScale", "recommended size matches current size")
        };
        condition(autoscaler, ("AbleToScale", "True", able, why), now);
        let (limited, reason, why, replicas) = if stable > max.min(fastest) {
            if fastest < max {
                let why = "the desired replica count is increasing faster than the maximum scale rate";
                ("True", "ScaleUpLimit", why, fastest)
            } else {
                (
                    "True",
                    "TooManyReplicas",
                    "the desired replica count is more than the maximum replica count",
                    max,
                )
            }
        } else if stable < min {
            (
                "True",
                "TooFewReplicas",
                "the desired replica count is less than the minimum replica count",
                min,
            )
        } else {
            ("False", "DesiredWithinRange", "the desired count is within the acceptable range", stable)
        };
        condition(autoscaler, ("ScalingLimited", limited, reason, why), now);
        let reason = if replicas > current {
            "cpu resource utilization (percentage of request) above target".to_owned()
        } else {
            "All metrics below target".to_owned()
        };
        Some(Wish { replicas, reason })
    }

    /// What the pods of a deployment use of the CPU that they request, in percent.
    fn utilization(&self, target: &Name, replicas: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "replicas are few")]
        let spread = |declared: u64| CALM * declared as f64 / replicas.max(1) as f64;
        let calm = spread(self.meddlers.declared_replicas(target).unwrap_or(replicas));
        self.autoscalers.busy.get(target).map_or(calm, |busy| calm.max(BUSY * busy))
    }
}

/// Sets a condition: its kind, status, reason and message. The time is of the last change of its status.
fn condition(
    autoscaler: &mut Value,
    (kind, status, reason, message): (&str, &str, &str, &str),
    now: Timestamp,
) {
    let conditions = &mut autoscaler["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    let present = conditions.iter_mut().find(|condition| condition["type"] == kind);
    if let Some(present) = present {
        if present["status"] != status {
            present["lastTransitionTime"] = json!(seconds(now));
        }
        (present["status"], present["reason"], present["message"]) =
            (json!(status), json!(reason), json!(message));
        return;
    }
    conditions.push(json!({"type": kind, "status": status, "lastTransitionTime": seconds(now), "reason": reason, "message": message}));
}
