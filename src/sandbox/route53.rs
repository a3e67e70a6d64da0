//! Amazon Route 53: hosted zones, one of them private, and their records. Answers as recorded of moto, and as AWS documents where moto says less: a name is sorted by its labels from
//! the end, an upsert replaces, a CNAME suffers nothing beside it, and a change is `PENDING` for a while.
//!
//! Three questions are known and one change, an upsert; everything else gets AWS's error.

use jiff::Timestamp;
use roxmltree::{Document, Node};

use super::account::{Account, Change, RecordSet, ZONES};
use super::rds::{escaped, signed_for};
use super::server::{Answer, Received};
use super::state::Pace;

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// How many zones and records one answer holds, unless `maxitems` says fewer: few, so that there are pages.
const PAGE: usize = 2;

pub(super) fn answer(account: &mut Account, received: &Received, now: Timestamp, pace: Pace) -> Answer {
    // One for all regions, it takes no other region's signature.
    if let Err((code, message)) = signed_for(received, "route53", "us-east-1") {
        return error(403, &code, &message);
    }
    let path = received.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (received.method.as_str(), parts.as_slice()) {
        ("GET", ["2013-04-01", "hostedzone"]) => zones(received),
        ("GET", ["2013-04-01", "hostedzone", zone, "rrset"]) => records(account, zone, received),
        ("POST", ["2013-04-01", "hostedzone", zone, "rrset"]) => upsert(account, zone, received, now, pace),
        ("GET", ["2013-04-01", "change", id]) => match account.changes.iter().find(|change| change.id == *id)
        {
            Some(change) => xml("GetChangeResponse", &info(change, now, pace)),
            None => error(404, "NoSuchChange", &format!("Could not find resource with ID: {}", escaped(id))),
        },
        _ => error(404, "UnknownOperationException", "The requested operation is not known."),
    }
}

fn is_zone(zone: &str) -> Option<&'static str> {
    ZONES.iter().find(|(id, ..)| *id == zone).map(|(_, name, _)| *name)
}

fn no_zone(zone: &str) -> Answer {
    error(404, "NoSuchHostedZone", &format!("No hosted zone found with ID: {}", escaped(zone)))
}

