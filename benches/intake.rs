//! What durable intake costs: the webhook with the journal against the same webhook without one, in turn, in one
//! run, because machines are noisy and ratios are not. Prints a table; asserts nothing.
//!
//! `cargo bench --bench intake` (`-- quick` for a short run).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may fail by a panic")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runbookd::metrics::Metrics;
use runbookd::receive::{self, PATH, Receiver};
use runbookd::runbook::{Runbook, load};
use runbookd::store::Store;
use runbookd::store::nothing::Nothing;
use runbookd::store::sqlite::Sqlite;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

const CALLERS: usize = 64;
const ALERTS: u64 = 10;
/// How many notifications join one incident, before the next begins: 500 alerts.
const MEMBERS: u64 = 50;

#[derive(Clone, Copy)]
enum Load {
    /// The same ten alerts again and again, as Alertmanager does when a group gets a new member.
    Resent,
    /// Ten alerts that nobody has seen, of a group that nobody has seen.
    NewGroup,
    /// Ten alerts that nobody has seen, of a group whose incident is open.
    NewMembers,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let (rounds, each) = if quick { (3, Duration::from_millis(700)) } else { (7, Duration::from_secs(2)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(rounds, each));
}

async fn run(rounds: usize, each: Duration) {
    runbookd::clients::install_tls();
    println!(
        "{CALLERS} callers, POSTs of {ALERTS} alerts, {rounds} rounds of {} ms in turn",
        each.as_millis()
    );
    println!(
        "{:<12} {:>14} {:>14} {:>8} {:>12} {:>12}",
        "load", "durable/s", "bare/s", "ratio", "durable p99", "bare p99"
    );
    for (name, load) in
        [("re-sent", Load::Resent), ("new group", Load::NewGroup), ("new members", Load::NewMembers)]
    {
        let (bare, _stop) = serve(Arc::new(Nothing::default())).await;
        let mut measured: Vec<(Measured, Measured)> = Vec::new();
        for _ in 0..rounds {
            // A round ends with more alerts in the journal than any team has; the next one begins anew.
            let folder = tempfile::tempdir().unwrap();
            let journal: Arc<dyn Store> =
                Arc::new(Sqlite::open(&folder.path().join("journal.db")).await.unwrap());
            let (durable, _stop) = serve(journal).await;
            measured.push((measure(durable, load, each).await, measure(bare, load, each).await));
        }
        let mut ratios: Vec<f64> = measured.iter().map(|(durable, bare)| durable.rate / bare.rate).collect();
        ratios.sort_by(f64::total_cmp);
        let median = |of: &dyn Fn(&(Measured, Measured)) -> f64| {
            let mut all: Vec<f64> = measured.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        println!(
            "{name:<12} {:>14.0} {:>14.0} {:>8.2} {:>9.1} ms {:>9.1} ms",
            median(&|both| both.0.rate),
            median(&|both| both.1.rate),
            ratios[ratios.len() / 2],
            median(&|both| both.0.p99_ms),
            median(&|both| both.1.p99_ms),
        );
    }
}

struct Measured {
    rate: f64,
    p99_ms: f64,
}

async fn serve(store: Arc<dyn Store>) -> (SocketAddr, watch::Sender<bool>) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    // Nothing is asked: whatever variables the shipped runbooks name are believed.
    let runbooks: Vec<Arc<Runbook>> = load::load(&[rules], None, 1).unwrap().runbooks;
    let (stop, shutdown) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = receive::router(Receiver {
        store,
        runbooks,
        token: None,
        body_limit: 16 << 20,
        metrics: Metrics::new(&[], &[]).unwrap(),
        shutdown: shutdown.clone(),
    });
    tokio::spawn(runbookd::listen::serve(listener, router, shutdown));
    (address, stop)
}

async fn measure(address: SocketAddr, load: Load, each: Duration) -> Measured {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let http = runbookd::clients::http_client(Duration::from_secs(30)).unwrap();
    let until = Instant::now() + each;
    let begun = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (http, url) = (http.clone(), format!("http://{address}{PATH}"));
        callers.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let body = body(load, NUMBER.fetch_add(1, Ordering::Relaxed));
                let asked = Instant::now();
                let answer = http.post(&url).body(body).send().await.unwrap();
                assert!(answer.status().is_success(), "{}", answer.status());
                answer.bytes().await.unwrap();
                times.push(asked.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    times.sort_unstable();
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "there are not 2^52 of them")]
    let rate = times.len() as f64 / seconds;
    let p99_ms = times[times.len() * 99 / 100].as_secs_f64() * 1_000.0;
    Measured { rate, p99_ms }
}

/// A notification as Alertmanager posts it, about 770 bytes an alert.
fn body(load: Load, number: u64) -> Vec<u8> {
    let (namespace, first) = match load {
        Load::Resent => ("shop".to_owned(), 0),
        Load::NewGroup => (format!("shop-{number}"), 0),
        Load::NewMembers => (format!("shop-{}", number / MEMBERS), number * ALERTS),
    };
    let alerts: Vec<_> = (first..first + ALERTS)
        .map(|pod| {
            json!({
                "status": "firing",
                "labels": {"alertname": "High5xxRate", "app": "chat-api", "cluster": "samosachaat-prod-eks",
                    "namespace": namespace, "pod": format!("chat-api-7d9c8b6f5-{pod:08}"), "severity": "critical"},
                "annotations": {"description": "more than 5 % of the answers were 5xx for five minutes, which people notice",
                    "runbook_url": "https://example.invalid/chaos-runbook.md#scenario-3", "summary": "chat-api 5xx ratio 20%"},
                "startsAt": "2026-11-22T18:36:31.552Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://127.0.0.1:19090/graph?g0.expr=sum+by+%28app%2C+namespace%29+%28http_5xx_ratio%29+%3E+0.05&g0.tab=1",
            })
        })
        .collect();
    let group = format!("{{}}:{{alertname=\"High5xxRate\", namespace=\"{namespace}\"}}");
    json!({"receiver": "runbookd", "status": "firing", "alerts": alerts, "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://vm:19093", "version": "4", "groupKey": group, "truncatedAlerts": 0})
    .to_string()
    .into_bytes()
}
