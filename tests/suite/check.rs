//! `runbookd check`: every fault of every file with its exact message, what is said when all is well, and hostile files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use runbookd::cli::check::Check;
use runbookd::cli::paint::Paint;
use runbookd::config::{Config, Purpose};
use runbookd::runbook::load::{Wants, load, load_with, read_one, read_text};
use runbookd::yaml::{Faults, parse};

const FOLDER: &str = "tests/data/bad/runbooks";
/// A shipped runbook, and what it attaches.
const SHIPPED: &str = concat!(
    include_str!("../../rules/database-pool.yaml"),
    "---\n",
    include_str!("../../rules/quick-reference.yaml")
);

fn vars() -> BTreeMap<String, String> {
    [("namespace", "samosachaat-prod"), ("oncall_channel", "#oncall"), ("database", "samosachaat-db")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Holds what `messages` says of each file in `folder` against the `.txt` beside it; with `UPDATE_EXPECTED=1` it is written there instead.
pub(crate) fn expect_messages(folder: &str, at_least: usize, messages: impl Fn(&Path) -> String) {
    #[expect(clippy::disallowed_methods, reason = "a person asks the test to write instead")]
    let update = std::env::var("UPDATE_EXPECTED").is_ok_and(|value| value == "1");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    assert!(files.len() >= at_least, "only {} files in {folder}", files.len());
    let mut different = Vec::new();
    for file in files {
        let found = format!("{}\n", messages(&file).replace(&format!("{folder}/"), ""));
        assert!(found.trim() != "", "nothing is said of {}", file.display());
        let expected = file.with_extension("txt");
        if update {
            std::fs::write(&expected, found).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != found {
            different.push(format!("{}\n{found}", expected.display()));
        }
    }
    assert!(different.is_empty(), "UPDATE_EXPECTED=1 accepts these:\n\n{}", different.join("\n"));
}

#[test]
fn every_fault_of_a_runbook_has_its_message() {
    expect_messages(FOLDER, 180, |path| match load(&[path.to_path_buf()], Some(&vars()), 1) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(faults) => faults.to_string(),
    });
}

#[test]
fn six_faults_are_six_messages() {
    let faults = load(&[PathBuf::from(FOLDER).join("six-faults.yaml")], Some(&vars()), 1).unwrap_err();
    assert!(faults.count() >= 6, "{faults}");
    let lines: Vec<_> = faults.iter().map(|fault| fault.place.unwrap().line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

fn check(config: Option<&Path>, paths: &[&Path]) -> String {
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    Check { config: config.map(Path::to_path_buf), paths }.report(Paint::PLAIN).0
}

/// A folder with the files, and what `check` says of them; the folder's own name is taken out.
fn check_files(files: &[(&str, &str)], config: Option<&str>, paths: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let paths: Vec<PathBuf> = paths.iter().map(|path| folder.path().join(path)).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let config = config.map(|name| folder.path().join(name));
    check(config.as_deref(), &paths).replace(&format!("{}/", folder.path().display()), "")
}

const WEB: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: web
summary: Restart the web server.
mode: ask
alerts: ['alertname="Web"', 'severity=~"critical|page"']
continue: true
confirm:
  errors: {loki: '{app="web"} |= "error"', window: 5m, at_least: 5}
targets: {deployment: web}
steps:
  - diagnose: look for slow queries
    probes:
      slow: {loki: '{app="web"} |= "slow"', window: 10m, at_least: 1}
  - remediate: restart it
    restart: {}
    verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}
"#;

#[test]
fn what_only_a_person_begins_says_so() {
    let text =
        WEB.replace("alerts: ['alertname=\"Web\"', 'severity=~\"critical|page\"']\ncontinue", "on_demand");
    let said = check_files(&[("web.yaml", &text)], None, &["web.yaml"]);
    insta::assert_snapshot!(said, @"web.yaml: web (ask) is begun by hand only: diagnose, then restart");
}

#[test]
fn what_is_good_is_listed_and_what_nobody_knows_is_said_once() {
    insta::assert_snapshot!(check(None, &[Path::new("rules/database-pool.yaml"), Path::new("rules/quick-reference.yaml")]), @r#"
    rules/database-pool.yaml:13:12: warning: there is no runbook "node-failure" here; expected the name of one
    warning: without a configuration nobody knows whether these exist: ${vars.database}, ${vars.namespace}, ${vars.oncall_channel}
      hint: name the configuration with --config
    rules/database-pool.yaml: database-pool-exhaustion (act) answers alertname="High5xxRate": diagnose, then restart, then env for good, then diagnose
    all-errors can be attached to a diagnosis, and asks: all_errors
    trace can be attached to a diagnosis, and asks: trace
    auth-failures can be attached to a diagnosis, and asks: auth_failures
    inference-issues can be attached to a diagnosis, and asks: inference_issues
    slow-database-queries can be attached to a diagnosis, and asks: slow_database_queries
    recent-pod-restarts can be attached to a diagnosis, and asks: restarted, started_and_stopped
    "#);
    let files = [
        (
            "runbookd.yaml",
            "rules: [rules, extra.yaml]\nvars: {namespace: shop, oncall_channel: \"#oncall\", database: shop-db}\n\
             aws: {region: eu-central-1, credentials_file: credentials}\n\
             exec: {allow: [[cat, /proc/net/tcp], [cat, /proc/net/tcp6]]}\n",
        ),
        ("credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = b\n"),
        ("rules/database-pool.yaml", SHIPPED),
        ("rules/tests/not-a-runbook.yaml", "kind: Scenario\n"),
        ("rules/notes.txt", "no YAML"),
        ("extra.yaml", WEB),
    ];
    insta::assert_snapshot!(check_files(&files, Some("runbookd.yaml"), &[]), @r#"
    rules/database-pool.yaml:13:12: warning: there is no runbook "node-failure" here; expected the name of one
    rules/database-pool.yaml: database-pool-exhaustion (act) answers alertname="High5xxRate": diagnose, then restart, then env for good, then diagnose
    extra.yaml: web (ask) answers alertname="Web", severity=~"critical|page" and lets later runbooks answer, too: diagnose, then restart
    all-errors can be attached to a diagnosis, and asks: all_errors
    trace can be attached to a diagnosis, and asks: trace
    auth-failures can be attached to a diagnosis, and asks: auth_failures
    inference-issues can be attached to a diagnosis, and asks: inference_issues
    slow-database-queries can be attached to a diagnosis, and asks: slow_database_queries
    recent-pod-restarts can be attached to a diagnosis, and asks: restarted, started_and_stopped
    "#);
}

#[test]
fn what_asks_aws_without_a_configuration_for_it_or_for_no_certificate_is_a_fault() {
    let checks = "apiVersion: runbookd.dev/v1\nkind: Verification\nname: certificates\nsummary: All is well.\nchecks:\n  \
                  days: {acm: days_left, certificate: \"${vars.domain}\", at_least: 14d}\n  \
                  records: {route53: wrong_records, certificate: shop.example, at_most: 0}\n";
    let config = |more: &str| format!("vars: {{domain: \"https://shop.example\"}}\n{more}");
    let check = |more: &str| {
        let config = config(more);
        check_files(
            &[("runbookd.yaml", config.as_str()), ("rules/checks.yaml", checks)],
            Some("runbookd.yaml"),
            &[],
        )
    };
    insta::assert_snapshot!(check(""), @r"
    rules/checks.yaml:6:15: the probe asks AWS, and the configuration names none; expected `aws` in it
      hint: add `aws: {region: eu-central-1}` to the configuration
    rules/checks.yaml:7:22: the probe asks AWS, and the configuration names none; expected `aws` in it
      hint: add `aws: {region: eu-central-1}` to the configuration

    2 faults
    ");
    insta::assert_snapshot!(check("aws: {region: eu-central-1}\n"), @r#"
    rules/checks.yaml:6:15: the probe asks for the certificate "https://shop.example"; expected a domain such as shop.example, or the ARN of a certificate
      hint: `certificate: shop.example` means the one that is for that name

    1 fault
    "#);
}

/// What the shipped runbook wants is not there unless the configuration says so.
#[test]
fn programs_and_databases_that_the_configuration_does_not_name_are_faults() {
    let files = [
        (
            "runbookd.yaml",
            "vars: {namespace: shop, oncall_channel: \"#oncall\", database: shop-db}\nexec: {allow: [[cat, /proc/net/tcp]]}\n",
        ),
        ("rules/database-pool.yaml", SHIPPED),
    ];
    insta::assert_snapshot!(check_files(&files, Some("runbookd.yaml"), &[]), @r#"
    rules/database-pool.yaml:30:41: the probe runs [cat, /proc/net/tcp6] in containers, which the configuration does not allow; expected what it lists, word for word
      hint: add `exec: {allow: [[cat, /proc/net/tcp6]]}` to the configuration
    rules/database-pool.yaml:44:7: `within` asks RDS, and the configuration names none; expected `aws` in it
      hint: add `aws: {region: eu-central-1}` to the configuration
    rules/database-pool.yaml:59:41: the probe runs [cat, /proc/net/tcp6] in containers, which the configuration does not allow; expected what it lists, word for word
      hint: add `exec: {allow: [[cat, /proc/net/tcp6]]}` to the configuration
    rules/database-pool.yaml:13:12: warning: there is no runbook "node-failure" here; expected the name of one

    3 faults, 1 warning
    "#);
}

#[test]
fn it_is_said_how_long_what_is_changed_stays() {
    let verify = "verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}";
    let steps = [
        "scale: {add: 2, at_most: 6}\n    restore: {after: 2h}",
        "container: web\n    resources: {limits: {memory: 2Gi}}\n    restore: {when: recovered}",
        "env: {LEVEL: debug}\n    restore: never\n    make_it_last: logLevel in values.yaml",
    ];
    let steps = steps.map(|step| format!("  - remediate: help it\n    {step}\n    {verify}\n")).concat();
    insta::assert_snapshot!(check_files(&[("web.yaml", &format!("{WEB}{steps}"))], None, &["web.yaml"]), @r#"web.yaml: web (ask) answers alertname="Web", severity=~"critical|page" and lets later runbooks answer, too: diagnose, then restart, then scale for 2h, then resources until it has recovered, then env for good"#);
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let files = [
        ("runbookd.yaml", "ceiling: max\nvars: {port: 80}\n"),
        ("rules/a.yaml", WEB),
        ("rules/b.yml", WEB),
        ("rules/c.yaml", "kind: Scenario\napiVersion: runbookd.dev/v1\n"),
        ("rules/d.yaml", "{"),
    ];
    insta::assert_snapshot!(check_files(&files, Some("runbookd.yaml"), &[]), @r#"
    runbookd.yaml:1:10: `ceiling` is "max"; expected one of off, shadow, ask, act
    runbookd.yaml:2:14: `port` is the number 80; expected text
      hint: write it in quotes: "80"
    rules/b.yml:3:7: another runbook has the name "web" already, in rules/a.yaml:3:7; expected a name of its own
      hint: limits and incidents are counted by name
    rules/c.yaml:1:7: `kind` is "Scenario"; expected Runbook
    rules/d.yaml:1:1: not YAML: unclosed bracket '{'
      hint: look at the indentation and at quotes and brackets without an end, here and in the line above; text with `: `, ` #`, `{` or `[` needs quotes

    5 faults
    "#);
}

const ASKING: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: asking
summary: Restart the web server.
alerts: ['alertname="Web"']
confirm:
  literal: {http: "https://web.shop.svc/health/${labels.namespace}", at_least: 1}
  variable: {http: "http://${vars.auth}/health", at_least: 1}
  of_the_alert: {http: "http://web.${labels.namespace}.svc/health", at_least: 1}
  metrics: {prometheus: sum(up), at_least: 1}
  another: {alerts: firing, matching: ['alertname="Other"'], at_most: 0}
targets: {deployment: web}
steps:
  - diagnose: look again
    probes:
      again: {http: "http://web.shop.svc:8080/", at_most: 0}
  - remediate: restart it
    when:
      wanted: {http: "http://web.shop.svc:8081/", pointer: /wanted, at_least: 0.5}
    restart: {}
    verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}
"#;

#[test]
fn a_host_that_is_not_allowed_and_a_system_that_is_not_there_are_faults() {
    let files = |config| [("runbookd.yaml", config), ("rules/asking.yaml", ASKING)];
    let nothing = files("vars: {auth: 'auth.shop.svc:8001'}\n");
    insta::assert_snapshot!(check_files(&nothing, Some("runbookd.yaml"), &[]), @r#"
    rules/asking.yaml:7:19: the probe asks web.shop.svc:443, which the configuration does not allow; expected a host that it does
      hint: add `http: {allow: ["web.shop.svc:443"]}` to the configuration
    rules/asking.yaml:8:20: the probe asks auth.shop.svc:8001, which the configuration does not allow; expected a host that it does
      hint: add `http: {allow: ["auth.shop.svc:8001"]}` to the configuration
    rules/asking.yaml:10:25: the probe asks Prometheus, and the configuration names none; expected `prometheus` in it
      hint: add `prometheus: {url: http://prometheus:9090}` to the configuration
    rules/asking.yaml:11:21: the probe asks Alertmanager, and the configuration names none; expected `alertmanager` in it
      hint: add `alertmanager: {url: http://alertmanager:9093, receiver: runbookd}` to the configuration
    rules/asking.yaml:16:21: the probe asks web.shop.svc:8080, which the configuration does not allow; expected a host that it does
      hint: add `http: {allow: ["web.shop.svc:8080"]}` to the configuration
    rules/asking.yaml:19:22: the probe asks web.shop.svc:8081, which the configuration does not allow; expected a host that it does
      hint: add `http: {allow: ["web.shop.svc:8081"]}` to the configuration

    6 faults
    "#);
    let all = files(
        "vars: {auth: 'auth.shop.svc:8001'}\nprometheus: {url: 'http://prometheus:9090'}\n\
         alertmanager: {url: 'http://alertmanager:9093', receiver: runbookd}\n\
         http: {allow: [web.shop.svc, 'auth.shop.svc:8001']}\n",
    );
    insta::assert_snapshot!(check_files(&all, Some("runbookd.yaml"), &[]), @r#"rules/asking.yaml: asking (shadow) answers alertname="Web": diagnose, then restart"#);
    // Without a configuration nobody knows whom it allows.
    insta::assert_snapshot!(check_files(&[("asking.yaml", ASKING)], None, &["asking.yaml"]), @r#"
    warning: without a configuration nobody knows whether these exist: ${vars.auth}
      hint: name the configuration with --config
    asking.yaml: asking (shadow) answers alertname="Web": diagnose, then restart
    "#);
}

/// Every shipped runbook can be answered with the shipped configuration, once its `vars:` are there.
#[test]
fn the_shipped_configuration_allows_the_hosts_of_the_shipped_runbooks() {
    let config = Config::load_for(Purpose::Check, Some(Path::new("deploy/samosachaat.yaml"))).0.unwrap();
    let objection = |wants: Wants<'_>| config.objection(wants);
    let loaded = load_with(&[PathBuf::from("rules")], None, 1, Some(&objection));
    assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
}

#[test]
fn paths_that_are_not_there_are_faults() {
    insta::assert_snapshot!(check_files(&[("empty/readme.txt", "")], None, &["empty", "nowhere.yaml"]), @r"
    empty: there is no *.yaml file in the folder; expected runbooks
      hint: name the folder that holds the runbooks
    nowhere.yaml: the file can not be read: No such file or directory (os error 2); expected YAML

    2 faults
    ");
}

#[test]
fn the_kept_source_of_every_document_reads_the_same_again() {
    let text = format!("  # indented\n---\n{WEB}---\n{SHIPPED}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("two.yaml"), text).unwrap();
    let loaded = load(&[folder.path().to_path_buf()], Some(&vars()), 60).unwrap();
    assert_eq!(loaded.runbooks.len(), 2);
    for runbook in loaded.runbooks {
        let again = read_one(&runbook.source).unwrap();
        assert_eq!(format!("{again:?}"), format!("{runbook:?}"));
    }
}

#[test]
fn the_hash_changes_with_the_text_the_variables_it_names_and_the_time_scale() {
    let hash =
        |text: &str, vars: &BTreeMap<String, String>, scale| read_text(text, Some(vars), scale).unwrap().hash;
    let first = hash(SHIPPED, &vars(), 1);
    let mut unused = vars();
    unused.insert("unused".to_owned(), "x".to_owned());
    assert_eq!(hash(SHIPPED, &unused, 1), first);
    let mut other = vars();
    other.insert("oncall_channel".to_owned(), "#other".to_owned());
    assert_ne!(hash(SHIPPED, &other, 1), first);
    assert_ne!(hash(SHIPPED, &vars(), 2), first);
    assert_ne!(hash(&SHIPPED.replace("at_least: 5", "at_least: 6"), &vars(), 1), first);
}

/// What is said of a text, which must not take long.
fn quickly(text: &str) -> String {
    let begun = Instant::now();
    let mut faults = Faults::new();
    let documents = parse(text, &mut faults);
    assert!(documents.is_empty() && faults.any());
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    assert!(read_text(text, None, 1).is_err());
    faults.to_string()
}

#[test]
fn hostile_files_are_refused_quickly() {
    let bomb = format!("a: &a [x]\n{}", "b: [*a, *a, *a, *a, *a, *a, *a, *a]\n".repeat(100));
    for (text, part) in [
        ("[".repeat(100_000), "levels"),
        ("{a: ".repeat(50_000), "levels"),
        ("- ".repeat(100_000), "levels"),
        (format!("a: {}", "x".repeat(2 << 20)), "bytes long"),
        (format!("[{}]", "a,".repeat(60_000)), "too many values"),
        (format!("{}: 1", "k".repeat(500_000)), "not YAML"),
        (bomb, "alias"),
        ("a: \u{0}".to_owned(), "not YAML"),
        ("%YAML 9.9\n---\na: 1".to_owned(), "YAML"),
    ] {
        let said = quickly(&text);
        assert!(said.contains(part), "{part}: {}", &said[..said.len().min(500)]);
    }
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    std::fs::write(folder.path().join("b.yaml"), vec![0xff; 2 << 20]).unwrap();
    let faults = load(&[folder.path().to_path_buf()], None, 1).unwrap_err();
    assert_eq!(faults.count(), 2, "{faults}");
}

/// Every action that has options.
const REMEDIES: &str = r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: web
summary: Help the web server.
alerts: ['alertname="Web"']
confirm: {errors: {loki: '{app="web"} |= "error"', window: 5m, at_least: 5}}
targets: {deployment: web}
steps:
  - {remediate: a, scale: {to: 5}, restore: {after: 2h}, verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}}
  - {remediate: b, scale: {percent: 150, at_most: 6}, restore: never, verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}}
  - remediate: c
    container: web
    resources: {limits: {memory: {percent: 200, at_most: 8Gi}, cpu: 1500m}, requests: {memory: 1Gi}, baseline: {limits: {memory: 4Gi}}}
    restore: {when: recovered}
    verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}
  - remediate: d
    env: {POOL_SIZE: {add: 10, default: 5, at_most: 40}, LEVEL: debug, SIZE: 40, TEXT: {set: "true"}}
    restore: never
    make_it_last: inference.poolSize in values-prod.yaml
    verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}
"#;

#[test]
fn every_remediation_with_options_is_read() {
    assert_eq!(read_text(REMEDIES, None, 7).map(|runbook| runbook.steps.len()), Ok(4));
}

/// A good file in which some pieces were cut out, doubled or replaced.
fn mutated(good: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~é\\n\\t]{0,6}",
        Just("${".to_owned()),
        Just("*a &b !c".to_owned()),
        Just("\u{0}".to_owned()),
        Just("- [{".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\"\\u00".to_owned()),
        Just("|\n".to_owned()),
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..12, piece);
    prop::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut chars: Vec<char> = good.chars().collect();
        for (at, length, piece) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutated_runbook_panics(text in mutated(SHIPPED)) {
        match read_text(&text, Some(&vars()), 1) {
            Ok(runbook) => prop_assert!(read_one(&runbook.source).is_ok(), "its own source can not be read again"),
            Err(faults) => prop_assert!(faults.any() && !faults.to_string().is_empty()),
        }
    }

    #[test]
    fn no_mutated_remediation_panics(text in mutated(REMEDIES)) {
        match read_text(&text, None, 7) {
            Ok(runbook) => prop_assert!(read_one(&runbook.source).is_ok(), "its own source can not be read again"),
            Err(faults) => prop_assert!(faults.any() && !faults.to_string().is_empty()),
        }
    }

    #[test]
    fn no_mutated_configuration_panics(text in mutated(include_str!("../../deploy/runbookd.yaml"))) {
        let (config, faults) = Config::read(&text, None, Purpose::Check, &|_| None);
        prop_assert!(config.is_some() || faults.any());
    }
}

/// Whoever copies the files of the README has no fault in them.
#[test]
fn the_configuration_and_the_first_runbook_of_the_readme_are_good() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let blocks: Vec<&str> =
        readme.split("```yaml\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let block = |begins: &str| *blocks.iter().find(|block| block.starts_with(begins)).unwrap();
    let (config, runbook) = (block("webhook:"), block("apiVersion:"));
    assert!(config.lines().count() <= 5 && config.contains("rules: [first.yaml]"), "{config}");
    let token = "a-token-for-the-webhook";
    let files = [("runbookd.yaml", config), ("first.yaml", runbook), ("runbookd-token", token)];
    insta::assert_snapshot!(check_files(&files, Some("runbookd.yaml"), &[]), @r#"first.yaml: first (act) answers alertname="High5xxRate": restart"#);
}

/// An open incident keeps the questions that it began with.
#[test]
fn a_runbook_keeps_the_diagnoses_that_it_attaches() {
    let folder = tempfile::tempdir().unwrap();
    let load = |quick: &str| {
        std::fs::write(folder.path().join("a.yaml"), SHIPPED.replace("trace_id=\"${", quick)).unwrap();
        load(&[folder.path().to_owned()], Some(&vars()), 1).unwrap()
    };
    let loaded = load("trace_id=\"${");
    assert_eq!(loaded.diagnoses.len(), 6);
    let [runbook] = loaded.runbooks.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(runbook.clues.iter().collect::<Vec<_>>(), ["trace_id"]);
    let again = read_one(&runbook.source).unwrap();
    assert_eq!(format!("{again:?}"), format!("{runbook:?}"));
    // Another question is another version.
    assert_ne!(load("span_id=\"${").runbooks[0].hash, runbook.hash);
}
