//! What of a deployment is under way around a target: hooks in its namespace, and rollouts of its release. Read for every plan, whatever its action, so
//! that no action can forget it. Reads only, and never an error: what could not be read is a value that the guard refuses.

use jiff::Timestamp;

use super::{Right, right};
use crate::clients::kubernetes::{self, HookState, Kubernetes, Object, Owned};
use crate::clients::{CallError, Reason};
use crate::incident::deploying::{self, Deploying};
use crate::incident::plan::{Plan, Target};
use crate::runbook::{Action, Kind};

/// The rights that looking needs.
const RIGHTS: &[Right] = &[
    right("batch", "jobs", "list"),
    right("apps", "deployments", "list"),
    right("apps", "statefulsets", "list"),
    right("apps", "daemonsets", "list"),
];

/// Those that it needs besides to know whose a pod is.
const OF_A_POD: &[Right] = &[right("", "pods", "get"), right("apps", "replicasets", "list")];

/// The name in `managedFields` of who rolled it out, when that was us.
const OURS: &str = "runbookd";

/// What an action needs for it.
pub(super) fn rights(action: Action) -> impl Iterator<Item = Right> {
    let on = |wanted: fn(&Kind) -> bool| action.acts_on().iter().any(wanted);
    let every = if on(is_deployed) { RIGHTS } else { &[] };
    let pods = if on(|kind| *kind == Kind::Pod) { OF_A_POD } else { &[] };
    every.iter().chain(pods).copied()
}

const fn is_deployed(kind: &Kind) -> bool {
    match kind {
        Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::Pod
        | Kind::HorizontalPodAutoscaler
        // Its namespace says whose pods are meant: whatever is under way there is disturbed by what is made anew below it.
        | Kind::Terraform => true,
        Kind::Node | Kind::Certificate => false,
    }
}

/// The plan, with what is under way around its target.
pub(super) async fn seen(kubernetes: &Kubernetes, mut plan: Plan, alerted: Timestamp) -> Plan {
    plan.circumstances.deploying = if is_deployed(&plan.target.kind) || plan.action.is_elsewhere() {
        look(kubernetes, &plan, alerted)
            .await
            .unwrap_or_else(|error| Deploying::Unread { why: unread(&error) })
    } else {
        Deploying::Nowhere
    };
    plan
}

fn unread(error: &CallError) -> String {
    let missing = match error.reason {
        Reason::Denied => "; runbookd needs the right to `list` them, see the roles in docs/security.md",
        _ => "",
    };
    format!("{error}{missing}")
}

async fn look(kubernetes: &Kubernetes, plan: &Plan, alerted: Timestamp) -> Result<Deploying, CallError> {
    let namespace = &plan.target.namespace;
    let hooks = that_count(&kubernetes.hooks(namespace).await?);
    let workloads = kubernetes.workloads_of(namespace).await?;
    let own = own(kubernetes, &plan.target).await?;
    // Nothing else of such a step looks at its target.
    if let Some((kind, name)) = own.as_ref().filter(|_| plan.action.is_elsewhere())
        && !workloads.iter().any(|object| object.kind() == kind && object.name() == name)
    {
        return Ok(Deploying::Unread { why: format!("there is no {kind}/{name} in {namespace}") });
    }
    // What a rollback undoes is the trouble itself, and it came with the release; but not what somebody began since, perhaps to mend it.
    let since = (plan.action == Action::Rollback).then_some(alerted);
    let whose = match (plan.target.kind, &own) {
        (Kind::Pod, _) => Whose::OfItsReleaseAndItsOwn,
        // It is no workload, and belongs to no release.
        (_, None) => Whose::Everybodys,
        _ if plan.action.is_elsewhere() => Whose::OfItsReleaseAndItsOwn,
        _ => Whose::OfItsRelease,
    };
    let rollouts = rollouts(&workloads, whose, own.as_ref(), since)?;
    Ok(Deploying::Seen { hooks, rollouts })
}

/// Which rollouts count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those of other workloads of the target's release: what a workload itself rolls out its own circumstances say.
    OfItsRelease,
    /// That of the workload itself, too, or of the one that makes the pod.
    OfItsReleaseAndItsOwn,
    /// All of the namespace.
    Everybodys,
}

