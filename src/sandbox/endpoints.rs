//! What the processes answer over HTTP. `/api/health` is every service's. The inference service has `/health`, `/stats`, `/models` and
//! `/models/swap`, in the shapes of the real one (services/inference/src/main.py of its repository); `queue_depth` and `memory` are ours.
//!
//! A swap is of one process. It is answered when it is done, and while it goes on the process takes no work. It loads the new model before
//! it lets go of the old one, so it can be what kills it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cluster::{Cluster, MODELS, Model, Pod, told};
use super::load::{self, WORKERS};
use super::server::{Answer, Received, Reply};
use super::services::Services;
use super::state::Pace;

const JSON: &str = "application/json";

/// What an answer is made from.
pub(super) struct Inside<'w> {
    pub(super) cluster: &'w mut Cluster,
    pub(super) services: &'w Services,
    /// What callers must show in `X-Internal-API-Key`, if anything.
    pub(super) key: Option<&'w str>,
    pub(super) now: Timestamp,
    pub(super) pace: Pace,
}

/// Answers a request to the pod of this uid.
pub(super) fn answer(inside: Inside<'_>, uid: &str, received: &Received) -> Reply {
    let found = inside.cluster.pods.values().find(|pod| pod.uid == uid && pod.serves());
    let Some(pod) = found else { return Reply::Cut };
    let inference = pod.service == load::SERVICE;
    let (method, path) = (received.method.as_str(), received.path.as_str());
    let allowed = match path {
        "/api/health" => "GET",
        "/health" | "/stats" | "/models" if inference => "GET",
        "/models/swap" if inference => "POST",
        _ => return json_reply(404, &json!({"detail": "Not Found"})),
    };
    if method != allowed {
        let body = json!({"detail": "Method Not Allowed"}).to_string();
        return Reply::Answer(Answer::new(405, JSON, body).with("Allow", allowed));
    }
    let internal = !matches!(path, "/api/health" | "/health");
    if internal && inside.key.is_some_and(|key| received.header("x-internal-api-key") != Some(key)) {
        return json_reply(401, &json!({"detail": "Invalid internal API key"}));
    }
    match path {
        "/api/health" => health(pod),
        "/models" => {
            let tags: Vec<&str> = MODELS.iter().map(|model| model.tag).collect();
            json_reply(200, &json!({"current_model": current(pod, inside.now), "models": tags}))
        }
        "/models/swap" => swap(inside, uid, received),
        _ => json_reply(200, &stats(pod, &inside)),
    }
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::Answer(Answer::new(status, JSON, body.to_string()))
}

fn health(pod: &Pod) -> Reply {
    let size = pod.pool_size();
    let (status, database) = if pod.dry { (503, "unavailable") } else { (200, "ok") };
    json_reply(
        status,
        &json!({
            "status": if pod.dry { "unhealthy" } else { "ok" },
            "service": pod.service,
            "database": database,
            // A share of the pool is always in use under load.
            "pool": {"size": size, "in_use": if pod.dry { size } else { size / 2 }, "exhausted": pod.dry},
        }),
    )
}

fn current(pod: &Pod, now: Timestamp) -> Option<&'static str> {
    pod.loaded.as_ref().map(|loaded| loaded.current(now).tag)
}

fn stats(pod: &Pod, inside: &Inside<'_>) -> Value {
    let draining = pod.loaded.as_ref().is_some_and(|loaded| loaded.is_loading(inside.now));
    let work = inside.services.load.work();
    let (busy, queue) = if draining { (0, 0) } else { (work.busy.min(WORKERS), work.queue) };
    let workers: Vec<Value> =
        (0..WORKERS).map(|worker| json!({"worker_id": worker, "busy": worker < busy})).collect();
    json!({
        "status": "ok",
        "ready": pod.loaded.is_some(),
        "current_model": current(pod, inside.now),
        "total_workers": WORKERS,
        "available_workers": WORKERS - busy,
        "busy_workers": busy,
        "draining": draining,
        "workers": workers,
        "queue_depth": queue,
        "memory": told(pod, inside.now, inside.pace),
    })
}

fn swap(inside: Inside<'_>, uid: &str, received: &Received) -> Reply {
    let unprocessable = |kind: &str, place: Value, why: &str| {
        json_reply(422, &json!({"detail": [{"type": kind, "loc": place, "msg": why, "input": null}]}))
    };
    let Ok(body) = serde_json::from_slice::<Value>(&received.body) else {
        return unprocessable("json_invalid", json!(["body", 0]), "JSON decode error");
    };
    let tag = match &body["model_tag"] {
        Value::String(tag) => tag,
        Value::Null => return unprocessable("missing", json!(["body", "model_tag"]), "Field required"),
        _ => {
            let why = "Input should be a valid string";
            return unprocessable("string_type", json!(["body", "model_tag"]), why);
        }
    };
    // What can not be loaded is an error that nobody catches.
    let Some(model) = Model::of(tag) else {
        return Reply::Answer(Answer::new(500, "text/plain; charset=utf-8", "Internal Server Error"));
    };
    let Inside { cluster, now, pace, .. } = inside;
    let Some(until) = cluster.swap(uid, model, now, pace) else { return Reply::Cut };
    let killed = !cluster.pods.values().any(|pod| pod.uid == uid && pod.serves());
    if killed {
        return Reply::Cut;
    }
    let answer = Answer::new(202, JSON, json!({"status": "ok", "current_model": model.tag}).to_string());
    Reply::Late(answer, until.duration_since(now).unsigned_abs())
}
