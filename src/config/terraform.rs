//! `terraform:`: in which directories terraform may be run, and with what of the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::section;
use super::secrets::Secrets;
use crate::clients::Secret;
use crate::clients::terraform::{Settings, Variable, is_below, never_handed_on};
use crate::runbook::secrecy;
use crate::yaml::{Faults, Field};

/// What terraform, its providers and the chain of AWS's credentials look for; each is handed on when it is set. Whatever else a directory needs is named in `environment`.
const ENVIRONMENT: [&str; 36] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_PLUGIN_CACHE_DIR",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
];
/// A shorter value is taken for no secret: it stands in ordinary texts, too.
const LEAST_SECRET: usize = 8;
/// The folder for saved plans, beside the journal.
const PLANS: &str = "terraform-plans";
const PLAN_WITHIN: Duration = Duration::from_mins(5);
const APPLY_WITHIN: Duration = Duration::from_mins(30);
const GRACE: Duration = Duration::from_secs(30);
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
const MOST: Duration = Duration::from_hours(2);

pub(super) fn terraform(
    field: Option<Field<'_>>,
    secrets: &Secrets<'_>,
    journal: &Path,
    faults: &mut Faults,
) -> Option<Settings> {
    let mut fields = section(field, "`terraform`", faults)?;
    let binary = fields.get("binary").and_then(|field| field.string(faults));
    let root = fields.need("root", "root: /srv/terraform").and_then(|field| field.string(faults));
    let example = "directories: {certificates: modules/certificates}";
    let directories =
        fields.need("directories", example).and_then(|field| directories(field, example, faults));
    let plans = fields.get("plans").and_then(|field| field.string(faults)).map(PathBuf::from);
    let mut environment = known(secrets);
    for name in fields
        .get("environment")
        .and_then(|field| field.list("environment: [TF_VAR_zone]", faults))
        .unwrap_or_default()
    {
        environment.extend(variable(name, secrets, faults));
    }
    let mut limit = |name, default| {
        let why = "an incident does not wait for longer";
        let field = fields.get(name)?.duration_up_to(MOST, why, faults);
        field.or(Some(default))
    };
    let plan_within = limit("plan_within", PLAN_WITHIN).unwrap_or(PLAN_WITHIN);
    let apply_within = limit("apply_within", APPLY_WITHIN).unwrap_or(APPLY_WITHIN);
    let grace = limit("grace", GRACE).unwrap_or(GRACE);
    let lock_timeout = limit("lock_timeout", LOCK_TIMEOUT).unwrap_or(LOCK_TIMEOUT);
    fields.end(faults);
    let beside = || journal.parent().unwrap_or_else(|| Path::new("")).join(PLANS);
    Some(Settings {
        binary: binary.map_or_else(|| PathBuf::from("terraform"), PathBuf::from),
        root: secrets.folder.join(root?),
        directories: directories?,
        plans: plans.unwrap_or_else(beside),
        environment,
        plan_within,
        apply_within,
        grace,
        lock_timeout,
        shown: secrecy::shown,
    })
}

fn directories(field: Field<'_>, example: &str, faults: &mut Faults) -> Option<BTreeMap<String, PathBuf>> {
    let entries = field.map(example, faults)?;
    if entries.is_empty() {
        let hint = "without a directory nothing can be run; leave `terraform` out for that";
        field.wrong("expected at least one directory", Some(hint.to_owned()), faults);
    }
    let mut directories = BTreeMap::new();
    for entry in entries {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=63).contains(&entry.name.len()) || !entry.name.bytes().all(is_name) {
            faults.add(
                entry.key,
                format!("{:?} can not name a directory; expected small letters, digits and `-`", entry.name),
                Some("runbooks say this name, such as `certificates`".to_owned()),
            );
        }
        let Some(path) = entry.string(faults).map(PathBuf::from) else { continue };
        if !is_below(&path) {
            let hint = "without `..`, and not the root itself: what is beside it must not be reached";
            entry.wrong("expected a directory below the root, relative to it", Some(hint.to_owned()), faults);
            continue;
        }
        directories.insert(entry.name.to_owned(), path);
    }
    Some(directories)
}

fn known(secrets: &Secrets<'_>) -> Vec<Variable> {
    let variable = |name: &&str| {
        let value = (secrets.environment)(name)?;
        let hide = secrecy::is_secret(name) || secrecy::holds_secret(&value);
        Some(Variable { name: (*name).to_owned(), value: Secret::new(value), hide })
    };
    ENVIRONMENT.iter().filter_map(variable).collect()
}

fn variable(field: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Variable> {
    let name = field.string(faults)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        let hint = "its value is taken from runbookd's own environment";
        field.wrong("expected the name of a variable such as TF_VAR_zone", Some(hint.to_owned()), faults);
        return None;
    }
    if never_handed_on(&name) {
        let hint = "it would make terraform log values, or do more than it is told";
        field.wrong("expected another variable: this one is never handed on", Some(hint.to_owned()), faults);
        return None;
    }
    let Some(value) = (secrets.environment)(&name) else {
        let message = format!("{name} is not in the environment; expected it there, as it is named here");
        secrets.missing(field.place(), message, faults);
        return None;
    };
    let hide = secrecy::is_secret(&name) || value.len() >= LEAST_SECRET;
    Some(Variable { name, value: Secret::new(value), hide })
}
