//! `runbookd run` as a person types it, and what lies around it: an Alertmanager that has never heard of it, and what it changed for a while.

use std::process::Output;
use std::time::Duration;

use runbookd::incident::{Event, IncidentId, Outcome};
use runbookd::sandbox::{PoolFault, System, Trouble};

use super::daemon::{Daemon, LIMIT, names, until};

const TIME_SCALE: u32 = 30;
const NAMESPACE: &str = "namespace=samosachaat-prod";

/// A word of a person's, and what came of it.
async fn run(daemon: &Daemon, words: &[&str]) -> (Option<i32>, String, String) {
    let token = daemon.stage.api_token_file();
    let url = daemon.stage.url();
    let connection = ["--url", url.as_str(), "--token-file", token.to_str().unwrap(), "--by", "ana@laptop"];
    let Output { status, stdout, stderr } = daemon.run(&[&["run"], words, &connection[..]].concat()).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The trouble is there, and no alert comes.
pub(crate) async fn in_trouble(daemon: &Daemon) {
    let world = daemon.stage.world();
    world.send_alerts_to(None);
    world.exhaust_pool("chat-api", PoolFault::ThesePods);
    let lines = world.until(LIMIT, |world| {
        world.logs("chat-api").iter().filter(|line| line.text.contains("pool")).count() > 20
    });
    assert!(lines.await, "chat-api writes no such lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_begins_it_follows_it_and_the_exit_code_says_that_it_recovered() {
    let mut daemon = Daemon::new(TIME_SCALE).await;
    daemon.start().await;
    in_trouble(&daemon).await;
    let why = ["--reason", "chat is slow"];
    let (code, _, error) = run(&daemon, &[&["database-pool"], &why[..]].concat()).await;
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("there is no runbook \"database-pool\"; "), "{error}");
    let (code, _, error) = run(&daemon, &[&["database-pool-exhaustion"], &why[..]].concat()).await;
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains(
            "needs the label namespace, which an alert would have brought; give --label namespace=..."
        ),
        "{error}"
    );
    assert!(daemon.incidents().await.is_empty());

    let labels = ["--label", NAMESPACE, "--label", "app=chat-api", "--follow"];
    let (code, told, error) =
        run(&daemon, &[&["database-pool-exhaustion"], &why[..], &labels[..]].concat()).await;
    assert_eq!(code, Some(0), "{told}{error}");
    assert!(error.contains("does not name the label app: it chooses nothing"), "{error}");
    for part in [
        " has begun: database-pool-exhaustion, by ana@laptop.",
        "begun     by hand by ana@laptop: chat is slow",
        "begun by hand by ana@laptop: chat is slow",
        "recovered",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let token = daemon.stage.api_token_file();
    let url = daemon.stage.url();
    let list = daemon.run(&["incidents", "--url", &url, "--token-file", token.to_str().unwrap()]).await;
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("database-pool-exhaustion, by ana@laptop"), "{list}");
    assert_eq!(daemon.stage.world().writes().len(), 1);
    assert_eq!(daemon.metric("runbookd_runs_total{result=\"begun\"}").await, 1);
    assert_eq!(daemon.metric("runbookd_runs_total{result=\"refused\"}").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_not_there_begins_nothing_and_says_so() {
    let daemon = Daemon::new(TIME_SCALE).await;
    let (code, told, error) =
        run(&daemon, &["database-pool-exhaustion", "--reason", "r", "--label", NAMESPACE]).await;
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(error.contains("is `runbookd serve` running?"), "{error}");
}

/// Alertmanager's list does not show it, again and again, and that says nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn reconciling_concludes_nothing_about_a_run() {
    const DONE: &str = "runbookd_reconciliations_total{result=\"done\"}";
    // Settled after five seconds, and asked ten times a second.
    let mut daemon = Daemon::new(60).await;
    let url = daemon.stage.sandbox.alertmanager_url();
    let section = format!("alertmanager: {{url: \"{url}\", receiver: runbookd, every: 6s, grace: 30s}}");
    daemon.stage.change(|setting| setting.more = section).unwrap();
    let world = daemon.stage.world();
    // It waits for its evidence.
    world.disturb(System::Loki, Some(Trouble::Down));
    world.route_alert(&[("alertname", "Watchdog")], "watchdog");
    world.fire_alert(&[("alertname", "Watchdog")], &[]);
    daemon.start().await;
    let (code, told, error) =
        run(&daemon, &["database-pool-exhaustion", "--reason", "r", "--label", NAMESPACE]).await;
    assert_eq!(code, Some(0), "{told}{error}");
    let settled = until(LIMIT, async || daemon.metric(DONE).await > 60).await;
    assert!(settled, "{}", daemon.stage.last_words());
    let id = daemon.one().await;
    let view = daemon.view(&id).await;
    // On a busy machine its deadline may have come.
    let ended = view.summary.outcome.filter(|outcome| *outcome != Outcome::Inconclusive);
    assert!(ended.is_none() && !view.resolved, "{view:#?}");
    let of_alerts = ["alerts_joined", "alerts_resolved", "alerts_suppressed"];
    assert!(names(&view.events).iter().all(|name| !of_alerts.contains(name)), "{:?}", names(&view.events));
    assert!(world.writes().is_empty());
}

/// Three more pods for ten minutes of the daemon's, which are twenty seconds here. Its labels are those of a person.
const RUNBOOK: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: more-pods
summary: More pods, when a person says so.
mode: act
on_demand: true
confirm:
  asked_for: {loki: '{app="${labels.app}"} |= "more pods please"', window: 5m, at_least: 1}
targets: {namespace: "${labels.namespace}", deployment: "${labels.app}"}
steps:
  - remediate: more pods
    scale: {add: 3, at_most: 5}
    restore: {after: 10m}
    verify: {within: 5m, hold: 1m, all: [{probe: asked_for, at_most: 0, window: 1m}, {rollout: complete}]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_changed_for_a_while_is_put_back_and_verified_with_its_labels() {
    let rules = vec![("more-pods.yaml".to_owned(), RUNBOOK.to_owned())];
    let mut daemon = Daemon::with(TIME_SCALE, |setting| setting.rules = rules).await;
    daemon.start().await;
    let world = daemon.stage.world();
    world.push_log("chat-api", "more pods please");
    let (code, told, error) = run(
        &daemon,
        &[
            "more-pods",
            "--reason",
            "a lecture at noon",
            "--label",
            NAMESPACE,
            "--label",
            "app=chat-api",
            "--follow",
        ],
    )
    .await;
    assert_eq!(code, Some(0), "{told}{error}");
    let pods = |count: u64| {
        move |world: &runbookd::sandbox::World| {
            world.deployment("chat-api").is_some_and(|object| object["spec"]["replicas"] == count)
        }
    };
    // How long that is so is no longer certain on a busy machine.
    assert!(!world.writes().is_empty(), "{told}");
    assert!(world.until(LIMIT, pods(2)).await, "{}", daemon.stage.last_words());
    let restore = async || -> Option<IncidentId> {
        let all = daemon.incidents().await;
        let ended = all
            .iter()
            .find(|listed| listed.summary.runbook == "restore" && listed.summary.closed_at.is_some());
        ended.map(|listed| listed.summary.id.clone())
    };
    assert!(until(LIMIT, async || restore().await.is_some()).await, "{}", daemon.stage.last_words());
    let view = daemon.view(&restore().await.unwrap()).await;
    assert_eq!(
        (view.summary.outcome, view.summary.begun_by),
        (Some(Outcome::Recovered), None),
        "{:#?}",
        view.events
    );
    assert!(view.run.is_none(), "nobody began the restore");
    let verified = view.events.iter().any(|recorded| matches!(recorded.event, Event::Verified { .. }));
    assert!(verified, "{:#?}", view.events);
    tokio::time::timeout(Duration::from_secs(90), daemon.stage.terminate()).await.unwrap().unwrap();
}
