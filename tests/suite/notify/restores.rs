//! The stories of what is changed for a while: the incident that changes it, and the ones that put it back.

use std::time::Duration;

use runbookd::incident::event::{Found, Leg, Opened, Released, Restore};
use runbookd::incident::evidence::{Evidence, Verdict};
use runbookd::incident::outcome::StepResult;
use runbookd::incident::plan::{Change, Plan, SetField, Sets, Stays};
use runbookd::incident::restore::RESTORE;
use runbookd::incident::{Event, Outcome};
use runbookd::runbook::{Action, Field};

use super::stories::{
    Story, applied, asked, at, closed, completed, ended, legs, op, opened, plan, target, verified,
};

fn limit() -> Field {
    Field::Limit { container: "inference".to_owned(), resource: "memory".to_owned() }
}

fn sets(action: Action, (before, after): (&str, &str), stays: Stays) -> Plan {
    let field = SetField {
        field: limit(),
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
        baseline: None,
    };
    let sets = Sets {
        object: target("inference"),
        uid: "6f1c2b1e-3d0f-4d8f-9a60-0d8b6f1f2f55".to_owned(),
        fields: vec![field],
        stays,
        make_it_last: Some("inference.resources.limits.memory in values-prod.yaml".to_owned()),
    };
    let path = limit().path().join(".");
    let mut plan = Plan {
        action,
        says: format!(
            "change the memory limit of inference in {} from {before} to {after}",
            target("inference")
        ),
        change: Change {
            field: path,
            before: Some(before.to_owned()),
            after: after.to_owned(),
            judged: after.to_owned(),
        },
        sets: Some(sets),
        ..plan("inference", 1.6)
    };
    if !action.restores() {
        plan.circumstances.may_not_last =
            vec!["Helm release samosachaat: the next upgrade writes its own value".to_owned()];
    }
    plan
}

fn acted(story: Story, number: u32, step: usize, plan: Plan, from: f64, found: Found) -> Story {
    let result = if found == Found::Holds { StepResult::Recovered } else { StepResult::NotRecovered };
    let why = if found == Found::Holds { "verify held for 1m" } else { "verify did not hold within 5m" };
    let intended = Event::EffectIntended {
        op: op(number),
        leg: 0,
        step,
        plan: plan.clone(),
        asked: asked(&[]),
        not_after: at(from + 31.0),
    };
    let mut end = ended(0, number, result, why);
    if let Event::StepEnded { step: of, .. } = &mut end {
        *of = step;
    }
    story
        .and(from, Event::Planned { leg: 0, step, plan, answers: Vec::new() })
        .and(from + 1.0, intended)
        .and(from + 1.3, applied(number))
        .and(from + 40.0, completed(number))
        .and(from + 100.0, verified(number, found))
        .and(from + 100.1, end)
}

pub(super) fn changed_for_a_while() -> Story {
    let confirmed = super::stories::confirmed();
    let story = Story::new(opened()).and(1.2, confirmed).and(1.3, legs(&[("inference", 42.0)]));
    let plan = sets(Action::Resources, ("512Mi", "2Gi"), Stays::For(Duration::from_hours(2)));
    acted(story, 1, 0, plan, 1.7, Found::Holds)
        .and(112.2, closed(Outcome::Recovered, "verify held on every target"))
}

fn its_time_has_come() -> Story {
    let leg = Leg { target: target("inference"), each: [].into(), figure: 0.0 };
    let restore = Restore {
        object: target("inference"),
        of: "1kfm1d0002vge".parse().unwrap(),
        runbook: "inference-oom".to_owned(),
        leg: leg.clone(),
        step: 0,
    };
    let ledger = Evidence {
        verdict: Verdict::Holds,
        saw: "memory limit of inference is 2Gi, and was 8Gi".to_owned(),
        ..Evidence::unknown("ledger", String::new(), String::new())
    };
    Story::new(Opened { runbook: RESTORE.to_owned(), restore: Some(restore), ..opened() })
        .and(0.1, Event::Confirmed { found: Found::Holds, answers: vec![ledger], links: Vec::new() })
        .and(0.2, Event::LegsChosen { legs: vec![leg] })
}

pub(super) fn put_back() -> Story {
    let plan = sets(Action::PutBack, ("2Gi", "8Gi"), Stays::ForGood);
    acted(its_time_has_come(), 1, 0, plan, 0.7, Found::Holds)
        .and(101.0, closed(Outcome::Recovered, "it is as it was before, and verify held"))
}

pub(super) fn the_trouble_came_back() -> Story {
    let back = sets(Action::PutBack, ("2Gi", "1Gi"), Stays::ForGood);
    let again = sets(Action::ChangeAgain, ("1Gi", "2Gi"), Stays::UntilAPersonDecides);
    let story = acted(its_time_has_come(), 1, 0, back, 0.7, Found::Fails);
    let story = story.and(101.0, Event::StepBegan { leg: 0, step: 1 });
    let why = "the trouble came back when it was put back, so it was changed again, once; it stays so until a person decides";
    acted(story, 2, 1, again, 101.5, Found::Holds).and(202.0, closed(Outcome::NotRecovered, why))
}

pub(super) fn left_alone() -> Story {
    let why = "memory limit of inference is 3Gi since 03:02 by kubectl-edit, and neither 2Gi (ours) nor 8Gi (before)";
    let op = op(1);
    let change =
        Released { object: target("inference"), field: limit(), op, why: why.to_owned(), left_alone: true };
    its_time_has_come()
        .and(0.5, Event::Released { leg: 0, changes: vec![change] })
        .and(0.6, Event::LegSkipped { leg: 0, why: "nothing of it is left to put back".to_owned() })
        .and(0.7, closed(Outcome::Blocked, &format!("left alone: {why}")))
}
