//! Load: many clients make one request again and again, until its time is over. It is a weapon, and has bounds that no option lifts.
//!
//! Each client waits for its answer before it asks again. With a rate the requests are due at fixed moments from the start; one that no client was free for is sent as
//! soon as one is, and its time is counted from when it was due, or the requests that a slow server held up would be missing from the figures (coordinated omission).
//! At no moment have more been sent than were due.
//!
//! It ends with its duration, whatever the server does: what is waited for then is given up, and its connection closed.

mod header;
mod histogram;
mod tally;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

pub use header::{BadHeader, Header};
pub use histogram::Histogram;
use tally::Tally;
pub use tally::{Ended, Latency, Moment, Since, Summary};

use crate::clients::ConnectError;
use crate::clients::load::{Call, Caller};
use crate::yaml::write_duration;

/// The most clients.
pub const MOST_CLIENTS: u32 = 1_000;
/// The highest rate, in a second.
pub const MOST_RATE: u32 = 10_000;
/// The longest time.
pub const LONGEST: Duration = Duration::from_hours(1);
/// The most requests: those of the highest rate in the longest time.
pub const MOST_REQUESTS: u64 = 36_000_000;
/// The longest that one answer is waited for.
pub const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// The largest body.
pub const MOST_BODY: usize = 1 << 20;

/// A client that got no answer waits before it asks again: a port at which nobody listens says so within microseconds.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);
/// A timer is up to 2 ms late; a request that is sent so much later than it was due had no client.
const LATE: Duration = Duration::from_millis(10);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The request.
    pub call: Call,
    /// How many clients ask at a time.
    pub clients: u32,
    /// How many requests all of them together make in a second at most.
    pub rate: Option<u32>,
    /// After so long it ends.
    pub duration: Duration,
    /// After so many it ends sooner.
    pub requests: Option<u64>,
    /// For how long one answer is waited for.
    pub timeout: Duration,
}

/// What is beyond the bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {is}; expected {from} to {to}")]
pub struct Beyond {
    what: &'static str,
    is: String,
    from: String,
    to: String,
}

/// What is wanted, within the bounds.
#[derive(Debug, Clone)]
pub struct Load(Wanted);

impl Load {
    /// Holds it against the bounds. Nothing is sent.
    ///
    /// # Errors
    /// The first thing that is beyond them.
    pub fn new(wanted: Wanted) -> Result<Self, Beyond> {
        let within = |what, is: u64, to: u64, unit: &str| {
            let write = |number: u64| format!("{number}{unit}");
            if (1..=to).contains(&is) {
                return Ok(());
            }
            Err(Beyond { what, is: write(is), from: write(1), to: write(to) })
        };
        let lasts = |what, is: Duration, from: Duration, to: Duration| {
            if (from..=to).contains(&is) {
                return Ok(());
            }
            let [is, from, to] = [is, from, to].map(write_duration);
            Err(Beyond { what, is, from, to })
        };
        within("--concurrency", wanted.clients.into(), MOST_CLIENTS.into(), "")?;
        within("--rate", wanted.rate.unwrap_or(1).into(), MOST_RATE.into(), "/s")?;
        within("--requests", wanted.requests.unwrap_or(1), MOST_REQUESTS, "")?;
        lasts("--duration", wanted.duration, Duration::from_millis(100), LONGEST)?;
        lasts("--timeout", wanted.timeout, Duration::from_millis(1), LONGEST_WAIT)?;
        let body = wanted.call.body.as_ref().map_or(0, Vec::len);
        if body > MOST_BODY {
            let [is, from, to] = [body, 0, MOST_BODY].map(|bytes| format!("{bytes} bytes"));
            return Err(Beyond { what: "the body", is, from, to });
        }
        Ok(Self(wanted))
    }

    /// What is wanted.
    #[must_use]
    pub const fn wanted(&self) -> &Wanted {
        &self.0
    }

    /// Plays it to its end, or until `stop`, and says `every` so often how it stands.
    ///
    /// # Errors
    /// When the host can not be looked up, or TLS not be set up; nothing was sent then.
    pub async fn play(
        self,
        stop: impl Future<Output = ()>,
        every: Duration,
        mut tell: impl FnMut(&Moment),
    ) -> Result<Summary, ConnectError> {
        let Wanted { call, clients, rate, duration, requests, timeout } = self.0;
        let mut stop = pin!(stop);
        let caller = tokio::select! {
            caller = Caller::new(call, clients as usize, timeout) => caller?,
            () = &mut stop => {
                return Ok(Tally::default().summary(Ended::Interrupted, Duration::ZERO, since(rate)));
            }
        };
        let begun = Instant::now();
        let all = Arc::new(All {
            caller,
            begun,
            until: begun + duration,
            rate,
            most: requests.unwrap_or(u64::MAX),
            taken: AtomicU64::new(0),
            tally: Mutex::default(),
        });
        let mut at_work = JoinSet::new();
        for _ in 0..clients {
            at_work.spawn(Arc::clone(&all).client());
        }
        let mut ticks = interval_at(begun + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut stop => break Ended::Interrupted,
                () = sleep_until(begun + duration) => break Ended::Duration,
                _ = ticks.tick() => {
                    // The clients count on while it is told.
                    let moment = all.tally().moment(begun.elapsed());
                    tell(&moment);
                }
                done = at_work.join_next() => if done.is_none() {
                    break Ended::Requests;
                },
            }
        };
        let elapsed = begun.elapsed();
        // What is waited for is dropped, and its connection with it.
        at_work.shutdown().await;
        Ok(all.tally().summary(ended, elapsed, since(rate)))
    }
}

