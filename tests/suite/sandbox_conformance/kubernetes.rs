//! The API server's recordings.

use std::time::Duration;

use runbookd::sandbox::{Options, Sandbox, System, Trouble, World};
use serde_json::{Value, json};

use super::assert_all_accounted_for;
use crate::sandbox_recordings::{Recording, recording, shape};
use crate::sandbox_wire::{Answer, deployment_path, kubernetes, restart_patch, send};
use crate::sandbox_wire::{MERGE, STRATEGIC};

const REPLAYED: &[&str] = &[
    "event-core-v1",
    "event-message-2000-chars",
    "event-other-namespace-400",
    "event-v1",
    "event-v1-note-1025",
    "pod-logs-no-kubelet",
    "delete-pod-404",
    "delete-wrong-uid-409",
    "dry-run",
    "env-patch",
    "get-404",
    "get-hpa",
    "get-nodes",
    "get-ns-404",
    "get-pdb",
    "hpa-min-replicas-patch",
    "json-patch-test-fails-422",
    "json-patch-test-field-ok",
    "label-selector-bad-400",
    "limit-below-request-422",
    "list-deployments",
    "list-limit-continue-expired",
    "list-pods-by-label",
    "list-replicasets",
    "merge-patch-list-replaces",
    "metrics-404",
    "name-dotdot",
    "name-with-slash",
    "oom-deployment",
    "oom-pods",
    "patch-env-int-value-400",
    "patch-env-unknown-container-422",
    "patch-restart",
    "patch-restart-same-value-again",
    "patch-restart-stale-rv-409",
    "patch-wrong-uid-422",
    "pause",
    "quantity-bad-400",
    "rbac-allowed-restart",
    "rbac-allowed-scale",
    "rbac-denied-delete-pod",
    "rbac-denied-restart-403",
    "readyz",
    "resources-patch",
    "resources-patch-512Mi",
    "restart-while-paused",
    "restart-while-paused-after",
    "rollout-restart-start",
    "scale-above-hpa-max",
    "scale-get",
    "scale-negative-422",
    "scale-patch",
    "selfsubjectaccessreview",
    "unauth-bad-token",
    "unauth-no-token",
    "unknown-field-default",
    "unknown-field-strict",
    "unpause",
    "version",
    "wrong-content-type-415",
];

const LEASES: &str = "the sandbox has no leases: one daemon runs against it";
const EVICTIONS: &str = "the sandbox evicts no pods";
const APPLY: &str = "runbookd never applies on the server's side";

const LEFT_OUT: &[(&str, &str)] = &[
    ("apf-429", "the recording holds no request; the trouble RateLimited gives this answer"),
    ("body-not-json-400", LEASES),
    ("events-list", "the recorded list holds what a cluster without kubelets writes"),
    ("evict-0", EVICTIONS),
    ("evict-1", EVICTIONS),
    ("evict-2", EVICTIONS),
    ("lease-create", LEASES),
    ("lease-create-again-409", LEASES),
    ("lease-put-stale-409", LEASES),
    ("lease-renewTime-without-micros", LEASES),
    ("rbac-other-ns", "the sandbox has no roles; only the trouble RefuseWrites403 refuses"),
    ("ssa-conflict-409", APPLY),
    ("ssa-force", APPLY),
];

#[test]
fn every_recording_of_kubernetes_is_replayed_or_left_out_with_a_reason() {
    assert_all_accounted_for("kubernetes", REPLAYED, LEFT_OUT);
}

