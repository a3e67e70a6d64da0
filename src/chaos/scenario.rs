//! Scenarios: a fault, and everything that must come true after it. Pure data and a verdict; who makes the fault and watches is the caller's.

use std::time::Duration;

use crate::incident::Outcome;
use crate::sandbox::{CrashCause, CrashFault, NodeFault, PoolFault, ValidationRecord, World};
use crate::text::span;

/// The Simulate section of a scenario of the chaos page, and what it must lead to.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// One sentence for people.
    pub summary: &'static str,
    /// What is broken, and is to be well before and perhaps after.
    pub service: &'static str,
    /// Whether it is.
    pub well: fn(&World) -> bool,
    /// What that means, in words.
    pub means: &'static str,
    /// Breaks it.
    pub fault: fn(&World),
    /// What was broken, in words.
    pub broke: &'static str,
    /// The alerts of which one is to fire.
    pub alerts: &'static [&'static str],
    /// The runbook that is to answer.
    pub runbook: &'static str,
    /// How its incident is to end.
    pub outcome: Outcome,
    /// Whether the service may be well again before an alert fires: then nobody was needed.
    pub may_heal_first: bool,
    /// Whether the service is to be well in the end.
    pub recovers: bool,
    /// How many changes the daemon is to make in the cluster, putting back included.
    pub writes: usize,
    /// What is changed for a while only, if anything is.
    pub for_a_while: Option<ForAWhile>,
}

/// A change that is to be put back in its time, by an incident of its own that recovers.
#[derive(Debug)]
pub struct ForAWhile {
    /// Ends what made the change necessary, once it has helped: else the trouble would come back with the old values.
    pub passes: fn(&World),
    /// What ended, in words.
    pub passed: &'static str,
    /// How long the change is to stay, at the pace of reality.
    pub stays: Duration,
}

/// What was seen after the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The alert that fired; none when the service was well again before one could.
    pub alert: Option<String>,
    /// The runbook that answered, and how its incident ended.
    pub incident: Option<(String, Option<Outcome>)>,
    /// How long after the incident's beginning, at the pace of reality, what it changed began to be put back, and how that ended; none when it was not.
    pub put_back: Option<(Duration, Option<Outcome>)>,
    /// How many changes the cluster saw.
    pub writes: usize,
    /// Whether every pod that is wanted is ready, and the newest rollout complete.
    pub well: bool,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether it came true.
    pub holds: bool,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

const SERVICE: &str = "chat-api";
/// What is asked of pods.
const PODS: &str = "every pod ready, rollout complete";

/// Scenario 1 of the chaos page.
pub const POD_KILL: Scenario = Scenario {
    name: "pod-kill",
    summary: "One pod of chat-api is deleted; Kubernetes replaces it, and nothing is done.",
    service: SERVICE,
    means: PODS,
    well: |world| is_well(world, SERVICE),
    fault: |world| {
        if let Some(pod) = world.pods(SERVICE).first() {
            world.end_pod(&pod.name);
        }
    },
    broke: "one pod of chat-api is deleted",
    alerts: &["ReplicasUnavailable", "PodRestarts"],
    runbook: "pod-crash",
    outcome: Outcome::SelfHealed,
    may_heal_first: true,
    recovers: true,
    writes: 0,
    for_a_while: None,
};

/// The other half of scenario 1: what Kubernetes can not mend.
pub const CRASH_LOOP: Scenario = Scenario {
    name: "crash-loop",
    summary: "The containers of chat-api crash, new ones, too; a person is called with the evidence, and nothing is done.",
    service: SERVICE,
    means: PODS,
    well: |world| is_well(world, SERVICE),
    fault: |world| {
        world.crash(
            SERVICE,
            &CrashFault {
                reason: "Error",
                exit_code: 1,
                lasts: Duration::from_secs(15),
                cause: CrashCause::EveryPod,
            },
        );
    },
    broke: "the process of every chat-api pod ends with exit code 1, again and again",
    alerts: &["ReplicasUnavailable", "PodRestarts"],
    runbook: "pod-crash",
    outcome: Outcome::NotRecovered,
    may_heal_first: false,
    recovers: false,
    writes: 0,
    for_a_while: None,
};

