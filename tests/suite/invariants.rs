//! What every action must keep, whatever it is tried on: the sandbox in `tests/suite/actions.rs`, a real cluster in `tests/cluster/`. A ground has
//! a target, and says what a write could have changed there. A new action is in here by being in `Action::ALL`.

use std::time::Duration;

use jiff::Timestamp;
use runbookd::act::{Followed, Hands, PlanError, Reverted, Wish};
use runbookd::clock::{after, now};
use runbookd::incident::changes::{Entries, Entry};
use runbookd::incident::event::{EffectResult, Event, Observation, Released};
use runbookd::incident::permit::{Asked, Permit, Wanted};
use runbookd::incident::plan::{Kind, Plan, Stays, Target};
use runbookd::incident::refusal::Answer;
use runbookd::incident::{IncidentId, OperationId};
use runbookd::runbook::{
    Action, Amount, By, CallTo, Hash, HttpCall, Observe, Remedy, ResourcePart, Resources, Scale, Variable,
    Variables,
};
use serde_json::{Value, json};

/// How long an effect may take to come to its end.
pub(crate) const LIMIT: Duration = Duration::from_secs(150);

/// A model that the inference service has not loaded.
pub(crate) const SMALL: &str = "samosachaat-d6";

/// An action on a kind of object, perhaps by way of the autoscaler of the object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case(pub(crate) Action, pub(crate) Kind, pub(crate) bool);

impl From<(Action, Kind)> for Case {
    fn from((action, kind): (Action, Kind)) -> Self {
        Self(action, kind, false)
    }
}

/// Every action, on every kind of object that it acts on.
pub(crate) fn cases() -> Vec<Case> {
    let of = |action: Action| {
        let scales = matches!(action, Action::Scale | Action::PutBack | Action::ChangeAgain);
        let by_autoscaler = scales.then_some(Case(action, Kind::Deployment, true));
        action.acts_on().iter().map(move |kind| Case(action, *kind, false)).chain(by_autoscaler)
    };
    // What is not in the cluster no other kind of server has: records of Route 53 have tests of their own.
    let in_the_cluster = |action: &Action| !action.acts_on().contains(&Kind::Certificate);
    Action::ALL.into_iter().filter(in_the_cluster).flat_map(of).collect()
}

/// How a plan is come by.
pub(crate) enum Wants {
    Remedy(Remedy),
    Restore(Vec<Entry>),
    Again(Box<Plan>),
}

impl Wants {
    /// What the action does in these tests, to a workload with this container; what is put back, or changed again, has to be changed first.
    pub(crate) fn of(Case(action, kind, by_autoscaler): Case, container: &str) -> Self {
        let first = match action {
            Action::PutBack | Action::ChangeAgain => match kind {
                _ if by_autoscaler => Action::Scale,
                Kind::StatefulSet => Action::Scale,
                Kind::DaemonSet => Action::Env,
                _ => Action::Resources,
            },
            action => action,
        };
        Self::Remedy(remedy(first, container))
    }
}

fn remedy(action: Action, container: &str) -> Remedy {
    match action {
        Action::Scale => Remedy::Scale(Scale { by: By::Add(1), at_most: 4 }),
        Action::Resources => {
            let part = |limit, to: &str| ResourcePart {
                limit,
                resource: "memory".to_owned(),
                to: Amount::Exactly(to.parse().unwrap()),
                baseline: None,
            };
            let parts = vec![part(true, "1Gi"), part(false, "256Mi")];
            Remedy::Resources(Resources { container: container.to_owned(), parts })
        }
        Action::Env => {
            let grow = Variable::Add { add: 10, default: Some(5), at_most: 40 };
            let variables = vec![("SQLALCHEMY_POOL_SIZE".to_owned(), grow)];
            Remedy::Env(Variables { container: None, variables, within: None })
        }
        Action::Http => Remedy::Http(Box::new(swap())),
        action => Remedy::Plain(action),
    }
}

/// The smaller model, told to every pod.
pub(crate) fn swap() -> HttpCall {
    let path = "/models/swap".to_owned();
    HttpCall {
        method: "POST".to_owned(),
        to: CallTo::EachPod { port: 8003, path },
        headers: vec![("X-Requested-By".to_owned(), "runbookd".to_owned())],
        json: Some(json!({"model_tag": SMALL})),
        within: Duration::from_secs(5),
        may_take: Duration::from_secs(30),
        observe: Some(Observe {
            at: "/stats".to_owned(),
            pointer: "/current_model".to_owned(),
            equals: json!(SMALL),
        }),
    }
}

