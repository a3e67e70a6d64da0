//! The terraform client against real terraform, with its built-in `terraform_data`, which needs no provider. Where it is not installed, the tests say so and end, and
//! `RUNBOOKD_REAL=require` makes that a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use runbookd::clients::terraform::{
    Applied, Made, Observed, Pattern, Planned, Policy, Settings, Terraform, Variable,
};
use runbookd::clients::{Reason, Secret};
use runbookd::runbook::secrecy;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Notify;

use super::real_alertmanager::real;

/// Stands in every sensitive value of these tests, and nowhere else.
const MARKER: &str = "hunter2";
const LONG: Duration = Duration::from_secs(150);

/// A time until which whatever is to be begun here has begun.
fn later() -> jiff::Timestamp {
    runbookd::clock::after(runbookd::clock::now(), LONG)
}

/// A state whose only output is this id.
pub(crate) fn published(serial: u32, id: &str) -> String {
    format!(
        r#"{{"version": 4, "terraform_version": "1.11.4", "serial": {serial}, "lineage": "p", "outputs": {{"id": {{"value": "{id}", "type": "string"}}}}, "resources": []}}"#
    )
}

/// Waits for a file that something else writes.
pub(crate) async fn until_there(file: &Path, limit: Duration) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < limit, "{} is not written", file.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A root with one directory `dns`, and terraform for it.
struct Stage {
    folder: TempDir,
    program: PathBuf,
}

impl Stage {
    fn new(main: &str) -> Option<Self> {
        let program = real("terraform")?;
        let stage = Self { folder: tempfile::tempdir().unwrap(), program };
        std::fs::create_dir_all(stage.directory()).unwrap();
        stage.write("main.tf", main);
        Some(stage)
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("root/modules/dns")
    }

    fn plans(&self) -> PathBuf {
        self.folder.path().join("plans")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory().join(name), text).unwrap();
    }

    fn settings(&self) -> Settings {
        #[expect(clippy::disallowed_methods, reason = "what terraform and its provisioners need")]
        let path = std::env::var("PATH").unwrap();
        let variable = |name: &str, value: &str, hide| Variable {
            name: name.to_owned(),
            value: Secret::new(value),
            hide,
        };
        Settings {
            binary: self.program.clone(),
            root: self.folder.path().join("root"),
            directories: BTreeMap::from([("dns".to_owned(), PathBuf::from("modules/dns"))]),
            plans: self.plans(),
            environment: vec![
                variable("PATH", &path, false),
                variable("TF_VAR_token", &format!("{MARKER}-of-the-environment"), true),
                variable("TF_LOG", "trace", false),
            ],
            plan_within: LONG,
            apply_within: LONG,
            grace: LONG,
            lock_timeout: Duration::from_secs(1),
            shown: secrecy::shown,
        }
    }

    fn terraform(&self) -> Terraform {
        Terraform::new(self.settings())
    }

    /// What others publish, which a `data.terraform_remote_state` reads.
    fn publish(&self, serial: u32, id: &str) {
        std::fs::write(self.directory().join("../published.tfstate"), published(serial, id)).unwrap();
    }

    async fn until_written(&self, name: &str) {
        until_there(&self.directory().join(name), LONG).await;
    }

    fn saved(&self) -> usize {
        std::fs::read_dir(self.plans()).map_or(0, Iterator::count)
    }

    /// The processes of the group that a provisioner wrote into the file `group`, without zombies.
    fn alive(&self) -> Vec<String> {
        let group = std::fs::read_to_string(self.directory().join("group")).unwrap().trim().to_owned();
        let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
        let of_group = |stat: &String| {
            let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            fields.get(2) == Some(&group.as_str()) && fields[0] != "Z"
        };
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(stat).filter(of_group).collect()
    }
}

#[track_caller]
fn plan(made: Made) -> Planned {
    let shown = format!("{made:?}");
    assert!(!shown.contains(MARKER), "{shown}");
    match made {
        Made::Plan(planned) => *planned,
        Made::NoChanges => panic!("there is nothing to change"),
    }
}

