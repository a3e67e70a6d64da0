//! The eyes and the hands by themselves, in front of the sandbox: what they look at, and when they do nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runbookd::act::{Hands, Wish};
use runbookd::alert::{Alert, Labels, Status};
use runbookd::chaos::stage::SHIPPED;
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clients::loki::{self, Loki};
use runbookd::clock::{after, before, now};
use runbookd::incident::event::{EffectResult, Found, Leg, Opened};
use runbookd::incident::evidence::{Evidence, Verdict};
use runbookd::incident::permit::{Asked, Wanted};
use runbookd::incident::plan::{Kind, Stays, Target};
use runbookd::incident::refusal::Answer;
use runbookd::incident::{Event, Incident, IncidentId, OperationId, Recorded};
use runbookd::probe::Eyes;
use runbookd::runbook::load::load;
use runbookd::runbook::{Action, Remedy, Runbook, StepKind};
use runbookd::sandbox::{NAMESPACE, Options, Sandbox, System, Trouble};

const ERROR: &str = r#"{"level":"error","message":"connection pool exhausted"}"#;
const ORDINARY: &str = r#"{"level":"info","message":"ready"}"#;

struct Set {
    sandbox: Sandbox,
    eyes: Eyes,
    hands: Hands,
    runbook: Arc<Runbook>,
}

impl Set {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options { traffic: false, ..Options::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
        let settings = kubernetes::Settings { kubeconfig: Some(kubeconfig), context: None };
        let kubernetes = Kubernetes::connect(&settings).await.unwrap();
        let loki = Loki::new(&loki::Settings::new(sandbox.loki_url())).unwrap();
        let vars = BTreeMap::from([
            ("namespace".to_owned(), NAMESPACE.to_owned()),
            ("oncall_channel".to_owned(), "#oncall".to_owned()),
            ("database".to_owned(), "samosachaat-db".to_owned()),
        ]);
        // Verify with the window of `confirm`, which reaches back to the time before the effect.
        let text = format!("{}---\n{}", SHIPPED[0].1, SHIPPED[5].1);
        let text = text.replace("at_most: 0, window: 1m", "at_most: 0");
        let file = folder.path().join("runbook.yaml");
        std::fs::write(&file, text).unwrap();
        let runbook = load(&[file], Some(&vars), 1).unwrap().runbooks.remove(0);
        Self { eyes: Eyes::new(loki, kubernetes.clone()), hands: Hands::new(kubernetes), sandbox, runbook }
    }

    /// What a probe answers that stands alone in `confirm`.
    async fn asks(&self, probe: &str) -> Evidence {
        self.asks_all(&format!("{probe}, namespace: {NAMESPACE}")).await
    }

    /// The same, for one that is about no namespace.
    async fn asks_all(&self, probe: &str) -> Evidence {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runbook.yaml");
        let text = format!(
            "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: r\nsummary: s\nalerts: ['alertname=\"A\"']\n\
             confirm: {{p: {{{probe}}}}}\ntargets: {{deployment: chat-api}}\n\
             steps: [{{remediate: r, restart: {{}}, verify: {{within: 5m, hold: 1m, all: [{{rollout: complete}}]}}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let runbook = load(&[file], None, 1).unwrap_or_else(|faults| panic!("{faults}")).runbooks.remove(0);
        self.eyes.confirm(&self.incident(), &runbook).await.1.remove(0)
    }

    /// Lines of a service, so many seconds ago.
    fn log(&self, service: &str, line: &str, ago: impl IntoIterator<Item = u64>) {
        for seconds in ago {
            self.sandbox.world().push_log_at(service, line, before(now(), Duration::from_secs(seconds)));
        }
    }

    /// What verify says about chat-api, whose effect was complete then.
    async fn verify(&self, since: Timestamp) -> (Found, Vec<Evidence>) {
        let mut steps = self.runbook.steps.iter();
        let verify = steps.find_map(|step| match &step.kind {
            StepKind::Remediate { verify, .. } => Some(verify),
            StepKind::Diagnose(_) | StepKind::Expect(_) => None,
        });
        let verify = verify.unwrap();
        self.eyes.verify(&self.incident(), &self.runbook, verify, since).await
    }

    /// An incident that has chosen chat-api.
    fn incident(&self) -> Incident {
        let opened = Opened {
            runbook: self.runbook.name.clone(),
            hash: self.runbook.hash.clone(),
            scope: Labels::default(),
            deadline: after(now(), self.runbook.deadline),
            alerts: vec![alert()],
            more: 1,
            truncated: 0,
            restore: None,
            run: None,
            drill: None,
        };
        let each = BTreeMap::from([("app".to_owned(), "chat-api".to_owned())]);
        let legs = vec![Leg { target: target(), each, figure: 40.0 }];
        let events = [
            Event::Opened(opened),
            Event::Confirmed { found: Found::Holds, answers: Vec::new(), links: Vec::new() },
            Event::LegsChosen { legs },
        ];
        let events: Vec<Recorded> =
            (1..).zip(events).map(|(seq, event)| Recorded { seq, at: now(), event }).collect();
        Incident::replay(&IncidentId::new(1, 1), &events).unwrap()
    }
}

fn target() -> Target {
    Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name: "chat-api".to_owned() }
}

