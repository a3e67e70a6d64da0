//! A fault is undone: compared first, in one write, and the note goes with it. A second time nothing is left to do.

use std::fmt;

use super::make::path_of_note;
use super::{Ground, INJECTED, Note, Planned, Undo, Wanted, load};
use crate::clients::kubernetes::{At, Node, Object, Plain, SetTo, valid_name};
use crate::clients::{CallError, Reason};
use crate::runbook::{Field, Quantity};
use crate::text::harmless;

/// What came of undoing a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// This was done.
    Done(String),
    /// There is nothing to undo (any more).
    Nothing(String),
    /// It was left alone, and why.
    LeftAlone(String),
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(text) | Self::Nothing(text) => f.write_str(text),
            Self::LeftAlone(why) => write!(f, "left alone: {why}"),
        }
    }
}

impl Ground {
    /// Undoes a fault of this run. The namespace need not say any more that it may be broken.
    ///
    /// # Errors
    /// When it can not be looked at, or the one write fails; `Conflict` when somebody else wrote at the same moment. It can be called again.
    pub async fn undo(&self, planned: &Planned, run: &str) -> Result<Undone, CallError> {
        let (namespace, name) = (&self.namespace, planned.object.as_ref().map(|object| object.name.as_str()));
        let name = name.unwrap_or_default();
        match &planned.wanted {
            Wanted::DeletePods { .. } | Wanted::MemoryLimit { .. } => {
                match self.kubernetes.object("deployment", namespace, name).await {
                    Ok(object) => self.undo_deployment(&object, Some(run)).await,
                    Err(CallError { reason: Reason::NotFound, .. }) => {
                        Ok(gone(&format!("deployment/{name}")))
                    }
                    Err(error) => Err(error),
                }
            }
            Wanted::EndNode { .. } => match self.kubernetes.node(name).await? {
                Some(node) => self.undo_node(&node, Some(run)).await,
                None => Ok(gone(&format!("node/{name}"))),
            },
            Wanted::ValidationRecord { .. } => match self.kubernetes.namespace(namespace).await? {
                Some(object) => self.undo_namespace(&object, Some(run)).await,
                None => Ok(gone(&format!("namespace/{namespace}"))),
            },
            Wanted::Load(wanted) => {
                let name = load::name(run, wanted);
                let jobs = self.kubernetes.objects_of("job", namespace).await?;
                match jobs.iter().find(|job| job.name() == name) {
                    Some(job) => self.undo_job(job, Some(run)).await,
                    None => Ok(gone(&format!("job/{name}"))),
                }
            }
        }
    }

    pub(super) async fn undo_deployment(
        &self,
        object: &Object,
        run: Option<&str>,
    ) -> Result<Undone, CallError> {
        let target = format!("deployment/{}", object.name());
        let note = match ours(&target, object.annotation(INJECTED), run) {
            Ok(note) => note,
            Err(undone) => return Ok(undone),
        };
        let path = path_of_note();
        let no_note = SetTo { path: &path, to: None, plain: Plain::Text };
        let (field, ours, base) = match &note.undo {
            Undo::Nothing => {
                self.kubernetes.patch_fields(object.patch(&[no_note])?).await?;
                return Ok(Undone::Done(format!("took the note off {target}")));
            }
            // Nothing else is ever set here: a note that says so is somebody else's.
            Undo::Field { field, ours, base } if is_memory(field, ours, base.as_deref()) => {
                (field, ours, base)
            }
            _ => {
                return Ok(Undone::LeftAlone(format!("the note on {target} is not of what is broken there")));
            }
        };
        let limit = field.path();
        let live = object.at(&limit);
        if matches!(&live, At::Text(live) if field.same(Some(live), Some(ours))) {
            let back = SetTo { path: &limit, to: base.as_deref(), plain: Plain::Text };
            self.kubernetes.patch_fields(object.patch(&[back, no_note])?).await?;
            let base = base.as_deref().unwrap_or("no limit");
            return Ok(Undone::Done(format!("the {field} of {target} is {base} again")));
        }
        self.kubernetes.patch_fields(object.patch(&[no_note])?).await?;
        let (is, was_before) = match &live {
            At::Text(live) => (live.as_str(), field.same(Some(live), base.as_deref())),
            At::Absent => ("not there", base.is_none()),
            At::From(_) | At::NoItem(_) => ("gone with its container", false),
        };
        let by = match object.written_by(&limit) {
            Some(writer) => format!("written by {writer}"),
            None => "by whom can not be told".to_owned(),
        };
        Ok(if was_before {
            Undone::Done(format!("the {field} of {target} is as before already, {by}; took the note off it"))
        } else {
            Undone::LeftAlone(format!(
                "the {field} of {target} is {is} and not {ours} (ours), {by}; only the note was taken off it"
            ))
        })
    }

