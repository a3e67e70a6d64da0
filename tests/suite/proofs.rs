//! The proof that the configuration demands, as the guards see it: pure, over a ledger that a test wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runbookd::guard::{self, Policy, Question};
use runbookd::incident::deploying::Deploying;
use runbookd::incident::ledger::Ledger;
use runbookd::incident::permit::Wanted;
use runbookd::incident::plan::{Circumstances, Plan, Target};
use runbookd::incident::proof::{Level, Proof, Times};
use runbookd::incident::proven::Demand;
use runbookd::incident::refusal::{Guard, Refusal};
use runbookd::incident::{IncidentId, OperationId};
use runbookd::runbook::load::{read_one, read_text};
use runbookd::runbook::{Action, Kind, Mode, Rate, Runbook};

const RUNBOOK: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: stuck
summary: Restarts what is stuck.
mode: act
alerts: ['alertname="Stuck"']
confirm: {stuck: {loki: '{namespace="${vars.namespace}"} |= "stuck"', window: 5m, at_least: 1}}
targets: {deployment: web, namespace: "${vars.namespace}"}
steps: [{remediate: restart it, restart: {}, verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}}]
"#;

fn runbook(text: &str, namespace: &str, time_scale: u32) -> Runbook {
    let vars = BTreeMap::from([("namespace".to_owned(), namespace.to_owned())]);
    read_text(text, Some(&vars), time_scale).unwrap_or_else(|faults| panic!("{faults}"))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_377_600).unwrap()
}

fn demand() -> Demand {
    Demand { at: Level::Fault, within: Duration::from_hours(90 * 24) }
}

fn proof(runbook: &Runbook, days_ago: u64, passed: bool) -> Proof {
    Proof {
        run: format!("run-{days_ago}"),
        scenario: "stuck-web".to_owned(),
        at: Level::Fault,
        runbook: runbook.name.clone(),
        text: runbook.text_hash().unwrap(),
        passed,
        proven_at: runbookd::clock::before(now(), Duration::from_hours(24 * days_ago)),
        times: Times {
            act: Some(Duration::from_secs(50)),
            recover: Some(Duration::from_secs(95)),
            ..Times::default()
        },
        version: "0.1.0".to_owned(),
    }
}

fn question(runbook: Runbook, action: Action) -> Question {
    let incident: IncidentId = "1kfm3x9q02vge".parse().unwrap();
    let target = Target { kind: Kind::Deployment, namespace: "shop".to_owned(), name: "web".to_owned() };
    let circumstances =
        Circumstances { replicas: 2, deploying: Deploying::NOTHING, ..Circumstances::default() };
    let plan = Plan { circumstances, ..Plan::bare(action, target, now()) };
    let policy = Policy {
        ceiling: Mode::Act,
        namespaces: BTreeMap::from([("shop".to_owned(), Mode::Act)]),
        nodes: Mode::Off,
        rate: Rate { count: 10, per: Duration::from_secs(3_600) },
        proof: Some(demand()),
    };
    Question {
        wanted: Wanted { op: OperationId::new(&incident, 1), leg: 0, step: 0, plan, again: false },
        runbook: Arc::new(runbook),
        policy: Arc::new(policy),
        held_at: Some(now()),
        approved: false,
        most: Mode::Act,
    }
}

/// The guards' refusals; none: the permit was granted.
fn refused(question: &Question, proofs: Vec<Proof>) -> Vec<Refusal> {
    let ledger = Ledger { now: now(), pause: None, in_flight: Vec::new(), attempts: Vec::new(), proofs };
    match guard::grant(question, &ledger) {
        Ok((_, permit)) => {
            drop(permit);
            Vec::new()
        }
        Err(asked) => asked.refusals().to_vec(),
    }
}

fn stuck() -> Runbook {
    runbook(RUNBOOK, "shop", 1)
}

#[test]
fn without_a_proof_a_runbook_that_may_act_asks_and_a_proof_lets_it_act() {
    let question = question(stuck(), Action::Restart);
    assert_eq!(guard::effective_mode(&question), Mode::Act, "it is set so");
    let no = refused(&question, Vec::new());
    assert_eq!(no.len(), 1, "{no:?}");
    assert_eq!((no[0].guard, no[0].saw.as_str()), (Guard::Mode, "ask"));
    assert!(guard::waits_for_a_person(&no[0]));
    assert!(
        no[0].limit.starts_with("not proven at fault within 90d: it was never put to the proof"),
        "{no:?}"
    );
    assert_eq!(refused(&question, vec![proof(&stuck(), 1, true)]), []);
}

