//! Programs in containers: what is counted, what keeps an answer away, and that nothing runs which the configuration does not list.

use std::collections::BTreeMap;
use std::time::Duration;

use runbookd::clients::Reason;
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clients::loki::{self, Loki};
use runbookd::clock::{after, now};
use runbookd::incident::event::{Found, Leg, Opened};
use runbookd::incident::evidence::{Evidence, Verdict};
use runbookd::incident::plan::{Kind, Target};
use runbookd::incident::{Event, Incident, IncidentId, Recorded};
use runbookd::probe::Eyes;
use runbookd::runbook::load::read_text;
use runbookd::runbook::{Runbook, StepKind};
use runbookd::sandbox::{
    CrashCause, CrashFault, NAMESPACE, NodeFault, Options, PoolFault, Sandbox, System, Trouble, World,
};

struct Set {
    sandbox: Sandbox,
    kubernetes: Kubernetes,
    eyes: Eyes,
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
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
        let allowed = [
            argv(&["cat", "/proc/net/tcp"]),
            argv(&["cat", "/proc/net/tcp6"]),
            argv(&["cat", "/no/such/file"]),
            argv(&["python", "-V"]),
        ];
        let eyes = Eyes::new(loki, kubernetes.clone()).with_exec(&allowed);
        Self { sandbox, kubernetes, eyes }
    }

    fn world(&self) -> World {
        self.sandbox.world()
    }

    /// What a probe of a diagnosis about chat-api answers.
    async fn asks(&self, probe: &str) -> Evidence {
        let runbook = runbook(probe);
        let StepKind::Diagnose(probes) = &runbook.steps[0].kind else { unreachable!() };
        self.eyes.about_target(&incident(&runbook), &runbook, probes).await.remove(0)
    }

    /// The name of a pod that is ready.
    fn pod(&self) -> String {
        self.world().pods("chat-api").into_iter().find(|pod| pod.ready && !pod.stopping).unwrap().name
    }
}

fn runbook(probe: &str) -> Runbook {
    let text = format!(
        "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: r\nsummary: s\nalerts: ['alertname=\"A\"']\n\
         confirm: {{p: {{loki: '{{app=\"web\"}}', window: 1m, at_least: 1}}}}\ntargets: {{namespace: {NAMESPACE}, deployment: chat-api}}\n\
         steps:\n- {{diagnose: d, probes: {{p: {{{probe}, namespace: {NAMESPACE}}}}}}}\n\
         - {{remediate: r, restart: {{}}, verify: {{within: 5m, hold: 1m, all: [{{rollout: complete}}]}}}}\n"
    );
    read_text(&text, None, 1).unwrap_or_else(|faults| panic!("{faults}"))
}

fn incident(runbook: &Runbook) -> Incident {
    let opened = Opened {
        runbook: runbook.name.clone(),
        hash: runbook.hash.clone(),
        scope: runbookd::alert::Labels::default(),
        deadline: after(now(), runbook.deadline),
        alerts: Vec::new(),
        more: 1,
        truncated: 0,
        restore: None,
        run: None,
        drill: None,
    };
    let target =
        Target { kind: Kind::Deployment, namespace: NAMESPACE.to_owned(), name: "chat-api".to_owned() };
    let events = [
        Event::Opened(opened),
        Event::Confirmed { found: Found::Holds, answers: Vec::new(), links: Vec::new() },
        Event::LegsChosen { legs: vec![Leg { target, each: BTreeMap::new(), figure: 1.0 }] },
    ];
    let events: Vec<Recorded> =
        (1..).zip(events).map(|(seq, event)| Recorded { seq, at: now(), event }).collect();
    Incident::replay(&IncidentId::new(1, 1), &events).unwrap()
}

fn why(evidence: &Evidence) -> &str {
    match &evidence.verdict {
        Verdict::Unknown { why } => why,
        other => panic!("{other}: {evidence:#?}"),
    }
}

const CONNECTIONS: &str = "connections: 5432, count_by: pod, at_least: 15";

#[tokio::test]
async fn the_connections_to_the_database_are_counted_pod_by_pod() {
    let set = Set::new().await;
    let world = set.world();
    world.exhaust_pool("chat-api", PoolFault::ThesePods);
    let open: BTreeMap<String, f64> = world
        .pods("chat-api")
        .into_iter()
        .map(|pod| (pod.name.clone(), f64::from(world.connections(&pod.name).unwrap())))
        .collect();
    let evidence = set.asks(CONNECTIONS).await;
    assert_eq!((&evidence.verdict, &evidence.by), (&Verdict::Holds, &open), "{evidence:#?}");
    assert_eq!(open.len(), 2);
    let sum: f64 = open.values().sum();
    assert!(
        evidence.saw.starts_with(&format!("{sum} established connections to port 5432 in 2 pods: ")),
        "{}",
        evidence.saw
    );
    assert_eq!(evidence.samples.len(), 2);
    let one = set.asks("connections: 5432, of: one_pod, at_least: 1").await;
    assert!(one.saw.contains(" in 1 pod: "), "{}", one.saw);
    let other = set.asks("connections: 6379, at_least: 1").await;
    assert_eq!(other.verdict, Verdict::Fails, "{}", other.saw);
    assert!(world.writes().is_empty(), "it changes nothing");
}

