//! An incident's events as people read them: one line per event with the time since the beginning, and below it
//! what was seen. Pure: the same events always give the same text.

use std::time::Duration;

use jiff::Timestamp;

use super::paint::{Paint, Tone, harmless};
use crate::alert::Labels;
use crate::clock::between;
use crate::incident::event::{EffectResult, Event, Found, Leg, Observation, Opened, Recorded};
use crate::incident::evidence::{Evidence, Verdict};
use crate::incident::outcome::{Outcome, StepResult};
use crate::incident::plan::{Plan, Stays};
use crate::incident::refusal::{Answer, Guard, Refusal};
use crate::text::{count, cut, span};

/// The columns: `  +1.2s  ✓ confirm    `, and what comes below it begins where the text does.
const OFFSET: usize = 8;
const TITLE: usize = 11;
const INDENT: usize = OFFSET + 2 + 2 + TITLE;
/// Longer sample lines are cut; the API has them whole.
const SAMPLE: usize = 160;
/// More sample lines than these help nobody.
const SAMPLES: usize = 3;

/// One event: the line itself, and the lines below it.
#[must_use]
pub fn line(recorded: &Recorded, opened_at: Timestamp, paint: Paint) -> Vec<String> {
    let told = Told::of(&recorded.event);
    let offset = offset(between(opened_at, recorded.at));
    let symbol = paint.mark(told.tone, told.symbol());
    let title = paint.mark(Tone::Strong, &format!("{:TITLE$}", told.title));
    let head = format!(
        "{}  {symbol} {title}{}",
        paint.mark(Tone::Faint, &format!("{offset:>OFFSET$}")),
        harmless(&told.text)
    );
    let below = told.below.into_iter().map(|Below { tone, mark, text, deeper }| {
        let space = " ".repeat(INDENT + 2 * deeper);
        let text = harmless(&text);
        if mark.is_empty() {
            format!("{space}{}", paint.mark(tone, &text))
        } else {
            format!("{space}{} {text}", paint.mark(tone, mark))
        }
    });
    std::iter::once(head.trim_end().to_owned()).chain(below).collect()
}

/// An event in one line, without its time: how it is meant, a word for it, and what happened.
#[must_use]
pub fn told(event: &Event) -> (Tone, &'static str, String) {
    let Told { tone, title, text, .. } = Told::of(event);
    (tone, title, harmless(&text))
}

