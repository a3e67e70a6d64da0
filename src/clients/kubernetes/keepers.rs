//! Who has a hand in an object: who wrote a value of it last, and what looks after it, by the signs that these leave.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use super::objects::{item_name, owned};
use super::{Object, history};

/// Who wrote a value last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The manager's name, such as `argocd-controller`.
    pub manager: String,
    /// When; none of a write by way of the subresource `scale`, of which the API server keeps no time.
    pub at: Option<Timestamp>,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{} at {at}", self.manager),
            None => f.write_str(&self.manager),
        }
    }
}

/// What looks after an object from outside of the cluster, by the signs that it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// An application of Argo CD.
    ArgoCd(String),
    /// A Kustomization of Flux.
    Kustomization(String),
    /// A `HelmRelease` of Flux.
    HelmRelease(String),
    /// A release that somebody installs with Helm.
    Helm(String),
    /// The label `app.kubernetes.io/instance` alone: an application of Argo CD, or only what a chart sets.
    Instance(String),
}

impl fmt::Display for Keeper {
    /// What is deployed by it, together: `the Helm release shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArgoCd(name) => write!(f, "Argo CD's application {name}"),
            Self::Kustomization(name) => write!(f, "Flux's kustomization {name}"),
            Self::HelmRelease(name) => write!(f, "Flux's helmrelease {name}"),
            Self::Helm(name) => write!(f, "the Helm release {name}"),
            Self::Instance(name) => write!(f, "the release {name}"),
        }
    }
}

impl Object {
    /// Who wrote what stands at a path; none when nobody says that it was them, as of a value that was removed.
    /// Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.
    #[must_use]
    pub fn written_by(&self, path: &[String]) -> Option<Writer> {
        let holds = |fields: &Value| {
            let end = path.iter().try_fold(fields, |fields, part| match item_name(part) {
                None => fields.get(format!("f:{part}")),
                Some(name) => fields.as_object()?.iter().find_map(|(key, below)| {
                    let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
                    (key["name"] == name).then_some(below)
                }),
            });
            end.is_some()
        };
        let entries = self.json["metadata"]["managedFields"].as_array().into_iter().flatten();
        let writers = entries.filter(|entry| holds(&entry["fieldsV1"])).map(|entry| Writer {
            manager: owned(&entry["manager"]),
            at: history::text(entry, "/time").parse().ok(),
        });
        writers.max_by_key(|writer| writer.at)
    }

    /// Who looks after it.
    #[must_use]
    pub fn keepers(&self) -> Vec<Keeper> {
        let of = |part: &str, key: &str| {
            let text = self.json["metadata"][part][key].as_str()?;
            Some(text.to_owned()).filter(|text| !text.is_empty())
        };
        // `app:group/Kind:namespace/name`.
        let tracked = of("annotations", "argocd.argoproj.io/tracking-id");
        let tracked = tracked.map(|id| id.split(':').next().unwrap_or_default().to_owned());
        let argo = tracked.or_else(|| of("labels", "argocd.argoproj.io/instance"));
        let helm = of("annotations", "meta.helm.sh/release-name");
        let flux_helm = of("labels", "helm.toolkit.fluxcd.io/name");
        let found = [
            argo.map(Keeper::ArgoCd),
            of("labels", "kustomize.toolkit.fluxcd.io/name").map(Keeper::Kustomization),
            // The release that Flux installs has Helm's annotation, too.
            flux_helm.map(Keeper::HelmRelease).or_else(|| helm.map(Keeper::Helm)),
        ];
        let found: Vec<Keeper> = found.into_iter().flatten().collect();
        if found.is_empty() {
            return of("labels", "app.kubernetes.io/instance").map(Keeper::Instance).into_iter().collect();
        }
        found
    }

    /// `Kind/name` of the object that controls it.
    #[must_use]
    pub fn controller(&self) -> Option<String> {
        let mut owners = self.json["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let controls = owners.find(|owner| owner["controller"] == true)?;
        Some(format!("{}/{}", owned(&controls["kind"]), owned(&controls["name"])))
    }

    /// A label of it.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.json["metadata"]["labels"][key].as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::objects::tests::{object, path};
    use super::*;

    #[test]
    fn who_wrote_a_value_last_is_known_by_its_managed_fields() {
        let of = |path: &[String]| object().written_by(path).map(|writer| writer.to_string());
        assert_eq!(of(&path("[web] env [A] value")).unwrap(), "argocd-controller at 2026-11-23T11:49:04Z");
        let replicas = ["spec".to_owned(), "replicas".to_owned()];
        assert_eq!(
            of(&replicas).unwrap(),
            "kube-controller-manager",
            "the API server keeps no time of a scale"
        );
        assert_eq!(of(&path("[web] env [NEW] value")), None);
        assert_eq!(of(&path("[side] image")), None);
    }

    #[test]
    fn what_looks_after_an_object_is_known_by_its_signs() {
        let of = |metadata: Value| Object::of("deployment", json!({"metadata": metadata})).keepers();
        let name = || "shop".to_owned();
        let instance = json!({"app.kubernetes.io/instance": "shop"});
        let tracking = json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"});
        let helm = json!({"meta.helm.sh/release-name": "shop"});
        assert_eq!(of(json!({"annotations": tracking, "labels": instance})), [Keeper::ArgoCd(name())]);
        assert_eq!(of(json!({"annotations": helm, "labels": instance})), [Keeper::Helm(name())]);
        assert_eq!(of(json!({"labels": instance})), [Keeper::Instance(name())]);
        let flux = json!({"kustomize.toolkit.fluxcd.io/name": "shop"});
        assert_eq!(of(json!({"labels": flux})), [Keeper::Kustomization(name())]);
        let flux = json!({"helm.toolkit.fluxcd.io/name": "shop"});
        assert_eq!(of(json!({"labels": flux, "annotations": helm})), [Keeper::HelmRelease(name())]);
        assert_eq!(of(json!({})), []);
    }
}
