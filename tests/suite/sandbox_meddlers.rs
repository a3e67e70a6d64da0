//! Who else has a hand in the sandbox's cluster: an autoscaler, a quota, Argo CD, people. And how a write is guarded against them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use runbookd::sandbox::{NAMESPACE, World};
use serde_json::{Value, json};

use crate::sandbox_wire::{Answer, JSON_PATCH, deployment_path, fast, kubernetes};
use crate::sandbox_world::{MINUTE, SOON, restart, rolled_out};

const LIMIT: &str = "/spec/template/spec/containers/0/resources/limits/memory";

fn hpa(name: &str) -> String {
    format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{name}")
}

fn replicas(world: &World, deployment: &str) -> Value {
    world.deployment(deployment).unwrap()["spec"]["replicas"].clone()
}

/// The status and reason of a condition.
fn condition(object: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((found["status"].as_str()?.to_owned(), found["reason"].as_str()?.to_owned()))
}

fn says(object: &Value, kind: &str, status: &str, reason: &str) -> bool {
    condition(object, kind) == Some((status.to_owned(), reason.to_owned()))
}

/// The manager of the entry that owns this field, and the entry's subresource.
fn owner(object: &Value, pointer: &str) -> Option<(String, Option<String>)> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let mut own = entries.iter().filter(|entry| entry.pointer(&format!("/fieldsV1{pointer}")).is_some());
    let entry = own.next()?;
    assert!(own.next().is_none(), "two own {pointer}: {entries:?}");
    Some((entry["manager"].as_str()?.to_owned(), entry["subresource"].as_str().map(str::to_owned)))
}

#[tokio::test]
async fn a_json_patch_with_a_test_guards_a_field_and_a_dry_run_changes_nothing() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let path = deployment_path("inference");
    let pointer = "/spec/template/spec/containers/0/resources/limits/memory";
    let patch = |test: &str| {
        json!([{"op": "test", "path": pointer, "value": test}, {"op": "replace", "path": pointer, "value": "4Gi"}]).to_string()
    };
    assert_eq!(kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &patch("1Gi")).await.status, 422);
    let before = world.deployment("inference").unwrap();
    let dry =
        kubernetes(&sandbox, "PATCH", &format!("{path}?dryRun=All"), JSON_PATCH, &patch("8Gi")).await.json();
    assert_eq!(dry.pointer(&format!("/spec{}", &pointer[5..])).unwrap(), "4Gi");
    assert_eq!(dry["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    assert_eq!(world.deployment("inference").unwrap(), before);
    assert_eq!(kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &patch("8Gi")).await.status, 200);
    assert_eq!(world.deployment("inference").unwrap().pointer(pointer).unwrap(), "4Gi");
    // The dry run is a request, but no write.
    assert_eq!(world.writes().len(), 2);
}

