//! The world itself: faults have causes, what removes the cause cures, and nothing else does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use runbookd::sandbox::{NAMESPACE, Options, PoolFault, Sandbox, System, Trouble, World};
use serde_json::{Value, json};

use crate::sandbox_wire::{MERGE, STRATEGIC, deployment_path, fast, kubernetes, restart_patch, send};

pub(crate) const SOON: Duration = Duration::from_secs(90);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn restart(sandbox: &Sandbox, deployment: &str, at: &str) {
    let path = format!("{}?fieldManager=runbookd&fieldValidation=Strict", deployment_path(deployment));
    let answer = kubernetes(sandbox, "PATCH", &path, STRATEGIC, &restart_patch(at)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

pub(crate) async fn rolled_out(world: &World, deployment: &str, than: u64) {
    let done = |world: &World| {
        let revision = world.deployment(deployment).map(|deployment| {
            deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        });
        revision.is_some_and(|revision| revision > than) && world.rollout_complete(deployment)
    };
    assert!(world.until(SOON, done).await, "no rollout: {:?}", world.deployment(deployment));
}

fn exhausted(world: &World, deployment: &str) -> bool {
    world.pods(deployment).iter().any(|pod| pod.exhausted && !pod.stopping)
}

fn is_firing(world: &World, app: &str) -> bool {
    world.firing().iter().any(|labels| labels["app"] == app)
}

#[tokio::test]
async fn a_restart_cures_pods_that_leaked_and_the_alert_resolves() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.exhaust_pool("chat-api", PoolFault::ThesePods);
    assert!(world.until(SOON, |world| is_firing(world, "chat-api")).await, "the alert fires");
    assert!(!is_firing(&world, "auth"));
    let errors =
        |world: &World| world.logs("chat-api").iter().filter(|line| line.text.contains("\"error\"")).count();
    assert!(errors(&world) > 5);
    let before: Vec<String> = world.pods("chat-api").into_iter().map(|pod| pod.uid).collect();
    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    rolled_out(&world, "chat-api", 1).await;
    assert!(!exhausted(&world, "chat-api"));
    assert!(world.pods("chat-api").iter().all(|pod| !before.contains(&pod.uid)), "all pods are new");
    assert!(world.until(SOON, |world| world.firing().is_empty()).await, "the alert resolves");
    assert!(errors(&world) > 5, "old lines stay");
}

#[tokio::test]
async fn restarting_another_service_cures_nothing() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.exhaust_pool("chat-api", PoolFault::ThesePods);
    restart(&sandbox, "auth", "2026-11-22T19:00:00Z").await;
    rolled_out(&world, "auth", 1).await;
    assert!(exhausted(&world, "chat-api"));
}

#[tokio::test]
async fn a_restart_does_not_cure_a_pool_that_is_too_small_but_a_larger_pool_does() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.exhaust_pool("chat-api", PoolFault::EveryPod { after: MINUTE });
    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    rolled_out(&world, "chat-api", 1).await;
    assert!(world.until(SOON, |world| exhausted(world, "chat-api")).await, "the new pods run dry again");
    let env = json!({"spec": {"template": {"spec": {"containers": [{"name": "chat-api",
        "env": [{"name": "SQLALCHEMY_POOL_SIZE", "value": "15"}]}]}}}});
    kubernetes(&sandbox, "PATCH", &deployment_path("chat-api"), STRATEGIC, &env.to_string()).await;
    rolled_out(&world, "chat-api", 2).await;
    tokio::time::sleep(world.real(MINUTE * 3)).await;
    assert!(!exhausted(&world, "chat-api"));
}

#[tokio::test]
async fn a_fault_that_heals_itself_does() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.exhaust_pool("auth", PoolFault::HealsItself { after: MINUTE * 5 });
    assert!(exhausted(&world, "auth"));
    assert!(world.until(SOON, |world| !exhausted(world, "auth")).await);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_paused_deployment_takes_the_patch_and_rolls_nothing_out() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let before = world.pods("chat-api");
    assert!(world.pause_deployment("chat-api", true));
    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    assert!(
        world.until(SOON, |world| world.progress("chat-api").as_deref() == Some("DeploymentPaused")).await
    );
    let observed = |world: &World| {
        world.deployment("chat-api").is_some_and(|deployment| deployment["status"]["observedGeneration"] == 3)
    };
    assert!(world.until(SOON, observed).await);
    assert_eq!(world.pods("chat-api"), before);
    assert!(world.deployment("chat-api").unwrap()["status"].get("updatedReplicas").is_none());
    world.pause_deployment("chat-api", false);
    rolled_out(&world, "chat-api", 1).await;
}

