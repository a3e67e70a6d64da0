//! Whoever writes in whatever order, and whatever becomes of it: the base stays, and nobody else's value is overwritten.

use proptest::prelude::*;

use super::*;
use crate::incident::event::Released;
use crate::incident::outcome::StepResult;
use crate::incident::plan::{Change, Kind, Plan};
use crate::runbook::Action;

const HOUR: Duration = Duration::from_hours(1);

/// What comes of a write of ours.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Applied,
    SeenDone,
    NotTaken,
    Refused,
    /// Whether it happened, which nobody finds out.
    NeverKnown(bool),
    /// Nothing was seen of it when it was looked, and it can arrive later.
    Lost,
}

/// Somebody who writes the field.
#[derive(Debug, Clone)]
enum Writer {
    Us(u8, Fate, Stays),
    Human(u8),
    Restore(Fate),
    /// The last call that was lost arrives after all.
    Late,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Applied),
        1 => Just(Fate::SeenDone),
        1 => Just(Fate::NotTaken),
        1 => Just(Fate::Refused),
        1 => any::<bool>().prop_map(Fate::NeverKnown),
        1 => Just(Fate::Lost),
    ]
}

fn writer() -> impl Strategy<Value = Writer> {
    let stays = prop_oneof![Just(Stays::For(HOUR)), Just(Stays::ForGood)];
    prop_oneof![
        3 => (0..4_u8, fate(), stays).prop_map(|(value, fate, stays)| Writer::Us(value, fate, stays)),
        2 => (0..6_u8).prop_map(Writer::Human),
        2 => fate().prop_map(Writer::Restore),
        1 => Just(Writer::Late),
    ]
}

fn object() -> Target {
    Target { kind: Kind::Deployment, namespace: "n".into(), name: "d".into() }
}

fn field() -> Field {
    Field::Limit { container: "c".into(), resource: "memory".into() }
}

fn plan(before: Option<String>, after: Option<String>, stays: Stays, baseline: Option<String>) -> Plan {
    let fields = vec![SetField { field: field(), before, after, baseline }];
    let sets = Sets { object: object(), uid: "u".into(), fields, stays, make_it_last: None };
    Plan {
        uid: "u".into(),
        says: String::new(),
        change: Change { field: String::new(), before: None, after: String::new(), judged: String::new() },
        sets: Some(sets),
        settles_within: HOUR,
        ..Plan::bare(Action::Resources, object(), Timestamp::UNIX_EPOCH)
    }
}

/// The field and what is written down about it.
#[derive(Default)]
struct Cluster {
    live: Option<String>,
    entries: Entries,
    ops: u32,
    now: Timestamp,
    /// A call that was lost.
    lost: Option<(OperationId, SetField)>,
}

impl Cluster {
    fn id() -> IncidentId {
        IncidentId::new(1, 1)
    }

    fn event(&mut self, event: &Event) {
        self.entries.after(&Self::id(), self.now, event);
    }

    /// One write on the condition that the live value is `before`, from the intent to the end of its step.
    fn write(&mut self, plan: &Plan, fate: Fate) {
        self.ops += 1;
        let op = OperationId::new(&Self::id(), self.ops);
        let set = plan.sets.as_ref().unwrap().fields[0].clone();
        let intent = Event::EffectIntended {
            op: op.clone(),
            leg: 0,
            step: 0,
            plan: plan.clone(),
            asked: Vec::new(),
            not_after: self.now,
        };
        self.event(&intent);
        let reached = self.live == set.before;
        if matches!(fate, Fate::Lost) {
            self.lost = Some((op.clone(), set.clone()));
        }
        let happens = matches!(fate, Fate::Applied | Fate::SeenDone | Fate::NeverKnown(true)) && reached;
        if happens {
            self.live = set.after;
        }
        let answered = |result| Event::EffectAnswered { op: op.clone(), result };
        let (reason, message) = (String::new(), String::new());
        let result = match fate {
            Fate::Applied if happens => {
                self.event(&answered(EffectResult::Applied));
                StepResult::NotRecovered
            }
            Fate::SeenDone if happens => {
                self.event(&answered(EffectResult::Unclear { reason, message }));
                self.event(&Event::EffectObserved { op: op.clone(), found: Observation::Done });
                StepResult::Recovered
            }
            Fate::NotTaken => {
                self.event(&answered(EffectResult::NotTaken { reason, message }));
                StepResult::Dropped
            }
            Fate::NeverKnown(_) => {
                self.event(&answered(EffectResult::Unclear { reason, message }));
                StepResult::Ambiguous
            }
            Fate::Lost => {
                self.event(&answered(EffectResult::Unclear { reason, message }));
                self.event(&Event::EffectObserved { op: op.clone(), found: Observation::NotDone });
                StepResult::Dropped
            }
            Fate::Applied | Fate::SeenDone | Fate::Refused => {
                self.event(&answered(EffectResult::Refused { reason, message }));
                StepResult::Failed
            }
        };
        self.event(&Event::StepEnded { leg: 0, step: 0, op: Some(op), result, why: String::new() });
    }