/// As `k8s.io/apiserver` decides it: `DeleteResource` reads the options of the address only where the body is empty.
#[tokio::test]
async fn a_dry_deletion_removes_nothing_and_says_so_in_its_body_where_it_has_one() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let node = world.nodes().remove(0).0;
    let pod = world.pods("auth").remove(0).name;
    let jobs = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs");
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a-job"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    });
    let made = kubernetes(&sandbox, "POST", &jobs, "application/json", &job.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let delete = async |path: &str, body: &str| {
        let answer = kubernetes(&sandbox, "DELETE", path, "application/json", body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.json());
    };
    let is_there = |path: &str| {
        let name = path.rsplit('/').next().unwrap();
        world.node(name).is_some()
            || world.jobs().iter().any(|job| job["metadata"]["name"] == name)
            || world.pods("auth").iter().any(|pod| pod.name == name)
    };
    let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}");
    for path in [&format!("/api/v1/nodes/{node}"), &pod, &format!("{jobs}/a-job")] {
        delete(path, r#"{"dryRun": ["All"]}"#).await;
        delete(&format!("{path}?dryRun=All"), "").await;
        assert!(is_there(path), "{path} was only asked about");
        delete(&format!("{path}?dryRun=All"), r#"{"gracePeriodSeconds": 0}"#).await;
        assert!(!is_there(path), "{path}: the options in the body count alone");
    }
}

/// An absent key is tested for with null; an absent list below it fails.
#[tokio::test]
async fn a_patch_by_hand_on_an_absent_env_is_guarded_as_on_the_real_server() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let path = format!("{}?fieldManager=runbookd&fieldValidation=Strict", deployment_path("auth"));
    let send = async |patch: Value| -> Answer {
        kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &patch.to_string()).await
    };
    let env = "/spec/template/spec/containers/0/env";
    let uid = world.deployment("auth").unwrap()["metadata"]["uid"].clone();
    let guards = |uid: &Value, name: &str| {
        [
            json!({"op": "test", "path": "/metadata/uid", "value": uid}),
            json!({"op": "test", "path": "/spec/template/spec/containers/0/name", "value": name}),
        ]
    };
    let with =
        |guards: [Value; 2], more: Value| Value::from([&guards[..], more.as_array().unwrap()].concat());
    let add = json!([{"op": "test", "path": env, "value": null},
                     {"op": "add", "path": env, "value": [{"name": "SQLALCHEMY_POOL_SIZE", "value": "20"}]}]);
    assert_eq!(send(with(guards(&json!("another"), "auth"), add.clone())).await.status, 422);
    assert_eq!(send(with(guards(&uid, "sidecar"), add.clone())).await.status, 422);
    let below = json!([{"op": "test", "path": format!("{env}/0/value"), "value": null}]);
    assert_eq!(send(with(guards(&uid, "auth"), below)).await.status, 422);
    let strange = json!([{"op": "add", "path": "/spec/template/spec/containers/0/envv", "value": []}]);
    assert_eq!(send(with(guards(&uid, "auth"), strange)).await.status, 422, "Strict knows no such field");
    let bad = json!([{"op": "add", "path": env, "value": [{"name": "A", "value": 20}]}]);
    assert_eq!(send(with(guards(&uid, "auth"), bad)).await.status, 422, "an env value is a text");
    assert_eq!(world.deployment("auth").unwrap()["metadata"]["generation"], 1, "nothing was written");

    assert_eq!(send(with(guards(&uid, "auth"), add.clone())).await.status, 200);
    assert_eq!(send(with(guards(&uid, "auth"), add)).await.status, 422, "it is there now");
    let auth = world.deployment("auth").unwrap();
    let field =
        r#"/f:spec/f:template/f:spec/f:containers/k:{"name":"auth"}/f:env/k:{"name":"SQLALCHEMY_POOL_SIZE"}"#;
    assert_eq!(owner(&auth, field), Some(("runbookd".to_owned(), None)));
    // Somebody else takes the field, and then it is theirs.
    world.set_env("auth", "SQLALCHEMY_POOL_SIZE", Some("30"));
    let auth = world.deployment("auth").unwrap();
    assert_eq!(owner(&auth, &format!("{field}/f:value")), Some(("kubectl-set".to_owned(), None)));
}

#[tokio::test]
async fn a_stateful_sets_resources_are_validated_as_a_deployments() {
    let sandbox = fast().await;
    sandbox.world().put_stateful_set("loki", 1);
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/loki");
    let resources = |limit: &str| {
        json!([{"op": "replace", "path": "/spec/template/spec/containers/0/resources",
                "value": {"limits": {"memory": limit}, "requests": {"memory": "256Mi"}}}])
        .to_string()
    };
    let refused = kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &resources("1Mi")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.json()["message"].as_str().unwrap().starts_with(
        "StatefulSet.apps \"loki\" is invalid: spec.template.spec.containers[0].resources.requests: Invalid value: \"256Mi\": must be less than"
    ));
    assert_eq!(kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &resources("1Gi")).await.status, 200);
}

