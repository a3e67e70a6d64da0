//! Runs a program in the containers of a workload, and counts in what it prints. For diagnoses: the argv is the runbook's own, word for word,
//! and the configuration lists it, too.
//!
//! Whatever keeps one pod's answer away makes the whole unknown: without that pod the sum would look like an answer.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::{Scope, figures, held, one_object, pods, sockets};
use crate::clients::kubernetes::{Kubernetes, Output, Pod};
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::exec::{Exec, ExecProbe, Pods, written};
use crate::runbook::{Threshold, secrecy};
use crate::text::{count, cut};

/// In more pods nothing is run: that is a load of its own.
const MOST_PODS: usize = 20;
/// How much a program may print.
const MOST_BYTES: usize = 64 << 10;
/// A line of the kernel's tables has 150 bytes: this is some 7,000 sockets.
const TABLE_BYTES: usize = 1 << 20;
/// How many lines of a pod are shown to people.
const SHOWN: usize = 5;
/// How long a line that is shown may be.
const LENGTH: usize = 300;
/// What `cat` ends with when there is no such file: the kernel has no IPv6.
const NO_SUCH_FILE: &str = "No such file or directory";

/// The programs that the configuration allows, word for word.
pub type Allowed = [Vec<String>];

/// What came of one pod.
struct Counted {
    figure: usize,
    lines: Vec<String>,
}

pub(super) async fn ask(
    kubernetes: &Kubernetes,
    allowed: &Allowed,
    scope: &Scope<'_>,
    name: &str,
    probe: &ExecProbe,
    threshold: Threshold,
) -> Evidence {
    let (namespace, deployment) = match one_object(scope, &probe.namespace, probe.deployment.as_ref()) {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let argvs = probe.what.argvs();
    let programs: Vec<String> = argvs.iter().map(|argv| written(argv)).collect();
    let asked = format!(
        "{} in {} of deployment/{deployment} in {namespace}",
        programs.join(" and "),
        probe.of.as_str().replace('_', " ")
    );
    let unknown = |why: String| Evidence::unknown(name, asked.clone(), why);
    if let Some(argv) = argvs.iter().find(|argv| !allowed.contains(argv)) {
        return unknown(format!(
            "the configuration does not allow {} (`exec: {{allow: ...}}`)",
            written(argv)
        ));
    }
    let all = match kubernetes.pods(&namespace).await {
        Ok(all) => all,
        Err(error) => return unknown(error.to_string()),
    };
    // Nothing can be run where no process is, and what stops is no longer counted among the pods.
    let of = |pod: &&Pod| {
        pods::deployment_of(pod) == Some(&deployment) && !pod.stopping && !pod.succeeded && pod.node.is_some()
    };
    let mut own: Vec<&Pod> = all.iter().filter(of).collect();
    own.sort_by_key(|pod| (!pod.ready, pod.name.clone()));
    if probe.of == Pods::One {
        own.truncate(1);
    }
    if own.is_empty() {
        return unknown("there is no such pod on a node".to_owned());
    }
    if own.len() > MOST_PODS {
        return unknown(format!(
            "there are {} pods, and nothing is run in more than {MOST_PODS}; `of: one_pod` runs it in one",
            own.len()
        ));
    }
    let mut running = JoinSet::new();
    for pod in own {
        let (kubernetes, probe, namespace, pod) =
            (kubernetes.clone(), probe.clone(), namespace.clone(), pod.clone());
        running.spawn(async move { (pod.name.clone(), in_pod(&kubernetes, &probe, &namespace, &pod).await) });
    }
    let mut counted = BTreeMap::new();
    let mut failed = None;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((pod, Ok(one))) => {
                counted.insert(pod, one);
            }
            Ok((_, Err(why))) => failed = failed.or(Some(why)),
            Err(_) => failed = failed.or_else(|| Some("the question was given up".to_owned())),
        }
    }
    let sample = |from: &String, line: &String| Sample {
        is_state: true,
        at: scope.now,
        from: from.clone(),
        line: shown(line),
    };
    let samples = counted
        .iter()
        .flat_map(|(pod, one)| one.lines.iter().take(SHOWN).map(move |line| sample(pod, line)))
        .collect();
    if let Some(why) = failed {
        return Evidence { samples, ..unknown(why) };
    }
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 lines")]
    let mut by: BTreeMap<String, f64> =
        counted.iter().map(|(pod, one)| (pod.clone(), one.figure as f64)).collect();
    let total: f64 = by.values().sum();
    let (pods, all) = (count(by.len() as u64, "pod", "pods"), figures(&by));
    let verdict = held(threshold, total, probe.by_pod.then_some(&mut by));
    let what = match probe.what {
        Exec::Lines(_) => "lines".to_owned(),
        Exec::Connections(port) => format!("established connections to port {port}"),
    };
    Evidence {
        verdict,
        saw: format!("{total} {what} in {pods}: {all}; {threshold}"),
        by,
        samples,
        ..unknown(String::new())
    }
}

