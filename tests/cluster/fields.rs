//! The actions that set fields: what the API server makes of their patches, who wins when two write at once, who is said to have written, and what is
//! put back.

use runbookd::act::{Followed, Reverted};
use runbookd::clients::Reason;
use runbookd::clients::kubernetes::{Plain, SetTo};
use runbookd::clock::now;
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::Kind;
use runbookd::runbook::{Action, Amount, By, Remedy, ResourcePart, Resources, Scale, Variable, Variables};
use serde_json::{Value, json};

use crate::ground::{APP, Set, autoscaler, is_possible};
use crate::invariants::{Case, Ground as _, permit};
use crate::objects;
use crate::stage::{Stage, on};

/// What a person does to the containers.
type Edit = fn(&mut Value);

const ADD: Variable = Variable::Add { add: 10, default: Some(5), at_most: 40 };

fn scale(add: u32) -> Remedy {
    Remedy::Scale(Scale { by: By::Add(add), at_most: 9 })
}

/// `limits memory 1Gi`, and so on.
fn amounts(parts: &[&str]) -> Remedy {
    let part = |text: &&str| {
        let [kind, resource, to] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let to = Amount::Exactly(to.parse().unwrap());
        ResourcePart { limit: kind == "limits", resource: resource.to_owned(), to, baseline: None }
    };
    Remedy::Resources(Resources { container: APP.to_owned(), parts: parts.iter().map(part).collect() })
}

fn env(variables: &[(&str, Variable)]) -> Remedy {
    let variables = variables.iter().map(|(name, to)| ((*name).to_owned(), to.clone())).collect();
    Remedy::Env(Variables { container: None, variables, within: None })
}

fn text(text: &str) -> Variable {
    Variable::Set(text.to_owned())
}

/// A Deployment in which the values of these tests are there already.
async fn filled(stage: &std::sync::Arc<Stage>) -> Set {
    let set = Set::new(stage, (Action::Env, Kind::Deployment)).await;
    let from = |kind: &str| json!({kind: {"name": "any", "key": "pool", "optional": true}});
    set.edit(&json!({
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"memory": "128Mi"}},
        "env": [
            {"name": "POOL", "value": "5"}, {"name": "EMPTY", "value": ""},
            {"name": "MAPPED", "valueFrom": from("configMapKeyRef")},
            {"name": "SECRETIVE", "valueFrom": from("secretKeyRef")},
        ],
    }))
    .await;
    stage.ready(APP, 2).await;
    set
}

impl Set {
    fn path(&self) -> String {
        self.stage.apps("deployments/web")
    }

