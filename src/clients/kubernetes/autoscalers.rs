//! `HorizontalPodAutoscalers`: whether they can do their part.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::core::Resource as _;

use super::{CallError, Kubernetes, checked_namespace};

/// An autoscaler as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autoscaler {
    /// Its name.
    pub name: String,
    /// The kind of what it scales.
    pub kind: String,
    /// The name of what it scales.
    pub target: String,
    /// How many there are.
    pub current: i32,
    /// How many it wants.
    pub desired: i32,
    /// How many there may be.
    pub most: i32,
    /// Why it can not do its part, in Kubernetes' words: its condition `AbleToScale` or `ScalingActive` is not `True`.
    pub hindered: Option<String>,
}

fn read(autoscaler: &HorizontalPodAutoscaler) -> Autoscaler {
    let spec = autoscaler.spec.clone().unwrap_or_default();
    let status = autoscaler.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let hindered = conditions
        .iter()
        .filter(|condition| matches!(condition.type_.as_str(), "AbleToScale" | "ScalingActive"))
        .find(|condition| condition.status != "True")
        .map(|condition| {
            let reason = condition.reason.clone().unwrap_or_default();
            format!("{reason}: {}", condition.message.clone().unwrap_or_default())
        });
    Autoscaler {
        name: autoscaler.metadata.name.clone().unwrap_or_default(),
        kind: spec.scale_target_ref.kind,
        target: spec.scale_target_ref.name,
        current: status.current_replicas.unwrap_or_default(),
        desired: status.desired_replicas,
        most: spec.max_replicas,
        hindered,
    }
}

impl Kubernetes {
    /// The autoscalers of a namespace.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn autoscalers(&self, namespace: &str) -> Result<Vec<Autoscaler>, CallError> {
        let call = format!("list the horizontalpodautoscalers of {namespace}");
        checked_namespace(&call, namespace)?;
        let path = HorizontalPodAutoscaler::url_path(&(), Some(namespace));
        let all: Vec<HorizontalPodAutoscaler> = self.list(&call, &path).await?;
        Ok(all.iter().map(read).collect())
    }
}
