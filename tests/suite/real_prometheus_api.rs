//! The Prometheus client, and what is read of PromQL, against a real Prometheus. It is Debian's package `prometheus`, started by hand on a
//! configuration that scrapes itself; where it is not installed, the tests say so and end, and `RUNBOOKD_REAL=require` makes that a failure.

use std::process::Stdio;
use std::time::Duration;

use runbookd::clients::http_client;
use runbookd::clients::prometheus::{Instant, Prometheus, Settings};
use runbookd::clients::{CallError, Reason};
use runbookd::clock::{after, before, now};
use runbookd::promql::PromQuery;
use runbookd::sandbox::{Options, Sandbox};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::daemon::{LIMIT, until};
use super::real_alertmanager::real;

const CONFIGURATION: &str = "global: {scrape_interval: 1s}
scrape_configs:
- job_name: itself
  static_configs: [{targets: ['127.0.0.1:PORT'], labels: {hostile: \"a\\\"b'c\\\\d.e\"}}]
- job_name: gone
  static_configs: [{targets: ['127.0.0.1:1']}]
";

struct Server {
    client: Prometheus,
    url: String,
    _child: Child,
    _folder: TempDir,
}

/// The real Prometheus, when it has scraped itself a few times. None when it is not installed.
async fn server() -> Option<Server> {
    let program = real("prometheus")?;
    let folder = tempfile::tempdir().unwrap();
    let port = runbookd::chaos::stage::free_port().unwrap();
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, CONFIGURATION.replace("PORT", &port.to_string())).unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the real program is started by hand")]
    let child = Command::new(program)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let http = http_client(Duration::from_secs(5)).unwrap();
    let ready = format!("{url}/-/ready");
    let is_ready = async || http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success());
    let words = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    assert!(until(LIMIT, is_ready).await, "Prometheus is not ready: {}", words());
    let client = Prometheus::new(&Settings::new(&url)).unwrap();
    let scraped = async || {
        let count = client.instant("count_over_time(up{job=\"itself\"}[1m])", now()).await;
        matches!(count, Ok(Instant::Vector(samples)) if samples.first().is_some_and(|sample| sample.value >= 2.0))
    };
    assert!(until(LIMIT, scraped).await, "Prometheus scrapes nothing: {}", words());
    Some(Server { client, url, _child: child, _folder: folder })
}

impl Server {
    async fn ask(&self, query: &str) -> Result<Instant, CallError> {
        self.client.instant(query, now()).await
    }

    /// The one number of a query.
    async fn one(&self, query: &str) -> f64 {
        match self.ask(query).await.expect(query) {
            Instant::Scalar(value) => value,
            Instant::Vector(samples) => {
                assert_eq!(samples.len(), 1, "{query}: {samples:?}");
                samples[0].value
            }
        }
    }
}

#[tokio::test]
async fn a_real_prometheus_gives_what_the_client_reads() {
    let Some(server) = server().await else { return };
    for (query, value) in [
        ("vector(0.25)", 0.25),
        ("scalar(vector(3))", 3.0),
        ("42", 42.0),
        ("up{job='itself'}", 1.0),
        ("up{job=\"gone\"}", 0.0),
        ("count(up)", 2.0),
        ("vector(1) / 0", f64::INFINITY),
    ] {
        assert_eq!(server.one(query).await, value, "{query}");
    }
    assert!(server.one("vector(0) / 0").await.is_nan());
    let Instant::Vector(both) = server.ask("up").await.unwrap() else { panic!("a vector") };
    let mut jobs: Vec<&str> = both.iter().map(|sample| sample.labels["job"].as_str()).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ["gone", "itself"]);
    assert_eq!(server.ask("up{job=\"no such\"}").await.unwrap(), Instant::Vector(Vec::new()));
    for (query, reason, part) in [
        ("sum(", Reason::ClientError, "HTTP 400: bad_data: "),
        ("", Reason::ClientError, "no expression found in input"),
        ("up * on () up", Reason::ClientError, "HTTP 422: execution: "),
        ("up[1m]", Reason::ServerError, "put a function such as rate() around the range"),
        ("\"text\"", Reason::ServerError, "it is a string and no number"),
    ] {
        let error = server.ask(query).await.unwrap_err();
        assert_eq!(error.reason, reason, "{query}: {error}");
        assert!(error.message.contains(part), "{query}: {error}");
    }
}

