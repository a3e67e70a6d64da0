//! Reads the steps of a runbook: remediations with their verification, and diagnoses.

use std::time::Duration;

use super::names::{Names, Scope, near_or_all};
use super::probes::{Known, probes, threshold_of, window};
use super::remedies::{self, Done};
use super::{Check, Kind, Mode, Named, Step, StepKind, Verify};
use crate::yaml::{Faults, Field, Fields, Value, write_duration};

/// The words with which a step begins.
const KINDS: [&str; 3] = ["remediate", "expect", "diagnose"];
const VERIFY: &str = "verify: {within: 5m, hold: 1m, all: [{probe: NAME, at_most: 0}, {rollout: complete}]}";

/// What is said where nothing but alerts is looked at.
pub(super) const ONLY_ALERTS: &str = "nothing here looks at more than alerts, and one also resolves when nobody measures any more; expected a condition that is about the thing itself";

/// What is known of the document when its steps are read; nothing of what could not be read itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'k> {
    /// The probes that a `verify` can name.
    pub(super) known: Option<&'k [Known]>,
    /// The kinds that the targets can be of.
    pub(super) kinds: Option<&'static [Kind]>,
}

/// Reads `steps:`.
pub(super) fn steps(
    field: Field<'_>,
    mode: Option<Mode>,
    about: About<'_>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Vec<Step> {
    let mut steps = Vec::new();
    // A step that nobody can make sense of may well have been meant as a remediation.
    let mut may_remediate = false;
    let Some(items) = field.list("steps: [{remediate: restart the pods, restart: {}, verify: ...}]", faults)
    else {
        return steps;
    };
    for item in items {
        let Some(mut fields) = Fields::of(item.node, "the step", faults) else {
            may_remediate = true;
            continue;
        };
        let kinds: Vec<_> = KINDS.iter().filter_map(|kind| Some((*kind, fields.get(kind)?))).collect();
        match kinds.as_slice() {
            [("remediate", title)] => {
                may_remediate = true;
                steps.extend(remediation(*title, fields, mode, about, names, scale, faults));
            }
            [("expect", title)] => {
                may_remediate = true;
                let title = title.string(faults);
                let verify =
                    fields.need("verify", VERIFY).and_then(|field| verify(field, true, about, scale, faults));
                fields.end(faults);
                if let (Some(title), Some(verify)) = (title, verify) {
                    let kind = StepKind::Expect(verify);
                    steps.push(Step { title, mode: None, when: Vec::new(), kind });
                }
            }
            [("diagnose", title)] => {
                let title = title.string(faults);
                let probes = diagnosis(&mut fields, names, scale, faults);
                fields.end(faults);
                if let (Some(title), Some(probes)) = (title, probes) {
                    let kind = StepKind::Diagnose(probes);
                    steps.push(Step { title, mode: None, when: Vec::new(), kind });
                }
            }
            [(first, _), (second, field), ..] => {
                may_remediate = true;
                faults.add(
                    field.key,
                    format!("`{first}` and `{second}` in one step; expected one of them"),
                    Some("begin a new step with `- `".to_owned()),
                );
            }
            _ => {
                may_remediate = true;
                faults.add(
                    fields.place,
                    "the step has none of `remediate`, `expect` and `diagnose`; expected one of them, with what it does in a few words",
                    Some("begin it with `- remediate: restart the pods`".to_owned()),
                );
            }
        }
    }
    if !may_remediate {
        faults.add(
            field.place(),
            "no step remediates or expects anything; expected at least one `remediate` or `expect`",
            Some("a runbook that should only look is one with `mode: shadow`".to_owned()),
        );
    }
    steps
}

