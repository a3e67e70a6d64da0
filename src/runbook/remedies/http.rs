//! Reads `http:`, a call that changes something. What is sent, and to whom, is the same for every alert: of placeholders only `${vars.NAME}`, and
//! that is filled in here. No secret stands in it: what is journaled is all that is sent, but for the headers that the configuration adds.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value as Json};

use super::literal;
use crate::runbook::names::{Names, Scope};
use crate::runbook::probes::http::{json, pointer, port, value};
use crate::runbook::secrecy::{holds_secret, is_secret};
use crate::runbook::{
    CallTo, EachPod, HttpCall, HttpProbe, Observe, Probe, Template, Threshold, UrlTemplate, Wanted,
};
use crate::yaml::{Faults, Field, Fields, Scalar, Value};

/// The methods that change something.
const METHODS: [&str; 4] = ["post", "put", "patch", "delete"];
/// The body stands in the journal, and people approve it.
const LONGEST_BODY: usize = 16 * 1024;
const LONGEST_HEADER: usize = 1024;
/// How long an answer is waited for when nothing is said, and at the most.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a server may go on with a call whose answer was lost, when nothing is said, and at the most.
const MAY_TAKE: Duration = Duration::from_mins(5);
const LONGEST_MAY_TAKE: Duration = Duration::from_hours(1);
/// However fast the time goes, a network takes its own.
const SHORTEST_WITHIN: Duration = Duration::from_secs(1);
const LONGEST_WITHIN: Duration = Duration::from_mins(5);
/// What the client writes itself.
const OURS: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "idempotency-key",
];
/// Parts of names that headers with secrets have.
const SECRET: [&str; 8] = ["auth", "cookie", "token", "key", "secret", "password", "credential", "session"];
const EXAMPLE: &str = "post: http://web.shop.svc:8080/reload";
const EACH_EXAMPLE: &str = "http: {post: /reload, each: pod, port: 8080}";
const OBSERVE: &str = "observe: {http: /stats, pointer: /current_model, equals: small}";
/// Stands for the address of a pod until that is known.
const POD: &str = "http://pod";

/// Reads the call.
pub(super) fn call(
    field: Field<'_>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<HttpCall> {
    let before = faults.count();
    let mut fields = Fields::of(field.node, "`http`", faults)?;
    let methods: Vec<_> = METHODS.iter().filter_map(|name| Some((*name, fields.get(name)?))).collect();
    for (_, second) in methods.iter().skip(1) {
        faults.add(
            second.key,
            "a second method in one call; expected one",
            Some("write two steps".to_owned()),
        );
    }
    let each = fields.get("each");
    let port_field = fields.get("port");
    if let (None, Some(field)) = (each, port_field) {
        let hint = "add `each: pod`, or write the port into the address";
        faults.add(field.key, "`port` without `each: pod`; expected none", Some(hint.to_owned()));
    }
    let port = match (each, port_field) {
        (Some(each), port_field) => {
            each.word(&["pod"], |word| word, faults);
            if port_field.is_none() && !fields.has_almost(&["port"]) {
                let message = "`each: pod` without `port`; expected the one at which every pod answers";
                faults.add(each.key, message, Some(format!("such as `{EACH_EXAMPLE}`")));
            }
            port_field.and_then(|field| port(field, faults))
        }
        (None, _) => None,
    };
    let at = Place { port: each.map(|_| port), scale, names };
    let call = read(&mut fields, methods.first().copied(), at, faults);
    if methods.is_empty() && !fields.has_almost(&METHODS) {
        let message =
            "the call has no method; expected one of `post`, `put`, `patch` and `delete`, with an address";
        faults.add(fields.place, message, Some(format!("such as `{EXAMPLE}`")));
    }
    fields.end(faults);
    call.filter(|_| faults.count() == before)
}

/// Where the addresses of a call lie.
struct Place<'p, 'n> {
    /// Of every pod; none for one address.
    port: Option<Option<u16>>,
    scale: u32,
    names: &'p mut Names<'n>,
}

