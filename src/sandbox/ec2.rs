//! Amazon EC2: the machines behind the nodes, which can be ended. Answers as recorded of moto, and as AWS documents where moto says less.
//!
//! One call is known, with its dry run; everything else gets AWS's error.

use jiff::Timestamp;

use super::cluster::{Cluster, Ended};
use super::rds::{escaped, signed_for};
use super::server::{Answer, Received};

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15";
const VERSION: &str = "2016-11-15";
/// What every other system of AWS here answers for, too.
const REGION: &str = "eu-central-1";

pub(super) fn answer(cluster: &mut Cluster, received: &Received, now: Timestamp) -> Answer {
    if let Some(who) = super::sts::answer(received, REGION) {
        return who;
    }
    if let Err((code, message)) = signed_for(received, "ec2", REGION) {
        return match code.as_str() {
            "MissingAuthenticationToken" => {
                error(400, "MissingParameter", "The request must contain the parameter AWSAccessKeyId")
            }
            "InvalidClientTokenId" => {
                error(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
            }
            _ => error(403, "SignatureDoesNotMatch", &message),
        };
    }
    let form = received.with_form();
    let action = form.param("Action").unwrap_or_default();
    if received.method != "POST" || form.param("Version") != Some(VERSION) || action != "TerminateInstances" {
        let message = format!("The action {} is not valid for this web service.", escaped(action));
        return error(400, "InvalidAction", &message);
    }
    let ids: Vec<&str> = form
        .query
        .iter()
        .filter(|(key, _)| key.starts_with("InstanceId."))
        .map(|(_, id)| id.as_str())
        .collect();
    let [id] = ids.as_slice() else {
        return error(400, "InvalidParameterCombination", "This sandbox ends one machine at a time.");
    };
    if !is_id(id) {
        return error(400, "InvalidInstanceID.Malformed", &format!("Invalid id: \"{}\"", escaped(id)));
    }
    if cluster.machine(id).is_none() {
        let message = format!("The instance ID '{}' does not exist", escaped(id));
        return error(400, "InvalidInstanceID.NotFound", &message);
    }
    match form.param("DryRun") {
        None | Some("false") => {}
        Some("true") => {
            let message = "Request would have succeeded, but DryRun flag is set.";
            return error(412, "DryRunOperation", message);
        }
        Some(other) => {
            let message = format!("Invalid value '{}' for DryRun.", escaped(other));
            return error(400, "InvalidParameterValue", &message);
        }
    }
    let (previous, current) = match cluster.terminate(id, now) {
        Ended::Now => ("<code>16</code><name>running</name>", "<code>32</code><name>shutting-down</name>"),
        Ended::Before => ("<code>48</code><name>terminated</name>", "<code>48</code><name>terminated</name>"),
    };
    xml(
        200,
        &format!(
            "<TerminateInstancesResponse xmlns=\"{NAMESPACE}\"><instancesSet><item><instanceId>{id}</instanceId><currentState>{current}</currentState>\
             <previousState>{previous}</previousState></item></instancesSet><requestId>00000000-0000-4000-a000-000000000000</requestId></TerminateInstancesResponse>"
        ),
    )
}

fn is_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.chars().all(|digit| digit.is_ascii_hexdigit())
    })
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    xml(
        status,
        &format!(
            "<Response xmlns=\"{NAMESPACE}\"><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>00000000-0000-4000-a000-000000000000</RequestID></Response>"
        ),
    )
}

fn xml(status: u16, body: &str) -> Answer {
    Answer::new(status, "text/xml", format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{body}"))
}
