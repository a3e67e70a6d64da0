//! Probes: questions that change nothing, one file each. Each answers *holds*, *fails* or *unknown*; a question
//! that could not be asked is unknown.

mod acm;
mod alerts;
pub mod exec;
pub mod field;
mod http;
mod logs;
mod loki;
mod made_up;
mod nodes;
mod objects;
mod owner;
mod pods;
mod prometheus;
mod rollout;
mod rollouts;
mod route53;
mod sockets;
mod tls;
mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clients::acm::Acm;
use crate::clients::alertmanager::Alertmanager;
use crate::clients::http::{Http, Policy};
use crate::clients::kubernetes::Kubernetes;
use crate::clients::loki::Loki;
use crate::clients::prometheus::Prometheus;
use crate::clients::route53::Route53;
use crate::clock;
use crate::incident::Incident;
use crate::incident::drill::Drill;
use crate::incident::event::{Found, Leg};
use crate::incident::evidence::{Evidence, Verdict, all_of, all_of_verify};
use crate::incident::plan::{Kind, Target};
use crate::runbook::{
    Check, Field, Named, PodState, Probe, RolloutState, Runbook, Template, Threshold, Verification, Verify,
    no_value,
};

/// The kubelet waits no longer than this before it starts a container again.
/// Source: <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts>.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);

pub use owner::NoOwner;

/// The eyes: everything that can be asked.
#[derive(Clone)]
pub struct Eyes {
    loki: Loki,
    kubernetes: Kubernetes,
    http: Http,
    prometheus: Option<Prometheus>,
    alertmanager: Option<Alertmanager>,
    /// Where certificates and their records are.
    certificates: Option<(Acm, Route53)>,
    /// What may be run in containers.
    exec: Arc<exec::Allowed>,
    /// What drills have made up.
    made_up: made_up::MadeUp,
}

/// What a question is about: the moment, and the values of the placeholders.
#[derive(Clone)]
struct Scope<'a> {
    /// None when a person asks, and no alert.
    incident: Option<&'a Incident>,
    vars: &'a BTreeMap<String, String>,
    time_scale: u32,
    leg: Option<&'a Leg>,
    now: Timestamp,
    /// The labels of lines that are kept for other questions.
    clues: &'a BTreeSet<String>,
    /// What was found of them so far.
    found: BTreeMap<String, String>,
}

/// Where nothing asks for what others have found.
static NO_CLUES: BTreeSet<String> = BTreeSet::new();

impl<'a> Scope<'a> {
    fn of(incident: &'a Incident, runbook: &'a Runbook, leg: Option<&'a Leg>) -> Self {
        let Runbook { vars, time_scale, clues, .. } = runbook;
        let found = incident.clues.clone();
        Self { incident: Some(incident), vars, time_scale: *time_scale, leg, now: clock::now(), clues, found }
    }

    /// A person asks, and no alert.
    const fn nobody(vars: &'a BTreeMap<String, String>, time_scale: u32, now: Timestamp) -> Self {
        Self { incident: None, vars, time_scale, leg: None, now, clues: &NO_CLUES, found: BTreeMap::new() }
    }

    fn value_of(&self, path: &str) -> Option<String> {
        match path.strip_prefix("evidence.") {
            Some(label) => self.found.get(label).cloned(),
            None => value(self.incident, self.vars, self.leg, path),
        }
    }

    /// The drill that has made up what the incident is about.
    fn drill(&self) -> Option<&'a String> {
        self.incident.and_then(|incident| incident.opened.drill.as_ref())
    }

    /// A template with its values.
    fn fill(&self, template: &Template) -> Result<String, String> {
        template.with(|path| self.value_of(path)).map_err(|path| no_value(&path))
    }

    /// When the incident began; for a person's question, now.
    fn opened_at(&self) -> Timestamp {
        self.incident.map_or(self.now, |incident| incident.opened_at)
    }

    /// A duration of runbookd's own, at the pace of the runbook.
    fn paced(&self, duration: Duration) -> Duration {
        duration / self.time_scale.max(1)
    }

    /// Asked again, later in the incident, a container that runs between two crashes has crashed all the same.
    fn crashes_since(&self) -> Option<Timestamp> {
        let from = clock::before(self.now, self.paced(LONGEST_BACK_OFF));
        let opened = self.opened_at();
        (opened < self.now).then_some(from.max(opened))
    }
}

