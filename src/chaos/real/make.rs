//! The fault is made: looked at once more, noted, and done, each write once.

use super::plan::{Look, On};
use super::{EndsInstance, Ground, INJECTED, Note, Planned, Refused, Undo, Wanted, load};
use crate::clients::CallError;
use crate::clients::kubernetes::{Node, Object, Plain, SetTo};
use crate::text::count;

/// Why a fault was not made, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMade {
    /// Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A write failed.
    #[error("{error}; {left}")]
    Failed {
        /// Which, and how.
        error: CallError,
        /// What stands now, as far as that is known.
        left: String,
    },
}

pub(super) const CLEANUP: &str = "`runbookd inject cleanup` ends it";

pub(super) fn path_of_note() -> Vec<String> {
    ["metadata", "annotations", INJECTED].map(str::to_owned).to_vec()
}

/// A write that failed: whether there can be anything of it.
pub(super) fn failed(error: CallError, object: &str) -> NotMade {
    let left = if error.reason.surely_without_effect() {
        "nothing was changed".to_owned()
    } else {
        format!("whether it happened is not known: if {object} bears a note, {CLEANUP}")
    };
    NotMade::Failed { error, left }
}

impl Ground {
    /// Makes the fault, and says what was done. What is there must be what was planned, and the note be of this plan.
    ///
    /// # Errors
    /// When it must not be any more, or a write fails; what stands then is said, and is never more than a note tells of.
    pub async fn make(&self, planned: &Planned, note: &Note) -> Result<String, NotMade> {
        if note.undo != planned.undo_of(&note.run) || note.namespace != self.namespace {
            return Err(Refused::rule("the note is of another fault", "the note of what was planned").into());
        }
        let Look { planned: now, on } = self.look(&planned.wanted, planned.bounds).await?;
        if now != *planned {
            return Err(Refused::with(
                format!(
                    "the cluster has changed since: it was planned to {}; now it would be to {}",
                    planned.says, now.says
                ),
                "the very same",
                "plan it anew",
            )
            .into());
        }
        match (&planned.wanted, on) {
            (Wanted::DeletePods { .. }, On::Deployment(object)) => {
                self.delete_pods(planned, &object, note).await
            }
            (Wanted::MemoryLimit { .. }, On::Deployment(object)) => {
                self.set_limit(planned, &object, note).await
            }
            (Wanted::EndNode { .. }, On::Node(node)) => self.end_node(planned, &node, note).await,
            (Wanted::ValidationRecord { .. }, On::Namespace(namespace)) => match &planned.record {
                Some(right) => self.spoil_record(right, &namespace, note).await,
                None => Err(Refused::rule("the plan has no record", "the one that it is about").into()),
            },
            (Wanted::Load(wanted), _) => self.start_load(wanted, note).await,
            _ => {
                Err(Refused::rule("the plan is of another kind of object", "the one that it is about").into())
            }
        }
    }

    async fn delete_pods(&self, planned: &Planned, object: &Object, note: &Note) -> Result<String, NotMade> {
        let target = format!("deployment/{}", object.name());
        let (path, text) = (path_of_note(), note.text());
        let set = SetTo { path: &path, to: Some(&text), plain: Plain::Text };
        let noted = async { self.kubernetes.patch_fields(object.patch(&[set])?).await };
        noted.await.map_err(|error| failed(error, &target))?;
        let all = planned.pods.len();
        for (done, (name, uid)) in planned.pods.iter().enumerate() {
            let Err(error) = self.kubernetes.delete_pod(&self.namespace, name, uid, false).await else {
                continue;
            };
            if done == 0 && error.reason.surely_without_effect() {
                let left = match self.undo(planned, &note.run).await {
                    Ok(_) => "no pod was deleted, and the note is taken back".to_owned(),
                    Err(again) => {
                        format!("no pod was deleted; {target} still bears the note ({again}): {CLEANUP}")
                    }
                };
                return Err(NotMade::Failed { error, left });
            }
            let left = format!("{done} of {all} pods were deleted; {target} bears the note: {CLEANUP}");
            return Err(NotMade::Failed { error, left });
        }
        Ok(format!("deleted {} of {target}", count(all as u64, "pod", "pods")))
    }

