//! What a scenario breaks in the sandbox, from YAML.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{LONGEST, WHY_LONGEST, not_empty};
use crate::chaos::scenario::{Away, Broken, Fault, Lasts, Need, Record};
use crate::runbook::Quantity;
use crate::runbook::others::Reader;
use crate::yaml::{Faults, Field, Fields};

/// More alerts at once would be a test of Alertmanager.
const MOST_ALERTS: u64 = 5_000;

pub(super) fn broken(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Vec<Broken> {
    let items = not_empty(field, "fault: [{delete_pods: {deployment: web, count: 1}}]", faults);
    items.into_iter().filter_map(|item| one_broken(item, reader, faults)).collect()
}

const WORDS: [&str; 12] = [
    "delete_pods",
    "crash",
    "end_node",
    "exhaust_pool",
    "flood",
    "memory_limit",
    "load_model",
    "validation_record",
    "alerts",
    "self_heal",
    "away",
    "press_node",
];

fn one_broken(item: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Broken> {
    let can_end = (Fault::can_end as fn(&Fault) -> bool, "`flood`, `alerts` or `away`");
    let (wait, fault, lasts) =
        one(item, &WORDS, can_end, faults, |field, faults| fault(field, reader, faults))?;
    Some(Broken { wait, fault, lasts })
}

/// One item of a list of faults: what is broken, by one of `words`, and when. What `can_end` says no to stays until it is mended.
pub(super) fn one<F>(
    item: Field<'_>,
    words: &'static [&'static str],
    (can_end, which): (fn(&F) -> bool, &str),
    faults: &mut Faults,
    fault: impl FnOnce(Field<'_>, &mut Faults) -> Option<F>,
) -> Option<(Duration, F, Lasts)> {
    let mut fields = Fields::of(item.node, "the fault", faults)?;
    let lasts = fields
        .get("lasts")
        .map_or(Some(Lasts::UntilMended), |field| field.word(&Lasts::ALL, Lasts::as_str, faults));
    let wait = fields
        .get("wait")
        .map_or(Some(Duration::ZERO), |field| field.duration_up_to(LONGEST, WHY_LONGEST, faults));
    let named: Vec<Field<'_>> = words.iter().filter_map(|word| fields.get(word)).collect();
    if named.len() != 1 && !fields.has_almost(words) {
        let message = match named.len() {
            0 => "the fault does not say what is broken".to_owned(),
            number => format!("the fault breaks {number} things at once"),
        };
        let hint = "write one of them each, in the order in which they are broken";
        faults.add(
            item.place(),
            format!("{message}; expected one of {}", words.join(", ")),
            Some(hint.to_owned()),
        );
    }
    let [field] = named.as_slice() else {
        fields.end(faults);
        return None;
    };
    let fault = fault(*field, faults);
    let ends = fields.get("lasts");
    if let (Some(said), Some(fault), Some(Lasts::UntilClosed)) = (ends, &fault, lasts)
        && !can_end(fault)
    {
        let hint = "what somebody has changed stays so until it is mended";
        said.wrong(&format!("expected it at {which} only"), Some(hint.to_owned()), faults);
    }
    fields.end(faults);
    Some((wait?, fault?, lasts?))
}

fn fault(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Fault> {
    let what = WORDS.into_iter().find(|word| *word == field.name)?;
    let mut fields = Fields::of(field.node, what, faults)?;
    let read = match what {
        "delete_pods" => delete_pods(&mut fields, reader, faults)
            .map(|(deployment, count)| Fault::DeletePods { deployment, count }),
        "crash" => {
            let deployment = deployment(&mut fields, "deployment", reader, faults);
            let code = fields.get("exit_code").map_or(Some(1), |field| number(field, 1, 255, faults));
            let after =
                fields.get("after").map_or(Some(Duration::from_secs(15)), |field| field.duration(faults));
            let exit_code = code.and_then(|code| i32::try_from(code).ok());
            (|| Some(Fault::Crash { deployment: deployment?, exit_code: exit_code?, after: after? }))()
        }
        "end_node" => {
            let with_pod_of = deployment(&mut fields, "with_pod_of", reader, faults);
            let room = fields.get("room").map_or(Some(3), |field| number(field, 1, 250, faults));
            (|| Some(Fault::EndNode { with_pod_of: with_pod_of?, room: room? }))()
        }
        "exhaust_pool" => exhaust_pool(&mut fields, reader, faults),
        "flood" => {
            let clients =
                fields.need("clients", "clients: 50").and_then(|field| number(field, 1, 1_000, faults));
            clients.map(|clients| Fault::Flood { clients })
        }
        "memory_limit" => {
            let deployment = deployment(&mut fields, "deployment", reader, faults);
            let limit = fields.need("limit", "limit: 512Mi").and_then(|field| quantity(field, faults));
            (|| Some(Fault::MemoryLimit { deployment: deployment?, limit: limit? }))()
        }
        "load_model" => {
            let model = fields.need("model", "model: samosachaat-d32");
            let model = model.and_then(|field| reader.text(field, faults));
            model.map(|model| Fault::LoadModel { model })
        }
        "validation_record" => {
            let record = fields
                .need("record", "record: missing")
                .and_then(|field| field.word(&Record::ALL, Record::as_str, faults));
            let left = fields.need("left", "left: 10d").and_then(|field| field.duration(faults));
            (|| Some(Fault::ValidationRecord { record: record?, left: left? }))()
        }
        "alerts" => alerts(&mut fields, reader, faults),
        "self_heal" => {
            let deployment = deployment(&mut fields, "deployment", reader, faults);
            deployment.map(|deployment| Fault::SelfHeal { deployment })
        }
        "away" => {
            let system = fields.need("system", "system: loki");
            let system = system.and_then(|field| field.word(&Away::ALL, Away::as_str, faults));
            system.map(|system| Fault::Away { system })
        }
        _ => {
            let with_pod_of = deployment(&mut fields, "with_pod_of", reader, faults);
            let percent =
                fields.need("percent", "percent: 95").and_then(|field| number(field, 1, 100, faults));
            (|| Some(Fault::PressNode { with_pod_of: with_pod_of?, percent: percent? }))()
        }
    };
    fields.end(faults);
    read
}

pub(super) fn deployment(
    fields: &mut Fields<'_>,
    name: &'static str,
    reader: &mut Reader<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let field = fields.need(name, &format!("{name}: web"))?;
    reader.text(field, faults)
}

pub(super) fn number(field: Field<'_>, least: u64, most: u64, faults: &mut Faults) -> Option<u32> {
    let value = field.whole(least, faults)?;
    if value > most {
        field.wrong(&format!("expected at most {most}"), None, faults);
        return None;
    }
    u32::try_from(value).ok()
}

pub(super) fn quantity(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let text = field.string(faults)?;
    if text.parse::<Quantity>().is_err() {
        field.wrong("expected a quantity of memory such as 512Mi", None, faults);
        return None;
    }
    Some(text)
}

/// Whose, and how many; none: all of them.
pub(super) fn delete_pods(
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
    faults: &mut Faults,
) -> Option<(String, Option<u32>)> {
    let deployment = deployment(fields, "deployment", reader, faults);
    let all = fields.get("all").map(|field| (field, field.boolean(faults)));
    let count = fields.get("count");
    if let (Some((field, Some(true))), Some(_)) = (&all, &count) {
        field.wrong("expected it without `count`", None, faults);
    }
    let count = match (all, count) {
        (Some((_, said)), None) if said? => None,
        (_, Some(field)) => Some(number(field, 1, 1_000, faults)?),
        _ => Some(1),
    };
    Some((deployment?, count))
}

fn exhaust_pool(fields: &mut Fields<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Fault> {
    let deployment = deployment(fields, "deployment", reader, faults);
    let connections = fields.get("connections").map(|field| number(field, 1, 10_000, faults));
    let after = fields.get("after").map_or(Some(Duration::from_secs(20)), |field| field.duration(faults));
    let need = match connections {
        None => Need::Leaked,
        Some(number) => Need::Connections { number: number?, after: after? },
    };
    Some(Fault::ExhaustPool { deployment: deployment?, need })
}

fn alerts(fields: &mut Fields<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Fault> {
    let example = "labels: {alertname: High5xxRate, namespace: shop}";
    let mut labels = BTreeMap::new();
    if let Some(field) = fields.need("labels", example) {
        for entry in field.map(example, faults).unwrap_or_default() {
            labels.extend(reader.text(entry, faults).map(|value| (entry.name.to_owned(), value)));
        }
        if !labels.contains_key("alertname") && !faults.any() {
            field.wrong("expected an `alertname` among them", None, faults);
        }
    }
    let copies = fields.get("copies").map_or(Some(1), |field| number(field, 1, MOST_ALERTS, faults));
    let times = fields.get("times").map_or(Some(1), |field| number(field, 1, 100, faults));
    let every = fields
        .get("every")
        .map_or(Some(Duration::from_mins(2)), |field| field.duration_up_to(LONGEST, WHY_LONGEST, faults));
    Some(Fault::Alerts { labels, copies: copies?, times: times?, every: every? })
}
