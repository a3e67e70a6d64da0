//! Drills at the real daemon: what is made up is planned and rehearsed, and nothing is called; what is real beside it is answered as ever; and a fault that is
//! announced is put back, whoever has died.

use runbookd::sandbox::PoolFault;
use serde_json::{Value, json};

use super::{Flow, events, has, high_5xx, outcome};

const RUN: &str = "0123456789abcdef0123456789abcdef";

fn drill(at: &str, lasts_seconds: u64) -> Value {
    json!({"run": RUN, "scenario": "database-pool", "at": at, "by": "ana@laptop", "lasts_seconds": lasts_seconds})
}

/// The alert that the shipped runbook answers, as a drill makes it up.
fn made_up() -> Value {
    let mut labels = high_5xx();
    labels["runbookd_run"] = json!(RUN);
    labels
}

/// The status, and what was said.
async fn refused(flow: &Flow, path: &str, body: Value) -> (u16, String) {
    let url = format!("{}/api/v1{path}", flow.stage.url());
    let token = runbookd::chaos::stage::API_TOKEN;
    let answer = flow.http.post(url).bearer_auth(token).json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_up_is_planned_and_rehearsed_and_nothing_is_called() {
    let flow = Flow::begin().await;
    flow.world().send_alerts_to(None);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.evidence_of("chat-api").await;
    let registered = flow.post("/drills", drill("alert", 3_600)).await;
    assert_eq!((&registered["on"], &registered["by"]), (&json!(true), &json!("ana@laptop")));
    assert_eq!(flow.post("/drills", drill("alert", 3_600)).await["run"], RUN, "the same again is harmless");
    flow.alert("firing", made_up()).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "would_act", "{view:#}");
    assert_eq!(view["summary"]["drill"], RUN);
    let would = events(&view, "would_act").next().unwrap();
    let what = would["rehearsed"]["accepted"]["what"].as_str().unwrap_or_default();
    assert_eq!(what, "the API server would restart deployment/chat-api in samosachaat-prod", "{would:#}");
    let mode = would["asked"].as_array().unwrap().iter().find(|answer| answer["guard"] == "mode").unwrap();
    assert_eq!(mode["limit"], "set by the drill, whose alert is made up");
    flow.nothing_was_called();
    let asked = flow.world().requests();
    let rehearsal = asked.iter().find(|request| request.method == "PATCH").unwrap();
    assert!(rehearsal.path.contains("dryRun=All"), "{}", rehearsal.path);
    flow.told("what was rehearsed, and that it was a drill", |threads| {
        threads.iter().any(|thread| {
            thread.head.text.starts_with("🎭 Drill: ")
                && thread.head.blocks.to_string().contains("this was a drill")
                && thread
                    .replies
                    .iter()
                    .any(|reply| reply.blocks.to_string().contains("🎭 Rehearsed: the API"))
        })
    })
    .await;
    // Over, and sent once more: Alertmanager repeats what still fires.
    assert_eq!(flow.post(&format!("/drills/{RUN}/end"), json!({})).await["on"], false);
    let mut again = made_up();
    again["pod"] = json!("another");
    let answer = flow.alert("firing", again).await;
    assert_eq!((&answer["unanswered"], &answer["opened"]), (&json!(1), &json!([])), "{answer}");
    let why = flow.get("/unanswered").await.to_string();
    assert!(why.contains("it was made up by a drill of scenario database-pool that is over"), "{why}");
    flow.nothing_was_called();
}

