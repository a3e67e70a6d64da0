//! The lines that services log: requests that were answered, and what went wrong with others.

use std::time::Duration;

use serde_json::{Value, json};

use super::trace;
use crate::sandbox::chance::Chance;
use crate::sandbox::cluster::Pod;
use crate::sandbox::load::{Load, QUEUE, WORKERS};

/// Why a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// The pool of the process has no connection left.
    Pool,
    /// The database takes no more connections.
    Database,
}

pub(super) fn success(service: &str, took: Duration, trace: String) -> Value {
    let path = match service {
        "frontend" => "/",
        "auth" => "/api/session",
        "inference" => "/generate",
        _ => "/api/chats",
    };
    let millis = took.as_millis();
    let mut line = json!({
        "level": "info", "service": service, "message": "request done", "method": "GET", "path": path, "status": 200,
        "duration_ms": millis, "trace_id": trace,
    });
    if service == "chat-api" {
        line["inference_time_ms"] = json!(millis);
    }
    line
}

pub(super) fn failure(service: &str, pod: &Pod, why: Failed, trace: String, chance: &mut Chance) -> Value {
    let (message, status) = match (why, chance.below(4)) {
        (Failed::Database, _) => {
            ("asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already".to_owned(), 500)
        }
        (Failed::Pool, 0) => ("timeout acquiring connection from pool".to_owned(), 503),
        (Failed::Pool, 1) => ("sqlalchemy QueuePool overflow".to_owned(), 503),
        (Failed::Pool, 2) => {
            ("asyncpg.exceptions.TooManyConnectionsError: connection pool exhausted".to_owned(), 503)
        }
        (Failed::Pool, _) => {
            let size = pod.pool_size();
            (format!("QueuePool limit of size {size} overflow 10 reached, connection timed out"), 503)
        }
    };
    json!({"level": "error", "service": service, "message": message, "status": status, "trace_id": trace})
}

/// What a process says besides, while more is asked of the inference service than it has workers. Some of it is no JSON.
pub(super) fn under_load(service: &str, load: &Load, chance: &mut Chance) -> Option<String> {
    let depth = load.depth();
    if depth < 1.0 {
        return None;
    }
    match (service, chance.below(12)) {
        ("chat-api", 0) => {
            Some(r#"{"level":"info","message":"request done","inference_time_ms":"#.to_owned())
        }
        ("chat-api", 1) => {
            let line = json!({"level": "warning", "service": service, "message": "inference was given up by its client",
                              "inference_time_ms": "n/a", "trace_id": trace(chance)});
            Some(line.to_string())
        }
        ("inference", number @ 0..=5) => {
            let message = if depth > QUEUE && number < 3 {
                format!("queue full: {QUEUE} requests wait already, try again later")
            } else {
                format!("every worker busy ({WORKERS} of {WORKERS}), request queued")
            };
            let line = json!({"level": "warning", "service": service, "message": message, "queue_depth": depth.ceil(),
                              "trace_id": trace(chance)});
            Some(line.to_string())
        }
        _ => None,
    }
}
