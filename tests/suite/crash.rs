//! `kill -9` of the real binary, at every step boundary of the restart runbook and at any moment: nothing is lost,
//! and nothing is done twice.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use runbookd::incident::event::Observation;
use runbookd::incident::{Event, Outcome, Recorded};
use runbookd::sandbox::{PoolFault, System, Trouble, World};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use super::daemon::{Daemon, LIMIT, PROGRAM, names, until};

const SERVICE: &str = "chat-api";
const TIME_SCALE: u32 = 25;
/// A place that is not reached within this time is not on the runbook's way.
pub(crate) const REACHED_WITHIN: Duration = Duration::from_secs(90);
/// So many stories at a time, of all the tests of this kind: each has a daemon and a world of its own, and they share
/// the machine. More of them only make each slower than what its runbook allows.
static PLACES: Semaphore = Semaphore::const_new(5);

/// One story of crashes.
#[derive(Clone)]
struct Case {
    name: String,
    /// Where the daemon is killed: in its first life, its second, and so on.
    points: Vec<String>,
    before: fn(&World),
    /// Between the last kill and the start after it.
    between: fn(&World),
    /// Once the last life is running.
    after: fn(&World),
}

impl Case {
    fn at(points: &[&str]) -> Self {
        Self {
            name: points.join(" and "),
            points: points.iter().map(|point| (*point).to_owned()).collect(),
            before: |_| {},
            between: |_| {},
            after: |_| {},
        }
    }

    async fn play(self) {
        let name = self.name.as_str();
        let mut daemon = Daemon::new(TIME_SCALE).await;
        let world = daemon.stage.world();
        let revision = revision(&world);
        (self.before)(&world);
        for (life, point) in self.points.iter().enumerate() {
            daemon
                .stage
                .change(|setting| {
                    setting.environment = vec![("RUNBOOKD_CRASH_AT".to_owned(), point.clone())];
                })
                .unwrap();
            // It may stand at the place before it is ready: what was open goes on at once.
            daemon.stage.spawn().unwrap();
            if life == 0 {
                world.exhaust_pool(SERVICE, PoolFault::ThesePods);
            }
            let stands = format!("runbookd stands at crash point {point}\n");
            assert!(
                daemon.logged(&stands, REACHED_WITHIN).await,
                "{name}: {point} was not reached within {REACHED_WITHIN:?}: {}",
                daemon.stage.last_words()
            );
            daemon.stage.kill().await.unwrap();
        }
        (self.between)(&world);
        daemon.stage.change(|setting| setting.environment.clear()).unwrap();
        daemon.start().await;
        (self.after)(&world);
        let events = nothing_is_lost_or_done_twice(name, &mut daemon, self.points.len(), revision).await;

        let effects: Vec<&'static str> =
            names(&events).into_iter().filter(|event| event.starts_with("effect_")).collect();
        let observed: Vec<&Observation> = events
            .iter()
            .filter_map(|recorded| match &recorded.event {
                Event::EffectObserved { found, .. } => Some(found),
                _ => None,
            })
            .collect();
        let was_at = |point: &str| self.points.iter().any(|at| at == point);
        if was_at("intent-after-commit") {
            // The intent is on disk and the call was never made: that is seen, and the same operation goes on.
            assert_eq!(observed, [&Observation::NotDone], "{name}");
            assert!(effects.contains(&"effect_regranted"), "{name}: {effects:?}");
        } else if was_at("effect-sent") {
            // The call was made and nobody knows: that it is done is seen, not tried.
            assert_eq!(observed, [&Observation::Done], "{name}");
            assert_eq!(effects, ["effect_intended", "effect_observed", "effect_completed"], "{name}");
        } else {
            assert_eq!(effects, ["effect_intended", "effect_answered", "effect_completed"], "{name}");
        }
        assert_eq!(world.writes().len(), 1, "{name}: one PATCH and no other write: {:#?}", world.writes());
    }
}

/// The end of every story: the incident is closed as recovered, the deployment was restarted once, and whoever
/// reads the journal or Slack sees one incident. Returns its events.
async fn nothing_is_lost_or_done_twice(
    name: &str,
    daemon: &mut Daemon,
    crashes: usize,
    revision_before: i64,
) -> Vec<Recorded> {
    let world = daemon.stage.world();
    let view = daemon.ended().await;
    let outcome = view.summary.outcome;
    assert_eq!(outcome, Some(Outcome::Recovered), "{name}: {:?}, {:#?}", view.why, names(&view.events));
    assert!(world.until(LIMIT, |world| world.firing().is_empty()).await, "{name}: the alert still fires");
    // Slack is told behind the journal.
    let told = until(LIMIT, async || {
        let threads = world.slack_threads();
        let complete = threads.iter().any(|thread| {
            thread.head.text.contains("Recovered")
                && thread.replies.last().is_some_and(|reply| reply.text.contains("Recovered"))
        });
        complete && daemon.metric("runbookd_slack_incidents_behind").await == 0
    })
    .await;
    assert!(told, "{name}: Slack was not told: {:#?}", world.slack_threads());

    let restarts = restarts(&world);
    assert_eq!(restarts.len(), 1, "{name}: {restarts:?}");
    assert_eq!(revision(&world), revision_before + 1, "{name}: the deployment's revision");

    // Slack has no idempotency key: what was on its way at a crash can stand there twice, and nothing else can.
    let threads = world.slack_threads();
    let replies: Vec<&str> =
        threads.iter().flat_map(|thread| &thread.replies).map(|reply| reply.text.as_str()).collect();
    let distinct: BTreeSet<&str> = replies.iter().copied().collect();
    let repeated = threads.len() - 1 + replies.len() - distinct.len();
    assert!(repeated <= crashes, "{name}: {repeated} messages twice: {threads:#?}");

    let status = daemon.stage.terminate().await.unwrap();
    assert!(status.success(), "{name}: {status}: {}", daemon.stage.last_words());
    let mut journal = daemon.journal().await;
    assert_eq!(journal.len(), 1, "{name}: one incident for the scope");
    let (_, events) = journal.pop().unwrap();
    let intents = names(&events).iter().filter(|name| **name == "effect_intended").count();
    assert_eq!(intents, 1, "{name}: {:?}", names(&events));
    events
}

