//! What a runbook may refer to in placeholders: the alert's labels, the configuration's `vars:`, and the value that `each:` goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::load::{Objection, Objects, Wants};
use super::shared::{Kind, Shared};
use super::{Diagnosis, Probe, Template, Verification};
use crate::alert::Matcher;
use crate::yaml::{Faults, Field, Place, did_you_mean};

/// The names that one document may use, and those that it does.
pub(super) struct Names<'v> {
    /// The configuration's `vars:`; none when there is no configuration, and then every name is believed.
    vars: Option<&'v BTreeMap<String, String>>,
    /// What the configuration has against a probe.
    objection: Option<Objects<'v>>,
    /// The label of `each:`.
    each: Option<String>,
    /// The labels in which the alerts of one incident can not differ; none while nobody knows.
    agreed: Option<BTreeSet<String>>,
    /// The variables that were named.
    pub(super) used: BTreeMap<String, String>,
    /// The variables that were believed.
    pub(super) believed: BTreeSet<String>,
    /// The documents that can be named; none where none can.
    shared: Option<&'v [Shared]>,
    /// The verifications that are asked.
    pub(super) verified: Vec<Arc<Verification>>,
    /// The diagnoses that are attached.
    pub(super) attached: Vec<Arc<Diagnosis>>,
    /// Whether what is read is for people only.
    diagnosing: bool,
    /// The labels that `${labels.NAME}` names.
    pub(super) labels: BTreeSet<String>,
    /// The labels of lines that `${evidence.NAME}` names.
    pub(super) clues: BTreeSet<String>,
}

/// Where a placeholder stands, which decides what is known there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// In a question that is asked before the targets are known.
    Alert,
    /// In what concerns one target.
    Target,
    /// In what is the same for every alert.
    Installation,
}

impl<'v> Names<'v> {
    pub(super) fn new(vars: Option<&'v BTreeMap<String, String>>) -> Self {
        Self {
            vars,
            objection: None,
            each: None,
            agreed: None,
            used: BTreeMap::new(),
            believed: BTreeSet::new(),
            shared: None,
            verified: Vec::new(),
            attached: Vec::new(),
            diagnosing: false,
            labels: BTreeSet::new(),
            clues: BTreeSet::new(),
        }
    }

    /// The same names, with what the configuration has against a probe.
    pub(super) fn with_objection(self, objection: Option<Objects<'v>>) -> Self {
        Self { objection, ..self }
    }

    /// Notes what the configuration has against a probe.
    pub(super) fn object(&self, probe: &Probe, place: Place, faults: &mut Faults) {
        self.object_to(Wants::Probe(probe), place, faults);
    }

    /// Notes what the configuration has against this.
    pub(super) fn object_to(&self, wants: Wants<'_>, place: Place, faults: &mut Faults) {
        match self.objection.and_then(|objection| objection(wants)) {
            Some(Objection { message, hint, is_left_out: true }) => faults.warn(place, message, Some(hint)),
            Some(Objection { message, hint, is_left_out: false }) => faults.add(place, message, Some(hint)),
            None => {}
        }
    }

    /// The value of a variable that was checked.
    pub(super) fn value(&self, path: &str) -> Option<String> {
        self.used.get(path.strip_prefix("vars.")?).cloned()
    }

    /// The same names, with the documents that can be named.
    pub(super) fn with_shared(self, known: &'v [Shared]) -> Self {
        Self { shared: Some(known), ..self }
    }

    /// The verification of this name, with the variables that it uses.
    pub(super) fn verification(
        &mut self,
        field: Field<'_>,
        faults: &mut Faults,
    ) -> Option<Arc<Verification>> {
        let Some(known) = self.shared else {
            field.wrong("expected other probes: a verification holds none of its own kind", None, faults);
            return None;
        };
        let known = known.iter().filter_map(|one| match one {
            Shared::Verification(one) => Some((one.name.as_str(), one)),
            Shared::Diagnosis(_) => None,
        });
        let found = named(Kind::Verification, known, field, faults)?;
        self.used.extend(found.vars.clone());
        if !self.verified.iter().any(|other| other.name == found.name) {
            self.verified.push(Arc::clone(found));
        }
        Some(Arc::clone(found))
    }

