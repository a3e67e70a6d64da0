//! Amazon Route 53: which records stand in the public hosted zones, and the one write: an upsert of a single CNAME that ACM asks for; for a person's drill (`spoiled.rs`), with a
//! value that names the drill. There is nothing here that deletes.

mod name;
mod spoiled;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_sdk_route53::Client;
use aws_sdk_route53::config::{Config, Region};
use aws_sdk_route53::types as sdk;
use jiff::Timestamp;

pub use name::{Zone, plain};
pub use spoiled::{Spoiled, SpoiledIs};
pub use standing::{Compared, RecordSet, Standing, Upsert, Wanted, wanted};

use super::aws::{Aws, Failure, Service, boxed, failed};
use super::{CallError, Questions, Reason};
use name::{ZoneOf, between, zone_of};
use standing::{compare, fault};

/// An account has at most 500 hosted zones, unless AWS allows it more, and a page 100.
const PAGES: usize = 50;
/// How long others may keep what is written, in seconds.
const TTL: i64 = 300;
/// How many questions may be under way at once. AWS allows an account five requests a second, all of its zones and programs together.
const AT_ONCE: usize = 2;
/// What stands beside a change in Route 53.
const COMMENT: &str = "runbookd: a record by which ACM validates a certificate";

/// The names of an account.
#[derive(Clone)]
pub struct Route53(Arc<Inner>);

struct Inner {
    aws: Aws,
    client: Client,
    answers: Questions<Answer>,
}

/// What was asked.
#[derive(Debug, Clone)]
enum Answer {
    Zones(Arc<Vec<Zone>>),
    Records(Arc<Vec<RecordSet>>),
    Change(Change),
}

/// A change that Route 53 has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// By which it can be asked about.
    pub id: String,
    /// Whether all of Route 53's servers answer with it (`INSYNC`); before that it is `PENDING`.
    pub is_in_sync: bool,
    /// When it was taken.
    pub submitted_at: Option<Timestamp>,
}

impl std::fmt::Debug for Route53 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route53").field("aws", &self.0.aws).finish_non_exhaustive()
    }
}

impl Route53 {
    /// Nothing is sent.
    #[must_use]
    pub fn new(aws: &Aws) -> Self {
        let mut config = Config::from(&aws.sdk(Service::Route53)).to_builder();
        if aws.endpoint(Service::Route53).is_some() {
            // At its own address the SDK knows where it is; at another one it would sign for the region of the rest.
            config = config.region(Region::new(home(aws.region())));
        }
        let client = Client::from_conf(config.build());
        Self(Arc::new(Inner { aws: aws.clone(), client, answers: Questions::new(AT_ONCE) }))
    }

