//! Silences: who made them, and which alerts they keep quiet.

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use super::Labels;
use super::api::{json_answer, millis};
use crate::sandbox::server::{Answer, Received};

/// A matcher of a silence or of a filter.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) is_regex: bool,
    pub(super) is_equal: bool,
}

impl Matcher {
    pub(super) fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let is = if self.is_regex {
            Regex::new(&format!("^(?:{})$", self.value)).is_ok_and(|regex| regex.is_match(value))
        } else {
            value == self.value
        };
        is == self.is_equal
    }
}

/// A silence.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    id: String,
    matchers: Vec<Matcher>,
    created_by: String,
    comment: String,
    starts_at: Timestamp,
    ends_at: Timestamp,
    updated_at: Timestamp,
}

impl Silence {
    fn state(&self, now: Timestamp) -> &'static str {
        match now {
            now if now < self.starts_at => "pending",
            now if now < self.ends_at => "active",
            _ => "expired",
        }
    }

    fn body(&self, now: Timestamp) -> Value {
        let matchers: Vec<Value> = self
            .matchers
            .iter()
            .map(|matcher| {
                json!({"isEqual": matcher.is_equal, "isRegex": matcher.is_regex, "name": matcher.label,
                       "value": matcher.value})
            })
            .collect();
        json!({"id": self.id, "status": {"state": self.state(now)}, "updatedAt": millis(self.updated_at),
               "comment": self.comment, "createdBy": self.created_by, "endsAt": millis(self.ends_at),
               "matchers": matchers, "startsAt": millis(self.starts_at)})
    }
}

/// All silences.
#[derive(Debug, Default)]
pub(super) struct Silences(Vec<Silence>);

impl Silences {
    /// The names of those that keep an alert quiet.
    pub(super) fn of(&self, labels: &Labels, now: Timestamp) -> Vec<String> {
        let active = self.0.iter().filter(|silence| silence.state(now) == "active");
        let holding = active.filter(|silence| silence.matchers.iter().all(|matcher| matcher.holds(labels)));
        holding.map(|silence| silence.id.clone()).collect()
    }

    /// Silences exactly these labels.
    pub(super) fn add(&mut self, labels: &Labels, by: &str, comment: &str, now: Timestamp) {
        let matcher = |(name, value): (&String, &String)| Matcher {
            label: name.clone(),
            value: value.clone(),
            is_regex: false,
            is_equal: true,
        };
        let matchers = labels.iter().map(matcher).collect();
        self.insert(matchers, by, comment, (now, Timestamp::MAX), now);
    }

    /// Ends all silences of an alert with these labels.
    pub(super) fn end(&mut self, labels: &Labels, now: Timestamp) {
        let ids = self.of(labels, now);
        for silence in self.0.iter_mut().filter(|silence| ids.contains(&silence.id)) {
            (silence.ends_at, silence.updated_at) = (now, now);
        }
    }

    fn insert(
        &mut self,
        matchers: Vec<Matcher>,
        by: &str,
        comment: &str,
        (starts_at, ends_at): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> String {
        let id = format!("5ab43f1c-6c2b-4f6b-9c39-{:012x}", self.0.len() + 1);
        self.0.push(Silence {
            id: id.clone(),
            matchers,
            created_by: by.to_owned(),
            comment: comment.to_owned(),
            starts_at: starts_at.max(now),
            ends_at,
            updated_at: now,
        });
        id
    }

    /// `/api/v2/silences`.
    pub(super) fn answer(&mut self, received: &Received, now: Timestamp) -> Answer {
        if received.method == "GET" {
            let all: Vec<Value> = self.0.iter().map(|silence| silence.body(now)).collect();
            return json_answer(200, &json!(all));
        }
        let posted: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        for field in ["comment", "createdBy", "endsAt", "matchers", "startsAt"] {
            if posted[field].is_null() {
                let message = format!("{field} in body is required");
                return Answer::new(
                    422,
                    "application/json",
                    json!({"code": 602, "message": message}).to_string(),
                );
            }
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let moment = |field: &str| posted[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let (Some(starts_at), Some(ends_at)) = (moment("startsAt"), moment("endsAt")) else {
            return json_answer(400, &json!("parsing times failed"));
        };
        if ends_at <= now {
            return json_answer(400, &json!("Failed to create silence: end time can't be in the past"));
        }
        let matchers = posted["matchers"].as_array().into_iter().flatten();
        let matchers: Vec<Matcher> = matchers
            .map(|matcher| Matcher {
                label: text(&matcher["name"]),
                value: text(&matcher["value"]),
                is_regex: matcher["isRegex"] == true,
                is_equal: matcher["isEqual"] != false,
            })
            .collect();
        if matchers.is_empty() {
            return json_answer(400, &json!("silence invalid: at least one matcher required"));
        }
        let (by, comment) = (text(&posted["createdBy"]), text(&posted["comment"]));
        let id = self.insert(matchers, &by, &comment, (starts_at, ends_at), now);
        json_answer(200, &json!({"silenceID": id}))
    }

    /// `/api/v2/silence/ID`.
    pub(super) fn answer_one(&mut self, id: &str, method: &str, now: Timestamp) -> Answer {
        let Some(silence) = self.0.iter_mut().find(|silence| silence.id == id) else {
            return Answer::new(404, "application/json", "");
        };
        if method == "DELETE" {
            (silence.ends_at, silence.updated_at) = (now, now);
            return Answer::new(200, "application/json", "");
        }
        json_answer(200, &silence.body(now))
    }
}