#[tokio::test]
async fn what_a_program_prints_is_counted_line_by_line() {
    let set = Set::new().await;
    let evidence = set.asks("exec: [cat, /proc/net/tcp], of: one_pod, at_least: 2").await;
    assert_eq!(evidence.verdict, Verdict::Holds, "{evidence:#?}");
    assert!(evidence.samples[0].line.trim_start().starts_with("sl  local_address"), "{evidence:#?}");
    assert_eq!(evidence.asked, "[cat, /proc/net/tcp] in one pod of deployment/chat-api in samosachaat-prod");
    let failed = set.asks("exec: [cat, /no/such/file], of: one_pod, at_most: 0").await;
    let expected = "ended with exit code 1: cat: /no/such/file: No such file or directory";
    assert!(why(&failed).ends_with(expected), "what failed prints no answer: {failed:#?}");
}

#[tokio::test]
async fn what_the_configuration_does_not_list_is_not_run() {
    let set = Set::new().await;
    for probe in
        ["exec: [cat, /etc/passwd], at_least: 1", "exec: [cat, /proc/net/tcp, /etc/passwd], at_least: 1"]
    {
        let evidence = set.asks(probe).await;
        assert!(why(&evidence).contains("the configuration does not allow [cat, "), "{evidence:#?}");
    }
    let eyes =
        Eyes::new(Loki::new(&loki::Settings::new(set.sandbox.loki_url())).unwrap(), set.kubernetes.clone());
    let runbook = runbook(CONNECTIONS);
    let StepKind::Diagnose(probes) = &runbook.steps[0].kind else { unreachable!() };
    let evidence = eyes.about_target(&incident(&runbook), &runbook, probes).await.remove(0);
    assert!(
        why(&evidence).contains("the configuration does not allow [cat, /proc/net/tcp]"),
        "{evidence:#?}"
    );
    let asked = set.world().requests();
    assert!(asked.iter().all(|request| !request.path.contains("/exec")), "{asked:#?}");
}

#[tokio::test]
async fn whatever_keeps_one_pods_answer_away_is_unknown_with_its_reason() {
    let set = Set::new().await;
    let world = set.world();
    let evidence = set.asks("exec: [python, -V], of: one_pod, at_least: 1").await;
    let expected = "unable to start container process: exec: \"python\": executable file not found in $PATH";
    assert!(why(&evidence).contains(expected), "{evidence:#?}");

    world.disturb(System::Kubernetes, Some(Trouble::RateLimited { retry_after: Duration::from_secs(1) }));
    why(&set.asks(CONNECTIONS).await);
    world.disturb(System::Kubernetes, None);

    let fault = CrashFault {
        reason: "Error",
        exit_code: 1,
        lasts: Duration::from_secs(15),
        cause: CrashCause::EveryPod,
    };
    world.crash("chat-api", &fault);
    assert!(
        world
            .until(Duration::from_secs(90), |world| world.pods("chat-api").iter().all(|pod| !pod.ready))
            .await
    );
    let evidence = set.asks(CONNECTIONS).await;
    assert!(why(&evidence).contains("container not found (\"chat-api\")"), "{evidence:#?}");

    world.strip_image("auth");
    let evidence = set.asks("connections: 5432, deployment: auth, at_least: 1").await;
    assert!(why(&evidence).contains("exec: \"cat\": executable file not found"), "{evidence:#?}");
    let node = world.pods("auth").into_iter().find_map(|pod| pod.node).unwrap();
    world.end_machine(&node, NodeFault { removed: false, collected: false, replaced: false });
    let evidence = set.asks("connections: 5432, deployment: auth, at_least: 1").await;
    why(&evidence);
    let evidence = set.asks("connections: 5432, deployment: nobody, at_most: 0").await;
    assert_eq!(why(&evidence), "there is no such pod on a node", "none is no zero");
}

#[tokio::test]
async fn the_api_servers_own_refusals_say_why() {
    let set = Set::new().await;
    let cat = argv(&["cat", "/proc/net/tcp"]);
    let ran = set.kubernetes.exec(NAMESPACE, &set.pod(), Some("chat-api"), &cat, 1 << 20).await.unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(Some(ran.stdout), set.world().proc_net_tcp(&set.pod()));
    let wrong = set.kubernetes.exec(NAMESPACE, &set.pod(), Some("sidecar"), &cat, 1 << 20).await.unwrap_err();
    assert!(wrong.message.contains("container sidecar is not valid for pod"), "{wrong}");
    let gone = set.kubernetes.exec(NAMESPACE, "gone", None, &cat, 1 << 20).await.unwrap_err();
    assert_eq!((gone.reason, gone.message.as_str()), (Reason::NotFound, "HTTP 404: pods \"gone\" not found"));
    let long = set.kubernetes.exec(NAMESPACE, &set.pod(), None, &cat, 100).await.unwrap_err();
    assert!(long.message.contains("printed more than"), "{long}");
    for bad in ["../x", "a b", ""] {
        let error = set.kubernetes.exec(NAMESPACE, bad, None, &cat, 100).await.unwrap_err();
        assert_eq!(error.reason, Reason::ClientError, "{error}");
    }
}