    /// A person changes the container.
    async fn edit(&self, change: &Value) {
        let mut container = change.clone();
        container["name"] = json!(APP);
        let change = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        self.admin().patch(&format!("{}?fieldManager=kubectl-edit", self.path()), &change).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_back_is_as_it_was_and_what_is_changed_again_as_it_was_changed() {
    on(|stage| async move {
        let set = filled(&stage).await;
        let remedies = [
            scale(1),
            // Written otherwise than the server writes them.
            amounts(&[
                "limits memory 1536Mi",
                "requests memory 1024Mi",
                "limits cpu 0.5",
                "requests cpu 0.25",
            ]),
            env(&[("POOL", ADD), ("EMPTY", text("a && b < c > d")), ("NEW", text("1")), ("BLANK", text(""))]),
        ];
        for remedy in &remedies {
            let before = set.state().await;
            let entries = set.changed(remedy).await;
            let changed = set.state().await;
            assert_ne!(changed, before, "{remedy:?}");
            let (put_back, released) = set.restores(&entries).await;
            let put_back = put_back.unwrap();
            assert_eq!(released, []);
            assert_eq!(set.apply(&put_back).await, EffectResult::Applied);
            assert_eq!(set.state().await, before, "{remedy:?}");
            assert_eq!(set.hands().observe(&put_back).await, Observation::Done);
            let (none, released) = set.restores(&entries).await;
            assert_eq!(none, None);
            assert!(released.iter().all(|one| !one.left_alone), "{released:?}");
            let again = set.hands().plan_again(&put_back, now()).await.unwrap();
            assert_eq!(set.apply(&again).await, EffectResult::Applied);
            assert_eq!(set.state().await, changed, "{remedy:?}");
            assert_eq!(set.hands().revert(permit(&again), now()).await, Reverted::Done);
            assert_eq!(set.state().await, before, "{remedy:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_elsewhere_or_would_not_be_taken_is_refused_before_anything_is_sent() {
    on(|stage| async move {
        let set = filled(&stage).await;
        let before = set.admin().get(&set.path()).await.unwrap()["metadata"]["generation"].clone();
        let said = [
            (env(&[("MAPPED", ADD)]), "comes from the key pool of the ConfigMap any, and is changed there"),
            (
                env(&[("SECRETIVE", text("x"))]),
                "may be a secret by its name, and secrets are not changed by runbookd",
            ),
            (
                amounts(&["limits memory 64Mi"]),
                "the memory limit of web would be 64Mi, below its request of 128Mi",
            ),
            (
                amounts(&["requests memory 1Gi"]),
                "the memory limit of web would be 512Mi, below its request of 1Gi",
            ),
            (amounts(&["limits memory 0.5Gi"]), "is 512Mi already"),
            (env(&[("EMPTY", text(""))]), "is  already"),
        ];
        for (remedy, end) in said {
            let why = set.refuses(&remedy).await;
            assert!(why.ends_with(end), "{why}");
        }
        assert_eq!(set.admin().get(&set.path()).await.unwrap()["metadata"]["generation"], before);
        // The server says the same of it.
        let low = json!({"spec": {"template": {"spec": {"containers": [{"name": APP, "image": objects::IMAGE,
            "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "128Mi"}}}]}}}});
        assert_eq!(set.admin().try_merge(&set.path(), &low).await.unwrap_err().0, 422);
    })
    .await;
}

/// The server gives an autoscaler the minimum that it does not say, and so one is always there to put back.
#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_that_says_no_minimum_has_one_all_the_same() {
    for kind in [Kind::Deployment, Kind::StatefulSet] {
        on(move |stage| async move {
            if !is_possible(&stage, Case(Action::Scale, kind, true)).await {
                return;
            }
            let set = Set::new(&stage, (Action::Scale, kind)).await;
            let path = autoscaler(&stage, kind, Value::Null, 3).await;
            let spec = async || stage.admin.get(&path).await.unwrap()["spec"].clone();
            let before = spec().await;
            assert_eq!(before["minReplicas"], 1);
            let plan = set.tries(&scale(5)).await.unwrap();
            assert!(
                plan.says.contains("horizontalpodautoscaler/web") && plan.says.contains("from 1 to 3"),
                "{}",
                plan.says
            );
            assert_eq!(set.apply(&plan).await, EffectResult::Applied);
            assert_eq!(spec().await["minReplicas"], 3);
            let end = set.follow(&plan).await;
            assert!(matches!(end, Followed::Complete(_)), "{end:?}");
            assert_eq!(set.state().await["replicas"], 3);
            let most = set.refuses(&scale(1)).await;
            assert!(
                most.ends_with("has 3 of at most 3 pods: its maxReplicas is what to change, by a person"),
                "{most}"
            );
            // A person writes it between reading and writing.
            let object =
                stage.kubernetes.object("horizontalpodautoscaler", &stage.namespace, APP).await.unwrap();
            let field = ["spec".to_owned(), "minReplicas".to_owned()];
            let late = object.patch(&[SetTo { path: &field, to: Some("1"), plain: Plain::Number }]).unwrap();
            stage
                .admin
                .merge(&format!("{path}?fieldManager=kubectl-edit"), &json!({"spec": {"minReplicas": 2}}))
                .await;
            assert_eq!(stage.kubernetes.patch_fields(late).await.unwrap_err().reason, Reason::Conflict);
            assert_eq!(spec().await["minReplicas"], 2);
            let Reverted::LeftAlone(saw) = set.hands().revert(permit(&plan), now()).await else { panic!() };
            assert!(saw.contains("written by kubectl-edit at "), "{saw}");
            stage.admin.merge(&path, &json!({"spec": {"minReplicas": 3}})).await;
            assert_eq!(set.hands().revert(permit(&plan), now()).await, Reverted::Done);
            assert_eq!(spec().await, before);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_between_the_plan_and_its_effect_wins() {
    on(|stage| async move {
        for remedy in [amounts(&["limits memory 1Gi"]), env(&[("POOL", ADD)]), env(&[("LATE", ADD)])] {
            let set = filled_again(&stage).await;
            let plan = set.tries(&remedy).await.unwrap();
            set.edit(&json!({
                "resources": {"limits": {"memory": "3Gi"}},
                "env": [{"name": "POOL", "value": "7"}, {"name": "LATE", "value": "8"}],
            }))
            .await;
            let theirs = set.state().await;
            let EffectResult::Refused { reason, message } = set.apply(&plan).await else {
                panic!("{plan:?}")
            };
            assert_eq!(reason, "conflict");
            assert!(message.contains("written by kubectl-edit at "), "{message}");
            assert_eq!(set.state().await, theirs);
            let seen = set.hands().observe(&plan).await;
            assert!(
                matches!(&seen, Observation::Ambiguous { saw } if saw.contains("kubectl-edit")),
                "{seen:?}"
            );
        }
    })
    .await;
}

/// The same in a namespace where it may be there already.
async fn filled_again(stage: &std::sync::Arc<Stage>) -> Set {
    let path = stage.apps("deployments/web");
    stage.admin.delete(&path, &json!({"propagationPolicy": "Foreground"})).await;
    assert!(crate::stage::until(async || stage.admin.get(&path).await.is_none()).await);
    filled(stage).await
}

/// After the object was read only the API server can tell.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_between_reading_and_writing_wins_too() {
    on(|stage| async move {
        let set = filled(&stage).await;
        let field = |rest: &str| {
            let whole = format!("spec template spec containers [web] {rest}");
            whole.split(' ').map(str::to_owned).collect::<Vec<_>>()
        };
        let memory = field("resources limits memory");
        let cpu = field("resources limits cpu");
        let (pool, new) = (field("env [POOL] value"), field("env [NEW] value"));
        let edits: [(&[String], Option<&str>, Edit); 9] = [
            (&memory, Some("1Gi"), |all| all[0]["resources"]["limits"]["memory"] = json!("3Gi")),
            (&memory, None, |all| all[0]["resources"]["limits"]["memory"] = json!("3Gi")),
            (&memory, Some("1Gi"), |all| all[0]["resources"] = json!({})),
            (&cpu, Some("1"), |all| all[0]["resources"]["limits"]["cpu"] = json!("2")),
            (&new, Some("1"), |all| {
                all[0]["env"].as_array_mut().unwrap().push(json!({"name": "NEW", "value": "info"}));
            }),
            (&pool, Some("6"), |all| all[0]["env"][0]["value"] = json!("7")),
            (&pool, None, |all| all[0]["env"].as_array_mut().unwrap().rotate_left(1)),
            (&pool, Some("6"), |all| {
                all[0]["env"][0] = json!({"name": "POOL", "valueFrom": all[0]["env"][2]["valueFrom"]});
            }),
            // The container is elsewhere in the list by now.
            (&memory, Some("1Gi"), |all| {
                let mut side = all[0].clone();
                side["name"] = json!("side");
                all.as_array_mut().unwrap().insert(0, side);
            }),
        ];
        let original = set.state().await["template"]["spec"]["containers"].clone();
        let write = async |containers: &Value| {
            let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            stage.admin.merge(&set.path(), &change).await;
        };
        for (number, (path, to, edit)) in edits.into_iter().enumerate() {
            write(&original).await;
            let object = stage.kubernetes.object("deployment", &stage.namespace, APP).await.unwrap();
            let patch = object.patch(&[SetTo { path, to, plain: Plain::Text }]).unwrap();
            let mut theirs = original.clone();
            edit(&mut theirs);
            write(&theirs).await;
            let theirs = set.state().await;
            let error = stage.kubernetes.patch_fields(patch).await.unwrap_err();
            assert_eq!(error.reason, Reason::Conflict, "{number}: {error}");
            assert_eq!(set.state().await, theirs, "{number}");
        }
        // What somebody else changes is no reason; another object of the same name is.
        write(&original).await;
        let object = stage.kubernetes.object("deployment", &stage.namespace, APP).await.unwrap();
        let patch = || object.patch(&[SetTo { path: &memory, to: Some("1Gi"), plain: Plain::Text }]).unwrap();
        stage.admin.merge(&set.path(), &json!({"spec": {"replicas": 3}})).await;
        stage.kubernetes.patch_fields(patch()).await.unwrap();
        let now = set.state().await;
        let limit = &now["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
        assert_eq!((&now["replicas"], limit), (&json!(3), &json!("1Gi")));
        let other = filled_again(&stage).await;
        let theirs = other.state().await;
        assert_eq!(stage.kubernetes.patch_fields(patch()).await.unwrap_err().reason, Reason::Conflict);
        assert_eq!(other.state().await, theirs);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_written_is_left_alone_and_who_it_was_is_said() {
    on(|stage| async move {
        let set = filled(&stage).await;
        let both = set.changed(&amounts(&["limits memory 1Gi", "requests memory 256Mi"])).await;
        set.edit(&json!({"resources": {"limits": {"memory": "4Gi"}}})).await;
        let (plan, released) = set.restores(&both).await;
        let [left] = released.as_slice() else { panic!("{released:?}") };
        assert!(
            left.left_alone
                && left.why.contains("is 4Gi, neither ours nor as it was, written by kubectl-edit at "),
            "{}",
            left.why
        );
        assert_eq!(set.apply(&plan.unwrap()).await, EffectResult::Applied);
        let resources = set.state().await["template"]["spec"]["containers"][0]["resources"].clone();
        assert_eq!(resources, json!({"limits": {"memory": "4Gi"}, "requests": {"memory": "128Mi"}}));
        // By the subresource, as `kubectl scale` and an autoscaler do; the server keeps no time of it.
        let plan = set.tries(&scale(1)).await.unwrap();
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        let path = format!("{}/scale?fieldManager=kubectl-scale", set.path());
        stage.admin.merge(&path, &json!({"spec": {"replicas": 2}})).await;
        let end = set.hands().follow(&plan, &[]).await;
        let Followed::Overtaken(saw) = &end else { panic!("{end:?}") };
        assert!(saw.ends_with("was put back to 2, written by kubectl-scale"), "{saw}");
        // By server-side apply, as those do that keep what is in a repository.
        let plan = set.tries(&env(&[("POOL", ADD)])).await.unwrap();
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        let container = json!({"name": APP, "env": [{"name": "POOL", "value": "5"}]});
        let declared = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": APP},
            "spec": {"template": {"spec": {"containers": [container]}}}});
        stage
            .admin
            .apply(&format!("{}?fieldManager=argocd-controller&force=true", set.path()), &declared)
            .await;
        let end = set.hands().follow(&plan, &[]).await;
        let Followed::Overtaken(saw) = &end else { panic!("{end:?}") };
        assert!(saw.contains("was put back to 5, written by argocd-controller at "), "{saw}");
    })
    .await;
}

async fn quota(stage: &Stage, hard: &Value) {
    let path = stage.core("resourcequotas");
    let own = format!("{path}/few");
    stage.admin.delete(&own, &Value::Null).await;
    stage.admin.create(&path, &json!({"metadata": {"name": "few"}, "spec": {"hard": hard}})).await;
    let counted = |quota: &Value| {
        let all = hard.as_object().unwrap();
        all.keys().all(|resource| quota["status"]["used"][resource].is_string())
    };
    stage.admin.once(&own, counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_would_not_admit_the_pods_stands_against_them() {
    on(|stage| async move {
        let set = filled(&stage).await;
        let against = async |remedy: &Remedy| set.tries(remedy).await.unwrap().circumstances.against;
        quota(&stage, &json!({"pods": "3", "limits.memory": "2Gi"})).await;
        assert_eq!(against(&scale(1)).await, None);
        let full = against(&scale(2)).await.unwrap();
        assert_eq!(full.saw, "resourcequota/few has 1Gi of 2Gi limits.memory in use".replace("1Gi of 2Gi limits.memory", "2 of 3 pods"));
        let full = against(&amounts(&["limits memory 2Gi"])).await.unwrap();
        assert_eq!(full.saw, "resourcequota/few has 1Gi of 2Gi limits.memory in use");
        // What is said to fit does fit: the server admits the pods.
        let plan = set.tries(&scale(1)).await.unwrap();
        assert_eq!(set.apply(&plan).await, EffectResult::Applied);
        let end = set.follow(&plan).await;
        assert!(matches!(end, Followed::Complete(_)), "{end:?}");
        // Where a quota counts what a container does not say, its pods are not admitted at all.
        quota(&stage, &json!({"requests.cpu": "4"})).await;
        let pod = json!({"metadata": {"name": "other", "labels": {"app": "other"}}, "spec": objects::pod_spec("other")});
        let refused = stage.admin.try_create(&stage.core("pods"), &pod).await.unwrap_err();
        assert!(refused.0 == 403 && refused.1.contains("must specify requests.cpu"), "{refused:?}");
        let unsaid = against(&scale(1)).await.unwrap();
        assert_eq!(unsaid.saw, "resourcequota/few counts requests.cpu, and container web says none");
    })
    .await;
}
