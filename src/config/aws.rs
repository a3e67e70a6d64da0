//! `aws:`: where RDS is asked how many connections a database takes, and who we are there.

use std::io::Read as _;

use super::read::{section, url};
use super::secrets::Secrets;
use crate::clients::Secret;
use crate::clients::rds::Settings;
use crate::yaml::{Faults, Field};

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION: &str = "AWS_SESSION_TOKEN";
/// The part of a file of credentials that is read.
const PROFILE: &str = "[default]";
/// No such file is longer.
const MOST_BYTES: u64 = 64 << 10;

/// Who we are: the id of the access key, the key, and the session's token.
type Identity = (String, Secret, Option<Secret>);

pub(super) fn aws(field: Option<Field<'_>>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Settings> {
    let place = field?.place();
    let mut fields = section(field, "`aws`", faults)?;
    let region = fields.need("region", "region: eu-central-1").and_then(|field| region(field, faults));
    let example = "https://rds.eu-central-1.amazonaws.com";
    let endpoint = fields.get("endpoint").and_then(|field| url(field, example, faults));
    let hint = format!("set {ACCESS_KEY} and {SECRET_KEY}, or name a file in `credentials_file`");
    for name in ["access_key_id", "secret_access_key", "session_token"] {
        fields.refuse(name, "credentials in the configuration; expected them elsewhere", &hint, faults);
    }
    let identity = match fields.get("credentials_file") {
        Some(field) => of_file(field, secrets, faults),
        None => {
            let identity = of_environment(secrets);
            if identity.is_none() {
                let message = format!(
                    "there are no credentials for AWS; expected {ACCESS_KEY} and {SECRET_KEY} in the environment, or `credentials_file`"
                );
                secrets.missing(place, message, faults);
            }
            identity
        }
    };
    fields.end(faults);
    // Where it is only checked the runbooks are held against what the configuration is, and not against what this machine lacks.
    let nobody = || (String::new(), Secret::new(""), None);
    let (access_key, secret, session) = identity.unwrap_or_else(nobody);
    Some(Settings { endpoint, session, ..Settings::new(region?, access_key, secret) })
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

fn of_environment(secrets: &Secrets<'_>) -> Option<Identity> {
    let get =
        |name| (secrets.environment)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Some((get(ACCESS_KEY)?, Secret::new(get(SECRET_KEY)?), get(SESSION).map(Secret::new)))
}

/// AWS's own format: `[default]`, and below it `aws_access_key_id = ...`.
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.
fn of_file(field: Field<'_>, secrets: &Secrets<'_>, faults: &mut Faults) -> Option<Identity> {
    let path = secrets.folder.join(field.string(faults)?);
    let mut text = String::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    if let Err(error) = read {
        let message =
            format!("the file {} can not be read: {error}; expected AWS's credentials in it", path.display());
        secrets.missing(field.place(), message, faults);
        return None;
    }
    let identity = profile(&text);
    if identity.is_none() {
        let message = format!(
            "the file {} has no {PROFILE} with aws_access_key_id and aws_secret_access_key; expected AWS's own format",
            path.display()
        );
        secrets.missing(field.place(), message, faults);
    }
    identity
}

fn profile(text: &str) -> Option<Identity> {
    let lines = text.lines().map(str::trim).skip_while(|line| *line != PROFILE).skip(1);
    let pairs: Vec<(&str, &str)> = lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let get = |name| pairs.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
    let secret = Secret::new(get("aws_secret_access_key")?);
    Some((get("aws_access_key_id")?.to_owned(), secret, get("aws_session_token").map(Secret::new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_profile_is_read() {
        let text = "[other]\naws_access_key_id = B\naws_secret_access_key = y\n\n[default]\n# a comment\naws_access_key_id=A\n\
                    aws_secret_access_key = x/+=\naws_session_token = t\n[more]\naws_session_token = z\n";
        let (key, secret, session) = profile(text).unwrap();
        assert_eq!((key.as_str(), secret.reveal()), ("A", "x/+="));
        assert_eq!(session.unwrap().reveal(), "t");
        for text in [
            "",
            "[other]\naws_access_key_id = B\naws_secret_access_key = y\n",
            "[default]\naws_access_key_id = A\n",
        ] {
            assert!(profile(text).is_none(), "{text}");
        }
    }
}
