//! The Loki client against recorded answers of a real Loki.

use super::super::Reason;
use super::super::wire::{Reply, Wire};
use super::*;

async fn with(replies: Vec<Reply>) -> (Loki, Wire) {
    let wire = Wire::start(replies).await;
    (Loki::new(&Settings::new(format!("{}/", wire.url))).unwrap(), wire)
}

fn at() -> Timestamp {
    "2026-11-22T19:54:30.000000001Z".parse().unwrap()
}

async fn samples_of(file: &str) -> Result<Vec<Sample>, CallError> {
    let (loki, _wire) = with(vec![Reply::recorded(&format!("loki/{file}"))]).await;
    loki.instant("q", at()).await
}

async fn lines_of(file: &str) -> Result<Vec<Line>, CallError> {
    let (loki, _wire) = with(vec![Reply::recorded(&format!("loki/{file}"))]).await;
    loki.lines("q", at(), at(), 100).await
}

#[tokio::test]
async fn recorded_numbers_are_read() {
    let told = |samples: Vec<Sample>| {
        samples.iter().map(|sample| format!("{:?} {}", sample.labels, sample.value)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(samples_of("ok-s1a-metric-drop.txt").await.unwrap()),
        [r#"{"app": "auth"} 2"#, r#"{"app": "chat-api"} 5"#, r#"{"app": "inference"} 1"#]
    );
    assert_eq!(told(samples_of("query-timeout-1ms.txt").await.unwrap()), ["{} 746"]);
    assert!(samples_of("ok-empty-vector.txt").await.unwrap().is_empty(), "empty is empty, and not a zero");
    for file in ["ok-empty-matrix.txt", "ok-empty-streams.txt", "ok-scalar.txt"] {
        let error = samples_of(file).await.unwrap_err();
        assert_eq!(
            (error.reason, error.message.as_str()),
            (Reason::ServerError, "the answer cannot be read: it is not a vector"),
            "{file}"
        );
    }
}

#[tokio::test]
async fn recorded_lines_are_read_newest_first_over_all_streams() {
    let lines = lines_of("log-query-700-lines-limit-100.txt").await.unwrap();
    assert_eq!(lines.len(), 100);
    assert!(lines.is_sorted_by(|newer, older| newer.at >= older.at));
    assert_eq!(lines[0].at.as_nanosecond(), 1_795_377_270_746_092_664);
    assert_eq!(lines[0].labels["trace_id"], "x0");
    assert_eq!(lines[0].text, r#"{"level": "error", "message": "timeout 0", "trace_id": "x0"}"#);
    for file in ["structured-metadata-categorized.txt", "structured-metadata-json.txt"] {
        assert_eq!(
            lines_of(file).await.unwrap()[0].text,
            r#"{"level":"error","message":"timeout sm"}"#,
            "{file}"
        );
    }
    assert!(lines_of("ok-empty-streams.txt").await.unwrap().is_empty());
    assert_eq!(lines_of("ok-empty-vector.txt").await.unwrap_err().reason, Reason::ServerError);
}

#[tokio::test]
async fn every_recorded_error_keeps_lokis_words() {
    for (file, reason, said) in [
        ("s1a.metric.query.txt", Reason::ClientError, "HTTP 400: pipeline error: 'JSONParserErr' for series"),
        ("s1a.query.txt", Reason::ClientError, "log queries are not supported as an instant query type"),
        (
            "err-no-matcher.txt",
            Reason::ClientError,
            "queries require at least one regexp or equality matcher",
        ),
        ("series-explosion-no-sum.txt", Reason::ClientError, "maximum number of series (500)"),
        ("starting-query-0.txt", Reason::Timeout, "HTTP 504: request timed out"),
        ("starting-ready-0.txt", Reason::ServerError, "HTTP 503"),
        ("err-404.txt", Reason::NotFound, "404 page not found"),
    ] {
        let error = samples_of(file).await.unwrap_err();
        assert_eq!(error.reason, reason, "{file}: {error}");
        assert!(error.message.contains(said), "{file}: {error}");
    }
    for (status, reason) in [(401, Reason::Denied), (429, Reason::RateLimited), (302, Reason::ClientError)] {
        let (loki, _wire) = with(vec![Reply::Answer(
            status,
            vec![("Location".to_owned(), "/".to_owned())],
            "no org id".to_owned(),
        )])
        .await;
        assert_eq!(loki.instant("q", at()).await.unwrap_err().reason, reason);
    }
}

#[tokio::test]
async fn a_question_names_its_moment_its_tenant_and_wants_no_cached_answer() {
    let wire = Wire::start(vec![
        Reply::recorded("loki/ok-empty-vector.txt"),
        Reply::recorded("loki/ok-empty-streams.txt"),
    ])
    .await;
    let settings = Settings {
        tenant: Some("shop".to_owned()),
        bearer: Some(Secret::new("t0k")),
        ..Settings::new(&wire.url)
    };
    let loki = Loki::new(&settings).unwrap();
    loki.instant(r#"sum({app="a b&c"})"#, at()).await.unwrap();
    loki.lines("{}", at(), at(), 1_000_000).await.unwrap();
    let seen = wire.seen();
    assert_eq!(
        seen[0].uri,
        "/loki/api/v1/query?query=sum%28%7Bapp%3D%22a+b%26c%22%7D%29&time=1795377270000000001"
    );
    assert_eq!(
        seen[1].uri,
        "/loki/api/v1/query_range?query=%7B%7D&start=1795377270000000001&end=1795377270000000001&limit=5000&direction=backward"
    );
    for seen in seen {
        let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("cache-control"), "no-cache");
        assert_eq!(header("x-scope-orgid"), "shop");
        assert_eq!(header("authorization"), "Bearer t0k");
        assert_eq!(header("user-agent"), concat!("runbookd/", env!("CARGO_PKG_VERSION")));
    }
    assert!(!format!("{loki:?} {settings:?}").contains("t0k"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (loki, _wire) = with(vec![Reply::json(&"x".repeat(SYSTEM.most_mib * 1024 * 1024 + 1))]).await;
    let error = loki.lines("q", at(), at(), 1).await.unwrap_err();
    assert!(error.message.contains("larger than 8 MiB"), "{error}");
}

#[tokio::test]
async fn a_loki_that_is_not_there_or_says_nothing() {
    let ask = async |url: String| {
        let settings = Settings { timeout: Duration::from_millis(300), ..Settings::new(url) };
        Loki::new(&settings).unwrap().instant("q", at()).await.unwrap_err()
    };
    assert_eq!(ask(Wire::nowhere().await).await.reason, Reason::Unreachable);
    assert_eq!(ask(Wire::breaking().await).await.reason, Reason::ServerError);
    let wire = Wire::start(vec![Reply::Hang]).await;
    let error = ask(wire.url.clone()).await;
    assert_eq!(error.reason, Reason::Timeout);
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for url in ["", "loki:3100", "/loki", "ftp://loki", "http://loki?x=y"] {
        assert!(Loki::new(&Settings::new(url)).is_err(), "{url}");
    }
    let tenant = |tenant: &str| {
        Loki::new(&Settings { tenant: Some(tenant.to_owned()), ..Settings::new("http://loki") })
    };
    assert!(tenant("a|b").is_ok() && tenant("").is_err() && tenant("a\nb").is_err());
    let bearer = Loki::new(&Settings { bearer: Some(Secret::new("t0k\n")), ..Settings::new("http://loki") });
    assert!(!bearer.unwrap_err().to_string().contains("t0k"));
}

#[tokio::test]
async fn lines_are_pushed_with_all_the_digits_of_their_moments_and_for_the_tenant() {
    let wire = Wire::start(vec![Reply::Answer(204, Vec::new(), String::new())]).await;
    let settings = Settings { tenant: Some("shop".to_owned()), ..Settings::new(&wire.url) };
    let stream = Stream {
        labels: [("app".to_owned(), "auth".to_owned())].into(),
        lines: vec![(at(), r#"{"level":"error"}"#.to_owned()), (at(), "plain".to_owned())],
    };
    Loki::new(&settings).unwrap().push(&[stream]).await.unwrap();
    let seen = wire.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/loki/api/v1/push"));
    assert_eq!(
        (&seen.headers["x-scope-orgid"], &seen.headers["content-type"]),
        (&"shop".parse().unwrap(), &"application/json".parse().unwrap())
    );
    let body: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    let values = serde_json::json!([
        ["1795377270000000001", r#"{"level":"error"}"#],
        ["1795377270000000001", "plain"],
    ]);
    assert_eq!(body, serde_json::json!({"streams": [{"stream": {"app": "auth"}, "values": values}]}));
}

#[tokio::test]
async fn a_refused_push_keeps_lokis_words_and_is_not_sent_again() {
    let old = "entry for stream '{app=\"auth\"}' has timestamp too old: 2026-01-01T00:00:00Z, oldest acceptable timestamp \
               is: 2026-11-15T00:00:00Z";
    for (status, said, reason) in [
        (400, old, Reason::ClientError),
        (401, "no org id", Reason::Denied),
        (429, "ingestion rate limit exceeded", Reason::RateLimited),
        (500, "empty ring", Reason::ServerError),
    ] {
        let (loki, wire) = with(vec![Reply::error(status, said)]).await;
        let error = loki.push(&[]).await.unwrap_err();
        assert_eq!((error.reason, wire.seen().len()), (reason, 1), "{error}");
        assert!(error.message.contains(said), "{error}");
    }
}
