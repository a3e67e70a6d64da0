//! `PodDisruptionBudgets`: how many of the pods that they select may be evicted, as their controller counts it.

use serde_json::{Value, json};

use super::{Cluster, Pod};

/// A budget, counted now.
pub(in crate::sandbox) struct Budget {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) healthy: usize,
    pub(in crate::sandbox) desired: usize,
    expected: usize,
}

impl Budget {
    /// How many evictions it allows now.
    pub(in crate::sandbox) fn allowed(&self) -> usize {
        self.healthy.saturating_sub(self.desired)
    }
}

fn selects(budget: &Value, labels: &Value) -> bool {
    let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
}

impl Cluster {
    fn counted(&self, budget: &Value) -> Budget {
        let namespace = budget["metadata"]["namespace"].as_str().unwrap_or_default();
        let pods: Vec<&Pod> = self
            .pods
            .values()
            .filter(|pod| pod.namespace == namespace && selects(budget, &pod.template["metadata"]["labels"]))
            .filter(|pod| pod.stopping_since.is_none())
            .collect();
        let number =
            |field: &str| budget["spec"][field].as_u64().and_then(|number| usize::try_from(number).ok());
        let desired = match (number("maxUnavailable"), number("minAvailable")) {
            (Some(most), _) => pods.len().saturating_sub(most),
            (None, least) => least.unwrap_or_default(),
        };
        Budget {
            name: budget["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            healthy: pods.iter().filter(|pod| pod.ready_since.is_some()).count(),
            desired,
            expected: pods.len(),
        }
    }

    /// The budgets that protect a pod.
    pub(in crate::sandbox) fn budgets_of(&self, pod: &Value) -> Vec<Budget> {
        let budgets = self.others.get("poddisruptionbudgets").into_iter().flatten();
        budgets
            .filter(|((namespace, _), _)| pod["metadata"]["namespace"] == **namespace)
            .filter(|(_, budget)| selects(budget, &pod["metadata"]["labels"]))
            .map(|(_, budget)| self.counted(budget))
            .collect()
    }

    /// The disruption controller counts.
    pub(in crate::sandbox) fn advance_budgets(&mut self) {
        let budgets = self.others.get("poddisruptionbudgets").into_iter().flatten();
        let changed: Vec<Value> = budgets
            .filter_map(|(_, budget)| {
                let Budget { healthy, desired, expected, .. } = self.counted(budget);
                let mut after = budget.clone();
                let status = &mut after["status"];
                status["disruptionsAllowed"] = json!(healthy.saturating_sub(desired));
                status["currentHealthy"] = json!(healthy);
                status["desiredHealthy"] = json!(desired);
                status["expectedPods"] = json!(expected);
                (after != *budget).then_some(after)
            })
            .collect();
        for budget in changed {
            self.store_other("poddisruptionbudgets", budget);
        }
    }
}
