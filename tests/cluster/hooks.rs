//! Hooks of a deployment, as the real job controller begins and ends their Jobs.

use runbookd::clients::kubernetes::HookState;
use serde_json::{Value, json};

use crate::objects::{LEFT, pod_spec};
use crate::stage::{on, until};

/// A Job whose pod nobody puts anywhere.
fn job(name: &str, annotations: &Value, deadline: Option<u32>) -> Value {
    let mut pod = pod_spec("migrate");
    pod["restartPolicy"] = json!("Never");
    let mut spec =
        json!({"backoffLimit": 0, "template": {"metadata": {"labels": {LEFT: "yes"}}, "spec": pod}});
    if let Some(seconds) = deadline {
        spec["activeDeadlineSeconds"] = json!(seconds);
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": annotations}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_runs_until_its_job_says_that_it_is_over() {
    on(|stage| async move {
        let path = stage.path("batch/v1", "jobs");
        let hook = json!({"helm.sh/hook": "pre-upgrade"});
        stage.admin.create(&path, &job("runs", &hook, None)).await;
        stage.admin.create(&path, &job("fails", &hook, Some(1))).await;
        stage.admin.create(&path, &job("plain", &json!({}), None)).await;
        let state = async |name: &str| {
            let hooks = stage.kubernetes.hooks(&stage.namespace).await.unwrap();
            assert!(hooks.iter().all(|hook| hook.job != "plain"), "{hooks:?}");
            hooks.into_iter().find(|hook| hook.job == name).unwrap().state
        };
        let failed = async || matches!(state("fails").await, HookState::Failed { at: Some(_), .. });
        assert!(until(failed).await, "{:?}", state("fails").await);
        let HookState::Failed { why, .. } = state("fails").await else { panic!() };
        assert_eq!(why, "Job was active longer than specified deadline");
        assert_eq!(state("runs").await, HookState::Runs { failed: 0 });
    })
    .await;
}
