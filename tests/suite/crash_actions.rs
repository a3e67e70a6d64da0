//! `kill -9` at every boundary of the actions that change something for a while, of those that call services, and of what puts back: done once,
//! remembered, and put back once.

use std::time::Duration;

use jiff::Timestamp;
use runbookd::api::wire::IncidentView;
use runbookd::crash::POINTS;
use runbookd::incident::Outcome;
use runbookd::incident::event::{Event, Observation};
use runbookd::sandbox::{System, World};
use serde_json::{Value, json};

use super::crash::{REACHED_WITHIN, side_by_side};
use super::daemon::{Daemon, LIMIT, firing, names, notification, until};

/// A minute of the daemon's, in which evidence is fresh, is two seconds here.
const TIME_SCALE: u32 = 30;
/// From the plan to the end: what is before is the same for every action.
fn boundaries() -> &'static [&'static str] {
    let at = |wanted: &str| POINTS.iter().position(|point| *point == wanted).unwrap();
    &POINTS[at("planned")..=at("verified")]
}

/// A call to a service is believed not to have happened only when nobody can still work on it, and a minute is a minute there.
const ENDED_WITHIN: Duration = Duration::from_secs(240);

/// What is done, and how it shows.
#[derive(Clone, Copy)]
struct Deed {
    name: &'static str,
    service: &'static str,
    /// The action of the step, as YAML.
    action: &'static str,
    /// The value that it changes.
    value: fn(&World, &str) -> Value,
    before: &'static str,
    after: &'static str,
    /// The calls that do it, of all that were made.
    calls: fn(&World) -> usize,
    /// Whether there is something to put back.
    is_kept: bool,
}

fn writes(world: &World) -> usize {
    world.writes().len()
}

fn container(world: &World, service: &str) -> Value {
    world.deployment(service).unwrap()["spec"]["template"]["spec"]["containers"][0].clone()
}

const SCALE: Deed = Deed {
    name: "scale",
    service: "chat-api",
    action: "scale: {add: 1, at_most: 6}\n    restore: {after: 3m}\n    make_it_last: replicaCount",
    value: |world, service| world.deployment(service).unwrap()["spec"]["replicas"].clone(),
    before: "2",
    after: "3",
    calls: writes,
    is_kept: true,
};

const DEEDS: [Deed; 4] = [
    SCALE,
    Deed {
        name: "resources",
        service: "inference",
        action: "container: inference\n    resources: {limits: {memory: 9Gi}}\n    restore: {after: 3m}",
        value: |world, service| container(world, service)["resources"]["limits"]["memory"].clone(),
        before: "\"8Gi\"",
        after: "\"9Gi\"",
        calls: writes,
        is_kept: true,
    },
    Deed {
        name: "env",
        service: "chat-api",
        action: "env: {LEVEL: debug}\n    restore: {after: 3m}",
        value: |world, service| {
            let container = container(world, service);
            let all = container["env"].as_array().cloned().unwrap_or_default();
            let entry = all.into_iter().find(|entry| entry["name"] == "LEVEL");
            entry.map_or(Value::Null, |entry| entry["value"].clone())
        },
        before: "null",
        after: "\"debug\"",
        calls: writes,
        is_kept: true,
    },
    Deed {
        name: "http",
        service: "inference",
        action: "http: {post: /models/swap, each: pod, port: 8003, json: {model_tag: samosachaat-d6}, within: 5s, may_take: 5s, \
                 observe: {http: /stats, pointer: /current_model, equals: samosachaat-d6}}",
        value: |world, service| json!(world.model(&world.pods(service)[0].name)),
        before: "\"samosachaat-d12\"",
        after: "\"samosachaat-d6\"",
        calls: |world| {
            let swap = |system: &System, path: &str, method: &str| {
                matches!(system, System::Pod(_)) && path == "/models/swap" && method == "POST"
            };
            let all = world.requests();
            all.iter().filter(|request| swap(&request.system, &request.path, &request.method)).count()
        },
        is_kept: false,
    },
];

fn crash_at(point: &str) -> Vec<(String, String)> {
    vec![("RUNBOOKD_CRASH_AT".to_owned(), point.to_owned())]
}

/// Where the daemon stands still when it is started next.
fn stand_at(daemon: &mut Daemon, point: &str) {
    daemon.stage.change(|setting| setting.environment = crash_at(point)).unwrap();
}

impl Deed {
    fn runbook(&self) -> String {
        let Self { service, action, .. } = self;
        format!(
            r#"apiVersion: runbookd.dev/v1
kind: Runbook
name: deed
summary: Do it once.
mode: act
alerts: ['alertname="Deed"']
group_by: [namespace]
confirm:
  wanted: {{loki: '{{app="chat-api"}} |= "it is wanted"', window: 10h, at_least: 1}}
targets: {{namespace: samosachaat-prod, deployment: {service}}}
steps:
  - remediate: do it
    {action}
    verify: {{within: 10m, hold: 1m, all: [{{rollout: complete}}]}}
limits: {{cooldown: 15m, rate: 3/1h}}
"#
        )
    }

