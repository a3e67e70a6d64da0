//! The sink against a Slack that answers over HTTP: in order, once, and whatever Slack does.

use std::time::Duration;

use runbookd::clients::Secret;
use runbookd::clients::slack::{Settings, Slack};
use runbookd::incident::Event;
use runbookd::metrics::Metrics;
use runbookd::notify::SlackSink;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fakes::{Answer, FakeSlack, Journal};
use super::stories;

struct Running {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    metrics: Metrics,
}

fn start(slack: &FakeSlack, journal: &Journal, own_channel: Option<&str>) -> Running {
    let settings =
        Settings { url: slack.url.clone(), token: Secret::new("xoxb-1"), timeout: Duration::from_secs(5) };
    let own = own_channel.map(str::to_owned);
    let sink = SlackSink::new(Slack::new(settings).unwrap(), "#ops".to_owned(), move |_| own.clone())
        .with_pace(Duration::from_millis(1));
    let metrics = Metrics::new(&[], &[]).unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(sink.run(journal.store(), metrics.clone(), stopped));
    Running { task, stop, metrics }
}

impl Running {
    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_story_is_told_in_one_thread_and_in_order() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    let story = stories::recovered();
    journal.write(&story.id, &story.events);
    let running = start(&slack, &journal, None);
    journal.until_told().await;
    let said = slack.said();
    let expected: Vec<String> = story.thread().into_iter().map(|message| message.text).collect();
    assert_eq!(said.iter().map(|call| call.text.clone()).collect::<Vec<_>>(), expected);
    assert_eq!(said[0].thread, None);
    assert!(
        said[1..]
            .iter()
            .all(|call| call.method == "chat.postMessage" && call.thread == Some(said[0].ts.clone()))
    );
    assert!(said.iter().all(|call| call.channel == if call.thread.is_some() { "C1" } else { "#ops" }));
    let text = running.metrics.text();
    assert!(
        text.contains(&format!("runbookd_slack_messages_total{{result=\"sent\"}} {}", expected.len())),
        "{text}"
    );
    running.stop().await;
}

#[tokio::test]
async fn the_head_is_edited_as_the_incident_moves() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    let story = stories::recovered();
    let running = start(&slack, &journal, None);
    for count in 1..=story.events.len() {
        journal.write(&story.id, &story.events[..count]);
        journal.until_told().await;
    }
    let said = slack.said();
    let first = said.iter().filter(|call| call.thread.is_none() && call.method == "chat.postMessage");
    assert_eq!(first.count(), 1);
    let edits: Vec<_> = said.iter().filter(|call| call.method == "chat.update").collect();
    assert!(edits.iter().all(|call| call.ts == said[0].ts));
    assert!(edits.last().unwrap().text.starts_with("✅ Recovered"));
    let replies: Vec<_> =
        said.iter().filter(|call| call.thread.is_some()).map(|call| call.text.clone()).collect();
    let expected: Vec<_> = story.thread().into_iter().skip(1).map(|message| message.text).collect();
    assert_eq!(replies, expected);
    running.stop().await;
}

#[tokio::test]
async fn a_crash_repeats_at_most_one_message() {
    let story = stories::recovered();
    let expected: Vec<String> = story.thread().into_iter().map(|message| message.text).collect();
    for crash_at in 1..=expected.len() {
        let (slack, journal) = (FakeSlack::start().await, Journal::default());
        journal.write(&story.id, &story.events);
        journal.die_at_delivered(crash_at);
        let running = start(&slack, &journal, None);
        journal.until_dead().await;
        running.task.abort();
        let _ = running.task.await;
        journal.die_at_delivered(0);
        let running = start(&slack, &journal, None);
        journal.until_told().await;
        let mut said: Vec<String> = slack.said().into_iter().map(|call| call.text).collect();
        assert_eq!(said.len(), expected.len() + 1, "{crash_at}");
        said.dedup();
        assert_eq!(said, expected, "{crash_at}");
        running.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_lost_while_slack_is_away() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    let story = stories::shadow();
    journal.write(&story.id, &story.events);
    for answer in [
        Answer::Status(500),
        Answer::Status(503),
        Answer::Word("internal_error"),
        Answer::Word("ratelimited"),
        Answer::Word("invalid_auth"),
    ] {
        slack.next(answer);
    }
    let running = start(&slack, &journal, None);
    journal.until_told().await;
    let said: Vec<String> = slack.said().into_iter().map(|call| call.text).collect();
    let expected: Vec<String> = story.thread().into_iter().map(|message| message.text).collect();
    assert_eq!(said, expected);
    assert!(running.metrics.text().contains("runbookd_slack_messages_total{result=\"failed\"} 5"));
    running.stop().await;
}

#[tokio::test]
async fn slack_is_asked_no_earlier_than_it_wants() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    slack.next(Answer::SlowDown(1));
    let story = stories::self_healed();
    let begun = tokio::time::Instant::now();
    journal.write(&story.id, &story.events);
    let running = start(&slack, &journal, None);
    journal.until_told().await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    running.stop().await;
}

