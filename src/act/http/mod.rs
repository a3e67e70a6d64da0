//! An HTTP call, to one address or to every pod of a workload at its own, one after the other: the address of a Service reaches one pod of N.
//!
//! Nothing of HTTP tells afterwards whether a call was made. The operation's id goes along as `Idempotency-Key`, for those who read it; and an
//! `observe` asks for a value, of every pod, that is there once it has happened. With it a pod that has the value already is not called again, and
//! what happened to some of the pods is known; without it whatever is not answered is ambiguous, and never repeated.

mod plan;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::{Followed, Right, another, right, unfollowed, unobserved, unsent, void};
use crate::clients::Reason;
use crate::clients::http::{Http, Order, PodAt, Sent, To};
use crate::clients::kubernetes::Kubernetes;
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Calls, Object, Plan, Target};
use crate::runbook::{CallTo, HttpCall, Observe, secrecy};
use crate::text::{count, cut, span};

pub(super) use plan::plan;

/// The rights that it needs. What it calls is not the cluster's to allow.
pub(super) const RIGHTS: &[Right] = &[
    right("apps", "deployments", "get"),
    right("apps", "statefulsets", "get"),
    right("apps", "daemonsets", "get"),
    right("", "pods", "list"),
    right("apps", "replicasets", "list"),
];

/// How much of a value, and of an answer that says no, people are shown.
const SHOWN: usize = 300;
const SHOWN_VALUE: usize = 60;

/// The two systems that it works with.
#[derive(Clone, Copy)]
pub(super) struct Tools<'t> {
    pub(super) kubernetes: &'t Kubernetes,
    pub(super) http: &'t Http,
}

/// One who is called.
#[derive(Clone, Copy)]
enum Callee<'p> {
    Url(&'p str),
    Pod { namespace: &'p str, name: &'p str, uid: &'p str, address: IpAddr, port: u16, path: &'p str },
}

impl fmt::Display for Callee<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Pod { name, .. } => write!(f, "pod/{name}"),
        }
    }
}

impl<'p> Callee<'p> {
    const fn to(self) -> To<'p> {
        match self {
            Self::Url(url) => To::Url(url),
            Self::Pod { namespace, address, port, path, .. } => {
                To::Pod(PodAt { namespace, address, port }, path)
            }
        }
    }

    /// Where `observe` asks.
    const fn asked_at(self, observe: &'p Observe) -> To<'p> {
        match self {
            Self::Url(_) => To::Url(observe.at.as_str()),
            Self::Pod { namespace, address, port, .. } => {
                To::Pod(PodAt { namespace, address, port }, observe.at.as_str())
            }
        }
    }
}

/// Those whom a plan calls, in its order.
fn callees(plan: &Plan) -> Vec<Callee<'_>> {
    let Some(calls) = &plan.calls else { return Vec::new() };
    match &calls.call.to {
        CallTo::Url(url) => vec![Callee::Url(url)],
        CallTo::EachPod { port, path } => {
            let pods = plan.objects.iter().zip(&calls.addresses);
            let namespace = plan.target.namespace.as_str();
            pods.map(|(Object { name, uid }, address)| Callee::Pod {
                namespace,
                name,
                uid,
                address: *address,
                port: *port,
                path,
            })
            .collect()
        }
    }
}

/// What one of them says, or why it says nothing.
async fn look(http: &Http, observe: &Observe, callee: Callee<'_>) -> Result<Value, String> {
    let found = http.value(callee.asked_at(observe), 200, &observe.pointer).await;
    found.map_err(|why| format!("{callee}: {why}"))
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    cut(&secrecy::shown(&text), SHOWN_VALUE)
}

/// What keeps one from being called, or what became of it.
enum Made {
    /// It was, or had the value already.
    Yes,
    No(EffectResult),
}

pub(super) async fn apply(tools: Tools<'_>, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let refused =
        |message: String| EffectResult::Refused { reason: Reason::ClientError.as_str().to_owned(), message };
    let Some(calls) = &plan.calls else { return refused("the plan makes no call".to_owned()) };
    let callees = callees(plan);
    if callees.is_empty() {
        return refused("the plan calls nobody".to_owned());
    }
    if let Err(stopped) = still_there(tools.kubernetes, plan).await {
        return stopped;
    }
    let of = callees.len();
    let mut leave = Leave { permit: &permit, calls, sent: 0 };
    let mut told = Vec::new();
    for callee in callees {
        match one(tools, &mut leave, callee).await {
            Made::Yes => told.push(callee.to_string()),
            Made::No(result) => return with_the_others(result, &told, of, leave.sent),
        }
    }
    EffectResult::Applied
}

