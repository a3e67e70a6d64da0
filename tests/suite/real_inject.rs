//! `runbookd inject --at alert` at a real Alertmanager, whose routes send the made-up alert to the real daemon as they would send any other. Where Alertmanager is not
//! installed, the test says so and ends, as in `real_alertmanager`.

use std::process::Stdio;
use std::time::Duration;

use runbookd::clients::alertmanager::{Alertmanager as Client, Settings, State};
use runbookd::clock;
use runbookd::incident::drill::Rehearsed;
use runbookd::incident::{Event, Outcome};
use runbookd::store::Summary;

use super::daemon::{Daemon, LIMIT, until};
use super::inject_real::Ground;
use super::real_alertmanager::{Alertmanager, QUIET, high_5xx};

/// The lines that are made up have to lie in the daemon's windows still when Alertmanager has waited for its group.
const TIME_SCALE: u32 = 20;

/// Beside the drill the same alert is real, in the same group of Alertmanager; and afterwards the made-up one comes once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_by_way_of_alertmanager_and_what_is_real_beside_it_are_answered_each_by_itself() {
    let daemon = Daemon::new(TIME_SCALE).await;
    let Some(alertmanager) = Alertmanager::start(&daemon.stage.url()).await else { return };
    let url = alertmanager.url();
    let section = format!("alertmanager: {{url: \"{url}\", receiver: runbookd, every: 200ms, grace: 2s}}");
    let ground = Ground::of(daemon, section).await;
    let (daemon, world) = (&ground.daemon, ground.world());
    let arguments = ["database-pool", "--at", "alert", "--via", "alertmanager", "--yes"];
    let playing = ground.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let playing = tokio::spawn(tokio::time::timeout(2 * LIMIT, playing.wait_with_output()));

    let pushed = world.until(LIMIT, |world| {
        world.requests().iter().any(|request| request.path.contains("/loki/api/v1/push"))
    });
    assert!(pushed.await, "{}", daemon.stage.last_words());
    let genuine = high_5xx("chat-api");
    alertmanager.fire(std::slice::from_ref(&genuine)).await;

    let output = playing.await.unwrap().expect("it comes to its end").unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", alertmanager.log());
    assert!(text.contains("database-pool: passed"), "{text}");
    assert!(ground.drills().await.is_empty(), "it is over: {text}");

    let of = async |is_drill: bool| {
        let all = daemon.incidents().await.into_iter().map(|listed| listed.summary);
        let of: Vec<Summary> = all.filter(|summary| summary.drill.is_some() == is_drill).collect();
        let [one] = of.as_slice() else { panic!("{of:#?}\n{}", alertmanager.log()) };
        daemon.once(&one.id, "the end", |view| view.summary.closed_at.is_some()).await
    };
    let drill = of(true).await;
    assert_eq!(drill.summary.outcome, Some(Outcome::WouldAct), "{:?}", drill.why);
    let rehearsed: Vec<_> = drill
        .events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::WouldAct { rehearsed, .. } => rehearsed.as_ref(),
            _ => None,
        })
        .collect();
    assert!(matches!(rehearsed.as_slice(), [Rehearsed::Accepted { .. }]), "{:#?}", drill.events);
    let [made_up] = drill.alerts.as_slice() else { panic!("{:#?}", drill.alerts) };

    // The lines are as fresh for it as for the drill, and are none of its own.
    let real = of(false).await;
    assert_eq!(real.summary.outcome, Some(Outcome::NotConfirmed), "{:?}", real.why);
    assert_eq!(real.summary.runbook, drill.summary.runbook);
    let [came] = real.alerts.as_slice() else { panic!("{:#?}", real.alerts) };
    assert_eq!(came.alert.labels.0, genuine);
    assert!(world.writes().is_empty(), "{:#?}", world.writes());

    let client = Client::new(&Settings::new(url)).unwrap();
    let labels = &made_up.alert.labels.0;
    let gone = async || client.state(labels).await == Ok(State::Absent);
    assert!(until(LIMIT, gone).await, "it fires still: {}", alertmanager.log());

    // Somebody posts it once more, or another Alertmanager does that was away; it began later than the one that is known.
    let later = clock::now();
    assert!(later > made_up.alert.starts_at);
    assert!(daemon.unanswered().await.unanswered.is_empty(), "{:?}", daemon.unanswered().await);
    alertmanager.post(std::slice::from_ref(labels), later, None).await;
    let told = async || !daemon.unanswered().await.unanswered.is_empty();
    assert!(until(LIMIT, told).await, "{}", alertmanager.log());
    let unanswered = daemon.unanswered().await.unanswered;
    let why = "it was made up by a drill of scenario database-pool that is over";
    assert!(unanswered.iter().all(|left| left.reason == why), "{unanswered:#?}");
    // Neither does what Alertmanager says when it is asked.
    tokio::time::sleep(QUIET + Duration::from_secs(1)).await;
    assert_eq!(client.state(labels).await, Ok(State::Active));
    assert_eq!(daemon.incidents().await.len(), 2);
    let unanswered = daemon.unanswered().await.unanswered;
    assert_eq!(unanswered.len(), 1, "{unanswered:#?}");
    let said = daemon.log().matches("An alert of a drill that is over is left alone").count();
    assert_eq!(said, 1, "it was sent once, and is said once");
    assert!(world.writes().is_empty(), "{:#?}", world.writes());
}
