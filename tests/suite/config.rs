//! The configuration: every fault with its exact message, the secrets, and the commented default file.

use std::path::{Path, PathBuf};

use runbookd::clients::aws::{Service, Source};
use runbookd::config::{Config, DEFAULT_FILE, Purpose};
use runbookd::yaml::Faults;

use crate::check::expect_messages;

const FOLDER: &str = "tests/data/bad/config";

/// The only variable that is set, so that `token-twice` can be at fault.
fn environment(name: &str) -> Option<String> {
    (name == "RUNBOOKD_WEBHOOK_TOKEN").then(|| "from-the-environment\n".to_owned())
}

fn faults(path: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Faults {
    let text = std::fs::read_to_string(path).unwrap();
    Config::read(&text, Some(path), Purpose::Run, environment).1
}

#[test]
fn every_fault_of_a_configuration_has_its_message() {
    expect_messages(FOLDER, 46, |path| {
        let twice = path.ends_with("token-twice.yaml");
        faults(path, &|name| environment(name).filter(|_| twice)).to_string()
    });
}

#[test]
fn secrets_come_from_files_and_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "from-a-file\n").unwrap();
    let path = folder.path().join("runbookd.yaml");
    let text =
        "listen: 0.0.0.0:9099\napi: {token_file: token}\nslack: {token_file: token, channel: \"#oncall\"}\n";
    let (config, faults) = Config::read(text, Some(&path), Purpose::Run, &environment);
    assert!(faults.is_empty(), "{faults}");
    let config = config.unwrap();
    assert_eq!(config.webhook.token.as_ref().unwrap().reveal(), "from-the-environment");
    assert_eq!(config.api.token.as_ref().unwrap().reveal(), "from-a-file");
    assert_eq!(config.slack.as_ref().unwrap().settings.token.reveal(), "from-a-file");
    assert_eq!(config.rules, [folder.path().join("rules")]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("from-"), "{shown}");
}

#[test]
fn a_machine_that_only_checks_need_not_have_the_secrets() {
    let text = "listen: 0.0.0.0:9099\napi: {token_file: nowhere}\nslack: {channel: \"#oncall\"}\n";
    let (config, faults) = Config::read(text, None, Purpose::Check, &|_| None);
    assert!(config.is_some());
    assert!(!faults.any(), "{faults}");
    insta::assert_snapshot!(faults, @r"
    1:9: warning: `listen` is 0.0.0.0:9099, which others can reach, and `webhook` has no token; expected one
      hint: set RUNBOOKD_WEBHOOK_TOKEN or `webhook: {token_file: ...}`, or listen on 127.0.0.1:9099
    2:19: warning: the file nowhere can not be read: No such file or directory (os error 2); expected a token in it
      hint: it must be there when runbookd runs
    3:1: warning: `slack` has no token; expected `token_file`, or RUNBOOKD_SLACK_TOKEN in the environment
      hint: it must be there when runbookd runs
    ");
}

#[test]
fn every_commented_line_of_the_default_file_is_a_field() {
    let mut text = String::new();
    for line in DEFAULT_FILE.lines() {
        let spaces = &line[..line.len() - line.trim_start().len()];
        let is_field = |rest: &str| {
            rest.split_once(':').is_some_and(|(name, value)| {
                name.trim().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                    && !value.starts_with("//")
            })
        };
        match line.trim_start().strip_prefix("# ").filter(|rest| is_field(rest)) {
            Some(rest) => text.push_str(&format!("{spaces}{rest}\n")),
            None => text.push_str(&format!("{}\n", line.trim_end_matches(" {}"))),
        }
    }
    let (_, faults) = Config::read(&text, None, Purpose::Check, &|_| None);
    assert!(!faults.any(), "{faults}\n{text}");
    let warned: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        warned.len(),
        12,
        "the seven tokens, two headers, AWS's credentials, terraform's variable, the certificates, and nothing else: {faults}"
    );
}

#[test]
fn where_aws_finds_credentials_is_read_and_none_is_looked_for() {
    let read = |aws: &str, environment: &dyn Fn(&str) -> Option<String>| {
        let text = format!("aws: {{region: eu-central-1{aws}}}\n");
        let (config, faults) =
            Config::read(&text, Some(Path::new("a/runbookd.yaml")), Purpose::Run, environment);
        assert!(faults.is_empty(), "{faults}");
        config.unwrap().aws.unwrap()
    };
    let usual = read("", &|_| None);
    assert!(matches!(usual.credentials, Source::Usual { web_identity: None }), "{usual:?}");
    let pod = |name: &str| match name {
        "AWS_WEB_IDENTITY_TOKEN_FILE" => Some("/var/run/token".to_owned()),
        "AWS_ROLE_ARN" => Some("arn:aws:iam::123456789012:role/runbookd".to_owned()),
        _ => None,
    };
    let Source::Usual { web_identity: Some(identity) } = read("", &pod).credentials else { unreachable!() };
    assert_eq!((identity.token_file, identity.session_name), (PathBuf::from("/var/run/token"), None));
    assert_eq!(identity.role_arn, "arn:aws:iam::123456789012:role/runbookd");
    let Source::Profile { name, file: None } = read(", profile: ops", &pod).credentials else {
        unreachable!()
    };
    assert_eq!(name.as_deref(), Some("ops"));
    let other =
        read(", endpoint: \"http://127.0.0.1:1\", endpoints: {sts: \"http://127.0.0.1:2\"}", &|_| None);
    assert_eq!(other.endpoint.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(
        other.endpoints.into_iter().collect::<Vec<_>>(),
        [(Service::Sts, "http://127.0.0.1:2".to_owned())]
    );
}

#[test]
fn a_missing_file_is_one_fault() {
    let (config, faults) = Config::load_for(Purpose::Run, Some(&PathBuf::from("nowhere.yaml")));
    assert!(config.is_none());
    insta::assert_snapshot!(faults, @"nowhere.yaml: the file can not be read: No such file or directory (os error 2); expected YAML");
}
