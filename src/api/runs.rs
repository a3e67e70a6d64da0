//! `POST /api/v1/runs`: a person begins a runbook. It goes into the journal as an incident, and the pipeline works on it as on any other: what an
//! alert would have to pass, it has to pass, too. Nothing is called here.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use tracing::info;

use super::Api;
use super::ask::{Body, words};
use super::people::{NAME_LENGTH, REASON_LENGTH};
use super::problem::Problem;
use super::wire;
use crate::clock;
use crate::incident::event::Opened;
use crate::incident::run::Run;
use crate::incident::{Event, IncidentId};
use crate::runbook::{Mode, Runbook};
use crate::store::Begun;
use crate::text::cut;
use crate::yaml::did_you_mean;

/// The journal has this long; the commands wait a little longer.
const COMMIT_WITHIN: Duration = Duration::from_secs(8);
/// Shorter, and two requests could have the same by chance; longer is no name any more.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// So much of a name that there is not is shown.
const SHOWN: usize = 80;

pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Body(body): Body<wire::RunWanted>,
) -> Result<Json<wire::RunBegun>, Problem> {
    let begun = try_begin(&api, body).await;
    let word = match &begun {
        Ok(begun) if begun.repeated => "repeated",
        Ok(_) => "begun",
        Err(problem) if problem.is_passing() => "unavailable",
        Err(_) => "refused",
    };
    api.metrics.runs.with_label_values(&[word]).inc();
    begun.map(Json)
}

async fn try_begin(api: &Api, wanted: wire::RunWanted) -> Result<wire::RunBegun, Problem> {
    if *api.shutdown.borrow() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "runbookd is shutting down; nothing was begun, try again when it is back",
        ));
    }
    let by = words("by", &wanted.by, NAME_LENGTH)?;
    let reason = words("reason", &wanted.reason, REASON_LENGTH)?;
    let key = key(&wanted.key)?;
    let runbook = runbook(api, &wanted.runbook)?;
    let labels = runbook.by_hand(&wanted.labels).map_err(Problem::bad_request)?;
    let opened = Opened {
        runbook: runbook.name.clone(),
        hash: runbook.hash.clone(),
        scope: runbook.scope(&labels),
        deadline: clock::after(clock::now(), runbook.deadline),
        alerts: Vec::new(),
        more: 0,
        truncated: 0,
        restore: None,
        run: Some(Run { by, reason, labels }),
        drill: None,
    };
    crate::crash::here("run-before-commit");
    let begun = tokio::time::timeout(COMMIT_WITHIN, api.store.open_run(key, opened.clone())).await;
    let begun = begun.map_err(|_| {
        let why =
            "the journal took too long, and may still begin it; the same key again begins nothing twice";
        // No 503: that says that nothing was written.
        Problem::new(StatusCode::GATEWAY_TIMEOUT, why)
    })??;
    crate::crash::here("run-after-commit");
    let unused = runbook.unused(&wanted.labels).into_iter().map(str::to_owned).collect();
    match begun {
        Begun::New(id) => {
            if let Some(Run { by, reason, .. }) = &opened.run {
                info!(incident.id = %id, by, reason, runbook = runbook.name, "Begun by hand by {by}: {reason}");
            }
            Ok(wire::RunBegun { incident: id, repeated: false, unused })
        }
        Begun::Known(id) => {
            is_the_same(api, &id, &opened).await?;
            Ok(wire::RunBegun { incident: id, repeated: true, unused })
        }
        Begun::Busy(id) => Err(Problem::conflict(format!(
            "incident {id} of {} is open for the same already, and two would be in each other's way; nothing was begun, `runbookd incidents {id} --follow` shows it",
            runbook.name
        ))),
    }
}

/// A key of a request that was for something else is a mistake, and no repetition.
async fn is_the_same(api: &Api, id: &IncidentId, wanted: &Opened) -> Result<(), Problem> {
    let first = api.store.events(id, 0).await?.into_iter().next();
    match first.map(|recorded| recorded.event) {
        Some(Event::Opened(there)) if there.runbook == wanted.runbook && there.run == wanted.run => Ok(()),
        _ => Err(Problem::conflict(format!(
            "`key` names the request that began incident {id}, and this is another one; use a new key"
        ))),
    }
}

/// What names the request.
fn key(key: &str) -> Result<&str, Problem> {
    let is_key = KEY_LENGTH.contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    is_key.then_some(key).ok_or_else(|| {
        Problem::bad_request(
            "`key` must name this request, so that it is not done twice when it is sent twice: 8 to 128 letters, digits and signs, such as a UUID",
        )
    })
}

fn runbook<'a>(api: &'a Api, name: &str) -> Result<&'a Arc<Runbook>, Problem> {
    let runbook = named(api, name)?;
    if runbook.mode == Mode::Off {
        return Err(Problem::conflict(format!(
            "{name} is off (`mode: off`), and then nobody begins it; nothing was begun"
        )));
    }
    Ok(runbook)
}

/// The loaded runbook of this name.
pub(super) fn named<'a>(api: &'a Api, name: &str) -> Result<&'a Arc<Runbook>, Problem> {
    let all = || api.runbooks.iter().map(|runbook| runbook.name.as_str());
    let Some(runbook) = api.runbooks.iter().find(|runbook| runbook.name == name) else {
        let near = did_you_mean(name, all()).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let there: Vec<&str> = all().collect();
        return Err(Problem::not_found(format!(
            "there is no runbook {:?}; {near}there are: {}",
            cut(name, SHOWN),
            there.join(", ")
        )));
    };
    Ok(runbook)
}
