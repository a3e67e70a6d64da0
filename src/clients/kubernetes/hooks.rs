//! Jobs that a deployment waits for: hooks of Helm and of Argo CD, such as a migration. Helm deletes one only as its `helm.sh/hook-delete-policy` says,
//! and by default not before it makes the next one of the same name; so what ran long ago is still there.
//!
//! Source: <https://helm.sh/docs/topics/charts_hooks/>, <https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/>.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::core::Resource as _;
use serde_json::Value;

use super::objects::owned;
use super::{CallError, Kubernetes, Object, Reason, checked_namespace, history};

/// A hook as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The Job's name.
    pub job: String,
    /// When it runs, in its deployer's words, such as `pre-upgrade hook of Helm`.
    pub what: String,
    /// What it is deployed with, such as `the Helm release shop`, by the signs that it bears; hooks often bear none.
    pub release: Option<String>,
    /// The names of its containers.
    pub containers: Vec<String>,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// How it is.
    pub state: HookState,
}

/// How a hook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It is not over: also one that has not begun, or is suspended.
    Runs {
        /// How many of its pods have failed so far.
        failed: u32,
    },
    /// It has come to its end.
    Succeeded,
    /// It has failed for good.
    Failed {
        /// When.
        at: Option<Timestamp>,
        /// What Kubernetes says, such as `Job has reached the specified backoff limit`.
        why: String,
    },
}

const HELM: &str = "helm.sh/hook";
const ARGO_CD: &str = "argocd.argoproj.io/hook";
/// What is no part of a deployment: `helm test`, with its names of old, and what Argo CD is told to leave out.
const NO_PART: [&str; 4] = ["test", "test-success", "test-failure", "Skip"];

/// When it runs, as an annotation says it: words with commas in between.
fn words(json: &Value, annotation: &str) -> Vec<String> {
    let text = json["metadata"]["annotations"][annotation].as_str().unwrap_or_default();
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && !NO_PART.contains(word));
    words.map(str::to_owned).collect()
}

/// The hook; none of a Job that is none.
fn read(object: &Object) -> Option<Hook> {
    let json = &object.json;
    let (helm, argo) = (words(json, HELM), words(json, ARGO_CD));
    let what = match (helm.is_empty(), argo.is_empty()) {
        (true, true) => return None,
        // Argo CD runs Helm's hooks as its own, and its own words count there.
        (_, false) => format!("{} hook of Argo CD", argo.join(" and ")),
        (false, true) => format!("{} hook of Helm", helm.join(" and ")),
    };
    Some(Hook {
        job: object.name().to_owned(),
        what,
        release: object.keepers().first().map(ToString::to_string),
        containers: object.containers(),
        made: object.created(),
        state: state(&json["status"]),
    })
}

/// A Job is over when it says so itself. `FailureTarget` and `SuccessCriteriaMet` come before that, while pods still end.
/// Source: <https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions>.
fn state(status: &Value) -> HookState {
    let conditions = || status["conditions"].as_array().into_iter().flatten();
    let is = |wanted: &str| {
        conditions().find(|condition| condition["type"] == wanted && condition["status"] == "True")
    };
    if is("Complete").is_some() {
        return HookState::Succeeded;
    }
    let Some(failed) = is("Failed") else {
        let failed = status["failed"].as_u64().and_then(|number| u32::try_from(number).ok());
        return HookState::Runs { failed: failed.unwrap_or_default() };
    };
    let said = [owned(&failed["message"]), owned(&failed["reason"])];
    let why =
        said.into_iter().find(|text| !text.is_empty()).unwrap_or_else(|| "no reason is given".to_owned());
    HookState::Failed { at: history::text(failed, "/lastTransitionTime").parse().ok(), why }
}

impl Kubernetes {
    /// The Jobs of a namespace that are hooks of a deployment.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering.
    pub async fn hooks(&self, namespace: &str) -> Result<Vec<Hook>, CallError> {
        let call = format!("list the jobs of {namespace}");
        checked_namespace(&call, namespace)?;
        let all: Vec<Value> = self.list(&call, &Job::url_path(&(), Some(namespace))).await?;
        let objects = all.into_iter().map(|json| Object { call: call.clone(), kind: "job".to_owned(), json });
        let mut hooks = Vec::new();
        for object in objects {
            if object.name().is_empty() {
                return Err(CallError::new(&call, Reason::ServerError, "a job of the answer has no name"));
            }
            hooks.extend(read(&object));
        }
        Ok(hooks)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hook(metadata: &Value, status: &Value) -> Option<Hook> {
        let spec = json!({"backoffLimit": 6, "template": {"spec": {"containers": [{"name": "migrate"}]}}});
        let mut json = json!({"metadata": {"name": "migrate", "namespace": "shop", "uid": "u",
                              "creationTimestamp": "2026-11-23T11:00:00Z"}, "spec": spec, "status": status});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            json["metadata"][key] = value.clone();
        }
        read(&Object::of("job", json))
    }

