//! From files to scenarios. Every fault of every file is named, with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Afterwards, Away, Broken, Expect, ExpectedAlert, ExpectedIncident, Fault, Lasts, Need, Record, Scenario,
};
use crate::incident::Outcome;
use crate::incident::refusal::Guard;
use crate::runbook::load::in_folder;
use crate::runbook::others::Reader;
use crate::runbook::{Action, Quantity};
use crate::yaml::{Document, Faults, Field, Fields, Value, parse, read_file};

/// The kind of document that holds a scenario.
pub const KIND: &str = "Scenario";
/// The folder beside the runbooks in which scenarios lie.
pub const FOLDER: &str = "scenarios";

const STEADY_WITHIN: Duration = Duration::from_mins(10);
/// An hour, and three days of a certificate: longer nobody watches.
const LONGEST: Duration = Duration::from_hours(4 * 24);
const WHY_LONGEST: &str = "somebody waits for it";
/// More alerts at once would be a test of Alertmanager.
const MOST_ALERTS: u64 = 5_000;

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
    let mut faults = Faults::new();
    let mut all = Vec::new();
    for file in files {
        let mut of_file = Faults::new();
        let text = read_file(file, &mut of_file);
        all.extend(
            text.map(|text| of_text(&text, file, (vars, runbooks, scale), &all, &mut of_file))
                .unwrap_or_default(),
        );
        faults.take_in(Some(file), of_file);
    }
    if faults.any() { Err(faults) } else { Ok(all) }
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
    let mut faults = Faults::new();
    let mut all = Vec::new();
    for (name, text) in texts {
        let mut of_file = Faults::new();
        all.extend(of_text(text, Path::new(name), (vars, runbooks, scale), &all, &mut of_file));
        faults.take_in(Some(Path::new(name)), of_file);
    }
    if faults.any() { Err(faults) } else { Ok(all) }
}

type Context<'c> = (Option<&'c BTreeMap<String, String>>, Option<&'c BTreeSet<String>>, u32);

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
        .map(|field| broken(field, reader, faults));
    let expected = fields
        .need("expect", "expect: {incidents: [{runbook: pod-crash, outcome: self_healed}]}")
        .and_then(|field| expect(field, runbooks, faults));
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

fn broken(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Vec<Broken> {
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
    let mut fields = Fields::of(item.node, "the fault", faults)?;
    let lasts = fields
        .get("lasts")
        .map_or(Some(Lasts::UntilMended), |field| field.word(&Lasts::ALL, Lasts::as_str, faults));
    let wait = fields
        .get("wait")
        .map_or(Some(Duration::ZERO), |field| field.duration_up_to(LONGEST, WHY_LONGEST, faults));
    let named: Vec<Field<'_>> = WORDS.iter().filter_map(|word| fields.get(word)).collect();
    if named.len() != 1 && !fields.has_almost(&WORDS) {
        let message = match named.len() {
            0 => "the fault does not say what is broken".to_owned(),
            number => format!("the fault breaks {number} things at once"),
        };
        let hint = "write one of them each, in the order in which they are broken";
        faults.add(
            item.place(),
            format!("{message}; expected one of {}", WORDS.join(", ")),
            Some(hint.to_owned()),
        );
    }
    let [field] = named.as_slice() else {
        fields.end(faults);
        return None;
    };
    let fault = fault(*field, reader, faults);
    let ends = fields.get("lasts");
    if let (Some(said), Some(fault), Some(Lasts::UntilClosed)) = (ends, &fault, lasts)
        && !fault.can_end()
    {
        let hint = "what somebody has changed stays so until it is mended";
        said.wrong("expected it at `flood`, `alerts` or `away` only", Some(hint.to_owned()), faults);
    }
    fields.end(faults);
    Some(Broken { wait: wait?, fault: fault?, lasts: lasts? })
}

fn fault(field: Field<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Fault> {
    let what = WORDS.into_iter().find(|word| *word == field.name)?;
    let mut fields = Fields::of(field.node, what, faults)?;
    let read = match what {
        "delete_pods" => delete_pods(&mut fields, reader, faults),
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

fn deployment(
    fields: &mut Fields<'_>,
    name: &'static str,
    reader: &mut Reader<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let field = fields.need(name, &format!("{name}: web"))?;
    reader.text(field, faults)
}

fn number(field: Field<'_>, least: u64, most: u64, faults: &mut Faults) -> Option<u32> {
    let value = field.whole(least, faults)?;
    if value > most {
        field.wrong(&format!("expected at most {most}"), None, faults);
        return None;
    }
    u32::try_from(value).ok()
}

fn quantity(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let text = field.string(faults)?;
    if text.parse::<Quantity>().is_err() {
        field.wrong("expected a quantity of memory such as 512Mi", None, faults);
        return None;
    }
    Some(text)
}

fn delete_pods(fields: &mut Fields<'_>, reader: &mut Reader<'_>, faults: &mut Faults) -> Option<Fault> {
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
    Some(Fault::DeletePods { deployment: deployment?, count })
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
    items.iter().filter_map(|item| item.word(&Outcome::ALL, Outcome::as_str, faults)).collect()
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
    let actions = words(fields.get("actions"), faults);
    let actions = actions.iter().filter_map(|item| item.word(&Action::ALL, Action::as_str, faults)).collect();
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
