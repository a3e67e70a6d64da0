//! Reads `resources:`, other requests and limits of a container.

use super::percent;
use crate::runbook::{Amount, Quantity, ResourcePart, RestoreWhen};
use crate::yaml::{Faults, Field, Fields, Place, Value, did_you_mean};

/// The resources that every cluster knows. Others are counted by whoever made them, and are nobody's to raise.
const RESOURCES: [&str; 3] = ["memory", "cpu", "ephemeral-storage"];
const CPU: &str = "cpu";
/// Less is no amount of memory that anything runs in: the unit was forgotten, or `m` was written, which is a thousandth.
const LEAST_BYTES: u64 = 1 << 20;
/// More than any machine has: the `m` was forgotten, or the unit is one of bytes.
const MOST_CORES: u64 = 1024;

/// An entry of `limits` or `requests`; without an amount when that can not be read.
struct Entry<T> {
    resource: String,
    place: Place,
    amount: Option<T>,
}

/// Reads the parts; `stays` is what `restore` says, as far as that is known.
pub(super) fn parts(
    field: Field<'_>,
    stays: Option<RestoreWhen>,
    faults: &mut Faults,
) -> Option<Vec<ResourcePart>> {
    let before = faults.count();
    let mut fields = Fields::of(field.node, "`resources`", faults)?;
    let found = (fields.get("limits"), fields.get("requests"));
    let limits = found.0.map(|field| entries(field, amount, faults)).unwrap_or_default();
    let requests = found.1.map(|field| entries(field, amount, faults)).unwrap_or_default();
    let baseline = fields.get("baseline");
    if (None, None) == (found.0.map(|_| ()), found.1.map(|_| ()))
        && !fields.has_almost(&["limits", "requests"])
    {
        let hint = "such as `{limits: {memory: {percent: 200, at_most: 8Gi}}}`";
        faults.add(
            fields.place,
            "`resources` changes nothing; expected `limits` or `requests`",
            Some(hint.to_owned()),
        );
    }
    check_order(&limits, &requests, most, "", faults);
    let mut declared = (Vec::new(), Vec::new());
    if let Some(field) = baseline {
        if stays == Some(RestoreWhen::Never) {
            let hint = "it is the value that is put back: remove it, or say when in `restore`";
            faults.add(field.key, "`baseline` beside `restore: never`; expected none", Some(hint.to_owned()));
        }
        declared = self::baseline(field, &limits, &requests, faults);
        check_order(&declared.0, &declared.1, |quantity| *quantity, "in `baseline`, ", faults);
    }
    fields.end(faults);
    if faults.count() > before {
        return None;
    }
    let part = |entry: Entry<Amount>, limit: bool, declared: &[Entry<Quantity>]| {
        let baseline = declared.iter().find(|one| one.resource == entry.resource);
        let baseline = baseline.and_then(|one| one.amount);
        Some(ResourcePart { limit, resource: entry.resource, to: entry.amount?, baseline })
    };
    let mut parts: Vec<_> = limits.into_iter().filter_map(|entry| part(entry, true, &declared.0)).collect();
    parts.extend(requests.into_iter().filter_map(|entry| part(entry, false, &declared.1)));
    Some(parts)
}

/// Reads a map of resources.
fn entries<T>(
    field: Field<'_>,
    read: impl Fn(Field<'_>, &mut Faults) -> Option<T>,
    faults: &mut Faults,
) -> Vec<Entry<T>> {
    let Some(found) = field.map(&format!("{}: {{memory: 2Gi}}", field.name), faults) else {
        return Vec::new();
    };
    if found.is_empty() {
        field.wrong("expected at least one resource", Some("such as `memory: 2Gi`".to_owned()), faults);
    }
    let entry = |entry: Field<'_>| {
        if !RESOURCES.contains(&entry.name) {
            let message = format!(
                "{:?} is no resource that can be changed; expected one of {}",
                crate::text::cut(entry.name, 60),
                RESOURCES.join(", ")
            );
            let near = did_you_mean(entry.name, RESOURCES).map(|near| format!("did you mean `{near}`?"));
            faults.add(entry.key, message, near);
            return None;
        }
        let amount = read(entry, faults);
        Some(Entry { resource: entry.name.to_owned(), place: entry.place(), amount })
    };
    found.into_iter().filter_map(entry).collect()
}

