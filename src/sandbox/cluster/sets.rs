//! `StatefulSets` and `DaemonSets`: a pod for each ordinal, or on each node; a new template replaces them one after the other, each once the one before is
//! ready. `updateStrategy: OnDelete` replaces none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::template::canonical;
use super::{Cluster, Name, Pod, START, seconds};
use crate::sandbox::chance::{Chance, template_hash};
use crate::sandbox::state::Pace;

/// A place that one pod has: an ordinal, or a node.
type Slot = String;

impl Cluster {
    /// Puts a `StatefulSet` or a `DaemonSet` into the cluster, and lets it have its pods.
    pub(in crate::sandbox) fn put_set(
        &mut self,
        plural: &'static str,
        name: &Name,
        replicas: u32,
        now: Timestamp,
        chance: &mut Chance,
    ) {
        let labels = json!({"app.kubernetes.io/name": name.1});
        let mut template = json!({
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": name.1, "image": format!("example/{}:1", name.1), "resources": {}}],
                     "restartPolicy": "Always", "terminationGracePeriodSeconds": 30},
        });
        if let Some(port) = super::samosachaat::port_of(&name.1) {
            template["spec"]["containers"][0]["ports"] = json!([{"containerPort": port, "protocol": "TCP"}]);
        }
        let mut spec = json!({
            "selector": {"matchLabels": labels},
            "template": template,
            "updateStrategy": {"type": "RollingUpdate"},
        });
        if plural == "statefulsets" {
            spec["replicas"] = json!(replicas);
            spec["serviceName"] = json!(name.1);
        }
        let metadata = json!({"name": name.1, "namespace": name.0, "uid": chance.uid(), "generation": 1,
                              "creationTimestamp": seconds(now)});
        self.store_other(plural, json!({"metadata": metadata, "spec": spec, "status": {}}));
    }

    pub(super) fn advance_sets(&mut self, now: Timestamp, pace: Pace, chance: &mut Chance) {
        for (plural, kind) in [("statefulsets", "StatefulSet"), ("daemonsets", "DaemonSet")] {
            let sets: Vec<(Name, Value)> = self
                .others
                .get(plural)
                .into_iter()
                .flatten()
                .map(|(n, set)| (n.clone(), set.clone()))
                .collect();
            for (name, set) in sets {
                self.advance_set(plural, kind, &name, &set, (now, pace), chance);
            }
        }
    }

    fn advance_set(
        &mut self,
        plural: &'static str,
        kind: &'static str,
        name: &Name,
        set: &Value,
        (now, pace): (Timestamp, Pace),
        chance: &mut Chance,
    ) {
        let uid = set["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let template = set["spec"]["template"].clone();
        let slots: Vec<Slot> = if kind == "StatefulSet" {
            let replicas = set["spec"]["replicas"].as_u64().unwrap_or(1);
            (0..replicas).map(|ordinal| format!("{}-{ordinal}", name.1)).collect()
        } else {
            self.nodes().into_iter().map(|(node, _)| node).collect()
        };
        let slot_of = |pod: &Pod| {
            if kind == "StatefulSet" { pod.name.clone() } else { pod.node.clone().unwrap_or_default() }
        };
        let own: BTreeMap<Slot, Pod> = self.pods_of(&uid).map(|pod| (slot_of(pod), pod.clone())).collect();
        for slot in slots.iter().filter(|slot| !own.contains_key(*slot)) {
            let (pod, node) = if kind == "StatefulSet" {
                (slot.clone(), self.place())
            } else {
                (format!("{}-{}", name.1, chance.suffix()), Some(slot.clone()))
            };
            let pod = self.new_pod((&name.0, &pod), (kind, &name.1, &uid), &template, (now, pace), chance);
            self.pods.insert(pod.key(), Pod { node, ..pod });
        }
        let is_new = |pod: &Pod| canonical(&pod.template) == canonical(&template);
        let all_ready = own.len() == slots.len() && own.values().all(Pod::serves);
        let rolls = set["spec"]["updateStrategy"]["type"] != "OnDelete";
        // The highest ordinal goes first.
        if let Some(old) = own.values().rev().find(|pod| !is_new(pod)).filter(|_| rolls && all_ready) {
            self.stop_pod(&old.key(), now, pace);
        }
        let ready = own.values().filter(|pod| pod.serves()).count();
        let updated = own.values().filter(|pod| is_new(pod) && pod.stopping_since.is_none()).count();
        let status = if kind == "StatefulSet" {
            let newest = format!("{}-{}", name.1, template_hash(&canonical(&template)));
            let before = set["status"]["currentRevision"].as_str().unwrap_or(&newest).to_owned();
            let current = if updated == slots.len() { newest.clone() } else { before };
            json!({"replicas": own.len(), "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": updated,
                   "currentRevision": current, "updateRevision": newest,
                   "observedGeneration": set["metadata"]["generation"]})
        } else {
            json!({"desiredNumberScheduled": slots.len(), "currentNumberScheduled": own.len(), "numberMisscheduled": 0,
                   "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": updated,
                   "observedGeneration": set["metadata"]["generation"]})
        };
        if set["status"] != status {
            let mut set = set.clone();
            set["status"] = status;
            self.store_other(plural, set);
        }
    }

    /// A pod that has just been made.
    pub(super) fn new_pod(
        &mut self,
        (namespace, name): (&str, &str),
        (owner_kind, owner, owner_uid): (&'static str, &str, &str),
        template: &Value,
        (now, pace): (Timestamp, Pace),
        chance: &mut Chance,
    ) -> Pod {
        let version = self.next_version();
        self.next_ip += 1;
        Pod {
            node: None,
            lost: false,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            service: owner.to_owned(),
            uid: chance.uid(),
            version,
            owner_kind,
            owner: owner.to_owned(),
            owner_uid: owner_uid.to_owned(),
            created: now,
            ready_at: pace.after(now, START),
            ready_since: None,
            broken: false,
            stopping_since: None,
            gone_at: None,
            ip: format!("10.244.{}.{}", self.next_ip / 250 % 250, self.next_ip % 250 + 1),
            address: None,
            loaded: None,
            template: template.clone(),
            dry: false,
            dry_at: None,
            crashing: None,
        }
    }
}
