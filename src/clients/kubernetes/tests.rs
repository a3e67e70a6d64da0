//! The Kubernetes client against recorded answers of a real API server, and a rollout's states.

mod at_once;

use std::io::Write as _;

use k8s_openapi::api::apps::v1 as apps;
use serde_json::{Value, json};

use super::super::wire::{Reply, Wire};
use super::*;

async fn at(url: &str) -> Kubernetes {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    file.write_all(config.to_string().as_bytes()).unwrap();
    let settings = Settings { kubeconfig: Some(file.path().to_owned()), context: None };
    Kubernetes::connect(&settings).await.unwrap()
}

async fn with(replies: Vec<Reply>) -> (Kubernetes, Wire) {
    let wire = Wire::start(replies).await;
    (at(&wire.url).await, wire)
}

fn data(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/data/kubernetes/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn object(generation: i64, status: &Value) -> apps::Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "chat-api", "generation": generation},
        "spec": {"replicas": 2, "selector": {}, "template": {}},
        "status": status,
    }))
    .unwrap()
}

#[test]
fn a_real_rollout_is_followed_as_kubectl_does() {
    let told: Vec<_> = data("rollout-restart-progress.jsonl")
        .lines()
        .map(|line| {
            let seen: Value = serde_json::from_str(line).unwrap();
            match rollout_of(&object(seen["generation"].as_i64().unwrap(), &seen["status"])) {
                Rollout::Complete { ready } => format!("complete, {ready} ready"),
                Rollout::InProgress { what, .. } => what,
                Rollout::Failed { what, .. } => what,
            }
        })
        .collect();
    assert_eq!(
        told,
        [
            "the change of the spec has not been observed yet",
            "1 of 2 new pods have been created",
            "1 of 2 new pods have been created",
            "1 old pods are still to be stopped",
            "1 old pods are still to be stopped",
            "1 old pods are still to be stopped",
            "complete, 2 ready",
            "complete, 2 ready",
        ]
    );
}

#[test]
fn a_rollout_that_made_no_progress_has_failed_although_its_pods_are_available() {
    let conditions = json!([
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": "2026-11-22T19:00:00Z", "message": "ReplicaSet \"x\" has timed out progressing."},
    ]);
    let mut status = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2, "conditions": conditions});
    let expected = "the rollout exceeded its progress deadline: ReplicaSet \"x\" has timed out progressing.";
    let since = Some("2026-11-22T19:00:00Z".parse().unwrap());
    assert_eq!(rollout_of(&object(2, &status)), Rollout::Failed { what: expected.to_owned(), since });
    // A newer change that was not observed yet makes the condition one of the change before.
    assert!(matches!(rollout_of(&object(3, &status)), Rollout::InProgress { .. }));
    // New pods that exist but do not become available.
    status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1});
    let expected = Rollout::InProgress {
        updated: 2,
        available: 1,
        desired: 2,
        what: "1 of 2 new pods are available".to_owned(),
    };
    assert_eq!(rollout_of(&object(2, &status)), expected);
}

/// What a real server sends: a template in a `ReplicaSet` is that of its Deployment but for the hash label, byte by byte.
#[test]
fn a_real_history_is_read_with_a_restart_that_is_no_change() {
    let recorded = |name: &str| -> Vec<Value> {
        let text = data(name);
        let body = text.rsplit("\n\n").find(|part| part.trim_start().starts_with('{')).unwrap().to_owned();
        serde_json::from_str::<Value>(&body).unwrap()["items"].as_array().unwrap().clone()
    };
    let sets = recorded("list-replicasets.txt");
    let of = |name: &str| {
        let all = recorded("list-deployments.txt");
        let deployment = all.iter().find(|object| object["metadata"]["name"] == name).unwrap();
        history::read(deployment, &sets).unwrap()
    };
    let numbers = |history: &History| {
        let current = history.current().map(|revision| revision.number);
        (current, history.previous().map(|revision| revision.number), history.changes().count())
    };
    assert_eq!(numbers(&of("chat-api")), (Some(2), None, 0), "revision 2 is a restart of revision 1");
    assert_eq!(numbers(&of("inference")), (Some(2), Some(1), 1), "its memory limit was changed");
    assert_eq!(of("inference").template.images, ["example/inference:1"]);
}

