//! A field of an object as the cluster has it now, and who wrote it last: what a person is told beside what the journal says.

use crate::clients::kubernetes::{At, Kubernetes};
use crate::incident::plan::Target;
use crate::runbook::Field;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The value; none: there is none.
    pub value: Option<String>,
    /// Who wrote it last, and when, as far as the object says.
    pub by: Option<String>,
}

pub(super) async fn look(
    kubernetes: &Kubernetes,
    object: &Target,
    uid: &str,
    field: &Field,
) -> Result<Seen, String> {
    let read = kubernetes.object(object.kind.as_str(), &object.namespace, &object.name).await;
    let live = read.map_err(|error| error.to_string())?;
    if live.uid() != uid {
        return Err(format!("{object} is another object of the same name by now"));
    }
    let path = field.path();
    let value = match live.at(&path) {
        At::Text(text) => Some(text),
        At::Absent => None,
        At::From(source) => return Err(format!("it comes from {source} by now")),
        At::NoItem(name) => return Err(format!("{object} has no {name} any more")),
    };
    Ok(Seen { value, by: live.written_by(&path).map(|writer| writer.to_string()) })
}
