//! `runbookd inject` at the levels `alert` and `fault`: the real daemon runs as it does in a cluster, the command is another process that knows it by its API
//! alone, and the sandbox stands for the systems around them. What is refused writes nothing, and whatever ends a run, nothing of it stays.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use runbookd::api::wire::{Changes, Drills};
use runbookd::chaos::report::Report;
use runbookd::chaos::shipped::SCENARIOS;
use runbookd::incident::Outcome;
use runbookd::incident::proof::Level;
use runbookd::sandbox::World;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::daemon::{Daemon, LIMIT, until};

const TIME_SCALE: u32 = 40;
const NAMESPACE: &str = "samosachaat-prod";
const HIGH_5XX: [(&str, &str); 4] =
    [("alertname", "High5xxRate"), ("namespace", NAMESPACE), ("app", "chat-api"), ("severity", "critical")];
const MEANT: [&str; 5] = ["--yes", "--cluster", "sandbox", "--namespace", NAMESPACE];

/// The daemon, and the file that tells the command where everything is.
pub(super) struct Ground {
    pub(super) daemon: Daemon,
    target: PathBuf,
}

impl Ground {
    /// A daemon that hears of the sandbox's alerts, in a namespace that may be broken.
    async fn new() -> Self {
        Self::at(TIME_SCALE).await
    }

    async fn at(time_scale: u32) -> Self {
        let daemon = Daemon::new(time_scale).await;
        let alertmanager = daemon.stage.sandbox.alertmanager_url();
        Self::of(daemon, format!("alertmanager: {{url: \"{alertmanager}\", receiver: runbookd}}")).await
    }

    /// A daemon with these further lines of configuration, which are the target's, too; it is started here.
    pub(super) async fn of(mut daemon: Daemon, more: String) -> Self {
        daemon.stage.change(|setting| setting.more = more).unwrap();
        // Nobody looks at Grafana here, and it is not there.
        let text = std::fs::read_to_string(daemon.stage.config()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("grafana:")).collect();
        let target = daemon.file("target.yaml", &lines.join("\n"));
        daemon.start().await;
        let world = daemon.stage.world();
        world.label_namespace("runbookd.dev/chaos", Some("allowed"));
        Self { daemon, target }
    }

