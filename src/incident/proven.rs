//! What of a runbook's proofs counts today: whether one is new enough, near enough, of the present text, and not taken back since.

use std::time::Duration;

use jiff::Timestamp;

use super::proof::{Level, Proof};
use crate::clock::{after, between};
use crate::text::span;

/// Two machines' clocks differ by less than this: a proof that is dated later than that has a wrong date.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What must be proven before a runbook may act on its own: `proof:` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// How near to the real failure; a nearer level proves it, too.
    pub at: Level,
    /// For how long a proof counts.
    pub within: Duration,
}

impl Demand {
    /// The proof that meets the demand. `proofs` are the newest of this runbook, one for each level and scenario, failed ones included; `text` is the hash of
    /// the text that is about to be used, and none is proven by nothing.
    ///
    /// What lets a runbook act is a run in which it acted, and that ended well. It counts as long as no scenario has failed since, or before, at its level
    /// or a nearer one: a failure stands until the same scenario has passed as near with the text that is about to be used.
    ///
    /// # Errors
    /// Why none does, and what a person can do about it.
    pub fn met<'p>(
        &self,
        text: Option<&str>,
        proofs: &'p [Proof],
        now: Timestamp,
    ) -> Result<&'p Proof, String> {
        let near: Vec<&Proof> = proofs.iter().filter(|proof| proof.at >= self.at).collect();
        let is_young = |proof: &Proof| between(proof.proven_at, now) <= self.within;
        let is_mended = |failed: &Proof| {
            proofs.iter().any(|since| {
                since.passed
                    && since.scenario == failed.scenario
                    && text == Some(since.text.as_str())
                    && since.at >= failed.at
                    && since.proven_at > failed.proven_at
            })
        };
        let failed: Vec<&Proof> = near
            .iter()
            .copied()
            .filter(|proof| !proof.passed && is_young(proof) && !is_mended(proof))
            .collect();
        let is_taken_back = |proof: &Proof| failed.iter().any(|failed| failed.at >= proof.at);
        let counts = |proof: &Proof| {
            proof.shows_a_cure()
                && text == Some(proof.text.as_str())
                && proof.proven_at <= after(now, CLOCKS_DIFFER)
                && is_young(proof)
                && !is_taken_back(proof)
        };
        let best = near.iter().copied().filter(|proof| counts(proof)).max_by_key(|proof| proof.proven_at);
        best.ok_or_else(|| self.unmet(text, &near, proofs, (last(failed.iter().copied()), now)))
    }

    fn unmet(
        &self,
        text: Option<&str>,
        near: &[&Proof],
        all: &[Proof],
        (failed, now): (Option<&Proof>, Timestamp),
    ) -> String {
        let Self { at, within } = *self;
        let why = match (failed.or_else(|| last(near.iter().copied())), last(all)) {
            (None, None) => "it was never put to the proof".to_owned(),
            (None, Some(farther)) => format!("so far only {}", run_of(farther)),
            (Some(newest), _) if !newest.passed => format!("the last proof failed, {}", run_of(newest)),
            (Some(newest), _) if text != Some(newest.text.as_str()) => {
                format!("its text was changed since it was proven {}", run_of(newest))
            }
            (Some(newest), _) if newest.proven_at > after(now, CLOCKS_DIFFER) => {
                format!("the last proof is dated in the future, {}", run_of(newest))
            }
            (Some(newest), _) if !newest.shows_a_cure() => {
                format!("it passed without having to act and cure, {}", run_of(newest))
            }
            (Some(newest), _) => format!("last proven {}", run_of(newest)),
        };
        let scenario = failed.or_else(|| last(all)).map_or("SCENARIO", |proof| proof.scenario.as_str());
        format!(
            "not proven at {at} within {}: {why}; prove it with `runbookd inject {scenario} --at {at}`",
            span(within)
        )
    }
}

/// `on 2026-11-20 at sandbox, by scenario inference-oom`.
fn run_of(proof: &Proof) -> String {
    format!("on {} at {}, by scenario {}", day(proof.proven_at), proof.at, proof.scenario)
}