#[tokio::test]
async fn a_broken_rollout_fails_at_its_deadline_and_the_old_pods_go_on() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.break_rollouts("chat-api");
    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    assert!(
        world
            .until(SOON, |world| world.progress("chat-api").as_deref() == Some("ProgressDeadlineExceeded"))
            .await
    );
    let status = world.deployment("chat-api").unwrap()["status"].clone();
    assert_eq!(status["availableReplicas"], 2);
    assert_eq!(status["unavailableReplicas"], 1);
    let available =
        status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "Available");
    assert_eq!(available.unwrap()["status"], "True", "a failed rollout still shows Available=True");
    world.mend_rollouts("chat-api");
    assert!(world.until(SOON, |world| world.rollout_complete("chat-api")).await);
}

/// The recorded states of a real rollout, as (replicas, updated, ready, terminating), in order and without repeats.
#[tokio::test]
async fn a_rollout_passes_through_the_states_of_a_real_one() {
    let sandbox = Sandbox::start(Options { pace: 20, traffic: false, ..Options::default() }).await.unwrap();
    let world = sandbox.world();
    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    let mut seen: Vec<[u64; 4]> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    let look = |world: &World| {
        let status = world.deployment("chat-api").unwrap()["status"].clone();
        let state = ["replicas", "updatedReplicas", "readyReplicas", "terminatingReplicas"]
            .map(|field| status[field].as_u64().unwrap_or(0));
        if status["observedGeneration"] == 2 && seen.last() != Some(&state) {
            seen.push(state);
        }
        let reason = world.progress("chat-api").unwrap();
        if reasons.last() != Some(&reason) {
            reasons.push(reason);
        }
        seen.len() > 2 && world.rollout_complete("chat-api")
    };
    assert!(world.until(SOON, look).await);
    let recorded: Vec<[u64; 4]> = vec![
        [3, 1, 2, 0],
        [3, 1, 3, 0],
        [3, 2, 2, 1],
        [3, 2, 2, 0],
        [3, 2, 3, 0],
        [2, 2, 2, 1],
        [2, 2, 2, 0],
    ];
    let mut passed = seen.iter();
    for state in &recorded {
        assert!(
            passed.any(|seen| seen == state),
            "{state:?} of {recorded:?} is missing or out of order in {seen:?}"
        );
    }
    assert_eq!(reasons.last().map(String::as_str), Some("NewReplicaSetAvailable"));
    assert!(reasons.contains(&"ReplicaSetUpdated".to_owned()), "{reasons:?}");
}

#[tokio::test]
async fn the_same_restart_again_changes_nothing() {
    let sandbox = fast().await;
    let world = sandbox.world();
    restart(&sandbox, "frontend", "2026-11-22T19:00:00Z").await;
    rolled_out(&world, "frontend", 1).await;
    let before = world.deployment("frontend").unwrap();
    restart(&sandbox, "frontend", "2026-11-22T19:00:00Z").await;
    assert_eq!(world.deployment("frontend").unwrap(), before);
    let managers: Vec<Value> = before["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].clone())
        .collect();
    assert!(managers.contains(&json!("runbookd")));
}

#[tokio::test]
async fn a_deleted_pod_is_replaced_by_one_that_never_restarted() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let gone = world.pods("inference").remove(0);
    assert!(world.end_pod(&gone.name));
    assert!(
        world
            .until(SOON, |world| world.pods("inference").iter().any(|pod| pod.ready && pod.uid != gone.uid))
            .await
    );
    let path =
        format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3Dinference");
    let pods = kubernetes(&sandbox, "GET", &path, "", "").await.json();
    let pods = pods["items"].as_array().unwrap();
    assert!(pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["restartCount"] == 0));
}