    /// The diagnosis of this name, with the variables that it uses and what it wants to know of the evidence.
    pub(super) fn diagnosis(&mut self, field: Field<'_>, faults: &mut Faults) -> Option<Arc<Diagnosis>> {
        let known = self.shared.unwrap_or_default().iter().filter_map(|one| match one {
            Shared::Diagnosis(one) => Some((one.name.as_str(), one)),
            Shared::Verification(_) => None,
        });
        let found = named(Kind::Diagnosis, known, field, faults)?;
        self.used.extend(found.vars.clone());
        self.clues.extend(found.clues.clone());
        if !self.attached.iter().any(|other| other.name == found.name) {
            self.attached.push(Arc::clone(found));
        }
        Some(Arc::clone(found))
    }

    /// Whether what is read from here on is for people only: a question to Loki may then name what others have found.
    pub(super) const fn set_diagnosing(&mut self, diagnosing: bool) {
        self.diagnosing = diagnosing;
    }

    /// Whether it is.
    pub(super) const fn is_diagnosing(&self) -> bool {
        self.diagnosing
    }

    /// Notes a placeholder in a log query. In a diagnosis it can also name a label of the lines that were found before: what somebody wrote into a log
    /// line chooses what people are shown, and neither a target nor whether anything is done.
    pub(super) fn check_in_logs(&mut self, path: &str, scope: Scope, place: Place, faults: &mut Faults) {
        match path.strip_prefix("evidence.") {
            Some(label) if self.diagnosing && is_label(label) => {
                self.clues.insert(label.to_owned());
            }
            _ => self.check(path, scope, place, faults),
        }
    }

    /// From here on `${each.LABEL}` is known.
    pub(super) fn set_each(&mut self, label: &str) {
        self.each = Some(label.to_owned());
    }

    /// From here on it is known in which labels the alerts of one incident agree: those that they are grouped by, and those of which the
    /// runbook answers one value only.
    pub(super) fn set_agreed(&mut self, group_by: &[String], alerts: &[Matcher]) {
        let fixed = |matcher: &&Matcher| matcher.to_string().starts_with(&format!("{}=\"", matcher.label()));
        let fixed = alerts.iter().filter(fixed).map(|matcher| matcher.label().to_owned());
        self.agreed = Some(group_by.iter().cloned().chain(fixed).collect());
    }

    /// Reads a text with placeholders, and checks each of them.
    pub(super) fn template(
        &mut self,
        field: Field<'_>,
        scope: Scope,
        faults: &mut Faults,
    ) -> Option<Template> {
        let scalar = field.text(faults)?;
        match Template::parse(&scalar.text) {
            Ok(template) => {
                for (path, at) in template.placeholders() {
                    self.check(path, scope, scalar.place_of(at), faults);
                }
                Some(template)
            }
            Err(wrong) => {
                for fault in wrong {
                    faults.add(scalar.place_of(fault.at), fault.message, Some(EXAMPLES.to_owned()));
                }
                None
            }
        }
    }

    /// Notes that a placeholder is used, and whether there is such a thing.
    pub(super) fn check(&mut self, path: &str, scope: Scope, place: Place, faults: &mut Faults) {
        let (root, name) = path.split_once('.').unwrap_or((path, ""));
        match (root, scope) {
            ("vars", _) if !name.is_empty() => self.variable(name, place, faults),
            ("labels", Scope::Alert | Scope::Target) if is_label(name) => {
                self.labels.insert(name.to_owned());
                if self.agreed.as_ref().is_some_and(|agreed| !agreed.contains(name)) {
                    faults.warn(
                        place,
                        format!("`${{labels.{name}}}` has no value when the alerts of one incident differ in it; expected a label that they are grouped by"),
                        Some(format!("add {name} to `group_by`")),
                    );
                }
            }
            ("each", Scope::Target) => self.each_value(name, place, faults),
            ("each", Scope::Alert) => faults.add(
                place,
                format!("`${{{path}}}` is not known here; expected labels or vars, as `confirm` is asked before there are targets"),
                Some("count by the label instead (`count_by:`): every value is then held against the threshold on its own".to_owned()),
            ),
            ("target", _) if self.diagnosing && matches!(name, "namespace" | "name") => {}
            ("target", _) => faults.add(
                place,
                format!("`${{{path}}}` is not known here; expected `${{target.namespace}}` or `${{target.name}}`, in a diagnosis"),
                Some("only there is it known what would be acted on".to_owned()),
            ),
            ("evidence", _) => faults.add(
                place,
                format!("`${{{path}}}` is not known here; expected it in a `loki` query of a diagnosis, as `${{evidence.trace_id}}`"),
                Some("what stands in a log line shows people more, and decides nothing".to_owned()),
            ),
            (_, Scope::Installation) => faults.add(
                place,
                format!(
                    "`${{{path}}}` is not known here; expected `${{vars.NAME}}`{}",
                    if self.diagnosing { ", `${target.namespace}` or `${target.name}`" } else { "" }
                ),
                Some("only what is the same for every alert can stand here".to_owned()),
            ),
            (_, Scope::Alert | Scope::Target) => faults.add(
                place,
                format!("`${{{path}}}` is no placeholder; expected `${{labels.NAME}}`, `${{vars.NAME}}` or `${{each.LABEL}}`"),
                Some(EXAMPLES.to_owned()),
            ),
        }
    }

