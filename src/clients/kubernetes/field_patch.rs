//! Writes values into an object by one JSON patch, on the condition that it is the very object and that every value is still what was read.
//!
//! The conditions are `test` operations, which the API server checks at the write itself: not on the resourceVersion, which moves every second in
//! an outage, but on the values and on the names of the items on the way to them.

use std::fmt;

use serde_json::{Map, Value, json};

use super::objects::{called, can_be_made, escaped, item_name, path_of, walk};
use super::{CallError, JSON_PATCH, Kubernetes, Object, Reason, history};

/// A value that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct SetTo<'s> {
    /// Where.
    pub path: &'s [String],
    /// What; none: it is removed.
    pub to: Option<&'s str>,
    /// As what it is written there.
    pub plain: Plain,
}

/// What kind of value something is in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// True or false.
    Boolean,
}

impl Plain {
    /// The value of this kind that a text stands for; else what belongs there.
    fn value(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Text => Ok(json!(text)),
            Self::Number => {
                text.parse::<i32>().map(|number| json!(number)).map_err(|_| "a whole number belongs there")
            }
            Self::Boolean => {
                text.parse::<bool>().map(|is| json!(is)).map_err(|_| "true or false belongs there")
            }
        }
    }
}

/// What would be sent.
pub struct FieldPatch {
    call: String,
    path: String,
    name: String,
    change: Vec<Value>,
}

impl fmt::Debug for FieldPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldPatch").field("call", &self.call).finish_non_exhaustive()
    }
}

/// What must still hold for a path that was read so.
fn tests(json: &Value, path: &[String]) -> Vec<Value> {
    let walk = walk(json, path);
    let test = |path: String, value: Value| json!({"op": "test", "path": path, "value": value});
    let mut tests: Vec<Value> =
        walk.names.iter().map(|(pointer, name)| test(pointer.clone(), json!(name))).collect();
    tests.push(match walk.rest.first() {
        None => test(walk.pointer, walk.value.clone()),
        // The whole list: nobody has added the item since, and the place of the others is known.
        Some(part) if item_name(part).is_some() => test(walk.pointer, walk.value.clone()),
        // The API server takes a key that is not there for null, as long as its parent is there.
        Some(key) => test(format!("{}/{}", walk.pointer, escaped(key)), Value::Null),
    });
    tests
}

/// What is put where nothing is yet: the missing parents with the value in them.
fn nested(rest: &[String], value: Value) -> Value {
    let Some((part, after)) = rest.split_first() else { return value };
    match item_name(part) {
        None => Value::Object(Map::from_iter([(part.clone(), nested(after, value))])),
        Some(name) => json!([item(name, after, value)]),
    }
}

fn item(name: &str, after: &[String], value: Value) -> Value {
    let mut item = nested(after, value);
    item["name"] = json!(name);
    item
}

/// The operations that write one value into `json`, which gets it, too: the next operation comes on top of it.
fn operations(json: &mut Value, set: &SetTo<'_>, value: Option<Value>) -> Vec<Value> {
    let walk = walk(json, set.path);
    let pointer = walk.pointer;
    let is_in_item = set.path.len() > 1 && item_name(&set.path[set.path.len() - 2]).is_some();
    let done = match (value, walk.rest.split_first()) {
        // A variable without a text has only its name.
        (None, Some((_, []))) if is_in_item && !walk.names.is_empty() && walk.value["name"].is_string() => {
            removal(json, &pointer)
        }
        (None, Some(_)) => return Vec::new(),
        // A variable goes with its name.
        (None, None) if is_in_item => removal(json, above(&pointer)),
        (None, None) => removal(json, &pointer),
        (Some(value), None) => vec![json!({"op": "replace", "path": pointer, "value": value})],
        (Some(value), Some((part, after))) => match item_name(part) {
            None => {
                let path = format!("{pointer}/{}", escaped(part));
                vec![json!({"op": "add", "path": path, "value": nested(after, value)})]
            }
            Some(name) => {
                vec![json!({"op": "add", "path": format!("{pointer}/-"), "value": item(name, after, value)})]
            }
        },
    };
    for operation in &done {
        perform(json, operation);
    }
    done
}

/// No empty list or map is left behind; but what somebody has put beside it since it was read must not go with it.
fn removal(json: &Value, gone: &str) -> Vec<Value> {
    let only = match json.pointer(above(gone)) {
        Some(Value::Object(parent)) => parent.len() == 1,
        Some(Value::Array(parent)) => parent.len() == 1,
        _ => false,
    };
    if !only {
        return vec![json!({"op": "remove", "path": gone})];
    }
    let whole = above(gone);
    let value = json.pointer(whole).cloned().unwrap_or_default();
    vec![json!({"op": "test", "path": whole, "value": value}), json!({"op": "remove", "path": whole})]
}

