//! The daemon at rest, as a release build in front of the sandbox: how soon it is ready, how much memory it holds,
//! and how long it takes from a notification to the first question to Loki. Prints a table; asserts nothing.
//!
//! `cargo bench --bench daemon`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may fail by a panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use runbookd::chaos::stage::{Setting, Stage, WEBHOOK_TOKEN};
use runbookd::clients::http_client;
use runbookd::clock;
use runbookd::sandbox::System;
use serde_json::json;

const STARTS: usize = 9;
const ALERTS: usize = 40;
/// Between two alerts, so that each finds the daemon at rest.
const REST: Duration = Duration::from_millis(250);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_runbookd"));
    let mut stage = Stage::new(Setting::acting(program, folder.path(), 1)).await.unwrap();
    // The demonstration's Alertmanager stays out of this.
    stage.world().send_alerts_to(None);
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        stage.kill().await.unwrap();
        let begun = Instant::now();
        stage.start().await.unwrap();
        ready.push(begun.elapsed());
    }
    row("ready, polled every 25 ms", &mut ready);

    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("{:<44} {:>9}", "memory at rest (VmRSS)", memory(stage.pid().unwrap()));

    let http = http_client(Duration::from_secs(10)).unwrap();
    let mut first_question = Vec::new();
    for number in 0..ALERTS {
        tokio::time::sleep(REST).await;
        let seen = stage.world().requests().len();
        let labels = json!({"alertname": "High5xxRate", "namespace": format!("bench-{number}")});
        let alert = json!({"status": "firing", "labels": labels, "startsAt": "2026-11-22T18:00:00Z"});
        let body = json!({"version": "4", "alerts": [alert]});
        let url = format!("{}{}", stage.url(), runbookd::receive::PATH);
        let sent = clock::now();
        let answer = http.post(url).bearer_auth(WEBHOOK_TOKEN).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
        let asked = loop {
            let requests = stage.world().requests();
            let asked = requests.iter().skip(seen).find(|request| request.system == System::Loki);
            if let Some(request) = asked {
                break request.at;
            }
            stage.world().changed().await;
        };
        first_question.push(clock::between(sent, asked));
    }
    row("from the notification to Loki's first question", &mut first_question);
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "{name:<44} {:>6.1} ms median, {:.1} least, {:.1} most",
        milliseconds(times[times.len() / 2]),
        milliseconds(times[0]),
        milliseconds(times[times.len() - 1]),
    );
}

fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or_else(|| "unknown".to_owned(), |kib| kib.trim().to_owned())
}