/// What keeps one from being called, when others have been told before.
fn with_the_others(result: EffectResult, told: &[String], of: usize, sent: usize) -> EffectResult {
    let others = || format!("{} of {of} have been told ({})", told.len(), cut(&told.join(", "), SHOWN));
    match result {
        result if told.is_empty() => result,
        // It ends here. What was done is named, as nobody looks any more.
        EffectResult::Refused { reason, message } => {
            EffectResult::InPart { reason, message: format!("{message}; {}", others()) }
        }
        // A look tells which.
        EffectResult::NotTaken { reason, message } if sent > 0 => {
            EffectResult::Unclear { reason, message: format!("{message}; {}", others()) }
        }
        result => result,
    }
}

/// The permit, and what was made of it.
struct Leave<'l> {
    permit: &'l Permit,
    calls: &'l Calls,
    /// So many calls have left.
    sent: usize,
}

impl Leave<'_> {
    /// What stands against the next call at this moment. Reading may have taken long, and a permit is for now: the first call leaves before it
    /// runs out, and each further one while the ones before it could have taken so long.
    fn stands_against(&self, now: Timestamp) -> Option<EffectResult> {
        if self.sent == 0 {
            return void(self.permit, now);
        }
        let until = clock::after(self.permit.not_after(), self.calls.calling(self.sent));
        (now > until).then(|| EffectResult::NotTaken {
            reason: Reason::Timeout.as_str().to_owned(),
            message: "the time that the permit gives was over before the next call was made".to_owned(),
        })
    }
}

/// Whether the workload is the one of the plan.
async fn still_there(kubernetes: &Kubernetes, plan: &Plan) -> Result<(), EffectResult> {
    let Target { kind, namespace, name } = &plan.target;
    match kubernetes.workload(kind.as_str(), namespace, name).await {
        Ok(workload) if workload.uid == plan.uid => Ok(()),
        Ok(workload) => Err(conflict(format!(
            "{} is another object of the same name (uid {})",
            plan.target, workload.uid
        ))),
        Err(error) => Err(unsent(&error)),
    }
}

fn conflict(message: String) -> EffectResult {
    EffectResult::Refused { reason: Reason::Conflict.as_str().to_owned(), message }
}

async fn one(tools: Tools<'_>, leave: &mut Leave<'_>, callee: Callee<'_>) -> Made {
    let not_taken = |reason: Reason, message: String| {
        Made::No(EffectResult::NotTaken { reason: reason.as_str().to_owned(), message })
    };
    let plan = leave.permit.plan();
    let Calls { call, .. } = leave.calls;
    match tokio::time::timeout(Calls::READS, looked(tools, call, callee)).await {
        Ok(Ok(())) => {}
        Ok(Err(made)) => return made,
        Err(_) => {
            let message = format!("{callee} could not be looked at within {}", span(Calls::READS));
            return not_taken(Reason::Timeout, message);
        }
    }
    if let Some(late) = leave.stands_against(clock::now()) {
        return Made::No(late);
    }
    let op = leave.permit.op().as_str();
    let key = match callee {
        Callee::Url(_) => op.to_owned(),
        // Pods that keep the keys in one place would take the second's call for the first's.
        Callee::Pod { uid, .. } => format!("{op}/{uid}"),
    };
    let HttpCall { method, headers, json, within, .. } = call;
    let order = Order { method, headers, key: &key, json: json.as_ref(), within: *within };
    let said = |what: String| format!("{method} to {callee} for {}: {what}", plan.target);
    leave.sent += 1;
    match tools.http.send(callee.to(), order).await {
        Err(error) => Made::No(unsent(&error)),
        Ok(Sent::NotTaken(what)) => not_taken(Reason::Unreachable, said(what)),
        Ok(Sent::Lost(what)) => {
            let reason = Reason::Timeout.as_str().to_owned();
            Made::No(EffectResult::Unclear { reason, message: said(what) })
        }
        Ok(Sent::Answer { status, body }) => answered(status, &body, call.observe.is_some(), said),
    }
}

/// Whether it is still to be called: the pod is the one of the plan, and does not have the value already.
async fn looked(tools: Tools<'_>, call: &HttpCall, callee: Callee<'_>) -> Result<(), Made> {
    is_the_one(tools.kubernetes, callee).await?;
    let Some(observe) = &call.observe else { return Ok(()) };
    match look(tools.http, observe, callee).await {
        Ok(value) if value == observe.equals => return Err(Made::Yes),
        Ok(_) => {}
        Err(message) => {
            let reason = Reason::Unreachable.as_str().to_owned();
            return Err(Made::No(EffectResult::NotTaken { reason, message }));
        }
    }
    // It may have gone while it was asked.
    is_the_one(tools.kubernetes, callee).await
}

/// The address of a pod that is gone may be another one's by now.
async fn is_the_one(kubernetes: &Kubernetes, callee: Callee<'_>) -> Result<(), Made> {
    let Callee::Pod { namespace, uid, address, .. } = callee else { return Ok(()) };
    match kubernetes.pods(namespace).await {
        Ok(pods) if pods.iter().any(|pod| pod.uid == uid && pod.address == Some(address)) => Ok(()),
        Ok(_) => {
            let message = format!("{callee} is gone, or has another address, since the plan was made");
            Err(Made::No(conflict(message)))
        }
        Err(error) => Err(Made::No(unsent(&error))),
    }
}

