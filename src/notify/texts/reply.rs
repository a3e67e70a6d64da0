//! The lines of an incident's thread, one for each event that tells an on-call person something new. What only repeats is left out, so
//! that the thread can be read from top to bottom in half a minute.

use super::markup::{Draft, brief, clock_time, code, line, long_code, plain, time, took, until};
use super::words::{
    answers, asked_because, change, circumstances, count_of, doing, done, guards, next, noun, object,
    outcome, plan_of, refusal, timeline, touches, why as why_of,
};
use super::{drill, lasting};
use crate::clients::slack::Message;
use crate::incident::drill::Rehearsed;
use crate::incident::event::{EffectResult, Found, Leg, Observation};
use crate::incident::evidence::Evidence;
use crate::incident::outcome::StepResult;
use crate::incident::plan::Plan;
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::incident::{Event, Incident, OperationId, Recorded};
use crate::runbook::Action;

/// How many log lines are shown.
const LINES: usize = 3;
/// How many targets are listed.
const LEGS: usize = 10;

/// What the thread says about `recorded`, if anything. `incident` is as it is after it, and `history` is everything up to it, itself
/// included.
#[must_use]
pub fn reply(incident: &Incident, recorded: &Recorded, history: &[Recorded]) -> Option<Message> {
    let message = line_of(incident, recorded, history)?;
    Some(Message { broadcast: calls_a_person(&recorded.event), ..message })
}

/// Whether somebody has to do something now, so that the channel must see it and not only the thread.
const fn calls_a_person(event: &Event) -> bool {
    match event {
        Event::ApprovalAsked { .. } => true,
        Event::Closed { outcome, .. } => outcome.needs_a_person(),
        _ => false,
    }
}

fn line_of(incident: &Incident, recorded: &Recorded, history: &[Recorded]) -> Option<Message> {
    let thread = Thread { incident, recorded, before: history.get(..history.len().saturating_sub(1))? };
    match &recorded.event {
        Event::Opened(_)
        | Event::AlertsJoined { .. }
        | Event::AlertsResolved { .. }
        | Event::Planned { .. }
        | Event::Awaited { .. }
        | Event::Verified { .. } => None,
        Event::AlertsSuppressed { fingerprints, why } => {
            let alerts = count_of(fingerprints.len(), "alert was", "alerts were");
            let text = format!("{alerts} {}. Nothing new is begun for what is kept quiet there.", plain(why));
            Some(thread.note("🔕", &text))
        }
        Event::Awaiting { leg, expects, .. } => Some(thread.note(
            "⏳",
            &format!("*Waiting* for {} to recover by itself: {}.", thread.target(*leg), plain(expects)),
        )),
        Event::Released { changes, .. } => {
            let lines: Vec<String> =
                changes.iter().map(|change| format!("• {}", plain(&change.why))).collect();
            Some(thread.note("🫴", &format!("*Not runbookd's to put back* any more:\n{}", lines.join("\n"))))
        }
        Event::StoodBack { behind, runbook, until: again } => {
            thread.stood_back(behind.as_str(), runbook, *again)
        }
        Event::Confirmed { found, answers, .. } => thread.confirmed(*found, answers),
        Event::LegsChosen { legs } => chosen(legs),
        Event::LegSkipped { leg, why } => Some(
            thread.note("⚪", &format!("{} needs nothing any more: {}.", thread.target(*leg), plain(why))),
        ),
        Event::StepBegan { leg, step } => Some(thread.step_began(*leg, *step)),
        Event::Diagnosed { about, answers: found, .. } => {
            let title = match about.as_str() {
                "" => "🔎 *Looked further*".to_owned(),
                about => format!("🔎 *Looked further*: {}", plain(about)),
            };
            let mut lines = vec![title];
            lines.extend(answers(found));
            let draft = Draft::new("Looked further").section(&lines);
            Some(samples(draft, found).message())
        }
        Event::StepSkipped { step, why, .. } => {
            Some(thread.note("⚪", &format!("Step {} was left out: {}.", step + 1, plain(why))))
        }
        Event::PlanFailed { leg, why, for_good, .. } => thread.plan_failed(*leg, why, *for_good),
        Event::WouldAct { leg, asked, rehearsed, .. } => {
            Some(thread.would_act(*leg, asked, rehearsed.as_ref()))
        }
        // The head says it.
        Event::FaultAnnounced { .. } => None,
        Event::Refused { leg, .. } => thread.refused(*leg),
        Event::ApprovalAsked { leg, expires, why, .. } => {
            thread.approval_asked(*leg, *expires, why.as_deref())
        }
        Event::Approved { by, .. } => Some(thread.note(
            "👍",
            &format!("*Approved* by {}. Everything is checked once more before anything is done.", plain(by)),
        )),
        Event::Declined { by, reason } => {
            Some(thread.note("🚫", &format!("*Declined* by {}: {}", plain(by), plain(reason))))
        }
        Event::EffectIntended { op, plan, asked, .. } => Some(intended(op, plan, asked)),
        Event::EffectRegranted { op, .. } => Some(thread.note(
            "🔧",
            &format!(
                "*Trying again*: it was seen not to have happened, and is still needed. {}",
                code(op.as_str())
            ),
        )),
        Event::EffectAnswered { result, .. } => thread.answered(result),
        Event::EffectObserved { op, found } => thread.observed(op, found),
        Event::EffectCompleted { saw, .. } => Some(thread.note(
            "🩺",
            &format!("*Done*{}: {}. Now checking whether it helped.", thread.since_intent(), plain(saw)),
        )),
        Event::EffectStalled { saw, failed, .. } => {
            let word = if *failed { "*It failed*" } else { "*It did not come to its end*" };
            Some(thread.note("🔴", &format!("{word}{}: {}.", thread.since_intent(), plain(saw))))
        }
        Event::StepEnded { leg, result, why, op, .. } => {
            Some(thread.step_ended(*leg, *result, why, op.as_ref()))
        }
        Event::Closed { outcome: word, why } => {
            let (sign, says) = outcome(*word, incident.effects > 0);
            let because = why_of(*word, why, history).map_or_else(String::new, |why| format!(": {why}"));
            let mut lines = vec![format!("{sign} *{says}*{because}.")];
            lines.extend(lasting::changed(incident, history));
            lines.push(next(incident, *word, history));
            let draft = Draft::new(&format!("{sign} {says}{because}"));
            Some(draft.section(&lines).context(&timeline(incident, history)).message())
        }
    }
}

