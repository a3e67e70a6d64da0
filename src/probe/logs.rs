//! What crashed containers wrote before they were started again: `kubectl logs --previous`. For people, mostly: the last lines say why.

use jiff::Timestamp;

use super::{Scope, held, one_object, pods};
use crate::clients::kubernetes::{Container, Kubernetes, Pod};
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{LogsProbe, Threshold};
use crate::text::{count, cut};

/// Of how many pods the logs are read, those that ended last first.
const PODS: usize = 3;
/// How many lines of each.
const LINES: u32 = 20;
/// How many of them are shown to people.
const SHOWN: usize = 5;
/// How long a line that is shown may be.
const LENGTH: usize = 300;

/// `since`: a container that ended before does not count.
pub(super) async fn ask(
    kubernetes: &Kubernetes,
    scope: &Scope<'_>,
    name: &str,
    probe: &LogsProbe,
    threshold: Threshold,
    since: Option<Timestamp>,
) -> Evidence {
    let (namespace, deployment) = match one_object(scope, &probe.namespace, probe.deployment.as_ref()) {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let asked = format!("previous logs of deployment/{deployment} in {namespace}");
    let unknown = |why: String| Evidence::unknown(name, asked.clone(), why);
    let all = match kubernetes.pods(&namespace).await {
        Ok(all) => all,
        Err(error) => return unknown(error.to_string()),
    };
    let own: Vec<&Pod> = all.iter().filter(|pod| pods::deployment_of(pod) == Some(&deployment)).collect();
    if own.is_empty() {
        return unknown("there is no such pod".to_owned());
    }
    let mut ended: Vec<(Timestamp, &Pod, &Container)> = own
        .iter()
        .filter_map(|pod| {
            let at = |container: &Container| container.ended.as_ref().and_then(|ended| ended.at);
            let crashed = |container: &&Container| container.restarts > 0 && at(container) >= since;
            let last = pod.containers.iter().filter(crashed).max_by_key(|container| at(container))?;
            Some((at(last)?, *pod, last))
        })
        .collect();
    ended.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let (mut lines, mut samples) = (0, Vec::new());
    for (at, pod, container) in ended.iter().take(PODS) {
        match kubernetes.previous_logs(&namespace, &pod.name, &container.name, LINES).await {
            Ok(text) => {
                let text = text.unwrap_or_default();
                let written: Vec<&str> = text.lines().collect();
                lines += written.len();
                samples.extend(written.iter().rev().take(SHOWN).map(|line| Sample {
                    is_state: false,
                    at: *at,
                    from: pod.name.clone(),
                    line: cut(line, LENGTH),
                }));
            }
            Err(error) => return unknown(error.to_string()),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 lines")]
    let verdict = held(threshold, lines as f64, None);
    let crashed = count(ended.len() as u64, "pod was", "pods were");
    let lines = count(lines as u64, "line", "lines");
    let saw = format!("{crashed} started again, and wrote {lines} before; {threshold}");
    Evidence {
        samples,
        window: since.map(|since| (since, scope.now)),
        ..Evidence::found(name, asked, verdict, saw)
    }
}
