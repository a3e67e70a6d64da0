//! Loki: one number per label set at one moment, and the newest lines of a query.
//!
//! Only reads. The tenant comes from the settings and never from a query's author, because `A|B` joins tenants. An empty answer stays
//! empty: what it means (no such lines, or no lines at all) is for the caller to find out with a second question.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Questions, Reason, Secret, http_client};

/// How many questions may be under way at once.
const AT_ONCE: usize = 4;
/// The largest answer that is read.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Loki's own `max_entries_limit_per_query`; a higher limit is 400.
const MOST_LINES: usize = 5000;
/// Names the tenant. Source: <https://grafana.com/docs/loki/latest/operations/multi-tenancy/>.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// Where Loki is, and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address without a path, such as `http://loki:3100`; a path prefix of a gateway may follow.
    pub url: String,
    /// The tenant, for a Loki with `auth_enabled`.
    pub tenant: Option<String>,
    /// A token for a gateway in front of it.
    pub bearer: Option<Secret>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Loki at `url` without tenant and token.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), tenant: None, bearer: None, timeout: DEFAULT_TIMEOUT }
    }
}

/// One number of an instant query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels it is for; empty after a `sum` without `by`.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// Its stream's labels, and the fields that the query parsed.
    pub labels: BTreeMap<String, String>,
    /// The line. Hostile input: it can hold anything.
    pub text: String,
}

/// A Loki.
#[derive(Debug, Clone)]
pub struct Loki(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    url: String,
    headers: http::HeaderMap,
    answers: Questions<Arc<Vec<u8>>>,
}

impl Loki {
    /// Reads the settings. Loki need not be up.
    ///
    /// # Errors
    /// When the address, the tenant or the token cannot be used in a request.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let url = settings.url.trim_end_matches('/').to_owned();
        match reqwest::Url::parse(&url) {
            Ok(parsed)
                if matches!(parsed.scheme(), "http" | "https")
                    && parsed.has_host()
                    && parsed.query().is_none() => {}
            Ok(_) => return Err(ConnectError::new("the address of Loki must look like http://loki:3100")),
            Err(error) => {
                return Err(ConnectError::new(format!(
                    "the address of Loki is not a URL: {error}; it must look like http://loki:3100"
                )));
            }
        }
        let mut headers = http::HeaderMap::new();
        // Answers can come from a results cache; what we ask decides something.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(tenant) = &settings.tenant {
            let value = HeaderValue::from_str(tenant).ok().filter(|value| !value.is_empty());
            headers.insert(
                TENANT,
                value.ok_or_else(|| ConnectError::new("the tenant of Loki cannot be sent as a header"))?,
            );
        }
        if let Some(bearer) = &settings.bearer {
            let value = HeaderValue::from_str(&format!("Bearer {}", bearer.reveal()));
            let mut value = value.map_err(|_| {
                ConnectError::new("the token for Loki cannot be sent as a header; does it end in a newline?")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = http_client(settings.timeout)?;
        Ok(Self(Arc::new(Inner { http, url, headers, answers: Questions::new(AT_ONCE) })))
    }

    /// What a metric query gives at one moment. No sample is not a zero.
    ///
    /// # Errors
    /// `ClientError` with Loki's own words when it refuses the query, which includes a log query.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<Sample>, CallError> {
        let call = "ask Loki for a count";
        let time = at.as_nanosecond().to_string();
        let body = self.get(call, "/loki/api/v1/query", &[("query", query), ("time", &time)]).await?;
        samples(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// The newest lines of a log query from `start` up to `end`, newest first over all its streams; at most `limit`, and at most 5000.
    ///
    /// # Errors
    /// `ClientError` with Loki's own words when it refuses the query.
    pub async fn lines(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<Line>, CallError> {
        let call = "ask Loki for lines";
        let (start, end) = (start.as_nanosecond().to_string(), end.as_nanosecond().to_string());
        let limit = limit.clamp(1, MOST_LINES).to_string();
        let pairs = [
            ("query", query),
            ("start", start.as_str()),
            ("end", &end),
            ("limit", &limit),
            ("direction", "backward"),
        ];
        let body = self.get(call, "/loki/api/v1/query_range", &pairs).await?;
        lines(&body).map_err(|what| CallError::unreadable(call, &*what))
    }

    /// Whether Loki answers us.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), CallError> {
        // Not `/ready`, which is 503 for a while in which queries already work, and which gateways often do not pass on.
        self.get("ask Loki for its labels", "/loki/api/v1/labels", &[]).await.map(drop)
    }

    async fn get(&self, call: &str, path: &str, pairs: &[(&str, &str)]) -> Result<Arc<Vec<u8>>, CallError> {
        let question = format!("{path} {pairs:?}");
        self.0.answers.ask(question, || self.get_once(call, path, pairs)).await
    }

    async fn get_once(
        &self,
        call: &str,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Arc<Vec<u8>>, CallError> {
        let request =
            self.0.http.get(format!("{}{path}", self.0.url)).query(pairs).headers(self.0.headers.clone());
        let mut answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| CallError::of_reqwest(call, error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(CallError::new(
                    call,
                    Reason::ClientError,
                    "the answer is larger than 8 MiB; narrow the query or its window",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Arc::new(body));
        }
        // Errors are text/plain.
        Err(CallError::of_answer(call, status, &headers, &String::from_utf8_lossy(&body)))
    }
}

type Unreadable = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Point>),
    Streams(Vec<Stream>),
    Matrix(IgnoredAny),
    Scalar(IgnoredAny),
}

#[derive(Deserialize)]
struct Point {
    metric: BTreeMap<String, String>,
    value: (Value, String),
}

#[derive(Deserialize)]
struct Stream {
    stream: BTreeMap<String, String>,
    /// Time, line, and since Loki 3 sometimes an object of structured metadata.
    values: Vec<Vec<Value>>,
}

fn samples(body: &[u8]) -> Result<Vec<Sample>, Unreadable> {
    let Data::Vector(points) = serde_json::from_slice::<Answer>(body)?.data else {
        return Err("it is not a vector".into());
    };
    points
        .into_iter()
        .map(|point| Ok(Sample { labels: point.metric, value: point.value.1.parse()? }))
        .collect()
}

fn lines(body: &[u8]) -> Result<Vec<Line>, Unreadable> {
    let Data::Streams(streams) = serde_json::from_slice::<Answer>(body)?.data else {
        return Err("it is not a list of streams".into());
    };
    let mut lines = Vec::new();
    for Stream { stream, values } in streams {
        for value in values {
            let [Value::String(at), Value::String(text), ..] = value.as_slice() else {
                return Err("a line has no time or no text".into());
            };
            lines.push(Line {
                at: Timestamp::from_nanosecond(at.parse()?)?,
                labels: stream.clone(),
                text: text.clone(),
            });
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    Ok(lines)
}

#[cfg(test)]
mod tests {
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
        assert!(
            samples_of("ok-empty-vector.txt").await.unwrap().is_empty(),
            "empty is empty, and not a zero"
        );
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
            (
                "s1a.metric.query.txt",
                Reason::ClientError,
                "HTTP 400: pipeline error: 'JSONParserErr' for series",
            ),
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
        for (status, reason) in
            [(401, Reason::Denied), (429, Reason::RateLimited), (302, Reason::ClientError)]
        {
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
        let (loki, _wire) = with(vec![Reply::json(&"x".repeat(MOST_BYTES + 1))]).await;
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
        let bearer =
            Loki::new(&Settings { bearer: Some(Secret::new("t0k\n")), ..Settings::new("http://loki") });
        assert!(!bearer.unwrap_err().to_string().contains("t0k"));
    }
}
