//! How what was changed for a while is put back, and how that is undone when the trouble comes with it. Plans only: they are applied like any other.

use jiff::Timestamp;

use super::fields::{read, seen, workload_of};
use super::setting::{
    Setting, held_back, is, may_not_last, or_nothing, placed, rolls_out, said, says, writer,
};
use super::{PlanError, Restoring, unread};
use crate::clients::Reason;
use crate::clients::kubernetes::{At, Kubernetes, Object, Workload};
use crate::incident::changes::{Entry, PutBack};
use crate::incident::event::{Observation, Released};
use crate::incident::plan::{Plan, SetField, Sets, Stays, Target};
use crate::runbook::Action;

pub(super) async fn plan_restore(
    kubernetes: &Kubernetes,
    entries: &[Entry],
    target: &Target,
    now: Timestamp,
) -> Result<Restoring, PlanError> {
    let Some(first) = entries.first() else { return Ok(Restoring { plan: None, released: Vec::new() }) };
    let place = &first.object;
    let object = match read(kubernetes, place).await {
        Ok(object) => object,
        Err(error) if error.reason == Reason::NotFound => {
            let gone = |entry: &Entry| {
                let why = format!("{place} is gone, and {} with it; {}", entry.field, history(entry));
                released(entry, why, false)
            };
            return Ok(Restoring { plan: None, released: entries.iter().map(gone).collect() });
        }
        Err(error) => return Err(unread(error)),
    };
    let (mut fields, mut others) = (Vec::new(), Vec::new());
    // Another object is never read as if it were a later one of ours.
    for entry in entries.iter().filter(|entry| entry.object == *place) {
        match put_back(entry, &object) {
            Due::Write(set) => fields.push(set),
            Due::Not(why) => others.push(why),
        }
    }
    if fields.is_empty() {
        return Ok(Restoring { plan: None, released: others });
    }
    let workload = match workload_of(kubernetes, place, &object, target).await.map_err(unread) {
        Ok(workload) => workload,
        // Its autoscaler is still there, and scales nothing: whoever deletes it is the one to say what it should be.
        Err(error) if error.for_good && place != target => {
            let left = entries.iter().map(|entry| {
                let live = said(&entry.field, &object.at(&entry.field.path()));
                released(
                    entry,
                    format!(
                        "{target} is gone; {} is {live}; {}",
                        placed(&entry.field, place),
                        history(entry)
                    ),
                    true,
                )
            });
            return Ok(Restoring { plan: None, released: left.collect() });
        }
        Err(error) => return Err(error),
    };
    let sets = Sets {
        object: place.clone(),
        uid: object.uid().to_owned(),
        fields,
        stays: Stays::ForGood,
        make_it_last: first.make_it_last.clone(),
    };
    let plan = planned(Action::PutBack, "put back", target, workload, &object, sets, now);
    Ok(Restoring { plan, released: others })
}

/// What becomes of an entry.
enum Due {
    /// It is to be written.
    Write(SetField),
    /// It is not ours to write, any more.
    Not(Released),
}

fn put_back(entry: &Entry, object: &Object) -> Due {
    if object.uid() != entry.uid {
        let made = object.created().map(|at| format!(", made at {at}")).unwrap_or_default();
        let why = format!(
            "{} is another object of the same name{made}: {} went with the one before; {}",
            entry.object,
            entry.field,
            history(entry)
        );
        return Due::Not(released(entry, why, false));
    }
    let live = object.at(&entry.field.path());
    let what = match &live {
        At::Text(text) => entry.put_back(Some(text)),
        At::Absent => entry.put_back(None),
        // Neither the value before nor ours can be there.
        At::From(_) | At::NoItem(_) if is(&entry.field, &live, entry.base.as_deref()) => PutBack::Already,
        At::From(_) | At::NoItem(_) => PutBack::LeftAlone { live: None },
    };
    let seen = |how: &str| {
        let (live, by) = (said(&entry.field, &live), writer(object, &entry.field));
        format!("{} is {live}{how}, {by}; {}", placed(&entry.field, &entry.object), history(entry))
    };
    match what {
        PutBack::Write { only_if, base } => {
            Due::Write(SetField { field: entry.field.clone(), before: only_if, after: base, baseline: None })
        }
        PutBack::Already => Due::Not(released(entry, seen(" already"), false)),
        PutBack::LeftAlone { .. } => Due::Not(released(entry, seen(", neither ours nor as it was"), true)),
    }
}

fn released(entry: &Entry, why: String, left_alone: bool) -> Released {
    let op = entry.now.op.clone();
    Released { object: entry.object.clone(), field: entry.field.clone(), op, why, left_alone }
}

/// What we had done about it.
fn history(entry: &Entry) -> String {
    let said = |value| or_nothing(entry.field.or_absent(value));
    let (ours, base) = (said(entry.now.value.as_deref()), said(entry.base.as_deref()));
    format!("runbookd had changed it from {base} to {ours}")
}

fn planned(
    action: Action,
    verb: &str,
    target: &Target,
    workload: Option<Workload>,
    object: &Object,
    sets: Sets,
    now: Timestamp,
) -> Option<Plan> {
    let rolls = sets.fields.iter().any(|set| set.field.rolls_out());
    let rolled = workload.as_ref().filter(|_| rolls);
    let setting = Setting {
        action,
        target,
        says: says(verb, &sets.object, &sets.fields),
        touches: rolled.map(|workload| rolls_out(target, workload)).into_iter().collect(),
        may_not_last: may_not_last(object),
        against: rolled.and_then(|workload| held_back(target, workload)),
        workload,
        sets,
    };
    setting.into_plan(now)
}

pub(super) async fn plan_again(
    kubernetes: &Kubernetes,
    put_back: &Plan,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let none = |why: String| PlanError { why, for_good: true };
    let target = &put_back.target;
    let sets = put_back.sets.as_ref().ok_or_else(|| none(format!("nothing of {target} was put back")))?;
    let object = read(kubernetes, &sets.object).await.map_err(unread)?;
    match seen(sets, &object) {
        Observation::Done => {}
        Observation::Ambiguous { saw } | Observation::Partly { saw } => {
            return Err(none(format!("it is no longer as it was put back: {saw}")));
        }
        Observation::NotDone | Observation::Unseen { .. } => {
            let by = sets.fields.first().map(|set| writer(&object, &set.field)).unwrap_or_default();
            return Err(none(format!("it is changed again already: {}, {by}", sets.object)));
        }
    }
    let workload = workload_of(kubernetes, &sets.object, &object, target).await.map_err(unread)?;
    let exchange = |set: &SetField| SetField {
        field: set.field.clone(),
        before: set.after.clone(),
        after: set.before.clone(),
        baseline: None,
    };
    let again = Sets {
        fields: sets.fields.iter().map(exchange).collect(),
        stays: Stays::UntilAPersonDecides,
        ..sets.clone()
    };
    planned(Action::ChangeAgain, "change again", target, workload, &object, again, now)
        .ok_or_else(|| none(format!("nothing of {target} was put back")))
}
