//! `aws:`: which AWS is asked, and who we are there. Credentials are only looked for when something is asked: here, no more is read than where they are.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use super::read::{section, url};
use super::secrets::Secrets;
use crate::clients::aws::{Service, Settings, Source, WebIdentity};
use crate::yaml::{Faults, Field, Fields};

/// How Kubernetes tells a pod of its web identity (IRSA).
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>.
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const SESSION: &str = "AWS_ROLE_SESSION_NAME";
/// No file of credentials is longer.
const MOST_BYTES: u64 = 64 << 10;

pub(super) fn aws(field: Option<Field<'_>>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Settings> {
    let mut fields = section(Some(field?), "`aws`", faults)?;
    let region = fields.need("region", "region: eu-central-1").and_then(|field| region(field, faults));
    let endpoint = fields.get("endpoint").and_then(|field| url(field, "http://127.0.0.1:5000", faults));
    let endpoints = fields.get("endpoints").map(|field| endpoints(field, faults)).unwrap_or_default();
    let hint = "let `credentials_file` or `profile` name where they are, or leave it to AWS's usual places";
    for name in ["access_key_id", "secret_access_key", "session_token"] {
        fields.refuse(name, "credentials in the configuration; expected them elsewhere", hint, faults);
    }
    let file = fields.get("credentials_file").map(|field| file(field, secrets, faults));
    let profile = fields.get("profile").map(|field| profile(field, faults));
    fields.end(faults);
    let credentials = match (file, profile) {
        (None, None) => Source::Usual { web_identity: web_identity(secrets) },
        (file, name) => Source::Profile { name: name.flatten(), file: file.flatten() },
    };
    Some(Settings { endpoint, endpoints, credentials, ..Settings::new(region?) })
}

fn region(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let region = field.string(faults)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.bytes().all(fits) || region.len() > 32 {
        field.wrong("expected a region such as eu-central-1", None, faults);
        return None;
    }
    Some(region)
}

fn endpoints(field: Field<'_>, faults: &mut Faults) -> BTreeMap<Service, String> {
    let Some(mut fields) = Fields::of(field.node, "`endpoints`", faults) else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for service in Service::ALL {
        let example = format!("https://{}.eu-central-1.amazonaws.com", service.as_str());
        let address = fields.get(service.as_str()).and_then(|field| url(field, &example, faults));
        all.extend(address.map(|address| (service, address)));
    }
    fields.end(faults);
    all
}

/// What is in it is read when it is needed, as it may be replaced meanwhile.
fn file(field: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<PathBuf> {
    let path = secrets.folder.join(field.string(faults)?);
    let mut text = String::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    if let Err(error) = read {
        let message =
            format!("the file {} can not be read: {error}; expected AWS's credentials in it", path.display());
        secrets.missing(field.place(), message, faults);
    }
    Some(path)
}

fn profile(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let name = field.string(faults)?;
    if name.is_empty() || name.len() > 128 || name.contains(|c: char| c.is_control() || "[]".contains(c)) {
        field.wrong("expected the name of a profile, such as default", None, faults);
        return None;
    }
    Some(name)
}

fn web_identity(secrets: &Secrets<'_>) -> Option<WebIdentity> {
    let get =
        |name| (secrets.environment)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Some(WebIdentity {
        token_file: get(TOKEN_FILE)?.into(),
        role_arn: get(ROLE)?,
        session_name: get(SESSION),
    })
}
