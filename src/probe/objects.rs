//! Counts what else Kubernetes says: events, disruption budgets and autoscalers in a state. That there is no such object is an answer here: nobody needs to
//! have a budget, and no event is the best of news.

use jiff::Timestamp;

use super::{Scope, held};
use crate::clients::kubernetes::Kubernetes;
use crate::clock::between;
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{AutoscalerState, AutoscalersProbe, BudgetState, BudgetsProbe, EventsProbe, Threshold};
use crate::text::{count, cut, span};

/// How many objects are shown to people.
const SAMPLES: usize = 3;
/// How long a note that is shown may be.
const LENGTH: usize = 300;

/// The evidence of a count, with the lines that are shown: when, from where, what.
fn counted(
    name: &str,
    asked: String,
    saw: String,
    number: usize,
    threshold: Threshold,
    lines: Vec<(Timestamp, String, String)>,
) -> Evidence {
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 of them")]
    let verdict = held(threshold, number as f64, None);
    let sample = |(at, from, line): (Timestamp, String, String)| Sample {
        is_state: true,
        at,
        from,
        line: cut(&line, LENGTH),
    };
    Evidence {
        samples: lines.into_iter().take(SAMPLES).map(sample).collect(),
        ..Evidence::found(name, asked, verdict, format!("{saw}; {threshold}"))
    }
}

pub(super) async fn events(
    kubernetes: &Kubernetes,
    scope: &Scope<'_>,
    name: &str,
    probe: &EventsProbe,
    threshold: Threshold,
    from: Timestamp,
) -> Evidence {
    let named = scope.fill(&probe.namespace).and_then(|namespace| {
        let object = probe.object.as_ref().map(|object| scope.fill(object)).transpose()?;
        Ok((namespace, object))
    });
    let (namespace, object) = match named {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let of = object.as_ref().map_or_else(String::new, |object| format!(" of {object}"));
    let asked = format!("events in {namespace}{of}: {}", probe.reasons.join(", "));
    let all = match kubernetes.events(&namespace).await {
        Ok(all) => all,
        Err(error) => return Evidence::unknown(name, asked, error.to_string()),
    };
    let mut found: Vec<_> = all
        .into_iter()
        .filter(|event| probe.reasons.contains(&event.reason))
        .filter(|event| object.as_ref().is_none_or(|object| event.name == *object))
        .filter_map(|event| Some((event.last.filter(|last| *last >= from)?, event)))
        .collect();
    found.sort_by_key(|(last, _)| std::cmp::Reverse(*last));
    // Of one that began before, nobody knows how often it happened since: once at least.
    let since = |event: &crate::clients::kubernetes::Event| match event.first {
        Some(first) if first >= from => event.times as usize,
        _ => 1,
    };
    let times: usize = found.iter().map(|(_, event)| since(event)).sum();
    let saw =
        format!("{} in {}", count(times as u64, "such event", "such events"), span(between(from, scope.now)));
    let lines = found
        .into_iter()
        .map(|(last, event)| {
            let about = format!("{}/{}", event.kind.to_lowercase(), event.name);
            (last, about, format!("{} ({} times): {}", event.reason, event.times, event.note))
        })
        .collect();
    Evidence { window: Some((from, scope.now)), ..counted(name, asked, saw, times, threshold, lines) }
}

pub(super) async fn budgets(
    kubernetes: &Kubernetes,
    scope: &Scope<'_>,
    name: &str,
    probe: &BudgetsProbe,
    threshold: Threshold,
) -> Evidence {
    let namespace = match scope.fill(&probe.namespace) {
        Ok(namespace) => namespace,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let asked = format!("disruption budgets in {namespace}: {}", probe.state.as_str());
    let all = match kubernetes.disruption_budgets(&namespace).await {
        Ok(all) => all,
        Err(error) => return Evidence::unknown(name, asked, error.to_string()),
    };
    let is = |budget: &&crate::clients::kubernetes::Budget| match probe.state {
        BudgetState::Blocking => budget.allowed < 1 && budget.expected > 0,
        BudgetState::Unmet => budget.healthy < budget.wanted,
    };
    let found: Vec<_> = all.iter().filter(is).collect();
    let words = match probe.state {
        BudgetState::Blocking => "allow no eviction",
        BudgetState::Unmet => "have too few healthy pods",
    };
    let budgets = count(all.len() as u64, "disruption budget", "disruption budgets");
    let saw = format!("{} of {budgets} {words}", found.len());
    let lines = found
        .iter()
        .map(|budget| {
            let line = format!(
                "{} of {} pods healthy, {} have to be, {} may be evicted",
                budget.healthy, budget.expected, budget.wanted, budget.allowed
            );
            (scope.now, budget.name.clone(), line)
        })
        .collect();
    counted(name, asked, saw, found.len(), threshold, lines)
}

pub(super) async fn autoscalers(
    kubernetes: &Kubernetes,
    scope: &Scope<'_>,
    name: &str,
    probe: &AutoscalersProbe,
    threshold: Threshold,
) -> Evidence {
    let named = scope.fill(&probe.namespace).and_then(|namespace| {
        let deployment = probe.deployment.as_ref().map(|name| scope.fill(name)).transpose()?;
        Ok((namespace, deployment))
    });
    let (namespace, deployment) = match named {
        Ok(named) => named,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let of = deployment.as_ref().map_or_else(String::new, |name| format!(" of deployment/{name}"));
    let asked = format!("autoscalers{of} in {namespace}: {}", probe.state.as_str());
    let all = match kubernetes.autoscalers(&namespace).await {
        Ok(all) => all,
        Err(error) => return Evidence::unknown(name, asked, error.to_string()),
    };
    let own: Vec<_> = all
        .iter()
        .filter(|autoscaler| {
            let is_it = |wanted: &String| autoscaler.kind == "Deployment" && autoscaler.target == *wanted;
            deployment.as_ref().is_none_or(is_it)
        })
        .collect();
    let found: Vec<_> = own
        .iter()
        .filter(|autoscaler| match probe.state {
            // What it counted is from before its last change; what it wants is never above its maximum.
            AutoscalerState::AtMaximum => autoscaler.current.max(autoscaler.desired) >= autoscaler.most,
            AutoscalerState::Hindered => autoscaler.hindered.is_some(),
        })
        .collect();
    let words = match probe.state {
        AutoscalerState::AtMaximum => "at their maximum",
        AutoscalerState::Hindered => "not able to scale",
    };
    let autoscalers = count(own.len() as u64, "autoscaler", "autoscalers");
    let saw = format!("{} of {autoscalers} {words}", found.len());
    let lines = found
        .iter()
        .map(|autoscaler| {
            let hindered = autoscaler.hindered.as_ref().map_or_else(String::new, |why| format!("; {why}"));
            let line = format!(
                "{} {}, wants {}, at most {}{hindered}",
                autoscaler.target, autoscaler.current, autoscaler.desired, autoscaler.most
            );
            (scope.now, autoscaler.name.clone(), line)
        })
        .collect();
    counted(name, asked, saw, found.len(), threshold, lines)
}
