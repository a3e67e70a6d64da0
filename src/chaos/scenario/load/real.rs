//! What a scenario breaks in the cluster itself, from YAML.

use std::time::Duration;

use super::fault::{delete_pods, deployment, number, one, quantity};
use super::not_empty;
use crate::chaos::load::{Header, LONGEST, MOST_BODY, MOST_CLIENTS, MOST_REQUESTS};
use crate::chaos::scenario::{BrokenForReal, RealFault, Record};
use crate::clients::load::{Address, BadAddress};
use crate::runbook::others::Reader;
use crate::yaml::{Faults, Field, Fields};

const WORDS: [&str; 5] = ["delete_pods", "load", "end_node", "memory_limit", "validation_record"];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const WHY_NO_LONGER: &str = "load has bounds that nothing lifts";

/// The section `real`.
pub(super) fn read(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Vec<BrokenForReal> {
    let items = not_empty(field, "real: [{delete_pods: {deployment: web, count: 1}}]", faults);
    let can_end = (RealFault::can_end as fn(&RealFault) -> bool, "`load`");
    let broken = |item| {
        let read = one(item, &WORDS, can_end, faults, |field, faults| fault(field, reader, faults));
        read.map(|(wait, fault, lasts)| BrokenForReal { wait, fault, lasts })
    };
    items.into_iter().filter_map(broken).collect()
}

fn fault(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<RealFault> {
    let what = WORDS.into_iter().find(|word| *word == field.name)?;
    let mut fields = Fields::of(field.node, what, faults)?;
    let read = match what {
        "delete_pods" => delete_pods(&mut fields, reader, faults)
            .map(|(deployment, count)| RealFault::DeletePods { deployment, count }),
        "end_node" => {
            let with_pod_of = deployment(&mut fields, "with_pod_of", reader, faults);
            with_pod_of.map(|with_pod_of| RealFault::EndNode { with_pod_of })
        }
        "memory_limit" => {
            let deployment = deployment(&mut fields, "deployment", reader, faults);
            let limit = fields.need("limit", "limit: 512Mi").and_then(|field| quantity(field, faults));
            (|| Some(RealFault::MemoryLimit { deployment: deployment?, limit: limit? }))()
        }
        "load" => load(&mut fields, reader, faults),
        // A record that is removed for real would be missed by every certificate that shares it.
        _ => fields
            .need("record", "record: wrong")
            .and_then(|field| field.word(&[Record::Wrong], Record::as_str, faults))
            .map(|_| RealFault::ValidationRecord),
    };
    fields.end(faults);
    read
}

fn load(fields: &mut Fields<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<RealFault> {
    let example = "url: http://chat-api:8002/api/health";
    let url = fields.need("url", example).and_then(|field| address(field, reader, faults));
    let most = u64::from(MOST_CLIENTS);
    let concurrency =
        fields.need("concurrency", "concurrency: 50").and_then(|field| number(field, 1, most, faults));
    let requests = fields.get("requests").map(|field| requests(field, faults));
    let duration = fields
        .get("duration")
        .map_or(Some(Duration::from_mins(1)), |field| field.duration_up_to(LONGEST, WHY_NO_LONGER, faults));
    let body = fields.get("body").map(|field| body(field, reader, faults));
    let usual = if body.is_some() { "POST" } else { "GET" };
    let method = fields.get("method").map_or(Some(usual), |field| field.word(&METHODS, |word| word, faults));
    let headers = fields.get("headers").map(|field| headers(field, reader, faults));
    Some(RealFault::Load {
        url: url?,
        concurrency: concurrency?,
        requests: match requests {
            Some(requests) => Some(requests?),
            None => None,
        },
        duration: duration?,
        method: method?.to_owned(),
        headers: headers.unwrap_or_default(),
        body: match body {
            Some(body) => Some(body?),
            None => None,
        },
    })
}

fn address(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<String> {
    let text = reader.text(field, faults)?;
    // A variable that is only believed has no value yet: it is looked at again when it has.
    if !text.contains("${")
        && let Err(expected) = Address::parse(&text)
    {
        // It may hold a password, and is not repeated.
        let expected = match expected {
            BadAddress::Credentials => {
                "it holds a name or a password; expected an address without".to_owned()
            }
            other => other.to_string(),
        };
        faults.add(field.place(), format!("`{}` can not be asked: {expected}", field.name), None);
        return None;
    }
    Some(text)
}

fn requests(field: Field<'_>, faults: &mut Faults) -> Option<u64> {
    let number = field.whole(1, faults)?;
    if number > MOST_REQUESTS {
        let hint = Some(WHY_NO_LONGER.to_owned());
        field.wrong(&format!("expected at most {MOST_REQUESTS}"), hint, faults);
        return None;
    }
    Some(number)
}

fn body(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<String> {
    let text = reader.text(field, faults)?;
    if text.len() > MOST_BODY {
        let message = format!("`body` has {} bytes; expected at most {MOST_BODY}", text.len());
        faults.add(field.place(), message, Some(WHY_NO_LONGER.to_owned()));
        return None;
    }
    Some(text)
}

fn headers(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Vec<String> {
    let example = "headers: [\"Content-Type: application/json\"]";
    let mut all = Vec::new();
    for item in field.list(example, faults).unwrap_or_default() {
        let Some(text) = reader.text(item, faults) else { continue };
        match Header::parse(&text) {
            Ok(_) => all.push(text),
            Err(expected) => {
                faults.add(item.place(), format!("`headers` has one that can not be sent: {expected}"), None);
            }
        }
    }
    all
}
