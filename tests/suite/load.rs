//! `runbookd inject load`, the binary itself against a server that counts: what arrives is what was asked for, nothing more at a time, and it ends.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::{Router, extract::State};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

/// However slow the machine is.
const LIMIT: Duration = Duration::from_secs(60);

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrived {
    at: Instant,
    method: String,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A server that counts.
#[derive(Default)]
struct Server {
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    connections: AtomicUsize,
    arrived: Mutex<Vec<Arrived>>,
}

impl Server {
    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts those that are under way, also when the answer is not waited for.
struct UnderWay(Arc<Server>);

impl UnderWay {
    fn new(server: &Arc<Server>) -> Self {
        let now = server.at_once.fetch_add(1, SeqCst) + 1;
        server.most_at_once.fetch_max(now, SeqCst);
        Self(Arc::clone(server))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, SeqCst);
    }
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let _under_way = UnderWay::new(&server);
    let path = uri.path().to_owned();
    let arrived =
        Arrived { at: Instant::now(), method: method.to_string(), path, headers, body: body.to_vec() };
    server.arrived.lock().unwrap().push(arrived);
    match uri.path() {
        "/redirect" => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        "/broken" => (StatusCode::SERVICE_UNAVAILABLE, "no").into_response(),
        "/silent" => std::future::pending().await,
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            "ok".into_response()
        }
        _ => "ok".into_response(),
    }
}

/// The server, and its address without a path.
async fn server() -> (Arc<Server>, String) {
    let server = Arc::new(Server::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let counted = Arc::clone(&server);
    let listener = axum::serve::ListenerExt::tap_io(listener, move |_| {
        counted.connections.fetch_add(1, SeqCst);
    });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, url)
}

