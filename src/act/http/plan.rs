//! What a call would do: the pods with their addresses, what is sent, and what each of them says before it.

use std::net::IpAddr;

use jiff::Timestamp;

use super::super::{GRACE, PlanError, unread};
use super::{Callee, Tools, callees, look, shown};
use crate::clients::http::{Http, MOST_PODS};
use crate::clients::kubernetes::{Kubernetes, Pod};
use crate::incident::plan::{Calls, Change, Circumstances, Object, Plan, Target};
use crate::runbook::{Action, CallTo, HttpCall, Observe};
use crate::text::count;

/// Reads whom it would reach, and what they say now.
pub(in crate::act) async fn plan(
    tools: Tools<'_>,
    call: &HttpCall,
    target: &Target,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let workload = tools
        .kubernetes
        .workload(target.kind.as_str(), &target.namespace, &target.name)
        .await
        .map_err(unread)?;
    let mut pods = Vec::new();
    let (whom, path) = match &call.to {
        CallTo::Url(url) => (target.to_string(), url.clone()),
        CallTo::EachPod { path, .. } => {
            pods = pods_of(tools.kubernetes, target).await?;
            (format!("each of {} of {target}", count(pods.len() as u64, "pod", "pods")), path.clone())
        }
    };
    let says = match &call.to {
        CallTo::Url(_) => format!("{} {path} for {whom}", call.method),
        CallTo::EachPod { .. } => format!("{} {path} to {whom}", call.method),
    };
    let (objects, addresses): (Vec<_>, Vec<_>) = pods.into_iter().unzip();
    let sent = call.json.as_ref().map_or_else(|| "no body".to_owned(), ToString::to_string);
    let mut touches: Vec<String> = objects.iter().map(|pod: &Object| format!("pod/{}", pod.name)).collect();
    touches.push(format!("sends {sent}"));
    touches.extend(call.headers.iter().map(|(name, value)| format!("with the header {name}: {value}")));
    if call.observe.is_none() {
        touches.push(
            "nothing tells afterwards whether it was done: without an answer it is not repeated".to_owned(),
        );
    }
    touches.push("nothing of it is put back by runbookd".to_owned());
    let calls = Calls { call: call.clone(), addresses };
    let mut plan = Plan {
        uid: workload.uid,
        says,
        change: Change {
            field: call.observe.as_ref().map_or_else(|| path.clone(), |observe| observe.pointer.clone()),
            before: None,
            after: call.observe.as_ref().map_or_else(|| sent.clone(), |observe| shown(&observe.equals)),
            judged: sent,
        },
        touches,
        objects,
        settles_within: calls.under_way() + GRACE,
        calls: Some(calls),
        circumstances: Circumstances {
            replicas: u32::try_from(workload.replicas).unwrap_or_default(),
            // Pods come and go: those that are called would not be those that there are.
            rollout_in_progress: workload.rolling_out,
            may_not_last: may_not_last(call),
            ..Circumstances::default()
        },
        ..Plan::bare(Action::Http, target.clone(), now)
    };
    let callees = callees(&plan);
    for callee in &callees {
        tools.http.may(callee.to()).map_err(|error| PlanError { why: error.to_string(), for_good: true })?;
    }
    let before = match &call.observe {
        None => None,
        Some(observe) => Some(before(tools.http, observe, &callees).await?),
    };
    plan.change.before = before;
    Ok(plan)
}

fn may_not_last(call: &HttpCall) -> Vec<String> {
    match call.to {
        CallTo::Url(_) => Vec::new(),
        CallTo::EachPod { .. } => {
            vec![
                "what a pod is told lasts as long as its process; the next one begins as it is configured"
                    .to_owned(),
            ]
        }
    }
}

/// The pods that the target has now, with their addresses.
async fn pods_of(kubernetes: &Kubernetes, target: &Target) -> Result<Vec<(Object, IpAddr)>, PlanError> {
    let none = |why: String| PlanError { why, for_good: false };
    let pods = kubernetes.pods(&target.namespace).await.map_err(unread)?;
    let own: Vec<&Pod> =
        pods.iter().filter(|pod| pod.is_one_of(target.kind.as_str(), &target.name)).collect();
    if own.len() > MOST_PODS {
        let why = format!(
            "{target} has {} pods, and at most {MOST_PODS} are called, as one after the other takes too long",
            own.len()
        );
        return Err(PlanError { why, for_good: true });
    }
    let mut found = Vec::new();
    for Pod { name, uid, address, .. } in own {
        let address = address.ok_or_else(|| none(format!("pod/{name} has no address of its own (yet)")))?;
        found.push((Object { name: name.clone(), uid: uid.clone() }, address));
    }
    if found.is_empty() {
        return Err(none(format!("{target} has no pods")));
    }
    found.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    Ok(found)
}

/// What every one says now. Somebody who can not be asked is not called either.
async fn before(http: &Http, observe: &Observe, callees: &[Callee<'_>]) -> Result<String, PlanError> {
    let mut found: Vec<String> = Vec::new();
    let mut others = 0;
    for callee in callees {
        let value = look(http, observe, *callee).await.map_err(|why| PlanError { why, for_good: false })?;
        others += usize::from(value != observe.equals);
        let value = shown(&value);
        if !found.contains(&value) {
            found.push(value);
        }
    }
    if others == 0 {
        let why = format!("{} is {} already", observe.pointer, shown(&observe.equals));
        return Err(PlanError { why, for_good: true });
    }
    found.sort();
    Ok(found.join(", "))
}
