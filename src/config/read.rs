//! Reads the fields of the configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::asking;
use super::aws;
use super::github;
use super::secrets::{Found, Secrets};
use super::terraform;
use super::{Alertmanager, Api, Config, Log, Purpose, Slack, Webhook};
use crate::clients::{Secret, alertmanager, kubernetes, loki, slack};
use crate::incident::proof::Level;
use crate::incident::proven::Demand;
use crate::runbook::{Mode, Rate};
use crate::telemetry::Format;
use crate::yaml::{Faults, Field, Fields, Node, Place, Value};

const WEBHOOK_TOKEN: &str = "RUNBOOKD_WEBHOOK_TOKEN";
const API_TOKEN: &str = "RUNBOOKD_API_TOKEN";
const LOKI_TOKEN: &str = "RUNBOOKD_LOKI_TOKEN";
const ALERTMANAGER_TOKEN: &str = "RUNBOOKD_ALERTMANAGER_TOKEN";
const SLACK_TOKEN: &str = "RUNBOOKD_SLACK_TOKEN";

/// What fires and is lost for longer than this is no longer news.
const RECONCILED: Duration = Duration::from_hours(1);

/// The ledger, which the limits are counted in, keeps this much.
const LEDGER: Duration = Duration::from_hours(7 * 24);

/// A cluster is another one after a year.
const PROOF: Duration = Duration::from_hours(366 * 24);

/// Reads the whole file. What is wrong keeps its default, so that reading goes on.
pub(super) fn config(root: &Node, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Config> {
    let mut config = Config::default();
    let mut fields = Fields::of(root, "the configuration", faults)?;
    let listen = fields.get("listen");
    set(&mut config.listen, listen, faults, address);
    let webhook_token = webhook(&mut config.webhook, fields.get("webhook"), secrets, faults);
    let api_token = api(&mut config.api, fields.get("api"), secrets, faults);
    guard_the_door(&config, listen, (webhook_token, api_token), secrets, faults);
    set(&mut config.journal, fields.get("journal"), faults, |field, faults| {
        field.string(faults).map(PathBuf::from)
    });
    config.rules = match fields.get("rules") {
        Some(field) => rules(field, secrets, faults).unwrap_or_default(),
        None => config.rules.iter().map(|path| secrets.folder.join(path)).collect(),
    };
    set(&mut config.policy.ceiling, fields.get("ceiling"), faults, mode);
    set(&mut config.policy.namespaces, fields.get("namespaces"), faults, namespaces);
    set(&mut config.policy.nodes, fields.get("nodes"), faults, mode);
    if let Some(mut limits) = section(fields.get("limits"), "`limits`", faults) {
        set(&mut config.policy.rate, limits.get("rate"), faults, |field, faults| {
            let (count, per) = field.rate(LEDGER, "the journal keeps what was done for 7d", faults)?;
            Some(Rate { count, per })
        });
        limits.end(faults);
    }
    config.policy.proof = proof(fields.get("proof"), faults);
    set(&mut config.approval_within, fields.get("approval_within"), faults, |field, faults| {
        field.duration_up_to(LEDGER, "a plan that nobody looks at for a week is out of date", faults)
    });
    kubernetes(&mut config.kubernetes, fields.get("kubernetes"), secrets, faults);
    loki(&mut config.loki, fields.get("loki"), secrets, faults);
    config.prometheus = asking::prometheus(fields.get("prometheus"), secrets, faults);
    config.grafana = asking::grafana(fields.get("grafana"), faults);
    config.aws = aws::aws(fields.get("aws"), secrets, faults);
    config.http = asking::http(fields.get("http"), secrets, faults);
    config.exec = asking::exec(fields.get("exec"), faults);
    config.alertmanager = alertmanager(fields.get("alertmanager"), secrets, faults);
    config.slack = slack(fields.get("slack"), secrets, faults);
    config.terraform = terraform::terraform(fields.get("terraform"), secrets, &config.journal, faults);
    config.github = github::github(fields.get("github"), secrets, faults);
    log(&mut config.log, fields.get("log"), faults);
    set(&mut config.vars, fields.get("vars"), faults, vars);
    set(&mut config.time_scale, fields.get("time_scale"), faults, |field, faults| {
        let scale = field.whole(1, faults)?;
        let scale = u32::try_from(scale).ok().filter(|scale| *scale <= 1000);
        if scale.is_none() {
            field.wrong("expected at most 1000", None, faults);
        }
        scale
    });
    fields.end(faults);
    Some(config)
}

/// Puts what a field holds into its place; what is missing or wrong keeps the default.
fn set<T>(
    into: &mut T,
    field: Option<Field<'_>>,
    faults: &mut Faults,
    read: impl FnOnce(Field<'_>, &mut Faults) -> Option<T>,
) {
    if let Some(value) = field.and_then(|field| read(field, faults)) {
        *into = value;
    }
}

pub(super) fn section<'n>(
    field: Option<Field<'n>>,
    what: &'static str,
    faults: &mut Faults,
) -> Option<Fields<'n>> {
    field.and_then(|field| Fields::of(field.node, what, faults))
}

