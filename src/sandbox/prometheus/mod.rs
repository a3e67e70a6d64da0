//! Prometheus: instant queries of a closed table of expressions, each computed from the world as it is, as if it had been scraped this
//! moment. Anything else is an error, in the real server's shape.
//!
//! The table: a selector of a Deployment's replicas with `=` matchers, the oldest sample of such a selector, the share of requests that failed, of
//! one service or by service, what `shipped` has, and all of them compared with a number.

mod shipped;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::server::{Answer, Received};
use super::services::Services;
use super::state::Pace;

type Labels = BTreeMap<String, String>;
type Series = Vec<(Labels, f64)>;

/// What a query is computed from.
pub(super) struct World<'w> {
    pub(super) cluster: &'w Cluster,
    pub(super) services: &'w Services,
    pub(super) pace: Pace,
    pub(super) now: Timestamp,
}

/// Answers a request.
pub(super) fn answer(world: &World<'_>, received: &Received) -> Answer {
    let asked = received.with_form();
    match (received.method.as_str(), received.path.as_str()) {
        ("GET", "/-/healthy") => Answer::text(200, "Prometheus Server is Healthy.\n"),
        ("GET", "/-/ready") => Answer::text(200, "Prometheus Server is Ready.\n"),
        ("GET" | "POST", "/api/v1/query") => query(world, &asked),
        ("GET", "/api/v1/status/buildinfo") => Answer::new(
            200,
            "application/json",
            r#"{"status":"success","data":{"version":"2.42.0","revision":"sandbox","branch":"HEAD","buildUser":"","buildDate":"","goVersion":"go1.19.8"}}"#,
        ),
        (_, "/api/v1/query") => Answer::text(405, "Method Not Allowed\n"),
        _ => Answer::text(404, "404 page not found\n"),
    }
}

fn query(world: &World<'_>, asked: &Received) -> Answer {
    let time = match asked.param("time").filter(|time| !time.is_empty()) {
        None => world.now,
        Some(text) => match moment(text) {
            Some(time) => time,
            None => {
                let said =
                    format!("invalid parameter \"time\": cannot parse \"{text}\" to a valid timestamp");
                return error(400, "bad_data", &said);
            }
        },
    };
    let text = asked.param("query").unwrap_or_default();
    if text.trim().is_empty() {
        let said = "invalid parameter \"query\": unknown position: parse error: no expression found in input";
        return error(400, "bad_data", said);
    }
    if let Err(said) = balanced(text) {
        return error(400, "bad_data", &format!("invalid parameter \"query\": {said}"));
    }
    let Some(series) = computed(world, &without_space(text)) else {
        return error(422, "execution", "the sandbox computes no such expression");
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
    let seconds = time.as_millisecond() as f64 / 1000.0;
    let result: Vec<Value> = series
        .into_iter()
        .map(|(labels, value)| json!({"metric": labels, "value": [seconds, written(value)]}))
        .collect();
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    Answer::new(200, "application/json", body.to_string())
}

fn error(status: u16, kind: &str, said: &str) -> Answer {
    let body = json!({"status": "error", "errorType": kind, "error": said});
    Answer::new(status, "application/json", body.to_string())
}

/// As Go writes a float.
fn written(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        _ => value.to_string(),
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::UNIX_EPOCH.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok();
    }
    text.parse().ok()
}

/// Whether brackets and strings end, which is as much as the sandbox knows of the grammar.
fn balanced(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(begun), c) if c == begun => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(') => open.push(')'),
            (None, '{') => open.push('}'),
            (None, '[') => open.push(']'),
            (None, ')' | '}' | ']') if open.pop() != Some(c) => {
                return Err(format!("1:1: parse error: unexpected character: {c:?}"));
            }
            (None, _) => {}
        }
    }
    match (quote, open.pop()) {
        (Some(_), _) => Err("1:1: parse error: unterminated quoted string".to_owned()),
        (None, Some(')')) => Err("1:1: parse error: unclosed left parenthesis".to_owned()),
        (None, Some(_)) => Err("1:1: parse error: unexpected end of input".to_owned()),
        (None, None) => Ok(()),
    }
}

/// The text without the white space that stands outside of strings, and with strings in double quotes only.
fn without_space(text: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match quote {
            Some(begun) => {
                let ends = !escaped && c == begun;
                escaped = !escaped && c == '\\' && begun != '`';
                out.push(if ends { '"' } else { c });
                if ends {
                    quote = None;
                }
            }
            None if matches!(c, '"' | '\'' | '`') => {
                quote = Some(c);
                out.push('"');
            }
            None if c.is_whitespace() => {}
            None => out.push(c),
        }
    }
    out
}

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(&format!("^{text}$")).ok()
}

