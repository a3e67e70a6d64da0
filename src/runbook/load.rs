//! From paths to runbooks. Every file is read before anything is said, so that all faults of all files are reported at once; as long as
//! there is one, there are no runbooks at all: half of the rules is not what their authors meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::names::Names;
use super::read::{API_VERSION, Draft, KIND, draft};
use super::shared::{Kind, Shared, shared};
use super::{Diagnosis, Hash, Mode, Probe, Runbook, Verification};
use crate::text::hex;
use crate::yaml::{Document, Faults, Place, did_you_mean, parse, read_file};

/// The runbooks, and what their authors should know.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order in which they are asked whether they answer an alert: that of the paths given, file names and documents.
    pub runbooks: Vec<Arc<Runbook>>,
    /// What can be asked with `runbookd verify`.
    pub verifications: Vec<Arc<Verification>>,
    /// What a runbook's diagnosis can attach.
    pub diagnoses: Vec<Arc<Diagnosis>>,
    /// Which file each name comes from.
    pub files: BTreeMap<String, PathBuf>,
    /// What is strange and yet can be used.
    pub warnings: Faults,
}

/// Reads runbooks from files and folders. Of a folder, the files `*.yaml` and `*.yml` in it, not those of the folders in it: scenarios
/// and tests lie there. Without `vars` there is no configuration, every `${vars.NAME}` is believed, and one warning says so.
///
/// # Errors
/// Everything that is wrong with any of the files, and then the warnings, too.
pub fn load(
    paths: &[PathBuf],
    vars: Option<&BTreeMap<String, String>>,
    time_scale: u32,
) -> Result<Loaded, Faults> {
    load_with(paths, vars, time_scale, None)
}

