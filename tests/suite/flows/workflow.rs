//! A step that starts a workflow of GitHub Actions, run by the daemon against a server that answers as GitHub documents it: one run is asked for whatever happens to the
//! answer, it is followed to its conclusion, and a person is asked first unless the step says otherwise.
//! Sources: <https://docs.github.com/en/rest/actions/workflows#create-a-workflow-dispatch-event>, <https://docs.github.com/en/rest/actions/workflow-runs>.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use runbookd::sandbox::PoolFault;
use serde_json::{Value, json};

use super::{Flow, events, has, outcome};

const RUNBOOK: &str = r#"
apiVersion: runbookd.dev/v1
kind: Runbook
name: upgrade
summary: Let the team's own workflow upgrade the release.
mode: act
alerts: ['alertname="High5xxRate"']
group_by: [namespace]
confirm:
  errors: {loki: '{namespace="${labels.namespace}", app="chat-api"} |= "pool"', window: 2m, at_least: 5}
targets: {namespace: "${labels.namespace}", deployment: chat-api}
steps:
  - remediate: the release as it is described
    mode: act
    workflow: {run: acme/infra/upgrade.yml@main, inputs: {environment: prod, service: "${vars.namespace}"}}
    verify:
      within: 10m
      hold: 1m
      all: [{probe: errors, at_most: 0, window: 1m}]
limits: {cooldown: 1m, rate: 9/1h}
"#;

/// How this GitHub behaves.
#[derive(Default)]
struct Behaviour {
    /// Starts the run, and then answers so.
    answers: Option<StatusCode>,
    /// The workflow has no `run-name` that shows the mark.
    unmarked: bool,
    /// What becomes of the run, as soon as it is known.
    conclusion: Option<&'static str>,
    dispatched: Vec<Value>,
}

#[derive(Clone, Default)]
struct GitHub(Arc<Mutex<Behaviour>>);

impl GitHub {
    fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.0.lock().unwrap());
    }

    fn dispatched(&self) -> Vec<Value> {
        self.0.lock().unwrap().dispatched.clone()
    }

    /// The run of this dispatch, the first of which has the id 1.
    fn run(&self, number: usize) -> Option<Value> {
        let all = self.0.lock().unwrap();
        let body = all.dispatched.get(number.checked_sub(1)?)?;
        let mark = body["inputs"]["runbookd_operation"].as_str().unwrap_or_default();
        let title = if all.unmarked { "Upgrade".to_owned() } else { format!("Upgrade ({mark})") };
        let status = if all.conclusion.is_some() { "completed" } else { "in_progress" };
        Some(
            json!({"id": number, "run_attempt": 1, "event": "workflow_dispatch", "display_title": title, "status": status,
            "conclusion": all.conclusion, "html_url": format!("https://github.com/acme/infra/actions/runs/{number}")}),
        )
    }

    /// Its address, as long as the test lasts.
    async fn listen(&self) -> String {
        let dispatch = |State(hub): State<Self>, Json(body): Json<Value>| async move {
            let mut all = hub.0.lock().unwrap();
            all.dispatched.push(body);
            all.answers.unwrap_or(StatusCode::NO_CONTENT)
        };
        let list = |State(hub): State<Self>| async move {
            let runs: Vec<Value> = (1..).map_while(|number| hub.run(number)).collect();
            Json(json!({"total_count": runs.len(), "workflow_runs": runs}))
        };
        let one = |State(hub): State<Self>, Path(number): Path<usize>| async move {
            hub.run(number).map_or_else(
                || StatusCode::NOT_FOUND.into_response(),
                |run| -> Response { Json(run).into_response() },
            )
        };
        let workflow = "/repos/acme/infra/actions/workflows/upgrade.yml";
        let router = Router::new()
            .route(&format!("{workflow}/dispatches"), post(dispatch))
            .route(&format!("{workflow}/runs"), get(list))
            .route("/repos/acme/infra/actions/runs/{number}", get(one))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn alerted(&self, change: impl Fn(&str) -> String) -> Flow {
        let url = self.listen().await;
        let flow = Flow::with(|setting| {
            std::fs::write(setting.folder.join("github-token"), "github_pat_1").unwrap();
            setting.rules = vec![("upgrade.yaml".to_owned(), change(RUNBOOK))];
            setting.more = format!(
                "github: {{url: \"{url}\", token_file: github-token, workflows: [acme/infra/upgrade.yml@main]}}"
            );
        })
        .await;
        flow.world().exhaust_pool("chat-api", PoolFault::ThesePods);
        flow
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_started_once_and_followed_to_its_conclusion() {
    let hub = GitHub::default();
    let flow = hub.alerted(str::to_owned).await;
    let (id, _) = flow.event("effect_answered").await;
    let [dispatched] = hub.dispatched().try_into().unwrap();
    assert_eq!((&dispatched["ref"], &dispatched["inputs"]["environment"]), (&json!("main"), &json!("prod")));
    assert_eq!(dispatched["inputs"]["service"], "samosachaat-prod");
    assert!(!has(&flow.get(&format!("/incidents/{id}")).await, "effect_completed"), "it is under way");
    hub.set(|hub| hub.conclusion = Some("success"));
    let view = flow.until(&id, "completed", |view| has(view, "effect_completed")).await;
    let completed = events(&view, "effect_completed").last().unwrap();
    assert_eq!(completed["saw"], "its run has succeeded: https://github.com/acme/infra/actions/runs/1");
    flow.world().relieve_pool("chat-api");
    let view = flow.end().await;
    assert_eq!((outcome(&view), hub.dispatched().len()), ("recovered", 1), "{view:#}");
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_starts_no_second_run() {
    let hub = GitHub::default();
    hub.set(|hub| (hub.answers, hub.conclusion) = (Some(StatusCode::BAD_GATEWAY), Some("success")));
    let flow = hub.alerted(str::to_owned).await;
    let (_, view) = flow.event("effect_completed").await;
    assert!(has(&view, "effect_observed"), "{view:#}");
    assert_eq!(hub.dispatched().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_can_not_be_told_from_others_is_never_asked_for_again() {
    let hub = GitHub::default();
    hub.set(|hub| (hub.answers, hub.unmarked) = (Some(StatusCode::BAD_GATEWAY), true));
    let flow = hub.alerted(str::to_owned).await;
    let view = flow.end().await;
    assert_eq!((outcome(&view), hub.dispatched().len()), ("ambiguous", 1), "{view:#}");
    flow.told_that("run-name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_a_persons_with_its_page() {
    let hub = GitHub::default();
    hub.set(|hub| hub.conclusion = Some("failure"));
    let flow = hub.alerted(str::to_owned).await;
    let view = flow.end().await;
    assert_eq!((outcome(&view), hub.dispatched().len()), ("failed", 1), "{view:#}");
    flow.told_that("https://github.com/acme/infra/actions/runs/1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_first_unless_the_step_says_otherwise() {
    let hub = GitHub::default();
    let flow = hub.alerted(|text| text.replace("    mode: act\n", "")).await;
    let (id, view) = flow.event("approval_asked").await;
    assert_eq!(hub.dispatched().len(), 0, "{view:#}");
    let judged = view["asking"]["judged"].clone();
    hub.set(|hub| hub.conclusion = Some("success"));
    flow.approve(&id, &judged).await;
    flow.until(&id, "completed", |view| has(view, "effect_completed")).await;
    assert_eq!(hub.dispatched().len(), 1);
}
