//! Events: created through either of their two APIs, and served by both. The newer API validates more than the older.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::json_answer;
use super::resource::Target;
use super::status::{Cause, Failure};
use crate::sandbox::cluster::seconds;
use crate::sandbox::go;
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::state::State;

const EVENTS_KEPT: usize = 1000;
const NOTE_LIMIT: usize = 1024;
const WORD_LIMIT: usize = 128;
/// The names of the same field in `v1` and in `events.k8s.io/v1`.
const FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Creates an event.
pub(super) fn create(
    state: &mut State,
    received: &Received,
    target: &Target,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let body: Value =
        serde_json::from_slice(&received.body).map_err(|_| Failure::unrecognized("Event", &received.body))?;
    let newer = target.resource.group == "events.k8s.io";
    let namespace = target.namespace.clone().unwrap_or_default();
    let mut event = if newer { renamed(&body, |(old, new)| (new, old)) } else { body };
    let generated = event["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
    let name = match event["metadata"]["name"].as_str() {
        Some(name) => name.to_owned(),
        None => format!("{generated}{}", state.chance.suffix()),
    };
    let key = target.key(&name);
    if state.cluster.others.get("events").is_some_and(|events| events.contains_key(&key)) {
        return Err(Failure::already_exists(target.resource, &name));
    }
    let causes = faults(&event, newer, &namespace, &generated);
    if !causes.is_empty() {
        return Err(Failure::invalid("Event", &name, &causes));
    }
    let metadata = &mut event["metadata"];
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(namespace);
    metadata["uid"] = json!(state.chance.uid());
    metadata["creationTimestamp"] = json!(seconds(now));
    for (field, default) in
        [("eventTime", Value::Null), ("reportingComponent", json!("")), ("reportingInstance", json!(""))]
    {
        if event[field].is_null() {
            event[field] = default;
        }
    }
    if let Some(fields) = event.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    if received.param("dryRun") != Some("All") {
        state.cluster.store_other("events", event.clone());
        let events = state.cluster.others.entry("events").or_default();
        let age = |event: &Value| {
            event["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok())
        };
        while events.len() > EVENTS_KEPT
            && let Some(oldest) =
                events.iter().min_by_key(|(_, event)| age(event)).map(|(name, _)| name.clone())
        {
            events.remove(&oldest);
        }
        event = events.get(&key).cloned().unwrap_or(event);
    }
    let mut served = served(&event, target.resource.group);
    super::resource::typed(&mut served, target.resource);
    Ok(json_answer(201, &served))
}

/// An event as the API of a group serves it.
pub(super) fn served(event: &Value, group: &str) -> Value {
    if group == "events.k8s.io" { renamed(event, |names| names) } else { event.clone() }
}

fn renamed(
    event: &Value,
    names: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        for (from, to) in FIELDS.map(names) {
            if let Some(value) = fields.remove(from) {
                fields.insert(to.to_owned(), value);
            }
        }
    }
    event
}

fn faults(event: &Value, newer: bool, namespace: &str, generated: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let about = event["involvedObject"]["namespace"].as_str().unwrap_or_default();
    // What belongs to no namespace is spoken of in `default`.
    if about != namespace && !(about.is_empty() && namespace == "default") {
        causes.push(Cause::invalid(
            "involvedObject.namespace",
            &go::quoted(about),
            "does not match event.namespace",
        ));
    }
    if !newer {
        return causes;
    }
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    for (field, served) in [("eventTime", "eventTime"), ("reportingComponent", "reportingController")] {
        if text(field).is_empty() {
            causes.push(Cause::required(served.to_owned()));
        }
    }
    for field in ["reportingInstance", "action", "reason"] {
        if text(field).is_empty() {
            causes.push(Cause::required(field.to_owned()));
        } else if text(field).len() > WORD_LIMIT {
            causes.push(Cause::invalid(field, "\"\"", "can have at most 128 characters"));
        }
    }
    if !matches!(text("type"), "Normal" | "Warning") {
        causes.push(Cause::invalid("type", "\"\"", &format!("has invalid value: {}", text("type"))));
    }
    if text("message").len() > NOTE_LIMIT {
        causes.push(Cause::invalid("message", "\"\"", "can have at most 1024 characters"));
    }
    let masked = generated.trim_end_matches('-');
    let label = |label: &str| {
        let inner =
            label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if !generated.is_empty() && !masked.split('.').all(label) {
        let why = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                   must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                   '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        causes.push(Cause::invalid("metadata.generateName", &go::quoted(generated), why));
    }
    causes
}