    fn value(&self, world: &World) -> Value {
        (self.value)(world, self.service)
    }

    fn is_as_before(&self, world: &World) -> bool {
        let value = self.value(world).to_string();
        value == self.before
    }

    /// The daemon in front of a world in which it is wanted.
    async fn begin(self, point: &str) -> (Daemon, World) {
        let mut daemon = Daemon::with(TIME_SCALE, |setting| {
            setting.rules = vec![("deed.yaml".to_owned(), self.runbook())];
            setting.environment = crash_at(point);
        })
        .await;
        let world = daemon.stage.world();
        assert_eq!(self.value(&world).to_string(), self.before);
        daemon.start().await;
        world.push_log("chat-api", "it is wanted");
        let alert = firing(
            &json!({"alertname": "Deed", "namespace": "samosachaat-prod"}),
            Timestamp::from_second(1_790_000_000).unwrap(),
        );
        assert_eq!(daemon.post(notification(&[alert])).await.0, 200);
        (daemon, world)
    }

    /// It is killed where it stands, and stands nowhere when it begins anew.
    async fn killed(self, daemon: &mut Daemon, point: &str) {
        let stands = format!("runbookd stands at crash point {point}\n");
        let reached = daemon.logged(&stands, REACHED_WITHIN).await;
        assert!(reached, "{point} was not reached: {}", daemon.stage.last_words());
        daemon.stage.kill().await.unwrap();
        stand_at(daemon, "");
    }

    async fn done_once(self, point: &'static str) {
        let name = format!("{} at {point}", self.name);
        let (mut daemon, world) = self.begin(point).await;
        self.killed(&mut daemon, point).await;
        daemon.start().await;
        let id = daemon.one().await;
        let ended = until(ENDED_WITHIN, async || daemon.view(&id).await.summary.closed_at.is_some()).await;
        assert!(ended, "{name}: {}", daemon.stage.last_words());
        recovered(&name, &daemon.view(&id).await, point);
        if !self.is_kept {
            assert_eq!(
                ((self.calls)(&world), self.value(&world).to_string()),
                (1, self.after.to_owned()),
                "{name}"
            );
            return;
        }
        // What it was before is remembered, and comes back, perhaps already.
        let back = until(LIMIT, async || world.writes().len() == 2 && self.is_as_before(&world));
        assert!(back.await, "{name}: {:#?}", world.writes());
        let bodies: Vec<String> = world.writes().into_iter().map(|write| write.body).collect();
        let wrote = |body: &str, value: &str| body.contains(&format!("\"value\":{value}"));
        assert!(wrote(&bodies[0], self.after), "{name}: {bodies:#?}");
    }

    async fn put_back_once(self, point: &'static str) {
        let name = format!("put back at {point}");
        let (mut daemon, world) = self.begin("").await;
        daemon.ended().await;
        // What is due is found again by whoever comes next.
        daemon.stage.kill().await.unwrap();
        stand_at(&mut daemon, point);
        daemon.stage.spawn().unwrap();
        self.killed(&mut daemon, point).await;
        daemon.start().await;
        let closed = until(LIMIT, async || {
            let all = daemon.incidents().await;
            all.len() == 2 && all.iter().all(|one| one.summary.closed_at.is_some())
        })
        .await;
        assert!(closed, "{name}: {}", daemon.stage.last_words());
        let id = daemon.incidents().await.remove(0).summary.id;
        recovered(&name, &daemon.view(&id).await, point);
        assert_eq!(self.value(&world).to_string(), self.before, "{name}");
        assert_eq!(world.writes().len(), 2, "{name}: {:#?}", world.writes());
    }
}

/// It ended well, and after a crash between intent and answer it was looked before anything else was done.
fn recovered(name: &str, view: &IncidentView, point: &str) {
    let outcome = view.summary.outcome;
    assert_eq!(outcome, Some(Outcome::Recovered), "{name}: {:?}, {:#?}", view.why, names(&view.events));
    let observed: Vec<&Observation> = view
        .events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::EffectObserved { found, .. } => Some(found),
            _ => None,
        })
        .filter(|found| !matches!(found, Observation::Unseen { .. }))
        .collect();
    match point {
        "intent-after-commit" => {
            assert_eq!(observed.first(), Some(&&Observation::NotDone), "{name}: {observed:?}")
        }
        "effect-sent" => assert_eq!(observed.last(), Some(&&Observation::Done), "{name}: {observed:?}"),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_boundary_each_action_is_done_once_and_put_back() {
    let mut stories = Vec::new();
    for deed in DEEDS {
        let story = |point: &&'static str| (format!("{} at {point}", deed.name), deed.done_once(point));
        stories.extend(boundaries().iter().map(story));
    }
    side_by_side(stories).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_boundary_what_is_put_back_is_put_back_once() {
    let story = |point: &&'static str| (format!("put back at {point}"), SCALE.put_back_once(point));
    side_by_side(boundaries().iter().map(story).collect()).await;
}
