//! The object behind a pod, for runbooks that are told of a pod and act on what made it.

use crate::clients::kubernetes::{Kubernetes, Owned};
use crate::incident::plan::{Kind, Target, known_owner};

/// Why there is no such object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoOwner {
    /// Nothing that runbookd can act on: asking again can not help.
    None(String),
    /// The cluster could not be asked.
    Unread(String),
}

pub(super) async fn of(kubernetes: &Kubernetes, namespace: &str, pod: &str) -> Result<Target, NoOwner> {
    let owner = match kubernetes.owner_of_pod(namespace, pod).await {
        Ok(Owned::By(owner)) => owner,
        Ok(Owned::ByNobody) => {
            return Err(NoOwner::None(format!(
                "pod/{pod} in {namespace} has no owner: nothing would make it anew"
            )));
        }
        Ok(Owned::Unknown) => {
            let why = format!(
                "pod/{pod} in {namespace} is gone, and no ReplicaSet there made it; names are never guessed"
            );
            return Err(NoOwner::None(why));
        }
        Err(error) => return Err(NoOwner::Unread(error.to_string())),
    };
    let kind = match owner.kind.as_str() {
        "Deployment" => Kind::Deployment,
        "StatefulSet" => Kind::StatefulSet,
        "DaemonSet" => Kind::DaemonSet,
        other => {
            let why = format!("pod/{pod} in {namespace} belongs to {owner}: {}", known_owner(other));
            return Err(NoOwner::None(why));
        }
    };
    Ok(Target { kind, namespace: namespace.to_owned(), name: owner.name })
}
