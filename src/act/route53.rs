//! Writes the CNAMEs by which ACM validates a certificate, and nothing else: those that are missing or have another value, in the public zone that holds
//! them. There is no way here to delete one, as several certificates can share it, nor to put one back.

use jiff::Timestamp;

use super::{Followed, PlanError, unobserved, unread, unsent, void};
use crate::clients::acm::{Acm, Certificate, Which};
use crate::clients::route53::{Compared, Route53, Standing, Upsert, Zone, wanted};
use crate::clients::{CallError, Reason};
use crate::clock;
use crate::incident::event::{EffectResult, Observation};
use crate::incident::permit::Permit;
use crate::incident::plan::{Change, Circumstances, Plan, Record, Target};
use crate::runbook::Action;
use crate::text::count;

/// Route 53 says a minute. Whoever was down meanwhile still looks when it is back.
const SETTLES_WITHIN: std::time::Duration = std::time::Duration::from_hours(6);

type Tools<'t> = Option<&'t (Acm, Route53)>;

/// Why nothing can be said or done.
enum Unable {
    Call(CallError),
    /// For good, in words.
    Never(String),
}

impl Unable {
    /// For whoever gives up because of it.
    fn told(self) -> (Reason, String) {
        match self {
            Self::Call(error) => (error.reason, error.to_string()),
            Self::Never(why) => (Reason::ClientError, why),
        }
    }
}

