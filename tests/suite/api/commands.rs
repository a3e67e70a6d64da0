//! The commands against a daemon on loopback: what they do, and what they say when it can not be done.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Parser};
use jiff::Timestamp;
use runbookd::cli::{approve, decline, incidents, pause, resume, status};
use runbookd::store::Store as _;
use tokio::net::TcpListener;

use super::{World, story};

#[derive(Parser)]
struct Command<A: Args> {
    #[command(flatten)]
    args: A,
}

/// The arguments as a person would give them.
pub(super) fn given<A: Args>(url: &str, words: &[&str]) -> A {
    let all = ["runbookd", "--url", url].into_iter().chain(words.iter().copied());
    Command::parse_from(all).args
}

pub(super) async fn serve(world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(runbookd::listen::serve(listener, world.router.clone(), world.shutdown.subscribe()));
    url
}

#[tokio::test]
async fn approve_and_decline_say_what_the_person_saw() {
    let world = World::asking(Timestamp::MAX);
    let url = serve(&world).await;
    let code = approve::run(given(&url, &["vge", "--yes", "--by", "alice"])).await.unwrap();
    assert_eq!((code, world.store.said()), (ExitCode::SUCCESS, 1));
    let error = approve::run(given(&url, &["vge", "--yes"])).await.unwrap_err();
    assert!(error.to_string().contains("is confirming and asks nobody"), "{error}");
    let error = decline::run(given(&url, &["1kfm", "--reason", "no"])).await.unwrap_err();
    assert!(error.to_string().contains("asks nobody"), "{error}");
    assert_eq!(world.store.said(), 1);

    let world = World::asking(Timestamp::MAX);
    let url = serve(&world).await;
    let code = decline::run(given(&url, &["1kfm3x9q02vge", "--reason", "migration"])).await.unwrap();
    assert_eq!((code, world.store.said()), (ExitCode::SUCCESS, 1));
}

#[tokio::test]
async fn nothing_is_approved_without_a_person_to_ask() {
    if std::io::stdin().is_terminal() {
        // Here somebody could be asked, and the test would wait for them.
        return;
    }
    let world = World::asking(Timestamp::MAX);
    let url = serve(&world).await;
    let code = approve::run(given(&url, &["vge"])).await.unwrap();
    assert_eq!((code, world.store.said()), (ExitCode::from(2), 0));
}

#[tokio::test]
async fn pause_and_resume() {
    let world = World::new();
    let url = serve(&world).await;
    pause::run(given(&url, &["--reason", "load test", "--by", "alice"])).await.unwrap();
    assert_eq!(world.store.paused().await.unwrap().unwrap().reason, "load test");
    status::run(given(&url, &[])).await.unwrap();
    status::run(given(&url, &["--output", "json"])).await.unwrap();
    resume::run(given(&url, &[])).await.unwrap();
    assert_eq!(world.store.paused().await.unwrap(), None);
}

#[tokio::test]
async fn incidents_in_every_way() {
    let world = World::new();
    world.tell(story::whole());
    let url = serve(&world).await;
    for words in [
        &[][..],
        &["--open"],
        &["--unanswered"],
        &["vge"],
        &["vge", "--output", "json"],
        &["vge", "--follow"],
        &["vge", "--follow", "--output", "json"],
    ] {
        let code = incidents::run(given(&url, words)).await.unwrap();
        assert_eq!(code, ExitCode::SUCCESS, "{words:?}");
    }
}

#[tokio::test]
async fn following_ends_with_the_incident() {
    let world = World::asking(Timestamp::MAX);
    let url = serve(&world).await;
    let following = tokio::spawn(incidents::run(given(&url, &["vge", "--follow"])));
    let why = "nobody approved or declined in time".to_owned();
    world.tell(vec![(
        9.0,
        runbookd::incident::Event::Closed { outcome: runbookd::incident::Outcome::Expired, why },
    )]);
    assert_eq!(following.await.unwrap().unwrap(), ExitCode::SUCCESS);
}

#[tokio::test]
async fn errors_teach() {
    let world = World::with(Some("correct-horse"), 1);
    let url = serve(&world).await;
    let mut wrong = tempfile::NamedTempFile::new().unwrap();
    writeln!(wrong, "wrong-horse").unwrap();
    let wrong = wrong.path().to_str().unwrap();
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (url, words, says) in [
        (gone.as_str(), &[][..], "is `runbookd serve` running? use --url"),
        (&url, &[], "set RUNBOOKD_API_TOKEN or use --token-file"),
        (&url, &["--token-file", wrong], "is not the daemon's API token"),
        (&url, &["--token-file", "/does/not/exist"], "can not be read"),
        ("localhost:9099", &[], "expected http://HOST:9099"),
        ("nonsense", &[], "expected http://HOST:9099"),
    ] {
        let error = incidents::run(given(url, words)).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }
    let mut right = tempfile::NamedTempFile::new().unwrap();
    writeln!(right, "correct-horse").unwrap();
    let words = ["--token-file", right.path().to_str().unwrap()];
    assert_eq!(incidents::run(given(&url, &words)).await.unwrap(), ExitCode::SUCCESS);
}
