//! AWS's own answer to who is asking, as AWS documents it; nothing else of STS. It stands behind the door of EC2, as several services do behind one endpoint.

use super::rds::signed_for;
use super::server::{Answer, Received};

/// What STS answers, when it is STS that is asked.
pub(super) fn answer(received: &Received, region: &str) -> Option<Answer> {
    let form = received.with_form();
    let is_meant =
        form.param("Action") == Some("GetCallerIdentity") && form.param("Version") == Some("2011-06-15");
    if !is_meant {
        return None;
    }
    const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
    let xml = |status: u16, body: String| Some(Answer::new(status, "text/xml", body));
    match signed_for(received, "sts", region) {
        Err((code, message)) => xml(
            403,
            format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            ),
        ),
        Ok(()) => xml(
            200,
            format!(
                "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/sandbox</Arn>\
                 <UserId>AIDASANDBOX</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
            ),
        ),
    }
}