#[tokio::test]
async fn an_autoscaler_puts_replicas_back_within_its_bounds() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.serve_metrics(false);
    world.put_autoscaler("inference", 1, 3);
    assert!(world.set_replicas("inference", 10));
    assert!(world.until(SOON, |world| replicas(world, "inference") == 3).await);
    let scaled = world.deployment("inference").unwrap();
    let by = ("kube-controller-manager".to_owned(), Some("scale".to_owned()));
    assert_eq!(owner(&scaled, "/f:spec/f:replicas"), Some(by));
    world.set_replicas("inference", 2);
    tokio::time::sleep(world.real(MINUTE)).await;
    assert_eq!(replicas(&world, "inference"), 2, "without metrics it does no more");
    let scaler = world.autoscaler("inference").unwrap();
    assert!(says(&scaler, "ScalingActive", "False", "FailedGetResourceMetric"), "{scaler}");
    assert!(says(&scaler, "AbleToScale", "True", "SucceededGetScale"), "{scaler}");
    // 0 switches it off.
    world.set_replicas("inference", 0);
    let off = |world: &World| {
        says(&world.autoscaler("inference").unwrap(), "ScalingActive", "False", "ScalingDisabled")
    };
    assert!(world.until(SOON, off).await);
    assert_eq!(replicas(&world, "inference"), 0);
}

#[tokio::test]
async fn raising_the_minimum_raises_the_replicas_and_lowering_it_lets_them_fall() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.put_autoscaler("inference", 1, 4);
    let path = format!("{}?fieldManager=runbookd&fieldValidation=Strict", hpa("inference"));
    let send = async |from: u32, to: u32| {
        let patch = json!([{"op": "test", "path": "/spec/minReplicas", "value": from},
                           {"op": "replace", "path": "/spec/minReplicas", "value": to}]);
        kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &patch.to_string()).await
    };
    assert_eq!(send(2, 3).await.status, 422, "it is 1");
    let refused = send(1, 5).await;
    assert_eq!(refused.status, 422);
    assert_eq!(
        refused.json()["message"],
        "HorizontalPodAutoscaler.autoscaling \"inference\" is invalid: spec.maxReplicas: Invalid value: 4: must be greater \
         than or equal to `minReplicas`"
    );
    assert_eq!(send(1, 3).await.status, 200);
    assert!(world.until(SOON, |world| replicas(world, "inference") == 3).await);
    let scaler = world.autoscaler("inference").unwrap();
    assert_eq!(owner(&scaler, "/f:spec/f:minReplicas"), Some(("runbookd".to_owned(), None)));
    let limited = |world: &World| {
        says(&world.autoscaler("inference").unwrap(), "ScalingLimited", "True", "TooFewReplicas")
    };
    assert!(world.until(SOON, limited).await, "{:?}", world.autoscaler("inference"));
    assert_eq!(send(3, 1).await.status, 200);
    // The load is spread over three, and one has been enough all the time.
    assert!(world.until(SOON, |world| replicas(world, "inference") == 1).await);
    assert!(world.events().iter().any(|event| event["reason"] == "SuccessfulRescale"));
}

#[tokio::test]
async fn a_helm_upgrade_takes_back_what_the_chart_declares_and_nothing_else() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.put_autoscaler("chat-api", 2, 6);
    let path = hpa("chat-api");
    let raise = json!([{"op": "replace", "path": "/spec/minReplicas", "value": 4}]).to_string();
    assert_eq!(kubernetes(&sandbox, "PATCH", &path, JSON_PATCH, &raise).await.status, 200);
    world.set_memory_limit("chat-api", "1Gi");
    world.set_env("chat-api", "SQLALCHEMY_POOL_SIZE", Some("20"));
    world.set_env("chat-api", "EXTRA", Some("1"));
    assert!(world.helm_upgrade("chat-api"));
    let live = world.deployment("chat-api").unwrap();
    assert_eq!(live.pointer(LIMIT).unwrap(), "512Mi");
    let env = &live["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(
        *env,
        json!([{"name": "SQLALCHEMY_POOL_SIZE", "value": "5"}, {"name": "EXTRA", "value": "1"}])
    );
    assert_eq!(world.autoscaler("chat-api").unwrap()["spec"]["minReplicas"], 2);
    let field =
        r#"/f:spec/f:template/f:spec/f:containers/k:{"name":"chat-api"}/f:resources/f:limits/f:memory"#;
    assert_eq!(owner(&live, field), Some(("helm".to_owned(), None)));
    assert!(!world.helm_upgrade("nobody"));
}

