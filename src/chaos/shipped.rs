//! The scenarios as they are shipped: file name and text.

/// In the order in which `all` plays them: the six of the chaos page first.
pub const SCENARIOS: [(&str, &str); 15] = [
    ("pod-kill.yaml", include_str!("../../rules/scenarios/pod-kill.yaml")),
    ("crash-loop.yaml", include_str!("../../rules/scenarios/crash-loop.yaml")),
    ("node-failure.yaml", include_str!("../../rules/scenarios/node-failure.yaml")),
    ("database-pool.yaml", include_str!("../../rules/scenarios/database-pool.yaml")),
    ("inference-oom.yaml", include_str!("../../rules/scenarios/inference-oom.yaml")),
    ("large-model.yaml", include_str!("../../rules/scenarios/large-model.yaml")),
    ("high-latency.yaml", include_str!("../../rules/scenarios/high-latency.yaml")),
    ("certificate.yaml", include_str!("../../rules/scenarios/certificate.yaml")),
    ("certificate-record.yaml", include_str!("../../rules/scenarios/certificate-record.yaml")),
    ("alert-storm.yaml", include_str!("../../rules/scenarios/alert-storm.yaml")),
    ("flapping-alert.yaml", include_str!("../../rules/scenarios/flapping-alert.yaml")),
    ("alert-without-evidence.yaml", include_str!("../../rules/scenarios/alert-without-evidence.yaml")),
    ("remedy-does-not-help.yaml", include_str!("../../rules/scenarios/remedy-does-not-help.yaml")),
    ("node-failure-and-memory.yaml", include_str!("../../rules/scenarios/node-failure-and-memory.yaml")),
    ("change-does-not-stick.yaml", include_str!("../../rules/scenarios/change-does-not-stick.yaml")),
];