#[tokio::test]
async fn a_channel_that_can_not_be_used_is_replaced_by_the_configured_one() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    slack.refuse(|call| (call.channel == "#typo").then_some("channel_not_found"));
    let story = stories::shadow();
    journal.write(&story.id, &story.events);
    let running = start(&slack, &journal, Some("#typo"));
    journal.until_told().await;
    assert_eq!(slack.said().len(), story.thread().len());
    assert_eq!(slack.said()[0].channel, "#ops");
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_slack_never_takes_is_given_up_and_holds_nothing_up() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    slack.refuse(|call| call.text.starts_with("🔧").then_some("invalid_blocks"));
    let bad = stories::recovered();
    let other = "1kfm3x9q02vgf".parse().unwrap();
    journal.write(&bad.id, &bad.events);
    journal.write(&other, &stories::shadow().events);
    let running = start(&slack, &journal, None);
    journal.until_told().await;
    let taken = bad.thread().len() - 1 + stories::shadow().thread().len();
    assert_eq!(slack.said().len(), taken);
    assert!(running.metrics.text().contains("runbookd_slack_messages_total{result=\"failed\"} 3"));
    running.stop().await;
}

#[tokio::test]
async fn a_head_that_somebody_deleted_is_posted_anew() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    let story = stories::recovered();
    let running = start(&slack, &journal, None);
    journal.write(&story.id, &story.events[..2]);
    journal.until_told().await;
    slack.next(Answer::Word("message_not_found"));
    journal.write(&story.id, &story.events);
    journal.until_told().await;
    let said = slack.said();
    let heads: Vec<_> = said.iter().filter(|call| call.thread.is_none()).collect();
    assert_eq!(heads.len(), 2);
    assert!(heads[1].text.starts_with("✅ Recovered"), "{}", heads[1].text);
    assert_eq!(said.last().unwrap().thread, Some(heads[1].ts.clone()));
    running.stop().await;
}

#[tokio::test]
async fn an_incident_that_can_not_be_read_is_left_out() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    let mut broken = stories::shadow().events;
    broken.remove(1);
    let unreadable = "1kfm3x9q02vgd".parse().unwrap();
    journal.write(&unreadable, &broken);
    let story = stories::shadow();
    journal.write(&story.id, &story.events);
    let running = start(&slack, &journal, None);
    journal.until(|behind| behind == 1).await;
    assert_eq!(slack.said().len(), story.thread().len());
    running.stop().await;
}

#[tokio::test]
async fn it_stops_while_slack_is_away() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    slack.refuse(|_| Some("internal_error"));
    let story = stories::shadow();
    journal.write(&story.id, &story.events);
    let running = start(&slack, &journal, None);
    slack.until_asked(2).await;
    running.stop().await;
    assert!(slack.said().is_empty());
}

#[tokio::test]
async fn in_a_storm_every_head_stands_before_the_first_thread_is_complete() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    for number in 0..5 {
        let id = runbookd::incident::IncidentId::new(1_795_000_000_000 + number, 0);
        // A story that names its incident in no operation can be told of any.
        let events = stories::shadow().events;
        assert!(matches!(events[0].event, Event::Opened(_)));
        journal.write(&id, &events);
    }
    let running = start(&slack, &journal, None);
    journal.until_told().await;
    assert!(slack.said()[..5].iter().all(|call| call.thread.is_none()));
    running.stop().await;
}

#[tokio::test]
async fn a_message_at_which_slack_itself_fails_holds_only_its_own_thread_up() {
    let (slack, journal) = (FakeSlack::start().await, Journal::default());
    slack.refuse(|call| call.text.starts_with("🔧").then_some("internal_error"));
    let bad = stories::recovered();
    let other = "1kfm3x9q02vgf".parse().unwrap();
    journal.write(&bad.id, &bad.events);
    journal.write(&other, &stories::shadow().events);
    let running = start(&slack, &journal, None);
    journal.until(|behind| behind == 1).await;
    slack.refuse(|_| None);
    journal.until_told().await;
    assert_eq!(slack.said().len(), bad.thread().len() + stories::shadow().thread().len());
    running.stop().await;
}
