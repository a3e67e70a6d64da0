//! Scenario 6 of the chaos page with the shipped runbook: a record that is missing or wrong is written, once and nothing beside it, and it has recovered when the new
//! certificate is presented; whatever an upsert does not mend, or nobody can tell, is a person's with the exact reason, and nothing is written.

use std::time::Duration;

use runbookd::sandbox::{System, Trouble, ValidationRecord, World};
use serde_json::{Value, json};

use super::{Flow, events, has, outcome, refusing};

const DAY: Duration = Duration::from_hours(24);

fn expiring() -> Value {
    json!({"alertname": "CertificateExpiresSoon", "instance": "https://samosachaat.art", "severity": "warning"})
}

/// The changes of records that were sent.
fn changes(world: &World) -> Vec<String> {
    let all = world.requests().into_iter();
    let wrote = all.filter(|request| request.system == System::Route53 && request.method != "GET");
    wrote.map(|request| request.body).collect()
}

impl Flow {
    /// The certificate ends in ten days, and its record is so.
    async fn runs_out(
        record: ValidationRecord,
        more: impl FnOnce(&mut runbookd::chaos::stage::Setting),
    ) -> Self {
        let flow = Self::with(more).await;
        let world = flow.world();
        world.make_validation_record(record);
        assert!(world.let_certificate_run_out(10 * DAY));
        flow.alert("firing", expiring()).await;
        flow
    }

    fn no_record_was_written(&self) {
        assert_eq!(changes(&self.world()), [""; 0]);
        self.nothing_was_called();
    }
}

fn answer<'a>(view: &'a Value, probe: &str) -> &'a Value {
    let mut all =
        events(view, "diagnosed").flat_map(|event| event["answers"].as_array().into_iter().flatten());
    all.find(|answer| answer["probe"] == probe).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_missing_or_wrong_is_written_and_the_certificate_is_renewed() {
    for (record, before) in
        [(ValidationRecord::Missing, "nothing"), (ValidationRecord::Wrong, "old.acm-validations.aws")]
    {
        let flow = Flow::runs_out(record, |_| {}).await;
        let world = flow.world();
        let view = flow.end().await;
        assert_eq!(outcome(&view), "recovered", "{view:#}");
        assert_eq!(answer(&view, "records_that_can_be_mended")["verdict"], "holds", "{view:#}");
        assert_eq!(answer(&view, "renewal_blocked")["verdict"], "holds", "{view:#}");
        let plan = &events(&view, "planned").last().unwrap()["plan"];
        assert_eq!(
            plan["says"],
            "write 1 validation record of certificate/samosachaat.art in samosachaat-prod in Route 53"
        );
        assert!(plan["change"]["before"].as_str().unwrap().starts_with(before), "{plan:#}");
        let begun = &events(&view, "effect_answered").last().unwrap()["result"]["begun"]["handles"];
        assert_eq!(begun.as_array().unwrap().len(), 1, "{view:#}");
        let completed = events(&view, "effect_completed").last().unwrap();
        assert_eq!(completed["saw"], "1 record is INSYNC, and as ACM asks for them");
        // In sync is not renewed: that came later, and was waited for.
        assert!(events(&view, "verified").any(|event| event["found"] == "fails"), "{view:#}");
        let changes = changes(&world);
        let [change] = changes.as_slice() else { panic!("{changes:#?}") };
        let count = |text: &str| change.matches(text).count();
        assert_eq!((count("<Change>"), count("UPSERT"), count("DELETE")), (1, 1, 0), "{change}");
        flow.nothing_was_called();
    }
}

/// What an upsert would not mend, and what is right already, is named and left.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_upsert_mends_is_a_persons_with_the_exact_reason() {
    for (record, reason) in [
        (ValidationRecord::HeldByTxt, "somebody else's"),
        (ValidationRecord::Right, "0 can be mended by an upsert, and 0 only by a person"),
    ] {
        let flow = Flow::runs_out(record, |_| {}).await;
        let view = flow.end().await;
        assert_eq!(outcome(&view), "not_recovered", "{view:#}");
        assert!(has(&view, "step_skipped"), "{view:#}");
        flow.told_that(reason).await;
        flow.no_record_was_written();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_aws_does_not_answer_or_forbids_it_nothing_is_written() {
    for (system, trouble) in [
        (System::Acm, Trouble::Status(503, "busy".to_owned())),
        (System::Route53, Trouble::Status(403, "no".to_owned())),
        (System::Route53, Trouble::Down),
    ] {
        let flow = Flow::runs_out(ValidationRecord::Missing, |setting| {
            let rule = setting.rules.iter_mut().find(|(name, _)| name == "certificate.yaml").unwrap();
            rule.1 = rule.1.replace("group_by:", "deadline: 5m\ngroup_by:");
        })
        .await;
        flow.world().disturb(system, Some(trouble));
        let view = flow.end().await;
        assert_ne!(outcome(&view), "recovered", "{view:#}");
        flow.no_record_was_written();
    }
}

/// Nobody hears that it was taken: it is looked for, seen, and not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_is_lost_is_looked_for_and_not_sent_again() {
    let flow = Flow::with(|_| {}).await;
    let world = flow.world();
    world.disturb_next(System::Route53, Trouble::CutAfterApply, 1);
    world.make_validation_record(ValidationRecord::Missing);
    assert!(world.let_certificate_run_out(10 * DAY));
    flow.alert("firing", expiring()).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "recovered", "{view:#}");
    let observed = events(&view, "effect_observed").last().unwrap();
    assert_eq!(observed["found"], "done", "{view:#}");
    let completed = events(&view, "effect_completed").last().unwrap();
    assert!(completed["saw"].as_str().unwrap().contains("which changes of Route 53 they were is not known"));
    assert_eq!(changes(&world).len(), 1, "{:#?}", changes(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_it_says_what_it_would_write_and_writes_nothing() {
    let flow =
        Flow::runs_out(ValidationRecord::Missing, |setting| setting.ceiling = "shadow".to_owned()).await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "would_act", "{view:#}");
    flow.no_record_was_written();
}

/// The namespace that the certificate is for is none that may be acted on.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_listed_keeps_its_records_as_they_are() {
    let flow =
        Flow::runs_out(ValidationRecord::Missing, |setting| setting.namespaces = "{staging: act}".to_owned())
            .await;
    let view = flow.end().await;
    assert_eq!(outcome(&view), "blocked", "{view:#}");
    assert!(refusing(&view).iter().any(|guard| guard == "namespace"), "{view:#}");
    flow.no_record_was_written();
}
