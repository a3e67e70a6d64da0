//! `ResourceQuotas`: what a namespace's pods may request together. The server refuses a pod that would exceed one; whoever wanted to make it
//! says so in an event, and tries again later.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Cluster, Name};
use crate::sandbox::quantity::{amount, written};

type Amounts = BTreeMap<String, f64>;

/// What every container of a pod has to say where a quota counts it.
const TO_BE_SAID: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The requests or limits of a container; a pod gets the limit as its request where it says none.
fn amounts_of<'c>(container: &'c Value, part: &str) -> BTreeMap<&'c String, &'c Value> {
    let of = |part: &str| container["resources"][part].as_object().into_iter().flatten();
    let limits = of("limits").filter(|_| part == "requests");
    limits.chain(of(part)).collect()
}

/// What of this a container does not say.
fn unsaid<'h>(hard: &'h Amounts, container: &Value) -> Vec<&'h str> {
    let says = |what: &str| {
        let (part, resource) = what.split_once('.').unwrap_or(("requests", what));
        amounts_of(container, part).keys().any(|said| *said == resource)
    };
    hard.keys().map(String::as_str).filter(|what| TO_BE_SAID.contains(what) && !says(what)).collect()
}

/// What a pod of this template is charged.
fn charge(template: &Value) -> Amounts {
    let mut charge = Amounts::from([("pods".to_owned(), 1.0), ("count/pods".to_owned(), 1.0)]);
    for container in template["spec"]["containers"].as_array().into_iter().flatten() {
        for part in ["requests", "limits"] {
            for (what, quantity) in amounts_of(container, part) {
                let given = quantity.as_str().and_then(amount).unwrap_or(0.0);
                *charge.entry(format!("{part}.{what}")).or_default() += given;
                if part == "requests" {
                    *charge.entry(what.clone()).or_default() += given;
                }
            }
        }
    }
    charge
}

fn hard(quota: &Value) -> Amounts {
    let hard = quota["spec"]["hard"].as_object().into_iter().flatten();
    hard.filter_map(|(what, quantity)| Some((what.clone(), quantity.as_str().and_then(amount)?))).collect()
}

fn listed(amounts: &[(&String, f64)]) -> String {
    let each: Vec<String> =
        amounts.iter().map(|(what, amount)| format!("{what}={}", written(what, *amount))).collect();
    each.join(",")
}

impl Cluster {
    fn used(&self, namespace: &str) -> Amounts {
        let mut used = Amounts::new();
        for pod in self.pods.values().filter(|pod| pod.namespace == namespace) {
            for (what, amount) in charge(&pod.template) {
                *used.entry(what).or_default() += amount;
            }
        }
        used
    }

    /// What the server says against a new pod, if it does.
    pub(super) fn refused_by_quota(&self, namespace: &str, pod: &str, template: &Value) -> Option<String> {
        let used = self.used(namespace);
        let wanted = charge(template);
        let quotas = self.others.get("resourcequotas").into_iter().flatten();
        for (_, quota) in quotas.filter(|((of, _), _)| of == namespace) {
            let name = quota["metadata"]["name"].as_str().unwrap_or_default();
            let hard = hard(quota);
            let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for container in template["spec"]["containers"].as_array().into_iter().flatten() {
                let of = container["name"].as_str().unwrap_or_default();
                missing.entry(unsaid(&hard, container).join(",")).or_default().push(of);
            }
            let missing: Vec<String> = missing
                .iter()
                .filter(|(what, _)| !what.is_empty())
                .map(|(what, of)| format!("{what} for: {}", of.join(",")))
                .collect();
            if !missing.is_empty() {
                let missing = missing.join("; ");
                return Some(format!(
                    "pods {pod:?} is forbidden: failed quota: {name}: must specify {missing}"
                ));
            }
            let exceeded: Vec<&String> = hard
                .iter()
                .filter(|(what, limit)| {
                    wanted.get(*what).is_some_and(|more| used.get(*what).unwrap_or(&0.0) + more > **limit)
                })
                .map(|(what, _)| what)
                .collect();
            if !exceeded.is_empty() {
                let of = |amounts: &Amounts| {
                    let found = |what: &&String| *amounts.get(*what).unwrap_or(&0.0);
                    listed(&exceeded.iter().map(|what| (*what, found(what))).collect::<Vec<_>>())
                };
                return Some(format!(
                    "pods {pod:?} is forbidden: exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                    of(&wanted),
                    of(&used),
                    of(&hard)
                ));
            }
        }
        None
    }

    /// The quota controller counts.
    pub(in crate::sandbox) fn advance_quotas(&mut self) {
        let quotas: Vec<(Name, Value)> =
            self.others.get("resourcequotas").cloned().unwrap_or_default().into_iter().collect();
        for ((namespace, _), quota) in quotas {
            let used = self.used(&namespace);
            let counted: serde_json::Map<String, Value> = hard(&quota)
                .keys()
                .map(|what| (what.clone(), json!(written(what, *used.get(what).unwrap_or(&0.0)))))
                .collect();
            let status = json!({"hard": quota["spec"]["hard"], "used": counted});
            if quota["status"] != status {
                let mut quota = quota.clone();
                quota["status"] = status;
                self.store_other("resourcequotas", quota);
            }
        }
    }
}
