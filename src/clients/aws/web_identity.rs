//! IAM roles for service accounts (IRSA): STS gives the credentials of a role for the token that Kubernetes keeps in a file. The request is signed by nobody; the token is
//! the proof, and gets into no error.
//!
//! aws-config has the same, without a way to name another address of STS.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use tokio::io::AsyncReadExt as _;

use super::identity::Untold;
use super::{Reason, WebIdentity, boxed, failed};
use crate::clients::Secret;

/// No token is longer. Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>.
const MOST_BYTES: u64 = 20_000;
/// What AWS's own logs call the session.
const SESSION: &str = "runbookd";

pub(super) async fn assume(sts: &aws_sdk_sts::Client, identity: &WebIdentity) -> Result<Credentials, Untold> {
    let WebIdentity { token_file, role_arn, session_name } = identity;
    let call = format!("take the role {role_arn} by web identity (IRSA)");
    let untold =
        |reason, why: String| Untold { reason, why: format!("no credentials for AWS: {call}: {why}") };
    let token = token(token_file)
        .await
        .map_err(|why| untold(Reason::Denied, format!("the token in {}: {why}", token_file.display())))?;
    let request = sts
        .assume_role_with_web_identity()
        .role_arn(role_arn)
        .role_session_name(session_name.as_deref().unwrap_or(SESSION))
        .web_identity_token(token.reveal());
    let answer = boxed(request.send()).await.map_err(|error| {
        let error = failed(&call, "sts:AssumeRoleWithWebIdentity", error).error;
        // STS may quote what it was shown.
        untold(error.reason, error.message.replace(token.reveal(), "(the token)"))
    })?;
    let given = answer
        .credentials
        .ok_or_else(|| untold(Reason::ServerError, "STS answers without credentials".to_owned()))?;
    let end = SystemTime::try_from(given.expiration).ok();
    let session = Some(given.session_token);
    Ok(Credentials::new(given.access_key_id, given.secret_access_key, session, end, "runbookd"))
}

async fn token(path: &std::path::Path) -> Result<Secret, String> {
    let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).await.map_err(|error| error.to_string())?;
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        token => Ok(Secret::new(token)),
    }
}
