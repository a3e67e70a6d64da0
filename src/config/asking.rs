//! `prometheus:` and `http:`: whom the probes may ask, and the actions call, besides the cluster, Loki and Alertmanager, and what a runbook could never be answered with them.

use std::io::Read as _;

use http::{HeaderName, HeaderValue};

use super::read::{section, url};
use super::secrets::Secrets;
use super::{Config, Http};
use crate::clients::Secret;
use crate::clients::acm::Which;
use crate::clients::github::Workflow;
use crate::clients::grafana::Grafana;
use crate::clients::http::{Allowed, AllowedPods, Key, KeyTo, Network, Origin, Trust};
use crate::clients::kubernetes::valid_namespace;
use crate::clients::prometheus::Settings;
use crate::clients::terraform::Pattern;
use crate::runbook::exec::{argv, written};
use crate::runbook::load::{Objection, Wants};
use crate::runbook::{AcmProbe, EachPod, ExecProbe, HttpProbe, Probe, Route53Probe, Template, UrlTemplate};
use crate::text::cut;
use crate::yaml::{Faults, Field, Fields, Value};

/// No file of certificates is longer: the system's own has about 200 KiB.
const MOST_BYTES: u64 = 4 << 20;
const PROMETHEUS_TOKEN: &str = "RUNBOOKD_PROMETHEUS_TOKEN";
const PODS_EXAMPLE: &str = "pods: [{namespace: shop, port: 8003}]";
/// The variable for the value of a header, before its name.
const VALUE: &str = "RUNBOOKD_HTTP_";
/// A shorter one is none, and could not be hidden where somebody repeats it.
const LEAST_SECRET: usize = 8;

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
    let mut http = Http::default();
    let items = fields.get("allow").and_then(|field| field.list("allow: [web.shop.svc:8080]", faults));
    for item in items.unwrap_or_default() {
        if let Some((host, key)) = host(item, secrets, faults) {
            http.keys.extend(key.map(|(header, value)| Key { to: KeyTo::Host(host.clone()), header, value }));
            http.allowed.push(host);
        }
    }
    let items = fields.get("pods").and_then(|field| field.list(PODS_EXAMPLE, faults));
    for item in items.unwrap_or_default() {
        if let Some((pods, key)) = pods(item, secrets, faults) {
            let to = KeyTo::Pods { namespace: pods.namespace.clone(), port: pods.port };
            http.keys.extend(key.map(|(header, value)| Key { to, header, value }));
            http.pods.push(pods);
        }
    }
    http.trust = fields.get("ca_file").and_then(|field| trust(field, secrets, faults)).unwrap_or_default();
    fields.end(faults);
    http
}

/// A header that only the configuration knows.
type Shown = Option<(HeaderName, Secret)>;