#[tokio::test]
async fn replicas_are_scaled_and_a_deleted_deployment_is_gone_with_its_pods() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.set_replicas("auth", 4);
    assert!(world.until(SOON, |world| world.rollout_complete("auth") && world.pods("auth").len() == 4).await);
    world.set_replicas("auth", 1);
    assert!(world.until(SOON, |world| world.pods("auth").len() == 1).await);
    assert!(world.delete_deployment("auth"));
    assert!(world.until(SOON, |world| world.pods("auth").is_empty()).await);
    assert_eq!(kubernetes(&sandbox, "GET", &deployment_path("auth"), "", "").await.status, 404);
    assert!(!world.hand_restart("auth"));
}

#[tokio::test]
async fn troubles_strike_as_they_say() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let path = deployment_path("chat-api");
    let token = format!("Bearer {}", Options::default().kube_token);
    let headers = [("Authorization", token.as_str()), ("Content-Type", MERGE)];
    let url = sandbox.kubernetes_url();
    let patch = r#"{"spec":{"replicas":3}}"#;

    world.disturb_next(System::Kubernetes, Trouble::CutAfterApply, 1);
    assert_eq!(send(&url, "GET", &path, &headers, "").await.unwrap().status, 200);
    assert!(send(&url, "PATCH", &path, &headers, patch).await.is_none(), "the connection is cut");
    assert_eq!(world.deployment("chat-api").unwrap()["spec"]["replicas"], 3, "and the patch is applied");
    assert_eq!(world.writes().last().unwrap().status, None);

    world.disturb(System::Kubernetes, Some(Trouble::RefuseWrites403));
    assert_eq!(send(&url, "PATCH", &path, &headers, patch).await.unwrap().status, 403);
    world.disturb(System::Kubernetes, Some(Trouble::Down));
    assert!(send(&url, "GET", &path, &headers, "").await.is_none());
    world.disturb(System::Kubernetes, Some(Trouble::RateLimited { retry_after: Duration::from_secs(1) }));
    let limited = send(&url, "GET", &path, &headers, "").await.unwrap();
    assert_eq!((limited.status, limited.header("Retry-After")), (429, Some("1")));
    assert_eq!(limited.body, "Too many requests, please try again later.\n");
    world.disturb(System::Kubernetes, None);
    assert_eq!(send(&url, "GET", &path, &headers, "").await.unwrap().status, 200);

    world.disturb(System::Loki, Some(Trouble::Status(503, "too busy".into())));
    let loki = send(&sandbox.loki_url(), "GET", "/ready", &[], "").await.unwrap();
    assert_eq!((loki.status, loki.body.as_str()), (503, "too busy"));
}

#[tokio::test]
async fn a_silent_service_fails_without_a_line_and_a_garbled_one_writes_malformed_ones() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.silence_logs("chat-api", true);
    let before = world.logs("chat-api").len();
    world.exhaust_pool("chat-api", PoolFault::ThesePods);
    world.garble_logs("auth", true);
    assert!(world.until(SOON, |world| is_firing(world, "chat-api")).await);
    assert_eq!(world.logs("chat-api").len(), before);
    assert!(
        world
            .until(SOON, |world| world.logs("auth").iter().any(|line| line.text.ends_with("truncated json")))
            .await
    );
}

