//! What goes wrong around the daemon, and what it makes of it.

use runbookd::clock::{before, now};
use runbookd::sandbox::{PoolFault, System, Trouble};
use std::time::Duration;

use super::{Flow, events, outcome, shipped_with};

#[tokio::test(flavor = "multi_thread")]
async fn slack_down_slows_nothing_and_loses_nothing() {
    let flow = Flow::begin().await;
    flow.world().disturb(System::Slack, Some(Trouble::Down));
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(flow.world().slack_threads().is_empty());
    flow.world().disturb(System::Slack, None);
    flow.told("all of it", |threads| {
        threads.len() == 1
            && threads[0].head.text.to_lowercase().contains("recovered")
            && threads[0].replies.len() >= 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_looked_for_and_the_restart_is_not_made_twice() {
    let flow = Flow::begin().await;
    flow.world().disturb_next(System::Kubernetes, Trouble::CutAfterApply, 1);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(events(&view, "effect_observed").count(), 1, "the target was looked at");
    assert_eq!(flow.world().writes().len(), 1, "one restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_overloaded_for_a_moment_is_asked_again_under_the_same_operation() {
    let flow = Flow::begin().await;
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    flow.world().disturb_next(System::Kubernetes, Trouble::RefuseWrites403, 1);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(events(&view, "effect_intended").count(), 1);
    assert_eq!(events(&view, "effect_regranted").count(), 1, "the permit of the same operation, again");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_write_nothing_are_unknown_and_not_healthy() {
    let (name, text) = shipped_with(&[("group_by:", "deadline: 2m\ngroup_by:")]);
    let flow = Flow::with(|setting| setting.rules = vec![(name, text)]).await;
    for service in ["auth", "chat-api"] {
        flow.world().silence_logs(service, true);
    }
    // What was written before must lie further back than the window.
    let window = flow.world().real(Duration::from_secs(300));
    let world = flow.world();
    let silent = world.until(Duration::from_secs(90), |world| {
        let begin = before(now(), window).as_nanosecond();
        ["auth", "chat-api"]
            .iter()
            .all(|service| world.logs(service).iter().all(|line| i128::from(line.at) < begin))
    });
    assert!(silent.await);
    flow.fire().await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "inconclusive", "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_json_change_no_count() {
    let flow = Flow::begin().await;
    flow.world().garble_logs("chat-api", true);
    flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
}
