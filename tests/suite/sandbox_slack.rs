//! Slack's Web API as the sandbox plays it: its limits and its words for what is wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use runbookd::sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::sandbox_wire::{Answer, send};

async fn call(sandbox: &Sandbox, method: &str, body: &Value) -> Answer {
    let headers =
        [("Authorization", "Bearer xoxb-sandbox-token"), ("Content-Type", "application/json; charset=utf-8")];
    send(&sandbox.slack_url(), "POST", &format!("/api/{method}"), &headers, &body.to_string()).await.unwrap()
}

async fn error(sandbox: &Sandbox, method: &str, body: &Value) -> String {
    let answer = call(sandbox, method, body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["ok"], false);
    answer.json()["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn messages_are_posted_threaded_and_edited() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let head = call(&sandbox, "chat.postMessage", &json!({"channel": "#oncall", "text": "one"})).await.json();
    assert_eq!(head["ok"], true);
    let (channel, ts) = (&head["channel"], &head["ts"]);
    call(&sandbox, "chat.postMessage", &json!({"channel": channel, "text": "two", "thread_ts": ts})).await;
    let edited =
        call(&sandbox, "chat.update", &json!({"channel": channel, "ts": ts, "text": "three"})).await.json();
    assert_eq!((&edited["ok"], &edited["ts"]), (&json!(true), ts));
    let threads = sandbox.world().slack_threads();
    assert_eq!(threads.len(), 1);
    assert_eq!(
        (threads[0].channel.as_str(), threads[0].head.text.as_str(), threads[0].head.edits),
        ("#oncall", "three", 1)
    );
    assert_eq!(threads[0].replies[0].text, "two");
}

#[tokio::test]
async fn refusals_are_200_with_ok_false() {
    let sandbox = Sandbox::start(Options { slack_channels: vec!["#oncall".into()], ..Options::default() })
        .await
        .unwrap();
    let head = call(&sandbox, "chat.postMessage", &json!({"channel": "#oncall", "text": "one"})).await.json();
    let section =
        |length: usize| json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(length)}});
    let with = |blocks: Value| json!({"channel": "#oncall", "text": "t", "blocks": blocks});
    let header = json!([{"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}}]);
    let cases = [
        ("chat.postMessage", json!({"channel": "#nowhere", "text": "t"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": "#oncall"}), "no_text"),
        (
            "chat.postMessage",
            json!({"channel": "#oncall", "text": "t", "thread_ts": "1.0"}),
            "thread_not_found",
        ),
        ("chat.postMessage", json!({"channel": "#oncall", "text": "x".repeat(40_001)}), "msg_too_long"),
        ("chat.postMessage", with(json!(vec![section(1); 51])), "invalid_blocks"),
        ("chat.postMessage", with(json!([section(3001)])), "invalid_blocks"),
        ("chat.postMessage", with(json!([section(0)])), "invalid_blocks"),
        ("chat.postMessage", with(header), "invalid_blocks"),
        ("chat.postMessage", with(json!(vec![section(2900); 5])), "msg_blocks_too_long"),
        ("chat.update", json!({"channel": "#oncall", "ts": head["ts"], "text": "t"}), "channel_not_found"),
        ("chat.update", json!({"channel": head["channel"], "ts": "1.0", "text": "t"}), "message_not_found"),
        ("chat.dance", json!({}), "unknown_method"),
    ];
    for (method, body, expected) in cases {
        assert_eq!(error(&sandbox, method, &body).await, expected, "{method}");
    }
    let headers = [("Authorization", "Bearer wrong"), ("Content-Type", "application/json")];
    let refused = send(&sandbox.slack_url(), "POST", "/api/chat.postMessage", &headers, "{}").await.unwrap();
    assert_eq!(refused.json()["error"], "invalid_auth");
    assert_eq!(sandbox.world().slack_threads().len(), 1);
}

#[tokio::test]
async fn more_than_a_message_a_second_is_refused_when_asked_for() {
    let sandbox = Sandbox::start(Options { slack_rate_limit: true, ..Options::default() }).await.unwrap();
    let message = json!({"channel": "#oncall", "text": "one"});
    assert_eq!(call(&sandbox, "chat.postMessage", &message).await.status, 200);
    let limited = call(&sandbox, "chat.postMessage", &message).await;
    assert_eq!((limited.status, limited.header("Retry-After")), (429, Some("1")));
    let elsewhere = json!({"channel": "#other", "text": "one"});
    assert_eq!(call(&sandbox, "chat.postMessage", &elsewhere).await.status, 200);
}
