//! Alertmanager's webhook payload, version 4, read leniently: newer servers add fields, and one bad alert
//! must not lose the others of its group.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Alert, Fingerprint, Labels, Status};
use crate::clock;
use crate::text::cut;

/// What Alertmanager posted, each alert read on its own.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The receiver's name, regex-quoted by Alertmanager.
    pub receiver: String,
    /// Names the group; for people and logs.
    pub group_key: String,
    /// How many alerts `max_alerts` cut off: targets that are missing silently.
    pub truncated: u64,
    /// The alerts that can be worked with, in the order of the payload.
    pub alerts: Vec<Alert>,
    /// The alerts that can not, each with the reason.
    pub refused: Vec<Refused>,
}

/// An alert that could not be read. It is journaled with its reason, and the others of its group go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in `alerts`, from 0.
    pub position: usize,
    /// What was found and what was expected.
    pub reason: String,
    /// The alert as it came, cut to a readable length.
    pub text: String,
}

/// A body that will never be right: answered with 400.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PayloadError {
    /// Not JSON at all.
    #[error("the body is not JSON ({0}); expected Alertmanager's webhook payload, version \"4\"")]
    NotJson(String),
    /// JSON, but something else.
    #[error(
        "{0}; expected Alertmanager's webhook payload, version \"4\" (no `payload:` template in the receiver)"
    )]
    NotAPayload(String),
}

#[derive(Deserialize)]
struct Body {
    version: Option<Value>,
    #[serde(default)]
    receiver: String,
    #[serde(default, rename = "groupKey")]
    group_key: String,
    #[serde(default, rename = "truncatedAlerts")]
    truncated: u64,
    alerts: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    status: Status,
    labels: Labels,
    #[serde(default)]
    annotations: Labels,
    starts_at: String,
    ends_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
    fingerprint: Option<String>,
}

const KEPT_OF_A_REFUSED_ALERT: usize = 2_000;
/// So much of a wrong value stands in the reason.
const SHOWN: usize = 40;

impl Notification {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`PayloadError`] when no alert could ever be read from it. A single bad alert is no error: it is in
    /// [`Notification::refused`].
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| PayloadError::NotJson(error.to_string()))?;
        if !value.is_object() {
            return Err(PayloadError::NotAPayload("the body is JSON, but not an object".to_owned()));
        }
        let body: Body =
            serde_json::from_value(value).map_err(|error| PayloadError::NotAPayload(error.to_string()))?;
        match body.version {
            Some(Value::String(version)) if version == "4" => {}
            Some(other) => return Err(PayloadError::NotAPayload(format!("`version` is {other}"))),
            None => return Err(PayloadError::NotAPayload("`version` is missing".to_owned())),
        }
        let Some(entries) = body.alerts else {
            return Err(PayloadError::NotAPayload("`alerts` is missing".to_owned()));
        };
        let mut alerts = Vec::with_capacity(entries.len());
        let mut refused = Vec::new();
        for (position, entry) in entries.into_iter().enumerate() {
            match Alert::read(&entry) {
                Ok(alert) => alerts.push(alert),
                Err(reason) => {
                    let text = entry.to_string().chars().take(KEPT_OF_A_REFUSED_ALERT).collect();
                    refused.push(Refused { position, reason, text });
                }
            }
        }
        Ok(Self {
            receiver: body.receiver,
            group_key: body.group_key,
            truncated: body.truncated,
            alerts,
            refused,
        })
    }
}

impl Alert {
    fn read(entry: &Value) -> Result<Self, String> {
        let raw = RawAlert::deserialize(entry).map_err(|error| error.to_string())?;
        let starts_at = time("startsAt", &raw.starts_at)?;
        let ends_at = raw.ends_at.map(|text| time("endsAt", &text)).transpose()?;
        if raw.labels.0.is_empty() {
            return Err("the alert has no labels; expected at least `alertname`".to_owned());
        }
        let fingerprint = match raw.fingerprint {
            Some(text) if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Fingerprint(text.to_ascii_lowercase())
            }
            Some(text) if !text.is_empty() => {
                return Err(format!("the fingerprint {:?} is not 16 hexadecimal digits", cut(&text, SHOWN)));
            }
            _ => raw.labels.fingerprint(),
        };
        // A firing alert ends at Go's zero time, or, posted by hand, at a time that is still to come.
        let ends_at = match raw.status {
            Status::Firing => None,
            Status::Resolved => Some(clock::cut(ends_at.unwrap_or(starts_at)).max(starts_at)),
        };
        Ok(Self {
            status: raw.status,
            labels: raw.labels,
            annotations: raw.annotations,
            starts_at: clock::cut(starts_at),
            ends_at,
            generator_url: raw.generator_url,
            fingerprint,
        })
    }
}

fn time(field: &str, text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("`{field}` is {:?}; expected a time such as 2026-01-31T12:00:00Z", cut(text, SHOWN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> impl Iterator<Item = (String, Vec<u8>)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alertmanager");
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (!name.contains("headers")).then(|| (name, std::fs::read(&path).unwrap()))
        })
    }

    #[test]
    fn every_recorded_payload_is_read_whole_and_its_fingerprints_are_those_of_the_labels() {
        let mut seen = 0;
        for (name, body) in recorded() {
            let notification = Notification::parse(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(notification.refused.is_empty(), "{name}: {:?}", notification.refused);
            assert!(!notification.alerts.is_empty(), "{name}");
            for alert in &notification.alerts {
                assert_eq!(alert.labels.fingerprint(), alert.fingerprint, "{name}: {}", alert.labels);
                assert_eq!(alert.ends_at.is_none(), alert.status == Status::Firing, "{name}");
                seen += 1;
            }
        }
        assert!(seen >= 36, "only {seen} recorded alerts were read");
    }

    #[test]
    fn one_bad_alert_does_not_lose_the_others() {
        let body = br#"{"version":"4","alerts":[
            {"status":"firing","labels":{"alertname":"A"},"startsAt":"yesterday"},
            {"status":"firing","labels":{"alertname":"B"},"startsAt":"2026-11-22T18:00:00Z"},
            17]}"#;
        let notification = Notification::parse(body).unwrap();
        assert_eq!(notification.alerts.len(), 1);
        assert_eq!(notification.alerts[0].name(), "B");
        assert_eq!(notification.refused.iter().map(|bad| bad.position).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn what_will_never_be_right_says_what_was_expected() {
        for (body, part) in [
            ("", "not JSON"),
            ("[]", "not an object"),
            ("{}", "`version` is missing"),
            (r#"{"version":"3","alerts":[]}"#, "`version` is \"3\""),
            (r#"{"version":"4"}"#, "`alerts` is missing"),
            (r#"{"version":"4","alerts":{}}"#, "invalid type: map"),
        ] {
            let error = Notification::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("version \"4\""), "{body}: {error}");
        }
    }
}
