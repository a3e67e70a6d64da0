//! What is concluded from what stands in Route 53; pure.

use std::collections::BTreeMap;

use super::*;
use crate::clients::acm::Validation;
use crate::clients::route53::{Standing, Zone};
use jiff::Timestamp;

fn certificate() -> Certificate {
    Certificate::of(&["shop.example"], "_a", "_b.acm-validations.aws.")
}

fn compared(standings: Vec<Standing>) -> Vec<Compared> {
    let record = wanted(&[certificate()]).remove(0);
    standings.into_iter().map(|standing| Compared { wanted: record.clone(), standing }).collect()
}

fn zone() -> Zone {
    Zone { id: "Z2".to_owned(), name: "shop.example".to_owned() }
}

fn asked(state: Route53State, threshold: Threshold, certificate: &Certificate, all: &[Compared]) -> Evidence {
    let vars = BTreeMap::new();
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let scope = Scope::nobody(&vars, 1, now);
    answer(&scope, ("p", "a".to_owned()), (state, threshold), certificate, all)
}

const ALL_RIGHT: Threshold = Threshold::AtMost(0.0);
const ANY: Threshold = Threshold::AtLeast(1.0);

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::Unknown { .. } => "unknown",
        Verdict::Quiet { .. } => "quiet",
    }
}

#[test]
fn an_imported_certificate_and_one_that_is_validated_otherwise_have_no_record_to_mend() {
    let with = |kind: &str, method: Option<&str>| {
        let mut certificate = certificate();
        certificate.kind = kind.to_owned();
        certificate.validations[0].method = method.map(str::to_owned);
        certificate.validations[0].record = None;
        has_no_records(&certificate)
    };
    assert!(
        with("IMPORTED", None) && with("AMAZON_ISSUED", Some("EMAIL")) && with("AMAZON_ISSUED", Some("HTTP"))
    );
    // It may come.
    assert!(!with("AMAZON_ISSUED", Some("DNS")) && !with("AMAZON_ISSUED", None));
    assert!(!has_no_records(&certificate()));
}

#[test]
fn what_an_upsert_mends_is_one_count_and_what_a_person_mends_another() {
    let right = || Standing::Right(zone());
    let missing = || Standing::Missing(zone());
    let different = || Standing::Different(zone(), vec!["x".to_owned()]);
    let held = || Standing::Held(zone(), "a TXT (a)".to_owned());
    let servers = || vec!["ns-1.other.example.".to_owned()];
    let delegated =
        || Standing::Delegated { zone: zone(), at: "www.shop.example".to_owned(), servers: servers() };
    for (standings, wrong, any_wrong, unrepairable, any_unrepairable) in [
        (vec![right()], "holds", "fails", "holds", "fails"),
        (vec![right(), missing()], "fails", "holds", "holds", "fails"),
        (vec![different()], "fails", "holds", "holds", "fails"),
        (vec![missing(), held()], "fails", "holds", "fails", "holds"),
        // What a person has to mend is wrong, too, and no upsert mends it.
        (vec![right(), held()], "unknown", "fails", "fails", "holds"),
        (vec![delegated()], "unknown", "fails", "fails", "holds"),
        (vec![missing(), delegated()], "fails", "holds", "fails", "holds"),
        (vec![Standing::NoZone], "unknown", "fails", "fails", "holds"),
        (vec![Standing::Ambiguous(vec![zone(), zone()])], "unknown", "fails", "fails", "holds"),
        (vec![Standing::Strange("why".to_owned())], "unknown", "fails", "fails", "holds"),
    ] {
        let all = compared(standings);
        let verdict = |state, threshold| word(&asked(state, threshold, &certificate(), &all).verdict);
        let found = (
            verdict(Route53State::WrongRecords, ALL_RIGHT),
            verdict(Route53State::WrongRecords, ANY),
            verdict(Route53State::Unrepairable, ALL_RIGHT),
            verdict(Route53State::Unrepairable, ANY),
        );
        assert_eq!(found, (wrong, any_wrong, unrepairable, any_unrepairable), "{all:#?}");
    }
}

#[test]
fn what_acm_asks_for_and_what_stands_there_is_in_the_evidence() {
    let all = compared(vec![Standing::Right(zone()), Standing::Missing(zone()), Standing::NoZone]);
    let evidence = asked(Route53State::WrongRecords, ALL_RIGHT, &certificate(), &all);
    assert_eq!(
        evidence.saw,
        "of 3 records 1 can be mended by an upsert, and 1 only by a person: _a.shop.example must be CNAME _b.acm-validations.aws; \
         nothing stands there in the zone shop.example (Z2); at most 0"
    );
    let lines: Vec<String> =
        evidence.samples.iter().map(|one| format!("{}: {}", one.from, one.line)).collect();
    assert_eq!(
        lines,
        [
            "for a person: _a.shop.example must be CNAME _b.acm-validations.aws; no public hosted zone of this account holds that name",
            "can be mended: _a.shop.example must be CNAME _b.acm-validations.aws; nothing stands there in the zone shop.example (Z2)",
            "right: _a.shop.example must be CNAME _b.acm-validations.aws; it is, in the zone shop.example (Z2)",
        ]
    );
}

#[test]
fn a_name_whose_record_acm_does_not_say_yet_is_unknown() {
    let mut one = certificate();
    one.validations.push(Validation {
        record: None,
        domain: "www.shop.example".to_owned(),
        ..one.validations[0].clone()
    });
    let all = compared(vec![Standing::Right(zone())]);
    let evidence = asked(Route53State::WrongRecords, ALL_RIGHT, &one, &all);
    let why = evidence.verdict.to_string();
    assert!(why.ends_with("ACM does not yet say which record validates www.shop.example"), "{why}");
}
