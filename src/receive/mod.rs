//! The webhook: what Alertmanager posts is matched and written to the journal, and only then answered with 2xx. The way into the
//! journal ([`matched`], [`take_in`], [`count`]) is also that of alerts which the webhook never heard of.
//!
//! Alertmanager tries a 5xx again at once and anything else not before the next group interval, so everything
//! that can pass (overload, journal down, shutting down) is a 503. It does not know the pipeline: it writes to the
//! journal, and the pipeline reads from it.

mod answer;
mod drills;
mod matching;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::post;
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use self::answer::Answer;
pub use self::matching::matched;
use crate::alert::Notification;
use crate::clients::Secret;
use crate::metrics::Metrics;
use crate::runbook::Runbook;
use crate::store::{Intake, Receipt, Store, StoreError, Unanswered};

/// The path that `alertmanager.yml` names.
pub const PATH: &str = "/api/v1/alerts/webhook";
/// How many notifications are read at once; the next one is told to come again.
const AT_ONCE: usize = 64;
/// The journal has this long. Alertmanager itself gives up after its flush deadline, and tries again.
const COMMIT_WITHIN: Duration = Duration::from_secs(8);

/// A body that has not come by then is given up.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// As much memory is made ready for a body that says so of itself, and no more before it is there.
const BELIEVED: usize = 64 << 10;
/// Of a body that is refused anyway, this much is read before the answer: 200,000 alerts.
const READ_OF_A_REFUSED_BODY: usize = 160 << 20;

/// What the webhook needs.
pub struct Receiver {
    /// Where alerts go.
    pub store: Arc<dyn Store>,
    /// Which runbooks answer, in their order.
    pub runbooks: Vec<Arc<Runbook>>,
    /// What Alertmanager must show. None only on loopback.
    pub token: Option<Secret>,
    /// The largest body, in bytes.
    pub body_limit: usize,
    /// What is counted.
    pub metrics: Metrics,
    /// True from the moment at which nothing new is taken in.
    pub shutdown: watch::Receiver<bool>,
}

struct Desk {
    receiver: Receiver,
    places: Semaphore,
}

/// The webhook's route.
pub fn router(receiver: Receiver) -> Router {
    let desk = Arc::new(Desk { receiver, places: Semaphore::new(AT_ONCE) });
    Router::new().route(PATH, post(webhook)).with_state(desk)
}

async fn webhook(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    let timer = desk.receiver.metrics.webhook_seconds.start_timer();
    let answer = take(&desk, &headers, body).await.unwrap_or_else(|answer| answer);
    timer.observe_duration();
    desk.receiver.metrics.notifications.with_label_values(&[answer.word()]).inc();
    answer.into()
}

async fn take(desk: &Desk, headers: &HeaderMap, body: Body) -> Result<Answer, Answer> {
    let receiver = &desk.receiver;
    if *receiver.shutdown.borrow() {
        return Err(Answer::Unavailable("runbookd is shutting down".to_owned()));
    }
    if let Some(token) = &receiver.token {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        if !shown.is_some_and(|shown| token.matches(shown)) {
            warn!("A notification without the right Bearer token was turned away");
            // Nothing of it is kept.
            let _ = tokio::time::timeout(BODY_WITHIN, read(body, 0)).await;
            return Err(Answer::Unauthorized);
        }
    }
    let Ok(_place) = desk.places.try_acquire() else {
        return Err(Answer::Unavailable("too many notifications at once".to_owned()));
    };
    let limit = receiver.body_limit;
    let body = tokio::time::timeout(BODY_WITHIN, read(body, limit))
        .await
        .map_err(|_| Answer::Unavailable("the body did not come in time".to_owned()))?
        .map_err(|error| Answer::BadRequest(format!("the body could not be read: {error}")))?
        .ok_or_else(|| too_large(limit))?;
    let notification = Notification::parse(&body).map_err(|error| {
        warn!("A notification can not be read: {error}");
        Answer::BadRequest(error.to_string())
    })?;
    drop(body);
    let refused = notification.refused.len();
    let intake = self::intake(receiver, notification);
    let unanswered = intake.unanswered.len() - refused;
    crate::crash::here("intake-before-commit");
    match take_in(receiver.store.as_ref(), intake).await {
        Ok(receipt) => {
            crate::crash::here("intake-after-commit");
            let unanswered = unanswered + receipt.late;
            count(&receiver.metrics, &receipt, unanswered, refused);
            Ok(Answer::Accepted { receipt, unanswered, refused })
        }
        Err(NotTaken::Journal(StoreError::Overloaded)) => {
            Err(Answer::Unavailable(StoreError::Overloaded.to_string()))
        }
        Err(error) => {
            error!(%error, "A notification could not be journaled; Alertmanager is told to come again");
            Err(Answer::Unavailable(error.to_string()))
        }
    }
}

