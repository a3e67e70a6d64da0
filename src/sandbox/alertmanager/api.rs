//! Alertmanager's API, as far as alerts, silences, receivers, the status and its health go.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::inject::inject;
use super::silence::Matcher;
use super::{Alerts, Labels, RESOLVE_TIMEOUT};
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
        ("GET", "/api/v2/status") => status(alerts),
        ("GET", "/api/v2/receivers") => {
            let names = alerts.receivers();
            let names: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json_answer(200, &json!(names))
        }
        ("GET" | "POST", "/api/v2/silences") => alerts.silences.answer(received, now),
        (method @ ("GET" | "DELETE"), path) if path.starts_with("/api/v2/silence/") => {
            alerts.silences.answer_one(&path["/api/v2/silence/".len()..], method, now)
        }
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
    let without = |kind: &str| received.param(kind) == Some("false");
    let mut matchers = Vec::new();
    for (_, text) in received.query.iter().filter(|(key, _)| key == "filter") {
        match matcher(text) {
            Some(matcher) => matchers.push(matcher),
            None => return json_answer(400, &json!(format!("bad matcher format: {text}"))),
        }
    }
    // The whole name must match, as in the real one.
    let of_receiver = received.param("receiver").map(|regex| Matcher {
        label: String::new(),
        value: regex.to_owned(),
        is_regex: true,
        is_equal: true,
    });
    let alerts: Vec<Value> = alerts
        .alerts
        .iter()
        .filter(|(_, alert)| {
            !alert.resolved(now) && matchers.iter().all(|matcher| matcher.holds(&alert.labels))
        })
        .filter_map(|(fingerprint, alert)| {
            let receiver = alerts.receiver_of(fingerprint);
            let name = Labels::from([(String::new(), receiver.to_owned())]);
            if of_receiver.as_ref().is_some_and(|wanted| !wanted.holds(&name)) {
                return None;
            }
            let silences = alerts.silences.of(&alert.labels, now);
            let silenced = !silences.is_empty();
            if (silenced && without("silenced")) || (!silenced && without("active")) {
                return None;
            }
            let ends_at = alert.ends_at.unwrap_or_else(|| pace.after(now, RESOLVE_TIMEOUT));
            Some(json!({
                "annotations": alert.annotations,
                "endsAt": millis(ends_at),
                "fingerprint": fingerprint,
                "receivers": [{"name": receiver}],
                "startsAt": millis(alert.starts_at),
                "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": silences,
                           "state": if silenced { "suppressed" } else { "active" }},
                "updatedAt": millis(alert.updated_at),
                "generatorURL": alert.generator,
                "labels": alert.labels,
            }))
        })
        .collect();
    json_answer(200, &json!(alerts))
}

/// The field `uptime` holds the moment of the start.
fn status(alerts: &Alerts) -> Answer {
    let version = json!({"branch": "HEAD", "buildDate": "20250101-00:00:00", "buildUser": "sandbox",
                         "goVersion": "go1.23.4", "revision": "sandbox", "version": "0.28.1"});
    let original = "route:\n  receiver: runbookd\nreceivers:\n- name: runbookd\n";
    json_answer(
        200,
        &json!({"cluster": {"peers": [], "status": "disabled"}, "config": {"original": original},
                "uptime": millis(alerts.started_at), "versionInfo": version}),
    )
}

/// The API's times always have three decimals, unlike the payload's.
pub(super) fn millis(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

pub(super) fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json", format!("{body}\n"))
}

fn matcher(text: &str) -> Option<Matcher> {
    let (at, operator) = ["=~", "!~", "!=", "="]
        .iter()
        .filter_map(|operator| Some((text.find(operator)?, *operator)))
        .min_by_key(|(at, _)| *at)?;
    let value = text[at + operator.len()..].trim();
    let value: String =
        if value.starts_with('"') { serde_json::from_str(value).ok()? } else { value.to_owned() };
    let is_regex = operator.ends_with('~');
    if is_regex {
        regex::Regex::new(&value).ok()?;
    }
    let label = text[..at].trim().to_owned();
    Some(Matcher { label, value, is_regex, is_equal: !operator.starts_with('!') })
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
