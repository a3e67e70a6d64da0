//! Brings each incident's story to Slack: one thread per incident, read from the journal, at Slack's pace.
//!
//! Slack has no key that makes a repeated post harmless. Each message is therefore written down as delivered before the next one is
//! sent: a crash, or an answer that got lost, repeats at most one message, and none is ever missing.
//!
//! Slack being away slows nothing down and loses nothing: incidents stay behind in the journal until it is back. A message that Slack
//! will never take is given up after [`TRIES`] tries, so that it does not hold up what comes after it.

mod message;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use self::message::{Fate, Note, fate, fingerprint};
use super::texts;
use crate::clients::slack::{Message, Posted, Slack};
use crate::clients::{CallError, Reason};
use crate::clock;
use crate::incident::{Incident, IncidentId, Recorded};
use crate::metrics::{Metrics, SLACK_RESULTS};
use crate::retry::Backoff;
use crate::store::{Behind, Store, StoreError};

/// The name under which the journal remembers what Slack was told.
pub const SINK: &str = "slack";
/// Slack takes about one message a second and channel.
/// Source: <https://docs.slack.dev/apis/web-api/rate-limits>.
pub const PACE: Duration = Duration::from_millis(1_100);
/// After so many definite refusals of the same message it is given up.
pub const TRIES: u32 = 3;

/// The journal wakes the sink; this is for what it missed, and for incidents that another process wrote.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many incidents are looked at in one round.
const ROUND: u32 = 1_000;
/// In paces: between two tries of a message that was refused, and the longest wait while Slack is away.
const PACES_BETWEEN: u32 = 30;
const PACES_AT_MOST: u32 = 60;

/// Which channel an incident belongs to; none: the configured one.
type ChannelOf = Box<dyn Fn(&Incident) -> Option<String> + Send + Sync>;

/// Tells Slack about incidents.
pub struct SlackSink {
    slack: Slack,
    channel: String,
    channel_of: ChannelOf,
    pace: Duration,
}

impl SlackSink {
    /// Posts to `channel`, but for the incidents that `channel_of` has another one for.
    #[must_use]
    pub fn new(
        slack: Slack,
        channel: String,
        channel_of: impl Fn(&Incident) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { slack, channel, channel_of: Box::new(channel_of), pace: PACE }
    }

    /// Another time between two messages than [`PACE`]; the waits after a failure are multiples of it.
    #[must_use]
    pub const fn with_pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// Delivers until `shutdown` becomes true; a message that is on its way is finished first.
    pub async fn run(self, store: Arc<dyn Store>, metrics: Metrics, shutdown: watch::Receiver<bool>) {
        let mut changes = store.changes();
        let mut backoff = Backoff::new(self.pace, self.pace * PACES_AT_MOST);
        let mut reader = Reader {
            sink: self,
            store,
            metrics,
            shutdown,
            refused: HashMap::new(),
            left_alone: HashSet::new(),
            stumbled: None,
            trouble: None,
        };
        loop {
            changes.mark_unchanged();
            let (wait, failed) = match reader.round().await {
                Ok(true) => (Duration::ZERO, false),
                Ok(false) => (reader.until_next_try(), false),
                Err(Halt::Shutdown) => return,
                Err(halt) => {
                    let asked_for = reader.halted(&halt);
                    (backoff.next_delay().max(asked_for), true)
                }
            };
            if !failed {
                backoff.reset();
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // News of another incident is no reason to ask Slack earlier than it wants to be asked.
                _ = changes.changed(), if !failed => {}
                _ = reader.shutdown.changed() => {}
            }
            if *reader.shutdown.borrow() {
                return;
            }
        }
    }
}

/// Why a round ended early. Nothing is lost by it.
enum Halt {
    Slack(CallError),
    Store(StoreError),
    Shutdown,
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What Slack has refused of an incident. Only in memory: after a restart it is tried again.
#[derive(Default)]
struct Refused {
    tries: u32,
    not_before: Option<Instant>,
    /// The runbook's own channel can not be posted to; the configured one is used.
    elsewhere: bool,
}

struct Reader {
    sink: SlackSink,
    store: Arc<dyn Store>,
    metrics: Metrics,
    shutdown: watch::Receiver<bool>,
    refused: HashMap<IncidentId, Refused>,
    left_alone: HashSet<IncidentId>,
    /// The incident at which Slack failed last. It comes last in the next round, in case Slack fails at nothing but its message.
    stumbled: Option<IncidentId>,
    /// What is wrong at present: said once, when it begins.
    trouble: Option<&'static str>,
}

impl Reader {
    /// One visit to every incident that Slack does not know everything about, so that in a storm all heads stand before the first
    /// thread is complete. Whether anything was delivered.
    async fn round(&mut self) -> Result<bool, Halt> {
        let mut behind = self.store.behind(SINK, ROUND).await?;
        behind.sort_by_key(|behind| self.stumbled.as_ref() == Some(&behind.incident));
        self.metrics.slack_behind.set(i64::try_from(behind.len()).unwrap_or(i64::MAX));
        let known: HashSet<&IncidentId> = behind.iter().map(|behind| &behind.incident).collect();
        self.refused.retain(|incident, _| known.contains(incident));
        self.left_alone.retain(|incident| known.contains(incident));
        let mut moved = false;
        for behind in &behind {
            if *self.shutdown.borrow() {
                return Err(Halt::Shutdown);
            }
            let waits = self.refused.get(&behind.incident).and_then(|refused| refused.not_before);
            let due = waits.is_none_or(|not_before| Instant::now() >= not_before);
            if due && !self.left_alone.contains(&behind.incident) {
                moved |= match self.visit(behind).await {
                    Err(halt @ Halt::Slack(_)) => {
                        self.stumbled = Some(behind.incident.clone());
                        return Err(halt);
                    }
                    visited => visited?,
                };
            }
        }
        Ok(moved)
    }

