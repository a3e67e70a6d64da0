//! Amazon EC2: ends one machine, and asks before whether that is allowed. There is nothing else here: a person does it, by `inject`, and what machine stands behind a
//! node Kubernetes says.
//!
//! The protocol is AWS's "query". Each call names one machine and is sent once.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use roxmltree::{Document, Node};

use super::aws::{self, Answered, Aws, Failure, Query, Service};
use super::{CallError, ConnectError, Reason};

const VERSION: &str = "2016-11-15";
/// What both calls need in IAM.
const PERMISSION: &str = "ec2:TerminateInstances";
/// How EC2 says that it would have done it, with the status 412.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>.
const WOULD_SUCCEED: &str = "DryRunOperation";
/// The states of a machine that has ended, or is about to.
const ENDED: [&str; 2] = ["shutting-down", "terminated"];

/// The EC2 of an account in one region.
#[derive(Clone)]
pub struct Ec2(Arc<Inner>);

struct Inner {
    query: Query,
    aws: Aws,
}

impl std::fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ec2").field("aws", &self.0.aws).finish_non_exhaustive()
    }
}

impl Ec2 {
    /// Nothing is sent.
    ///
    /// # Errors
    /// When the address of EC2 can not be one.
    pub fn new(aws: &Aws) -> Result<Self, ConnectError> {
        Ok(Self(Arc::new(Inner { query: Query::new(aws, Service::Ec2)?, aws: aws.clone() })))
    }

    /// Asks whether this machine may be ended, such as `i-0f0d930b26c9e2c4b`. Nothing is done.
    ///
    /// # Errors
    /// `Denied` when it may not; `NotFound` when there is no such machine, as far as EC2 looks; and whatever keeps AWS from answering.
    pub async fn may_terminate(&self, instance: &str) -> Result<(), CallError> {
        let call = format!("ask whether the machine {instance} may be ended");
        let answered = self.ask(&call, instance, &[("DryRun", "true")]);
        let judged = async {
            let answered = answered.await?;
            // Whoever does not know the question has taken it for the deed.
            if answered.status.is_success() {
                let message = "EC2 was asked only whether it may, and answered as if it had done so: look whether the machine still runs";
                return Err(CallError::new(&call, Reason::ServerError, message).into());
            }
            match error(&answered.body) {
                Some((code, _)) if code == WOULD_SUCCEED => Ok(()),
                said => Err(answered.refused(&call, PERMISSION, said)),
            }
        };
        self.0.aws.tell(&call, judged).await
    }

    /// Ends this machine, for ever: sent once, with nothing beside it. EC2 takes it again for one that has ended already.
    ///
    /// # Errors
    /// Whatever kept EC2 from taking it, or from saying that it has.
    pub async fn terminate(&self, instance: &str) -> Result<(), CallError> {
        let call = format!("end the machine {instance}");
        let answered = self.ask(&call, instance, &[]);
        let judged = async {
            let answered = answered.await?;
            if !answered.status.is_success() {
                return Err(answered.refused(&call, PERMISSION, error(&answered.body)));
            }
            ends(&answered.body, instance)
                .map_err(|what| CallError::new(&call, Reason::ServerError, &what).into())
        };
        self.0.aws.tell(&call, judged).await
    }

    async fn ask(&self, call: &str, instance: &str, more: &[(&str, &str)]) -> Result<Answered, Failure> {
        checked(call, instance)?;
        let pairs = [("Action", "TerminateInstances"), ("Version", VERSION), ("InstanceId.1", instance)];
        self.0.query.send(call, &aws::form(&[&pairs, more].concat())).await
    }
}

/// Ids of EC2: eight hexadecimal digits of old, seventeen since 2016.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>.
fn checked(call: &str, instance: &str) -> Result<(), CallError> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = instance.strip_prefix("i-").filter(|digits| digits.bytes().all(is_hex));
    if digits.is_some_and(|digits| matches!(digits.len(), 8 | 17)) {
        return Ok(());
    }
    Err(CallError::unsent(call, "the id of a machine is `i-` with 8 or 17 of the digits 0 to 9 and a to f"))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

/// The code and the message of an error: EC2 puts them into `<Response><Errors><Error>`.
fn error(body: &[u8]) -> Option<(String, String)> {
    let document = Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let error = child(child(document.root_element(), "Errors")?, "Error")?;
    Some((text(error, "Code")?.to_owned(), text(error, "Message").unwrap_or_default().to_owned()))
}

/// Whether the answer says that this machine ends; else what it says instead.
fn ends(body: &[u8], instance: &str) -> Result<(), String> {
    let unreadable = || "the answer can not be read".to_owned();
    let document = std::str::from_utf8(body).ok().and_then(|body| Document::parse(body).ok());
    let document = document.ok_or_else(unreadable)?;
    let root = document.root_element();
    let all = child(root, "instancesSet").filter(|_| root.tag_name().name() == "TerminateInstancesResponse");
    let mut all = all.ok_or_else(unreadable)?.children();
    let one = all.find(|item| text(*item, "instanceId") == Some(instance));
    let one = one.ok_or("the answer is about another machine")?;
    match child(one, "currentState").and_then(|state| text(state, "name")) {
        Some(state) if ENDED.contains(&state) => Ok(()),
        Some(state) => Err(format!("the machine is {state}")),
        None => Err(unreadable()),
    }
}