/// Kind and name of the workload that the target is, or that makes it.
async fn own(kubernetes: &Kubernetes, target: &Target) -> Result<Option<(String, String)>, CallError> {
    Ok(match target.kind {
        Kind::Terraform | Kind::Node | Kind::Certificate => None,
        Kind::Pod => match kubernetes.owner_of_pod(&target.namespace, &target.name).await? {
            Owned::By(owner) => Some((owner.kind.to_ascii_lowercase(), owner.name)),
            Owned::ByNobody | Owned::Unknown => None,
        },
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::HorizontalPodAutoscaler => {
            Some((target.kind.as_str().to_owned(), target.name.clone()))
        }
    })
}

/// The hooks that run, and those that have failed and were not followed by one of their kind that succeeded.
fn that_count(hooks: &[kubernetes::Hook]) -> Vec<deploying::Hook> {
    let counts = |hook: &kubernetes::Hook| {
        let state = match &hook.state {
            HookState::Runs { failed } => deploying::HookState::Runs { since: hook.made, failed: *failed },
            HookState::Succeeded => return None,
            HookState::Failed { .. } if hooks.iter().any(|later| is_mended_by(hook, later)) => return None,
            HookState::Failed { at, why } => deploying::HookState::Failed { at: *at, why: why.clone() },
        };
        let of = hook.release.as_ref().map(|release| format!(", {release}")).unwrap_or_default();
        Some(deploying::Hook { job: hook.job.clone(), what: format!("{}{of}", hook.what), state })
    };
    hooks.iter().filter_map(counts).collect()
}

/// Whether a later hook is the same one of a later deployment, and succeeded. Two hooks without a sign of their release may be anybody's.
fn is_mended_by(failed: &kubernetes::Hook, later: &kubernetes::Hook) -> bool {
    later.state == HookState::Succeeded
        && later.made > failed.made
        && failed.release.is_some()
        && (&later.release, &later.what, &later.containers)
            == (&failed.release, &failed.what, &failed.containers)
}

