//! Loki's recordings. The lines that the real server held are put together from its own answers.

use std::collections::{BTreeMap, BTreeSet};

use runbookd::sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use super::assert_all_accounted_for;
use crate::sandbox_recordings::{Recording, names, recording, shape};
use crate::sandbox_wire::{Answer, send};

/// Recorded before the lines of `bulk`, `dup`, `sm` and `vis` were pushed.
const FIRST: &[&str] = &[
    "buildinfo",
    "err-404",
    "err-bad-direction",
    "err-bad-regex",
    "err-bad-start",
    "err-empty-compatible-matcher",
    "err-empty-query",
    "err-end-before-start",
    "err-instant-range-vector-40d",
    "err-limit-too-big",
    "err-limit-zero",
    "err-metric-range-too-long-40d",
    "err-no-matcher",
    "err-parse-unbalanced",
    "err-parse-unknown-stage",
    "err-range-too-long-40d",
    "err-resolution",
    "labels",
    "ok-empty-matrix",
    "ok-empty-streams",
    "ok-empty-vector",
    "ok-instant-time-param",
    "ok-no-time-range",
    "ok-s1a-metric-noerr-after-json",
    "ok-s5a-full",
    "ok-s5a-metric-noerr",
    "ok-s5a-noerr",
    "ok-spoofed-label",
    "ok-spoofed-sum-by-app",
    "ok-streams-limit1-backward",
    "ok-streams-limit1-forward",
    "ok-vector-no-sum",
    "qr-all-errors-with-comment.query_range",
    "qr-all-errors.query_range",
    "qr-auth.query_range",
    "qr-inf.query_range",
    "qr-restarts.query_range",
    "qr-slow.query_range",
    "qr-trace-real.query_range",
    "qr-trace.metric.query",
    "qr-trace.query_range",
    "ready",
    "s1a.metric.query",
    "s1a.metric.query_range",
    "s1a.query",
    "s1a.query_range",
    "s1b.query_range",
    "s2.metric.query",
    "s2.query_range",
    "s3.metric.query",
    "s3.metric.query_range",
    "s3.query_range",
    "s4-with-comment.query",
    "s4-with-comment.query_range",
    "s4.query_range",
    "s5-both-lines-as-one.query",
    "s5-both-lines-as-one.query_range",
    "s5a.metric.query",
    "s5a.query_range",
    "s5b.query_range",
    "series",
    "starting-ready-1",
    "starting-ready-2",
    "starting-ready-3",
    "starting-ready-4",
];

/// Recorded after them.
const SECOND: &[&str] = &[
    "auth-bearer-only",
    "auth-no-tenant",
    "auth-other-tenant",
    "backtick",
    "escaped-injection",
    "log-query-700-lines-limit-100",
    "multi-tenant",
    "query-timeout-1ms",
    "raw-injection",
    "regex-dot-star",
    "series-explosion-no-sum",
    "series-explosion-with-sum",
    "starting-query-2",
    "starting-query-3",
    "starting-query-4",
    "starting-query-5",
];

const OUTSIDE: &str = "lies outside of the LogQL that the sandbox speaks; it answers with a parse error";

const LEFT_OUT: &[(&str, &str)] = &[
    ("gzip", "the recording holds no answer"),
    ("index-stats", "no client asks for them"),
    ("ok-absent", OUTSIDE),
    ("ok-comparison-bool", OUTSIDE),
    ("ok-comparison-filter", OUTSIDE),
    ("ok-or-vector0", OUTSIDE),
    ("ok-s1a-metric-drop", OUTSIDE),
    ("ok-scalar", OUTSIDE),
    ("starting-query-0", "the recording holds no request; the sandbox is ready at once"),
    ("starting-query-1", "the recording holds no request; the sandbox is ready at once"),
    ("starting-ready-0", "the recording holds no request; the sandbox is ready at once"),
    ("starting-ready-5", "the recording holds no request; the sandbox is ready at once"),
    ("structured-metadata", "the sandbox stores no structured metadata"),
    ("structured-metadata-categorized", "the sandbox stores no structured metadata"),
    ("structured-metadata-json", "the sandbox stores no structured metadata"),
];

#[test]
fn every_recording_of_loki_is_replayed_or_left_out_with_a_reason() {
    let replayed: Vec<&str> = FIRST.iter().chain(SECOND).copied().collect();
    assert_all_accounted_for("loki", &replayed, LEFT_OUT);
}

#[tokio::test]
async fn loki_answers_as_recorded() {
    let sandbox = Sandbox::start(Options { traffic: false, pace: 1, old_lines: true, ..Options::default() })
        .await
        .unwrap();
    push(&sandbox, recorded_lines()).await;
    let mut faults = Vec::new();
    for name in FIRST {
        compare(&sandbox, name, &mut faults).await;
    }
    push(&sandbox, later_lines()).await;
    for name in SECOND {
        compare(&sandbox, name, &mut faults).await;
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test]
async fn what_lies_outside_of_the_sandbox_is_a_parse_error_and_never_an_empty_result() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    for (name, reason) in LEFT_OUT.iter().filter(|(_, reason)| *reason == OUTSIDE) {
        let answer = ask(&sandbox, &recording("loki", name)).await;
        assert_eq!(answer.status, 400, "{name} {reason}");
        assert!(answer.body.starts_with("parse error"), "{name}: {}", answer.body);
    }
}

type Lines = BTreeSet<(BTreeMap<String, String>, i64, String)>;