/// What a runbook wants of a configuration.
#[derive(Debug, Clone, Copy)]
pub enum Wants<'w> {
    /// That this probe can be asked.
    Probe(&'w Probe),
    /// That RDS can be asked how many connections a database takes.
    Database,
    /// That ACM and Route 53 can be asked.
    Certificates,
    /// That terraform can be run in the directory of this name; none: in one that the target names.
    Terraform(Option<&'w str>),
    /// That this is a pattern of addresses.
    Address(&'w str),
    /// That this workflow can be started.
    Workflow(&'w str),
}

/// Why a probe could never be answered with this configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What is missing; what was expected.
    pub message: String,
    /// What to write into the configuration.
    pub hint: String,
    /// The step is left out then, and the rest of the runbook works.
    pub is_left_out: bool,
}

impl Objection {
    /// It could never work.
    #[must_use]
    pub const fn fault(message: String, hint: String) -> Self {
        Self { message, hint, is_left_out: false }
    }

    /// The step is left out.
    #[must_use]
    pub const fn left_out(message: String, hint: String) -> Self {
        Self { message, hint, is_left_out: true }
    }
}

/// What a configuration has against what is wanted, if it has anything.
pub type Objects<'o> = &'o dyn Fn(Wants<'_>) -> Option<Objection>;

/// Like [`load`]; `objection` is what the configuration has against a probe, and each is a fault.
///
/// # Errors
/// Everything that is wrong with any of the files, and then the warnings, too.
pub fn load_with(
    paths: &[PathBuf],
    vars: Option<&BTreeMap<String, String>>,
    time_scale: u32,
    objection: Option<Objects<'_>>,
) -> Result<Loaded, Faults> {
    let mut faults = Faults::new();
    let mut believed = BTreeSet::new();
    let mut found: Vec<(PathBuf, Draft)> = Vec::new();
    let mut parsed = Vec::new();
    let mut checked = Checked::default();
    for file in files(paths, &mut faults) {
        let mut of_file = Faults::new();
        let documents = read_file(&file, &mut of_file).map(|text| parse(&text, &mut of_file));
        // What runbooks ask by name is read first, wherever it stands.
        for (document, kind) in documents.iter().flatten().filter_map(named) {
            believed.extend(checked.take(
                &file,
                (document, kind),
                Names::new(vars).with_objection(objection),
                time_scale,
                &mut of_file,
            ));
        }
        parsed.push((file, documents, of_file));
    }
    for (file, documents, mut of_file) in parsed {
        if let Some(documents) = documents {
            if documents.is_empty() && !of_file.any() {
                let hint = format!("a runbook begins with `apiVersion: {API_VERSION}` and `kind: {KIND}`");
                of_file.whole(None, "there is no document in the file; expected a runbook", Some(hint));
            }
            for document in documents.iter().filter(|document| Kind::of(document).is_none()) {
                let names = Names::new(vars).with_objection(objection).with_shared(&checked.read);
                let (draft, of_document) = version(document, names, time_scale, &mut of_file);
                believed.extend(of_document);
                check_others(&file, &draft, &found, &mut of_file);
                found.push((file.clone(), draft));
            }
        }
        faults.take_in(Some(&file), of_file);
    }
    check_deferrals(&found, &mut faults);
    if !believed.is_empty() {
        let names: Vec<_> = believed.iter().map(|name| format!("${{vars.{name}}}")).collect();
        faults.warn_whole(
            format!("without a configuration nobody knows whether these exist: {}", names.join(", ")),
            Some("name the configuration with --config".to_owned()),
        );
    }
    if faults.any() {
        return Err(faults);
    }
    let mut loaded = Loaded { warnings: faults, ..Loaded::default() };
    for one in checked.read {
        match one {
            Shared::Verification(one) => loaded.verifications.push(one),
            Shared::Diagnosis(one) => loaded.diagnoses.push(one),
        }
    }
    for (file, draft) in found {
        if let Some(runbook) = draft.runbook {
            loaded.files.insert(runbook.name.clone(), file);
            loaded.runbooks.push(Arc::new(runbook));
        }
    }
    Ok(loaded)
}

/// A document that others name, with what it is.
fn named(document: &Document) -> Option<(&Document, Kind)> {
    Some((document, Kind::of(document)?))
}

/// The files that [`load`] reads of these paths.
///
/// # Errors
/// When a folder can not be read, or holds none.
pub fn rule_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Faults> {
    let mut faults = Faults::new();
    let found = files(paths, &mut faults);
    if faults.any() { Err(faults) } else { Ok(found) }
}

/// The names of the runbooks in a text, whatever else is wrong with it.
#[must_use]
pub fn names_in(text: &str) -> Vec<String> {
    let mut faults = Faults::new();
    let documents = parse(text, &mut faults);
    let runbooks = documents.iter().filter(|document| Kind::of(document).is_none());
    runbooks
        .filter_map(|document| draft(&document.root, &mut Names::new(None), 1, &mut faults).name)
        .map(|(name, _)| name)
        .collect()
}

/// The documents that runbooks name, as far as they were read, and where each had its name.
#[derive(Default)]
struct Checked {
    read: Vec<Shared>,
    names: BTreeMap<(Kind, String), String>,
}

impl Checked {
    /// Reads one more; also the variables that were believed.
    fn take(
        &mut self,
        file: &Path,
        (document, kind): (&Document, Kind),
        mut names: Names<'_>,
        time_scale: u32,
        faults: &mut Faults,
    ) -> BTreeSet<String> {
        let (read, name) = shared(document, kind, &mut names, time_scale, faults);
        self.read.extend(read);
        if let Some((name, place)) = name {
            let here = format!("{}:{place}", file.display());
            if let Some(twin) = self.names.insert((kind, name.clone()), here) {
                let message = format!(
                    "another {} has the name {name:?} already, in {twin}; expected a name of its own",
                    kind.word()
                );
                faults.add(place, message, None);
            }
        }
        names.believed
    }
}

/// Reads one version of a runbook again from its [`source`](Runbook::source), as the journal keeps it.
///
/// # Errors
/// What this release can not read of it; an older release wrote it.
pub fn read_one(source: &str) -> Result<Runbook, Faults> {
    let mut faults = Faults::new();
    let kept: Source = match serde_json::from_str(source) {
        Ok(kept) => kept,
        Err(error) => {
            faults.whole(
                None,
                format!("not a kept runbook: {error}; expected one that runbookd wrote"),
                None,
            );
            return Err(faults);
        }
    };
    let mut checked = Checked::default();
    for text in kept.verifications.iter().chain(&kept.diagnoses) {
        let documents = parse(text, &mut faults);
        for (document, kind) in documents.iter().filter_map(named) {
            checked.take(
                Path::new(""),
                (document, kind),
                Names::new(Some(&kept.vars)),
                kept.time_scale,
                &mut faults,
            );
        }
    }
    if faults.any() {
        return Err(faults);
    }
    let mut runbook = read_with(&kept.document, Some(&kept.vars), checked, kept.time_scale)?;
    // What was kept has the name it was kept under, also when this release would write it otherwise.
    runbook.hash = hash(source);
    source.clone_into(&mut runbook.source);
    Ok(runbook)
}

/// Reads the one runbook in a text, in which the documents stand, too, that it names.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_text(
    text: &str,
    vars: Option<&BTreeMap<String, String>>,
    time_scale: u32,
) -> Result<Runbook, Faults> {
    read_with(text, vars, Checked::default(), time_scale)
}

fn read_with(
    text: &str,
    vars: Option<&BTreeMap<String, String>>,
    mut known: Checked,
    time_scale: u32,
) -> Result<Runbook, Faults> {
    let mut faults = Faults::new();
    let mut runbooks = Vec::new();
    let documents = parse(text, &mut faults);
    for (document, kind) in documents.iter().filter_map(named) {
        known.take(Path::new(""), (document, kind), Names::new(vars), time_scale, &mut faults);
    }
    for document in documents.iter().filter(|document| Kind::of(document).is_none()) {
        let names = Names::new(vars).with_shared(&known.read);
        runbooks.extend(version(document, names, time_scale, &mut faults).0.runbook);
    }
    let mut sorted = Faults::new();
    sorted.take_in(None, faults);
    match (runbooks.pop(), runbooks.is_empty()) {
        (Some(runbook), true) if !sorted.any() => Ok(runbook),
        _ => {
            if !sorted.any() {
                sorted.whole(None, "the text does not hold one runbook; expected exactly one", None);
            }
            Err(sorted)
        }
    }
}

/// What the journal keeps of a runbook: all that its meaning depends on, and nothing else.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    document: String,
    vars: BTreeMap<String, String>,
    time_scale: u32,
    /// The verifications that it asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    verifications: Vec<String>,
    /// The diagnoses that it attaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    diagnoses: Vec<String>,
}

/// Reads a document and gives the runbook its hash; also the variables that were believed.
fn version(
    document: &Document,
    mut names: Names<'_>,
    time_scale: u32,
    faults: &mut Faults,
) -> (Draft, BTreeSet<String>) {
    let mut draft = draft(&document.root, &mut names, time_scale, faults);
    if let Some(runbook) = &mut draft.runbook {
        let source = Source {
            document: document.text.clone(),
            vars: runbook.vars.clone(),
            time_scale: runbook.time_scale,
            verifications: names.verified.iter().map(|verification| verification.text.clone()).collect(),
            diagnoses: names.attached.iter().map(|diagnosis| diagnosis.text.clone()).collect(),
        };
        // Strings and numbers are always JSON, and a BTreeMap always comes in the same order.
        runbook.source = serde_json::to_string(&source).unwrap_or_default();
        runbook.hash = hash(&runbook.source);
    }
    (draft, names.believed)
}

/// The hash of the texts in a runbook's [`source`](Runbook::source): see [`Runbook::text_hash`].
#[must_use]
pub fn text_hash(source: &str) -> Option<String> {
    let Source { document, verifications, diagnoses, .. } = serde_json::from_str(source).ok()?;
    // As JSON, so that no text can end where another begins.
    let texts = serde_json::to_string(&(document, verifications, diagnoses)).ok()?;
    Some(hex(&Sha256::digest(texts.as_bytes())))
}

fn hash(source: &str) -> Hash {
    Hash(hex(&Sha256::digest(source.as_bytes())))
}

/// Checks a runbook against those before it: the name, and whether one of them answers everything that this one would.
fn check_others(file: &Path, draft: &Draft, before: &[(PathBuf, Draft)], faults: &mut Faults) {
    let at = |other: &Path, place: Place| {
        if other == file { format!("line {}", place.line) } else { format!("{}:{place}", other.display()) }
    };
    if let Some((name, place)) = &draft.name {
        let twin = before.iter().find_map(|(other, draft)| {
            draft.name.as_ref().filter(|(twin, _)| twin == name).map(|(_, place)| at(other, *place))
        });
        if let Some(twin) = twin {
            faults.add(
                *place,
                format!(
                    "another runbook has the name {name:?} already, in {twin}; expected a name of its own"
                ),
                Some("limits and incidents are counted by name".to_owned()),
            );
        }
    }
    // What only a person begins neither takes an alert from another nor loses one.
    let Some(runbook) = draft.runbook.as_ref().filter(|runbook| !runbook.is_on_demand()) else { return };
    let ours: BTreeSet<String> = runbook.alerts.iter().map(ToString::to_string).collect();
    let hides = |earlier: &Runbook| {
        !earlier.goes_on
            && earlier.mode != Mode::Off
            && !earlier.is_on_demand()
            && earlier.alerts.iter().all(|matcher| ours.contains(&matcher.to_string()))
    };
    for (other, earlier) in before {
        if let Some(earlier_runbook) = earlier.runbook.as_ref().filter(|earlier| hides(earlier)) {
            faults.warn(
                draft.alerts,
                format!(
                    "{:?} never answers anything: {:?} in {} answers all of it first",
                    runbook.name,
                    earlier_runbook.name,
                    at(other, earlier.alerts)
                ),
                Some(format!(
                    "put `continue: true` into {:?}, or give it another matcher",
                    earlier_runbook.name
                )),
            );
            return;
        }
    }
}

/// Checks what stands back behind what: one that stands back behind itself, straight or by way of others, would wait for ever.
fn check_deferrals(found: &[(PathBuf, Draft)], faults: &mut Faults) {
    let of: BTreeMap<&str, Vec<&str>> = found
        .iter()
        .filter_map(|(_, draft)| {
            let (name, _) = draft.name.as_ref()?;
            Some((name.as_str(), draft.defer_to.iter().map(|(other, _)| other.as_str()).collect()))
        })
        .collect();
    for (file, draft) in found {
        let Some((name, _)) = &draft.name else { continue };
        let mut of_file = Faults::new();
        for (other, place) in &draft.defer_to {
            let mut seen = BTreeSet::new();
            let mut next = vec![other.as_str()];
            while let Some(one) = next.pop() {
                if seen.insert(one) {
                    next.extend(of.get(one).into_iter().flatten().copied());
                }
            }
            if seen.contains(name.as_str()) {
                of_file.add(
                    *place,
                    format!("{name:?} would stand back behind itself; expected runbooks that do not wait for this one"),
                    Some(if other == name {
                        "leave it out".to_owned()
                    } else {
                        format!("leave {other:?} out, or take `defer_to` out of it")
                    }),
                );
            } else if !of.contains_key(other.as_str()) {
                of_file.warn(
                    *place,
                    format!("there is no runbook {other:?} here; expected the name of one"),
                    did_you_mean(other, of.keys().copied().filter(|known| known != name))
                        .map(|near| format!("did you mean `{near}`?")),
                );
            }
        }
        faults.take_in(Some(file), of_file);
    }
}

/// The files that the paths stand for, in order, each once.
fn files(paths: &[PathBuf], faults: &mut Faults) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match in_folder(path) {
            Ok(found) if found.is_empty() => {
                let hint = "name the folder that holds the runbooks";
                let message = "there is no *.yaml file in the folder; expected runbooks";
                faults.whole(Some(path), message, Some(hint.to_owned()));
            }
            Ok(found) => files.extend(found),
            Err(error) => faults.whole(
                Some(path),
                format!("the folder can not be read: {error}; expected runbooks in it"),
                None,
            ),
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files
}

/// The files `*.yaml` and `*.yml` in a folder, by their names.
///
/// # Errors
/// When it can not be read.
pub fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // Kubernetes mounts a ConfigMap as links beside hidden folders, and editors leave hidden files behind.
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if is_yaml && !is_hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