#[tokio::test]
async fn kubernetes_answers_as_recorded() {
    let mut faults = Vec::new();
    for name in REPLAYED {
        // Each recording gets a world of its own: what one changes, another must not see.
        let sandbox =
            Sandbox::start(Options { traffic: false, pace: 200, ..Options::default() }).await.unwrap();
        let recorded = recording("kubernetes", name);
        let answer = replay(&sandbox, name, &recorded).await;
        let fault = |what: &str, ours: &dyn std::fmt::Debug, real: &dyn std::fmt::Debug| {
            format!("{name}: {what}\n  ours {ours:?}\n  real {real:?}")
        };
        if answer.status != recorded.status {
            faults.push(fault("status", &(answer.status, &answer.body), &recorded.status));
            continue;
        }
        let (ours, real) = (answer.header("Content-Type"), recorded.header("Content-Type"));
        if ours != real {
            faults.push(fault("content type", &ours, &real));
        }
        if answer.header("Warning") != recorded.header("Warning") {
            faults.push(fault("warning", &answer.header("Warning"), &recorded.header("Warning")));
        }
        let Ok(real) = serde_json::from_str::<Value>(&recorded.answer) else {
            if answer.body.trim_end() != recorded.answer.trim_end() {
                faults.push(fault("body", &answer.body, &recorded.answer));
            }
            continue;
        };
        let (ours, real) = (generated_name(answer.json()), generated_name(real));
        if real["kind"] == "Status" {
            let (ours, real) =
                if *name == "unknown-field-strict" { (ends(&ours), ends(&real)) } else { (ours, real) };
            if ours != real {
                faults.push(fault("status object", &ours.to_string(), &real.to_string()));
            }
        } else {
            let (ours, real) = (shape(&comparable(&ours)), shape(&comparable(&real)));
            let missing: Vec<_> = real.difference(&ours).filter(|path| !optional(path)).collect();
            let strange: Vec<_> = ours.difference(&real).filter(|path| !extra(path)).collect();
            if !missing.is_empty() || !strange.is_empty() {
                faults.push(fault("shape", &("too much", strange), &("missing", missing)));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Sends a recorded request to a world that stands as the real one did.
async fn replay(sandbox: &Sandbox, name: &str, recorded: &Recording) -> Answer {
    let world = sandbox.world();
    let chat_api = deployment_path("chat-api");
    let mut path = recorded.path.clone();
    let mut token = Options::default().kube_token;
    let mut rename = None;
    match name {
        "unauth-bad-token" => token = "wrong".into(),
        "unauth-no-token" => token = String::new(),
        "get-hpa" | "hpa-min-replicas-patch" => world.put_autoscaler("inference", 2, 6),
        "oom-deployment" | "oom-pods" => {
            world.set_memory_limit("inference", "512Mi");
            let killed = |world: &World| world.events().iter().any(|event| event["reason"] == "BackOff");
            assert!(world.until(Duration::from_secs(5), killed).await);
        }
        "get-pdb" => world.put_disruption_budget("chat-api", 1),
        "rbac-denied-restart-403" | "rbac-denied-delete-pod" => {
            world.disturb(System::Kubernetes, Some(Trouble::RefuseWrites403));
        }
        "delete-wrong-uid-409" => {
            let pod = world.pods("chat-api").remove(0);
            path = path.replace("chat-api-b9bff8b76-xqqh7", &pod.name);
            rename = Some(pod);
        }
        "patch-restart-same-value-again" => {
            kubernetes(sandbox, "PATCH", &chat_api, STRATEGIC, &recorded.body).await;
        }
        "json-patch-test-field-ok" => {
            let limit = r#"{"spec":{"template":{"spec":{"containers":[{"name":"inference","resources":{"limits":{"memory":"4Gi"}}}]}}}}"#;
            kubernetes(sandbox, "PATCH", &deployment_path("inference"), STRATEGIC, limit).await;
        }
        "unpause" | "restart-while-paused" | "restart-while-paused-after" => {
            kubernetes(sandbox, "PATCH", &chat_api, MERGE, r#"{"spec":{"paused":true}}"#).await;
            if name != "restart-while-paused" {
                kubernetes(sandbox, "PATCH", &chat_api, STRATEGIC, &restart_patch("2026-11-22T21:05:00Z"))
                    .await;
                let observed = |deployment: Value| {
                    deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
                };
                assert!(
                    world
                        .until(Duration::from_secs(5), |world| world
                            .deployment("chat-api")
                            .is_some_and(observed))
                        .await
                );
            }
        }
        _ => {}
    }
    let authorization = format!("Bearer {token}");
    let mut headers = vec![("User-Agent", "Python-urllib/3.13")];
    if !token.is_empty() {
        headers.push(("Authorization", authorization.as_str()));
    }
    if let Some(kind) = &recorded.content_type {
        headers.push(("Content-Type", kind));
    }
    let mut answer =
        send(&sandbox.kubernetes_url(), &recorded.method, &path, &headers, &recorded.body).await.unwrap();
    if let Some(pod) = rename {
        answer.body = answer.body.replace(&pod.name, "chat-api-b9bff8b76-xqqh7");
        answer.body = answer.body.replace(&pod.uid, "31fd459c-43e5-4162-b51f-24abdc05a5d3");
    }
    answer
}

/// The answer with the random end of a generated name taken out.
fn generated_name(mut answer: Value) -> Value {
    if answer["details"]["kind"] == "Event" {
        let name = answer["details"]["name"].as_str().unwrap().to_owned();
        let message = answer["message"].as_str().unwrap().replace(&name, "NAME");
        answer["message"] = json!(message);
        answer["details"]["name"] = json!("NAME");
    }
    answer
}

/// The object without what follows from another history: who wrote which field, and the text of the first apply.
fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        fields.remove("fieldsV1");
        for value in fields.values_mut() {
            *value = comparable(value);
        }
    } else if let Value::Array(items) = &mut object {
        items.iter_mut().for_each(|item| *item = comparable(item));
    }
    object
}

/// The two ends of a message that holds a whole object in between.
fn ends(status: &Value) -> Value {
    let mut status = status.clone();
    let cut = |text: &Value| {
        let text = text.as_str().unwrap();
        let (head, tail) = text.split_once('{').unwrap();
        json!([head, tail.rsplit_once('}').unwrap().1])
    };
    status["message"] = cut(&status["message"]);
    let cause = &status["details"]["causes"][0]["message"];
    status["details"]["causes"][0]["message"] = cut(cause);
    status
}

/// What the real world had and ours need not have.
fn optional(path: &str) -> bool {
    let fake = [
        "fake/oom-below",
        "kubectl.kubernetes.io/restartedAt",
        "last-applied-configuration",
        ".env",
        "managedFields",
    ];
    // The recorded kubelets were fakes, which left the reason of a condition that had ended.
    let conditions =
        path.ends_with("status.conditions[].reason") || path.ends_with("status.conditions[].message");
    let moment = [
        "unavailableReplicas",
        "lastScaleTime",
        "currentMetrics[]",
        ".status.conditions[]",
        "items[].status.containerStatuses[].state",
    ];
    // Ours were not applied or restarted yet, and have no other annotations.
    let annotations = path.ends_with("metadata.annotations");
    conditions || annotations || fake.iter().chain(&moment).any(|part| path.contains(part))
}

/// What ours has and the real world did not: other workloads, or another moment.
fn extra(path: &str) -> bool {
    let other = [
        ".ports",
        ".readinessProbe",
        ".env",
        "managedFields",
        "unavailableReplicas",
        "kubectl.kubernetes.io/restartedAt",
        ".status.reason",
        "last-applied-configuration",
    ];
    other.iter().any(|part| path.contains(part))
}
