//! Amazon RDS: how many connections a DB instance takes. Only `Describe` calls.
//!
//! The protocol is AWS's "query". An error can quote the signed headers, and a session's token is one of them: those words are
//! not kept.

mod answer;
mod class;
mod formula;
mod limit;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use answer::Instance;
pub use limit::{Limit, Unknown};

use super::aws::{self, Aws, Failure, Query, Service};
use super::error::chain;
use super::{CallError, ConnectError, Questions, Reason};

const VERSION: &str = "2014-10-31";
/// A group has some 400 parameters, and a page 100.
const PAGES: usize = 50;
/// How many questions may be under way at once.
const AT_ONCE: usize = 2;
/// What each question needs in IAM.
const PERMISSION: &str = "rds:DescribeDBInstances or rds:DescribeDBParameters";

/// The RDS of an account in one region.
#[derive(Clone)]
pub struct Rds(Arc<Inner>);

struct Inner {
    query: Query,
    aws: Aws,
    answers: Questions<Arc<Vec<u8>>>,
}

impl std::fmt::Debug for Rds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rds").field("aws", &self.0.aws).finish_non_exhaustive()
    }
}

impl Rds {
    /// Nothing is sent.
    ///
    /// # Errors
    /// When the address of RDS can not be one.
    pub fn new(aws: &Aws) -> Result<Self, ConnectError> {
        let query = Query::new(aws, Service::Rds)?;
        Ok(Self(Arc::new(Inner { query, aws: aws.clone(), answers: Questions::new(AT_ONCE) })))
    }

    /// How many connections a DB instance takes, as far as that can be told for certain; else why not.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such instance.
    pub async fn max_connections(&self, instance: &str) -> Result<Result<Limit, Unknown>, CallError> {
        let instance = self.instance(instance).await?;
        let group = match instance.group() {
            Ok(group) => group.to_owned(),
            Err(unknown) => return Ok(Err(unknown)),
        };
        let formula = self.parameter(&group, limit::PARAMETER).await?;
        Ok(limit::of(&instance, &group, formula.as_deref()))
    }

    /// The DB instance of this name.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such instance.
    pub async fn instance(&self, name: &str) -> Result<Instance, CallError> {
        let call = format!("describe the DB instance {name}");
        checked(&call, name)?;
        let body = self.ask(&call, "DescribeDBInstances", &[("DBInstanceIdentifier", name)]).await?;
        answer::instance(&body, name).map_err(|what| CallError::new(&call, Reason::ServerError, &what))
    }

    /// The value of a parameter of a DB parameter group; none where the group leaves it to the engine, or has no such parameter.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such group.
    pub async fn parameter(&self, group: &str, name: &str) -> Result<Option<String>, CallError> {
        let call = format!("describe the DB parameter group {group}");
        checked(&call, group)?;
        let mut marker: Option<String> = None;
        for _ in 0..PAGES {
            let mut pairs = vec![("DBParameterGroupName", group)];
            pairs.extend(marker.as_deref().map(|marker| ("Marker", marker)));
            let body = self.ask(&call, "DescribeDBParameters", &pairs).await?;
            let page = answer::parameters(&body, name)
                .map_err(|what| CallError::new(&call, Reason::ServerError, &what))?;
            match page {
                answer::Page { found: Some(value), .. } => return Ok(value),
                answer::Page { marker: Some(next), .. } => marker = Some(next),
                answer::Page { .. } => return Ok(None),
            }
        }
        Err(CallError::new(
            &call,
            Reason::ServerError,
            &format!("there are more than {PAGES} pages of parameters"),
        ))
    }

    /// All that is asked here only reads.
    async fn ask(&self, call: &str, action: &str, pairs: &[(&str, &str)]) -> Result<Arc<Vec<u8>>, CallError> {
        let pairs = [&[("Action", action), ("Version", VERSION)], pairs].concat();
        let form = aws::form(&pairs);
        let send = || async { self.send(call, &form).await.map(Arc::new) };
        self.0.answers.ask(form.clone(), || self.0.aws.ask(call, send)).await
    }

    async fn send(&self, call: &str, form: &str) -> Result<Vec<u8>, Failure> {
        let answered = self.0.query.send(call, form).await?;
        if answered.status.is_success() {
            return Ok(answered.body);
        }
        Err(answered.refused(call, PERMISSION, answer::error(&answered.body)))
    }
}

/// Names of RDS: letters, digits and hyphens; of a group points, too, as in `default.postgres15`.
/// Source: <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html>.
fn checked(call: &str, name: &str) -> Result<(), CallError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if (1..=255).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(CallError::unsent(call, "the name of a DB instance has letters, digits and hyphens only"))
}

/// The text of an error of the XML reader.
fn unreadable(error: &roxmltree::Error) -> String {
    format!("the answer can not be read: {}", chain(error))
}
