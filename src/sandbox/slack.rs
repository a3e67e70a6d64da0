//! Slack's Web API, as far as messages go: `chat.postMessage`, `chat.update` and `auth.test`. Errors are Slack's own
//! words, in an answer that is 200 with `ok: false`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Options;
use super::server::{Answer, Received};

const TEXT_LIMIT: usize = 40_000;
const BLOCKS_LIMIT: usize = 50;
const SECTION_LIMIT: usize = 3000;
const HEADER_LIMIT: usize = 150;
const FIELDS_LIMIT: usize = 10;
const FIELD_LIMIT: usize = 2000;
/// Not documented; measured.
const ALL_BLOCKS_LIMIT: usize = 13_200;
const MESSAGES_KEPT: usize = 10_000;

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its text: what a notification shows, and a screen reader reads.
    pub text: String,
    /// Its blocks, `null` when there are none.
    pub blocks: Value,
    /// How often it was edited.
    pub edits: u32,
    /// Whether it is a reply that the channel sees, too.
    pub broadcast: bool,
    /// Its timestamp, which is its name.
    pub ts: String,
}

/// A message of a channel, with its replies.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// The channel, as the sender named it first.
    pub channel: String,
    /// The timestamp of the first message.
    pub ts: String,
    /// The first message.
    pub head: Message,
    /// The replies, oldest first.
    pub replies: Vec<Message>,
}

struct Posted {
    channel: String,
    thread_ts: Option<String>,
    message: Message,
}

/// What Slack knows.
pub(super) struct Slack {
    next_ts: i64,
    /// The names of the channels, by id.
    channels: BTreeMap<String, String>,
    messages: Vec<Posted>,
    last_post: BTreeMap<String, Timestamp>,
}

/// An answer with `ok: false`.
pub(super) fn not_ok(status: u16, error: &str) -> Answer {
    json_answer(status, &json!({"ok": false, "error": error}))
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json; charset=utf-8", body.to_string())
}

impl Slack {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            next_ts: now.as_microsecond(),
            channels: BTreeMap::new(),
            messages: Vec::new(),
            last_post: BTreeMap::new(),
        }
    }

    pub(super) fn threads(&self) -> Vec<Thread> {
        let heads = self.messages.iter().filter(|posted| posted.thread_ts.is_none());
        let mut threads: Vec<Thread> = heads
            .map(|head| Thread {
                channel: self.channels.get(&head.channel).cloned().unwrap_or_else(|| head.channel.clone()),
                ts: head.message.ts.clone(),
                head: head.message.clone(),
                replies: Vec::new(),
            })
            .collect();
        for posted in &self.messages {
            let thread =
                posted.thread_ts.as_ref().and_then(|ts| threads.iter_mut().find(|thread| thread.ts == *ts));
            if let Some(thread) = thread {
                thread.replies.push(posted.message.clone());
            }
        }
        threads
    }

    pub(super) fn answer(&mut self, options: &Options, received: &Received, now: Timestamp) -> Answer {
        let Some(method) = received.path.strip_prefix("/api/") else {
            return Answer::text(404, "Not Found");
        };
        if !matches!(method, "chat.postMessage" | "chat.update" | "auth.test") {
            return not_ok(200, "unknown_method");
        }
        match received.bearer() {
            None => return not_ok(200, "not_authed"),
            Some(token) if token != options.slack_token => return not_ok(200, "invalid_auth"),
            Some(_) => {}
        }
        if method == "auth.test" {
            return json_answer(
                200,
                &json!({"ok": true, "url": "https://samosachaat.slack.com/", "team": "samosaChaat",
                "user": "runbookd", "team_id": "T0SAMOSA1", "user_id": "U0RUNBOOK", "bot_id": "B0RUNBOOK"}),
            );
        }
        if received.content_type() != "application/json" {
            // Without a JSON body Slack looks for form fields, and finds none.
            return not_ok(200, if method == "chat.update" { "channel_not_found" } else { "no_text" });
        }
        let Ok(body) = serde_json::from_slice::<Value>(&received.body) else {
            return not_ok(200, "invalid_json");
        };
        let result = match method {
            "chat.postMessage" => self.post(options, &body, now),
            _ => self.update(&body),
        };
        result.unwrap_or_else(|refused| refused)
    }

    fn post(&mut self, options: &Options, body: &Value, now: Timestamp) -> Result<Answer, Answer> {
        let channel = self.channel(options, body["channel"].as_str().unwrap_or_default())?;
        let thread_ts = body["thread_ts"].as_str();
        if let Some(ts) = thread_ts {
            let known = |posted: &Posted| posted.channel == channel && posted.message.ts == ts;
            if !self.messages.iter().any(known) {
                return Err(not_ok(200, "thread_not_found"));
            }
        }
        let message = self.checked(body)?;
        if options.slack_rate_limit {
            let next =
                self.last_post.get(&channel).map(|last| last.saturating_add(SignedDuration::from_secs(1)));
            if next.and_then(Result::ok).is_some_and(|next| next > now) {
                return Err(not_ok(429, "ratelimited").with("Retry-After", "1"));
            }
        }
        self.last_post.insert(channel.clone(), now);
        let mut shown = shown(&message);
        if let Some(ts) = thread_ts {
            shown["thread_ts"] = json!(ts);
        }
        let answer = json!({"ok": true, "channel": channel, "ts": message.ts, "message": shown});
        if self.messages.len() == MESSAGES_KEPT {
            self.messages.remove(0);
        }
        self.messages.push(Posted { channel, thread_ts: thread_ts.map(str::to_owned), message });
        Ok(json_answer(200, &answer))
    }

    fn update(&mut self, body: &Value) -> Result<Answer, Answer> {
        // Unlike chat.postMessage, chat.update takes the id only, not the name.
        let channel = body["channel"].as_str().unwrap_or_default().to_owned();
        if !self.channels.contains_key(&channel) {
            return Err(not_ok(200, "channel_not_found"));
        }
        let ts = body["ts"].as_str().unwrap_or_default();
        let changed = self.checked(body)?;
        let found =
            self.messages.iter_mut().find(|posted| posted.channel == channel && posted.message.ts == ts);
        let Some(posted) = found else { return Err(not_ok(200, "message_not_found")) };
        posted.message.text = changed.text;
        posted.message.blocks = changed.blocks;
        posted.message.edits += 1;
        let text = &posted.message.text;
        let answer = json!({"ok": true, "channel": channel, "ts": ts, "text": text, "message": shown(&posted.message)});
        Ok(json_answer(200, &answer))
    }

    /// The id of a channel that was given by id or by name.
    fn channel(&mut self, options: &Options, given: &str) -> Result<String, Answer> {
        if self.channels.contains_key(given) {
            return Ok(given.to_owned());
        }
        let name = format!("#{}", given.trim_start_matches('#'));
        let exists = options.slack_channels.is_empty() || options.slack_channels.contains(&name);
        if given.is_empty() || !exists {
            return Err(not_ok(200, "channel_not_found"));
        }
        let number = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let id = format!("C0{number:08X}");
        self.channels.insert(id.clone(), name);
        Ok(id)
    }

    /// The message of a body that keeps Slack's limits.
    fn checked(&mut self, body: &Value) -> Result<Message, Answer> {
        let text = body["text"].as_str().unwrap_or_default();
        let blocks = body.get("blocks").cloned().unwrap_or(Value::Null);
        if text.is_empty() && blocks.as_array().is_none_or(Vec::is_empty) {
            return Err(not_ok(200, "no_text"));
        }
        if text.chars().count() > TEXT_LIMIT {
            return Err(not_ok(200, "msg_too_long"));
        }
        if let Some(error) = fault_of(&blocks) {
            return Err(not_ok(200, error));
        }
        self.next_ts += 100;
        let ts = format!("{}.{:06}", self.next_ts / 1_000_000, self.next_ts % 1_000_000);
        Ok(Message {
            text: text.to_owned(),
            blocks,
            edits: 0,
            broadcast: body["reply_broadcast"].as_bool().unwrap_or_default(),
            ts,
        })
    }
}