/// Scenario 2 of the chaos page. The nodes have no room to spare, so that one pod has no place until another node joins.
pub const NODE_FAILURE: Scenario = Scenario {
    name: "node-failure",
    summary: "The machine of a node ends; another joins, the pods move, and nothing is done.",
    service: "every service, and every node",
    means: PODS,
    well: |world| {
        let nodes = world.nodes();
        nodes.len() >= NODES
            && nodes.iter().all(|(_, is_ready)| *is_ready)
            && ["frontend", "auth", SERVICE, INFERENCE].iter().all(|service| is_well(world, service))
    },
    fault: |world| {
        world.set_room(3);
        let node = world.pods(SERVICE).into_iter().find_map(|pod| pod.node);
        let fault = NodeFault { removed: true, collected: true, replaced: true };
        world.end_machine(&node.unwrap_or_default(), fault);
    },
    broke: "the machine of a node with a pod of chat-api is terminated",
    alerts: &["NodeNotReady", "NodeGone"],
    runbook: "node-failure",
    outcome: Outcome::SelfHealed,
    may_heal_first: false,
    recovers: true,
    writes: 0,
    for_a_while: None,
};

/// Scenario 3 of the chaos page. The load needs more connections than the pools of two pods have: new pods are well for a moment, and a larger pool for good.
pub const DATABASE_POOL: Scenario = Scenario {
    name: "database-pool",
    summary: "The requests of chat-api need more connections than its pools have; a restart does not help, and a pool that the database has room for does.",
    service: SERVICE,
    means: PODS,
    well: |world| is_well(world, SERVICE) && world.pods(SERVICE).iter().all(|pod| !pod.exhausted),
    fault: |world| {
        world.exhaust_pool(SERVICE, PoolFault::Demand { connections: 40, after: Duration::from_secs(20) });
    },
    broke: "the requests of chat-api need 40 connections to the database at a time, and its pools have 30",
    alerts: &["High5xxRate"],
    runbook: "database-pool-exhaustion",
    outcome: Outcome::Recovered,
    may_heal_first: false,
    recovers: true,
    writes: 2,
    for_a_while: None,
};

/// Scenario 5 of the chaos page. Fifty clients meet the four workers of one pod; three pods answer them in time, and two do not.
pub const HIGH_LATENCY: Scenario = Scenario {
    name: "high-latency",
    summary: "Too many clients ask inference; it gets more pods, and two hours later, when the clients are gone, as few as before.",
    service: INFERENCE,
    means: PODS,
    well: |world| {
        is_well(world, INFERENCE)
            && world.pods(INFERENCE).len() == 1
            && world.p99(SERVICE).is_none_or(|p99| p99 <= 5.0)
    },
    fault: |world| world.flood(50),
    broke: "50 clients ask inference at the same time, again and again",
    alerts: &["HighP99Latency"],
    runbook: "high-latency",
    outcome: Outcome::Recovered,
    may_heal_first: false,
    recovers: true,
    writes: 2,
    for_a_while: Some(ForAWhile {
        passes: |world| world.flood(0),
        passed: "the clients are gone",
        stays: Duration::from_hours(2),
    }),
};

/// Scenario 4 of the chaos page: somebody has set the limit too low.
pub const INFERENCE_OOM: Scenario = Scenario {
    name: "inference-oom",
    summary: "The memory limit of inference is set too low; it is raised, and when all is well the declared one is put back.",
    service: INFERENCE,
    means: PODS,
    well: |world| is_well(world, INFERENCE) && !too_large(world),
    fault: |world| {
        world.set_memory_limit(INFERENCE, "512Mi");
    },
    broke: "the memory limit of inference is 512Mi, which its model does not fit in",
    alerts: &["ContainerOOMKilled", "HighMemory"],
    runbook: "inference-oom",
    outcome: Outcome::Recovered,
    may_heal_first: false,
    recovers: true,
    writes: 2,
    for_a_while: Some(ForAWhile {
        passes: |_| {},
        passed: "nothing has to: what is put back is the declared 8Gi",
        stays: Duration::ZERO,
    }),
};

