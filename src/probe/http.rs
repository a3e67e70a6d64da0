//! Asks an address, or every pod at its own. For its status, what the other side did counts: an answer, a connection that it refused, one that it took and left
//! without an answer. What the network or a name server did not deliver says nothing about the service, and is unknown; so is every figure
//! that is not there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Scope, held};
use crate::clients::http::{Http, MOST_PODS, Reply, value_at};
use crate::clients::kubernetes::{Kubernetes, Pod};
use crate::incident::evidence::{Evidence, Sample};
use crate::incident::plan::{Kind, Target};
use crate::runbook::{EachPod, HttpProbe, Threshold, Wanted, secrecy};
use crate::text::{count, cut, span};

/// How much of an unexpected answer is shown.
const SAMPLE_LENGTH: usize = 300;
/// How much of a value is shown.
const SHOWN: usize = 60;

/// The two systems that are asked.
#[derive(Clone, Copy)]
pub(super) struct Tools<'t> {
    pub(super) http: &'t Http,
    pub(super) kubernetes: &'t Kubernetes,
}

pub(super) async fn ask(
    tools: Tools<'_>,
    scope: &Scope<'_>,
    name: &str,
    probe: &HttpProbe,
    threshold: Threshold,
) -> Evidence {
    let url = match probe.url.with(|path| scope.value_of(path)) {
        Ok(url) => url,
        Err(why) => return Evidence::unknown(name, String::new(), why.to_string()),
    };
    if let Some(each) = &probe.each {
        // The host is nobody's; the path is what was written.
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        return of_each(tools, scope, name, (probe, each), threshold, &format!("/{path}")).await;
    }
    let asked = format!("GET {url}");
    match tools.http.get(&url).await {
        Ok(reply) => answer(scope.now, (name, asked), probe, threshold, &reply),
        Err(error) => Evidence::unknown(name, asked, error.to_string()),
    }
}

fn answer(
    now: Timestamp,
    (name, asked): (&str, String),
    probe: &HttpProbe,
    threshold: Threshold,
    reply: &Reply,
) -> Evidence {
    let wanted = probe.status;
    let samples = match reply {
        Reply::Answer { status, body, .. } if *status != wanted => vec![sample(now, *status, body)],
        Reply::Answer { .. } | Reply::None(_) => Vec::new(),
    };
    let unknown = |asked, samples, why: String| Evidence { samples, ..Evidence::unknown(name, asked, why) };
    let (figure, saw) = match (&probe.pointer, reply) {
        (None, Reply::None(what)) => (0.0, what.clone()),
        (None, Reply::Answer { status, .. }) if *status == wanted => (1.0, format!("HTTP {status}")),
        (None, Reply::Answer { status, .. }) => (0.0, format!("HTTP {status} instead of {wanted}")),
        (Some(pointer), Reply::None(what)) => {
            return unknown(asked, samples, format!("nothing is known of {pointer}: {what}"));
        }
        (Some(pointer), Reply::Answer { status, .. }) if *status != wanted => {
            let why = format!("nothing is known of {pointer}: HTTP {status} instead of {wanted}");
            return unknown(asked, samples, why);
        }
        (Some(pointer), Reply::Answer { body, whole, .. }) => {
            let found = value_at(body, *whole, pointer);
            match found.and_then(|value| Ok((figure(&value, probe.wanted.as_ref(), pointer)?, value))) {
                Ok((figure, value)) => (figure, format!("{pointer} is {}", shown(&value, figure))),
                Err(why) => return unknown(asked, samples, why),
            }
        }
    };
    Evidence {
        samples,
        ..Evidence::found(name, asked, held(threshold, figure, None), format!("{saw}; {threshold}"))
    }
}

/// Never the headers, which can hold a session, and only of an answer that was not expected: an ordinary one can hold what is nobody's business.
fn sample(at: Timestamp, status: u16, body: &[u8]) -> Sample {
    let text = secrecy::shown(&String::from_utf8_lossy(body));
    let line = if text.trim().is_empty() {
        format!("HTTP {status} without a body")
    } else {
        format!("HTTP {status}: {}", cut(text.trim(), SAMPLE_LENGTH))
    };
    Sample { is_state: false, at, from: String::new(), line }
}

/// The figure that a value comes to: whether it is what is wanted, or its number; `true` and `false` are 1 and 0.
fn figure(value: &Value, wanted: Option<&Wanted>, pointer: &str) -> Result<f64, String> {
    let is_plain = !matches!(value, Value::Array(_) | Value::Object(_));
    match (wanted, value) {
        (Some(_), value) if !is_plain => Err(format!("{pointer} is {}, and no plain value", kind(value))),
        // Nothing at all is neither this value nor another one.
        (Some(_), Value::Null) => Err(format!("{pointer} is null")),
        (Some(Wanted::Equals(wanted)), value) => Ok(f64::from(u8::from(value == wanted))),
        (Some(Wanted::Differs(other)), value) => Ok(f64::from(u8::from(value != other))),
        (None, Value::Bool(is)) => Ok(f64::from(u8::from(*is))),
        (None, Value::Number(number)) => {
            let figure = number.as_f64().filter(|figure| figure.is_finite());
            figure.ok_or_else(|| format!("{pointer} is too large a number"))
        }
        (None, other) => Err(format!("{pointer} is {}, and no number", kind(other))),
    }
}