    fn entry(&self) -> Option<Entry> {
        self.entries.clone().into_inner().pop()
    }

    /// Puts back what is due, as a restore does.
    fn restore(&mut self, fate: Fate) {
        let Some(entry) = self.entry() else { return };
        match entry.put_back(self.live.as_deref()) {
            PutBack::Write { only_if, base } => {
                self.write(&plan(only_if, base, Stays::ForGood, None), fate);
            }
            PutBack::Already | PutBack::LeftAlone { .. } => {
                let (op, why) = (entry.now.op, String::new());
                let released = Released { object: object(), field: field(), op, why, left_alone: false };
                self.event(&Event::Released { leg: 0, changes: vec![released] });
            }
        }
    }
}

/// What was really written, as no entry tells it: the live values, and whether each was written by us for a while.
#[derive(Default)]
struct Truth {
    /// The value before the first of our writes in a row, for each row.
    bases: Vec<Option<String>>,
    /// Whether the last write was one of ours.
    ours: bool,
}

impl Truth {
    fn written(&mut self, before: &Option<String>, after: &Option<String>, ours: bool) {
        if before == after {
            return;
        }
        if ours && !self.ours {
            self.bases.push(before.clone());
        }
        // What we wrote ourselves as it was before is not changed any more.
        self.ours = ours && self.bases.last() != Some(after);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whoever writes in whatever order, and whatever becomes of it: what is put back is the value from before the first of our changes
    /// in a row, it is put back only over a value that we may have written, and afterwards nothing is left to put back.
    #[test]
    fn a_restore_puts_back_the_base_and_never_overwrites_another(
        writers in prop::collection::vec(writer(), 0..14)
    ) {
        let value = |byte: u8| Some(format!("{byte}Gi"));
        let mut cluster = Cluster { live: Some("8Gi".to_owned()), ..Cluster::default() };
        let mut truth = Truth::default();
        let (mut written, mut found) = (Vec::new(), Vec::new());
        // Somebody wrote for good what we may have written for a while: nobody can tell the one from the other.
        let mut the_same = false;
        for writer in writers {
            let had = cluster.entry();
            let before = cluster.live.clone();
            match writer {
                Writer::Us(byte, fate, stays) => {
                    cluster.write(&plan(before.clone(), value(byte), stays, None), fate);
                    let over_ours = had.as_ref().is_some_and(|had| had.version_of(before.as_deref()).is_some());
                    let ours = stays != Stays::ForGood || over_ours;
                    truth.written(&before, &cluster.live, ours);
                    if ours {
                        written.push(value(byte));
                        found.push(before);
                    } else {
                        the_same |= written.contains(&value(byte));
                    }
                }
                Writer::Human(byte) => {
                    cluster.live = value(byte);
                    // Nothing is late for so long that a person comes first.
                    cluster.lost = None;
                    the_same |= written.contains(&cluster.live);
                    truth.written(&before, &cluster.live, false);
                }
                Writer::Late => {
                    let Some((op, set)) = cluster.lost.take() else { continue };
                    if set.before == before {
                        // After one more change it is as if somebody else had written it.
                        let known = had.is_some_and(|had| had.now.op == op);
                        the_same |= !known;
                        cluster.live = set.after;
                        truth.written(&before, &cluster.live, known);
                    }
                }
                Writer::Restore(fate) => {
                    cluster.restore(fate);
                    if cluster.live != before {
                        prop_assert!(had.is_some(), "there was nothing to put back");
                        prop_assert!(written.contains(&before), "a value of another's was overwritten");
                        match truth.ours && !the_same {
                            true => prop_assert_eq!(Some(&cluster.live), truth.bases.last()),
                            false => prop_assert!(found.contains(&cluster.live)),
                        }
                        truth.ours = false;
                    }
                    if matches!(fate, Fate::Applied | Fate::SeenDone) {
                        prop_assert_eq!(cluster.entry(), None, "done, or no longer ours");
                    }
                }
            }
            if truth.ours && !the_same {
                prop_assert!(cluster.entry().is_some(), "a change of ours that nobody will put back");
            }
        }
    }
}

/// The chaos page's "restore original limits": 8Gi is the base of the fault, and stays it through the cure.
#[test]
fn a_fault_and_its_cure_end_at_the_value_before_the_fault() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("8Gi"), ..Cluster::default() };
    cluster.write(&plan(some("8Gi"), some("512Mi"), Stays::For(HOUR), None), Fate::Applied);
    cluster.write(&plan(some("512Mi"), some("2Gi"), Stays::For(HOUR), None), Fate::Applied);
    let entry = cluster.entry().unwrap();
    let write = PutBack::Write { only_if: some("2048Mi"), base: some("8Gi") };
    assert_eq!(entry.put_back(Some("2048Mi")), write, "the server may write the same amount otherwise");
    assert_eq!(entry.put_back(Some("3Gi")), PutBack::LeftAlone { live: some("3Gi") });
    cluster.restore(Fate::Applied);
    assert_eq!((cluster.live.clone(), cluster.entry()), (some("8Gi"), None));
}

