//! The CNAME by which ACM validates a certificate gets a value that names the run, and the right one again. Other certificates can share it: it is never deleted, and only ever
//! one of these two values is written. No object of the cluster stands for it, so its note is on the namespace's.

use super::make::{CLEANUP, failed};
use super::plan::{Look, On, noted};
use super::undo::ours;
use super::{Bounds, Ground, INJECTED, NotMade, Note, Planned, Refused, Undo, Undone, Wanted};
use crate::clients::acm::{self, Acm, Certificate, SUCCESS, Which};
use crate::clients::kubernetes::Object;
use crate::clients::route53::{Compared, Route53, Spoiled, SpoiledIs, Standing, Upsert, Zone, plain, wanted};
use crate::clients::{CallError, Reason};
use crate::runbook::Kind;

const NO_AWS: &str = "the configuration has no `aws`, so neither ACM nor Route 53 can be asked";

/// How it is undone; what stands there meanwhile says the run.
pub(super) fn undo_of(right: &Upsert, run: &str) -> Undo {
    Undo::Record {
        zone: right.zone().id.clone(),
        name: right.name().to_owned(),
        base: right.value().to_owned(),
        ours: Spoiled::new(right, run).map(|spoiled| spoiled.value().to_owned()).unwrap_or_default(),
    }
}

impl Ground {
    pub(super) async fn look_at_record(&self, host: &str, bounds: Bounds) -> Result<Look, Refused> {
        let Some((acm, route53)) = &self.certificates else {
            return Err(Refused::with(
                NO_AWS,
                "`aws` with its region",
                "write `aws: {region: eu-central-1}`",
            ));
        };
        let which = match Which::parse(host) {
            Ok(which @ Which::Domain(_)) => which,
            _ => {
                return Err(Refused::rule(
                    format!("{host:?} is not the name of a host"),
                    "one such as shop.example",
                ));
            }
        };
        let Some(namespace) = self.kubernetes.namespace(&self.namespace).await? else {
            return Err(Refused::rule(
                format!("there is no namespace {}", self.namespace),
                "one that is there",
            ));
        };
        if let Some(note) = namespace.annotation(INJECTED) {
            return Err(noted(&format!("namespace/{}", self.namespace), note));
        }
        let certificate = match acm.certificate(&which).await {
            Ok(Ok(certificate)) => certificate,
            Ok(Err(unclear)) => {
                return Err(Refused::rule(unclear.0, "one certificate, or one that is in use"));
            }
            Err(error) if error.reason == Reason::NotFound => {
                return Err(Refused::rule(error.to_string(), "a certificate that is for this host"));
            }
            Err(error) => return Err(error.into()),
        };
        let arn = &certificate.arn;
        if certificate.status != acm::ISSUED {
            let saw = format!("the certificate {arn} is {}", certificate.status);
            return Err(Refused::with(
                saw,
                acm::ISSUED,
                "mend it first: what is broken already proves nothing",
            ));
        }
        let compared = route53.compare(&wanted(std::slice::from_ref(&certificate))).await?;
        let (record, right) = right_record(&certificate, &compared, host)?;
        let zone = right.zone();
        let mut touches = vec![only_renewal(&certificate)];
        touches.extend(sharing(acm, arn, record).await?);
        touches.push("certificates of other regions can share it as well: they are not seen here".to_owned());
        touches.push("its TTL is 300 s from then on, also when it is put back; for so long resolvers may keep what they know".to_owned());
        let base = right.value();
        let planned = Planned {
            says: format!(
                "change the record {} in the zone {} ({}) from CNAME {base} to CNAME {}",
                right.name(),
                zone.name,
                zone.id,
                Spoiled::shown(&right)
            ),
            touches,
            undo_says: format!(
                "the record is CNAME {base} again, unless somebody else has changed it since; it is never deleted"
            ),
            uid: arn.clone(),
            object: Some(self.target(Kind::Certificate, host)),
            record: Some(right.clone()),
            ..self.planned(Wanted::ValidationRecord { host: host.to_owned() }, bounds, undo_of(&right, ""))
        };
        Ok(Look { planned, on: On::Namespace(namespace) })
    }

