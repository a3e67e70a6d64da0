//! The eyes and the hands by themselves, in front of the sandbox: what they look at, and when they do nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use runbookd::act::Hands;
use runbookd::alert::{Alert, Labels, Status};
use runbookd::chaos::stage::SHIPPED;
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clients::loki::{self, Loki};
use runbookd::clock::{after, before, now};
use runbookd::incident::event::{EffectResult, Found, Leg, Opened};
use runbookd::incident::evidence::Evidence;
use runbookd::incident::permit::{Asked, Wanted};
use runbookd::incident::plan::{Kind, Target};
use runbookd::incident::refusal::Answer;
use runbookd::incident::{Event, Incident, IncidentId, OperationId, Recorded};
use runbookd::probe::Eyes;
use runbookd::runbook::load::load;
use runbookd::runbook::{Action, Runbook, StepKind};
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
        ]);
        // Verify with the window of `confirm`, which reaches back to the time before the effect.
        let text = SHIPPED[0].1.replace("at_most: 0, window: 1m", "at_most: 0");
        let file = folder.path().join("runbook.yaml");
        std::fs::write(&file, text).unwrap();
        let runbook = load(&[file], Some(&vars), 1).unwrap().runbooks.remove(0);
        Self { eyes: Eyes::new(loki, kubernetes.clone()), hands: Hands::new(kubernetes), sandbox, runbook }
    }

    /// Lines of a service, so many seconds ago.
    fn log(&self, service: &str, line: &str, ago: impl IntoIterator<Item = u64>) {
        for seconds in ago {
            self.sandbox.world().push_log_at(service, line, before(now(), Duration::from_secs(seconds)));
        }
    }

    /// What verify says about chat-api, whose effect was complete then.
    async fn verify(&self, since: Timestamp) -> (Found, Vec<Evidence>) {
        let StepKind::Remediate { verify, .. } = &self.runbook.steps[0].kind else { unreachable!() };
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
        };
        let each = BTreeMap::from([("app".to_owned(), "chat-api".to_owned())]);
        let legs = vec![Leg { target: target(), each, figure: 40.0 }];
        let events = [
            Event::Opened(opened),
            Event::Confirmed { found: Found::Holds, answers: Vec::new() },
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
    let plan = set.hands.plan(Action::Restart, &target(), now(), now()).await.unwrap();
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
