//! The sandbox's ACM and Route 53 against recorded answers: the same statuses and codes, nothing that a recording or AWS's documents do not know; and their causes and effects,
//! seen by the real clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use runbookd::clients::acm::{Acm, Certificate, Which};
use runbookd::clients::aws::{Aws, Service, Settings};
use runbookd::clients::http::{Allowed, Http, Policy, Trust};
use runbookd::clients::route53::{Compared, Route53, Standing, Wanted, wanted};
use runbookd::clients::{Reason, Secret, http_client};
use runbookd::sandbox::{ACCESS_KEY, HOST, Options, Sandbox, System, Trouble, ValidationRecord};
use serde_json::{Value, json};

use super::daemon::{LIMIT, until};

const DAY: Duration = Duration::from_hours(24);

async fn sandbox(pace: u32) -> Sandbox {
    Sandbox::start(Options { traffic: false, pace, ..Options::default() }).await.unwrap()
}

fn clients(sandbox: &Sandbox) -> (Acm, Route53) {
    let endpoints =
        BTreeMap::from([(Service::Acm, sandbox.acm_url()), (Service::Route53, sandbox.route53_url())]);
    let settings = Settings { endpoints, ..Settings::new("eu-central-1") };
    let aws = Aws::new(&settings.with_key(ACCESS_KEY, Secret::new("sandbox-secret"), None)).unwrap();
    (Acm::new(&aws), Route53::new(&aws))
}

async fn certificate(acm: &Acm) -> Certificate {
    acm.certificate(&Which::parse(HOST).unwrap()).await.unwrap().unwrap()
}

async fn compared(acm: &Acm, route53: &Route53) -> Compared {
    let wanted = wanted(&[certificate(acm).await]);
    assert_eq!(wanted.len(), 1, "both names share it");
    route53.compare(&wanted).await.unwrap().remove(0)
}

fn renewal(certificate: &Certificate) -> &str {
    certificate.renewal.as_ref().map_or("none", |renewal| renewal.status.as_str())
}

