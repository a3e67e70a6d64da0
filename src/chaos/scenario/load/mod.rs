//! From files to scenarios. Every fault of every file is named, with its place.

mod fault;
mod real;
mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Afterwards, Expect, ExpectedAlert, ExpectedIncident, Scenario};
use crate::incident::Outcome;
use crate::incident::refusal::Guard;
use crate::runbook::Action;
use crate::runbook::load::in_folder;
use crate::runbook::others::Reader;
use crate::yaml::{Document, Faults, Field, Fields, Value, parse, read_file};

/// The kind of document that holds a scenario.
pub const KIND: &str = "Scenario";
/// The folder beside the runbooks in which scenarios lie.
pub const FOLDER: &str = "scenarios";

const STEADY_WITHIN: Duration = Duration::from_mins(10);
/// An hour, and three days of a certificate: longer nobody watches.
const LONGEST: Duration = Duration::from_hours(4 * 24);
const WHY_LONGEST: &str = "somebody waits for it";

/// The files with scenarios that belong to these paths of runbooks: those in the folder `scenarios` of each folder.
///
/// # Errors
/// A folder that can not be read.
pub fn beside(rules: &[PathBuf]) -> Result<Vec<PathBuf>, Faults> {
    let mut faults = Faults::new();
    let mut all = Vec::new();
    for folder in rules.iter().map(|path| path.join(FOLDER)).filter(|folder| folder.exists()) {
        match in_folder(&folder) {
            Ok(found) => all.extend(found),
            Err(error) => {
                let message = format!("the folder can not be read: {error}; expected scenarios in it");
                faults.whole(Some(&folder), message, None);
            }
        }
    }
    if faults.any() { Err(faults) } else { Ok(all) }
}

/// Reads files with scenarios. `vars` is as for runbooks; `runbooks` are the names that can be expected, where they are known. `scale` divides
/// the durations of the checks; those of the scenario itself stay as they are written.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn load(
    files: &[PathBuf],
    vars: Option<&BTreeMap<String, String>>,
    runbooks: Option<&BTreeSet<String>>,
    scale: u32,
) -> Result<Vec<Scenario>, Faults> {
    let texts = files.iter().map(|file| (file.as_path(), move |faults: &mut Faults| read_file(file, faults)));
    of_texts(texts, (vars, runbooks, scale))
}

/// Reads the scenarios of texts that have a name each, as [`load`] does.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn load_texts(
    texts: &[(&str, &str)],
    vars: Option<&BTreeMap<String, String>>,
    runbooks: Option<&BTreeSet<String>>,
    scale: u32,
) -> Result<Vec<Scenario>, Faults> {
    let texts = texts.iter().map(|(name, text)| (Path::new(name), move |_: &mut Faults| Some(*text)));
    of_texts(texts, (vars, runbooks, scale))
}

type Context<'c> = (Option<&'c BTreeMap<String, String>>, Option<&'c BTreeSet<String>>, u32);

/// Reads one text after the other; each gets its own faults, those of getting at it among them.
fn of_texts<'f, T: AsRef<str>>(
    texts: impl Iterator<Item = (&'f Path, impl FnOnce(&mut Faults) -> Option<T>)>,
    context: Context<'_>,
) -> Result<Vec<Scenario>, Faults> {
    let mut faults = Faults::new();
    let mut all = Vec::new();
    for (file, text) in texts {
        let mut of_file = Faults::new();
        if let Some(text) = text(&mut of_file) {
            all.extend(of_text(text.as_ref(), file, context, &all, &mut of_file));
        }
        faults.take_in(Some(file), of_file);
    }
    if faults.any() { Err(faults) } else { Ok(all) }
}

fn of_text(
    text: &str,
    file: &Path,
    (vars, runbooks, scale): Context<'_>,
    before: &[Scenario],
    faults: &mut Faults,
) -> Vec<Scenario> {
    let documents = parse(text, faults);
    if documents.is_empty() && !faults.any() {
        let hint = format!("a scenario begins with `apiVersion: runbookd.dev/v1` and `kind: {KIND}`");
        faults.whole(None, "there is no document in the file; expected a scenario", Some(hint));
    }
    let mut found: Vec<Scenario> = Vec::new();
    for document in &documents {
        let mut reader = Reader::new(vars, scale);
        if let Some((scenario, place)) = scenario(document, file, &mut reader, runbooks, faults) {
            if before.iter().chain(&found).any(|other| other.name == scenario.name) {
                let message = format!(
                    "another scenario has the name {:?} already; expected a name of its own",
                    scenario.name
                );
                faults.add(place, message, None);
            }
            found.push(scenario);
        }
    }
    found
}

