//! Nothing is done into the middle of a deployment: while a migration runs, after a hook that has just failed, while the release rolls out, and while
//! nobody can tell, *nothing is called*; when it is over, it goes on with evidence of then.

use runbookd::sandbox::{JobEnd, PoolFault, World};
use serde_json::{Value, json};

use super::{Flow, LIMIT, events, outcome, refusing, shipped_with};

const SERVICE: &str = "chat-api";
const JOB: &str = "samosachaat-migrate";
const PRE_UPGRADE: (&str, &str) = ("helm.sh/hook", "pre-upgrade");

/// What the last refusal of the guard saw, and what it held that against.
fn held(view: &Value) -> (String, String) {
    let refusals =
        events(view, "refused").flat_map(|event| event["refusals"].as_array().into_iter().flatten());
    let last = refusals.filter(|refusal| refusal["guard"] == "deploying").last().unwrap_or(&Value::Null);
    let text = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
    (text("saw"), text("limit"))
}

impl Flow {
    /// The shipped runbook meets its trouble, and is held: how often it was asked, and the incident.
    async fn is_held(&self, times: usize) -> (String, Value) {
        self.world().exhaust_pool(SERVICE, PoolFault::ThesePods);
        let id = self.incident().await;
        let asked = |view: &Value| refusing(view).iter().filter(|guard| *guard == "deploying").count();
        let view = self.until(&id, "held", |view| asked(view) >= times).await;
        self.nothing_was_called();
        (id, view)
    }

