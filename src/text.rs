//! How moments, durations and figures are written for people, the same everywhere.

use std::time::Duration;

use jiff::Timestamp;

/// `90s` is "1m 30s", `45ms` is "45 ms": at most two units, as people write durations.
#[must_use]
pub fn span(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds < 1_000 {
        return format!("{milliseconds} ms");
    }
    if milliseconds < 10_000 && !milliseconds.is_multiple_of(1_000) {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    let seconds = duration.as_secs();
    let units =
        [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let mut parts: Vec<String> = units
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.len() == 1 && seconds < 60 {
        parts = vec![format!("{seconds} s")];
    }
    parts.join(" ")
}

/// `2026-11-23 12:00 UTC`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `1 pod`, `2 pods`.
#[must_use]
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Cuts `text` to at most `most` characters, with an ellipsis where something is missing.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `text` without anything that a terminal would obey or that could hide text: log lines and labels are written
/// by whoever writes to the service. What is shown on a page needs it, too. Line breaks become spaces, the rest is shown as `·`.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            // Marks that turn the direction of writing can make a line read as another one.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '·',
            character if character.is_control() => '·',
            character => character,
        })
        .collect()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (45, "45 ms"),
            (1_000, "1 s"),
            (2_400, "2.4 s"),
            (45_000, "45 s"),
            (60_000, "1m"),
            (90_000, "1m 30s"),
            (3_600_000, "1h"),
            (3_660_000, "1h 1m"),
            (90_061_000, "1d 1h"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command() {
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J ok\r\n\u{202e}txet\t!\n";
        assert_eq!(harmless(hostile), "·]0;owned··2J ok  ·txet !");
        assert_eq!(harmless("QueuePool größe ✓"), "QueuePool größe ✓");
    }
}
