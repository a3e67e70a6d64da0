//! What the sink remembers of an incident's thread, and what an error means for a message.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clients::slack::{Message, Posted};
use crate::clients::{CallError, Reason};
use crate::text::hex;

/// The sink's own note in the journal: where the thread is, and which head stands there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    channel: String,
    ts: String,
    /// The fingerprint of the head as it was sent last: an edit that changes nothing is not worth a message.
    pub(super) head: String,
}

impl Note {
    pub(super) fn new(posted: Posted, head: String) -> Self {
        Self { channel: posted.channel, ts: posted.ts, head }
    }

    /// A note that can not be read counts as none: the worst that follows is a second thread.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The head of the thread, when there is one.
    pub(super) fn posted(&self) -> Option<Posted> {
        let known = !self.channel.is_empty() && !self.ts.is_empty();
        known.then(|| Posted { channel: self.channel.clone(), ts: self.ts.clone() })
    }
}

/// Tells one head from another.
pub(super) fn fingerprint(message: &Message) -> String {
    let bytes = serde_json::json!([message.text, message.blocks]).to_string();
    hex(&Sha256::digest(bytes.as_bytes())[..8])
}

/// What becomes of a message that Slack refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is tried again after a while: a person may invite the bot to the channel.
    Later,
    /// The thread's head is gone, so the story goes on under a new one.
    PostAnew,
    /// It was tried often enough.
    GiveUp,
}

/// What a refusal means, as long as the tries last.
pub(super) fn fate(error: &CallError) -> Fate {
    match word(error) {
        "message_not_found" | "thread_not_found" | "cant_update_message" => Fate::PostAnew,
        _ => Fate::Later,
    }
}

/// Whether the error says nothing about the message: Slack is away, too busy, or does not accept our token. Such a message stays.
pub(super) fn is_about_slack(error: &CallError) -> bool {
    match error.reason {
        Reason::Timeout | Reason::RateLimited | Reason::ServerError | Reason::Unreachable => true,
        Reason::Denied => !matches!(
            word(error),
            "not_in_channel" | "restricted_action" | "cant_update_message" | "no_permission"
        ),
        // Slack itself answers 200 and a word; another status comes from a proxy in between, or a wrong address.
        Reason::NotFound | Reason::Conflict | Reason::ClientError => word(error).is_empty(),
    }
}

/// Slack's own word for an error, such as `channel_not_found`, which is what the client's message begins with; empty when the error is
/// not Slack's. All of its words about a message have an underscore.
fn word(error: &CallError) -> &str {
    let word = error.message.split(' ').next().unwrap_or_default();
    let slacks = word.contains('_') && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
    if slacks { word } else { "" }
}
