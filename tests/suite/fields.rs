//! The actions that set fields of an object: what they refuse, who wins when two write at once, and what is put back. What every action must keep
//! is in `actions.rs`.

use runbookd::act::Followed;
use runbookd::clients::Reason;
use runbookd::clients::kubernetes::{Plain, SetTo};
use runbookd::clock::now;
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::{Kind, Stays, Target};
use runbookd::runbook::{
    Action, Amount, By, Field, Remedy, ResourcePart, Resources, Scale, Variable, Variables,
};
use serde_json::{Value, json};

use crate::actions::{SERVICE, Set, set_for};
use crate::invariants::{Ground as _, LIMIT, entries};

/// What a person does to the containers.
type Edit = fn(&mut Value);

impl Set {
    /// A person changes the first container.
    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        assert!(self.world.edit(SERVICE, "kubectl-edit", |object| {
            edit(&mut object["spec"]["template"]["spec"]["containers"][0]);
        }));
    }

    fn container(&self) -> Value {
        self.spec()["template"]["spec"]["containers"][0].clone()
    }
}

fn scale(by: By, at_most: u32) -> Remedy {
    Remedy::Scale(Scale { by, at_most })
}

fn memory(container: &str, parts: &[(bool, &str)]) -> Remedy {
    let exactly = |(limit, to): &(bool, &str)| part(*limit, "memory", Amount::Exactly(to.parse().unwrap()));
    Remedy::Resources(Resources {
        container: container.to_owned(),
        parts: parts.iter().map(exactly).collect(),
    })
}

fn part(limit: bool, resource: &str, to: Amount) -> ResourcePart {
    ResourcePart { limit, resource: resource.to_owned(), to, baseline: None }
}

fn limit(to: &str) -> Remedy {
    memory(SERVICE, &[(true, to)])
}

fn env(name: &str, variable: Variable) -> Remedy {
    Remedy::Env(Variables { container: None, variables: vec![(name.to_owned(), variable)], within: None })
}

fn set_to(text: &str) -> Variable {
    Variable::Set(text.to_owned())
}

