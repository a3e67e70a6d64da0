//! Logs: sentences with fields, as text or as JSON, to stderr. Never a token and never a raw body.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What the SDK of AWS says at finer levels holds whole answers, and credentials are one of them: at no level is it heard. What fails is said where it is handled.
const SILENT: [&str; 16] = [
    "aws_config",
    "aws_credential_types",
    "aws_runtime",
    "aws_sdk_acm",
    "aws_sdk_route53",
    "aws_sdk_sts",
    "aws_sigv4",
    "aws_smithy_async",
    "aws_smithy_http",
    "aws_smithy_http_client",
    "aws_smithy_json",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "aws_smithy_types",
    "aws_smithy_xml",
    "aws_types",
];

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Begins to log. `level` is a level or an `EnvFilter` directive such as `info,runbookd=debug`.
///
/// # Errors
/// What is wrong with `level`, or that logging had begun already.
pub fn begin(format: Format, level: &str, colour: bool) -> Result<(), String> {
    let filter = filter(level)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would say on stderr that stderr can not be written, and panic: a full disk or a broken pipe there must not
        // end what is logged about.
        .log_internal_errors(false);
    let begun = match format {
        Format::Text => {
            logs.with_ansi(colour && std::io::stderr().is_terminal()).with_target(false).compact().try_init()
        }
        Format::Json => {
            logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    begun.map_err(|error| error.to_string())
}

/// What is heard: what `level` says, without what is silent at every level.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::try_new(level).map_err(|error| {
        format!("`level: {level}` is not a log level ({error}); expected `info`, `debug` or `warn`")
    })?;
    // A directive for a part of it, or for a span, would outweigh what is added here.
    if level.contains("aws_") || level.contains('[') {
        return Err(format!(
            "`level: {level}` names the SDK of AWS or a span, which can write credentials; expected levels and other targets, such as `info,runbookd=debug`"
        ));
    }
    for target in SILENT {
        if let Ok(directive) = format!("{target}={}", LevelFilter::ERROR).parse() {
            filter = filter.add_directive(directive);
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clients::acm::{Acm, Which};
    use crate::clients::aws::tests::has_its_own_credentials;
    use crate::clients::aws::{Aws, Settings, Source, WebIdentity};
    use crate::clients::rds::Rds;
    use crate::clients::route53::Route53;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Answers everybody as STS answers a web identity.
    async fn sts() -> String {
        const GIVEN: &str = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials>\
            <AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>hush-hush-key</SecretAccessKey><SessionToken>hush-hush-session</SessionToken>\
            <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(async || GIVEN);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    #[tokio::test]
    async fn at_no_level_is_a_secret_of_aws_written() {
        if has_its_own_credentials() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, "hush-hush-token").unwrap();
        let identity = WebIdentity {
            token_file,
            role_arn: "arn:aws:iam::123456789012:role/runbookd".to_owned(),
            session_name: None,
        };
        let settings = Settings {
            endpoint: Some(sts().await),
            credentials: Source::Usual { web_identity: Some(identity) },
            ..Settings::new("eu-central-1")
        };
        for level in ["info,aws_sigv4=trace", "aws_smithy_runtime::client=trace", "[{sent}]=trace"] {
            let error = filter(level).unwrap_err();
            assert!(error.contains("can write credentials"), "{error}");
        }
        for level in ["trace", "debug,runbookd=trace"] {
            let written = Written::default();
            let writer = written.clone();
            let logs = tracing_subscriber::fmt().with_env_filter(filter(level).unwrap());
            let logs = logs.with_ansi(false).with_writer(move || writer.clone()).finish();
            let heard = tracing::subscriber::set_default(logs);
            let aws = Aws::new(&settings).unwrap();
            tracing::trace!("This is heard");
            let error = Acm::new(&aws).certificate(&Which::parse("shop.example").unwrap()).await.unwrap_err();
            assert_eq!(error.message, "HTTP 200: the answer can not be read", "there are credentials");
            Route53::new(&aws).zones().await.unwrap_err();
            Rds::new(&aws).unwrap().instance("shop").await.unwrap_err();
            drop(heard);
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("This is heard"), "{text}");
            assert!(!text.contains("hush-hush"), "{text}");
        }
    }
}
