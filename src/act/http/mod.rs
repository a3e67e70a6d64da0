//! An HTTP call, to one address or to every pod of a workload at its own, one after the other: the address of a Service reaches one pod of N.
//!
//! Nothing of HTTP tells afterwards whether a call was made. The operation's id goes along as `Idempotency-Key`, for those who read it; and an
//! `observe` asks for a value, of every pod, that is there once it has happened. With it a pod that has the value already is not called again, and
//! what happened to some of the pods is known; without it whatever is not answered is ambiguous, and never repeated.

mod plan;

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use super::{Followed, Right, another, right, unfollowed, unobserved, void};
use crate::clients::http::{Http, Order, PodAt, Sent, To};
use crate::clients::kubernetes::Kubernetes;
use crate::clients::{CallError, Reason};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Calls, Object, Plan, Target};
use crate::runbook::{CallTo, HttpCall, Observe};
use crate::text::{count, cut};

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
    cut(&text, SHOWN_VALUE)
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
    let Some(Calls { call, .. }) = &plan.calls else { return refused("the plan makes no call".to_owned()) };
    let callees = callees(plan);
    if callees.is_empty() {
        return refused("the plan calls nobody".to_owned());
    }
    if let Err(stopped) = still_there(tools.kubernetes, plan).await {
        return stopped;
    }
    // Reading may have taken long, and a permit is for now. It is for all of the pods.
    if let Some(late) = void(&permit, clock::now()) {
        return late;
    }
    for (done, callee) in callees.into_iter().enumerate() {
        match one(tools, plan, call, callee, permit.op().as_str()).await {
            Made::Yes => {}
            // Some were called: a look tells which.
            Made::No(
                EffectResult::NotTaken { reason, message } | EffectResult::Refused { reason, message },
            ) if done > 0 => {
                let of = plan.objects.len();
                let message = format!("{message}; {done} of {of} pods were called before");
                return EffectResult::Unclear { reason, message };
            }
            Made::No(result) => return result,
        }
    }
    EffectResult::Applied
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

/// Nothing was sent, as something could not be read before.
fn unsent(error: &CallError) -> EffectResult {
    let (reason, message) = (error.reason.as_str().to_owned(), error.to_string());
    match error.reason {
        Reason::NotFound | Reason::Conflict | Reason::ClientError => {
            EffectResult::Refused { reason, message }
        }
        Reason::Timeout
        | Reason::ServerError
        | Reason::RateLimited
        | Reason::Unreachable
        | Reason::Denied => EffectResult::NotTaken { reason, message },
    }
}

async fn one(tools: Tools<'_>, plan: &Plan, call: &HttpCall, callee: Callee<'_>, key: &str) -> Made {
    if let Callee::Pod { namespace, uid, address, .. } = callee {
        // The address of a pod that is gone may be another one's by now.
        match tools.kubernetes.pods(namespace).await {
            Ok(pods) if pods.iter().any(|pod| pod.uid == uid && pod.address == Some(address)) => {}
            Ok(_) => {
                let message = format!("{callee} is gone, or has another address, since the plan was made");
                return Made::No(conflict(message));
            }
            Err(error) => return Made::No(unsent(&error)),
        }
    }
    if let Some(observe) = &call.observe {
        match look(tools.http, observe, callee).await {
            Ok(value) if value == observe.equals => return Made::Yes,
            Ok(_) => {}
            Err(message) => {
                let reason = Reason::Unreachable.as_str().to_owned();
                return Made::No(EffectResult::NotTaken { reason, message });
            }
        }
    }
    let HttpCall { method, headers, json, within, .. } = call;
    let order = Order { method, headers, key, json: json.as_ref(), within: *within };
    let said = |what: String| format!("{method} to {callee} for {}: {what}", plan.target);
    match tools.http.send(callee.to(), order).await {
        Err(error) => Made::No(unsent(&error)),
        Ok(Sent::NotTaken(what)) => {
            let reason = Reason::Unreachable.as_str().to_owned();
            Made::No(EffectResult::NotTaken { reason, message: said(what) })
        }
        Ok(Sent::Lost(what)) => {
            let reason = Reason::Timeout.as_str().to_owned();
            Made::No(EffectResult::Unclear { reason, message: said(what) })
        }
        Ok(Sent::Answer { status, body }) => answered(status, &body, said),
    }
}

/// What an answer says about the call.
fn answered(status: u16, body: &[u8], said: impl Fn(String) -> String) -> Made {
    let text = String::from_utf8_lossy(body);
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
        401 | 403 => EffectResult::Refused { reason: word(Reason::Denied), message },
        404 => EffectResult::Refused { reason: word(Reason::NotFound), message },
        409 | 412 => EffectResult::Refused { reason: word(Reason::Conflict), message },
        // A redirect is not followed.
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
