//! Reads the question which alerts Alertmanager has.

use super::super::names::{Names, Scope};
use super::super::read::one_line;
use super::super::{AlertState, AlertsProbe, MatcherTemplate, Probe};
use super::threshold;
use crate::text::cut;
use crate::yaml::{Faults, Field, Fields};

const EXAMPLE: &str = "matching: ['alertname=\"High5xxRate\"', 'app=\"${labels.app}\"']";

pub(super) fn alerts(
    state: Field<'_>,
    mut fields: Fields<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Probe> {
    let place = state.place();
    let state = state.word(&AlertState::ALL, AlertState::as_str, faults);
    let matching = fields.need("matching", EXAMPLE).and_then(|field| matching(field, scope, names, faults));
    let threshold = threshold(&mut fields, faults);
    let message = "`window` of `alerts`, which is about this moment";
    fields.refuse("window", message, "remove it", faults);
    fields.end(faults);
    let probe = Probe::Alerts(AlertsProbe { state: state?, matching: matching?, threshold: threshold? });
    names.object(&probe, place, faults);
    Some(probe)
}

fn matching(
    field: Field<'_>,
    scope: Scope,
    names: &mut Names<'_>,
    faults: &mut Faults,
) -> Option<Vec<MatcherTemplate>> {
    let items = field.list(EXAMPLE, faults)?;
    let written = items.len();
    if items.is_empty() {
        let hint = "empty never means all; name the alert, such as `'alertname=\"High5xxRate\"'`";
        field.wrong("expected at least one matcher", Some(hint.to_owned()), faults);
        return None;
    }
    let mut matchers = Vec::new();
    for item in items {
        let Some(scalar) = item.text(faults) else { continue };
        match MatcherTemplate::parse(&scalar.text) {
            Ok(matcher) => {
                for (path, at) in matcher.placeholders() {
                    names.check(path, scope, scalar.place_of(at), faults);
                }
                matchers.push(matcher);
            }
            Err(error) => faults.add(
                scalar.place_of(error.at),
                format!("in the matcher {:?}: {}", cut(&scalar.text, 60), one_line(&error.message)),
                Some("one matcher an item, as in Alertmanager: 'alertname=\"High5xxRate\"'".to_owned()),
            ),
        }
    }
    if matchers.len() < written {
        return None;
    }
    if matchers.iter().all(MatcherTemplate::holds_for_nothing) {
        faults.add(
            field.place(),
            "every matcher also holds for an alert without that label; expected one that names what is asked about",
            Some("add the alert's name: 'alertname=\"High5xxRate\"'".to_owned()),
        );
    }
    Some(matchers)
}