/// The newest of them: of two at the same moment the one that failed.
pub fn last<'p>(proofs: impl IntoIterator<Item = &'p Proof>) -> Option<&'p Proof> {
    proofs.into_iter().max_by_key(|proof| (proof.proven_at, !proof.passed))
}

/// The day of a proof, as people write it.
#[must_use]
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// `last proven 2026-11-20: detect 42 s, recover 1m 35s (sandbox)`, or that it failed; and whether it was of another text than this.
#[must_use]
pub fn line(proof: &Proof, text: Option<&str>) -> String {
    let Proof { at, scenario, times, .. } = proof;
    let day = day(proof.proven_at);
    if !proof.passed {
        return format!("the last proof failed on {day}, by scenario {scenario} ({at})");
    }
    let times: Vec<String> = [("detect", times.detect), ("recover", times.recover)]
        .into_iter()
        .filter_map(|(name, time)| Some(format!("{name} {}", span(time?))))
        .collect();
    let times = if times.is_empty() { String::new() } else { format!(": {}", times.join(", ")) };
    let changed = if text == Some(proof.text.as_str()) { "" } else { ", and its text was changed since" };
    format!("last proven {day}{times} ({at}){changed}")
}

#[cfg(test)]
mod tests {
    use super::super::proof::Times;
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_795_377_600;
    const DEMAND: Demand = Demand { at: Level::Alert, within: Duration::from_hours(90 * 24) };

    fn proof(at: Level, days_ago: i64, passed: bool) -> Proof {
        Proof {
            run: format!("run-{at}-{days_ago}"),
            scenario: "inference-oom".to_owned(),
            at,
            runbook: "oom".to_owned(),
            text: "a".repeat(64),
            passed,
            proven_at: Timestamp::from_second(NOW - days_ago * DAY).unwrap(),
            times: Times {
                detect: Some(Duration::from_secs(42)),
                act: Some(Duration::from_secs(50)),
                recover: Some(Duration::from_secs(95)),
                ..Times::default()
            },
            version: "0.1.0".to_owned(),
        }
    }

    fn met(proofs: &[Proof]) -> Result<String, String> {
        let now = Timestamp::from_second(NOW).unwrap();
        DEMAND.met(Some(&"a".repeat(64)), proofs, now).map(|proof| proof.run.clone())
    }

    fn is_met(proofs: &[Proof]) -> bool {
        met(proofs).is_ok()
    }

    #[test]
    fn a_passed_proof_at_the_level_or_nearer_counts_and_a_farther_one_does_not() {
        assert!(is_met(&[proof(Level::Alert, 1, true)]));
        assert!(is_met(&[proof(Level::Fault, 1, true)]));
        assert!(!is_met(&[proof(Level::Sandbox, 1, true)]));
        assert!(!is_met(&[proof(Level::Alert, 1, false)]), "a failed proof proves nothing");
    }

    #[test]
    fn it_counts_up_to_the_moment_at_which_it_is_too_old() {
        assert!(is_met(&[proof(Level::Fault, 90, true)]));
        assert!(!is_met(&[proof(Level::Fault, 91, true)]));
        let mut future = proof(Level::Fault, 0, true);
        future.proven_at = Timestamp::from_second(NOW + 60).unwrap();
        assert!(is_met(&[future.clone()]), "clocks differ");
        future.proven_at = Timestamp::from_second(NOW + 61).unwrap();
        assert!(met(&[future]).unwrap_err().contains("dated in the future"));
    }

    #[test]
    fn a_newer_failure_at_the_same_level_or_nearer_takes_it_back_and_an_older_or_farther_one_does_not() {
        let passed = proof(Level::Alert, 5, true);
        let with = |other| is_met(&[passed.clone(), other]);
        assert!(!with(proof(Level::Fault, 4, false)));
        assert!(!with(proof(Level::Fault, 5, false)), "of two at the same moment the failed one counts");
        assert!(!with(proof(Level::Fault, 6, false)), "what failed nearer is not mended from farther away");
        assert!(with(proof(Level::Alert, 6, false)), "it has passed since");
        assert!(with(proof(Level::Sandbox, 4, false)), "a model of the world says less than the world");
        let mut other_text = proof(Level::Fault, 4, false);
        other_text.text = "b".repeat(64);
        assert!(!with(other_text), "to ask once too often does no harm");
        // A nearer success is not touched by a failure farther away.
        assert!(is_met(&[proof(Level::Fault, 5, true), proof(Level::Alert, 4, false)]));
    }