/// The questions of a diagnosis: its own, and then those of the documents that it attaches.
fn diagnosis(
    fields: &mut Fields<'_>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Vec<Named>> {
    let example = "probes: {slow_queries: {loki: ..., window: 5m, at_least: 1}}";
    let attach = fields.get("attach");
    let own = if attach.is_some() { fields.get("probes") } else { fields.need("probes", example) };
    names.set_diagnosing(true);
    let mut all = own.map(|field| probes(field, Scope::Target, names, scale, faults).0);
    names.set_diagnosing(false);
    let Some(attach) = attach else { return all };
    let all = all.get_or_insert_default();
    let items = attach.list("attach: [slow-database-queries]", faults)?;
    if items.is_empty() {
        let hint = "leave it out where the diagnosis has questions of its own";
        attach.wrong("expected the name of at least one diagnosis", Some(hint.to_owned()), faults);
    }
    for item in items {
        let Some(diagnosis) = names.diagnosis(item, faults) else { continue };
        for probe in &diagnosis.probes {
            if all.iter().any(|other| other.name == probe.name) {
                let message = format!(
                    "{:?} asks {:?}, which this step asks already; expected each question once",
                    diagnosis.name, probe.name
                );
                faults.add(item.place(), message, Some("leave one of them out, or rename it".to_owned()));
                continue;
            }
            all.push(probe.clone());
        }
    }
    Some(std::mem::take(all))
}

fn remediation(
    title: Field<'_>,
    mut fields: Fields<'_>,
    runbook: Option<Mode>,
    about: About<'_>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Step> {
    let title = title.string(faults);
    let when = fields.get("when").map_or_else(Vec::new, |field| {
        if matches!(&field.node.value, Value::Map(entries) if entries.is_empty()) {
            let hint = "leave `when` out for a step that is always meant";
            field.wrong("expected at least one probe", Some(hint.to_owned()), faults);
        }
        probes(field, Scope::Target, names, scale, faults).0
    });
    let mode = fields.get("mode").and_then(|field| {
        let mode = field.word(&Mode::ALL, Mode::as_str, faults)?;
        if let Some(runbook) = runbook.filter(|runbook| mode > *runbook) {
            faults.warn(
                field.place(),
                format!("the step's mode {mode} is above the runbook's, {runbook}, and changes nothing; expected a lower one"),
                Some("the lowest mode counts".to_owned()),
            );
        }
        Some(mode)
    });
    let done = remedies::done(&mut fields, about.kinds, names, scale, faults);
    let is_elsewhere = done.as_ref().is_some_and(|done| done.remedy.action().is_elsewhere());
    let mode = mode.or(is_elsewhere.then_some(Mode::Ask));
    let within = fields.get("within");
    let verify = fields.need("verify", VERIFY).and_then(|field| verify(field, false, about, scale, faults));
    fields.end(faults);
    let (Done { remedy, restore, make_it_last }, verify) = (done?, verify?);
    let remedy = match within {
        Some(within) => remedies::bounded(within, remedy, names, faults)?,
        None => remedy,
    };
    let kind = StepKind::Remediate { remedy, restore, make_it_last, verify };
    Some(Step { title: title?, mode, when, kind })
}