/// Else anybody who can write a label could keep a runbook from its work. But it may be another daemon's drill: a person is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_alone_makes_no_drill_and_what_it_may_be_is_for_a_person_to_say() {
    let flow = Flow::begin().await;
    flow.world().send_alerts_to(None);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.evidence_of("chat-api").await;
    flow.alert("firing", made_up()).await;
    let (id, view) = flow.event("approval_asked").await;
    flow.nothing_was_called();
    let judged = events(&view, "approval_asked").next().unwrap()["judged"].clone();
    flow.approve(&id, &judged).await;
    let view = flow.end_of(&id).await;
    assert_eq!((outcome(&view), &view["summary"]["drill"]), ("recovered", &Value::Null), "{view:#}");
    assert_eq!(flow.world().writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_real_is_answered_beside_a_drill_as_ever() {
    let flow = Flow::begin().await;
    flow.world().send_alerts_to(None);
    flow.post("/drills", drill("alert", 3_600)).await;
    flow.alert("firing", made_up()).await;
    let made_up = flow.incident().await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.evidence_of("chat-api").await;
    flow.fire().await;
    let both = flow.incidents().await;
    assert_eq!(both.len(), 2, "they are not one incident");
    let real = both.iter().find(|id| **id != made_up).unwrap();
    let view = flow.end_of(real).await;
    assert_eq!((outcome(&view), &view["summary"]["drill"]), ("recovered", &Value::Null), "{view:#}");
    let view = flow.end_of(&made_up).await;
    assert!(!has(&view, "effect_intended"), "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "one restart, of the real one");
}

fn fault(before: &str, uid: &str) -> Value {
    json!({
        "says": "the memory limit of inference 8Gi -> 512Mi", "undo": "it is put back",
        "object": {"kind": "deployment", "namespace": "samosachaat-prod", "name": "inference"}, "uid": uid,
        "fields": [{"field": {"limit": {"container": "inference", "resource": "memory"}}, "before": before, "after": "512Mi"}]
    })
}

/// Whoever made it is gone: nothing is heard of them again.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_whose_maker_is_gone_is_put_back_when_its_drill_is_over_also_after_kill_nine() {
    let mut flow = Flow::begin().await;
    flow.world().send_alerts_to(None);
    let uid = flow.world().deployment("inference").unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let path = format!("/drills/{RUN}/faults");
    let (status, why) = refused(&flow, &path, fault("8Gi", &uid)).await;
    assert_eq!(status, 404, "{why}");
    flow.post("/drills", drill("fault", 20)).await;
    let (status, why) = refused(&flow, &path, fault("1Ti", &uid)).await;
    assert!(
        status == 409 && why.contains("is not as `before` says; nothing was announced"),
        "{status} {why}"
    );
    let (status, why) = refused(&flow, &path, fault("8Gi", "another")).await;
    assert!(status == 503 && why.contains("is another object of the same name"), "{status} {why}");
    let mut elsewhere = fault("8Gi", &uid);
    elsewhere["object"]["namespace"] = json!("kube-system");
    let (status, why) = refused(&flow, &path, elsewhere).await;
    assert!(
        status == 409 && why.contains("is not in `namespaces:` of this daemon's configuration"),
        "{status} {why}"
    );
    let mut env = fault("8Gi", &uid);
    env["fields"][0]["field"] = json!({"env": {"container": "inference", "name": "MODEL"}});
    let (status, why) = refused(&flow, &path, env).await;
    assert!(status == 400 && why.contains("is nothing that a drill changes"), "{status} {why}");
    let mut other = fault("8Gi", &uid);
    other["fields"][0]["baseline"] = json!("4Mi");
    let (status, why) = refused(&flow, &path, other).await;
    assert!(status >= 400 && why.contains("baseline"), "what is put back nobody can say: {status} {why}");
    let mut same = fault("8Gi", &uid);
    same["fields"][0]["after"] = json!("8192Mi");
    let (status, why) = refused(&flow, &path, same).await;
    assert!(status == 400 && why.contains("would stay as it is"), "{status} {why}");
    assert!(flow.get("/changes").await["changes"].as_array().unwrap().is_empty());

    let told = flow.post(&path, fault("8Gi", &uid)).await;
    let view = flow.end_of(told["incident"].as_str().unwrap()).await;
    assert_eq!((outcome(&view), &view["summary"]["drill"]), ("injected", &json!(RUN)), "{view:#}");
    flow.world().set_memory_limit("inference", "512Mi");
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    let limit = |world: &runbookd::sandbox::World| {
        let object = world.deployment("inference").unwrap();
        object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].clone()
    };
    assert_eq!(limit(&flow.world()), "512Mi");
    let back = flow.world().until(super::LIMIT, move |world| limit(world) == "8Gi").await;
    assert!(back, "{}", flow.stage.last_words());
    let restored = flow.world().until(super::LIMIT, |world| world.rollout_complete("inference")).await;
    assert!(restored, "{}", flow.stage.last_words());
    let all = flow.incidents().await;
    let view = flow.end_of(all.last().unwrap()).await;
    assert_eq!((&view["summary"]["runbook"], outcome(&view)), (&json!("restore"), "recovered"), "{view:#}");
    assert_eq!(flow.world().writes().len(), 1, "put back once, and nothing else");
    assert!(flow.get("/changes").await["changes"].as_array().unwrap().is_empty());
}