/// The values of restartedAt that were sent.
fn restarts(world: &World) -> BTreeSet<String> {
    let key = "kubectl.kubernetes.io/restartedAt";
    world
        .writes()
        .iter()
        .map(|write| {
            let body: serde_json::Value = serde_json::from_str(&write.body).unwrap();
            let value = body["spec"]["template"]["metadata"]["annotations"][key].as_str();
            value.unwrap_or_else(|| panic!("not a restart: {write:?}")).to_owned()
        })
        .collect()
}

fn revision(world: &World) -> i64 {
    let deployment = world.deployment(SERVICE).unwrap();
    let revision = &deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    revision.as_str().unwrap().parse().unwrap()
}

async fn play(cases: Vec<Case>) {
    side_by_side(cases.into_iter().map(|case| (case.name.clone(), case.play())).collect()).await;
}

/// Plays the stories, some at a time, and says of each that failed why.
pub(crate) async fn side_by_side<S: Future<Output = ()> + 'static>(stories: Vec<(String, S)>) {
    LocalSet::new().run_until(side_by_side_here(stories)).await;
}

async fn side_by_side_here<S: Future<Output = ()> + 'static>(all: Vec<(String, S)>) {
    let mut stories = JoinSet::new();
    for (name, story) in all {
        stories.spawn_local(async move {
            let _place = PLACES.acquire().await.unwrap();
            (name, spawn_local(story).await)
        });
    }
    let mut failed = String::new();
    while let Some(ended) = stories.join_next().await {
        if let (name, Err(error)) = ended.unwrap() {
            let panic = error.into_panic();
            let why = panic.downcast_ref::<String>().map_or("see above", String::as_str);
            writeln!(failed, "\n=== {name}\n{why}").unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_boundary_nothing_is_lost_and_nothing_is_done_twice() {
    #[expect(clippy::disallowed_methods, reason = "the binary itself says where it can be stopped")]
    let listed = tokio::process::Command::new(PROGRAM).arg("crash-points").output().await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let points: Vec<&str> = listed.lines().collect();
    assert!(points.len() >= 17, "{points:?}");
    play(points.into_iter().map(|point| Case::at(&[point])).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twice_or_while_another_system_is_away() {
    let slack_is_away: fn(&World) = |world| world.disturb(System::Slack, Some(Trouble::Down));
    let slack_is_back: fn(&World) = |world| world.disturb(System::Slack, None);
    let loki_fails_twice: fn(&World) = |world| world.disturb_next(System::Loki, Trouble::Down, 2);
    let named = |name: &str, case: Case| Case { name: name.to_owned(), ..case };
    play(vec![
        Case::at(&["intent-in-transaction", "intent-after-commit"]),
        Case::at(&["effect-sent", "effect-completed"]),
        Case::at(&["confirmed", "closed"]),
        // Killed at the same place in two lives.
        Case::at(&["claimed", "claimed"]),
        named(
            "no answer to the restart, and then killed",
            Case {
                before: |world| world.disturb_next(System::Kubernetes, Trouble::CutAfterApply, 1),
                ..Case::at(&["effect-sent"])
            },
        ),
        named(
            "Slack is away",
            Case { before: slack_is_away, after: slack_is_back, ..Case::at(&["effect-answered"]) },
        ),
        named(
            "Loki is away before the intent",
            Case { between: loki_fails_twice, ..Case::at(&["legs-chosen"]) },
        ),
        named(
            "Loki is away before the verify",
            Case { between: loki_fails_twice, ..Case::at(&["effect-completed"]) },
        ),
    ])
    .await;
}

/// Every few moments, wherever it stands. The moments follow from the seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_still_comes_to_the_same_end() {
    side_by_side([1, 2].into_iter().map(|seed| (format!("seed {seed}"), again_and_again(seed))).collect())
        .await;
}

async fn again_and_again(seed: u64) {
    const KILLS: u32 = 10;
    let name = format!("seed {seed}");
    let mut daemon = Daemon::new(TIME_SCALE).await;
    let world = daemon.stage.world();
    let revision = revision(&world);
    daemon.start().await;
    world.exhaust_pool(SERVICE, PoolFault::ThesePods);
    daemon.one().await;
    let mut chance = seed;
    for _ in 0..KILLS {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lives_for = Duration::from_millis(100 + (chance >> 33) % 500);
        tokio::time::sleep(lives_for).await;
        daemon.stage.kill().await.unwrap();
        daemon.stage.spawn().unwrap();
    }
    daemon.stage.kill().await.unwrap();
    daemon.start().await;
    nothing_is_lost_or_done_twice(&name, &mut daemon, KILLS as usize + 1, revision).await;
}