/// The rollouts that are under way and count. One that has failed or is paused is not under way, and what runbookd itself rolls out is no deployment. `since`: only those that began later.
fn rollouts(
    workloads: &[Object],
    whose: Whose,
    own: Option<&(String, String)>,
    since: Option<Timestamp>,
) -> Result<Vec<String>, CallError> {
    let is_own =
        |object: &Object| own.is_some_and(|(kind, name)| object.kind() == kind && object.name() == name);
    let release = workloads.iter().find(|object| is_own(object)).map(Object::keepers).unwrap_or_default();
    let mut found = Vec::new();
    for object in workloads {
        let own = is_own(object);
        if own && whose == Whose::OfItsRelease {
            continue;
        }
        let shared = object.keepers().into_iter().find(|keeper| release.contains(keeper));
        if !own && shared.is_none() && whose != Whose::Everybodys {
            continue;
        }
        let workload = object.workload()?;
        let Some(what) = workload.rolling_out.filter(|_| !workload.paused) else { continue };
        let writer = object.written_by(&["spec".to_owned(), "template".to_owned()]);
        let is_ours = writer.as_ref().is_some_and(|writer| writer.manager == OURS);
        let began = writer.and_then(|writer| writer.at);
        let is_before = since.is_some_and(|since| began.is_some_and(|began| began <= since));
        if is_before || (is_ours && !own) {
            continue;
        }
        let of = shared.map(|keeper| format!(" of {keeper}")).unwrap_or_default();
        found.push(format!("{}/{}{of}: {what}", object.kind(), object.name()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(minute: u8) -> Timestamp {
        format!("2026-11-23T11:{minute:02}:00Z").parse().unwrap()
    }

    /// A Deployment with one new pod that is not available yet, rolled out by somebody at that minute.
    fn rolling(name: &str, release: Option<&str>, by: &str, minute: u8) -> Value {
        let annotations = release.map_or(json!({}), |release| json!({"meta.helm.sh/release-name": release}));
        let written = json!({"manager": by, "operation": "Update", "apiVersion": "apps/v1", "time": at(minute).to_string(),
                             "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:template": {}}}});
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": "u", "generation": 2,
                         "annotations": annotations, "managedFields": [written]},
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"containers": []}}},
            "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2},
        })
    }

    fn with(json: &Value, part: &str, key: &str, value: Value) -> Value {
        let mut json = json.clone();
        json[part][key] = value;
        json
    }

    fn named(all: &[Value], whose: Whose, since: Option<Timestamp>) -> Vec<String> {
        let own = ("deployment".to_owned(), "web".to_owned());
        let found = rollouts(&objects(all), whose, Some(&own), since).unwrap();
        found.into_iter().map(|rollout| rollout.split(':').next().unwrap_or_default().to_owned()).collect()
    }

    fn objects(all: &[Value]) -> Vec<Object> {
        all.iter().map(|json| Object::of("deployment", json.clone())).collect()
    }

    const AUTH: &str = "deployment/auth of the Helm release shop";

    #[test]
    fn a_rollout_of_the_same_release_counts_and_no_other() {
        let web = rolling("web", Some("shop"), "helm", 0);
        let of = |other: Value| named(&[web.clone(), other], Whose::OfItsRelease, None);
        let auth = rolling("auth", Some("shop"), "helm", 0);
        assert_eq!(of(auth.clone()), [AUTH]);
        assert!(of(rolling("auth", Some("other"), "helm", 0)).is_empty());
        assert!(of(rolling("auth", None, "helm", 0)).is_empty(), "nobody says whose it is");
        assert!(of(with(&auth, "spec", "paused", json!(true))).is_empty(), "nothing moves there");
        let failed =
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        assert!(of(with(&auth, "status", "conditions", failed)).is_empty(), "it has failed, and is over");
        assert!(of(rolling("auth", Some("shop"), "runbookd", 0)).is_empty(), "our own is no deployment");
        assert_eq!(of(rolling("auth", Some("shop"), "runbookd-2", 0)), [AUTH]);
    }

    /// Two workloads without a release have none in common.
    #[test]
    fn without_a_release_only_the_own_workload_of_a_pod_counts() {
        let all = [rolling("web", None, "helm", 0), rolling("auth", None, "helm", 0)];
        assert!(named(&all, Whose::OfItsRelease, None).is_empty(), "its own circumstances say it");
        assert_eq!(named(&all, Whose::OfItsReleaseAndItsOwn, None), ["deployment/web"]);
        let ours = [rolling("web", None, "runbookd", 0)];
        assert_eq!(
            named(&ours, Whose::OfItsReleaseAndItsOwn, None),
            ["deployment/web"],
            "a pod of a rollout, whoever began it"
        );
        assert!(
            rollouts(&objects(&all), Whose::OfItsReleaseAndItsOwn, None, None).unwrap().is_empty(),
            "nobody's pod"
        );
    }

    #[test]
    fn a_rollback_is_held_only_by_what_began_after_the_alert() {
        let of = |minute| {
            let all =
                [rolling("web", Some("shop"), "helm", 0), rolling("auth", Some("shop"), "helm", minute)];
            named(&all, Whose::OfItsRelease, Some(at(10)))
        };
        assert!(of(9).is_empty());
        assert_eq!(of(11), [AUTH]);
    }

    fn hook(job: &str, minute: u8, release: Option<&str>, state: HookState) -> kubernetes::Hook {
        kubernetes::Hook {
            job: job.to_owned(),
            what: "pre-upgrade hook of Helm".to_owned(),
            release: release.map(str::to_owned),
            containers: vec!["migrate".to_owned()],
            made: Some(at(minute)),
            state,
        }
    }

    #[test]
    fn a_failed_hook_counts_until_a_later_one_of_its_kind_has_succeeded() {
        let failed = || HookState::Failed { at: Some(at(1)), why: "it did".to_owned() };
        let first = || hook("migrate-1", 0, Some("the release shop"), failed());
        let counts = |other: kubernetes::Hook| {
            that_count(&[first(), other]).into_iter().map(|hook| hook.job).collect::<Vec<_>>()
        };
        let succeeded = || hook("migrate-2", 5, Some("the release shop"), HookState::Succeeded);
        assert!(counts(succeeded()).is_empty());
        for other in [
            kubernetes::Hook { made: Some(at(0)), ..succeeded() },
            kubernetes::Hook { made: None, ..succeeded() },
            kubernetes::Hook { release: Some("the release other".to_owned()), ..succeeded() },
            kubernetes::Hook { containers: vec!["warm-up".to_owned()], ..succeeded() },
            kubernetes::Hook { what: "post-upgrade hook of Helm".to_owned(), ..succeeded() },
        ] {
            assert_eq!(counts(other.clone()), ["migrate-1"], "{other:?}");
        }
        assert_eq!(counts(kubernetes::Hook { state: HookState::Runs { failed: 0 }, ..succeeded() }).len(), 2);
        let nobodys = [hook("a", 0, None, failed()), hook("b", 5, None, HookState::Succeeded)];
        assert_eq!(that_count(&nobodys).len(), 1, "whose hooks these are nobody says");
        assert_eq!(that_count(&[first()])[0].what, "pre-upgrade hook of Helm, the release shop");
    }
}
