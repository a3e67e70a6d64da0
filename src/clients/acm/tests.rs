//! The ACM client against answers that moto gave, and against those that AWS documents and moto lacks.

use super::super::Secret;
use super::super::aws::Settings;
use super::super::wire::{Reply, Wire};
use super::*;

const ARN: &str = "arn:aws:acm:us-east-1:123456789012:certificate/fe9bd5ae-2c6b-487f-8dcd-da327ff30f89";

fn at(url: &str) -> Acm {
    let settings = Settings { endpoint: Some(url.to_owned()), ..Settings::new("eu-central-1") };
    Acm::new(&Aws::new(&settings.with_key("AKIDEXAMPLE", Secret::new("secret"), None)).unwrap())
}

async fn with(replies: Vec<Reply>) -> (Acm, Wire) {
    let wire = Wire::start(replies).await;
    (at(&wire.url), wire)
}

fn arn(number: u8) -> String {
    format!("arn:aws:acm:eu-central-1:123456789012:certificate/0000000{number}")
}

/// A description with the fields that every one has, and more.
fn described(number: u8, names: &[&str], more: &str) -> Reply {
    let (arn, first) = (arn(number), names[0]);
    Reply::json(&format!(
        "{{\"Certificate\": {{\"CertificateArn\": \"{arn}\", \"DomainName\": \"{first}\", \"SubjectAlternativeNames\": {names:?}, \"Status\": \"ISSUED\", \
         \"Type\": \"AMAZON_ISSUED\", \"NotBefore\": 1795373975, \"NotAfter\": 1826909975{more}}}}}"
    ))
}

fn page(all: &[(u8, &[&str])], more: &str) -> Reply {
    let each: Vec<String> = all
        .iter()
        .map(|(number, names)| {
            let (arn, first) = (arn(*number), names[0]);
            format!(
                "{{\"CertificateArn\": \"{arn}\", \"DomainName\": \"{first}\", \"SubjectAlternativeNameSummaries\": {names:?}, \
                 \"HasAdditionalSubjectAlternativeNames\": false}}"
            )
        })
        .collect();
    Reply::json(&format!("{{\"CertificateSummaryList\": [{}]{more}}}", each.join(", ")))
}

fn domain(name: &str) -> Which {
    Which::parse(name).unwrap()
}

#[tokio::test]
async fn a_recorded_description_is_read_and_asked_for_where_the_arn_says() {
    let (acm, wire) = with(vec![Reply::recorded("aws/acm-describe.txt")]).await;
    let one = acm.certificate(&Which::parse(ARN).unwrap()).await.unwrap().unwrap();
    assert_eq!((one.arn.as_str(), one.domain.as_str(), one.names.len()), (ARN, "b.samosachaat.art", 1));
    assert_eq!((one.kind.as_str(), one.status.as_str()), (AMAZON_ISSUED, ISSUED));
    assert_eq!(one.not_after.unwrap().to_string(), "2027-11-22T18:59:35Z");
    assert_eq!((one.is_eligible, one.in_use_by.len(), &one.renewal), (Some(false), 0, &None));
    let (name, record) = one.records().next().unwrap();
    assert_eq!((name, record.kind.as_str()), ("b.samosachaat.art", "CNAME"));
    assert_eq!(record.name, "_d930b28be6c5927595552b219965053e.b.samosachaat.art.");
    assert_eq!(record.value, "_c9edd76ee4a0e2a74388032f3861cc50.ykybfrwcxw.acm-validations.aws.");
    let seen = &wire.seen()[0];
    assert_eq!(seen.headers["x-amz-target"], "CertificateManager.DescribeCertificate");
    assert_eq!(seen.body, format!("{{\"CertificateArn\":\"{ARN}\"}}"));
    let signed = seen.headers["authorization"].to_str().unwrap();
    assert!(signed.contains("/us-east-1/acm/aws4_request"), "{signed}");
    let missing = with(vec![Reply::recorded("aws/acm-describe-missing.txt")]).await.0;
    assert_eq!(missing.certificate(&Which::parse(ARN).unwrap()).await.unwrap_err().reason, Reason::NotFound);
}

/// moto has no renewal. The fields are those of <https://docs.aws.amazon.com/acm/latest/APIReference/API_RenewalSummary.html> and of `API_DomainValidation` there.
#[tokio::test]
async fn a_documented_renewal_is_read() {
    let renewal = ", \"InUseBy\": [\"arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/a/1\"], \"RenewalEligibility\": \"ELIGIBLE\", \
        \"RenewalSummary\": {\"RenewalStatus\": \"PENDING_VALIDATION\", \"UpdatedAt\": 1.826e9, \"RenewalStatusReason\": \"CAA_ERROR\", \
        \"DomainValidationOptions\": [{\"DomainName\": \"shop.example\", \"ValidationStatus\": \"PENDING_VALIDATION\", \"ValidationMethod\": \"DNS\", \
        \"ResourceRecord\": {\"Name\": \"_a.shop.example.\", \"Type\": \"CNAME\", \"Value\": \"_b.acm-validations.aws.\"}}, \
        {\"DomainName\": \"www.shop.example\", \"ValidationStatus\": \"SUCCESS\", \"ValidationMethod\": \"EMAIL\", \"ValidationEmails\": [\"a@shop.example\"]}]}";
    let (acm, _wire) = with(vec![described(1, &["shop.example"], renewal)]).await;
    let one = acm.certificate(&Which::parse(&arn(1)).unwrap()).await.unwrap().unwrap();
    let renewal = one.renewal.as_ref().unwrap();
    assert_eq!(
        (renewal.status.as_str(), renewal.reason.as_deref()),
        ("PENDING_VALIDATION", Some("CAA_ERROR"))
    );
    assert_eq!(renewal.updated_at.unwrap().to_string(), "2027-11-12T06:13:20Z");
    assert_eq!((one.is_eligible, one.in_use_by.len()), (Some(true), 1));
    assert_eq!(one.current_validations().len(), 2);
    assert_eq!(one.records().count(), 1);
}