    fn of(annotations: &Value) -> Option<String> {
        hook(&json!({"annotations": annotations}), &json!({})).map(|hook| hook.what)
    }

    #[test]
    fn a_hook_is_known_by_its_annotation_and_other_jobs_are_none() {
        let says = |annotations| of(&annotations).unwrap_or_else(|| "none".to_owned());
        assert_eq!(says(json!({"helm.sh/hook": "pre-upgrade"})), "pre-upgrade hook of Helm");
        assert_eq!(
            says(json!({"helm.sh/hook": "pre-install, pre-upgrade", "helm.sh/hook-weight": "-5"})),
            "pre-install and pre-upgrade hook of Helm"
        );
        assert_eq!(says(json!({"argocd.argoproj.io/hook": "PreSync"})), "PreSync hook of Argo CD");
        assert_eq!(
            says(json!({"argocd.argoproj.io/hook": "Sync", "helm.sh/hook": "post-install"})),
            "Sync hook of Argo CD"
        );
        for none in [
            json!({}),
            json!({"helm.sh/hook": ""}),
            json!({"helm.sh/hook": "test"}),
            json!({"helm.sh/hook": "test-success"}),
            json!({"argocd.argoproj.io/hook": "Skip"}),
            json!({"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-11-23T11:00:00Z"}),
        ] {
            assert_eq!(of(&none), None, "{none}");
        }
    }

    /// As Kubernetes 1.36 serves them.
    #[test]
    fn a_hook_is_over_when_its_job_says_so_itself() {
        let at = "2026-11-23T11:02:00Z";
        let says = |kind: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": "True", "lastProbeTime": at, "lastTransitionTime": at,
                   "reason": reason, "message": message})
        };
        let limit = "Job has reached the specified backoff limit";
        let target = says("FailureTarget", "BackoffLimitExceeded", limit);
        let failed = says("Failed", "BackoffLimitExceeded", limit);
        let met =
            says("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods");
        let complete = says("Complete", "CompletionsReached", "Reached expected number of succeeded pods");
        let suspended = says("Suspended", "JobSuspended", "Job suspended");
        let runs = |failed| HookState::Runs { failed };
        for (status, expected) in [
            (json!({}), runs(0)),
            (json!({"active": 1, "ready": 1, "startTime": at, "terminating": 0}), runs(0)),
            (json!({"active": 1, "failed": 2, "startTime": at}), runs(2)),
            (json!({"conditions": [suspended]}), runs(0)),
            (json!({"conditions": [target.clone()], "failed": 7, "terminating": 1}), runs(7)),
            (json!({"conditions": [met.clone()], "active": 0}), runs(0)),
            (
                json!({"conditions": [met, complete], "succeeded": 1, "completionTime": at}),
                HookState::Succeeded,
            ),
            (
                json!({"conditions": [target, failed], "failed": 7}),
                HookState::Failed { at: at.parse().ok(), why: limit.to_owned() },
            ),
            (
                json!({"conditions": [{"type": "Failed", "status": "True"}]}),
                HookState::Failed { at: None, why: "no reason is given".to_owned() },
            ),
        ] {
            let hook = hook(&json!({"annotations": {"helm.sh/hook": "pre-upgrade"}}), &status).unwrap();
            assert_eq!(hook.state, expected, "{status}");
            assert_eq!(
                (hook.containers, hook.made),
                (vec!["migrate".to_owned()], "2026-11-23T11:00:00Z".parse().ok())
            );
        }
    }

    #[test]
    fn the_release_of_a_hook_is_named_by_the_signs_that_it_bears() {
        let release = |labels: Value| {
            let metadata = json!({"annotations": {"helm.sh/hook": "pre-upgrade"}, "labels": labels});
            hook(&metadata, &json!({})).unwrap().release
        };
        assert_eq!(release(json!({})), None);
        assert_eq!(release(json!({"app.kubernetes.io/instance": "shop"})).unwrap(), "the release shop");
        assert_eq!(
            release(json!({"argocd.argoproj.io/instance": "shop"})).unwrap(),
            "Argo CD's application shop"
        );
    }
}
