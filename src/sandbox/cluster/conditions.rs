//! The conditions of a deployment, in the words of the real controller.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::seconds;

/// A condition that the controller wants a deployment to have.
pub(super) struct Condition {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Whether enough pods are ready; `least` is how many must be.
pub(super) fn availability(ready: usize, least: usize) -> Condition {
    let (status, reason, message) = if ready >= least {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    Condition { kind: "Available", status, reason, message: message.to_owned() }
}

/// Says how the rollout of a replica set goes.
pub(super) fn progress(
    deployment: &mut Value,
    status: &'static str,
    reason: &'static str,
    set: &str,
    what: &str,
    now: Timestamp,
) {
    if reason == "ReplicaSetUpdated"
        && let Some(conditions) = deployment["status"]["conditions"].as_array_mut()
    {
        // The real controller replaces the condition on every step forward, so that its lastUpdateTime moves.
        for condition in conditions.iter_mut().filter(|condition| condition["type"] == "Progressing") {
            if condition["reason"] == reason {
                condition["lastUpdateTime"] = json!(seconds(now));
            }
        }
    }
    let message = format!("ReplicaSet {set:?} {what}");
    set_condition(deployment, &Condition { kind: "Progressing", status, reason, message }, now);
}

/// The `Progressing` condition; `null` when there is none.
pub(super) fn progressing(status: &Value) -> &Value {
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|condition| condition["type"] == "Progressing").unwrap_or(&Value::Null)
}

/// `SetDeploymentCondition`: the same status and reason change nothing; the same status keeps its transition time.
pub(super) fn set_condition(deployment: &mut Value, wanted: &Condition, now: Timestamp) {
    let status = &mut deployment["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let present = conditions.iter().position(|condition| condition["type"] == wanted.kind);
    let mut transition = json!(seconds(now));
    if let Some(at) = present {
        let present = &conditions[at];
        if present["status"] == wanted.status && present["reason"] == wanted.reason {
            return;
        }
        if present["status"] == wanted.status {
            transition = present["lastTransitionTime"].clone();
        }
        conditions.remove(at);
    }
    conditions.push(json!({
        "type": wanted.kind,
        "status": wanted.status,
        "lastUpdateTime": seconds(now),
        "lastTransitionTime": transition,
        "reason": wanted.reason,
        "message": wanted.message,
    }));
}
