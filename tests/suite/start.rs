//! What keeps the daemon from starting, in the words that an operator reads.

use runbookd::sandbox::NAMESPACE;

use super::daemon::Daemon;

/// What a start that must fail says on stderr.
async fn refuses(daemon: &Daemon, config: &str) -> String {
    let output = daemon.run(&["serve", "--config", config]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Its log may come first.
    said.split_once("runbookd: ").map(|(_, said)| said.to_owned()).unwrap_or_else(|| panic!("{said}"))
}

/// The daemon's configuration, changed, in a file beside it.
fn changed(daemon: &Daemon, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(daemon.stage.config()).unwrap();
    let line = text.lines().find(|line| line.starts_with(from)).unwrap();
    daemon.file("changed.yaml", &text.replace(line, to));
    "changed.yaml".to_owned()
}

#[tokio::test]
async fn a_second_process_on_the_same_journal_says_who_has_it() {
    let mut daemon = Daemon::new(1).await;
    daemon.start().await;
    let said = refuses(&daemon, &changed(&daemon, "listen:", "listen: 127.0.0.1:0")).await;
    let journal = daemon.stage.journal();
    let mut lock = journal.clone().into_os_string();
    lock.push(".lock");
    let who = std::fs::read_to_string(lock).unwrap();
    let who = who.trim();
    assert!(who.starts_with(&format!("runbookd, process {} on host ", daemon.stage.pid().unwrap())), "{who}");
    let journal = journal.display();
    assert_eq!(said, format!("{journal} is in use by {who}; stop it first or choose another `journal:`\n"));
}

#[tokio::test]
async fn a_second_process_on_the_same_port_says_so() {
    let mut daemon = Daemon::new(1).await;
    daemon.start().await;
    let said = refuses(&daemon, "runbookd.yaml").await;
    let address = daemon.stage.url().replace("http://", "");
    assert_eq!(
        said,
        format!(
            "can not listen on {address}; is another runbookd running?: Address already in use (os error 98)\n"
        )
    );
}

#[tokio::test]
async fn shorter_waits_are_for_a_cluster_on_this_machine_only() {
    let daemon = Daemon::new(20).await;
    let kubeconfig = daemon.stage.sandbox.kubeconfig();
    let server = daemon.stage.sandbox.kubernetes_url();
    daemon.file("kubeconfig", &kubeconfig.replace(&server, "https://10.0.0.1:6443"));
    let said = refuses(&daemon, "runbookd.yaml").await;
    insta::assert_snapshot!(said, @"`time_scale: 20` makes every wait shorter and is for a sandbox only, and https://10.0.0.1:6443/ is not on loopback; take it out of the configuration");
    assert!(daemon.stage.world().requests().is_empty(), "nothing was asked in {NAMESPACE}");
}

#[tokio::test]
async fn beyond_this_machine_both_doors_need_a_token() {
    let daemon = Daemon::new(1).await;
    let text = std::fs::read_to_string(daemon.stage.config()).unwrap();
    let open: Vec<String> =
        text.lines()
            .filter(|line| !line.starts_with("webhook:") && !line.starts_with("api:"))
            .map(|line| {
                if line.starts_with("listen:") { "listen: 0.0.0.0:9099".to_owned() } else { line.to_owned() }
            })
            .collect();
    daemon.file("open.yaml", &open.join("\n"));
    insta::assert_snapshot!(refuses(&daemon, "open.yaml").await, @"
    open.yaml:2:9: `listen` is 0.0.0.0:9099, which others can reach, and `webhook` has no token; expected one
      hint: set RUNBOOKD_WEBHOOK_TOKEN or `webhook: {token_file: ...}`, or listen on 127.0.0.1:9099
    open.yaml:2:9: `listen` is 0.0.0.0:9099, which others can reach, and `api` has no token; expected one
      hint: set RUNBOOKD_API_TOKEN or `api: {token_file: ...}`, or listen on 127.0.0.1:9099
    ");
}

#[tokio::test]
async fn a_runbook_whose_probe_could_never_be_answered_keeps_it_from_starting() {
    let daemon = Daemon::new(1).await;
    let (_, text) = runbookd::chaos::stage::SHIPPED[0];
    let probe = "confirm:\n  healthy: {http: \"http://web.shop.svc:8080/health\", at_least: 1}\n  metrics: {prometheus: sum(up), at_least: 1}\n";
    let name = "name: database-pool-exhaustion";
    let text = text.replace("confirm:\n", probe).replace(name, "name: asking");
    std::fs::write(daemon.stage.config().with_file_name("rules").join("asking.yaml"), text).unwrap();
    let said = refuses(&daemon, &changed(&daemon, "prometheus:", "")).await;
    let said: Vec<&str> = said.lines().filter(|line| line.contains("asking.yaml")).collect();
    let [http, metrics] = said.as_slice() else { panic!("{said:#?}") };
    assert!(
        http.contains("the probe asks web.shop.svc:8080, which the configuration does not allow"),
        "{http}"
    );
    assert!(metrics.contains("the probe asks Prometheus, and the configuration names none"), "{metrics}");
    assert!(daemon.stage.world().requests().is_empty(), "nothing was called");
}
