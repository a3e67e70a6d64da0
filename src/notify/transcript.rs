//! Slack messages as plain text, as people would read them: for a terminal and for the tests.
//!
//! Control characters never pass, so that no value can write to the terminal on its own.

use jiff::Timestamp;
use serde_json::Value;

use crate::clients::slack::Message;

/// A thread: its head, and the replies below it, indented.
#[must_use]
pub fn transcript(messages: &[Message]) -> String {
    let mut text = String::new();
    for (position, message) in messages.iter().enumerate() {
        let margin = if position == 0 { "" } else { "  │ " };
        if position > 0 {
            text.push_str("  │\n");
        }
        for line in one(&message.text, &message.blocks).lines() {
            text.push_str(format!("{margin}{line}").trim_end());
            text.push('\n');
        }
    }
    text
}

/// One message: its blocks, or its text when it has none.
#[must_use]
pub fn one(text: &str, blocks: &Value) -> String {
    let blocks = blocks.as_array().map(Vec::as_slice).unwrap_or_default();
    if blocks.is_empty() {
        return format!("{}\n", plain(text));
    }
    blocks.iter().map(block).collect()
}

fn block(block: &Value) -> String {
    let text = |value: &Value| value["text"].as_str().unwrap_or_default().to_owned();
    match block["type"].as_str() {
        Some("header") => {
            let title = plain(&text(&block["text"]));
            format!("{title}\n{}\n", "─".repeat(title.chars().count().min(80)))
        }
        Some("context") => {
            let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            let parts: Vec<String> = elements.iter().map(|element| plain(&text(element))).collect();
            format!("  {}\n", parts.join("  ·  "))
        }
        Some("divider") => "\n".to_owned(),
        _ => {
            let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut lines: Vec<String> =
                fields.iter().map(|field| plain(&text(field).replacen('\n', ": ", 1))).collect();
            if !block["text"].is_null() {
                lines.push(section(&text(&block["text"])));
            }
            format!("{}\n", lines.join("\n"))
        }
    }
}

/// Text with code blocks in it, which are indented.
fn section(text: &str) -> String {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim() == "```" {
            fenced = !fenced;
        } else if fenced {
            lines.push(format!("    {}", literal(line)));
        } else {
            lines.push(plain(line));
        }
    }
    lines.join("\n")
}

/// Markup taken off: bold, code, dates, escapes.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("<!date^") {
        let (before, token) = rest.split_at(begin);
        let Some(end) = token.find('>') else { break };
        shown.push_str(before);
        shown.push_str(&date(&token[..end]));
        rest = &token[end + 1..];
    }
    shown.push_str(rest);
    literal(&unmarked(&shown))
}

/// `<!date^1795382964^{time_secs}|...` as the time of day in UTC.
fn date(token: &str) -> String {
    let seconds = token.split('^').nth(1).and_then(|seconds| seconds.parse().ok());
    match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(at) => at.strftime("%H:%M:%S").to_string(),
        None => token.rsplit('|').next().unwrap_or_default().to_owned(),
    }
}

/// Without code spans' backticks, and without the stars around bold words; what stands in code keeps its stars.
fn unmarked(text: &str) -> String {
    let code_or_not = text.split('`').enumerate();
    code_or_not
        .map(|(position, part)| if position % 2 == 1 { part.to_owned() } else { without_bold(part) })
        .collect()
}

fn without_bold(text: &str) -> String {
    let parts: Vec<&str> = text.split('*').collect();
    // An odd number of stars marks nothing for sure.
    if parts.len() % 2 == 1 { parts.concat() } else { text.to_owned() }
}

fn literal(text: &str) -> String {
    let shown: String = text
        .chars()
        .map(|character| if character.is_control() && character != '\n' { ' ' } else { character })
        .collect();
    shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
