//! Breaks things in the sandbox's world, and ends what was broken.

use crate::clock;
use crate::sandbox::{
    CrashCause, CrashFault, NodeFault, PoolFault, System, Trouble, ValidationRecord, World,
};

use super::scenario::{Away, Fault, Need, Record};

/// Why a fault can not be made.
#[derive(Debug, thiserror::Error)]
#[error("{what} can not be broken in the sandbox: {why}")]
pub struct CannotBreak {
    /// What.
    what: String,
    /// Why.
    why: String,
}

/// Breaks it. Alerts that come and go take their time; everything else is done at once.
///
/// # Errors
/// When there is nothing of that kind in the world.
pub async fn make(fault: &Fault, world: &World) -> Result<(), CannotBreak> {
    let no = |why: &str| Err(CannotBreak { what: fault.to_string(), why: why.to_owned() });
    let found = |yes: bool, name: &str| match yes {
        true => Ok(()),
        false => no(&format!("there is no {name} with what it takes")),
    };
    match fault {
        Fault::DeletePods { deployment, count } => {
            let pods = world.pods(deployment);
            let wanted = count.map_or(pods.len(), |count| count as usize);
            if pods.is_empty() || pods.len() < wanted {
                return no(&format!("{deployment} has {} pods", pods.len()));
            }
            let ended = pods.iter().take(wanted).filter(|pod| world.end_pod(&pod.name)).count();
            found(ended == wanted, deployment)
        }
        Fault::Crash { deployment, exit_code, after } => {
            found(world.deployment(deployment).is_some(), deployment)?;
            let fault = CrashFault {
                reason: "Error",
                exit_code: *exit_code,
                lasts: *after,
                cause: CrashCause::EveryPod,
            };
            world.crash(deployment, &fault);
            Ok(())
        }
        Fault::EndNode { with_pod_of, room } => {
            let Some(node) = node_of(world, with_pod_of) else { return found(false, with_pod_of) };
            world.set_room(*room as usize);
            let fault = NodeFault { removed: true, collected: true, replaced: true };
            found(world.end_machine(&node, fault), &node)
        }
        Fault::ExhaustPool { deployment, need } => {
            found(world.deployment(deployment).is_some(), deployment)?;
            let fault = match need {
                Need::Leaked => PoolFault::ThesePods,
                Need::Connections { number, after } => {
                    PoolFault::Demand { connections: *number, after: *after }
                }
            };
            world.exhaust_pool(deployment, fault);
            Ok(())
        }
        Fault::Flood { clients } => {
            world.flood(*clients);
            Ok(())
        }
        Fault::MemoryLimit { deployment, limit } => {
            found(world.set_memory_limit(deployment, limit), deployment)
        }
        Fault::LoadModel { model } => found(world.set_default_model(model), model),
        Fault::ValidationRecord { record, left } => {
            world.make_validation_record(match record {
                Record::Missing => ValidationRecord::Missing,
                Record::Wrong => ValidationRecord::Wrong,
            });
            found(world.let_certificate_run_out(*left), "certificate")
        }
        Fault::Alerts { times, every, .. } => {
            for time in 1..=*times {
                fire(fault, world, true);
                if time < *times {
                    tokio::time::sleep(world.real(*every)).await;
                    fire(fault, world, false);
                    tokio::time::sleep(world.real(*every)).await;
                }
            }
            Ok(())
        }
        Fault::Away { system } => {
            world.disturb(of(*system), Some(Trouble::Down));
            Ok(())
        }
        Fault::SelfHeal { deployment } => found(world.self_heal(deployment), deployment),
        Fault::PressNode { with_pod_of, percent } => {
            let Some(node) = node_of(world, with_pod_of) else { return found(false, with_pod_of) };
            world.press_node(&node, f64::from(*percent) / 100.0);
            Ok(())
        }
    }
}

/// Ends what lasts only for a while: clients go, alerts end. Of anything else nothing is left that would have to end before the world does.
pub fn end(fault: &Fault, world: &World) {
    match fault {
        Fault::Flood { .. } => world.flood(0),
        Fault::Alerts { .. } => fire(fault, world, false),
        Fault::Away { system } => world.disturb(of(*system), None),
        _ => {}
    }
}

const fn of(system: Away) -> System {
    match system {
        Away::Kubernetes => System::Kubernetes,
        Away::Loki => System::Loki,
        Away::Prometheus => System::Prometheus,
        Away::Alertmanager => System::Alertmanager,
        Away::Slack => System::Slack,
    }
}

fn node_of(world: &World, deployment: &str) -> Option<String> {
    let ready: Vec<String> =
        world.nodes().into_iter().filter(|(_, is_ready)| *is_ready).map(|(name, _)| name).collect();
    world.pods(deployment).into_iter().filter_map(|pod| pod.node).find(|node| ready.contains(node))
}

/// Fires the alerts, or ends them.
fn fire(fault: &Fault, world: &World, fires: bool) {
    let Fault::Alerts { labels, copies, .. } = fault else { return };
    for copy in 0..*copies {
        let pod = format!("{}-{copy}", labels.get("app").map_or("pod", String::as_str));
        let mut labels: Vec<(&str, &str)> =
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // A single one is as its labels say.
        if *copies > 1 {
            labels.push(("pod", &pod));
        }
        if fires {
            let summary = format!("made by runbookd inject at {}", clock::now());
            world.fire_alert(&labels, &[("summary", &summary)]);
        } else {
            world.resolve_alert(&labels);
        }
    }
}
