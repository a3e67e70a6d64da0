//! That the tests themselves leave nothing behind.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runbookd::clock::after;
use tokio::task::{LocalSet, spawn_local};

use crate::stage::{LABEL, Stage, created, kubeconfig, on, sweep};

/// Whether its namespace, its nodes and its roles are there, and are to stay.
async fn is_there(stage: &Stage) -> bool {
    let namespace = stage.admin.get(&format!("/api/v1/namespaces/{}", stage.namespace)).await;
    let stays = namespace.is_some_and(|namespace| namespace["metadata"]["deletionTimestamp"].is_null());
    let mut nodes = 0;
    for node in &stage.nodes {
        nodes += usize::from(stage.node(node).await.is_object());
    }
    assert!(nodes == if stays { stage.nodes.len() } else { 0 }, "the nodes go with the namespace");
    stays
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_fails_leaves_nothing_behind() {
    if kubeconfig().is_none() {
        return;
    }
    let seen: Arc<Mutex<Option<Arc<Stage>>>> = Arc::default();
    let shown = Arc::clone(&seen);
    let fails = on(move |stage| async move {
        stage.deployment("web").await;
        assert!(is_there(&stage).await);
        *shown.lock().unwrap() = Some(stage);
        panic!("this is meant to fail");
    });
    let end = LocalSet::new().run_until(async { spawn_local(fails).await }).await;
    let told = end.unwrap_err().into_panic();
    assert_eq!(told.downcast_ref(), Some(&"this is meant to fail"));
    let stage = seen.lock().unwrap().take().unwrap();
    assert!(!is_there(&stage).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_was_killed_left_behind_goes_when_it_is_an_hour_old() {
    on(|stage| async move {
        stage.deployment("web").await;
        let namespace = stage.admin.get(&format!("/api/v1/namespaces/{}", stage.namespace)).await.unwrap();
        let own = format!("{LABEL}%3D{}", stage.namespace);
        for (minutes, is_left) in [(59, true), (61, false)] {
            let then = after(created(&namespace), Duration::from_secs(minutes * 60));
            sweep(&stage.admin, &own, then).await;
            assert_eq!(is_there(&stage).await, is_left, "after {minutes} minutes");
        }
    })
    .await;
}