async fn applied(terraform: &Terraform, planned: &Planned) -> Applied {
    let applied = terraform.apply(planned, later(), &Notify::new()).await;
    let shown = format!("{applied:?} {}", applied.says());
    assert!(!shown.contains(MARKER), "{shown}");
    applied
}

fn policy(allowed: &[&str]) -> Policy {
    Policy { allowed: allowed.iter().map(|text| Pattern::parse(text).unwrap()).collect(), at_most: 1 }
}

const DRIFT: &str = r#"
data "terraform_remote_state" "published" {
  backend = "local"
  config  = { path = "${path.module}/../published.tfstate" }
}
resource "terraform_data" "node" {
  input = data.terraform_remote_state.published.outputs.id
}
output "current_node_ami_id" {
  value = terraform_data.node.output
}
output "secret" {
  value     = "hunter2-of-an-output"
  sensitive = true
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_drift_is_planned_judged_applied_once_and_then_gone() {
    let Some(stage) = Stage::new(DRIFT) else { return };
    stage.publish(1, "ami-1");
    let terraform = stage.terraform();
    let first = plan(terraform.plan("dns").await.unwrap());
    assert_eq!(first.changes[0].says(), "create terraform_data.node");
    let done = Applied::Done { added: 1, changed: 0, removed: 0 };
    assert_eq!(applied(&terraform, &first).await, done);
    assert_eq!(terraform.plan("dns").await.unwrap(), Made::NoChanges);
    assert_eq!(terraform.output("dns", "current_node_ami_id").await.unwrap(), "ami-1");

    stage.publish(2, "ami-2");
    let drift = plan(terraform.plan("dns").await.unwrap());
    assert_eq!(drift.says(), "1 to update, 1 output to change");
    assert_eq!(drift.changes[0].says(), "update terraform_data.node (input, output)");
    assert!(policy(&["terraform_data.node"]).breaches(&drift).is_empty());
    assert_eq!(
        policy(&["terraform_data.other"]).breaches(&drift),
        ["terraform_data.node is none of the addresses that may be changed"]
    );
    assert!(matches!(terraform.observe(&drift).await, Observed::NotDone(_)), "it was not begun");
    // The plan can be read again, by another process, too.
    let text = serde_json::to_string(&drift).unwrap();
    let again: Planned = serde_json::from_str(&text).unwrap();
    assert_eq!(applied(&stage.terraform(), &again).await.says(), "0 added, 1 changed, 0 removed");
    assert_eq!(terraform.observe(&drift).await, Observed::Done);
    assert_eq!(terraform.output("dns", "current_node_ami_id").await.unwrap(), "ami-2");
    let twice = applied(&terraform, &drift).await;
    assert!(matches!(&twice, Applied::NotBegun(error) if error.reason == Reason::NotFound), "{twice:?}");

    let secret = terraform.output("dns", "secret").await.unwrap_err();
    assert_eq!(secret.reason, Reason::Denied);
    assert!(!format!("{secret:?} {secret}").contains(MARKER));
    assert_eq!(terraform.output("dns", "no").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(stage.saved(), 0, "no plan is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_errors_is_never_used_although_terraform_saves_it() {
    let main = r#"
resource "terraform_data" "fine" { input = "1" }
resource "terraform_data" "bad" {
  lifecycle {
    precondition {
      condition     = terraform_data.fine.input == "2"
      error_message = "it is hunter2"
    }
  }
}
"#;
    let Some(stage) = Stage::new(main) else { return };
    let error = stage.terraform().plan("dns").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "plan the terraform directory dns: server_error (Resource precondition failed: main.tf line 6)"
    );
    assert_eq!(stage.saved(), 0);
    // It is true that terraform saves one.
    let saved = run(&stage, &["plan", "-input=false", "-out=saved"]).await;
    assert!(!saved && stage.directory().join("saved").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_ready_says_what_to_do() {
    let Some(stage) = Stage::new("terraform {\n  backend \"local\" {\n  }\n}\n") else { return };
    let error = stage.terraform().plan("dns").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "plan the terraform directory dns: client_error (the directory is not initialised: run `terraform init` where it is made ready \
         (Backend initialization required, please run \"terraform init\"))"
    );
    let other = Terraform::new(Settings { binary: "/nowhere/terraform".into(), ..stage.settings() });
    let error = other.plan("dns").await.unwrap_err();
    assert_eq!(error.reason, Reason::ClientError);
    assert!(error.message.starts_with("/nowhere/terraform can not be started: "), "{error}");
    stage.write(
        "main.tf",
        "variable \"must\" {\n}\nresource \"terraform_data\" \"a\" {\n  input = var.must\n}\n",
    );
    let error = stage.terraform().plan("dns").await.unwrap_err();
    assert_eq!(error.message, "No value for required variable: main.tf line 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_replace_and_forget_are_seen_in_a_real_plan() {
    let resources = |list: &[&str]| {
        list.iter()
            .map(|name| {
                format!("resource \"terraform_data\" \"{name}\" {{\n  triggers_replace = \"1\"\n}}\n")
            })
            .collect::<String>()
    };
    let Some(stage) = Stage::new(&resources(&["gone", "new", "left", "moved"])) else { return };
    let terraform = stage.terraform();
    let first = plan(terraform.plan("dns").await.unwrap());
    assert_eq!(applied(&terraform, &first).await.says(), "4 added, 0 changed, 0 removed");
    let main = r#"
resource "terraform_data" "new" {
  triggers_replace = "2"
}
resource "terraform_data" "now" {
  triggers_replace = "1"
}
moved {
  from = terraform_data.moved
  to   = terraform_data.now
}
removed {
  from = terraform_data.left
  lifecycle {
    destroy = false
  }
}
"#;
    stage.write("main.tf", main);
    let planned = plan(terraform.plan("dns").await.unwrap());
    let names = ["gone", "new", "left", "now"].map(|name| format!("terraform_data.{name}"));
    let policy = Policy { at_most: 9, ..policy(&names.each_ref().map(String::as_str)) };
    assert_eq!(
        policy.breaches(&planned),
        [
            "terraform_data.gone would be deleted",
            "terraform_data.left would be forgotten",
            "terraform_data.new would be replaced",
            "terraform_data.now would be moved in the state, from terraform_data.moved",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_plan_that_was_approved_is_applied_and_only_to_its_state() {
    let Some(stage) = Stage::new("resource \"terraform_data\" \"a\" {\n  input = \"1\"\n}\n") else { return };
    let terraform = stage.terraform();
    let one = plan(terraform.plan("dns").await.unwrap());
    // Of the same configuration it would be the same file, when both were made within a second.
    stage.write("more.tf", "# another file\n");
    let two = plan(terraform.plan("dns").await.unwrap());
    stage.write("main.tf", "resource \"terraform_data\" \"b\" {\n  input = \"1\"\n}\n");
    let other = plan(terraform.plan("dns").await.unwrap());
    // Somebody puts another plan in its place.
    let file = |planned: &Planned| stage.plans().join(format!("{}.tfplan", planned.sha256));
    let kept = std::fs::read(file(&one)).unwrap();
    std::fs::copy(file(&other), file(&one)).unwrap();
    let swapped = applied(&terraform, &one).await;
    assert!(swapped.says().contains("no longer the one that was made"), "{swapped:?}");
    std::fs::write(file(&one), kept).unwrap();
    let lied = Planned { changes: other.changes.clone(), ..one.clone() };
    assert!(applied(&terraform, &lied).await.says().contains("not what was approved"));
    assert!(!stage.directory().join("terraform.tfstate").exists(), "nothing was applied");

    assert_eq!(applied(&terraform, &one).await.says(), "1 added, 0 changed, 0 removed");
    assert_eq!(applied(&terraform, &two).await, Applied::Stale);
    assert!(Applied::Stale.surely_without_effect());
    terraform.discard(&other);
    assert_eq!(stage.saved(), 0);
}

const HOLDS: &str = r#"
resource "terraform_data" "a" {
  input = "1"
  provisioner "local-exec" {
    command = "echo x > running; while [ ! -e go ]; do sleep 0.05; done"
  }
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_stops_everything_and_costs_the_plan_nothing() {
    let Some(stage) = Stage::new("resource \"terraform_data\" \"first\" {\n}\n") else { return };
    let terraform = stage.terraform();
    let planned = plan(terraform.plan("dns").await.unwrap());
    stage.write("main.tf", HOLDS);
    #[expect(clippy::disallowed_methods, reason = "somebody else's terraform")]
    let mut other = Command::new(&stage.program)
        .args(["apply", "-auto-approve", "-input=false"])
        .current_dir(stage.directory())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    stage.until_written("running").await;
    let error = terraform.plan("dns").await.unwrap_err();
    assert_eq!(error.reason, Reason::Conflict);
    assert!(
        error.message.starts_with("the state is locked by ") && error.message.contains(" (apply) since 20"),
        "{error}"
    );
    let locked = applied(&terraform, &planned).await;
    assert!(matches!(locked, Applied::Locked(_)) && locked.surely_without_effect(), "{locked:?}");
    let begun = Planned { sha256: "0".repeat(64), ..planned.clone() };
    assert!(matches!(terraform.observe(&begun).await, Observed::Locked(_)));
    stage.write("go", "");
    assert!(other.wait().await.unwrap().success());
    // The plan is still there, and the state no longer the one that it was made from.
    assert_eq!(applied(&terraform, &planned).await, Applied::Stale);
}

/// The second resource fails, or hangs, after the first one is done.
fn two(command: &str) -> String {
    format!(
        r#"
variable "token" {{
  sensitive = true
}}
resource "terraform_data" "one" {{
  input = var.token
}}
resource "terraform_data" "two" {{
  input      = "1"
  depends_on = [terraform_data.one]
  provisioner "local-exec" {{
    command = "{command}"
  }}
}}
output "token" {{
  value     = var.token
  sensitive = true
}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_the_way_is_in_part_done_and_shows_no_secret() {
    let Some(stage) = Stage::new(&two("echo ${var.token} $TF_VAR_token $TF_LOG.; exit 3")) else { return };
    let terraform = stage.terraform();
    let planned = plan(terraform.plan("dns").await.unwrap());
    let partial = applied(&terraform, &planned).await;
    assert_eq!(
        partial,
        Applied::Partial {
            done: vec!["terraform_data.one".to_owned()],
            open: vec!["terraform_data.two".to_owned()],
            errors: "local-exec provisioner error: terraform_data.two".to_owned(),
        }
    );
    assert!(!partial.surely_without_effect());
    let observed = terraform.observe(&planned).await;
    assert!(!matches!(observed, Observed::Done | Observed::NotDone(_)), "{observed:?}");
    assert_eq!(stage.saved(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_its_limit_it_is_interrupted_in_order_and_nobody_of_its_group_lives() {
    let command = "cut -d' ' -f5 /proc/self/stat > group; sleep 600 & sleep 600";
    let Some(stage) = Stage::new(&two(command)) else { return };
    let terraform = Terraform::new(Settings { apply_within: Duration::from_secs(2), ..stage.settings() });
    let planned = plan(terraform.plan("dns").await.unwrap());
    let Applied::Interrupted { done, open, killed, why } = applied(&terraform, &planned).await else {
        panic!()
    };
    assert_eq!((done, open), (vec!["terraform_data.one".to_owned()], vec!["terraform_data.two".to_owned()]));
    assert_eq!((killed, why.as_str()), (false, "it took longer than 2 s"));
    assert_eq!(stage.alive(), Vec::<String>::new());
    // The lock is free, and what was done is known.
    let left = plan(terraform.plan("dns").await.unwrap());
    assert!(left.changes.iter().all(|change| change.address == "terraform_data.two"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_leaves_no_terraform_behind_and_what_was_begun_is_not_taken_for_not_done() {
    let command = "cut -d' ' -f5 /proc/self/stat > group; echo x > running; sleep 600";
    let Some(stage) = Stage::new(&two(command)) else { return };
    let terraform = stage.terraform();
    let planned = plan(terraform.plan("dns").await.unwrap());
    let applying = tokio::spawn({
        let (terraform, planned) = (terraform.clone(), planned.clone());
        async move { terraform.apply(&planned, later(), &Notify::new()).await }
    });
    stage.until_written("running").await;
    applying.abort();
    // Waits until the directory is free.
    let observed = terraform.observe(&planned).await;
    assert_eq!(stage.alive(), Vec::<String>::new());
    assert!(matches!(observed, Observed::Ambiguous(_) | Observed::Partly(_)), "{observed:?}");
    assert!(matches!(applied(&terraform, &planned).await, Applied::NotBegun(_)), "it is applied once");
    terraform.close().await;
    assert_eq!(terraform.plan("dns").await.unwrap_err().reason, Reason::Unreachable);
}

#[test]
fn a_daemon_that_ends_without_a_word_takes_no_terraform_with_it() {
    let command = "echo x > running; exec sleep 600";
    let Some(stage) = Stage::new(&two(command)) else { return };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (before, after) = (runtime(), runtime());
    let terraform = stage.terraform();
    let planned = before.block_on(async {
        let planned = plan(terraform.plan("dns").await.unwrap());
        let (terraform, planned_too) = (terraform.clone(), planned.clone());
        tokio::spawn(async move { terraform.apply(&planned_too, later(), &Notify::new()).await });
        stage.until_written("running").await;
        planned
    });
    // Nobody reads any more, and nobody waits.
    before.shutdown_background();
    after.block_on(async {
        let terraform = Terraform::new(Settings { lock_timeout: LONG, ..stage.settings() });
        // It waits for the lock: terraform writes its state and leaves in order.
        let left = plan(terraform.plan("dns").await.unwrap());
        assert!(left.changes.iter().all(|change| change.address == "terraform_data.two"), "{left:?}");
        let state = std::fs::read_to_string(stage.directory().join("terraform.tfstate")).unwrap();
        assert!(state.contains("tainted"), "what was begun is known");
        assert!(matches!(terraform.observe(&planned).await, Observed::Ambiguous(_) | Observed::Partly(_)));
    });
}

#[test]
fn what_terraform_did_after_the_daemon_was_gone_is_known() {
    let command = "echo x > running; while [ ! -e go ]; do sleep 0.05; done";
    let Some(stage) = Stage::new(&two(command)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let terraform = stage.terraform();
        let planned = plan(terraform.plan("dns").await.unwrap());
        // As an apply leaves it that lost its daemon: begun, and written by terraform alone.
        let file = |ending: &str| stage.plans().join(format!("{}.{ending}", planned.sha256));
        std::fs::rename(file("tfplan"), file("begun")).unwrap();
        let log = std::fs::File::create(file("log")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "what an earlier daemon started")]
        let mut orphan = Command::new(&stage.program)
            .args(["apply", "-json", "-input=false"])
            .arg(file("begun"))
            .current_dir(stage.directory())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        stage.until_written("running").await;
        assert!(matches!(terraform.observe(&planned).await, Observed::Locked(_)));
        stage.write("go", "");
        assert!(orphan.wait().await.unwrap().success());
        // Drift that came since says nothing of what was done.
        stage.write("main.tf", "resource \"terraform_data\" \"three\" {\n}\n");
        assert_eq!(terraform.observe(&planned).await, Observed::Done);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_prints_more_than_10_mb_is_not_held_up() {
    // Each line becomes an event of some 400 bytes.
    let command = "seq 1 30000";
    let Some(stage) = Stage::new(&two(command)) else { return };
    let terraform = stage.terraform();
    let planned = plan(terraform.plan("dns").await.unwrap());
    assert_eq!(applied(&terraform, &planned).await, Applied::Done { added: 2, changed: 0, removed: 0 });
}

/// Whether terraform, as a person would run it, succeeds.
async fn run(stage: &Stage, words: &[&str]) -> bool {
    #[expect(clippy::disallowed_methods, reason = "terraform by hand")]
    let status = Command::new(&stage.program)
        .args(words)
        .current_dir(Path::new(&stage.directory()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    status.unwrap().success()
}
