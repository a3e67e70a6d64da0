//! Synthetic alerts: the shipped ones come to the end that they expect, with the real daemon in shadow, whichever way they go.

use std::time::Duration;

use runbookd::alert::RUN_LABEL;
use runbookd::chaos::scenario::{BrokenForReal, ExpectedAnswer, Lasts, RealFault, Scenario, Synthetic, load};
use runbookd::chaos::shipped::SCENARIOS;
use runbookd::chaos::stage::WEBHOOK_TOKEN;
use runbookd::chaos::synthetic::{Shot, Way};
use runbookd::clients::alertmanager::{self, Alertmanager};
use runbookd::clients::loki::{self, Loki};
use runbookd::clients::webhook::{self, Webhook};
use runbookd::clients::{Reason, Secret};
use runbookd::clock;
use runbookd::incident::{Event, Outcome};
use runbookd::receive;
use runbookd::runbook::Action;
use runbookd::sandbox::{NAMESPACE, System, Trouble};

use super::daemon::Daemon;

const TIME_SCALE: u32 = 25;
const RUN: &str = "r-1";

fn shipped() -> Vec<Scenario> {
    let vars = ["namespace", "public_host", "public_address"]
        .map(|name| (name.to_owned(), if name == "namespace" { NAMESPACE } else { "x:443" }.to_owned()));
    load::load_texts(&SCENARIOS, Some(&vars.into()), None, 1).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The shipped one of this name, with its times at the pace of the tests.
fn synthetic(name: &str) -> Synthetic {
    let scenario = shipped().into_iter().find(|scenario| scenario.name == name).unwrap();
    let mut synthetic = scenario.synthetic.unwrap();
    for lines in &mut synthetic.lines {
        lines.over /= TIME_SCALE;
    }
    synthetic
}

/// The daemon in shadow, and whatever else happens in the sandbox is quiet.
async fn shadow() -> Daemon {
    let mut daemon = Daemon::with(TIME_SCALE, |setting| setting.ceiling = "shadow".to_owned()).await;
    daemon.start().await;
    daemon
}

fn loki(daemon: &Daemon) -> Loki {
    Loki::new(&loki::Settings::new(daemon.stage.sandbox.loki_url())).unwrap()
}

fn webhook(daemon: &Daemon, token: &str) -> Way {
    let url = format!("{}{}", daemon.stage.url(), receive::PATH);
    let bearer = Some(Secret::new(token));
    Way::Webhook(Webhook::new(&webhook::Settings { bearer, ..webhook::Settings::new(url) }).unwrap())
}

fn through_alertmanager(daemon: &Daemon) -> Way {
    let settings = alertmanager::Settings::new(daemon.stage.sandbox.alertmanager_url());
    Way::Alertmanager(Alertmanager::new(&settings).unwrap())
}

/// Plays it, and holds its end against what it expects.
async fn comes_true(name: &str, way: impl Fn(&Daemon) -> Way) {
    let daemon = shadow().await;
    let synthetic = synthetic(name);
    let shot = Shot::new(&synthetic, RUN, clock::now());
    shot.push(&loki(&daemon)).await.unwrap();
    shot.fire(&way(&daemon)).await.unwrap();
    let view = daemon.ended().await;
    let expect = &synthetic.expect;
    assert_eq!(view.summary.runbook, expect.runbook);
    let outcome = view.summary.outcome.unwrap();
    assert!(expect.outcomes.contains(&outcome), "{name}: {outcome}, {:?}", view.why);
    let planned: Vec<Action> = view
        .events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Planned { plan, .. } => Some(plan.action),
            _ => None,
        })
        .collect();
    assert_eq!(planned, expect.actions, "{name}");
    let [alert] = view.alerts.as_slice() else { panic!("{:#?}", view.alerts) };
    assert_eq!(alert.alert.labels.get(RUN_LABEL), RUN);
    assert!(daemon.stage.world().writes().is_empty(), "in shadow nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_that_is_none_would_be_met_by_a_restart() {
    comes_true("database-pool", |daemon| webhook(daemon, WEBHOOK_TOKEN)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_that_are_none_would_be_met_by_more_pods() {
    comes_true("high-latency", through_alertmanager).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_without_lines_is_not_confirmed() {
    comes_true("alert-without-evidence", through_alertmanager).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_pods_that_are_well_is_not_confirmed() {
    comes_true("pod-kill", |daemon| webhook(daemon, WEBHOOK_TOKEN)).await;
}

/// Which of them are played above: a new one has to be, too.
#[test]
fn every_shipped_synthetic_alert_is_played() {
    let names: Vec<String> = shipped()
        .into_iter()
        .filter(|scenario| scenario.synthetic.is_some())
        .map(|scenario| scenario.name)
        .collect();
    assert_eq!(names, ["pod-kill", "database-pool", "high-latency", "alert-without-evidence"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ended_resolves_on_either_way() {
    for way in [through_alertmanager, |daemon: &Daemon| webhook(daemon, WEBHOOK_TOKEN)] {
        let mut daemon = Daemon::new(TIME_SCALE).await;
        // Nothing is confirmed, so that the incident waits.
        daemon.stage.world().disturb(System::Loki, Some(Trouble::Down));
        daemon.start().await;
        let way = way(&daemon);
        let shot = Shot::new(&synthetic("alert-without-evidence"), RUN, clock::now());
        shot.fire(&way).await.unwrap();
        daemon.one().await;
        shot.end(&way, clock::now()).await.unwrap();
        let view = daemon.ended().await;
        assert_eq!(view.summary.outcome, Some(Outcome::SelfHealed), "{:?}", view.why);
        assert!(view.alerts[0].resolved);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_said_and_not_sent_again() {
    let daemon = shadow().await;
    let shot = Shot::new(&synthetic("database-pool"), RUN, clock::now());
    let error = shot.fire(&webhook(&daemon, "somebody-elses")).await.unwrap_err();
    assert_eq!(error.reason, Reason::Denied, "{error}");
    let world = daemon.stage.world();
    world.disturb(System::Loki, Some(Trouble::Status(503, "empty ring".to_owned())));
    let error = shot.push(&loki(&daemon)).await.unwrap_err();
    assert_eq!(error.to_string(), "push lines into Loki: server_error (HTTP 503: empty ring)");
    let pushes = world.requests().iter().filter(|request| request.path.ends_with("/push")).count();
    assert_eq!(pushes, 1);
    assert!(daemon.incidents().await.is_empty());
}

#[test]
fn what_a_scenario_leaves_out_has_the_value_that_is_documented() {
    let text =
        include_str!("../../rules/scenarios/pod-kill.yaml").split("synthetic:").next().unwrap().to_owned()
            + r#"
synthetic:
  labels: {alertname: PodRestarts}
  lines: [{stream: {app: web}, line: gone}]
  expect: {runbook: pod-crash, outcome: [not_confirmed, self_healed]}
real:
  - load: {url: "http://web:8002/", concurrency: 5, body: '{}'}
    wait: 2m
    lasts: until_closed
  - delete_pods: {deployment: web, all: true}
"#;
    let vars = [("namespace".to_owned(), NAMESPACE.to_owned())].into();
    let read = load::load_texts(&[("a.yaml", &text)], Some(&vars), None, 25);
    let scenario = read.unwrap_or_else(|faults| panic!("{faults}")).remove(0);
    let minutes = Duration::from_mins;
    let synthetic = scenario.synthetic.unwrap();
    assert!(synthetic.annotations.is_empty());
    assert_eq!((synthetic.lines[0].count, synthetic.lines[0].over), (1, minutes(1)));
    let ExpectedAnswer { outcomes, actions, within, .. } = synthetic.expect;
    assert_eq!(outcomes, [Outcome::NotConfirmed, Outcome::SelfHealed]);
    // It is a real duration, whatever the checks are divided by.
    assert_eq!((actions, within), (Vec::new(), minutes(10)));
    let load = RealFault::Load {
        url: "http://web:8002/".to_owned(),
        concurrency: 5,
        requests: None,
        duration: minutes(1),
        method: "POST".to_owned(),
        headers: Vec::new(),
        body: Some("{}".to_owned()),
    };
    assert_eq!(scenario.real[0], BrokenForReal { wait: minutes(2), fault: load, lasts: Lasts::UntilClosed });
    let all = RealFault::DeletePods { deployment: "web".to_owned(), count: None };
    assert_eq!(scenario.real[1].fault, all);
}