/// A host as text, or with a header that is shown to it.
fn host(item: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<(Allowed, Shown)> {
    if !matches!(item.node.value, Value::Map(_)) {
        return Some((allowed(item, faults)?, None));
    }
    let mut fields = Fields::of(item.node, "the host", faults)?;
    let host = fields.need("host", "host: web.shop.svc:8080").and_then(|field| allowed(field, faults));
    let key = key(&mut fields, secrets, faults);
    fields.end(faults);
    Some((host?, key))
}

fn allowed(item: Field<'_>, faults: &mut Faults) -> Option<Allowed> {
    let text = item.string(faults)?;
    Allowed::parse(&text)
        .map_err(|expected| {
            let hint = "every host is named in full: a pattern would also mean those that come later";
            item.wrong(expected, Some(hint.to_owned()), faults);
        })
        .ok()
}

/// The pods of a namespace, on a port.
fn pods(item: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<(AllowedPods, Shown)> {
    let mut fields = Fields::of(item.node, "the entry of `pods`", faults)?;
    let namespace = fields.need("namespace", "namespace: shop").and_then(|field| {
        let text = field.string(faults)?;
        let is_name = valid_namespace(&text);
        if !is_name {
            field.wrong("expected the name of a namespace", None, faults);
        }
        is_name.then_some(text)
    });
    let port = fields.need("port", "port: 8003").and_then(|field| {
        let port = u16::try_from(field.whole(1, faults)?).ok();
        if port.is_none() {
            field.wrong("expected a port from 1 to 65535", None, faults);
        }
        port
    });
    let mut networks = Vec::new();
    for item in fields
        .get("networks")
        .and_then(|field| field.list("networks: [10.0.0.0/16]", faults))
        .unwrap_or_default()
    {
        match item.string(faults).map(|text| Network::parse(&text)) {
            Some(Ok(network)) => networks.push(network),
            Some(Err(expected)) => item.wrong(expected, None, faults),
            None => {}
        }
    }
    let key = key(&mut fields, secrets, faults);
    fields.end(faults);
    Some((AllowedPods { namespace: namespace?, port: port?, networks }, key))
}

/// `header:`, with its value in `value_file:` or in the environment.
fn key(fields: &mut Fields<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Shown {
    let hint = "put it into a file and name that in `value_file`";
    fields.refuse("value", "a secret in the configuration; expected it elsewhere", hint, faults);
    let (header, file) = (fields.get("header"), fields.get("value_file"));
    let Some(header) = header else {
        if let Some(file) = file {
            let message = "`value_file` without `header`; expected its name";
            faults.add(file.key, message, Some("add `header: X-Api-Key`".to_owned()));
        }
        return None;
    };
    let text = header.string(faults)?;
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        header.wrong("expected the name of a header", Some("such as X-Api-Key".to_owned()), faults);
        return None;
    };
    let variable = format!("{VALUE}{}", text.to_ascii_uppercase().replace('-', "_"));
    let found = secrets.value(file, &variable, faults);
    if !found.is_some() && file.is_none() && !fields.has_almost(&["value_file"]) {
        let message =
            format!("`header` without its value; expected `value_file`, or {variable} in the environment");
        faults.add(header.key, message, Some("add `value_file: /etc/runbookd/api-key`".to_owned()));
    }
    let value = found.secret()?;
    if HeaderValue::from_str(value.reveal()).is_err() || value.reveal().len() < LEAST_SECRET {
        let message = format!(
            "what is there can not be the value of a header; expected one line of at least {LEAST_SECRET} characters"
        );
        faults.add(file.unwrap_or(header).place(), message, None);
        return None;
    }
    Some((name, value))
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
            Wants::Terraform(directory) => return self.may_not_plan(directory),
            Wants::Address(pattern) => return no_address(pattern),
            Wants::Workflow(workflow) => return self.may_not_start(workflow),
            Wants::Certificates if self.aws.is_some() => return None,
            Wants::Certificates => {
                return Some(Objection::fault("`route53` asks ACM and writes to Route 53, and the configuration names no AWS; expected `aws` in it".to_owned(), "add `aws: {region: eu-central-1}` to the configuration".to_owned()));
            }
        };
        match probe {
            Probe::Prometheus(_) if self.prometheus.is_none() => Some(Objection::fault("the probe asks Prometheus, and the configuration names none; expected `prometheus` in it"
                        .to_owned(), "add `prometheus: {url: http://prometheus:9090}` to the configuration".to_owned())),
            Probe::Alerts(_) if self.alertmanager.is_none() => Some(Objection::fault("the probe asks Alertmanager, and the configuration names none; expected `alertmanager` in it"
                        .to_owned(), "add `alertmanager: {url: http://alertmanager:9093, receiver: runbookd}` to the configuration".to_owned())),
            Probe::Acm(AcmProbe { certificate, .. }) | Probe::Route53(Route53Probe { certificate, .. }) => {
                self.may_not_ask_aws(certificate)
            }
            Probe::Exec(probe) => self.may_not_run(probe),
            Probe::Http(HttpProbe { each: Some(each), .. }) => self.may_not_ask_pods(each),
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

    fn may_not_plan(&self, directory: Option<&str>) -> Option<Objection> {
        let Some(terraform) = &self.terraform else {
            return Some(Objection::left_out("the configuration names no directory of terraform, so the step is left out; expected `terraform` in it".to_owned(), "add `terraform: {root: /srv/terraform, directories: {certificates: modules/certificates}}` to the configuration".to_owned()));
        };
        // What only an alert says is looked at when it is run.
        let directory = directory.filter(|name| !terraform.directories.contains_key(*name))?;
        let there: Vec<_> = terraform.directories.keys().map(String::as_str).collect();
        Some(Objection::fault(
            format!(
                "the configuration names no directory of terraform {:?}; expected one of: {}",
                cut(directory, 60),
                there.join(", ")
            ),
            "add it to `terraform: {directories: {...}}` in the configuration".to_owned(),
        ))
    }

    fn may_not_start(&self, workflow: &str) -> Option<Objection> {
        let read = match Workflow::parse(workflow) {
            Ok(read) => read,
            Err(expected) => {
                return Some(Objection::fault(
                    format!("{:?}; {expected}", cut(workflow, 60)),
                    "in full, with the branch or tag that it is taken from".to_owned(),
                ));
            }
        };
        let is_listed = self.github.as_ref().is_some_and(|github| github.workflows.contains(&read));
        (!is_listed).then(|| {
            Objection::fault(
                format!("the configuration does not list the workflow {read}; expected one that it does"),
                format!("add `github: {{workflows: [\"{read}\"]}}` to the configuration"),
            )
        })
    }

    fn may_not_grow(&self) -> Option<Objection> {
        self.aws.is_none().then(|| {
            Objection::fault(
                "`within` asks RDS, and the configuration names none; expected `aws` in it".to_owned(),
                "add `aws: {region: eu-central-1}` to the configuration".to_owned(),
            )
        })
    }

    fn may_not_ask_aws(&self, certificate: &Template) -> Option<Objection> {
        if self.aws.is_none() {
            return Some(Objection::fault(
                "the probe asks AWS, and the configuration names none; expected `aws` in it".to_owned(),
                "add `aws: {region: eu-central-1}` to the configuration".to_owned(),
            ));
        }
        // What only an alert says is looked at when it is asked.
        let value = |path: &str| self.vars.get(path.strip_prefix("vars.")?).cloned();
        let certificate = certificate.with(value).ok().filter(|text| !text.is_empty())?;
        let expected = Which::parse(&certificate).err()?;
        Some(Objection::fault(
            format!("the probe asks for the certificate {:?}; {expected}", cut(&certificate, 60)),
            "`certificate: shop.example` means the one that is for that name".to_owned(),
        ))
    }

    fn may_not_run(&self, probe: &ExecProbe) -> Option<Objection> {
        let argvs = probe.what.argvs();
        let missing: Vec<_> =
            argvs.iter().filter(|argv| !self.exec.contains(argv)).map(|argv| written(argv)).collect();
        (!missing.is_empty()).then(|| Objection::fault(format!(
                "the probe runs {} in containers, which the configuration does not allow; expected what it lists, word for word",
                missing.join(" and ")
            ), format!("add `exec: {{allow: [{}]}}` to the configuration", missing.join(", "))))
    }

    fn may_not_ask(&self, url: &UrlTemplate) -> Option<Objection> {
        let value = |path: &str| self.vars.get(path.strip_prefix("vars.")?).cloned();
        let origin = Origin::read(&url.origin(value)?)?;
        let allowed = self.http.policy().allows(&origin);
        (!allowed).then(|| Objection::fault(format!("the probe asks {origin}, which the configuration does not allow; expected a host that it does"), format!("add `http: {{allow: [\"{origin}\"]}}` to the configuration")))
    }

    fn may_not_ask_pods(&self, each: &EachPod) -> Option<Objection> {
        let port = each.port;
        // What only an alert says, or nobody yet, is looked at when it is asked.
        let value = |path: &str| self.vars.get(path.strip_prefix("vars.")?).cloned();
        let namespace = each.namespace.with(value).ok().filter(|namespace| !namespace.is_empty());
        let allowed = self.http.policy().allows_pods(namespace.as_deref(), port);
        (!allowed).then(|| Objection::fault(format!("the runbook asks pods on port {port}, which the configuration does not allow; expected pods that it does"), format!(
                "add `http: {{pods: [{{namespace: {}, port: {port}}}]}}` to the configuration",
                namespace.as_deref().unwrap_or("NAMESPACE")
            )))
    }
}

fn no_address(pattern: &str) -> Option<Objection> {
    let expected = Pattern::parse(pattern).err()?;
    Some(Objection::fault(
        format!("{:?}; {expected}", cut(pattern, 60)),
        "`[*]` is every instance of a resource, `module.x.*` everything in a module".to_owned(),
    ))
}