/// The other half of scenario 4: a model that does not fit in the declared limit.
pub const LARGE_MODEL: Scenario = Scenario {
    name: "large-model",
    summary: "Inference loads a model that is too large for its memory limit; every pod is told to load the smaller one.",
    service: INFERENCE,
    means: PODS,
    well: |world| is_well(world, INFERENCE) && !too_large(world),
    fault: |world| {
        world.set_default_model("samosachaat-d32");
    },
    broke: "inference has loaded samosachaat-d32, which needs more than its 8Gi",
    alerts: &["ContainerOOMKilled", "HighMemory"],
    runbook: "inference-oom",
    outcome: Outcome::Recovered,
    may_heal_first: false,
    recovers: true,
    // The cluster itself is not changed.
    writes: 0,
    for_a_while: None,
};

/// Scenario 6 of the chaos page: somebody has removed the record by which ACM validates the certificate, so that it could not be renewed.
pub const CERTIFICATE: Scenario = Scenario {
    name: "certificate",
    summary: "The record by which ACM validates the public certificate is gone, and ten days are left; the record is written, and ACM renews it.",
    service: "the certificate of samosachaat.art",
    means: "its record is right, more than 45 days are left",
    well: is_renewed,
    fault: |world| lapses(world, ValidationRecord::Missing),
    broke: "the validation record is removed, and the host presents a certificate that ends in ten days",
    alerts: &["CertificateExpiresSoon"],
    runbook: "certificate",
    outcome: Outcome::Recovered,
    may_heal_first: false,
    recovers: true,
    // The cluster itself is not changed.
    writes: 0,
    for_a_while: None,
};

/// The same with a record that somebody has changed.
pub const CERTIFICATE_RECORD: Scenario = Scenario {
    name: "certificate-record",
    summary: "The record by which ACM validates the public certificate has another value, and ten days are left; it is written as ACM asks for it.",
    fault: |world| lapses(world, ValidationRecord::Wrong),
    broke: "the validation record is changed, and the host presents a certificate that ends in ten days",
    ..CERTIFICATE
};

fn is_renewed(world: &World) -> bool {
    world.validation_record_is_right() && world.certificate_left() > Duration::from_hours(45 * 24)
}

fn lapses(world: &World, record: ValidationRecord) {
    world.make_validation_record(record);
    world.let_certificate_run_out(Duration::from_hours(10 * 24));
}

/// Whether a pod of inference has a model that it is killed for.
fn too_large(world: &World) -> bool {
    world.pods(INFERENCE).iter().any(|pod| world.model(&pod.name) == Some("samosachaat-d32"))
}

const INFERENCE: &str = "inference";

/// How many nodes the sandbox's cluster has.
const NODES: usize = 3;

/// Whether a Deployment is well.
fn is_well(world: &World, service: &str) -> bool {
    let pods = world.pods(service);
    world.rollout_complete(service) && !pods.is_empty() && pods.iter().all(|pod| pod.ready)
}

impl Scenario {
    /// All scenarios.
    pub const ALL: [&'static Self; 9] = [
        &POD_KILL,
        &CRASH_LOOP,
        &NODE_FAILURE,
        &DATABASE_POOL,
        &INFERENCE_OOM,
        &LARGE_MODEL,
        &HIGH_LATENCY,
        &CERTIFICATE,
        &CERTIFICATE_RECORD,
    ];

    /// For so long, at the pace of reality, a service must be well before it counts as healed without an alert: longer than any of the alerts
    /// waits before it fires.
    pub const QUIET: Duration = Duration::from_mins(4);

