//! The recorded requests and answers of the real servers, read from `tests/data`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use serde_json::Value;

/// A recorded exchange.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) answer: String,
}

impl Recording {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.answer).unwrap_or(Value::Null)
    }
}

pub(crate) fn folder(system: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(system)
}

/// The names of the recordings of a system, without their endings.
pub(crate) fn names(system: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder(system)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".txt")?.to_owned())).collect();
    names.sort();
    names
}

/// Reads a recording that holds its request.
pub(crate) fn recording(system: &str, name: &str) -> Recording {
    let text = std::fs::read_to_string(folder(system).join(format!("{name}.txt"))).unwrap();
    let (request, response) = text.split_once("<<< response\n").unwrap();
    let request = request.strip_prefix(">>> request\n").unwrap();
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let content_type = lines.filter_map(|line| line.strip_prefix("Content-Type: ")).next().map(str::to_owned);
    let (head, answer) = response.split_once("\n\n").unwrap_or((response, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap().strip_prefix("HTTP ").unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Recording {
        method: method.to_owned(),
        path: path.to_owned(),
        content_type,
        body: body.trim_end().to_owned(),
        status,
        headers,
        answer: answer.to_owned(),
    }
}

/// Every path of an answer's structure: keys joined with dots, `[]` for any item of a list.
pub(crate) fn shape(value: &Value) -> std::collections::BTreeSet<String> {
    fn walk(value: &Value, path: &str, paths: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = format!("{path}.{key}");
                    paths.insert(path.clone());
                    walk(value, &path, paths);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), paths)),
            _ => {}
        }
    }
    let mut paths = std::collections::BTreeSet::new();
    walk(value, "", &mut paths);
    paths
}
