//! Scenarios 3, 4 and 5 of the chaos page in the sandbox: the cause, what does not cure, what does, and that the old lines stay.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use runbookd::sandbox::{NAMESPACE, Options, PoolFault, Sandbox, System, World};
use serde_json::{Value, json};

use crate::sandbox_wire::{Answer, JSON_PATCH, deployment_path, fast, kubernetes, send};
use crate::sandbox_world::{MINUTE, SOON, restart, rolled_out};

const INFERENCE: &str = "inference";

/// A request to a pod at its own address.
async fn ask(world: &World, pod: &str, method: &str, path: &str, body: &str) -> Option<Answer> {
    let base = format!("http://{}", world.pod_address(pod)?);
    send(&base, method, path, &[("Content-Type", "application/json")], body).await
}

async fn stats(world: &World, pod: &str) -> Value {
    ask(world, pod, "GET", "/stats", "").await.unwrap().json()
}

async fn swap(world: &World, pod: &str, tag: &str) -> Option<Answer> {
    ask(world, pod, "POST", "/models/swap", &json!({"model_tag": tag}).to_string()).await
}

/// The pods of a deployment as the API serves them.
async fn served(sandbox: &Sandbox, deployment: &str) -> Vec<Value> {
    let path =
        format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3D{deployment}");
    kubernetes(sandbox, "GET", &path, "", "").await.json()["items"].as_array().unwrap().clone()
}

async fn json_patch(sandbox: &Sandbox, path: &str, patch: Value) -> u16 {
    let path = format!("{path}?fieldManager=runbookd&fieldValidation=Strict");
    kubernetes(sandbox, "PATCH", &path, JSON_PATCH, &patch.to_string()).await.status
}

/// The one value of an instant query; none when there is no series.
async fn value(sandbox: &Sandbox, query: &str) -> Option<f64> {
    let body = format!("query={}", query.replace('+', "%2B").replace('&', "%26"));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = send(&sandbox.prometheus_url(), "POST", "/api/v1/query", &form, &body).await.unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.json()["data"]["result"][0]["value"][1].as_str().map(|value| value.parse().unwrap())
}

fn fires(world: &World, alert: &str, label: &str, value: &str) -> bool {
    world.firing().iter().any(|labels| {
        labels["alertname"] == alert && labels.get(label).is_some_and(|given| given.starts_with(value))
    })
}

fn lines(world: &World, service: &str, part: &str) -> usize {
    world.logs(service).iter().filter(|line| line.text.contains(part)).count()
}

fn only(world: &World, deployment: &str) -> String {
    world.pods(deployment).into_iter().find(|pod| pod.ready && !pod.stopping).unwrap().name
}

fn ready(world: &World, deployment: &str, pods: usize) -> bool {
    world.rollout_complete(deployment)
        && world.pods(deployment).iter().filter(|pod| pod.ready).count() == pods
}

#[tokio::test]
async fn each_pod_answers_at_its_own_address_while_it_serves() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.set_replicas(INFERENCE, 2);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 2)).await);
    let pods = world.pods(INFERENCE);
    let served = served(&sandbox, INFERENCE).await;
    for pod in &pods {
        let address = world.pod_address(&pod.name).unwrap();
        let own = served.iter().find(|served| served["metadata"]["name"] == *pod.name).unwrap();
        assert_eq!(format!("{}:8003", own["status"]["podIP"].as_str().unwrap()), address);
        let stats = stats(&world, &pod.name).await;
        assert_eq!(
            (&stats["current_model"], &stats["total_workers"], &stats["busy_workers"], &stats["queue_depth"]),
            (&json!("samosachaat-d12"), &json!(4), &json!(0), &json!(0))
        );
    }
    assert_ne!(world.pod_address(&pods[0].name), world.pod_address(&pods[1].name));
    let asked = world.requests().into_iter().filter(|request| request.system == System::Pod(INFERENCE));
    assert_eq!(
        asked.map(|request| request.pod.unwrap()).collect::<Vec<_>>(),
        [&*pods[0].name, &*pods[1].name]
    );

    let chat_api = only(&world, "chat-api");
    let health = ask(&world, &chat_api, "GET", "/api/health", "").await.unwrap();
    assert_eq!((health.status, &health.json()["service"]), (200, &json!("chat-api")));
    assert_eq!(ask(&world, &chat_api, "GET", "/stats", "").await.unwrap().status, 404);

    let address = world.pod_address(&pods[0].name).unwrap();
    assert!(world.end_pod(&pods[0].name));
    assert_eq!(world.pod_address(&pods[0].name), None);
    let refused = async |address: &str| {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(address).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    };
    assert!(refused(&address).await, "a pod that stops listens no more");
    let address = world.pod_address(&pods[1].name).unwrap();
    drop(sandbox);
    assert!(refused(&address).await, "and none when the world ends");
}

