//! The targets of an incident, chosen from its evidence. Names come from labels that a probe found, never from a
//! guess, and a name that Kubernetes would not accept is a refusal.

use std::collections::BTreeMap;

use crate::clients::kubernetes::{valid_name, valid_namespace};
use crate::incident::Incident;
use crate::incident::event::Leg;
use crate::incident::plan::Target;
use crate::probe::value_of;
use crate::runbook::{Object, Runbook};

/// One leg per value that was found, most affected first, but for targets that have recovered already.
///
/// # Errors
/// Why there is no target, for people.
pub(super) fn choose(incident: &Incident, runbook: &Runbook) -> Result<Vec<Leg>, String> {
    let mut found: Vec<(BTreeMap<String, String>, f64)> = match &runbook.targets.each {
        None => vec![(BTreeMap::new(), 0.0)],
        Some(each) => incident
            .evidence
            .iter()
            .filter(|evidence| evidence.probe == each.probe)
            .flat_map(|evidence| &evidence.by)
            .map(|(value, figure)| (BTreeMap::from([(each.label.clone(), value.clone())]), *figure))
            .collect(),
    };
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    if found.is_empty() {
        return Err("the evidence names no target".to_owned());
    }
    let mut legs = Vec::new();
    let mut refused = None;
    for (each, figure) in found {
        match leg(incident, runbook, each, figure) {
            Ok(leg) if incident.cured.contains(&leg.target) => {}
            Ok(leg) => legs.push(leg),
            // One hostile value must not keep the others from being helped.
            Err(why) => {
                tracing::warn!(incident.id = %incident.id, "A target is left out: {why}");
                refused = Some(why);
            }
        }
    }
    match refused {
        Some(why) if legs.is_empty() => Err(why),
        _ => Ok(legs),
    }
}

fn leg(
    incident: &Incident,
    runbook: &Runbook,
    each: BTreeMap<String, String>,
    figure: f64,
) -> Result<Leg, String> {
    let (kind, name) = match &runbook.targets.object {
        Object::Named(kind, name) => (*kind, name),
        Object::OwnerOfPod(_) => return Err("owners are not looked up here".to_owned()),
    };
    let target = Target { kind, namespace: String::new(), name: String::new() };
    let mut leg = Leg { target, each, figure };
    let fill = |template: &crate::runbook::Template, leg: &Leg| {
        template
            .with(|path| value_of(incident, runbook, Some(leg), path))
            .map_err(|path| format!("${{{path}}} has no value, and empty never means all"))
    };
    let namespace = fill(&runbook.targets.namespace, &leg)?;
    let name = fill(name, &leg)?;
    if !valid_namespace(&namespace) {
        return Err(format!("{namespace:?} is not the name of a Kubernetes namespace"));
    }
    if !valid_name(&name) {
        return Err(format!("{name:?} is not the name of a Kubernetes object"));
    }
    leg.target = Target { kind, namespace, name };
    Ok(leg)
}