    async fn set_limit(&self, planned: &Planned, object: &Object, note: &Note) -> Result<String, NotMade> {
        let target = format!("deployment/{}", object.name());
        let Undo::Field { field, ours, .. } = &planned.undo else {
            return Err(Refused::rule("the plan sets no field", "a memory limit").into());
        };
        let (path, text, limit) = (path_of_note(), note.text(), field.path());
        let sets = [
            SetTo { path: &path, to: Some(&text), plain: Plain::Text },
            SetTo { path: &limit, to: Some(ours), plain: Plain::Text },
        ];
        let set = async { self.kubernetes.patch_fields(object.patch(&sets)?).await };
        set.await.map_err(|error| failed(error, &target))?;
        Ok(format!("set the {field} in {target} to {ours}"))
    }

    async fn end_node(&self, planned: &Planned, node: &Node, note: &Note) -> Result<String, NotMade> {
        if let (Some(id), Some(ends)) = (&planned.instance, &self.ends_instances) {
            return self.terminate(id, ends.as_ref(), node, note).await;
        }
        let target = format!("node/{}", node.name);
        let text = note.text();
        let noted = self.kubernetes.cordon_with_note(node, (INJECTED, &text)).await;
        noted.map_err(|error| failed(error, &target))?;
        let ended = self.kubernetes.delete_node(&node.name, &node.uid).await;
        let Err(error) = ended else { return Ok(format!("cordoned {target} and deleted its object")) };
        if error.reason.surely_without_effect() {
            let back = self.kubernetes.uncordon_with_note(&node.name, &node.uid, (INJECTED, &text)).await;
            let left = match back {
                Ok(()) => format!("{target} is not cordoned any more"),
                Err(again) => format!("{target} is still cordoned ({again}): {CLEANUP}"),
            };
            return Err(NotMade::Failed { error, left });
        }
        if self.is_gone(node).await {
            // Nobody answered, but it is done.
            return Ok(format!("cordoned {target}, and it is gone"));
        }
        let left = format!("whether it ends is not known; {target} stays cordoned: {CLEANUP}");
        Err(NotMade::Failed { error, left })
    }

    /// A machine that fails says nothing before: no cordon, which would tell everybody that somebody is at work.
    async fn terminate(
        &self,
        id: &str,
        ends: &dyn EndsInstance,
        node: &Node,
        note: &Note,
    ) -> Result<String, NotMade> {
        let target = format!("node/{}", node.name);
        let text = note.text();
        let noted = self.kubernetes.note_node(node, (INJECTED, &text)).await;
        noted.map_err(|error| failed(error, &target))?;
        let Err(error) = ends.terminate(id).await else {
            return Ok(format!("terminated the instance {id} of {target}"));
        };
        let left = if error.reason.surely_without_effect() {
            let taken = self.kubernetes.remove_note_of_node(&node.name, &node.uid, (INJECTED, &text)).await;
            match taken {
                Ok(()) => "it was not ended, and the note is taken back".to_owned(),
                Err(again) => format!("it was not ended; {target} still bears the note ({again}): {CLEANUP}"),
            }
        } else {
            format!("whether the machine ends is not known; {target} bears the note: {CLEANUP}")
        };
        Err(NotMade::Failed { error, left })
    }

    async fn is_gone(&self, node: &Node) -> bool {
        let there = self.kubernetes.node(&node.name).await;
        there.is_ok_and(|there| there.is_none_or(|there| there.uid != node.uid))
    }

    async fn start_load(&self, wanted: &super::Load, note: &Note) -> Result<String, NotMade> {
        let image = self.image.as_deref().unwrap_or_default();
        let job = load::job(image, &self.namespace, wanted, note);
        let name = load::name(&note.run, wanted);
        let made = self.kubernetes.create_job(&self.namespace, &job).await;
        made.map_err(|error| failed(error, &format!("job/{name}")))?;
        Ok(format!("made job/{name}"))
    }
}