#[tokio::test]
async fn a_swap_is_of_one_pod_and_what_is_asked_wrongly_is_refused_as_the_real_service_does() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.set_replicas(INFERENCE, 2);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 2)).await);
    let pods = world.pods(INFERENCE);
    let done = swap(&world, &pods[0].name, "samosachaat-d6").await.unwrap();
    assert_eq!((done.status, done.json()), (202, json!({"status": "ok", "current_model": "samosachaat-d6"})));
    assert!(world.until(SOON, |world| world.model(&pods[0].name) == Some("samosachaat-d6")).await);
    assert_eq!(world.model(&pods[1].name), Some("samosachaat-d12"), "the other is another process");
    assert_eq!(swap(&world, &pods[0].name, "nothing").await.unwrap().status, 500);
    assert_eq!(ask(&world, &pods[0].name, "POST", "/models/swap", "{}").await.unwrap().status, 422);
    assert_eq!(ask(&world, &pods[0].name, "GET", "/models/swap", "").await.unwrap().status, 405);
    // Its successor has the default again.
    world.end_pod(&pods[0].name);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 2) && world.pods(INFERENCE).len() == 2).await);
    assert!(
        world
            .until(SOON, |world| world
                .pods(INFERENCE)
                .iter()
                .all(|pod| world.model(&pod.name) == Some("samosachaat-d12")))
            .await
    );
    world.require_internal_key("secret");
    assert_eq!(ask(&world, &only(&world, INFERENCE), "GET", "/stats", "").await.unwrap().status, 401);
    assert_eq!(ask(&world, &only(&world, INFERENCE), "GET", "/health", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_limit_below_what_the_model_needs_kills_it_and_a_higher_one_cures() {
    let sandbox = Sandbox::start(Options { pace: 100, ..Options::default() }).await.unwrap();
    let world = sandbox.world();
    world.load_alert_rules();
    world.detect_node_problems(true);
    assert!(world.set_memory_limit(INFERENCE, "512Mi"));
    let killed = |world: &World| fires(world, "ContainerOOMKilled", "container", INFERENCE);
    assert!(world.until(SOON, killed).await);
    assert!(
        !world.firing().iter().any(|labels| labels["alertname"] == "HighMemory"),
        "it dies too fast for that"
    );
    let pods = served(&sandbox, INFERENCE).await;
    let dead = |pod: &&Value| pod["status"]["containerStatuses"][0]["restartCount"] != 0;
    let status = pods.iter().find(dead).unwrap()["status"]["containerStatuses"][0].clone();
    let last = &status["lastState"]["terminated"];
    assert_eq!((&last["reason"], &last["exitCode"]), (&json!("OOMKilled"), &json!(137)));
    let events = world.events();
    let of = |kind: &str| -> Vec<String> {
        let of = events.iter().filter(|event| event["involvedObject"]["kind"] == kind);
        of.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((of("Pod"), of("Node")), (vec!["BackOff".to_owned()], vec!["OOMKilling".to_owned()]));
    let said =
        world.logs(INFERENCE).iter().any(|line| line.text.contains("kill") || line.text.contains("OOM"));
    assert!(!said, "a process that is killed says nothing");

    // A restart makes new pods with the same limit.
    restart(&sandbox, INFERENCE, "2026-11-22T19:00:00Z").await;
    let old: Vec<String> = world.pods(INFERENCE).into_iter().map(|pod| pod.uid).collect();
    let again = |world: &World| {
        let new = world.pods(INFERENCE).into_iter().any(|pod| !old.contains(&pod.uid));
        new && world.firing().iter().any(|labels| labels["alertname"] == "ContainerOOMKilled")
    };
    assert!(world.until(SOON, again).await);

    let limit = "/spec/template/spec/containers/0/resources/limits/memory";
    let patch = |value: &str| {
        json!([{"op": "test", "path": "/spec/template/spec/containers/0/name", "value": INFERENCE},
               {"op": "test", "path": limit, "value": "512Mi"}, {"op": "replace", "path": limit, "value": value}])
    };
    assert_eq!(
        json_patch(&sandbox, &deployment_path(INFERENCE), patch("128Mi")).await,
        422,
        "below the request"
    );
    assert_eq!(json_patch(&sandbox, &deployment_path(INFERENCE), patch("8Gi")).await, 200);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 1) && world.pods(INFERENCE).len() == 1).await);
    assert!(world.until(SOON, |world| !killed(world)).await, "the alert resolves with the old pods");
    tokio::time::sleep(world.real(MINUTE * 4)).await;
    let pods = served(&sandbox, INFERENCE).await;
    assert_eq!((pods.len(), &pods[0]["status"]["containerStatuses"][0]["restartCount"]), (1, &json!(0)));
}