/// `+1.2s`, `+45.0s`, `+3m05s`, `+2h03m`: tenths only while they matter.
#[must_use]
pub fn offset(since: Duration) -> String {
    let seconds = since.as_secs();
    match seconds {
        0..60 => format!("+{seconds}.{}s", since.subsec_millis() / 100),
        60..3_600 => format!("+{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("+{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("+{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `namespace=shop, service=web`: a scope as people say it.
#[must_use]
pub fn scope(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
    harmless(&pairs.join(", "))
}

/// What the plan would do, in full, for a person who has to judge it.
#[must_use]
pub fn plan(plan: &Plan) -> Vec<(&'static str, String)> {
    let Plan { change, circumstances, .. } = plan;
    let before = change.before.as_deref().unwrap_or("(not set)");
    let mut rows = vec![
        ("action", plan.action.as_str().to_owned()),
        ("target", plan.target.to_string()),
        ("uid", plan.uid.clone()),
        ("field", change.field.clone()),
        ("change", format!("{before} → {}", change.after)),
    ];
    if let Some(sets) = &plan.sets {
        // The first is the change above.
        rows.extend(sets.fields.iter().skip(1).map(|set| ("and", set.to_string())));
        rows.push(("stays", stays(sets.stays)));
        rows.extend(sets.make_it_last.iter().map(|last| ("to last", last.clone())));
    }
    rows.extend(plan.touches.iter().map(|touched| ("touches", touched.clone())));
    rows.extend(circumstances.may_not_last.iter().map(|what| ("may not", format!("last: {what}"))));
    let mut around = vec![count(u64::from(circumstances.replicas), "replica", "replicas")];
    if circumstances.paused {
        around.push("the rollout is paused".to_owned());
    }
    around.extend(circumstances.rollout_in_progress.iter().map(|rollout| format!("under way: {rollout}")));
    around.extend(circumstances.controller.iter().map(|controller| format!("controlled by {controller}")));
    rows.push(("now", around.join(", ")));
    rows.push(("settles", format!("within {}", span(plan.settles_within))));
    rows.into_iter().map(|(name, value)| (name, harmless(&value))).collect()
}

/// How long a change stays, in words.
fn stays(stays: Stays) -> String {
    match stays {
        Stays::ForGood => "for good".to_owned(),
        Stays::For(time) => format!("for {}, then it is put back", span(time)),
        Stays::UntilRecovered { or_else } => {
            format!("until it has recovered, or {} after an end without that", span(or_else))
        }
        Stays::UntilAPersonDecides => "until a person decides".to_owned(),
    }
}

/// Whether the event is the same answer to the same question as the one before it: asked again and again, it is news only once.
#[must_use]
pub fn repeats(before: Option<&Event>, event: &Event) -> bool {
    match (before, event) {
        (Some(Event::Confirmed { found: before, .. }), Event::Confirmed { found, .. })
        | (Some(Event::Awaited { found: before, .. }), Event::Awaited { found, .. })
        | (Some(Event::Verified { found: before, .. }), Event::Verified { found, .. }) => before == found,
        _ => false,
    }
}

/// An event, told.
struct Told {
    tone: Tone,
    title: &'static str,
    text: String,
    below: Vec<Below>,
}

/// A line below an event.
struct Below {
    tone: Tone,
    mark: &'static str,
    text: String,
    deeper: usize,
}

const fn symbol(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Wait => "…",
        Tone::Act => "▶",
        Tone::Strong | Tone::Faint | Tone::Plain => "·",
    }
}

impl Told {
    fn new(tone: Tone, title: &'static str, text: impl Into<String>) -> Self {
        Self { tone, title, text: text.into(), below: Vec::new() }
    }

    fn with(mut self, below: impl IntoIterator<Item = Below>) -> Self {
        self.below.extend(below);
        self
    }

    const fn symbol(&self) -> &'static str {
        symbol(self.tone)
    }

    fn of(event: &Event) -> Self {
        match event {
            Event::Opened(opened) => Self::opened(opened),
            Event::AlertsJoined { alerts, more } => {
                let number = alerts.len() as u64 + more;
                let names = alerts.iter().map(|alert| detail(alert.labels.to_string()));
                Self::new(Tone::Plain, "joined", count(number, "further alert", "further alerts"))
                    .with(names.take(SAMPLES))
            }
            Event::AlertsResolved { fingerprints } => {
                let alerts = count(fingerprints.len() as u64, "alert", "alerts");
                Self::new(Tone::Plain, "resolved", format!("Alertmanager no longer hears of {alerts}"))
            }
            Event::AlertsSuppressed { fingerprints, why } => {
                let alerts = count(fingerprints.len() as u64, "alert was", "alerts were");
                Self::new(Tone::Wait, "suppressed", format!("{alerts} {why}"))
            }
            Event::StoodBack { behind, runbook, until } => Self::new(
                Tone::Wait,
                "stand back",
                format!("behind {runbook} (incident {behind}); looks again at {}", clock(*until)),
            ),
            Event::Confirmed { found, answers, links } => {
                let links = links.iter().map(|link| detail(format!("{}: {}", link.title, link.url)));
                Self::found("confirm", *found, Tone::Plain, answers).with(links)
            }
            Event::LegsChosen { legs } => {
                let text = count(legs.len() as u64, "target", "targets, one after the other");
                Self::new(Tone::Plain, "targets", text).with(legs.iter().map(leg))
            }
            Event::LegSkipped { leg, why } => {
                Self::new(Tone::Plain, "skipped", format!("target {}: {why}", leg + 1))
            }
            Event::StepBegan { leg, step } => {
                Self::new(Tone::Plain, "step", format!("step {} on target {}", step + 1, leg + 1))
            }
            Event::Diagnosed { about, answers, .. } => {
                let number = count(answers.len() as u64, "question answered", "questions answered");
                let text = if about.is_empty() { number } else { format!("{about}: {number}") };
                Self::new(Tone::Plain, "diagnose", text).with(evidence(answers))
            }
            Event::Awaiting { expects, .. } => Self::new(Tone::Wait, "expect", expects.clone()),
            Event::Awaited { found, answers, .. } => Self::found("expected", *found, Tone::Wait, answers),
            Event::StepSkipped { step, why, .. } => {
                Self::new(Tone::Plain, "skipped", format!("step {}: {why}", step + 1))
            }
            Event::Planned { plan, answers, .. } => {
                Self::new(Tone::Plain, "plan", plan.says.clone()).with(change(plan)).with(evidence(answers))
            }
            Event::PlanFailed { why, for_good, .. } => {
                let (tone, after) = if *for_good { (Tone::Bad, "") } else { (Tone::Wait, "; asked again") };
                Self::new(tone, "no plan", format!("{why}{after}"))
            }
            Event::Released { changes, .. } => {
                let number = count(changes.len() as u64, "change is", "changes are");
                Self::new(Tone::Plain, "released", format!("{number} no longer runbookd's to put back"))
                    .with(changes.iter().map(|change| detail(change.why.clone())))
            }
            Event::FaultAnnounced { announced, .. } => {
                Self::new(Tone::Bad, "fault", format!("in a drill: {}", announced.says))
                    .with([detail(format!("in the end: {}", announced.undo))])
            }
            Event::WouldAct { asked, rehearsed, .. } => {
                // In shadow the guard `mode` always says no; what the others say is the news.
                let others = asked.iter().filter(|answer| answer.guard != Guard::Mode);
                let text = match others.filter(|answer| !answer.allows).count() {
                    0 => "in shadow: nothing is done; every other guard allows it".to_owned(),
                    no => format!(
                        "in shadow: nothing is done; {} would refuse it, too",
                        count(no as u64, "other guard", "other guards")
                    ),
                };
                Self::new(Tone::Plain, "would act", text)
                    .with(rehearsed.iter().map(|said| detail(said.to_string())))
                    .with(guards(asked))
            }
            Event::Refused { refusals, until, .. } => {
                let text = match until {
                    Some(until) => format!("confirmed anew at {}", clock(*until)),
                    None => "until a person changes something".to_owned(),
                };
                Self::new(Tone::Wait, "refused", text).with(refusals.iter().map(refusal))
            }
            Event::ApprovalAsked { expires, why, .. } => {
                let text = format!("a person must approve before {}", clock(*expires));
                Self::new(Tone::Wait, "asking", text).with(why.iter().cloned().map(detail))
            }
            Event::Approved { by, .. } => Self::new(Tone::Good, "approved", format!("by {by}")),
            Event::Declined { by, reason } => Self::new(Tone::Bad, "declined", format!("by {by}: {reason}")),
            Event::EffectIntended { .. }
            | Event::EffectRegranted { .. }
            | Event::EffectAnswered { .. }
            | Event::EffectObserved { .. }
            | Event::EffectCompleted { .. }
            | Event::EffectStalled { .. } => Self::of_effect(event),
            Event::Verified { found, answers, .. } => Self::found("verify", *found, Tone::Wait, answers),
            Event::StepEnded { result, why, .. } => {
                let (tone, word) = step_result(*result);
                Self::new(tone, "step ended", words(word, why))
            }
            Event::Closed { outcome, why } => {
                Self::new(outcome_tone(*outcome), "closed", words(outcome.as_str(), why))
            }
        }
    }

    fn of_effect(event: &Event) -> Self {
        match event {
            Event::EffectIntended { op, plan, asked, .. } => {
                Self::new(Tone::Act, "act", format!("{} (operation {op})", plan.says)).with(guards(asked))
            }
            Event::EffectRegranted { op, asked, .. } => {
                Self::new(Tone::Act, "act again", format!("operation {op} was seen not to have happened"))
                    .with(guards(asked))
            }
            Event::EffectAnswered { result, .. } => match result {
                EffectResult::Applied => Self::new(Tone::Good, "applied", "the other system said yes"),
                EffectResult::Begun { handles } => {
                    let handles = handles.join(", ");
                    Self::new(Tone::Good, "begun", format!("the other system works on it ({handles})"))
                }
                EffectResult::Refused { reason, message } => {
                    Self::new(Tone::Bad, "not done", format!("{message} ({reason})"))
                }
                EffectResult::InPart { reason, message } => {
                    Self::new(Tone::Bad, "done in part", format!("{message} ({reason})"))
                }
                EffectResult::NotTaken { reason, message } => {
                    Self::new(Tone::Wait, "not taken", format!("{message} ({reason}); may be tried again"))
                }
                EffectResult::Unclear { reason, message } => {
                    Self::new(Tone::Wait, "unclear", format!("{message} ({reason}); looking at the target"))
                }
            },
            Event::EffectObserved { found, .. } => match found {
                Observation::Done => Self::new(Tone::Good, "observed", "it was done"),
                Observation::NotDone => {
                    Self::new(Tone::Plain, "observed", "it was not done: the value before still stands")
                }
                Observation::Partly { saw } => {
                    Self::new(Tone::Wait, "observed", format!("it was done in part: {saw}"))
                }
                Observation::Ambiguous { saw } => {
                    Self::new(Tone::Bad, "observed", format!("it can not be told: {saw}"))
                }
                Observation::Unseen { why } => {
                    Self::new(Tone::Wait, "observed", format!("the target could not be looked at: {why}"))
                }
            },
            Event::EffectCompleted { saw, .. } => Self::new(Tone::Good, "complete", saw.clone()),
            Event::EffectStalled { saw, failed, .. } => {
                Self::new(Tone::Bad, if *failed { "failed" } else { "stalled" }, saw.clone())
            }
            other => Self::new(Tone::Plain, other.name(), ""),
        }
    }

    fn opened(opened: &Opened) -> Self {
        let what = match scope(&opened.scope) {
            scope if scope.is_empty() => opened.runbook.clone(),
            scope => format!("{} for {scope}", opened.runbook),
        };
        if let Some(run) = opened.by_hand() {
            let text = format!("{what}, begun by hand by {}: {}", run.by, run.reason);
            let labels = scope(&run.labels);
            let labels = (!labels.is_empty()).then(|| detail(format!("with {labels}")));
            return Self::new(Tone::Plain, "opened", text).with(labels);
        }
        if opened.run.is_some() {
            return Self::new(Tone::Plain, "opened", what);
        }
        let number = opened.alerts.len() as u64 + opened.more;
        let mut names: Vec<&str> = opened.alerts.iter().map(crate::alert::Alert::name).collect();
        names.sort_unstable();
        names.dedup();
        let text = format!("{what} by {} ({})", count(number, "alert", "alerts"), names.join(", "),);
        let cut_off = (opened.truncated > 0).then(|| {
            let cut_off = count(opened.truncated, "alert", "alerts");
            Below::marked(Tone::Wait, "!", format!("Alertmanager cut {cut_off} off: targets may be missing"))
        });
        Self::new(Tone::Plain, "opened", text).with(cut_off)
    }

    /// `fails` is how bad it is when the answer is no: for confirm it only means that nothing is needed.
    fn found(title: &'static str, found: Found, fails: Tone, answers: &[Evidence]) -> Self {
        let (tone, word) = match found {
            Found::Holds => (Tone::Good, "holds"),
            Found::Fails => (fails, "does not hold"),
            Found::Unknown => (Tone::Wait, "unknown"),
        };
        Self::new(tone, title, word).with(evidence(answers))
    }
}

impl Below {
    const fn marked(tone: Tone, mark: &'static str, text: String) -> Self {
        Self { tone, mark, text, deeper: 0 }
    }
}

const fn detail(text: String) -> Below {
    Below { tone: Tone::Faint, mark: "", text, deeper: 0 }
}

fn evidence(answers: &[Evidence]) -> Vec<Below> {
    answers.iter().flat_map(one_evidence).collect()
}

fn one_evidence(answer: &Evidence) -> Vec<Below> {
    let (tone, mark) = match answer.verdict {
        Verdict::Holds => (Tone::Good, "✓"),
        Verdict::Fails => (Tone::Bad, "✗"),
        Verdict::Unknown { .. } | Verdict::Quiet { .. } => (Tone::Wait, "?"),
    };
    let mut text = format!("{}: {}", answer.probe, answer.saw);
    if let Verdict::Unknown { why } | Verdict::Quiet { why } = &answer.verdict
        && *why != answer.saw
    {
        text = format!("{text}; {why}");
    }
    let mut below = vec![Below::marked(tone, mark, text)];
    below.extend(answer.samples.iter().take(SAMPLES).map(|sample| Below {
        tone: Tone::Faint,
        mark: "",
        text: format!("{} {}: {}", clock(sample.at), sample.from, cut(&sample.line, SAMPLE)),
        deeper: 1,
    }));
    below
}

fn leg(leg: &Leg) -> Below {
    let each: Vec<String> = leg.each.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let chosen =
        if each.is_empty() { String::new() } else { format!(" ({}: {})", each.join(", "), leg.figure) };
    Below::marked(Tone::Plain, "-", format!("{}{chosen}", leg.target))
}

fn change(plan: &Plan) -> Vec<Below> {
    let before = plan.change.before.as_deref().unwrap_or("(not set)");
    let change = format!("{}: {before} → {}", plan.change.field, plan.change.after);
    std::iter::once(change).chain(plan.touches.iter().cloned()).map(detail).collect()
}

fn guards(asked: &[Answer]) -> Vec<Below> {
    let wide = asked.iter().map(|answer| answer.guard.as_str().len()).max().unwrap_or_default();
    asked
        .iter()
        .map(|answer| {
            let (tone, mark) = if answer.allows { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
            let guard = answer.guard.as_str();
            Below::marked(tone, mark, format!("{guard:wide$}  {} ({})", answer.saw, answer.limit))
        })
        .collect()
}

fn refusal(refusal: &Refusal) -> Below {
    Below::marked(Tone::Bad, "✗", format!("{}: {} ({})", refusal.guard, refusal.saw, refusal.limit))
}

pub(super) const fn step_result(result: StepResult) -> (Tone, &'static str) {
    match result {
        StepResult::Recovered => (Tone::Good, "recovered"),
        StepResult::NotRecovered => (Tone::Bad, "not recovered"),
        StepResult::Inconclusive => (Tone::Bad, "inconclusive"),
        StepResult::Failed => (Tone::Bad, "failed"),
        StepResult::Ambiguous => (Tone::Bad, "ambiguous"),
        StepResult::Dropped => (Tone::Plain, "dropped"),
        StepResult::WouldAct => (Tone::Plain, "would act"),
    }
}

/// How an outcome looks: what needs a person is red.
#[must_use]
pub const fn outcome_tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Recovered | Outcome::SelfHealed | Outcome::Joined => Tone::Good,
        outcome if outcome.needs_a_person() => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn words(word: &str, why: &str) -> String {
    if why.is_empty() { word.to_owned() } else { format!("{word}: {why}") }
}

/// `12:03:45 UTC`: the day stands above the timeline.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}