    pub(super) async fn spoil_record(
        &self,
        right: &Upsert,
        namespace: &Object,
        note: &Note,
    ) -> Result<String, NotMade> {
        let Some((_, route53)) = &self.certificates else {
            return Err(Refused::rule(NO_AWS, "`aws` with its region").into());
        };
        let spoiled =
            Spoiled::new(right, &note.run).map_err(|why| Refused::rule(why, "a run whose id can be"))?;
        let (target, text, name) = (format!("namespace/{}", self.namespace), note.text(), right.name());
        let set = self.kubernetes.note_namespace(namespace, (INJECTED, &text)).await;
        set.map_err(|error| failed(error, &target))?;
        let done = format!("the record {name} is CNAME {} now", spoiled.value());
        let error = match route53.spoil(&spoiled).await {
            Ok(change) => return Ok(format!("{done} (the change {} of Route 53)", change.id)),
            Err(error) => error,
        };
        if error.reason.surely_without_effect() {
            let back =
                self.kubernetes.remove_note_of_namespace(&self.namespace, namespace.uid(), (INJECTED, &text));
            let left = match back.await {
                Ok(()) => "the record was not changed, and the note is taken back".to_owned(),
                Err(again) => {
                    format!("the record was not changed; {target} still bears the note ({again}): {CLEANUP}")
                }
            };
            return Err(NotMade::Failed { error, left });
        }
        // Nobody answered, but it may be done.
        let saw = match route53.look_at_spoiled(&spoiled).await {
            Ok(SpoiledIs::Ours) => return Ok(done),
            Ok(SpoiledIs::Right) => "it is not changed so far".to_owned(),
            Ok(SpoiledIs::Otherwise(saw)) => saw,
            Err(again) => again.to_string(),
        };
        let left =
            format!("whether the record changes is not known ({saw}); {target} bears the note: {CLEANUP}");
        Err(NotMade::Failed { error, left })
    }

    pub(super) async fn undo_namespace(
        &self,
        object: &Object,
        run: Option<&str>,
    ) -> Result<Undone, CallError> {
        let target = format!("namespace/{}", object.name());
        let text = object.annotation(INJECTED);
        let note = match ours(&target, text, run) {
            Ok(note) => note,
            Err(undone) => return Ok(undone),
        };
        let Undo::Record { zone, name, base, ours } = &note.undo else {
            return Ok(Undone::LeftAlone(format!("the note on {target} is not of what is broken there")));
        };
        let Some((_, route53)) = &self.certificates else {
            return Err(unable(name, NO_AWS));
        };
        // The note stays where nothing can be seen: other credentials may see it.
        let zones = route53.zones().await?;
        let Some(zone) = zones.iter().find(|one| one.id == *zone) else {
            return Err(unable(name, &format!("this account has no public hosted zone {zone}")));
        };
        // Anybody who may write to the namespace can have written the note: nothing but a record that a drill has changed is written by it.
        let spoiled = match spoiled(zone, name, base, &note.run).filter(|spoiled| spoiled.value() == ours) {
            Some(spoiled) => spoiled,
            None => {
                return Ok(Undone::LeftAlone(format!(
                    "the note on {target} is of no record that a run changes"
                )));
            }
        };
        let undone = match route53.look_at_spoiled(&spoiled).await? {
            SpoiledIs::Right => {
                Undone::Done(format!("the record {name} is as before already; took the note off {target}"))
            }
            SpoiledIs::Ours => {
                self.put_back(route53, &spoiled).await?;
                Undone::Done(format!("the record {name} is CNAME {base} again"))
            }
            SpoiledIs::Otherwise(saw) => Undone::LeftAlone(format!(
                "{saw}, and not {ours} (ours); only the note was taken off {target}"
            )),
        };
        let note = (INJECTED, text.unwrap_or_default());
        self.kubernetes.remove_note_of_namespace(object.name(), object.uid(), note).await?;
        Ok(undone)
    }