/// An event in its thread.
struct Thread<'a> {
    incident: &'a Incident,
    recorded: &'a Recorded,
    before: &'a [Recorded],
}

impl Thread<'_> {
    fn note(&self, sign: &str, text: &str) -> Message {
        let notification = format!("{sign} {text}").replace(['*', '`'], "");
        Draft::new(&notification).section(&[format!("{sign} {text}")]).message()
    }

    fn target(&self, leg: usize) -> String {
        let state = self.incident.legs.get(leg);
        state.map_or_else(|| "the target".to_owned(), |state| object(&state.leg.target))
    }

    fn plan(&self, leg: usize) -> Option<&Plan> {
        plan_of(self.before, leg)
    }

    /// " after 48 s", counted from the last intent.
    fn since_intent(&self) -> String {
        let intent =
            self.before.iter().rev().find(|before| matches!(before.event, Event::EffectIntended { .. }));
        intent.map_or_else(String::new, |intent| format!(" after {}", took(intent.at, self.recorded.at)))
    }

    /// Only the first time in a row: it looks again and again.
    fn stood_back(&self, behind: &str, runbook: &str, again: jiff::Timestamp) -> Option<Message> {
        let repeated = matches!(self.before.last()?.event, Event::StoodBack { .. });
        let text = format!(
            "*Waiting*: incident {} of {} is being worked on and may cure this, too. It looks again at {}.",
            code(behind),
            code(runbook),
            until(again, self.recorded.at)
        );
        (!repeated).then(|| self.note("⏳", &text))
    }

    /// The first time that it holds, and each time that answers begin to be missing.
    fn confirmed(&self, found: Found, evidence: &[Evidence]) -> Option<Message> {
        let earlier = |wanted: Found| {
            self.before
                .iter()
                .any(|before| matches!(&before.event, Event::Confirmed { found, .. } if *found == wanted))
        };
        let last = self.before.iter().rev().find_map(|before| match &before.event {
            Event::Confirmed { found, .. } => Some(*found),
            _ => None,
        });
        let title = match found {
            _ if self.incident.opened.restore.is_some() => match found {
                Found::Holds if !earlier(Found::Holds) => {
                    "🕰️ *Its time has come*: what was changed is put back"
                }
                _ => return None,
            },
            Found::Holds if !earlier(Found::Holds) => "🔎 *Confirmed*: the trouble is real",
            Found::Unknown if last != Some(Found::Unknown) => {
                "❓ *Could not be checked*; nothing is done on a guess, and it is asked again"
            }
            Found::Fails if last.is_none() => {
                "⚪ *Not confirmed so far*; the check is repeated, because logs can come late"
            }
            Found::Holds | Found::Unknown | Found::Fails => return None,
        };
        let mut lines = vec![title.to_owned()];
        lines.extend(answers(evidence));
        let draft = samples(Draft::new(&title.replace('*', "")).section(&lines), evidence);
        let asked: Vec<String> = evidence
            .iter()
            .filter(|answer| !answer.asked.is_empty())
            .take(3)
            .map(|answer| format!("{} {}", brief(&answer.probe), long_code(&answer.asked)))
            .collect();
        Some(draft.context(&asked).message())
    }

    fn step_began(&self, leg: usize, step: usize) -> Message {
        let target = self.target(leg);
        let text = match step {
            0 => format!("*Next target*: {target}. The check is repeated first."),
            _ if self.incident.opened.restore.is_some() => {
                format!("*Changed again*, once: {target} gets back what it had until a moment ago.")
            }
            step => format!("*Step {}* on {target}: the one before did not help.", step + 1),
        };
        self.note("➡️", &text)
    }

    /// Only the first time in a row: it is asked again and again.
    fn plan_failed(&self, leg: usize, why: &str, for_good: bool) -> Option<Message> {
        let repeated =
            self.before.iter().rev().take(2).any(|before| matches!(before.event, Event::PlanFailed { .. }));
        let target = self.target(leg);
        let text = match for_good {
            true => format!("*No plan can be made* for {target}: {}.", plain(why)),
            false if repeated => return None,
            false => format!("*No plan yet* for {target}: {}. It is asked again.", plain(why)),
        };
        Some(self.note(if for_good { "🔴" } else { "❓" }, &text))
    }

    fn would_act(&self, leg: usize, asked: &[Answer], rehearsed: Option<&Rehearsed>) -> Message {
        let verb = self.plan(leg).map_or("changed", |plan| done(plan));
        let target = self.target(leg);
        let mode = asked.iter().find(|answer| answer.guard == Guard::Mode);
        let why = mode.map_or_else(
            || "shadow".to_owned(),
            |mode| format!("{} ({})", brief(&mode.saw), brief(&mode.limit)),
        );
        let mut lines = vec![format!("👀 Would have {verb} {target}; *nothing was done*: {why}.")];
        if let Some(plan) = self.plan(leg) {
            lines.extend(touches(plan));
        }
        lines.extend(rehearsed.map(drill::rehearsed));
        let others: Vec<Answer> =
            asked.iter().filter(|answer| answer.guard != Guard::Mode).cloned().collect();
        let against = others.iter().filter(|answer| !answer.allows).count();
        if against > 0 {
            let checks = count_of(against, "safety check", "safety checks");
            lines.push(format!("Even in mode act, {checks} would have held it back:"));
            let no = others.iter().filter(|answer| !answer.allows);
            lines.extend(no.map(|answer| {
                format!("• *{}*: {} ({})", answer.guard, plain(&answer.saw), plain(&answer.limit))
            }));
        }
        let text = format!("👀 Would have {verb} {target}; nothing was done").replace('`', "");
        let mut small = vec!["The other safety checks".to_owned()];
        small.extend(guards(&others).into_iter().skip(against));
        Draft::new(&text).section(&lines).context(&small).message()
    }

    /// Not again while the same guards say no: waiting for another incident is asked about all the time. That a migration which ran has failed is news.
    fn refused(&self, leg: usize) -> Option<Message> {
        let Event::Refused { refusals, until: again, .. } = &self.recorded.event else { return None };
        let names = |event: &Event| match event {
            Event::Refused { refusals, .. } => {
                let why = |no: &'_ Refusal| (no.guard == Guard::Deploying).then(|| no.limit.clone());
                Some(refusals.iter().map(|no| (no.guard, why(no))).collect::<Vec<_>>())
            }
            _ => None,
        };
        let last = self.before.iter().rev().find_map(|before| names(&before.event));
        if last.is_some() && last == names(&self.recorded.event) {
            return None;
        }
        let at = self.recorded.at;
        let verb = self.plan(leg).map_or("changed", |plan| done(plan));
        let title = format!("⛔ *Not {verb}*: {}", self.target(leg));
        let mut lines = vec![title.clone()];
        lines.extend(refusals.iter().map(|no| refusal(no, at)));
        match again {
            Some(again) if *again > at && *again < self.incident.opened.deadline => lines
                .push(format!("At {} it is checked again, and done if it is still needed.", time(*again))),
            _ => {}
        }
        Some(Draft::new(&title.replace(['*', '`'], "")).section(&lines).message())
    }

    fn approval_asked(&self, leg: usize, expires: jiff::Timestamp, why: Option<&str>) -> Option<Message> {
        let plan = self.plan(leg)?;
        let id = &self.incident.id;
        let at = self.recorded.at;
        let verb = noun(plan.action);
        let title = format!("✋ *Your approval is needed* to {}", plain(&plan.says));
        let mut lines = vec![title.clone(), change(plan)];
        lines.extend(touches(plan));
        lines.push(format!("• Now: {}", circumstances(plan)));
        lines.extend(why.map(asked_because));
        let decide = [
            format!("Yes: {}", code(&format!("runbookd approve {id}"))),
            format!("No: {}", code(&format!("runbookd decline {id} --reason \"...\""))),
            format!("Until {}. Before the {verb} everything is checked once more.", until(expires, at)),
        ];
        Some(Draft::new(&title.replace('*', "")).section(&lines).section(&decide).message())
    }

    /// A yes needs no line: what follows says it.
    fn answered(&self, result: &EffectResult) -> Option<Message> {
        let (sign, text, message) = match result {
            EffectResult::Applied | EffectResult::Begun { .. } => return None,
            EffectResult::Refused { message, .. } => {
                ("🔴", "*Refused by the cluster*, nothing has changed", message)
            }
            EffectResult::InPart { message, .. } => ("🔴", "*Refused, and done in part*", message),
            EffectResult::NotTaken { message, .. } => {
                ("⏳", "*The call was not taken*, nothing has changed, and it is tried again", message)
            }
            EffectResult::Unclear { message, .. } => (
                "❓",
                "*No clear answer*, so it may have happened; the target is looked at before anything else",
                message,
            ),
        };
        Some(self.note(sign, &format!("{text}: {}.", plain(message))))
    }

    /// What a look at the target brought. Not being able to look is worth one line.
    fn observed(&self, op: &OperationId, found: &Observation) -> Option<Message> {
        let unseen = |recorded: &Recorded| {
            matches!(&recorded.event, Event::EffectObserved { found: Observation::Unseen { .. }, .. })
        };
        let op = code(op.as_str());
        let (sign, text) = match found {
            Observation::Done => {
                ("🔎", format!("*Seen*: it has happened. It is not done a second time. {op}"))
            }
            Observation::NotDone => ("🔎", format!("*Seen*: it has not happened. {op}")),
            Observation::Partly { saw } => {
                ("🔎", format!("*Seen*: a part has happened: {}. {op}", plain(saw)))
            }
            // The end of the step follows at once, and says it.
            Observation::Ambiguous { .. } => return None,
            Observation::Unseen { .. } if self.before.last().is_some_and(unseen) => return None,
            Observation::Unseen { why } => {
                ("❓", format!("*The target can not be seen*: {}. It is looked for again. {op}", plain(why)))
            }
        };
        Some(self.note(sign, &text))
    }

    fn step_ended(&self, leg: usize, result: StepResult, why: &str, op: Option<&OperationId>) -> Message {
        let target = self.target(leg);
        let verb = self.plan(leg).map_or("action", |plan| noun(plan.action));
        let because = plain(why.trim_end_matches('.'));
        let text = match result {
            StepResult::Recovered if op.is_none() => {
                format!("✅ {target} is *healthy again* by itself: {because}.")
            }
            StepResult::NotRecovered if op.is_none() => {
                format!("🔴 {target} *did not recover by itself*: {because}.")
            }
            StepResult::Inconclusive if op.is_none() => {
                format!("❓ Whether {target} recovered by itself is *not known*: {because}.")
            }
            StepResult::Recovered => format!("✅ {target} is *healthy again*: {because}."),
            StepResult::NotRecovered if self.plan(leg).is_some_and(|plan| plan.action == Action::PutBack) => {
                format!("🔴 The trouble *came back* when {target} was put back: {because}.")
            }
            StepResult::NotRecovered => format!("🔴 The {verb} of {target} *did not help*: {because}."),
            StepResult::Inconclusive => {
                format!("❓ Whether the {verb} of {target} helped is *not known*: {because}.")
            }
            StepResult::Failed => format!("🔴 The {verb} of {target} *failed*: {because}."),
            StepResult::Ambiguous => format!(
                "🔴 It is *not known* whether the {verb} of {target} happened: {because}. It is not repeated."
            ),
            StepResult::Dropped => format!("⚪ The {verb} of {target} was *given up*: {because}."),
            StepResult::WouldAct => format!("👀 {target}: {because}."),
        };
        let verified = self.before.iter().rev().find_map(|before| match &before.event {
            Event::Verified { op: of, answers, .. } if Some(of) == op => Some(answers.as_slice()),
            Event::Awaited { answers, .. } if op.is_none() => Some(answers.as_slice()),
            _ => None,
        });
        let judged =
            matches!(result, StepResult::Recovered | StepResult::NotRecovered | StepResult::Inconclusive);
        let evidence = if judged { verified.unwrap_or_default() } else { &[] };
        let mut lines = vec![text.clone()];
        lines.extend(answers(evidence));
        let draft = Draft::new(&text.replace(['*', '`'], "")).section(&lines);
        let draft = if result == StepResult::Recovered { draft } else { samples(draft, evidence) };
        draft.message()
    }
}

