//! The rights: a service account with those that an action names, or with the roles of `docs/security.md`, can do what is to be done, in its own
//! namespace and nowhere else.

use runbookd::act::{Followed, Hands, Right, rights};
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clock::now;
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::{Kind, Target};
use runbookd::runbook::{Action, Remedy};
use serde_json::{Value, json};

use crate::ground::{Set, in_every_case};
use crate::invariants::{Ground as _, permit, wish};
use crate::stage::{LABEL, Stage, on, until};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const SECURITY: &str = include_str!("../../docs/security.md");

/// A service account of the namespace, and a client that is nobody else.
async fn account(stage: &Stage, name: &str) -> Kubernetes {
    stage.admin.create(&stage.core("serviceaccounts"), &json!({"metadata": {"name": name}})).await;
    let asked = json!({"spec": {"expirationSeconds": 3600}});
    let token = stage.admin.create(&stage.core(&format!("serviceaccounts/{name}/token")), &asked).await;
    // The cluster as it is, and another user.
    let mut config = serde_json::to_value(&stage.config).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"] = json!({"token": token["status"]["token"]});
    }
    let file = stage.folder.path().join(format!("{name}.kubeconfig"));
    // JSON is YAML.
    std::fs::write(&file, config.to_string()).unwrap();
    let settings = kubernetes::Settings { kubeconfig: Some(file), context: None };
    Kubernetes::connect(&settings).await.unwrap()
}

/// Lets the account do this in its namespace; what is in no namespace, everywhere.
async fn grant(stage: &Stage, name: &str, role: &str, rules: &[Value], is_wide: bool) {
    let labels = json!({LABEL: stage.namespace});
    let role = if is_wide { format!("{}-{role}", stage.namespace) } else { role.to_owned() };
    let (roles, bindings, kind) = if is_wide {
        (format!("{RBAC}/clusterroles"), format!("{RBAC}/clusterrolebindings"), "ClusterRole")
    } else {
        let rbac = "rbac.authorization.k8s.io/v1";
        (stage.path(rbac, "roles"), stage.path(rbac, "rolebindings"), "Role")
    };
    stage.admin.create(&roles, &json!({"metadata": {"name": role, "labels": labels}, "rules": rules})).await;
    let binding = json!({
        "metadata": {"name": role, "labels": labels},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": stage.namespace}],
    });
    stage.admin.create(&bindings, &binding).await;
}

fn rule(right: &Right) -> Value {
    json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]})
}

/// Whether the authorizer lets the account do it; a role counts a moment after it was written.
async fn may(stage: &Stage, name: &str, right: &Right, namespace: &str) -> bool {
    let (resource, part) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let namespace = if resource == "nodes" { "" } else { namespace };
    let asked = json!({"spec": {
        "user": format!("system:serviceaccount:{}:{name}", stage.namespace),
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "resourceAttributes": {"group": right.group, "resource": resource, "subresource": part, "verb": right.verb, "namespace": namespace},
    }});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    stage.admin.create(path, &asked).await["status"]["allowed"] == true
}

async fn until_granted(stage: &Stage, name: &str, all: &[Right]) {
    for right in all {
        assert!(until(async || may(stage, name, right, &stage.namespace).await).await, "{right:?}");
    }
}

fn is_wide(right: &Right) -> bool {
    right.resource == "nodes"
}

