//! What would be broken: read, and held against the bounds. Nothing is written here.

use super::{Bounds, Ground, INJECTED, Planned, Refused, Undo, Wanted, load};
use crate::clients::kubernetes::{At, Node, Object, Pod, Rollout, valid_name};
use crate::clients::{CallError, Reason};
use crate::incident::plan::{SetField, Target};
use crate::runbook::{Field, Kind, Quantity};
use crate::text::{count, harmless};

/// A fault as it is planned, and what it was planned upon: the write holds the cluster to that.
pub(super) struct Look {
    pub(super) planned: Planned,
    pub(super) on: On,
}

/// What a plan was made upon.
pub(super) enum On {
    Deployment(Object),
    Node(Node),
    Namespace(Object),
    Nothing,
}

/// A Deployment that is steady, and its pods by name.
pub(super) struct Steady {
    pub(super) object: Object,
    pub(super) pods: Vec<Pod>,
}

impl Ground {
    /// Says what would be broken. Nothing is written.
    ///
    /// # Errors
    /// When it must not be, or it can not be seen whether it may.
    pub async fn plan(&self, wanted: &Wanted, bounds: &Bounds) -> Result<Planned, Refused> {
        self.look(wanted, *bounds).await.map(|look| look.planned)
    }

    pub(super) async fn look(&self, wanted: &Wanted, bounds: Bounds) -> Result<Look, Refused> {
        self.opted_in().await?;
        match wanted {
            Wanted::DeletePods { deployment, count } => self.look_at_pods(deployment, *count, bounds).await,
            Wanted::MemoryLimit { deployment, limit } => self.look_at_limit(deployment, limit, bounds).await,
            Wanted::EndNode { with_pod_of } => self.look_for_node(with_pod_of, bounds).await,
            Wanted::Load(wanted) => load::look(self, wanted, bounds),
            Wanted::ValidationRecord { host } => self.look_at_record(host, bounds).await,
        }
    }

    pub(super) fn planned(&self, wanted: Wanted, bounds: Bounds, undo: Undo) -> Planned {
        Planned {
            says: String::new(),
            touches: Vec::new(),
            object: None,
            uid: String::new(),
            fields: Vec::new(),
            undo,
            undo_says: String::new(),
            namespace: self.namespace.clone(),
            wanted,
            bounds,
            pods: Vec::new(),
            instance: None,
            record: None,
        }
    }

    pub(super) fn target(&self, kind: Kind, name: &str) -> Target {
        Target { kind, namespace: self.namespace.clone(), name: name.to_owned() }
    }

    /// The Deployment, if all is well with it and nobody has broken it already.
    pub(super) async fn steady(&self, deployment: &str) -> Result<Steady, Refused> {
        let (name, namespace) = (deployment, &self.namespace);
        let target = self.target(Kind::Deployment, name).to_string();
        if !valid_name(name) {
            return Err(Refused::rule(
                format!("{name:?} is not the name of a deployment"),
                "one such as web",
            ));
        }
        let object = match self.kubernetes.object("deployment", namespace, name).await {
            Err(CallError { reason: Reason::NotFound, .. }) => {
                return Err(Refused::with(
                    format!("there is no {target}"),
                    "one that is there",
                    format!("see `kubectl get deployments -n {namespace}`"),
                ));
            }
            object => object?,
        };
        if let Some(note) = object.annotation(INJECTED) {
            return Err(noted(&target, note));
        }
        let workload = object.workload()?;
        let all = self.kubernetes.pods(namespace).await?;
        let mut pods: Vec<Pod> =
            all.iter().filter(|pod| pod.is_one_of("Deployment", name)).cloned().collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        let wanted = usize::try_from(workload.replicas).unwrap_or_default();
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let saw = match &workload.rollout {
            _ if workload.paused => Some("its rollout is paused".to_owned()),
            Rollout::InProgress { what, .. } | Rollout::Failed { what, .. } => Some(what.clone()),
            Rollout::Complete { .. } if wanted == 0 => Some("it is to have no pods".to_owned()),
            Rollout::Complete { .. } if pods.len() != wanted || ready != wanted => {
                Some(format!("{ready} of {wanted} pods are ready"))
            }
            Rollout::Complete { .. } => None,
        };
        match saw {
            None => Ok(Steady { object, pods }),
            Some(saw) => Err(Refused::with(
                format!("{target} is not steady: {saw}"),
                "every pod that it is to have, ready, and no rollout under way",
                "mend it first, or wait: what is broken already proves nothing",
            )),
        }
    }

