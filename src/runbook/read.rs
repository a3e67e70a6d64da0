//! Reads one document into a runbook, and checks everything that can be known from the document alone.

use std::time::Duration;

use super::links::links;
use super::names::{Names, Scope, is_label, own_name};
use super::others::at_least_one;
use super::probes::{CountBy, Known, probes};
use super::steps::{About, expect_known, steps};
use super::{
    Each, Escalate, Kind, Limits, Mode, Named, Object, Part, Rate, Runbook, Step, StepKind, Targets, Template,
};
use crate::alert::Matcher;
use crate::yaml::{Faults, Field, Fields, Node, Place, Value};

/// What every document says of itself.
pub(super) const API_VERSION: &str = "runbookd.dev/v1";
/// The kind of document that holds a runbook.
pub(super) const KIND: &str = "Runbook";

/// The ledger, which the limits are counted in, keeps this much.
const LEDGER: Duration = Duration::from_hours(7 * 24);
const WHY_LEDGER: &str = "the journal keeps what was done for 7d";

/// A runbook without what identifies its version, and what others must know of it.
#[derive(Debug)]
pub(super) struct Draft {
    /// The runbook; none when something is wrong with it.
    pub(super) runbook: Option<Runbook>,
    /// Its name and where that stood, also when something is wrong.
    pub(super) name: Option<(String, Place)>,
    /// Where its matchers stood.
    pub(super) alerts: Place,
    /// The runbooks that it stands back behind, and where each was named.
    pub(super) defer_to: Vec<(String, Place)>,
}

/// What stands for a runbook where something is put back, and where a drill announces a fault.
const RESERVED: [&str; 2] = ["restore", "inject"];