fn above(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(above, _)| above)
}

fn perform(json: &mut Value, operation: &Value) {
    if operation["op"] == "test" {
        return;
    }
    let path = history::text(operation, "/path").to_owned();
    let Some((parent, last)) = path.rsplit_once('/') else { return };
    let key = last.replace("~1", "/").replace("~0", "~");
    match (json.pointer_mut(parent), operation.get("value")) {
        (Some(Value::Object(fields)), Some(value)) => drop(fields.insert(key, value.clone())),
        (Some(Value::Object(fields)), None) => drop(fields.remove(&key)),
        (Some(Value::Array(items)), Some(value)) => items.push(value.clone()),
        (Some(Value::Array(items)), None) => {
            if let Some(at) = key.parse().ok().filter(|at| *at < items.len()) {
                items.remove(at);
            }
        }
        _ => {}
    }
}

impl Object {
    /// What would write these values, as long as the object is as it was read.
    ///
    /// # Errors
    /// `Conflict` when there is no item to write into, such as a container; `ClientError` for a number or a truth that is none.
    pub fn patch(&self, sets: &[SetTo<'_>]) -> Result<FieldPatch, CallError> {
        let namespace = history::text(&self.json, "/metadata/namespace");
        let call = format!("change {}", called(&self.kind, namespace, self.name()));
        let mut change = vec![json!({"op": "test", "path": "/metadata/uid", "value": self.uid()})];
        for set in sets {
            let walked = walk(&self.json, set.path);
            if let Some(name) = walked.doubled {
                let message = format!("there are several entries of the name {name} in it");
                return Err(CallError::new(&call, Reason::Conflict, &message));
            }
            if let Err(name) = can_be_made(walked.rest) {
                return Err(CallError::new(
                    &call,
                    Reason::Conflict,
                    &format!("there is no {name} in it (any more)"),
                ));
            }
            for test in tests(&self.json, set.path) {
                if !change.contains(&test) {
                    change.push(test);
                }
            }
        }
        let mut json = self.json.clone();
        for set in sets {
            let value = match set.to {
                Some(text) => Some(set.plain.value(text).map_err(|what| CallError::unsent(&call, what))?),
                None => None,
            };
            change.extend(operations(&mut json, set, value));
        }
        let path = path_of(&self.kind, namespace)
            .ok_or_else(|| CallError::unsent(&call, "no fields of this kind are changed"))?;
        Ok(FieldPatch { call, path, name: self.name().to_owned(), change })
    }
}

impl Kubernetes {
    /// Writes values into an object, all of them or none. Whoever changed one of them since they were read wins.
    ///
    /// # Errors
    /// `Conflict` when somebody did, or when the object of that name is another one by now.
    pub async fn patch_fields(&self, patch: FieldPatch) -> Result<(), CallError> {
        let FieldPatch { call, path, name, change } = patch;
        self.write(&call, &path, &name, JSON_PATCH, Value::Array(change)).await
    }
}

#[cfg(test)]
mod tests {
    use super::Plain::{Number, Text};
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn object() -> Object {
        let json = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "web", "env": [{"name": "A", "value": "5"}, {"name": "E"},
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}],
                 "resources": {"limits": {"memory": "1Gi"}}},
                {"name": "side", "resources": {}},
            ]}}},
        });
        Object { call: "read".to_owned(), kind: "deployment".to_owned(), json }
    }

    fn change(sets: &[(&str, Option<&str>, Plain)]) -> Vec<String> {
        let paths: Vec<_> = sets.iter().map(|(text, ..)| path(text)).collect();
        let sets: Vec<_> = paths
            .iter()
            .zip(sets)
            .map(|(path, (_, to, plain))| SetTo { path, to: *to, plain: *plain })
            .collect();
        let line = |one: &Value| {
            let value = one.get("value").map(Value::to_string).unwrap_or_default();
            let short = history::text(one, "/path").replace("/spec/template/spec/containers", "..");
            format!("{} {short} {value}", history::text(one, "/op")).trim().to_owned()
        };
        object().patch(&sets).unwrap().change.iter().map(line).collect()
    }

    const C: &str = "spec template spec containers";

    #[test]
    fn what_was_read_is_tested_and_only_the_value_is_written() {
        assert_eq!(
            change(&[("spec replicas", Some("4"), Number)])[1..],
            ["test /spec/replicas 2", "replace /spec/replicas 4"]
        );
        let limit = format!("{C} [web] resources limits memory");
        assert_eq!(
            change(&[(&limit, Some("2Gi"), Text)]),
            [
                r#"test /metadata/uid "u""#,
                r#"test ../0/name "web""#,
                r#"test ../0/resources/limits/memory "1Gi""#,
                r#"replace ../0/resources/limits/memory "2Gi""#,
            ]
        );
        assert_eq!(
            change(&[(&limit, None, Text)])[3..],
            [r#"test ../0/resources/limits {"memory":"1Gi"}"#, "remove ../0/resources/limits"],
            "a limit of something else that was set meanwhile must not go with it"
        );
    }

    #[test]
    fn what_is_missing_is_made_together_and_only_where_nothing_is() {
        let of = |rest: &str| format!("{C} [side] {rest}");
        let (one, other) = (of("resources limits nvidia.com/gpu"), of("resources limits memory"));
        assert_eq!(
            change(&[(&one, Some("1"), Text), (&other, Some("1Gi"), Text)])[1..],
            [
                r#"test ../1/name "side""#,
                "test ../1/resources/limits null",
                r#"add ../1/resources/limits {"nvidia.com/gpu":"1"}"#,
                r#"add ../1/resources/limits/memory "1Gi""#,
            ]
        );
        let (one, other) = (of("env [X] value"), of("env [Y] value"));
        assert_eq!(
            change(&[(&one, Some("1"), Text), (&other, Some("2"), Text)])[1..],
            [
                r#"test ../1/name "side""#,
                "test ../1/env null",
                r#"add ../1/env [{"name":"X","value":"1"}]"#,
                r#"add ../1/env/- {"name":"Y","value":"2"}"#,
            ]
        );
    }

    #[test]
    fn a_variable_comes_and_goes_with_its_name() {
        let of = |rest: &str| format!("{C} [web] env {rest}");
        let (new, old, empty) = (of("[X] value"), of("[A] value"), of("[E] value"));
        let changes = change(&[(&new, Some("1"), Text)]);
        assert!(changes[2].starts_with(r#"test ../0/env [{"name":"A","value":"5"}"#), "{changes:?}");
        assert_eq!(changes[3..], [r#"add ../0/env/- {"name":"X","value":"1"}"#]);
        assert_eq!(
            change(&[(&old, None, Text), (&empty, Some("full"), Text)])[2..],
            [
                r#"test ../0/env/0/name "A""#,
                r#"test ../0/env/0/value "5""#,
                r#"test ../0/env/1/name "E""#,
                "test ../0/env/1/value null",
                "remove ../0/env/0",
                r#"add ../0/env/0/value "full""#,
            ]
        );
    }

    #[test]
    fn a_variable_without_a_text_goes_too_and_one_that_is_not_there_stays_away() {
        let of = |name: &str| format!("{C} [web] env [{name}] value");
        assert_eq!(
            change(&[(&of("E"), None, Text), (&of("X"), None, Text)])[4..],
            [change(&[(&of("X"), None, Text)])[2].as_str(), "remove ../0/env/1"]
        );
    }

    /// As Kubernetes serves a node: what is false is not there.
    #[test]
    fn whether_a_node_takes_pods_is_tested_and_written_as_what_it_is() {
        let node = |spec: Value| {
            Object::of("node", json!({"metadata": {"name": "ip-10-0-1-7", "uid": "u"}, "spec": spec}))
        };
        let path = path("spec unschedulable");
        let set = |to| SetTo { path: &path, to: Some(to), plain: Plain::Boolean };
        let cordoned = node(json!({"unschedulable": true}));
        let patch = cordoned.patch(&[set("false")]).unwrap();
        assert_eq!(
            Value::Array(patch.change),
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u"},
                {"op": "test", "path": "/spec/unschedulable", "value": true},
                {"op": "replace", "path": "/spec/unschedulable", "value": false},
            ])
        );
        assert_eq!((patch.call.as_str(), patch.path.as_str()), ("change node/ip-10-0-1-7", "/api/v1/nodes"));
        let patch = node(json!({"providerID": "aws:///a/i-1"})).patch(&[set("true")]).unwrap();
        assert_eq!(
            patch.change[1..],
            [
                json!({"op": "test", "path": "/spec/unschedulable", "value": null}),
                json!({"op": "add", "path": "/spec/unschedulable", "value": true}),
            ]
        );
        let error = cordoned.patch(&[set("yes")]).unwrap_err();
        assert_eq!(error.reason, Reason::ClientError);
        assert!(error.to_string().contains("true or false belongs there"), "{error}");
    }

    #[test]
    fn there_is_no_writing_into_a_container_that_is_not_there() {
        let path = path(&format!("{C} [nobody] env [X] value"));
        let error = object().patch(&[SetTo { path: &path, to: Some("1"), plain: Text }]).unwrap_err();
        assert_eq!(error.reason, Reason::Conflict);
        let text = error.to_string();
        assert!(text.contains("there is no nobody in it"), "{text}");
    }
}