/// A crash-looping Deployment must not look as if somebody were rolling it out: it could never be restarted.
#[test]
fn pods_that_are_lost_after_a_rollout_are_no_rollout() {
    let rolling_out = |generation, reason: &str, replicas: i32, updated: i32, available: i32| {
        let conditions = json!([{"type": "Progressing", "status": "True", "reason": reason}]);
        let status = json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
            "availableReplicas": available, "conditions": conditions});
        let deployment = Workload::from(&object(generation, &status));
        assert_eq!(matches!(deployment.rollout, Rollout::Complete { .. }), available == 2);
        deployment.rolling_out.is_some()
    };
    assert!(!rolling_out(2, "NewReplicaSetAvailable", 2, 2, 2));
    assert!(!rolling_out(2, "NewReplicaSetAvailable", 2, 2, 0), "they crashed");
    assert!(rolling_out(2, "ReplicaSetUpdated", 2, 2, 0), "the new ones never ran");
    assert!(rolling_out(2, "NewReplicaSetAvailable", 3, 2, 1), "old ones are still there");
    assert!(rolling_out(3, "NewReplicaSetAvailable", 2, 2, 1), "a change was not observed yet");
}

#[test]
fn a_deployment_without_status_is_not_complete() {
    let object: apps::Deployment = serde_json::from_value(
        json!({"metadata": {"generation": 1}, "spec": {"selector": {}, "template": {}}}),
    )
    .unwrap();
    assert!(matches!(rollout_of(&object), Rollout::InProgress { desired: 1, .. }));
}

#[tokio::test]
async fn a_deployment_is_read_as_the_server_has_it() {
    let (cluster, wire) = with(vec![Reply::json(&data("deployment-chat-api.json"))]).await;
    let deployment = cluster.workload("deployment", "samosachaat-prod", "chat-api").await.unwrap();
    assert_eq!(deployment.uid, "ce7980ca-4745-4228-a8c2-c6a18c344597");
    assert_eq!((deployment.generation, deployment.replicas, deployment.paused), (2, 2, false));
    assert_eq!(deployment.restarted_at.as_deref(), Some("2026-11-22T18:45:00Z"));
    assert_eq!(deployment.progress_deadline, Duration::from_secs(600));
    assert_eq!(deployment.images, ["example/chat-api:1"]);
    assert_eq!(deployment.controller, None);
    let seen = &wire.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.uri.as_str()),
        ("GET", "/apis/apps/v1/namespaces/samosachaat-prod/deployments/chat-api")
    );
    assert_eq!(seen.headers["authorization"], "Bearer secret-token");
    assert!(cluster.is_loopback() && cluster.server().starts_with(&wire.url));
}

#[tokio::test]
async fn an_operators_deployment_names_its_controller() {
    let mut object: Value = serde_json::from_str(&data("deployment-chat-api.json")).unwrap();
    object["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"},
        {"apiVersion": "x/v1", "kind": "WebApp", "name": "shop", "uid": "2", "controller": true},
    ]);
    object["spec"]["paused"] = json!(true);
    let (cluster, _wire) = with(vec![Reply::json(&object.to_string())]).await;
    let deployment = cluster.workload("deployment", "samosachaat-prod", "chat-api").await.unwrap();
    assert_eq!(deployment.controller.as_deref(), Some("WebApp/shop"));
    assert!(deployment.paused);
}

