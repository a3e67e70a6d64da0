//! The Kubernetes API server: the verbs and kinds that the clients use, and the real server's errors for all others.

mod events;
mod exec;
mod jobs;
mod patch;
mod resource;
mod selector;
mod status;
mod validate;
mod write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::server::{Answer, Received};
use super::state::State;
use resource::{Resource, Route, Target};
use status::Failure;

const USER: &str = "system:serviceaccount:samosachaat-prod:runbookd";

/// Answers a request, and applies it.
pub(super) fn answer(state: &mut State, received: &Received, now: Timestamp) -> Answer {
    let route = Route::of(&received.path);
    if let Err(denied) = authenticate(&state.options.kube_token, received, &route) {
        return denied.into();
    }
    let answer = match route {
        Route::Version => Answer::new(200, "application/json", version()),
        Route::Health => Answer::text(200, "ok"),
        Route::AccessReview => access_review(received),
        Route::Target(target) if state.forbidden.contains(target.resource.plural) => {
            target.forbidden(USER, verb(received, &target)).into()
        }
        Route::Target(target) => serve(state, received, &target, now).unwrap_or_else(Into::into),
        Route::UnknownResource => Failure::no_such_resource().into(),
        Route::UnknownGroup => Answer::text(404, "404 page not found\n"),
    };
    answer.with("Cache-Control", "no-cache, private").with("Audit-Id", "00000000-0000-4000-a000-000000000000")
}

/// What a client is answered that may not write.
pub(super) fn refusal(received: &Received) -> Answer {
    match Route::of(&received.path) {
        Route::Target(target) => target.forbidden(USER, verb(received, &target)).into(),
        _ => Failure::no_such_resource().into(),
    }
}

fn authenticate(token: &str, received: &Received, route: &Route) -> Result<(), Failure> {
    match received.header("authorization") {
        Some(given) if given.strip_prefix("Bearer ") == Some(token) => Ok(()),
        Some(_) => Err(Failure::unauthorized()),
        None => match route {
            Route::Version | Route::Health => Ok(()),
            Route::Target(target) => Err(target.forbidden("system:anonymous", verb(received, target))),
            Route::AccessReview | Route::UnknownResource | Route::UnknownGroup => {
                Err(Failure::forbidden_path(&received.path, &received.method.to_lowercase()))
            }
        },
    }
}

/// The verb of a request, as roles name it.
fn verb(received: &Received, target: &Target) -> &'static str {
    match (received.method.as_str(), &target.name) {
        ("GET" | "HEAD", Some(_)) => "get",
        ("GET" | "HEAD", None) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", Some(_)) => "delete",
        ("DELETE", None) => "deletecollection",
        _ => "",
    }
}

fn serve(state: &mut State, received: &Received, target: &Target, now: Timestamp) -> Result<Answer, Failure> {
    match (received.method.as_str(), &target.name, target.subresource.as_deref()) {
        ("GET", None, None) => list(state, received, target),
        ("GET", Some(name), None) => {
            let object = resource::find(&state.cluster, target, name)?;
            Ok(json_answer(200, &object))
        }
        ("GET", Some(name), Some("scale")) if target.resource.plural == "deployments" => {
            let deployment = resource::find(&state.cluster, target, name)?;
            Ok(json_answer(200, &write::scale_of(&deployment)))
        }
        ("PATCH", Some(name), subresource @ (None | Some("scale"))) if target.resource.patchable => {
            write::patch(state, received, target, name, subresource.is_some(), now)
        }
        ("DELETE", Some(name), None) if target.resource.plural == "pods" => {
            write::delete_pod(state, received, target, name, now)
        }
        ("DELETE", Some(name), None) if target.resource.plural == "nodes" => {
            write::delete_node(state, received, target, name, now)
        }
        ("DELETE", Some(name), None) if target.resource.plural == "jobs" => {
            jobs::delete(state, received, target, name)
        }
        ("POST", None, None) if target.resource.plural == "jobs" && target.namespace.is_some() => {
            jobs::create(state, received, target, now)
        }
        ("POST", Some(name), Some("eviction")) if target.resource.plural == "pods" => {
            write::evict(state, received, target, name, now)
        }
        ("POST", None, None) if target.resource.plural == "events" && target.namespace.is_some() => {
            events::create(state, received, target, now)
        }
        ("GET", Some(name), Some("log")) if target.resource.plural == "pods" => {
            resource::find(&state.cluster, target, name)?;
            if received.param("previous") == Some("true") {
                return previous_log(state, received, target, name);
            }
            // There are no kubelets to ask what runs now.
            Err(Failure::no_kubelet(name))
        }
        ("GET", Some(name), Some("exec")) if target.resource.plural == "pods" => {
            exec::answer(state, received, target, name)
        }
        ("POST" | "PUT" | "PATCH" | "DELETE", _, None) => Err(Failure::method_not_allowed()),
        _ => Err(Failure::no_such_resource()),
    }
}

