//! The sandbox's LogQL beyond the recorded queries: every operator of the closed language, and its neighbours.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use runbookd::sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::sandbox_wire::{Answer, send};

const AT: i64 = 1_795_377_000;

/// A sandbox with six lines, a second apart.
async fn sandbox() -> Sandbox {
    let sandbox =
        Sandbox::start(Options { traffic: false, old_lines: true, ..Options::default() }).await.unwrap();
    let lines = [
        ("auth", r#"{"level":"info","message":"ready","ms":10}"#),
        ("auth", r#"{"level":"error","message":"timeout","ms":2000}"#),
        ("chat-api", r#"{"level":"error","message":"say \"hi\"","ms":"n/a","sub":{"code":7,"list":[1]}}"#),
        ("chat-api", r#"{"level":"error","message":"cut"#),
        ("chat-api", "plain text"),
        ("chat-api", r#"{"level":"warning","message":"a`b","ms":30.5,"app":"spoofed"}"#),
    ];
    let streams: Vec<Value> = lines
        .iter()
        .zip(AT..)
        .map(|((app, line), at)| json!({"stream": {"app": app, "namespace": "n"}, "values": [[format!("{at}000000000"), line]]}))
        .collect();
    let body = json!({"streams": streams}).to_string();
    let headers = [("Content-Type", "application/json")];
    assert_eq!(
        send(&sandbox.loki_url(), "POST", "/loki/api/v1/push", &headers, &body).await.unwrap().status,
        204
    );
    sandbox
}

fn encoded(query: &str) -> String {
    query
        .bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

async fn range(sandbox: &Sandbox, query: &str, more: &str) -> Answer {
    let path = format!("/loki/api/v1/query_range?query={}&start={AT}&end={}{more}", encoded(query), AT + 60);
    send(&sandbox.loki_url(), "GET", &path, &[], "").await.unwrap()
}

/// Which lines a query returns, by their seconds.
async fn seconds(sandbox: &Sandbox, query: &str) -> Vec<i64> {
    let answer = range(sandbox, query, "").await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let answer = answer.json();
    let values = answer["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|stream| stream["values"].as_array().unwrap().clone());
    let mut seconds: Vec<i64> =
        values.map(|value| value[0].as_str().unwrap().parse::<i64>().unwrap() / 1_000_000_000 - AT).collect();
    seconds.sort_unstable();
    seconds
}

#[tokio::test]
async fn every_operator_of_the_language_selects_what_it_should() {
    let sandbox = sandbox().await;
    let cases: [(&str, &[i64]); 26] = [
        (r#"{namespace="n"}"#, &[0, 1, 2, 3, 4, 5]),
        (r#"{namespace="n", app!="auth"}"#, &[2, 3, 4, 5]),
        (r#"{namespace="n", app=~"au.*"}"#, &[0, 1]),
        (r#"{namespace="n", app=~"au"}"#, &[]),
        (r#"{namespace="n", app!~"au.*"}"#, &[2, 3, 4, 5]),
        (r#"{namespace="n", nope=""}"#, &[0, 1, 2, 3, 4, 5]),
        (r#"{namespace="n"} |= "error""#, &[1, 2, 3]),
        (r#"{namespace="n"} |= "ready" or "plain""#, &[0, 4]),
        (r#"{namespace="n"} != "error" != "plain""#, &[0, 5]),
        (r#"{namespace="n"} |~ "time|cut""#, &[1, 3]),
        (r#"{namespace="n"} !~ "time|cut""#, &[0, 2, 4, 5]),
        (r#"{namespace="n"} | json | level="error""#, &[1, 2, 3]),
        (r#"{namespace="n"} | json | level!="error""#, &[0, 4, 5]),
        (r#"{namespace="n"} | json | level=~"err.*" | __error__="""#, &[1, 2]),
        (r#"{namespace="n"} | json | __error__!="""#, &[3, 4]),
        (r#"{namespace="n"} | json | ms > 30"#, &[1, 2, 5]),
        (r#"{namespace="n"} | json | ms > 30 | __error__="""#, &[1, 5]),
        (r#"{namespace="n"} | json | ms >= 10 and ms < 31 | __error__="""#, &[0, 5]),
        (r#"{namespace="n"} | json | ms == 10 or level="warning" | __error__="""#, &[0, 5]),
        (r#"{namespace="n"} | json | ms != 10 | __error__="""#, &[1, 5]),
        (r#"{namespace="n"} | json | (level="info" or level="warning"), ms <= 10 | __error__="""#, &[0]),
        (r#"{namespace="n"} | json | message="say \"hi\"""#, &[2]),
        (r#"{namespace="n"} | json | message="\u0061\x60b""#, &[5]),
        (r#"{namespace="n"} | json | sub_code=7"#, &[2]),
        (r#"{namespace="n"} | json | app_extracted="spoofed" and app="chat-api""#, &[5]),
        ("{namespace=`n`} # all of them\n|= `ready` # but one", &[0]),
    ];
    for (query, expected) in cases {
        assert_eq!(seconds(&sandbox, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn counts_are_summed_and_grouped_on_either_side() {
    let sandbox = sandbox().await;
    let before = r#"sum by (app) (count_over_time({namespace="n"} | json | __error__="" [1m]))"#;
    let after = r#"sum(count_over_time({namespace="n"} | json | __error__="" [1m])) by (app)"#;
    let expected = json!([
        {"metric": {"app": "auth"}, "value": [AT + 30, "2"]},
        {"metric": {"app": "chat-api"}, "value": [AT + 30, "2"]},
    ]);
    for query in [before, after] {
        for time in
            [format!("{}000000000", AT + 30), format!("{}.000", AT + 30), "2026-11-22T19:50:30Z".to_owned()]
        {
            let path = format!("/loki/api/v1/query?query={}&time={time}", encoded(query));
            let answer = send(&sandbox.loki_url(), "GET", &path, &[], "").await.unwrap();
            assert_eq!(answer.json()["data"]["result"], expected, "{query} at {time}");
        }
    }
    let form = format!("query={}&time={}", encoded(before), AT + 30);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = send(&sandbox.loki_url(), "POST", "/loki/api/v1/query", &headers, &form).await.unwrap();
    assert_eq!(posted.json()["data"]["result"], expected);
    // The beginning of the range is not in it, its end is.
    let edge = encoded(r#"sum(count_over_time({app="auth"}[1s]))"#);
    let path = format!("/loki/api/v1/query?query={edge}&time={}", AT + 1);
    let answer = send(&sandbox.loki_url(), "GET", &path, &[], "").await.unwrap();
    assert_eq!(answer.json()["data"]["result"][0]["value"][1], "1");
}

#[tokio::test]
async fn a_sum_that_needs_no_labels_does_not_see_malformed_lines() {
    let sandbox = sandbox().await;
    let ask = async |query: &str| {
        let path = format!("/loki/api/v1/query?query={}&time={}", encoded(query), AT + 30);
        send(&sandbox.loki_url(), "GET", &path, &[], "").await.unwrap()
    };
    let blind = ask(r#"sum(count_over_time({namespace="n"} | json [1m]))"#).await;
    assert_eq!(blind.json()["data"]["result"][0]["value"][1], "6");
    let grouped = ask(r#"sum by (app) (count_over_time({namespace="n"} | json [1m]))"#).await;
    assert_eq!(grouped.status, 400);
    assert!(
        grouped.body.starts_with("pipeline error: 'JSONParserErr' for series: '{__error__="),
        "{}",
        grouped.body
    );
}

#[tokio::test]
async fn what_cannot_be_parsed_is_400_in_plain_text() {
    let sandbox = sandbox().await;
    let queries = [
        r#"{app="x""#,
        r#"{app=x}"#,
        r#"{"app"="x"}"#,
        r#"{app="x"} | json | ms >"#,
        r#"{app="x} | json"#,
        r#"{app="x"} | logfmt"#,
        r#"{app="x"} | json | line_format "{{.a | ToUpper}}""#,
        r#"rate({app="x"}[1m])"#,
        r#"count_over_time({app="x"})"#,
        r#"sum by app (count_over_time({app="x"}[1m]))"#,
        r#"{app="x"} | json ; "#,
        r#"{app="x"} | label_format a=b"#,
        r#"{app=~"("}"#,
        r#"{app!="x"}"#,
        r#"{app="\q"}"#,
    ];
    for query in queries {
        let answer = range(&sandbox, query, "").await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert!(answer.body.starts_with("parse error"), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn limits_directions_and_templates_hold() {
    let sandbox = sandbox().await;
    let first = range(&sandbox, r#"{namespace="n"}"#, "&limit=1&direction=FORWARD").await.json();
    assert_eq!(first["data"]["result"][0]["stream"]["app"], "auth");
    let last = range(&sandbox, r#"{namespace="n"}"#, "&limit=1").await.json();
    assert_eq!(last["data"]["result"][0]["stream"]["app"], "chat-api");
    let formatted =
        range(&sandbox, r#"{app="auth"} | json | line_format "{{.level}}: {{ .message }}{{.nope}}!""#, "")
            .await
            .json();
    let mut lines: Vec<String> = formatted["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| stream["values"][0][1].as_str().unwrap().to_owned())
        .collect();
    lines.sort();
    assert_eq!(lines, ["error: timeout!", "info: ready!"]);
    // The end of a range is not in it.
    let path =
        format!("/loki/api/v1/query_range?query={}&start={AT}&end={}", encoded(r#"{app="auth"}"#), AT + 1);
    let answer = send(&sandbox.loki_url(), "GET", &path, &[], "").await.unwrap().json();
    assert_eq!(answer["data"]["stats"]["summary"]["totalLinesProcessed"], 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_push_is_said_and_the_other_lines_are_taken() {
    let sandbox = Sandbox::start(Options { traffic: false, ..Options::default() }).await.unwrap();
    let now = runbookd::clock::now().as_second();
    let push = async |streams: Value| {
        let headers = [("Content-Type", "application/json")];
        let body = json!({"streams": streams}).to_string();
        let answer = send(&sandbox.loki_url(), "POST", "/loki/api/v1/push", &headers, &body).await.unwrap();
        (answer.status, answer.body.trim_end().to_owned())
    };
    let at = |second: i64| format!("{second}000000000");
    let stream = json!({"app": "auth"});
    let day = 24 * 3600;
    for (streams, said) in [
        (
            json!([{"stream": {}, "values": [[at(now), "a"]]}]),
            "error at least one label pair is required per stream",
        ),
        (
            json!([{"stream": {"a": "x", "b-c": "y"}, "values": [[at(now), "a"]]}]),
            "error parsing labels '{a=\"x\", b-c=\"y\"}' with error: 1:10: parse error: unexpected character inside braces: '-'",
        ),
        (
            json!([{"stream": stream, "values": [[at(now - 8 * day), "a"]]}]),
            "entry for stream '{app=\"auth\"}' has timestamp too old: ",
        ),
        (
            json!([{"stream": stream, "values": [[at(now + 3600), "a"], [at(now), "good"]]}]),
            "entry for stream '{app=\"auth\"}' has timestamp too new: ",
        ),
        (
            json!([{"stream": stream, "values": [[at(now - 3 * 3600), "a"]]}]),
            "' ignored, reason: 'entry too far behind, entry timestamp is: ",
        ),
        (
            json!([{"stream": stream, "values": [[at(now), "x".repeat(256 * 1024 + 1)]]}]),
            "max entry size '262144' bytes exceeded for stream '{app=\"auth\"}' while adding an entry with length '262145' bytes",
        ),
        (json!([{"stream": stream, "values": [["now", "a"]]}]), "a value is not a timestamp and a line"),
    ] {
        let (status, body) = push(streams).await;
        assert_eq!(status, 400, "{body}");
        assert!(body.contains(said.trim_start_matches('\'')), "{body}");
    }
    let kept: Vec<String> = sandbox.world().logs("auth").into_iter().map(|line| line.text).collect();
    assert_eq!(kept, ["good"]);
    assert_eq!(push(json!([{"stream": stream, "values": [[at(now), "more"]]}])).await, (204, String::new()));
}
