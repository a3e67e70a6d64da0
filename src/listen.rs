//! The accept loop: HTTP/1 with a limit on the time for the headers and on the number of connections, neither of
//! which `axum::serve` has.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

const CONNECTIONS: usize = 512;
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// A graceful end waits this long for answers that are on their way.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown` becomes true; answers that are on their way are finished first.
pub async fn serve(listener: TcpListener, router: Router, mut shutdown: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
            let connection = http.serve_connection(TokioIo::new(stream), service);
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