fn address(field: Field<'_>, faults: &mut Faults) -> Option<SocketAddr> {
    let address = match &field.node.value {
        Value::Scalar(scalar) => scalar.text.parse().ok(),
        Value::List(_) | Value::Map(_) => None,
    };
    if address.is_none() {
        let hint = "a name would have to be looked up first; 0.0.0.0 is every address of this machine";
        field.wrong("expected an address and a port such as 127.0.0.1:9099", Some(hint.to_owned()), faults);
    }
    address
}

fn mode(field: Field<'_>, faults: &mut Faults) -> Option<Mode> {
    field.word(&Mode::ALL, Mode::as_str, faults)
}

fn webhook(
    webhook: &mut Webhook,
    field: Option<Field<'_>>,
    secrets: &Secrets<'_>,
    faults: &mut Faults,
) -> bool {
    let Some(mut fields) = section(field, "`webhook`", faults) else {
        webhook.token = secrets.token_of_environment(WEBHOOK_TOKEN);
        return webhook.token.is_some();
    };
    let token = secrets.token(&mut fields, WEBHOOK_TOKEN, faults);
    let is_there = token.is_some();
    webhook.token = token.secret();
    set(&mut webhook.body_limit, fields.get("body_limit"), faults, |field, faults| field.size(faults));
    fields.end(faults);
    is_there
}

fn api(api: &mut Api, field: Option<Field<'_>>, secrets: &Secrets<'_>, faults: &mut Faults) -> bool {
    let Some(mut fields) = section(field, "`api`", faults) else {
        api.token = secrets.token_of_environment(API_TOKEN);
        return api.token.is_some();
    };
    let token = secrets.token(&mut fields, API_TOKEN, faults);
    let is_there = token.is_some();
    api.token = token.secret();
    fields.end(faults);
    is_there
}

/// Whoever can reach the port can send alerts, pause and approve: beyond this machine both doors need their tokens.
fn guard_the_door(
    config: &Config,
    listen: Option<Field<'_>>,
    (webhook, api): (bool, bool),
    secrets: &Secrets<'_>,
    faults: &mut Faults,
) {
    let Some(listen) = listen.filter(|_| !config.listen.ip().is_loopback()) else { return };
    let doors = [(webhook, "webhook", WEBHOOK_TOKEN), (api, "api", API_TOKEN)];
    for (_, section, variable) in doors.into_iter().filter(|(is_there, ..)| !is_there) {
        let message = format!(
            "`listen` is {}, which others can reach, and `{section}` has no token; expected one",
            config.listen
        );
        let hint = format!(
            "set {variable} or `{section}: {{token_file: ...}}`, or listen on 127.0.0.1:{}",
            config.listen.port()
        );
        match secrets.purpose {
            Purpose::Run => faults.add(listen.place(), message, Some(hint)),
            // The variable may well be set where runbookd runs.
            Purpose::Check => faults.warn(listen.place(), message, Some(hint)),
        }
    }
}

