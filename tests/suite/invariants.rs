//! What every action must keep, whatever it is tried on: the sandbox in `tests/suite/actions.rs`, a real cluster in `tests/cluster/`. A ground has
//! a target, and says what a write could have changed there.

use std::time::Duration;

use jiff::Timestamp;
use runbookd::act::{Followed, Hands, Reverted};
use runbookd::clock::{after, now};
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::permit::{Asked, Permit, Wanted};
use runbookd::incident::plan::{Plan, Target};
use runbookd::incident::refusal::Answer;
use runbookd::incident::{IncidentId, OperationId};
use runbookd::runbook::{Action, Hash};
use serde_json::Value;

/// How long an effect may take to come to its end.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Something to act on.
pub(crate) trait Ground {
    fn hands(&self) -> &Hands;
    fn target(&self) -> &Target;
    /// What a write could have changed.
    async fn state(&self) -> Value;
    /// Until it is worth looking again.
    async fn moved(&self);

    async fn plan(&self, action: Action) -> Plan {
        self.hands().plan(action, self.target(), now(), now()).await.unwrap()
    }

    async fn apply(&self, plan: &Plan) -> EffectResult {
        self.hands().apply(permit(plan), now()).await
    }

    async fn follow(&self, plan: &Plan) -> Followed {
        let until = after(now(), LIMIT);
        loop {
            match self.hands().follow(plan).await {
                Followed::NotYet(_) if now() < until => self.moved().await,
                other => return other,
            }
        }
    }
}

/// A permit that every guard granted.
pub(crate) fn permit(plan: &Plan) -> Permit {
    let op = OperationId::new(&IncidentId::new(1, 1), 1);
    let wanted = Wanted { op, leg: 0, step: 0, plan: plan.clone(), again: false };
    let all = Asked::every(|guard| {
        (Answer { guard, saw: String::new(), limit: String::new(), allows: true }, None)
    });
    let not_after: Timestamp = after(now(), Duration::from_secs(30));
    all.grant(wanted, not_after).unwrap().1
}

pub(crate) async fn a_plan_changes_nothing_and_says_the_same_again(ground: &impl Ground, action: Action) {
    let on = ground.target();
    let before = ground.state().await;
    let (first, second) = (ground.plan(action).await, ground.plan(action).await);
    assert_eq!(ground.state().await, before, "{action:?} of {on}");
    let hash = Hash("r".to_owned());
    let judged = |plan: &Plan| plan.judged(&hash, 0);
    assert_eq!(judged(&first), judged(&second), "{action:?} of {on}: what a person judges moves");
    assert_eq!(ground.hands().observe(&first).await, Observation::NotDone, "{action:?} of {on}");
}

pub(crate) async fn applied_twice_is_as_once_and_comes_to_its_end(ground: &impl Ground, action: Action) {
    let on = ground.target();
    let plan = ground.plan(action).await;
    let before = ground.state().await;
    assert_eq!(ground.apply(&plan).await, EffectResult::Applied, "{action:?} of {on}");
    let once = ground.state().await;
    assert_ne!(once, before, "{action:?} of {on} changes nothing");
    assert_eq!(ground.hands().observe(&plan).await, Observation::Done, "{action:?} of {on}");
    assert_eq!(ground.apply(&plan).await, EffectResult::Applied, "{action:?} of {on}");
    assert_eq!(ground.state().await, once, "{action:?} of {on} done twice");
    let end = ground.follow(&plan).await;
    assert!(matches!(end, Followed::Complete(_)), "{action:?} of {on}: {end:?}");
    assert_eq!(ground.hands().observe(&plan).await, Observation::Done, "{action:?} of {on}, after its end");
}

pub(crate) async fn another_object_of_the_same_name_is_never_touched(ground: &impl Ground, action: Action) {
    let on = ground.target();
    let uid = "00000000-0000-4000-a000-000000000000";
    let mut plan = Plan { uid: uid.to_owned(), ..ground.plan(action).await };
    for object in &mut plan.objects {
        object.uid = uid.to_owned();
    }
    let before = ground.state().await;
    let result = ground.apply(&plan).await;
    assert_eq!(ground.state().await, before, "{action:?} of {on}");
    let seen = ground.hands().observe(&plan).await;
    if matches!(action, Action::Evict | Action::DeletePod) {
        assert_eq!(result, EffectResult::Applied, "{action:?} of {on}");
        // No uid is given twice: a pod of another one says that ours is gone, which was all that was wanted.
        assert_eq!(seen, Observation::Done, "{action:?} of {on}");
    } else {
        assert!(matches!(result, EffectResult::Refused { .. }), "{action:?} of {on}: {result:?}");
        assert!(matches!(seen, Observation::Ambiguous { .. }), "{action:?} of {on}: {seen:?}");
    }
}

/// What was changed for a while is as it was; what was not, is left as it is.
pub(crate) async fn reverted_twice_is_as_once(ground: &impl Ground, action: Action) {
    let on = ground.target();
    let before = ground.state().await;
    let plan = ground.plan(action).await;
    assert_eq!(ground.apply(&plan).await, EffectResult::Applied, "{action:?} of {on}");
    let done = ground.state().await;
    let first = ground.hands().revert(permit(&plan), now()).await;
    let once = ground.state().await;
    assert_eq!(ground.hands().revert(permit(&plan), now()).await, first, "{action:?} of {on}");
    assert_eq!(ground.state().await, once, "{action:?} of {on} put back twice");
    match first {
        Reverted::Nothing => assert_eq!(once, done, "{action:?} of {on}"),
        Reverted::Done => assert_eq!(once, before, "{action:?} of {on}"),
        other => panic!("{action:?} of {on}: {other:?}"),
    }
    assert_eq!(first == Reverted::Done, action == Action::Cordon, "{action:?} of {on}");
}