#[tokio::test]
async fn every_page_of_every_kind_of_key_is_looked_through() {
    let (acm, wire) = with(vec![
        page(&[(1, &["other.example"])], ", \"NextToken\": \"t/1=\""),
        page(&[(2, &["example", "*.shop.example"])], ""),
        described(2, &["example", "*.shop.example"], ""),
    ])
    .await;
    let one = acm.certificate(&domain("www.shop.example")).await.unwrap().unwrap();
    assert_eq!(one.arn, arn(2));
    let bodies: Vec<String> = wire.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies[1].contains("\"NextToken\":\"t/1=\""), "{}", bodies[1]);
    for body in &bodies[..2] {
        for key in ["RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"] {
            assert!(body.contains(key), "{body}");
        }
    }
    let (acm, wire) = with(vec![page(&[(1, &["other.example"])], "")]).await;
    let error = acm.certificate(&domain("shop.example")).await.unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (Reason::NotFound, "ACM has none for it in eu-central-1")
    );
    assert_eq!(wire.seen().len(), 1);
}

#[tokio::test]
async fn of_several_the_one_in_use_is_meant_and_else_nobody_guesses() {
    let list = || page(&[(2, &["shop.example"]), (1, &["shop.example"])], "");
    let used = ", \"InUseBy\": [\"arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/a\"]";
    let names = &["shop.example"];
    let (acm, _wire) = with(vec![list(), described(2, names, used), described(1, names, "")]).await;
    assert_eq!(acm.certificate(&domain("shop.example")).await.unwrap().unwrap().arn, arn(2));
    for (used, words) in [("", "not in use"), (used, "in use")] {
        let (acm, _wire) = with(vec![list(), described(2, names, used), described(1, names, used)]).await;
        let Unclear(why) = acm.certificate(&domain("shop.example")).await.unwrap().unwrap_err();
        assert_eq!(
            why,
            format!(
                "2 certificates are for shop.example, and which one is meant can not be told: {} (ISSUED, {words}), {} (ISSUED, {words}); name it by its ARN",
                arn(1),
                arn(2)
            )
        );
    }
}

#[tokio::test]
async fn one_that_is_gone_since_it_was_listed_is_none() {
    let (acm, _wire) = with(vec![
        page(&[(1, &["shop.example"]), (2, &["shop.example"])], ""),
        Reply::recorded("aws/acm-describe-missing.txt"),
        described(2, &["shop.example"], ""),
    ])
    .await;
    assert_eq!(acm.certificate(&domain("shop.example")).await.unwrap().unwrap().arn, arn(2));
}

#[tokio::test]
async fn an_answer_about_another_certificate_is_none() {
    let (acm, _wire) = with(vec![described(2, &["shop.example"], ""); 3]).await;
    let error = acm.certificate(&Which::parse(&arn(1)).unwrap()).await.unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (Reason::ServerError, "the answer is about another certificate")
    );
}

#[test]
fn only_a_domain_or_an_arn_names_a_certificate() {
    for text in ["shop.example", "*.shop.example", "SHOP.example", "xn--bcher-kva.example", &arn(1), ARN] {
        Which::parse(text).unwrap();
    }
    assert_eq!(Which::parse("Shop.Example").unwrap(), Which::Domain("shop.example".to_owned()));
    let long = format!("{}.example", "a".repeat(64));
    for text in [
        "",
        "shop",
        "shop.example.",
        ".shop.example",
        "shop..example",
        "-shop.example",
        "https://shop.example",
        "shop.example:443",
        "shop.example/",
        "a.*.example",
        "*.*.example",
        "*shop.example",
        "shop.example\n",
        "$(id).example",
        "bücher.example",
        "_a.shop.example",
        &long,
        "arn:",
        "arn:aws:acm:eu-central-1:123456789012:certificate/",
        "arn:aws:acm:eu-central-1:123456789012:certificate/a b",
        "arn:aws:acm:eu-central-1:12345678901:certificate/a",
        "arn:aws:acm:../evil:123456789012:certificate/a",
        "arn:aws:acm::123456789012:certificate/a",
        "arn:aws:iam:eu-central-1:123456789012:certificate/a",
        "arn:evil:acm:eu-central-1:123456789012:certificate/a",
        "arn:aws:acm:eu-central-1:123456789012:certificate/a/b",
    ] {
        assert!(Which::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_star_is_one_label() {
    for (name, domain, expected) in [
        ("shop.example", "shop.example", true),
        ("SHOP.example", "shop.example", true),
        ("*.shop.example", "www.shop.example", true),
        ("*.shop.example", "*.shop.example", true),
        ("*.shop.example", "shop.example", false),
        ("*.shop.example", "a.www.shop.example", false),
        ("*.example", "*.shop.example", false),
        ("www.shop.example", "shop.example", false),
    ] {
        assert_eq!(which::covers(name, domain), expected, "{name} {domain}");
    }
}
