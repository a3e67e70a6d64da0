//! Reads `scale:`, more pods.

use super::{percent, whole};
use crate::runbook::{By, Scale};
use crate::yaml::{Faults, Field, Fields, Value};

/// No workload is this large; a longer number has mistyped digits.
const MOST_PODS: u32 = 10_000;
const EXAMPLES: &str = "such as `{add: 2, at_most: 6}`, `{percent: 150, at_most: 6}` or `{to: 5}`";

/// Reads it.
pub(super) fn scale(field: Field<'_>, faults: &mut Faults) -> Option<Scale> {
    if matches!(&field.node.value, Value::Scalar(scalar) if !scalar.is_null()) {
        field.wrong("expected one of `to`, `add` and `percent`", Some(EXAMPLES.to_owned()), faults);
        return None;
    }
    let mut fields = Fields::of(field.node, "`scale`", faults)?;
    let words = ["to", "add", "percent"];
    let found: Vec<_> = words.iter().filter_map(|word| Some((*word, fields.get(word)?))).collect();
    let scale = match found.as_slice() {
        [("to", to)] => {
            if let Some(field) = fields.get("at_most") {
                let message = "`at_most` beside `to`, which is the number itself; expected none";
                faults.add(field.key, message, Some("remove it".to_owned()));
            }
            number(*to, faults).map(|number| Scale { by: By::To(number), at_most: number })
        }
        [(word, field)] => {
            let by = match *word {
                "add" => more(*field, faults).map(By::Add),
                _ => percent(*field, faults).map(By::Percent),
            };
            let at_most = fields.need("at_most", "at_most: 6").and_then(|field| ceiling(field, by, faults));
            by.zip(at_most).map(|(by, at_most)| Scale { by, at_most })
        }
        [(first, _), (second, field), ..] => {
            fields.get("at_most");
            let message = format!("`{first}` and `{second}` in one `scale`; expected one of them");
            faults.add(field.key, message, Some(EXAMPLES.to_owned()));
            None
        }
        [] => {
            fields.get("at_most");
            if !fields.has_almost(&words) {
                let message = "`scale` does not say how many; expected one of `to`, `add` and `percent`";
                faults.add(fields.place, message, Some(EXAMPLES.to_owned()));
            }
            None
        }
    };
    fields.end(faults);
    scale
}

fn number(field: Field<'_>, faults: &mut Faults) -> Option<u32> {
    let number = whole(field, 0, MOST_PODS, faults)?;
    if number == 0 {
        let why = "never to 0: an autoscaler is switched off by that, and nothing answers";
        field.wrong("expected at least 1", Some(why.to_owned()), faults);
        return None;
    }
    Some(number)
}

fn more(field: Field<'_>, faults: &mut Faults) -> Option<u32> {
    let more = whole(field, 0, MOST_PODS, faults)?;
    if more == 0 {
        field.wrong("expected at least 1, as 0 changes nothing", None, faults);
        return None;
    }
    Some(more)
}

/// The most pods; where a single one already becomes more, the figure never counts.
fn ceiling(field: Field<'_>, by: Option<By>, faults: &mut Faults) -> Option<u32> {
    let at_most = whole(field, 1, MOST_PODS, faults)?;
    let least = by.map_or(1, |by| by.of(1));
    if at_most < least {
        let hint = "it is the most pods that there may be afterwards, not the most that are added";
        let expected = format!("expected at least {least}, as that comes of a single pod");
        field.wrong(&expected, Some(hint.to_owned()), faults);
        return None;
    }
    Some(at_most)
}
