//! AWS Certificate Manager: one certificate. Answers as recorded of moto, and as AWS documents where moto says less: its key is none that is listed without being asked for, and it
//! has a renewal.
//!
//! Two questions are known; everything else gets AWS's error.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{Account, NAMES, RECORD, VALUE};
use super::rds::signed_for;
use super::server::{Answer, Received};

const ARN: &str = "arn:aws:acm:eu-central-1:123456789012:certificate/5a0d9d2e-0000-4000-a000-000000000001";
const USED_BY: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/samosachaat/50dc6c495c0c9188";
const KEY: &str = "EC_prime256v1";

pub(super) fn answer(account: &Account, received: &Received, now: Timestamp) -> Answer {
    if let Err((code, message)) = signed_for(received, "acm", "eu-central-1") {
        return error(&code.replace("InvalidClientTokenId", "UnrecognizedClientException"), &message);
    }
    let Ok(input) = serde_json::from_slice::<Value>(&received.body) else {
        return error("SerializationException", "");
    };
    match received.header("x-amz-target").unwrap_or_default() {
        "CertificateManager.ListCertificates" => list(account, &input, now),
        "CertificateManager.DescribeCertificate" if input["CertificateArn"] == ARN => described(account, now),
        "CertificateManager.DescribeCertificate" => {
            let arn = input["CertificateArn"].as_str().unwrap_or_default();
            let message = format!("Certificate with arn {arn} not found in account 123456789012");
            error("ResourceNotFoundException", &message)
        }
        _ => error("UnknownOperationException", ""),
    }
}

fn status(account: &Account, now: Timestamp) -> &'static str {
    if account.validity.1 <= now { "EXPIRED" } else { "ISSUED" }
}

/// Without `keyTypes` only those with RSA keys of 1024 and 2048 bits are listed.
fn list(account: &Account, input: &Value, now: Timestamp) -> Answer {
    let wanted = input["Includes"]["keyTypes"].as_array();
    let is_listed = wanted.is_some_and(|types| types.iter().any(|one| one == KEY));
    let one = json!({
        "CertificateArn": ARN, "DomainName": NAMES[0], "SubjectAlternativeNameSummaries": NAMES, "HasAdditionalSubjectAlternativeNames": false,
        "Status": status(account, now), "Type": "AMAZON_ISSUED", "KeyAlgorithm": KEY, "InUse": true, "RenewalEligibility": "ELIGIBLE",
        "NotBefore": account.validity.0.as_second(), "NotAfter": account.validity.1.as_second(),
    });
    let all: Vec<Value> = is_listed.then_some(one).into_iter().collect();
    json_answer(&json!({"CertificateSummaryList": all}))
}

fn described(account: &Account, now: Timestamp) -> Answer {
    let validations = |status: &str| -> Vec<Value> {
        let one = |name: &str| {
            json!({
                "DomainName": name, "ValidationDomain": name, "ValidationStatus": status, "ValidationMethod": "DNS",
                "ResourceRecord": {"Name": RECORD, "Type": "CNAME", "Value": VALUE},
            })
        };
        NAMES.map(one).to_vec()
    };
    let (from, to) = account.validity;
    let mut certificate = json!({
        "CertificateArn": ARN, "DomainName": NAMES[0], "SubjectAlternativeNames": NAMES, "DomainValidationOptions": validations("SUCCESS"),
        "Subject": format!("CN={}", NAMES[0]), "Issuer": "Amazon", "CreatedAt": from.as_second(), "IssuedAt": from.as_second(),
        "Status": status(account, now), "NotBefore": from.as_second(), "NotAfter": to.as_second(), "KeyAlgorithm": KEY,
        "SignatureAlgorithm": "SHA256WITHRSA", "InUseBy": [USED_BY], "Type": "AMAZON_ISSUED", "RenewalEligibility": "ELIGIBLE",
        "Options": {"CertificateTransparencyLoggingPreference": "ENABLED"},
    });
    if let Some((status, at)) = account.renewal {
        let of_names = if status == "PENDING_VALIDATION" { "PENDING_VALIDATION" } else { "SUCCESS" };
        certificate["RenewalSummary"] = json!({
            "RenewalStatus": status, "UpdatedAt": at.as_second(), "DomainValidationOptions": validations(of_names),
        });
    }
    json_answer(&json!({"Certificate": certificate}))
}

fn json_answer(value: &Value) -> Answer {
    Answer::new(200, "application/x-amz-json-1.1", value.to_string())
}

pub(super) fn error(code: &str, message: &str) -> Answer {
    let body = json!({"__type": code, "message": message}).to_string();
    Answer::new(400, "application/x-amz-json-1.1", body).with("X-Amzn-ErrorType", code)
}
