//! Alertmanager's API, as far as `/api/v2/alerts` and its health go.

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use super::{Alert, Alerts, Labels, RESOLVE_TIMEOUT};
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::state::Pace;

/// Answers a request.
pub(in crate::sandbox) fn answer(
    alerts: &mut Alerts,
    pace: Pace,
    received: &Received,
    now: Timestamp,
) -> Answer {
    match (received.method.as_str(), received.path.as_str()) {
        ("GET", "/-/healthy" | "/-/ready") => Answer::text(200, "OK"),
        ("GET", "/api/v2/alerts") => list(alerts, pace, received, now),
        ("POST", "/api/v2/alerts") => inject(alerts, pace, received, now),
        (_, "/api/v2/alerts") => Answer::new(
            405,
            "application/json",
            json!({"code": 405, "message":
            format!("method {} is not allowed, but [GET,POST] are", received.method)})
            .to_string(),
        ),
        _ => Answer::text(404, "404 page not found\n"),
    }
}

fn list(alerts: &Alerts, pace: Pace, received: &Received, now: Timestamp) -> Answer {
    if received.param("active") == Some("false") {
        return json_answer(200, &json!([]));
    }
    let mut matchers = Vec::new();
    for (_, text) in received.query.iter().filter(|(key, _)| key == "filter") {
        match matcher(text) {
            Some(matcher) => matchers.push(matcher),
            None => return json_answer(400, &json!(format!("bad matcher format: {text}"))),
        }
    }
    let alerts: Vec<Value> = alerts
        .alerts
        .iter()
        .filter(|(_, alert)| {
            !alert.resolved(now) && matchers.iter().all(|matcher| matcher.holds(&alert.labels))
        })
        .map(|(fingerprint, alert)| {
            let ends_at = alert.ends_at.unwrap_or_else(|| pace.after(now, RESOLVE_TIMEOUT));
            let silenced = alerts.silenced.contains(fingerprint);
            let silences = if silenced { json!(["5ab43f1c-6c2b-4f6b-9c39-2f3d0c6d0f5e"]) } else { json!([]) };
            json!({
                "annotations": alert.annotations,
                "endsAt": millis(ends_at),
                "fingerprint": fingerprint,
                "receivers": [{"name": "runbookd"}],
                "startsAt": millis(alert.starts_at),
                "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": silences,
                           "state": if silenced { "suppressed" } else { "active" }},
                "updatedAt": millis(alert.updated_at),
                "generatorURL": alert.generator,
                "labels": alert.labels,
            })
        })
        .collect();
    json_answer(200, &json!(alerts))
}

/// The API's times always have three decimals, unlike the payload's.
fn millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn inject(alerts: &mut Alerts, pace: Pace, received: &Received, now: Timestamp) -> Answer {
    let Ok(Value::Array(posted)) = serde_json::from_slice::<Value>(&received.body) else {
        return json_answer(400, &json!({"code": 400, "message": "parsing alerts body from \"\" failed"}));
    };
    let texts = |value: &Value| -> Labels {
        let fields = value.as_object().into_iter().flatten();
        // An empty label is no label.
        fields
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    };
    let moment = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    for alert in &posted {
        let labels = texts(&alert["labels"]);
        if labels.is_empty() {
            return json_answer(400, &json!("at least one label pair required"));
        }
        let ends_at = moment(&alert["endsAt"]).filter(|end| end.as_second() > 0);
        let ends_at = ends_at.unwrap_or_else(|| pace.after(now, RESOLVE_TIMEOUT));
        let alert = Alert {
            annotations: texts(&alert["annotations"]),
            starts_at: moment(&alert["startsAt"]).unwrap_or(now).min(ends_at),
            ends_at: Some(ends_at),
            updated_at: now,
            generator: alert["generatorURL"].as_str().unwrap_or_default().to_owned(),
            labels,
        };
        alerts.insert(alert, now, pace);
    }
    Answer::new(200, "application/json", "")
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json", format!("{body}\n"))
}

struct Matcher {
    label: String,
    regex: Regex,
    wanted: bool,
}

impl Matcher {
    fn holds(&self, labels: &Labels) -> bool {
        self.regex.is_match(labels.get(&self.label).map_or("", String::as_str)) == self.wanted
    }
}

fn matcher(text: &str) -> Option<Matcher> {
    let (at, operator) = ["=~", "!~", "!=", "="]
        .iter()
        .filter_map(|operator| Some((text.find(operator)?, *operator)))
        .min_by_key(|(at, _)| *at)?;
    let value = text[at + operator.len()..].trim();
    let value: String =
        if value.starts_with('"') { serde_json::from_str(value).ok()? } else { value.to_owned() };
    let value = if operator.ends_with('~') { value } else { regex::escape(&value) };
    let regex = Regex::new(&format!("^(?:{value})$")).ok()?;
    Some(Matcher { label: text[..at].trim().to_owned(), regex, wanted: !operator.starts_with('!') })
}

#[cfg(test)]
mod tests {
    use super::super::payload::{fingerprint, time};
    use super::*;

    #[test]
    fn times_have_the_decimals_of_the_real_api() {
        let at: Timestamp = "2026-11-22T18:36:31.5Z".parse().unwrap();
        assert_eq!(millis(at), "2026-11-22T18:36:31.500Z");
        assert_eq!(time(at), "2026-11-22T18:36:31.5Z");
        assert_eq!(fingerprint(&Labels::new()), "cbf29ce484222325");
    }
}