    /// How it is with each of these records.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering about one of them.
    pub async fn compare(&self, wanted: &[Wanted]) -> Result<Vec<Compared>, CallError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let zones = self.zones().await?;
        let mut all = Vec::with_capacity(wanted.len());
        for one in wanted {
            let standing = match (fault(one, wanted), zone_of(&zones, &one.name)) {
                (Some(fault), _) => fault,
                (None, ZoneOf::None) => Standing::NoZone,
                (None, ZoneOf::Several(zones)) => Standing::Ambiguous(zones),
                (None, ZoneOf::One(zone)) => match self.delegation(&zone, &one.name).await? {
                    Some(RecordSet { name: at, values: servers, .. }) => {
                        Standing::Delegated { zone, at, servers }
                    }
                    None => {
                        let stands = self.records(&zone, &one.name).await?;
                        compare(one, zone, &stands)
                    }
                },
            };
            all.push(Compared { wanted: one.clone(), standing });
        }
        Ok(all)
    }

    /// All public hosted zones. What is private the world does not see, nor does ACM.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering.
    pub async fn zones(&self) -> Result<Arc<Vec<Zone>>, CallError> {
        let call = "list the hosted zones of Route 53";
        let question = || async {
            let mut all = Vec::new();
            let mut marker: Option<String> = None;
            for _ in 0..PAGES {
                let request = self.0.client.list_hosted_zones().set_marker(marker);
                let page = boxed(request.send())
                    .await
                    .map_err(|error| failed(call, "route53:ListHostedZones", error))?;
                if page.max_items() == 0 {
                    return Err(half(call));
                }
                for zone in page.hosted_zones() {
                    // Of one that does not say whether it is private nothing is believed.
                    if zone.config().is_some_and(|config| !config.private_zone()) {
                        let id = zone.id().trim_start_matches("/hostedzone/").to_owned();
                        all.push(Zone { id, name: plain(zone.name()) });
                    }
                }
                marker = page.next_marker().filter(|_| page.is_truncated()).map(str::to_owned);
                match (page.is_truncated(), &marker) {
                    (false, _) => return Ok(Answer::Zones(Arc::new(all))),
                    (true, Some(_)) => {}
                    (true, None) => return Err(half(call)),
                }
            }
            Err(too_many(call))
        };
        match self.ask(call, "zones".to_owned(), question).await? {
            Answer::Zones(zones) => Ok(zones),
            Answer::Records(_) | Answer::Change(_) => Err(CallError::mixed_up(call)),
        }
    }

    /// All that stands at a name of a zone, of every type.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such zone.
    pub async fn records(&self, zone: &Zone, name: &str) -> Result<Arc<Vec<RecordSet>>, CallError> {
        let call = format!("list the records at {name} in the zone {} ({})", zone.name, zone.id);
        let name = plain(name);
        let question = || async {
            let mut all = Vec::new();
            let (mut kind, mut identifier): (Option<sdk::RrType>, Option<String>) = (None, None);
            for _ in 0..PAGES {
                let request = self.0.client.list_resource_record_sets().hosted_zone_id(&zone.id);
                let request = request.start_record_name(&name).set_start_record_type(kind);
                let page = boxed(request.set_start_record_identifier(identifier).send())
                    .await
                    .map_err(|error| failed(&call, "route53:ListResourceRecordSets", error))?;
                // Nothing at a name is what may be written over, so it has to be said, and not to be left out.
                if page.max_items() == 0 {
                    return Err(half(&call));
                }
                all.extend(page.resource_record_sets().iter().map(record_set).filter(|set| set.name == name));
                // The list begins at the name and goes on in order: what comes after it is of other names.
                let goes_on =
                    page.is_truncated() && page.next_record_name().map(plain).as_ref() == Some(&name);
                if !goes_on {
                    if page.is_truncated() && page.next_record_name().is_none() {
                        return Err(half(&call));
                    }
                    return Ok(Answer::Records(Arc::new(all)));
                }
                (kind, identifier) = (page.next_record_type, page.next_record_identifier);
                if kind.is_none() {
                    return Err(half(&call));
                }
            }
            Err(too_many(&call))
        };
        match self.ask(&call, format!("records {} {name}", zone.id), question).await? {
            Answer::Records(records) => Ok(records),
            Answer::Zones(_) | Answer::Change(_) => Err(CallError::mixed_up(&call)),
        }
    }

    /// The NS records below the zone's own name, and above this one, by which the zone leaves it to other name servers.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering about one of the names between the two.
    async fn delegation(&self, zone: &Zone, name: &str) -> Result<Option<RecordSet>, CallError> {
        for parent in between(name, &zone.name) {
            let call = format!("look whether the zone {} ({}) delegates {parent}", zone.name, zone.id);
            let question = || async {
                let request = self.0.client.list_resource_record_sets().hosted_zone_id(&zone.id);
                let request = request.start_record_name(parent).start_record_type(sdk::RrType::Ns);
                let page = boxed(request.max_items(1).send())
                    .await
                    .map_err(|error| failed(&call, "route53:ListResourceRecordSets", error))?;
                let sets = page.resource_record_sets();
                if page.max_items() == 0 || (sets.is_empty() && page.is_truncated()) {
                    return Err(half(&call));
                }
                // Where there are none, the list begins with what comes next.
                let is_it = |set: &RecordSet| set.name == parent && set.kind == sdk::RrType::Ns.as_str();
                Ok(Answer::Records(Arc::new(sets.iter().map(record_set).filter(is_it).collect())))
            };
            match self.ask(&call, format!("delegation {} {parent}", zone.id), question).await? {
                Answer::Records(found) => {
                    if let Some(set) = found.first() {
                        return Ok(Some(set.clone()));
                    }
                }
                Answer::Zones(_) | Answer::Change(_) => return Err(CallError::mixed_up(&call)),
            }
        }
        Ok(None)
    }

    /// Writes one CNAME, whatever CNAME stood there before: sent once, with nothing beside it. `RateLimited` is also said while Route 53 works on another change of
    /// the zone (`PriorRequestNotComplete`); this one was not taken then.
    ///
    /// # Errors
    /// Whatever kept AWS from taking it, or from saying that it has.
    pub async fn upsert(&self, upsert: &Upsert) -> Result<Change, CallError> {
        self.put((&upsert.zone().id, upsert.name(), upsert.value()), COMMENT).await
    }

    /// An [`Upsert`], or a [`Spoiled`]: nobody else calls it.
    async fn put(&self, (zone, name, value): (&str, &str, &str), comment: &str) -> Result<Change, CallError> {
        let call = format!("write {name} CNAME {value} in the zone {zone}");
        let incomplete = |error: aws_sdk_route53::error::BuildError| {
            CallError::unsent(&call, &format!("the request can not be made: {error}"))
        };
        let dotted = |name: &str| format!("{name}.");
        let record = sdk::ResourceRecord::builder().value(dotted(value)).build();
        let set = sdk::ResourceRecordSet::builder()
            .name(dotted(name))
            .r#type(sdk::RrType::Cname)
            .ttl(TTL)
            .resource_records(record.map_err(incomplete)?)
            .build();
        let change = sdk::Change::builder()
            .action(sdk::ChangeAction::Upsert)
            .resource_record_set(set.map_err(incomplete)?)
            .build();
        let batch = sdk::ChangeBatch::builder().comment(comment).changes(change.map_err(incomplete)?).build();
        let batch = batch.map_err(incomplete)?;
        let write = async {
            let request = self.0.client.change_resource_record_sets().hosted_zone_id(zone);
            let answer = boxed(request.change_batch(batch.clone()).send())
                .await
                .map_err(|error| failed(&call, "route53:ChangeResourceRecordSets", error))?;
            answer.change_info().and_then(taken).ok_or_else(|| half(&call))
        };
        self.0.aws.tell(&call, write).await
    }

    /// How far a change has come.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when it knows of none such.
    pub async fn change(&self, id: &str) -> Result<Change, CallError> {
        let call = format!("ask about the change {id} of Route 53");
        let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id {
            return Err(CallError::unsent(&call, "that is not the id of a change"));
        }
        let question = || async {
            let request = self.0.client.get_change().id(id);
            let answer =
                boxed(request.send()).await.map_err(|error| failed(&call, "route53:GetChange", error))?;
            answer.change_info().and_then(taken).map(Answer::Change).ok_or_else(|| half(&call))
        };
        match self.ask(&call, format!("change {id}"), question).await? {
            Answer::Change(change) if change.id == id => Ok(change),
            Answer::Change(_) => {
                Err(CallError::new(&call, Reason::ServerError, "the answer is about another change"))
            }
            Answer::Zones(_) | Answer::Records(_) => Err(CallError::mixed_up(&call)),
        }
    }

    async fn ask<F>(&self, call: &str, question: String, ask: impl Fn() -> F) -> Result<Answer, CallError>
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        self.0.answers.ask(question, || self.0.aws.ask(call, ask)).await
    }
}

