//! Whether new pods are kept away from a node, changed by somebody who has written it into the ledger, and put back by the daemon: only what is still as
//! it was left, and only on the very node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runbookd::act::{Followed, Reverted};
use runbookd::clients::Reason;
use runbookd::clients::kubernetes::{Plain, SetTo};
use runbookd::clock::{after, now};
use runbookd::guard::{self, Policy, Question};
use runbookd::incident::changes::Entry;
use runbookd::incident::event::{EffectResult, Observation, Released};
use runbookd::incident::ledger::Ledger;
use runbookd::incident::permit::Wanted;
use runbookd::incident::plan::{Kind, Plan, SetField, Sets, Stays, Target};
use runbookd::incident::refusal::Guard;
use runbookd::incident::{IncidentId, OperationId};
use runbookd::runbook::{Action, Field, Mode, Rate, load};
use serde_json::{Value, json};

use crate::actions::{Set, set_for};
use crate::invariants::{Ground as _, entries, permit};

const FOR: Duration = Duration::from_secs(600);
const OTHER_UID: &str = "00000000-0000-4000-a000-000000000000";

/// A node, and somebody's note of its cordon.
struct Cordoned {
    set: Set,
    entry: Entry,
}

impl Cordoned {
    /// The node takes no new pods, and the ledger knows why. `namespace`: what the note names beside it.
    async fn new(namespace: &str) -> Self {
        let mut set = set_for((Action::Cordon, Kind::Node)).await;
        set.target.namespace = namespace.to_owned();
        let uid = set.world.node(&set.target.name).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
        let field = SetField {
            field: Field::Unschedulable,
            before: None,
            after: Some("true".to_owned()),
            baseline: None,
        };
        let sets = Sets {
            object: set.target.clone(),
            uid: uid.clone(),
            fields: vec![field],
            stays: Stays::For(FOR),
            make_it_last: None,
        };
        let plan = Plan { uid, sets: Some(sets), ..Plan::bare(Action::Cordon, set.target.clone(), now()) };
        let entry = entries(&plan).remove(0);
        let cordoned = Self { set, entry };
        cordoned.edit(|spec| spec["unschedulable"] = json!(true));
        cordoned
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let Set { world, target, .. } = &self.set;
        assert!(world.edit_node(&target.name, |node| edit(&mut node["spec"])));
    }

    fn spec(&self) -> Value {
        self.set.world.node(&self.set.target.name).unwrap()["spec"].clone()
    }

    async fn restores(&self, entry: &Entry) -> (Option<Plan>, Vec<Released>) {
        self.set.restores(std::slice::from_ref(entry)).await
    }