/// One target needs no line: the next event names it.
fn chosen(legs: &[Leg]) -> Option<Message> {
    if legs.len() < 2 {
        return None;
    }
    let title = format!("🎯 *{} targets*, one after the other, worst first", legs.len());
    let mut lines = vec![title.clone()];
    lines.extend(legs.iter().take(LEGS).enumerate().map(|(position, leg)| {
        let figure = if leg.figure > 0.0 { format!(" ({})", leg.figure) } else { String::new() };
        format!("{}. {}{figure}", position + 1, object(&leg.target))
    }));
    if legs.len() > LEGS {
        lines.push(format!("… and {}", count_of(legs.len() - LEGS, "more", "more")));
    }
    Some(Draft::new(&title.replace('*', "")).section(&lines).message())
}

fn intended(op: &OperationId, plan: &Plan, asked: &[Answer]) -> Message {
    let title = format!("🔧 *{}* {}", doing(plan), object(&plan.target));
    let mut lines = vec![title.clone()];
    lines.extend(touches(plan));
    lines.push(format!("• {}", change(plan)));
    let mut small =
        vec![format!("Allowed by all {}", count_of(asked.len(), "safety check", "safety checks"))];
    small.extend(guards(asked));
    small.push(format!("operation {}", code(op.as_str())));
    Draft::new(&title.replace(['*', '`'], "")).section(&lines).context(&small).message()
}

/// A few of the log lines that were found, and of what was seen of objects.
fn samples(draft: Draft, evidence: &[Evidence]) -> Draft {
    let told = |are_states: bool| -> Vec<String> {
        let all = evidence.iter().flat_map(|answer| &answer.samples);
        all.filter(|sample| sample.is_state == are_states)
            .take(LINES)
            .map(|sample| {
                let from =
                    if sample.from.is_empty() { String::new() } else { format!("{}  ", brief(&sample.from)) };
                format!("{}  {from}{}", clock_time(sample.at), line(&readable(&sample.line)))
            })
            .collect()
    };
    draft.fence("Seen (UTC):", &told(true)).fence("Newest log lines (UTC):", &told(false))
}

/// The message of a JSON line; any other line as it is.
fn readable(line: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let text = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
    match (text(&["level", "severity"]), text(&["message", "msg"])) {
        (Some(level), Some(message)) => format!("{level} {message}"),
        (None, Some(message)) => message.to_owned(),
        (_, None) => line.to_owned(),
    }
}
