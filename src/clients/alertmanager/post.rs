//! Alerts that are posted to Alertmanager, as Prometheus does it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

/// An alert as it is posted. The same labels are the same alert, whoever posts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Posted {
    /// What identifies it.
    pub labels: BTreeMap<String, String>,
    /// What it tells people.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it ends, unless it is posted again before: a moment that is to come keeps it firing until then, one that has come resolves it. None: after the
    /// `resolve_timeout` of Alertmanager's configuration, which is five minutes unless it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The page of its expression, for people; empty: it has none.
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
}
