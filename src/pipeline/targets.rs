//! The targets of an incident, chosen from its evidence. Names come from labels that a probe found, never from a
//! guess, and a name that Kubernetes would not accept is a refusal.

use std::collections::BTreeMap;

use crate::clients::kubernetes::{valid_name, valid_namespace};
use crate::incident::Incident;
use crate::incident::event::Leg;
use crate::incident::plan::{Kind, Target};
use crate::probe::{Eyes, NoOwner, value_of};
use crate::runbook::{Object, Runbook, no_value};

/// One leg per value that was found, most affected first, but for targets that have recovered already.
///
/// # Errors
/// Why there is no target.
pub(super) async fn choose(eyes: &Eyes, incident: &Incident, runbook: &Runbook) -> Result<Vec<Leg>, NoOwner> {
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
        return Err(NoOwner::None("the evidence names no target".to_owned()));
    }
    let mut legs = Vec::new();
    let mut refused = None;
    for (each, figure) in found {
        match leg(eyes, incident, runbook, each, figure).await {
            Ok(leg) if incident.cured.contains(&leg.target) => {}
            // Two pods of one Deployment are one target.
            Ok(leg) if legs.iter().any(|other: &Leg| other.target == leg.target) => {}
            Ok(leg) => legs.push(leg),
            Err(NoOwner::Unread(why)) => return Err(NoOwner::Unread(why)),
            // One hostile value must not keep the others from being helped.
            Err(NoOwner::None(why)) => {
                tracing::warn!(incident.id = %incident.id, "A target is left out: {why}");
                refused = Some(why);
            }
        }
    }
    match refused {
        Some(why) if legs.is_empty() => Err(NoOwner::None(why)),
        _ => Ok(legs),
    }
}

async fn leg(
    eyes: &Eyes,
    incident: &Incident,
    runbook: &Runbook,
    each: BTreeMap<String, String>,
    figure: f64,
) -> Result<Leg, NoOwner> {
    let (kind, name) = match &runbook.targets.object {
        Object::Named(kind, name) => (*kind, name),
        Object::OwnerOfPod(name) => (Kind::Pod, name),
    };
    let target = Target { kind, namespace: String::new(), name: String::new() };
    let mut leg = Leg { target, each, figure };
    let fill = |template: &crate::runbook::Template, leg: &Leg| {
        template
            .with(|path| value_of(incident, runbook, Some(leg), path))
            .map_err(|path| NoOwner::None(no_value(&path)))
    };
    let namespace = fill(&runbook.targets.namespace, &leg)?;
    let name = fill(name, &leg)?;
    if !valid_namespace(&namespace) {
        let why = format!("{namespace:?} is not the name of a Kubernetes namespace");
        return Err(NoOwner::None(why));
    }
    if kind == Kind::Certificate {
        if !valid_certificate(&name) {
            return Err(NoOwner::None(format!("{name:?} is neither a domain nor the ARN of a certificate")));
        }
    } else if !valid_name(&name) {
        return Err(NoOwner::None(format!("{name:?} is not the name of a Kubernetes object")));
    }
    leg.target = match &runbook.targets.object {
        Object::Named(..) => Target { kind, namespace, name },
        Object::OwnerOfPod(_) => eyes.owner_of(&namespace, &name).await?,
    };
    Ok(leg)
}

/// A domain or an ARN, as far as its letters go; what it is says ACM.
fn valid_certificate(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'*' | b':' | b'/');
    !name.is_empty() && name.len() <= 300 && name.bytes().all(fits)
}
