//! `kill -9` between an intent and its call, and the proof that let the runbook act is taken back meanwhile: the call is not made any more.

use std::time::Duration;

use runbookd::api::wire::Proofs;
use runbookd::chaos::stage::API_TOKEN;
use runbookd::clients::http_client;
use runbookd::clock;
use runbookd::incident::event::Observation;
use runbookd::incident::proof::{Level, Proof, Times};
use runbookd::incident::refusal::Guard;
use runbookd::incident::{Event, Outcome};
use runbookd::sandbox::PoolFault;
use runbookd::store::{KeptProof, Sqlite, Store as _};

use super::crash::{REACHED_WITHIN, side_by_side};
use super::daemon::{Daemon, names};

const POINT: &str = "intent-after-commit";
const RUNBOOK: &str = "database-pool-exhaustion";

async fn play() {
    let mut daemon = Daemon::with(25, |setting| {
        setting.more = "proof: {at: fault, within: 90d}".to_owned();
        setting.environment = vec![("RUNBOOKD_CRASH_AT".to_owned(), POINT.to_owned())];
    })
    .await;
    daemon.start().await;
    let all: Proofs = daemon.get("/proofs").await;
    let text = all.runbooks.into_iter().find(|one| one.runbook == RUNBOOK).unwrap().text.unwrap();
    let proof = |run: &str, passed| Proof {
        run: run.to_owned(),
        scenario: "database-pool".to_owned(),
        at: Level::Fault,
        runbook: RUNBOOK.to_owned(),
        text: text.clone(),
        passed,
        proven_at: clock::now(),
        times: Times {
            act: Some(Duration::from_secs(50)),
            recover: Some(Duration::from_secs(95)),
            ..Times::default()
        },
        version: "0.1.0".to_owned(),
    };
    let http = http_client(Duration::from_secs(10)).unwrap();
    let url = format!("{}/api/v1/proofs", daemon.stage.url());
    let answer = http.post(url).bearer_auth(API_TOKEN).json(&proof("run-1", true)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    daemon.stage.world().exhaust_pool("chat-api", PoolFault::ThesePods);
    let stands = format!("runbookd stands at crash point {POINT}\n");
    assert!(daemon.logged(&stands, REACHED_WITHIN).await, "it may act: {}", daemon.stage.last_words());
    daemon.stage.kill().await.unwrap();

    let journal = Sqlite::open(&daemon.stage.journal()).await.unwrap();
    assert_eq!(journal.keep_proof(proof("run-2", false)).await.unwrap(), KeptProof::New);
    journal.close().await;
    drop(journal);

    daemon.stage.change(|setting| setting.environment.clear()).unwrap();
    daemon.start().await;
    let view = daemon.ended().await;
    let all = names(&view.events);
    assert_eq!(view.summary.outcome, Some(Outcome::Blocked), "{:?} {all:#?}", view.why);
    assert!(daemon.stage.world().writes().is_empty(), "{:#?}", daemon.stage.world().writes());
    assert!(!all.contains(&"effect_regranted") && !all.contains(&"approval_asked"), "{all:#?}");
    let not_done = |event: &Event| matches!(event, Event::EffectObserved { found, .. } if *found == Observation::NotDone);
    assert!(view.events.iter().any(|recorded| not_done(&recorded.event)), "{all:#?}");
    let refusals = view.events.iter().filter_map(|recorded| match &recorded.event {
        Event::Refused { refusals, .. } => Some(refusals),
        _ => None,
    });
    let by_proof = refusals
        .flatten()
        .any(|refusal| refusal.guard == Guard::Mode && refusal.limit.contains("the last proof failed, on "));
    assert!(by_proof, "{:#?}", view.events);
    daemon.stage.terminate().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_an_intent_whose_proof_is_taken_back_it_is_not_done_any_more() {
    side_by_side(vec![(POINT.to_owned(), play())]).await;
}
