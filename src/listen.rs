//! The accept loop: HTTP/1 with a limit on the number of connections, on the time for the headers, and on the time in
//! which a client takes some of its answer. `axum::serve` has none of them, and then clients that do nothing hold
//! every place.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutWriter;
use tracing::{debug, warn};

/// How long a client may keep a place without doing its part.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections there may be at once; further ones wait.
    pub connections: usize,
    /// For the whole headers of a request.
    pub headers_within: Duration,
    /// For the next bytes of an answer, when the client's window is full.
    pub takes_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            headers_within: Duration::from_secs(10),
            takes_within: Duration::from_secs(30),
        }
    }
}

/// A graceful end waits this long for answers that are on their way.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown` becomes true; answers that are on their way are finished first.
pub async fn serve(listener: TcpListener, router: Router, shutdown: watch::Receiver<bool>) {
    serve_within(Limits::default(), listener, router, shutdown).await;
}

/// [`serve`] with other limits.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = down(&mut shutdown) => break,
        };
        let Ok(place) = place else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most of the time: waiting helps, spinning does not.
                    warn!(%error, "A connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = down(&mut shutdown) => break,
        };
        // Small answers must not wait for further ones to share a packet with.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let mut shutdown = shutdown.clone();
        connections.spawn(async move {
            let _place = place;
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits.headers_within);
            let mut stream = TimeoutWriter::new(stream);
            stream.set_timeout(Some(limits.takes_within));
            let connection = http.serve_connection(TokioIo::new(Box::pin(stream)), service);
            tokio::pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => served,
                () = down(&mut shutdown) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                debug!(%error, "A connection ended early");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let finished =
        tokio::time::timeout(FINISH_WITHIN, async { while connections.join_next().await.is_some() {} });
    if finished.await.is_err() {
        warn!("Connections were still open");
    }
}

/// Comes back when it is time to shut down, or when nobody is left who could say so.
async fn down(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|down| *down).await;
}
