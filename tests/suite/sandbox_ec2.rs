//! The sandbox's EC2 against recorded answers: the same statuses and codes, nothing that a recording does not know; and what becomes of a node whose machine is ended, seen by the
//! real client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use runbookd::clients::aws::{Aws, Service, Settings};
use runbookd::clients::ec2::Ec2;
use runbookd::clients::{Reason, Secret, http_client};
use runbookd::sandbox::{ACCESS_KEY, Options, Sandbox, System, Trouble};

use super::daemon::LIMIT;

const NOBODYS: &str = "i-0123456789abcdef0";

async fn sandbox(pace: u32) -> Sandbox {
    Sandbox::start(Options { traffic: false, pace, ..Options::default() }).await.unwrap()
}

fn client(sandbox: &Sandbox) -> Ec2 {
    let endpoints = BTreeMap::from([(Service::Ec2, sandbox.ec2_url())]);
    let settings = Settings { endpoints, ..Settings::new("eu-central-1") };
    Ec2::new(&Aws::new(&settings.with_key(ACCESS_KEY, Secret::new("sandbox-secret"), None)).unwrap()).unwrap()
}

/// A node, and the machine behind it, as Kubernetes says it.
fn machine(sandbox: &Sandbox) -> (String, String) {
    let world = sandbox.world();
    let node = world.nodes().remove(0).0;
    let provider = world.node(&node).unwrap()["spec"]["providerID"].as_str().unwrap().to_owned();
    let id = provider.strip_prefix("aws:///eu-central-1a/").unwrap().to_owned();
    (node, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_ended_is_missed_by_the_cluster_and_another_one_comes() {
    let sandbox = sandbox(1000).await;
    let (ec2, world) = (client(&sandbox), sandbox.world());
    let (node, id) = machine(&sandbox);
    let nodes = world.nodes();
    ec2.may_terminate(&id).await.unwrap();
    // Long after the cluster would have noticed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.nodes(), nodes, "it was only asked");
    ec2.terminate(&id).await.unwrap();
    assert!(world.until(LIMIT, |world| world.node(&node).is_none()).await);
    let others = nodes.len();
    let ready =
        move |nodes: Vec<(String, bool)>| nodes.len() == others && nodes.iter().all(|(_, ready)| *ready);
    assert!(world.until(LIMIT, move |world| ready(world.nodes())).await, "{:?}", world.nodes());
    // EC2 knows it for some time yet, and takes the same call again.
    ec2.terminate(&id).await.unwrap();
    assert_eq!(world.nodes().len(), others);
    assert_eq!(ec2.terminate(NOBODYS).await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ended_without_an_answer_is_not_known_to_be() {
    let sandbox = sandbox(1000).await;
    let (ec2, world) = (client(&sandbox), sandbox.world());
    let (node, id) = machine(&sandbox);
    let busy = Trouble::RateLimited { retry_after: Duration::from_secs(1) };
    world.disturb(System::Ec2, Some(busy));
    assert_eq!(ec2.terminate(&id).await.unwrap_err().reason, Reason::RateLimited);
    world.disturb_next(System::Ec2, Trouble::CutAfterApply, 1);
    let asked = |world: &runbookd::sandbox::World| {
        world.requests().iter().filter(|request| request.system == System::Ec2).count()
    };
    let before = asked(&world);
    assert_eq!(ec2.terminate(&id).await.unwrap_err().reason, Reason::ServerError);
    assert_eq!(asked(&world), before + 1, "sent once, whatever came back");
    assert!(world.until(LIMIT, |world| world.node(&node).is_none()).await);
}

fn recorded(name: &str) -> (u16, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ec2").join(name);
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

/// The status and the body of an answer to whoever signs like this.
async fn ask(url: &str, (key, region, service): (&str, &str, &str), form: &str) -> (u16, String) {
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20261122/{region}/{service}/aws4_request, SignedHeaders=host, Signature=a"
    );
    let request = http_client(Duration::from_secs(5)).unwrap().post(url).header("authorization", signed);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.header("x-amz-date", "20261122T190000Z").body(form.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn its_answers_are_shaped_as_the_recorded_ones() {
    let sandbox = sandbox(1).await;
    let url = sandbox.ec2_url();
    let (_, id) = machine(&sandbox);
    let us = (ACCESS_KEY, "eu-central-1", "ec2");
    let of = |id: &str, rest: &str| {
        format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={id}{rest}")
    };
    for (form, file) in [
        (of(&id, "&DryRun=true"), "dry-run.txt"),
        (of(&id, ""), "terminate.txt"),
        (of(NOBODYS, ""), "missing.txt"),
    ] {
        let (status, text) = ask(&url, us, &form).await;
        let (expected, recording) = recorded(file);
        assert_eq!((status, code(&text)), (expected, code(&recording)), "{file}: {text}");
        assert_eq!(elements(&text), elements(&recording), "{file}");
    }
    for (who, form, status, said) in [
        (("AKIDNOBODY", "eu-central-1", "ec2"), of(&id, ""), 401, "AuthFailure"),
        (("", "eu-central-1", "ec2"), of(&id, ""), 400, "MissingParameter"),
        ((ACCESS_KEY, "us-east-1", "ec2"), of(&id, ""), 403, "SignatureDoesNotMatch"),
        ((ACCESS_KEY, "eu-central-1", "rds"), of(&id, ""), 403, "SignatureDoesNotMatch"),
        (us, of("node-1", ""), 400, "InvalidInstanceID.Malformed"),
        (us, of(NOBODYS, "&DryRun=true"), 400, "InvalidInstanceID.NotFound"),
        (us, of(&id, "&DryRun=maybe"), 400, "InvalidParameterValue"),
        (us, of(&id, "").replace("Terminate", "Stop"), 400, "InvalidAction"),
        (us, of(&id, "").replace("2016-11-15", "2006-03-01"), 400, "InvalidAction"),
        (us, of(&id, &format!("&InstanceId.2={NOBODYS}")), 400, "InvalidParameterCombination"),
    ] {
        let (found, text) = ask(&url, who, &form).await;
        assert_eq!((found, code(&text)), (status, said), "{form}");
    }
}
