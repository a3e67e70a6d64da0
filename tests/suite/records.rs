//! The action that writes ACM's records to Route 53, against the sandbox's: a plan writes nothing, twice is as once, what somebody else has changed is left alone,
//! and whatever goes wrong at whichever call, what is said of it afterwards is true.

use std::collections::BTreeMap;
use std::time::Duration;

use runbookd::act::{Followed, Hands, PlanError, Restoring, Wish};
use runbookd::clients::Secret;
use runbookd::clients::acm::Acm;
use runbookd::clients::aws::{Aws, Service, Settings};
use runbookd::clients::kubernetes::{self, Kubernetes};
use runbookd::clients::route53::Route53;
use runbookd::clock::now;
use runbookd::incident::event::{EffectResult, Observation};
use runbookd::incident::plan::{Kind, Plan, Stays, Target};
use runbookd::runbook::{Action, Hash, Remedy};
use runbookd::sandbox::{
    ACCESS_KEY, HOST, NAMESPACE, Options, Sandbox, System, Trouble, ValidationRecord, World,
};

use crate::invariants::{permit, permit_for};

/// Nothing here takes as long, on however busy a machine.
const LIMIT: Duration = Duration::from_secs(150);

struct Set {
    sandbox: Sandbox,
    hands: Hands,
    /// Hands that give up soon.
    hasty: Hands,
}

