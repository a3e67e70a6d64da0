//! Slack: posts a message and changes one. What is said, how often, and whether it is said again is for the notifier; a post whose answer
//! got lost may have been posted, and Slack has no key to tell.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallError, ConnectError, DEFAULT_TIMEOUT, Reason, Secret, http_client};

/// Slack's own address.
pub const DEFAULT_URL: &str = "https://slack.com/api";

/// Where Slack is, and the bot's token.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address that the methods follow; [`DEFAULT_URL`] except in tests.
    pub url: String,
    /// A bot token (`xoxb-...`) with the scope `chat:write`.
    pub token: Secret,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Slack itself, with this bot token.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self { url: DEFAULT_URL.to_owned(), token, timeout: DEFAULT_TIMEOUT }
    }
}

/// What is posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What a notification shows, and a client that cannot show blocks.
    pub text: String,
    /// Block Kit blocks: an array, or null for the text alone.
    pub blocks: Value,
    /// A reply that is shown in the channel, too: edits and replies notify nobody who does not follow the thread.
    pub broadcast: bool,
}

/// A posted message: the two things that change it or answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The channel's id, also when a name was given.
    pub channel: String,
    /// The message's time, which is its id in the channel.
    pub ts: String,
}

/// A Slack workspace.
#[derive(Debug, Clone)]
pub struct Slack(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    settings: Settings,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
    response_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    messages: Vec<String>,
}

impl Slack {
    /// Reads the settings. Slack is not asked.
    ///
    /// # Errors
    /// When the address or the token cannot be used in a request.
    pub fn new(settings: Settings) -> Result<Self, ConnectError> {
        let is_url = reqwest::Url::parse(&settings.url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_url {
            return Err(ConnectError::new(format!("the address of Slack must look like {DEFAULT_URL}")));
        }
        let token = settings.token.reveal();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConnectError::new("the Slack token is empty or holds a space or a newline"));
        }
        let http = http_client(settings.timeout)?;
        Ok(Self(Arc::new(Inner { http, settings })))
    }

    /// Posts `message`, as a reply when `thread_ts` is given.
    ///
    /// # Errors
    /// `Timeout` and `ServerError` leave open whether it was posted.
    pub async fn post(
        &self,
        channel: &str,
        message: &Message,
        thread_ts: Option<&str>,
    ) -> Result<Posted, CallError> {
        let call = format!("post to Slack channel {channel}");
        let mut body = body(channel, message);
        // A link in an alert's label must not make Slack fetch it.
        body["unfurl_links"] = json!(false);
        body["unfurl_media"] = json!(false);
        if let Some(thread_ts) = thread_ts {
            body["thread_ts"] = json!(thread_ts);
            body["reply_broadcast"] = json!(message.broadcast);
        }
        let answer = self.call(&call, "chat.postMessage", &body).await?;
        match (answer.channel, answer.ts) {
            (Some(channel), Some(ts)) => Ok(Posted { channel, ts }),
            _ => Err(CallError::new(&call, Reason::ServerError, "the answer names no channel or no ts")),
        }
    }

    /// Replaces the message `ts` in `channel`, which has to be the channel's id.
    ///
    /// # Errors
    /// `NotFound` when the message is gone.
    pub async fn update(&self, channel: &str, ts: &str, message: &Message) -> Result<(), CallError> {
        let call = format!("change message {ts} in Slack channel {channel}");
        let mut body = body(channel, message);
        body["ts"] = json!(ts);
        self.call(&call, "chat.update", &body).await.map(drop)
    }

    async fn call(&self, call: &str, method: &str, body: &Value) -> Result<Answer, CallError> {
        let Inner { http, settings } = &*self.0;
        let url = format!("{}/{method}", settings.url.trim_end_matches('/'));
        let request = http.post(url).bearer_auth(settings.token.reveal()).json(body);
        let answer = request.send().await.map_err(|error| CallError::of_reqwest(call, error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.map_err(|error| CallError::of_reqwest(call, error))?;
        if !status.is_success() {
            return Err(CallError::of_answer(call, status, &headers, &String::from_utf8_lossy(&bytes)));
        }
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|error| CallError::unreadable(call, &error))?;
        if answer.ok {
            return Ok(answer);
        }
        let word = answer.error.as_deref().unwrap_or("no error named");
        let details =
            answer.response_metadata.map(|metadata| metadata.messages.join("; ")).unwrap_or_default();
        Err(CallError::new(call, reason_of(word), &format!("{word} {details}")))
    }
}

/// What Slack's `error` of a 200 means. Source: the errors of <https://docs.slack.dev/reference/methods/chat.postMessage>.
fn reason_of(word: &str) -> Reason {
    match word {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => Reason::RateLimited,
        "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "account_inactive"
        | "missing_scope"
        | "no_permission"
        | "access_denied"
        | "restricted_action"
        | "not_in_channel"
        | "ekm_access_denied"
        | "cant_update_message" => Reason::Denied,
        "channel_not_found" | "message_not_found" | "thread_not_found" | "is_archived" => Reason::NotFound,
        "request_timeout" => Reason::Timeout,
        "internal_error" | "fatal_error" | "service_unavailable" | "team_added_to_org" => Reason::ServerError,
        _ => Reason::ClientError,
    }
}

fn body(channel: &str, message: &Message) -> Value {
    let mut body = json!({"channel": channel, "text": message.text});
    if !message.blocks.is_null() {
        body["blocks"] = message.blocks.clone();
    }
    body
}