#[tokio::test]
async fn a_model_too_large_for_its_limit_kills_every_pod_that_is_not_swapped_in_time() {
    let sandbox = Sandbox::start(Options { pace: 40, ..Options::default() }).await.unwrap();
    let world = sandbox.world();
    world.load_alert_rules();
    world.set_replicas(INFERENCE, 2);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 2)).await);
    let pods = world.pods(INFERENCE);
    assert!(world.set_default_model("samosachaat-d32") && !world.set_default_model("another"));
    let done = swap(&world, &pods[0].name, "samosachaat-d6").await.unwrap();
    assert_eq!(done.status, 202);
    assert!(world.until(SOON, |world| fires(world, "ContainerOOMKilled", "pod", &pods[1].name)).await);
    assert_eq!(world.model(&pods[0].name), Some("samosachaat-d6"), "the one that was swapped lives");
    assert_eq!(world.pod_address(&pods[1].name), None, "the other answers nobody");
    // It comes back with the default, and there is a time in which it can be swapped.
    assert!(world.until(SOON, |world| world.pod_address(&pods[1].name).is_some()).await);
    assert_eq!(world.model(&pods[1].name), Some("samosachaat-d32"));
    assert_eq!(swap(&world, &pods[1].name, "samosachaat-d12").await.unwrap().status, 202);
    tokio::time::sleep(world.real(MINUTE * 3)).await;
    assert_eq!(world.model(&pods[1].name), Some("samosachaat-d12"));
    let served = served(&sandbox, INFERENCE).await;
    let restarts =
        served.iter().map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap());
    assert_eq!(restarts.sum::<u64>(), 1);
}

/// Both are held while one takes the other's place, as in the real service.
#[tokio::test]
async fn a_swap_to_a_model_that_does_not_fit_beside_the_old_one_is_what_kills_the_process() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.set_memory_limit(INFERENCE, "6Gi");
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 1) && world.pods(INFERENCE).len() == 1).await);
    tokio::time::sleep(world.real(MINUTE * 3)).await;
    let pod = only(&world, INFERENCE);
    assert!(swap(&world, &pod, "samosachaat-d32").await.is_none(), "nobody is left to answer");
    assert!(world.until(SOON, |world| world.events().iter().any(|event| event["reason"] == "BackOff")).await);
}

#[tokio::test]
async fn memory_near_a_containers_limit_and_a_nodes_memory_are_two_alerts_of_one_name() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.load_alert_rules();
    world.set_memory_limit(INFERENCE, "1200Mi");
    world.press_node("node-2", 0.9);
    assert!(world.until(SOON, |world| fires(world, "HighMemory", "container", INFERENCE)).await);
    assert!(world.until(SOON, |world| fires(world, "HighMemory", "instance", "node-2:9100")).await);
    let of_node = world.firing().into_iter().find(|labels| labels.contains_key("instance")).unwrap();
    assert!(["namespace", "pod", "container", "app"].iter().all(|label| !of_node.contains_key(*label)));
    world.press_node("node-2", 0.0);
    world.set_memory_limit(INFERENCE, "8Gi");
    assert!(world.until(SOON, |world| world.firing().is_empty()).await);
}

