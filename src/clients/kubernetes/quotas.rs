//! `ResourceQuotas`: how much of a resource the pods of a namespace may have together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::core::Resource as _;

use super::{CallError, Kubernetes, checked_namespace};

/// A quota as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// The pods that it counts, in Kubernetes' words, such as `BestEffort`; empty: all.
    pub scopes: Vec<String>,
    /// By resource, such as `requests.memory`: the most, and what is used, as texts. What has not been counted yet is no quantity: the API server
    /// admits nothing until it has.
    pub amounts: BTreeMap<String, (String, String)>,
}

const UNKNOWN: &str = "unknown";

fn read(quota: &ResourceQuota) -> Quota {
    let spec = quota.spec.clone().unwrap_or_default();
    let used = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
    let selected = spec.scope_selector.and_then(|selector| selector.match_expressions).unwrap_or_default();
    let scopes = spec.scopes.unwrap_or_default().into_iter();
    // The spec, and not the status: what was lowered a moment ago holds already.
    let amounts = spec.hard.unwrap_or_default().into_iter().map(|(resource, hard)| {
        let used = used.get(&resource).map_or_else(|| UNKNOWN.to_owned(), |used| used.0.clone());
        (resource, (hard.0, used))
    });
    Quota {
        name: quota.metadata.name.clone().unwrap_or_default(),
        scopes: scopes.chain(selected.into_iter().map(|one| one.scope_name)).collect(),
        amounts: amounts.collect(),
    }
}

impl Kubernetes {
    /// The quotas of a namespace.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn quotas(&self, namespace: &str) -> Result<Vec<Quota>, CallError> {
        let call = format!("list the resourcequotas of {namespace}");
        checked_namespace(&call, namespace)?;
        let all: Vec<ResourceQuota> =
            self.list(&call, &ResourceQuota::url_path(&(), Some(namespace))).await?;
        Ok(all.iter().map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_quota_is_read_with_what_is_used() {
        let quota = serde_json::json!({
            "metadata": {"name": "q", "namespace": "shop"},
            "spec": {"hard": {"cpu": "4", "limits.memory": "5000Mi", "pods": "3"}, "scopes": ["NotTerminating"],
                     "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
            "status": {"hard": {"cpu": "4", "pods": "3"}, "used": {"cpu": "1", "pods": "2"}},
        });
        let quota = read(&serde_json::from_value(quota).unwrap());
        let of = |resource: &str| quota.amounts[resource].clone();
        let pair = |hard: &str, used: &str| (hard.to_owned(), used.to_owned());
        assert_eq!((of("cpu"), of("pods")), (pair("4", "1"), pair("3", "2")));
        assert_eq!(of("limits.memory"), pair("5000Mi", "unknown"), "what was said a moment ago");
        assert_eq!(quota.scopes, ["NotTerminating", "PriorityClass"]);
    }
}
