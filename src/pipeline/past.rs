//! What the events so far say of a plan and of an effect. Pure.

use jiff::Timestamp;

use crate::clock;
use crate::incident::Event;
use crate::incident::OperationId;
use crate::incident::event::{EffectResult, Observation, Recorded};
use crate::incident::plan::Plan;
use crate::incident::refusal::Guard;

/// What is seen of something that was sent and not answered, and does not look as if it had happened: it may still be under way.
pub(super) fn looked_at(
    events: &[Recorded],
    op: &OperationId,
    plan: &Plan,
    found: Observation,
    now: Timestamp,
) -> Observation {
    match until_over(events, op, plan) {
        Some(until) if now < until => Observation::Unseen {
            why: format!("it is not seen to have happened, and it may still be under way until {until}"),
        },
        // Nobody promises by when a run that was asked for is in the list.
        Some(_) if plan.dispatch.is_some() => Observation::Ambiguous {
            saw: "a run was asked for, nobody heard the answer, and none shows the mark; it may still come"
                .to_owned(),
        },
        _ => found,
    }
}

/// Until when what was sent may be under way; none: nothing was.
fn until_over(events: &[Recorded], effect: &OperationId, plan: &Plan) -> Option<Timestamp> {
    let (unheard, answered) = plan.under_way()?;
    let (mut until, mut before) = (None, None);
    for Recorded { at, event, .. } in events {
        match event {
            Event::EffectIntended { op, not_after, .. } | Event::EffectRegranted { op, not_after, .. }
                if op == effect =>
            {
                before = until;
                until = until.max(Some(clock::after(*not_after, unheard)));
            }
            Event::EffectAnswered { op, result } if op == effect => {
                until = match result {
                    EffectResult::NotTaken { .. } => before,
                    // Whoever sent it has come back, so nothing was sent after this.
                    _ => before.max(Some(clock::after(*at, answered))),
                };
            }
            _ => {}
        }
    }
    until
}

/// The newest plan of this leg and step that nobody has used, and whether nothing but old evidence has kept it from being used.
pub(super) fn last_plan(events: Vec<Recorded>, here: (usize, usize)) -> Option<(Plan, bool)> {
    let mut reusable = true;
    for recorded in events.into_iter().rev() {
        match recorded.event {
            // What came before may have been about another target: legs are counted anew.
            Event::EffectIntended { .. } | Event::LegsChosen { .. } | Event::StoodBack { .. } => return None,
            Event::ApprovalAsked { .. } | Event::Approved { .. } => reusable = false,
            Event::Refused { refusals, .. } => {
                reusable &= refusals.iter().all(|refusal| refusal.guard == Guard::Freshness);
            }
            Event::Planned { leg, step, plan, .. } => {
                return ((leg, step) == here).then_some((plan, reusable));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::incident::IncidentId;
    use crate::incident::plan::{Dispatch, Kind, Target};
    use crate::incident::refusal::Refusal;
    use crate::runbook::Action;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(minutes: u32) -> Timestamp {
        clock::after(Timestamp::UNIX_EPOCH, MINUTE * minutes)
    }

    fn recorded(events: Vec<Event>) -> Vec<Recorded> {
        let numbered = (1..).zip(events);
        numbered.map(|(seq, event)| Recorded { seq, at: at(1), event }).collect()
    }

    fn plan() -> Plan {
        let target = Target { kind: Kind::Terraform, namespace: "shop".to_owned(), name: "eks".to_owned() };
        Plan::bare(Action::Terraform, target, at(0))
    }

    fn planned() -> Event {
        Event::Planned { leg: 0, step: 1, plan: plan(), answers: Vec::new() }
    }

    fn refused(guard: Guard) -> Event {
        let refusal = Refusal { guard, saw: String::new(), limit: String::new(), until: None };
        Event::Refused { leg: 0, step: 1, refusals: vec![refusal], until: None }
    }

    #[test]
    fn a_plan_is_used_later_only_where_nothing_but_old_evidence_was_waited_for() {
        let last = |events: Vec<Event>| last_plan(recorded(events), (0, 1)).map(|(_, reusable)| reusable);
        assert_eq!(last(vec![planned()]), Some(true));
        assert_eq!(last(vec![planned(), refused(Guard::Freshness)]), Some(true));
        assert_eq!(last(vec![planned(), refused(Guard::Cooldown)]), Some(false));
        assert_eq!(last(vec![planned(), refused(Guard::Cooldown), refused(Guard::Freshness)]), Some(false));
        assert_eq!(last(vec![planned(), Event::LegsChosen { legs: Vec::new() }]), None, "another target");
        assert_eq!(last(vec![Event::Planned { leg: 1, step: 1, plan: plan(), answers: Vec::new() }]), None);
        assert_eq!(last(Vec::new()), None);
    }

    #[test]
    fn a_run_whose_answer_was_lost_is_never_taken_for_not_asked_for() {
        let op = OperationId::new(&IncidentId::new(1, 1), 1);
        let dispatch = Dispatch {
            workflow: "acme/infra/upgrade.yml@main".to_owned(),
            inputs: BTreeMap::new(),
            mark: "m".to_owned(),
            settles: MINUTE * 2,
        };
        let plan = Plan { dispatch: Some(dispatch), ..plan() };
        let granted = || Event::EffectRegranted { op: op.clone(), asked: Vec::new(), not_after: at(1) };
        let answer = |result| Event::EffectAnswered { op: op.clone(), result };
        let text = String::new;
        let not_taken = EffectResult::NotTaken { reason: text(), message: text() };
        let unclear = EffectResult::Unclear { reason: text(), message: text() };
        let looked = |events: Vec<Event>, minutes| {
            looked_at(&recorded(events), &op, &plan, Observation::NotDone, at(minutes))
        };
        assert!(matches!(looked(vec![granted()], 2), Observation::Unseen { .. }));
        assert!(matches!(looked(vec![granted()], 60), Observation::Ambiguous { .. }));
        assert!(matches!(looked(vec![granted(), answer(unclear)], 60), Observation::Ambiguous { .. }));
        assert_eq!(looked(vec![granted(), answer(not_taken)], 60), Observation::NotDone);
    }
}
