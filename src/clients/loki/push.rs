//! Lines that are pushed into Loki.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Lines of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its labels: at least one.
    pub labels: BTreeMap<String, String>,
    /// When each was written, and what it says. The same line at the same time is one line, however often it is there.
    pub lines: Vec<(Timestamp, String)>,
}

/// The body of a push. Its moments are texts: no number of JSON holds all their digits.
pub(super) fn body(streams: &[Stream]) -> Value {
    let values = |stream: &Stream| -> Vec<Value> {
        stream.lines.iter().map(|(at, line)| json!([at.as_nanosecond().to_string(), line])).collect()
    };
    let streams: Vec<Value> =
        streams.iter().map(|stream| json!({"stream": stream.labels, "values": values(stream)})).collect();
    json!({"streams": streams})
}
