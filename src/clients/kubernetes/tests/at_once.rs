//! All questions together are bounded, whatever they are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use tokio::sync::Semaphore;

use super::{AT_ONCE, Kubernetes, at};

/// Asks every kind of question once about this namespace.
async fn everything_about(kubernetes: &Kubernetes, namespace: &str) {
    drop(tokio::join!(
        kubernetes.workload("deployment", namespace, "x"),
        kubernetes.deployments(namespace),
        kubernetes.history(namespace, "x"),
        kubernetes.prepare_rollback(namespace, "x", "u", "h", ("s", "h")),
        kubernetes.pods(namespace),
        kubernetes.pod(namespace, "x"),
        kubernetes.owner_of_pod(namespace, "x"),
        kubernetes.previous_logs(namespace, "x", "c", 9),
        kubernetes.events(namespace),
        kubernetes.disruption_budgets(namespace),
        kubernetes.autoscalers(namespace),
        kubernetes.node(namespace),
        kubernetes.nodes(),
    ));
}

#[tokio::test]
async fn no_more_than_so_many_questions_of_all_kinds_are_under_way_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let (came, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let under_way = Arc::new(AtomicU64::new(0));
    let (open, count, peak) = (Arc::clone(&gate), Arc::clone(&came), Arc::clone(&most));
    let router = axum::Router::new().fallback(move |uri: http::Uri| {
        let (gate, came, most) = (Arc::clone(&open), Arc::clone(&count), Arc::clone(&peak));
        let under_way = Arc::clone(&under_way);
        async move {
            if uri.path() == "/version" {
                return StatusCode::OK;
            }
            came.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _open = gate.acquire().await.unwrap();
            under_way.fetch_sub(1, Ordering::SeqCst);
            StatusCode::NOT_FOUND
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubernetes = at(&format!("http://{}", listener.local_addr().unwrap())).await;
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let at_once = u64::try_from(AT_ONCE).unwrap();
    let doorkeeper = async {
        while came.load(Ordering::SeqCst) < at_once {
            tokio::task::yield_now().await;
        }
        // Whoever else has set out is there by the time that the server has answered others who came later.
        for _ in 0..20 {
            kubernetes.ping().await.unwrap();
        }
        assert_eq!(came.load(Ordering::SeqCst), at_once);
        gate.add_permits(1000);
    };
    tokio::join!(everything_about(&kubernetes, "a"), everything_about(&kubernetes, "b"), doorkeeper);
    assert_eq!(most.load(Ordering::SeqCst), at_once);
    assert!(came.load(Ordering::SeqCst) > 2 * at_once, "everybody had a turn");
}