fn read(
    fields: &mut Fields<'_>,
    method: Option<(&'static str, Field<'_>)>,
    mut at: Place<'_, '_>,
    faults: &mut Faults,
) -> Option<HttpCall> {
    let address = method.and_then(|(_, field)| at.address(field, None, faults));
    let headers = fields.get("headers").map_or_else(Vec::new, |field| headers(field, faults));
    let body = fields.get("json").map(|field| body(field, at.names, faults));
    let within = fields.get("within").map_or(Some(WITHIN), |field| {
        field.duration_up_to(LONGEST_WITHIN, "nothing else is done meanwhile", faults)
    });
    let may_take = fields.get("may_take").map_or(Some(MAY_TAKE), |field| {
        let why = "a lost answer is looked for so long before anything else is done";
        field.duration_up_to(LONGEST_MAY_TAKE, why, faults)
    });
    let observe = fields.get("observe").map(|field| observe(field, &mut at, faults));
    let address = address?;
    let to = match at.port {
        None => CallTo::Url(address),
        Some(port) => CallTo::EachPod { port: port?, path: address },
    };
    Some(HttpCall {
        method: method?.0.to_ascii_uppercase(),
        to,
        headers,
        json: body.map_or(Some(None), |body| body.map(Some))?,
        within: (within? / at.scale).max(SHORTEST_WITHIN),
        may_take: (may_take? / at.scale).max(SHORTEST_WITHIN),
        observe: observe.map_or(Some(None), |observe| observe.map(Some))?,
    })
}

impl Place<'_, '_> {
    /// An address, or for every pod a path, with its variables filled in.
    fn address(
        &mut self,
        field: Field<'_>,
        pointer: Option<(&str, &Json)>,
        faults: &mut Faults,
    ) -> Option<String> {
        let scalar = field.text(faults)?;
        let before = if self.port.is_some() { POD } else { "" };
        if self.port.is_some() && !scalar.text.starts_with('/') {
            let expected = "expected a path, as each pod has an address of its own";
            field.wrong(expected, Some("such as /reload".to_owned()), faults);
            return None;
        }
        let url = match UrlTemplate::parse(&format!("{before}{}", scalar.text)) {
            Ok(url) => url,
            Err(wrong) => {
                for fault in wrong {
                    let message = format!("in the address: {}", fault.message);
                    let at = fault.at.saturating_sub(before.len());
                    faults.add(scalar.place_of(at), message, Some(format!("such as `{EXAMPLE}`")));
                }
                return None;
            }
        };
        let (filled, is_known) = self.filled(scalar, &url, faults)?;
        let whole = if is_known { filled.as_str() } else { scalar.text.as_str() };
        for name in query_names(whole).filter(|name| is_secret(name)) {
            secret(scalar.place_of(0), &format!("`{name}` of the address"), "by its name", faults);
        }
        // What the configuration has against asking it, it has against calling it.
        let each = match self.port {
            Some(port) => {
                Some(EachPod { port: port?, namespace: Template { parts: Vec::new() }, deployment: None })
            }
            None => None,
        };
        let probe = HttpProbe {
            url,
            status: 200,
            pointer: pointer.map(|(pointer, _)| pointer.to_owned()),
            wanted: pointer.map(|(_, value)| Wanted::Equals(value.clone())),
            each,
            growing: None,
            threshold: Threshold::AtLeast(1.0),
        };
        self.names.object(&Probe::Http(probe), field.place(), faults);
        // Without a configuration nobody calls it.
        Some(if is_known { filled[before.len()..].to_owned() } else { scalar.text.clone() })
    }

    fn filled(&mut self, scalar: &Scalar, url: &UrlTemplate, faults: &mut Faults) -> Option<(String, bool)> {
        let before = faults.count();
        for (path, at) in UrlTemplate::placeholders(&scalar.text) {
            self.names.check(&path, Scope::Installation, scalar.place_of(at), faults);
        }
        if faults.count() > before {
            return None;
        }
        match url.with(|path| self.names.value(path)) {
            Ok(filled) => Some((filled, true)),
            Err(_) if !self.names.believed.is_empty() => Some((String::new(), false)),
            Err(why) => {
                faults.add(
                    scalar.place_of(0),
                    format!("{why}; expected an address that can be called"),
                    None,
                );
                None
            }
        }
    }
}