    /// The scenario of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name == name)
    }

    /// Whether the service is well: what is asked before the fault, and after it.
    #[must_use]
    pub fn is_well(&self, world: &World) -> bool {
        (self.well)(world)
    }

    /// Holds what was seen against what must come true.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Vec<Checked> {
        let check = |holds, expected: String, found: String| Checked { holds, expected, found };
        let mut all = Vec::new();
        let fires = format!("one of these fires: {}", self.alerts.join(", "));
        let or_heals = "an alert fires, or the service is well before".to_owned();
        let healed = "well again before an alert: self_healed".to_owned();
        all.push(match &seen.alert {
            Some(alert) => check(self.alerts.contains(&alert.as_str()), fires, format!("{alert} fired")),
            None if self.may_heal_first => check(true, or_heals, healed),
            None => check(false, fires, healed),
        });
        if seen.alert.is_some() {
            let (runbook, outcome) = match &seen.incident {
                Some((runbook, outcome)) => (runbook.as_str(), outcome.map_or("no end", Outcome::as_str)),
                None => ("nobody", "no incident"),
            };
            let expected = format!("{} answers, and ends as {}", self.runbook, self.outcome);
            let holds = runbook == self.runbook && outcome == self.outcome.as_str();
            all.push(check(holds, expected, format!("{runbook}: {outcome}")));
        }
        if let Some(change) = &self.for_a_while {
            let expected = format!("after {} it is put back, and that ends as recovered", span(change.stays));
            let holds =
                matches!(seen.put_back, Some((after, Some(Outcome::Recovered))) if after >= change.stays);
            let found = match seen.put_back {
                None => "nothing was put back".to_owned(),
                Some((after, outcome)) => {
                    format!("after {}: {}", span(after), outcome.map_or("no end", Outcome::as_str))
                }
            };
            all.push(check(holds, expected, found));
        }
        let writes = |number: usize| crate::text::count(number as u64, "change", "changes");
        let expected = format!("{} in the cluster", writes(self.writes));
        all.push(check(seen.writes == self.writes, expected, writes(seen.writes)));
        let well = |well| if well { format!("well: {}", self.means) } else { "not well".to_owned() };
        let expected = format!("{} is {}", self.service, well(self.recovers));
        all.push(check(seen.well == self.recovers, expected, well(seen.well)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(scenario: &Scenario, seen: &Seen) -> bool {
        scenario.judge(seen).iter().all(|checked| checked.holds)
    }

    #[test]
    fn each_thing_that_does_not_come_true_fails_the_scenario() {
        for scenario in Scenario::ALL {
            let good = Seen {
                alert: Some(scenario.alerts[0].to_owned()),
                incident: Some((scenario.runbook.to_owned(), Some(scenario.outcome))),
                put_back: scenario
                    .for_a_while
                    .as_ref()
                    .map(|change| (change.stays, Some(Outcome::Recovered))),
                writes: scenario.writes,
                well: scenario.recovers,
            };
            assert!(passed(scenario, &good), "{}: {:?}", scenario.name, scenario.judge(&good));
            let other = Outcome::ALL.into_iter().filter(|outcome| *outcome != scenario.outcome);
            let ended =
                |outcome| Seen { incident: Some((scenario.runbook.to_owned(), outcome)), ..good.clone() };
            let mut bad: Vec<Seen> = other.map(|outcome| ended(Some(outcome))).collect();
            bad.push(ended(None));
            bad.push(Seen { alert: Some("Another".to_owned()), ..good.clone() });
            bad.push(Seen { incident: None, ..good.clone() });
            bad.push(Seen { incident: Some(("another".to_owned(), Some(scenario.outcome))), ..good.clone() });
            bad.push(Seen { writes: scenario.writes + 1, ..good.clone() });
            bad.push(Seen { well: !scenario.recovers, ..good.clone() });
            if let Some(change) = &scenario.for_a_while {
                // What is put back as soon as all is well can not come too early.
                let early = change.stays.checked_sub(Duration::from_secs(1));
                let put_back = [
                    None,
                    Some((change.stays, None)),
                    Some((change.stays, Some(Outcome::NotRecovered))),
                    Some((change.stays, Some(Outcome::Blocked))),
                ];
                bad.extend(put_back.map(|put_back| Seen { put_back, ..good.clone() }));
                bad.extend(
                    early.map(|early| Seen {
                        put_back: Some((early, Some(Outcome::Recovered))),
                        ..good.clone()
                    }),
                );
            }
            for seen in bad {
                assert!(!passed(scenario, &seen), "{}: {seen:?}", scenario.name);
            }
            let healed = Seen { alert: None, incident: None, ..good };
            assert_eq!(passed(scenario, &healed), scenario.may_heal_first, "{}", scenario.name);
        }
    }
}