/// Reads a document; `scale` divides its durations.
pub(super) fn draft(root: &Node, names: &mut Names<'_>, scale: u32, faults: &mut Faults) -> Draft {
    let scale = scale.max(1);
    let before = faults.count();
    let mut draft = Draft { runbook: None, name: None, alerts: root.place, defer_to: Vec::new() };
    let Some(mut fields) = Fields::of(root, "the runbook", faults) else { return draft };
    if !is_runbook(&mut fields, faults) {
        fields.end_without_unknown(faults);
        return draft;
    }
    let name = fields.need("name", "name: database-pool-exhaustion").and_then(|field| {
        let name = own_name(&field, faults)?;
        if RESERVED.contains(&name.as_str()) {
            let hint = "runbookd's own incidents, which put something back or announce a fault, are counted under it";
            field.wrong("expected another name", Some(hint.to_owned()), faults);
            return None;
        }
        draft.name = Some((name.clone(), field.place()));
        Some(name)
    });
    let example = "summary: one sentence for the person who is told";
    let summary = fields.need("summary", example).and_then(|field| field.string(faults));
    let mode = match fields.get("mode") {
        Some(field) => field.word(&Mode::ALL, Mode::as_str, faults),
        None => Some(Mode::Shadow),
    };
    let said = fields.get("on_demand").map_or(Some(false), |field| field.boolean(faults));
    let on_demand = said != Some(false);
    let example = "alerts: ['alertname=\"High5xxRate\"']";
    let alerts = match said {
        Some(true) => fields.get("alerts").map_or(Some(Vec::new()), |field| no_alerts(field, faults)),
        Some(false) => fields.need("alerts", example).and_then(|field| {
            draft.alerts = field.place();
            alerts(field, faults)
        }),
        // Nobody knows whether they are missing: one mistake is one fault.
        None => fields.get("alerts").and_then(|field| alerts(field, faults)),
    };
    let goes_on = fields.get("continue").map_or(Some(false), |field| field.boolean(faults));
    let group_by = match fields.get("group_by") {
        Some(field) => group_by(field, faults),
        // Whatever it names: known when all is read.
        None if on_demand => Some(Vec::new()),
        None => Some(vec!["alertname".to_owned(), "namespace".to_owned()]),
    };
    // One person gives every label once.
    if let (Some(group_by), Some(alerts), false) = (&group_by, &alerts, on_demand) {
        names.set_agreed(group_by, alerts);
    }
    if let Some(field) = fields.get("defer_to") {
        for item in field.list("defer_to: [node-failure]", faults).unwrap_or_default() {
            draft.defer_to.extend(item.string(faults).map(|other| (other, item.place())));
        }
    }
    // Without a readable `confirm`, nobody can say which probes there are.
    let mut known = None;
    let mut confirm = Vec::new();
    if let Some(field) = fields.need("confirm", "confirm: {pool_errors: {loki: ...}}") {
        let is_readable = matches!(&field.node.value, Value::Map(entries) if !entries.is_empty());
        let (named, found) = probes(field, Scope::Alert, names, scale, faults);
        at_least_one(&field, "nothing is done without evidence: name at least one probe", faults);
        confirm = named;
        known = is_readable.then_some(found);
    }
    let confirm_within_field = fields.get("confirm_within");
    let confirm_within =
        confirm_within_field.map_or(Some(Duration::from_mins(2)), |field| field.duration_or_zero(faults));
    let deadline =
        fields.get("deadline").map_or(Some(Duration::from_hours(1)), |field| field.duration(faults));
    if let (Some(field), Some(within), Some(deadline)) = (confirm_within_field, confirm_within, deadline)
        && within > deadline
    {
        field.wrong(
            "expected less than `deadline`",
            Some("the incident is closed by then".to_owned()),
            faults,
        );
    }
    let example = "targets: {deployment: \"${labels.deployment}\"}";
    let targets =
        fields.need("targets", example).and_then(|field| targets(field, known.as_deref(), names, faults));
    // Only now is it known what `each:` goes through.
    let probes = fields.get("probes").map(|field| further(field, known.as_mut(), names, scale, faults));
    let kinds = targets.as_ref().map(|targets| targets.object.kinds());
    let about = About { known: known.as_deref(), kinds };
    let example = "steps: [{remediate: restart the pods, restart: {}, verify: ...}]";
    let steps = fields.need("steps", example).map(|field| steps(field, mode, about, names, scale, faults));
    let limits = limits(fields.get("limits"), scale, faults);
    if let (Some(deadline), Some(steps)) = (deadline, &steps) {
        let waits =
            |step: &Step| matches!(&step.kind, StepKind::Expect(verify) if verify.within * scale >= deadline);
        if let Some(step) = steps.iter().find(|step| waits(step)) {
            faults.add(
                root.place,
                format!(
                    "{:?} is waited for until the `deadline` or longer; expected a shorter `within`",
                    step.title
                ),
                Some("nothing is begun after the deadline".to_owned()),
            );
        }
    }
    let escalate = match fields.get("escalate") {
        Some(field) => escalate(field, names, faults),
        None => Some(Escalate::default()),
    };
    // A link that has no value is left out.
    let labels = names.labels.clone();
    let links = fields.get("links").map_or_else(Vec::new, |field| links(field, names, faults));
    fields.end(faults);
    if faults.count() > before {
        return draft;
    }
    draft.runbook = (|| {
        Some(Runbook {
            name: name?,
            hash: super::Hash(String::new()),
            source: String::new(),
            summary: summary?,
            mode: mode?,
            alerts: alerts?,
            goes_on: goes_on?,
            group_by: match group_by? {
                // An empty list that was written is a fault.
                none if none.is_empty() => labels.iter().cloned().collect(),
                group_by => group_by,
            },
            defer_to: draft.defer_to.iter().map(|(other, _)| other.clone()).collect(),
            confirm,
            probes: probes.unwrap_or_default(),
            confirm_within: confirm_within? / scale,
            deadline: deadline? / scale,
            targets: targets?,
            steps: steps?,
            limits: limits?,
            escalate: escalate?,
            links,
            vars: names.used.clone(),
            labels,
            clues: names.clues.clone(),
            time_scale: scale,
        })
    })();
    draft
}

/// Reads `probes:`, which only a `verify` asks.
fn further(
    field: Field<'_>,
    known: Option<&mut Vec<Known>>,
    names: &mut Names<'_>,
    scale: u32,
    faults: &mut Faults,
) -> Vec<Named> {
    let (named, found) = probes(field, Scope::Target, names, scale, faults);
    let Some(known) = known else { return named };
    for probe in &found {
        if known.iter().any(|other| other.name == probe.name) {
            let message = format!("{:?} is a probe of `confirm`, too; expected another name", probe.name);
            faults.add(field.place(), message, Some("a `verify` names both in the same way".to_owned()));
        }
    }
    known.extend(found);
    named
}

