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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::clients::Reason;

    fn questions(at_once: usize) -> Arc<Questions<u32>> {
        Arc::new(Questions::new(at_once))
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_same_question_is_asked_once_while_it_is_under_way_and_anew_afterwards() {
        let questions = questions(4);
        let asked = Arc::new(AtomicUsize::new(0));
        let (send, receive) = oneshot::channel::<u32>();
        let receive = Arc::new(tokio::sync::Mutex::new(Some(receive)));
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let (questions, asked, receive) =
                    (Arc::clone(&questions), Arc::clone(&asked), Arc::clone(&receive));
                tokio::spawn(async move {
                    let ask = || async move {
                        asked.fetch_add(1, Ordering::SeqCst);
                        Ok(receive.lock().await.take().unwrap().await.unwrap())
                    };
                    questions.ask("q".to_owned(), ask).await
                })
            })
            .collect();
        settle().await;
        send.send(7).unwrap();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(7));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(questions.under_way().is_empty());
        assert_eq!(questions.ask("q".to_owned(), || async { Ok(8) }).await, Ok(8));
    }

    #[tokio::test]
    async fn a_failure_is_shared_and_then_forgotten() {
        let questions = questions(1);
        let error = CallError::new("ask", Reason::Timeout, "late");
        let failed = questions.ask("q".to_owned(), || async { Err(error.clone()) }).await;
        assert_eq!(failed, Err(error.clone()));
        assert_eq!(questions.ask("q".to_owned(), || async { Ok(1) }).await, Ok(1));
        assert!(questions.under_way().is_empty());
    }

    #[tokio::test]
    async fn when_the_caller_that_asks_goes_away_another_asks_in_its_place() {
        let questions = questions(1);
        let start = |answer: Option<u32>| {
            let questions = Arc::clone(&questions);
            tokio::spawn(async move {
                questions
                    .ask("q".to_owned(), || async move {
                        match answer {
                            Some(answer) => Ok(answer),
                            None => std::future::pending().await,
                        }
                    })
                    .await
            })
        };
        let first = start(None);
        settle().await;
        let second = start(Some(2));
        settle().await;
        first.abort();
        assert_eq!(second.await.unwrap(), Ok(2));
        assert!(questions.under_way().is_empty());
    }

    #[tokio::test]
    async fn no_more_than_so_many_questions_are_under_way_at_once() {
        let questions = questions(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..10)
            .map(|number| {
                let (questions, now, most) = (Arc::clone(&questions), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let ask = || async move {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        settle().await;
                        now.fetch_sub(1, Ordering::SeqCst);
                        Ok(number)
                    };
                    questions.ask(number.to_string(), ask).await
                })
            })
            .collect();
        for (number, caller) in (0..).zip(callers) {
            assert_eq!(caller.await.unwrap(), Ok(number));
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }
}
