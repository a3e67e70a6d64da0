//! The sandbox's RDS against recorded answers: the same statuses and codes, no element that a recording does not know, and AWS's errors for everything else.

use std::collections::BTreeSet;
use std::time::Duration;

use runbookd::clients::http_client;
use runbookd::sandbox::{ACCESS_KEY, DATABASE, Options, Sandbox, System, Trouble};

const GROUP: &str = "samosachaat-postgres15";

async fn sandbox() -> Sandbox {
    Sandbox::start(Options { traffic: false, ..Options::default() }).await.unwrap()
}

/// The status and the body of an answer; `key` is the access key's id.
async fn ask(sandbox: &Sandbox, key: Option<&str>, form: &str) -> (u16, String) {
    let mut request = http_client(Duration::from_secs(5)).unwrap().post(sandbox.rds_url());
    if let Some(key) = key {
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20261122/eu-central-1/rds/aws4_request, SignedHeaders=host, Signature=a"
        );
        request = request.header("authorization", signed).header("x-amz-date", "20261122T190000Z");
    }
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(format!("{form}&Version=2014-10-31")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn recorded(name: &str) -> (u16, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rds").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    (head.lines().next().unwrap().strip_prefix("HTTP ").unwrap().parse().unwrap(), body.to_owned())
}

/// The names of the elements of an answer.
fn elements(xml: &str) -> BTreeSet<String> {
    let opened = xml.split('<').skip(1).filter(|rest| !rest.starts_with(['/', '?']));
    opened.map(|rest| rest.split(['>', ' ', '/']).next().unwrap_or_default().to_owned()).collect()
}

fn code(xml: &str) -> &str {
    xml.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code)
}

#[tokio::test]
async fn its_answers_are_shaped_as_the_recorded_ones() {
    let sandbox = sandbox().await;
    let known = |name: &str| format!("Action=DescribeDBInstances&DBInstanceIdentifier={name}");
    let of_group = |name: &str| format!("Action=DescribeDBParameters&DBParameterGroupName={name}");
    for (form, file) in [
        (known(DATABASE), "instance.txt"),
        (known("nobody"), "instance-missing.txt"),
        (of_group(&format!("{GROUP}&Marker=100")), "parameters.txt"),
        (of_group("default.postgres15"), "parameters-missing.txt"),
    ] {
        let (status, body) = ask(&sandbox, Some(ACCESS_KEY), &form).await;
        let (expected, recording) = recorded(file);
        assert_eq!((status, code(&body)), (expected, code(&recording)), "{form}");
        // Documented, and left out by moto.
        let further: BTreeSet<String> = BTreeSet::from(["PendingModifiedValues".to_owned()]);
        let known: BTreeSet<String> = elements(&recording).union(&further).cloned().collect();
        let strange: Vec<_> = elements(&body).difference(&known).cloned().collect();
        assert!(strange.is_empty(), "{form}: {strange:?}");
    }
}

#[tokio::test]
async fn a_group_has_more_than_one_page_and_the_limit_stands_on_the_last() {
    let sandbox = sandbox().await;
    let form = format!("Action=DescribeDBParameters&DBParameterGroupName={GROUP}");
    let (_, first) = ask(&sandbox, Some(ACCESS_KEY), &form).await;
    assert!(first.contains("<Marker>100</Marker>") && !first.contains("max_connections"), "{first}");
    let (_, second) = ask(&sandbox, Some(ACCESS_KEY), &format!("{form}&Marker=100")).await;
    assert!(
        !second.contains("<Marker>") && second.contains("<ParameterName>max_connections</ParameterName>"),
        "{second}"
    );
}

#[tokio::test]
async fn whoever_it_does_not_know_and_whatever_it_can_not_gets_awss_error() {
    let sandbox = sandbox().await;
    let describe = "Action=DescribeDBInstances";
    for (key, form, expected) in [
        (None, describe, (403, "MissingAuthenticationToken")),
        (Some("AKIDSOMEBODY"), describe, (403, "InvalidClientTokenId")),
        (
            Some(ACCESS_KEY),
            "Action=DeleteDBInstance&DBInstanceIdentifier=samosachaat-db",
            (400, "InvalidAction"),
        ),
    ] {
        let (status, body) = ask(&sandbox, key, form).await;
        assert_eq!((status, code(&body)), expected, "{form}");
    }
    let limited = Trouble::RateLimited { retry_after: Duration::from_secs(1) };
    sandbox.world().disturb(System::Rds, Some(limited));
    let (status, body) = ask(&sandbox, Some(ACCESS_KEY), describe).await;
    assert_eq!((status, code(&body)), (400, "Throttling"));
}