/// How a probe is asked otherwise than it says itself.
#[derive(Clone, Copy)]
struct Look {
    /// Another threshold than its own.
    threshold: Option<Threshold>,
    /// Another window than its own.
    window: Option<Duration>,
    /// What was before this moment does not count: a window that reaches further back is cut there.
    since: Option<Timestamp>,
}

impl Look {
    fn threshold(&self, own: Threshold) -> Threshold {
        self.threshold.unwrap_or(own)
    }

    fn from(&self, scope: &Scope<'_>, own: Duration) -> Timestamp {
        let from = clock::before(scope.now, self.window.unwrap_or(own));
        self.since.map_or(from, |since| from.max(since))
    }
}

/// The value of a placeholder: `labels.NAME`, `each.NAME`, `target.namespace`, `target.name` or `vars.NAME`. A label counts only when all alerts of
/// the incident agree on it.
#[must_use]
pub fn value_of(incident: &Incident, runbook: &Runbook, leg: Option<&Leg>, path: &str) -> Option<String> {
    value(Some(incident), &runbook.vars, leg, path)
}

fn value(
    incident: Option<&Incident>,
    vars: &BTreeMap<String, String>,
    leg: Option<&Leg>,
    path: &str,
) -> Option<String> {
    let (root, name) = path.split_once('.')?;
    match root {
        "labels" if let Some(run) = &incident?.opened.run => Some(run.labels.get(name).to_owned()),
        "labels" => {
            let mut values = incident?.alerts.values().map(|state| state.alert.labels.get(name));
            let first = values.next()?;
            values.all(|value| value == first).then(|| first.to_owned())
        }
        "each" => leg?.each.get(name).cloned(),
        "target" => match (name, &leg?.target) {
            ("namespace", target) => Some(target.namespace.clone()),
            ("name", target) => Some(target.name.clone()),
            _ => None,
        },
        "vars" => vars.get(name).cloned(),
        _ => None,
    }
    .filter(|value| !value.is_empty())
}

impl Eyes {
    /// Eyes on these systems, and on no others.
    #[must_use]
    pub fn new(loki: Loki, kubernetes: Kubernetes) -> Self {
        Self {
            loki,
            kubernetes,
            http: Http::new(Policy::default()),
            prometheus: None,
            alertmanager: None,
            certificates: None,
            exec: Arc::default(),
            made_up: made_up::MadeUp::default(),
        }
    }

    /// From now on lines in Loki can be made up by this drill: only its own incidents take them for evidence. All clones of these eyes know.
    pub fn tell_of(&self, drill: &Drill) {
        self.made_up.by(drill);
    }

    /// With eyes on the services that may be asked.
    #[must_use]
    pub fn with_http(self, http: Http) -> Self {
        Self { http, ..self }
    }

    /// With eyes on a Prometheus, if there is one.
    #[must_use]
    pub fn with_prometheus(self, prometheus: Option<Prometheus>) -> Self {
        Self { prometheus, ..self }
    }

    /// With eyes on an Alertmanager, if there is one.
    #[must_use]
    pub fn with_alertmanager(self, alertmanager: Option<Alertmanager>) -> Self {
        Self { alertmanager, ..self }
    }

    /// With eyes on certificates and their records, if there is an AWS.
    #[must_use]
    pub fn with_certificates(self, certificates: Option<(Acm, Route53)>) -> Self {
        Self { certificates, ..self }
    }

    /// Allowed to run these programs in containers, and no others.
    #[must_use]
    pub fn with_exec(self, allowed: &exec::Allowed) -> Self {
        Self { exec: allowed.into(), ..self }
    }

    /// The object behind a pod, also behind one that is gone.
    ///
    /// # Errors
    /// [`NoOwner`], with why.
    pub async fn owner_of(&self, namespace: &str, pod: &str) -> Result<Target, NoOwner> {
        owner::of(&self.kubernetes, namespace, pod).await
    }

    /// A field of the very object with this uid, as it is now.
    ///
    /// # Errors
    /// Why it can not be seen, in an operator's words.
    pub async fn field(&self, object: &Target, uid: &str, field: &Field) -> Result<field::Seen, String> {
        field::look(&self.kubernetes, object, uid, field).await
    }

    /// Asks the probes of `confirm`, all about the same moment.
    pub async fn confirm(&self, incident: &Incident, runbook: &Runbook) -> (Found, Vec<Evidence>) {
        let answers = self.all(incident, runbook, None, &runbook.confirm).await;
        (all_of(&answers), answers)
    }

    /// Asks the probes of a diagnosis, or of a step's `when`, about the target at hand.
    pub async fn about_target(
        &self,
        incident: &Incident,
        runbook: &Runbook,
        probes: &[Named],
    ) -> Vec<Evidence> {
        self.all(incident, runbook, incident.current_leg(), probes).await
    }