/// What a container wrote before it was started again.
fn previous_log(state: &State, received: &Received, target: &Target, name: &str) -> Result<Answer, Failure> {
    let pod = state.cluster.pods.get(&target.key(name));
    let container = received.param("container").unwrap_or_default();
    let Some(lines) = pod.filter(|pod| pod.service == container).and_then(|pod| pod.last_words()) else {
        let why = format!(
            "previous terminated container {} in pod {} not found",
            super::go::quoted(container),
            super::go::quoted(name)
        );
        return Err(Failure::bad_request(why));
    };
    let tail = received.param("tailLines").and_then(|lines| lines.parse().ok()).unwrap_or(lines.len());
    let kept = &lines[lines.len().saturating_sub(tail)..];
    Ok(Answer::text(200, format!("{}\n", kept.join("\n"))))
}

fn list(state: &State, received: &Received, target: &Target) -> Result<Answer, Failure> {
    let Resource { kind, .. } = target.resource;
    let labels = selector::labels(received.param("labelSelector").unwrap_or_default())?;
    let fields = selector::fields(received.param("fieldSelector").unwrap_or_default())?;
    let mut items: Vec<Value> = resource::all(&state.cluster, target.resource, target.namespace.as_deref())
        .into_iter()
        .filter(|object| labels.iter().all(|requirement| requirement.holds(&object["metadata"]["labels"])))
        .filter(|object| fields.iter().all(|requirement| requirement.holds(object)))
        .collect();
    let mut metadata = json!({"resourceVersion": state.cluster.version().to_string()});
    let limit =
        received.param("limit").and_then(|limit| limit.parse::<usize>().ok()).filter(|limit| *limit > 0);
    let start = received.param("continue").and_then(|token| token.parse::<usize>().ok()).unwrap_or(0);
    items.drain(..start.min(items.len()));
    if let Some(limit) = limit
        && items.len() > limit
    {
        metadata["continue"] = json!((start + limit).to_string());
        metadata["remainingItemCount"] = json!(items.len() - limit);
        items.truncate(limit);
    }
    let body = json!({
        "kind": format!("{kind}List"),
        "apiVersion": target.resource.api_version(),
        "metadata": metadata,
        "items": items,
    });
    Ok(json_answer(200, &body))
}

fn access_review(received: &Received) -> Answer {
    if received.method != "POST" {
        return Failure::method_not_allowed().into();
    }
    let Ok(body) = serde_json::from_slice::<Value>(&received.body) else {
        return Failure::unrecognized("SelfSubjectAccessReview", &received.body).into();
    };
    let answer = json!({
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"managedFields": []},
        "spec": body["spec"],
        "status": {"allowed": true, "reason": "RBAC: allowed by RoleBinding \"runbookd\""},
    });
    json_answer(201, &answer)
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json", body.to_string())
}

fn version() -> String {
    let version = json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.2",
        "gitCommit": "98b35193b2ac7a23a673325f5e9b830ecd5ba406",
        "gitTreeState": "clean",
        "buildDate": "2026-08-21T00:00:00Z",
        "goVersion": "go1.26.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    });
    format!("{version:#}")
}
