//! Jobs: created and deleted. Of `runbookd inject load` the world knows how long it takes, and plays its clients where it knows the service.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::{self, Target};
use super::status::{Cause, Failure};
use super::{json_answer, validate, write};
use crate::sandbox::cluster::{MadeJob, NAMESPACE};
use crate::sandbox::go;
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::state::State;

/// What nothing is said of ends after so long.
const SHORT: Duration = Duration::from_secs(10);

/// Creates a Job.
pub(super) fn create(
    state: &mut State,
    received: &Received,
    target: &Target,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let body: Value =
        serde_json::from_slice(&received.body).map_err(|_| Failure::unrecognized("Job", &received.body))?;
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let decoded = validate::decode(target.resource, &body).map_err(|why| {
        Failure::bad_request(format!("Job in version \"v1\" cannot be handled as a Job: {why}"))
    })?;
    if !decoded.unknown.is_empty() && received.param("fieldValidation") == Some("Strict") {
        let fields: Vec<_> =
            decoded.unknown.iter().map(|field| format!("unknown field {}", go::quoted(field))).collect();
        let why = format!("strict decoding error: {}", fields.join(", "));
        return Err(Failure::bad_request(format!("Job in version \"v1\" cannot be handled as a Job: {why}")));
    }
    let mut job = decoded.object;
    let causes = faults(&job);
    if !causes.is_empty() {
        return Err(Failure::invalid(&target.resource.qualified_kind(), &name, &causes));
    }
    let namespace = target.namespace.clone().unwrap_or_default();
    if !state.cluster.others["namespaces"].contains_key(&(String::new(), namespace.clone())) {
        return Err(Failure::not_found(resource::namespaces(), &namespace));
    }
    if resource::find(&state.cluster, target, &name).is_ok() {
        return Err(Failure::already_exists(target.resource, &name));
    }
    if received.param("dryRun") == Some("All") {
        return Ok(json_answer(201, &job));
    }
    job["metadata"]["namespace"] = json!(namespace);
    let made =
        MadeJob { takes: takes(&job), clients: if namespace == NAMESPACE { clients(&job) } else { 0 } };
    state.cluster.make_job(job, made, (now, state.pace), &mut state.chance);
    Ok(json_answer(201, &resource::find(&state.cluster, target, &name)?))
}

/// Deletes a Job; its pods are collected after it.
pub(super) fn delete(
    state: &mut State,
    received: &Received,
    target: &Target,
    name: &str,
) -> Result<Answer, Failure> {
    let job = resource::find(&state.cluster, target, name)?;
    let options = write::delete_options(received, &job, "Job", name)?;
    if !write::is_dry(received, &options) {
        state.cluster.delete_job(&target.key(name));
    }
    Ok(json_answer(200, &write::deleted(target, &job)))
}

/// The few rules that a Job can break.
fn faults(job: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if job["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required("metadata.name".to_owned()));
    }
    let pod = &job["spec"]["template"]["spec"];
    if !matches!(pod["restartPolicy"].as_str(), Some("Never" | "OnFailure")) {
        let message = "Required value: valid values: \"OnFailure\", \"Never\"".to_owned();
        let field = "spec.template.spec.restartPolicy".to_owned();
        causes.push(Cause { reason: "FieldValueRequired", message, field });
    }
    let containers = pod["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        causes.push(Cause::required("spec.template.spec.containers".to_owned()));
    }
    for (number, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container[field].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required(format!("spec.template.spec.containers[{number}].{field}")));
            }
        }
    }
    causes
}

/// The words that its container is started with.
fn words(job: &Value) -> Vec<&str> {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let words =
        ["command", "args"].into_iter().flat_map(|key| container[key].as_array().into_iter().flatten());
    words.filter_map(Value::as_str).collect()
}

/// How long it runs before it succeeds.
fn takes(job: &Value) -> Duration {
    let words = words(job);
    let said = words.iter().find_map(|word| word.strip_prefix("--duration="));
    said.and_then(duration).unwrap_or(SHORT)
}

/// `1h30m`, `90s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut all) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let unit = &rest[digits..digits + letters];
        all += match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number * 60),
            "h" => Duration::from_secs(number * 3600),
            _ => return None,
        };
        rest = &rest[digits + letters..];
    }
    Some(all)
}

/// How many clients ask the inference service, also by way of the messages of chat-api.
fn clients(job: &Value) -> u32 {
    let words = words(job);
    let Some(url) = words.iter().find(|word| word.starts_with("http://")) else { return 0 };
    let rest = &url["http://".len()..];
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let service = host.split([':', '.']).next().unwrap_or_default();
    let asks = service == "inference" && !path.ends_with("health")
        || service == "chat-api" && path.ends_with("messages");
    let number = words.iter().find_map(|word| word.strip_prefix("--concurrency=")?.parse().ok());
    if asks { number.unwrap_or(50) } else { 0 }
}
