//! Reads a question to an address.

use super::super::names::{Names, Scope};
use super::super::{Figures, HttpProbe, Probe, UrlTemplate};
use super::{no_window, threshold_of};
use crate::yaml::{Faults, Field, Fields};

const EXAMPLE: &str = "such as http://web.${labels.namespace}.svc:8080/health";

pub(super) fn http(
    field: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let url = url(field, scope, names, faults);
    let status = fields.get("status").map_or(Some(200), |field| status(field, faults));
    let pointer = match fields.get("pointer") {
        Some(field) => pointer(field, faults).map(Some),
        None => Some(None),
    };
    let figures = match pointer {
        Some(None) if fields.has_almost(&["pointer"]) => None,
        Some(None) => Some(Figures::YesOrNo),
        Some(Some(_)) | None => Some(Figures::Decimal),
    };
    let threshold = threshold_of(&mut fields, figures, faults);
    no_window("http", &mut fields, faults);
    fields.end(faults);
    let probe =
        Probe::Http(HttpProbe { url: url?, status: status?, pointer: pointer?, threshold: threshold? });
    names.object(&probe, field.place(), faults);
    Some(probe)
}

/// An address, with placeholders that are known where it stands.
pub(in super::super) fn url(
    field: Field<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<UrlTemplate> {
    let scalar = field.text(faults)?;
    match UrlTemplate::parse(&scalar.text) {
        Ok(url) => {
            for (path, at) in UrlTemplate::placeholders(&scalar.text) {
                names.check(&path, scope, scalar.place_of(at), faults);
            }
            Some(url)
        }
        Err(wrong) => {
            for fault in wrong {
                let message = format!("in the address: {}", fault.message);
                faults.add(scalar.place_of(fault.at), message, Some(EXAMPLE.to_owned()));
            }
            None
        }
    }
}

fn status(field: Field<'_>, faults: &mut Faults) -> Option<u16> {
    let status = field.whole(200, faults)?;
    let status = u16::try_from(status).ok().filter(|status| *status <= 599);
    if status.is_none() {
        field.wrong("expected a status from 200 to 599", None, faults);
    }
    status
}

/// RFC 6901.
fn pointer(field: Field<'_>, faults: &mut Faults) -> Option<String> {
    let pointer = field.string(faults)?;
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if !pointer.starts_with('/') || !escapes {
        let hint = "`~` itself is written `~0`, and `/` in a name `~1`";
        field.wrong(
            "expected a JSON pointer such as /queue/depth or /checks/0/ok",
            Some(hint.to_owned()),
            faults,
        );
        return None;
    }
    Some(pointer)
}