#[test]
fn the_declared_value_is_put_back_when_what_was_found_was_the_fault() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("512Mi"), ..Cluster::default() };
    cluster.write(&plan(some("512Mi"), some("2Gi"), Stays::For(HOUR), some("8Gi")), Fate::Applied);
    cluster.restore(Fate::Applied);
    assert_eq!(cluster.live, some("8Gi"));
}

#[test]
fn who_wrote_in_between_gets_their_own_value_back() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("1Gi"), ..Cluster::default() };
    cluster.write(&plan(some("1Gi"), some("2Gi"), Stays::For(HOUR), None), Fate::Applied);
    cluster.live = some("6Gi");
    cluster.write(&plan(some("6Gi"), some("7Gi"), Stays::For(HOUR), None), Fate::Applied);
    cluster.restore(Fate::Applied);
    assert_eq!((cluster.live.clone(), cluster.entry()), (some("6Gi"), None));
}

#[test]
fn what_was_refused_leaves_the_entry_as_it_was() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("1Gi"), ..Cluster::default() };
    cluster.write(&plan(some("1Gi"), some("2Gi"), Stays::For(HOUR), None), Fate::Applied);
    let entry = cluster.entry();
    cluster.write(&plan(some("2Gi"), some("3Gi"), Stays::For(HOUR), some("8Gi")), Fate::Refused);
    assert_eq!(cluster.entry(), entry, "its base is not the declared one of a change that was refused");
}

#[test]
fn the_time_of_a_change_begins_when_it_is_made_and_not_when_it_was_meant() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("1Gi"), ..Cluster::default() };
    cluster.write(&plan(some("1Gi"), some("2Gi"), Stays::For(HOUR), None), Fate::NotTaken);
    assert_eq!(cluster.entry(), None);
    let op = OperationId::new(&Cluster::id(), 2);
    let plan = plan(some("1Gi"), some("2Gi"), Stays::For(HOUR), None);
    let not_after = cluster.now;
    cluster.event(&Event::EffectIntended {
        op: op.clone(),
        leg: 0,
        step: 0,
        plan,
        asked: Vec::new(),
        not_after,
    });
    cluster.now = after(cluster.now, HOUR / 2);
    cluster.event(&Event::EffectAnswered { op, result: EffectResult::Applied });
    assert_eq!(cluster.entry().unwrap().now.until, Some(after(cluster.now, HOUR)));
}

#[test]
fn what_stays_until_the_trouble_is_over_is_due_when_its_incident_is() {
    let some = |value: &str| Some(value.to_owned());
    for (outcome, due) in [(Outcome::Recovered, Duration::ZERO), (Outcome::NotRecovered, HOUR)] {
        let mut cluster = Cluster { live: some("1Gi"), ..Cluster::default() };
        let stays = Stays::UntilRecovered { or_else: HOUR };
        cluster.write(&plan(some("1Gi"), some("2Gi"), stays, None), Fate::Applied);
        assert_eq!(cluster.entry().unwrap().now.until, None);
        cluster.event(&Event::Closed { outcome, why: String::new() });
        assert_eq!(cluster.entry().unwrap().now.until, Some(after(cluster.now, due)));
    }
}

#[test]
fn an_incident_that_never_ends_does_not_keep_a_change_for_ever() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("1Gi"), ..Cluster::default() };
    let stays = Stays::UntilRecovered { or_else: HOUR };
    cluster.write(&plan(some("1Gi"), some("2Gi"), stays, None), Fate::Applied);
    let entry = cluster.entry().unwrap();
    assert!(!entry.is_due(after(cluster.now, 24 * HOUR)));
    assert!(entry.is_due(after(cluster.now, 25 * HOUR)));
}

#[test]
fn another_object_of_the_same_name_has_a_base_of_its_own() {
    let some = |value: &str| Some(value.to_owned());
    let mut cluster = Cluster { live: some("1Gi"), ..Cluster::default() };
    cluster.write(&plan(some("1Gi"), some("2Gi"), Stays::For(HOUR), None), Fate::Applied);
    cluster.live = some("4Gi");
    let mut other = plan(some("4Gi"), some("5Gi"), Stays::For(HOUR), None);
    other.sets.as_mut().unwrap().uid = "v".to_owned();
    cluster.write(&other, Fate::Applied);
    let entry = cluster.entry().unwrap();
    assert_eq!((entry.base, entry.uid), (some("4Gi"), "v".to_owned()));
}