/// What Alertmanager would have said: the runbook asks in the alert's own namespace.
fn alert() -> Alert {
    let labels = Labels::from([("alertname", "High5xxRate"), ("namespace", NAMESPACE)]);
    Alert {
        status: Status::Firing,
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: now(),
        ends_at: None,
        generator_url: String::new(),
    }
}

#[tokio::test]
async fn verify_counts_no_line_from_before_the_effect_was_complete() {
    let set = Set::new().await;
    set.log("chat-api", ERROR, [40, 100, 200]);
    set.log("chat-api", ORDINARY, [5]);
    let since = before(now(), Duration::from_secs(30));
    let (found, answers) = set.verify(since).await;
    assert_eq!(found, Found::Holds, "{answers:#?}");
    assert_eq!(answers[0].window.unwrap().0, since, "the range begins there");
    // As it goes to Loki: from `since` to now, in milliseconds.
    let range: u64 =
        answers[0].asked.split_once('[').unwrap().1.split_once("ms]").unwrap().0.parse().unwrap();
    assert!((30_000..40_000).contains(&range), "{}", answers[0].asked);
    // One that came after it counts.
    set.log("chat-api", ERROR, [10]);
    assert_eq!(set.verify(since).await.0, Found::Fails);
}

#[tokio::test]
async fn verify_counts_no_line_of_another_service() {
    let set = Set::new().await;
    set.log("chat-api", ORDINARY, [5]);
    set.log("auth", ERROR, [5, 6, 7]);
    let (found, answers) = set.verify(before(now(), Duration::from_secs(30))).await;
    assert_eq!(found, Found::Holds, "{answers:#?}");
}

#[tokio::test]
async fn verify_is_unknown_when_loki_can_not_be_asked() {
    let set = Set::new().await;
    set.log("chat-api", ORDINARY, [5]);
    set.sandbox.world().disturb(System::Loki, Some(Trouble::Status(500, "no".to_owned())));
    let (found, answers) = set.verify(before(now(), Duration::from_secs(30))).await;
    assert_eq!(found, Found::Unknown, "{answers:#?}");
}

#[tokio::test]
async fn a_permit_that_has_run_out_is_void_and_nothing_is_called() {
    let set = Set::new().await;
    let remedy = Remedy::Plain(Action::Restart);
    let wish = Wish { remedy: &remedy, stays: Stays::ForGood, make_it_last: None };
    let plan = set.hands.plan(&wish, &target(), now(), now()).await.unwrap();
    let op = OperationId::new(&IncidentId::new(1, 1), 1);
    let wanted = Wanted { op, leg: 0, step: 0, plan, again: false };
    let all = Asked::every(|guard| {
        (Answer { guard, saw: String::new(), limit: String::new(), allows: true }, None)
    });
    let not_after = now();
    let (_, permit) = all.grant(wanted, not_after).unwrap();
    let result = set.hands.apply(permit, after(not_after, Duration::from_secs(1))).await;
    assert!(matches!(result, EffectResult::NotTaken { .. }), "{result:?}");
    assert!(set.sandbox.world().writes().is_empty());
}