#[tokio::test]
async fn a_real_sample_stays_the_present_one_for_minutes_and_tells_when_it_was_measured() {
    let Some(server) = server().await else { return };
    // Asked about a moment four minutes on, it is still given, and its age is told.
    let later = after(now(), Duration::from_secs(4 * 60));
    let at = |query: &'static str| server.client.instant(query, later);
    let Ok(Instant::Vector(samples)) = at("up{job=\"itself\"}").await else { panic!("a vector") };
    assert_eq!(samples[0].value, 1.0, "it is four minutes old and passes for the present one");
    let Ok(Instant::Vector(oldest)) = at("min(timestamp(up{job=\"itself\"}))").await else {
        panic!("a vector")
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    let (from, to) =
        (before(now(), Duration::from_secs(60)).as_second() as f64, now().as_second() as f64 + 1.0);
    assert!((from..=to).contains(&oldest[0].value), "{} is not in {from}..{to}", oldest[0].value);
    // So does one behind an offset: the moment at which it was measured, not the one that was asked about.
    let Ok(Instant::Vector(offset)) = at("min(timestamp(up{job=\"itself\"} offset 4m))").await else {
        panic!("a vector")
    };
    assert!((from..=to).contains(&offset[0].value));
    let sixth = after(now(), Duration::from_secs(6 * 60));
    assert_eq!(server.client.instant("up", sixth).await.unwrap(), Instant::Vector(Vec::new()));
}

#[tokio::test]
async fn a_real_prometheus_takes_what_is_taken_here_and_a_hostile_value_stands_for_itself() {
    let Some(server) = server().await else { return };
    let value = "a\"b'c\\d.e";
    for text in [
        r#"up{hostile="${labels.x}"}"#,
        r"up{hostile='${labels.x}'}",
        r#"up{hostile=~"${labels.x}|other"}"#,
        r"up{hostile=~'(${labels.x})'}",
        r#"sum by (job) (up{hostile="${labels.x}"}) # a comment"#,
        r#"max_over_time(up{hostile="${labels.x}"}[1m])"#,
        r#"max_over_time((up{hostile="${labels.x}"} == bool 1)[30s:1s])"#,
        r#"(up{hostile="${labels.x}"} or vector(0)) > bool .5 and on () vector(1e-3)"#,
    ] {
        let query = PromQuery::parse(text).unwrap();
        for scale in [1, 2] {
            let rendered = query.with(|_| Some(value.to_owned()), scale).unwrap();
            let Instant::Vector(samples) = server.ask(&rendered.query).await.expect(&rendered.query) else {
                panic!("a vector: {}", rendered.query)
            };
            assert_eq!(samples.first().map(|sample| sample.value), Some(1.0), "{}", rendered.query);
            for selector in rendered.bare {
                let oldest = server.ask(&format!("min(timestamp({selector}))")).await;
                assert!(oldest.is_ok(), "{selector}: {oldest:?}");
            }
        }
        // One that is not its own matches nothing.
        let other = query.with(|_| Some("a\"b'c\\dxe".to_owned()), 1).unwrap();
        if !text.contains("vector(0)") {
            assert_eq!(
                server.ask(&other.query).await.unwrap(),
                Instant::Vector(Vec::new()),
                "{}",
                other.query
            );
        }
    }
    // What is refused here, the real one refuses, too; but for `@`, which means something there.
    for text in
        ["sum(up", "up{job=\"a\"", "up[5q]", "up{job}", "{}", "up{job=~\"(\"}", "up offset", "up & up"]
    {
        assert!(PromQuery::parse(text).is_err(), "{text}");
        assert_eq!(server.ask(text).await.unwrap_err().reason, Reason::ClientError, "{text}");
    }
}

/// Status, kind of error and kind of result: what a client decides on.
async fn shape(url: &str, method: &str, pairs: &[(&str, &str)]) -> (u16, String) {
    let http = http_client(LIMIT).unwrap();
    let query = reqwest::Url::parse_with_params("http://form/", pairs).unwrap();
    let form = query.query().unwrap_or_default().to_owned();
    let request = match method {
        "GET" => http.get(format!("{url}/api/v1/query?{form}")),
        _ => http
            .post(format!("{url}/api/v1/query"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form),
    };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.unwrap();
    let of = |pointer: &str| body.pointer(pointer).map(ToString::to_string).unwrap_or_default();
    (status, ["/status", "/errorType", "/data/resultType", "/data/result"].map(of).join(" "))
}

#[tokio::test]
async fn the_sandboxes_prometheus_answers_as_a_real_one_does() {
    let Some(server) = server().await else { return };
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    for pairs in [
        &[("query", "kube_deployment_spec_replicas{namespace=\"none\"}")][..],
        &[("query", "kube_deployment_spec_replicas{namespace='none'}"), ("time", "1795377270.123")],
        &[("query", "min(timestamp(kube_deployment_spec_replicas{namespace=\"none\"}))")],
        &[("query", "")],
        &[("time", "1795377270.123")],
        &[("query", "sum(up")],
        &[("query", "up{job=\"a")],
        &[("query", "up"), ("time", "yesterday")],
    ] {
        for method in ["GET", "POST"] {
            let real = shape(&server.url, method, pairs).await;
            assert_eq!(shape(&sandbox.prometheus_url(), method, pairs).await, real, "{method} {pairs:?}");
        }
    }
    // Its own series, with what the real one adds to them.
    let client = Prometheus::new(&Settings::new(sandbox.prometheus_url())).unwrap();
    let query = "kube_deployment_status_replicas_available{deployment=\"chat-api\"}";
    let Ok(Instant::Vector(samples)) = client.instant(query, now()).await else { panic!("a vector") };
    let labels: Vec<&str> = samples[0].labels.keys().map(String::as_str).collect();
    assert_eq!((samples.len(), samples[0].value), (1, 2.0));
    assert_eq!(labels, ["__name__", "deployment", "instance", "job", "namespace"]);
}
