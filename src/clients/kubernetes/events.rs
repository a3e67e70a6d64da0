//! Events: what Kubernetes says has happened to an object. They are kept for an hour or so, and the same thing again only counts up.

use jiff::Timestamp;
use k8s_openapi::api::events::v1 as events;
use kube::core::Resource as _;

use super::{CallError, Kubernetes, checked_namespace};

/// Something that happened to an object, once or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The object's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// One word, such as `FailedScheduling`.
    pub reason: String,
    /// A sentence.
    pub note: String,
    /// How often since `first`.
    pub times: u32,
    /// When it happened first.
    pub first: Option<Timestamp>,
    /// When it happened last.
    pub last: Option<Timestamp>,
}

fn read(event: &events::Event) -> Event {
    let about = event.regarding.clone().unwrap_or_default();
    let series = event.series.as_ref();
    let last = series
        .map(|series| series.last_observed_time.0)
        .or_else(|| event.deprecated_last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let times = series.map(|series| series.count).or(event.deprecated_count).unwrap_or(1);
    Event {
        kind: about.kind.unwrap_or_default(),
        name: about.name.unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        note: event.note.clone().unwrap_or_default(),
        times: u32::try_from(times).unwrap_or(1).max(1),
        first: event
            .deprecated_first_timestamp
            .as_ref()
            .map(|time| time.0)
            .or_else(|| event.event_time.as_ref().map(|time| time.0)),
        last,
    }
}

impl Kubernetes {
    /// The events of a namespace. Those of nodes and of all else that is in no namespace are in `default`.
    ///
    /// # Errors
    /// Whatever keeps the API server from answering, also when there are more than 10,000.
    pub async fn events(&self, namespace: &str) -> Result<Vec<Event>, CallError> {
        let call = format!("list the events of {namespace}");
        checked_namespace(&call, namespace)?;
        let all: Vec<events::Event> =
            self.list(&call, &events::Event::url_path(&(), Some(namespace))).await?;
        Ok(all.iter().map(read).collect())
    }
}