    /// Asks the checks of a verification, for a person.
    pub async fn verification(&self, verification: &Verification, time_scale: u32) -> Vec<Evidence> {
        let vars = &verification.vars;
        let scope = Scope::nobody(vars, time_scale, clock::now());
        let look = Look { threshold: None, window: None, since: None };
        verification::checks(self, &scope, &verification.checks, look).await
    }

    async fn all(
        &self,
        incident: &Incident,
        runbook: &Runbook,
        leg: Option<&Leg>,
        probes: &[Named],
    ) -> Vec<Evidence> {
        let mut scope = Scope::of(incident, runbook, leg);
        let mut answers = Vec::with_capacity(probes.len());
        for Named { name, probe } in probes {
            let look = Look { threshold: None, window: None, since: None };
            let answer = self.one(&scope, name, probe, look).await;
            scope.found.extend(answer.clues.clone());
            answers.push(answer);
        }
        answers
    }

    /// Asks the checks of `verify` about the target at hand and the time since the effect was complete: a window
    /// that reaches further back is cut there.
    pub async fn verify(
        &self,
        incident: &Incident,
        runbook: &Runbook,
        verify: &Verify,
        since: Timestamp,
    ) -> (Found, Vec<Evidence>) {
        let scope = Scope::of(incident, runbook, incident.current_leg());
        let mut answers = Vec::with_capacity(verify.all.len());
        for check in &verify.all {
            answers.push(match check {
                Check::Again { probe: name, threshold, window } => {
                    let look = Look { threshold: Some(*threshold), window: *window, since: Some(since) };
                    let mut named = runbook.confirm.iter().chain(&runbook.probes);
                    match named.find(|named| named.name == *name) {
                        Some(named) => self.sign_of_health(&scope, named, look).await,
                        None => {
                            let why = format!("there is no probe called {name}");
                            Evidence::unknown(name, String::new(), why)
                        }
                    }
                }
                Check::RolloutComplete => rollout::ask(&self.kubernetes, &scope).await,
            });
        }
        (all_of_verify(&answers), answers)
    }

    /// Asks a probe whether all is well. An answer that is not about the thing itself is silence about it, however good: beside a sign of
    /// life it counts, and alone it says nothing.
    async fn sign_of_health(&self, scope: &Scope<'_>, named: &Named, look: Look) -> Evidence {
        let evidence = self.one(scope, &named.name, &named.probe, look).await;
        if named.probe.tells_of_health() || evidence.verdict != Verdict::Holds {
            return evidence;
        }
        Evidence { verdict: Verdict::Quiet { why: evidence.saw.clone() }, ..evidence }
    }