/// From when on an answer's time is counted.
const fn since(rate: Option<u32>) -> Since {
    if rate.is_some() { Since::Due } else { Since::Sent }
}

/// When a request is due, from the start.
const fn due(place: u64, rate: u32) -> Duration {
    // Rounded up: in no time are more due than the rate allows.
    Duration::from_nanos(place.saturating_mul(1_000_000_000).div_ceil(rate as u64))
}

/// What the clients share.
struct All {
    caller: Caller,
    begun: Instant,
    /// Nobody asks after this, whoever is held up that should end it.
    until: Instant,
    rate: Option<u32>,
    most: u64,
    taken: AtomicU64,
    tally: Mutex<Tally>,
}

impl All {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counters are as good after a panic as before.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client: takes the next request, waits until it is due, sends it, and waits for its answer.
    async fn client(self: Arc<Self>) {
        loop {
            let place = self.taken.fetch_add(1, Ordering::Relaxed);
            if place >= self.most || Instant::now() >= self.until {
                return;
            }
            let since = match self.rate {
                Some(rate) => {
                    let due = self.begun + due(place, rate);
                    sleep_until(due).await;
                    due
                }
                None => Instant::now(),
            };
            self.tally().begins(since.elapsed() >= LATE);
            let answer = self.caller.call().await;
            self.tally().ends(answer, since.elapsed());
            if answer.is_err() {
                sleep(AFTER_A_FAILURE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::clients::load::Address;

    fn wanted() -> Wanted {
        let address = Address::parse("http://127.0.0.1:1/").unwrap();
        Wanted {
            call: Call { address, method: Method::GET, headers: HeaderMap::new(), body: None },
            clients: MOST_CLIENTS,
            rate: Some(MOST_RATE),
            duration: LONGEST,
            requests: Some(MOST_REQUESTS),
            timeout: LONGEST_WAIT,
        }
    }

    #[test]
    fn nothing_beyond_the_bounds_is_played() {
        assert!(Load::new(wanted()).is_ok());
        let body = Call { body: Some(vec![0; MOST_BODY + 1]), ..wanted().call };
        for (wanted, said) in [
            (Wanted { clients: 1_001, ..wanted() }, "--concurrency is 1001; expected 1 to 1000"),
            (Wanted { clients: 0, ..wanted() }, "--concurrency is 0; expected 1 to 1000"),
            (Wanted { rate: Some(10_001), ..wanted() }, "--rate is 10001/s; expected 1/s to 10000/s"),
            (Wanted { rate: Some(0), ..wanted() }, "--rate is 0/s; expected 1/s to 10000/s"),
            (Wanted { requests: Some(0), ..wanted() }, "--requests is 0; expected 1 to 36000000"),
            (
                Wanted { duration: LONGEST + Duration::from_secs(1), ..wanted() },
                "--duration is 1h1s; expected 100ms to 1h",
            ),
            (Wanted { duration: Duration::ZERO, ..wanted() }, "--duration is 0s; expected 100ms to 1h"),
            (Wanted { timeout: Duration::ZERO, ..wanted() }, "--timeout is 0s; expected 1ms to 5m"),
            (
                Wanted { call: body, ..wanted() },
                "the body is 1048577 bytes; expected 0 bytes to 1048576 bytes",
            ),
        ] {
            assert_eq!(Load::new(wanted).unwrap_err().to_string(), said);
        }
    }

    proptest! {
        /// Of what is due within a time, counted from the start: the rate times the time, and the first.
        #[test]
        fn at_no_moment_is_more_due_than_the_rate_allows(rate in 1..=MOST_RATE, place in 0..MOST_REQUESTS) {
            let due = due(place, rate).as_nanos();
            let allowed = |nanos: u128| nanos * u128::from(rate) / 1_000_000_000 + 1;
            prop_assert!(u128::from(place) < allowed(due), "{} are due at {} ns", place + 1, due);
            // And not less: a nanosecond sooner it would be too many.
            prop_assert!(place == 0 || allowed(due - 1) <= u128::from(place), "{} ns is late for {}", due, place);
        }
    }
}
