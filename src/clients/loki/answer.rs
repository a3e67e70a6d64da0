//! What Loki's answers hold. An answer of another shape is an error: nothing is read as "no lines".

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// One number of an instant query.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels it is for; empty after a `sum` without `by`.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// Its stream's labels, and the fields that the query parsed.
    pub labels: BTreeMap<String, String>,
    /// The line. Hostile input: it can hold anything.
    pub text: String,
}

pub(super) type Unreadable = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Point>),
    Streams(Vec<Stream>),
    Matrix(IgnoredAny),
    Scalar(IgnoredAny),
}

#[derive(Deserialize)]
struct Point {
    metric: BTreeMap<String, String>,
    value: (Value, String),
}

#[derive(Deserialize)]
struct Stream {
    stream: BTreeMap<String, String>,
    /// Time, line, and since Loki 3 sometimes an object of structured metadata.
    values: Vec<Vec<Value>>,
}

pub(super) fn samples(body: &[u8]) -> Result<Vec<Sample>, Unreadable> {
    let Data::Vector(points) = serde_json::from_slice::<Answer>(body)?.data else {
        return Err("it is not a vector".into());
    };
    points
        .into_iter()
        .map(|point| Ok(Sample { labels: point.metric, value: point.value.1.parse()? }))
        .collect()
}

pub(super) fn lines(body: &[u8]) -> Result<Vec<Line>, Unreadable> {
    let Data::Streams(streams) = serde_json::from_slice::<Answer>(body)?.data else {
        return Err("it is not a list of streams".into());
    };
    let mut lines = Vec::new();
    for Stream { stream, values } in streams {
        for value in values {
            let [Value::String(at), Value::String(text), ..] = value.as_slice() else {
                return Err("a line has no time or no text".into());
            };
            lines.push(Line {
                at: Timestamp::from_nanosecond(at.parse()?)?,
                labels: stream.clone(),
                text: text.clone(),
            });
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    Ok(lines)
}