    pub(super) async fn undo_node(&self, node: &Node, run: Option<&str>) -> Result<Undone, CallError> {
        let target = format!("node/{}", node.name);
        let text = node.annotations.get(INJECTED).map(String::as_str);
        let note = match ours(&target, text, run) {
            Ok(note) => note,
            Err(undone) => return Ok(undone),
        };
        if !matches!(note.undo, Undo::Uncordon | Undo::Nothing) {
            return Ok(Undone::LeftAlone(format!("the note on {target} is not of what is broken there")));
        }
        let cordoned = note.undo == Undo::Uncordon;
        let note = (INJECTED, text.unwrap_or_default());
        if !cordoned {
            self.kubernetes.remove_note_of_node(&node.name, &node.uid, note).await?;
            return Ok(Undone::Done(format!("took the note off {target}")));
        }
        if node.unschedulable {
            self.kubernetes.uncordon_with_note(&node.name, &node.uid, note).await?;
            return Ok(Undone::Done(format!("{target} takes new pods again")));
        }
        self.kubernetes.remove_note_of_node(&node.name, &node.uid, note).await?;
        Ok(Undone::Done(format!("{target} is not cordoned any more; took the note off it")))
    }

    pub(super) async fn undo_job(&self, job: &Object, run: Option<&str>) -> Result<Undone, CallError> {
        let target = format!("job/{}", job.name());
        let note = match ours(&target, job.annotation(INJECTED), run) {
            Ok(note) => note,
            Err(undone) => return Ok(undone),
        };
        if note.undo != Undo::DeleteJob {
            return Ok(Undone::LeftAlone(format!("the note on {target} is not of what is broken there")));
        }
        self.kubernetes.remove_job(&self.namespace, job.name(), job.uid()).await?;
        Ok(Undone::Done(format!("deleted {target}")))
    }
}

/// Whether it is an amount of memory that was set over another one.
fn is_memory(field: &Field, ours: &str, base: Option<&str>) -> bool {
    let is_amount = |text: &str| text.parse::<Quantity>().is_ok();
    let of_memory = matches!(field, Field::Limit { container, resource } if resource == "memory" && valid_name(container));
    of_memory && is_amount(ours) && base.is_none_or(is_amount)
}

fn gone(target: &str) -> Undone {
    Undone::Nothing(format!("{target} is gone"))
}

/// The note, if it is of this run; of any, when none is named.
pub(super) fn ours(target: &str, text: Option<&str>, run: Option<&str>) -> Result<Note, Undone> {
    let text = text.ok_or_else(|| Undone::Nothing(format!("{target} bears no note")))?;
    let note = Note::read(text).map_err(|error| Undone::LeftAlone(format!("{target}: {error}")))?;
    match run {
        Some(run) if run != note.run => {
            let other = harmless(&note.run);
            Err(Undone::LeftAlone(format!("{target} bears the note of another run, {other}")))
        }
        _ => Ok(note),
    }
}
