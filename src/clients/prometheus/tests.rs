//! The Prometheus client against answers as Prometheus 2.42 gives them.

use super::super::Reason;
use super::super::wire::{Reply, Wire};
use super::*;

const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"auth"},"value":[1795377270.123,"0.25"]},{"metric":{"__name__":"up"},"value":[1795377270.123,"NaN"]},{"metric":{},"value":[1795377270.123,"+Inf"]}]}}"#;

fn at() -> Timestamp {
    "2026-11-22T19:54:30.123456Z".parse().unwrap()
}

async fn said(reply: Reply) -> Result<Instant, CallError> {
    let wire = Wire::start(vec![reply]).await;
    Prometheus::new(&Settings::new(format!("{}/", wire.url))).unwrap().instant("up", at()).await
}

#[tokio::test]
async fn numbers_are_read_as_they_are() {
    let Instant::Vector(samples) = said(Reply::json(VECTOR)).await.unwrap() else { panic!("a vector") };
    assert_eq!((samples[0].labels["app"].as_str(), samples[0].value), ("auth", 0.25));
    assert!(samples[1].value.is_nan() && samples[2].value == f64::INFINITY);
    let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    assert_eq!(said(Reply::json(empty)).await.unwrap(), Instant::Vector(Vec::new()));
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1795377270.123,"3"]}}"#;
    assert_eq!(said(Reply::json(scalar)).await.unwrap(), Instant::Scalar(3.0));
}

#[tokio::test]
async fn what_is_no_number_or_not_all_of_it_is_an_error() {
    let result = |kind: &str, result: &str, more: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}{more}}}"#)
    };
    for (body, part) in [
        (result("matrix", "[]", ""), "put a function such as rate() around the range"),
        (result("string", r#"[1,"a"]"#, ""), "it is a string and no number"),
        (result("vector", r#"[{"metric":{},"histogram":[1,{}]}]"#, ""), "is a histogram and no number"),
        (result("vector", r#"[{"metric":{},"value":[1,"x"]}]"#, ""), "cannot be read"),
        (
            result("vector", "[]", r#","warnings":["no store matched"]"#),
            "may not be all of it: no store matched",
        ),
        ("[]".to_owned(), "cannot be read"),
        ("<html>".to_owned(), "cannot be read"),
    ] {
        let error = said(Reply::json(&body)).await.unwrap_err();
        assert_eq!(error.reason, Reason::ServerError, "{body}");
        assert!(error.message.contains(part), "{error}");
    }
    // Remarks about the query take nothing from the answer.
    let remark = result("vector", "[]", r#","infos":["metric might not be a counter"]"#);
    assert_eq!(said(Reply::json(&remark)).await.unwrap(), Instant::Vector(Vec::new()));
}

#[tokio::test]
async fn every_error_keeps_the_servers_words() {
    for (status, body, reason, part) in [
        (
            400,
            r#"{"status":"error","errorType":"bad_data","error":"1:4: parse error"}"#,
            Reason::ClientError,
            "HTTP 400: bad_data: 1:4: parse error",
        ),
        (
            422,
            r#"{"status":"error","errorType":"execution","error":"many-to-many"}"#,
            Reason::ClientError,
            "execution: many-to-many",
        ),
        (
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
            Reason::ServerError,
            "timeout: query timed out",
        ),
        (503, "Service Unavailable", Reason::ServerError, "HTTP 503: Service Unavailable"),
        (401, "no org id", Reason::Denied, "no org id"),
        (429, "", Reason::RateLimited, "HTTP 429"),
        (302, "", Reason::ClientError, "HTTP 302"),
    ] {
        let error = said(Reply::error(status, body)).await.unwrap_err();
        assert_eq!(error.reason, reason, "{status} {body}");
        assert!(error.message.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_question_is_a_form_that_names_its_moment_and_its_tenant() {
    let wire = Wire::start(vec![Reply::json(VECTOR)]).await;
    let settings = Settings {
        tenant: Some("shop".to_owned()),
        bearer: Some(Secret::new("t0k")),
        ..Settings::new(format!("{}/prometheus/", wire.url))
    };
    let prometheus = Prometheus::new(&settings).unwrap();
    prometheus.instant(r#"up{a="b&c=+ %"}"#, at()).await.unwrap();
    let seen = wire.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/prometheus/api/v1/query"));
    assert_eq!(seen.body, "query=up%7Ba%3D%22b%26c%3D%2B+%25%22%7D&time=1795377270.123");
    let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!((header("x-scope-orgid").as_str(), header("authorization").as_str()), ("shop", "Bearer t0k"));
    assert!(!format!("{prometheus:?} {settings:?}").contains("t0k"));
}

#[tokio::test]
async fn a_prometheus_that_is_not_there_or_says_nothing() {
    let ask = async |url: String| {
        let settings = Settings { timeout: Duration::from_millis(300), ..Settings::new(url) };
        Prometheus::new(&settings).unwrap().instant("up", at()).await.unwrap_err()
    };
    assert_eq!(ask(Wire::nowhere().await).await.reason, Reason::Unreachable);
    assert_eq!(ask(Wire::breaking().await).await.reason, Reason::ServerError);
    let wire = Wire::start(vec![Reply::Hang]).await;
    let error = ask(wire.url.clone()).await;
    assert_eq!(error.reason, Reason::Timeout);
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let error = said(Reply::json(&"x".repeat(SYSTEM.most_mib * 1024 * 1024 + 1))).await.unwrap_err();
    assert!(error.message.contains("larger than 8 MiB"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for url in ["", "prometheus:9090", "/prometheus", "ftp://prometheus", "http://prometheus?x=y"] {
        assert!(Prometheus::new(&Settings::new(url)).is_err(), "{url}");
    }
    let tenant = |tenant: &str| {
        Prometheus::new(&Settings { tenant: Some(tenant.to_owned()), ..Settings::new("http://p") })
    };
    assert!(tenant("a|b").is_ok() && tenant("").is_err() && tenant("a\nb").is_err());
    let bearer =
        Prometheus::new(&Settings { bearer: Some(Secret::new("t0k\n")), ..Settings::new("http://p") });
    assert!(!bearer.unwrap_err().to_string().contains("t0k"));
}