/// The client that the daemon uses finds its way with nothing but the kubeconfig.
#[tokio::test]
async fn the_real_client_restarts_a_deployment_with_the_kubeconfig() {
    use k8s_openapi::api::apps::v1::Deployment;
    use kube::api::{Patch, PatchParams};

    let sandbox = fast().await;
    let world = sandbox.world();
    let config = kube::config::Kubeconfig::from_yaml(&sandbox.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
        .await
        .unwrap();
    let api: kube::Api<Deployment> =
        kube::Api::namespaced(kube::Client::try_from(config).unwrap(), NAMESPACE);
    let patch: Value = serde_json::from_str(&restart_patch("2026-11-22T19:00:00Z")).unwrap();
    let params =
        PatchParams { field_manager: Some("runbookd".into()), ..PatchParams::default() }.validation_strict();
    api.patch("chat-api", &params, &Patch::Strategic(&patch)).await.unwrap();
    rolled_out(&world, "chat-api", 1).await;
    let deployment = api.get("chat-api").await.unwrap();
    assert_eq!(deployment.status.unwrap().ready_replicas, Some(2));
    let missing = api.get("nope").await.unwrap_err();
    assert!(matches!(missing, kube::Error::Api(status) if status.code == 404 && status.reason == "NotFound"));
    assert_eq!(world.writes().len(), 1);
}

/// A world in which nothing happens takes no new resourceVersions: a client may wait for them to stand still.
#[tokio::test]
async fn a_calm_cluster_stands_still() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let all = |world: &World| {
        ["frontend", "auth", "chat-api", "inference"].map(|name| (world.deployment(name), world.pods(name)))
    };
    world.changed().await;
    let before = all(&world);
    tokio::time::sleep(world.real(MINUTE * 3)).await;
    assert_eq!(all(&world), before);
    assert!(world.rollout_complete("chat-api") && world.firing().is_empty());
    assert!(world.ratio_5xx("chat-api").is_some_and(|ratio| ratio < 0.01));
}

#[tokio::test]
async fn dropping_the_sandbox_closes_its_ports() {
    let sandbox = fast().await;
    let address = sandbox.loki_url().strip_prefix("http://").unwrap().to_owned();
    drop(sandbox);
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(&address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    unreachable!("the port is still open");
}

#[tokio::test]
async fn the_kubeconfig_names_the_server_and_the_token() {
    let sandbox = fast().await;
    let config = sandbox.kubeconfig();
    assert!(config.contains(&sandbox.kubernetes_url()) && config.contains("token: sandbox-kubernetes-token"));
    assert!(sandbox.world().requests().is_empty(), "nothing was called");
}

/// The typed structs that the clients use must be able to read what the sandbox serves.
#[tokio::test]
async fn what_the_api_serves_is_what_the_schema_says() {
    use k8s_openapi::api::{apps::v1, autoscaling::v2, core::v1 as core, policy::v1 as policy};

    async fn read<T: serde::de::DeserializeOwned>(sandbox: &Sandbox, path: &str) {
        let answer = kubernetes(sandbox, "GET", path, "", "").await;
        assert_eq!(answer.status, 200, "{path}");
        serde_json::from_value::<T>(answer.json()).unwrap();
    }
    let sandbox = fast().await;
    let world = sandbox.world();
    world.put_autoscaler("inference", 1, 3);
    world.put_disruption_budget("chat-api", 1);
    world.put_quota("compute", &[("requests.memory", "64Gi")]);
    world.break_rollouts("auth");
    restart(&sandbox, "auth", "2026-11-22T19:00:00Z").await;
    assert!(world.until(SOON, |world| world.pods("auth").len() == 3).await);
    let within = |rest: &str| format!("/apis/{}", rest.replace("NS", &format!("namespaces/{NAMESPACE}")));
    read::<v1::Deployment>(&sandbox, &deployment_path("auth")).await;
    read::<k8s_openapi::List<v1::Deployment>>(&sandbox, &within("apps/v1/NS/deployments")).await;
    read::<k8s_openapi::List<v1::ReplicaSet>>(&sandbox, &within("apps/v1/NS/replicasets")).await;
    read::<k8s_openapi::List<v2::HorizontalPodAutoscaler>>(
        &sandbox,
        &within("autoscaling/v2/NS/horizontalpodautoscalers"),
    )
    .await;
    read::<k8s_openapi::List<policy::PodDisruptionBudget>>(
        &sandbox,
        &within("policy/v1/NS/poddisruptionbudgets"),
    )
    .await;
    read::<k8s_openapi::List<core::Pod>>(&sandbox, "/api/v1/pods").await;
    read::<k8s_openapi::List<core::Node>>(&sandbox, "/api/v1/nodes").await;
    read::<k8s_openapi::List<core::ResourceQuota>>(&sandbox, "/api/v1/resourcequotas").await;
    read::<k8s_openapi::List<core::Event>>(&sandbox, "/api/v1/events").await;
    read::<core::Namespace>(&sandbox, &format!("/api/v1/namespaces/{NAMESPACE}")).await;
}