static OLDEST: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"min\(timestamp\((.*)\)\)"));
/// A comparison with a number, outside of every bracket.
static COMPARED: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"(.*[)}a-z])(>=|<=|==|>|<)([0-9.]+)"));
static SELECTOR: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"([a-z_]+)(?:\{(.*)\})?"));
static MATCHER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"^([a-z_]+)="([^"]*)",?"#).ok());
/// The share of requests that failed: of one service, or by service. Both sides must be about the same requests.
static RATIO: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let rate = r"sum(byapp|by\((?:namespace,)?app\))?\(rate\(http_requests_total";
    let failed = r#"\{([^{}]*?),?code=~"5\.\."\}\[([0-9a-z]+)\]\)\)"#;
    let all = r"(?:\{([^{}]*?)\})?\[([0-9a-z]+)\]\)\)";
    pattern(&format!("{rate}{failed}/{rate}{all}"))
});

/// What the expression gives, if it is in the table.
fn computed(world: &World<'_>, text: &str) -> Option<Series> {
    if let Some(found) = OLDEST.as_ref()?.captures(text) {
        let of = selected(world, &found[1])?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
        let seconds = world.now.as_millisecond() as f64 / 1000.0;
        return Some(if of.is_empty() { of } else { vec![(Labels::new(), seconds)] });
    }
    if let Some(found) = COMPARED.as_ref()?.captures(text) {
        let than: f64 = found[3].parse().ok()?;
        let mut series = computed(world, &found[1])?;
        series.retain(|(_, value)| match &found[2] {
            ">" => *value > than,
            "<" => *value < than,
            ">=" => *value >= than,
            "<=" => *value <= than,
            _ => (*value - than).abs() < f64::EPSILON,
        });
        return Some(series);
    }
    if let Some(series) = shipped::computed(world, text) {
        return Some(series);
    }
    if let Some(found) = RATIO.as_ref()?.captures(text) {
        let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
        if part(1) != part(4) || part(2) != part(5) || part(3) != part(6) {
            return None;
        }
        return ratio(world, &matchers(part(2))?, duration(part(3))?, part(1));
    }
    selected(world, text)
}

fn ratio(world: &World<'_>, matchers: &Labels, range: Duration, by: &str) -> Option<Series> {
    let namespace = matchers.get("namespace").is_none_or(|name| name == super::NAMESPACE);
    if matchers.keys().any(|label| !matches!(label.as_str(), "namespace" | "app")) {
        return None;
    }
    let since = world.now.checked_sub(range).ok()?;
    let wanted = |name: &&str| namespace && matchers.get("app").is_none_or(|app| app == name);
    let counted: Vec<(&str, (u32, u32))> = world
        .services
        .names()
        .into_iter()
        .filter(wanted)
        .map(|name| (name, world.services.counted(name, since)))
        .filter(|(_, (all, _))| *all > 0)
        .collect();
    let share = |all: u32, failed: u32| f64::from(failed) / f64::from(all);
    if !by.is_empty() {
        let of = |(name, (all, failed)): (&str, (u32, u32))| {
            let mut labels = Labels::from([("app".to_owned(), name.to_owned())]);
            if by.contains("namespace") {
                labels.insert("namespace".to_owned(), super::NAMESPACE.to_owned());
            }
            (labels, share(all, failed))
        };
        return Some(counted.into_iter().map(of).collect());
    }
    let (all, failed) =
        counted.iter().fold((0, 0), |(all, failed), (_, next)| (all + next.0, failed + next.1));
    Some(if all == 0 { Vec::new() } else { vec![(Labels::new(), share(all, failed))] })
}

/// The series of a selector, if its metric is in the table.
fn selected(world: &World<'_>, text: &str) -> Option<Series> {
    let found = SELECTOR.as_ref()?.captures(text)?;
    let metric = &found[1];
    let matchers = matchers(found.get(2).map_or("", |part| part.as_str()))?;
    let path = match metric {
        "kube_deployment_spec_replicas" => "/spec/replicas",
        "kube_deployment_status_replicas_available" => "/status/availableReplicas",
        "kube_deployment_status_replicas_updated" => "/status/updatedReplicas",
        "kube_deployment_status_replicas_unavailable" => "/status/unavailableReplicas",
        _ => return None,
    };
    let series = world.cluster.deployments.iter().map(|((namespace, name), deployment)| {
        let labels = [
            ("__name__", metric),
            ("deployment", name),
            ("instance", "10.1.0.9:8080"),
            ("job", "kube-state-metrics"),
            ("namespace", namespace),
        ]
        .map(|(label, value)| (label.to_owned(), value.to_owned()));
        // What Kubernetes leaves out of a status is 0, and kube-state-metrics says so.
        (Labels::from(labels), deployment.pointer(path).and_then(Value::as_f64).unwrap_or(0.0))
    });
    let holds = |labels: &Labels| {
        matchers.iter().all(|(label, value)| labels.get(label).map_or("", String::as_str) == value)
    };
    Some(series.filter(|(labels, _)| holds(labels)).collect())
}

fn matchers(text: &str) -> Option<Labels> {
    let mut matchers = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let found = MATCHER.as_ref()?.captures(rest)?;
        matchers.insert(found[1].to_owned(), found[2].to_owned());
        rest = &rest[found[0].len()..];
    }
    Some(matchers)
}

/// One number with its unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_millis)
}