/// Why an intake is not known to be in the journal.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] StoreError),
    /// The journal did not answer; it may still come to it.
    #[error("the journal took too long")]
    TooLate,
}

/// Writes an intake to the journal. When this returns `Ok`, it is on disk.
///
/// # Errors
/// [`NotTaken`]; the same intake again is harmless.
pub async fn take_in(store: &dyn Store, intake: Intake) -> Result<Receipt, NotTaken> {
    taken(store, intake, true).await
}

/// The same with what was found by asking Alertmanager, and what nobody sent: nothing is said, again and again, of what is left alone.
///
/// # Errors
/// [`NotTaken`]; the same intake again is harmless.
pub async fn take_in_found(store: &dyn Store, intake: Intake) -> Result<Receipt, NotTaken> {
    taken(store, intake, false).await
}

async fn taken(store: &dyn Store, mut intake: Intake, told: bool) -> Result<Receipt, NotTaken> {
    let taking = async {
        let late = drills::mark(store, &mut intake, told).await?;
        store.take_in(intake).await.map(|receipt| Receipt { late, ..receipt })
    };
    let receipt = tokio::time::timeout(COMMIT_WITHIN, taking).await.map_err(|_| NotTaken::TooLate)??;
    for id in &receipt.opened {
        info!(incident.id = %id, "Opened");
    }
    Ok(receipt)
}

/// The notification as it goes into the journal: matched, and the alerts that could not be read beside it.
fn intake(receiver: &Receiver, notification: Notification) -> Intake {
    if notification.truncated > 0 {
        warn!(
            group = notification.group_key,
            "Alertmanager cut {} alerts off the notification: targets may be missing (`max_alerts`)",
            notification.truncated
        );
    }
    let mut intake = matched(&receiver.runbooks, notification.alerts);
    intake.truncated = notification.truncated;
    intake.unanswered.extend(notification.refused.into_iter().map(|refused| {
        warn!("alerts[{}] is refused: {}", refused.position, refused.reason);
        Unanswered {
            at: jiff::Timestamp::UNIX_EPOCH,
            alert: refused.text,
            refused: true,
            reason: refused.reason,
        }
    }));
    intake
}

/// Reads a body to its end; none when it is over the limit.
///
/// What is over the limit is read, too, and thrown away. A sender that is answered while it still sends sees a
/// connection that breaks, not the answer, and Alertmanager sends again at once after that, for ever.
async fn read(mut body: Body, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut kept = Vec::with_capacity(told.min(limit).min(BELIEVED));
    let mut length = 0_usize;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= limit {
            kept.extend_from_slice(&data);
        } else if length > READ_OF_A_REFUSED_BODY {
            break;
        } else {
            kept = Vec::new();
        }
    }
    Ok((length <= limit).then_some(kept))
}

fn too_large(limit: usize) -> Answer {
    warn!("A notification over {limit} bytes was turned away; set `max_alerts: 1000` in alertmanager.yml");
    Answer::TooLarge(limit)
}

/// Counts what became of alerts.
pub fn count(metrics: &Metrics, receipt: &Receipt, unanswered: usize, refused: usize) {
    for (word, number) in [
        ("opened", receipt.opened.len()),
        ("joined", receipt.joined),
        ("resolved", receipt.resolved),
        ("repeated", receipt.repeated),
        ("unanswered", unanswered),
        ("refused", refused),
    ] {
        metrics.alerts.with_label_values(&[word]).inc_by(number as u64);
    }
}
