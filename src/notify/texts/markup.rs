//! Slack's markup, made so that no value can leave its place: escaped, on one line, cut, without mentions or links.
//! Every block is within Slack's limits whatever the values are.
//!
//! Source of the limits: <https://docs.slack.dev/reference/block-kit/blocks>; the sum of all texts is not documented there, and was
//! measured at about 13,200 characters.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clients::slack::{Message, escape};
use crate::text::span;

const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
const CONTEXT: usize = 2_000;
const NOTIFICATION: usize = 300;
/// All texts of a message together; the rest up to Slack's limit is for what it counts that we do not see.
const ALL: usize = 11_500;
const BLOCKS: usize = 40;

/// A name: a label's value, an object, an incident.
const NAME: usize = 120;
/// A sentence of another system, of a person, or of a guard.
const SENTENCE: usize = 300;

/// A value inside a sentence.
pub(super) fn plain(value: &str) -> String {
    shown(value, SENTENCE)
}

/// A short value inside a sentence that holds many.
pub(super) fn brief(value: &str) -> String {
    shown(value, NAME)
}

/// A value in a code span. A backtick would end the span, so it becomes an apostrophe.
pub(super) fn code(value: &str) -> String {
    match shown(value, NAME) {
        empty if empty.trim().is_empty() => "`(empty)`".to_owned(),
        name => format!("`{name}`"),
    }
}

/// A long value in a code span, such as a query.
pub(super) fn long_code(value: &str) -> String {
    format!("`{}`", shown(value, 2 * SENTENCE))
}

/// A line of a code block.
pub(super) fn line(value: &str) -> String {
    shown(value, SENTENCE)
}

/// One line of at most `most` characters after escaping, which says how much of the value is missing.
fn shown(value: &str, most: usize) -> String {
    let clean: String = value.chars().filter_map(harmless).collect();
    let escaped = escape(&clean);
    if escaped.chars().count() <= most {
        return escaped;
    }
    let all = clean.chars().count();
    // The words about what is missing need room, too.
    let room = most.saturating_sub(26);
    let mut kept = String::new();
    let mut length = 0;
    let mut taken = 0;
    let mut letter = [0; 4];
    for character in clean.chars() {
        let next = escape(character.encode_utf8(&mut letter));
        length += next.chars().count();
        if length > room {
            break;
        }
        kept.push_str(&next);
        taken += 1;
    }
    format!("{}… ({} more characters)", kept.trim_end(), all - taken)
}

/// Nothing that ends a line or a code span, and nothing invisible that turns the reading direction.
fn harmless(character: char) -> Option<char> {
    match character {
        '`' => Some('\''),
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => None,
        '\u{2028}' | '\u{2029}' => Some(' '),
        character if character.is_control() => Some(' '),
        character => Some(character),
    }
}

/// A link. The address comes from us or from the runbook, and what a value could put into it is percent-encoded; whatever would end the markup is so
/// here, too.
pub(super) fn link(url: &str, title: &str) -> String {
    let mut address = String::with_capacity(url.len());
    for character in url.chars().filter_map(harmless) {
        match character {
            '<' => address.push_str("%3C"),
            '>' => address.push_str("%3E"),
            '|' => address.push_str("%7C"),
            // In an address no space of any alphabet stands as itself.
            space if space.is_whitespace() => {
                let mut bytes = [0; 4];
                for byte in space.encode_utf8(&mut bytes).bytes() {
                    address.push_str(&format!("%{byte:02X}"));
                }
            }
            '&' => address.push_str("&amp;"),
            other => address.push(other),
        }
    }
    format!("<{address}|{}>", brief(title).replace('|', "/"))
}

/// A moment in the reader's own time zone.
pub(super) fn time(at: Timestamp) -> String {
    format!("<!date^{}^{{time_secs}}|{}>", at.as_second(), iso(at))
}

/// A moment to come, and how far away it is at `now`, which is the time of the message.
pub(super) fn until(at: Timestamp, now: Timestamp) -> String {
    match seconds(crate::clock::between(now, at)) {
        left if left.is_zero() => time(at),
        left => format!("{} (in {})", time(at), span(left)),
    }
}