    /// It is nobody's to put back, and nothing is written; what is said of it.
    async fn is_released(&self, entry: &Entry, left_alone: bool) -> String {
        let (plan, mut released) = self.restores(entry).await;
        assert_eq!((plan, released.len()), (None, 1));
        let released = released.remove(0);
        assert_eq!((&released.field, released.left_alone), (&Field::Unschedulable, left_alone));
        assert!(self.set.world.writes().is_empty());
        released.why
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_pods_again_when_the_time_has_come() {
    for (namespace, base) in [("", None), ("samosachaat-prod", Some("false"))] {
        let mut node = Cordoned::new(namespace).await;
        node.entry.base = base.map(str::to_owned);
        assert!(!node.entry.is_due(now()) && node.entry.is_due(after(now(), FOR)));
        let (plan, released) = node.restores(&node.entry).await;
        let plan = plan.unwrap();
        assert_eq!(released, []);
        let said = format!("put back unschedulable in node/{} from true to false", node.set.target.name);
        assert_eq!((plan.action, plan.says.as_str()), (Action::PutBack, said.as_str()));
        assert_eq!(plan.uid, node.entry.uid);
        assert!(plan.touches.is_empty(), "nothing is rolled out: {:?}", plan.touches);
        assert_eq!(node.set.hands.observe(&plan).await, Observation::NotDone);
        assert_eq!(node.set.apply(&plan).await, EffectResult::Applied);
        assert_eq!(node.spec().get("unschedulable"), None, "as the API server writes it");
        assert_eq!(node.set.hands.observe(&plan).await, Observation::Done);
        let end = node.set.hands.follow(&plan, &[]).await;
        let said = format!("unschedulable in node/{} is false", node.set.target.name);
        assert_eq!(end, Followed::Complete(said));
        // Sent a second time it finds its own work done.
        let writes = node.set.world.writes().len();
        assert_eq!(node.set.apply(&plan).await, EffectResult::Applied);
        assert_eq!((writes, node.set.world.writes().len()), (1, 1));

        let again = node.set.hands.plan_again(&plan, now()).await.unwrap();
        assert_eq!(again.sets.as_ref().unwrap().fields[0].to_string(), "unschedulable false -> true");
        assert_eq!(node.set.apply(&again).await, EffectResult::Applied);
        assert_eq!(node.spec()["unschedulable"], true);
        assert_eq!(node.set.hands.revert(permit(&again), now()).await, Reverted::Done);
        assert_eq!(node.spec().get("unschedulable"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_uncordoned_is_left_alone() {
    let node = Cordoned::new("").await;
    let (plan, _) = node.restores(&node.entry).await;
    node.edit(|spec| drop(spec.as_object_mut().unwrap().remove("unschedulable")));
    let why = node.is_released(&node.entry, false).await;
    let said = format!("unschedulable in node/{} is false already, ", node.set.target.name);
    assert!(why.starts_with(&said), "{why}");
    assert!(why.ends_with("; runbookd had changed it from false to true"), "{why}");
    // Whoever was faster than the plan has done what it would.
    let plan = plan.unwrap();
    assert_eq!(node.set.apply(&plan).await, EffectResult::Applied);
    assert!(node.set.world.writes().is_empty());
    // And who cordons anew after it was put back has a cordon of their own.
    node.edit(|spec| spec["unschedulable"] = json!(true));
    let end = node.set.hands.follow(&plan, &[]).await;
    assert!(matches!(&end, Followed::Overtaken(saw) if saw.contains("was put back to true")), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_took_its_cordon_with_it() {
    let node = Cordoned::new("").await;
    let (plan, _) = node.restores(&node.entry).await;
    let plan = plan.unwrap();
    node.set.world.remove_node(&node.set.target.name);
    let why = node.is_released(&node.entry, false).await;
    let name = &node.set.target.name;
    assert_eq!(
        why,
        format!("node/{name} is gone, and unschedulable with it; runbookd had changed it from false to true")
    );
    let result = node.set.apply(&plan).await;
    assert!(matches!(result, EffectResult::Refused { .. }), "{result:?}");
    let end = node.set.hands.follow(&plan, &[]).await;
    assert_eq!(end, Followed::Overtaken(format!("node/{name} is gone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_of_the_same_name_is_never_touched() {
    let node = Cordoned::new("").await;
    let before = node.spec();
    let other = Entry { uid: OTHER_UID.to_owned(), ..node.entry.clone() };
    let why = node.is_released(&other, false).await;
    assert!(why.contains("is another object of the same name, made at "), "{why}");
    let (plan, _) = node.restores(&node.entry).await;
    let mut plan = plan.unwrap();
    plan.sets.as_mut().unwrap().uid = OTHER_UID.to_owned();
    let result = node.set.apply(&plan).await;
    assert!(matches!(result, EffectResult::Refused { .. }), "{result:?}");
    let seen = node.set.hands.observe(&plan).await;
    assert!(matches!(seen, Observation::Ambiguous { .. }), "{seen:?}");
    assert!(node.set.world.writes().is_empty());
    assert_eq!(node.spec(), before);
}

/// After the node was read only the API server can tell.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_between_reading_and_writing_wins() {
    let edits: [fn(&mut Value); 2] = [
        |node| drop(node["spec"].as_object_mut().unwrap().remove("unschedulable")),
        |node| node["metadata"]["uid"] = json!(OTHER_UID),
    ];
    for edit in edits {
        let node = Cordoned::new("").await;
        let object = node.set.kubernetes.object("node", "", &node.set.target.name).await.unwrap();
        let path = Field::Unschedulable.path();
        let patch = object.patch(&[SetTo { path: &path, to: Some("false"), plain: Plain::Boolean }]).unwrap();
        assert!(node.set.world.edit_node(&node.set.target.name, edit));
        let theirs = node.spec();
        let error = node.set.kubernetes.patch_fields(patch).await.unwrap_err();
        assert_eq!(error.reason, Reason::Conflict, "{error}");
        assert_eq!(node.spec(), theirs);
    }
}

/// What an operator has lowered since holds nothing up that was meant for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_namespace_is_named_with_is_put_back_and_not_changed() {
    let node = Cordoned::new("").await;
    let (plan, _) = node.restores(&node.entry).await;
    let put_back = plan.unwrap();
    let text = "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: web\nsummary: Help it.\nalerts: ['alertname=\"Web\"']\n\
                confirm: {errors: {loki: '{app=\"web\"} |= \"error\"', window: 5m, at_least: 5}}\n\
                targets: {deployment: web}\nsteps:\n- remediate: restart the pods\n  restart: {}\n  verify: {within: 5m, hold: 1m, all: [{rollout: complete}]}\n";
    let runbook = Arc::new(load::read_text(text, None, 1).unwrap_or_else(|faults| panic!("{faults}")));
    let refusals = |plan: Plan| -> Vec<Guard> {
        let op = OperationId::new(&IncidentId::new(1, 1), 1);
        let question = Question {
            wanted: Wanted { op, leg: 0, step: 0, plan, again: false },
            runbook: Arc::clone(&runbook),
            policy: Arc::new(Policy {
                ceiling: Mode::Off,
                namespaces: BTreeMap::new(),
                nodes: Mode::Off,
                rate: Rate { count: 1, per: FOR },
                proof: None,
            }),
            held_at: Some(now()),
            approved: false,
            most: Mode::Act,
        };
        let ledger = Ledger {
            now: now(),
            pause: None,
            in_flight: Vec::new(),
            attempts: Vec::new(),
            proofs: Vec::new(),
        };
        guard::grant(&question, &ledger)
            .err()
            .into_iter()
            .flat_map(|asked| asked.refusals().to_vec())
            .map(|no| no.guard)
            .collect()
    };
    assert_eq!(refusals(put_back.clone()), []);
    let in_a_namespace = Target { namespace: "shop".to_owned(), ..put_back.target.clone() };
    assert_eq!(refusals(Plan { target: in_a_namespace, ..put_back.clone() }), [Guard::Namespace]);
    let cordon = Plan { action: Action::Cordon, ..put_back };
    assert_eq!(refusals(cordon), [Guard::Mode, Guard::Namespace]);
}
