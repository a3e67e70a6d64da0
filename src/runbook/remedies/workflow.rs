//! `workflow:`: which workflow of GitHub Actions is started, with which inputs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::WorkflowRun;
use super::super::load::Wants;
use super::super::names::Names;
use super::super::secrecy::is_secret;
use super::http::text_of;
use super::literal;
use crate::yaml::{Faults, Field, Fields};

const WITHIN: Duration = Duration::from_mins(30);
const LONGEST_WITHIN: Duration = Duration::from_hours(6);
/// At a high pace of time the answers take as long as ever.
const SHORTEST_WITHIN: Duration = Duration::from_secs(5);
/// What GitHub takes, less the one by which the run is found again.
const MOST_INPUTS: usize = 24;

/// Reads what is started.
pub(super) fn run(
    field: Field<'_>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<WorkflowRun> {
    let before = faults.count();
    let mut fields = Fields::of(field.node, "the action", faults)?;
    let run = fields.need("run", "run: acme/infra/upgrade.yml@main");
    let workflow = run.and_then(|run| {
        let workflow = literal(run, faults)?;
        names.object_to(Wants::Workflow(&workflow), run.place(), faults);
        Some(workflow)
    });
    let inputs = fields.get("inputs").map_or_else(BTreeMap::new, |field| inputs(field, names, faults));
    let within = fields.get("within").map_or(Some(WITHIN), |field| {
        field.duration_up_to(LONGEST_WITHIN, "a run that takes longer is looked at by a person", faults)
    });
    fields.end(faults);
    let within = (within? / scale).max(SHORTEST_WITHIN);
    let run = WorkflowRun { workflow: workflow?, inputs, within };
    (faults.count() == before).then_some(run)
}

fn inputs(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut inputs = BTreeMap::new();
    for entry in field.map("inputs: {environment: prod}", faults).unwrap_or_default() {
        if is_secret(entry.name) {
            let message = format!(
                "the input `{}` may hold a secret by its name, and what stands in a runbook is shown; expected other inputs",
                entry.name
            );
            let hint = "let the workflow read it from the secrets of its own repository";
            faults.add(entry.key, message, Some(hint.to_owned()));
        }
        let Some(scalar) = entry.text(faults) else { continue };
        inputs.insert(entry.name.to_owned(), text_of(scalar, &scalar.text, names, faults));
    }
    if inputs.len() > MOST_INPUTS {
        field.wrong(&format!("expected at most {MOST_INPUTS} inputs"), None, faults);
    }
    inputs
}
