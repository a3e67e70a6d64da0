//! What is concluded from what ACM says; pure.

use super::*;
use crate::clients::acm::Record;
use crate::clock::after;
use crate::incident::evidence::Verdict;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn validation(domain: &str, status: &str, method: &str) -> Validation {
    Validation {
        domain: domain.to_owned(),
        status: Some(status.to_owned()),
        method: Some(method.to_owned()),
        record: (method == "DNS").then(|| Record {
            name: format!("_a.{domain}."),
            kind: "CNAME".to_owned(),
            value: "_b.acm-validations.aws.".to_owned(),
        }),
    }
}

/// One that ACM renews by itself.
fn good(days: u32) -> Certificate {
    Certificate {
        arn: "arn:aws:acm:eu-central-1:123456789012:certificate/1".to_owned(),
        not_before: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        not_after: Some(after(now(), DAY * days)),
        in_use_by: vec![
            "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/1".to_owned(),
        ],
        is_eligible: Some(true),
        validations: vec![validation("shop.example", SUCCESS, "DNS")],
        ..Certificate::of(&["shop.example", "www.shop.example"], "_a", "_b.acm-validations.aws.")
    }
}

fn renewing(status: &str, reason: Option<&str>, validations: Vec<Validation>) -> Certificate {
    let renewal = Renewal {
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        updated_at: Some("2026-11-20T00:00:00Z".parse().unwrap()),
        validations,
    };
    Certificate { renewal: Some(renewal), ..good(30) }
}

fn left(threshold: Threshold, certificate: &Certificate) -> Evidence {
    days_left(now(), ("p", "a".to_owned()), threshold, certificate)
}

fn blocked(threshold: Threshold, certificate: &Certificate) -> Evidence {
    renewal_blocked(now(), ("p", "a".to_owned()), threshold, certificate)
}

const FORTNIGHT: Threshold = Threshold::AtLeast(14.0);
const NOTHING: Threshold = Threshold::AtMost(0.0);

#[test]
fn days_are_counted_until_its_end_and_there_are_none_when_it_is_not_issued() {
    for (certificate, verdict, saw) in [
        (good(14), Verdict::Holds, "valid until 2026-12-07 12:00 UTC, for 14d; at least 14d"),
        (good(13), Verdict::Fails, "valid until 2026-12-06 12:00 UTC, for 13d; at least 14d"),
        (
            Certificate { not_after: Some("2026-11-21T12:00:00Z".parse().unwrap()), ..good(0) },
            Verdict::Fails,
            "it expired 2d ago, on 2026-11-21 12:00 UTC; at least 14d",
        ),
        (
            Certificate {
                status: "REVOKED".to_owned(),
                status_reason: Some("KEY_COMPROMISE".to_owned()),
                ..good(99)
            },
            Verdict::Fails,
            "it can not be used: REVOKED (KEY_COMPROMISE); at least 14d",
        ),
        (
            Certificate { status: "PENDING_VALIDATION".to_owned(), not_after: None, ..good(0) },
            Verdict::Fails,
            "it can not be used: PENDING_VALIDATION; at least 14d",
        ),
    ] {
        let evidence = left(FORTNIGHT, &certificate);
        assert_eq!((evidence.verdict, evidence.saw.as_str()), (verdict, saw));
    }
    let unsaid = left(FORTNIGHT, &Certificate { not_after: None, ..good(0) });
    assert_eq!(unsaid.verdict.to_string(), "unknown: ACM does not say until when it is good");
    assert_eq!(left(Threshold::AtMost(14.0), &good(13)).verdict, Verdict::Holds);
}

#[test]
fn what_the_console_shows_of_a_renewal_is_in_the_evidence() {
    let pending = vec![validation("shop.example", "PENDING_VALIDATION", "DNS")];
    let evidence = left(FORTNIGHT, &renewing("PENDING_VALIDATION", None, pending));
    let lines: Vec<String> =
        evidence.samples.iter().map(|one| format!("{}: {}", one.from, one.line)).collect();
    assert_eq!(
        lines,
        [
            "certificate: arn:aws:acm:eu-central-1:123456789012:certificate/1",
            "status: ISSUED, AMAZON_ISSUED",
            "valid: from 2026-01-01 00:00 UTC until 2026-12-23 12:00 UTC",
            "renewal: PENDING_VALIDATION since 2026-11-20 00:00 UTC; eligible for renewal",
            "in use by: arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/1",
            "names: shop.example, www.shop.example",
            "validation: shop.example: PENDING_VALIDATION, by DNS",
        ]
    );
}

