//! Whether the target's rollout is complete, in the order in which `kubectl rollout status` looks.

use super::Scope;
use crate::clients::Reason;
use crate::clients::kubernetes::{Kubernetes, Rollout};
use crate::incident::evidence::{Evidence, Verdict};
use crate::text::count;

const NAME: &str = "rollout";

pub(super) async fn ask(kubernetes: &Kubernetes, scope: &Scope<'_>) -> Evidence {
    let Some(target) = scope.leg.map(|leg| &leg.target) else {
        return Evidence::unknown(NAME, String::new(), "there is no target yet".to_owned());
    };
    let asked = format!("rollout of {target}");
    let (verdict, saw) =
        match kubernetes.workload(target.kind.as_str(), &target.namespace, &target.name).await {
            Ok(workload) => match workload.rollout {
                Rollout::Complete { ready } => {
                    let ready = count(u64::try_from(ready).unwrap_or_default(), "pod", "pods");
                    (Verdict::Holds, format!("complete, {ready} available"))
                }
                Rollout::InProgress { what, .. } | Rollout::Failed { what, .. } => (Verdict::Fails, what),
            },
            Err(error) if error.reason == Reason::NotFound => (Verdict::Fails, error.to_string()),
            Err(error) => return Evidence::unknown(NAME, asked, error.to_string()),
        };
    Evidence::found(NAME, asked, verdict, saw)
}