fn scenario(
    document: &Document,
    file: &Path,
    reader: &mut Reader<'_>,
    runbooks: Option<&BTreeSet<String>>,
    faults: &mut Faults,
) -> Option<(Scenario, crate::yaml::Place)> {
    let before = faults.count();
    let mut fields = Fields::of(&document.root, "the scenario", faults)?;
    let (name, summary) = reader.head(&mut fields, KIND, faults);
    let steady = fields
        .need("steady", "steady: {checks: {pods: {pods: unhealthy, namespace: shop, at_most: 0}}}")
        .map(|field| steady(field, reader, faults));
    let broken = fields
        .need("fault", "fault: [{delete_pods: {deployment: web, count: 1}}]")
        .map(|field| fault::broken(field, reader, faults));
    let expected = fields
        .need("expect", "expect: {incidents: [{runbook: pod-crash, outcome: self_healed}]}")
        .and_then(|field| expect(field, runbooks, faults));
    let synthetic = fields.get("synthetic").map(|field| synthetic::read(field, reader, runbooks, faults));
    let real = fields.get("real").map(|field| real::read(field, reader, faults));
    fields.end(faults);
    if faults.count() > before {
        return None;
    }
    let ((name, place), summary, (within, checks)) = (name?, summary?, steady??);
    let steady = reader.verification(&name, &summary, checks, document);
    let scenario = Scenario {
        steady,
        steady_within: within,
        faults: broken?,
        expect: expected?,
        synthetic: match synthetic {
            Some(synthetic) => Some(synthetic?),
            None => None,
        },
        real: real.unwrap_or_default(),
        name,
        summary,
        file: file.to_owned(),
    };
    Some((scenario, place))
}

fn steady(
    field: Field<'_>,
    reader: &mut Reader<'_>,
    faults: &mut Faults,
) -> Option<(Duration, Vec<crate::runbook::Named>)> {
    let mut fields = Fields::of(field.node, "`steady`", faults)?;
    let within = within(&mut fields, STEADY_WITHIN, faults);
    let checks = fields
        .need("checks", "checks: {pods: {pods: unhealthy, namespace: shop, at_most: 0}}")
        .map(|field| reader.checks(field, faults));
    fields.end(faults);
    Some((within?, checks?))
}

fn within(fields: &mut Fields<'_>, or: Duration, faults: &mut Faults) -> Option<Duration> {
    fields.get("within").map_or(Some(or), |field| field.duration_up_to(LONGEST, WHY_LONGEST, faults))
}

fn expect(field: Field<'_>, runbooks: Option<&BTreeSet<String>>, faults: &mut Faults) -> Option<Expect> {
    let mut fields = Fields::of(field.node, "`expect`", faults)?;
    let alert = fields.get("alert").map(|field| expected_alert(field, faults));
    let example = "incidents: [{runbook: pod-crash, outcome: self_healed}]";
    let incidents = fields.need("incidents", example).map(|field| not_empty(field, example, faults));
    let incidents: Vec<_> = incidents
        .unwrap_or_default()
        .into_iter()
        .filter_map(|item| expected_incident(item, runbooks, faults))
        .collect();
    let mut others = Vec::new();
    if let Some(field) = fields.get("others") {
        for item in field.list("others: [pod-crash]", faults).unwrap_or_default() {
            others.extend(runbook(item, runbooks, faults));
        }
    }
    let changes = fields.get("changes").map(|field| field.whole(0, faults));
    let put_back = fields.get("put_back_after").map(|field| field.duration_or_zero(faults));
    let afterwards = fields
        .need("afterwards", "afterwards: steady")
        .and_then(|field| field.word(&Afterwards::ALL, Afterwards::as_str, faults));
    fields.end(faults);
    Some(Expect {
        alert: match alert {
            Some(alert) => Some(alert?),
            None => None,
        },
        incidents,
        others,
        changes: match changes {
            Some(number) => Some(usize::try_from(number?).ok()?),
            None => None,
        },
        put_back_after: match put_back {
            Some(after) => Some(after?),
            None => None,
        },
        afterwards: afterwards?,
    })
}