#[tokio::test]
async fn a_budget_that_allows_no_eviction_is_blocking_and_one_that_lacks_pods_is_unmet() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    let ask = async |probe| {
        let evidence = set.asks(probe).await;
        (evidence.verdict.clone(), evidence.saw)
    };
    let (blocking, unmet) = ("budgets: blocking, at_least: 1", "budgets: unmet, at_least: 1");
    let none = "0 of 0 disruption budgets allow no eviction; at least 1".to_owned();
    assert_eq!(ask(blocking).await, (Verdict::Fails, none));
    world.put_disruption_budget("chat-api", 1);
    assert_eq!(ask(blocking).await.0, Verdict::Fails);
    world.put_disruption_budget("chat-api", 0);
    let one = "1 of 1 disruption budget allow no eviction; at least 1".to_owned();
    assert_eq!(ask(blocking).await, (Verdict::Holds, one));
    assert_eq!(ask(unmet).await.0, Verdict::Fails);
    let pod = world.pods("chat-api").remove(0);
    assert!(world.end_pod(&pod.name));
    world.put_disruption_budget("chat-api", 0);
    assert!(world.until(Duration::from_secs(90), |world| world.pods("chat-api").len() == 3).await);
    let evidence = set.asks(unmet).await;
    assert_eq!(evidence.verdict, Verdict::Holds, "{evidence:?}");
    assert_eq!(evidence.samples[0].line, "1 of 2 pods healthy, 2 have to be, 0 may be evicted");
}

#[tokio::test]
async fn an_autoscaler_at_its_maximum_can_do_no_more() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    world.put_autoscaler("chat-api", 2, 2);
    world.put_autoscaler("auth", 2, 6);
    let evidence = set.asks("autoscalers: at_maximum, at_least: 1").await;
    assert_eq!(evidence.saw, "1 of 2 autoscalers at their maximum; at least 1");
    assert_eq!(evidence.samples[0].line, "chat-api 2, wants 2, at most 2");
    let evidence = set.asks("autoscalers: at_maximum, deployment: auth, at_least: 1").await;
    assert_eq!(
        (evidence.verdict, evidence.saw.as_str()),
        (Verdict::Fails, "0 of 1 autoscaler at their maximum; at least 1")
    );
    assert_eq!(set.asks("autoscalers: hindered, at_least: 1").await.verdict, Verdict::Fails);
}

#[tokio::test]
async fn events_are_counted_by_reason_and_object_and_only_new_ones() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    for (name, object, reason, ago) in [
        ("a", "chat-api-1", "FailedScheduling", 60),
        ("b", "chat-api-2", "FailedScheduling", 60),
        ("c", "chat-api-1", "FailedScheduling", 3_600),
        ("d", "chat-api-1", "Scheduled", 60),
    ] {
        world.put_event(name, object, reason, before(now(), Duration::from_secs(ago)), 3);
    }
    let evidence = set.asks("events: [FailedScheduling], window: 15m, at_least: 6").await;
    assert_eq!(
        (evidence.verdict, evidence.saw.as_str()),
        (Verdict::Holds, "6 such events in 15m; at least 6")
    );
    let evidence = set
        .asks("events: [FailedScheduling, OOMKilling], object: chat-api-2, window: 15m, at_least: 1")
        .await;
    assert_eq!(evidence.saw, "3 such events in 15m; at least 1");
    assert_eq!(evidence.samples[0].from, "pod/chat-api-2");
    // Whoever can not be asked says nothing.
    world.disturb(System::Kubernetes, Some(Trouble::Status(403, "{}".to_owned())));
    for probe in ["events: [A], window: 15m", "budgets: blocking", "autoscalers: hindered", "pods: stuck"] {
        let evidence = set.asks(&format!("{probe}, at_most: 5")).await;
        assert!(matches!(evidence.verdict, Verdict::Unknown { .. }), "{evidence:?}");
    }
}

/// All machines at once is less likely than that nobody hears of them.
#[tokio::test]
async fn when_no_node_is_ready_nothing_is_said_of_any() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    let not_ready = |object: &mut serde_json::Value| {
        object["status"]["conditions"][0]["status"] = serde_json::json!("Unknown");
    };
    assert!(world.edit_node("node-1", not_ready) && world.edit_node("node-2", not_ready));
    let evidence = set.asks_all("nodes: not_ready, at_least: 1").await;
    assert_eq!(
        (evidence.verdict, evidence.saw.as_str()),
        (Verdict::Holds, "2 of 3 nodes not Ready; at least 1")
    );
    assert!(world.edit_node("node-3", not_ready));
    for probe in [
        "nodes: not_ready, at_least: 1",
        "nodes: ready, at_most: 0",
        "nodes: not_ready, node: node-1, at_least: 1",
    ] {
        let evidence = set.asks_all(probe).await;
        assert!(matches!(evidence.verdict, Verdict::Unknown { .. }), "{evidence:?}");
    }
}
