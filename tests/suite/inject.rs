//! `runbookd inject` at the sandbox: the verdict is the exit code, and every scenario passes with the shipped runbooks.

use std::process::Output;

use tokio::process::Command;

async fn inject(arguments: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
    command.arg("inject").args(arguments).env("NO_COLOR", "1").output().await.unwrap()
}

async fn passes(scenario: &str) -> String {
    passes_at(scenario, "40").await
}

async fn passes_at(scenario: &str, time_scale: &str) -> String {
    let output = inject(&[scenario, "--at", "sandbox", "--yes", "--time-scale", time_scale]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let wrong = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{wrong}");
    assert!(text.ends_with(&format!("{scenario}: passed\n")), "{text}");
    assert!(!text.contains('✗') || scenario != "pod-kill", "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pod_is_back_before_anybody_is_called() {
    let text = passes("pod-kill").await;
    assert!(text.contains("well again before an alert: self_healed"), "{text}");
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

/// Two hours are 90 seconds here.
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
async fn a_model_that_is_too_large_is_replaced_by_a_call_to_the_pod() {
    let text = passes("large-model").await;
    assert!(text.contains("POST /models/swap to each of 1 pod of deployment/inference"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_record_is_gone_gets_it_back_and_is_renewed() {
    let text = passes_at("certificate", "100").await;
    assert!(text.contains("write 1 validation record of certificate/samosachaat.art"), "{text}");
    assert!(text.contains("1 record is INSYNC, and as ACM asks for them"), "{text}");
    assert!(text.contains("more than 45 days are left"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_has_changed_is_written_as_acm_asks_for_it() {
    let text = passes_at("certificate-record", "100").await;
    assert!(text.contains("old.acm-validations.aws. stands there"), "{text}");
}

#[tokio::test]
async fn nothing_is_broken_without_a_yes() {
    let output = inject(&["pod-kill", "--at", "sandbox"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "runbookd: nothing was done: this would break chat-api in a sandbox on this machine; say so with --yes\n"
    );
}
