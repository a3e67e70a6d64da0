//! SIGTERM: the daemon ends at once and well, in whatever stage an incident is, and goes on after the next start.

use std::time::{Duration, Instant};

use runbookd::clock;
use runbookd::incident::event::EffectResult;
use runbookd::incident::{Event, IncidentId, Outcome, Recorded};
use runbookd::sandbox::{PoolFault, System, Trouble};
use serde_json::json;

use super::daemon::{Daemon, LIMIT, firing, names, notification, until};

const SERVICE: &str = "chat-api";
const TIME_SCALE: u32 = 25;
/// A few seconds, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);

async fn broken() -> Daemon {
    let mut daemon = Daemon::new(TIME_SCALE).await;
    daemon.start().await;
    daemon.stage.world().exhaust_pool(SERVICE, PoolFault::ThesePods);
    daemon
}

async fn ends_at_once(daemon: &mut Daemon) -> Vec<(IncidentId, Vec<Recorded>)> {
    let asked = Instant::now();
    let status = daemon.stage.terminate().await.unwrap();
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{}", daemon.stage.last_words());
    assert!(took < AT_ONCE, "it took {took:?} to end: {}", daemon.stage.last_words());
    assert!(daemon.log().trim_end().ends_with("Stopped"), "{}", daemon.stage.last_words());
    daemon.journal().await
}

async fn goes_on_and_recovers(mut daemon: Daemon) {
    daemon.start().await;
    let view = daemon.ended().await;
    assert_eq!(view.summary.outcome, Some(Outcome::Recovered), "{:?}", names(&view.events));
    let writes = daemon.stage.world().writes();
    assert_eq!(writes.len(), 1, "{writes:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_hangs_does_not_keep_it_from_ending() {
    let mut daemon = Daemon::new(TIME_SCALE).await;
    daemon.start().await;
    let world = daemon.stage.world();
    world.disturb(System::Loki, Some(Trouble::Hang));
    world.exhaust_pool(SERVICE, PoolFault::ThesePods);
    let asked = |world: &runbookd::sandbox::World| {
        world.requests().iter().any(|request| request.system == System::Loki)
    };
    assert!(world.until(LIMIT, asked).await);
    let journal = ends_at_once(&mut daemon).await;
    assert_eq!(names(&journal[0].1), ["opened"]);
    world.disturb(System::Loki, None);
    goes_on_and_recovers(daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_during_the_rollout_and_goes_on_with_it() {
    let mut daemon = broken().await;
    daemon.event("effect_answered").await;
    let journal = ends_at_once(&mut daemon).await;
    assert_eq!(names(&journal[0].1).last(), Some(&"effect_answered"));
    goes_on_and_recovers(daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_during_the_verify_and_goes_on_with_it() {
    let mut daemon = broken().await;
    daemon.event("effect_completed").await;
    let journal = ends_at_once(&mut daemon).await;
    assert!(!names(&journal[0].1).contains(&"step_ended"));
    goes_on_and_recovers(daemon).await;
}

/// The effect is seen through to its answer; meanwhile nothing new is taken in, and Alertmanager brings it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_on_its_way_is_journaled_and_new_alerts_come_again_after_the_restart() {
    let mut daemon = Daemon::new(TIME_SCALE).await;
    daemon.start().await;
    let world = daemon.stage.world();
    let by = Duration::from_secs(2);
    world.disturb_next(System::Kubernetes, Trouble::LateAfterApply { by }, 1);
    world.exhaust_pool(SERVICE, PoolFault::ThesePods);
    assert!(world.until(LIMIT, |world| !world.writes().is_empty()).await);

    let pid = daemon.stage.pid().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(daemon.logged("Shutting down", LIMIT).await);
    world.fire_alert(&[("alertname", "Late"), ("namespace", "elsewhere")], &[]);
    let late = notification(&[firing(&json!({"alertname": "Late", "posted": "by hand"}), clock::now())]);
    match daemon.try_post(late).await {
        Ok((status, text)) => assert_eq!(status, 503, "{text}"),
        Err(error) => assert!(error.is_connect() || error.is_request(), "{error}"),
    }
    let journal = ends_at_once(&mut daemon).await;
    assert!(
        journal[0].1.iter().any(|recorded| {
            matches!(&recorded.event, Event::EffectAnswered { result: EffectResult::Applied, .. })
        }),
        "{:?}",
        names(&journal[0].1)
    );

    daemon.start().await;
    let came = until(LIMIT, async || {
        daemon.unanswered().await.unanswered.iter().any(|alert| alert.alert.contains("elsewhere"))
    })
    .await;
    assert!(came, "the alert of the shutdown was lost: {}", daemon.stage.last_words());
    assert!(
        !daemon.unanswered().await.unanswered.iter().any(|alert| alert.alert.contains("by hand")),
        "what was answered with an error is not in the journal"
    );
    let view = daemon.ended().await;
    assert_eq!(view.summary.outcome, Some(Outcome::Recovered), "{:?}", names(&view.events));
    assert!(!names(&view.events).contains(&"effect_observed"), "the answer was known");
    assert_eq!(world.writes().len(), 1);
}
