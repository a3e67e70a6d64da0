//! The clients of ACM, EC2 and Route 53, the probes, and who we are in AWS, against moto, which plays AWS: `pip install 'moto[server,acm,ec2,route53,sts]'`. Where it is not installed, the
//! tests say so and end, and `RUNBOOKD_REAL=require` makes that a failure. It checks no signature, has no renewals, and its certificates become `ISSUED` by themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use runbookd::chaos::real::{Bounds, Ground, Undone, Wanted as Fault, cleanup};
use runbookd::clients::Reason;
use runbookd::clients::acm::{Acm, Certificate, Which};
use runbookd::clients::aws::{Aws, Service, Settings, Source, WebIdentity};
use runbookd::clients::ec2::Ec2;
use runbookd::clients::http_client;
use runbookd::clients::route53::{Route53, Standing, Upsert, Zone, wanted};
use serde_json::{Value, json};
use tokio::process::Command;

use super::daemon::{LIMIT, until};
use super::real_rds::{FIRST_ANSWER, account, moto};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// What runbookd itself never does. moto finds the service by the scope of the signature, whatever it is.
async fn send(url: &str, service: &str, path: &str, headers: &[(&str, &str)], body: String) -> String {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=a/20261122/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=b"
    );
    let mut request =
        http_client(FIRST_ANSWER).unwrap().post(format!("{url}{path}")).header("authorization", scope);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    text
}

async fn request_certificate(url: &str, names: &[&str]) -> String {
    let body = json!({"DomainName": names[0], "SubjectAlternativeNames": names, "ValidationMethod": "DNS"});
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "CertificateManager.RequestCertificate"),
    ];
    let text = send(url, "acm", "/", &headers, body.to_string()).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["CertificateArn"].as_str().unwrap().to_owned()
}

async fn make_zone(url: &str, name: &str, private: bool) {
    let body = format!(
        "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{name}</Name><CallerReference>{name}{private}\
         </CallerReference><HostedZoneConfig><PrivateZone>{private}</PrivateZone></HostedZoneConfig></CreateHostedZoneRequest>"
    );
    send(url, "route53", "/2013-04-01/hostedzone", &[("content-type", "text/xml")], body).await;
}

async fn make_record(url: &str, zone: &Zone, name: &str, kind: &str, value: &str) {
    let body = format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change><Action>CREATE</Action>\
         <ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord>\
         </ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    );
    let path = format!("/2013-04-01/hostedzone/{}/rrset", zone.id);
    send(url, "route53", &path, &[("content-type", "text/xml")], body).await;
}

