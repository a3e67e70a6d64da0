//! Who AWS takes us for. Everybody may ask that: it needs no permission.

use roxmltree::Document;

use super::super::{CallError, Reason};
use super::query::{Query, form};
use super::{Aws, Service};

/// Who we are in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The number of the account.
    pub account: String,
    /// The user, or the role with its session.
    pub arn: String,
}

impl Aws {
    /// Asks AWS who we are.
    ///
    /// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>.
    ///
    /// # Errors
    /// When there are no credentials, AWS does not know them, or it does not answer.
    pub async fn who(&self) -> Result<Who, CallError> {
        let call = "ask AWS who we are";
        let query =
            Query::new(self, Service::Sts).map_err(|error| CallError::unsent(call, &error.to_string()))?;
        let form = form(&[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]);
        let send = || async {
            let answered = query.send(call, &form).await?;
            if answered.status.is_success() {
                return Ok(answered.body);
            }
            Err(answered.refused(call, "none", said(&answered.body)))
        };
        let body = self.ask(call, send).await?;
        read(&body).ok_or_else(|| {
            CallError::new(call, Reason::ServerError, "the answer names no account and no ARN")
        })
    }
}

fn read(body: &[u8]) -> Option<Who> {
    let text = std::str::from_utf8(body).ok()?;
    let document = Document::parse(text).ok()?;
    let of = |name: &str| {
        let found = document.descendants().find(|node| node.tag_name().name() == name)?;
        found.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    Some(Who { account: of("Account")?, arn: of("Arn")? })
}

fn said(body: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(body).ok()?;
    let document = Document::parse(text).ok()?;
    let of = |name: &str| {
        let found = document.descendants().find(|node| node.tag_name().name() == name)?;
        found.text().map(str::to_owned)
    };
    Some((of("Code")?, of("Message").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_as_aws_documents_it_names_the_account_and_the_arn() {
        let body = br#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
            <Arn>arn:aws:iam::123456789012:user/Alice</Arn><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId><Account>123456789012</Account>
            </GetCallerIdentityResult><ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#;
        let who = Who {
            account: "123456789012".to_owned(),
            arn: "arn:aws:iam::123456789012:user/Alice".to_owned(),
        };
        assert_eq!(read(body), Some(who));
        for nothing in
            [&b"<a/>"[..], b"", b"<GetCallerIdentityResponse><Arn>a</Arn></GetCallerIdentityResponse>"]
        {
            assert_eq!(read(nothing), None);
        }
    }
}
