//! `POST /loki/api/v1/push` in JSON, with the refusals of the real server: a body that is none is refused whole; of one that is, each wrong stream and each
//! wrong line is left out, and the others are taken although the answer is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use super::store::{Labels, Logs};
use crate::sandbox::go;
use crate::sandbox::server::{Answer, Received};
use crate::sandbox::services::nanoseconds;

const SECOND: i64 = 1_000_000_000;
/// `reject_old_samples_max_age`.
const OLDEST: i64 = 7 * 24 * 3600 * SECOND;
/// `creation_grace_period`.
const NEWEST: i64 = 600 * SECOND;
/// Half of `max_chunk_age`.
const BEHIND: i64 = 3600 * SECOND;
/// `max_line_size`.
const MOST_BYTES: usize = 256 << 10;
/// `max_label_names_per_series`.
const MOST_LABELS: usize = 15;

/// Stores what is pushed.
pub(super) fn push(logs: &mut Logs, received: &Received, now: Timestamp) -> Answer {
    if received.content_type() != "application/json" {
        return Answer::text(400, "the sandbox reads pushes in JSON only\n");
    }
    let streams = match read(&received.body) {
        Ok(streams) => streams,
        Err(why) => return Answer::text(400, format!("{why}\n")),
    };
    let now = nanoseconds(now);
    let (mut wrong, mut behind) = (Vec::new(), String::new());
    for (labels, lines) in &streams {
        if let Err(why) = stream(labels) {
            wrong.push(why);
            continue;
        }
        let newest = logs.newest(labels);
        let mut late = 0;
        for (at, line) in lines {
            if let Err(why) = entry(logs, labels, *at, line, now) {
                wrong.push(why);
                continue;
            }
            if let Some(oldest) = newest.map(|newest| newest - BEHIND).filter(|oldest| at < oldest)
                && !logs.takes_any_time()
            {
                late += 1;
                let _ = writeln!(
                    behind,
                    "entry with timestamp {} ignored, reason: 'entry too far behind, entry timestamp is: {}, oldest acceptable \
                     timestamp is: {}',",
                    written(*at, " ").replace('Z', " +0000 UTC"),
                    written(*at, "T"),
                    written(oldest, "T")
                );
                continue;
            }
            logs.push(labels, *at, line);
        }
        if late > 0 {
            let _ = write!(
                behind,
                "user 'fake', total ignored: {late} out of {} for stream: {}",
                lines.len(),
                shown(labels)
            );
        }
    }
    match (behind.is_empty(), wrong.is_empty()) {
        (false, _) => Answer::text(400, format!("{behind}\n")),
        (true, false) => Answer::text(400, format!("{}\n", grouped(wrong))),
        (true, true) => Answer { status: 204, headers: Vec::new(), body: String::new(), said: None },
    }
}

type Stream = (Labels, Vec<(i64, String)>);

fn read(body: &[u8]) -> Result<Vec<Stream>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let streams = body["streams"].as_array().into_iter().flatten();
    streams
        .map(|stream| {
            let labels: Option<Labels> = stream["stream"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect();
            let labels = labels.ok_or("Value looks like object, but can't find closing '}' symbol")?;
            let values = stream["values"].as_array().into_iter().flatten();
            let lines: Option<Vec<(i64, String)>> = values
                .map(|value| Some((value[0].as_str()?.parse().ok()?, value[1].as_str()?.to_owned())))
                .collect();
            Ok((labels, lines.ok_or("a value is not a timestamp and a line")?))
        })
        .collect()
}

fn stream(labels: &Labels) -> Result<(), String> {
    if labels.is_empty() {
        return Err("error at least one label pair is required per stream".to_owned());
    }
    let shown = shown(labels);
    let mut column = 2;
    for (name, value) in labels {
        if let Some((at, wrong)) = wrong_in(name) {
            let column = column + at;
            return Err(format!(
                "error parsing labels '{shown}' with error: 1:{column}: parse error: unexpected character inside braces: \
                 '{wrong}'"
            ));
        }
        column += name.len() + 1 + go::quoted(value).len() + 2;
    }
    if labels.len() > MOST_LABELS {
        let number = labels.len();
        return Err(format!("entry for stream '{shown}' has {number} label names; limit {MOST_LABELS}"));
    }
    Ok(())
}

/// The first character of a name that may not stand there, and where.
fn wrong_in(name: &str) -> Option<(usize, char)> {
    let fits = |at: usize, character: char| {
        character == '_' || character.is_ascii_alphabetic() || at > 0 && character.is_ascii_digit()
    };
    name.char_indices().find(|(at, character)| !fits(*at, *character))
}

fn entry(logs: &Logs, labels: &Labels, at: i64, line: &str, now: i64) -> Result<(), String> {
    let shown = shown(labels);
    if !logs.takes_any_time() {
        if at < now - OLDEST {
            let (at, oldest) = (written(at, "T"), written(now - OLDEST, "T"));
            return Err(format!(
                "entry for stream '{shown}' has timestamp too old: {at}, oldest acceptable timestamp is: {oldest}"
            ));
        }
        if at > now + NEWEST {
            let at = written(at, "T");
            return Err(format!("entry for stream '{shown}' has timestamp too new: {at}"));
        }
    }
    if line.len() > MOST_BYTES {
        let length = line.len();
        return Err(format!(
            "max entry size '{MOST_BYTES}' bytes exceeded for stream '{shown}' while adding an entry with length '{length}' bytes"
        ));
    }
    Ok(())
}

/// `{app="auth", namespace="n"}`.
fn shown(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", go::quoted(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A moment to the second, as Go writes it.
fn written(at: i64, between: &str) -> String {
    let at = Timestamp::from_second(at.div_euclid(SECOND)).unwrap_or_default();
    at.strftime(&format!("%Y-%m-%d{between}%H:%M:%SZ")).to_string()
}

/// Each fault once, with how often it was found where there is more than one.
fn grouped(all: Vec<String>) -> String {
    let several = all.len() > 1;
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for one in all {
        *counted.entry(one).or_default() += 1;
    }
    let told = counted.into_iter().map(|(why, times)| match several {
        true => format!("{times} errors like: {why}"),
        false => why,
    });
    told.collect::<Vec<_>>().join("; ")
}