fn shown(value: &Value, figure: f64) -> String {
    match value {
        Value::Number(_) | Value::Bool(_) => figure.to_string(),
        Value::String(text) => cut(&secrecy::shown(text), SHOWN),
        Value::Null | Value::Array(_) | Value::Object(_) => cut(&secrecy::shown(&value.to_string()), SHOWN),
    }
}

/// Asks every pod. One that gives no answer makes the whole unknown: perhaps it is the one that matters.
async fn of_each(
    tools: Tools<'_>,
    scope: &Scope<'_>,
    name: &str,
    (probe, each): (&HttpProbe, &EachPod),
    threshold: Threshold,
    path: &str,
) -> Evidence {
    let target = match workload(scope, each) {
        Ok(target) => target,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let asked = format!("GET {path} of every pod of {target}, port {}", each.port);
    let unknown = |why: String| Evidence::unknown(name, asked.clone(), why);
    let pods = match tools.kubernetes.pods(&target.namespace).await {
        Ok(pods) => pods,
        Err(error) => return unknown(error.to_string()),
    };
    let mut pods: Vec<&Pod> =
        pods.iter().filter(|pod| pod.is_one_of(target.kind.as_str(), &target.name)).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    if pods.is_empty() {
        return unknown(format!("{target} has no pods, so nobody was asked"));
    }
    if pods.len() > MOST_PODS {
        return unknown(format!("{target} has {} pods, and at most {MOST_PODS} are asked", pods.len()));
    }
    let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    let pointer = probe.pointer.as_deref().unwrap_or_default();
    let look = || tools.http.values(&target.namespace, (each.port, path), &addresses, probe.status, pointer);
    let read = |(pod, found): (&&Pod, Result<Value, String>)| {
        found
            .and_then(|value| Ok((figure(&value, probe.wanted.as_ref(), pointer)?, value)))
            .map_err(|why| format!("pod/{}: {why}", pod.name))
    };
    let before: Vec<f64> = match probe.growing {
        None => vec![0.0; pods.len()],
        Some(apart) => {
            let first = pods.iter().zip(look().await).map(read).map(|seen| seen.map(|(figure, _)| figure));
            match first.collect() {
                Ok(figures) => {
                    tokio::time::sleep(apart).await;
                    figures
                }
                Err(why) => return unknown(why),
            }
        }
    };
    let (mut figures, mut said) = (Vec::new(), BTreeMap::<String, Vec<&str>>::new());
    for ((pod, before), seen) in pods.iter().zip(before).zip(pods.iter().zip(look().await).map(read)) {
        let (figure, value) = match seen {
            Ok(seen) => seen,
            Err(why) => return unknown(why),
        };
        let value = match (&probe.wanted, &value, probe.growing) {
            (_, _, Some(_)) => format!("{figure} after {before}"),
            // The very value, and not what it comes to.
            (Some(_), Value::Number(_) | Value::Bool(_), _) => value.to_string(),
            _ => shown(&value, figure),
        };
        said.entry(value).or_default().push(&pod.name);
        figures.push(figure - before);
    }
    let list = |(value, pods): (&String, &Vec<&str>)| {
        let number = count(pods.len() as u64, "pod", "pods");
        format!("{value} on {number} ({})", cut(&pods.join(", "), SAMPLE_LENGTH))
    };
    let list: Vec<String> = said.iter().map(list).collect();
    // A count of pods; of numbers the one that is worst for the threshold.
    let figure = match (&probe.wanted, threshold) {
        (Some(_), _) => figures.iter().sum(),
        (None, _) => figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    };
    let saw = format!("{pointer} is {}; {}{threshold}", list.join(", "), told(probe, figure));
    Evidence::found(name, asked, held(threshold, figure, None), saw)
}

/// What is counted.
fn told(probe: &HttpProbe, figure: f64) -> String {
    if let Some(apart) = probe.growing {
        return format!("grown by {figure} in {}: ", span(apart));
    }
    let value = |value: &Value| shown(value, value.as_f64().unwrap_or_default());
    match &probe.wanted {
        Some(Wanted::Equals(wanted)) => format!("pods with {}: ", value(wanted)),
        Some(Wanted::Differs(other)) => format!("pods with another than {}: ", value(other)),
        None => String::new(),
    }
}

/// The workload whose pods are asked: the Deployment that the probe names, or the target.
fn workload(scope: &Scope<'_>, each: &EachPod) -> Result<Target, String> {
    let namespace = scope.fill(&each.namespace)?;
    if let Some(deployment) = &each.deployment {
        return Ok(Target { kind: Kind::Deployment, namespace, name: scope.fill(deployment)? });
    }
    let target = scope.leg.map(|leg| &leg.target).filter(|target| target.namespace == namespace);
    let target = target.filter(|target| target.kind.is_workload());
    target.cloned().ok_or_else(|| "neither the probe nor the incident names a workload".to_owned())
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::incident::evidence::Verdict;
    use crate::runbook::UrlTemplate;

    fn asked(pointer: Option<&str>, threshold: Threshold, reply: &Reply) -> Evidence {
        let url = UrlTemplate::parse("http://web/health").unwrap();
        let probe = HttpProbe {
            url,
            status: 200,
            pointer: pointer.map(str::to_owned),
            wanted: None,
            each: None,
            growing: None,
            threshold,
        };
        answer(
            Timestamp::UNIX_EPOCH,
            ("health", "GET http://web/health".to_owned()),
            &probe,
            threshold,
            reply,
        )
    }

    fn said(status: u16, body: &str) -> Reply {
        Reply::Answer { status, body: std::sync::Arc::new(body.as_bytes().to_vec()), whole: true }
    }

    #[test]
    fn what_the_other_side_did_counts_for_the_status() {
        let refused = Reply::None("the connection was refused".to_owned());
        for (reply, healthy, saw) in [
            (said(200, "secret"), true, "HTTP 200"),
            (said(503, "no"), false, "HTTP 503 instead of 200"),
            (said(302, ""), false, "HTTP 302 instead of 200"),
            (refused, false, "the connection was refused"),
        ] {
            let up = asked(None, Threshold::AtLeast(1.0), &reply);
            let down = asked(None, Threshold::AtMost(0.0), &reply);
            let verdict = |holds| if holds { Verdict::Holds } else { Verdict::Fails };
            assert_eq!((up.verdict, down.verdict), (verdict(healthy), verdict(!healthy)), "{reply:?}");
            assert_eq!(up.saw, format!("{saw}; at least 1"));
        }
    }

    #[test]
    fn a_figure_is_a_number_at_its_place_and_everything_else_is_unknown() {
        let body = r#"{"queue": {"depth": 0.25, "ok": true, "name": "a", "none": null}, "list": [1, 2]}"#;
        let figure = |pointer: &str, reply: &Reply| {
            asked(Some(pointer), Threshold::AtMost(0.0), reply).verdict.to_string()
        };
        for (pointer, verdict) in [
            ("/queue/depth", "fails"),
            ("/list/1", "fails"),
            ("/queue/ok", "fails"),
            ("/queue/name", "unknown: /queue/name is a text, and no number"),
            ("/queue/none", "unknown: /queue/none is null, and no number"),
            ("/queue", "unknown: /queue is an object, and no number"),
            ("/missing", "unknown: the answer has no /missing"),
        ] {
            assert_eq!(figure(pointer, &said(200, body)), verdict);
        }
        assert_eq!(
            asked(Some("/queue/depth"), Threshold::AtMost(0.25), &said(200, body)).verdict,
            Verdict::Holds
        );
        for reply in [
            said(200, "not JSON"),
            said(503, body),
            Reply::None("the connection was refused".to_owned()),
            Reply::Answer { status: 200, body: std::sync::Arc::new(body.into()), whole: false },
        ] {
            let verdict = figure("/queue/depth", &reply);
            assert!(verdict.starts_with("unknown: "), "{reply:?}: {verdict}");
        }
    }

    #[test]
    fn only_an_unexpected_answer_is_shown_and_only_its_beginning() {
        assert!(asked(None, Threshold::AtLeast(1.0), &said(200, "secret")).samples.is_empty());
        let long = "x".repeat(1000);
        let shown = asked(None, Threshold::AtLeast(1.0), &said(500, &long)).samples;
        assert_eq!(shown[0].line, format!("HTTP 500: {}…", "x".repeat(299)));
        let figure = asked(Some("/a"), Threshold::AtLeast(1.0), &said(200, r#"{"secret": 1}"#));
        assert!(figure.samples.is_empty() && !figure.saw.contains("secret"));
    }

    #[test]
    fn a_value_is_this_or_another_and_nothing_at_all_is_neither() {
        let body = json!({"model": "small", "ready": true, "size": 12, "none": null, "list": [1]});
        let with = |pointer: &str, wanted: Wanted| {
            let value = body.pointer(pointer).unwrap();
            figure(value, Some(&wanted), pointer)
        };
        for (pointer, value, is) in [
            ("/model", json!("small"), 1.0),
            ("/model", json!("large"), 0.0),
            ("/ready", json!(true), 1.0),
            ("/ready", json!("true"), 0.0),
            ("/size", json!(12), 1.0),
            ("/size", json!(13), 0.0),
        ] {
            assert_eq!(with(pointer, Wanted::Equals(value.clone())), Ok(is), "{pointer} {value}");
            assert_eq!(with(pointer, Wanted::Differs(value.clone())), Ok(1.0 - is), "{pointer} {value}");
        }
        for pointer in ["/none", "/list"] {
            assert!(with(pointer, Wanted::Equals(json!("small"))).is_err(), "{pointer}");
            assert!(with(pointer, Wanted::Differs(json!("small"))).is_err(), "{pointer}");
        }
    }
}
