//! What every form of a report says in the same words: the verdict and its reason, the times and their names, and how long after the fault a moment was.

use std::time::Duration;

use jiff::Timestamp;

use super::{Doer, Moment, News, Report};
use crate::clock::between;
use crate::incident::proof::{Level, Times};
use crate::text::{count, span};

/// The word of the moment at which something was broken; `Inject` says it.
pub const BROKEN: &str = "broken";
/// What stands in the place of times when nothing was broken.
pub const UNBROKEN: &str = "Nothing was broken, so there is nothing to measure.";
/// What stands where nothing came.
pub const NONE: &str = "–";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything came true, and nothing is left behind.
    Passed,
    /// Something did not come true, or is left behind.
    Failed,
    /// It was not played to its end: nothing is proven, in neither direction.
    Aborted,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    /// The sign, for those who see no colour.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Passed => "✓",
            Self::Failed => "✗",
            Self::Aborted => "!",
        }
    }
}

/// One of the four times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// `detect`, `confirm`, `act` or `recover`.
    pub name: &'static str,
    /// What came then.
    pub what: &'static str,
    /// How long after the fault; none: it did not come.
    pub after: Option<Duration>,
}

impl Measured {
    /// The time in words.
    #[must_use]
    pub fn text(&self) -> String {
        self.after.map_or_else(|| NONE.to_owned(), span)
    }
}

/// The four times, in their order.
#[must_use]
pub fn times(times: &Times) -> [Measured; 4] {
    [
        Measured { name: "detect", what: "an alert fired", after: times.detect },
        Measured { name: "confirm", what: "the runbook confirmed it", after: times.confirm },
        Measured { name: "act", what: "the first change was asked for", after: times.act },
        Measured { name: "recover", what: "the incident was closed as expected", after: times.recover },
    ]
}

impl Report {
    /// How it ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.aborted.is_some() {
            Verdict::Aborted
        } else if self.passed() {
            Verdict::Passed
        } else {
            Verdict::Failed
        }
    }

    /// Why that is the verdict, in one sentence without its full stop. It may hold text from outside.
    #[must_use]
    pub fn why(&self) -> String {
        let asked = self.checks.len();
        let wrong = self.checks.iter().filter(|checked| !checked.holds).count();
        let left = match self.left_behind.len() {
            0 => "nothing was left behind".to_owned(),
            1 => "1 thing was left behind".to_owned(),
            many => format!("{many} things were left behind"),
        };
        match &self.aborted {
            Some(why) if self.left_behind.is_empty() => {
                format!("Not played to its end: {}", why.trim_end_matches(['.', '\n']))
            }
            Some(why) => format!("Not played to its end, and {left}: {}", why.trim_end_matches(['.', '\n'])),
            None if asked == 0 => format!("Nothing was asked, so nothing is proven, and {left}"),
            None if wrong == 0 && self.left_behind.is_empty() => {
                format!("{} came true, and {left}", all_of(asked))
            }
            None if wrong == 0 => format!("{} came true, but {left}", all_of(asked)),
            None => format!("{wrong} of {} did not come true, and {left}", expectations(asked)),
        }
    }

    /// When it was broken; none: it was not.
    #[must_use]
    pub fn broken_at(&self) -> Option<Timestamp> {
        let broken = |moment: &&Moment| moment.by == Doer::Inject && moment.word == BROKEN;
        self.moments.iter().find(broken).map(|moment| moment.at)
    }

    /// Whether there is anything that could have been measured: something was broken. Nothing is measured before.
    #[must_use]
    pub fn was_broken(&self) -> bool {
        self.broken_at().is_some()
    }

    /// How long after the fault `at` was, at the pace of reality; none: before it, or nothing was broken.
    #[must_use]
    pub fn since_broken(&self, at: Timestamp) -> Option<Duration> {
        let since = at.duration_since(self.broken_at()?);
        Some(Duration::try_from(since).ok()?.saturating_mul(self.time_scale.max(1)))
    }

    /// The same in words: `+1m 30s`, or `before`.
    #[must_use]
    pub fn since_broken_text(&self, at: Timestamp) -> String {
        match self.since_broken(at) {
            None => "before".to_owned(),
            Some(Duration::ZERO) => "0 s".to_owned(),
            Some(since) => format!("+{}", span(since)),
        }
    }

    /// How long the run took on the clock, and at which pace.
    #[must_use]
    pub fn pace(&self) -> String {
        let took = span(between(self.began_at, self.ended_at));
        match self.time_scale {
            0 | 1 => took,
            scale => format!("{took}, {scale} times as fast as reality"),
        }
    }
}

