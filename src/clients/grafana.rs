//! Grafana: addresses at which a person sees for themselves what a probe has seen. Nothing is asked of it but, by a person, whether it is there.

use jiff::Timestamp;
use reqwest::Url;
use serde_json::json;

use super::{CallError, DEFAULT_TIMEOUT, http_client};

/// Where Grafana is, for people, and how it names what runbookd asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grafana {
    /// Its address as people reach it, such as `https://grafana.example.org`, also below a path.
    pub url: String,
    /// The uid of the data source of Loki.
    pub loki: Option<String>,
    /// The uid of the data source of Prometheus.
    pub prometheus: Option<String>,
}

/// What an expression is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Loki, in LogQL.
    Loki,
    /// Prometheus, in PromQL.
    Prometheus,
}

impl Grafana {
    /// Whether people find it there: its own health page, which needs no login.
    /// Source: <https://grafana.com/docs/grafana/latest/developers/http_api/other/#health-api>.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), CallError> {
        let call = "ask Grafana for its health";
        let http =
            http_client(DEFAULT_TIMEOUT).map_err(|error| CallError::unsent(call, &error.to_string()))?;
        let url = format!("{}/api/health", self.url.trim_end_matches('/'));
        let answer = http.get(url).send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(CallError::of_answer(call, answer.status(), answer.headers(), ""))
    }

    /// The dashboards of this title: it is searched for, as the address of a dashboard has its uid and not its title.
    #[must_use]
    pub fn dashboard(&self, title: &str) -> Option<String> {
        let base = format!("{}/dashboards", self.url.trim_end_matches('/'));
        Url::parse_with_params(&base, [("query", title)]).ok().map(String::from)
    }

    /// Explore with this expression over this time; none where the data source has no name in the configuration.
    ///
    /// The form of the address is the one of Grafana 10 and later.
    /// Source: <https://grafana.com/docs/grafana/latest/explore/get-started-with-explore/#generate-explore-urls-from-external-tools>.
    #[must_use]
    pub fn explore(
        &self,
        source: Source,
        expression: &str,
        (from, to): (Timestamp, Timestamp),
    ) -> Option<String> {
        let (uid, kind) = match source {
            Source::Loki => (self.loki.as_ref()?, "loki"),
            Source::Prometheus => (self.prometheus.as_ref()?, "prometheus"),
        };
        let query = json!({
            "refId": "A",
            "datasource": {"type": kind, "uid": uid},
            "editorMode": "code",
            "expr": expression,
            "queryType": "range",
            "range": true,
        });
        let panes = json!({"runbookd": {
            "datasource": uid,
            "queries": [query],
            "range": {"from": from.as_millisecond().to_string(), "to": to.as_millisecond().to_string()},
        }});
        let base = format!("{}/explore", self.url.trim_end_matches('/'));
        let pairs =
            [("schemaVersion", "1".to_owned()), ("panes", panes.to_string()), ("orgId", "1".to_owned())];
        Url::parse_with_params(&base, pairs).ok().map(String::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explore_asks_the_very_query_over_the_very_time_and_nothing_leaves_its_place() {
        let grafana = Grafana {
            url: "https://grafana.example.org/at/".to_owned(),
            loki: Some("P8E80F9AEF21F6940".to_owned()),
            prometheus: None,
        };
        let query = r#"{app="chat-api"} | json | message=~".*a&b|c>#.*""#;
        let at = |second| Timestamp::from_second(second).unwrap();
        let text = grafana.explore(Source::Loki, query, (at(1_000), at(1_300))).unwrap();
        assert!(text.starts_with("https://grafana.example.org/at/explore?schemaVersion=1&panes="), "{text}");
        assert!(!text.contains(['<', '>', '|', '#', ' ', '"', '\'']), "{text}");
        let url = Url::parse(&text).unwrap();
        let panes = url.query_pairs().find(|(name, _)| name == "panes").unwrap().1;
        let panes: serde_json::Value = serde_json::from_str(&panes).unwrap();
        let pane = &panes["runbookd"];
        assert_eq!(pane["queries"][0]["expr"], query);
        assert_eq!(pane["queries"][0]["datasource"], json!({"type": "loki", "uid": "P8E80F9AEF21F6940"}));
        assert_eq!(pane["range"], json!({"from": "1000000", "to": "1300000"}));
        let found = grafana.dashboard("Node Health & more").unwrap();
        assert_eq!(found, "https://grafana.example.org/at/dashboards?query=Node+Health+%26+more");
        assert_eq!(grafana.explore(Source::Prometheus, "up", (at(1), at(2))), None);
    }
}