const P99: &str = r#"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace="samosachaat-prod", app="chat-api"}[1s])))"#;

#[tokio::test]
async fn more_clients_than_workers_make_a_queue_and_only_enough_replicas_end_it() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.load_alert_rules();
    world.flood(50);
    let slow = |world: &World| fires(world, "HighP99Latency", "app", "chat-api");
    assert!(world.until(SOON, slow).await);
    assert!(value(&sandbox, P99).await.unwrap() > 5.0);
    let told = stats(&world, &only(&world, INFERENCE)).await;
    assert_eq!((&told["busy_workers"], &told["available_workers"]), (&json!(4), &json!(0)));
    assert!(told["queue_depth"].as_u64().unwrap() > 16, "{told}");
    assert!(lines(&world, INFERENCE, "queue full") > 0 && lines(&world, INFERENCE, "worker busy") > 0);
    let took = |line: &runbookd::sandbox::LogLine| {
        serde_json::from_str::<Value>(&line.text).ok().and_then(|line| line["inference_time_ms"].as_u64())
    };
    let slow_lines =
        |world: &World| world.logs("chat-api").iter().filter_map(took).filter(|took| *took > 5000).count();
    assert!(slow_lines(&world) > 10);
    let no_json = |line: &&runbookd::sandbox::LogLine| serde_json::from_str::<Value>(&line.text).is_err();
    assert!(world.logs("chat-api").iter().filter(no_json).count() > 0, "some lines are cut");

    restart(&sandbox, INFERENCE, "2026-11-22T19:00:00Z").await;
    rolled_out(&world, INFERENCE, 1).await;
    tokio::time::sleep(world.real(MINUTE * 5)).await;
    assert!(value(&sandbox, P99).await.unwrap() > 5.0, "a restart cures nothing");
    world.set_replicas(INFERENCE, 2);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 2)).await);
    tokio::time::sleep(world.real(MINUTE * 5)).await;
    assert!(value(&sandbox, P99).await.unwrap() > 5.0, "two are too few");
    world.set_replicas(INFERENCE, 3);
    assert!(world.until(SOON, |world| ready(world, INFERENCE, 3)).await);
    assert!(value(&sandbox, P99).await.unwrap() > 5.0, "the window holds the time before");
    assert!(world.until(SOON, |world| !slow(world)).await, "three are enough");
    assert!(value(&sandbox, P99).await.unwrap() <= 5.0);
    assert!(slow_lines(&world) > 10, "the old lines stay");
    assert!(!fires(&world, "High5xxRate", "app", ""), "slow is not failed");
}