#[test]
fn every_thing_in_the_way_of_a_renewal_is_said_so_that_a_person_can_act() {
    let of = |certificate: Certificate| blockers(&certificate).join("\n");
    let done = || vec![validation("shop.example", SUCCESS, "DNS")];
    for fine in [
        good(30),
        renewing("PENDING_AUTO_RENEWAL", None, Vec::new()),
        renewing("PENDING_AUTO_RENEWAL", None, done()),
        renewing("SUCCESS", None, done()),
        // Exported: it may be renewed, and is in use where AWS does not see it.
        Certificate { in_use_by: Vec::new(), ..good(30) },
    ] {
        assert_eq!(of(fine), "");
    }
    for (certificate, said) in [
        (
            Certificate { kind: "IMPORTED".to_owned(), is_eligible: Some(false), ..good(30) },
            "it was imported, and those ACM never renews: import a new one in time",
        ),
        (
            Certificate { in_use_by: Vec::new(), is_eligible: Some(false), ..good(30) },
            "it is not in use by any service of AWS, and ACM renews only what is: attach it, or remove it",
        ),
        (
            Certificate { is_eligible: Some(false), ..good(30) },
            "ACM says that it may not be renewed (RenewalEligibility INELIGIBLE), although it is in use",
        ),
        (
            Certificate { status: "EXPIRED".to_owned(), is_eligible: Some(false), ..good(0) },
            "it is EXPIRED: ACM does not renew such a one: request another",
        ),
        (
            renewing(
                "PENDING_VALIDATION",
                None,
                vec![validation("shop.example", "PENDING_VALIDATION", "DNS")],
            ),
            "its renewal waits until its names are validated\n\
             shop.example is PENDING_VALIDATION: _a.shop.example. must be CNAME _b.acm-validations.aws. in public DNS, and no CAA record may forbid it",
        ),
        (renewing("NEW", None, done()), "its renewal is NEW, of which nothing is known here"),
        (renewing("FAILED", Some("CAA_ERROR"), done()), "its renewal has failed (CAA_ERROR)"),
        (
            Certificate { validations: vec![validation("shop.example", SUCCESS, "EMAIL")], ..good(30) },
            "shop.example is validated by e-mail (SUCCESS): its owner has to answer each time",
        ),
        (
            Certificate {
                validations: vec![Validation { record: None, ..validation("shop.example", "FAILED", "DNS") }],
                ..good(30)
            },
            "shop.example is FAILED by DNS, and ACM names no record for it",
        ),
        (
            Certificate {
                status: "PENDING_VALIDATION".to_owned(),
                validations: vec![validation("shop.example", "PENDING_VALIDATION", "DNS")],
                is_eligible: Some(false),
                ..good(0)
            },
            "it is PENDING_VALIDATION: it is issued once its names are validated\n\
             shop.example is PENDING_VALIDATION: _a.shop.example. must be CNAME _b.acm-validations.aws. in public DNS, and no CAA record may forbid it",
        ),
        (
            Certificate { kind: "NEW".to_owned(), ..good(30) },
            "it is of the type NEW, of which nothing is known here",
        ),
    ] {
        assert_eq!(of(certificate), said);
    }
}

#[test]
fn the_things_in_the_way_are_the_figure_and_what_acm_does_not_say_is_unknown() {
    let fine = blocked(NOTHING, &good(30));
    assert_eq!(
        (fine.verdict, fine.saw.as_str()),
        (Verdict::Holds, "0 things are in the way of its renewal; at most 0")
    );
    let failed = renewing("FAILED", Some("CAA_ERROR"), Vec::new());
    let evidence = blocked(NOTHING, &failed);
    assert_eq!(evidence.verdict, Verdict::Fails);
    assert_eq!(
        evidence.saw,
        "1 thing is in the way of its renewal: its renewal has failed (CAA_ERROR); at most 0"
    );
    assert_eq!(
        (evidence.samples[0].from.as_str(), evidence.samples[0].line.as_str()),
        ("in the way", "its renewal has failed (CAA_ERROR)")
    );
    assert_eq!(blocked(Threshold::AtLeast(1.0), &failed).verdict, Verdict::Holds);
    for threshold in [NOTHING, Threshold::AtLeast(1.0)] {
        let unsaid = blocked(threshold, &Certificate { is_eligible: None, ..good(30) });
        assert!(matches!(unsaid.verdict, Verdict::Unknown { .. }), "{unsaid:?}");
    }
}

#[test]
fn a_label_fills_in_a_certificate_or_nothing() {
    let vars = |value: &str| std::collections::BTreeMap::from([("host".to_owned(), value.to_owned())]);
    let template = Template::parse("${vars.host}").unwrap();
    let asked = |value: &str| {
        let vars = vars(value);
        let scope = Scope::nobody(&vars, 1, now());
        which(&scope, &template)
    };
    assert_eq!(asked("shop.example"), Ok(Which::Domain("shop.example".to_owned())));
    for hostile in ["shop.example\nX-Amz-Target: a", "\"}", "*", "a b", "arn:aws:s3:::bucket"] {
        let why = asked(hostile).unwrap_err();
        assert!(why.contains("names no certificate: expected ") && !why.contains('\n'), "{why}");
    }
    assert!(asked("").is_err());
}

#[tokio::test]
async fn without_aws_in_the_configuration_nothing_is_known() {
    let vars = std::collections::BTreeMap::new();
    let scope = Scope::nobody(&vars, 1, now());
    let probe = AcmProbe {
        state: AcmState::DaysLeft,
        certificate: Template::parse("shop.example").unwrap(),
        threshold: FORTNIGHT,
    };
    let evidence = ask(None, &scope, "p", &probe, FORTNIGHT).await;
    assert_eq!(evidence.asked, "how long the certificate for shop.example is good");
    assert_eq!(
        evidence.verdict.to_string(),
        "unknown: there is no `aws: {region: ...}` in the configuration"
    );
}
