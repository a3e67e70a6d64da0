//! The RDS client against answers that moto gave, and against those that AWS documents and moto lacks.

use super::super::Secret;
use super::super::aws::Settings;
use super::super::wire::{Reply, Wire};
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "FwoGZXIvYXdzE-session";

fn at(url: &str) -> Rds {
    let settings = Settings { endpoint: Some(url.to_owned()), ..Settings::new("eu-central-1") };
    let settings = settings.with_key("AKIDEXAMPLE", Secret::new(SECRET), Some(Secret::new(SESSION)));
    Rds::new(&Aws::new(&settings).unwrap()).unwrap()
}

async fn with(replies: Vec<Reply>) -> (Rds, Wire) {
    let wire = Wire::start(replies).await;
    (at(&wire.url), wire)
}

fn recorded(name: &str) -> String {
    let Reply::Answer(_, _, body) = Reply::recorded(&format!("rds/{name}")) else { unreachable!() };
    body
}

fn xml(body: &str) -> Reply {
    Reply::Answer(200, vec![("content-type".to_owned(), "text/xml".to_owned())], body.to_owned())
}

/// A page of parameters as the API reference shows it.
fn page(parameters: &str, marker: &str) -> Reply {
    xml(&format!(
        "<DescribeDBParametersResponse xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\"><DescribeDBParametersResult>{marker}\
         <Parameters>{parameters}</Parameters></DescribeDBParametersResult></DescribeDBParametersResponse>"
    ))
}

fn parameter(name: &str, value: &str) -> String {
    format!("<Parameter><ParameterName>{name}</ParameterName>{value}<DataType>integer</DataType></Parameter>")
}

/// What comes of the recorded instance with some of its text replaced, and this value in its group.
async fn limit(replacements: &[(&str, &str)], value: &str) -> Result<Limit, Unknown> {
    let mut body = recorded("instance.txt");
    for (from, to) in replacements {
        assert!(body.contains(from), "{from}");
        body = body.replace(from, to);
    }
    let value = format!("<ParameterValue>{value}</ParameterValue>");
    let (rds, _wire) = with(vec![xml(&body), page(&parameter("max_connections", &value), "")]).await;
    rds.max_connections("shop").await.unwrap()
}

#[tokio::test]
async fn recorded_answers_give_a_limit_and_every_request_is_signed() {
    let (rds, wire) =
        with(vec![Reply::recorded("rds/instance.txt"), Reply::recorded("rds/parameters.txt")]).await;
    let limit = rds.max_connections("shop").await.unwrap().unwrap();
    assert_eq!((limit.connections, limit.says.as_str()), (200, "200 (max_connections of shop-postgres15)"));
    let seen = wire.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, "Action=DescribeDBInstances&Version=2014-10-31&DBInstanceIdentifier=shop");
    assert_eq!(
        seen[1].body,
        "Action=DescribeDBParameters&Version=2014-10-31&DBParameterGroupName=shop-postgres15"
    );
    for request in &seen {
        assert_eq!((request.method.as_str(), request.uri.as_str()), ("POST", "/"));
        let signed = request.headers["authorization"].to_str().unwrap();
        let date = request.headers["x-amz-date"].to_str().unwrap();
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}/eu-central-1/rds/aws4_request, ", &date[..8]);
        assert!(signed.starts_with(&scope), "{signed}");
        assert!(
            signed.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "),
            "{signed}"
        );
        assert_eq!(request.headers["x-amz-security-token"], SESSION);
        assert!(!signed.contains(SECRET));
    }
}

#[tokio::test]
async fn a_default_groups_formula_is_worked_out_over_what_the_class_has_at_the_least() {
    let formula = "LEAST({DBInstanceClassMemory/9531392},5000)";
    let limit = limit(&[], formula).await.unwrap();
    assert_eq!(limit.connections, 372);
    assert_eq!(
        limit.says,
        "372 at the least (max_connections of shop-postgres15 is LEAST({DBInstanceClassMemory/9531392},5000), and db.t4g.medium leaves \
         the database no less than 3386 MiB)"
    );
}

#[tokio::test]
async fn what_is_not_certain_is_unknown_with_its_reason() {
    let formula = "LEAST({DBInstanceClassMemory/9531392},5000)";
    for (replacements, value, expected) in [
        (
            &[("db.t4g.medium", "db.z9.large")][..],
            formula,
            "max_connections of shop-postgres15: LEAST({DBInstanceClassMemory/9531392},5000): the value of DBInstanceClassMemory is not known \
             (the memory of db.z9.large is not known)",
        ),
        (
            &[],
            "LEAST({log(DBInstanceClassMemory)},5000)",
            "max_connections of shop-postgres15: LEAST({log(DBInstanceClassMemory)},5000): the function log is not known",
        ),
        (
            &[],
            "",
            "max_connections of shop-postgres15: it has no value there, and the engine's own is not known",
        ),
        (
            &[("in-sync</ParameterApplyStatus", "pending-reboot</ParameterApplyStatus")],
            "200",
            "shop: its parameter group shop-postgres15 is pending-reboot: it runs with older values",
        ),
        (
            &[(">available<", ">modifying<")],
            "200",
            "shop: its status is modifying, so it may soon be another",
        ),
        (
            &[("<Engine>postgres<", "<Engine>aurora-postgresql<")],
            "200",
            "shop: its engine is aurora-postgresql, and of that nothing is known here",
        ),
        (
            &[("<MultiAZ>", "<DBClusterIdentifier>shops</DBClusterIdentifier><MultiAZ>")],
            "200",
            "shop: it belongs to the cluster shops, whose own parameter group is not read",
        ),
        (
            &[(
                "<MultiAZ>",
                "<PendingModifiedValues><DBInstanceClass>db.t4g.micro</DBInstanceClass></PendingModifiedValues><MultiAZ>",
            )],
            formula,
            "shop: it is db.t4g.medium, and is to become db.t4g.micro",
        ),
    ] {
        assert_eq!(limit(replacements, value).await.unwrap_err(), Unknown(expected.to_owned()));
    }
}

