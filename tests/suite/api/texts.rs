//! What people read: the table, the timeline, the plan.

use clap::CommandFactory as _;
use jiff::Timestamp;
use runbookd::api::wire::{Change, Changes, IncidentView, Incidents, Listed, Live, Status};
use runbookd::cli::incidents::{list, one, unanswered};
use runbookd::cli::paint::Paint;
use runbookd::cli::timeline;
use runbookd::incident::changes::{Entry, Ours, Settled};
use runbookd::incident::plan::{Kind, Stays, Target};
use runbookd::incident::{Event, Incident, OperationId, Outcome};
use runbookd::runbook::Field;
use runbookd::store::{Summary, Unanswered};

use super::{World, story};

fn text(lines: Vec<String>) -> String {
    for line in &lines {
        assert_eq!(line.trim_end(), line, "no line ends in spaces");
        assert!(!line.chars().any(char::is_control), "nothing reaches the terminal as a command: {line:?}");
    }
    lines.join("\n")
}

async fn view(world: &World) -> IncidentView {
    let said = world.get(&format!("/api/v1/incidents/{}", story::id())).await;
    serde_json::from_str(&said.text).unwrap()
}

#[tokio::test]
async fn a_whole_incident_as_people_read_it() {
    let world = World::new();
    world.tell(story::whole());
    insta::assert_snapshot!("whole", text(one(&view(&world).await, story::at(600.0), Paint::PLAIN)));
}

#[tokio::test]
async fn an_incident_that_asks_says_how_to_answer() {
    let world = World::asking(story::at(1_800.0));
    insta::assert_snapshot!("asking", text(one(&view(&world).await, story::at(60.0), Paint::PLAIN)));
}

#[test]
fn the_help_of_run_teaches() {
    let mut command = runbookd::cli::Cli::command();
    let run = command.find_subcommand_mut("run").expect("there is a command `run`");
    insta::assert_snapshot!("help_of_run", run.render_long_help().to_string());
}

#[tokio::test]
async fn the_table_of_incidents() {
    let world = World::asking(Timestamp::MAX);
    let said = world.get("/api/v1/incidents").await;
    let Incidents { incidents, .. } = serde_json::from_str(&said.text).unwrap();
    let open = incidents[0].clone();
    let closed = |outcome, seconds| Listed {
        summary: Summary {
            runbook: "node-failure".to_owned(),
            closed_at: Some(story::at(seconds)),
            outcome: Some(outcome),
            ..open.summary.clone()
        },
        stage: "closed".to_owned(),
    };
    let mut by_hand = closed(Outcome::Recovered, 130.0);
    by_hand.summary.begun_by = Some("ana@laptop\u{1b}[2J".to_owned());
    let all =
        [open.clone(), closed(Outcome::Recovered, 95.0), by_hand, closed(Outcome::NotRecovered, 4_000.0)];
    insta::assert_snapshot!("table", text(list(&all, false, story::at(7_265.0), Paint::PLAIN)));
    let coloured = list(&all, false, story::at(7_265.0), Paint::COLOUR).join("\n");
    assert!(coloured.contains("\u{1b}[32mrecovered\u{1b}[0m"), "{coloured}");
    assert!(coloured.contains("\u{1b}[31mnot_recovered\u{1b}[0m"), "{coloured}");
    insta::assert_snapshot!(text(list(&[], true, story::at(0.0), Paint::PLAIN)), @"No incident is open. `runbookd incidents --unanswered` lists the alerts that no runbook answered.");
}