/// Everything that an action asks, from its plan to its being put back.
async fn do_all(set: &Set, action: Action) {
    let on = &set.target;
    let plan = set.plan(action).await;
    assert_eq!(set.apply(&plan).await, EffectResult::Applied, "{action:?} of {on}");
    assert_eq!(set.hands().observe(&plan).await, Observation::Done, "{action:?} of {on}");
    let end = set.follow(&plan).await;
    assert!(matches!(end, Followed::Complete(_)), "{action:?} of {on}: {end:?}");
    let back = set.hands().revert(permit(&plan), now()).await;
    assert!(!matches!(back, runbookd::act::Reverted::Failed(_)), "{action:?} of {on}: {back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_can_be_done_with_the_rights_that_it_names() {
    in_every_case(|stage, case| async move {
        let kubernetes = account(&stage, "acts").await;
        let named = rights(case.0);
        let (wide, narrow): (Vec<&Right>, Vec<&Right>) = named.iter().partition(|right| is_wide(right));
        for (part, wide) in [(wide, true), (narrow, false)] {
            let rules: Vec<Value> = part.into_iter().map(rule).collect();
            grant(&stage, "acts", "acts", &rules, wide).await;
        }
        until_granted(&stage, "acts", &named).await;
        do_all(&Set::new(&stage, case).await.with(Hands::new(kubernetes)), case.0).await;
    })
    .await;
}

/// The roles as they stand in the document, by their names there.
fn documented() -> Vec<(String, Vec<Value>)> {
    let block = SECURITY.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let roles = block.split("---\n").map(|role| serde_saphyr::from_str::<Value>(role).unwrap());
    let named = |role: Value| {
        (role["metadata"]["name"].as_str().unwrap().to_owned(), role["rules"].as_array().unwrap().clone())
    };
    roles.map(named).collect()
}

fn rights_of(rules: &[Value]) -> Vec<Right> {
    let words = |rule: &Value, key: &str| {
        let words = rule[key].as_array().unwrap().iter();
        words.map(|word| &*word.as_str().unwrap().to_owned().leak()).collect::<Vec<&'static str>>()
    };
    let mut all = Vec::new();
    for rule in rules {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                let rights = words(rule, "verbs").into_iter().map(|verb| Right { group, resource, verb });
                all.extend(rights);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_roles_suffice_for_every_action_and_reach_no_further() {
    in_every_case(|stage, case| async move {
        let kubernetes = account(&stage, "runbookd").await;
        for (name, rules) in documented() {
            grant(&stage, "runbookd", &name, &rules, name != "runbookd-act").await;
            until_granted(&stage, "runbookd", &rights_of(&rules)).await;
        }
        kubernetes.ping().await.unwrap();
        let set = Set::new(&stage, case).await.with(Hands::new(kubernetes.clone()));
        do_all(&set, case.0).await;
        // What would be changed elsewhere is refused there.
        for (group, resource, verb) in [
            ("apps", "deployments", "patch"),
            ("apps", "statefulsets", "patch"),
            ("apps", "daemonsets", "patch"),
            ("", "pods", "delete"),
            ("", "pods/eviction", "create"),
            ("", "secrets", "get"),
            ("", "nodes", "delete"),
        ] {
            let right = Right { group, resource, verb };
            assert!(!may(&stage, "runbookd", &right, "default").await, "{right:?} in default");
        }
        assert!(
            !may(
                &stage,
                "runbookd",
                &Right { group: "", resource: "secrets", verb: "get" },
                &stage.namespace
            )
            .await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_refused_and_nothing_happens() {
    on(|stage| async move {
        let kubernetes = account(&stage, "reads").await;
        let reads: Vec<Right> =
            rights(Action::Restart).iter().filter(|right| right.verb == "get").copied().collect();
        grant(&stage, "reads", "reads", &reads.iter().map(rule).collect::<Vec<_>>(), false).await;
        until_granted(&stage, "reads", &reads).await;
        let set =
            Set::new(&stage, (Action::Restart, Kind::Deployment)).await.with(Hands::new(kubernetes.clone()));
        let before = set.state().await;
        let plan = set.plan(Action::Restart).await;
        let result = set.apply(&plan).await;
        assert!(matches!(&result, EffectResult::NotTaken { reason, .. } if reason == "denied"), "{result:?}");
        assert_eq!(set.state().await, before);
        assert_eq!(set.hands().observe(&plan).await, Observation::NotDone);
        // What can not be read can not be planned, and that may pass.
        let elsewhere = Target { namespace: "default".to_owned(), ..set.target.clone() };
        let none = set
            .hands()
            .plan(&wish(&Remedy::Plain(Action::Restart)), &elsewhere, now(), now())
            .await
            .unwrap_err();
        assert!(!none.for_good && none.why.contains("deployments.apps \"web\" is forbidden"), "{none}");
        assert_eq!(kubernetes.nodes().await.unwrap_err().reason.as_str(), "denied");
    })
    .await;
}
