//! Old evidence is confirmed anew before it is used, so that a delayed plan never lands on a healthy service.

use std::time::Duration;

use jiff::Timestamp;

use super::{Question, allow, refuse};
use crate::clock::{after, between};
use crate::incident::decide::FRESH;
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::text::span;

/// Two processes' clocks differ by less than this.
const CLOCK_STEP: Duration = Duration::from_secs(5);

pub(super) fn ask(question: &Question, now: Timestamp) -> (Answer, Option<Refusal>) {
    let most = question.runbook.paced(FRESH);
    let limit = format!("at most {} old", span(most));
    // A second permit of an operation uses the first one's plan: what counts is that it was confirmed anew.
    let plan_at = if question.wanted.again { None } else { Some(question.wanted.plan.made_at) };
    let Some(oldest) = question.held_at.map(|held| plan_at.map_or(held, |plan| plan.min(held))) else {
        return refuse(Guard::Freshness, "nothing is confirmed", limit, None);
    };
    let saw = format!("confirmed and planned {} ago", span(between(oldest, now)));
    if oldest > after(now, CLOCK_STEP) {
        let saw = "confirmed in the future: the clock was set back";
        return refuse(Guard::Freshness, saw, limit, Some(after(now, most)));
    }
    if now <= after(oldest, most) {
        allow(Guard::Freshness, saw, limit)
    } else {
        // The incident confirms anew, and then it is fresh.
        refuse(Guard::Freshness, saw, limit, Some(now))
    }
}
