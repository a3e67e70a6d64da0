//! Loki: push, instant and range queries in a closed part of LogQL, with the traps of the real server: an empty result
//! is `[]`, errors are plain text, one malformed line fails a metric query, a log query is no instant query.

mod jsonline;
mod lex;
mod metric;
mod parse;
mod pipeline;
mod push;
mod stats;
mod store;
mod times;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::server::{Answer, Received};
use super::services::nanoseconds;
use parse::Query;
pub use store::LogLine;
pub(super) use store::{Labels, Logs};
use times::{Direction, Range};

const MAX_ENTRIES: usize = 5000;
const MAX_POINTS: i64 = 11_000;
/// 30d1h.
const MAX_LENGTH: i64 = (30 * 24 + 1) * 3600 * 1_000_000_000;
const ENOUGH_SERIES: usize = 500;

/// Answers a request, and stores what is pushed.
pub(super) fn answer(logs: &mut Logs, received: &Received, now: Timestamp) -> Answer {
    let asked = received.with_form();
    let method = received.method.as_str();
    match (method, received.path.as_str()) {
        ("POST", "/loki/api/v1/push") => push::push(logs, received, now),
        ("GET" | "POST", "/loki/api/v1/query") => finished(instant(logs, &asked, now)),
        ("GET" | "POST", "/loki/api/v1/query_range") => finished(range(logs, &asked, now)),
        ("GET", "/ready") => Answer::text(200, "ready\n"),
        ("GET" | "POST", "/loki/api/v1/labels") => {
            json_answer(&json!({"status": "success", "data": logs.label_names()}))
        }
        ("GET" | "POST", "/loki/api/v1/series") => finished(series(logs, &asked)),
        ("GET", "/loki/api/v1/status/buildinfo") => Answer::new(
            200,
            "application/json",
            r#"{"version":"main-65e30f8","revision":"65e30f8488","branch":"main","buildUser":"","buildDate":"","goVersion":"go1.26.6"}"#,
        ),
        (_, "/loki/api/v1/push" | "/loki/api/v1/query" | "/loki/api/v1/query_range") => {
            Answer::text(405, "").with("Allow", "GET, POST")
        }
        _ => Answer::text(404, "404 page not found\n"),
    }
}

fn finished(result: Result<Value, String>) -> Answer {
    match result {
        Ok(body) => json_answer(&body),
        Err(why) => Answer::text(400, why).with("Vary", "Accept-Encoding"),
    }
}

fn json_answer(body: &Value) -> Answer {
    Answer::new(200, "application/json; charset=UTF-8", body.to_string()).with("Vary", "Accept-Encoding")
}

fn success(kind: &str, result: Value, stats: Value) -> Value {
    json!({"status": "success", "data": {"resultType": kind, "result": result, "stats": stats}})
}

fn instant(logs: &Logs, asked: &Received, now: Timestamp) -> Result<Value, String> {
    let at = times::moment(asked, "time")?.unwrap_or_else(|| nanoseconds(now));
    times::limit(asked)?;
    times::direction(asked)?;
    let metric = match parse::query(asked.param("query").unwrap_or_default())? {
        Query::Metric(metric) => metric,
        Query::Logs(_) => {
            let why = "log queries are not supported as an instant query type, please change your query to a range \
                       query type";
            return Err(why.to_owned());
        }
    };
    let counted = metric::count(logs, &metric, at, at)?;
    let vector: Vec<Value> = counted
        .series
        .iter()
        .filter_map(|(labels, times)| {
            let count = metric::within(times, at, metric.range);
            (count > 0).then(|| json!({"metric": labels, "value": [times::seconds(at), count.to_string()]}))
        })
        .collect();
    enough(vector.len())?;
    let stats = stats::of(&counted.read, vector.len(), counted.matched);
    Ok(success("vector", json!(vector), stats))
}

