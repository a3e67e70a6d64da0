//! A Slack on loopback that remembers what it was told, and a journal that only a sink reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use jiff::Timestamp;
use runbookd::incident::changes::Entry;
use runbookd::incident::drill::{Announced, Drill};
use runbookd::incident::event::Opened;
use runbookd::incident::ledger::{Ledger, Pause};
use runbookd::incident::proof::Proof;
use runbookd::incident::{Event, IncidentId, Recorded};
use runbookd::runbook::Hash;
use runbookd::store::{
    Announcement, AskGuards, Begun, Behind, Claim, Committed, Intake, KeptProof, Receipt, Registered, Store,
    StoreError, Summary, Unanswered,
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A message that Slack took.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) channel: String,
    pub(super) thread: Option<String>,
    pub(super) ts: String,
    pub(super) text: String,
}

/// How Slack answers, once.
pub(super) enum Answer {
    Status(u16),
    SlowDown(u64),
    Word(&'static str),
}

type Refusal = Box<dyn Fn(&Call) -> Option<&'static str> + Send>;

#[derive(Default)]
struct Seen {
    said: Vec<Call>,
    next: VecDeque<Answer>,
    refuse: Option<Refusal>,
}

#[derive(Clone)]
pub(super) struct FakeSlack {
    pub(super) url: String,
    seen: Arc<Mutex<Seen>>,
    asked: Arc<watch::Sender<usize>>,
}

impl FakeSlack {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let slack = Self { url, seen: Arc::default(), asked: Arc::new(watch::channel(0).0) };
        let router =
            Router::new().route("/{method}", axum::routing::post(Self::call)).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        slack
    }

    pub(super) fn said(&self) -> Vec<Call> {
        self.seen.lock().unwrap().said.clone()
    }

    pub(super) fn next(&self, answer: Answer) {
        self.seen.lock().unwrap().next.push_back(answer);
    }

    pub(super) fn refuse(&self, refuse: impl Fn(&Call) -> Option<&'static str> + Send + 'static) {
        self.seen.lock().unwrap().refuse = Some(Box::new(refuse));
    }

    pub(super) async fn until_asked(&self, count: usize) {
        let mut asked = self.asked.subscribe();
        within(asked.wait_for(|asked| *asked >= count)).await.unwrap();
    }

    async fn call(
        State(slack): State<Self>,
        Path(method): Path<String>,
        Json(body): Json<Value>,
    ) -> Response {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        slack.asked.send_modify(|asked| *asked += 1);
        let mut seen = slack.seen.lock().unwrap();
        let ts = text("ts").unwrap_or_else(|| format!("1795.{:06}", seen.said.len()));
        let call = Call {
            method,
            channel: text("channel").unwrap(),
            thread: text("thread_ts"),
            ts: ts.clone(),
            text: text("text").unwrap(),
        };
        let word = match seen.next.pop_front() {
            Some(Answer::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
            Some(Answer::SlowDown(seconds)) => {
                return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())])
                    .into_response();
            }
            Some(Answer::Word(word)) => Some(word),
            None => seen.refuse.as_ref().and_then(|refuse| refuse(&call)),
        };
        if let Some(word) = word {
            return Json(json!({"ok": false, "error": word})).into_response();
        }
        seen.said.push(call);
        Json(json!({"ok": true, "channel": "C1", "ts": ts})).into_response()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), future).await.expect("it happens in time")
}

#[derive(Default)]
struct Pages {
    events: BTreeMap<IncidentId, Vec<Recorded>>,
    told: BTreeMap<IncidentId, (u64, String)>,
    deliveries: usize,
    die_at: usize,
}

/// A journal that is written by the test and read by the sink.
#[derive(Clone)]
pub(super) struct Journal {
    pages: Arc<Mutex<Pages>>,
    changes: Arc<watch::Sender<u64>>,
    dead: Arc<watch::Sender<bool>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
            changes: Arc::new(watch::channel(0).0),
            dead: Arc::new(watch::channel(false).0),
        }
    }
}

impl Journal {
    pub(super) fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    pub(super) fn write(&self, id: &IncidentId, events: &[Recorded]) {
        self.pages.lock().unwrap().events.insert(id.clone(), events.to_vec());
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The process dies after that many messages were sent, before the last one is written down; 0: it lives.
    pub(super) fn die_at_delivered(&self, count: usize) {
        let mut pages = self.pages.lock().unwrap();
        (pages.die_at, pages.deliveries) = (count, 0);
        self.dead.send_replace(false);
    }

    pub(super) async fn until_dead(&self) {
        within(self.dead.subscribe().wait_for(|dead| *dead)).await.unwrap();
    }

    pub(super) async fn until_told(&self) {
        self.until(|behind| behind == 0).await;
    }

    pub(super) async fn until(&self, wanted: impl Fn(usize) -> bool) {
        let mut changes = self.changes.subscribe();
        within(changes.wait_for(|_| wanted(self.behind_now().len()))).await.unwrap();
    }

    fn behind_now(&self) -> Vec<Behind> {
        let pages = self.pages.lock().unwrap();
        let of = |(id, events): (&IncidentId, &Vec<Recorded>)| {
            let (delivered, note) = pages.told.get(id).cloned().unwrap_or_default();
            let last = events.last().map_or(0, |recorded| recorded.seq);
            (delivered < last).then(|| Behind { incident: id.clone(), delivered, note })
        };
        pages.events.iter().filter_map(of).collect()
    }
}

fn not_here<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("a sink asks for nothing like this".to_owned()))
}

