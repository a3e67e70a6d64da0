//! `PodDisruptionBudgets`: how many pods may be evicted at present. A budget limits evictions; a delete is not asked.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{Resource as _, Selector, SelectorExt as _};

use super::{CallError, Kubernetes, Pod, checked_namespace};

/// A budget as it was at one moment.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// How many of its pods may be evicted now.
    pub allowed: i32,
    /// How many of them are healthy now.
    pub healthy: i32,
    /// How many have to be.
    pub wanted: i32,
    /// How many there should be in all.
    pub expected: i32,
    selector: Option<Selector>,
}

impl Budget {
    /// Whether it protects this pod. One without a selector protects none; one whose selector can not be read, all.
    #[must_use]
    pub fn protects(&self, pod: &Pod) -> bool {
        self.selector.as_ref().is_none_or(|selector| selector.matches(&pod.labels))
    }
}

/// The budget; none for one that selects nothing.
fn read(budget: &PodDisruptionBudget) -> Option<Budget> {
    let selector = budget.spec.as_ref()?.selector.clone()?;
    let status = budget.status.clone().unwrap_or_default();
    Some(Budget {
        name: budget.metadata.name.clone().unwrap_or_default(),
        allowed: status.disruptions_allowed,
        healthy: status.current_healthy,
        wanted: status.desired_healthy,
        expected: status.expected_pods,
        selector: Selector::try_from(selector).ok(),
    })
}

impl Kubernetes {
    /// The budgets of a namespace.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn disruption_budgets(&self, namespace: &str) -> Result<Vec<Budget>, CallError> {
        let call = format!("list the poddisruptionbudgets of {namespace}");
        checked_namespace(&call, namespace)?;
        let path = PodDisruptionBudget::url_path(&(), Some(namespace));
        let budgets: Vec<PodDisruptionBudget> = self.list(&call, &path).await?;
        Ok(budgets.iter().filter_map(read).collect())
    }
}