fn expectations(number: usize) -> String {
    count(number as u64, "expectation", "expectations")
}

fn all_of(number: usize) -> String {
    if number == 1 { "The one expectation".to_owned() } else { format!("All {}", expectations(number)) }
}

/// Whether a whole game day passed. None that was played did not.
#[must_use]
pub fn all_passed(reports: &[Report]) -> bool {
    !reports.is_empty() && reports.iter().all(Report::passed)
}

/// How many of them passed, as a sentence.
#[must_use]
pub fn tally(reports: &[Report]) -> String {
    let passed = reports.iter().filter(|report| report.passed()).count();
    format!("{passed} of {} passed", count(reports.len() as u64, "scenario", "scenarios"))
}

/// How near to the real failure a run was, for those who do not know the word.
#[must_use]
pub const fn level(level: Level) -> &'static str {
    match level {
        Level::Sandbox => "sandbox: the real daemon before a simulated world",
        Level::Alert => "alert: a made-up alert at the real systems, and a dry run",
        Level::Fault => "fault: the real fault in the real cluster",
    }
}

/// The name of a lane.
#[must_use]
pub const fn doer(by: Doer) -> &'static str {
    match by {
        Doer::Inject => "inject",
        Doer::System => "system",
        Doer::Runbookd => "runbookd",
    }
}

/// What kind of news it is.
#[must_use]
pub const fn news(tone: News) -> &'static str {
    match tone {
        News::Good => "good news",
        News::Bad => "bad news",
        News::Plain => "neither good nor bad",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::report::samples;

    #[test]
    fn the_time_of_a_moment_is_counted_from_the_fault_at_the_pace_of_reality() {
        let report = samples::passed();
        let broken = report.broken_at().unwrap();
        assert_eq!(report.time_scale, 20);
        assert_eq!(report.since_broken_text(broken), "0 s");
        assert_eq!(report.since_broken_text(broken + Duration::from_millis(4_500)), "+1m 30s");
        assert_eq!(report.since_broken_text(broken - Duration::from_millis(1)), "before");
        assert_eq!(samples::aborted().since_broken_text(broken), "before");
    }

    #[test]
    fn only_inject_can_say_that_it_broke_something() {
        let mut report = samples::passed();
        let told = Moment { by: Doer::System, word: BROKEN.to_owned(), ..report.moments[0].clone() };
        report.moments.retain(|moment| moment.word != BROKEN);
        report.moments.insert(0, told);
        assert_eq!(report.broken_at(), None);
    }

    #[test]
    fn the_reason_says_what_is_wrong() {
        let whys: Vec<String> = samples::all().iter().map(Report::why).collect();
        assert_eq!(
            whys,
            [
                "All 5 expectations came true, and nothing was left behind",
                "2 of 5 expectations did not come true, and nothing was left behind",
                "All 3 expectations came true, but 1 thing was left behind",
                "Not played to its end: steady state does not hold: 1 of 3 pods of inference is not ready",
            ]
        );
        let nothing = Report { checks: Vec::new(), ..samples::passed() };
        assert_eq!(nothing.why(), "Nothing was asked, so nothing is proven, and nothing was left behind");
        assert_eq!(nothing.verdict(), Verdict::Failed);
    }

    #[test]
    fn a_game_day_on_which_nothing_was_played_did_not_pass() {
        assert!(!all_passed(&[]));
        assert!(all_passed(&[samples::passed()]));
        assert!(!all_passed(&samples::all()));
        assert_eq!(tally(&samples::all()), "1 of 4 scenarios passed");
    }
}
