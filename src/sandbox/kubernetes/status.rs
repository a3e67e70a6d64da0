//! The API server's errors: a `Status` with the reason and the message that the real server gives.

use serde_json::{Value, json};

use super::resource::{Resource, Target};
use crate::sandbox::go;
use crate::sandbox::server::Answer;

/// An error of the API server.
#[derive(Debug)]
pub(super) struct Failure {
    code: u16,
    reason: &'static str,
    message: String,
    /// `null` leaves the field out.
    details: Value,
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": failure.message,
            "code": failure.code,
        });
        if !failure.reason.is_empty() {
            status["reason"] = json!(failure.reason);
        }
        if !failure.details.is_null() {
            status["details"] = failure.details;
        }
        Self::new(failure.code, "application/json", status.to_string())
    }
}

/// One thing that is wrong with an object.
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) field: String,
}

impl Cause {
    pub(super) fn required(field: String) -> Self {
        Self { reason: "FieldValueRequired", message: "Required value".to_owned(), field }
    }

    /// `value` is printed as the real server prints it, quotes included.
    pub(super) fn invalid(field: &str, value: &str, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self { reason: "FieldValueInvalid", message, field: field.to_owned() }
    }
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>, details: Value) -> Self {
        Self { code, reason, message: message.into(), details }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized", Value::Null)
    }

    pub(super) fn forbidden(target: &Target, user: &str, verb: &str) -> Self {
        let Target { resource, namespace, name, .. } = target;
        let object = name.as_ref().map_or(String::new(), |name| format!(" {}", go::quoted(name)));
        let scope = namespace.as_ref().map_or_else(
            || "at the cluster scope".to_owned(),
            |namespace| format!("in the namespace {}", go::quoted(namespace)),
        );
        let message = format!(
            "{}{object} is forbidden: User {} cannot {verb} resource {} in API group {} {scope}",
            resource.qualified(),
            go::quoted(user),
            go::quoted(resource.plural),
            go::quoted(resource.group),
        );
        let mut details = json!({"kind": resource.plural});
        if let Some(name) = name {
            details["name"] = json!(name);
        }
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        Self::new(403, "Forbidden", message, details)
    }

    pub(super) fn forbidden_path(path: &str, verb: &str) -> Self {
        let message = format!("forbidden: User \"system:anonymous\" cannot {verb} path {}", go::quoted(path));
        Self::new(403, "Forbidden", message, json!({}))
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {} not found", resource.qualified(), go::quoted(name));
        Self::new(404, "NotFound", message, details(resource.plural, resource.group, name))
    }

    pub(super) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", json!({}))
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message, json!({}))
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type", json!({}))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message, Value::Null)
    }

    /// A body that is no object of the kind.
    pub(super) fn unrecognized(kind: &str, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let first = body.trim_start().chars().nth(1).unwrap_or(' ');
        Self::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
             error: invalid character '{first}' looking for beginning of object key string ({body})"
        ))
    }

    pub(super) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {} already exists", resource.qualified(), go::quoted(name));
        Self::new(409, "AlreadyExists", message, details(resource.plural, resource.group, name))
    }

    pub(super) fn no_kubelet(pod: &str) -> Self {
        let message = format!(
            "Get \"https://10.0.1.5:10250/containerLogs/{pod}\": dial tcp 10.0.1.5:10250: connect: connection refused"
        );
        Self::new(500, "", message, Value::Null)
    }

    pub(super) fn modified(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: the object has been modified; please apply your changes to the \
             latest version and try again",
            resource.qualified(),
            go::quoted(name)
        );
        Self::new(409, "Conflict", message, details(resource.plural, resource.group, name))
    }

    pub(super) fn wrong_uid(kind: &str, name: &str, wanted: &str, present: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {kind} {}: the UID in the precondition ({wanted}) does not match the UID \
             in record ({present}). The object might have been deleted and then recreated",
            go::quoted(name)
        );
        Self::new(409, "Conflict", message, details(kind, "", name))
    }

    /// An eviction that a disruption budget refuses. There is no `Retry-After`.
    pub(super) fn budget(name: &str, needs: usize, has: usize) -> Self {
        let message =
            format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently");
        let details = json!({"causes": [{"reason": "DisruptionBudget", "message": message}]});
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Self::new(429, "TooManyRequests", message, details)
    }

    /// An eviction of a pod that more than one disruption budget selects.
    pub(super) fn several_budgets() -> Self {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        Self::new(500, "", message, Value::Null)
    }

    /// What a JSON patch gets that cannot be applied, a failed `test` included.
    pub(super) fn unprocessable() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request", json!({}))
    }

    /// A patch that does not fit the schema; `patch` is printed as the real server prints it.
    pub(super) fn bad_patch(patch: &str, why: &str) -> Self {
        let cause = Cause::invalid("patch", &go::quoted(patch), why);
        let message = format!(" \"\" is invalid: patch: {}", cause.message);
        Self::new(422, "Invalid", message, json!({"causes": [rendered(&cause)]}))
    }

    /// An object that validation refuses.
    pub(super) fn invalid(kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for cause in causes {
            let text = format!("{}: {}", cause.field, cause.message);
            // The server's text names a fault once, its list of causes as often as it was found.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let what = if texts.len() > 1 { format!("[{}]", texts.join(", ")) } else { texts.concat() };
        let message = format!("{kind} {} is invalid: {what}", go::quoted(name));
        let (short, group) = kind.split_once('.').unwrap_or((kind, ""));
        let mut details = details(short, group, name);
        details["causes"] = causes.iter().map(rendered).collect();
        Self::new(422, "Invalid", message, details)
    }
}

fn rendered(cause: &Cause) -> Value {
    json!({"reason": cause.reason, "message": cause.message, "field": cause.field})
}

fn details(kind: &str, group: &str, name: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind});
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    details
}
