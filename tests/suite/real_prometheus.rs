//! The shipped alert rules, with Prometheus' own `promtool`: they load, and fire when they should and not otherwise.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::real_alertmanager::real;

#[tokio::test]
async fn the_shipped_alerts_fire_when_they_should_and_not_otherwise() {
    let Some(promtool) = real("promtool") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    for how in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        #[expect(clippy::disallowed_methods, reason = "the real program is started by hand")]
        let mut check = Command::new(&promtool);
        let output = check.args(how).current_dir(&folder).stdin(Stdio::null()).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "promtool {}: {}", how.join(" "), String::from_utf8_lossy(&said));
    }
}

/// What nobody answers is of no use, and what a runbook answers must be able to fire.
#[test]
fn every_alert_of_a_scenario_that_is_built_is_shipped_and_answered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let alerts = std::fs::read_to_string(root.join("deploy/prometheus/alerts.yaml")).unwrap();
    for (alert, file) in [
        ("PodRestarts", "rules/pod-crash.yaml"),
        ("PodCrashLooping", "rules/pod-crash.yaml"),
        ("ReplicasUnavailable", "rules/pod-crash.yaml"),
        ("HighP99Latency", "rules/high-latency.yaml"),
        ("CertificateExpiresSoon", "rules/certificate.yaml"),
    ] {
        assert!(alerts.contains(&format!("- alert: {alert}\n")), "{alert} is not shipped");
        let runbook = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(runbook.contains(alert), "{file} does not answer {alert}");
    }
}
