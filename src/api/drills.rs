//! `POST /api/v1/drills`: somebody plays a scenario at the real systems. It is registered before anything is made up or broken, and what is about to be broken
//! is announced: then the daemon knows what belongs to the drill, and puts back what its maker does not. Nothing is broken here, and nothing is called but a look
//! at what is there.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use jiff::Timestamp;
use tracing::info;

use super::Api;
use super::ask::{Body, words};
use super::people::NAME_LENGTH;
use super::problem::Problem;
use super::wire;
use crate::alert::Labels;
use crate::clock::{after, between, now};
use crate::incident::drill::{Announced, Drill, ID_LENGTH, INJECT, is_id, scope_of};
use crate::incident::event::Opened;
use crate::incident::plan::{SetField, Sets, Stays};
use crate::incident::proof::Level;
use crate::incident::run::Run;
use crate::runbook::{Field, Kind, Mode};
use crate::store::{Announcement, Hindrance, Registered};
use crate::text::{cut, span};

/// No drill takes longer.
const LONGEST: Duration = Duration::from_hours(12);
/// The longest sentence about a fault.
const SENTENCE: usize = 300;
/// So many fields are set by one fault.
const FIELDS: usize = 8;
/// So many drills are listed.
const LISTED: u32 = 50;

pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Body(wanted): Body<wire::DrillWanted>,
) -> Result<Json<wire::DrillView>, Problem> {
    let wire::DrillWanted { run, scenario, at, by, lasts_seconds } = wanted;
    if !is_id(&run) {
        return Err(Problem::bad_request(format!(
            "`run` is {:?}; expected {ID_LENGTH} small hexadecimal digits of chance, which nobody can guess",
            cut(&run, NAME_LENGTH)
        )));
    }
    let (scenario, by) = (words("scenario", &scenario, NAME_LENGTH)?, words("by", &by, NAME_LENGTH)?);
    if at == Level::Sandbox {
        return Err(Problem::bad_request(
            "`at` is \"sandbox\", and a sandbox has a daemon of its own; expected \"alert\" or \"fault\"",
        ));
    }
    let lasts = Duration::from_secs(lasts_seconds);
    if lasts.is_zero() || lasts > LONGEST {
        return Err(Problem::bad_request(format!(
            "`lasts_seconds` is {lasts_seconds}; expected 1 to {}, which is {}",
            LONGEST.as_secs(),
            span(LONGEST)
        )));
    }
    let began_at = now();
    let drill = Drill { run, scenario, at, by, began_at, until: after(began_at, lasts), ended_at: None };
    let drill = match api.store.register_drill(drill.clone()).await? {
        Registered::New(drill) => {
            let Drill { run, scenario, by, .. } = &drill;
            info!(
                drill = run,
                by,
                scenario,
                "A drill at {at} by {by}: {scenario}, for {} at most",
                span(lasts)
            );
            drill
        }
        Registered::Known(there) if there.scenario == drill.scenario && there.by == drill.by => there,
        Registered::Known(_) => {
            return Err(Problem::conflict("`run` names another drill already; use a new one"));
        }
        Registered::NotNow(hindrance) => return Err(refused(&hindrance, &drill.run)),
    };
    // Before whoever plays it knows that it may begin.
    if let Some(eyes) = &api.eyes {
        eyes.tell_of(&drill);
    }
    Ok(Json(view(drill)))
}

fn view(drill: Drill) -> wire::DrillView {
    wire::DrillView { on: drill.is_on(now()), drill }
}

