//! `github:`: which workflows may be started, and with which token.

use super::read::{section, url};
use super::secrets::{Found, Secrets};
use crate::clients::Secret;
use crate::clients::github::{DEFAULT_URL, Settings, Workflow};
use crate::yaml::{Faults, Field};

const TOKEN: &str = "RUNBOOKD_GITHUB_TOKEN";

pub(super) fn github(
    field: Option<Field<'_>>,
    secrets: &Secrets<'_>,
    faults: &mut Faults,
) -> Option<Settings> {
    let key = field?.key;
    let mut fields = section(field, "`github`", faults)?;
    let address = fields.get("url").map(|field| url(field, DEFAULT_URL, faults));
    let before = faults.count();
    let token = secrets.token(&mut fields, TOKEN, faults);
    if !token.is_some() && faults.count() == before {
        let message = format!("`github` has no token; expected `token_file`, or {TOKEN} in the environment");
        secrets.missing(key, message, faults);
    }
    let example = "workflows: [acme/infra/upgrade.yml@main]";
    let workflows = fields.need("workflows", example).and_then(|field| workflows(field, example, faults));
    // Servers of one's own came to know it later than github.com.
    let run_details = fields.get("run_details").and_then(|field| field.boolean(faults));
    fields.end(faults);
    let elsewhere = address.is_some();
    let address = address.unwrap_or_else(|| Some(DEFAULT_URL.to_owned()));
    let token = match token {
        Found::Secret(secret) => secret,
        Found::Elsewhere | Found::None => Secret::new(""),
    };
    Some(Settings {
        url: address?,
        workflows: workflows?,
        run_details: run_details.unwrap_or(!elsewhere),
        ..Settings::new(token)
    })
}

fn workflows(field: Field<'_>, example: &str, faults: &mut Faults) -> Option<Vec<Workflow>> {
    let items = field.list(example, faults)?;
    if items.is_empty() {
        let hint = "without one nothing can be started; leave `github` out for that";
        field.wrong("expected at least one workflow", Some(hint.to_owned()), faults);
    }
    let mut workflows = Vec::new();
    for item in items {
        match item.string(faults).map(|text| Workflow::parse(&text)) {
            Some(Ok(workflow)) => workflows.push(workflow),
            Some(Err(expected)) => {
                let hint = "every workflow is named in full, with the branch or tag that it is taken from";
                item.wrong(expected, Some(hint.to_owned()), faults);
            }
            None => {}
        }
    }
    Some(workflows)
}