#[tokio::test]
async fn the_parameter_is_looked_for_on_every_page() {
    let first =
        page(&parameter("autovacuum", "<ParameterValue>1</ParameterValue>"), "<Marker>bWFya2Vy=</Marker>");
    let second = page(&parameter("max_connections", "<ParameterValue>77</ParameterValue>"), "");
    let (rds, wire) = with(vec![first.clone(), second]).await;
    assert_eq!(rds.parameter("default.postgres15", "max_connections").await.unwrap().as_deref(), Some("77"));
    assert!(wire.seen()[1].body.ends_with("&Marker=bWFya2Vy%3D"), "{}", wire.seen()[1].body);
    let (rds, _wire) = with(vec![first, page("", "")]).await;
    assert_eq!(rds.parameter("default.postgres15", "max_connections").await.unwrap(), None);
}

#[tokio::test]
async fn what_aws_refuses_has_its_reason_and_none_of_our_secrets() {
    let error = async |reply: Reply| with(vec![reply]).await.0.instance("shop").await.unwrap_err();
    let refusal = |status: u16, code: &str, message: &str| {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        Reply::Answer(status, Vec::new(), body)
    };
    let missing = error(Reply::recorded("rds/instance-missing.txt")).await;
    assert_eq!(
        (missing.reason, missing.message.as_str()),
        (Reason::NotFound, "HTTP 404: DBInstanceNotFound: DBInstance nobody not found.")
    );
    let denied = error(refusal(
        403,
        "AccessDenied",
        "User: runbookd is not authorized to perform: rds:DescribeDBInstances",
    ))
    .await;
    assert_eq!(denied.reason, Reason::Denied);
    // The canonical request, which AWS quotes, has the session's token in it.
    let said = format!(
        "The request signature we calculated does not match. The Canonical String was 'POST x-amz-security-token:{SESSION}'"
    );
    let wrong = error(refusal(403, "SignatureDoesNotMatch", &said)).await;
    assert!(wrong.reason == Reason::Denied && !wrong.to_string().contains(SESSION), "{wrong}");
    let odd = error(xml("<html>a gateway</html>")).await;
    assert_eq!(
        (odd.reason, odd.message.as_str()),
        (Reason::ServerError, "the answer is no DescribeDBInstancesResponse")
    );
    let other =
        recorded("instance.txt").replace("<DBInstanceIdentifier>shop<", "<DBInstanceIdentifier>other<");
    assert_eq!(error(xml(&other)).await.message, "the answer is about another instance");
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\">]><a>&b;</a>";
    assert!(error(xml(bomb)).await.message.contains("the answer can not be read"));
    for name in ["", "a b", "a&Action=DeleteDBInstance", "ä"] {
        let (rds, wire) = with(Vec::new()).await;
        assert_eq!(rds.instance(name).await.unwrap_err().reason, Reason::ClientError, "{name}");
        assert!(wire.seen().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_busy_aws_is_asked_again() {
    let busy = "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
    let busy = || Reply::Answer(400, Vec::new(), busy.to_owned());
    let (rds, wire) = with(vec![busy(), Reply::recorded("rds/instance.txt")]).await;
    assert_eq!(rds.instance("shop").await.unwrap().class, "db.t4g.medium");
    assert_eq!(wire.seen().len(), 2);
    let (rds, wire) = with(vec![busy(), busy(), busy()]).await;
    assert_eq!(rds.instance("shop").await.unwrap_err().reason, Reason::RateLimited);
    assert_eq!(wire.seen().len(), 3);
}

#[test]
fn nothing_shows_a_secret() {
    let settings = Settings::new("cn-north-1").with_key("A", Secret::new(SECRET), Some(Secret::new(SESSION)));
    assert_eq!(aws::address(None, Service::Rds, &settings.region), "https://rds.cn-north-1.amazonaws.com.cn");
    let aws = Aws::new(&settings).unwrap();
    let shown = format!("{settings:?} {aws:?} {:?}", Rds::new(&aws).unwrap());
    assert!(!shown.contains(SECRET) && !shown.contains(SESSION), "{shown}");
    let bad = Settings { endpoint: Some("rds.local".to_owned()), ..settings };
    assert!(Aws::new(&bad).is_err());
}
