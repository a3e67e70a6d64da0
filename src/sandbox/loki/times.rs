//! The parameters of a query beside the query itself, with Loki's defaults and errors.

use serde_json::{Value, json};

use super::MAX_LENGTH;
use crate::sandbox::go;
use crate::sandbox::server::Received;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// The parameters of a range query; times in nanoseconds.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
    pub(super) limit: usize,
    pub(super) direction: Direction,
}

impl Range {
    pub(super) fn of(asked: &Received, now: i64) -> Result<Self, String> {
        let end = moment(asked, "end")?;
        let since = match asked.param("since") {
            Some(text) => {
                duration(text).ok_or_else(|| format!("could not parse 'since' parameter: {text}"))?
            }
            None => HOUR,
        };
        let start = moment(asked, "start")?;
        let end = end.unwrap_or(now);
        let start = start.unwrap_or_else(|| end.min(now) - since);
        if end < start {
            return Err("end timestamp must not be before or equal to start time".to_owned());
        }
        let limit = limit(asked)?;
        let direction = direction(asked)?;
        let default = ((end - start) / SECOND / 250).max(1) * SECOND;
        let step = match asked.param("step") {
            Some(text) => step(text)?,
            None => default,
        };
        Ok(Self { start, end, step, limit, direction })
    }

    pub(super) fn check_length(&self) -> Result<(), String> {
        let length = self.end - self.start;
        if length <= MAX_LENGTH {
            return Ok(());
        }
        let length = go::duration((length + SECOND / 2) / SECOND);
        Err(format!("the query time range exceeds the limit (query length: {length}, limit: 30d1h)"))
    }
}

/// A time: nanoseconds, seconds when short or with a fraction, or RFC 3339.
pub(super) fn moment(asked: &Received, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = asked.param(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Some(seconds) = text.contains('.').then(|| text.parse::<f64>().ok()).flatten() {
        // As the real server does: a fraction of a second counts to the millisecond.
        return Ok(Some(nanoseconds((seconds * 1000.0).round() / 1000.0)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some(if text.len() <= 10 { number.saturating_mul(SECOND) } else { number }));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(crate::sandbox::services::nanoseconds(at)));
    }
    Err(format!("could not parse '{name}' parameter: {}", go::syntax_error("ParseInt", text)))
}

pub(super) fn limit(asked: &Received) -> Result<usize, String> {
    let Some(text) = asked.param("limit").filter(|text| !text.is_empty()) else { return Ok(100) };
    match text.parse::<i64>() {
        Err(_) => Err(go::syntax_error("Atoi", text)),
        Ok(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| "limit must be a positive value".to_owned()),
    }
}

pub(super) fn direction(asked: &Received) -> Result<Direction, String> {
    match asked.param("direction").unwrap_or_default().to_lowercase().as_str() {
        "" | "backward" => Ok(Direction::Backward),
        "forward" => Ok(Direction::Forward),
        _ => Err(format!("invalid direction '{}'", asked.param("direction").unwrap_or_default())),
    }
}

fn step(text: &str) -> Result<i64, String> {
    let step = text.parse::<f64>().ok().map(nanoseconds).or_else(|| duration(text));
    let step = step.ok_or_else(|| format!("cannot parse {} to a valid duration", go::quoted(text)))?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(why.to_owned());
    }
    Ok(step)
}

/// A Prometheus duration such as `5m` or `1h30m`, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1,
            "us" => 1000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => HOUR,
            "d" => 24 * HOUR,
            "w" => 7 * 24 * HOUR,
            "y" => 365 * 24 * HOUR,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, and a time beyond the year 2262 is nonsense anyway"
)]
fn nanoseconds(seconds: f64) -> i64 {
    let whole = seconds.trunc();
    (whole as i64).saturating_mul(SECOND).saturating_add(((seconds - whole) * 1e6).round() as i64 * 1000)
}

/// A time as Prometheus writes it in JSON: seconds, with up to three decimals.
pub(super) fn seconds(at: i64) -> Value {
    let millis = at.div_euclid(1_000_000);
    if millis % 1000 == 0 {
        return json!(millis / 1000);
    }
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.parse::<f64>().map_or(Value::Null, |seconds| json!(seconds))
}