fn headers(field: Field<'_>, faults: &mut Faults) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for entry in field.map("headers: {X-Requested-By: runbookd}", faults).unwrap_or_default() {
        let name = entry.name.to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            let message =
                format!("{:?} can not be the name of a header; expected letters, digits and `-`", entry.name);
            faults.add(entry.key, message, None);
        } else if OURS.contains(&name.as_str()) {
            let message = format!("`{}` is written by runbookd itself; expected other headers", entry.name);
            faults.add(entry.key, message, Some("remove it".to_owned()));
        } else if SECRET.iter().any(|part| name.contains(part)) {
            secret(entry.key, &format!("`{}`", entry.name), "by its name", faults);
        }
        let Some(text) = literal(entry, faults) else { continue };
        if holds_secret(&text) {
            secret(entry.key, &format!("the value of `{}`", entry.name), "by its form", faults);
        }
        if text.len() > LONGEST_HEADER || HeaderValue::from_str(&text).is_err() || !text.is_ascii() {
            let expected = format!("expected one line of at most {LONGEST_HEADER} ASCII characters");
            entry.wrong(&expected, None, faults);
        }
        headers.push((entry.name.to_owned(), text));
    }
    headers
}

/// What is sent stands in the journal, and people are shown it.
fn secret(place: crate::yaml::Place, what: &str, how: &str, faults: &mut Faults) {
    let hint = "name the file with its value beside the host: `http: {allow: [{host: ..., header: ..., value_file: ...}]}`, or the same in `pods:`";
    let message = format!(
        "{what} may hold a secret {how}, and what stands in a runbook is shown; expected it in the configuration"
    );
    faults.add(place, message, Some(hint.to_owned()));
}

/// The names of what is asked for in an address.
fn query_names(address: &str) -> impl Iterator<Item = &str> {
    let query = address.split('#').next().and_then(|address| address.split_once('?'));
    let pairs = query.map_or("", |(_, query)| query).split('&');
    pairs.filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty())
}

fn body(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<Json> {
    let before = faults.count();
    let body = whole(&field.node.value, names, faults);
    if body.to_string().len() > LONGEST_BODY {
        field.wrong(&format!("expected at most {LONGEST_BODY} bytes of JSON"), None, faults);
    }
    (faults.count() == before).then_some(body)
}

/// What stands there, as JSON.
fn whole(node: &Value, names: &mut Names<'_>, faults: &mut Faults) -> Json {
    match node {
        Value::Scalar(scalar) => match json(scalar) {
            Some(Json::String(text)) => Json::String(text_of(scalar, &text, names, faults)),
            Some(json) => json,
            None => {
                let message = format!("{} is no number of JSON; expected one such as 1 or 0.5", scalar.text);
                faults.add(scalar.place_of(0), message, Some(format!("or text: \"{}\"", scalar.text)));
                Json::Null
            }
        },
        Value::List(items) => {
            Json::Array(items.iter().map(|item| whole(&item.value, names, faults)).collect())
        }
        Value::Map(entries) => {
            let entry = |entry: &crate::yaml::Entry| {
                if is_secret(&entry.key) {
                    secret(entry.place, &format!("`{}`", entry.key), "by its name", faults);
                }
                (entry.key.clone(), whole(&entry.value.value, names, faults))
            };
            Json::Object(entries.iter().map(entry).collect::<Map<_, _>>())
        }
    }
}

/// A text with its variables filled in.
pub(super) fn text_of(scalar: &Scalar, text: &str, names: &mut Names<'_>, faults: &mut Faults) -> String {
    match Template::parse(text) {
        Ok(template) => {
            for (path, at) in template.placeholders() {
                names.check(path, Scope::Installation, scalar.place_of(at), faults);
            }
            let text = template.with(|path| names.value(path)).unwrap_or_else(|_| text.to_owned());
            if holds_secret(&text) {
                secret(scalar.place_of(0), "the text", "by its form", faults);
            }
            text
        }
        Err(wrong) => {
            for fault in wrong {
                faults.add(
                    scalar.place_of(fault.at),
                    fault.message,
                    Some("such as `${vars.model}`".to_owned()),
                );
            }
            String::new()
        }
    }
}

fn observe(field: Field<'_>, at: &mut Place<'_, '_>, faults: &mut Faults) -> Option<Observe> {
    let mut fields = Fields::of(field.node, "`observe`", faults)?;
    let address = fields.need("http", OBSERVE);
    let place = fields.need("pointer", OBSERVE).and_then(|field| pointer(field, faults));
    let wanted = fields.need("equals", OBSERVE).and_then(|field| match value(field, faults)? {
        Json::String(text) => {
            let scalar = field.text(faults)?;
            Some(Json::String(text_of(scalar, &text, at.names, faults)))
        }
        other => Some(other),
    });
    fields.end(faults);
    let (place, wanted) = (place?, wanted?);
    let address = at.address(address?, Some((&place, &wanted)), faults)?;
    Some(Observe { at: address, pointer: place, equals: wanted })
}