/// Whether the document says that it is a runbook. Another kind or version has other fields: their faults would say nothing.
fn is_runbook(fields: &mut Fields<'_>, faults: &mut Faults) -> bool {
    let mut is_ours = true;
    for (name, only) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let field = fields.need(name, &format!("{name}: {only}"));
        let is_this =
            |field: Field<'_>, faults: &mut Faults| field.word(&[only], |word| word, faults).is_some();
        is_ours &= field.is_none_or(|field| is_this(field, faults));
    }
    is_ours
}

/// Every runbook can be begun by hand; `on_demand` says that this one is begun in no other way.
fn no_alerts(field: Field<'_>, faults: &mut Faults) -> Option<Vec<Matcher>> {
    let items = field.list("alerts: []", faults)?;
    if !items.is_empty() {
        let hint = "every runbook can be begun by hand: leave `on_demand` out, or `alerts`";
        field.wrong("expected none beside `on_demand: true`", Some(hint.to_owned()), faults);
    }
    Some(Vec::new())
}

fn alerts(field: Field<'_>, faults: &mut Faults) -> Option<Vec<Matcher>> {
    let items = field.list("alerts: ['alertname=\"High5xxRate\"']", faults)?;
    let written = items.len();
    if items.is_empty() {
        let hint = "empty never means all; name the alert, such as `'alertname=\"High5xxRate\"'`, or write `on_demand: true` when only a person begins it";
        field.wrong("expected at least one matcher", Some(hint.to_owned()), faults);
        return None;
    }
    let mut matchers = Vec::new();
    for item in items {
        let Some(scalar) = item.text(faults) else { continue };
        match Matcher::parse(&scalar.text) {
            Ok(matcher) => matchers.push(matcher),
            Err(error) => faults.add(
                scalar.place_of(error.at),
                format!(
                    "in the matcher {:?}: {}",
                    crate::text::cut(&scalar.text, 60),
                    one_line(&error.message)
                ),
                Some("one matcher an item, as in Alertmanager: 'alertname=\"High5xxRate\"'".to_owned()),
            ),
        }
    }
    if matchers.len() == written && matchers.iter().all(Matcher::holds_for_nothing) {
        faults.add(
            field.place(),
            "every matcher also holds for an alert without that label; expected one that names what is answered",
            Some("add the alert's name: 'alertname=\"High5xxRate\"'".to_owned()),
        );
    }
    Some(matchers)
}

/// The regex crate draws a picture of several lines; the last one says what is wrong.
pub(super) fn one_line(message: &str) -> String {
    match (message.split_once('\n'), message.rsplit_once("error: ")) {
        (Some((first, _)), Some((_, last))) if first.starts_with("not a regular expression") => {
            format!("not a regular expression: {last}")
        }
        _ => message.replace('\n', " "),
    }
}

fn group_by(field: Field<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    let items = field.list("group_by: [alertname, namespace]", faults)?;
    if items.is_empty() {
        let hint = "leave it out for [alertname, namespace]";
        field.wrong(
            "expected at least one label, else all alerts are one incident",
            Some(hint.to_owned()),
            faults,
        );
    }
    let mut labels: Vec<String> = Vec::new();
    for item in items {
        let Some(label) = item.string(faults) else { continue };
        if !is_label(&label) {
            item.wrong("expected the name of a label: letters, digits and `_`", None, faults);
        } else if labels.contains(&label) {
            item.wrong("expected each label once", None, faults);
        } else {
            labels.push(label);
        }
    }
    Some(labels)
}