#[async_trait]
impl Store for Journal {
    async fn behind(&self, _: &str, _: u32) -> Result<Vec<Behind>, StoreError> {
        Ok(self.behind_now())
    }

    async fn delivered(&self, _: &str, id: &IncidentId, seq: u64, note: &str) -> Result<(), StoreError> {
        let dies = {
            let mut pages = self.pages.lock().unwrap();
            pages.deliveries += 1;
            let dies = pages.deliveries == pages.die_at;
            if !dies {
                pages.told.insert(id.clone(), (seq, note.to_owned()));
            }
            dies
        };
        if dies {
            self.dead.send_replace(true);
            std::future::pending::<()>().await;
        }
        self.changes.send_modify(|changes| *changes += 1);
        Ok(())
    }

    async fn events(&self, id: &IncidentId, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let events = self.pages.lock().unwrap().events.get(id).cloned().unwrap_or_default();
        Ok(events.into_iter().filter(|recorded| recorded.seq > after).collect())
    }

    async fn slot(&self, _: &str, _: Duration) -> Result<Timestamp, StoreError> {
        Ok(runbookd::clock::now())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn take_in(&self, _: Intake) -> Result<Receipt, StoreError> {
        not_here()
    }
    async fn claim(&self, _: &str, _: Duration) -> Result<Vec<Claim>, StoreError> {
        not_here()
    }
    async fn renew(&self, _: &str, _: Duration) -> Result<(), StoreError> {
        not_here()
    }
    async fn release(&self, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn append(
        &self,
        _: &Claim,
        _: u64,
        _: Event,
        _: Option<Timestamp>,
    ) -> Result<Recorded, StoreError> {
        not_here()
    }
    async fn commit_effect(&self, _: &Claim, _: u64, _: AskGuards) -> Result<Committed, StoreError> {
        not_here()
    }
    async fn say(&self, _: &IncidentId, _: u64, _: Event) -> Result<Recorded, StoreError> {
        not_here()
    }
    async fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        not_here()
    }

    async fn open_run(&self, _: &str, _: Opened) -> Result<Begun, StoreError> {
        not_here()
    }

    async fn open_restore(&self, _: Opened) -> Result<Option<IncidentId>, StoreError> {
        not_here()
    }

    async fn keep_proof(&self, _: Proof) -> Result<KeptProof, StoreError> {
        not_here()
    }
    async fn proofs(&self) -> Result<Vec<Proof>, StoreError> {
        not_here()
    }
    async fn register_drill(&self, _: Drill) -> Result<Registered, StoreError> {
        not_here()
    }
    async fn end_drill(&self, _: &str) -> Result<Option<Drill>, StoreError> {
        not_here()
    }
    async fn drill(&self, _: &str) -> Result<Option<Drill>, StoreError> {
        not_here()
    }
    async fn drills(&self, _: u32) -> Result<Vec<Drill>, StoreError> {
        not_here()
    }
    async fn announce_fault(&self, _: Opened, _: Announced) -> Result<Announcement, StoreError> {
        not_here()
    }
    async fn ledger(&self) -> Result<Ledger, StoreError> {
        not_here()
    }
    async fn pause(&self, _: &str, _: &str) -> Result<Pause, StoreError> {
        not_here()
    }
    async fn resume(&self, _: &str) -> Result<Option<Pause>, StoreError> {
        not_here()
    }
    async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        not_here()
    }
    async fn keep_runbook(&self, _: &str, _: &Hash, _: &str) -> Result<(), StoreError> {
        not_here()
    }
    async fn runbook(&self, _: &Hash) -> Result<Option<String>, StoreError> {
        not_here()
    }
    async fn incidents(&self, _: bool, _: u32) -> Result<Vec<Summary>, StoreError> {
        not_here()
    }
    async fn incident(&self, _: &IncidentId) -> Result<Summary, StoreError> {
        not_here()
    }
    async fn unanswered(&self, _: u32) -> Result<Vec<Unanswered>, StoreError> {
        not_here()
    }
    async fn writable(&self) -> Result<(), StoreError> {
        not_here()
    }
}
