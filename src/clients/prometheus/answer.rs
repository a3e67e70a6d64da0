//! What Prometheus' answers hold. An answer of another shape is an error: nothing is read as "no series".
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One number of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels of the series; empty after an aggregation without `by`.
    pub labels: BTreeMap<String, String>,
    /// The number, which may be none (`NaN`) or infinite.
    pub value: f64,
}

/// What a query gives at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Instant {
    /// The series of a vector.
    Vector(Vec<Sample>),
    /// A number without any series, such as of `scalar(...)`.
    Scalar(f64),
}

pub(super) type Unreadable = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

#[derive(Deserialize)]
struct Point {
    metric: BTreeMap<String, String>,
    /// The time, and the number as text.
    value: Option<(Value, String)>,
}

pub(super) fn instant(body: &[u8]) -> Result<Instant, Unreadable> {
    let Answer { status, data, warnings } = serde_json::from_slice(body)?;
    if status != "success" {
        return Err("it is a success by its status and an error by its body".into());
    }
    // A store that could not be asked, for one, is a warning: the answer is then not all of it.
    if let Some(warning) = warnings.first() {
        return Err(format!("it comes with a warning, so it may not be all of it: {warning}").into());
    }
    match data.kind.as_str() {
        "scalar" => {
            let (_, number): (Value, String) = serde_json::from_value(data.result)?;
            Ok(Instant::Scalar(number.parse()?))
        }
        "vector" => {
            let points: Vec<Point> = serde_json::from_value(data.result)?;
            let sample = |point: Point| {
                let (_, number) = point.value.ok_or("a series is a histogram and no number")?;
                Ok(Sample { labels: point.metric, value: number.parse()? })
            };
            points.into_iter().map(sample).collect::<Result<_, Unreadable>>().map(Instant::Vector)
        }
        "matrix" => Err("it is a range of samples; put a function such as rate() around the range".into()),
        other => Err(format!("it is a {other} and no number").into()),
    }
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "errorType")]
    kind: String,
    error: String,
}

/// What it says was wrong.
pub(super) fn error(body: &[u8]) -> Option<String> {
    let Refusal { kind, error } = serde_json::from_slice(body).ok()?;
    Some(format!("{kind}: {error}"))
}
