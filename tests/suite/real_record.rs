//! The drill that gives ACM's validation record another value, against the sandbox: the note is there before it, the record is never deleted nor written over when it is somebody
//! else's, and whatever breaks off at whichever call is found by the note and put back.

use std::time::Duration;

use runbookd::chaos::real::{Bounds, Ground, INJECTED, NotMade, Note, Undo, Undone, Wanted};
use runbookd::clients::acm::Which;
use runbookd::clients::route53::{Compared, Standing, wanted};
use runbookd::sandbox::{HOST, System, Trouble, ValidationRecord};
use serde_json::json;

use super::real_faults::{RUN, Set, note_of, noted, record, said, set};

const LIMIT: Duration = Duration::from_secs(30);
const NOTHING: [String; 0] = [];

impl Set {
    /// How it is with the record, as the daemon sees it.
    async fn compared(&self) -> Compared {
        let (acm, route53) = self.ground.certificates.as_ref().unwrap();
        let certificate = acm.certificate(&Which::parse(HOST).unwrap()).await.unwrap().unwrap();
        route53.compare(&wanted(&[certificate])).await.unwrap().remove(0)
    }

    /// What stands there that is not right.
    async fn values(&self) -> Vec<String> {
        match self.compared().await.standing {
            Standing::Different(_, values) => values,
            Standing::Right(_) => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    /// What the daemon's action does.
    async fn mend(&self) {
        let upsert = self.compared().await.repair().unwrap();
        self.ground.certificates.as_ref().unwrap().1.upsert(&upsert).await.unwrap();
    }

    fn asked(&self, system: System) -> usize {
        self.world.requests().iter().filter(|request| request.system == system).count()
    }
}

fn at(host: &str) -> Wanted {
    Wanted::ValidationRecord { host: host.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_right_or_not_to_be_found_is_not_touched() {
    let set = set().await;
    let mut told = String::new();
    let bare = Ground { certificates: None, ..set.ground.clone() };
    told += &format!("{}\n", bare.plan(&record(), &Bounds::default()).await.unwrap_err());
    for host in ["", "shop", "arn:aws:acm:eu-central-1:123456789012:certificate/1", "other.example"] {
        told += &format!("{}\n", set.refused(&at(host), Bounds::default()).await);
    }
    for is in [ValidationRecord::Missing, ValidationRecord::Wrong, ValidationRecord::HeldByTxt] {
        set.world.make_validation_record(is);
        told += &format!("{}\n", set.refused(&record(), Bounds::default()).await);
    }
    set.world.make_validation_record(ValidationRecord::Right);
    set.world.let_certificate_run_out(Duration::ZERO);
    told += &format!("{}\n", set.refused(&record(), Bounds::default()).await);
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_names_the_run_and_acm_renews_when_it_is_right_again() {
    let set = set().await;
    // A name that only the star stands for is validated by the same record.
    set.plan(&at("cdn.samosachaat.art")).await;
    let planned = set.plan(&record()).await;
    set.nothing_was_written();
    set.ground.make(&planned, &noted(&planned)).await.unwrap();
    let order: Vec<_> = set.world.requests().into_iter().filter(|one| one.method != "GET").collect();
    // ACM's questions are POSTs, too.
    let order: Vec<_> = order.iter().map(|one| one.system).filter(|system| *system != System::Acm).collect();
    assert_eq!(order, [System::Kubernetes, System::Route53], "the note comes first");
    let ours = "runbookd-drill-run-1._98d2646601fa951d53639ac514e785e8.jkddzztszm.acm-validations.aws.";
    assert_eq!(set.values().await, [ours]);
    let [sent] = set.records_written().try_into().unwrap();
    for (what, times) in
        [("<Change>", 1), ("<Action>UPSERT<", 1), ("<TTL>300<", 1), ("<Type>CNAME<", 1), (ours, 1)]
    {
        assert_eq!(sent.matches(what).count(), times, "{what}: {sent}");
    }
    assert!(!set.world.validation_record_is_right());
    set.world.let_certificate_run_out(Duration::from_hours(24 * 10));
    let renewal = async || {
        let (acm, _) = set.ground.certificates.as_ref().unwrap();
        let certificate = acm.certificate(&Which::parse(HOST).unwrap()).await.unwrap().unwrap();
        certificate.renewal.map(|renewal| renewal.status)
    };
    tokio::time::sleep(set.world.real(Duration::from_mins(6))).await;
    assert_eq!(renewal().await.as_deref(), Some("PENDING_VALIDATION"));
    let undone = set.ground.undo(&planned, RUN).await.unwrap();
    assert!(matches!(undone, Undone::Done(_)), "{undone}");
    assert_eq!((set.left(), set.records_written().len()), (NOTHING.to_vec(), 2));
    let days = Duration::from_hours(24 * 30);
    assert!(set.world.until(LIMIT, |world| world.certificate_left() > days).await, "{:?}", renewal().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_and_a_run_that_is_no_name_change_nothing() {
    let set = set().await;
    let planned = set.plan(&record()).await;
    for run in ["", "a.b", "run_1", "run-", &"r".repeat(60)] {
        let not_made = set.ground.make(&planned, &note_of(&planned, run)).await.unwrap_err();
        assert!(matches!(not_made, NotMade::Refused(_)), "{run}: {not_made}");
    }
    // A note of another run's value.
    let mixed = Note { run: "run-2".to_owned(), ..noted(&planned) };
    assert!(matches!(set.ground.make(&planned, &mixed).await.unwrap_err(), NotMade::Refused(_)));
    set.nothing_was_written();
    set.make(&record()).await;
    let why = set.ground.plan(&record(), &Bounds::default()).await.unwrap_err().to_string();
    assert!(why.starts_with("namespace/") && why.contains("the run run-1 of a-scenario"), "{why}");
    assert!(set.ground.make(&planned, &note_of(&planned, "run-2")).await.is_err());
    let undone = set.ground.undo(&planned, "run-2").await.unwrap();
    assert!(matches!(undone, Undone::LeftAlone(_)), "{undone}");
    assert_eq!((set.world.writes().len(), set.records_written().len()), (1, 1));
    // Who has no AWS can not undo it, and says so; the note stays for somebody who has.
    let bare = Ground { certificates: None, ..set.ground.clone() };
    assert!(bare.undo(&planned, RUN).await.is_err());
    assert_eq!(set.left().len(), 2);
    assert!(matches!(set.ground.undo(&planned, RUN).await.unwrap(), Undone::Done(_)));
    assert!(matches!(set.ground.undo(&planned, RUN).await.unwrap(), Undone::Nothing(_)));
    assert_eq!(set.left(), NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_somebody_has_made_up_writes_no_record() {
    let set = set().await;
    let planned = set.make(&record()).await;
    let note = noted(&planned);
    let Undo::Record { zone, name, base, ours } = note.undo.clone() else { panic!("{note:?}") };
    let theirs = "_0000000000000000000000000000000a.jkddzztszm.acm-validations.aws".to_owned();
    let forged = [
        // Another value, that would be right for somebody else's certificate.
        Undo::Record { zone: zone.clone(), name: name.clone(), base: theirs.clone(), ours: ours.clone() },
        Undo::Record {
            zone: zone.clone(),
            name: name.clone(),
            base: "evil.example".to_owned(),
            ours: ours.clone(),
        },
        // Another record, which is not a drill's.
        Undo::Record {
            zone: zone.clone(),
            name: "www.samosachaat.art".to_owned(),
            base: base.clone(),
            ours: ours.clone(),
        },
        Undo::Record { zone: zone.clone(), name: name.clone(), base, ours: theirs },
        Undo::Uncordon,
    ];
    for undo in forged {
        let text = Note { undo, ..note.clone() }.text();
        set.world.edit_namespace(|namespace| namespace["metadata"]["annotations"][INJECTED] = json!(text));
        let cleaned = set.cleanup().await;
        assert!(matches!(cleaned[0].came, Ok(Undone::LeftAlone(_))), "{text}: {}", said(&cleaned));
        assert_eq!((set.world.writes().len(), set.records_written().len()), (1, 1), "{text}");
    }
    // A zone that this account does not have: with other credentials it may.
    let undo = Undo::Record { zone: "Z02SANDBOXPRIVATE".to_owned(), name, base: ours.clone(), ours };
    let text = Note { undo, ..note }.text();
    set.world.edit_namespace(|namespace| namespace["metadata"]["annotations"][INJECTED] = json!(text));
    assert!(set.cleanup().await[0].came.is_err());
    assert_eq!((set.world.writes().len(), set.records_written().len()), (1, 1));
}

/// What somebody else does while a drill stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Nothing,
    /// They write a value of their own.
    Writes,
    /// The daemon writes the right value, where it is wrong.
    Mends,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_at_any_call_is_cleaned_up_and_nobody_is_overwritten() {
    let calm = set().await;
    let planned = calm.plan(&record()).await;
    let before = [System::Kubernetes, System::Route53].map(|system| (system, calm.asked(system)));
    calm.ground.make(&planned, &noted(&planned)).await.unwrap();
    for (system, before) in before {
        let calls = calm.asked(system) - before;
        for trouble in [Trouble::CutAfterApply, Trouble::RefuseWrites403] {
            for skipped in 0..2 {
                for meanwhile in [Meanwhile::Nothing, Meanwhile::Writes, Meanwhile::Mends] {
                    break_off((system, trouble.clone(), skipped), meanwhile).await;
                }
            }
        }
        let broken = Trouble::Status(500, "broken".to_owned());
        let denied = Trouble::Status(403, "<ErrorResponse/>".to_owned());
        for trouble in [Trouble::Down, broken, denied] {
            // The last call and the one before it: reads before them write nothing, which other faults show.
            for skipped in calls.saturating_sub(2)..=calls {
                for meanwhile in [Meanwhile::Nothing, Meanwhile::Writes, Meanwhile::Mends] {
                    break_off((system, trouble.clone(), skipped), meanwhile).await;
                }
            }
        }
    }
}

async fn break_off((system, trouble, skipped): (System, Trouble, usize), meanwhile: Meanwhile) {
    let case = format!("{system:?}: {trouble:?} after {skipped}, then {meanwhile:?}");
    let set = set().await;
    let planned = set.plan(&record()).await;
    set.world.disturb_after(system, trouble, u32::try_from(skipped).unwrap());
    let made = set.ground.make(&planned, &noted(&planned)).await;
    set.world.disturb(system, None);
    assert!(set.records_written().len() <= 1, "{case}: it was sent twice");
    let noted = set.world.namespace()["metadata"]["annotations"][INJECTED].is_string();
    let right = set.world.validation_record_is_right();
    assert!(right || noted, "{case}: a fault without a note: {made:?}");
    assert!(made.is_err() || noted && !right, "{case}: {made:?}");
    match meanwhile {
        Meanwhile::Writes => set.world.make_validation_record(ValidationRecord::Wrong),
        Meanwhile::Mends if !right => set.mend().await,
        Meanwhile::Nothing | Meanwhile::Mends => {}
    }
    let sent = set.records_written().len();
    let cleaned = set.cleanup().await;
    let told = said(&cleaned);
    assert!(cleaned.iter().all(|one| one.came.is_ok()), "{case}: {told}");
    assert_eq!(cleaned.len(), usize::from(noted), "{case}: {told}");
    let expected = match meanwhile {
        Meanwhile::Writes => vec!["the record is wrong".to_owned()],
        Meanwhile::Nothing | Meanwhile::Mends => Vec::new(),
    };
    assert_eq!(set.left(), expected, "{case}: {made:?}\n{told}");
    if meanwhile == Meanwhile::Writes {
        assert_eq!(set.values().await, ["old.acm-validations.aws."], "{case}");
        assert_eq!(told.contains("left alone"), noted, "{case}: {told}");
    }
    let puts_back = usize::from(meanwhile == Meanwhile::Nothing && !right);
    assert_eq!(set.records_written().len() - sent, puts_back, "{case}: {told}");
    let writes = set.world.writes().len();
    assert_eq!(set.cleanup().await, [], "{case}");
    assert_eq!(set.world.writes().len(), writes, "{case}");
}

/// A change that is refused is none, and the note is taken back; when that fails as well, it stays.
#[tokio::test(flavor = "multi_thread")]
async fn the_note_of_a_refused_change_is_taken_back_at_once() {
    for note_stays in [false, true] {
        let set = set().await;
        let planned = set.plan(&record()).await;
        let before = set.asked(System::Route53);
        set.plan(&record()).await;
        let reads = u32::try_from(set.asked(System::Route53) - before).unwrap();
        set.world.disturb_after(System::Route53, Trouble::Status(403, "<ErrorResponse/>".to_owned()), reads);
        if note_stays {
            set.world.disturb_after(System::Kubernetes, Trouble::RefuseWrites403, 1);
        }
        let not_made = set.ground.make(&planned, &noted(&planned)).await.unwrap_err().to_string();
        assert_eq!(not_made.ends_with("and the note is taken back"), !note_stays, "{not_made}");
        assert_eq!(!set.left().is_empty(), note_stays, "{not_made}");
        set.world.disturb(System::Route53, None);
        set.world.disturb(System::Kubernetes, None);
        set.cleanup().await;
        assert_eq!((set.left(), set.records_written().len()), (NOTHING.to_vec(), 1));
    }
}

/// Ending it breaks off, too: the note stays until the record is right.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_answer_is_lost_is_looked_for_and_one_that_is_refused_is_tried_by_the_next_cleanup() {
    let set = set().await;
    let planned = set.make(&record()).await;
    // Refused: nothing changes. The zones and the record are read first.
    set.world.disturb_after(System::Route53, Trouble::Status(403, "<ErrorResponse/>".to_owned()), 3);
    let error = set.ground.undo(&planned, RUN).await.unwrap_err();
    assert!(error.to_string().contains("write _3639ac514e785e898d2646601fa951d5"), "{error}");
    assert_eq!((set.left().len(), set.records_written().len()), (2, 2));
    // Taken, and nobody says so; and the note can not be taken off.
    set.world.disturb(System::Route53, Some(Trouble::CutAfterApply));
    set.world.disturb(System::Kubernetes, Some(Trouble::RefuseWrites403));
    set.ground.undo(&planned, RUN).await.unwrap_err();
    assert!(set.world.validation_record_is_right());
    assert_eq!((set.left().len(), set.records_written().len()), (1, 3));
    // Then only the note is left; that its answer is lost makes no difference to the record.
    set.world.disturb(System::Kubernetes, Some(Trouble::CutAfterApply));
    set.ground.undo(&planned, RUN).await.unwrap_err();
    set.world.disturb(System::Kubernetes, None);
    assert_eq!(set.cleanup().await, []);
    assert_eq!((set.left(), set.records_written().len()), (NOTHING.to_vec(), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_between_the_plan_and_the_drill_stays() {
    for is in [ValidationRecord::Missing, ValidationRecord::Wrong, ValidationRecord::HeldByTxt] {
        let set = set().await;
        let planned = set.plan(&record()).await;
        set.world.make_validation_record(is);
        let not_made = set.ground.make(&planned, &noted(&planned)).await.unwrap_err();
        assert!(matches!(not_made, NotMade::Refused(_)), "{not_made}");
        set.nothing_was_written();
    }
    // And what is removed or held while it stands is left to whoever did that.
    for (is, saw) in
        [(ValidationRecord::Missing, "nothing stands there"), (ValidationRecord::HeldByTxt, "a TXT")]
    {
        let set = set().await;
        let planned = set.make(&record()).await;
        set.world.make_validation_record(is);
        let undone = set.ground.undo(&planned, RUN).await.unwrap();
        let Undone::LeftAlone(why) = undone else { panic!("{undone}") };
        assert!(why.contains(saw) && why.contains("only the note was taken off"), "{why}");
        assert_eq!((set.left(), set.records_written().len()), (vec!["the record is wrong".to_owned()], 1));
    }
}