/// `text` as Slack shows it literally: a label must never make `<!channel>` or a link.
/// Source: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `text` in at most `chars` characters, with `…` at the end where something was cut off. No character and no `&amp;` of [`escape`] is split.
#[must_use]
pub fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    if let Some(open) = kept.rfind('&')
        && !kept[open..].contains(';')
        && ["&amp;", "&lt;", "&gt;"].iter().any(|entity| entity.starts_with(&kept[open..]))
    {
        kept.truncate(open);
    }
    if chars > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Reply, Wire};
    use super::*;

    async fn with(replies: Vec<Reply>) -> (Slack, Wire) {
        let wire = Wire::start(replies).await;
        let settings = Settings { url: wire.url.clone(), ..Settings::new(Secret::new("xoxb-1")) };
        (Slack::new(settings).unwrap(), wire)
    }

    fn message() -> Message {
        Message { text: "hello".to_owned(), blocks: json!([{"type": "divider"}]), broadcast: false }
    }

    #[tokio::test]
    async fn a_post_answers_in_its_thread_and_unfurls_nothing() {
        let answer = r#"{"ok":true,"channel":"C123","ts":"1503435956.000247","message":{"text":"hello"}}"#;
        let (slack, wire) = with(vec![Reply::json(answer), Reply::json(answer)]).await;
        let posted = slack.post("#ops", &message(), Some("1.2")).await.unwrap();
        assert_eq!(posted, Posted { channel: "C123".to_owned(), ts: "1503435956.000247".to_owned() });
        slack
            .update("C123", "1503435956.000247", &Message { blocks: Value::Null, ..message() })
            .await
            .unwrap();
        let seen = wire.seen();
        assert_eq!([seen[0].uri.as_str(), &seen[1].uri], ["/chat.postMessage", "/chat.update"]);
        assert_eq!(seen[0].headers["authorization"], "Bearer xoxb-1");
        let body = |index: usize| serde_json::from_str::<Value>(&seen[index].body).unwrap();
        assert_eq!(
            body(0),
            json!({
                "channel": "#ops", "text": "hello", "blocks": [{"type": "divider"}], "thread_ts": "1.2",
                "reply_broadcast": false,
                "unfurl_links": false, "unfurl_media": false,
            })
        );
        assert_eq!(body(1), json!({"channel": "C123", "text": "hello", "ts": "1503435956.000247"}));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_ok_is_an_error_although_it_is_a_200() {
        for (word, reason) in [
            ("ratelimited", Reason::RateLimited),
            ("invalid_auth", Reason::Denied),
            ("token_revoked", Reason::Denied),
            ("missing_scope", Reason::Denied),
            ("channel_not_found", Reason::NotFound),
            ("message_not_found", Reason::NotFound),
            ("fatal_error", Reason::ServerError),
            ("service_unavailable", Reason::ServerError),
            ("invalid_blocks", Reason::ClientError),
            ("a_word_of_the_future", Reason::ClientError),
        ] {
            let answer =
                json!({"ok": false, "error": word, "response_metadata": {"messages": ["[ERROR] too long"]}});
            let (slack, _wire) = with(vec![Reply::json(&answer.to_string())]).await;
            let error = slack.post("C1", &message(), None).await.unwrap_err();
            assert_eq!(error.reason, reason, "{word}");
            assert_eq!(
                error.to_string(),
                format!("post to Slack channel C1: {} ({word} [ERROR] too long)", reason.as_str())
            );
        }
    }

    #[tokio::test]
    async fn slack_says_how_long_to_wait() {
        let busy = Reply::Answer(
            429,
            vec![("Retry-After".to_owned(), "30".to_owned())],
            "{\"ok\":false}".to_owned(),
        );
        let (slack, wire) = with(vec![busy]).await;
        let error = slack.post("C1", &message(), None).await.unwrap_err();
        assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(Duration::from_secs(30))));
        assert_eq!(wire.seen().len(), 1, "a post is never repeated here");
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_leaves_open_whether_it_was_posted() {
        for answer in ["<html>", "{}", r#"{"ok":true}"#] {
            let (slack, _wire) = with(vec![Reply::json(answer)]).await;
            let error = slack.post("C1", &message(), None).await.unwrap_err();
            assert!(!error.reason.surely_without_effect(), "{answer}: {error}");
        }
    }

    #[test]
    fn a_token_with_a_newline_is_refused_without_showing_it() {
        for token in ["", "xoxb-1\n", "xoxb 1"] {
            let error = Slack::new(Settings::new(Secret::new(token))).unwrap_err();
            assert!(!error.to_string().contains("xoxb"), "{error}");
        }
        assert!(!format!("{:?}", Slack::new(Settings::new(Secret::new("xoxb-1"))).unwrap()).contains("xoxb"));
    }

    #[test]
    fn nothing_in_a_label_calls_the_whole_channel() {
        assert_eq!(
            escape("<!channel> & <http://x|y> &lt;"),
            "&lt;!channel&gt; &amp; &lt;http://x|y&gt; &amp;lt;"
        );
    }

    #[test]
    fn a_cut_splits_neither_characters_nor_escapes() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("a&lt;b", 4), "a…");
        assert_eq!(cut("a&lt;bcd", 6), "a&lt;…");
        assert_eq!(cut("a & b & c & d", 5), "a & …");
        assert_eq!((cut("ab", 1), cut("ab", 0)), ("…".to_owned(), String::new()));
    }
}
