//! The webhook's payload, version 4, and the fingerprint of an alert's labels.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Alert, GroupKey, Labels};
use crate::sandbox::go;

/// FNV-1a, 64 bit, over the sorted names and values, a byte 0xFF behind each.
pub(super) fn fingerprint(labels: &Labels) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Go's `time.Time` in JSON, with milliseconds as Prometheus sends them.
pub(super) fn time(at: Timestamp) -> String {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at).to_string()
}

/// The body of a notification about these alerts, which are not empty.
pub(super) fn payload(key: &GroupKey, alerts: &[&Alert], now: Timestamp) -> String {
    let mut alerts: Vec<&Alert> = alerts.to_vec();
    alerts.sort_by_key(|alert| (alert.labels.get("app").cloned(), fingerprint(&alert.labels)));
    let firing = alerts.iter().any(|alert| !alert.resolved(now));
    let rendered: Vec<Value> = alerts.iter().map(|alert| one(alert, now)).collect();
    let (alertname, namespace) = key;
    let mut group = Labels::from([("alertname".to_owned(), alertname.clone())]);
    if !namespace.is_empty() {
        group.insert("namespace".to_owned(), namespace.clone());
    }
    let names: Vec<String> =
        group.iter().map(|(name, value)| format!("{name}={}", go::quoted(value))).collect();
    let body = json!({
        "receiver": "runbookd",
        "status": if firing { "firing" } else { "resolved" },
        "alerts": rendered,
        "groupLabels": group,
        "commonLabels": common(alerts.iter().map(|alert| &alert.labels)),
        "commonAnnotations": common(alerts.iter().map(|alert| &alert.annotations)),
        "externalURL": "http://127.0.0.1:9093",
        "version": "4",
        "groupKey": format!("{{}}:{{{}}}", names.join(", ")),
        "truncatedAlerts": 0,
    });
    format!("{body}\n")
}

fn one(alert: &Alert, now: Timestamp) -> Value {
    let resolved = alert.ends_at.filter(|_| alert.resolved(now));
    json!({
        "status": if resolved.is_some() { "resolved" } else { "firing" },
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": time(alert.starts_at),
        "endsAt": resolved.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), time),
        "generatorURL": alert.generator,
        "fingerprint": fingerprint(&alert.labels),
    })
}

/// What all of them have with the same value.
fn common<'a>(mut all: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(mut common) = all.next().cloned() else { return Labels::new() };
    for labels in all {
        common.retain(|name, value| labels.get(name) == Some(value));
    }
    common
}
