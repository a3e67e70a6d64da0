//! `terraform:`: in which directory a plan is made, and what of it may be applied.

use std::time::Duration;

use super::super::load::Wants;
use super::super::names::Names;
use super::super::{Kind, TerraformRun};
use super::{literal, whole};
use crate::yaml::{Faults, Field, Fields};

/// Nobody reads a longer plan before it is approved.
const MOST_CHANGES: u32 = 100;
/// Each is asked for before and after.
const MOST_OUTPUTS: usize = 5;
/// A node takes minutes to come, and its pods some more to move.
const LONGEST_STALL: Duration = Duration::from_hours(1);
/// At a high pace of time terraform takes as long as ever.
const SHORTEST_STALL: Duration = Duration::from_secs(5);
const ALLOW: &str = "allow: [\"aws_route53_record.validation[*]\"]";

/// Reads what of a plan may be applied. `kinds` is what the step is done to.
pub(super) fn run(
    field: Field<'_>,
    kinds: Option<&'static [Kind]>,
    names: &Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<TerraformRun> {
    let before = faults.count();
    let mut fields = Fields::of(field.node, "the action", faults)?;
    let directory = fields.get("directory");
    let target_is_one = kinds.map(|kinds| kinds == [Kind::Terraform]);
    match (directory, target_is_one) {
        (Some(directory), Some(true)) => {
            let message = "`directory` where the target is a directory of terraform; expected one of them";
            faults.add(directory.key, message, Some("remove it".to_owned()));
        }
        (None, Some(false)) if !fields.has_almost(&["directory"]) => {
            let message = "`terraform` without `directory`; expected its name in the configuration";
            let hint = "such as `directory: certificates`, or `targets: {terraform: certificates}`";
            faults.add(field.key, message, Some(hint.to_owned()));
        }
        _ => {}
    }
    let place = directory.map_or(field.place(), |directory| directory.place());
    let directory = directory.and_then(|directory| literal(directory, faults));
    names.object_to(Wants::Terraform(directory.as_deref()), place, faults);
    let mut allow = Vec::new();
    if let Some(list) = fields.need("allow", ALLOW) {
        let items = list.list(ALLOW, faults).unwrap_or_default();
        if items.is_empty() {
            let hint = "an empty list allows nothing; name what may be created or changed in place";
            list.wrong("expected at least one address", Some(hint.to_owned()), faults);
        }
        for item in items {
            let Some(pattern) = literal(item, faults) else { continue };
            names.object_to(Wants::Address(&pattern), item.place(), faults);
            allow.push(pattern);
        }
    }
    let at_most =
        fields.need("at_most", "at_most: 2").and_then(|field| whole(field, 1, MOST_CHANGES, faults));
    let stall = fields.get("nodes_stall_after").map(|field| {
        let why = "terraform itself does not wait for longer";
        field.duration_up_to(LONGEST_STALL, why, faults).map(|stall| (stall / scale).max(SHORTEST_STALL))
    });
    let outputs = fields.get("outputs").map_or_else(Vec::new, |field| outputs(field, faults));
    fields.end(faults);
    let nodes_stall_after = match stall {
        Some(stall) => Some(stall?),
        None => None,
    };
    let run = TerraformRun { directory, allow, at_most: at_most?, outputs, nodes_stall_after };
    (faults.count() == before).then_some(run)
}

fn outputs(field: Field<'_>, faults: &mut Faults) -> Vec<String> {
    let mut outputs = Vec::new();
    for item in field.list("outputs: [current_node_ami_id]", faults).unwrap_or_default() {
        let Some(name) = literal(item, faults) else { continue };
        let mut bytes = name.bytes();
        let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !begins || !bytes.all(is_rest) {
            item.wrong("expected the name of an output, such as current_node_ami_id", None, faults);
        }
        outputs.push(name);
    }
    if outputs.len() > MOST_OUTPUTS {
        field.wrong(&format!("expected at most {MOST_OUTPUTS} outputs"), None, faults);
    }
    outputs
}