fn shown(message: &Message) -> Value {
    let mut shown = json!({"type": "message", "user": "U0RUNBOOK", "bot_id": "B0RUNBOOK", "team": "T0SAMOSA1",
        "ts": message.ts, "text": message.text});
    if !message.blocks.is_null() {
        shown["blocks"] = message.blocks.clone();
    }
    shown
}

/// What is wrong with blocks, in Slack's word.
fn fault_of(blocks: &Value) -> Option<&'static str> {
    if blocks.is_null() {
        return None;
    }
    let Some(blocks) = blocks.as_array() else { return Some("invalid_blocks_format") };
    if blocks.len() > BLOCKS_LIMIT || blocks.iter().any(|block| !is_valid(block)) {
        return Some("invalid_blocks");
    }
    let all: usize = blocks.iter().map(characters).sum();
    (all > ALL_BLOCKS_LIMIT).then_some("msg_blocks_too_long")
}

fn is_valid(block: &Value) -> bool {
    let length = |text: &Value| text["text"].as_str().map_or(0, |text| text.chars().count());
    let within = |text: &Value, limit: usize| (1..=limit).contains(&length(text));
    let typed = |text: &Value| matches!(text["type"].as_str(), Some("mrkdwn" | "plain_text"));
    match block["type"].as_str() {
        Some("section") => {
            let fields = block["fields"].as_array().map_or(&[][..], Vec::as_slice);
            let text = block.get("text");
            (text.is_some() || !fields.is_empty())
                && text.is_none_or(|text| typed(text) && within(text, SECTION_LIMIT))
                && fields.len() <= FIELDS_LIMIT
                && fields.iter().all(|field| typed(field) && within(field, FIELD_LIMIT))
        }
        Some("header") => block["text"]["type"] == "plain_text" && within(&block["text"], HEADER_LIMIT),
        Some("context") => {
            block["elements"].as_array().is_some_and(|elements| (1..=10).contains(&elements.len()))
        }
        Some("actions") => {
            block["elements"].as_array().is_some_and(|elements| (1..=25).contains(&elements.len()))
        }
        Some("divider" | "rich_text" | "image" | "markdown") => true,
        Some(_) | None => false,
    }
}

/// The characters of all texts in a block.
fn characters(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if key == "text" => text.chars().count(),
                other => characters(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(characters).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