    /// What it waited for is over: it goes on, and acts once, on what was confirmed since.
    async fn goes_on(&self, id: &str) -> Value {
        let view = self.end_of(id).await;
        assert_eq!(outcome(&view), "recovered", "{view:#}");
        assert_eq!(self.world().writes().len(), 1, "the restart");
        let names: Vec<&str> = view["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|recorded| recorded["event"]["event"].as_str().unwrap())
            .collect();
        let last = |name: &str| names.iter().rposition(|event| *event == name).unwrap();
        let intended = names.iter().position(|event| *event == "effect_intended").unwrap();
        let confirmed = names[..intended].iter().rposition(|event| *event == "confirmed").unwrap();
        assert!(last("refused") < confirmed, "confirmed anew: {names:?}");
        view
    }

    /// A runbook that has until the end of a short deadline.
    async fn hurried() -> Self {
        Self::with(|setting| {
            setting.rules[0] =
                shipped_with(&[("group_by: [namespace]", "group_by: [namespace]\ndeadline: 5m")]);
        })
        .await
    }
}

/// A new version of a service that never becomes ready, as `helm upgrade` brings it.
fn roll_out(world: &World, service: &str) {
    world.break_rollouts(service);
    assert!(world.edit(service, "helm", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example/new:2");
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_migration_runs_nothing_is_called_and_when_it_has_ended_the_runbook_goes_on() {
    for hook in [PRE_UPGRADE, ("argocd.argoproj.io/hook", "PreSync")] {
        let flow = Flow::begin().await;
        let world = flow.world();
        world.put_job(JOB, &[hook], &[], JobEnd::Never);
        let (id, view) = flow.is_held(2).await;
        let (saw, limit) = held(&view);
        let whose = if hook == PRE_UPGRADE { "pre-upgrade hook of Helm" } else { "PreSync hook of Argo CD" };
        assert!(
            saw.starts_with(&format!("job/samosachaat-migrate ({whose}) has been running for ")),
            "{saw}"
        );
        assert_eq!(limit, "nothing is changed in the middle of a deployment");
        assert!(world.end_job(JOB, true));
        flow.goes_on(&id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_ends_after_the_deadline_is_a_persons_with_its_name() {
    let flow = Flow::hurried().await;
    flow.world().put_job(JOB, &[PRE_UPGRADE], &[], JobEnd::Never);
    let (id, _) = flow.is_held(1).await;
    let view = flow.end_of(&id).await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    let why = view["why"].as_str().unwrap();
    assert!(
        why.starts_with("deploying: job/samosachaat-migrate (pre-upgrade hook of Helm) has been"),
        "{why}"
    );
    flow.nothing_was_called();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_has_just_failed_holds_until_somebody_has_dealt_with_it() {
    let flow = Flow::begin().await;
    let world = flow.world();
    world.put_job(JOB, &[PRE_UPGRADE], &[], JobEnd::Never);
    assert!(world.end_job(JOB, false));
    let (id, view) = flow.is_held(1).await;
    let (saw, limit) = held(&view);
    assert!(saw.starts_with("job/samosachaat-migrate (pre-upgrade hook of Helm) failed "), "{saw}");
    assert!(saw.ends_with(" ago: Job has reached the specified backoff limit"), "{saw}");
    assert!(limit.contains("kubectl -n samosachaat-prod logs job/samosachaat-migrate"), "{limit}");
    // The next upgrade begins with a new Job of the name, and that one succeeds.
    world.put_job(JOB, &[PRE_UPGRADE], &[], JobEnd::Never);
    assert!(world.end_job(JOB, true));
    flow.goes_on(&id).await;
}

/// Helm leaves it there until the next upgrade, which may be in a month.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_failed_long_ago_holds_nothing() {
    let flow = Flow::begin().await;
    let world = flow.world();
    world.put_job(JOB, &[PRE_UPGRADE], &[], JobEnd::Never);
    assert!(world.end_job(JOB, false));
    assert!(world.edit_job(JOB, |job| {
        for condition in job["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        }
    }));
    world.exhaust_pool(SERVICE, PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(!refusing(&view).contains(&"deploying".to_owned()), "{view:#}");
    let asked = &events(&view, "effect_intended").next().unwrap()["asked"];
    let said = asked.as_array().unwrap().iter().find(|answer| answer["guard"] == "deploying").unwrap();
    let saw = said["saw"].as_str().unwrap();
    assert!(saw.starts_with("nothing is under way; job/samosachaat-migrate (pre-upgrade hook"), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_workload_of_the_release_rolls_out_nothing_is_called() {
    let flow = Flow::begin().await;
    let world = flow.world();
    for service in [SERVICE, "auth"] {
        assert!(world.install_with_helm(service, "samosachaat"));
    }
    roll_out(&world, "auth");
    let (id, view) = flow.is_held(1).await;
    let (saw, _) = held(&view);
    assert!(
        saw.starts_with("a rollout is under way: deployment/auth of the Helm release samosachaat: "),
        "{saw}"
    );
    world.mend_rollouts("auth");
    flow.goes_on(&id).await;
}

/// Nothing moves there any more: whoever waits for it waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_has_failed_or_is_anothers_release_holds_nothing() {
    let flow = Flow::begin().await;
    let world = flow.world();
    for (service, release) in [(SERVICE, "samosachaat"), ("auth", "samosachaat"), ("frontend", "web")] {
        assert!(world.install_with_helm(service, release));
    }
    roll_out(&world, "auth");
    let has_failed = |world: &World| {
        let conditions = world.deployment("auth").unwrap()["status"]["conditions"].clone();
        conditions.to_string().contains("ProgressDeadlineExceeded")
    };
    assert!(world.until(LIMIT, has_failed).await, "{:?}", world.deployment("auth"));
    roll_out(&world, "frontend");
    world.exhaust_pool(SERVICE, PoolFault::ThesePods);
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    assert!(!refusing(&view).contains(&"deploying".to_owned()), "{view:#}");
}

/// What can not be seen may be running.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_look_nothing_is_called_and_the_missing_right_is_named() {
    for plural in ["jobs", "statefulsets"] {
        let flow = Flow::begin().await;
        let world = flow.world();
        world.forbid(plural);
        let (id, view) = flow.is_held(1).await;
        let (saw, limit) = held(&view);
        assert!(saw.contains(&format!("cannot list resource \"{plural}\" in API group")), "{saw}");
        assert!(
            saw.ends_with("; runbookd needs the right to `list` them, see the roles in docs/security.md"),
            "{saw}"
        );
        assert_eq!(limit, "a migration that can not be seen may be running");
        world.grant(plural);
        flow.goes_on(&id).await;
    }
}