pub(super) async fn end(
    State(api): State<Arc<Api>>,
    Path(run): Path<String>,
) -> Result<Json<wire::DrillView>, Problem> {
    match api.store.end_drill(&run).await? {
        Some(drill) => {
            info!(drill = drill.run, "The drill is over");
            Ok(Json(view(drill)))
        }
        None => Err(refused(&Hindrance::Unknown, &run)),
    }
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<wire::Drills>, Problem> {
    let drills = api.store.drills(LISTED).await?.into_iter().map(view).collect();
    Ok(Json(wire::Drills { drills }))
}

pub(super) async fn fault(
    State(api): State<Arc<Api>>,
    Path(run): Path<String>,
    Body(wanted): Body<wire::FaultWanted>,
) -> Result<Json<wire::FaultTold>, Problem> {
    let drill = api.store.drill(&run).await?.ok_or_else(|| refused(&Hindrance::Unknown, &run))?;
    let says = words("says", &wanted.says, SENTENCE)?;
    let undo = words("undo", &wanted.undo, SENTENCE)?;
    may_put_back(&api, &wanted)?;
    is_there(&api, &wanted).await?;
    let wire::FaultWanted { object, uid, fields, .. } = wanted;
    let moment = now();
    // It is put back when the drill is over at the latest; whoever made it puts it back before.
    let stays = Stays::For(between(moment, drill.until.max(moment)));
    let set = |set: wire::FaultField| SetField {
        field: set.field,
        before: set.before,
        after: Some(set.after),
        baseline: None,
    };
    let fields: Vec<SetField> = fields.into_iter().map(set).collect();
    let sets =
        (!fields.is_empty()).then(|| Sets { object: object.clone(), uid, fields, stays, make_it_last: None });
    let announced = Announced { says, undo, object, sets };
    let opened = opened(&api, &drill, &announced);
    match api.store.announce_fault(opened, announced.clone()).await? {
        Announcement::Made(incident) => {
            info!(incident.id = %incident, drill = drill.run, "About to be broken by {}: {}", drill.by, announced.says);
            Ok(Json(wire::FaultTold { incident }))
        }
        Announcement::NotNow(hindrance) => Err(refused(&hindrance, &run)),
    }
}

fn opened(api: &Api, drill: &Drill, announced: &Announced) -> Opened {
    Opened {
        runbook: INJECT.to_owned(),
        hash: api.inject.hash.clone(),
        scope: scope_of(announced, &drill.run),
        deadline: drill.until,
        alerts: Vec::new(),
        more: 0,
        truncated: 0,
        restore: None,
        run: Some(Run {
            by: drill.by.clone(),
            reason: format!("drill of {}", drill.scenario),
            labels: Labels::default(),
        }),
        drill: Some(drill.run.clone()),
    }
}

/// What the daemon could not put back is not broken in its name.
fn may_put_back(api: &Api, wanted: &wire::FaultWanted) -> Result<(), Problem> {
    let wire::FaultWanted { object, uid, fields, .. } = wanted;
    if fields.len() > FIELDS || uid.is_empty() && !fields.is_empty() {
        return Err(Problem::bad_request(format!(
            "`fields` must be no more than {FIELDS}, of the object that `uid` names"
        )));
    }
    let known = |field: &Field| match field {
        Field::Limit { .. } => object.kind.is_workload(),
        Field::Unschedulable => object.kind == Kind::Node,
        _ => false,
    };
    if let Some(strange) = fields.iter().find(|set| !known(&set.field)) {
        return Err(Problem::bad_request(format!(
            "{} of {object} is nothing that a drill changes; expected the limit of a workload's container, or whether a node takes pods",
            strange.field
        )));
    }
    if let Some(same) = fields.iter().find(|set| set.field.same(set.before.as_deref(), Some(&set.after))) {
        return Err(Problem::bad_request(format!(
            "{} of {object} would stay as it is; expected another value in `after`",
            same.field
        )));
    }
    if !api.policy.namespaces.contains_key(&object.namespace) {
        return Err(Problem::conflict(format!(
            "{:?} is not in `namespaces:` of this daemon's configuration, so it could not put back what is broken there; nothing was announced",
            object.namespace
        )));
    }
    // A restore asks no mode: what was never allowed there must not come in this way.
    let of_node = (object.kind == Kind::Node).then_some((api.policy.nodes, "`nodes:`"));
    let namespace = api.policy.namespaces.get(&object.namespace).map(|mode| (*mode, "the namespace"));
    let modes = [Some((api.policy.ceiling, "the ceiling")), namespace, of_node];
    let lowest = modes.into_iter().flatten().min_by_key(|(mode, _)| *mode);
    if let Some((mode, whose)) = lowest.filter(|(mode, _)| !fields.is_empty() && *mode < Mode::Ask) {
        return Err(Problem::conflict(format!(
            "this daemon changes nothing there, as {whose} is {mode}, so it could not put back what is broken; expected ask or act; nothing was announced"
        )));
    }
    Ok(())
}

/// What is put back in the end is what is there now, and not what somebody says.
async fn is_there(api: &Api, wanted: &wire::FaultWanted) -> Result<(), Problem> {
    let wire::FaultWanted { object, uid, fields, .. } = wanted;
    let unseen = |why: String| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{object} could not be looked at, so nothing was announced: {why}"),
        )
    };
    for set in fields {
        let Some(eyes) = &api.eyes else { return Err(unseen("this daemon sees no cluster".to_owned())) };
        let seen = eyes.field(object, uid, &set.field).await.map_err(unseen)?;
        if !set.field.same(seen.value.as_deref(), set.before.as_deref()) {
            return Err(Problem::conflict(format!(
                "{} of {object} is not as `before` says; nothing was announced, look at it again",
                set.field
            )));
        }
    }
    Ok(())
}

fn refused(hindrance: &Hindrance, run: &str) -> Problem {
    let why = match hindrance {
        Hindrance::Paused(pause) => format!(
            "{} has paused this daemon ({}); `runbookd resume` ends that, and before that no drill begins",
            pause.by, pause.reason
        ),
        Hindrance::Incident { id, runbook } => format!(
            "incident {id} of {runbook} is open, and a drill would be in its way; `runbookd incidents {id} --follow` shows it"
        ),
        Hindrance::Drill(other) => format!(
            "{} plays a drill of {} since {}; it is over at {} at the latest, and `runbookd inject cleanup --run {}` ends it now",
            other.by,
            other.scenario,
            clock(other.began_at),
            clock(other.until),
            other.run
        ),
        Hindrance::Unknown => {
            let run = cut(run, NAME_LENGTH);
            return Problem::not_found(format!("there is no drill {run:?}; `GET /api/v1/drills` lists them"));
        }
        Hindrance::Over => "this drill is over; a new one has a new `run`".to_owned(),
        Hindrance::Changed { object, field } => format!(
            "{field} of {object} is changed for a while already, and a fault would be in the way of what is to be put back there; `runbookd changes` shows it"
        ),
        Hindrance::NoFaults => {
            "this drill was registered at `alert`, where nothing is broken; faults are for those at `fault`"
                .to_owned()
        }
    };
    Problem::conflict(format!("{why}. Nothing was done"))
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}