#[test]
fn the_table_of_what_nobody_answered() {
    let alert = |refused, reason: &str| Unanswered {
        at: story::at(0.0),
        alert: r#"{alertname="Watchdog"}"#.to_owned(),
        refused,
        reason: reason.to_owned(),
    };
    let all = [alert(false, "no runbook matches"), alert(true, "startsAt is missing")];
    insta::assert_snapshot!(text(unanswered(&all, story::at(90.0), Paint::PLAIN)), @r#"
    CAME        WHY NOTHING WAS DONE  ALERT
    1m 30s ago  no runbook matches    {alertname="Watchdog"}
    1m 30s ago  startsAt is missing   {alertname="Watchdog"}
    "#);
}

#[tokio::test]
async fn the_status_of_the_daemon() {
    let world = World::asking(Timestamp::MAX);
    let pause = serde_json::json!({"by": "alice@laptop", "reason": "load test"});
    world.post("/api/v1/pause", &pause).await;
    let mut status: Status = serde_json::from_str(&world.get("/api/v1/status").await.text).unwrap();
    status.version = "1.2.3".to_owned();
    insta::assert_snapshot!("status", text(runbookd::cli::status::shown(&status, Paint::PLAIN)));
}

#[test]
fn the_plan_that_a_person_judges() {
    let rows = timeline::plan(&story::plan());
    let rows: Vec<String> = rows.into_iter().map(|(name, value)| format!("{name:8}{value}")).collect();
    insta::assert_snapshot!(text(rows), @r"
    action  restart
    target  deployment/web in shop
    uid     6f0c1a9e-0000-4000-8000-000000000001
    field   spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]
    change  (not set) → 2026-11-22T12:00:02Z
    touches 2 pods are replaced by the Deployment's own rollout strategy
    now     2 replicas
    settles within 11m
    ");
}

#[test]
fn the_story_is_one_that_can_happen() {
    let events = story::recorded(story::whole());
    let incident = Incident::replay(&story::id(), &events).unwrap();
    assert_eq!(incident.closed().unwrap().outcome, Outcome::Recovered);
}

/// The rarer events, each of which has a line of its own.
#[test]
fn every_other_event_has_its_line() {
    use runbookd::incident::OperationId;
    use runbookd::incident::event::{EffectResult, Observation};
    use runbookd::incident::outcome::StepResult;
    let op = || OperationId::new(&story::id(), 2);
    let says = |text: &str| text.to_owned();
    let answered = |result| Event::EffectAnswered { op: op(), result };
    let observed = |found| Event::EffectObserved { op: op(), found };
    let (reason, message) = (says("conflict"), says("the object has changed"));
    let events = vec![
        Event::AlertsResolved { fingerprints: vec![story::alert("web").fingerprint] },
        Event::AlertsSuppressed {
            fingerprints: vec![story::alert("web").fingerprint],
            why: says("silenced in Alertmanager by ana: deploying"),
        },
        Event::StoodBack { behind: story::id(), runbook: says("node-failure"), until: story::at(90.0) },
        Event::LegSkipped { leg: 1, why: says("pool_errors no longer shows app=auth") },
        Event::StepBegan { leg: 0, step: 1 },
        Event::StepSkipped { leg: 0, step: 1, why: says("its condition does not hold"), answers: Vec::new() },
        Event::Diagnosed { leg: 0, step: 0, about: says("what is missing"), answers: Vec::new() },
        Event::PlanFailed {
            leg: 0,
            step: 0,
            why: says("there is no deployment/web in shop"),
            for_good: true,
        },
        Event::PlanFailed { leg: 0, step: 0, why: says("the cluster did not answer"), for_good: false },
        Event::WouldAct { leg: 0, step: 0, asked: story::guards(false), rehearsed: None },
        Event::WouldAct { leg: 0, step: 0, asked: story::guards(true), rehearsed: None },
        Event::Declined { by: says("bob"), reason: says("migration") },
        Event::EffectRegranted { op: op(), asked: Vec::new(), not_after: story::at(30.0) },
        answered(EffectResult::Refused { reason: reason.clone(), message: message.clone() }),
        answered(EffectResult::NotTaken { reason: reason.clone(), message: message.clone() }),
        answered(EffectResult::Unclear { reason, message }),
        observed(Observation::Done),
        observed(Observation::NotDone),
        observed(Observation::Ambiguous { saw: says("restartedAt is somebody else's") }),
        observed(Observation::Unseen { why: says("the cluster did not answer") }),
        Event::EffectStalled { op: op(), saw: says("1 of 2 pods is new"), failed: false },
        Event::EffectStalled { op: op(), saw: says("the progress deadline is exceeded"), failed: true },
        Event::StepEnded { leg: 0, step: 0, op: None, result: StepResult::WouldAct, why: String::new() },
        Event::Closed { outcome: Outcome::Ambiguous, why: says("it can not be told") },
    ];
    // From seconds to days, each with its own unit.
    let seconds = (0..).map(|number: i32| 1.7_f64.powi(number));
    let lines = story::recorded(seconds.zip(events).collect());
    let lines = lines.iter().flat_map(|recorded| timeline::line(recorded, story::at(0.0), Paint::PLAIN));
    insta::assert_snapshot!("rarer", text(lines.collect()));
}

#[test]
fn the_table_of_what_is_changed() {
    let target = |kind, name: &str| Target { kind, namespace: "shop".to_owned(), name: name.to_owned() };
    let change = |object: Target, field, (base, ours): (&str, &str), until: Option<f64>, live, stays| {
        let entry = Entry {
            target: target(Kind::Deployment, "web"),
            object,
            uid: "8d4c".to_owned(),
            field,
            base: Some(base.to_owned()),
            now: Ours {
                value: Some(ours.to_owned()),
                op: OperationId::new(&story::id(), 1),
                stays,
                inherited: false,
                until: until.map(story::at),
            },
            settled: Settled::Yes,
            before: None,
            since: story::at(0.0),
            make_it_last: (ours == "2Gi").then(|| "web.resources.limits.memory in values.yaml".to_owned()),
            injected: false,
        };
        let overdue = until.is_some_and(|until| until < 600.0);
        Change { entry, live, overdue }
    };
    let limit = Field::Limit { container: "web".to_owned(), resource: "memory".to_owned() };
    let (deployment, autoscaler) =
        (target(Kind::Deployment, "web"), target(Kind::HorizontalPodAutoscaler, "web"));
    let by = Some("kubectl-edit at 2026-11-22T03:02:00Z".to_owned());
    let hour = Stays::For(std::time::Duration::from_hours(1));
    let changes = Changes {
        changes: vec![
            change(deployment.clone(), limit, ("512Mi", "2Gi"), Some(3_600.0), Live::AsWeLeftIt, hour),
            change(
                deployment,
                Field::Replicas,
                ("2", "5"),
                Some(500.0),
                Live::Changed { value: Some("7".to_owned()), by },
                hour,
            ),
            change(
                autoscaler,
                Field::MinReplicas,
                ("2", "4"),
                None,
                Live::Unseen { why: "timeout".to_owned() },
                Stays::UntilAPersonDecides,
            ),
        ],
    };
    insta::assert_snapshot!(
        "changes",
        text(runbookd::cli::changes::list(&changes, story::at(600.0), Paint::PLAIN))
    );
    let none = Changes { changes: Vec::new() };
    insta::assert_snapshot!(text(runbookd::cli::changes::list(&none, story::at(0.0), Paint::PLAIN)), @"Nothing is changed for a while. What a runbook changes for good is in its incident.");
}
