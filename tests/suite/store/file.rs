//! What only a file can do: outlive its process, be in use, be damaged, be full.

use std::path::Path;
use std::time::Duration;

use runbookd::store::{OpenError, Receipt, Sqlite, Store, StoreError};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{
    Shared, firing, in_scope, incident, intake, names, no_commit_of, resolved, skipped, wanted, yes,
};

struct File {
    directory: TempDir,
}

impl File {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("state/journal.db")
    }

    async fn open(&self) -> std::sync::Arc<Sqlite> {
        std::sync::Arc::new(Sqlite::open(&self.path()).await.unwrap())
    }

    /// Does what only somebody else would do.
    fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let file = File::new();
    let sqlite = file.open().await;
    let store: Shared = sqlite.clone();
    let claim = incident(&store, "shop").await;
    store.append(&claim, 1, skipped(), None).await.unwrap();
    store.commit_effect(&claim, 2, yes(wanted(&claim.incident, 1, "web"))).await.unwrap();
    let pause = store.pause("Ada", "a migration").await.unwrap();
    store.delivered("slack", &claim.incident, 1, "ts").await.unwrap();
    let slot = store.slot("slack", Duration::from_secs(1)).await.unwrap();
    let (events, ledger) = (store.events(&claim.incident, 0).await.unwrap(), store.ledger().await.unwrap());
    sqlite.close().await;
    let after = store.append(&claim, 3, skipped(), None).await;
    assert!(matches!(after, Err(StoreError::Unavailable(_))), "{after:?}");

    let store: Shared = file.open().await;
    assert_eq!(store.events(&claim.incident, 0).await.unwrap(), events);
    let again = store.ledger().await.unwrap();
    assert_eq!((again.in_flight, again.attempts), (ledger.in_flight, ledger.attempts));
    assert_eq!(store.paused().await.unwrap(), Some(pause));
    assert_eq!(store.behind("slack", 10).await.unwrap()[0].note, "ts");
    assert!(store.slot("slack", Duration::from_secs(1)).await.unwrap() > slot);
    let same = store.take_in(in_scope("shop", [firing("shop", 10)])).await.unwrap();
    assert_eq!(same, Receipt { repeated: 1, ..Receipt::default() });
    // The process that held the claim is gone, so its lease need not run out.
    let next = store.claim("next", Duration::from_secs(60)).await.unwrap();
    assert_eq!((next.len(), next[0].epoch), (1, 2));
    let lost = store.append(&claim, 3, skipped(), None).await;
    assert_eq!(lost, Err(StoreError::NotMine(claim.incident)));
}

#[tokio::test]
async fn an_intent_that_is_not_committed_gives_no_permit() {
    let file = File::new();
    file.open().await.close().await;
    no_commit_of(&file.path(), "effects");
    let store: Shared = file.open().await;
    let claim = incident(&store, "shop").await;
    let committed = store.commit_effect(&claim, 1, yes(wanted(&claim.incident, 1, "web"))).await;
    assert!(matches!(committed, Err(StoreError::Unavailable(_))), "{committed:?}");
    assert_eq!(names(&store, &claim.incident).await, ["opened"]);
    assert_eq!(store.ledger().await.unwrap().attempts, []);
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_journal() {
    let file = File::new();
    let store = file.open().await;
    let error = Sqlite::open(&file.path()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::InUse { .. }), "{text}");
    assert!(text.contains("journal.db is in use by runbookd, process "), "{text}");
    assert!(text.contains(&format!("process {} on host ", std::process::id())), "{text}");
    assert!(text.ends_with("; stop it first or choose another `journal:`"), "{text}");
    assert_eq!(store.writable().await, Ok(()), "the first one goes on");
    store.close().await;
    file.open().await;
}

#[tokio::test]
async fn other_people_can_not_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::new();
    let store = file.open().await;
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file.path()), 0o600);
    assert_eq!(mode(&file.path().with_extension("db-wal")), 0o600);
    assert_eq!(mode(file.path().parent().unwrap()), 0o700);
}

