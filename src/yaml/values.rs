//! The small languages inside scalars: durations, sizes, and the nearest word to one that does not exist.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `30s`, `5m`, `1h30m`, `250ms`, `7d`: whole numbers with units, the larger unit first.
///
/// # Errors
/// What was expected instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let example = "expected a duration such as 30s, 5m or 1h30m";
    let mut rest = text;
    let mut total = 0_u64;
    let mut smallest = usize::MAX;
    if rest.is_empty() {
        return Err(example.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err(example.to_owned());
        }
        if unit.is_empty() {
            return Err(format!("{example}, with a unit after every number"));
        }
        let Some(at) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("{example}; the units are d, h, m, s and ms"));
        };
        if smallest != usize::MAX && at <= smallest {
            return Err(format!("{example}, the larger unit first and each unit once"));
        }
        smallest = at;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(UNITS[at].1))
            .and_then(|part| part.checked_add(total))
            .filter(|total| *total <= 366 * UNITS[0].1)
            .ok_or_else(|| "expected at most one year".to_owned())?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration as [`parse_duration`] reads it.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS {
        if left >= size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads `512KiB`, `16MiB`: a number of bytes.
///
/// # Errors
/// What was expected instead.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "KiB" => 1_usize << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("expected a size such as 512KiB or 16MiB".to_owned()),
    };
    number
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "expected a size such as 512KiB or 16MiB".to_owned())
}

/// The word among `known` that was probably meant.
#[must_use]
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let most = word.chars().count() / 3 + 1;
    let plain = |word: &str| word.to_lowercase().replace(['-', '_'], "");
    known
        .into_iter()
        .map(|candidate| (distance(&plain(word), &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added or removed. Long words are never near, which bounds the work on hostile input.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(write_duration(duration), text);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "30m1h",
            "1m1m",
            "-5m",
            "1.5h",
            "5M",
            "99999999999999999999d",
            "400d",
            "5m ",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("16MiB"), Ok(16 << 20));
        for text in ["16", "16MB", "MiB", "", "99999999999999999999GiB", "18446744073709551615GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_word() {
        let known = ["confirm", "confirm_within", "deadline", "limits"];
        assert_eq!(did_you_mean("conform", known), Some("confirm"));
        assert_eq!(did_you_mean("confirmWithin", known), Some("confirm_within"));
        assert_eq!(did_you_mean("limit", known), Some("limits"));
        assert_eq!(did_you_mean("zzz", known), None);
    }
}
