//! Rollback of a Deployment, as `kubectl rollout undo` does it: what it would send is read first, and sent once.

use serde_json::{Value, json};

use super::{CallError, JSON_PATCH, Kubernetes, Reason, Template, deployments, history};

/// What a rollback would send.
#[derive(Debug)]
pub struct Rollback {
    call: String,
    namespace: String,
    name: String,
    change: Value,
}

impl Kubernetes {
    /// Reads what a rollback would send: from the template with the digest `from` to that of the `ReplicaSet` `set`, which must have the digest
    /// `to`. None when the Deployment has the wanted template already.
    ///
    /// # Errors
    /// `Conflict` when the Deployment, its template or the `ReplicaSet` is another one by now.
    pub async fn prepare_rollback(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        from: &str,
        (set, to): (&str, &str),
    ) -> Result<Option<Rollback>, CallError> {
        let call = format!("roll back deployment/{name} in {namespace}");
        let conflict = |message: &str| Err(CallError::new(&call, Reason::Conflict, message));
        let (deployment, sets) = self.revisions(&call, namespace, name).await?;
        if history::text(&deployment, "/metadata/uid") != uid {
            return conflict("the deployment is another one of the same name by now");
        }
        let digest = Template::of(&history::template_of(&deployment)).digest;
        if digest == to {
            return Ok(None);
        }
        if digest != from {
            return conflict("somebody has changed the pod template since the plan was made");
        }
        let named = |candidate: &&Value| {
            history::text(candidate, "/metadata/name") == set && history::is_controlled_by(candidate, uid)
        };
        let Some(template) = sets.iter().find(named).map(history::template_of) else {
            return conflict(&format!("replicaset/{set} is gone"));
        };
        if Template::of(&template).digest != to {
            return conflict(&format!("replicaset/{set} has another pod template by now"));
        }
        // The generation counts the changes of the spec. A test of the template itself fails on a real server for every `&`, `<` and `>` in it:
        // it compares texts, and Go writes these as \u0026 and so on (<https://github.com/kubernetes/apiserver/issues/100>).
        let change = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/metadata/generation", "value": deployment["metadata"]["generation"]},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]);
        Ok(Some(Rollback { call, namespace: namespace.to_owned(), name: name.to_owned(), change }))
    }

    /// Rolls a Deployment back. Whoever changed its spec since it was read wins: the server compares at the write itself.
    ///
    /// # Errors
    /// `Conflict` when somebody did.
    pub async fn roll_back_deployment(&self, rollback: Rollback) -> Result<(), CallError> {
        let Rollback { call, namespace, name, change } = rollback;
        self.write(&call, &deployments(&namespace), &name, JSON_PATCH, change).await
    }
}