fn command(url: &str, arguments: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
    command.args(["inject", "load", url]).args(arguments);
    command.env("NO_COLOR", "1").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn load(url: &str, arguments: &[&str]) -> Output {
    tokio::time::timeout(LIMIT, command(url, arguments).output()).await.unwrap().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The summary as JSON, with the exit code that was expected.
async fn summary(url: &str, arguments: &[&str], code: i32) -> Value {
    let output = load(url, &[arguments, &["--yes", "-o", "json"]].concat()).await;
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_under_way_than_there_are_clients_and_each_keeps_its_connection() {
    let (server, url) = server().await;
    let summary = summary(&format!("{url}/slow"), &["--concurrency", "7", "--requests", "200"], 0).await;
    assert_eq!(server.arrived().len(), 200);
    let most = server.most_at_once.load(SeqCst);
    assert!((2..=7).contains(&most), "several clients ask at a time, and no more than there are: {most}");
    // A few more than seven, as one can be made while another becomes free.
    assert!(server.connections.load(SeqCst) < 100, "{}", server.connections.load(SeqCst));
    assert_eq!(summary["requests"], 200);
    assert_eq!(summary["answers"], 200);
    assert_eq!(summary["statuses"], serde_json::json!({"200": 200}));
    assert_eq!(summary["ended"], "requests");
    assert_eq!(summary["latency"]["since"], "sent");
    let of = |name: &str| summary["latency"][name].as_f64().unwrap();
    let all = ["min_seconds", "p50_seconds", "p90_seconds", "p99_seconds", "max_seconds"].map(of);
    assert!(all.is_sorted() && all[0] >= 0.02, "the server takes 20 ms for each: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_sent_than_the_rate_allows() {
    let (server, url) = server().await;
    let begun = Instant::now();
    let arguments = ["--rate", "50/s", "--requests", "40", "--concurrency", "20"];
    let summary = summary(&url, &arguments, 0).await;
    assert_eq!((&summary["latency"]["since"], &summary["rate"]), (&"due".into(), &50.into()));
    let mut arrived = server.arrived();
    arrived.sort_by_key(|request| request.at);
    assert_eq!(arrived.len(), 40);
    for (place, request) in arrived.iter().enumerate() {
        // The first was sent after the command was begun.
        let due = Duration::from_millis(20 * place as u64);
        assert!(request.at - begun >= due, "{place}: {:?}", request.at - begun);
    }
}

/// 500 a second are due, and one client can make 50 at most.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_server_holds_up_is_in_the_figures() {
    let (_server, url) = server().await;
    let url = format!("{url}/slow");
    let arguments = ["--rate", "500/s", "--requests", "50", "--concurrency", "1"];
    let summary = summary(&url, &arguments, 0).await;
    // The last was due after 98 ms, and 49 before it took 20 ms each.
    let longest = summary["latency"]["max_seconds"].as_f64().unwrap();
    assert!(longest >= 0.9, "{summary}");
    assert!(summary["late"].as_u64().unwrap() >= 40, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn method_headers_and_body_arrive_and_what_a_file_holds_is_not_shown() {
    let (server, url) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let (token, body) = (folder.path().join("token"), folder.path().join("body"));
    std::fs::write(&token, "Bearer do-not-show\n").unwrap();
    std::fs::write(&body, r#"{"content":"tell me a story"}"#).unwrap();
    let token = format!("Authorization: {}", token.display());
    let arguments = [
        "--method",
        "put",
        "--header",
        "Content-Type: application/json",
        "--header",
        "X-Twice: a",
        "--header",
        "X-Twice: b",
        "--header-file",
        &token,
        "--body-file",
        body.to_str().unwrap(),
        "--requests",
        "1",
        "--yes",
    ];
    let output = load(&format!("{url}/api/messages?key=do-not-show"), &arguments).await;
    assert!(output.status.success(), "{}", said(&output));
    let [request] = &server.arrived()[..] else { panic!("{:?}", server.arrived()) };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/api/messages"));
    assert_eq!(request.body, br#"{"content":"tell me a story"}"#);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["authorization"], "Bearer do-not-show");
    assert_eq!(request.headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(request.headers["user-agent"].to_str().unwrap().starts_with("runbookd/"));
    let all = format!("{}{}", said(&output), String::from_utf8(output.stdout).unwrap());
    assert!(all.contains("PUT http://127.0.0.1") && !all.contains("do-not-show"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_counted_and_not_followed() {
    let (server, url) = server().await;
    let summary = summary(&format!("{url}/redirect"), &["--requests", "20"], 0).await;
    assert_eq!(summary["statuses"], serde_json::json!({"302": 20}));
    assert!(server.arrived().iter().all(|request| request.path == "/redirect"));
    assert_eq!(server.arrived().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_gets_wrong_is_a_result_and_no_failure() {
    let (_server, url) = server().await;
    let output = load(&format!("{url}/broken"), &["--requests", "20", "--yes"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("  by status  503: 20\n") && text.contains("  errors     none\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_answer_it_fails_and_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let summary = summary(&url, &["--requests", "10"], 1).await;
    assert_eq!(summary["errors"], serde_json::json!({"connect_refused": 10}));
    assert_eq!(summary["latency"], Value::Null);

    let unknown = load("http://does-not-exist.invalid/", &["--yes"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let said = said(&unknown);
    assert!(
        said.contains("does-not-exist.invalid could not be looked up") && said.contains("nothing was sent"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_yes_or_with_wrong_usage_nothing_is_called() {
    let (server, url) = server().await;
    let output = load(&format!("{url}/health"), &["--rate", "5/s", "--duration", "90s"]).await;
    assert_eq!(output.status.code(), Some(2));
    let host = url.trim_start_matches("http://");
    assert_eq!(
        said(&output),
        format!(
            "runbookd: nothing was sent: this would send up to 50 requests at a time, at most 5 in a second, to {host} for 1m 30s, and there is no terminal to ask on; say so with --yes\n"
        )
    );
    for (arguments, why) in [
        (&["--concurrency", "1001"][..], "--concurrency is 1001; expected 1 to 1000; nothing was sent"),
        (&["--rate", "10001/s"], "--rate is 10001/s; expected 1/s to 10000/s"),
        (&["--rate", "5"], "such as 20/s"),
        (&["--duration", "61m"], "--duration is 1h1m; expected 100ms to 1h"),
        (&["--requests", "0"], "--requests is 0; expected 1 to 36000000"),
        (&["--timeout", "6m"], "--timeout is 6m; expected 1ms to 5m"),
        (&["--method", "CONNECT"], "--method: expected one of GET, HEAD, POST"),
        (&["--header", "Authorization Bearer do-not-show"], "--header, the 1. one: expected 'Name: value'"),
        (&["--header", "Host: other"], "host is the client's own to say"),
        (&["--header-file", "Authorization: /do/not/exist"], "/do/not/exist can not be read"),
        (
            &["--header-file", "Authorization: /dev/null"],
            "/dev/null is empty; expected the value of authorization",
        ),
        (&["--body-file", "/dev/zero"], "/dev/zero is too large; expected at most 1048576 bytes"),
        (&["--body", "a", "--body-file", "b"], "cannot be used with"),
        (&["--at", "sandbox"], "unexpected argument"),
    ] {
        let output = load(&url, &[arguments, &["--yes"]].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(said(&output).contains(why), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).contains("do-not-show"), "{}", said(&output));
        assert!(output.stdout.is_empty());
    }
    let with_password = url.replace("http://", "http://me:do-not-show@");
    let output = load(&with_password, &["--yes"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(!said(&output).contains("do-not-show"), "{}", said(&output));
    assert!(server.arrived().is_empty(), "nothing was called");
    assert_eq!(server.connections.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_does_not_keep_it() {
    let (server, url) = server().await;
    let url = format!("{url}/silent");
    let arguments = ["--duration", "500ms", "--timeout", "5m", "--concurrency", "5"];
    let ended = summary(&url, &arguments, 1).await;
    assert_eq!(ended["ended"], "duration");
    assert_eq!((&ended["requests"], &ended["given_up"]), (&5.into(), &5.into()));
    assert!(ended["elapsed_seconds"].as_f64().unwrap() < 30.0, "{ended}");
    gone(&server).await;

    let arguments = ["--requests", "5", "--timeout", "3s", "--concurrency", "5"];
    let ended = summary(&url, &arguments, 1).await;
    assert_eq!(ended["errors"], serde_json::json!({"timeout": 5}));
    assert_eq!((&ended["ended"], &ended["given_up"]), (&"requests".into(), &0.into()));
    gone(&server).await;
}

/// The connections are closed: the server drops whom nobody waits for.
async fn gone(server: &Server) {
    let begun = Instant::now();
    while server.at_once.load(SeqCst) > 0 {
        assert!(begun.elapsed() < LIMIT, "{} connections are still open", server.at_once.load(SeqCst));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_ends_it_at_once_and_it_still_says_what_came_of_it() {
    let (server, url) = server().await;
    for path in ["slow", "silent"] {
        let before = server.arrived().len();
        let arguments = ["--duration", "1h", "--timeout", "5m", "--concurrency", "3", "--yes", "-o", "json"];
        let mut command = command(&format!("{url}/{path}"), &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.next_line().await.unwrap().unwrap().contains("Ctrl-C ends it"));
        let begun = Instant::now();
        while server.arrived().len() < before + 3 {
            assert!(begun.elapsed() < LIMIT, "nothing came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let pid = child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1), "it was not played to its end");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["ended"], "interrupted");
        let of = |name: &str| summary[name].as_u64().unwrap();
        assert!(of("requests") >= 3 && of("requests") == of("answers") + of("given_up"), "{summary}");
        gone(&server).await;
    }
}