    fn variable(&mut self, name: &str, place: Place, faults: &mut Faults) {
        let Some(vars) = self.vars else {
            self.believed.insert(name.to_owned());
            return;
        };
        match vars.get(name) {
            Some(value) => {
                self.used.insert(name.to_owned(), value.clone());
            }
            None => {
                let hint = did_you_mean(name, vars.keys().map(String::as_str)).map_or_else(
                    || format!("add `vars: {{{name}: ...}}` to the configuration"),
                    |near| format!("did you mean `${{vars.{near}}}`?"),
                );
                faults.add(
                    place,
                    format!(
                        "`vars.{name}` does not exist; expected a name from `vars:` of the configuration"
                    ),
                    Some(hint),
                );
            }
        }
    }

    fn each_value(&self, name: &str, place: Place, faults: &mut Faults) {
        match &self.each {
            Some(label) if label == name => {}
            Some(label) => faults.add(
                place,
                format!("`${{each.{name}}}` does not exist; expected the label that `each` goes through"),
                Some(format!("did you mean `${{each.{label}}}`?")),
            ),
            None => faults.add(
                place,
                format!("`${{each.{name}}}` without `each`; expected `each: PROBE.{name}` in `targets`"),
                Some(format!("`each: PROBE.{name}` names a probe of `confirm` with `count_by: {name}`")),
            ),
        }
    }
}

/// The document of this name.
fn named<'k, T>(
    kind: Kind,
    known: impl Iterator<Item = (&'k str, &'k Arc<T>)>,
    field: Field<'_>,
    faults: &mut Faults,
) -> Option<&'k Arc<T>> {
    let name = field.string(faults)?;
    let known: Vec<_> = known.collect();
    let found = known.iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let hint = near_or_all(&name, &names);
        let message = format!("there is no {} {name:?} here; expected the name of one", kind.word());
        faults.add(field.place(), message, hint);
    }
    found.map(|(_, found)| *found)
}

/// What helps who has named something that is not there: what was probably meant, or else all that there is.
pub(super) fn near_or_all(name: &str, known: &[&str]) -> Option<String> {
    did_you_mean(name, known.iter().copied())
        .map(|near| format!("did you mean `{near}`?"))
        .or_else(|| (!known.is_empty()).then(|| format!("there are: {}", known.join(", "))))
}

/// The name that a document gives itself.
pub(super) fn own_name(field: &Field<'_>, faults: &mut Faults) -> Option<String> {
    let name = field.string(faults)?;
    if is_name(&name) {
        return Some(name);
    }
    field.wrong("expected letters, digits, `-` and `_`, at most 63", None, faults);
    None
}

const EXAMPLES: &str = "such as `${labels.namespace}` (a label of the alert), `${vars.namespace}` (of the configuration) or `${each.app}`";

/// Whether this can be the name of a label, in Prometheus' classic syntax.
pub(super) fn is_label(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether this can be the name of a runbook or a probe: it stands in messages, in metrics and in `each: PROBE.LABEL`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether this can be the name of a container: an RFC 1123 label.
/// Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
pub(super) fn is_container(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 63
        && name.bytes().all(|byte| inner(byte) || byte == b'-')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}
