//! Events that controllers and kubelets write: one for each object and reason, which counts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, seconds};

/// What a component tells of an object.
pub(super) struct Occurrence {
    /// The object's kind and API version.
    pub(super) kind: (&'static str, &'static str),
    pub(super) reason: &'static str,
    pub(super) warning: bool,
    pub(super) message: String,
    pub(super) component: &'static str,
}

impl Cluster {
    /// Tells of an object. The same again counts up, as client-go's recorder does.
    pub(super) fn tell(&mut self, about: &Value, what: &Occurrence, now: Timestamp) {
        let text = |field: &str| about["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (name, namespace, uid) = (text("name"), text("namespace"), text("uid"));
        // What belongs to no namespace is spoken of in `default`.
        let within = if namespace.is_empty() { "default".to_owned() } else { namespace.clone() };
        let key = (within.clone(), format!("{name}.{}", what.reason.to_lowercase()));
        let known = self.others.get("events").and_then(|events| events.get(&key)).cloned();
        let same = known.filter(|event| event["involvedObject"]["uid"] == uid.as_str());
        let event = if let Some(mut event) = same {
            event["count"] = json!(event["count"].as_u64().unwrap_or(0) + 1);
            event["lastTimestamp"] = json!(seconds(now));
            event["message"] = json!(what.message);
            event
        } else {
            let mut object =
                json!({"kind": what.kind.0, "apiVersion": what.kind.1, "name": name, "uid": uid});
            if !namespace.is_empty() {
                object["namespace"] = json!(namespace);
            }
            json!({
                "metadata": {"name": key.1, "namespace": within, "uid": format!("{:08x}-0000-4000-a000-000000000000", self.version()),
                             "creationTimestamp": seconds(now)},
                "involvedObject": object,
                "reason": what.reason, "message": what.message,
                "type": if what.warning { "Warning" } else { "Normal" }, "count": 1,
                "firstTimestamp": seconds(now), "lastTimestamp": seconds(now), "eventTime": null,
                "source": {"component": what.component}, "reportingComponent": what.component, "reportingInstance": "",
            })
        };
        self.store_other("events", event);
    }
}
