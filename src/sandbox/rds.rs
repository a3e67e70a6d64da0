//! Amazon RDS: the database behind the services, with one parameter group. Answers as recorded of moto, and as AWS documents where moto says less.
//!
//! Two questions are known; everything else gets AWS's error. Who asks is told by the access key's id: the signature itself is not worked out again.

use super::server::{Answer, Received};
use super::services::Services;

/// The name of the DB instance.
pub const DATABASE: &str = "samosachaat-db";
/// The id of the only access key that is known.
pub const ACCESS_KEY: &str = "AKIDSANDBOX";
const GROUP: &str = "samosachaat-postgres15";
const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
const VERSION: &str = "2014-10-31";
/// How many parameters one answer holds, unless `MaxRecords` says otherwise.
const PAGE: usize = 100;

/// What is asked for before the parameter that matters: a real group has some 400.
const FILLERS: usize = 120;

pub(super) fn answer(services: &Services, received: &Received) -> Answer {
    let form = received.with_form();
    if let Err((code, message)) = signed_for(received, "rds", "eu-central-1") {
        let status = if code == "IncompleteSignature" { 400 } else { 403 };
        return error(status, &code, &message);
    }
    if received.method != "POST" || form.param("Version") != Some(VERSION) {
        return error(400, "IncompleteSignature", "Credential should be scoped to correct service: 'rds'.");
    }
    match form.param("Action").unwrap_or_default() {
        "DescribeDBInstances" => instances(services, form.param("DBInstanceIdentifier")),
        "DescribeDBParameters" => {
            parameters(services, form.param("DBParameterGroupName"), form.param("Marker"))
        }
        action => {
            error(400, "InvalidAction", &format!("Could not find operation {action} for version {VERSION}"))
        }
    }
}

/// Who asks, and of which service in which region; else AWS's code and words. The signature itself is not worked out again.
pub(super) fn signed_for(received: &Received, service: &str, region: &str) -> Result<(), (String, String)> {
    let signed = received.header("authorization").unwrap_or_default();
    let scope = signed.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap_or_default();
    let scope: Vec<&str> = scope.split([',', '/']).collect();
    let refused = |code: &str, message: &str| Err((code.to_owned(), message.to_owned()));
    match scope.first() {
        Some(&ACCESS_KEY) => {}
        Some(&"") | None => {
            return refused("MissingAuthenticationToken", "Request is missing Authentication Token");
        }
        Some(_) => {
            let message = "The security token included in the request is invalid.";
            return refused("InvalidClientTokenId", message);
        }
    }
    if scope.get(3) != Some(&service) || received.header("x-amz-date").is_none() {
        let message = format!("Credential should be scoped to correct service: '{service}'.");
        return refused("IncompleteSignature", &message);
    }
    match scope.get(2) {
        Some(signed) if *signed == region => Ok(()),
        other => {
            let message = format!(
                "Credential should be scoped to a valid region, not '{}'.",
                escaped(other.copied().unwrap_or_default())
            );
            refused("SignatureDoesNotMatch", &message)
        }
    }
}

fn instances(services: &Services, name: Option<&str>) -> Answer {
    let name = name.unwrap_or(DATABASE);
    if !name.eq_ignore_ascii_case(DATABASE) {
        return error(404, "DBInstanceNotFound", &format!("DBInstance {} not found.", escaped(name)));
    }
    described(
        "DescribeDBInstances",
        &format!(
            "<DBInstances><DBInstance><DBInstanceIdentifier>{DATABASE}</DBInstanceIdentifier><DBInstanceClass>db.t4g.medium</DBInstanceClass>\
             <Engine>postgres</Engine><DBInstanceStatus>{}</DBInstanceStatus><AllocatedStorage>20</AllocatedStorage>\
             <DBParameterGroups><DBParameterGroup><DBParameterGroupName>{GROUP}</DBParameterGroupName>\
             <ParameterApplyStatus>in-sync</ParameterApplyStatus></DBParameterGroup></DBParameterGroups><MultiAZ>false</MultiAZ>\
             <PendingModifiedValues/></DBInstance></DBInstances>",
            services.database_status
        ),
    )
}

fn parameters(services: &Services, group: Option<&str>, marker: Option<&str>) -> Answer {
    let group = group.unwrap_or_default();
    if group != GROUP {
        return error(
            404,
            "DBParameterGroupNotFound",
            &format!("DB Parameter Group {} not found.", escaped(group)),
        );
    }
    let value = services.parameter.clone().unwrap_or_else(|| services.max_connections.to_string());
    let parameter = |(name, value): (String, Option<String>)| {
        let value = value.map_or_else(String::new, |value| {
            format!("<ParameterValue>{}</ParameterValue>", escaped(&value))
        });
        format!(
            "<Parameter><ParameterName>{name}</ParameterName>{value}<ApplyMethod>pending-reboot</ApplyMethod></Parameter>"
        )
    };
    let fillers = (0..FILLERS).map(|number| (format!("auto_explain_{number}"), None));
    let all: Vec<_> = fillers.chain([("max_connections".to_owned(), Some(value))]).collect();
    let from: usize = marker.and_then(|marker| marker.parse().ok()).unwrap_or(0);
    let page: String = all.iter().skip(from).take(PAGE).cloned().map(parameter).collect();
    let next =
        if from + PAGE < all.len() { format!("<Marker>{}</Marker>", from + PAGE) } else { String::new() };
    described("DescribeDBParameters", &format!("{next}<Parameters>{page}</Parameters>"))
}

fn described(action: &str, result: &str) -> Answer {
    xml(
        200,
        &format!(
            "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
             <ResponseMetadata><RequestId>00000000-0000-4000-a000-000000000000</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    xml(
        status,
        &format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>00000000-0000-4000-a000-000000000000</RequestId></ErrorResponse>"
        ),
    )
}

fn xml(status: u16, body: &str) -> Answer {
    Answer::new(status, "text/xml", body)
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
