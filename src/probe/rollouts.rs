//! Counts the rollouts within a window that changed what a Deployment runs. A restart changes nothing, and neither does going back: what runs again
//! after a rollback was rolled out long before.

use jiff::Timestamp;

use super::{Scope, held, object, one_object};
use crate::clients::kubernetes::{History, Kubernetes, Revision, Rollout, Workload};
use crate::clock::between;
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{RolloutsProbe, Threshold};
use crate::text::{count, span};

/// How many rollouts are shown to people.
const SAMPLES: usize = 3;

pub(super) struct Question<'a> {
    pub(super) name: &'a str,
    pub(super) probe: &'a RolloutsProbe,
    pub(super) threshold: Threshold,
    pub(super) from: Timestamp,
}

pub(super) async fn ask(kubernetes: &Kubernetes, scope: &Scope<'_>, question: Question<'_>) -> Evidence {
    let Question { name, probe, .. } = question;
    let (namespace, deployment) = match one_object(scope, &probe.namespace, probe.deployment.as_ref()) {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let asked = format!("rollouts of deployment/{deployment} in {namespace}");
    match kubernetes.history(&namespace, &deployment).await {
        Ok(history) => answer(scope.now, &question, asked, &history),
        Err(error) => Evidence::unknown(name, asked, error.to_string()),
    }
}

/// How many rollouts are under way or have failed, of one Deployment or of all in the namespace.
pub(super) async fn incomplete(
    kubernetes: &Kubernetes,
    scope: &Scope<'_>,
    name: &str,
    probe: &RolloutsProbe,
    threshold: Threshold,
) -> Evidence {
    let (namespace, deployment) = match object(scope, &probe.namespace, probe.deployment.as_ref()) {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let whose = deployment.as_ref().map_or_else(String::new, |name| format!(" of deployment/{name}"));
    let asked = format!("rollouts{whose} in {namespace}: incomplete");
    let all = match kubernetes.deployments(&namespace).await {
        Ok(all) => all,
        Err(error) => return Evidence::unknown(name, asked, error.to_string()),
    };
    let is_meant =
        |workload: &&Workload| deployment.as_ref().is_none_or(|deployment| workload.name == *deployment);
    let own: Vec<&Workload> = all.iter().filter(is_meant).collect();
    if own.is_empty() {
        let why = "there is no such Deployment, so nothing can be said of its rollout".to_owned();
        return Evidence::unknown(name, asked, why);
    }
    let found: Vec<(&Workload, &str)> = own
        .iter()
        .filter_map(|workload| match &workload.rollout {
            Rollout::Complete { .. } => None,
            Rollout::InProgress { what, .. } | Rollout::Failed { what, .. } => {
                Some((*workload, what.as_str()))
            }
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 Deployments")]
    let verdict = held(threshold, found.len() as f64, None);
    let sample = |(workload, what): &(&Workload, &str)| Sample {
        is_state: true,
        at: scope.now,
        from: workload.name.clone(),
        line: (*what).to_owned(),
    };
    let all = count(own.len() as u64, "rollout", "rollouts");
    Evidence {
        samples: found.iter().take(SAMPLES).map(sample).collect(),
        ..Evidence::found(name, asked, verdict, format!("{} of {all} incomplete; {threshold}", found.len()))
    }
}

fn answer(now: Timestamp, question: &Question<'_>, asked: String, history: &History) -> Evidence {
    let Question { name, threshold, from, .. } = question;
    let Some(current) = history.current() else {
        // The controller has not got to the newest template yet, or the ReplicaSets can not be seen.
        let why = "the revision that runs is not among the ReplicaSets".to_owned();
        return Evidence::unknown(name, asked, why);
    };
    let rolled_back = history.was_rolled_back();
    let has_before = history.revisions.iter().any(|other| other.number < current.number);
    if !rolled_back && (current.again || current.number > 1 && !has_before) {
        let why = format!(
            "when revision {} was rolled out, and after which, Kubernetes has not kept",
            current.number
        );
        return Evidence::unknown(name, asked, why);
    }
    let changes: Vec<(&Revision, &Revision)> = if rolled_back {
        Vec::new()
    } else {
        history.changes().filter(|(after, _)| after.created >= *from).collect()
    };
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 revisions")]
    let verdict = held(*threshold, changes.len() as f64, None);
    let window = span(between(*from, now));
    let images = |revision: &Revision| revision.template.images.join(", ");
    let ago = |revision: &Revision| span(between(revision.created, now));
    let saw = match changes.first() {
        Some((after, before)) => format!(
            "{} in {window}, the last {} ago: revision {}, {} after {}",
            count(changes.len() as u64, "rollout", "rollouts"),
            ago(after),
            after.number,
            images(after),
            images(before)
        ),
        None => format!(
            "no rollout in {window}; revision {}, {}, was first rolled out {} ago",
            current.number,
            images(current),
            ago(current)
        ),
    };
    let sample = |(after, before): &(&Revision, &Revision)| Sample {
        is_state: true,
        at: after.created,
        from: after.set.clone(),
        line: format!("revision {}: {} after {}", after.number, images(after), images(before)),
    };
    Evidence {
        samples: changes.iter().take(SAMPLES).map(sample).collect(),
        window: Some((*from, now)),
        ..Evidence::found(name, asked, verdict, format!("{saw}; {threshold}"))
    }
}
