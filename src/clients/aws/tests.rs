//! Who we are in AWS, against a server that plays STS and the services. The usual places other than a web identity need an environment of their own: `tests/suite/real_aws.rs`.

use jiff::Timestamp;

use super::super::acm::{Acm, Which};
use super::super::wire::{Reply, Wire};
use super::*;
use crate::clock;

const TOKEN: &str = "eyJhbGciOi.token-of-the-service-account.c2ln";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "FwoGZXIvYXdzE-session";
const ARN: &str = "arn:aws:acm:us-east-1:123456789012:certificate/fe9bd5ae-2c6b-487f-8dcd-da327ff30f89";

fn described() -> Reply {
    Reply::recorded("aws/acm-describe.txt")
}

fn refusal(status: u16, code: &str) -> Reply {
    let body = format!("{{\"__type\": \"{code}\", \"message\": \"said {SESSION}\"}}");
    Reply::Answer(status, vec![("x-amzn-errortype".to_owned(), code.to_owned())], body)
}

/// The answer of STS. Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>.
fn assumed(key: &str, end: Timestamp) -> Reply {
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SESSION}</SessionToken><Expiration>{end}</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    Reply::Answer(200, vec![("content-type".to_owned(), "text/xml".to_owned())], body)
}

fn later(minutes: u64) -> Timestamp {
    clock::cut(clock::after(clock::now(), Duration::from_mins(minutes)))
}

/// A source of credentials in files, and the folder of them.
fn web_identity(folder: &std::path::Path) -> Source {
    std::fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    Source::Usual {
        web_identity: Some(WebIdentity {
            token_file: folder.join("token"),
            role_arn: "arn:aws:iam::123456789012:role/runbookd".to_owned(),
            session_name: None,
        }),
    }
}

fn aws(url: &str, credentials: Source) -> Aws {
    let settings = Settings::new("eu-central-1");
    Aws::new(&Settings { endpoint: Some(url.to_owned()), credentials, ..settings }).unwrap()
}

async fn describe(aws: &Aws) -> Result<String, CallError> {
    let which = Which::parse(ARN).unwrap();
    Acm::new(aws).certificate(&which).await.map(|found| found.unwrap().domain)
}

fn access_keys(wire: &Wire) -> Vec<String> {
    let signed = wire.seen().into_iter().filter_map(|seen| seen.headers.get("authorization").cloned());
    let key = |value: http::HeaderValue| {
        let text = value.to_str().unwrap().split_once("Credential=").unwrap().1.to_owned();
        text.split_once('/').unwrap().0.to_owned()
    };
    signed.map(key).collect()
}

/// What comes before a web identity must be nowhere on the machine that tests.
pub(crate) fn has_its_own_credentials() -> bool {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
    let files = std::env::home_dir().unwrap_or_default().join(".aws");
    let found = names.iter().any(|name| std::env::var_os(name).is_some()) || files.exists();
    if found {
        eprintln!("not run: this machine has credentials for AWS of its own");
    }
    found
}

#[tokio::test]
async fn a_web_identity_is_shown_to_sts_at_its_own_address_and_kept_until_shortly_before_its_end() {
    if has_its_own_credentials() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sts = Wire::start(vec![assumed("ASIAFIRST", later(60)), assumed("ASIASECOND", later(60))]).await;
    let wire = Wire::start(vec![described(), described(), described()]).await;
    let settings = Settings {
        endpoint: Some(wire.url.clone()),
        endpoints: BTreeMap::from([(Service::Sts, sts.url.clone())]),
        credentials: web_identity(folder.path()),
        ..Settings::new("eu-central-1")
    };
    let aws = Aws::new(&settings).unwrap();
    assert_eq!(describe(&aws).await.unwrap(), "b.samosachaat.art");
    assert_eq!(describe(&aws).await.unwrap(), "b.samosachaat.art");
    let asked = sts.seen();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].body.contains("Action=AssumeRoleWithWebIdentity"), "{}", asked[0].body);
    assert!(asked[0].body.contains(TOKEN) && asked[0].body.contains("RoleSessionName=runbookd"));
    assert!(!asked[0].headers.contains_key("authorization"), "nobody signs it");
    aws.forget().await;
    // Kubernetes has put another token there.
    std::fs::write(folder.path().join("token"), "another").unwrap();
    describe(&aws).await.unwrap();
    assert!(sts.seen()[1].body.contains("WebIdentityToken=another"));
    assert_eq!(access_keys(&wire), ["ASIAFIRST", "ASIAFIRST", "ASIASECOND"]);
    assert_eq!(wire.seen()[0].headers["x-amz-security-token"], SESSION);
}

