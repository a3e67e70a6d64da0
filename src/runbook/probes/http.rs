//! Reads a question to an address.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::names::{Names, Scope};
use super::super::{EachPod, Figures, HttpProbe, Probe, UrlTemplate, Wanted};
use super::{namespace, no_window, optional, threshold_of};
use crate::yaml::{Faults, Field, Fields, Scalar, Value};

const EXAMPLE: &str = "such as http://web.${labels.namespace}.svc:8080/health";
const PATH_EXAMPLE: &str = "such as /stats";
/// Meanwhile the incident waits.
const LONGEST_APART: Duration = Duration::from_mins(1);
/// Stands for the address of a pod until that is known.
const POD: &str = "http://pod";

pub(super) fn http(
    field: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Probe> {
    let each_field = fields.get("each");
    let (url, each) = match each_field {
        None => (url(field, scope, names, faults), Some(None)),
        Some(each) => {
            each.word(&["pod"], |word| word, faults);
            let url = path(field, scope, names, faults);
            (url, each_pod(&mut fields, scope, names, faults).map(Some))
        }
    };
    let status = fields.get("status").map_or(Some(200), |field| status(field, faults));
    let pointer = match fields.get("pointer") {
        Some(field) => pointer(field, faults).map(Some),
        None => Some(None),
    };
    let wanted = wanted(&mut fields, faults);
    if let Some(each) = each_field
        && pointer == Some(None)
        && !fields.has_almost(&["pointer"])
    {
        let hint = "whether pods are well says `pods: not_ready`";
        faults.add(
            each.key,
            "`each: pod` without `pointer`; expected where the value stands in the answer of every pod",
            Some(hint.to_owned()),
        );
    }
    if let Some(Some((field, _))) = &wanted
        && pointer == Some(None)
        && !fields.has_almost(&["pointer"])
    {
        let message = "a value to compare with, and no `pointer`; expected where it stands in the answer";
        faults.add(field.key, message, Some("add `pointer: /current_model`".to_owned()));
    }
    let is_for_people = names.is_diagnosing();
    let growing = growing(
        &mut fields,
        is_for_people,
        each_field.is_some(),
        matches!(wanted, Some(Some(_))),
        scale,
        faults,
    );
    let figures = match (&pointer, &wanted) {
        (_, Some(Some(_))) if each_field.is_some() => Some(Figures::Whole),
        (_, Some(Some(_))) => Some(Figures::YesOrNo),
        (Some(None), _) if fields.has_almost(&["pointer"]) => None,
        (Some(None), _) => Some(Figures::YesOrNo),
        (Some(Some(_)) | None, _) => Some(Figures::Decimal),
    };
    let threshold = threshold_of(&mut fields, figures, faults);
    no_window("http", &mut fields, faults);
    fields.end(faults);
    let probe = Probe::Http(HttpProbe {
        url: url?,
        status: status?,
        pointer: pointer?,
        wanted: wanted?.map(|(_, wanted)| wanted),
        each: each?,
        growing: growing?,
        threshold: threshold?,
    });
    names.object(&probe, field.place(), faults);
    Some(probe)
}

/// How far apart the value is looked at twice.
fn growing(
    fields: &mut Fields<'_>,
    is_for_people: bool,
    of_each: bool,
    compares: bool,
    scale: u32,
    faults: &mut Faults,
) -> Option<Option<Duration>> {
    let Some(field) = fields.get("growing") else { return Some(None) };
    let apart = field.duration(faults);
    if !is_for_people {
        let message = "`growing` here, where what was found before grows old meanwhile; expected it in the `probes` of a `diagnose` step";
        faults.add(field.key, message, Some("to act on it, ask `prometheus` with `deriv(...)`".to_owned()));
        return None;
    }
    if !of_each && !fields.has_almost(&["each"]) {
        let message = "`growing` without `each: pod`; expected both, as an address can reach one pod now and another one then";
        faults.add(field.key, message, Some("add `each: pod` and `port: 8003`".to_owned()));
        return None;
    }
    if compares {
        let message =
            "`growing` beside a value to compare with; expected one of them, as only a number grows";
        faults.add(field.key, message, Some("remove one of the two".to_owned()));
        return None;
    }
    if apart.is_some_and(|apart| apart > LONGEST_APART) {
        let hint = "the incident waits meanwhile; what takes longer asks `prometheus` with `deriv(...)`";
        field.wrong("expected at most 1m", Some(hint.to_owned()), faults);
        return None;
    }
    Some(Some(apart? / scale.max(1)))
}

/// The pods that are asked.
fn each_pod(
    fields: &mut Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<EachPod> {
    let port = fields.need("port", "port: 8003").and_then(|field| port(field, faults));
    let namespace = namespace(fields, scope, names, faults);
    let deployment = optional("deployment", fields, scope, names, faults);
    Some(EachPod { port: port?, namespace: namespace?, deployment: deployment? })
}

/// A port of TCP.
pub(in crate::runbook) fn port(field: Field<'_>, faults: &mut Faults) -> Option<u16> {
    let port = field.whole(1, faults)?;
    let port = u16::try_from(port).ok();
    if port.is_none() {
        field.wrong("expected a port from 1 to 65535", None, faults);
    }
    port
}

/// A path that every pod is asked with, as an address of nobody.
fn path(field: Field<'_>, scope: Scope, names: &mut Names<'_>, faults: &mut Faults) -> Option<UrlTemplate> {
    let scalar = field.text(faults)?;
    if !scalar.text.starts_with('/') {
        let expected = "expected a path, as each pod has an address of its own";
        field.wrong(expected, Some(PATH_EXAMPLE.to_owned()), faults);
        return None;
    }
    template(scalar, POD, PATH_EXAMPLE, scope, names, faults)
}

fn wanted<'n>(fields: &mut Fields<'n>, faults: &mut Faults) -> Option<Option<(Field<'n>, Wanted)>> {
    match (fields.get("equals"), fields.get("differs")) {
        (None, None) => Some(None),
        (Some(field), None) => value(field, faults).map(|value| Some((field, Wanted::Equals(value)))),
        (None, Some(field)) => value(field, faults).map(|value| Some((field, Wanted::Differs(value)))),
        (Some(_), Some(second)) => {
            faults.add(
                second.key,
                "`equals` and `differs` in one probe; expected one of them",
                Some("remove one of the two".to_owned()),
            );
            None
        }
    }
}

/// A value that an answer can hold: text, a number, or true or false.
pub(in crate::runbook) fn value(field: Field<'_>, faults: &mut Faults) -> Option<Json> {
    let value = match &field.node.value {
        Value::Scalar(scalar) => json(scalar).filter(|json| !json.is_null()),
        Value::List(_) | Value::Map(_) => None,
    };
    if value.is_none() {
        let hint = "a number is written as JSON has it; in quotes it is text";
        field.wrong("expected text, a number, true or false", Some(hint.to_owned()), faults);
    }
    value
}

/// What stands there, as JSON; none for a number that JSON does not know.
pub(in crate::runbook) fn json(scalar: &Scalar) -> Option<Json> {
    if scalar.is_null() {
        return Some(Json::Null);
    }
    if let Some(is) = scalar.boolean() {
        return Some(Json::Bool(is));
    }
    if scalar.is_number() {
        return serde_json::from_str::<serde_json::Number>(&scalar.text).ok().map(Json::Number);
    }
    Some(Json::String(scalar.text.clone()))
}

/// An address, with placeholders that are known where it stands.
pub(in crate::runbook) fn url(
    field: Field<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<UrlTemplate> {
    template(field.text(faults)?, "", EXAMPLE, scope, names, faults)
}

/// An address; `before` stands before what is written.
fn template(
    scalar: &Scalar,
    before: &str,
    example: &str,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<UrlTemplate> {
    match UrlTemplate::parse(&format!("{before}{}", scalar.text)) {
        Ok(url) => {
            for (path, at) in UrlTemplate::placeholders(&scalar.text) {
                names.check(&path, scope, scalar.place_of(at), faults);
            }
            Some(url)
        }
        Err(wrong) => {
            for fault in wrong {
                let message = format!("in the address: {}", fault.message);
                let at = fault.at.saturating_sub(before.len());
                faults.add(scalar.place_of(at), message, Some(example.to_owned()));
            }
            None
        }
    }
}

fn status(field: Field<'_>, faults: &mut Faults) -> Option<u16> {
    let status = field.whole(200, faults)?;
    let status = u16::try_from(status).ok().filter(|status| *status <= 599);
    if status.is_none() {
        field.wrong("expected a status from 200 to 599", None, faults);
    }
    status
}

/// RFC 6901.
pub(in crate::runbook) fn pointer(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let pointer = field.string(faults)?;
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if !pointer.starts_with('/') || !escapes {
        let hint = "`~` itself is written `~0`, and `/` in a name `~1`";
        field.wrong(
            "expected a JSON pointer such as /queue/depth or /checks/0/ok",
            Some(hint.to_owned()),
            faults,
        );
        return None;
    }
    Some(pointer)
}
