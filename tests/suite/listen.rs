//! Clients that hold a place without doing their part lose it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use runbookd::listen::{Limits, serve_within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// More than the buffers of both ends of a connection on loopback hold.
const LONG: usize = 64 << 20;

/// A server with one place.
async fn one_place(limits: Limits) -> (SocketAddr, watch::Sender<bool>) {
    let (stop, shutdown) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router =
        Router::new().route("/long", get(async || "x".repeat(LONG))).route("/short", get(async || "short"));
    tokio::spawn(serve_within(Limits { connections: 1, ..limits }, listener, router, shutdown));
    (address, stop)
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

async fn is_answered(address: SocketAddr) {
    let mut answer = String::new();
    let answered = async { ask(address, "/short").await.read_to_string(&mut answer).await };
    tokio::time::timeout(Duration::from_secs(90), answered).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_makes_room_for_the_next() {
    let limits = Limits { takes_within: Duration::from_millis(100), ..Limits::default() };
    let (address, _stop) = one_place(limits).await;
    let stuck = ask(address, "/long").await;
    is_answered(address).await;
    drop(stuck);
}

#[tokio::test]
async fn a_client_that_says_nothing_makes_room_for_the_next() {
    let limits = Limits { headers_within: Duration::from_millis(100), ..Limits::default() };
    let (address, _stop) = one_place(limits).await;
    let silent = TcpStream::connect(address).await.unwrap();
    is_answered(address).await;
    drop(silent);
}

#[tokio::test]
async fn a_client_that_takes_its_answer_slowly_gets_all_of_it() {
    let limits = Limits { takes_within: Duration::from_secs(20), ..Limits::default() };
    let (address, _stop) = one_place(limits).await;
    let mut slow = ask(address, "/long").await;
    let (mut taken, mut buffer) = (0, vec![0; 4 << 20]);
    loop {
        let read = slow.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        taken += read;
        tokio::task::yield_now().await;
    }
    assert!(taken > LONG, "{taken}");
}