impl From<CallError> for Unable {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// What ACM asks for, for this certificate, and what stands there.
async fn look(tools: Tools<'_>, name: &str) -> Result<(Certificate, Vec<Compared>), Unable> {
    let Some((acm, route53)) = tools else {
        return Err(Unable::Never("the configuration has no `aws`, so ACM can not be asked".to_owned()));
    };
    let which = Which::parse(name).map_err(|expected| Unable::Never(format!("{name:?}: {expected}")))?;
    let certificate = acm.certificate(&which).await?.map_err(|unclear| Unable::Never(unclear.0))?;
    let asked = wanted(std::slice::from_ref(&certificate));
    let compared = route53.compare(&asked).await?;
    Ok((certificate, compared))
}

pub(super) async fn plan(tools: Tools<'_>, target: &Target, now: Timestamp) -> Result<Plan, PlanError> {
    let for_good = |why: String| PlanError { why, for_good: true };
    let (certificate, compared) = match look(tools, &target.name).await {
        Ok(looked) => looked,
        Err(Unable::Call(error)) => return Err(unread(error)),
        Err(Unable::Never(why)) => return Err(for_good(why)),
    };
    let records: Vec<Record> = compared.iter().filter_map(record).collect();
    if records.is_empty() {
        let lost: Vec<String> =
            compared.iter().filter(|one| one.standing.needs_a_person()).map(ToString::to_string).collect();
        return Err(for_good(match (compared.is_empty(), lost.is_empty()) {
            (true, _) => format!(
                "ACM asks for no record in DNS for {} ({}, {})",
                certificate.arn, certificate.kind, certificate.status
            ),
            (false, true) => "every record that ACM asks for stands there already".to_owned(),
            (false, false) => format!("no upsert mends it: {}", lost.join("; ")),
        }));
    }
    let before = records.iter().map(standing_before).collect::<Vec<_>>().join("; ");
    let after =
        records.iter().map(|record| format!("{} CNAME {}", record.name, record.after)).collect::<Vec<_>>();
    let after = after.join("; ");
    let touches = records.iter().map(|record| {
        let Record { zone, zone_name, name, after, .. } = record;
        format!("{name} CNAME {after} in the zone {zone_name} ({zone}); {} now", standing_before(record))
    });
    let other = compared.iter().filter(|one| one.standing.needs_a_person());
    let left = other.map(|one| format!("left for a person: {one}"));
    let may_not_last = vec![
        "where terraform or another tool keeps these records, its next run writes what it has: correct it there, too".to_owned(),
    ];
    Ok(Plan {
        uid: certificate.arn.clone(),
        says: format!(
            "write {} of {target} in Route 53",
            count(records.len() as u64, "validation record", "validation records")
        ),
        change: Change {
            field: "validation records".to_owned(),
            before: Some(before),
            judged: after.clone(),
            after,
        },
        touches: touches.chain(left).collect(),
        records,
        circumstances: Circumstances { may_not_last, ..Circumstances::default() },
        settles_within: SETTLES_WITHIN,
        ..Plan::bare(Action::Route53, target.clone(), now)
    })
}

/// What is to be written there; none when nothing is, or a person has to.
fn record(compared: &Compared) -> Option<Record> {
    let upsert = compared.repair()?;
    let before = match &compared.standing {
        Standing::Different(_, values) => values.clone(),
        _ => Vec::new(),
    };
    Some(Record {
        zone: upsert.zone().id.clone(),
        zone_name: upsert.zone().name.clone(),
        name: upsert.name().to_owned(),
        before,
        after: upsert.value().to_owned(),
    })
}

fn standing_before(record: &Record) -> String {
    if record.before.is_empty() { "nothing".to_owned() } else { record.before.join(", ") }
}

/// How it is with a record of a plan by now.
enum Now {
    /// As ACM asks for it.
    Right,
    /// As the plan found it.
    AsPlanned,
    /// Somebody else has changed it, or ACM asks for something else; in words.
    Otherwise(String),
}

/// Each record of the plan, as it is now.
async fn by_now(tools: Tools<'_>, plan: &Plan) -> Result<Vec<Now>, Unable> {
    // By its ARN: another certificate for the same domain is another one.
    let (_, compared) = look(tools, &plan.uid).await?;
    let now = |record: &Record| {
        let asked =
            compared.iter().find(|one| one.wanted.name == record.name && one.wanted.value == record.after);
        let Some(asked) = asked else {
            return Now::Otherwise(format!("ACM no longer asks for {} CNAME {}", record.name, record.after));
        };
        match &asked.standing {
            Standing::Right(_) => Now::Right,
            Standing::Missing(zone) if record.before.is_empty() && zone.id == record.zone => Now::AsPlanned,
            Standing::Different(zone, values) if *values == record.before && zone.id == record.zone => {
                Now::AsPlanned
            }
            _ => Now::Otherwise(asked.to_string()),
        }
    };
    Ok(plan.records.iter().map(now).collect())
}

pub(super) async fn apply(tools: Tools<'_>, permit: Permit) -> EffectResult {
    let plan = permit.plan();
    let refused = |reason: Reason, message: String| EffectResult::Refused {
        reason: reason.as_str().to_owned(),
        message,
    };
    let now = match by_now(tools, plan).await {
        Ok(now) => now,
        Err(Unable::Never(why)) => return refused(Reason::ClientError, why),
        Err(Unable::Call(error)) => return unsent(&error),
    };
    for one in &now {
        if let Now::Otherwise(saw) = one {
            return refused(Reason::Conflict, format!("it has changed since the plan was made: {saw}"));
        }
    }
    let Some((_, route53)) = tools else {
        return refused(Reason::ClientError, "there is no Route 53".to_owned());
    };
    let mut handles = Vec::new();
    for (number, record) in plan.records.iter().enumerate() {
        match now.get(number) {
            Some(Now::AsPlanned) => {}
            _ => continue,
        }
        let lost = |reason, message| lost(reason, message, handles.len(), plan.records.len());
        // The calls before this one took their time.
        if !handles.is_empty() {
            match again(tools, plan, number).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err((reason, message)) => return lost(reason, message),
            }
        }
        // Reading took its time as well, and a permit is for now.
        match void(&permit, clock::now()) {
            Some(EffectResult::NotTaken { message, .. }) if !handles.is_empty() => {
                return lost(Reason::Unreachable, message);
            }
            Some(late) => return late,
            None => {}
        }
        let zone = Zone { id: record.zone.clone(), name: record.zone_name.clone() };
        let upsert = match Upsert::new(&zone, &record.name, &record.after) {
            Ok(upsert) => upsert,
            Err(why) => return lost(Reason::ClientError, why),
        };
        match route53.upsert(&upsert).await {
            Ok(change) => handles.push(change.id),
            Err(error) => return lost(error.reason, error.to_string()),
        }
    }
    EffectResult::Begun { handles }
}

