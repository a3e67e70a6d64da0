//! `runbookd inject` at the sandbox: the verdict is the exit code, every scenario passes with the shipped runbooks, and a daemon that is sabotaged
//! fails for the right reason: a game day that can not fail proves nothing.

use std::path::Path;
use std::process::Output;

use runbookd::chaos::report::Report;
use runbookd::chaos::scenario::load;
use runbookd::chaos::shipped::SCENARIOS;
use runbookd::chaos::stage::SHIPPED;
use runbookd::incident::Outcome;
use tokio::process::Command;

/// `runbookd inject` with these arguments, without colours.
fn command(arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
    command.arg("inject").args(arguments).env("NO_COLOR", "1");
    command
}

async fn inject(arguments: &[&str]) -> Output {
    command(arguments).output().await.unwrap()
}

async fn passes(scenario: &str) -> String {
    passes_at(scenario, "40").await
}

async fn passes_at(scenario: &str, time_scale: &str) -> String {
    let output = inject(&[scenario, "--at", "sandbox", "--time-scale", time_scale]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let wrong = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{wrong}");
    let verdict = format!("{scenario}: passed");
    assert!(text.lines().any(|line| line == verdict), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pod_is_back_before_anybody_is_called() {
    let text = passes("pod-kill").await;
    assert!(text.contains("well again, and no alert fired"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_a_persons_with_what_the_container_wrote_last() {
    let text = passes("crash-loop").await;
    assert!(text.contains("RuntimeError: chat-api can not start"), "{text}");
    assert!(text.contains("not_recovered: what was expected did not come"), "{text}");
    // What people read in Slack.
    assert!(text.contains("nothing was changed, and it did not recover by itself."), "{text}");
    assert!(!text.contains("the action was done"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_node_is_replaced_and_what_moves_stands_back() {
    let text = passes("node-failure").await;
    assert!(text.contains("joined since: node-4"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_runs_short_after_a_node_failed_is_left_alone() {
    let text = passes("node-failure-and-memory").await;
    assert!(text.contains("it stands back behind node-failure"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_a_restart_does_not_cure_grows_as_far_as_the_database_allows() {
    let text = passes("database-pool").await;
    assert!(text.contains("established connections to port 5432 in 2 pods"), "{text}");
    assert!(
        text.contains(
            "set SQLALCHEMY_POOL_SIZE of chat-api in deployment/chat-api of samosachaat-prod from 5 to 15"
        ),
        "{text}"
    );
    assert!(text.contains("it takes 200 (max_connections of samosachaat-postgres15)"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_help_stops_and_calls_a_person() {
    let text = passes("remedy-does-not-help").await;
    assert!(text.contains("restart, then env"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_alerts_is_one_incident_and_one_restart() {
    let text = passes("alert-storm").await;
    assert!(text.contains("1 change in the cluster"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_flaps_is_one_restart() {
    let text = passes("flapping-alert").await;
    assert!(text.contains("1 change in the cluster"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_without_evidence_is_nothing() {
    let text = passes("alert-without-evidence").await;
    assert!(text.contains("0 changes in the cluster"), "{text}");
}

/// Two hours are 72 seconds here.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_met_by_more_pods_and_in_its_time_there_are_as_few_as_before() {
    let text = passes_at("high-latency", "100").await;
    assert!(text.contains("scale deployment/inference of samosachaat-prod from 1 to 3 replicas"), "{text}");
    assert!(text.contains("after 2h it is put back, and that ends as recovered"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_too_low_is_raised_and_the_declared_one_is_put_back() {
    let text = passes("inference-oom").await;
    assert!(text.contains("2Gi") && text.contains("8Gi"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_puts_back_is_not_fought_for() {
    let text = passes("change-does-not-stick").await;
    assert!(text.contains("was put back to 512Mi"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_too_large_is_replaced_by_a_call_to_the_pod() {
    let text = passes("large-model").await;
    assert!(text.contains("POST /models/swap to each of 1 pod of deployment/inference"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_record_is_gone_gets_it_back_and_is_renewed() {
    let text = passes_at("certificate", "100").await;
    assert!(text.contains("write 1 validation record of certificate/samosachaat.art"), "{text}");
    assert!(text.contains("1 record is INSYNC, and as ACM asks for them"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_has_changed_is_written_as_acm_asks_for_it() {
    let text = passes_at("certificate-record", "100").await;
    assert!(text.contains("old.acm-validations.aws. stands there"), "{text}");
}

/// Nothing is shipped that is not played above.
#[test]
fn every_shipped_scenario_is_played() {
    let here = include_str!("inject.rs");
    for (file, _) in SCENARIOS {
        let name = file.trim_end_matches(".yaml");
        assert!(
            here.contains(&format!("passes(\"{name}\")")) || here.contains(&format!("passes_at(\"{name}\"")),
            "{name}"
        );
    }
    let shipped: Vec<String> = SCENARIOS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut lying: Vec<String> = std::fs::read_dir("rules/scenarios")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    lying.retain(|name| !shipped.contains(name));
    assert!(lying.is_empty(), "not in shipped.rs: {lying:?}");
}

/// A folder with the shipped runbooks and one scenario, as a saboteur leaves them.
struct Sabotaged {
    folder: tempfile::TempDir,
    scenario: &'static str,
}

impl Sabotaged {
    fn new(scenario: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scenarios")).unwrap();
        for (name, text) in SHIPPED {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = format!("{scenario}.yaml");
        let (_, text) = SCENARIOS.into_iter().find(|(name, _)| **name == file).unwrap();
        std::fs::write(folder.path().join("scenarios").join(&file), text).unwrap();
        Self { folder, scenario }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Another text at this place of a file.
    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// A system is away from the beginning of the fault on.
    fn without(&self, system: &str) {
        let fault = format!("fault:\n  - away: {{system: {system}}}\n");
        self.edit(&format!("scenarios/{}.yaml", self.scenario), "fault:\n", &fault);
    }

    /// Nobody waits for what is known not to come.
    fn impatient(&self) {
        self.edit(&format!("scenarios/{}.yaml", self.scenario), "within: 1h", "within: 6m");
    }

    /// What is not cured is told of again and again, before the run is over or after it. How it is then, one of these tests waits for.
    fn again_and_again(&self) {
        let file = format!("scenarios/{}.yaml", self.scenario);
        self.edit(&file, "afterwards: steady", "afterwards: either");
        self.edit(&file, "others: [pod-crash]", "others: [pod-crash, database-pool-exhaustion]");
    }

    async fn play(&self) -> (Option<i32>, Report) {
        let rules = self.path().to_str().unwrap();
        let output = inject(&[self.scenario, "--rules", rules, "--output", "json"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        (output.status.code(), report)
    }

    /// It fails, and what did not come true is this and nothing else.
    async fn fails_for(&self, reasons: &[(&str, &str)]) -> Report {
        let (code, report) = self.play().await;
        assert_eq!((code, report.passed()), (Some(1), false), "{report:#?}");
        assert!(report.aborted.is_none(), "{report:#?}");
        let failed: Vec<(&str, &str)> = report
            .checks
            .iter()
            .filter(|checked| !checked.holds)
            .map(|checked| (checked.expected.as_str(), checked.found.as_str()))
            .collect();
        let fits = |(expected, found): (&str, &str), wanted: &(&str, &str)| {
            expected.contains(wanted.0) && found.contains(wanted.1)
        };
        assert!(
            failed.len() == reasons.len()
                && failed.iter().zip(reasons).all(|(failed, wanted)| fits(*failed, wanted)),
            "{failed:#?}"
        );
        report
    }
}

const ENDS: &str = "database-pool-exhaustion ends as recovered";
const DOES: &str = "it does restart";

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_where_the_runbook_is_off() {
    let daemon = Sabotaged::new("alert-storm");
    daemon.impatient();
    daemon.again_and_again();
    daemon.edit("database-pool.yaml", "mode: act", "mode: \"off\"");
    let report = daemon
        .fails_for(&[
            (ENDS, "no such incident"),
            ("people are told", "nothing has ended"),
            ("1 change in the cluster", "0 changes"),
        ])
        .await;
    assert!(report.incidents.is_empty(), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_where_the_threshold_is_wrong() {
    let daemon = Sabotaged::new("alert-storm");
    daemon.again_and_again();
    daemon.edit("scenarios/alert-storm.yaml", "afterwards: either", "afterwards: steady");
    daemon.edit("database-pool.yaml", "at_least: 5", "at_least: 500000");
    let report = daemon
        .fails_for(&[
            (ENDS, "not_confirmed"),
            (DOES, "nothing"),
            ("1 change in the cluster", "0 changes"),
            ("the steady state holds again", "pool_errors: "),
        ])
        .await;
    assert_eq!(report.incidents[0].outcome, Some(Outcome::NotConfirmed));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_where_a_guard_says_no() {
    let daemon = Sabotaged::new("database-pool");
    daemon.again_and_again();
    // One effect an hour: the second step is not allowed, and nobody waits for an hour.
    daemon.edit(
        "database-pool.yaml",
        "limits: {cooldown: 15m, rate: 3/1h}",
        "limits: {cooldown: 15m, rate: 1/1h}",
    );
    daemon.edit("database-pool.yaml", "limits:", "deadline: 15m\nlimits:");
    daemon
        .fails_for(&[
            (ENDS, "blocked after"),
            ("it does restart, then env", "restart"),
            ("2 changes in the cluster", "1 change"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_where_the_runbook_is_in_shadow() {
    let daemon = Sabotaged::new("alert-storm");
    daemon.again_and_again();
    daemon.edit("database-pool.yaml", "mode: act", "mode: shadow");
    let report = daemon
        .fails_for(&[(ENDS, "would_act"), (DOES, "nothing"), ("1 change in the cluster", "0 changes")])
        .await;
    assert!(report.times.act.is_none() && report.times.recover.is_none(), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_where_nobody_is_told() {
    let daemon = Sabotaged::new("alert-storm");
    daemon.without("slack");
    // Everything else is as it must be: Slack away slows nothing.
    let report = daemon.fails_for(&[("people are told of every end in Slack", "not of ")]).await;
    assert_eq!(report.incidents[0].outcome, Some(Outcome::Recovered));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fails_where_loki_is_away() {
    let daemon = Sabotaged::new("alert-storm");
    daemon.again_and_again();
    daemon.without("loki");
    daemon.edit("database-pool.yaml", "limits:", "deadline: 5m\nlimits:");
    let report = daemon
        .fails_for(&[(ENDS, "inconclusive"), (DOES, "nothing"), ("1 change in the cluster", "0 changes")])
        .await;
    assert_eq!(report.incidents[0].outcome, Some(Outcome::Inconclusive));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_broken_where_it_is_not_well_before() {
    let daemon = Sabotaged::new("alert-storm");
    // Never true: there are always pods.
    daemon.edit(
        "scenarios/alert-storm.yaml",
        "    rollouts:",
        "    nobody: {nodes: not_ready, at_least: 1}\n    rollouts:",
    );
    daemon.edit("scenarios/alert-storm.yaml", "steady:\n", "steady:\n  within: 1m\n");
    let (code, report) = daemon.play().await;
    assert_eq!(code, Some(1));
    let why = report.aborted.as_deref().unwrap_or_default();
    assert!(why.starts_with("nothing was broken, because the steady state does not hold: nobody: "), "{why}");
    assert!(
        report.broke.is_empty() && report.checks.is_empty() && report.incidents.is_empty(),
        "{report:#?}"
    );
    assert!(report.moments.iter().all(|moment| moment.word != "broken"), "{report:#?}");
}

#[tokio::test]
async fn a_scenario_that_is_not_there_is_told_with_those_that_are() {
    let output = inject(&["pod-kil"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("runbookd: there is no scenario \"pod-kil\" (did you mean pod-kill?); there are: pod-kill, crash-loop, "),
        "{said}"
    );
}

#[tokio::test]
async fn the_scenarios_are_listed_and_shown() {
    let list = String::from_utf8(inject(&["list"]).await.stdout).unwrap();
    for (file, _) in SCENARIOS {
        assert!(list.contains(file.trim_end_matches(".yaml")), "{list}");
    }
    let shown = String::from_utf8(inject(&["show", "database-pool"]).await.stdout).unwrap();
    insta::assert_snapshot!(shown);
}

#[test]
fn every_fault_of_a_scenario_has_its_message() {
    let vars = [("namespace".to_owned(), "samosachaat-prod".to_owned())].into();
    let runbooks = ["pod-crash".to_owned()].into();
    crate::check::expect_messages("tests/data/bad/scenarios", 28, |path| {
        match load::load(&[path.to_path_buf()], Some(&vars), Some(&runbooks), 1) {
            Ok(_) => String::new(),
            Err(faults) => faults.to_string(),
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proven_is_kept_and_a_failure_takes_it_back() {
    use runbookd::api::wire::Proofs;

    use super::daemon::Daemon;
    let mut daemon = Daemon::new(25).await;
    daemon.start().await;
    let (url, token) = (daemon.stage.url(), daemon.stage.api_token_file());
    let keeper = ["--record", "--url", &url, "--token-file", token.to_str().unwrap()];
    let output = inject(&[&["alert-without-evidence"][..], &keeper].concat()).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("database-pool-exhaustion is proven at sandbox"),
        "{said}"
    );
    let newest = async || {
        let mut all: Proofs = daemon.get("/proofs").await;
        all.runbooks.retain(|runbook| runbook.runbook == "database-pool-exhaustion");
        all.runbooks.remove(0).proofs.remove(0)
    };
    let kept = newest().await;
    assert!(kept.proof.passed && kept.of_this_text, "{kept:#?}");
    // Nothing had to be detected, and nothing was done: it proves that the runbook lets be what it should.
    assert!(kept.proof.times.detect.is_none() && !kept.proof.shows_a_cure(), "{kept:#?}");

    // The same scenario, with a runbook that is not the one that is loaded there.
    let other = Sabotaged::new("alert-without-evidence");
    other.edit("database-pool.yaml", "within: 5m", "within: 6m");
    other.edit("scenarios/alert-without-evidence.yaml", "outcome: not_confirmed", "outcome: recovered");
    let rules = ["alert-without-evidence", "--rules", other.path().to_str().unwrap()];
    let output = inject(&[&rules[..], &keeper].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    let kept = newest().await;
    assert!(!kept.proof.passed && !kept.of_this_text, "{kept:#?}");
}

#[tokio::test]
async fn whoever_can_not_record_learns_it_before_anything_is_broken() {
    let output = inject(&["pod-kill", "--record", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("runbookd: no runbookd answers at http://127.0.0.1:1; "), "{said}");
    assert!(output.stdout.is_empty(), "nothing was begun");
}

/// The page for the game day, and what is pasted into a ticket.
#[tokio::test(flavor = "multi_thread")]
async fn every_form_has_the_verdict_and_the_way_is_told_beside_it() {
    for (form, begins, holds) in [
        ("html", "<!doctype html>", "default-src 'none'"),
        ("markdown", "#", "alert-without-evidence"),
        ("json", "{", "\"passed\": true"),
    ] {
        let output = inject(&["alert-without-evidence", "--output", form, "--time-scale", "100"]).await;
        let (text, beside) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{text}\n{beside}");
        assert!(text.to_lowercase().starts_with(begins) && text.contains(holds), "{form}: {text}");
        assert!(beside.contains("broken") && beside.contains("not_confirmed"), "{beside}");
    }
}

/// What can be written is what is documented, and the example is a scenario.
#[test]
fn every_field_of_a_scenario_is_documented() {
    let page = include_str!("../../docs/scenarios.md");
    let said = include_str!("../data/bad/scenarios/fault-unknown.txt");
    let words = said.split_once("expected one of ").unwrap().1.lines().next().unwrap();
    for word in words.split(", ") {
        assert!(page.contains(&format!("`{word}: ")) || page.contains(&format!("    {word}: ")), "{word}");
    }
    // What `synthetic` and `real` can hold.
    for said in [
        include_str!("../data/bad/scenarios/synthetic-without-an-end.txt"),
        include_str!("../data/bad/scenarios/synthetic-expect.txt"),
        include_str!("../data/bad/scenarios/synthetic-lines.txt"),
        include_str!("../data/bad/scenarios/real-unknown.txt"),
        include_str!("../data/bad/scenarios/real-load.txt"),
    ] {
        let line = said.lines().rfind(|line| line.contains("is not a field of ")).unwrap();
        for word in line.split_once("expected one of ").unwrap().1.split(", ") {
            assert!(
                page.contains(&format!(" {word}: "))
                    || page.contains(&format!(" {word}:\n"))
                    || page.contains(&format!("`{word}: ")),
                "{word}"
            );
        }
    }
    let example = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let vars = [("namespace".to_owned(), "shop".to_owned())].into();
    let read = load::load_texts(&[("docs/scenarios.md", example)], Some(&vars), None, 1);
    assert_eq!(read.unwrap_or_else(|faults| panic!("{faults}")).len(), 1);
    for (file, _) in SCENARIOS {
        assert!(page.contains(&format!("`{}`", file.trim_end_matches(".yaml"))), "{file}");
    }
}

/// Where a killed pod is back before an alert, no runbook had to do anything, and none is proven.
#[tokio::test(flavor = "multi_thread")]
async fn what_heals_without_a_runbook_proves_none() {
    use runbookd::api::wire::Proofs;

    use super::daemon::Daemon;
    let mut daemon = Daemon::new(25).await;
    daemon.start().await;
    let (url, token) = (daemon.stage.url(), daemon.stage.api_token_file());
    let output = inject(&[
        "pod-kill",
        "--output",
        "json",
        "--record",
        "--url",
        &url,
        "--token-file",
        token.to_str().unwrap(),
    ])
    .await;
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.passed(), "{report:#?}");
    let all: Proofs = daemon.get("/proofs").await;
    let proven = all.runbooks.iter().filter(|runbook| !runbook.proofs.is_empty()).count();
    assert_eq!(proven, report.incidents.len(), "{report:#?}");
}

/// The processes that work in a folder, by their command lines.
fn at_work_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(folder)).collect()
}

/// Killed or told to stop, whatever it is at: no daemon stays behind, and no folder after the next run.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_run_that_is_killed() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    for (phase, signal) in
        [("broken", "-TERM"), ("What happens", "-KILL"), ("broken", "-KILL"), ("confirm", "-KILL")]
    {
        let mut command = command(&["alert-storm"]);
        command.env("TMPDIR", folder.path());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(phase) {
                break;
            }
        }
        assert!(!at_work_in(folder.path()).is_empty(), "{phase}: the daemon is at work");
        #[expect(
            clippy::disallowed_methods,
            reason = "std has no call for SIGTERM; kill(1) is on every system"
        )]
        Command::new("kill").args([signal, &child.id().unwrap().to_string()]).status().await.unwrap();
        let mut rest = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            rest += &line;
        }
        let status = child.wait().await.unwrap();
        assert_eq!(status.code(), (signal == "-TERM").then_some(1), "{phase} {signal}");
        assert_eq!(
            rest.contains("interrupted; the sandbox and its daemon are gone"),
            signal == "-TERM",
            "{rest}"
        );
        let gone =
            super::daemon::until(super::daemon::LIMIT, async || at_work_in(folder.path()).is_empty()).await;
        assert!(gone, "{phase} {signal}: {:?}", at_work_in(folder.path()));
    }
    // What a run that is killed has left is swept away by the next one.
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    assert!(left() >= 1, "a folder of a run that was killed");
    let mut command = command(&["alert-without-evidence", "--time-scale", "100"]);
    assert!(command.env("TMPDIR", folder.path()).output().await.unwrap().status.success());
    assert_eq!(left(), 0);
}