fn rules(field: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Vec<PathBuf>> {
    let items = field.list("rules: [rules]", faults)?;
    if items.is_empty() {
        field.wrong(
            "expected at least one file or folder",
            Some("leave it out for [rules]".to_owned()),
            faults,
        );
    }
    Some(items.iter().filter_map(|item| item.string(faults)).map(|path| secrets.folder.join(path)).collect())
}

fn namespaces(field: Field<'_>, faults: &mut Faults) -> Option<BTreeMap<String, Mode>> {
    let mut namespaces = BTreeMap::new();
    for entry in field.map("namespaces: {shop: act}", faults)? {
        let mode = mode(entry, faults);
        if !is_namespace(entry.name) {
            let hint = "every namespace is named in full: a pattern would also mean those that come later";
            faults.add(
                entry.key,
                format!(
                    "{:?} can not be a namespace; expected small letters, digits and `-`, at most 63",
                    entry.name
                ),
                Some(hint.to_owned()),
            );
        } else if let Some(mode) = mode {
            namespaces.insert(entry.name.to_owned(), mode);
        }
    }
    Some(namespaces)
}

/// A DNS label. Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
fn is_namespace(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn proof(field: Option<Field<'_>>, faults: &mut Faults) -> Option<Demand> {
    let mut fields = section(field, "`proof`", faults)?;
    let at = fields.need("at", "at: fault").and_then(|field| field.word(&Level::ALL, Level::as_str, faults));
    let within = fields.need("within", "within: 90d").and_then(|field| {
        field.duration_up_to(PROOF, "what was proven so long ago says nothing of today", faults)
    });
    fields.end(faults);
    Some(Demand { at: at?, within: within? })
}

fn kubernetes(
    settings: &mut kubernetes::Settings,
    field: Option<Field<'_>>,
    secrets: &Secrets<'_>,
    faults: &mut Faults,
) {
    let Some(mut fields) = section(field, "`kubernetes`", faults) else { return };
    settings.kubeconfig =
        fields.get("kubeconfig").and_then(|field| field.string(faults)).map(|path| secrets.folder.join(path));
    settings.context = fields.get("context").and_then(|field| field.string(faults));
    fields.end(faults);
}

fn loki(settings: &mut loki::Settings, field: Option<Field<'_>>, secrets: &Secrets<'_>, faults: &mut Faults) {
    let Some(mut fields) = section(field, "`loki`", faults) else {
        settings.bearer = secrets.token_of_environment(LOKI_TOKEN);
        return;
    };
    set(&mut settings.url, fields.get("url"), faults, |field, faults| url(field, "http://loki:3100", faults));
    settings.tenant = fields.get("tenant").and_then(|field| field.string(faults));
    settings.bearer = secrets.token(&mut fields, LOKI_TOKEN, faults).secret();
    fields.end(faults);
}

fn alertmanager(
    field: Option<Field<'_>>,
    secrets: &Secrets<'_>,
    faults: &mut Faults,
) -> Option<Alertmanager> {
    let mut fields = section(field, "`alertmanager`", faults)?;
    let example = "http://alertmanager:9093";
    let address =
        fields.need("url", &format!("url: {example}")).and_then(|field| url(field, example, faults));
    let receiver = fields.need("receiver", "receiver: runbookd").and_then(|field| field.string(faults));
    let bearer = secrets.token(&mut fields, ALERTMANAGER_TOKEN, faults).secret();
    let settings =
        alertmanager::Settings { bearer, ..alertmanager::Settings::new(address.unwrap_or_default()) };
    let mut read = Alertmanager::new(settings, receiver.unwrap_or_default());
    let why = "what fires in between is not found";
    set(&mut read.every, fields.get("every"), faults, |field, faults| {
        field.duration_up_to(RECONCILED, why, faults)
    });
    set(&mut read.grace, fields.get("grace"), faults, |field, faults| {
        field.duration_up_to(RECONCILED, why, faults)
    });
    fields.end(faults);
    Some(read)
}

pub(super) fn url(field: Field<'_>, example: &str, faults: &mut Faults) -> Option<String> {
    let text = field.string(faults)?;
    let parsed = reqwest::Url::parse(&text).ok();
    let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) else {
        field.wrong(&format!("expected an address such as {example}"), None, faults);
        return None;
    };
    if url.password().is_some() || !url.username().is_empty() {
        // The text itself is not shown: it holds the password.
        let hint = "use `token_file` or the environment";
        faults.add(
            field.place(),
            format!("`{}` holds a name or a password; expected neither", field.name),
            Some(hint.to_owned()),
        );
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        field.wrong(&format!("expected an address without ? and #, such as {example}"), None, faults);
        return None;
    }
    Some(text)
}

fn slack(field: Option<Field<'_>>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Slack> {
    let field = field?;
    let mut fields = Fields::of(field.node, "`slack`", faults)?;
    let url = match fields.get("url") {
        Some(field) => url(field, slack::DEFAULT_URL, faults),
        None => Some(slack::DEFAULT_URL.to_owned()),
    };
    let before = faults.count();
    let token = match secrets.token(&mut fields, SLACK_TOKEN, faults) {
        Found::Secret(secret) => Some(secret),
        Found::Elsewhere => Some(Secret::new("")),
        Found::None => {
            if faults.count() == before {
                let message = format!(
                    "`slack` has no token; expected `token_file`, or {SLACK_TOKEN} in the environment"
                );
                secrets.missing(field.key, message, faults);
            }
            Some(Secret::new(""))
        }
    };
    let channel = fields.need("channel", "channel: \"#oncall\"").and_then(|field| field.string(faults));
    fields.end(faults);
    let mut settings = slack::Settings::new(token?);
    settings.url = url?;
    Some(Slack { settings, channel: channel? })
}

fn log(log: &mut Log, field: Option<Field<'_>>, faults: &mut Faults) {
    let Some(mut fields) = section(field, "`log`", faults) else { return };
    set(&mut log.format, fields.get("format"), faults, |field, faults| {
        let name = |format| match format {
            Format::Text => "text",
            Format::Json => "json",
        };
        field.word(&[Format::Text, Format::Json], name, faults)
    });
    set(&mut log.level, fields.get("level"), faults, |field, faults| {
        let scalar = field.text(faults)?;
        if EnvFilter::try_new(&scalar.text).is_err() {
            field.wrong(
                "expected error, warn, info, debug or trace",
                Some("or `info,runbookd=debug`".to_owned()),
                faults,
            );
            return None;
        }
        Some(scalar.text.clone())
    });
    fields.end(faults);
}

fn vars(field: Field<'_>, faults: &mut Faults) -> Option<BTreeMap<String, String>> {
    let mut vars = BTreeMap::new();
    for entry in field.map("vars: {oncall_channel: \"#oncall\"}", faults)? {
        check_name(entry.name, entry.key, faults);
        // One with a wrong value exists all the same: what names it is not at fault.
        let value = entry.string(faults).unwrap_or_default();
        vars.insert(entry.name.to_owned(), value);
    }
    Some(vars)
}

fn check_name(name: &str, place: Place, faults: &mut Faults) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_word) {
        let hint = "runbooks name it as `${vars.NAME}`";
        faults.add(
            place,
            format!("{name:?} can not be the name of a variable; expected letters, digits and `_`"),
            Some(hint.to_owned()),
        );
    }
}