    async fn put_back(&self, route53: &Route53, spoiled: &Spoiled) -> Result<(), CallError> {
        let Err(error) = route53.unspoil(spoiled).await else { return Ok(()) };
        let is_right = async || matches!(route53.look_at_spoiled(spoiled).await, Ok(SpoiledIs::Right));
        // Nobody answered, but it is done. What is not known is looked at again by the next `cleanup`, as the note stays.
        if !error.reason.surely_without_effect() && is_right().await { Ok(()) } else { Err(error) }
    }
}

fn spoiled(zone: &Zone, name: &str, base: &str, run: &str) -> Option<Spoiled> {
    Spoiled::new(&Upsert::new(zone, name, base).ok()?, run).ok()
}

fn unable(name: &str, why: &str) -> CallError {
    CallError {
        call: format!("put the record {name} back"),
        reason: Reason::ClientError,
        message: why.to_owned(),
        retry_after: None,
    }
}

/// The record by which this host is validated: of its own name, or else of a `*` that stands for it. Every other one of the certificate must be right, too.
fn right_record<'c>(
    certificate: &Certificate,
    compared: &'c [Compared],
    host: &str,
) -> Result<(&'c Compared, Upsert), Refused> {
    let steady = "mend it first: what is broken already proves nothing";
    if let Some(wrong) = compared.iter().find(|one| !matches!(one.standing, Standing::Right(_))) {
        return Err(Refused::with(wrong.to_string(), "every record as ACM asks for it", steady));
    }
    let by = |fits: fn(&str, &str) -> bool| {
        compared.iter().find(|one| one.wanted.domains.iter().any(|domain| fits(domain, host)))
    };
    let of_host = by(|domain, host| domain.eq_ignore_ascii_case(host)).or_else(|| by(acm::covers));
    let right = of_host.and_then(|one| match &one.standing {
        Standing::Right(zone) => Some((one, Upsert::new(zone, &one.wanted.name, &one.wanted.value).ok()?)),
        _ => None,
    });
    right.ok_or_else(|| {
        let Certificate { arn, kind, .. } = certificate;
        let saw = format!("ACM asks for no record in DNS for {host} ({arn}, {kind})");
        Refused::rule(saw, "a certificate that Amazon has issued, and that is validated by DNS")
    })
}

fn only_renewal(certificate: &Certificate) -> String {
    let until = certificate.not_after.map(|end| format!(", which is good until {end}")).unwrap_or_default();
    let renewal = certificate.renewal.as_ref().filter(|renewal| renewal.status != SUCCESS);
    let renewal = renewal
        .map(|renewal| format!("; its renewal is {} and waits as long", renewal.status))
        .unwrap_or_default();
    format!("nothing breaks at once: only a renewal of {}{until}, needs the record{renewal}", certificate.arn)
}

/// Who else is validated by the record, as far as this region's ACM knows: one for the same name, or for a `*` below it.
async fn sharing(acm: &Acm, arn: &str, record: &Compared) -> Result<Vec<String>, CallError> {
    let asked = &record.wanted;
    let parent = asked.name.split_once('.').map_or("", |(_, parent)| parent);
    let mut found = acm.of_domain(parent).await?;
    found.extend(acm.of_domain(&format!("*.{parent}")).await?);
    found.sort_by(|one, other| one.arn.cmp(&other.arn));
    found.dedup_by(|one, other| one.arn == other.arn);
    let shares = |one: &&Certificate| {
        one.arn != arn && one.records().any(|(_, record)| plain(&record.name) == asked.name)
    };
    let others = found.iter().filter(shares);
    let others = others.map(|one| format!("{} shares it, for {}", one.arn, one.names.join(", ")));
    Ok([format!("the record validates {}", asked.domains.join(", "))].into_iter().chain(others).collect())
}