/// What the ledger says after an effect.
pub(crate) fn entries(plan: &Plan) -> Vec<Entry> {
    let incident = IncidentId::new(1, 1);
    let op = OperationId::new(&incident, 1);
    let intended = Event::EffectIntended {
        op: op.clone(),
        leg: 0,
        step: 0,
        plan: plan.clone(),
        asked: Vec::new(),
        not_after: now(),
    };
    let mut entries = Entries::default();
    entries.after(&incident, now(), &intended);
    entries.after(&incident, now(), &Event::EffectAnswered { op, result: EffectResult::Applied });
    entries.into_inner()
}

/// Something to act on.
pub(crate) trait Ground {
    fn hands(&self) -> &Hands;
    fn target(&self) -> &Target;
    /// How the plans for it are come by.
    fn wants(&self) -> &Wants;
    fn want(&mut self, wants: Wants);
    /// What a write could have changed.
    async fn state(&self) -> Value;
    /// Until it is worth looking again.
    async fn moved(&self);

    async fn plan(&self, action: Action) -> Plan {
        match self.wants() {
            // Where one thing is set up and another one is done.
            Wants::Remedy(Remedy::Plain(_)) => self.tries(&Remedy::Plain(action)).await.unwrap(),
            Wants::Remedy(remedy) => self.tries(remedy).await.unwrap(),
            Wants::Restore(entries) => {
                let (plan, released) = self.restores(entries).await;
                assert_eq!(released, []);
                plan.unwrap()
            }
            Wants::Again(put_back) => self.hands().plan_again(put_back, now()).await.unwrap(),
        }
    }

    async fn tries(&self, remedy: &Remedy) -> Result<Plan, PlanError> {
        self.hands().plan(&wish(remedy), self.target(), now(), now()).await
    }

    async fn refuses(&self, remedy: &Remedy) -> String {
        let error = self.tries(remedy).await.unwrap_err();
        assert!(error.for_good, "{error}");
        error.why
    }

    async fn restores(&self, entries: &[Entry]) -> (Option<Plan>, Vec<Released>) {
        let restoring = self.hands().plan_restore(entries, self.target(), now()).await.unwrap();
        (restoring.plan, restoring.released)
    }

    /// Makes the change, and says what the ledger holds then.
    async fn changed(&self, remedy: &Remedy) -> Vec<Entry> {
        let plan = self.tries(remedy).await.unwrap();
        assert_eq!(self.apply(&plan).await, EffectResult::Applied);
        entries(&plan)
    }

    /// What has to be there before something can be put back, or changed again.
    async fn come_to(&mut self, action: Action) {
        if !matches!(action, Action::PutBack | Action::ChangeAgain) {
            return;
        }
        let changed = self.plan(action).await;
        assert_eq!(self.apply(&changed).await, EffectResult::Applied);
        self.want(Wants::Restore(entries(&changed)));
        if action == Action::ChangeAgain {
            let put_back = self.plan(action).await;
            assert_eq!(self.apply(&put_back).await, EffectResult::Applied);
            self.want(Wants::Again(Box::new(put_back)));
        }
    }

    async fn apply(&self, plan: &Plan) -> EffectResult {
        self.hands().apply(permit(plan), now()).await
    }

    async fn follow(&self, plan: &Plan) -> Followed {
        let until = after(now(), LIMIT);
        loop {
            match self.hands().follow(plan, &[]).await {
                Followed::NotYet(_) if now() < until => self.moved().await,
                other => return other,
            }
        }
    }
}

/// What a runbook with this remedy wants, for a while.
pub(crate) const fn wish(remedy: &Remedy) -> Wish<'_> {
    Wish { remedy, stays: Stays::For(Duration::from_secs(3_600)), make_it_last: None }
}

/// A permit that every guard granted.
pub(crate) fn permit(plan: &Plan) -> Permit {
    permit_for(plan, Duration::from_secs(30))
}

/// The same, for so long.
pub(crate) fn permit_for(plan: &Plan, good_for: Duration) -> Permit {
    let op = OperationId::new(&IncidentId::new(1, 1), 1);
    let wanted = Wanted { op, leg: 0, step: 0, plan: plan.clone(), again: false };
    let all = Asked::every(|guard| {
        (Answer { guard, saw: String::new(), limit: String::new(), allows: true }, None)
    });
    let not_after: Timestamp = after(now(), good_for);
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
    if let Some(sets) = &mut plan.sets {
        sets.uid = uid.to_owned();
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
    let is_for_a_while = action == Action::Cordon || action.sets_fields();
    assert_eq!(first == Reverted::Done, is_for_a_while, "{action:?} of {on}");
}
