//! The EC2 client against answers that moto gave, and against those that AWS documents.

use super::super::Secret;
use super::super::aws::Settings;
use super::super::wire::{Reply, Wire};
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "FwoGZXIvYXdzE-session";
/// The machine of the recorded answers.
const MACHINE: &str = "i-0f0d930b26c9e2c4b";

async fn with(replies: Vec<Reply>) -> (Ec2, Wire) {
    let wire = Wire::start(replies).await;
    let settings = Settings { endpoint: Some(wire.url.clone()), ..Settings::new("eu-central-1") };
    let settings = settings.with_key("AKIDEXAMPLE", Secret::new(SECRET), Some(Secret::new(SESSION)));
    (Ec2::new(&Aws::new(&settings).unwrap()).unwrap(), wire)
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::error(
        status,
        &format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"
        ),
    )
}

#[tokio::test]
async fn it_is_asked_first_and_then_done_by_one_signed_request_each() {
    let (ec2, wire) =
        with(vec![Reply::recorded("ec2/dry-run.txt"), Reply::recorded("ec2/terminate.txt")]).await;
    ec2.may_terminate(MACHINE).await.unwrap();
    ec2.terminate(MACHINE).await.unwrap();
    let seen = wire.seen();
    let deed = format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={MACHINE}");
    let bodies: Vec<&str> = seen.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies, [format!("{deed}&DryRun=true"), deed]);
    for request in &seen {
        assert_eq!((request.method.as_str(), request.uri.as_str()), ("POST", "/"));
        let signed = request.headers["authorization"].to_str().unwrap();
        let date = request.headers["x-amz-date"].to_str().unwrap();
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}/eu-central-1/ec2/aws4_request, ", &date[..8]);
        assert!(signed.starts_with(&scope), "{signed}");
        assert!(
            signed.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "),
            "{signed}"
        );
        assert!(!signed.contains(SECRET));
    }
}

#[tokio::test]
async fn what_is_no_id_of_a_machine_is_not_sent() {
    let (ec2, wire) = with(Vec::new()).await;
    for id in [
        "",
        "i-",
        "0f0d930b26c9e2c4b",
        "i-0f0d930b26c9e2c4",
        "i-0f0d930b26c9e2c4b0",
        "i-0F0D930B26C9E2C4B",
        "i-0f0d930b26c9e2c4g",
        "i-0f0d930b26c9e2c4b&DryRun=false",
        "ami-0f0d930b26c9e2c4b",
        " i-0f0d930b26c9e2c4b",
    ] {
        for error in [ec2.may_terminate(id).await.unwrap_err(), ec2.terminate(id).await.unwrap_err()] {
            assert_eq!(error.reason, Reason::ClientError, "{id:?}");
            assert!(error.to_string().contains("the id of a machine is `i-` with 8 or 17"), "{error}");
        }
    }
    assert!(wire.seen().is_empty());
    let (ec2, wire) = with(vec![refusal(412, "DryRunOperation", "")]).await;
    ec2.may_terminate("i-1a2b3c4d").await.unwrap();
    assert_eq!(wire.seen().len(), 1, "the older, shorter ids are still there");
}

/// None of them is asked again by itself, however much it looks as if that would help.
#[tokio::test]
async fn a_refusal_has_its_reason_and_no_second_try() {
    for (reply, reason, said) in [
        (
            refusal(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
            Reason::Denied,
            "it needs the permission ec2:TerminateInstances. AWS says: You are not authorized",
        ),
        (Reply::recorded("ec2/missing.txt"), Reason::NotFound, "'i-0123456789abcdef0' does not exist"),
        (
            refusal(
                400,
                "OperationNotPermitted",
                "The instance may not be terminated. Modify its 'disableApiTermination' instance attribute.",
            ),
            Reason::ClientError,
            "OperationNotPermitted: The instance may not be terminated",
        ),
        (
            refusal(503, "RequestLimitExceeded", "Request limit exceeded."),
            Reason::RateLimited,
            "RequestLimit",
        ),
        (
            refusal(500, "InternalError", "An internal error has occurred"),
            Reason::ServerError,
            "InternalError",
        ),
        (
            refusal(401, "AuthFailure", &format!("AWS was not able to validate {SESSION}")),
            Reason::Denied,
            "AuthFailure: AWS does not know these credentials",
        ),
        (
            refusal(400, "RequestExpired", &format!("Request has expired: {SESSION}")),
            Reason::Denied,
            "the credentials have ended",
        ),
        (Reply::error(502, "<html>Bad Gateway</html>"), Reason::ServerError, "Bad Gateway"),
        (Reply::error(403, "<Response><Errors><Error><Code>Unauth"), Reason::Denied, "Forbidden"),
    ] {
        let (ec2, wire) = with(vec![reply.clone(), reply]).await;
        for error in
            [ec2.may_terminate(MACHINE).await.unwrap_err(), ec2.terminate(MACHINE).await.unwrap_err()]
        {
            assert_eq!(error.reason, reason, "{error}");
            let text = error.to_string();
            assert!(text.contains(said) && text.contains(MACHINE), "{text}");
            assert!(!text.contains(SESSION) && !text.contains(SECRET), "{text}");
        }
        assert_eq!(wire.seen().len(), 2);
    }
}

#[tokio::test]
async fn only_what_says_that_this_machine_ends_is_believed() {
    let Reply::Answer(_, _, done) = Reply::recorded("ec2/terminate.txt") else { unreachable!() };
    for (answer, said) in [
        (done.replace(MACHINE, "i-0123456789abcdef0"), "the answer is about another machine"),
        (done.replace("shutting-down", "running"), "the machine is running"),
        (done.replace("TerminateInstancesResponse", "StopInstancesResponse"), "the answer can not be read"),
        (done[..done.len() / 2].to_owned(), "the answer can not be read"),
        (String::new(), "the answer can not be read"),
    ] {
        let (ec2, _wire) = with(vec![Reply::error(200, &answer)]).await;
        let error = ec2.terminate(MACHINE).await.unwrap_err();
        assert_eq!(error.reason, Reason::ServerError, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let (ec2, _wire) = with(vec![Reply::error(200, &done.replace("shutting-down", "terminated"))]).await;
    ec2.terminate(MACHINE).await.unwrap();
    // A server that does not know the flag.
    let (ec2, _wire) = with(vec![Reply::recorded("ec2/terminate.txt")]).await;
    let error = ec2.may_terminate(MACHINE).await.unwrap_err();
    assert!(error.to_string().contains("look whether the machine still runs"), "{error}");
}

#[tokio::test]
async fn it_has_an_address_in_every_region() {
    let of = |region| aws::address(None, Service::Ec2, region);
    assert_eq!(of("eu-central-1"), "https://ec2.eu-central-1.amazonaws.com");
    assert_eq!(of("cn-north-1"), "https://ec2.cn-north-1.amazonaws.com.cn");
}