    pub(super) fn world(&self) -> World {
        self.daemon.stage.world()
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
        command
            .arg("inject")
            .args(arguments)
            .args(["--target", self.target.to_str().unwrap(), "--url", &self.daemon.stage.url()])
            .args(["--token-file", self.daemon.stage.api_token_file().to_str().unwrap()])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    async fn inject(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = tokio::time::timeout(2 * LIMIT, self.command(arguments).output()).await;
        let Output { status, stdout, stderr } = output.expect("it comes to its end").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), format!("{}{}", text(stdout), text(stderr)))
    }

    /// It is told why nothing is done, and nothing is: no write anywhere, no drill, no line, no alert.
    async fn refuses(&self, arguments: &[&str], code: i32, why: &str) {
        let before = self.world().requests().len();
        let (found, text) = self.inject(arguments).await;
        assert!(found == Some(code) && text.contains(why), "{found:?}, expected {why:?}: {text}");
        let asked = self.world().requests().split_off(before);
        let written = asked.iter().filter(|request| {
            request.is_kubernetes_write()
                || request.method == "POST"
                    && (request.path.contains("/push") || request.path == "/api/v2/alerts")
                || request.body.contains("TerminateInstances")
        });
        assert_eq!(written.count(), 0, "{text}");
        assert!(self.drills().await.is_empty(), "{text}");
    }

    /// The drills that are played.
    pub(super) async fn drills(&self) -> Vec<String> {
        let all: Drills = self.daemon.get("/drills").await;
        all.drills.into_iter().filter(|drill| drill.on).map(|drill| drill.drill.run).collect()
    }

    async fn changes(&self) -> usize {
        self.daemon.get::<Changes>("/changes").await.changes.len()
    }

    /// The memory limit of inference, and the note of a run, if there is one.
    fn inference(&self) -> (String, Option<String>) {
        let object = self.world().deployment("inference").unwrap();
        let limit = &object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
        let note = object["metadata"]["annotations"]["runbookd.dev/injected"].as_str().map(str::to_owned);
        (limit.as_str().unwrap().to_owned(), note)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_made_up_is_answered_with_a_plan_and_its_rehearsal() {
    for via in ["alertmanager", "webhook"] {
        let ground = Ground::new().await;
        let arguments = ["database-pool", "--at", "alert", "--via", via, "--yes", "--record"];
        let (code, text) = ground.inject(&arguments).await;
        assert_eq!(code, Some(0), "{via}: {text}");
        for part in [
            "context sandbox, cluster sandbox",
            "account 123456789012 as arn:aws:iam::123456789012:user/sandbox",
            "What would happen in cluster sandbox, namespace samosachaat-prod",
            "12 lines into Loki, with runbookd_run=",
            "rehearsed: the API server would restart deployment/chat-api in samosachaat-prod",
            "database-pool-exhaustion ends as would_act within 10m",
            "0 changes in the cluster",
            "database-pool-exhaustion is proven at alert",
            "database-pool: passed",
        ] {
            assert!(text.contains(part), "{via}: {part:?} is missing: {text}");
        }
        assert!(ground.world().writes().is_empty(), "{text}");
        assert!(ground.drills().await.is_empty(), "it is over");
    }
}

/// What is real beside it needs evidence of its own: the lines that were made up are none.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_made_up_confirm_nothing_real() {
    let ground = Ground::new().await;
    let mut playing = ground
        .command(&["database-pool", "--at", "alert", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let world = ground.world();
    let pushed = world.until(LIMIT, |world| {
        world.requests().iter().any(|request| request.path.contains("/loki/api/v1/push"))
    });
    assert!(pushed.await, "{}", ground.daemon.stage.last_words());
    // The same alert, for real, and nothing is wrong.
    world.fire_alert(&HIGH_5XX, &[]);
    let real = async || {
        let all = ground.daemon.incidents().await;
        all.into_iter().find(|listed| listed.summary.drill.is_none())
    };
    let closed =
        until(LIMIT, async || real().await.is_some_and(|listed| listed.summary.closed_at.is_some())).await;
    assert!(closed, "{}", ground.daemon.stage.last_words());
    let listed = real().await.unwrap();
    assert_eq!(listed.summary.outcome, Some(Outcome::NotConfirmed), "{listed:?}");
    assert!(world.writes().is_empty());
    playing.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_without_a_line_does_nothing_there_either() {
    let ground = Ground::new().await;
    let (code, text) = ground.inject(&["alert-without-evidence", "--at", "alert", "--yes"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(ground.world().writes().is_empty(), "{text}");
}

/// The whole story of the chaos page's scenario 4, in a cluster: the limit is lowered, raised by the daemon, and put back to what it was before the fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_really_lowered_is_put_right_and_nothing_stays() {
    let ground = Ground::new().await;
    ground.world().load_alert_rules();
    let report = ground.daemon.file("report.json", "");
    let mut command =
        ground.command(&[&["inference-oom", "--at", "fault", "--record", "-o", "json"], &MEANT[..]].concat());
    let output = tokio::time::timeout(2 * LIMIT, command.output()).await.unwrap().unwrap();
    std::fs::write(&report, &output.stdout).unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.passed() && report.left_behind.is_empty(), "{report:#?}");
    assert_eq!(report.place, "cluster sandbox, namespace samosachaat-prod");
    assert_eq!(report.checks.iter().filter(|check| check.expected.contains("it does resources")).count(), 1);
    for part in [
        "samosachaat-prod may be broken: its label says so",
        "in the daemon's ledger as incident",
        "inference-oom is proven at fault",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert_eq!(ground.inference(), ("8Gi".to_owned(), None));
    assert_eq!((ground.changes().await, ground.drills().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_really_deleted_is_back_before_anybody_is_called() {
    let ground = Ground::new().await;
    ground.world().load_alert_rules();
    let before: Vec<String> = ground.world().pods("chat-api").into_iter().map(|pod| pod.name).collect();
    let (code, text) = ground.inject(&[&["pod-kill", "--at", "fault"], &MEANT[..]].concat()).await;
    assert_eq!(code, Some(0), "{text}");
    let after: Vec<String> = ground.world().pods("chat-api").into_iter().map(|pod| pod.name).collect();
    let same = before.iter().filter(|name| after.contains(name)).count();
    assert_eq!((before.len() - same, after.len()), (1, before.len()), "one of them is another one: {text}");
    let object = ground.world().deployment("chat-api").unwrap();
    assert_eq!(object["metadata"]["annotations"]["runbookd.dev/injected"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_is_refused_and_nothing_is_written() {
    let ground = Ground::new().await;
    let oom = |more: &[&'static str]| [&["inference-oom", "--at", "fault"], more].concat();
    let meant = oom(&MEANT);
    // Who is in another place than they believe.
    let wrong = oom(&["--yes", "--cluster", "production", "--namespace", NAMESPACE]);
    ground.refuses(&wrong, 2, "--cluster says \"production\", and the target means \"sandbox\"").await;
    let wrong = oom(&["--yes", "--cluster", "sandbox", "--namespace", "default"]);
    ground.refuses(&wrong, 2, "--namespace says \"default\"").await;
    ground.refuses(&oom(&["--yes"]), 2, "--yes wants the names, too").await;
    ground.refuses(&oom(&[]), 2, "there is no terminal to ask on").await;
    ground.refuses(&["database-pool", "--at", "alert"], 2, "there is no terminal to ask on").await;
    // What says nothing there: somebody means another level.
    ground.refuses(&["inference-oom", "--yes"], 2, "--target says nothing at --at sandbox").await;
    ground.refuses(&oom(&["--time-scale", "40"]), 2, "--time-scale says nothing at --at fault").await;
    // What that level does not have.
    ground.refuses(&[&["crash-loop", "--at", "fault"], &MEANT[..]].concat(), 1, "it has no `real:`").await;
    ground.refuses(&["crash-loop", "--at", "alert", "--yes"], 1, "it has no `synthetic:`").await;
    // Who has not allowed it.
    let world = ground.world();
    world.label_namespace("runbookd.dev/chaos", None);
    ground.refuses(&meant, 1, "`kubectl label namespace samosachaat-prod runbookd.dev/chaos=allowed`").await;
    world.label_namespace("runbookd.dev/chaos", Some("never"));
    ground.refuses(&meant, 1, "--overwrite").await;
    world.label_namespace("runbookd.dev/chaos", Some("allowed"));
    // A system that is away.
    world.disturb(runbookd::sandbox::System::Loki, Some(runbookd::sandbox::Trouble::Down));
    ground.refuses(&meant, 1, "is `loki.url` of the target right").await;
    world.disturb(runbookd::sandbox::System::Loki, None);
    // A person has stopped everything.
    let store = ground.daemon.stage.url();
    let http = runbookd::clients::http_client(Duration::from_secs(10)).unwrap();
    let say = async |path: &str, body: Value| {
        let token = runbookd::chaos::stage::API_TOKEN;
        let answer = http.post(format!("{store}/api/v1{path}")).bearer_auth(token).json(&body).send().await;
        assert!(answer.unwrap().status().is_success(), "{path}");
    };
    say("/pause", serde_json::json!({"by": "bob", "reason": "a migration"})).await;
    ground.refuses(&meant, 1, "the daemon was paused by bob: a migration").await;
    say("/resume", serde_json::json!({"by": "bob"})).await;
    // What is not well is not broken further. Told to the daemon, which is asked before.
    world.set_memory_limit("inference", "256Mi");
    let unwell = world.until(LIMIT, |world| !world.rollout_complete("inference")).await;
    assert!(unwell);
    let (code, text) = ground.inject(&meant).await;
    assert!(code == Some(1) && (text.contains("steady") || text.contains("ready")), "{code:?} {text}");
    assert!(ground.world().writes().is_empty() && ground.drills().await.is_empty(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_real_incident_is_open_nothing_is_broken() {
    // For minutes it is looked for what would confirm it: at the pace of reality it is open still, however long the command takes to come that far.
    let ground = Ground::at(1).await;
    let world = ground.world();
    world.fire_alert(&HIGH_5XX, &[]);
    let open = until(LIMIT, async || {
        ground.daemon.incidents().await.iter().any(|listed| listed.summary.closed_at.is_none())
    });
    assert!(open.await, "{}", ground.daemon.stage.last_words());
    let before = world.writes().iter().filter(|request| request.body.contains("injected")).count();
    let (code, text) = ground.inject(&[&["inference-oom", "--at", "fault"], &MEANT[..]].concat()).await;
    assert!(code == Some(1) && text.contains("is open, and a drill would be in its way"), "{code:?} {text}");
    let after = world.writes().iter().filter(|request| request.body.contains("injected")).count();
    assert_eq!((before, after), (0, 0), "{text}");
    assert!(ground.drills().await.is_empty());
}

/// Where a run is killed.
const PHASES: [&str; 4] = ["registered", "in the daemon's ledger", "made", "confirmed"];

/// Reads what it says until it says this. The reader is kept: a terminal that is gone is another story.
async fn spoken(child: &mut Child, part: &str) -> (String, Lines<BufReader<ChildStdout>>) {
    let out = child.stdout.take().unwrap();
    let mut lines = BufReader::new(out).lines();
    let mut all = String::new();
    let wait = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            all.push_str(&line);
            all.push('\n');
            if line.contains(part) {
                break;
            }
        }
    };
    let waited = tokio::time::timeout(LIMIT, wait).await;
    assert!(waited.is_ok() && all.contains(part), "no {part:?}: {all}");
    (all, lines)
}

/// `kill -9` of the run: what it made is undone by `cleanup`, by its notes.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_is_cleaned_up_and_nothing_is_left() {
    for phase in PHASES {
        let ground = Ground::new().await;
        ground.world().load_alert_rules();
        let arguments = [&["inference-oom", "--at", "fault"], &MEANT[..]].concat();
        let mut child = ground.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (said, _reader) = spoken(&mut child, phase).await;
        child.kill().await.unwrap();
        assert_eq!(ground.drills().await.len(), 1, "{phase}: it does not know yet: {said}");
        let (code, text) = ground.inject(&["cleanup"]).await;
        assert_eq!(code, Some(0), "{phase}: {text}");
        if let [run] = ground.drills().await.as_slice() {
            // Nothing tells that nobody plays it any more, but the person who knows.
            assert!(PHASES[..2].contains(&phase), "{phase}: {text}");
            assert!(text.contains(&format!("`--run {run}` ends it")), "{text}");
            let (code, text) = ground.inject(&["cleanup", "--run", run]).await;
            assert_eq!(code, Some(0), "{text}");
        }
        assert!(ground.drills().await.is_empty(), "{phase}: {text}");
        assert_eq!(ground.inference().1, None, "{phase}: {text}");
        // What the daemon has changed since it puts back itself.
        let world = ground.world();
        let back = world.until(LIMIT, |world| {
            let object = world.deployment("inference").unwrap();
            object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "8Gi"
        });
        assert!(back.await, "{phase}: {text} {}", ground.daemon.stage.last_words());
        let (code, text) = ground.inject(&["cleanup"]).await;
        assert!(code == Some(0) && text.contains("No run has left anything"), "{phase}: {text}");
    }
}

/// The same without the daemon, and a Ctrl-C, which cleans up by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_cleans_up_by_itself_and_a_killed_one_without_the_daemon() {
    let mut ground = Ground::new().await;
    let arguments = [&["inference-oom", "--at", "fault"], &MEANT[..]].concat();
    let mut child = ground.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    // Ctrl-C, and a terminal that is closed under it.
    for (signal, keeps_reading) in [("-INT", true), ("-HUP", false)] {
        let (_, reader) = spoken(&mut child, "made ").await;
        let _reader = keeps_reading.then_some(reader);
        assert_eq!(ground.inference().0, "512Mi");
        let pid = child.id().unwrap().to_string();
        #[expect(clippy::disallowed_methods, reason = "std has no call for a signal")]
        Command::new("kill").args([signal, &pid]).status().await.unwrap();
        let status = tokio::time::timeout(LIMIT, child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(1), "{signal}");
        assert_eq!(ground.inference(), ("8Gi".to_owned(), None), "{signal}");
        assert!(ground.drills().await.is_empty(), "{signal}");
        let well = ground.world().until(LIMIT, |world| world.rollout_complete("inference")).await;
        assert!(well, "{signal}");
        // The ledger sees for itself that nothing is left to put back.
        assert!(until(LIMIT, async || ground.changes().await == 0).await, "{signal}");
        child = ground.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    }
    let _reader = spoken(&mut child, "made ").await;
    child.kill().await.unwrap();
    ground.daemon.stage.kill().await.unwrap();
    assert_eq!(ground.inference().0, "512Mi");
    let (code, text) = ground.inject(&["cleanup"]).await;
    assert!(code == Some(0) && text.contains("The daemon was not told"), "{code:?} {text}");
    assert_eq!(ground.inference(), ("8Gi".to_owned(), None));
}

/// Lines are pushed before the alert is fired, and confirm nothing; the drill is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_wants_another_token_is_told_and_the_drill_is_over() {
    let ground = Ground::new().await;
    let text = std::fs::read_to_string(&ground.target).unwrap();
    let wrong = text.replace("webhook: {token_file: webhook-token}", "webhook: {token_file: other-token}");
    assert_ne!(text, wrong);
    ground.daemon.file("other-token", "somebody-elses-token");
    ground.daemon.file("target.yaml", &wrong);
    let (code, text) = ground.inject(&["database-pool", "--at", "alert", "--via", "webhook", "--yes"]).await;
    assert_eq!(code, Some(1), "{text}");
    for part in ["denied (HTTP 401", "`webhook.token_file` of the target must hold the token", "aborted"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert!(!text.contains("left behind") && !text.contains("still fires"), "nothing fires: {text}");
    assert!(!text.contains("somebody-elses-token"), "{text}");
    assert!(ground.drills().await.is_empty() && ground.daemon.incidents().await.is_empty(), "{text}");
    assert!(ground.world().writes().is_empty());
}

/// The daemon that is put to the proof is gone: that is no success, and what it could not be told is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_in_the_middle_of_a_drill_is_told_of_and_nothing_hangs() {
    let mut ground = Ground::new().await;
    let mut child =
        ground.command(&["database-pool", "--at", "alert", "--yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let (mut said, mut lines) = spoken(&mut child, "pushed").await;
    ground.daemon.stage.kill().await.unwrap();
    let rest = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
        }
        child.wait().await.unwrap()
    };
    let status = tokio::time::timeout(LIMIT, rest).await.expect("it comes to its end");
    assert_eq!(status.code(), Some(1), "{said}");
    for part in
        ["the run broke off", "the daemon still has the drill for running", "`runbookd inject cleanup --run "]
    {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
    // The alert ends although nobody is there to hear of it.
    assert!(ground.world().firing().is_empty(), "{said}");
    ground.daemon.start().await;
    assert_eq!(ground.drills().await.len(), 1);
    let runs = ground.drills().await;
    let (code, text) = ground.inject(&["cleanup", "--run", &runs[0]]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(ground.drills().await.is_empty(), "{text}");
}

/// One after the other before the same daemon: what one drill has made up hinders none of the next.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_level_are_those_that_say_something_of_it() {
    let ground = Ground::new().await;
    let output = ground.command(&["all", "--at", "alert", "--yes", "-o", "json"]).output();
    let output = tokio::time::timeout(2 * LIMIT, output).await.expect("it comes to its end").unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let mut all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reports: Vec<Report> = serde_json::from_value(all["reports"].take()).unwrap();
    let played: BTreeSet<&str> = reports.iter().map(|report| report.scenario.as_str()).collect();
    let there = SCENARIOS.iter().filter(|(_, text)| text.lines().any(|line| line == "synthetic:"));
    let there: BTreeSet<&str> = there.map(|(name, _)| name.trim_end_matches(".yaml")).collect();
    assert!(there.len() > 2, "{there:?}");
    assert_eq!((reports.len(), played), (there.len(), there), "{text}");
    assert!(reports.iter().all(|report| report.passed() && report.at == Level::Alert), "{reports:#?}");
    let drills: Drills = ground.daemon.get("/drills").await;
    assert_eq!(drills.drills.len(), reports.len());
    assert!(drills.drills.iter().all(|drill| !drill.on), "{drills:#?}");
    assert!(ground.world().writes().is_empty(), "{text}");
}