    async fn look_at_pods(
        &self,
        deployment: &str,
        number: Option<u32>,
        bounds: Bounds,
    ) -> Result<Look, Refused> {
        let Steady { object, pods } = self.steady(deployment).await?;
        let has = u32::try_from(pods.len()).unwrap_or(u32::MAX);
        let every = number.is_none();
        let number = number.unwrap_or(has);
        let target = self.target(Kind::Deployment, deployment);
        let of = |number: u32| count(number.into(), "pod", "pods");
        let refuse = |saw: String, expected: String| {
            let help = "say that all of them may go at once, if that is meant";
            Err(Refused::with(saw, expected, help))
        };
        let wanted = Wanted::DeletePods { deployment: deployment.to_owned(), count: Some(number) };
        if number == 0 || number > has {
            return Err(Refused::rule(
                format!("{} of {target} would be deleted, which has {}", of(number), of(has)),
                format!("1 to {has}"),
            ));
        }
        if !bounds.all && number > bounds.pods.max(1) {
            let expected = format!("no more than {} at once", of(bounds.pods.max(1)));
            return refuse(format!("{} of {target} would be deleted", of(number)), expected);
        }
        if !bounds.all && (every || number == has && has > 1) {
            let expected = "one that stays".to_owned();
            return refuse(format!("all {} of {target} would be deleted at once", of(has)), expected);
        }
        let chosen: Vec<_> = pods.into_iter().take(number as usize).map(|pod| (pod.name, pod.uid)).collect();
        let names = chosen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let mut touches = vec!["disruption budgets are not asked".to_owned()];
        if number == has {
            touches.insert(0, format!("no pod of {target} is left until new ones are ready"));
        }
        let planned = Planned {
            says: format!("delete {} of {target}: {names}", of(number)),
            touches,
            undo_says: "nothing: its Deployment makes new pods".to_owned(),
            uid: object.uid().to_owned(),
            object: Some(target),
            pods: chosen,
            ..self.planned(wanted, bounds, Undo::Nothing)
        };
        Ok(Look { planned, on: On::Deployment(object) })
    }

    async fn look_at_limit(&self, deployment: &str, limit: &str, bounds: Bounds) -> Result<Look, Refused> {
        let Steady { object, pods } = self.steady(deployment).await?;
        let target = self.target(Kind::Deployment, deployment);
        let after: Quantity = limit
            .parse()
            .map_err(|_| Refused::rule(format!("{limit:?} is no amount of memory"), "one such as 512Mi"))?;
        if after.is_zero() {
            return Err(Refused::rule("the limit would be nothing", "an amount such as 512Mi"));
        }
        let containers = object.containers();
        let container = match containers.as_slice() {
            [only] => only,
            all => all.iter().find(|name| *name == deployment).ok_or_else(|| {
                Refused::rule(
                    format!("{target} has the containers {}", all.join(", ")),
                    "one alone, or one of the Deployment's name",
                )
            })?,
        };
        let field = Field::Limit { container: container.clone(), resource: "memory".to_owned() };
        let before = match object.at(&field.path()) {
            At::Text(text) => Some(text),
            At::Absent => None,
            At::From(_) | At::NoItem(_) => {
                return Err(Refused::rule(format!("the {field} of {target} can not be read"), "an amount"));
            }
        };
        if let Some(before) = &before {
            let has: Quantity = before.parse().map_err(|_| {
                Refused::rule(
                    format!("the {field} of {target} is {before}"),
                    "an amount that can be compared",
                )
            })?;
            if after >= has {
                return Err(Refused::rule(
                    format!("the {field} of {target} is {before}, and {limit} is not less: that is no fault"),
                    format!("less than {before}"),
                ));
            }
        }
        let asks = object.asks();
        let asks = asks.iter().find(|asks| asks.name == *container && !asks.comes_first);
        let request = asks.and_then(|asks| asks.requests.get("memory"));
        if let Some(request) = request.filter(|text| text.parse().is_ok_and(|least: Quantity| after < least))
        {
            return Err(Refused::rule(
                format!("{limit} is less than {container} of {target} requests, which no cluster takes"),
                format!("{request} or more"),
            ));
        }
        let shown = before.clone().unwrap_or_else(|| "no limit".to_owned());
        let undo = Undo::Field { field: field.clone(), ours: limit.to_owned(), base: before.clone() };
        let wanted = Wanted::MemoryLimit { deployment: deployment.to_owned(), limit: limit.to_owned() };
        let rolled = count(pods.len() as u64, "pod is", "pods are");
        let planned = Planned {
            says: format!("lower the {field} in {target} from {shown} to {limit}"),
            touches: vec![format!("{rolled} replaced by the Deployment's own rollout strategy")],
            undo_says: format!(
                "the {field} is set to {shown} again, unless somebody else has changed it since"
            ),
            uid: object.uid().to_owned(),
            fields: vec![SetField { field, before, after: Some(limit.to_owned()), baseline: None }],
            object: Some(target),
            ..self.planned(wanted, bounds, undo)
        };
        Ok(Look { planned, on: On::Deployment(object) })
    }
}

/// There is a note already.
pub(super) fn noted(target: &str, note: &str) -> Refused {
    let whose = match super::Note::read(note) {
        // Whoever may write the annotation can have written anything.
        Ok(note) => harmless(&format!("the run {} of {}", note.run, note.scenario)),
        Err(_) => "somebody".to_owned(),
    };
    Refused::with(
        format!("{target} bears the note of a fault: {whose} has broken it and not undone it"),
        format!("no annotation {INJECTED}"),
        "wait for that run, or undo what it left behind with `runbookd inject cleanup`",
    )
}
