//! Counts the pods of a namespace that are in a state. No pod at all is unknown and never 0: a wrong namespace, a Deployment scaled to nothing
//! and health look the same in an empty list.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Scope, figures, held, object};
use crate::clients::kubernetes::{Container, Kubernetes, Owner, Pod};
use crate::clock::between;
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{PodState, PodsProbe, Threshold};
use crate::text::{count, span};

/// The kubelet should have ended a pod by its `deletionTimestamp`; this much later it is stuck.
pub(super) const STUCK: Duration = Duration::from_secs(30);
/// How many pods are shown to people.
const SAMPLES: usize = 3;

pub(super) struct Question<'a> {
    pub(super) name: &'a str,
    pub(super) probe: &'a PodsProbe,
    pub(super) threshold: Threshold,
    /// What happened before does not count; none for a state of this moment. With it a container that ended since counts as crash-looping, whatever
    /// it does now.
    pub(super) from: Option<Timestamp>,
    /// What was to have ended before this moment, and has not, is stuck.
    pub(super) overdue: Timestamp,
}

pub(super) async fn ask(kubernetes: &Kubernetes, scope: &Scope<'_>, question: Question<'_>) -> Evidence {
    let Question { name, probe, .. } = question;
    let (namespace, deployment) = match object(scope, &probe.namespace, probe.deployment.as_ref()) {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let node = match probe.node.as_ref().map(|node| scope.fill(node)).transpose() {
        Ok(node) => node,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let whose = deployment.as_ref().map_or_else(String::new, |name| format!(" of deployment/{name}"));
    let on = node.as_ref().map_or_else(String::new, |node| format!(" on node/{node}"));
    let asked = format!("pods{whose} in {namespace}{on}: {}", probe.state.as_str());
    match kubernetes.pods(&namespace).await {
        Ok(pods) => {
            let of =
                |pod: &&Pod| deployment.as_deref().is_none_or(|wanted| deployment_of(pod) == Some(wanted));
            let pods: Vec<&Pod> = pods.iter().filter(of).collect();
            answer(scope.now, &question, node.as_deref(), asked, &pods)
        }
        Err(error) => Evidence::unknown(name, asked, error.to_string()),
    }
}

/// The Deployment that a pod belongs to.
pub(super) fn deployment_of(pod: &Pod) -> Option<&str> {
    let of_one = |owner: &&Owner| owner.kind == "Deployment";
    pod.owner.as_ref().filter(of_one).map(|owner| owner.name.as_str())
}

fn answer(
    now: Timestamp,
    question: &Question<'_>,
    node: Option<&str>,
    asked: String,
    pods: &[&Pod],
) -> Evidence {
    let Question { name, probe, threshold, from, .. } = question;
    if pods.is_empty() {
        let why = "there is no such pod, so nothing can be said of its state".to_owned();
        return Evidence::unknown(name, asked, why);
    }
    // That a node has no pods is an answer, once the namespace has some.
    let on_node: Vec<&Pod> = pods
        .iter()
        .filter(|pod| node.is_none_or(|node| pod.node.as_deref() == Some(node)))
        .copied()
        .collect();
    let pods = on_node.as_slice();
    let found: Vec<(&Pod, Option<&Container>)> = pods
        .iter()
        .filter_map(|pod| Some((*pod, sign(pod, probe.state, *from, question.overdue)?)))
        .collect();
    let mut by: BTreeMap<String, f64> = BTreeMap::new();
    if probe.by_deployment {
        for deployment in found.iter().filter_map(|(pod, _)| deployment_of(pod)) {
            *by.entry(deployment.to_owned()).or_default() += 1.0;
        }
    }
    let all = figures(&by);
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 pods")]
    let total = if probe.by_deployment { by.values().sum() } else { found.len() as f64 };
    let verdict = held(*threshold, total, probe.by_deployment.then_some(&mut by));
    let mut saw =
        format!("{} of {} {}", found.len(), count(pods.len() as u64, "pod", "pods"), words(probe.state));
    if !all.is_empty() {
        saw = format!("{saw}: {all}");
    }
    if let Some(from) = from {
        saw = format!("{saw} in {}", span(between(*from, now)));
    }
    let sample = |(pod, container): &(&Pod, Option<&Container>)| Sample {
        is_state: true,
        at: container.and_then(|container| container.ended.as_ref()?.at).unwrap_or(now),
        from: pod.name.clone(),
        line: container.map_or_else(|| how(pod, probe.state), ToString::to_string),
    };
    Evidence {
        by,
        samples: found.iter().take(SAMPLES).map(sample).collect(),
        window: from.map(|from| (from, now)),
        ..Evidence::found(name, asked, verdict, format!("{saw}; {threshold}"))
    }
}

/// Whether the pod is in the state, and the container that shows it, if one does.
fn sign(
    pod: &Pod,
    state: PodState,
    from: Option<Timestamp>,
    overdue: Timestamp,
) -> Option<Option<&Container>> {
    let recent = |container: &&Container| {
        let at = container.ended.as_ref().and_then(|ended| ended.at);
        at.is_some_and(|at| from.is_none_or(|from| at >= from))
    };
    let shows = |container: &&Container| match state {
        PodState::NotReady | PodState::Unhealthy => container.waiting.is_some(),
        PodState::CrashLooping => {
            container.waiting.as_deref() == Some("CrashLoopBackOff")
                || from.is_some() && container.restarts > 0 && recent(container)
        }
        PodState::ImageNotPulled => matches!(
            container.waiting.as_deref(),
            Some("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull")
        ),
        PodState::Restarted => container.restarts > 0 && recent(container),
        PodState::Unscheduled | PodState::Stuck => false,
        PodState::OomKilled => {
            recent(container) && container.ended.as_ref().is_some_and(|ended| ended.reason == "OOMKilled")
        }
    };
    let shown = pod.containers.iter().find(shows);
    match state {
        PodState::Unhealthy => sign(pod, PodState::CrashLooping, from, overdue)
            .or_else(|| sign(pod, PodState::NotReady, from, overdue)),
        PodState::Unscheduled => (pod.node.is_none() && !pod.stopping).then_some(None),
        PodState::Stuck => pod.ends_by.is_some_and(|ends_by| ends_by < overdue).then_some(None),
        PodState::NotReady if pod.ready || pod.succeeded || pod.stopping => None,
        PodState::NotReady => Some(shown),
        _ => shown.map(Some),
    }
}

/// How a pod is that no container shows.
fn how(pod: &Pod, state: PodState) -> String {
    let on = pod.node.as_ref().map_or_else(String::new, |node| format!(" (node/{node})"));
    match (state, pod.node.is_none()) {
        (PodState::Stuck, _) => format!("was to end, and has not{on}"),
        (_, true) => "no node takes it".to_owned(),
        _ => format!("its Ready condition is not True{on}"),
    }
}

const fn words(state: PodState) -> &'static str {
    match state {
        PodState::NotReady => "not ready",
        PodState::CrashLooping => "crash-looping",
        PodState::Unhealthy => "not ready or crash-looping",
        PodState::Unscheduled => "without a node",
        PodState::Stuck => "stuck",
        PodState::ImageNotPulled => "without their image",
        PodState::Restarted => "restarted",
        PodState::OomKilled => "killed for memory",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::kubernetes::Ended;
    use crate::incident::evidence::Verdict;
    use crate::runbook::Template;

    const NOW: i64 = 10_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(name: &str, owner: &str) -> Pod {
        let (kind, owner) = owner.split_once('/').unwrap();
        Pod {
            name: name.to_owned(),
            uid: String::new(),
            labels: BTreeMap::new(),
            node: Some("node-1".to_owned()),
            ends_by: None,
            address: None,
            grace: Duration::from_secs(30),
            owner: Some(Owner { kind: kind.to_owned(), name: owner.to_owned() }),
            ready: true,
            succeeded: false,
            stopping: false,
            first_container: Some("c".to_owned()),
            containers: vec![Container { name: "c".to_owned(), restarts: 0, waiting: None, ended: None }],
        }
    }

    /// It waits for this reason, and ended so, so many seconds ago.
    fn bad(name: &str, owner: &str, waiting: &str, reason: &str, ago: i64) -> Pod {
        let ended = Ended { reason: reason.to_owned(), exit_code: 137, at: Some(at(NOW - ago)) };
        let waiting = Some(waiting.to_owned()).filter(|waiting| !waiting.is_empty());
        let container = Container { name: "c".to_owned(), restarts: 3, waiting, ended: Some(ended) };
        Pod { ready: false, containers: vec![container], ..pod(name, owner) }
    }

    fn asked(state: PodState, by_deployment: bool, threshold: Threshold, pods: &[Pod]) -> Evidence {
        let window = state.is_past().then_some(Duration::from_secs(60));
        let namespace = Template::parse("shop").unwrap();
        let probe =
            PodsProbe { namespace, deployment: None, node: None, state, window, by_deployment, threshold };
        let from = window.map(|_| at(NOW - 60));
        let question = Question { name: "p", probe: &probe, threshold, from, overdue: at(NOW - 30) };
        answer(at(NOW), &question, None, String::new(), &pods.iter().collect::<Vec<_>>())
    }

    #[test]
    fn each_state_is_what_kubernetes_says_of_it() {
        let web = "Deployment/web";
        let old = bad("old", web, "", "OOMKilled", 61);
        let new = bad("new", web, "", "OOMKilled", 59);
        let looping = bad("looping", web, "CrashLoopBackOff", "Error", 500);
        let image = bad("image", web, "ErrImagePull", "", 500);
        // On a node that is gone: still `Running`, no container waits, and only the condition tells.
        let lost = Pod { ready: false, ..pod("lost", web) };
        let done = Pod { ready: false, succeeded: true, ..pod("done", web) };
        let stopping =
            Pod { ready: false, stopping: true, ends_by: Some(at(NOW + 5)), ..pod("stopping", web) };
        let stuck = Pod { ready: false, stopping: true, ends_by: Some(at(NOW - 31)), ..pod("stuck", web) };
        let nowhere = Pod { ready: false, node: None, ..pod("nowhere", web) };
        let pods = [old, new, looping, image, lost, done, stopping, stuck, nowhere, pod("well", web)];
        for (state, expected) in [
            (PodState::NotReady, &["old", "new", "looping"][..]),
            (PodState::CrashLooping, &["looping"]),
            (PodState::Unhealthy, &["old", "new", "looping"]),
            (PodState::Unscheduled, &["nowhere"]),
            (PodState::Stuck, &["stuck"]),
            (PodState::ImageNotPulled, &["image"]),
            (PodState::Restarted, &["new"]),
            (PodState::OomKilled, &["new"]),
        ] {
            let evidence = asked(state, false, Threshold::AtLeast(1.0), &pods);
            let from: Vec<&str> = evidence.samples.iter().map(|sample| sample.from.as_str()).collect();
            assert_eq!(from, expected, "{state:?}: {}", evidence.saw);
            assert_eq!(evidence.verdict, Verdict::Holds);
        }
        let all = asked(PodState::NotReady, false, Threshold::AtLeast(7.0), &pods);
        assert_eq!((all.verdict, all.saw.as_str()), (Verdict::Fails, "6 of 10 pods not ready; at least 7"));
    }

    #[test]
    fn a_container_that_runs_between_two_crashes_does_not_pass_for_well() {
        let between = bad("a", "Deployment/web", "", "Error", 5);
        assert!(sign(&between, PodState::CrashLooping, None, at(NOW)).is_none());
        let ready = Pod { ready: true, ..between.clone() };
        assert!(sign(&ready, PodState::Unhealthy, None, at(NOW)).is_none());
        assert!(sign(&ready, PodState::Unhealthy, Some(at(NOW - 60)), at(NOW)).is_some());
        assert!(sign(&between, PodState::CrashLooping, Some(at(NOW - 60)), at(NOW)).is_some());
        assert!(
            sign(&between, PodState::CrashLooping, Some(at(NOW - 4)), at(NOW)).is_none(),
            "before the effect"
        );
    }

    #[test]
    fn no_pod_at_all_is_unknown_on_both_sides_of_every_threshold() {
        for threshold in [Threshold::AtLeast(1.0), Threshold::AtMost(0.0)] {
            for by_deployment in [false, true] {
                let evidence = asked(PodState::CrashLooping, by_deployment, threshold, &[]);
                assert!(matches!(evidence.verdict, Verdict::Unknown { .. }), "{evidence:?}");
            }
        }
        let well = [pod("a", "Deployment/web")];
        let evidence = asked(PodState::CrashLooping, true, Threshold::AtMost(0.0), &well);
        assert_eq!(evidence.verdict, Verdict::Holds);
    }

    #[test]
    fn each_deployment_is_held_against_the_threshold_and_nothing_else_is_named() {
        let looping = |name, owner| bad(name, owner, "CrashLoopBackOff", "Error", 5);
        let pods = [
            looping("a", "Deployment/web"),
            looping("b", "Deployment/web"),
            looping("c", "Deployment/auth"),
            looping("d", "StatefulSet/db"),
            looping("e", "ReplicaSet/web-1234"),
        ];
        let evidence = asked(PodState::CrashLooping, true, Threshold::AtLeast(2.0), &pods);
        assert_eq!(evidence.by, BTreeMap::from([("web".to_owned(), 2.0)]));
        assert_eq!(evidence.saw, "5 of 5 pods crash-looping: web 2, auth 1; at least 2");
        let others = asked(PodState::CrashLooping, true, Threshold::AtLeast(1.0), &pods[3..]);
        assert_eq!((others.verdict, others.by.len()), (Verdict::Fails, 0), "no Deployment to act on");
    }
}