/// Runs what is to be run in one pod, and counts.
async fn in_pod(
    kubernetes: &Kubernetes,
    probe: &ExecProbe,
    namespace: &str,
    pod: &Pod,
) -> Result<Counted, String> {
    let container = probe.container.as_deref().or(pod.first_container.as_deref());
    let most = match probe.what {
        Exec::Lines(_) => MOST_BYTES,
        Exec::Connections(_) => TABLE_BYTES,
    };
    // A pod without a network of its own shows the connections of all that run on its node.
    if matches!(probe.what, Exec::Connections(_)) && pod.address.is_none() {
        return Err(format!(
            "pod/{} has no address of its own: its connections can not be told from its node's",
            pod.name
        ));
    }
    let mut counted = Counted { figure: 0, lines: Vec::new() };
    for (number, argv) in probe.what.argvs().iter().enumerate() {
        let ran = kubernetes.exec(namespace, &pod.name, container, argv, most).await;
        let output = ran.map_err(|error| error.to_string())?;
        match probe.what {
            Exec::Lines(_) => {
                well(pod, argv, &output)?;
                counted.lines =
                    output.stdout.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
                counted.figure = counted.lines.len();
            }
            // The second table is not there where the kernel has no IPv6.
            Exec::Connections(_)
                if number > 0 && output.code != 0 && output.stderr.contains(NO_SUCH_FILE) => {}
            Exec::Connections(port) => {
                well(pod, argv, &output)?;
                let here = sockets::established_to(&output.stdout, port);
                counted.figure +=
                    here.map_err(|why| format!("{} in pod/{}: {why}", written(argv), pod.name))?;
            }
        }
    }
    if let Exec::Connections(port) = probe.what {
        counted
            .lines
            .push(format!("{} to port {port}", count(counted.figure as u64, "connection", "connections")));
    }
    Ok(counted)
}

/// What a program prints may be anything, and what people read stands in the journal for ever.
/// Not line for line: what stands beside a secret may belong to it.
fn shown(text: &str) -> String {
    cut(&secrecy::shown(&text.lines().collect::<Vec<_>>().join(" ")), LENGTH)
}

/// What a program that failed prints is no answer.
fn well(pod: &Pod, argv: &[String], output: &Output) -> Result<(), String> {
    if output.code == 0 {
        return Ok(());
    }
    let said = output.stderr.trim();
    let said = if said.is_empty() { String::new() } else { format!(": {}", shown(said)) };
    Err(format!("{} in pod/{} ended with exit code {}{said}", written(argv), pod.name, output.code))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_a_program_prints_is_not_shown_where_it_may_hold_a_secret() {
        assert_eq!(shown("DATABASE_URL=postgres://app:hunter2@db/chat"), "(hidden: it may hold a secret)");
        assert_eq!(shown("12 connections"), "12 connections");
    }
}