fn range(logs: &Logs, asked: &Received, now: Timestamp) -> Result<Value, String> {
    let range = Range::of(asked, nanoseconds(now))?;
    match parse::query(asked.param("query").unwrap_or_default())? {
        Query::Logs(query) => {
            range.check_length()?;
            if range.limit > MAX_ENTRIES {
                let limit = range.limit;
                return Err(format!(
                    "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {MAX_ENTRIES})"
                ));
            }
            Ok(streams(logs, &query, &range))
        }
        Query::Metric(metric) => {
            if (range.end - range.start) / range.step > MAX_POINTS {
                let why = "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of \
                           the step parameter";
                return Err(why.to_owned());
            }
            range.check_length()?;
            matrix(logs, &metric, &range)
        }
    }
}

fn streams(logs: &Logs, query: &parse::LogQuery, range: &Range) -> Value {
    let mut read = stats::Read::default();
    let mut entries: Vec<(i64, &Labels, &str)> = logs
        .select(&query.selector)
        .flat_map(|(labels, lines)| {
            let inside = store::between(lines, range.start, range.end - 1);
            inside.map(move |line| (line.at, labels, line.text.as_str()))
        })
        .collect();
    match range.direction {
        Direction::Forward => entries.sort_by_key(|entry| entry.0),
        Direction::Backward => entries.sort_by_key(|entry| std::cmp::Reverse(entry.0)),
    }
    let mut found: std::collections::BTreeMap<Labels, Vec<Value>> = std::collections::BTreeMap::new();
    let mut returned = 0;
    for (at, labels, line) in entries {
        if returned == range.limit {
            break;
        }
        read.add(line);
        if let Some(kept) = pipeline::run(&query.stages, labels, line, &pipeline::Hints::all()) {
            returned += 1;
            let values = found.entry(kept.labels()).or_default();
            values.push(json!([at.to_string(), kept.line]));
        }
    }
    let result: Vec<Value> =
        found.into_iter().map(|(labels, values)| json!({"stream": labels, "values": values})).collect();
    success("streams", json!(result), stats::of(&read, returned, returned))
}

fn matrix(logs: &Logs, metric: &parse::Metric, range: &Range) -> Result<Value, String> {
    // The query frontend splits by time, and aligns both ends to the step for that.
    let first = range.start - range.start.rem_euclid(range.step);
    let last = match range.end.rem_euclid(range.step) {
        0 => range.end,
        over => range.end - over + range.step,
    };
    let counted = metric::count(logs, metric, first, last)?;
    let mut result = Vec::new();
    for (labels, times) in &counted.series {
        let mut values = Vec::new();
        let mut at = first;
        while at <= last {
            let count = metric::within(times, at, metric.range);
            if count > 0 {
                values.push(json!([times::seconds(at), count.to_string()]));
            }
            at += range.step;
        }
        if !values.is_empty() {
            result.push(json!({"metric": labels, "values": values}));
        }
    }
    enough(result.len())?;
    let stats = stats::of(&counted.read, result.len(), counted.matched);
    Ok(success("matrix", json!(result), stats))
}

fn enough(series: usize) -> Result<(), String> {
    if series <= ENOUGH_SERIES {
        return Ok(());
    }
    Err(format!(
        "maximum number of series ({ENOUGH_SERIES}) reached for a single query; consider reducing query cardinality by \
         adding more specific stream selectors, reducing the time range, or aggregating results with functions like \
         sum(), count() or topk()"
    ))
}

fn series(logs: &Logs, asked: &Received) -> Result<Value, String> {
    let mut data = Vec::new();
    for (_, text) in asked.query.iter().filter(|(key, _)| key == "match[]" || key == "match") {
        let Query::Logs(query) = parse::query(text)? else {
            return Err("only label matchers are supported".into());
        };
        data.extend(logs.select(&query.selector).map(|(labels, _)| json!(labels)));
    }
    Ok(json!({"status": "success", "data": data}))
}
