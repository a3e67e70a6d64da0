//! Asks an address. For its status, what the other side did counts: an answer, a connection that it refused, one that it took and left
//! without an answer. What the network or a name server did not deliver says nothing about the service, and is unknown; so is every figure
//! that is not there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Scope, held};
use crate::clients::http::{Http, Reply};
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{HttpProbe, Threshold};
use crate::text::cut;

/// How much of an unexpected answer is shown.
const SAMPLE_LENGTH: usize = 300;

pub(super) async fn ask(
    http: &Http,
    scope: &Scope<'_>,
    name: &str,
    probe: &HttpProbe,
    threshold: Threshold,
) -> Evidence {
    let url = match probe.url.with(|path| scope.value_of(path)) {
        Ok(url) => url,
        Err(why) => return Evidence::unknown(name, String::new(), why.to_string()),
    };
    let asked = format!("GET {url}");
    match http.get(&url).await {
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
        (Some(pointer), Reply::Answer { body, whole, .. }) => match figure(body, *whole, pointer) {
            Ok(figure) => (figure, format!("{pointer} is {figure}")),
            Err(why) => return unknown(asked, samples, why),
        },
    };
    Evidence {
        probe: name.to_owned(),
        asked,
        verdict: held(threshold, figure, None),
        saw: format!("{saw}; {threshold}"),
        by: BTreeMap::new(),
        samples,
        window: None,
    }
}

/// Never the headers, which can hold a session, and only of an answer that was not expected: an ordinary one can hold what is nobody's business.
fn sample(at: Timestamp, status: u16, body: &[u8]) -> Sample {
    let text = String::from_utf8_lossy(body);
    let line = if text.trim().is_empty() {
        format!("HTTP {status} without a body")
    } else {
        format!("HTTP {status}: {}", cut(text.trim(), SAMPLE_LENGTH))
    };
    Sample { is_state: false, at, from: String::new(), line }
}

/// The number at this place of a JSON text; `true` and `false` are 1 and 0.
fn figure(body: &[u8], whole: bool, pointer: &str) -> Result<f64, String> {
    if !whole {
        return Err(format!(
            "the answer is longer than 64 KiB or broke off, so {pointer} was not looked for"
        ));
    }
    let json: Value =
        serde_json::from_slice(body).map_err(|_| format!("the answer is no JSON, so it has no {pointer}"))?;
    match json.pointer(pointer) {
        Some(Value::Bool(is)) => Ok(f64::from(u8::from(*is))),
        Some(Value::Number(number)) => {
            let figure = number.as_f64().filter(|figure| figure.is_finite());
            figure.ok_or_else(|| format!("{pointer} is too large a number"))
        }
        Some(other) => Err(format!("{pointer} is {}, and no number", kind(other))),
        None => Err(format!("the answer has no {pointer}")),
    }
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
    use super::*;
    use crate::incident::evidence::Verdict;
    use crate::runbook::UrlTemplate;

    fn asked(pointer: Option<&str>, threshold: Threshold, reply: &Reply) -> Evidence {
        let url = UrlTemplate::parse("http://web/health").unwrap();
        let probe = HttpProbe { url, status: 200, pointer: pointer.map(str::to_owned), threshold };
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
}