/// For how long a client takes what the public host presents.
async fn presented_until(sandbox: &Sandbox) -> Timestamp {
    let address = sandbox.front_address();
    let trust = Trust::from_pem(sandbox.front_ca().as_bytes()).unwrap();
    let http = Http::showing(Policy::new(vec![Allowed::parse(&address).unwrap()]), trust, Vec::new());
    let url = format!("https://{address}");
    let seen = http.certificate(&url, Some(HOST), runbookd::clock::now()).await.unwrap();
    assert_eq!(seen.faults, Vec::<String>::new());
    seen.not_after
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_some_time_after_its_record_is_right_again() {
    let sandbox = sandbox(1000).await;
    let (acm, route53) = clients(&sandbox);
    let first = certificate(&acm).await;
    assert_eq!((renewal(&first), first.names.len()), ("none", 2));
    assert!(matches!(compared(&acm, &route53).await.standing, Standing::Right(_)));

    sandbox.world().make_validation_record(ValidationRecord::Wrong);
    sandbox.world().let_certificate_run_out(DAY * 10);
    assert!(until(LIMIT, async || renewal(&certificate(&acm).await) == "PENDING_VALIDATION").await);
    let old = certificate(&acm).await;
    // ACM has whole seconds, and so has a certificate.
    let seconds = |at: Timestamp| at.as_second();
    assert_eq!(seconds(presented_until(&sandbox).await), seconds(old.not_after.unwrap()));
    assert_eq!(old.current_validations()[0].status.as_deref(), Some("PENDING_VALIDATION"));
    let wrong = compared(&acm, &route53).await;
    assert!(matches!(wrong.standing, Standing::Different(..)), "{wrong}");

    let change = route53.upsert(&wrong.repair().unwrap()).await.unwrap();
    assert!(!change.is_in_sync);
    assert_eq!(renewal(&certificate(&acm).await), "PENDING_VALIDATION", "not before it is in sync");
    assert!(until(LIMIT, async || route53.change(&change.id).await.unwrap().is_in_sync).await);
    assert!(matches!(compared(&acm, &route53).await.standing, Standing::Right(_)));
    assert!(until(LIMIT, async || renewal(&certificate(&acm).await) == "SUCCESS").await);
    let new = certificate(&acm).await;
    assert_eq!(new.arn, old.arn);
    assert!(new.not_after.unwrap() > runbookd::clock::after(old.not_after.unwrap(), DAY * 300));
    assert_eq!(seconds(presented_until(&sandbox).await), seconds(new.not_after.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_record_is_not_right_it_is_not_renewed_and_what_has_ended_never_is() {
    let sandbox = sandbox(100_000).await;
    let (acm, route53) = clients(&sandbox);
    for (record, is_repairable) in [(ValidationRecord::Missing, true), (ValidationRecord::HeldByTxt, false)] {
        sandbox.world().make_validation_record(record);
        sandbox.world().let_certificate_run_out(DAY * 10);
        assert!(until(LIMIT, async || renewal(&certificate(&acm).await) == "PENDING_VALIDATION").await);
        let wrong = compared(&acm, &route53).await;
        assert_eq!(wrong.repair().is_some(), is_repairable, "{wrong}");
        // A day of the world and more.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(renewal(&certificate(&acm).await), "PENDING_VALIDATION");
    }
    sandbox.world().let_certificate_run_out(Duration::ZERO);
    sandbox.world().make_validation_record(ValidationRecord::Right);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = certificate(&acm).await;
    assert_eq!((ended.status.as_str(), renewal(&ended)), ("EXPIRED", "none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_or_cut_off_is_what_it_is() {
    let sandbox = sandbox(1).await;
    let (acm, route53) = clients(&sandbox);
    sandbox.world().make_validation_record(ValidationRecord::Wrong);
    let upsert = compared(&acm, &route53).await.repair().unwrap();
    sandbox.world().make_validation_record(ValidationRecord::HeldByTxt);
    let error = route53.upsert(&upsert).await.unwrap_err();
    assert_eq!(error.reason, Reason::ClientError);
    assert!(
        error.message.contains("InvalidChangeBatch: [RRSet of type CNAME with DNS name _3639"),
        "{error}"
    );
    sandbox.world().make_validation_record(ValidationRecord::Missing);
    let busy = Trouble::RateLimited { retry_after: Duration::from_secs(1) };
    sandbox.world().disturb(System::Route53, Some(busy));
    assert_eq!(route53.upsert(&upsert).await.unwrap_err().reason, Reason::RateLimited);
    sandbox.world().disturb(System::Route53, Some(Trouble::CutAfterApply));
    assert_eq!(route53.upsert(&upsert).await.unwrap_err().reason, Reason::ServerError);
    assert!(
        matches!(compared(&acm, &route53).await.standing, Standing::Right(_)),
        "it was done all the same"
    );
    sandbox.world().disturb(System::Acm, Some(Trouble::Down));
    let down = acm.certificate(&Which::parse(HOST).unwrap()).await.unwrap_err();
    assert_eq!(down.reason, Reason::ServerError);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_zone_delegates_is_answered_elsewhere() {
    let sandbox = sandbox(1).await;
    let (acm, route53) = clients(&sandbox);
    let shared = compared(&acm, &route53).await.wanted;
    let below = |parent: &str| Wanted {
        name: format!("_a.{parent}"),
        domains: vec![parent.to_owned()],
        ..shared.clone()
    };
    let all = [below("www.samosachaat.art"), below("shop.in.samosachaat.art"), shared.clone()];
    let found = async || -> Vec<Compared> { route53.compare(&all).await.unwrap() };
    let before = found().await;
    assert!(
        matches!(before[0].standing, Standing::Missing(_)),
        "an A beside it is no delegation: {before:?}"
    );
    assert!(matches!(before[1].standing, Standing::Missing(_)), "{before:?}");

    sandbox.world().delegate_name("in.samosachaat.art", "ns-1.other.example.");
    let after = found().await;
    assert!(after[1].standing.needs_a_person() && after[1].repair().is_none(), "{}", after[1]);
    let said = after[1].to_string();
    let expected = "the zone samosachaat.art (Z01SANDBOXPUBLIC) delegates in.samosachaat.art to other name servers (ns-1.other.example.): write it there";
    assert!(said.ends_with(expected), "{said}");
    // What is not below it is as it was; the NS records of the zone itself are no delegation.
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert!(matches!(after[2].standing, Standing::Right(_)));
    // It was written before, or by somebody else: nobody sees it there.
    let upsert = before[1].repair().unwrap();
    route53.upsert(&upsert).await.unwrap();
    assert_eq!(found().await[1], after[1]);
    sandbox.world().delegate_name("www.samosachaat.art", "ns-1.other.example.");
    assert!(matches!(found().await[0].standing, Standing::Delegated { .. }), "it stands beside the A");
}

fn recorded(name: &str) -> (u16, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/aws").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    (head.lines().next().unwrap().strip_prefix("HTTP ").unwrap().parse().unwrap(), body.to_owned())
}

/// The status and the body of an answer to whoever signs like this.
async fn ask(
    url: &str,
    (key, region, service): (&str, &str, &str),
    target: Option<&str>,
    body: Option<String>,
) -> (u16, String) {
    let http = http_client(Duration::from_secs(5)).unwrap();
    let request = if body.is_some() { http.post(url) } else { http.get(url) };
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20261122/{region}/{service}/aws4_request, SignedHeaders=host, Signature=a"
    );
    let request = request.header("authorization", signed).header("x-amz-date", "20261122T190000Z");
    let request = request.header("x-amz-target", target.unwrap_or_default());
    let answer = request.body(body.unwrap_or_default()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const ACM: (&str, &str, &str) = (ACCESS_KEY, "eu-central-1", "acm");
const ROUTE53: (&str, &str, &str) = (ACCESS_KEY, "us-east-1", "route53");
const LIST: Option<&str> = Some("CertificateManager.ListCertificates");
const DESCRIBE: Option<&str> = Some("CertificateManager.DescribeCertificate");

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn acms_answers_are_shaped_as_the_recorded_ones() {
    let sandbox = sandbox(1).await;
    let url = sandbox.acm_url();
    let (_, text) = ask(&url, ACM, LIST, Some("{}".to_owned())).await;
    assert_eq!(
        json_of(&text),
        json!({"CertificateSummaryList": []}),
        "its key is listed only when asked for"
    );
    let wanted = json!({"Includes": {"keyTypes": ["RSA_2048", "EC_prime256v1"]}}).to_string();
    let (status, text) = ask(&url, ACM, LIST, Some(wanted)).await;
    assert_eq!(status, 200);
    let list = json_of(&text);
    let arn = list["CertificateSummaryList"][0]["CertificateArn"].as_str().unwrap();

    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let (_, text) = ask(&url, ACM, DESCRIBE, Some(json!({"CertificateArn": arn}).to_string())).await;
    let (_, recording) = recorded("acm-describe.txt");
    let (ours, theirs) = (json_of(&text), json_of(&recording));
    for at in [
        "/Certificate",
        "/Certificate/DomainValidationOptions/0",
        "/Certificate/DomainValidationOptions/0/ResourceRecord",
    ] {
        let strange: Vec<_> =
            keys(ours.pointer(at).unwrap()).difference(&keys(theirs.pointer(at).unwrap())).cloned().collect();
        assert!(strange.is_empty(), "{at}: {strange:?}");
    }
    let (status, text) =
        ask(&url, ACM, DESCRIBE, Some(json!({"CertificateArn": "arn:aws:acm:x"}).to_string())).await;
    let (expected, recording) = recorded("acm-describe-missing.txt");
    assert_eq!((status, &json_of(&text)["__type"]), (expected, &json_of(&recording)["__type"]));

    for (who, target, body, code) in [
        (("AKIDNOBODY", "eu-central-1", "acm"), LIST, "{}", "UnrecognizedClientException"),
        (("", "eu-central-1", "acm"), LIST, "{}", "MissingAuthenticationToken"),
        ((ACCESS_KEY, "eu-central-1", "rds"), LIST, "{}", "IncompleteSignature"),
        ((ACCESS_KEY, "us-east-1", "acm"), LIST, "{}", "SignatureDoesNotMatch"),
        (ACM, LIST, "{", "SerializationException"),
        (ACM, Some("CertificateManager.DeleteCertificate"), "{}", "UnknownOperationException"),
    ] {
        let (status, text) = ask(&url, who, target, Some(body.to_owned())).await;
        assert_eq!((status, json_of(&text)["__type"].as_str()), (400, Some(code)), "{who:?} {target:?}");
    }
}

/// The names of the elements of an answer.
fn elements(xml: &str) -> BTreeSet<String> {
    let opened = xml.split('<').skip(1).filter(|rest| !rest.starts_with(['/', '?']));
    opened.map(|rest| rest.split(['>', ' ', '/']).next().unwrap_or_default().to_owned()).collect()
}

fn code(xml: &str) -> &str {
    xml.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code)
}

fn batch(action: &str, name: &str, kind: &str) -> Option<String> {
    Some(format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change><Action>{action}</Action>\
         <ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>a.</Value></ResourceRecord>\
         </ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    ))
}

#[tokio::test]
async fn route_53s_answers_are_shaped_as_the_recorded_ones() {
    let sandbox = sandbox(1).await;
    let url = sandbox.route53_url() + "/2013-04-01";
    let zone = format!("{url}/hostedzone/Z01SANDBOXPUBLIC/rrset");
    for (url, body, file) in [
        (format!("{url}/hostedzone"), None, "r53-list-zones.txt"),
        (zone.clone(), None, "r53-list-rrsets.txt"),
        (zone.clone(), batch("UPSERT", "_a.samosachaat.art", "CNAME"), "r53-change.txt"),
        (format!("{url}/hostedzone/ZNOPE/rrset"), None, "r53-missing-zone.txt"),
    ] {
        let (status, text) = ask(&url, ROUTE53, None, body).await;
        let (expected, recording) = recorded(file);
        assert_eq!((status, code(&text)), (expected, code(&recording)), "{file}: {text}");
        // Documented, and not in what was recorded, as nothing was on a second page.
        let further = ["NextMarker", "NextRecordName", "NextRecordType"].map(str::to_owned);
        let known: BTreeSet<String> = elements(&recording).into_iter().chain(further).collect();
        let strange: Vec<_> = elements(&text).difference(&known).cloned().collect();
        assert!(strange.is_empty(), "{file}: {strange:?}");
    }
    let (_, first) = ask(&format!("{url}/hostedzone"), ROUTE53, None, None).await;
    assert!(
        first.contains("<IsTruncated>true</IsTruncated><NextMarker>Z03SANDBOXOTHER</NextMarker>"),
        "{first}"
    );
    let (_, one) = ask(&format!("{zone}?name=samosachaat.art&type=NS&maxitems=1"), ROUTE53, None, None).await;
    assert_eq!(one.matches("<ResourceRecordSet>").count(), 1, "{one}");
    assert!(one.contains("<Type>NS</Type>") && one.contains("<MaxItems>1</MaxItems>"), "{one}");
    assert!(one.contains("<NextRecordType>SOA</NextRecordType>"), "{one}");
    let (_, second) = ask(&format!("{url}/hostedzone?marker=Z03SANDBOXOTHER"), ROUTE53, None, None).await;
    assert!(second.contains("<IsTruncated>false</IsTruncated>") && !second.contains("Z01"), "{second}");

    for (who, url, body, status, said) in [
        (("AKIDNOBODY", "us-east-1", "route53"), &zone, None, 403, "InvalidClientTokenId"),
        (
            (ACCESS_KEY, "eu-central-1", "route53"),
            &zone,
            None,
            403,
            "Credential should be scoped to a valid region",
        ),
        (
            ROUTE53,
            &zone,
            batch("UPSERT", "_a.other.example", "CNAME"),
            400,
            "is not permitted in zone samosachaat.art.",
        ),
        (
            ROUTE53,
            &zone,
            batch("UPSERT", "samosachaat.art", "CNAME"),
            400,
            "as it conflicts with other records",
        ),
        (ROUTE53, &zone, batch("DELETE", "_a.samosachaat.art", "CNAME"), 400, "<Code>InvalidInput</Code>"),
        (ROUTE53, &zone, Some("half a req".to_owned()), 400, "<Code>InvalidInput</Code>"),
        (ROUTE53, &format!("{url}/change/C9"), None, 404, "<Code>NoSuchChange</Code>"),
        (ROUTE53, &format!("{url}/healthcheck"), None, 404, "<Code>UnknownOperationException</Code>"),
    ] {
        let (found, text) = ask(url, who, None, body).await;
        assert_eq!(found, status, "{url}: {text}");
        assert!(text.contains(said), "{url}: {text}");
    }
}
