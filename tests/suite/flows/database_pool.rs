//! Scenario 3 of the chaos page with the shipped runbook: a restart cures what processes have leaked, a larger pool what the load needs, as long as the database takes
//! what all of its services could ask for; where it does not, or nobody can tell, nothing more is called.

use std::time::Duration;

use runbookd::sandbox::{PoolFault, System, Trouble, World};
use serde_json::{Value, json};

use super::{Flow, LIMIT, events, outcome, refusing};

const SERVICE: &str = "chat-api";
const VARIABLE: &str = "SQLALCHEMY_POOL_SIZE";
/// Soon after they are ready, also those of the restart.
const AGAIN: Duration = Duration::from_secs(20);

fn pool_size(world: &World) -> Option<String> {
    let deployment = world.deployment(SERVICE)?;
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?.clone();
    let entry = env.into_iter().find(|entry| entry["name"] == VARIABLE)?;
    Some(entry["value"].as_str()?.to_owned())
}

/// The remediations that were tried. On a busy machine a plan is too old by the time it would be used, and is made again.
fn steps(view: &Value) -> Vec<String> {
    let mut all: Vec<String> = events(view, "planned")
        .map(|event| event["plan"]["action"].as_str().unwrap_or_default().to_owned())
        .collect();
    all.dedup();
    all
}

/// The last refusal of the circumstances: what was seen, and why that is a reason.
fn against(view: &Value) -> (String, String) {
    let refusals =
        events(view, "refused").flat_map(|event| event["refusals"].as_array().into_iter().flatten());
    let last = refusals.last().unwrap_or(&Value::Null);
    let text = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
    (text("saw"), text("limit"))
}