/// A duration as people say it: from ten seconds on, milliseconds do not matter.
pub(super) fn took(from: Timestamp, to: Timestamp) -> String {
    let duration = crate::clock::between(from, to);
    span(if duration.as_secs() >= 10 { seconds(duration) } else { duration })
}

fn seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// UTC to the second, for readers that know no date tokens.
fn iso(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// The time of day in UTC, for code blocks, in which Slack shows no date tokens.
pub(super) fn clock_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// As many of the items as fit, whole, and how many do not. Cutting between items leaves no markup open.
fn joined(items: &[String], with: &str, most: usize) -> String {
    const REST: usize = 24;
    let mut text = String::new();
    let mut length = 0;
    for (position, item) in items.iter().enumerate() {
        let more = item.chars().count() + if position == 0 { 0 } else { with.chars().count() };
        let last = position + 1 == items.len();
        if length + more + if last { 0 } else { REST } > most {
            let missing = format!("… and {} more", items.len() - position);
            return if text.is_empty() { missing } else { format!("{text}{with}{missing}") };
        }
        if position > 0 {
            text.push_str(with);
        }
        text.push_str(item);
        length += more;
    }
    text
}

/// A message on its way, always within the limits.
pub(super) struct Draft {
    text: String,
    blocks: Vec<Value>,
    left: usize,
}

impl Draft {
    /// `notification` is what a phone shows; its values are escaped already.
    pub(super) fn new(notification: &str) -> Self {
        let text = joined(&notification.split(' ').map(str::to_owned).collect::<Vec<_>>(), " ", NOTIFICATION);
        Self { left: ALL - text.chars().count(), text, blocks: Vec::new() }
    }

    fn push(mut self, length: usize, block: Value) -> Self {
        if length > 0 && length <= self.left && self.blocks.len() < BLOCKS {
            self.left -= length;
            self.blocks.push(block);
        }
        self
    }

    /// The large line at the top.
    pub(super) fn header(self, text: &str) -> Self {
        let text = joined(&text.split(' ').map(str::to_owned).collect::<Vec<_>>(), " ", HEADER);
        let length = text.chars().count();
        self.push(
            length,
            json!({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": true}}),
        )
    }

    /// Lines of text.
    pub(super) fn section(self, lines: &[String]) -> Self {
        let text = joined(lines, "\n", SECTION.min(self.left));
        let length = text.chars().count();
        self.push(length, json!({"type": "section", "text": mrkdwn(&text)}))
    }

    /// Short texts in two columns.
    pub(super) fn fields(self, fields: &[String]) -> Self {
        let fields: Vec<String> =
            fields.iter().take(10).map(|field| joined(std::slice::from_ref(field), "", FIELD)).collect();
        let length = fields.iter().map(|field| field.chars().count()).sum();
        let fields: Vec<Value> = fields.iter().map(|field| mrkdwn(field)).collect();
        self.push(length, json!({"type": "section", "fields": fields}))
    }

    /// Lines as they were written, under a title.
    pub(super) fn fence(self, title: &str, lines: &[String]) -> Self {
        if lines.is_empty() {
            return self;
        }
        let room = SECTION.min(self.left).saturating_sub(title.chars().count() + 9);
        let text = format!("{title}\n```\n{}\n```", joined(lines, "\n", room));
        let length = text.chars().count();
        self.push(length, json!({"type": "section", "text": mrkdwn(&text)}))
    }

    /// Small print.
    pub(super) fn context(self, items: &[String]) -> Self {
        let text = joined(items, "  ·  ", CONTEXT.min(self.left));
        let length = text.chars().count();
        self.push(length, json!({"type": "context", "elements": [mrkdwn(&text)]}))
    }

    /// As it is sent.
    pub(super) fn message(self) -> Message {
        Message { text: self.text, blocks: Value::Array(self.blocks), broadcast: false }
    }
}

/// `verbatim`: without it Slack would make links of addresses, and mentions of names, in the middle of values.
fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}
