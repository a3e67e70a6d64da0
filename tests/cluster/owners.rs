//! Whose a pod is, as the controllers themselves write it down, also of one that is gone; and whose objects are left to others.

use runbookd::clients::loki::{self, Loki};
use runbookd::incident::plan::{Kind, Target};
use runbookd::probe::{Eyes, NoOwner};
use serde_json::{Value, json};

use crate::ground::{APP, proper};
use crate::objects;
use crate::stage::{Stage, on, until};

/// Eyes on the cluster, and on a Loki that is never asked.
pub(crate) fn eyes(stage: &Stage) -> Eyes {
    Eyes::new(Loki::new(&loki::Settings::new("http://127.0.0.1:1")).unwrap(), stage.kubernetes.clone())
}

async fn owner(stage: &Stage, pod: &str) -> Result<Target, NoOwner> {
    eyes(stage).owner_of(&stage.namespace, pod).await
}

async fn no_owner(stage: &Stage, pod: &str) -> String {
    match owner(stage, pod).await {
        Err(NoOwner::None(why)) => why,
        other => panic!("{pod}: {other:?}"),
    }
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_leads_to_what_made_it() {
    on(|stage| async move {
        for kind in Kind::WORKLOADS {
            if kind == Kind::DaemonSet && stage.nodes.is_empty() {
                continue;
            }
            let app = kind.as_str();
            let (word, plural) = proper(kind);
            let object = objects::workload(word, app, &stage.namespace);
            stage.admin.create(&stage.apps(plural), &object).await;
            stage.ready(app, 2).await;
            let wanted = Target { kind, namespace: stage.namespace.clone(), name: app.to_owned() };
            for pod in stage.pods(app).await {
                assert_eq!(owner(&stage, name(&pod)).await, Ok(wanted.clone()));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_gone_is_known_by_its_replica_set_and_by_nothing_else() {
    on(|stage| async move {
        stage.deployment(APP).await;
        let pod = stage.pods(APP).await.remove(0);
        stage.admin.end_pod(&stage.namespace, &pod).await;
        let path = stage.core(&format!("pods/{}", name(&pod)));
        assert!(until(async || stage.admin.get(&path).await.is_none()).await);
        let wanted =
            Target { kind: Kind::Deployment, namespace: stage.namespace.clone(), name: APP.to_owned() };
        assert_eq!(owner(&stage, name(&pod)).await, Ok(wanted));
        // `db-0` is what a StatefulSet would have called it, and also what a person may have.
        stage
            .admin
            .create(&stage.apps("statefulsets"), &objects::workload("StatefulSet", "db", &stage.namespace))
            .await;
        stage.ready("db", 2).await;
        let set = name(&pod).rsplit_once('-').unwrap().0;
        let (short, long) = (format!("{set}-bcdf"), format!("{set}-bcdfgh"));
        for gone in ["db-7", "web-0", "web-5d9c-abcde", "nobody", set, &short, &long] {
            let why = no_owner(&stage, gone).await;
            assert!(why.ends_with("names are never guessed"), "{why}");
        }
        // With its Deployment the ReplicaSet goes, and with that the knowledge.
        stage.admin.delete(&stage.apps("deployments/web"), &Value::Null).await;
        let none_left = async || stage.admin.items(&stage.apps("replicasets")).await.is_empty();
        assert!(until(none_left).await);
        assert!(no_owner(&stage, name(&pod)).await.ends_with("names are never guessed"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_left_to_them() {
    on(|stage| async move {
        let pods = stage.core("pods");
        let made = async |name: &str, owners: Value| {
            stage.admin.create(&pods, &objects::pod(name, &owners)).await;
        };
        made("alone", json!([])).await;
        assert!(no_owner(&stage, "alone").await.contains("has no owner"));
        // An owner of a kind that runbookd does not know.
        let map = json!({"metadata": {"name": "operator"}});
        let map = stage.admin.create(&stage.core("configmaps"), &map).await;
        let of = |version: &str, kind: &str, name: &str, uid: &Value, controls: bool| {
            json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controls}])
        };
        made("theirs", of("v1", "ConfigMap", "operator", &map["metadata"]["uid"], true)).await;
        let why = no_owner(&stage, "theirs").await;
        assert!(why.contains("belongs to ConfigMap/operator: runbookd does not know this kind"), "{why}");
        // Who is named and does not control makes nothing anew.
        made("named", of("v1", "ConfigMap", "operator", &map["metadata"]["uid"], false)).await;
        assert!(no_owner(&stage, "named").await.contains("has no owner"));
        // A ReplicaSet of its own rolls nothing out.
        let mut set = objects::workload("ReplicaSet", "set", &stage.namespace);
        set["spec"]["replicas"] = json!(1);
        stage.admin.create(&stage.apps("replicasets"), &set).await;
        stage.ready("set", 1).await;
        let pod = stage.pods("set").await.remove(0);
        assert!(no_owner(&stage, name(&pod)).await.contains("a ReplicaSet without a Deployment rolls nothing out"));
        if stage.admin.has("batch/v1", "the pod of a Job").await {
            let mut spec = objects::pod_spec("job");
            spec["restartPolicy"] = json!("Never");
            let template = json!({"metadata": {"labels": {"app": "job"}}, "spec": spec});
            let job = json!({"metadata": {"name": "job"}, "spec": {"template": template}});
            stage.admin.create(&stage.path("batch/v1", "jobs"), &job).await;
            stage.ready("job", 1).await;
            let pod = stage.pods("job").await.remove(0);
            assert!(no_owner(&stage, name(&pod)).await.contains("a Job runs to its end"));
        }
        // A Deployment that something controls is put back by it.
        let mut owned = objects::workload("Deployment", APP, &stage.namespace);
        owned["metadata"]["ownerReferences"] = of("v1", "ConfigMap", "operator", &map["metadata"]["uid"], true);
        stage.admin.create(&stage.apps("deployments"), &owned).await;
        stage.ready(APP, 2).await;
        let workload = stage.kubernetes.workload("deployment", &stage.namespace, APP).await.unwrap();
        assert_eq!(workload.controller.as_deref(), Some("ConfigMap/operator"));
    })
    .await;
}