fn verify(
    field: Field<'_>,
    expects: bool,
    about: About<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Verify> {
    let mut fields = Fields::of(field.node, "`verify`", faults)?;
    let within = fields.need("within", "within: 5m").and_then(|field| field.duration(faults));
    let hold_field = fields.need("hold", "hold: 1m");
    let hold = hold_field.and_then(|field| field.duration(faults));
    if let (Some(within), Some(hold), Some(field)) = (within, hold, hold_field)
        && hold > within
    {
        field.wrong(
            "expected at most as much as `within`, or no answer ever counts",
            Some("`hold` is for how long it must be good, `within` how long is waited for that".to_owned()),
            faults,
        );
    }
    let all_field = fields.need("all", "all: [{rollout: complete}]");
    let mut all = Vec::new();
    if let Some(field) = all_field
        && let Some(items) = field.list("all: [{probe: NAME, at_most: 0}, {rollout: complete}]", faults)
    {
        if items.is_empty() {
            let hint = "such as `{rollout: complete}`";
            field.wrong(
                "expected at least one condition, as none would always hold",
                Some(hint.to_owned()),
                faults,
            );
        }
        // What is waited for counts only as long as it has held; what was done, from its end on.
        let (longest, word) = if expects { (hold, "hold") } else { (within, "within") };
        for item in items {
            let check = check(item, about, scale, faults);
            if let (Some(check), Some(known), Some(longest)) = (&check, about.known, longest) {
                can_be_answered(item, check, known, (longest, word), faults);
            }
            all.extend(check);
        }
        let says_nothing = |check: &Check| match check {
            Check::Again { probe, .. } => about
                .known
                .and_then(|known| known.iter().find(|known| known.name == *probe))
                .is_some_and(|known| !known.tells_of_health),
            Check::RolloutComplete => false,
        };
        if !all.is_empty() && all.iter().all(says_nothing) {
            let hint =
                "add what shows that it works: `{rollout: complete}`, or a probe of pods, logs or an address";
            faults.add(field.place(), ONLY_ALERTS, Some(hint.to_owned()));
        }
    }
    fields.end(faults);
    Some(Verify { within: within? / scale, hold: hold? / scale, all })
}

/// A question that reaches further back than the time that counts would be unknown to the end.
fn can_be_answered(
    item: Field<'_>,
    check: &Check,
    known: &[Known],
    (longest, word): (Duration, &str),
    faults: &mut Faults,
) {
    let Check::Again { probe, .. } = check else { return };
    let reach = known.iter().find(|known| known.name == *probe).map_or(Duration::ZERO, |known| known.reach);
    if reach > longest {
        let (reach, longest) = (write_duration(reach), write_duration(longest));
        let message = format!(
            "{probe:?} looks {reach} back and `{word}` is {longest}, so it would also see the time before; expected a `{word}` of {reach} or more"
        );
        faults.add(item.place(), message, Some("or a shorter range in its query".to_owned()));
    }
}

fn check(item: Field<'_>, about: About<'_>, scale: u32, faults: &mut Faults) -> Option<Check> {
    let mut fields = Fields::of(item.node, "the condition", faults)?;
    let check = match (fields.get("probe"), fields.get("rollout")) {
        (Some(probe), None) => {
            let again = again(probe, &mut fields, about.known, scale, faults);
            fields.end(faults);
            return again;
        }
        (None, Some(rollout)) => {
            if let Some(kind) = about.kinds.and_then(|kinds| kinds.iter().find(|kind| !kind.is_workload())) {
                let message = format!("a {} has no rollout; expected a probe", kind.as_str());
                faults.add(rollout.key, message, Some("such as `{probe: NAME, at_most: 0}`".to_owned()));
            }
            rollout.word(&["complete"], |word| word, faults).map(|_| Check::RolloutComplete)
        }
        (Some(_), Some(second)) => {
            let message = "`probe` and `rollout` in one condition; expected one of them";
            faults.add(second.key, message, Some("write two items".to_owned()));
            return None;
        }
        (None, None) => {
            let message = "the condition has neither `probe` nor `rollout`; expected one of them";
            let hint = "such as `{probe: NAME, at_most: 0}` or `{rollout: complete}`";
            faults.add(fields.place, message, Some(hint.to_owned()));
            return None;
        }
    };
    fields.end(faults);
    check
}

fn again(
    probe: Field<'_>,
    fields: &mut Fields<'_>,
    known: Option<&[Known]>,
    scale: u32,
    faults: &mut Faults,
) -> Option<Check> {
    let name = probe.string(faults);
    let figures = known
        .zip(name.as_ref())
        .and_then(|(known, name)| known.iter().find(|known| known.name == *name)?.figures);
    let threshold = threshold_of(fields, figures, faults);
    let window_field = fields.get("window");
    let window: Option<Option<Duration>> = match window_field {
        Some(field) => window(field, scale, faults).map(Some),
        None => Some(None),
    };
    let name = name?;
    if let Some(known) = known {
        let known = expect_known(probe, &name, known, faults)?;
        if let Some(field) = window_field.filter(|_| !known.has_window) {
            let message = format!("`window` for {name:?}, which is about this moment; expected none");
            faults.add(field.key, message, Some("remove it".to_owned()));
        }
    }
    Some(Check::Again { probe: name, threshold: threshold?, window: window? })
}

/// The probe of this name in `confirm`; a fault when there is none.
pub(super) fn expect_known<'k>(
    field: Field<'_>,
    name: &str,
    known: &'k [Known],
    faults: &mut Faults,
) -> Option<&'k Known> {
    let found = known.iter().find(|known| known.name == name);
    if found.is_none() {
        let names: Vec<_> = known.iter().map(|known| known.name.as_str()).collect();
        let message =
            format!("there is no probe {name:?} in `confirm` or `probes`; expected the name of one");
        faults.add(field.place(), message, near_or_all(name, &names));
    }
    found
}
