//! Reads the question what certificate a host presents.

use regex::Regex;

use super::super::names::{Names, Scope};
use super::super::read::one_line;
use super::super::{Figures, Probe, TlsProbe, UrlTemplate};
use super::optional;
use super::threshold_of;
use crate::yaml::{Faults, Field, Fields};

const SCHEME: &str = "https://";
const EXAMPLE: &str = "such as shop.example, or shop.example:8443";

pub(super) fn tls(
    field: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let address = address(field, scope, names, faults);
    let server_name = optional("server_name", &mut fields, scope, names, faults);
    let issuer = match fields.get("issuer") {
        Some(field) => issuer(field, faults).map(Some),
        None => Some(None),
    };
    let threshold = threshold_of(&mut fields, Some(Figures::Days), faults);
    let message = "`window` of `tls`, which is about this moment";
    fields.refuse("window", message, "remove it", faults);
    fields.end(faults);
    let (address, server_name, issuer) = (address?, server_name?, issuer?);
    let probe = Probe::Tls(TlsProbe { address, server_name, issuer, threshold: threshold? });
    names.object(&probe, field.place(), faults);
    Some(probe)
}

/// A host and perhaps a port: the address of an `http` probe without its scheme and path.
fn address(
    field: Field<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<UrlTemplate> {
    let scalar = field.text(faults)?;
    if let Some(at) = scalar.text.find(['/', '?', '#']) {
        let message = "in the address: expected a host, and perhaps a port, without a scheme and a path";
        faults.add(scalar.place_of(at), message, Some(EXAMPLE.to_owned()));
        return None;
    }
    match UrlTemplate::parse(&format!("{SCHEME}{}", scalar.text)) {
        Ok(address) => {
            for (path, at) in UrlTemplate::placeholders(&scalar.text) {
                names.check(&path, scope, scalar.place_of(at), faults);
            }
            Some(address)
        }
        Err(wrong) => {
            for fault in wrong {
                let at = fault.at.saturating_sub(SCHEME.len());
                let message = format!("in the address: {}", fault.message);
                faults.add(scalar.place_of(at), message, Some(EXAMPLE.to_owned()));
            }
            None
        }
    }
}

/// Anchored at both ends, as every regular expression here.
fn issuer(field: Field<'_>, faults: &mut Faults) -> Option<Regex> {
    let scalar = field.text(faults)?;
    Regex::new(&format!("^(?:{})$", scalar.text))
        .map_err(|error| {
            let message = one_line(&format!("not a regular expression: {error}"));
            faults.add(field.place(), format!("in `issuer`: {message}"), None);
        })
        .ok()
}
