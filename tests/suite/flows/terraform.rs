//! A step with terraform, run by the daemon with the real one: a person is asked, and the very plan that they saw is applied, once; what a step does not allow, and what
//! was changed while somebody read, is not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use runbookd::sandbox::PoolFault;
use serde_json::{Value, json};

use super::{Flow, LIMIT, events, has, outcome, refusing};
use crate::real_alertmanager::real;
use crate::real_terraform::{published, until_there};

/// What others publish becomes an output; a second resource stands beside it.
const MAIN: &str = r#"
data "terraform_remote_state" "published" {
  backend = "local"
  config  = { path = "${path.module}/../published.tfstate" }
}
resource "terraform_data" "node" {
  input = data.terraform_remote_state.published.outputs.id
}
resource "terraform_data" "other" {
  input = "1"
}
output "current_node_ami_id" {
  value = terraform_data.node.output
}
"#;

const RUNBOOK: &str = r#"
apiVersion: runbookd.dev/v1
kind: Runbook
name: drift
summary: Apply what has drifted.
mode: act
alerts: ['alertname="High5xxRate"']
group_by: [namespace]
confirm:
  errors: {loki: '{namespace="${labels.namespace}", app="chat-api"} |= "pool"', window: 2m, at_least: 5}
targets: {terraform: nodes, namespace: "${labels.namespace}"}
steps:
  - remediate: what has drifted
    terraform: {allow: [terraform_data.node], at_most: 1, outputs: [current_node_ami_id]}
    verify:
      within: 10m
      hold: 1m
      all: [{probe: errors, at_most: 0, window: 1m}]
limits: {cooldown: 1m, rate: 9/1h}
"#;