impl Set {
    /// A certificate whose record is so.
    async fn new(record: ValidationRecord) -> Self {
        let sandbox =
            Sandbox::start(Options { traffic: false, pace: 100, ..Options::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
        let kubernetes = kubernetes::Settings { kubeconfig: Some(kubeconfig), context: None };
        let kubernetes = Kubernetes::connect(&kubernetes).await.unwrap();
        let with = |timeout: Duration| {
            let endpoints = BTreeMap::from([
                (Service::Acm, sandbox.acm_url()),
                (Service::Route53, sandbox.route53_url()),
            ]);
            let settings = Settings { endpoints, timeout, ..Settings::new("eu-central-1") };
            let aws = Aws::new(&settings.with_key(ACCESS_KEY, Secret::new("sandbox-secret"), None)).unwrap();
            Hands::new(kubernetes.clone()).with_certificates(Some((Acm::new(&aws), Route53::new(&aws))))
        };
        let (hands, hasty) = (with(LIMIT), with(Duration::from_secs(2)));
        sandbox.world().make_validation_record(record);
        Self { sandbox, hands, hasty }
    }

    fn world(&self) -> World {
        self.sandbox.world()
    }

    async fn try_plan(&self, name: &str) -> Result<Plan, PlanError> {
        let remedy = Remedy::Plain(Action::Route53);
        let wish = Wish { remedy: &remedy, stays: Stays::ForGood, make_it_last: None };
        let target =
            Target { kind: Kind::Certificate, namespace: NAMESPACE.to_owned(), name: name.to_owned() };
        self.hands.plan(&wish, &target, now(), now()).await
    }

    async fn plan(&self) -> Plan {
        self.try_plan(HOST).await.unwrap()
    }

    async fn apply(&self, plan: &Plan) -> EffectResult {
        self.hands.apply(permit(plan), now()).await
    }

    /// So many changes were sent.
    fn sent(&self) -> usize {
        let all = self.world().requests().into_iter();
        all.filter(|request| request.system == System::Route53 && request.method != "GET").count()
    }
}

fn handles(result: &EffectResult) -> &[String] {
    match result {
        EffectResult::Begun { handles } => handles,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_writes_nothing_and_twice_is_as_once() {
    for record in [ValidationRecord::Missing, ValidationRecord::Wrong] {
        let set = Set::new(record).await;
        let (plan, again) = (set.plan().await, set.plan().await);
        let judged = |plan: &Plan| plan.judged(&Hash("r".to_owned()), 0);
        assert_eq!(judged(&plan), judged(&again), "what a person judges moves");
        assert_eq!((set.hands.observe(&plan).await, set.sent()), (Observation::NotDone, 0));
        let first = set.apply(&plan).await;
        assert_eq!((handles(&first).len(), set.sent()), (1, 1));
        let second = set.apply(&plan).await;
        assert_eq!((handles(&second).len(), set.sent()), (0, 1), "it stands there already");
        assert_eq!(set.hands.observe(&plan).await, Observation::Done);
        let mut pending = false;
        let ended = async {
            loop {
                match set.hands.follow(&plan, handles(&first)).await {
                    Followed::Complete(saw) => return saw,
                    Followed::NotYet(_) => pending = true,
                    other => panic!("{other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let saw = tokio::time::timeout(LIMIT, ended).await.unwrap();
        assert!(pending && saw.contains("INSYNC"), "PENDING first, and then INSYNC: {saw}");
        // Nothing is ever put back.
        let restoring = set.hands.plan_restore(&[], &plan.target, now()).await;
        assert!(restoring.is_err() || restoring == Ok(Restoring { plan: None, released: Vec::new() }));
        let why = set.try_plan(HOST).await.unwrap_err();
        assert_eq!(
            (why.why.as_str(), why.for_good),
            ("every record that ACM asks for stands there already", true)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_changed_since_the_plan_is_left_alone() {
    for (found, since) in [
        (ValidationRecord::Missing, ValidationRecord::Wrong),
        (ValidationRecord::Missing, ValidationRecord::HeldByTxt),
        (ValidationRecord::Wrong, ValidationRecord::Missing),
    ] {
        let set = Set::new(found).await;
        let plan = set.plan().await;
        set.world().make_validation_record(since);
        let result = set.apply(&plan).await;
        assert!(
            matches!(&result, EffectResult::Refused { reason, .. } if reason == "conflict"),
            "{result:?}"
        );
        assert!(
            matches!(set.hands.observe(&plan).await, Observation::Ambiguous { .. }),
            "{found:?} {since:?}"
        );
        assert_eq!(set.sent(), 0, "{found:?} {since:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_certificate_or_a_persons_to_mend_gets_no_plan() {
    let set = Set::new(ValidationRecord::HeldByTxt).await;
    for (name, expected) in [
        (HOST, "no upsert mends it: "),
        ("other.example", "ACM has none for it"),
        ("not a domain", "expected a domain such as shop.example, or the ARN of a certificate"),
    ] {
        let error = set.try_plan(name).await.unwrap_err();
        assert!(error.for_good && error.why.contains(expected), "{name}: {error:?}");
    }
    let error = Set { hands: set.hands.clone().with_certificates(None), ..set };
    let error = error.try_plan(HOST).await.unwrap_err();
    assert_eq!(error.why, "the configuration has no `aws`, so ACM can not be asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_runs_out_while_it_is_read_writes_nothing() {
    let set = Set::new(ValidationRecord::Missing).await;
    let plan = set.plan().await;
    set.world().disturb(System::Acm, Some(Trouble::Slow { by: Duration::from_millis(1500) }));
    let result = set.hands.apply(permit_for(&plan, Duration::from_secs(1)), now()).await;
    let EffectResult::NotTaken { message, .. } = &result else { panic!("{result:?}") };
    assert_eq!(message, "the permit had run out before the call was made");
    assert_eq!(set.sent(), 0);
    set.world().disturb(System::Acm, None);
    assert!(!set.plan_is_done(&plan).await);
}

/// "Surely not" is never said of what happened, and "done" never of what did not.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_call_leaves_something_that_can_be_told() {
    let troubles = [
        Trouble::Down,
        Trouble::CutAfterApply,
        Trouble::Status(403, "{}".to_owned()),
        Trouble::Status(500, "broken".to_owned()),
        Trouble::RateLimited { retry_after: Duration::from_secs(1) },
    ];
    let mut all = tokio::task::JoinSet::new();
    for trouble in troubles {
        for system in [System::Acm, System::Route53] {
            // A few worlds at a time: each has servers of its own.
            while let Some(done) = all.join_next().await {
                done.unwrap();
            }
            for skipped in 0..4 {
                let trouble = trouble.clone();
                all.spawn(async move {
                    let set = Set::new(ValidationRecord::Missing).await;
                    let plan = set.plan().await;
                    set.world().disturb_after(system, trouble.clone(), skipped);
                    let result = set.hasty.apply(permit(&plan), now()).await;
                    set.world().disturb(system, None);
                    let told = format!("{system:?} {trouble:?} after {skipped}: {result:?}");
                    let happened = set.plan_is_done(&plan).await;
                    match &result {
                        EffectResult::Refused { .. } | EffectResult::NotTaken { .. } => {
                            assert!(!happened, "{told}")
                        }
                        EffectResult::Applied | EffectResult::Begun { .. } => assert!(happened, "{told}"),
                        EffectResult::InPart { .. } => panic!("{told}: there is one record"),
                        EffectResult::Unclear { .. } => {}
                    }
                    assert!(set.sent() <= 1, "{told}: sent again");
                });
            }
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

impl Set {
    /// Whether the record stands there as planned: seen by a plan that is made anew, and not by the one that is in question.
    async fn plan_is_done(&self, plan: &Plan) -> bool {
        let done = match self.try_plan(HOST).await {
            Ok(_) => false,
            Err(error) => error.why.contains("stands there already"),
        };
        let observed = self.hands.observe(plan).await;
        assert_eq!(observed, if done { Observation::Done } else { Observation::NotDone });
        done
    }
}