/// Reads the declared values, and refuses those of what is not changed.
fn baseline(
    field: Field<'_>,
    limits: &[Entry<Amount>],
    requests: &[Entry<Amount>],
    faults: &mut Faults,
) -> (Vec<Entry<Quantity>>, Vec<Entry<Quantity>>) {
    let Some(mut fields) = Fields::of(field.node, "`baseline`", faults) else {
        return (Vec::new(), Vec::new());
    };
    let found = (fields.get("limits"), fields.get("requests"));
    if found.0.is_none() && found.1.is_none() && !fields.has_almost(&["limits", "requests"]) {
        let hint = "leave it out, and the value from before the change is put back";
        field.wrong("expected `limits` or `requests`", Some(hint.to_owned()), faults);
    }
    let mut of = |field: Option<Field<'_>>, changed: &[Entry<Amount>], word: &str| {
        let declared = field.map(|field| entries(field, quantity, faults)).unwrap_or_default();
        for one in &declared {
            if !changed.iter().any(|changed| changed.resource == one.resource) {
                let message = format!(
                    "`baseline` names the {word} of {}, which the step does not change; expected only what it does",
                    one.resource
                );
                faults.add(one.place, message, Some("remove it".to_owned()));
            }
        }
        declared
    };
    let declared = (of(found.0, limits, "limit"), of(found.1, requests, "request"));
    fields.end(faults);
    declared
}

/// The API server refuses a request above its limit. Of a percentage the ceiling is compared.
fn check_order<T>(
    limits: &[Entry<T>],
    requests: &[Entry<T>],
    most: impl Fn(&T) -> Quantity,
    within: &str,
    faults: &mut Faults,
) {
    for request in requests {
        let limit = limits.iter().find(|limit| limit.resource == request.resource);
        if let Some(limit) = limit.and_then(|limit| limit.amount.as_ref()).map(&most)
            && let Some(wanted) = request.amount.as_ref().map(&most)
            && limit < wanted
        {
            let message = format!(
                "{within}the request of {} ({wanted}) is above its limit ({limit}); expected at most that",
                request.resource
            );
            faults.add(request.place, message, Some("Kubernetes refuses such a pod".to_owned()));
        }
    }
}

const fn most(amount: &Amount) -> Quantity {
    match amount {
        Amount::Exactly(quantity) => *quantity,
        Amount::Percent { at_most, .. } => *at_most,
    }
}

/// `2Gi`, or `{percent: 200, at_most: 8Gi}`.
fn amount(field: Field<'_>, faults: &mut Faults) -> Option<Amount> {
    if !matches!(&field.node.value, Value::Map(_)) {
        return quantity(field, faults).map(Amount::Exactly);
    }
    let mut fields = Fields::of(field.node, "the amount", faults)?;
    let percent = fields.need("percent", "percent: 200").and_then(|field| percent(field, faults));
    let example = if field.name == CPU { "at_most: 2" } else { "at_most: 8Gi" };
    let ceiling = fields.need("at_most", example).and_then(|at_most| named(at_most, field.name, faults));
    fields.end(faults);
    percent.zip(ceiling).map(|(percent, at_most)| Amount::Percent { percent, at_most })
}

/// A quantity of the resource that the field is named after.
fn quantity(field: Field<'_>, faults: &mut Faults) -> Option<Quantity> {
    named(field, field.name, faults)
}

fn named(field: Field<'_>, resource: &str, faults: &mut Faults) -> Option<Quantity> {
    let expected = if resource == CPU {
        "expected a number of cores such as 500m or 2"
    } else {
        "expected a quantity such as 512Mi or 8Gi"
    };
    let text = match &field.node.value {
        Value::Scalar(scalar) if !scalar.is_null() => scalar.text.as_str(),
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
            field.wrong(expected, None, faults);
            return None;
        }
    };
    let Ok(quantity) = text.parse::<Quantity>() else {
        field.wrong(expected, meant(text).map(|meant| format!("did you mean {meant}?")), faults);
        return None;
    };
    let digits = text.trim_end_matches('m');
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if quantity.is_zero() {
        field.wrong("expected more than nothing", None, faults);
    } else if resource == CPU && quantity > Quantity::whole(MOST_CORES) {
        let hint = if is_plain {
            format!("without a unit it is whole cores: did you mean {digits}m?")
        } else {
            "such as 500m or 2: other units than `m` are for bytes".to_owned()
        };
        let expected = format!("expected at most {MOST_CORES} cores");
        field.wrong(&expected, Some(hint), faults);
    } else if resource != CPU && quantity < Quantity::whole(LEAST_BYTES) {
        let what =
            if text.ends_with('m') { "`m` is a thousandth of a byte" } else { "without a unit it is bytes" };
        let hint = is_plain.then(|| format!("{what}: did you mean {digits}Mi?"));
        field.wrong("expected at least 1Mi", hint, faults);
    } else {
        return Some(quantity);
    }
    None
}

/// What was probably meant by a unit that Kubernetes does not know.
fn meant(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "kb" | "ki" | "kib" => "Ki",
        "mb" | "mi" | "mib" => "Mi",
        "g" | "gb" | "gi" | "gib" => "Gi",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}
