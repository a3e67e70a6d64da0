//! `POST /api/v2/alerts`, with the answers of Alertmanager 0.25: what does not fit its schema is refused whole; of what fits, each wrong alert is refused for
//! itself, and the others are taken although the answer is an error.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::json_answer;
use super::{Alert, Alerts, Labels, RESOLVE_TIMEOUT};
use crate::sandbox::go;
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::state::Pace;

/// Takes what is posted.
pub(super) fn inject(alerts: &mut Alerts, pace: Pace, received: &Received, now: Timestamp) -> Answer {
    let posted = match read(received) {
        Ok(posted) => posted,
        Err(refused) => return refused,
    };
    let mut wrong = Vec::new();
    for one in &posted {
        match alert(one, pace, now) {
            Ok(alert) => {
                let alert = alerts.merged(alert, now);
                alerts.insert(alert, now, pace);
            }
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() {
        return Answer::new(200, "application/json", "");
    }
    json_answer(400, &json!(wrong.join("; ")))
}

/// The alerts of a body that fits the schema.
fn read(received: &Received) -> Result<Vec<Value>, Answer> {
    let refused = |status: u16, code: u16, message: String| {
        Answer::new(status, "application/json", json!({"code": code, "message": message}).to_string())
    };
    let unreadable =
        |why: String| refused(400, 400, format!("parsing alerts body from \"\" failed, because {why}"));
    let kind = received.content_type();
    if kind != "application/json" {
        let message = format!(
            "unsupported media type {}, only [application/json] are allowed",
            go::quoted(if kind.is_empty() { "application/octet-stream" } else { kind })
        );
        return Err(refused(415, 415, message));
    }
    if received.body.is_empty() {
        return Err(refused(422, 602, "alerts in body is required".to_owned()));
    }
    let body: Value = serde_json::from_slice(&received.body)
        .map_err(|error| unreadable(format!("it is not JSON: {error}")))?;
    let Value::Array(posted) = body else {
        return Err(unreadable(format!(
            "json: cannot unmarshal {} into Go value of type models.PostableAlerts",
            kind_of(&body)
        )));
    };
    for alert in &posted {
        for field in ["labels", "annotations"] {
            if !alert[field].is_object() && !alert[field].is_null() {
                return Err(unreadable(format!(
                    "json: cannot unmarshal {} into Go struct field Alert.{field} of type models.LabelSet",
                    kind_of(&alert[field])
                )));
            }
            let values = alert[field].as_object().into_iter().flat_map(|fields| fields.values());
            if let Some(value) = values.into_iter().find(|value| !value.is_string()) {
                return Err(unreadable(format!(
                    "json: cannot unmarshal {} into Go struct field Alert.{field} of type string",
                    kind_of(value)
                )));
            }
        }
        for field in ["startsAt", "endsAt"] {
            if let Some(text) = alert[field].as_str().filter(|text| text.parse::<Timestamp>().is_err()) {
                let shown = go::quoted(text);
                return Err(unreadable(format!(
                    "parsing time {shown} as \"2006-01-02 15:04:05\": cannot parse {shown} as \"2006\""
                )));
            }
        }
    }
    for (at, alert) in posted.iter().enumerate() {
        if !alert["labels"].is_object() {
            return Err(refused(422, 602, format!("{at}.labels in body is required")));
        }
        let is_uri = |url: &str| (url.starts_with('/') || url.contains(':')) && !url.contains(' ');
        let url = alert["generatorURL"].as_str().filter(|url| !url.is_empty());
        if let Some(url) = url.filter(|url| !is_uri(url)) {
            let message = format!("{at}.generatorURL in body must be of type uri: {}", go::quoted(url));
            return Err(refused(422, 601, message));
        }
    }
    Ok(posted)
}

/// What Go's decoder calls it.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn alert(posted: &Value, pace: Pace, now: Timestamp) -> Result<Alert, String> {
    let texts = |value: &Value| -> Labels {
        let fields = value.as_object().into_iter().flatten();
        // An empty label is no label.
        fields
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    };
    let moment = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    // Go's zero time is none.
    let [starts_at, ends_at] =
        [&posted["startsAt"], &posted["endsAt"]].map(|value| moment(value).filter(|at| at.as_second() > 0));
    let starts_at = starts_at.or(ends_at).unwrap_or(now);
    let timeout = ends_at.is_none();
    let ends_at = ends_at.unwrap_or_else(|| pace.after(now, RESOLVE_TIMEOUT));
    if ends_at < starts_at {
        return Err("start time must be before end time".to_owned());
    }
    let (labels, annotations) = (texts(&posted["labels"]), texts(&posted["annotations"]));
    let invalid = |labels: &Labels| labels.keys().find(|name| !is_name(name)).map(|name| go::quoted(name));
    if let Some(name) = invalid(&labels) {
        return Err(format!("invalid label set: invalid name {name}"));
    }
    if labels.is_empty() {
        return Err("at least one label pair required".to_owned());
    }
    if let Some(name) = invalid(&annotations) {
        return Err(format!("invalid annotations: invalid name {name}"));
    }
    Ok(Alert {
        labels,
        annotations,
        starts_at,
        ends_at: Some(ends_at),
        timeout,
        updated_at: now,
        generator: posted["generatorURL"].as_str().unwrap_or_default().to_owned(),
    })
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`.
fn is_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

impl Alerts {
    /// An end that was named rules over a shorter one and over none, until an end comes that has come. What a rule keeps firing has no end.
    fn merged(&self, mut alert: Alert, now: Timestamp) -> Alert {
        let known = self.alerts.get(&super::payload::fingerprint(&alert.labels));
        if let Some(known) = known.filter(|known| !known.resolved(now) && !alert.resolved(now))
            && !known.timeout
            && known.ends_at.is_none_or(|end| Some(end) > alert.ends_at)
        {
            (alert.ends_at, alert.timeout) = (known.ends_at, false);
        }
        alert
    }
}