#[tokio::test]
async fn credentials_that_aws_calls_ended_are_replaced_once() {
    if has_its_own_credentials() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ended = || refusal(400, "ExpiredTokenException");
    let replies =
        vec![assumed("ASIAFIRST", later(60)), ended(), assumed("ASIASECOND", later(60)), described()];
    let wire = Wire::start(replies).await;
    let aws = aws(&wire.url, web_identity(folder.path()));
    assert_eq!(describe(&aws).await.unwrap(), "b.samosachaat.art");
    assert_eq!(access_keys(&wire), ["ASIAFIRST", "ASIASECOND"]);

    let wire = Wire::start(vec![ended(), ended(), ended()]).await;
    let keys = Settings::new("eu-central-1").with_key("AKIDEXAMPLE", Secret::new(SECRET), None);
    let aws = self::aws(&wire.url, keys.credentials);
    let error = describe(&aws).await.unwrap_err();
    assert_eq!(error.reason, Reason::Denied);
    assert_eq!(error.message, "HTTP 400: ExpiredTokenException: the credentials have ended");
    assert_eq!(wire.seen().len(), 2);
}

#[tokio::test]
async fn what_sts_refuses_is_said_without_the_token_and_nobody_asks_again_at_once() {
    if has_its_own_credentials() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>The token {TOKEN} is not known</Message></Error></ErrorResponse>"
    );
    let wire = Wire::start(vec![Reply::error(400, &body)]).await;
    let aws = aws(&wire.url, web_identity(folder.path()));
    for _ in 0..3 {
        let error = describe(&aws).await.unwrap_err();
        assert_eq!(
            error.message,
            "no credentials for AWS: take the role arn:aws:iam::123456789012:role/runbookd by web identity (IRSA): HTTP 400: InvalidIdentityToken: The \
             token (the token) is not known"
        );
    }
    assert_eq!(wire.seen().len(), 1);
    std::fs::remove_file(folder.path().join("token")).unwrap();
    aws.forget().await;
    let error = describe(&aws).await.unwrap_err();
    assert!(error.message.contains("the token in ") && error.message.contains("No such file"), "{error}");
    assert_eq!(error.reason, Reason::Denied);
}

#[tokio::test]
async fn a_profile_comes_from_its_file_and_from_nowhere_else_and_a_new_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let write = |key: &str| {
        let text = format!(
            "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = {SECRET}\n\n[runbookd]\n# a comment\naws_access_key_id={key}\n\
             aws_secret_access_key = {SECRET}\naws_session_token = {SESSION}\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("AKIDFIRST");
    let source =
        |name: Option<&str>| Source::Profile { name: name.map(str::to_owned), file: Some(file.clone()) };
    let wire = Wire::start(vec![described(), described(), described()]).await;
    let named = aws(&wire.url, source(Some("runbookd")));
    describe(&named).await.unwrap();
    write("AKIDSECOND");
    named.forget().await;
    describe(&named).await.unwrap();
    describe(&aws(&wire.url, source(Some("default")))).await.unwrap();
    assert_eq!(access_keys(&wire), ["AKIDFIRST", "AKIDSECOND", "AKIDDEFAULT"]);

    for (name, text) in [
        ("nobody", None),
        ("half", Some(format!("[half]\naws_secret_access_key = {SECRET}\n"))),
        ("broken", Some(format!("[broken\naws_secret_access_key = {SECRET}\n"))),
        ("gone", None),
    ] {
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None if name == "gone" => std::fs::remove_file(&file).unwrap(),
            None => {}
        }
        let error = describe(&aws(&wire.url, source(Some(name)))).await.unwrap_err();
        assert_eq!(error.reason, Reason::Denied, "{error}");
        let begins = format!("no credentials for AWS: the profile {name} of {}: ", file.display());
        assert!(error.message.starts_with(&begins), "{error}");
        assert!(!error.to_string().contains(&SECRET[..8]), "{error}");
    }
    assert_eq!(wire.seen().len(), 3, "nothing is sent without credentials");
}