#[tokio::test]
async fn pods_are_read_as_the_server_has_them_with_the_deployment_behind_their_replica_set() {
    let replies = ["oom-pods.txt", "list-replicasets.txt"];
    let (cluster, wire) =
        with(replies.map(|file| Reply::recorded(&format!("kubernetes/{file}"))).to_vec()).await;
    let pods = cluster.pods("samosachaat-prod").await.unwrap();
    let inference = Owner { kind: "Deployment".to_owned(), name: "inference".to_owned() };
    assert_eq!(pods.len(), 8);
    assert!(pods[0].ready && !pods[0].stopping && pods[0].owner.as_ref() == Some(&inference));
    assert!(pods[0].containers.iter().all(|container| container.waiting.is_none()));
    // A list of ReplicaSets from another moment: this one's is not in it, and nobody guesses its Deployment from its name.
    let killed = &pods[5];
    assert_eq!(killed.owner.as_ref().unwrap().to_string(), "ReplicaSet/inference-7496f6f7b6");
    assert!(!killed.ready && !killed.succeeded);
    assert_eq!(
        killed.containers[0].to_string(),
        "container inference: waiting (CrashLoopBackOff), started again 3 times, last ended: OOMKilled, exit code 137, 2026-11-22T19:56:04Z"
    );
    let asked: Vec<_> = wire.seen().iter().map(|seen| seen.uri.clone()).collect();
    assert_eq!(
        asked,
        [
            "/api/v1/namespaces/samosachaat-prod/pods?&limit=500",
            "/apis/apps/v1/namespaces/samosachaat-prod/replicasets?&limit=500"
        ]
    );
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let page = |name: &str, token: &str| {
        let pod = json!({"metadata": {"name": name}});
        Reply::json(&json!({"metadata": {"continue": token}, "items": [pod]}).to_string())
    };
    let (cluster, wire) = with(vec![page("a", "next"), page("b", "")]).await;
    let pods = cluster.pods("shop").await.unwrap();
    assert_eq!(pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(pods.iter().all(|pod| !pod.ready && pod.owner.is_none()));
    assert!(wire.seen()[1].uri.contains("continue=next"), "{}", wire.seen()[1].uri);
}

#[tokio::test]
async fn a_list_without_items_is_an_error_and_no_empty_list() {
    let (cluster, _wire) = with(vec![Reply::json("{}")]).await;
    let error = cluster.pods("shop").await.unwrap_err();
    assert!(error.message.contains("items"), "{error}");
    let (cluster, wire) = with(Vec::new()).await;
    let error = cluster.pods("../nodes").await.unwrap_err();
    assert!(error.message.contains("is not the name of a namespace") && wire.seen().is_empty(), "{error}");
}

#[tokio::test]
async fn a_restart_is_the_patch_that_kubectl_sends_with_the_uid_as_its_condition() {
    let (cluster, wire) = with(vec![Reply::recorded("kubernetes/patch-restart.txt")]).await;
    cluster
        .restart("deployment", "samosachaat-prod", "chat-api", "u-1", "2026-11-22T19:00:00Z")
        .await
        .unwrap();
    let seen = wire.seen();
    assert_eq!(seen.len(), 1);
    let (path, query) = seen[0].uri.split_once('?').unwrap();
    assert_eq!(
        (seen[0].method.as_str(), path),
        ("PATCH", "/apis/apps/v1/namespaces/samosachaat-prod/deployments/chat-api")
    );
    let mut query: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    assert_eq!(query, ["fieldManager=runbookd", "fieldValidation=Strict"]);
    assert_eq!(seen[0].headers["content-type"], "application/strategic-merge-patch+json");
    assert_eq!(
        serde_json::from_str::<Value>(&seen[0].body).unwrap(),
        json!({
            "metadata": {"uid": "u-1"},
            "spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-22T19:00:00Z"}}}},
        })
    );
}