/// The region that Route 53 is in, for all regions of a partition.
/// Source: <https://docs.aws.amazon.com/general/latest/gr/r53.html>.
fn home(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "cn-northwest-1",
        _ if region.starts_with("us-gov-") => "us-gov-west-1",
        _ => "us-east-1",
    }
}

fn record_set(set: &sdk::ResourceRecordSet) -> RecordSet {
    RecordSet {
        name: plain(set.name()),
        kind: set.r#type().as_str().to_owned(),
        ttl: set.ttl().and_then(|ttl| u64::try_from(ttl).ok()),
        values: set.resource_records().iter().map(|record| record.value().to_owned()).collect(),
        alias: set.alias_target().map(|alias| plain(alias.dns_name())),
        is_routed: set.set_identifier().is_some() || set.traffic_policy_instance_id().is_some(),
    }
}

/// The SDK fills in what an answer lacks: half an answer must not look like a whole one.
fn taken(info: &sdk::ChangeInfo) -> Option<Change> {
    let at = info.submitted_at();
    let id = info.id().trim_start_matches("/change/").to_owned();
    let is_in_sync = match info.status() {
        sdk::ChangeStatus::Insync => true,
        sdk::ChangeStatus::Pending => false,
        _ => return None,
    };
    let nanos = i32::try_from(at.subsec_nanos()).ok();
    let submitted_at = nanos.and_then(|nanos| Timestamp::new(at.secs(), nanos).ok());
    (!id.is_empty()).then_some(Change { id, is_in_sync, submitted_at })
}

fn half(call: &str) -> Failure {
    CallError::new(call, Reason::ServerError, "the answer is not whole").into()
}

fn too_many(call: &str) -> Failure {
    CallError::new(call, Reason::ClientError, &format!("there are more than {PAGES} pages")).into()
}