    /// Asks one probe.
    async fn one(&self, scope: &Scope<'_>, name: &str, probe: &Probe, look: Look) -> Evidence {
        match probe {
            Probe::Loki(probe) => {
                let (threshold, from) = (look.threshold(probe.threshold), look.from(scope, probe.window));
                let made_up = self.made_up.since(from);
                let question = loki::Question { name, probe, threshold, from, made_up };
                loki::ask(&self.loki, scope, question).await
            }
            Probe::Pods(probe) => {
                // A container that crashes again and again runs in between, perhaps just now.
                let crashed = || {
                    let crashes = matches!(probe.state, PodState::CrashLooping | PodState::Unhealthy);
                    look.since.or_else(|| scope.crashes_since()).filter(|_| crashes)
                };
                let from = probe.window.map(|window| look.from(scope, window)).or_else(crashed);
                let threshold = look.threshold(probe.threshold);
                let overdue = clock::before(scope.now, scope.paced(pods::STUCK));
                let question = pods::Question { name, probe, threshold, from, overdue };
                pods::ask(&self.kubernetes, scope, question).await
            }
            Probe::Logs(probe) => {
                let threshold = look.threshold(probe.threshold);
                logs::ask(&self.kubernetes, scope, name, probe, threshold, look.since).await
            }
            Probe::Http(probe) => {
                let tools = http::Tools { http: &self.http, kubernetes: &self.kubernetes };
                http::ask(tools, scope, name, probe, look.threshold(probe.threshold)).await
            }
            Probe::Tls(probe) => {
                tls::ask(&self.http, scope, name, probe, look.threshold(probe.threshold)).await
            }
            Probe::Acm(probe) => {
                let acm = self.certificates.as_ref().map(|(acm, _)| acm);
                acm::ask(acm, scope, name, probe, look.threshold(probe.threshold)).await
            }
            Probe::Route53(probe) => {
                let tools = self.certificates.as_ref().map(|(acm, route53)| (acm, route53));
                route53::ask(tools, scope, name, probe, look.threshold(probe.threshold)).await
            }
            Probe::Exec(probe) => {
                let threshold = look.threshold(probe.threshold);
                exec::ask(&self.kubernetes, &self.exec, scope, name, probe, threshold).await
            }
            Probe::Prometheus(probe) => {
                let (threshold, since) = (look.threshold(probe.threshold), look.since);
                let question = prometheus::Question { name, probe, threshold, since };
                prometheus::ask(self.prometheus.as_ref(), scope, question).await
            }
            Probe::Nodes(probe) => {
                let threshold = look.threshold(probe.threshold);
                nodes::ask(&self.kubernetes, scope, name, probe, threshold).await
            }
            Probe::Verification(probe) => {
                let threshold = look.threshold(probe.threshold);
                verification::ask(self, scope, name, probe, threshold, look).await
            }
            Probe::Events(probe) => {
                let (threshold, from) = (look.threshold(probe.threshold), look.from(scope, probe.window));
                objects::events(&self.kubernetes, scope, name, probe, threshold, from).await
            }
            Probe::Budgets(probe) => {
                let threshold = look.threshold(probe.threshold);
                objects::budgets(&self.kubernetes, scope, name, probe, threshold).await
            }
            Probe::Autoscalers(probe) => {
                let threshold = look.threshold(probe.threshold);
                objects::autoscalers(&self.kubernetes, scope, name, probe, threshold).await
            }
            Probe::Alerts(probe) => {
                let threshold = look.threshold(probe.threshold);
                let mut others = self.made_up.since(scope.now);
                others.retain(|run| Some(run) != scope.drill());
                alerts::ask(self.alertmanager.as_ref(), scope, name, (probe, threshold), &others).await
            }
            Probe::Rollouts(probe) if probe.state == RolloutState::Incomplete => {
                rollouts::incomplete(&self.kubernetes, scope, name, probe, look.threshold(probe.threshold))
                    .await
            }
            Probe::Rollouts(probe) => {
                let (threshold, from) = (look.threshold(probe.threshold), look.from(scope, probe.window));
                let question = rollouts::Question { name, probe, threshold, from };
                rollouts::ask(&self.kubernetes, scope, question).await
            }
        }
    }
}

/// The namespace and the Deployment that a probe asks about; without a name of its own those of the target, when that is in this namespace.
fn object(
    scope: &Scope<'_>,
    namespace: &Template,
    deployment: Option<&Template>,
) -> Result<(String, Option<String>), String> {
    let namespace = scope.fill(namespace)?;
    let deployment = deployment.map(|deployment| scope.fill(deployment)).transpose()?;
    let target = scope.leg.map(|leg| &leg.target);
    let own = target.filter(|target| target.kind == Kind::Deployment && target.namespace == namespace);
    Ok((namespace, deployment.or_else(|| own.map(|target| target.name.clone()))))
}

/// Like [`object`], for a question about a single Deployment.
fn one_object(
    scope: &Scope<'_>,
    namespace: &Template,
    deployment: Option<&Template>,
) -> Result<(String, String), String> {
    let (namespace, deployment) = object(scope, namespace, deployment)?;
    let deployment = deployment.ok_or("neither the probe nor the incident names a Deployment")?;
    Ok((namespace, deployment))
}

/// The verdict on a count. With figures by label, `at_least` is held against each of them, and those that do not reach it go.
fn held(threshold: Threshold, total: f64, by: Option<&mut BTreeMap<String, f64>>) -> Verdict {
    let holds = match (threshold, by) {
        (Threshold::AtLeast(_), Some(by)) => {
            by.retain(|_, figure| threshold.holds(*figure));
            !by.is_empty()
        }
        _ => threshold.holds(total),
    };
    if holds { Verdict::Holds } else { Verdict::Fails }
}

/// The figures in a few words, the largest first: `chat-api 42, auth 3`.
fn figures(by: &BTreeMap<String, f64>) -> String {
    let mut pairs: Vec<(&String, &f64)> = by.iter().collect();
    pairs.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
    let words: Vec<String> =
        pairs.iter().take(5).map(|(value, figure)| format!("{value} {figure}")).collect();
    let more = pairs.len().saturating_sub(5);
    if more > 0 { format!("{}, and {more} more", words.join(", ")) } else { words.join(", ") }
}
