//! A webhook that takes what Alertmanager sends (version "4" of its payload), with a Bearer token: the daemon's own. This stands in for an Alertmanager where a
//! person has no other, and posts once: Alertmanager would try again what was answered with 5xx.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::server::{self, Server, System};
use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Secret};

const SYSTEM: System = System {
    name: "the webhook",
    address: "http://127.0.0.1:8080/api/v1/alerts/webhook",
    at_once: 1,
    most_mib: 1,
    too_large: "is it a webhook?",
    said: server::text,
};
/// What Go writes where there is no time: the end of an alert that fires.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// What stands where Alertmanager has the name of its receiver.
const RECEIVER: &str = "runbookd-inject";
/// The labels by which these are grouped, as `group_by` would have it.
const GROUP_BY: [&str; 2] = ["alertname", "namespace"];

/// Where the webhook is, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The whole address, with its path.
    pub url: String,
    /// Its token.
    pub bearer: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// The webhook at `url` without a token.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), bearer: None, timeout: DEFAULT_TIMEOUT }
    }
}

/// An alert as a notification tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What identifies it.
    pub labels: BTreeMap<String, String>,
    /// What it tells people.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it ended; none: it fires.
    pub ended_at: Option<Timestamp>,
    /// The page of its expression, for people.
    pub generator_url: String,
    /// The hash of its labels, as Alertmanager computes it.
    pub fingerprint: String,
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct Webhook(Arc<Server>);

impl Webhook {
    /// Reads the settings. The webhook need not be up.
    ///
    /// # Errors
    /// When the address or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let Settings { url, bearer, timeout } = settings;
        Ok(Self(Arc::new(Server::new(&SYSTEM, url, None, bearer.as_ref(), *timeout)?)))
    }

    /// Sends one notification about these alerts, which are one group.
    ///
    /// # Errors
    /// `Denied` when the token is not the webhook's; `Timeout` and `ServerError` leave open whether it was taken.
    pub async fn notify(&self, alerts: &[Told]) -> Result<(), CallError> {
        self.0.write("post a notification to the webhook", "", &payload(alerts)).await
    }
}

fn payload(alerts: &[Told]) -> Value {
    let status = |fires: bool| if fires { "firing" } else { "resolved" };
    let told: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!({
                "status": status(alert.ended_at.is_none()),
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": alert.starts_at,
                "endsAt": alert.ended_at.map_or_else(|| NO_TIME.to_owned(), |at| at.to_string()),
                "generatorURL": alert.generator_url,
                "fingerprint": alert.fingerprint,
            })
        })
        .collect();
    let labels = common(alerts.iter().map(|alert| &alert.labels));
    let group: BTreeMap<&str, &String> =
        GROUP_BY.into_iter().filter_map(|name| Some((name, labels.get(name)?))).collect();
    let key: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{{}}}", key.join(", ")),
        "truncatedAlerts": 0,
        "status": status(alerts.iter().any(|alert| alert.ended_at.is_none())),
        "receiver": RECEIVER,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": common(alerts.iter().map(|alert| &alert.annotations)),
        "externalURL": "",
        "alerts": told,
    })
}

/// What all of them have with the same value.
fn common<'a>(mut all: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut common = all.next().cloned().unwrap_or_default();
    for one in all {
        common.retain(|name, value| one.get(name) == Some(value));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::super::wire::{Reply, Wire};
    use super::*;

    const RECORDED: &str = include_str!("../../tests/data/alertmanager/prom242-5xx-group2-firing.json");

    fn texts(value: &Value) -> BTreeMap<String, String> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// What Alertmanager told, to be told again.
    fn recorded() -> (Value, Vec<Told>) {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = recorded["alerts"].as_array().unwrap().iter().map(|alert| Told {
            labels: texts(&alert["labels"]),
            annotations: texts(&alert["annotations"]),
            starts_at: text(&alert["startsAt"]).parse().unwrap(),
            ended_at: None,
            generator_url: text(&alert["generatorURL"]),
            fingerprint: text(&alert["fingerprint"]),
        });
        let told = told.collect();
        (recorded, told)
    }

    #[tokio::test]
    async fn a_notification_is_the_one_that_alertmanager_sent() {
        let wire = Wire::start(vec![Reply::Answer(200, Vec::new(), String::new())]).await;
        let url = format!("{}/api/v1/alerts/webhook", wire.url);
        let settings = Settings { bearer: Some(Secret::new("t0k")), ..Settings::new(url) };
        let (mut recorded, told) = recorded();
        Webhook::new(&settings).unwrap().notify(&told).await.unwrap();
        let seen = wire.seen().remove(0);
        assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/api/v1/alerts/webhook"));
        assert_eq!(seen.headers["authorization"], "Bearer t0k");
        assert_eq!(seen.headers["content-type"], "application/json");
        // Who sent it is all that differs.
        (recorded["externalURL"], recorded["receiver"]) = (json!(""), json!(RECEIVER));
        assert_eq!(serde_json::from_str::<Value>(&seen.body).unwrap(), recorded);
    }

    #[tokio::test]
    async fn what_has_ended_is_resolved_and_the_group_only_when_all_of_it_has() {
        let (_, mut told) = recorded();
        told[0].ended_at = Some("2026-11-22T19:00:00Z".parse().unwrap());
        let both = payload(&told);
        let statuses = |body: &Value| {
            let told = [&body["status"], &body["alerts"][0]["status"], &body["alerts"][1]["status"]];
            told.map(|status| status.as_str().unwrap().to_owned())
        };
        assert_eq!(statuses(&both), ["firing", "resolved", "firing"]);
        assert_eq!(both["alerts"][0]["endsAt"], "2026-11-22T19:00:00Z");
        told[1].ended_at = told[0].ended_at;
        assert_eq!(statuses(&payload(&told)), ["resolved"; 3]);
    }

    #[tokio::test]
    async fn it_is_posted_once_whatever_comes_back_and_no_token_is_shown() {
        for (status, reason) in
            [(401, Reason::Denied), (400, Reason::ClientError), (503, Reason::ServerError)]
        {
            let wire = Wire::start(vec![Reply::error(status, "no")]).await;
            let settings = Settings { bearer: Some(Secret::new("t0k")), ..Settings::new(&wire.url) };
            let webhook = Webhook::new(&settings).unwrap();
            let error = webhook.notify(&recorded().1).await.unwrap_err();
            assert_eq!((error.reason, wire.seen().len()), (reason, 1));
            assert!(!format!("{error} {webhook:?} {settings:?}").contains("t0k"));
        }
        assert!(Webhook::new(&Settings::new("127.0.0.1:8080")).is_err());
    }
}