async fn certificate(acm: &Acm, which: &str) -> Certificate {
    acm.certificate(&Which::parse(which).unwrap()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificates_records_are_found_compared_and_mended() {
    let Some((_child, url)) = moto().await else { return };
    let aws = account(&url);
    let (acm, route53) = (Acm::new(&aws), Route53::new(&aws));
    let arn = request_certificate(&url, &["shop.example", "*.shop.example", "www.in.shop.example"]).await;
    // By a name of its own, by one that a star stands for, and by its ARN.
    let one = certificate(&acm, "shop.example").await;
    assert_eq!(one.arn, arn);
    assert_eq!(certificate(&acm, "cdn.shop.example").await.arn, arn);
    assert_eq!(certificate(&acm, &arn).await.names.len(), 3);
    let none = acm.certificate(&Which::parse("other.example").unwrap()).await.unwrap_err();
    assert_eq!(none.reason, Reason::NotFound);
    let gone = Which::parse(&arn.replace("certificate/", "certificate/0")).unwrap();
    assert_eq!(acm.certificate(&gone).await.unwrap_err().reason, Reason::NotFound);

    // The star shares the record of the name itself.
    let mut wanted = wanted(std::slice::from_ref(&one));
    // ACM lists them in any order.
    wanted.sort_by_key(|one| one.domains.iter().any(|domain| domain.starts_with("www.in.")));
    assert_eq!(wanted.len(), 2, "{wanted:#?}");
    let standings = async || -> Vec<Standing> {
        route53.compare(&wanted).await.unwrap().into_iter().map(|one| one.standing).collect()
    };
    assert_eq!(standings().await, [Standing::NoZone, Standing::NoZone]);
    make_zone(&url, "shop.example", true).await;
    assert_eq!(standings().await, [Standing::NoZone, Standing::NoZone]);
    make_zone(&url, "shop.example", false).await;
    make_zone(&url, "in.shop.example.", false).await;
    let zones = route53.zones().await.unwrap();
    assert_eq!(zones.len(), 2, "{zones:?}");
    let zone = |name: &str| zones.iter().find(|zone| zone.name == name).unwrap().clone();
    let (outer, inner) = (zone("shop.example"), zone("in.shop.example"));
    assert_eq!(
        standings().await,
        [Standing::Missing(outer.clone()), Standing::Missing(inner.clone())],
        "the longest zone is the one"
    );

    make_record(&url, &outer, &wanted[0].name, "CNAME", "wrong.example.").await;
    make_record(&url, &inner, &wanted[1].name, "TXT", "\"held\"").await;
    // What stands beside it is none of ours.
    make_record(&url, &outer, "www.shop.example", "A", "192.0.2.1").await;
    let compared = route53.compare(&wanted).await.unwrap();
    assert_eq!(compared[0].standing, Standing::Different(outer.clone(), vec!["wrong.example.".to_owned()]));
    assert_eq!(compared[1].standing, Standing::Held(inner.clone(), "a TXT (\"held\")".to_owned()));
    assert_eq!(compared[1].repair(), None);

    let upsert: Upsert = compared[0].repair().unwrap();
    for _ in 0..2 {
        let change = route53.upsert(&upsert).await.unwrap();
        assert!(route53.change(&change.id).await.unwrap().is_in_sync);
        let stands = route53.records(&outer, &wanted[0].name).await.unwrap();
        assert_eq!(stands.len(), 1, "{stands:#?}");
        assert_eq!((stands[0].kind.as_str(), stands[0].ttl), ("CNAME", Some(300)));
        assert_eq!(standings().await[0], Standing::Right(outer.clone()));
    }
    let nowhere = Zone { id: "ZNOPE".to_owned(), ..outer };
    let missing = Upsert::new(&nowhere, upsert.name(), upsert.value()).unwrap();
    assert_eq!(route53.upsert(&missing).await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_below_a_delegated_name_is_a_persons() {
    let Some((_child, url)) = moto().await else { return };
    let aws = account(&url);
    let (acm, route53) = (Acm::new(&aws), Route53::new(&aws));
    request_certificate(&url, &["www.eu.shop.example"]).await;
    let wanted = wanted(&[certificate(&acm, "www.eu.shop.example").await]);
    make_zone(&url, "shop.example", false).await;
    let outer = route53.zones().await.unwrap()[0].clone();
    let standing = async || route53.compare(&wanted).await.unwrap().remove(0).standing;
    // The zone has NS records of its own, and what comes behind the name in order may have some, too.
    make_record(&url, &outer, "eu.shop.example", "A", "192.0.2.1").await;
    make_record(&url, &outer, "aa.eu.shop.example", "NS", "ns-1.other.example.").await;
    assert_eq!(standing().await, Standing::Missing(outer.clone()));

    make_record(&url, &outer, "eu.shop.example", "NS", "ns-1.other.example.").await;
    make_record(&url, &outer, &wanted[0].name, "CNAME", &wanted[0].value).await;
    let found = route53.compare(&wanted).await.unwrap().remove(0);
    let (at, servers) = ("eu.shop.example".to_owned(), vec!["ns-1.other.example.".to_owned()]);
    assert_eq!(found.standing, Standing::Delegated { zone: outer.clone(), at, servers });
    assert!(found.standing.needs_a_person() && found.repair().is_none());

    // Where the account has the zone that it is delegated to, that is the one.
    make_zone(&url, "eu.shop.example", false).await;
    let zones = route53.zones().await.unwrap();
    let inner = zones.iter().find(|zone| zone.name == "eu.shop.example").unwrap().clone();
    assert_eq!(standing().await, Standing::Missing(inner));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_spoiled_where_it_is_clear_which_one_and_put_back() {
    let Some((_child, url)) = moto().await else { return };
    let aws = account(&url);
    let (acm, route53) = (Acm::new(&aws), Route53::new(&aws));
    let set = super::real_faults::set().await;
    let ground = Ground { certificates: Some((acm.clone(), route53.clone())), ..set.ground.clone() };
    let fault = |host: &str| Fault::ValidationRecord { host: host.to_owned() };
    let refused = async |host: &str| {
        let why = ground.plan(&fault(host), &Bounds::default()).await.unwrap_err().to_string();
        set.nothing_was_written();
        why
    };
    request_certificate(&url, &["shop.example", "www.shop.example"]).await;
    let other = request_certificate(&url, &["*.shop.example"]).await;
    // moto issues after a moment.
    let issued = async || refused("shop.example").await.contains("no public hosted zone of this account");
    assert!(until(LIMIT, issued).await, "{}", refused("shop.example").await);
    make_zone(&url, "shop.example", true).await;
    let why = refused("shop.example").await;
    assert!(why.contains("no public hosted zone of this account"), "{why}");
    // Both are for it, and none is in use.
    let why = refused("www.shop.example").await;
    assert!(why.starts_with("2 certificates are for www.shop.example"), "{why}");

    make_zone(&url, "shop.example", false).await;
    let zone = route53.zones().await.unwrap()[0].clone();
    let all = wanted(&[certificate(&acm, "shop.example").await]);
    for record in &all {
        make_record(&url, &zone, &record.name, "CNAME", &record.value).await;
    }
    let of_host = all.iter().find(|record| record.domains == ["shop.example"]).unwrap();
    let planned = ground.plan(&fault("shop.example"), &Bounds::default()).await.unwrap();
    assert!(planned.says.contains(&of_host.name), "{}", planned.says);
    // The star is validated by the record of the name itself, and `shop.example` is none of the star's names.
    assert_eq!(wanted(&[certificate(&acm, &other).await])[0].name, of_host.name);
    let line = format!("{other} shares it, for *.shop.example");
    assert!(planned.touches.contains(&line), "{:?}", planned.touches);
    let standings = async || -> Vec<Standing> {
        route53.compare(&all).await.unwrap().into_iter().map(|one| one.standing).collect()
    };
    ground.make(&planned, &super::real_faults::noted(&planned)).await.unwrap();
    let standing = standings().await;
    let wrong = standing.iter().filter(|one| matches!(one, Standing::Different(..))).count();
    assert_eq!(wrong, 1, "{standing:?}");
    let cleaned = cleanup(&ground, None).await.unwrap();
    assert!(matches!(cleaned[0].came, Ok(Undone::Done(_))), "{}", super::real_faults::said(&cleaned));
    assert_eq!(standings().await, [Standing::Right(zone.clone()), Standing::Right(zone)]);
}

/// The first text of this element.
fn element<'x>(xml: &'x str, name: &str) -> &'x str {
    let found = xml.split_once(&format!("<{name}>"));
    found.and_then(|(_, rest)| rest.split_once(&format!("</{name}>"))).map_or("", |(text, _)| text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_ended_when_it_is_told_to_and_not_when_it_is_asked_about() {
    let Some((_child, url)) = moto().await else { return };
    let ask = async |form: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        send(&url, "ec2", "/", &headers, format!("{form}&Version=2016-11-15")).await
    };
    let image = ask("Action=DescribeImages&MaxResults=5").await;
    let form = format!("Action=RunInstances&MinCount=1&MaxCount=1&ImageId={}", element(&image, "imageId"));
    let machine = element(&ask(&form).await, "instanceId").to_owned();
    let state = async || {
        let text = ask(&format!("Action=DescribeInstances&InstanceId.1={machine}")).await;
        element(text.split_once("<instanceState>").unwrap().1, "name").to_owned()
    };
    let ec2 = Ec2::new(&account(&url)).unwrap();
    ec2.may_terminate(&machine).await.unwrap();
    assert_eq!(state().await, "running");
    ec2.terminate(&machine).await.unwrap();
    assert_eq!(state().await, "terminated");
    ec2.terminate(&machine).await.unwrap();
    let nobodys = ec2.terminate("i-0123456789abcdef0").await.unwrap_err();
    assert_eq!(nobodys.reason, Reason::NotFound, "{nobodys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_gets_its_credentials_from_sts() {
    let Some((_child, url)) = moto().await else { return };
    let names = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
    let files = std::env::home_dir().unwrap_or_default().join(".aws");
    if names.iter().any(|name| std::env::var_os(name).is_some()) || files.exists() {
        eprintln!("not run: this machine has credentials for AWS of its own");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "eyJ.a.b").unwrap();
    let web_identity = WebIdentity {
        token_file: folder.path().join("token"),
        role_arn: "arn:aws:iam::123456789012:role/runbookd".to_owned(),
        session_name: Some("test".to_owned()),
    };
    let settings = Settings {
        endpoints: BTreeMap::from([(Service::Sts, url.clone()), (Service::Acm, url.clone())]),
        credentials: Source::Usual { web_identity: Some(web_identity) },
        ..Settings::new("eu-central-1")
    };
    let arn = request_certificate(&url, &["shop.example"]).await;
    assert_eq!(certificate(&Acm::new(&Aws::new(&settings).unwrap()), "shop.example").await.arn, arn);
}

/// A server that notes what it is asked, and answers as its address says: the endpoint of the EKS Pod Identity Agent, and ACM.
struct Played {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

async fn played() -> Played {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Played { url, seen }
}

/// Source of the first: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
async fn answer(State(seen): State<Arc<Mutex<Vec<String>>>>, request: Request) -> String {
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (path, target) = (request.uri().path().to_owned(), header("x-amz-target"));
    seen.lock().unwrap().push(format!("{path} {target} {}", header("authorization")));
    if path.starts_with("/v1/credentials") {
        return json!({"AccessKeyId": "ASIAPOD", "SecretAccessKey": SECRET, "Token": "session-of-the-pod", "Expiration": "2099-01-01T00:00:00Z"})
            .to_string();
    }
    if path.starts_with("/broken") {
        return format!("{{\"AccessKeyId\": \"ASIAPOD\", \"SecretAccessKey\": \"{SECRET}\", \"Tok");
    }
    let arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1";
    if target.ends_with("ListCertificates") {
        return json!({"CertificateSummaryList": [{"CertificateArn": arn, "DomainName": "shop.example", "SubjectAlternativeNameSummaries": ["shop.example"]}]})
            .to_string();
    }
    json!({"Certificate": {"CertificateArn": arn, "DomainName": "shop.example", "Status": "ISSUED", "Type": "AMAZON_ISSUED", "NotAfter": 4_070_908_800_i64}})
        .to_string()
}

/// A configuration with one check of a certificate, and a cluster that nobody asks.
fn configuration(folder: &Path, aws: &str) -> PathBuf {
    std::fs::create_dir_all(folder.join("rules")).unwrap();
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
                      contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n";
    std::fs::write(folder.join("kubeconfig"), kubeconfig).unwrap();
    let rules = "apiVersion: runbookd.dev/v1\nkind: Verification\nname: certificates\nsummary: The certificate is good for a fortnight.\n\
                 checks:\n  days: {acm: days_left, certificate: shop.example, at_least: 14d}\n";
    std::fs::write(folder.join("rules/certificates.yaml"), rules).unwrap();
    let path = folder.join("runbookd.yaml");
    let text = format!(
        "rules: [rules]\nkubernetes: {{kubeconfig: {}}}\naws: {aws}\n",
        folder.join("kubeconfig").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// `runbookd verify` in an environment of its own: what it prints, and how it ends.
async fn verify(config: &Path, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
    command.env_clear().arg("verify").arg("--config").arg(config).arg("-o").arg("json");
    // No machine's own files, and no instance.
    command.env("HOME", config.parent().unwrap()).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = command.envs(environment.iter().copied()).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = text(output.stdout) + &text(output.stderr);
    assert!(!said.contains(&SECRET[..8]) && !said.contains("session-of-the-pod"), "{said}");
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_places_are_looked_at_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let aws = played().await;
    let config =
        configuration(folder.path(), &format!("{{region: eu-central-1, endpoint: \"{}\"}}", aws.url));
    let (code, said) = verify(&config, &[]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains(
            "no credentials for AWS: they are in none of the environment, the shared files' profile, a web identity (IRSA), the container's endpoint (Pod \
             Identity), the instance's role"
        ),
        "{said}"
    );
    assert!(aws.seen.lock().unwrap().is_empty(), "nothing is asked without credentials");

    // EKS Pod Identity.
    std::fs::write(folder.path().join("pod-token"), "token-of-the-pod").unwrap();
    let (uri, token) = (format!("{}/v1/credentials", aws.url), folder.path().join("pod-token"));
    let pod = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let (code, said) = verify(&config, &pod).await;
    assert_eq!(code, Some(0), "{said}");
    let seen = std::mem::take(&mut *aws.seen.lock().unwrap());
    assert_eq!(seen[0], "/v1/credentials  token-of-the-pod");
    assert!(seen[1].contains("ListCertificates AWS4-HMAC-SHA256 Credential=ASIAPOD/"), "{seen:?}");

    // A place that is set up and fails ends the search.
    let broken = format!("{}/broken", aws.url);
    let (code, said) = verify(&config, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &broken)]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no credentials for AWS: the container's endpoint (Pod Identity): "), "{said}");
    aws.seen.lock().unwrap().clear();

    // The shared files come before it, and the environment before them.
    std::fs::create_dir_all(folder.path().join(".aws")).unwrap();
    let files = format!(
        "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = {SECRET}\n[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = {SECRET}\n"
    );
    std::fs::write(folder.path().join(".aws/credentials"), files).unwrap();
    let with = |more: &[(&'static str, &'static str)]| [pod.as_slice(), more].concat();
    let key = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    for (environment, expected) in
        [(with(&[]), "AKIDFILE"), (with(&[("AWS_PROFILE", "other")]), "AKIDOTHER"), (with(&key), "AKIDENV")]
    {
        let (code, said) = verify(&config, &environment).await;
        assert_eq!(code, Some(0), "{said}");
        let seen = std::mem::take(&mut *aws.seen.lock().unwrap());
        assert!(seen[0].contains(&format!("Credential={expected}/")), "{seen:?}");
    }
    // A profile that the configuration names is meant, whatever the environment says.
    let config = configuration(
        folder.path(),
        &format!("{{region: eu-central-1, endpoint: \"{}\", profile: other}}", aws.url),
    );
    let (code, said) = verify(&config, &key).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(aws.seen.lock().unwrap()[0].contains("Credential=AKIDOTHER/"), "{:?}", aws.seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checking_machine_looks_for_no_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "{region: eu-central-1, endpoint: \"http://127.0.0.1:1\"}");
    #[expect(clippy::disallowed_methods, reason = "the binary itself is what is looked at")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbookd"));
    let output = command.env_clear().arg("check").arg("--config").arg(&config).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