async fn deployment(action: Action) -> Set {
    set_for((action, Kind::Deployment)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_in_an_operators_words_what_is_changed_and_what_may_undo_it() {
    let set = deployment(Action::Resources).await;
    let both = memory(SERVICE, &[(true, "1Gi"), (false, "256Mi")]);
    assert!(set.world.self_heal(SERVICE));
    let plans = [
        scale(By::Percent(150), 4),
        limit("1Gi"),
        limit("256Mi"),
        both,
        env("SQLALCHEMY_POOL_SIZE", Variable::Add { add: 10, default: None, at_most: 40 }),
        env("LOG_LEVEL", set_to("debug")),
    ];
    let mut told = String::new();
    for remedy in &plans {
        let plan = set.tries(remedy).await.unwrap();
        let change = &plan.change;
        let before = change.before.as_deref().unwrap_or("-");
        told += &format!("{}\n  {}: {before} -> {}\n", plan.says, change.field, change.after);
        for line in plan.touches.iter().chain(&plan.circumstances.may_not_last) {
            told += &format!("  {line}\n");
        }
    }
    insta::assert_snapshot!(told, @"
    scale deployment/chat-api of samosachaat-prod from 2 to 3 replicas
      spec.replicas: 2 -> 3
      1 pod is made, 3 in all
      Argo CD's application samosachaat undoes this within seconds if it has selfHeal, else with its next sync
    raise the memory limit of chat-api in deployment/chat-api of samosachaat-prod from 512Mi to 1Gi
      spec.template.spec.containers[chat-api].resources.limits.memory: 512Mi -> 1Gi
      2 pods are replaced by the Deployment's own rollout strategy
      Argo CD's application samosachaat undoes this within seconds if it has selfHeal, else with its next sync
    lower the memory limit of chat-api in deployment/chat-api of samosachaat-prod from 512Mi to 256Mi
      spec.template.spec.containers[chat-api].resources.limits.memory: 512Mi -> 256Mi
      2 pods are replaced by the Deployment's own rollout strategy
      Argo CD's application samosachaat undoes this within seconds if it has selfHeal, else with its next sync
    raise the memory limit of chat-api from 512Mi to 1Gi and the memory request of chat-api from 128Mi to 256Mi in deployment/chat-api of samosachaat-prod
      spec.template.spec.containers[chat-api].resources.limits.memory: 512Mi -> 1Gi
      2 pods are replaced by the Deployment's own rollout strategy
      Argo CD's application samosachaat undoes this within seconds if it has selfHeal, else with its next sync
    set SQLALCHEMY_POOL_SIZE of chat-api in deployment/chat-api of samosachaat-prod from 5 to 15
      spec.template.spec.containers[chat-api].env[SQLALCHEMY_POOL_SIZE].value: 5 -> 15
      2 pods are replaced by the Deployment's own rollout strategy
      Argo CD's application samosachaat undoes this within seconds if it has selfHeal, else with its next sync
    set LOG_LEVEL of chat-api in deployment/chat-api of samosachaat-prod to debug, where there was nothing
      spec.template.spec.containers[chat-api].env[LOG_LEVEL].value: - -> debug
      2 pods are replaced by the Deployment's own rollout strategy
      Argo CD's application samosachaat undoes this within seconds if it has selfHeal, else with its next sync
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_never_taken_away_and_a_number_that_is_there_is_no_plan() {
    let set = deployment(Action::Scale).await;
    let why = [
        (By::To(1), 4),
        (By::To(2), 4),
        (By::Percent(50), 4),
        (By::Add(1), 2),
        (By::To(9), 1),
        (By::Add(0), 4),
    ];
    let mut told = String::new();
    for (by, at_most) in why {
        told += &format!("{}\n", set.refuses(&scale(by, at_most)).await);
    }
    assert!(set.world.set_replicas(SERVICE, 0));
    told += &set.refuses(&scale(By::To(2), 4)).await;
    insta::assert_snapshot!(told, @"
    deployment/chat-api in samosachaat-prod has 2 replicas already, and the runbook says 1: pods are never taken away
    deployment/chat-api in samosachaat-prod has 2 replicas already
    deployment/chat-api in samosachaat-prod has 2 replicas already, and the runbook says 1: pods are never taken away
    deployment/chat-api in samosachaat-prod has 2 replicas already, and the runbook allows no more than 2
    deployment/chat-api in samosachaat-prod has 2 replicas already, and the runbook allows no more than 1
    deployment/chat-api in samosachaat-prod has 2 replicas already
    deployment/chat-api in samosachaat-prod has no replicas; whoever scaled it to zero has to end that
    ");
    assert!(set.world.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_that_owns_the_number_of_pods_gets_a_higher_minimum_up_to_its_maximum() {
    let set = deployment(Action::Scale).await;
    set.world.put_autoscaler(SERVICE, 2, 3);
    let plan = set.tries(&scale(By::Add(5), 9)).await.unwrap();
    assert_eq!(
        plan.says,
        "raise the minReplicas of horizontalpodautoscaler/chat-api of samosachaat-prod from 2 to 3, so that deployment/chat-api has more pods"
    );
    let sets = plan.sets.clone().unwrap();
    assert_eq!(sets.object.kind, Kind::HorizontalPodAutoscaler);
    assert_eq!(
        (sets.fields[0].field.clone(), sets.fields[0].after.as_deref()),
        (Field::MinReplicas, Some("3"))
    );
    assert_eq!(plan.target, set.target);
    assert_eq!(plan.uid, set.world.deployment(SERVICE).unwrap()["metadata"]["uid"], "the target's");
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    let writes = set.world.writes();
    let is_its_own = |path: &str| path.contains("/horizontalpodautoscalers/");
    assert!(
        writes.iter().all(|write| is_its_own(&write.path)),
        "the replicas are the autoscaler's to write: {writes:#?}"
    );
    let end = set.follow(&plan).await;
    assert!(matches!(end, Followed::Complete(_)), "{end:?}");
    assert_eq!(set.spec()["replicas"], 3);
    assert_eq!(
        set.refuses(&scale(By::Add(1), 9)).await,
        "horizontalpodautoscaler/chat-api in samosachaat-prod has 3 of at most 3 pods: its maxReplicas is what to change, by a person"
    );
    // The minimum goes back, and the autoscaler decides how many pods that leaves.
    let (put_back, released) = set.restores(&entries(&plan)).await;
    assert_eq!(released, []);
    assert_eq!(set.apply(&put_back.unwrap()).await, EffectResult::Applied);
    assert_eq!(set.world.set("horizontalpodautoscalers", SERVICE).unwrap()["spec"]["minReplicas"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_can_not_be_or_is_there_already_is_no_plan() {
    let set = deployment(Action::Resources).await;
    let share = |percent, at_most: &str| {
        let to = Amount::Percent { percent, at_most: at_most.parse().unwrap() };
        let parts = vec![part(true, "memory", to)];
        Remedy::Resources(Resources { container: SERVICE.to_owned(), parts })
    };
    let mut told = String::new();
    for remedy in [
        memory("nobody", &[(true, "1Gi")]),
        limit("512Mi"),
        limit("64Mi"),
        memory(SERVICE, &[(false, "1Gi")]),
        limit("65Gi"),
        share(150, "512Mi"),
    ] {
        told += &format!("{}\n", set.refuses(&remedy).await);
    }
    insta::assert_snapshot!(told, @"
    deployment/chat-api in samosachaat-prod has no container nobody; it has: chat-api
    the memory limit of chat-api in deployment/chat-api of samosachaat-prod is 512Mi already
    deployment/chat-api in samosachaat-prod: the memory limit of chat-api would be 64Mi, below its request of 128Mi
    deployment/chat-api in samosachaat-prod: the memory limit of chat-api would be 512Mi, below its request of 1Gi
    no node that is ready and takes pods could have such a pod: 65Gi of memory are wanted, and the largest node has 64Gi
    deployment/chat-api in samosachaat-prod: the memory limit of chat-api is 512Mi already, and the runbook allows no more than 512Mi
    ");
    // A limit and its request go up together.
    assert!(set.tries(&memory(SERVICE, &[(false, "1Gi"), (true, "1Gi")])).await.is_ok());
    let plan = set.tries(&share(150, "4Gi")).await.unwrap();
    assert_eq!(plan.change.after, "768Mi");
    // Nodes that take no pods give none room.
    for (node, _) in set.world.nodes() {
        assert!(set.world.edit_node(&node, |object| object["spec"]["unschedulable"] = json!(true)));
    }
    let why = set.refuses(&limit("1Gi")).await;
    assert!(why.contains("1Gi of memory are wanted, and no node that takes pods has any"), "{why}");
    assert!(set.world.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_value_is_what_is_put_back() {
    let set = deployment(Action::Resources).await;
    let mut remedy = limit("1Gi");
    if let Remedy::Resources(resources) = &mut remedy {
        resources.parts[0].baseline = Some("8Gi".parse().unwrap());
    }
    let entries = set.changed(&remedy).await;
    assert_eq!(entries[0].base.as_deref(), Some("8Gi"));
    let (put_back, _) = set.restores(&entries).await;
    assert_eq!(set.apply(&put_back.unwrap()).await, EffectResult::Applied);
    assert_eq!(set.container()["resources"]["limits"]["memory"], "8Gi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_not_plain_or_may_be_a_secret_is_left_alone_and_never_said() {
    let set = deployment(Action::Env).await;
    set.edit(|container| {
        container["env"] = json!([
            {"name": "POOL", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "pool"}}},
            {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
            {"name": "SIZE", "value": "hunter2"},
            {"name": "FULL", "value": "40"},
            {"name": "ADDRESS", "value": "postgres://app:hunter2@db/chat"},
            {"name": "API_TOKEN", "value": "hunter2"},
        ]);
    });
    let add = || Variable::Add { add: 10, default: None, at_most: 40 };
    let mut told = String::new();
    for (name, variable) in [
        ("POOL", add()),
        ("URL", set_to("x")),
        ("SIZE", add()),
        ("FULL", add()),
        ("MISSING", add()),
        ("ADDRESS", set_to("x")),
        ("API_TOKEN", set_to("x")),
        ("FULL", set_to("40")),
    ] {
        told += &format!("{}\n", set.refuses(&env(name, variable)).await);
    }
    assert!(!told.contains("hunter2"));
    insta::assert_snapshot!(told, @"
    POOL of chat-api in deployment/chat-api of samosachaat-prod comes from the key pool of the ConfigMap web, and is changed there
    URL of chat-api in deployment/chat-api of samosachaat-prod comes from the key url of the Secret db, and is changed there
    deployment/chat-api in samosachaat-prod: SIZE of chat-api is no whole number
    deployment/chat-api in samosachaat-prod: FULL of chat-api is 40 already, and the runbook allows no more than 40
    deployment/chat-api in samosachaat-prod: MISSING of chat-api is not there, and the runbook says no default
    ADDRESS seems to hold a password, by the form of its text, and secrets are not changed by runbookd
    API_TOKEN may be a secret by its name, and secrets are not changed by runbookd
    FULL of chat-api in deployment/chat-api of samosachaat-prod is 40 already
    ");
    let several = |object: &mut Value| {
        let side = json!({"name": "side", "image": "example/side:1", "resources": {},
                          "envFrom": [{"configMapRef": {"name": "web"}}]});
        object["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(side);
    };
    assert!(set.world.edit(SERVICE, "kubectl-edit", several));
    let why = set.refuses(&env("LEVEL", set_to("debug"))).await;
    assert!(why.ends_with("has several containers (chat-api, side); the runbook must name one"), "{why}");
    let variables = vec![("LEVEL".to_owned(), set_to("debug"))];
    let side = Remedy::Env(Variables { container: Some("side".to_owned()), variables, within: None });
    let plan = set.tries(&side).await.unwrap();
    assert!(plan.touches[1].contains("`envFrom`, which are not read"), "{:?}", plan.touches);
    assert!(set.world.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_between_the_plan_and_its_effect_wins() {
    for remedy in [limit("1Gi"), env("SQLALCHEMY_POOL_SIZE", set_to("15"))] {
        let set = deployment(Action::Resources).await;
        let plan = set.tries(&remedy).await.unwrap();
        set.edit(|container| {
            container["resources"]["limits"]["memory"] = json!("3Gi");
            container["env"][0]["value"] = json!("7");
        });
        let theirs = set.spec();
        let EffectResult::Refused { reason, message } = set.apply(&plan).await else { panic!("{plan:?}") };
        assert_eq!(reason, "conflict");
        assert!(message.contains("written by kubectl-edit at "), "{message}");
        assert_eq!(set.spec(), theirs);
        assert!(set.world.writes().is_empty());
        let seen = set.hands.observe(&plan).await;
        assert!(matches!(&seen, Observation::Ambiguous { saw } if saw.contains("kubectl-edit")), "{seen:?}");
    }
}

/// After the object was read only the API server can tell.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_between_reading_and_writing_wins_too() {
    let field = |rest: &[&str]| {
        let path = ["spec", "template", "spec", "containers", "[chat-api]"].iter().chain(rest);
        path.map(|part| (*part).to_owned()).collect::<Vec<_>>()
    };
    let memory = field(&["resources", "limits", "memory"]);
    let cpu = field(&["resources", "limits", "cpu"]);
    let variable = field(&["env", "[LEVEL]", "value"]);
    let edits: [(&[String], Edit); 5] = [
        (&memory, |containers| containers[0]["resources"]["limits"]["memory"] = json!("3Gi")),
        (&cpu, |containers| containers[0]["resources"]["limits"]["cpu"] = json!("2")),
        (&variable, |containers| {
            containers[0]["env"].as_array_mut().unwrap().push(json!({"name": "LEVEL", "value": "info"}));
        }),
        (&variable, |containers| containers[0]["env"][0]["value"] = json!("7")),
        // The container is elsewhere in the list by now.
        (&memory, |containers| {
            let mut side = containers[0].clone();
            side["name"] = json!("side");
            containers.as_array_mut().unwrap().insert(0, side);
        }),
    ];
    for (number, (path, edit)) in edits.into_iter().enumerate() {
        let set = deployment(Action::Resources).await;
        let object = set.kubernetes.object("deployment", &set.target.namespace, SERVICE).await.unwrap();
        let patch = object.patch(&[SetTo { path, to: Some("1Gi"), plain: Plain::Text }]).unwrap();
        assert!(set.world.edit(SERVICE, "kubectl-edit", |object| {
            edit(&mut object["spec"]["template"]["spec"]["containers"]);
        }));
        let theirs = set.spec();
        let error = set.kubernetes.patch_fields(patch).await.unwrap_err();
        assert_eq!(error.reason, Reason::Conflict, "{number}: {error}");
        assert_eq!(set.spec(), theirs, "{number}");
    }
    // What somebody else changes is no reason.
    let set = deployment(Action::Resources).await;
    let object = set.kubernetes.object("deployment", &set.target.namespace, SERVICE).await.unwrap();
    let patch = object.patch(&[SetTo { path: &memory, to: Some("1Gi"), plain: Plain::Text }]).unwrap();
    assert!(set.world.set_replicas(SERVICE, 3));
    set.kubernetes.patch_fields(patch).await.unwrap();
    assert_eq!(set.spec()["replicas"], 3);
    assert_eq!(set.container()["resources"]["limits"]["memory"], "1Gi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_argo_cd_puts_back_is_overtaken_and_says_by_whom() {
    let set = deployment(Action::Resources).await;
    assert!(set.world.self_heal(SERVICE));
    let plan = set.tries(&limit("1Gi")).await.unwrap();
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    let world = &set.world;
    let healed = |_: &_| set.container()["resources"]["limits"]["memory"] == "512Mi";
    assert!(world.until(LIMIT, healed).await);
    let Followed::Overtaken(saw) = set.hands.follow(&plan, &[]).await else { panic!() };
    let said = "the memory limit of chat-api in deployment/chat-api of samosachaat-prod was put back to 512Mi, written by argocd-controller at ";
    assert!(saw.starts_with(said), "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_ours_is_put_back_and_nothing_else() {
    let set = deployment(Action::Resources).await;
    let before = set.spec();
    let both = memory(SERVICE, &[(true, "1Gi"), (false, "256Mi")]);
    let entries = set.changed(&both).await;
    // The same value in other words is ours.
    set.edit(|container| container["resources"]["limits"]["memory"] = json!("1024Mi"));
    let (plan, released) = set.restores(&entries).await;
    let plan = plan.unwrap();
    assert_eq!(released, []);
    assert_eq!((plan.action, plan.sets.as_ref().unwrap().stays), (Action::PutBack, Stays::ForGood));
    assert_eq!(
        plan.says,
        "put back the memory limit of chat-api from 1024Mi to 512Mi and the memory request of chat-api from 256Mi to 128Mi in deployment/chat-api of samosachaat-prod"
    );
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    assert_eq!(set.spec(), before);
    // A second time there is nothing left to put back.
    let (plan, released) = set.restores(&entries).await;
    assert_eq!(plan, None);
    assert!(released.iter().all(|one| !one.left_alone), "{released:?}");
    let said = "the memory limit of chat-api in deployment/chat-api of samosachaat-prod is 512Mi already, written by runbookd at ";
    assert!(released[0].why.starts_with(said), "{}", released[0].why);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_changed_is_left_alone_and_what_is_ours_beside_it_is_put_back() {
    let set = deployment(Action::Resources).await;
    let entries = set.changed(&memory(SERVICE, &[(true, "1Gi"), (false, "256Mi")])).await;
    set.edit(|container| container["resources"]["limits"]["memory"] = json!("4Gi"));
    let (plan, released) = set.restores(&entries).await;
    let [left] = released.as_slice() else { panic!("{released:?}") };
    assert!(left.left_alone);
    assert_eq!(left.field, Field::Limit { container: SERVICE.to_owned(), resource: "memory".to_owned() });
    let (said, at) = left.why.split_once("written by kubectl-edit at ").unwrap();
    assert_eq!(
        said,
        "the memory limit of chat-api in deployment/chat-api of samosachaat-prod is 4Gi, neither ours nor as it was, "
    );
    assert!(at.ends_with("; runbookd had changed it from 512Mi to 1Gi"), "{at}");
    assert_eq!(set.apply(&plan.unwrap()).await, EffectResult::Applied);
    let resources = &set.container()["resources"];
    assert_eq!(
        (&resources["limits"]["memory"], &resources["requests"]["memory"]),
        (&json!("4Gi"), &json!("128Mi"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_on_an_object_that_is_gone_is_nobodys_to_put_back() {
    let set = deployment(Action::Resources).await;
    let entries = set.changed(&limit("1Gi")).await;
    let mut other = entries.clone();
    other[0].uid = "00000000-0000-4000-a000-000000000000".to_owned();
    let (plan, released) = set.restores(&other).await;
    assert_eq!((plan, released[0].left_alone), (None, false));
    assert!(released[0].why.contains("is another object of the same name, made at "), "{released:?}");
    assert!(set.world.delete_deployment(SERVICE));
    let (plan, released) = set.restores(&entries).await;
    assert_eq!((plan, released[0].left_alone), (None, false));
    assert_eq!(
        released[0].why,
        "deployment/chat-api in samosachaat-prod is gone, and memory limit of chat-api with it; runbookd had changed it from 512Mi to 1Gi"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_was_not_there_goes_again_and_one_that_moved_to_a_secret_is_left_alone() {
    let set = deployment(Action::Env).await;
    let before = set.spec();
    let entries = set.changed(&env("LEVEL", set_to("debug"))).await;
    let (plan, _) = set.restores(&entries).await;
    let plan = plan.unwrap();
    assert!(
        plan.says
            .contains("LEVEL of chat-api in deployment/chat-api of samosachaat-prod from debug to nothing")
    );
    let moved = json!({"name": "LEVEL", "valueFrom": {"secretKeyRef": {"name": "app", "key": "level"}}});
    set.edit(|container| container["env"][1] = moved);
    let result = set.apply(&plan).await;
    assert!(matches!(result, EffectResult::Refused { .. }), "{result:?}");
    let (none, released) = set.restores(&entries).await;
    assert_eq!((none, released[0].left_alone), (None, true));
    assert!(released[0].why.contains("is taken from the key level of the Secret app"), "{released:?}");
    set.edit(|container| container["env"][1] = json!({"name": "LEVEL", "value": "debug"}));
    assert_eq!(set.apply(&plan).await, EffectResult::Applied);
    assert_eq!(set.spec(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_back_is_changed_again_only_as_long_as_it_is_as_it_was_left() {
    let set = deployment(Action::Resources).await;
    let entries = set.changed(&limit("1Gi")).await;
    let (put_back, _) = set.restores(&entries).await;
    let put_back = put_back.unwrap();
    assert_eq!(set.apply(&put_back).await, EffectResult::Applied);
    let again = set.hands.plan_again(&put_back, now()).await.unwrap();
    let sets = again.sets.as_ref().unwrap();
    assert_eq!((again.action, sets.stays), (Action::ChangeAgain, Stays::UntilAPersonDecides));
    assert_eq!(sets.fields[0].to_string(), "memory limit of chat-api 512Mi -> 1Gi");
    assert_eq!(set.apply(&again).await, EffectResult::Applied);
    let twice = set.hands.plan_again(&put_back, now()).await.unwrap_err();
    assert!(twice.for_good && twice.why.starts_with("it is changed again already"), "{twice}");
    set.edit(|container| container["resources"]["limits"]["memory"] = json!("4Gi"));
    let theirs = set.hands.plan_again(&put_back, now()).await.unwrap_err();
    assert!(
        theirs.why.contains("memory limit of chat-api is 4Gi") && theirs.why.contains("kubectl-edit"),
        "{theirs}"
    );
}

/// The autoscaler outlives its target: there is nobody whose pods it could take away.
#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_without_its_target_is_left_to_a_person() {
    let set = deployment(Action::Scale).await;
    set.world.put_autoscaler(SERVICE, 2, 4);
    let entries = set.changed(&scale(By::Add(1), 4)).await;
    assert!(set.world.delete_deployment(SERVICE));
    let (plan, released) = set.restores(&entries).await;
    assert_eq!((plan, released[0].left_alone), (None, true));
    let said = "deployment/chat-api in samosachaat-prod is gone; minReplicas in horizontalpodautoscaler/chat-api of samosachaat-prod is 3; ";
    assert!(released[0].why.starts_with(said), "{}", released[0].why);
    let kind = Kind::HorizontalPodAutoscaler;
    assert_eq!(released[0].object, Target { kind, ..set.target.clone() });
}
