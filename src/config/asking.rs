//! `prometheus:` and `http:`: whom the probes may ask besides the cluster, Loki and Alertmanager, and what a runbook could never be answered with them.

use std::io::Read as _;

use super::read::{section, url};
use super::secrets::Secrets;
use super::{Config, Http};
use crate::clients::grafana::Grafana;
use crate::clients::http::{Allowed, Origin, Policy, Trust};
use crate::clients::prometheus::Settings;
use crate::runbook::exec::{argv, written};
use crate::runbook::load::{Objection, Wants};
use crate::runbook::{ExecProbe, Probe, UrlTemplate};
use crate::yaml::{Faults, Field, Fields};

/// No file of certificates is longer: the system's own has about 200 KiB.
const MOST_BYTES: u64 = 4 << 20;
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

/// For people: it is never asked.
pub(super) fn grafana(field: Option<Field<'_>>, faults: &mut Faults) -> Option<Grafana> {
    let mut fields = Fields::of(field?.node, "`grafana`", faults)?;
    let example = "https://grafana.example.org";
    let address =
        fields.need("url", &format!("url: {example}")).and_then(|field| url(field, example, faults));
    let mut uid = |name| {
        let field = fields.get(name)?;
        let uid = field.string(faults)?;
        // Source: <https://grafana.com/docs/grafana/latest/developers/http_api/data_source/>: at most 40 characters.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=40).contains(&uid.len()) || !uid.bytes().all(fits) {
            let hint = "it stands in the address of the data source's page, after /datasources/edit/";
            field.wrong("expected the uid of a data source", Some(hint.to_owned()), faults);
            return None;
        }
        Some(uid)
    };
    let (loki, prometheus) = (uid("loki"), uid("prometheus"));
    fields.end(faults);
    Some(Grafana { url: address?, loki, prometheus })
}

pub(super) fn http(field: Option<Field<'_>>, secrets: &Secrets<'_>, faults: &mut Faults) -> Http {
    let Some(mut fields) = section(field, "`http`", faults) else { return Http::default() };
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
    let trust = fields.get("ca_file").and_then(|field| trust(field, secrets, faults));
    fields.end(faults);
    Http { allowed, trust: trust.unwrap_or_default() }
}

/// `exec:`, the programs that may be run in containers.
pub(super) fn exec(field: Option<Field<'_>>, faults: &mut Faults) -> Vec<Vec<String>> {
    let Some(mut fields) = section(field, "`exec`", faults) else { return Vec::new() };
    let items = fields.get("allow").and_then(|field| field.list("allow: [[cat, /proc/net/tcp]]", faults));
    let allowed = items.unwrap_or_default().into_iter().filter_map(|item| argv(item, faults)).collect();
    fields.end(faults);
    allowed
}

fn trust(field: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Trust> {
    let path = secrets.folder.join(field.string(faults)?);
    let mut text = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text));
    if let Err(error) = read {
        let message =
            format!("the file {} can not be read: {error}; expected certificates in it", path.display());
        secrets.missing(field.place(), message, faults);
        return None;
    }
    Trust::from_pem(&text)
        .map_err(|expected| {
            let message = format!("the file {} holds something else; {expected}", path.display());
            faults.add(field.place(), message, None);
        })
        .ok()
}

impl Config {
    /// Why a probe could never be answered with this configuration: it asks a host that is not allowed, or a Prometheus or an Alertmanager that is not there. A host
    /// that only an alert names is looked at when it is asked.
    #[must_use]
    pub fn objection(&self, wants: Wants<'_>) -> Option<Objection> {
        let probe = match wants {
            Wants::Probe(probe) => probe,
            Wants::Database => return self.may_not_grow(),
        };
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
            Probe::Exec(probe) => self.may_not_run(probe),
            Probe::Http(probe) => self.may_not_ask(&probe.url),
            Probe::Tls(probe) => self.may_not_ask(&probe.address),
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

    fn may_not_grow(&self) -> Option<Objection> {
        self.aws.is_none().then(|| Objection {
            message: "`within` asks RDS, and the configuration names none; expected `aws` in it".to_owned(),
            hint: "add `aws: {region: eu-central-1}` to the configuration".to_owned(),
        })
    }

    fn may_not_run(&self, probe: &ExecProbe) -> Option<Objection> {
        let argvs = probe.what.argvs();
        let missing: Vec<_> =
            argvs.iter().filter(|argv| !self.exec.contains(argv)).map(|argv| written(argv)).collect();
        (!missing.is_empty()).then(|| Objection {
            message: format!(
                "the probe runs {} in containers, which the configuration does not allow; expected what it lists, word for word",
                missing.join(" and ")
            ),
            hint: format!("add `exec: {{allow: [{}]}}` to the configuration", missing.join(", ")),
        })
    }

    fn may_not_ask(&self, url: &UrlTemplate) -> Option<Objection> {
        let value = |path: &str| self.vars.get(path.strip_prefix("vars.")?).cloned();
        let origin = Origin::read(&url.origin(value)?)?;
        let allowed = Policy::new(self.http.allowed.clone()).allows(&origin);
        (!allowed).then(|| Objection {
            message: format!("the probe asks {origin}, which the configuration does not allow; expected a host that it does"),
            hint: format!("add `http: {{allow: [\"{origin}\"]}}` to the configuration"),
        })
    }
}