fn zones(received: &Received) -> Answer {
    let from = match received.param("marker") {
        Some(marker) => match ZONES.iter().position(|(id, ..)| *id == marker) {
            Some(at) => at,
            None => return error(400, "InvalidInput", "The specified marker is not valid."),
        },
        None => 0,
    };
    let page: String = ZONES
        .iter()
        .skip(from)
        .take(PAGE)
        .map(|(id, name, private)| {
            format!(
                "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><CallerReference>sandbox</CallerReference><Config><PrivateZone>{private}</PrivateZone>\
                 </Config><ResourceRecordSetCount>3</ResourceRecordSetCount></HostedZone>"
            )
        })
        .collect();
    let marker =
        received.param("marker").map(|marker| format!("<Marker>{marker}</Marker>")).unwrap_or_default();
    let next = match ZONES.get(from + PAGE) {
        Some((id, ..)) => format!("<IsTruncated>true</IsTruncated><NextMarker>{id}</NextMarker>"),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    let body = format!("<HostedZones>{page}</HostedZones>{marker}{next}<MaxItems>{PAGE}</MaxItems>");
    xml("ListHostedZonesResponse", &body)
}

/// Names are in order by their labels from the end.
fn order(name: &str, kind: &str) -> (Vec<String>, String) {
    (name.trim_end_matches('.').rsplit('.').map(str::to_owned).collect(), kind.to_owned())
}

fn records(account: &Account, zone: &str, received: &Received) -> Answer {
    if is_zone(zone).is_none() {
        return no_zone(zone);
    }
    let name = received.param("name").unwrap_or_default().to_ascii_lowercase();
    if name.is_empty() && received.param("type").is_some() {
        return error(400, "InvalidInput", "The type is given without a name.");
    }
    // As many as were asked for, and never more than there is room for.
    let size = match received.param("maxitems").map(|size| size.parse::<usize>()) {
        Some(Ok(size)) if size > 0 => size.min(PAGE),
        None => PAGE,
        Some(_) => return error(400, "InvalidInput", "The specified number of items is not valid."),
    };
    let from = order(&name, received.param("type").unwrap_or_default());
    let mut all: Vec<&RecordSet> = account.records.iter().filter(|set| set.zone == zone).collect();
    all.sort_by_key(|set| order(&set.name, &set.kind));
    all.retain(|set| name.is_empty() || order(&set.name, &set.kind) >= from);
    let page: String = all.iter().take(size).map(|set| record_set(set)).collect();
    let next = match all.get(size) {
        Some(set) => format!(
            "<IsTruncated>true</IsTruncated><NextRecordName>{}</NextRecordName><NextRecordType>{}</NextRecordType>",
            set.name, set.kind
        ),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    let body = format!("<ResourceRecordSets>{page}</ResourceRecordSets>{next}<MaxItems>{size}</MaxItems>");
    xml("ListResourceRecordSetsResponse", &body)
}

fn record_set(set: &RecordSet) -> String {
    let each = |value: &String| format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escaped(value));
    let values: String = set.values.iter().map(each).collect();
    format!(
        "<ResourceRecordSet><Name>{}</Name><Type>{}</Type><TTL>{}</TTL><ResourceRecords>{values}</ResourceRecords></ResourceRecordSet>",
        escaped(&set.name),
        set.kind,
        set.ttl
    )
}

fn upsert(account: &mut Account, zone: &str, received: &Received, now: Timestamp, pace: Pace) -> Answer {
    let Some(zone_name) = is_zone(zone) else { return no_zone(zone) };
    let sets = match read(&received.body) {
        Ok(sets) => sets,
        Err(message) => return error(400, "InvalidInput", message),
    };
    // All of a batch, or nothing of it.
    for (name, kind, ..) in &sets {
        let is_in = name.strip_suffix(zone_name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if !is_in {
            return invalid(&format!("RRSet with DNS name {name} is not permitted in zone {zone_name}"));
        }
        let conflicts = account
            .records
            .iter()
            .filter(|set| set.zone == zone && set.name == *name && set.kind != *kind)
            .any(|set| kind == "CNAME" || set.kind == "CNAME");
        if conflicts {
            return invalid(&format!(
                "[RRSet of type {kind} with DNS name {name} is not permitted as it conflicts with other records with the same DNS name in zone {zone_name}]"
            ));
        }
    }
    for (name, kind, ttl, values) in sets {
        account.records.retain(|set| !(set.zone == zone && set.name == name && set.kind == kind));
        account.records.push(RecordSet { zone: zone.to_owned(), name, kind, ttl, values, at: now });
    }
    let change = Change { id: format!("C{:013}", account.changes.len() + 1), at: now };
    let body = info(&change, now, pace);
    account.changes.push(change);
    xml("ChangeResourceRecordSetsResponse", &body)
}

type Read = (String, String, u64, Vec<String>);

/// The sets of an upsert.
fn read(body: &[u8]) -> Result<Vec<Read>, &'static str> {
    const MALFORMED: &str = "Unable to parse request";
    let text = std::str::from_utf8(body).map_err(|_| MALFORMED)?;
    let document = Document::parse(text).map_err(|_| MALFORMED)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "ChangeResourceRecordSetsRequest")) {
        return Err(MALFORMED);
    }
    let child = |node: Node<'_, '_>, name: &str| {
        let found = node.children().find(|child| child.has_tag_name((NAMESPACE, name)));
        found.and_then(|child| child.text()).map(|text| text.trim().to_owned())
    };
    let mut all = Vec::new();
    for change in root.descendants().filter(|node| node.has_tag_name((NAMESPACE, "Change"))) {
        if child(change, "Action").as_deref() != Some("UPSERT") {
            return Err("The sandbox takes UPSERT only");
        }
        let set = change.children().find(|node| node.has_tag_name((NAMESPACE, "ResourceRecordSet")));
        let set = set.ok_or(MALFORMED)?;
        let name = child(set, "Name").ok_or(MALFORMED)?.to_ascii_lowercase();
        let name = format!("{}.", name.trim_end_matches('.'));
        let ttl = child(set, "TTL").and_then(|ttl| ttl.parse().ok()).ok_or(MALFORMED)?;
        let values: Vec<String> = set
            .descendants()
            .filter(|node| node.has_tag_name((NAMESPACE, "Value")))
            .filter_map(|node| node.text().map(str::to_owned))
            .collect();
        if values.is_empty() {
            return Err(MALFORMED);
        }
        all.push((name, child(set, "Type").ok_or(MALFORMED)?, ttl, values));
    }
    if all.is_empty() { Err(MALFORMED) } else { Ok(all) }
}

fn info(change: &Change, now: Timestamp, pace: Pace) -> String {
    let status = if Account::is_in_sync(change.at, now, pace) { "INSYNC" } else { "PENDING" };
    format!(
        "<ChangeInfo><Id>/change/{}</Id><Status>{status}</Status><SubmittedAt>{}</SubmittedAt></ChangeInfo>",
        change.id, change.at
    )
}

fn xml(root: &str, body: &str) -> Answer {
    let text =
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">{body}</{root}>");
    Answer::new(200, "application/xml", text)
}

/// The older form of an error, which this call has.
fn invalid(message: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"{NAMESPACE}\"><Messages><Message>{}</Message></Messages></InvalidChangeBatch>",
        escaped(message)
    );
    Answer::new(400, "application/xml", text)
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>00000000-0000-4000-a000-000000000000</RequestId></ErrorResponse>"
    );
    Answer::new(status, "application/xml", text)
}