#[tokio::test]
async fn an_autoscaler_follows_the_load_unless_it_is_blind_or_at_its_maximum() {
    let sandbox = fast().await;
    let world = sandbox.world();
    world.load_alert_rules();
    world.serve_metrics(false);
    world.put_autoscaler(INFERENCE, 1, 3);
    world.flood(50);
    let slow = |world: &World| fires(world, "HighP99Latency", "app", "chat-api");
    assert!(world.until(SOON, slow).await);
    let says = |world: &World, kind: &str, reason: &str| {
        let scaler = world.autoscaler(INFERENCE).unwrap();
        let conditions = scaler["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == kind && condition["reason"] == reason)
    };
    let replicas = |world: &World| world.deployment(INFERENCE).unwrap()["spec"]["replicas"].clone();
    assert!(says(&world, "ScalingActive", "FailedGetResourceMetric"));
    assert_eq!(replicas(&world), 1, "blind");
    let path = format!("/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{INFERENCE}");
    let least = json!([{"op": "test", "path": "/spec/minReplicas", "value": 1}, {"op": "replace", "path": "/spec/minReplicas", "value": 3}]);
    assert_eq!(json_patch(&sandbox, &path, least).await, 200);
    assert!(
        world.until(SOON, |world| ready(world, INFERENCE, 3) && !slow(world)).await,
        "its minimum is enough"
    );

    world.helm_upgrade(INFERENCE);
    assert!(world.until(SOON, slow).await, "the chart took it back: {:?}", replicas(&world));
    world.put_autoscaler(INFERENCE, 1, 2);
    world.serve_metrics(true);
    assert!(
        world
            .until(SOON, |world| replicas(world) == 2 && says(world, "ScalingLimited", "TooManyReplicas"))
            .await
    );
    assert!(slow(&world), "two are too few, and it may not do more");
    world.put_autoscaler(INFERENCE, 1, 6);
    assert!(
        world.until(SOON, |world| replicas(world) == 6 && !slow(world)).await,
        "it sees the load, and follows"
    );
}

#[tokio::test]
async fn a_pool_that_is_too_small_is_cured_by_a_larger_one_until_the_database_is_full() {
    let sandbox = fast().await;
    let world = sandbox.world();
    let dry = |world: &World| world.pods("chat-api").iter().any(|pod| pod.exhausted && !pod.stopping);
    // An absent variable means 5, and 10 more: 15 in each of two pods.
    world.set_env("chat-api", "SQLALCHEMY_POOL_SIZE", None);
    rolled_out(&world, "chat-api", 1).await;
    // A busy machine must see the moment in which they are well.
    world.exhaust_pool("chat-api", PoolFault::Demand { connections: 40, after: 5 * MINUTE });
    assert!(world.until(SOON, |world| fires(world, "High5xxRate", "app", "chat-api")).await);
    assert_eq!(world.connections(&only(&world, "chat-api")), Some(15), "all that it may");
    let errors = lines(&world, "chat-api", "QueuePool");
    assert!(errors > 0 && lines(&world, "auth", "\"error\"") == 0);

    restart(&sandbox, "chat-api", "2026-11-22T19:00:00Z").await;
    rolled_out(&world, "chat-api", 2).await;
    assert!(world.until(SOON, |world| !dry(world)).await, "the new pods are well for a moment");
    assert!(world.until(SOON, dry).await, "and then they are not");

    let env = "/spec/template/spec/containers/0/env";
    let raise = json!([{"op": "test", "path": env, "value": null},
                       {"op": "add", "path": env, "value": [{"name": "SQLALCHEMY_POOL_SIZE", "value": "20"}]}]);
    assert_eq!(json_patch(&sandbox, &deployment_path("chat-api"), raise).await, 200);
    rolled_out(&world, "chat-api", 3).await;
    assert!(world.until(SOON, |world| world.firing().is_empty()).await);
    tokio::time::sleep(world.real(MINUTE * 3)).await;
    assert!(!dry(&world) && world.firing().is_empty());
    assert!(lines(&world, "chat-api", "QueuePool") >= errors, "the old lines stay");
    let pod = only(&world, "chat-api");
    assert_eq!(world.connections(&pod), Some(20));
    let table = world.proc_net_tcp(&pod).unwrap();
    let open = |line: &&str| line.contains(":1538 01 ");
    assert_eq!((table.lines().filter(open).count(), table.lines().count()), (20, 22));

    // More than the database takes: the pool is large enough, and the database is not.
    world.set_max_connections(30);
    assert!(world.until(SOON, |world| fires(world, "High5xxRate", "app", "auth")).await, "and others suffer");
    assert!(lines(&world, "auth", "too many clients already") > 0);
    let open: u32 = ["auth", "chat-api"]
        .iter()
        .flat_map(|service| world.pods(service))
        .filter_map(|pod| world.connections(&pod.name))
        .sum();
    assert!(open <= 27, "{open} of 30, three of which are not for them");
    world.set_max_connections(100);
    assert!(world.until(SOON, |world| world.firing().is_empty()).await);
}

#[tokio::test]
async fn the_sandbox_computes_the_shipped_expressions() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("deploy/prometheus/alerts.yaml")).unwrap();
    let mut asked = Vec::new();
    let sandbox = fast().await;
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        if !["HighMemory", "ContainerOOMKilled", "High5xxRate", "HighP99Latency"].contains(&name) {
            continue;
        }
        let expression = rule.split("expr:").nth(1).unwrap().trim_start_matches([' ', '|']);
        let end = ["\n        for:", "\n        labels:"].iter().filter_map(|end| expression.find(end)).min();
        assert_eq!(
            value(&sandbox, &expression[..end.unwrap()]).await,
            None,
            "{name} of a world that is well"
        );
        asked.push(name);
    }
    assert_eq!(asked, ["HighMemory", "ContainerOOMKilled", "High5xxRate", "HighP99Latency", "HighMemory"]);
}
