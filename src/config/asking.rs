//! `prometheus:` and `http:`: whom the probes may ask besides the cluster, Loki and Alertmanager, and what a runbook could never be answered with them.

use super::Config;
use super::read::{section, url};
use super::secrets::Secrets;
use crate::clients::http::{Allowed, Origin, Policy};
use crate::clients::prometheus::Settings;
use crate::runbook::Probe;
use crate::runbook::load::Objection;
use crate::yaml::{Faults, Field, Fields};

const PROMETHEUS_TOKEN: &str = "RUNBOOKD_PROMETHEUS_TOKEN";

pub(super) fn prometheus(
    field: Option<Field<'_>>,
    secrets: &Secrets<'_>,
    faults: &mut Faults,
) -> Option<Settings> {
    let mut fields = Fields::of(field?.node, "`prometheus`", faults)?;
    let address = fields
        .need("url", "url: http://prometheus:9090")
        .and_then(|field| url(field, "http://prometheus:9090", faults));
    let tenant = fields.get("tenant").and_then(|field| field.string(faults));
    let bearer = secrets.token(&mut fields, PROMETHEUS_TOKEN, faults).secret();
    fields.end(faults);
    Some(Settings { tenant, bearer, ..Settings::new(address?) })
}

pub(super) fn http(field: Option<Field<'_>>, faults: &mut Faults) -> Vec<Allowed> {
    let Some(mut fields) = section(field, "`http`", faults) else { return Vec::new() };
    let items = fields.get("allow").and_then(|field| field.list("allow: [web.shop.svc:8080]", faults));
    let mut allowed = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(text) = item.string(faults) else { continue };
        match Allowed::parse(&text) {
            Ok(host) => allowed.push(host),
            Err(expected) => {
                let hint = "every host is named in full: a pattern would also mean those that come later";
                item.wrong(expected, Some(hint.to_owned()), faults);
            }
        }
    }
    fields.end(faults);
    allowed
}

impl Config {
    /// Why a probe could never be answered with this configuration: it asks a host that is not allowed, or a Prometheus or an Alertmanager that is not there. A host
    /// that only an alert names is looked at when it is asked.
    #[must_use]
    pub fn objection(&self, probe: &Probe) -> Option<Objection> {
        match probe {
            Probe::Prometheus(_) if self.prometheus.is_none() => Some(Objection {
                message:
                    "the probe asks Prometheus, and the configuration names none; expected `prometheus` in it"
                        .to_owned(),
                hint: "add `prometheus: {url: http://prometheus:9090}` to the configuration".to_owned(),
            }),
            Probe::Alerts(_) if self.alertmanager.is_none() => Some(Objection {
                message:
                    "the probe asks Alertmanager, and the configuration names none; expected `alertmanager` in it"
                        .to_owned(),
                hint: "add `alertmanager: {url: http://alertmanager:9093, receiver: runbookd}` to the configuration".to_owned(),
            }),
            Probe::Http(probe) => {
                let value = |path: &str| self.vars.get(path.strip_prefix("vars.")?).cloned();
                let origin = Origin::read(&probe.url.origin(value)?)?;
                let allowed = Policy::new(self.http.clone()).allows(&origin);
                (!allowed).then(|| Objection {
                    message: format!("the probe asks {origin}, which the configuration does not allow; expected a host that it does"),
                    hint: format!("add `http: {{allow: [\"{origin}\"]}}` to the configuration"),
                })
            }
            Probe::Prometheus(_)
            | Probe::Loki(_)
            | Probe::Pods(_)
            | Probe::Nodes(_)
            | Probe::Rollouts(_)
            | Probe::Logs(_)
            | Probe::Events(_)
            | Probe::Budgets(_)
            | Probe::Autoscalers(_)
            | Probe::Alerts(_)
            // Its checks were looked at where they stand.
            | Probe::Verification(_) => None,
        }
    }
}