/// The lines of the real server: those in its answers, and as many others as it says it has read.
fn recorded_lines() -> Lines {
    let mut lines = Lines::new();
    for name in
        names("loki").iter().filter(|name| !name.starts_with("starting") && !name.contains("all-errors"))
    {
        let answer = recording("loki", name).json();
        for stream in answer["data"]["result"].as_array().into_iter().flatten() {
            let Some(found) = stream["stream"].as_object() else { continue };
            let labels: BTreeMap<String, String> = ["app", "namespace", "pod"]
                .into_iter()
                .filter_map(|label| Some((label.to_owned(), found.get(label)?.as_str()?.to_owned())))
                .collect();
            if matches!(labels["app"].as_str(), "bulk" | "sm") {
                continue;
            }
            for value in stream["values"].as_array().unwrap() {
                let at = value[0].as_str().unwrap().parse().unwrap();
                lines.insert((labels.clone(), at, value[1].as_str().unwrap().to_owned()));
            }
        }
    }
    // Four lines of chat-api match none of the recorded queries, and twelve are older than an hour.
    let unseen = [1_795_374_373, 1_795_374_376, 1_795_377_170, 1_795_377_173].into_iter();
    for at in unseen.chain((0..12).map(|number| 1_795_370_000 + number)) {
        let line = json!({"level": "info", "service": "chat-api", "message": "request done", "inference_time_ms": 120});
        lines.insert((labels("chat-api", Some("chat-api-7d9c-aaaa")), at * 1_000_000_000, line.to_string()));
    }
    lines
}

fn later_lines() -> Lines {
    let mut lines = Lines::new();
    let first = 1_795_377_270_746_092_664;
    for number in 0..700 {
        let line = format!(r#"{{"level": "error", "message": "timeout {number}", "trace_id": "x{number}"}}"#);
        lines.insert((labels("bulk", Some("b-0")), first - number * 300_000_000, line));
    }
    for (app, count) in [("dup", 2), ("sm", 1), ("vis", 1)] {
        for number in 0..count {
            lines.insert((labels(app, None), first + number, format!(r#"{{"message":"{app}"}}"#)));
        }
    }
    lines
}

fn labels(app: &str, pod: Option<&str>) -> BTreeMap<String, String> {
    let pairs = [("app", Some(app)), ("namespace", Some("samosachaat-prod")), ("pod", pod)];
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect()
}

async fn push(sandbox: &Sandbox, lines: Lines) {
    let streams: Vec<Value> = lines
        .into_iter()
        .map(|(labels, at, line)| json!({"stream": labels, "values": [[at.to_string(), line]]}))
        .collect();
    let body = json!({"streams": streams}).to_string();
    let headers = [("Content-Type", "application/json")];
    let answer = send(&sandbox.loki_url(), "POST", "/loki/api/v1/push", &headers, &body).await.unwrap();
    assert_eq!(answer.status, 204, "{}", answer.body);
}

/// Sends a recorded request. The real server's present is given as a time where the request has none.
async fn ask(sandbox: &Sandbox, recorded: &Recording) -> Answer {
    let mut path = recorded.path.clone();
    let present = recorded.json()["data"]["result"][0]["value"][0].as_f64();
    let date = recorded.header("Date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let date = date.map(|date| date.timestamp().as_second());
    let present = present.map(|at| format!("{at:.3}")).or(date.map(|date| date.to_string()));
    if let Some(present) = present.filter(|_| path.contains("query=")) {
        if path.contains("/query?") && !path.contains("&time=") {
            path.push_str(&format!("&time={present}"));
        } else if path.contains("/query_range?") && !path.contains("&start=") {
            path.push_str(&format!("&end={present}"));
        }
    }
    send(&sandbox.loki_url(), &recorded.method, &path, &[], &recorded.body).await.unwrap()
}

async fn compare(sandbox: &Sandbox, name: &str, faults: &mut Vec<String>) {
    let recorded = recording("loki", name);
    let answer = ask(sandbox, &recorded).await;
    let mut check = |what: &str, ours: String, real: String| {
        if ours != real {
            faults.push(format!("{name}: {what}\n  ours {ours}\n  real {real}"));
        }
    };
    check("status", answer.status.to_string(), recorded.status.to_string());
    let content_type = |header: Option<&str>| header.unwrap_or_default().to_owned();
    check(
        "content type",
        content_type(answer.header("Content-Type")),
        content_type(recorded.header("Content-Type")),
    );
    let Some(real) = serde_json::from_str::<Value>(&recorded.answer).ok().filter(|_| recorded.status == 200)
    else {
        check("body", answer.body.trim_end().to_owned(), recorded.answer.trim_end().to_owned());
        return;
    };
    let ours = answer.json();
    if real["data"]["resultType"].is_null() {
        let sorted = |value: &Value| value.to_string();
        check("body", sorted(&ours), sorted(&real));
        return;
    }
    check("type", ours["data"]["resultType"].to_string(), real["data"]["resultType"].to_string());
    check("result", result(&ours), result(&real));
    check(
        "shape of stats",
        format!("{:?}", shape(&ours["data"]["stats"])),
        format!("{:?}", shape(&real["data"]["stats"])),
    );
    // Where the limit ends the reading, and where the real server splits a range, it reads more than we do.
    let full = ["limit=1&", "limit=1\n", "limit=2&"]
        .iter()
        .any(|limit| format!("{}\n", recorded.path).contains(limit));
    if !full && real["data"]["resultType"] != "matrix" && name != "log-query-700-lines-limit-100" {
        let read = |answer: &Value| answer["data"]["stats"]["summary"]["totalLinesProcessed"].to_string();
        check("lines read", read(&ours), read(&real));
    }
}

/// The result with its streams in a fixed order.
fn result(answer: &Value) -> String {
    let mut items: Vec<String> =
        answer["data"]["result"].as_array().unwrap().iter().map(|item| item.to_string()).collect();
    items.sort();
    items.join("\n    ")
}