    /// The head when it has changed, and then the next reply. Whether anything was delivered.
    async fn visit(&mut self, behind: &Behind) -> Result<bool, Halt> {
        let id = &behind.incident;
        let events = match self.store.events(id, 0).await {
            Ok(events) => events,
            Err(unreadable @ (StoreError::Unreadable { .. } | StoreError::NoSuchIncident(_))) => {
                return Ok(self.leave_alone(id, &unreadable.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let (incident, replies) = match told(id, &events, behind.delivered) {
            Ok(told) => told,
            Err(illegal) => return Ok(self.leave_alone(id, &illegal.to_string())),
        };
        let last = incident.seq;
        let mut note = Note::read(&behind.note);
        let head = texts::head(&incident, &events);
        let print = fingerprint(&head);
        let Some(posted) = note.posted() else {
            return self.post_head(behind, &incident, &head).await;
        };
        if note.head != print {
            let updated = self.send(To::Edit(&posted), &head).await?;
            if let Err(error) = updated {
                match self.refusal(id, &error, &head) {
                    Fate::Later => return Ok(false),
                    // What stands there stays as it is; the thread goes on below it.
                    Fate::GiveUp => {}
                    Fate::PostAnew => {
                        self.delivered(id, behind.delivered, &Note::default()).await?;
                        return Ok(true);
                    }
                }
            } else {
                self.refused.remove(id);
            }
            note.head = print;
            self.delivered(id, behind.delivered, &note).await?;
        }
        let mut replies = replies.into_iter();
        let Some((seq, reply)) = replies.next() else {
            self.delivered(id, last, &note).await?;
            return Ok(true);
        };
        match self.send(To::Thread(&posted), &reply).await? {
            Ok(_) => {
                self.refused.remove(id);
            }
            Err(error) => match self.refusal(id, &error, &reply) {
                Fate::Later => return Ok(false),
                Fate::GiveUp => {}
                Fate::PostAnew => {
                    self.delivered(id, behind.delivered, &Note::default()).await?;
                    return Ok(true);
                }
            },
        }
        let up_to = if replies.next().is_some() { seq } else { last };
        self.delivered(id, up_to, &note).await?;
        Ok(true)
    }

    async fn post_head(
        &mut self,
        behind: &Behind,
        incident: &Incident,
        head: &Message,
    ) -> Result<bool, Halt> {
        let id = &behind.incident;
        let elsewhere = self.refused.get(id).is_some_and(|refused| refused.elsewhere);
        let own = if elsewhere { None } else { (self.sink.channel_of)(incident) };
        let channel = own.clone().unwrap_or_else(|| self.sink.channel.clone());
        match self.send(To::Channel(&channel), head).await? {
            Ok(posted) => {
                let note = Note::new(posted, fingerprint(head));
                self.delivered(id, behind.delivered.max(1), &note).await?;
                Ok(true)
            }
            Err(error) if own.is_some() && channel != self.sink.channel => {
                let runbook = incident.opened.runbook.as_str();
                error!(incident.id = %id, runbook, %error,
                    "The runbook's Slack channel {channel} can not be used; the incident goes to {}", self.sink.channel);
                self.refused.entry(id.clone()).or_default().elsewhere = true;
                Ok(true)
            }
            Err(error) => match self.refusal(id, &error, head) {
                Fate::Later => Ok(false),
                // Without a head there is no thread; the incident's next event tries again.
                Fate::GiveUp | Fate::PostAnew => {
                    self.delivered(id, incident.seq, &Note::default()).await?;
                    Ok(true)
                }
            },
        }
    }

    /// One message, when it is Slack's turn. The inner error is about this message; the outer one about Slack or the journal.
    async fn send(&mut self, to: To<'_>, message: &Message) -> Result<Result<Posted, CallError>, Halt> {
        let slot = self.store.slot(SINK, self.sink.pace).await?;
        tokio::select! {
            () = clock::sleep_until(slot) => {}
            _ = self.shutdown.changed() => return Err(Halt::Shutdown),
        }
        let slack = &self.sink.slack;
        let sent = match to {
            To::Channel(channel) => slack.post(channel, message, None).await,
            To::Thread(head) => slack.post(&head.channel, message, Some(&head.ts)).await,
            To::Edit(head) => slack.update(&head.channel, &head.ts, message).await.map(|()| head.clone()),
        };
        let result = SLACK_RESULTS[usize::from(sent.is_err())];
        self.metrics.slack_messages.with_label_values(&[result]).inc();
        match sent {
            Err(error) if message::is_about_slack(&error) => Err(Halt::Slack(error)),
            answered => {
                if self.trouble.take().is_some() {
                    info!("Slack is told again");
                }
                Ok(answered)
            }
        }
    }

    /// Slack will not take this message. What becomes of it.
    fn refusal(&mut self, id: &IncidentId, error: &CallError, message: &Message) -> Fate {
        let refused = self.refused.entry(id.clone()).or_default();
        refused.tries += 1;
        if refused.tries >= TRIES {
            self.refused.remove(id);
            error!(incident.id = %id, %error, "Slack refused a message {TRIES} times, and it is given up: {}", message.text);
            return Fate::GiveUp;
        }
        let fate = fate(error);
        if fate == Fate::Later {
            refused.not_before = Some(Instant::now() + self.sink.pace * PACES_BETWEEN);
        }
        warn!(incident.id = %id, %error, "Slack refused a message; it is tried again");
        fate
    }

    /// Writes down what was delivered. Until that is on disk nothing else is sent: sending the same message again and again because the
    /// journal can not be written would be worse than silence.
    async fn delivered(&mut self, id: &IncidentId, seq: u64, note: &Note) -> Result<(), Halt> {
        let mut backoff = Backoff::new(self.sink.pace, self.sink.pace * PACES_AT_MOST);
        loop {
            let error = match self.store.delivered(SINK, id, seq, &note.text()).await {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Overloaded | StoreError::Unavailable(_))) => error,
                Err(error) => {
                    self.leave_alone(id, &error.to_string());
                    return Ok(());
                }
            };
            self.halted(&Halt::Store(error));
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                _ = self.shutdown.changed() => return Err(Halt::Shutdown),
            }
        }
    }

    /// An incident that can not be read is nothing to guess about. False: nothing was delivered.
    fn leave_alone(&mut self, id: &IncidentId, why: &str) -> bool {
        error!(incident.id = %id, "Slack is not told about the incident, because its journal can not be followed: {why}");
        self.left_alone.insert(id.clone());
        false
    }

    /// Says what is wrong, once; how long Slack wants to be left alone.
    fn halted(&mut self, halt: &Halt) -> Duration {
        let (trouble, asked_for) = match halt {
            Halt::Shutdown => return Duration::ZERO,
            Halt::Store(_) => ("journal", Duration::ZERO),
            Halt::Slack(error) if error.reason == Reason::Denied => ("denied", Duration::ZERO),
            // To be asked to go slower is Slack's ordinary way of working.
            Halt::Slack(error) if error.reason == Reason::RateLimited => {
                debug!(%error, "Slack asks for fewer messages");
                return error.retry_after.unwrap_or_default();
            }
            Halt::Slack(error) => ("away", error.retry_after.unwrap_or_default()),
        };
        if self.trouble.replace(trouble) != Some(trouble) {
            match halt {
                Halt::Slack(error) if error.reason == Reason::Denied => {
                    error!(%error, "Slack does not accept the token; messages wait in the journal");
                }
                Halt::Slack(error) => warn!(%error, "Slack can not be told; messages wait in the journal"),
                Halt::Store(error) => warn!(%error, "Slack can not be told what the journal does not say"),
                Halt::Shutdown => {}
            }
        }
        asked_for
    }

    fn until_next_try(&self) -> Duration {
        let tries = self.refused.values().filter_map(|refused| refused.not_before);
        let first = tries.min().map(|at| at.saturating_duration_since(Instant::now()));
        first.map_or(LOOK_EVERY, |first| first.min(LOOK_EVERY))
    }
}

/// Where a message goes.
enum To<'a> {
    Channel(&'a str),
    Thread(&'a Posted),
    Edit(&'a Posted),
}

/// The incident as it stands, and what is still to be said about it in the thread, in order.
fn told(
    id: &IncidentId,
    events: &[Recorded],
    delivered: u64,
) -> Result<(Incident, Vec<(u64, Message)>), crate::incident::IllegalMove> {
    let mut incident = Incident::replay(id, events.iter().take(1))?;
    let mut replies = Vec::new();
    for (position, recorded) in events.iter().enumerate().skip(1) {
        incident = incident.after(recorded)?;
        if recorded.seq > delivered
            && let Some(reply) = texts::reply(&incident, recorded, &events[..=position])
        {
            replies.push((recorded.seq, reply));
        }
    }
    Ok((incident, replies))
}
