//! Whose a pod is: the top of its chain of `ownerReferences`. Of a pod that is gone, its `ReplicaSet` still tells; a name alone never does.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::core::Resource as _;

use super::pods::owners;
use super::{CallError, Kubernetes, Owner};

/// The letters of the suffix that a `ReplicaSet` gives its pods.
/// Source: `alphanums` in Kubernetes' `k8s.io/apimachinery/pkg/util/rand`.
const SUFFIX: &str = "bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;

/// What is known of a pod's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    /// This object made it, or made what made it.
    By(Owner),
    /// Nothing did.
    ByNobody,
    /// It is gone, and no `ReplicaSet` says that it was its own.
    Unknown,
}

impl Kubernetes {
    /// The top owner of a pod, also of one that is gone while its `ReplicaSet` is there.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn owner_of_pod(&self, namespace: &str, pod: &str) -> Result<Owned, CallError> {
        let (found, is_gone) = match self.pod(namespace, pod).await? {
            Some(found) => (found.owner, false),
            None => (None, true),
        };
        let set = match found {
            Some(owner) if owner.kind == "ReplicaSet" => Some(owner),
            Some(owner) => return Ok(Owned::By(owner)),
            None if is_gone => None,
            None => return Ok(Owned::ByNobody),
        };
        let call = format!("list the replicasets of {namespace}");
        let sets: Vec<ReplicaSet> = self.list(&call, &ReplicaSet::url_path(&(), Some(namespace))).await?;
        let behind = owners(&sets);
        let named = match &set {
            Some(set) => Some(set.name.clone()),
            None => behind.keys().find(|set| made(set, pod)).cloned(),
        };
        Ok(match named.and_then(|name| Some((behind.get(&name)?.clone(), name))) {
            Some((Some(owner), _)) => Owned::By(owner),
            Some((None, name)) => Owned::By(Owner { kind: "ReplicaSet".to_owned(), name }),
            None => set.map_or(Owned::Unknown, Owned::By),
        })
    }
}

/// Whether this `ReplicaSet` is one that names its pods so.
fn made(set: &str, pod: &str) -> bool {
    let suffix = pod.strip_prefix(set).and_then(|rest| rest.strip_prefix('-'));
    suffix.is_some_and(|suffix| {
        suffix.len() == SUFFIX_LENGTH && suffix.chars().all(|letter| SUFFIX.contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_set_is_known_by_the_whole_name_before_the_suffix() {
        assert!(made("chat-api-7cffc69b57", "chat-api-7cffc69b57-6qdg7"));
        for (set, pod) in [
            ("chat-api", "chat-api-7cffc69b57-6qdg7"),
            ("chat-api-7cffc69b57", "chat-api-7cffc69b57-6qdg"),
            ("chat-api-7cffc69b57", "chat-api-7cffc69b57-6qdga"),
            ("chat-api-7cffc69b57", "chat-api-7cffc69b57"),
            ("db", "db-0"),
            ("", "-6qdg7x"),
        ] {
            assert!(!made(set, pod), "{set} {pod}");
        }
    }
}
