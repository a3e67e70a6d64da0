//! The expressions of `deploy/prometheus/alerts.yaml` about memory and latency, and the same for one service.

use std::sync::LazyLock;

use jiff::SignedDuration;
use regex::Regex;

use super::{Labels, Series, World, duration, matchers, pattern};

/// `histogram_quantile`, by service or of all services that the matchers leave.
static QUANTILE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let by = r"(le|namespace,app,le|app,le|le,app|le,namespace,app|le,app,namespace)";
    let rate = r"rate\(http_request_duration_seconds_bucket(?:\{([^{}]*)\})?\[([0-9a-z]+)\]\)";
    pattern(&format!(r"histogram_quantile\(([0-9.]+),sum(?:by\({by}\)\({rate}\)|\({rate}\)by\({by}\))\)"))
});
/// What containers hold of what they may; both sides must be about the same containers.
static CONTAINERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let by = r"by\(namespace,pod,container\)";
    pattern(&format!(
        r#"max{by}\(container_memory_working_set_bytes\{{(?:([^{{}}]*),)?container!="",container!="POD"\}}\)/on\(namespace,pod,container\)sum{by}\(kube_pod_container_resource_limits\{{(?:([^{{}}]*),)?resource="memory"\}}\)"#
    ))
});
const NODES: &str = "1-node_memory_MemAvailable_bytes/node_memory_MemTotal_bytes";
const KILLED: &str = r#"kube_pod_container_status_last_terminated_reason{reason="OOMKilled"}==1andon(namespace,pod,container)changes(kube_pod_container_status_restarts_total[15m])"#;

fn owned(labels: impl IntoIterator<Item = (&'static str, String)>) -> Labels {
    labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn holds(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name).map_or("", String::as_str) == value)
}

/// What the expression gives, if it is one of these.
pub(super) fn computed(world: &World<'_>, text: &str) -> Option<Series> {
    let (now, pace) = (world.now, world.pace);
    // Brackets around all of it.
    if text == NODES || text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) == Some(NODES) {
        let nodes = world.cluster.node_memory(now, pace).into_iter();
        let labels =
            |node: String| owned([("instance", format!("{node}:9100")), ("job", "node-exporter".to_owned())]);
        return Some(nodes.map(|(node, share)| (labels(node), share)).collect());
    }
    if text == KILLED {
        let killed = world.cluster.oom_killed(now, pace).into_iter();
        let labels = |labels: [(&'static str, String); 3]| {
            let more = [
                ("reason", "OOMKilled".to_owned()),
                ("__name__", "kube_pod_container_status_last_terminated_reason".to_owned()),
            ];
            owned(labels.into_iter().chain(more))
        };
        return Some(killed.map(|found| (labels(found), 1.0)).collect());
    }
    if let Some(found) = CONTAINERS.as_ref()?.captures(text) {
        let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
        let wanted = matchers(part(1)).filter(|_| part(1) == part(2))?;
        let containers = world.cluster.container_memory(now, pace).into_iter();
        let all = containers.map(|(labels, share)| (owned(labels), share));
        return Some(all.filter(|(labels, _)| holds(labels, &wanted)).collect());
    }
    quantile(world, text)
}

fn quantile(world: &World<'_>, text: &str) -> Option<Series> {
    let found = QUANTILE.as_ref()?.captures(text)?;
    let part =
        |at: usize, or: usize| found.get(at).or_else(|| found.get(or)).map_or("", |part| part.as_str());
    let (by, wanted, range) = (part(2, 7), matchers(part(3, 5))?, duration(part(4, 6))?);
    let quantile: f64 = found[1].parse().ok()?;
    let window = SignedDuration::try_from(range).ok()?;
    let labels =
        |app: &str| owned([("namespace", crate::sandbox::NAMESPACE.to_owned()), ("app", app.to_owned())]);
    let mut apps = world.services.names().to_vec();
    apps.retain(|app| holds(&labels(app), &wanted));
    if by == "le" {
        let of_all = world.services.quantile_of_all(&apps, quantile, world.now, window);
        return Some(of_all.map(|value| (Labels::new(), value)).into_iter().collect());
    }
    let each = apps.into_iter().filter_map(|app| {
        let mut labels = labels(app);
        labels.retain(|name, _| by.contains(name.as_str()));
        Some((labels, world.services.quantile(app, quantile, world.now, window)?))
    });
    Some(each.collect())
}
