//! Where a person can see for themselves: what the runbook names, and Grafana's Explore with the very queries that confirmed.

use std::time::Duration;

use jiff::Timestamp;

use crate::clients::grafana::{Grafana, Source};
use crate::clock::before;
use crate::incident::Incident;
use crate::incident::event::Link;
use crate::incident::evidence::Evidence;
use crate::probe;
use crate::runbook::{LinkTo, Probe, Runbook};

/// Before a moment at which Prometheus was asked, this much is shown.
const SHOWN: Duration = Duration::from_hours(1);

/// What the answers of `confirm` came from, and then what the runbook names. What can not be made for want of a value is left out: a link is no
/// reason to hold anything up.
pub(super) fn of(
    grafana: Option<&Grafana>,
    incident: &Incident,
    runbook: &Runbook,
    answers: &[Evidence],
    now: Timestamp,
) -> Vec<Link> {
    let explored = grafana.into_iter().flat_map(|grafana| {
        answers.iter().filter_map(move |answer| explore(grafana, incident, runbook, answer, now))
    });
    let named = runbook.links.iter().filter_map(|link| {
        let value = |path: &str| probe::value_of(incident, runbook, incident.current_leg(), path);
        let url = match &link.to {
            LinkTo::Url(url) => url.with(value).ok()?,
            LinkTo::Dashboard(title) => grafana?.dashboard(title)?,
        };
        Some(Link { title: link.title.clone(), url })
    });
    explored.chain(named).collect()
}

fn explore(
    grafana: &Grafana,
    incident: &Incident,
    runbook: &Runbook,
    answer: &Evidence,
    now: Timestamp,
) -> Option<Link> {
    let value = |path: &str| probe::value_of(incident, runbook, incident.current_leg(), path);
    let named = runbook.confirm.iter().find(|named| named.name == answer.probe)?;
    let (source, query) = match &named.probe {
        Probe::Loki(probe) => (Source::Loki, probe.query.with(value).ok()?.log()),
        Probe::Prometheus(probe) => {
            (Source::Prometheus, probe.query.with(value, runbook.time_scale).ok()?.query)
        }
        _ => return None,
    };
    let window = answer.window.unwrap_or((before(now, SHOWN), now));
    let url = grafana.explore(source, &query, window)?;
    Some(Link { title: format!("{} in Explore", answer.probe), url })
}