#[tokio::test]
async fn something_else_is_not_opened_as_a_journal() {
    let file = File::new();
    std::fs::create_dir(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), "a letter to my mother, which is quite long".repeat(100)).unwrap();
    let error = Sqlite::open(&file.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    let error = Sqlite::open(file.directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Other { .. } | OpenError::NoPermission { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_journal_is_left_alone() {
    let file = File::new();
    file.open().await.close().await;
    file.tamper("PRAGMA user_version = 77");
    let error = Sqlite::open(&file.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { schema: 77, .. }), "{error}");
    assert!(error.to_string().contains("written by a newer runbookd"), "{error}");
}

/// Three events, then somebody changes the file; what is read then.
async fn tampered(sql: &str) -> (u64, String) {
    let file = File::new();
    let sqlite = file.open().await;
    let store: Shared = sqlite.clone();
    let claim = incident(&store, "shop").await;
    for seq in 1..4 {
        store.append(&claim, seq, skipped(), None).await.unwrap();
    }
    sqlite.close().await;
    file.tamper(sql);
    let store = file.open().await;
    match store.events(&claim.incident, 0).await {
        Err(StoreError::Unreadable { incident, seq, why }) if incident == claim.incident => (seq, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_changed_event_shows() {
    let (seq, why) =
        tampered("UPDATE events SET body = replace(body, 'nothing', 'a lot') WHERE seq = 2").await;
    assert_eq!(seq, 2);
    assert!(why.contains("hash"), "{why}");
    assert_eq!(tampered("UPDATE events SET at = at - 1 WHERE seq = 3").await.0, 3);
    assert_eq!(tampered("UPDATE events SET hash = 'x' WHERE seq = 1").await.0, 1);
}

#[tokio::test]
async fn a_missing_event_shows() {
    assert_eq!(tampered("DELETE FROM events WHERE seq = 2").await, (2, "it is missing".to_owned()));
    assert_eq!(tampered("DELETE FROM events WHERE seq = 4").await, (4, "it is missing".to_owned()));
    assert_eq!(tampered("DELETE FROM events").await, (1, "it is missing".to_owned()));
}

#[tokio::test]
async fn an_event_of_a_newer_release_is_not_guessed_at() {
    let (seq, why) = tampered("UPDATE events SET version = 2 WHERE seq = 4").await;
    assert_eq!(seq, 4);
    assert!(why.contains("version 2"), "{why}");
}

#[tokio::test]
async fn a_write_that_fails_does_not_spoil_those_beside_it() {
    let file = File::new();
    let store: Shared = file.open().await;
    let claim = incident(&store, "shop").await;
    let other = incident(&store, "other").await;
    let mut tasks = JoinSet::new();
    for number in 0..30 {
        let (store, claim, other) = (store.clone(), claim.clone(), other.clone());
        // All of them wait before the writer runs for the first time: they share a transaction.
        tasks.spawn(async move {
            match number % 3 {
                0 => store.append(&claim, 99, skipped(), None).await.is_err(),
                1 => store.take_in(in_scope("new", [firing(&format!("{number}"), 10)])).await.is_ok(),
                _ => store.commit_effect(&other, 1, Box::new(|_| panic!("a guard"))).await.is_err(),
            }
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|as_expected| as_expected));
    assert_eq!(names(&store, &claim.incident).await, ["opened"]);
    let new = &store.incidents(true, 1).await.unwrap()[0];
    assert_eq!((new.seq, store.events(&new.id, 0).await.unwrap().len()), (10, 10));
}

#[tokio::test]
async fn too_many_waiting_writes_are_refused_at_once() {
    let file = File::new();
    let store: Shared = file.open().await;
    let mut tasks = JoinSet::new();
    for _ in 0..2_000 {
        let store = store.clone();
        tasks.spawn(async move { store.writable().await });
    }
    let results = tasks.join_all().await;
    let refused = results.iter().filter(|result| **result == Err(StoreError::Overloaded)).count();
    assert!(refused > 0 && refused < 1_000, "{refused}");
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(StoreError::Overloaded))));
    assert_eq!(store.writable().await, Ok(()));
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let file = File::new();
    let sqlite = file.open().await;
    let store: Shared = sqlite.clone();
    store.take_in(intake([firing("a", 10)])).await.unwrap();
    sqlite.limit_pages(Some(50)).await.unwrap();
    let storm = || intake((0..5_000).map(|pod| firing(&format!("a rather long name {pod}"), 10)));
    let mut tasks = JoinSet::new();
    for number in 0..3 {
        let store = store.clone();
        let small = in_scope("other", [firing(&format!("b{number}"), 10)]);
        tasks.spawn(async move { store.take_in(if number == 1 { storm() } else { small }).await });
    }
    let results = tasks.join_all().await;
    assert!(results.iter().any(|result| matches!(result, Err(StoreError::Unavailable(_)))));
    let kept = results.iter().filter(|result| result.is_ok()).count();
    sqlite.limit_pages(None).await.unwrap();
    // Whoever was told no finds nothing of it, and can send it again.
    assert_eq!(store.incidents(true, 10).await.unwrap().len(), 1 + usize::from(kept > 0));
    let again = store.take_in(storm()).await.unwrap();
    assert_eq!((again.joined, again.repeated), (5_000, 0));
    assert_eq!(store.take_in(intake([resolved("a", 10, 20)])).await.unwrap().resolved, 1);
}
