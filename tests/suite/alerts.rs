//! The probe `alerts` in front of the sandbox's Alertmanager: what counts, what it can not tell, and that resolved is not healthy.

use std::time::Duration;

use runbookd::alert::{Alert, Labels, Status};
use runbookd::clients::alertmanager::{Alertmanager, Settings};
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clients::loki::{self, Loki};
use runbookd::clock::now;
use runbookd::incident::event::{Found, Leg, Opened};
use runbookd::incident::evidence::{Evidence, Verdict};
use runbookd::incident::plan::{Kind, Target};
use runbookd::incident::{Event, Incident, IncidentId, Recorded};
use runbookd::probe::Eyes;
use runbookd::runbook::load::read_text;
use runbookd::runbook::{Runbook, StepKind};
use runbookd::sandbox::{NAMESPACE, Options, Sandbox, System, Trouble};

const OURS: [(&str, &str); 3] = [("alertname", "Web"), ("namespace", NAMESPACE), ("app", "chat-api")];

struct Set {
    sandbox: Sandbox,
    eyes: Eyes,
}

impl Set {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options { traffic: false, ..Options::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
        let settings = kubernetes::Settings { kubeconfig: Some(kubeconfig), context: None };
        let alertmanager = Alertmanager::new(&Settings::new(sandbox.alertmanager_url())).unwrap();
        let eyes = Eyes::new(
            Loki::new(&loki::Settings::new(sandbox.loki_url())).unwrap(),
            Kubernetes::connect(&settings).await.unwrap(),
        )
        .with_alertmanager(Some(alertmanager));
        Self { sandbox, eyes }
    }

    async fn asks(&self, probe: &str, scale: u32) -> Evidence {
        let runbook = runbook(probe, "{rollout: complete}", scale);
        self.eyes.confirm(&incident(&runbook, &OURS), &runbook).await.1.remove(0)
    }

