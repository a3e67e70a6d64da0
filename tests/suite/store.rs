//! One suite for every store.

use std::time::Duration;

use runbookd::alert::{Alert, Labels, Status};
use runbookd::runbook::Hash;
use runbookd::store::{Answered, AnsweredBy, Intake, Sqlite, Store};

fn alert(name: &str, starts: i64, ends: Option<i64>) -> Alert {
    let labels = Labels::from([("alertname", "Down"), ("pod", name)]);
    Alert {
        status: if ends.is_some() { Status::Resolved } else { Status::Firing },
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: jiff::Timestamp::from_second(starts).unwrap(),
        ends_at: ends.map(|ends| jiff::Timestamp::from_second(ends).unwrap()),
        generator_url: String::new(),
    }
}

fn intake(alerts: impl IntoIterator<Item = Alert>) -> Intake {
    let by = AnsweredBy {
        runbook: "restart".to_owned(),
        hash: Hash("abc".to_owned()),
        scope: Labels::from([("alertname", "Down")]),
        deadline: Duration::from_secs(60),
    };
    Intake {
        answered: alerts.into_iter().map(|alert| Answered { alert, by: vec![by.clone()] }).collect(),
        ..Intake::default()
    }
}

#[tokio::test]
async fn basic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/journal.db");
    let store = Sqlite::open(&path).await.unwrap();
    let receipt = store.take_in(intake([alert("a", 10, None), alert("b", 10, None)])).await.unwrap();
    assert_eq!(receipt.opened.len(), 1);
    let id = receipt.opened[0].clone();
    let receipt = store.take_in(intake([alert("a", 10, None), alert("b", 9, None)])).await.unwrap();
    assert_eq!((receipt.opened.len(), receipt.repeated), (0, 2));
    let receipt = store.take_in(intake([alert("a", 10, Some(20)), alert("c", 9, None)])).await.unwrap();
    assert_eq!((receipt.joined, receipt.resolved, receipt.repeated), (1, 1, 0));
    assert_eq!(store.events(&id, 0).await.unwrap().len(), 3);
    assert_eq!(store.events(&id, 2).await.unwrap().len(), 1);
    assert_eq!(store.behind("slack", 5).await.unwrap().len(), 1);
    assert_eq!(store.claim("me", Duration::from_secs(5)).await.unwrap().len(), 1);
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("process"), "{error}");
    store.close().await;
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.claim("me", Duration::from_secs(5)).await.unwrap()[0].epoch, 2);
    assert_eq!(store.events(&id, 0).await.unwrap().len(), 3);
}