/// A directory `nodes` that is applied, and a program.
struct Ground {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Option<Self> {
        let ground = Self { program: real("terraform")?, folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(ground.directory()).unwrap();
        ground.write(MAIN);
        ground.publish("ami-1");
        ground.apply();
        Some(ground)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn directory(&self) -> PathBuf {
        self.root().join("nodes")
    }

    fn write(&self, main: &str) {
        std::fs::write(self.directory().join("main.tf"), main).unwrap();
    }

    fn publish(&self, id: &str) {
        std::fs::write(self.root().join("published.tfstate"), published(1, id)).unwrap();
    }

    /// As a person does it.
    fn apply(&self) {
        let mut command = Command::new(&self.program);
        command.current_dir(self.directory()).args(["apply", "-auto-approve", "-input=false"]);
        assert!(command.output().unwrap().status.success());
    }

    fn state(&self) -> String {
        std::fs::read_to_string(self.directory().join("terraform.tfstate")).unwrap()
    }

    /// The daemon with this runbook, and an alert that is confirmed.
    async fn alerted(&self, change: impl Fn(&str) -> String) -> Flow {
        let root = self.root();
        let flow = Flow::with(|setting| {
            // terraform takes as long as ever.
            setting.time_scale = 6;
            setting.rules = vec![("drift.yaml".to_owned(), change(RUNBOOK))];
            let program = self.program.display();
            let root = root.display();
            setting.more = format!(
                "terraform: {{root: \"{root}\", directories: {{nodes: nodes}}, binary: \"{program}\"}}"
            );
        })
        .await;
        flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
        flow
    }
}

fn plans(view: &Value) -> Vec<&Value> {
    events(view, "planned").map(|event| &event["plan"]).collect()
}

/// The newest question to a person, as soon as there are so many of them.
async fn question(flow: &Flow, number: usize) -> (String, Value, Value) {
    let id = flow.incident().await;
    let asked = |view: &Value| events(view, "approval_asked").count();
    let view = flow.until(&id, "asked", |view| asked(view) >= number).await;
    let judged = events(&view, "approval_asked").last().unwrap()["judged"].clone();
    (id, view, judged)
}

/// So many saved plans are kept.
fn saved(flow: &Flow) -> usize {
    let beside = flow.stage.journal().parent().unwrap().join("terraform-plans");
    std::fs::read_dir(beside).map_or(0, |all| all.flatten().filter(|file| is_plan(&file.path())).count())
}

fn is_plan(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "tfplan")
}

#[tokio::test(flavor = "multi_thread")]
async fn real_drift_is_shown_to_a_person_and_the_very_plan_that_they_saw_is_applied() {
    let Some(ground) = Ground::new() else { return };
    ground.publish("ami-2");
    let flow = ground.alerted(str::to_owned).await;
    let (id, view, judged) = question(&flow, 1).await;
    let plan = plans(&view)[0].clone();
    assert_eq!(
        plan["says"], "apply a plan of terraform in nodes: 1 to update, 1 output to change",
        "{plan:#}"
    );
    let touches: Vec<_> =
        plan["touches"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(
        touches[..3],
        [
            "update terraform_data.node (input, output)",
            "update the output current_node_ami_id",
            "current_node_ami_id is ami-1 now"
        ]
    );
    flow.told_that("update terraform_data.node").await;
    assert!(ground.state().contains("ami-1") && !ground.state().contains("ami-2"), "nothing is done unasked");
    flow.approve(&id, &judged).await;
    let view = flow.until(&id, "completed", |view| has(view, "effect_completed")).await;
    let completed = events(&view, "effect_completed").last().unwrap()["saw"].as_str().unwrap();
    assert!(completed.ends_with("current_node_ami_id was ami-1 and is ami-2"), "{completed}");
    let all = plans(&view);
    assert!(all.iter().all(|other| other["saved"]["sha256"] == plan["saved"]["sha256"]), "{view:#}");
    assert!(ground.state().contains("ami-2"));
    flow.world().relieve_pool("chat-api");
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert_eq!((events(&view, "effect_intended").count(), saved(&flow)), (1, 0));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_plans_that_the_step_does_not_allow_are_shown_and_never_applied() {
    let Some(ground) = Ground::new() else { return };
    // One resource is gone from the description: terraform would delete it.
    ground.publish("ami-2");
    ground.write(&MAIN.replace("resource \"terraform_data\" \"other\" {\n  input = \"1\"\n}\n", ""));
    let before = ground.state();
    let flow =
        ground.alerted(|text| text.replace("terraform: {allow", "mode: act\n    terraform: {allow")).await;
    let view = flow.end().await;
    assert_eq!((outcome(&view), refusing(&view)), ("blocked", vec!["circumstances".to_owned()]), "{view:#}");
    let refusal = events(&view, "refused").last().unwrap()["refusals"][0]["saw"].as_str().unwrap();
    assert!(refusal.contains("terraform_data.other would be deleted"), "{refusal}");
    assert!(!has(&view, "effect_intended"));
    assert_eq!((ground.state(), saved(&flow)), (before, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn real_state_that_changes_while_a_person_reads_is_planned_and_asked_anew() {
    let Some(ground) = Ground::new() else { return };
    ground.publish("ami-2");
    let flow = ground.alerted(str::to_owned).await;
    let (id, _, judged) = question(&flow, 1).await;
    // A colleague was faster with something else, and then the description went on.
    ground.apply();
    ground.publish("ami-3");
    let before = ground.state();
    flow.approve(&id, &judged).await;
    let (_, view, anew) = question(&flow, 2).await;
    assert_ne!(judged, anew, "{view:#}");
    assert!(!has(&view, "effect_intended"), "{view:#}");
    assert_eq!(ground.state(), before);
    flow.approve(&id, &anew).await;
    flow.until(&id, "completed", |view| has(view, "effect_completed")).await;
    assert!(ground.state().contains("ami-3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn real_directories_without_drift_and_configurations_without_terraform_leave_the_step_out() {
    let Some(ground) = Ground::new() else { return };
    let before = ground.state();
    let flow = ground.alerted(str::to_owned).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "not_recovered", "{view:#}");
    let skipped = events(&view, "step_skipped").last().unwrap();
    assert_eq!(skipped["why"], "terraform finds nothing to change in nodes");
    assert_eq!((ground.state(), saved(&flow)), (before, 0));
}

/// terraform is interrupted with the daemon, and nobody takes it for done, or does it again.
#[tokio::test(flavor = "multi_thread")]
async fn real_applies_that_the_daemon_is_killed_in_are_looked_at_and_not_repeated() {
    let Some(ground) = Ground::new() else { return };
    let begun = ground.folder.path().join("begun");
    let fresh = format!(
        "resource \"terraform_data\" \"fresh\" {{\n  input = \"2\"\n  provisioner \"local-exec\" {{\n    command = \"echo x >> {}; sleep 3\"\n  }}\n}}\n",
        begun.display()
    );
    ground.write(&format!("{MAIN}{fresh}"));
    let mut flow =
        ground.alerted(|text| text.replace("[terraform_data.node]", "[terraform_data.fresh]")).await;
    let (id, _, judged) = question(&flow, 1).await;
    flow.approve(&id, &judged).await;
    until_there(&begun, LIMIT).await;
    flow.stage.kill().await.unwrap();
    flow.stage.start().await.unwrap();
    let known = |view: &Value| has(view, "effect_completed") || !view["summary"]["closed_at"].is_null();
    let view = flow.until(&id, "known", known).await;
    assert!(has(&view, "effect_observed"), "{view:#}");
    assert_eq!(std::fs::read_to_string(&begun).unwrap().lines().count(), 1, "{view:#}");
    // What is said of it is so.
    assert_eq!(has(&view, "effect_completed"), ground.state().contains("fresh"), "{view:#}");
}

/// A node group whose replacement takes until the file is there.
fn roll(done: &Path) -> String {
    format!(
        "{MAIN}resource \"terraform_data\" \"group\" {{\n  input = \"new\"\n  provisioner \"local-exec\" {{\n    command = \"touch {0}.begun; while [ ! -e {0} ]; do sleep 0.1; done\"\n  }}\n}}\n",
        done.display()
    )
}

/// A minute is ten seconds at the pace of these tests.
fn watching(text: &str, patience: &str) -> String {
    let allow =
        format!("mode: act\n    terraform: {{nodes_stall_after: {patience}, allow: [terraform_data.group]");
    text.replace("terraform: {allow: [terraform_data.node]", &allow)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_replacements_of_nodes_that_stall_are_stopped_with_what_stands_in_the_way() {
    let Some(ground) = Ground::new() else { return };
    let done = ground.folder.path().join("done");
    ground.write(&roll(&done));
    let flow = ground.alerted(|text| watching(text, "30s")).await;
    let world = flow.world();
    world.put_disruption_budget("chat-api", 0);
    let node = world.pods("chat-api")[0].node.clone().unwrap();
    assert!(world.edit_node(&node, |object| object["spec"]["unschedulable"] = json!(true)));
    let view = flow.end().await;
    let answered = events(&view, "effect_answered").next().unwrap();
    let message = answered["result"]["unclear"]["message"].as_str().unwrap();
    for part in [
        "the replacement has stalled, and terraform was interrupted: no node and no pod of samosachaat-prod has moved for 5 s",
        &format!("node/{node} is cordoned, and pod/"),
        "the disruption budget",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_ne!(outcome(&view), "recovered", "{view:#}");
    assert_eq!(events(&view, "effect_intended").count(), 1);
    assert!(!has(&view, "effect_completed"), "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_replacements_of_nodes_that_go_on_are_left_to_end() {
    let Some(ground) = Ground::new() else { return };
    let done = ground.folder.path().join("done");
    ground.write(&roll(&done));
    let flow = ground.alerted(|text| watching(text, "1m")).await;
    let (world, begun) = (flow.world(), done.with_extension("begun"));
    let node = world.pods("chat-api")[0].node.clone().unwrap();
    until_there(&begun, LIMIT).await;
    // For longer than it may stand still something moves now and then.
    for number in 0..13 {
        assert!(world.edit_node(&node, |object| object["spec"]["unschedulable"] = json!(number % 2 == 0)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    std::fs::write(&done, "").unwrap();
    let (_, view) = flow.event("effect_completed").await;
    assert_eq!(events(&view, "effect_answered").next().unwrap()["result"], "applied", "{view:#}");
}

/// The shipped runbook for the nodes of these tests.
async fn rotation(ground: &Ground) -> Flow {
    let root = ground.root();
    Flow::with(|setting| {
        setting.time_scale = 6;
        let rule = setting.rules.iter().find(|(name, _)| name == "node-rotation.yaml").unwrap();
        let text =
            rule.1.replace("[aws_eks_node_group.main, aws_launch_template.nodes]", "[terraform_data.node]");
        assert_ne!(text, rule.1);
        setting.rules = vec![("node-rotation.yaml".to_owned(), text)];
        setting.more = format!(
            "terraform: {{root: \"{}\", directories: {{eks: nodes}}, binary: \"{}\"}}",
            root.display(),
            ground.program.display()
        );
    })
    .await
}

async fn run_by_hand(flow: &Flow) -> String {
    let run = json!({"runbook": "node-rotation", "labels": {}, "by": "ana", "reason": "a new AMI", "key": "a-rotation"});
    flow.post("/runs", run).await["incident"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_rotations_of_nodes_are_begun_by_hand_asked_about_and_told_with_both_images() {
    let Some(ground) = Ground::new() else { return };
    ground.publish("ami-2");
    let flow = rotation(&ground).await;
    let id = run_by_hand(&flow).await;
    let (_, view, judged) = question(&flow, 1).await;
    assert!(has(&view, "confirmed"), "{view:#}");
    assert!(!ground.state().contains("ami-2"));
    flow.approve(&id, &judged).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let completed = events(&view, "effect_completed").last().unwrap()["saw"].as_str().unwrap();
    assert!(completed.ends_with("current_node_ami_id was ami-1 and is ami-2"), "{completed}");
    assert!(ground.state().contains("ami-2"));
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_rotations_without_a_new_image_or_with_trouble_there_do_nothing() {
    let Some(ground) = Ground::new() else { return };
    let before = ground.state();
    let flow = rotation(&ground).await;
    let id = run_by_hand(&flow).await;
    let view = flow.end_of(&id).await;
    assert_eq!(
        (outcome(&view), &view["why"]),
        ("self_healed", &json!("no step had anything to do")),
        "{view:#}"
    );

    ground.publish("ami-2");
    let flow = rotation(&ground).await;
    let world = flow.world();
    world.put_disruption_budget("chat-api", 0);
    let id = run_by_hand(&flow).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "not_confirmed", "{view:#}");
    assert!(!has(&view, "planned"), "{view:#}");
    assert_eq!(ground.state(), before);
}