    /// The first answer that is none of an Alertmanager that has just started.
    async fn settled(&self, probe: &str) -> Evidence {
        let asked = async {
            loop {
                // Five minutes are 300 ms.
                let evidence = self.asks(probe, 1000).await;
                if !evidence.saw.contains("has run for") {
                    return evidence;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), asked).await.unwrap()
    }

    async fn verify(&self, all: &str) -> (Found, Vec<Evidence>) {
        self.settled(GONE).await;
        let runbook = runbook(GONE, all, 1000);
        let StepKind::Remediate { verify, .. } = &runbook.steps[0].kind else { unreachable!() };
        self.eyes.verify(&incident(&runbook, &OURS), &runbook, verify, now()).await
    }
}

/// No such alert for this service.
const GONE: &str =
    r#"alerts: firing, matching: ['alertname="Web"', 'app=~"${labels.app}|none"'], at_most: 0"#;

fn runbook(probe: &str, all: &str, scale: u32) -> Runbook {
    let text = format!(
        "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: r\nsummary: s\nalerts: ['alertname=\"Web\"']\n\
         group_by: [namespace, app]\nconfirm: {{p: {{{probe}}}}}\n\
         probes: {{lines: {{loki: '{{app=\"nobody\"}} |= \"error\"', window: 5m, at_least: 1}}}}\n\
         targets: {{deployment: chat-api, namespace: {NAMESPACE}}}\n\
         steps: [{{remediate: r, restart: {{}}, verify: {{within: 10m, hold: 1m, all: [{all}]}}}}]\n"
    );
    read_text(&text, None, scale).unwrap_or_else(|faults| panic!("{faults}"))
}

fn incident(runbook: &Runbook, labels: &[(&str, &str); 3]) -> Incident {
    let labels = Labels::from(*labels);
    let alert = Alert {
        status: Status::Firing,
        fingerprint: labels.fingerprint(),
        labels,
        annotations: Labels::default(),
        starts_at: now(),
        ends_at: None,
        generator_url: String::new(),
    };
    let opened = Opened {
        runbook: runbook.name.clone(),
        hash: runbook.hash.clone(),
        scope: Labels::default(),
        deadline: jiff::Timestamp::MAX,
        alerts: vec![alert],
        more: 1,
        truncated: 0,
        restore: None,
        run: None,
        drill: None,
    };
    let target =
        Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name: "chat-api".to_owned() };
    let legs = vec![Leg { target, each: std::collections::BTreeMap::new(), figure: 1.0 }];
    let events = [
        Event::Opened(opened),
        Event::Confirmed { found: Found::Holds, answers: Vec::new(), links: Vec::new() },
        Event::LegsChosen { legs },
    ];
    let events: Vec<Recorded> =
        (1..).zip(events).map(|(seq, event)| Recorded { seq, at: now(), event }).collect();
    Incident::replay(&IncidentId::new(1, 1), &events).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_firing_then_suppressed_then_gone() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    // What always fires, so that the list is never empty.
    world.fire_alert(&[("alertname", "Watchdog")], &[]);
    let active = r#"alerts: active, matching: ['alertname="Web"', 'app="${labels.app}"'], at_least: 1"#;
    let suppressed = r#"alerts: suppressed, matching: ['alertname="Web"'], at_least: 1"#;
    assert_eq!(set.settled(GONE).await.verdict, Verdict::Holds);
    world.fire_alert(&OURS, &[]);
    let evidence = set.settled(active).await;
    assert_eq!(
        (evidence.verdict, evidence.saw.as_str()),
        (Verdict::Holds, "1 of 2 alerts active; at least 1")
    );
    assert_eq!(evidence.asked, r#"alerts that are active and match alertname="Web", app="chat-api""#);
    assert_eq!(set.settled(GONE).await.verdict, Verdict::Fails);
    assert_eq!(set.settled(suppressed).await.verdict, Verdict::Fails);
    world.silence_alert(&OURS, true);
    assert_eq!(set.settled(active).await.verdict, Verdict::Fails);
    assert_eq!(set.settled(suppressed).await.verdict, Verdict::Holds);
    // It is silenced, and fires all the same.
    assert_eq!(set.settled(GONE).await.verdict, Verdict::Fails);
    world.lose_alert(&OURS);
    assert_eq!(set.settled(GONE).await.verdict, Verdict::Holds);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_that_has_just_started_can_not_tell_that_an_alert_is_gone() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    world.fire_alert(&[("alertname", "Watchdog")], &[]);
    world.restart_alertmanager();
    let verdict = set.asks(GONE, 1).await.verdict.to_string();
    assert!(verdict.starts_with("unknown: 0 of 1 alert firing; at most 0, and what Alertmanager does not list says nothing: it has run for "), "{verdict}");
    // An empty list is what a Prometheus leaves behind that has lost its Alertmanager.
    world.lose_alert(&[("alertname", "Watchdog")]);
    let verdict = set.settled(GONE).await.verdict.to_string();
    assert!(verdict.contains("its list is empty"), "{verdict}");
    world.disturb(System::Alertmanager, Some(Trouble::Status(503, "no".to_owned())));
    let verdict = set.asks(GONE, 1000).await.verdict.to_string();
    assert!(verdict.starts_with("unknown: Alertmanager could not be asked: "), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_without_a_value_is_unknown_and_nothing_is_asked() {
    let set = Set::new().await;
    let evidence = set.asks(&GONE.replace("labels.app", "labels.none"), 1000).await;
    let verdict = evidence.verdict.to_string();
    assert_eq!(verdict, "unknown: ${labels.none} has no value, and empty never means all");
    assert!(set.sandbox.world().requests().iter().all(|request| request.system != System::Alertmanager));
}

#[tokio::test(flavor = "multi_thread")]
async fn resolved_is_not_healthy() {
    let set = Set::new().await;
    let world = set.sandbox.world();
    world.fire_alert(&[("alertname", "Watchdog")], &[]);
    let gone = "{probe: p, at_most: 0}";
    // Beside a sign of life it counts as good.
    let (found, answers) = set.verify(&format!("{gone}, {{rollout: complete}}")).await;
    assert_eq!(found, Found::Holds, "{answers:#?}");
    assert!(matches!(answers[0].verdict, Verdict::Quiet { .. }), "{answers:#?}");
    // Silence and silence are no sign of life.
    let (found, answers) = set.verify(&format!("{gone}, {{probe: lines, at_most: 0}}")).await;
    assert_eq!(found, Found::Unknown, "{answers:#?}");
    assert!(answers.iter().all(|answer| matches!(answer.verdict, Verdict::Quiet { .. })), "{answers:#?}");
    // One that fires fails it.
    world.fire_alert(&OURS, &[]);
    let (found, answers) = set.verify(&format!("{gone}, {{rollout: complete}}")).await;
    assert_eq!(found, Found::Fails, "{answers:#?}");
}