fn targets(
    field: Field<'_>,
    known: Option<&[Known]>,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Targets> {
    let mut fields = Fields::of(field.node, "`targets`", faults)?;
    let each = fields.get("each").map(|field| each(field, known, names, faults));
    let namespace = match fields.get("namespace") {
        Some(field) => names.template(field, Scope::Target, faults),
        None => {
            names.labels.insert("namespace".to_owned());
            Some(Template { parts: vec![Part::Placeholder("labels.namespace".to_owned())] })
        }
    };
    let object = object(&mut fields, names, faults);
    fields.end(faults);
    let each = match each {
        Some(each) => Some(each?),
        None => None,
    };
    Some(Targets { each, namespace: namespace?, object: object? })
}

/// The word for the owner of a pod.
const OWNER_OF_POD: &str = "owner_of_pod";

/// The one field of `targets` that names the object.
fn object(fields: &mut Fields<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<Object> {
    let words = Kind::ALL.map(Kind::as_str).into_iter().chain([OWNER_OF_POD]);
    let found: Vec<_> = words.clone().filter_map(|word| Some((word, fields.get(word)?))).collect();
    let [(word, field)] = found.as_slice() else {
        match found.get(1) {
            Some((second, field)) => {
                let message = format!("`{}` and `{second}` in `targets`; expected one of them", found[0].0);
                faults.add(field.key, message, None);
            }
            None if fields.has_almost(&words.clone().collect::<Vec<_>>()) => {}
            None => {
                let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
                let message = format!("`targets` names no object; expected one of {}", words.join(", "));
                let hint = "such as `deployment: \"${labels.deployment}\"`";
                faults.add(fields.place, message, Some(hint.to_owned()));
            }
        }
        return None;
    };
    let template = names.template(*field, Scope::Target, faults)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == *word);
    Some(kind.map_or(Object::OwnerOfPod(template.clone()), |kind| Object::Named(kind, template)))
}

fn each(
    field: Field<'_>,
    known: Option<&[Known]>,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Each> {
    let text = field.string(faults)?;
    let Some((probe, label)) = text.split_once('.') else {
        let hint = "the probe and the label that it counts by, such as pool_errors.app";
        field.wrong("expected `PROBE.LABEL`", Some(hint.to_owned()), faults);
        return None;
    };
    // Known from here on even when something is wrong with it, so that one mistake is one fault.
    names.set_each(label);
    let each = Each { probe: probe.to_owned(), label: label.to_owned() };
    let Some(known) = known else { return Some(each) };
    let counted = expect_known(field, probe, known, faults)?;
    let (message, hint) = match &counted.count_by {
        CountBy::Unreadable => return Some(each),
        CountBy::Label(counted) if counted == label => return Some(each),
        CountBy::Label(other) => (
            format!("`{probe}` counts by {other:?}; expected `{probe}.{other}`"),
            format!("write `each: {probe}.{other}`, or change its `count_by`"),
        ),
        CountBy::None => (
            format!("`{probe}` does not count by {label:?}; expected a probe with `count_by: {label}`"),
            format!("add `count_by: {label}` to it"),
        ),
    };
    faults.add(field.place(), message, Some(hint));
    None
}

fn limits(field: Option<Field<'_>>, scale: u32, faults: &mut Faults) -> Option<Limits> {
    let mut cooldown = Some(Duration::from_mins(15));
    let mut rate = Some((3, Duration::from_hours(1)));
    if let Some(field) = field {
        let mut fields = Fields::of(field.node, "`limits`", faults)?;
        if let Some(field) = fields.get("cooldown") {
            cooldown = field.duration_up_to(LEDGER, WHY_LEDGER, faults);
        }
        if let Some(field) = fields.get("rate") {
            rate = field.rate(LEDGER, WHY_LEDGER, faults);
        }
        fields.end(faults);
    }
    let (count, per) = rate?;
    Some(Limits { cooldown: cooldown? / scale, rate: Rate { count, per: per / scale } })
}

fn escalate(field: Field<'_>, names: &mut Names<'_>, faults: &mut Faults) -> Option<Escalate> {
    let mut fields = Fields::of(field.node, "`escalate`", faults)?;
    let slack = fields.get("slack").map(|field| {
        let template = names.template(field, Scope::Installation, faults)?;
        // Without a configuration the channel stays as it was written, for whoever reads it.
        let written = field.string(faults)?;
        let value_of = |path: &str| names.used.get(path.strip_prefix("vars.")?).cloned();
        Some(template.with(value_of).unwrap_or(written))
    });
    fields.end(faults);
    match slack {
        Some(slack) => Some(Escalate { slack: Some(slack?) }),
        None => Some(Escalate::default()),
    }
}