fn expected_alert(field: Field<'_>, faults: &mut Faults) -> Option<ExpectedAlert> {
    let mut fields = Fields::of(field.node, "`alert`", faults)?;
    let example = "one_of: [High5xxRate]";
    let mut one_of = Vec::new();
    if let Some(field) = fields.need("one_of", example) {
        let items = not_empty(field, example, faults);
        one_of.extend(items.iter().filter_map(|item| item.string(faults)));
    }
    let within = within(&mut fields, Duration::from_mins(10), faults);
    let may_heal_first = fields.get("may_heal_first").map_or(Some(false), |field| field.boolean(faults));
    fields.end(faults);
    Some(ExpectedAlert { one_of, within: within?, may_heal_first: may_heal_first? })
}

fn runbook(field: Field<'_>, runbooks: Option<&BTreeSet<String>>, faults: &mut Faults) -> Option<String> {
    let name = field.string(faults)?;
    if let Some(known) = runbooks
        && !known.contains(&name)
    {
        let near = crate::yaml::did_you_mean(&name, known.iter().map(String::as_str));
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        faults.add(
            field.place(),
            format!("there is no runbook {name:?} here; expected the name of one"),
            hint,
        );
        return None;
    }
    Some(name)
}

/// One, or a list of which one must be.
fn outcomes(field: Field<'_>, faults: &mut Faults) -> Vec<Outcome> {
    let items = match &field.node.value {
        Value::List(_) => not_empty(field, "[recovered, self_healed]", faults),
        Value::Scalar(_) | Value::Map(_) => vec![field],
    };
    // No runbook's incident ends as the word of a fault.
    let ends: Vec<Outcome> =
        Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Injected).collect();
    items.iter().filter_map(|item| item.word(&ends, Outcome::as_str, faults)).collect()
}

/// The items of a list that must have some.
fn not_empty<'n>(field: Field<'n>, example: &str, faults: &mut Faults) -> Vec<Field<'n>> {
    let items = field.list(example, faults);
    if items.as_ref().is_some_and(Vec::is_empty) {
        field.wrong("expected at least one", Some(format!("such as `{example}`")), faults);
    }
    items.unwrap_or_default()
}

fn words<'n>(field: Option<Field<'n>>, faults: &mut Faults) -> Vec<Field<'n>> {
    field.and_then(|field| field.list("[restart]", faults)).unwrap_or_default()
}

fn actions(field: Option<Field<'_>>, faults: &mut Faults) -> Vec<Action> {
    let named = words(field, faults);
    named.iter().filter_map(|item| item.word(&Action::ALL, Action::as_str, faults)).collect()
}

fn expected_incident(
    item: Field<'_>,
    runbooks: Option<&BTreeSet<String>>,
    faults: &mut Faults,
) -> Option<ExpectedIncident> {
    let mut fields = Fields::of(item.node, "the incident", faults)?;
    let name =
        fields.need("runbook", "runbook: pod-crash").and_then(|field| runbook(field, runbooks, faults));
    let outcomes = fields.need("outcome", "outcome: recovered").map(|field| outcomes(field, faults));
    let within = within(&mut fields, Duration::from_hours(1), faults);
    let actions = actions(fields.get("actions"), faults);
    let guards = words(fields.get("refused_by"), faults);
    let refused_by = guards.iter().filter_map(|item| item.word(&Guard::ALL, Guard::as_str, faults)).collect();
    let behind = fields.get("stands_back_behind").map(|field| runbook(field, runbooks, faults));
    fields.end(faults);
    Some(ExpectedIncident {
        runbook: name?,
        outcomes: outcomes?,
        within: within?,
        actions,
        refused_by,
        stands_back_behind: match behind {
            Some(name) => Some(name?),
            None => None,
        },
    })
}