#[tokio::test]
async fn a_refusal_of_aws_has_its_reason_and_shows_no_secret() {
    let keys = |url: &str| {
        let settings = Settings::new("eu-central-1");
        let settings = settings.with_key("AKIDEXAMPLE", Secret::new(SECRET), Some(Secret::new(SESSION)));
        aws(url, settings.credentials)
    };
    for (reply, requests, reason, message) in [
        (refusal(400, "ThrottlingException"), 3, Reason::RateLimited, "ThrottlingException: said"),
        (refusal(503, "ServiceUnavailable"), 3, Reason::ServerError, "ServiceUnavailable: said"),
        (
            refusal(400, "AccessDeniedException"),
            1,
            Reason::Denied,
            "AccessDeniedException: it needs the permission acm:DescribeCertificate. AWS says: said",
        ),
        (refusal(400, "ResourceNotFoundException"), 1, Reason::NotFound, "ResourceNotFoundException: said"),
        (
            refusal(403, "InvalidSignatureException"),
            1,
            Reason::Denied,
            "InvalidSignatureException: AWS does not know these credentials, or something in between changed the request",
        ),
        (refusal(400, "ValidationException"), 1, Reason::ClientError, "ValidationException: said"),
        (Reply::error(502, "<html>a gateway</html>"), 3, Reason::ServerError, "HTTP 502: Bad Gateway"),
        (Reply::json("{\"Certificate\": "), 3, Reason::ServerError, "HTTP 200: the answer can not be read"),
        (Reply::json("{}"), 3, Reason::ServerError, "the answer holds no certificate"),
        (
            Reply::Answer(
                301,
                vec![("location".to_owned(), "http://127.0.0.1:1/".to_owned())],
                String::new(),
            ),
            1,
            Reason::ClientError,
            "HTTP 301: Moved Permanently",
        ),
    ] {
        let wire = Wire::start(vec![reply.clone(), reply.clone(), reply.clone(), reply.clone()]).await;
        let error = describe(&keys(&wire.url)).await.unwrap_err();
        assert_eq!((error.reason, wire.seen().len()), (reason, requests), "{error}");
        assert!(error.message.contains(message), "{error}");
        if message.contains("credentials") {
            assert!(!error.to_string().contains(SESSION), "{error}");
        }
        assert_eq!(error.call, format!("describe the certificate {ARN}"));
    }
    let error = describe(&keys(&Wire::nowhere().await)).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unreachable, "{error}");
    let error = describe(&keys(&Wire::breaking().await)).await.unwrap_err();
    assert_eq!(error.reason, Reason::ServerError, "{error}");
    let slow = Wire::start(vec![Reply::Hang]).await;
    let settings = Settings {
        endpoint: Some(slow.url.clone()),
        timeout: Duration::from_millis(200),
        ..Settings::new("eu-central-1").with_key("AKIDEXAMPLE", Secret::new(SECRET), None)
    };
    let error = describe(&Aws::new(&settings).unwrap()).await.unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), (Reason::Timeout, "no answer in time"));
}

#[test]
fn nothing_shows_a_secret() {
    let settings =
        Settings::new("eu-central-1").with_key("A", Secret::new(SECRET), Some(Secret::new(SESSION)));
    let aws = Aws::new(&settings).unwrap();
    let shown = format!("{settings:?} {aws:?} {:?} {:?}", aws.sdk(Service::Acm), Acm::new(&aws));
    assert!(!shown.contains(SECRET) && !shown.contains(SESSION), "{shown}");
    for endpoint in ["acm.local", "ftp://acm.local", "https://user:password@acm.local", "https://acm.local?a"]
    {
        let settings = Settings { endpoint: Some(endpoint.to_owned()), ..Settings::new("eu-central-1") };
        assert!(Aws::new(&settings).is_err(), "{endpoint}");
    }
}
