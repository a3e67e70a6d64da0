//! Named places at which a test stops the process and kills it. Compiled to nothing without the feature
//! `crash-points`, which no release has.

/// Every place, in the order in which an incident passes them.
pub const POINTS: [&str; 17] = [
    "intake-before-commit",
    "intake-in-transaction",
    "intake-after-commit",
    "claimed",
    "confirmed",
    "legs-chosen",
    "planned",
    "intent-before-commit",
    "intent-in-transaction",
    "intent-after-commit",
    "effect-sent",
    "effect-answered",
    "effect-completed",
    "verified",
    "step-ended",
    "closed-in-transaction",
    "closed",
];

/// The places that only what a person begins passes, before it is claimed like any other.
pub const RUN_POINTS: [&str; 3] = ["run-before-commit", "run-in-transaction", "run-after-commit"];

/// Stops here for ever when `RUNBOOKD_CRASH_AT` names this place, after saying so on stderr; the test then kills
/// the process with SIGKILL.
#[cfg(feature = "crash-points")]
pub fn here(point: &str) {
    debug_assert!(POINTS.contains(&point) || RUN_POINTS.contains(&point), "{point} is not in the list");
    #[expect(clippy::disallowed_methods, reason = "the tests name the place in the environment")]
    let wanted = std::env::var("RUNBOOKD_CRASH_AT");
    if wanted.is_ok_and(|wanted| wanted == point) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "runbookd stands at crash point {point}");
        loop {
            std::thread::park();
        }
    }
}

/// Nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
pub const fn here(_point: &str) {}