impl Flow {
    /// The pool of chat-api runs dry, again after a restart, until it is larger.
    async fn dry(&self, fault: PoolFault) {
        self.world().exhaust_pool(SERVICE, fault);
        self.evidence_of(SERVICE).await;
        self.fire().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_cures_what_processes_have_leaked_and_the_evidence_says_where_the_connections_are() {
    let flow = Flow::begin().await;
    let world = flow.world();
    let open: f64 =
        world.pods(SERVICE).iter().filter_map(|pod| world.connections(&pod.name)).map(f64::from).sum();
    assert!(open > 0.0);
    flow.dry(PoolFault::ThesePods).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!((steps(&view), world.writes().len()), (vec!["restart".to_owned()], 1));
    let first = events(&view, "diagnosed").next().unwrap();
    let answer = &first["answers"][0];
    assert_eq!(
        (&answer["probe"], &answer["verdict"]),
        (&json!("connections_in_use"), &json!("holds")),
        "{first:#}"
    );
    // Both pods have opened all that they may: 5, and 10 more.
    let by: Vec<f64> =
        answer["by"].as_object().unwrap().values().map(|figure| figure.as_f64().unwrap()).collect();
    assert_eq!(by, [15.0, 15.0], "{answer:#}");
    let trace = &first["answers"][2];
    assert_eq!((&trace["probe"], &trace["verdict"]), (&json!("trace"), &json!("holds")), "{first:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_pool_cures_what_a_restart_does_not() {
    let flow = Flow::begin().await;
    let world = flow.world();
    flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(steps(&view), ["restart", "env"]);
    assert_eq!((pool_size(&world).as_deref(), world.writes().len()), (Some("15"), 2));
    let plan = &events(&view, "planned").last().unwrap()["plan"];
    let sum = "samosachaat-db could be asked for 130 connections at once: auth (5 + 10) x 1 x 3 = 45, chat-api (15 + 10) x 1 x 3 = 75, 10 for others; \
               it takes 200 (max_connections of samosachaat-postgres15)";
    assert!(plan["touches"].as_array().unwrap().contains(&json!(sum)), "{plan:#}");
    assert_eq!(plan["sets"]["make_it_last"], "the service's env.SQLALCHEMY_POOL_SIZE in values-prod.yaml");
    assert!(flow.changes().await.is_empty(), "it stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_pool_cures_is_a_persons_with_the_evidence() {
    let flow = Flow::begin().await;
    let world = flow.world();
    // More than two pods may open with a pool of 15, and than one step adds.
    flow.dry(PoolFault::Demand { connections: 80, after: AGAIN }).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    assert_eq!((steps(&view).len(), world.writes().len()), (2, 2));
    let last = events(&view, "diagnosed").last().unwrap();
    let asked = last["answers"].as_array().unwrap().iter().map(|answer| answer["probe"].as_str().unwrap());
    assert_eq!(
        asked.collect::<Vec<_>>(),
        [
            "connections_by_now",
            "database_full",
            "unhealthy",
            "slow_database_queries",
            "auth_failures",
            "all_errors"
        ]
    );
}

/// Pasted with no id, or with a wrong one, the query for it finds nothing, which looks as if there were no such request.
#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_in_the_lines_nobody_is_asked_for_a_trace() {
    let flow = Flow::begin().await;
    let world = flow.world();
    for id in ["", &"f".repeat(200)] {
        for _ in 0..20 {
            let line = json!({"level": "error", "message": "QueuePool overflow", "trace_id": id});
            world.push_log(SERVICE, &line.to_string());
        }
    }
    flow.fire().await;
    let (_, view) = flow.event("diagnosed").await;
    let first = events(&view, "diagnosed").next().unwrap();
    let trace = &first["answers"][2];
    assert_eq!(
        (&trace["probe"], &trace["asked"], &trace["saw"]),
        (&json!("trace"), &json!(""), &json!("${evidence.trace_id} has no value, and empty never means all")),
        "{first:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_the_database_could_not_serve_is_not_made() {
    let flow = Flow::begin().await;
    let world = flow.world();
    world.set_max_connections(129);
    flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    assert_eq!(
        (steps(&view), refusing(&view)),
        (vec!["restart".to_owned(), "env".to_owned()], vec!["circumstances".to_owned()])
    );
    let (saw, limit) = against(&view);
    assert_eq!(
        saw,
        "samosachaat-db could be asked for 130 connections at once: auth (5 + 10) x 1 x 3 = 45, chat-api (15 + 10) x 1 x 3 = 75, 10 for others"
    );
    assert!(limit.starts_with("it takes 129 (max_connections of samosachaat-postgres15); "), "{limit}");
    assert_eq!(
        (pool_size(&world).as_deref(), world.writes().len()),
        (Some("5"), 1),
        "the restart, and nothing else"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_autoscaler_may_make_counts_and_a_formula_is_worked_out() {
    let flow = Flow::begin().await;
    let world = flow.world();
    // 372 of a db.t4g.medium at the least.
    world.set_parameter("LEAST({DBInstanceClassMemory/9531392},5000)");
    world.put_autoscaler("auth", 2, 18);
    flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    let (saw, limit) = against(&view);
    assert!(saw.contains("430 connections at once: auth (5 + 10) x 1 x 23 = 345, "), "{saw}");
    assert!(
        limit.starts_with("it takes 372 at the least (max_connections of samosachaat-postgres15 is LEAST({"),
        "{limit}"
    );
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_nobody_knows_is_no_limit_to_act_within() {
    for (unknown, expected) in [
        ("{log(DBInstanceClassMemory/8187281418)*1000}", "the function log is not known"),
        ("modifying", "its status is modifying, so it may soon be another"),
    ] {
        let flow = Flow::begin().await;
        let world = flow.world();
        if unknown == "modifying" {
            world.set_database_status("modifying");
        } else {
            world.set_parameter(unknown);
        }
        flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
        let view = flow.end().await;
        assert_eq!(outcome(&view), "blocked", "{view:#}");
        let (saw, limit) = against(&view);
        assert!(saw.ends_with(expected) && saw.starts_with("whether samosachaat-db takes what "), "{saw}");
        assert!(limit.ends_with("so nothing is done on a guess"), "{limit}");
        assert_eq!((pool_size(&world).as_deref(), world.writes().len()), (Some("5"), 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_aws_does_not_answer_it_waits_and_then_goes_on() {
    let flow = Flow::begin().await;
    let world = flow.world();
    world.disturb(System::Rds, Some(Trouble::Status(503, "busy".to_owned())));
    flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
    let id = flow.incident().await;
    let by_circumstances = |view: &Value| refusing(view).iter().any(|guard| guard == "circumstances");
    flow.until(&id, "refused by its circumstances", by_circumstances).await;
    assert_eq!(world.writes().len(), 1, "the restart");
    world.disturb(System::Rds, None);
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(pool_size(&world).as_deref(), Some("15"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_size_comes_from_elsewhere_is_not_changed() {
    let flow = Flow::begin().await;
    let world = flow.world();
    let of = json!([{"name": VARIABLE, "valueFrom": {"configMapKeyRef": {"name": "pools", "key": "size"}}}]);
    assert!(world.edit(SERVICE, "helm", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["env"] = of;
    }));
    assert!(world.until(LIMIT, |world| world.rollout_complete(SERVICE)).await);
    flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "failed", "{view:#}");
    let why = events(&view, "plan_failed").last().unwrap()["why"].as_str().unwrap();
    assert!(why.contains("comes from the key size of the ConfigMap pools, and is changed there"), "{why}");
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_service_asks_for_must_be_known_too() {
    let flow = Flow::begin().await;
    let world = flow.world();
    assert!(world.edit("auth", "helm", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"configMapRef": {"name": "pools"}}]);
    }));
    assert!(world.until(LIMIT, |world| world.rollout_complete("auth")).await);
    flow.dry(PoolFault::Demand { connections: 40, after: AGAIN }).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    let (saw, _) = against(&view);
    assert!(saw.ends_with("may come from its `envFrom`, which is not read"), "{saw}");
    assert_eq!(world.writes().len(), 1);
}