    #[test]
    fn what_one_scenario_has_shown_is_not_mended_by_another() {
        let other = |days_ago, passed| Proof {
            scenario: "large-model".to_owned(),
            ..proof(Level::Fault, days_ago, passed)
        };
        let passed = proof(Level::Fault, 1, true);
        assert!(is_met(&[passed.clone(), other(2, true)]));
        assert!(!is_met(&[passed.clone(), other(2, false)]), "although it is older");
        assert!(met(&[passed.clone(), other(2, false)]).unwrap_err().contains("large-model"));
        assert!(is_met(&[passed.clone(), other(91, false)]), "nobody plays that one any more");
        let with_the_other_text = Proof { text: "b".repeat(64), ..other(1, true) };
        assert!(!is_met(&[passed, other(2, false), with_the_other_text]), "this text has failed there");
    }

    #[test]
    fn what_passed_without_acting_lets_nothing_act() {
        let mut idle = proof(Level::Fault, 1, true);
        idle.times.act = None;
        assert!(met(&[idle]).unwrap_err().contains("without having to act"));
        let mut hopeless = proof(Level::Fault, 1, true);
        hopeless.times.recover = None;
        assert!(!is_met(&[hopeless]));
    }

    #[test]
    fn another_text_is_not_proven() {
        let now = Timestamp::from_second(NOW).unwrap();
        let proofs = [proof(Level::Fault, 1, true)];
        assert!(DEMAND.met(Some("b"), &proofs, now).is_err());
        assert!(DEMAND.met(None, &proofs, now).is_err());
    }

    #[test]
    fn why_not_is_said_with_what_to_do() {
        let said = |proofs: &[Proof]| met(proofs).unwrap_err();
        insta::assert_snapshot!(said(&[]), @"not proven at alert within 90d: it was never put to the proof; prove it with `runbookd inject SCENARIO --at alert`");
        insta::assert_snapshot!(said(&[proof(Level::Sandbox, 1, true)]), @"not proven at alert within 90d: so far only on 2026-11-21 at sandbox, by scenario inference-oom; prove it with `runbookd inject inference-oom --at alert`");
        insta::assert_snapshot!(said(&[proof(Level::Fault, 1, false), proof(Level::Alert, 2, true)]), @"not proven at alert within 90d: the last proof failed, on 2026-11-21 at fault, by scenario inference-oom; prove it with `runbookd inject inference-oom --at alert`");
        insta::assert_snapshot!(said(&[proof(Level::Fault, 100, true)]), @"not proven at alert within 90d: last proven on 2026-08-14 at fault, by scenario inference-oom; prove it with `runbookd inject inference-oom --at alert`");
        let mut changed = proof(Level::Fault, 1, true);
        changed.text = "b".repeat(64);
        insta::assert_snapshot!(said(&[changed]), @"not proven at alert within 90d: its text was changed since it was proven on 2026-11-21 at fault, by scenario inference-oom; prove it with `runbookd inject inference-oom --at alert`");
    }

    #[test]
    fn the_line_for_people() {
        let said = |proof: &Proof| line(proof, Some(&"a".repeat(64)));
        insta::assert_snapshot!(said(&proof(Level::Sandbox, 4, true)), @"last proven 2026-11-18: detect 42 s, recover 1m 35s (sandbox)");
        insta::assert_snapshot!(said(&proof(Level::Fault, 4, false)), @"the last proof failed on 2026-11-18, by scenario inference-oom (fault)");
        insta::assert_snapshot!(line(&proof(Level::Fault, 4, true), Some("b")), @"last proven 2026-11-18: detect 42 s, recover 1m 35s (fault), and its text was changed since");
        let untimed = Proof { times: Times::default(), ..proof(Level::Alert, 4, true) };
        insta::assert_snapshot!(said(&untimed), @"last proven 2026-11-18 (alert)");
    }
}
