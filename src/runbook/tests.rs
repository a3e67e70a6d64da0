//! Runbooks read from their text, and that the shipped one is what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::load::{load, read_one};
use super::*;

fn vars() -> BTreeMap<String, String> {
    [("namespace", "samosachaat-prod"), ("oncall_channel", "#oncall"), ("unused", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn the_shipped_runbooks_load_and_their_kept_source_reads_the_same() {
    // What `rules/verify.yaml` asks.
    let addresses = [
        "frontend_address",
        "auth_address",
        "chat_api_address",
        "inference_address",
        "public_address",
        "public_host",
    ];
    let mut vars = vars();
    vars.extend(addresses.map(|name| (name.to_owned(), "web.shop.svc:80".to_owned())));
    let loaded = load(&[PathBuf::from("rules")], Some(&vars), 2).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let mut all = loaded.runbooks.iter();
    let runbook = all.find(|runbook| runbook.name == "database-pool-exhaustion").unwrap();
    assert_eq!(runbook.mode, Mode::Act);
    assert_eq!(runbook.limits.cooldown, Duration::from_secs(450));
    assert_eq!(runbook.limits.rate, Rate { count: 3, per: Duration::from_secs(1800) });
    assert_eq!(runbook.confirm_within, Duration::from_secs(60));
    assert_eq!(runbook.escalate.slack.as_deref(), Some("#oncall"));
    assert_eq!(runbook.vars.keys().collect::<Vec<_>>(), ["oncall_channel"]);

    let again = read_one(&runbook.source).unwrap();
    assert_eq!(format!("{again:?}"), format!("{runbook:?}"));
    assert_eq!(again.hash, runbook.hash);
}