/// What an answer says about the call.
fn answered(status: u16, body: &[u8], observed: bool, said: impl Fn(String) -> String) -> Made {
    let text = secrecy::shown(&String::from_utf8_lossy(body));
    let text = text.trim();
    let what = if text.is_empty() {
        format!("HTTP {status}")
    } else {
        format!("HTTP {status}: {}", cut(text, SHOWN))
    };
    let word = |reason: Reason| reason.as_str().to_owned();
    let message = said(what);
    Made::No(match status {
        200..=299 => return Made::Yes,
        429 => EffectResult::NotTaken { reason: word(Reason::RateLimited), message },
        // It may have begun before it gave up.
        408 => EffectResult::Unclear { reason: word(Reason::Timeout), message },
        500.. => EffectResult::Unclear { reason: word(Reason::ServerError), message },
        // It is not followed, and a 303 is the ordinary answer to what was done (RFC 9110).
        300..=399 => EffectResult::Unclear { reason: word(Reason::ServerError), message },
        // The first call with this key may still be worked on. Without a way to look none is made a second time.
        409 if observed => EffectResult::Unclear { reason: word(Reason::Conflict), message },
        401 | 403 => EffectResult::Refused { reason: word(Reason::Denied), message },
        404 => EffectResult::Refused { reason: word(Reason::NotFound), message },
        409 | 412 => EffectResult::Refused { reason: word(Reason::Conflict), message },
        _ => EffectResult::Refused { reason: word(Reason::ClientError), message },
    })
}

pub(super) async fn observe(tools: Tools<'_>, plan: &Plan) -> Observation {
    let Some(Calls { call, .. }) = &plan.calls else {
        return Observation::Ambiguous { saw: "the plan makes no call".to_owned() };
    };
    let Target { kind, namespace, name } = &plan.target;
    match tools.kubernetes.workload(kind.as_str(), namespace, name).await {
        Ok(workload) => {
            if let Some(another) = another(plan, &workload.uid) {
                return another;
            }
        }
        Err(error) => return unobserved(plan, &error),
    }
    let Some(observe) = &call.observe else {
        let saw = "the step has no `observe`, so nothing tells whether the call was made".to_owned();
        return Observation::Ambiguous { saw };
    };
    let pods = match call.to {
        CallTo::Url(_) => None,
        CallTo::EachPod { .. } => match tools.kubernetes.pods(namespace).await {
            Ok(pods) => Some(pods),
            Err(error) => return unobserved(plan, &error),
        },
    };
    let (mut done, mut others) = (0, Vec::new());
    for callee in callees(plan) {
        if let (Callee::Pod { uid, address, .. }, Some(pods)) = (callee, &pods)
            && !pods.iter().any(|pod| pod.uid == uid && pod.address == Some(address))
        {
            return Observation::Ambiguous { saw: format!("{callee} is gone, and what it was told with it") };
        }
        match look(tools.http, observe, callee).await {
            Ok(value) if value == observe.equals => done += 1,
            Ok(value) => others.push(format!("{} of {callee} is {}", observe.pointer, shown(&value))),
            Err(why) => return Observation::Unseen { why },
        }
    }
    match (done, others.as_slice()) {
        (_, []) => Observation::Done,
        (0, _) => Observation::NotDone,
        (done, others) => Observation::Partly {
            saw: format!("done by {done} of {} pods; {}", done + others.len(), others.join(", ")),
        },
    }
}

pub(super) async fn follow(tools: Tools<'_>, plan: &Plan) -> Followed {
    let number = count(plan.objects.len().max(1) as u64, "call was", "calls were");
    let Some(observe) = plan.calls.as_ref().and_then(|calls| calls.call.observe.as_ref()) else {
        return Followed::Complete(format!("{number} answered"));
    };
    let Target { kind, namespace, name } = &plan.target;
    // Seen before the pods are asked, which may take long.
    if let Err(error) = tools.kubernetes.workload(kind.as_str(), namespace, name).await {
        return unfollowed(plan, &error);
    }
    match self::observe(tools, plan).await {
        Observation::Done => {
            let (is, wanted) = (&observe.pointer, shown(&observe.equals));
            Followed::Complete(format!("{number} answered, and {is} is {wanted}"))
        }
        Observation::NotDone => Followed::NotYet(format!("{} is as before", observe.pointer)),
        Observation::Partly { saw } => Followed::NotYet(saw),
        Observation::Ambiguous { saw } => Followed::Overtaken(saw),
        Observation::Unseen { why } => Followed::Unseen(why),
    }
}