#[test]
fn a_failed_an_old_a_farther_and_anothers_proof_do_not() {
    let question = question(stuck(), Action::Restart);
    let good = proof(&stuck(), 1, true);
    for other in [
        Proof { passed: false, ..good.clone() },
        proof(&stuck(), 91, true),
        Proof { at: Level::Alert, ..good.clone() },
        Proof { runbook: "another".to_owned(), ..good.clone() },
        Proof { text: "b".repeat(64), ..good.clone() },
    ] {
        assert_eq!(refused(&question, vec![other.clone()]).len(), 1, "{other:?}");
    }
}

#[test]
fn a_persons_yes_is_enough_and_nothing_is_ever_raised() {
    let approved = Question { approved: true, ..question(stuck(), Action::Restart) };
    assert_eq!(refused(&approved, Vec::new()), []);
    let proofs = || vec![proof(&stuck(), 1, true)];
    for mode in [Mode::Off, Mode::Shadow, Mode::Ask] {
        let mut lower = question(stuck(), Action::Restart);
        lower.policy = Arc::new(Policy { ceiling: mode, ..(*lower.policy).clone() });
        let no = refused(&lower, proofs());
        assert_eq!(
            (no.len(), no[0].saw.as_str(), no[0].limit.as_str()),
            (1, mode.as_str(), "set by the ceiling")
        );
    }
    let mut undemanded = question(stuck(), Action::Restart);
    undemanded.policy = Arc::new(Policy { proof: None, ..(*undemanded.policy).clone() });
    assert_eq!(refused(&undemanded, Vec::new()), []);
}

/// What is put back asks for no mode, and so for no proof.
#[test]
fn a_restore_needs_no_proof() {
    let restore = Action::ALL.into_iter().find(|action| action.restores()).unwrap();
    let question = question(stuck(), restore);
    let no = refused(&question, Vec::new());
    assert!(no.iter().all(|refusal| refusal.guard != Guard::Mode), "{no:?}");
}

#[test]
fn the_text_is_the_authors_and_not_the_installations() {
    let text = |runbook: &Runbook| runbook.text_hash().unwrap();
    let here = stuck();
    let sandbox = runbook(RUNBOOK, "sandbox", 30);
    assert_ne!(here.hash, sandbox.hash);
    assert_eq!(text(&here), text(&sandbox), "variables and pace belong to an installation");
    assert_eq!(text(&here), text(&read_one(&here.source).unwrap()), "as the journal keeps it");
    let changed = runbook(&RUNBOOK.replace("hold: 1m", "hold: 2m"), "shop", 1);
    assert_ne!(text(&here), text(&changed));
    assert_eq!(Runbook { source: String::new(), ..here }.text_hash(), None);
}

/// What it asks by name is a part of what was proven.
#[test]
fn a_changed_verification_or_diagnosis_changes_the_text() {
    let named = |threshold: u32, window: &str| {
        format!(
            "apiVersion: runbookd.dev/v1\nkind: Verification\nname: well\nsummary: All is well.\n\
             checks: {{pods: {{pods: not_ready, namespace: shop, at_most: {threshold}}}}}\n---\n\
             apiVersion: runbookd.dev/v1\nkind: Diagnosis\nname: look\nsummary: A look.\n\
             probes: {{lines: {{loki: '{{namespace=\"shop\"}} |= \"x\"', window: {window}, at_least: 1}}}}\n---\n{}",
            RUNBOOK
                .replace("all: [{rollout", "all: [{probe: well, at_most: 0}, {rollout")
                .replace("targets:", "probes: {well: {verification: well, at_most: 0}}\ntargets:")
                .replace("steps: [", "steps: [{diagnose: look, attach: [look]}, ")
        )
    };
    let text = |threshold, window| runbook(&named(threshold, window), "shop", 1).text_hash().unwrap();
    assert_eq!(text(0, "5m"), text(0, "5m"));
    assert_ne!(text(0, "5m"), text(1, "5m"), "the verification");
    assert_ne!(text(0, "5m"), text(0, "6m"), "the diagnosis");
}