#[tokio::test]
async fn every_recorded_refusal_of_a_write_has_its_reason_and_is_sent_once() {
    for (file, reason, said) in [
        ("patch-wrong-uid-422.txt", Reason::Conflict, "field is immutable"),
        ("json-patch-test-fails-422.txt", Reason::Conflict, "somebody else changed it at the same moment"),
        ("patch-restart-stale-rv-409.txt", Reason::Conflict, "the object has been modified"),
        ("rbac-denied-restart-403.txt", Reason::Denied, "cannot patch resource"),
        ("unauth-bad-token.txt", Reason::Denied, "Unauthorized"),
        ("get-404.txt", Reason::NotFound, "deployments.apps \"nope\" not found"),
        ("apf-429.txt", Reason::RateLimited, "Too many requests"),
        ("wrong-content-type-415.txt", Reason::ClientError, ""),
        ("patch-env-unknown-container-422.txt", Reason::ClientError, "image: Required value"),
    ] {
        let (cluster, wire) = with(vec![Reply::recorded(&format!("kubernetes/{file}"))]).await;
        let error = cluster.restart("deployment", "shop", "web", "u", "t").await.unwrap_err();
        assert_eq!(error.reason, reason, "{file}: {error}");
        assert!(error.message.contains(said), "{file}: {error}");
        assert_eq!(error.call, "restart deployment/web in shop");
        assert_eq!(error.retry_after, (file == "apf-429.txt").then_some(Duration::from_secs(1)), "{file}");
        assert_eq!(wire.seen().len(), 1, "{file}");
        assert!(!error.to_string().contains("secret-token"));
    }
}

#[tokio::test]
async fn a_write_whose_fate_is_open_is_never_sent_again() {
    for (status, reason) in [(500, Reason::ServerError), (503, Reason::ServerError), (504, Reason::Timeout)] {
        let (cluster, wire) = with(vec![Reply::error(status, "upstream failed")]).await;
        let error = cluster.restart("deployment", "shop", "web", "u", "t").await.unwrap_err();
        assert_eq!((error.reason, error.reason.surely_without_effect()), (reason, false));
        assert_eq!(error.message, format!("HTTP {status}: upstream failed"));
        assert_eq!(wire.seen().len(), 1);
    }
    let broken =
        at(&Wire::breaking().await).await.restart("deployment", "shop", "web", "u", "t").await.unwrap_err();
    assert_eq!(broken.reason, Reason::ServerError, "{broken}");
    let nowhere =
        at(&Wire::nowhere().await).await.restart("deployment", "shop", "web", "u", "t").await.unwrap_err();
    assert_eq!(nowhere.reason, Reason::Unreachable, "{nowhere}");
    assert!(nowhere.reason.surely_without_effect() && nowhere.message.contains("refused"), "{nowhere}");
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout() {
    let (mut cluster, _wire) = with(vec![Reply::Hang]).await;
    Arc::get_mut(&mut cluster.inner).unwrap().timeout = Duration::from_millis(200);
    let error = cluster.restart("deployment", "shop", "web", "u", "t").await.unwrap_err();
    assert_eq!(error.reason, Reason::Timeout);
}

#[tokio::test]
async fn a_name_that_is_none_is_never_sent() {
    let (cluster, wire) = with(Vec::new()).await;
    for (namespace, name) in [
        ("shop", "../secrets/x"),
        ("shop", ""),
        ("", "web"),
        ("a/b", "web"),
        ("a.b", "web"),
        ("shop", "web?x"),
    ] {
        let error = cluster.restart("deployment", namespace, name, "u", "t").await.unwrap_err();
        assert_eq!(error.reason, Reason::ClientError);
        assert_eq!(
            cluster.workload("deployment", namespace, name).await.unwrap_err().reason,
            Reason::ClientError
        );
    }
    for (uid, time) in [("", "t"), ("u", "")] {
        assert_eq!(
            cluster.restart("deployment", "shop", "web", uid, time).await.unwrap_err().reason,
            Reason::ClientError
        );
    }
    assert!(wire.seen().is_empty());
}

#[tokio::test]
async fn a_question_is_asked_again_while_the_server_is_busy() {
    let busy = Reply::error(503, "starting");
    let (cluster, wire) =
        with(vec![busy.clone(), busy.clone(), Reply::json(&data("deployment-chat-api.json"))]).await;
    assert!(cluster.workload("deployment", "samosachaat-prod", "chat-api").await.is_ok());
    assert_eq!(wire.seen().len(), 3);

    let (cluster, wire) =
        with(vec![Reply::Answer(429, vec![("Retry-After".to_owned(), "60".to_owned())], String::new())])
            .await;
    let error = cluster.workload("deployment", "shop", "web").await.unwrap_err();
    assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(Duration::from_secs(60))));
    assert_eq!(wire.seen().len(), 1);

    let (cluster, wire) = with(vec![Reply::recorded("kubernetes/get-ns-404.txt")]).await;
    assert_eq!(cluster.workload("deployment", "nope", "x").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(wire.seen().len(), 1);
}

