//! The recovered story as a page that looks like Slack: the source of `docs/slack.png`. The test writes
//! `target/tmp/slack.html`; a headless Chromium makes the picture of it:
//!
//! ```text
//! cargo test --test suite picture
//! chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking --user-data-dir=$(mktemp -d) \
//!     --window-size=860,1180 --screenshot=docs/slack.png file://$PWD/target/tmp/slack.html
//! ```

use std::fmt::Write as _;

use jiff::Timestamp;
use regex::{Captures, Regex};
use runbookd::clients::slack::Message;
use serde_json::Value;

use super::stories;

#[test]
fn the_picture_shows_the_very_messages() {
    let story = stories::recovered();
    let times: Vec<Timestamp> = story
        .events
        .iter()
        .enumerate()
        .filter(|(position, recorded)| {
            let history = &story.events[..=*position];
            let incident = runbookd::incident::Incident::replay(&story.id, history).unwrap();
            *position == 0 || runbookd::notify::texts::reply(&incident, recorded, history).is_some()
        })
        .map(|(_, recorded)| recorded.at)
        .collect();
    let thread = story.thread();
    assert_eq!(times.len(), thread.len());
    let page = page(&thread, &times);
    for message in &thread {
        let first = message.blocks[0]["text"]["text"].as_str().unwrap();
        assert!(page.contains(&mrkdwn(first)), "{first}");
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("slack.html");
    std::fs::write(path, page).unwrap();
}

fn page(thread: &[Message], times: &[Timestamp]) -> String {
    let mut messages = String::new();
    for (position, (message, at)) in thread.iter().zip(times).enumerate() {
        let blocks: String = message.blocks.as_array().unwrap().iter().map(block).collect();
        let _ = write!(
            messages,
            r#"<div class="message"><div class="avatar">rb</div><div class="body"><span class="name">runbookd</span><span class="app">APP</span><span class="at">{}</span>{blocks}</div></div>"#,
            at.strftime("%H:%M"),
        );
        if position == 0 {
            let _ = write!(messages, r#"<div class="replies">{} replies</div>"#, thread.len() - 1);
        }
    }
    format!(
        r#"<!doctype html><meta charset="utf-8"><title>An incident in Slack</title><style>{STYLE}</style><div class="channel"><b># ops-alerts</b></div>{messages}"#
    )
}

fn block(block: &Value) -> String {
    let text = |value: &Value| mrkdwn(value["text"].as_str().unwrap_or_default());
    let list = |value: &Value, class: &str| -> String {
        let each = value.as_array().unwrap().iter();
        each.map(|one| format!(r#"<div class="{class}">{}</div>"#, text(one))).collect()
    };
    match block["type"].as_str().unwrap() {
        "header" => format!(r#"<div class="header">{}</div>"#, text(&block["text"])),
        "context" => list(&block["elements"], "context"),
        _ if block["fields"].is_array() => {
            format!(r#"<div class="fields">{}</div>"#, list(&block["fields"], "field"))
        }
        _ => format!(r#"<div class="section">{}</div>"#, text(&block["text"])),
    }
}

/// Slack's markup as HTML. The texts are escaped already, but for our own date tokens.
fn mrkdwn(text: &str) -> String {
    let date = Regex::new(r"<!date\^(\d+)\^[^>]*>").unwrap();
    let text = date.replace_all(text, |found: &Captures<'_>| {
        Timestamp::from_second(found[1].parse().unwrap()).unwrap().strftime("%H:%M:%S").to_string()
    });
    let fences = Regex::new(r"(?s)\n?```\n(.*?)\n```").unwrap();
    let text = fences.replace_all(&text, "<pre>$1</pre>");
    let quote = Regex::new("(?m)^> (.*)$").unwrap();
    let text = quote.replace_all(&text, r#"<div class="quote">$1</div>"#);
    let code = Regex::new("`([^`\n]+)`").unwrap();
    let text = code.replace_all(&text, "<code>$1</code>");
    let bold = Regex::new(r"\*([^*\n<]+)\*").unwrap();
    let mut html = String::new();
    // Stars inside of code stay as they are.
    for (position, part) in text.split("<code>").enumerate() {
        let (code, rest) = if position == 0 { ("", part) } else { part.split_once("</code>").unwrap() };
        if position > 0 {
            let _ = write!(html, "<code>{code}</code>");
        }
        html.push_str(&bold.replace_all(rest, "<b>$1</b>").replace('\n', "<br>"));
    }
    html
}

const STYLE: &str = r#"
body { margin: 0; background: #fff; color: #1d1c1d; font: 15px/1.46668 Lato, "DejaVu Sans", "Noto Color Emoji", sans-serif; }
.channel { padding: 12px 20px; border-bottom: 1px solid #ddd; font-size: 17px; }
.message { display: flex; gap: 10px; padding: 8px 20px; }
.avatar { flex: 0 0 36px; height: 36px; border-radius: 6px; background: #17324d; color: #fff; font: 700 15px/36px Lato, sans-serif; text-align: center; }
.body { flex: 1; min-width: 0; }
.name { font-weight: 900; }
.app { margin-left: 5px; padding: 0 3px; border-radius: 2px; background: #ebeaeb; color: #616061; font-size: 10px; font-weight: 700; vertical-align: 1px; }
.at { margin-left: 7px; color: #616061; font-size: 12px; }
.header { margin: 6px 0 4px; font-size: 18px; font-weight: 900; }
.section { margin: 4px 0; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; margin: 6px 0; }
.context { margin: 3px 0; color: #616061; font-size: 13px; }
.quote { padding-left: 12px; border-left: 4px solid #ddd; }
code { padding: 2px 3px 1px; border: 1px solid #e0e0e0; border-radius: 3px; background: #f6f6f6; color: #c01343; font: 12px/1.5 "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.context code { font-size: 11px; }
pre { margin: 4px 0; padding: 8px; border: 1px solid #ddd; border-radius: 4px; background: #f8f8f8; font: 12px/1.50001 "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.replies { display: flex; align-items: center; gap: 8px; margin: 10px 20px 4px; color: #616061; font-size: 13px; }
.replies::after { content: ""; flex: 1; border-top: 1px solid #ddd; }
"#;
