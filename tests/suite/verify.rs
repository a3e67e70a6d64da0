//! `runbookd verify` in front of the sandbox: the exit code and the table for people, the document for machines, and the same as a runbook's probe.

use std::collections::BTreeMap;
use std::path::Path;

use runbookd::chaos::stage::{Setting, Stage};
use runbookd::runbook::load::{load, read_one};
use runbookd::sandbox::{CertificateFault, NodeFault, System, Trouble};
use serde_json::Value;
use tokio::process::Command;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(150);

struct Set {
    stage: Stage,
    _folder: tempfile::TempDir,
}

impl Set {
    /// A sandbox and a configuration; no daemon runs.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_runbookd"));
        let mut setting = Setting::acting(program, folder.path(), 40);
        let text = include_str!("../../rules/verify.yaml");
        setting.rules.push(("verify.yaml".to_owned(), text.to_owned()));
        Self { stage: Stage::new(setting).await.unwrap(), _folder: folder }
    }

    async fn verify(&self, more: &[&str]) -> (Option<i32>, String, String) {
        #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
        command.arg("verify").arg("--config").arg(self.stage.config()).args(more).env("NO_COLOR", "1");
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_is_said_in_a_table_and_with_exit_code_0() {
    let set = Set::new().await;
    set.stage.world().put_disruption_budget("chat-api", 1);
    let (code, text, wrong) = set.verify(&[]).await;
    let text = undated(&text);
    insta::assert_snapshot!(text, @r"
    CHECK               ANSWER  SAW
    nodes               ok      0 of 3 nodes not Ready; at most 0
    pods                ok      0 of 7 pods not ready or crash-looping; at most 0
    stuck_pods          ok      0 of 7 pods stuck; at most 0
    rollouts            ok      0 of 4 rollouts incomplete; at most 0
    disruption_budgets  ok      0 of 1 disruption budget have too few healthy pods; at most 0
    autoscalers         ok      0 of 0 autoscalers not able to scale; at most 0
    frontend_answers    ok      HTTP 200; at least 1
    auth_answers        ok      HTTP 200; at least 1
    chat_api_answers    ok      HTTP 200; at least 1
    inference_answers   ok      HTTP 200; at least 1
    certificate         ok      valid until DATE, for DAYS; at least 14d

    services: well (11 checks)
    ");
    assert_eq!((code, wrong.as_str()), (Some(0), ""));
    assert!(set.stage.world().writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_named_and_is_exit_code_1_and_what_can_not_be_asked_is_3() {
    let set = Set::new().await;
    let world = set.stage.world();
    let node = world.pods("chat-api").remove(0).node.unwrap();
    assert!(world.end_machine(&node, NodeFault { removed: false, collected: false, replaced: false }));
    assert!(world.until(LIMIT, |world| world.nodes().iter().any(|(_, is_ready)| !is_ready)).await);
    let (code, text, _) = set.verify(&[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nodes               fails"), "{text}");
    assert!(text.contains(&format!("  nodes: {node}: Ready=Unknown since ")), "{text}");
    assert!(text.lines().last().unwrap().starts_with("services: not well: "), "{text}");
    let (code, document, _) = set.verify(&["-o", "json"]).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((code, &document["well"]), (Some(1), &Value::Bool(false)));
    assert_eq!(document["checks"][0]["verdict"], "fails");

    world.disturb(System::Kubernetes, Some(Trouble::Down));
    let (code, text, _) = set.verify(&[]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.lines().last().unwrap().contains("nobody can say: 6 could not be answered"), "{text}");
    let (_, document, _) = set.verify(&["-o", "json"]).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["well"], Value::Null);

    let (code, _, wrong) = set.verify(&["shop"]).await;
    assert_eq!(code, Some(1));
    assert_eq!(wrong, "runbookd: there is no verification \"shop\"; there are: services\n");
}

/// The certificates of the sandbox are dated by the real clock.
fn undated(text: &str) -> String {
    let dates = regex::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC").unwrap();
    let days = regex::Regex::new(r"\b\d+d( \d+h)?([,; ]| left| ago)").unwrap();
    let text = dates.replace_all(text, "DATE");
    let lines = text.lines().map(|line| match line.split_once("; at least") {
        Some((saw, threshold)) => format!(
            "{}; at least{threshold}",
            days.replace_all(&format!("{saw};"), "DAYS$2").trim_end_matches(';')
        ),
        None => days.replace_all(line, "DAYS$2").into_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_fails_with_all_that_is_to_be_known_of_it() {
    let set = Set::new().await;
    let world = set.stage.world();
    let day = std::time::Duration::from_hours(24);
    assert!(world.present_certificate(Some(CertificateFault::Expiring { left: 10 * day })));
    let (code, text, _) = set.verify(&[]).await;
    let told: Vec<String> = undated(&text)
        .lines()
        .filter(|line| line.contains("certificate") || line.contains("services:"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    certificate         fails   valid until DATE, for DAYS; at least 14d
      certificate: subject: CN=samosachaat.art,O=Sandbox
      certificate: issuer: CN=Sandbox CA 1,O=Sandbox
      certificate: valid: from DATE until DATE, DAYS left
      certificate: names: samosachaat.art, *.samosachaat.art
      certificate: spoke: TLS 1.3
    services: not well: 1 failed (11 checks)
    ");
    assert_eq!(code, Some(1));
    // Renewed.
    assert!(world.present_certificate(None));
    assert_eq!(set.verify(&[]).await.0, Some(0));
    for (fault, why) in [
        (CertificateFault::Expired { ago: 2 * day }, "not accepted: it expired 2d"),
        (
            CertificateFault::OtherName,
            "not accepted: it is not for samosachaat.art, but for parked.example, *.parked.example",
        ),
    ] {
        assert!(world.present_certificate(Some(fault)));
        let (code, text, _) = set.verify(&[]).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_shows_no_certificate_is_exit_code_3_and_so_is_one_that_nobody_allowed() {
    let set = Set::new().await;
    let world = set.stage.world();
    world.disturb(System::Front, Some(Trouble::Down));
    let (code, text, _) = set.verify(&[]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("certificate         unknown  ask 127.0.0.1:"), "{text}");
    assert!(text.contains("the connection broke off in the TLS handshake"), "{text}");
    world.disturb(System::Front, None);
    let config = std::fs::read_to_string(set.stage.config()).unwrap();
    std::fs::write(
        set.stage.config(),
        config.replace(&format!(", \"{}\"]", set.stage.sandbox.front_address()), "]"),
    )
    .unwrap();
    let (code, text, _) = set.verify(&[]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("so nothing was asked"), "{text}");
    // Whom only the sandbox's own authority vouches for nobody else believes.
    std::fs::write(set.stage.config(), config.replace(", ca_file: ca.pem", "")).unwrap();
    let (code, text, _) = set.verify(&[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(
            "not accepted: its chain ends in an issuer that is not trusted: CN=Sandbox Root CA,O=Sandbox"
        ),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_probe_sends_nothing_to_whom_nobody_vouches_for() {
    let set = Set::new().await;
    let rules = set.stage.config().with_file_name("rules");
    let text = "apiVersion: runbookd.dev/v1\nkind: Verification\nname: front\nsummary: s\n\
        checks: {answers: {http: \"https://${vars.public_address}/api/health\", at_least: 1}}\n";
    std::fs::write(rules.join("front.yaml"), text).unwrap();
    // The certificate is for the name, and this asks for the address.
    let (code, text, _) = set.verify(&["front"]).await;
    assert_eq!(code, Some(3), "{text}");
    let asked = set.stage.world().requests().iter().filter(|request| request.system == System::Front).count();
    assert_eq!(asked, 0);
}

const ASKS: &str = "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: asks\nsummary: s\nalerts: ['alertname=\"A\"']\n\
    confirm: {down: {verification: services, at_least: 1}}\ntargets: {deployment: web, namespace: shop}\n\
    steps: [{remediate: r, restart: {}, verify: {within: 5m, hold: 1m, all: [{probe: down, at_most: 0}]}}]\n";

/// An open incident keeps the checks that it began with.
#[test]
fn a_runbook_keeps_the_verification_that_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("asks.yaml", ASKS);
    let of = |name: &str| (name.to_owned(), format!("{}.shop.svc:80", name.replace('_', "-")));
    let mut vars: BTreeMap<String, String> =
        ["frontend_address", "auth_address", "chat_api_address", "inference_address", "public_address"]
            .map(of)
            .into();
    vars.insert("public_host".to_owned(), "shop.example".to_owned());
    vars.insert("namespace".to_owned(), "shop".to_owned());
    let wrong = load(&[folder.path().to_owned()], Some(&vars), 1).unwrap_err().to_string();
    assert!(
        wrong.contains("there is no verification \"services\" here; expected the name of one"),
        "{wrong}"
    );
    file("verify.yaml", include_str!("../../rules/verify.yaml"));
    let loaded = load(&[folder.path().to_owned()], Some(&vars), 1).unwrap();
    let [runbook] = loaded.runbooks.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(runbook.vars, vars, "what the checks name is kept, too");
    let again = read_one(&runbook.source).unwrap();
    assert_eq!(format!("{again:?}"), format!("{runbook:?}"));
    // Other checks are another version.
    file("verify.yaml", &include_str!("../../rules/verify.yaml").replace("at_most: 0}", "at_most: 1}"));
    let other = load(&[folder.path().to_owned()], Some(&vars), 1).unwrap();
    assert_ne!(other.runbooks[0].hash, runbook.hash);
}