#[tokio::test]
async fn a_question_after_a_write_never_shares_the_answer_to_one_before_it() {
    // The first question hangs; the one after the write must be sent all the same.
    let object = data("deployment-chat-api.json");
    let (cluster, wire) = with(vec![Reply::Hang, Reply::json("{}"), Reply::json(&object)]).await;
    let first = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.workload("deployment", "samosachaat-prod", "chat-api").await }
    });
    while wire.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    cluster.restart("deployment", "samosachaat-prod", "chat-api", "u", "t").await.unwrap();
    assert!(cluster.workload("deployment", "samosachaat-prod", "chat-api").await.is_ok());
    assert_eq!(
        wire.seen().iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(),
        ["GET", "PATCH", "GET"]
    );
    first.abort();
}

#[tokio::test]
async fn an_answer_that_is_something_else_is_no_deployment() {
    for answer in ["<html>", "{}", &data("deployment-chat-api.json")] {
        let (cluster, _wire) = with(vec![Reply::json(answer)]).await;
        assert_eq!(
            cluster.workload("deployment", "shop", "web").await.unwrap_err().reason,
            Reason::ServerError
        );
    }
}

#[tokio::test]
async fn the_values_in_an_object_do_not_come_into_a_message() {
    let (cluster, _wire) = with(vec![Reply::recorded("kubernetes/unknown-field-strict.txt")]).await;
    let error = cluster.restart("deployment", "shop", "web", "u", "t").await.unwrap_err();
    assert_eq!(
        error.message,
        "HTTP 422: \"\" is invalid: patch: Invalid value: (the object): strict decoding error: unknown field \"spec.replcas\""
    );
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_says_which_and_what_to_do() {
    let settings =
        Settings { kubeconfig: Some("/nowhere/kubeconfig".into()), context: Some("prod".to_owned()) };
    let error = Kubernetes::connect(&settings).await.unwrap_err().to_string();
    assert!(error.contains("the kubeconfig /nowhere/kubeconfig, context \"prod\""), "{error}");
    assert!(error.contains("No such file") && error.contains("name a kubeconfig and a context"), "{error}");
}

async fn connect_error(kubeconfig: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(kubeconfig.as_bytes()).unwrap();
    let settings = Settings { kubeconfig: Some(file.path().to_owned()), context: None };
    Kubernetes::connect(&settings).await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_unusable_kubeconfig_does_not_show_what_stands_in_it() {
    let broken =
        "apiVersion: v1\nkind: Config\nusers:\n- name: u\n  user:\n    token: secret-token\n  - : [}\n";
    let error = connect_error(broken).await;
    assert!(error.contains("no YAML of a kubeconfig at line 7") && !error.contains("secret"), "{error}");

    let plugin = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "echo secret-token; exit 3"],
            "interactiveMode": "Never",
        }}}],
    });
    let error = connect_error(&plugin.to_string()).await;
    assert!(error.ends_with("the command for credentials failed: exit status: 3"), "{error}");
}

/// Tried with a real API server: without it, a `test` of such a value never holds.
#[test]
fn the_values_in_a_json_patch_are_written_as_go_writes_them() {
    let body = json!([{"op": "test", "path": "/a", "value": "a && b < c > d \u{2028} \u{e9}"}]).to_string();
    let sent = as_go_writes(&body);
    assert!(sent.contains("a \\u0026\\u0026 b \\u003c c \\u003e d \\u2028 \u{e9}"), "{sent}");
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), serde_json::from_str::<Value>(&body).unwrap());
}

#[tokio::test]
async fn the_api_server_is_reached_by_its_version() {
    let (cluster, wire) = with(vec![Reply::recorded("kubernetes/version.txt")]).await;
    cluster.ping().await.unwrap();
    assert_eq!(wire.seen()[0].uri, "/version");
}