/// Whether the record of this number is still to be written, or stands there by now; else why it must not be.
async fn again(tools: Tools<'_>, plan: &Plan, number: usize) -> Result<bool, (Reason, String)> {
    match by_now(tools, plan).await.map_err(Unable::told)?.into_iter().nth(number) {
        Some(Now::AsPlanned) => Ok(true),
        Some(Now::Right) | None => Ok(false),
        Some(Now::Otherwise(saw)) => Err((Reason::Conflict, saw)),
    }
}

/// One of them was not taken, or nobody knows. What is written a second time is the same, so after a look it is tried again.
fn lost(why: Reason, message: String, before: usize, of: usize) -> EffectResult {
    let reason = why.as_str().to_owned();
    let told = || format!("{message}; {before} of {of} were written before");
    match why {
        Reason::NotFound | Reason::Conflict | Reason::ClientError | Reason::Denied if before == 0 => {
            EffectResult::Refused { reason, message }
        }
        Reason::NotFound | Reason::Conflict | Reason::ClientError | Reason::Denied => {
            EffectResult::InPart { reason, message: told() }
        }
        Reason::RateLimited | Reason::Unreachable if before == 0 => {
            EffectResult::NotTaken { reason, message }
        }
        Reason::RateLimited | Reason::Unreachable => EffectResult::Unclear { reason, message: told() },
        Reason::Timeout | Reason::ServerError => EffectResult::Unclear { reason, message },
    }
}

pub(super) async fn observe(tools: Tools<'_>, plan: &Plan) -> Observation {
    let now = match by_now(tools, plan).await {
        Ok(now) => now,
        Err(Unable::Call(error)) => return unobserved(plan, &error),
        Err(Unable::Never(saw)) => return Observation::Ambiguous { saw },
    };
    let right = now.iter().filter(|one| matches!(one, Now::Right)).count();
    if let Some(saw) = now.iter().find_map(|one| match one {
        Now::Otherwise(saw) => Some(saw.clone()),
        Now::Right | Now::AsPlanned => None,
    }) {
        return Observation::Ambiguous { saw };
    }
    match right {
        0 => Observation::NotDone,
        right if right == now.len() => Observation::Done,
        right => Observation::Partly { saw: format!("{right} of {} records are written", now.len()) },
    }
}

/// It has come to its end when all of Route 53's servers answer with it (`INSYNC`), and it still stands.
pub(super) async fn follow(tools: Tools<'_>, plan: &Plan, handles: &[String]) -> Followed {
    let Some((_, route53)) = tools else { return Followed::Unseen("there is no Route 53".to_owned()) };
    let mut untold = Vec::new();
    for id in handles {
        match route53.change(id).await {
            Ok(change) if change.is_in_sync => {}
            Ok(_) => return Followed::NotYet(format!("the change {id} is PENDING")),
            // Whoever may not ask, or asks too late, sees the record all the same.
            Err(error) if matches!(error.reason, Reason::Denied | Reason::NotFound) => {
                untold.push(error.to_string())
            }
            Err(error) => return Followed::Unseen(error.to_string()),
        }
    }
    match observe(tools, plan).await {
        Observation::Done if !untold.is_empty() => Followed::Complete(format!(
            "the records stand as ACM asks for them; whether they are in sync can not be told ({})",
            untold.join("; ")
        )),
        Observation::Done if handles.len() < plan.records.len() => Followed::Complete(
            "the records stand as ACM asks for them; which changes of Route 53 they were is not known"
                .to_owned(),
        ),
        Observation::Done => Followed::Complete(format!(
            "{} INSYNC, and as ACM asks for them",
            count(plan.records.len() as u64, "record is", "records are")
        )),
        Observation::NotDone | Observation::Partly { .. } => {
            Followed::Overtaken("somebody has written over it".to_owned())
        }
        Observation::Ambiguous { saw } => Followed::Overtaken(saw),
        Observation::Unseen { why } => Followed::Unseen(why),
    }
}
