//! What a service's own HTTP port answers: `/api/health`, from one of its pods, as a Service's address reaches one of N. A pod whose
//! connection pool is exhausted says so with 503; without any pod that serves, nobody answers.
//!
//! kube-proxy refuses the connection in that case. A listener can not refuse, so here it is closed without an answer.

use serde_json::json;

use super::chance::Chance;
use super::cluster::{Cluster, Pod};
use super::server::{Answer, Received, Reply};

/// Answers a request to this service.
pub(super) fn answer(service: &str, cluster: &Cluster, chance: &mut Chance, received: &Received) -> Reply {
    let pods: Vec<&Pod> =
        cluster.pods.values().filter(|pod| pod.service == service && pod.serves()).collect();
    let one = usize::try_from(chance.below(64)).unwrap_or(0) % pods.len().max(1);
    let Some(pod) = pods.get(one) else { return Reply::Cut };
    if received.path != "/api/health" {
        let body = json!({"detail": "Not Found"}).to_string();
        return Reply::Answer(Answer::new(404, "application/json", body));
    }
    if received.method != "GET" {
        let body = json!({"detail": "Method Not Allowed"}).to_string();
        return Reply::Answer(Answer::new(405, "application/json", body).with("Allow", "GET"));
    }
    let size = pod.pool_size();
    let (status, database) = if pod.dry { (503, "unavailable") } else { (200, "ok") };
    let body = json!({
        "status": if pod.dry { "unhealthy" } else { "ok" },
        "service": service,
        "database": database,
        // A share of the pool is always in use under load.
        "pool": {"size": size, "in_use": if pod.dry { size } else { size / 2 }, "exhausted": pod.dry},
    });
    Reply::Answer(Answer::new(status, "application/json", body.to_string()))
}