/// A pod that says a limit alone requests as much; what is no amount of a pod is none of a quota's reasons against it.
#[tokio::test]
async fn a_quota_refuses_pods_that_do_not_say_what_it_counts() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.put_quota("compute", &[("requests.memory", "64Gi"), ("services", "1")]);
    assert!(world.edit("inference", "kubectl-edit", |object| {
        let container = &mut object["spec"]["template"]["spec"]["containers"][0];
        container["resources"] = json!({"limits": {"memory": "4Gi"}});
    }));
    assert!(world.until(SOON, |world| world.rollout_complete("inference")).await);
    world.put_quota("compute", &[("limits.cpu", "64")]);
    world.set_replicas("inference", 3);
    let refused = |world: &World| world.events().iter().any(|event| event["reason"] == "FailedCreate");
    assert!(world.until(SOON, refused).await);
    let event = world.events().into_iter().find(|event| event["reason"] == "FailedCreate").unwrap();
    let message = event["message"].as_str().unwrap();
    let end = "\" is forbidden: failed quota: compute: must specify limits.cpu for: inference";
    assert!(message.ends_with(end), "{message}");
}

#[tokio::test]
async fn pods_that_exceed_a_quota_are_not_made_until_there_is_room() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/resourcequotas");
    assert_eq!(kubernetes(&sandbox, "GET", &path, "", "").await.json()["items"], json!([]));
    // Six of the seven pods that run have requested 128Mi each, inference 256Mi.
    world.put_quota("compute", &[("requests.memory", "1280Mi"), ("pods", "20")]);
    let quotas = kubernetes(&sandbox, "GET", &path, "", "").await.json();
    assert_eq!(quotas["kind"], "ResourceQuotaList");
    assert_eq!(quotas["items"][0]["status"]["used"], json!({"requests.memory": "1Gi", "pods": "7"}));
    world.set_replicas("inference", 3);
    let refused = |world: &World| world.events().iter().any(|event| event["reason"] == "FailedCreate");
    assert!(world.until(SOON, refused).await);
    let event = world.events().into_iter().find(|event| event["reason"] == "FailedCreate").unwrap();
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("Error creating: pods \"inference-"), "{message}");
    assert!(
        message.ends_with(
            "\" is forbidden: exceeded quota: compute, requested: requests.memory=256Mi, used: requests.memory=1280Mi, \
             limited: requests.memory=1280Mi"
        ),
        "{message}"
    );
    assert_eq!(event["involvedObject"]["kind"], "ReplicaSet");
    let failed = |world: &World| {
        says(&world.deployment("inference").unwrap(), "ReplicaFailure", "True", "FailedCreate")
    };
    assert!(world.until(SOON, failed).await);
    assert_eq!(world.pods("inference").len(), 2);
    world.remove_quota("compute");
    assert!(
        world
            .until(SOON, |world| world.rollout_complete("inference") && world.pods("inference").len() == 3)
            .await
    );
    assert!(condition(&world.deployment("inference").unwrap(), "ReplicaFailure").is_none());
}

#[tokio::test]
async fn argo_cd_puts_back_what_its_repository_names_and_leaves_a_restart_alone() {
    let sandbox = fast().await;
    let world = sandbox.world();
    assert!(world.self_heal("chat-api"));
    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    rolled_out(&world, "chat-api", 1).await;
    world.edit("chat-api", "runbookd", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!("15");
    });
    let pool = |world: &World| {
        world.deployment("chat-api").unwrap()["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"]
            .clone()
    };
    assert!(world.until(SOON, |world| pool(world) == "5").await);
    let template = world.deployment("chat-api").unwrap()["spec"]["template"].clone();
    assert_eq!(
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"],
        "2026-11-22T19:00:00Z"
    );
}
