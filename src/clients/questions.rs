//! The questions to one system: at most so many at once, and one flight for the same question. In a storm a hundred incidents ask Loki the
//! same thing; this keeps runbookd from becoming the second outage.
//!
//! For reads only: two writes that look the same are still two writes. An answer is never kept: who asks after it came asks anew.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use super::CallError;

type Flight<A> = Arc<OnceCell<Result<A, CallError>>>;

/// The questions under way to one system.
#[derive(Debug)]
pub struct Questions<A> {
    slots: Semaphore,
    under_way: Mutex<HashMap<String, Flight<A>>>,
}

impl<A: Clone> Questions<A> {
    /// At most `at_once` questions at the same time; further ones wait.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { slots: Semaphore::new(at_once.max(1)), under_way: Mutex::default() }
    }

    /// The answer to `question`, which is everything that tells it from other questions. While the same one is under way its answer is
    /// shared; `ask` is then not called. When the caller that asks goes away, one of those that wait asks in its place.
    ///
    /// # Errors
    /// Those of `ask`, for everybody who waited for it.
    pub async fn ask<F>(&self, question: String, ask: impl FnOnce() -> F) -> Result<A, CallError>
    where
        F: Future<Output = Result<A, CallError>>,
    {
        let flight = Arc::clone(self.under_way().entry(question.clone()).or_default());
        let landing = Landing { questions: self, question, flight };
        let answer = landing.flight.get_or_init(|| async {
            // The semaphore is never closed, and an error here would only mean one question too many.
            let _slot = self.slots.acquire().await.ok();
            ask().await
        });
        answer.await.clone()
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashMap<String, Flight<A>>> {
        // Nobody panics while holding it, and if so the map is still whole.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the flight off the map when its answer is there, or when the last one who waited for it has gone.
struct Landing<'a, A: Clone> {
    questions: &'a Questions<A>,
    question: String,
    flight: Flight<A>,
}

impl<A: Clone> Drop for Landing<'_, A> {
    fn drop(&mut self) {
        let mut under_way = self.questions.under_way();
        let Some(listed) = under_way.get(&self.question) else { return };
        // Two hands hold a flight that only we wait for: the map's and ours.
        let over = self.flight.initialized() || Arc::strong_count(&self.flight) <= 2;
        if over && Arc::ptr_eq(listed, &self.flight) {
            under_way.remove(&self.question);
        }
    }
}
