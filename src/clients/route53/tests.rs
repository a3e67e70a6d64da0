//! The Route 53 client against answers that moto gave, and against those that AWS documents and moto lacks.

use super::super::Secret;
use super::super::acm::{Certificate, Record};
use super::super::aws::Settings;
use super::super::wire::{Reply, Wire};
use super::*;

const XMLNS: &str = "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"";
const TOKEN: &str = "_d930b28be6c5927595552b219965053e";
const VALUE: &str = "_c9edd76ee4a0e2a74388032f3861cc50.ykybfrwcxw.acm-validations.aws";

fn at(url: &str) -> Route53 {
    let settings = Settings { endpoint: Some(url.to_owned()), ..Settings::new("eu-central-1") };
    Route53::new(&Aws::new(&settings.with_key("AKIDEXAMPLE", Secret::new("secret"), None)).unwrap())
}

async fn with(replies: Vec<Reply>) -> (Route53, Wire) {
    let wire = Wire::start(replies).await;
    (at(&wire.url), wire)
}

fn xml(body: &str) -> Reply {
    Reply::Answer(200, vec![("content-type".to_owned(), "text/xml".to_owned())], body.to_owned())
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::error(
        status,
        &format!(
            "<ErrorResponse {XMLNS}><Error><Type>Sender</Type><Code>{code}</Code><Message>said</Message></Error></ErrorResponse>"
        ),
    )
}

fn zone(id: &str, name: &str) -> Zone {
    Zone { id: id.to_owned(), name: name.to_owned() }
}

fn zones(all: &[(&str, &str, bool)], more: &str) -> Reply {
    let each: String = all
        .iter()
        .map(|(id, name, private)| {
            format!(
                "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><CallerReference>c</CallerReference><Config><PrivateZone>{private}</PrivateZone>\
                 </Config></HostedZone>"
            )
        })
        .collect();
    xml(&format!(
        "<ListHostedZonesResponse {XMLNS}><HostedZones>{each}</HostedZones><MaxItems>100</MaxItems>{more}</ListHostedZonesResponse>"
    ))
}

fn records(sets: &str, more: &str) -> Reply {
    xml(&format!(
        "<ListResourceRecordSetsResponse {XMLNS}><ResourceRecordSets>{sets}</ResourceRecordSets>{more}<MaxItems>300</MaxItems></ListResourceRecordSetsResponse>"
    ))
}

const WHOLE: &str = "<IsTruncated>false</IsTruncated>";

fn set(name: &str, kind: &str, value: &str) -> String {
    format!(
        "<ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord>\
         </ResourceRecords></ResourceRecordSet>"
    )
}

fn certificate(domains: &[&str]) -> Certificate {
    Certificate::of(domains, TOKEN, &format!("{VALUE}."))
}

#[tokio::test]
async fn recorded_answers_are_compared_with_what_acm_asks_for() {
    // moto let two CNAMEs be at one name, of which one is right: real servers never do.
    let wanted = wanted(&[certificate(&["www.samosachaat.art"])]);
    // The NS records in it are the zone's own, and delegate nothing.
    let list = || Reply::recorded("aws/r53-list-rrsets.txt");
    let replies = vec![Reply::recorded("aws/r53-list-zones.txt"), list(), list()];
    let (route53, wire) = with(replies).await;
    let compared = route53.compare(&wanted).await.unwrap();
    assert_eq!(
        compared[0].to_string(),
        format!(
            "{TOKEN}.www.samosachaat.art must be CNAME {VALUE}; wrong.example., {VALUE}. stands there in the zone samosachaat.art (SOBSXJDBQ2W5X0AYK86X7D)"
        )
    );
    let seen: Vec<String> =
        wire.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.uri)).collect();
    assert_eq!(
        seen,
        [
            "GET /2013-04-01/hostedzone".to_owned(),
            "GET /2013-04-01/hostedzone/SOBSXJDBQ2W5X0AYK86X7D/rrset?name=www.samosachaat.art&type=NS&maxitems=1"
                .to_owned(),
            format!(
                "GET /2013-04-01/hostedzone/SOBSXJDBQ2W5X0AYK86X7D/rrset?name={TOKEN}.www.samosachaat.art"
            ),
        ]
    );
    let (route53, _wire) = with(vec![Reply::recorded("aws/r53-missing-zone.txt")]).await;
    let error = route53.records(&zone("ZNOPE", "shop.example"), "a.shop.example").await.unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (Reason::NotFound, "HTTP 404: NoSuchHostedZone: No hosted zone found with ID: ZNOPE")
    );
}

#[tokio::test]
async fn private_zones_are_none_and_every_page_is_read() {
    let first = zones(
        &[("Z1", "shop.example.", true), ("Z2", "Shop.Example.", false)],
        "<IsTruncated>true</IsTruncated><NextMarker>Z3</NextMarker>",
    );
    let unsaid = xml(&format!(
        "<ListHostedZonesResponse {XMLNS}><HostedZones><HostedZone><Id>/hostedzone/Z4</Id><Name>shop.example.</Name><CallerReference>c</CallerReference>\
         </HostedZone></HostedZones><MaxItems>100</MaxItems>{WHOLE}</ListHostedZonesResponse>"
    ));
    let (route53, wire) = with(vec![first, unsaid]).await;
    assert_eq!(*route53.zones().await.unwrap(), [zone("Z2", "shop.example")]);
    assert_eq!(wire.seen()[1].uri, "/2013-04-01/hostedzone?marker=Z3");
    let half = xml(&format!("<ListHostedZonesResponse {XMLNS}/>"));
    for half in [zones(&[], "<IsTruncated>true</IsTruncated>"), half] {
        let (route53, _wire) = with(vec![half; 3]).await;
        let error = route53.zones().await.unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), (Reason::ServerError, "the answer is not whole"));
    }
}

#[tokio::test]
async fn all_that_stands_at_a_name_is_read_and_nothing_beside_it() {
    let next = "<IsTruncated>true</IsTruncated><NextRecordName>\\052.shop.example.</NextRecordName><NextRecordType>TXT</NextRecordType>\
                <NextRecordIdentifier>eu</NextRecordIdentifier>";
    let other = "<IsTruncated>true</IsTruncated><NextRecordName>zzz.shop.example.</NextRecordName><NextRecordType>A</NextRecordType>";
    let alias = "<ResourceRecordSet><Name>\\052.shop.example.</Name><Type>A</Type><SetIdentifier>eu</SetIdentifier><AliasTarget><HostedZoneId>Z</HostedZoneId>\
                 <DNSName>Lb.example.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget></ResourceRecordSet>";
    let (route53, wire) = with(vec![
        records(alias, next),
        records(
            &(set("\\052.Shop.example.", "TXT", "&quot;a&quot;") + &set("a.shop.example.", "A", "1.2.3.4")),
            other,
        ),
    ])
    .await;
    let found = route53.records(&zone("Z2", "shop.example"), "*.shop.example").await.unwrap();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((found[0].alias.as_deref(), found[0].is_routed), (Some("lb.example"), true));
    assert_eq!((found[1].kind.as_str(), found[1].values[0].as_str()), ("TXT", "\"a\""));
    let (route53, _wire) = with(vec![xml(&format!("<ListResourceRecordSetsResponse {XMLNS}/>")); 3]).await;
    let error = route53.records(&zone("Z2", "shop.example"), "*.shop.example").await.unwrap_err();
    assert_eq!(error.message, "the answer is not whole", "half an answer is not an empty one");
    assert!(wire.seen()[1].uri.ends_with("&type=TXT&identifier=eu"), "{}", wire.seen()[1].uri);
}

#[tokio::test]
async fn every_way_in_which_a_record_can_be_wrong_has_its_own_word() {
    let name = format!("{TOKEN}.shop.example.");
    let held = |set: String| async move {
        let (route53, _wire) =
            with(vec![zones(&[("Z2", "shop.example.", false)], WHOLE), records(&set, WHOLE)]).await;
        let compared = route53.compare(&wanted(&[certificate(&["shop.example"])])).await.unwrap();
        (compared[0].to_string().split_once("; ").unwrap().1.to_owned(), compared[0].repair())
    };
    let zone = "in the zone shop.example (Z2)";
    for (set, said, is_repairable) in [
        (String::new(), "nothing stands there", true),
        (set(&name, "CNAME", "wrong.example."), "wrong.example. stands there", true),
        (set(&name.to_uppercase(), "CNAME", &VALUE.to_uppercase()), "it is,", false),
        (set(&name, "TXT", "a"), "a TXT (a) stands there", false),
        (
            set(&name, "CNAME", VALUE)
                .replace("<TTL>", "<SetIdentifier>eu</SetIdentifier><Weight>1</Weight><TTL>"),
            &format!("a CNAME with a routing policy ({VALUE}) stands there"),
            false,
        ),
    ] {
        let (saw, repair) = held(set).await;
        assert_eq!(saw, format!("{said} {zone}"));
        assert_eq!(repair.is_some(), is_repairable, "{saw}");
    }
    for (all, said) in [
        (vec![("Z2", "other.example.", false)], "no public hosted zone of this account holds that name"),
        (
            vec![("Z3", "shop.example.", false), ("Z2", "shop.example.", false)],
            "2 public hosted zones are called shop.example: Z2, Z3",
        ),
    ] {
        let (route53, wire) = with(vec![zones(&all, WHOLE)]).await;
        let compared = route53.compare(&wanted(&[certificate(&["shop.example"])])).await.unwrap();
        assert!(compared[0].to_string().ends_with(said), "{}", compared[0]);
        assert!(compared[0].standing.needs_a_person() && compared[0].repair().is_none());
        assert_eq!(wire.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_the_zone_leaves_to_other_name_servers_is_never_written_into_it() {
    let whole = |sets: String| records(&sets, WHOLE);
    let compared = |replies: Vec<Reply>| async move {
        let zones = zones(&[("Z2", "shop.example.", false)], WHOLE);
        let (route53, wire) = with([vec![zones], replies].concat()).await;
        let compared = route53.compare(&wanted(&[certificate(&["www.in.shop.example"])])).await;
        let asked: Vec<String> = wire.seen().into_iter().skip(1).map(|seen| seen.uri).collect();
        (compared.map(|mut all| all.remove(0)), asked)
    };
    let asks = |name: &str| format!("/2013-04-01/hostedzone/Z2/rrset?name={name}&type=NS&maxitems=1");
    let name = format!("{TOKEN}.www.in.shop.example");
    let [outer, inner] = ["in.shop.example", "www.in.shop.example"];
    let servers = || set("In.shop.example.", "NS", "ns-1.other.example.");

    // Also what is right there is seen by nobody, so it is not looked at.
    let (found, asked) = compared(vec![whole(servers())]).await;
    let found = found.unwrap();
    assert_eq!(
        found.to_string(),
        format!(
            "{name} must be CNAME {VALUE}; the zone shop.example (Z2) delegates in.shop.example to other name servers (ns-1.other.example.): write it there"
        )
    );
    assert!(found.standing.needs_a_person() && found.repair().is_none());
    assert_eq!(asked, [asks(outer)]);
    let (found, asked) =
        compared(vec![whole(String::new()), whole(set(&format!("{inner}."), "NS", "ns-1.other.example."))])
            .await;
    let found = found.unwrap();
    assert!(found.to_string().contains(" delegates www.in.shop.example to "), "{found}");
    assert!(found.standing.needs_a_person() && found.repair().is_none());
    assert_eq!(asked, [asks(outer), asks(inner)]);

    // What the list goes on with is another name, or another type.
    for next in [
        set("in.shop.example.", "TXT", "a"),
        set("aa.in.shop.example.", "NS", "ns-1.other.example."),
        set("zz.shop.example.", "NS", "ns-1.other.example."),
    ] {
        let more = "<IsTruncated>true</IsTruncated><NextRecordName>zzz.shop.example.</NextRecordName><NextRecordType>A</NextRecordType>";
        let (found, asked) =
            compared(vec![records(&next, more), whole(String::new()), whole(String::new())]).await;
        assert_eq!(found.unwrap().standing, Standing::Missing(zone("Z2", "shop.example")), "{next}");
        assert_eq!(asked.len(), 3);
    }

    // Where it can not be told, nothing is known of the record.
    let half = xml(&format!("<ListResourceRecordSetsResponse {XMLNS}/>"));
    let empty = records("", "<IsTruncated>true</IsTruncated>");
    for (reply, reason) in [
        (half, Reason::ServerError),
        (empty, Reason::ServerError),
        (refusal(403, "AccessDenied"), Reason::Denied),
        (refusal(500, "InternalError"), Reason::ServerError),
    ] {
        let (found, asked) = compared(vec![reply; 3]).await;
        let error = found.unwrap_err();
        assert_eq!(error.reason, reason);
        assert_eq!(error.call, "look whether the zone shop.example (Z2) delegates in.shop.example");
        assert!(asked.iter().all(|uri| *uri == asks(outer)), "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_shared_is_looked_at_once_and_what_acm_would_not_ask_for_never() {
    let shared =
        wanted(&[certificate(&["shop.example", "*.shop.example"]), certificate(&["*.shop.example"])]);
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].domains, ["shop.example", "*.shop.example"]);
    let with_record = |record: Record| {
        let mut one = certificate(&["shop.example"]);
        one.validations[0].record = Some(record);
        one
    };
    let record = |name: &str, kind: &str, value: &str| {
        with_record(Record { name: name.to_owned(), kind: kind.to_owned(), value: value.to_owned() })
    };
    for (certificates, why) in [
        (vec![record("_a.shop.example", "TXT", VALUE)], "a TXT is not what ACM asks for"),
        (vec![record("www.shop.example", "CNAME", VALUE)], "is not a name that ACM asks for"),
        (vec![record("_a.b c.example", "CNAME", VALUE)], "is not a name that ACM asks for"),
        (vec![record("_a.shop.example", "CNAME", "evil.example")], "is not a value that ACM asks for"),
        (vec![record("_a.shop.example", "CNAME", "_x.evil-acm-validations.aws")], "is not a value"),
        (
            vec![record("_a.other.example", "CNAME", VALUE)],
            "that is no name for the validation of shop.example",
        ),
        (
            vec![
                certificate(&["shop.example"]),
                record(&format!("{TOKEN}.shop.example"), "CNAME", "_x.acm-validations.aws"),
            ],
            "ACM asks for _x.acm-validations.aws there, too",
        ),
    ] {
        let (route53, wire) = with(vec![zones(&[("Z2", "example.", false)], WHOLE)]).await;
        let compared = route53.compare(&wanted(&certificates)).await.unwrap();
        assert!(compared[0].to_string().contains(why), "{}", compared[0]);
        assert!(compared.iter().all(|one| one.standing.needs_a_person() && one.repair().is_none()));
        assert_eq!(wire.seen().len(), 1);
    }
    let (route53, wire) = with(Vec::new()).await;
    assert_eq!(route53.compare(&[]).await.unwrap(), []);
    assert!(wire.seen().is_empty());
}

fn upsert() -> Upsert {
    let name = format!("{TOKEN}.shop.example.");
    Upsert::new(&zone("Z2", "shop.example"), &name, VALUE).unwrap()
}

#[tokio::test]
async fn an_upsert_is_one_change_sent_once() {
    let (route53, wire) = with(vec![Reply::recorded("aws/r53-change.txt")]).await;
    let change = route53.upsert(&upsert()).await.unwrap();
    assert_eq!((change.id.as_str(), change.is_in_sync), ("C2682N5HXP0BZ4", true));
    assert_eq!(change.submitted_at.unwrap().to_string(), "2026-11-22T19:00:50.944855Z");
    let seen = &wire.seen()[0];
    let signed = seen.headers["authorization"].to_str().unwrap();
    assert!(signed.contains("/us-east-1/route53/aws4_request"), "it is one for all regions: {signed}");
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/2013-04-01/hostedzone/Z2/rrset"));
    assert_eq!(
        seen.body,
        format!(
            "<ChangeResourceRecordSetsRequest {XMLNS}><ChangeBatch><Comment>runbookd: a record by which ACM validates a certificate</Comment><Changes><Change>\
             <Action>UPSERT</Action><ResourceRecordSet><Name>{TOKEN}.shop.example.</Name><Type>CNAME</Type><TTL>300</TTL><ResourceRecords><ResourceRecord>\
             <Value>{VALUE}.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
    );
    for (reply, reason) in [
        (refusal(400, "PriorRequestNotComplete"), Reason::RateLimited),
        (refusal(400, "Throttling"), Reason::RateLimited),
        (refusal(400, "InvalidChangeBatch"), Reason::ClientError),
        (refusal(403, "AccessDenied"), Reason::Denied),
        (refusal(403, "ExpiredToken"), Reason::Denied),
        (refusal(404, "NoSuchHostedZone"), Reason::NotFound),
        (refusal(500, "InternalError"), Reason::ServerError),
        (xml("<ChangeResourceRecordSetsResponse/>"), Reason::ServerError),
        (xml("half an ans"), Reason::ServerError),
    ] {
        let (route53, wire) = with(vec![reply.clone(), reply]).await;
        let error = route53.upsert(&upsert()).await.unwrap_err();
        assert_eq!((error.reason, wire.seen().len()), (reason, 1), "{error}");
        assert_eq!(error.call, format!("write {TOKEN}.shop.example CNAME {VALUE} in the zone Z2"));
        if reason == Reason::Denied && error.message.contains("AccessDenied") {
            assert!(
                error.message.contains("it needs the permission route53:ChangeResourceRecordSets"),
                "{error}"
            );
        }
    }
}

/// As the API reference shows it.
#[tokio::test]
async fn an_error_of_the_older_form_is_read_as_well() {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><InvalidChangeBatch {XMLNS}><Messages><Message>Tried to create resource record set a. type A, but it \
         already exists</Message></Messages></InvalidChangeBatch>"
    );
    let (route53, _wire) = with(vec![Reply::error(400, &body)]).await;
    let error = route53.upsert(&upsert()).await.unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (
            Reason::ClientError,
            "HTTP 400: InvalidChangeBatch: Tried to create resource record set a. type A, but it already exists"
        )
    );
}

#[tokio::test]
async fn a_change_is_followed_by_its_id_until_it_is_in_sync() {
    let info = |id: &str, status: &str| {
        xml(&format!(
            "<GetChangeResponse {XMLNS}><ChangeInfo><Id>/change/{id}</Id><Status>{status}</Status><SubmittedAt>2026-11-22T19:00:50Z</SubmittedAt>\
             </ChangeInfo></GetChangeResponse>"
        ))
    };
    let (route53, wire) =
        with(vec![info("C1", "PENDING"), refusal(400, "Throttling"), info("C1", "INSYNC")]).await;
    assert!(!route53.change("C1").await.unwrap().is_in_sync);
    assert!(route53.change("C1").await.unwrap().is_in_sync);
    assert_eq!(wire.seen()[0].uri, "/2013-04-01/change/C1");
    assert_eq!(wire.seen().len(), 3);
    let (route53, _wire) = with(vec![info("C2", "INSYNC")]).await;
    assert_eq!(route53.change("C1").await.unwrap_err().message, "the answer is about another change");
    for id in ["", "../hostedzone/Z1", "C1?a", "Ü"] {
        let (route53, wire) = with(Vec::new()).await;
        assert_eq!(route53.change(id).await.unwrap_err().reason, Reason::ClientError, "{id}");
        assert!(wire.seen().is_empty());
    }
}

#[test]
fn nothing_but_a_record_of_acm_in_its_zone_can_be_written() {
    let name = format!("{TOKEN}.shop.example");
    assert_eq!(upsert().name(), name);
    assert_eq!((upsert().value(), upsert().zone().id.as_str()), (VALUE, "Z2"));
    for (zone, name, value) in [
        (zone("Z2", "shop.example"), "www.shop.example", VALUE),
        (zone("Z2", "shop.example"), "shop.example", VALUE),
        (zone("Z2", "shop.example"), "*.shop.example", VALUE),
        (zone("Z2", "other.example"), &name, VALUE),
        (zone("Z2", &name), &name, VALUE),
        (zone("Z2", ""), &name, VALUE),
        (zone("../Z2", "shop.example"), &name, VALUE),
        (zone("", "shop.example"), &name, VALUE),
        (zone("Z2", "shop.example"), &name, "evil.example"),
        (zone("Z2", "shop.example"), &name, "acm-validations.aws"),
        (zone("Z2", "shop.example"), &name, "_a.acm-validations.aws.evil.example"),
        (zone("Z2", "shop.example"), &name, ""),
        (zone("Z2", "shop.example"), "", VALUE),
    ] {
        assert!(Upsert::new(&zone, name, value).is_err(), "{zone:?} {name} {value}");
    }
}

#[tokio::test]
async fn a_drill_writes_the_same_record_with_a_value_that_nobody_else_can_mean() {
    let spoiled = Spoiled::new(&upsert(), "01JAB-c9").unwrap();
    assert_eq!(spoiled.value(), format!("runbookd-drill-01jab-c9.{VALUE}"));
    assert_eq!(spoiled.right(), &upsert());
    // The daemon's own write can not be made of it.
    assert!(Upsert::new(upsert().zone(), upsert().name(), spoiled.value()).is_err());
    let long = format!("_{}.{VALUE}", vec!["a"; 85].join("."));
    let long = Upsert::new(&zone("Z2", "shop.example"), upsert().name(), &long).unwrap();
    for (right, run) in [
        (&upsert(), ""),
        (&upsert(), "a.b"),
        (&upsert(), "a_b"),
        (&upsert(), "a b"),
        (&upsert(), "a-"),
        (&upsert(), "\u{e4}"),
        (&upsert(), &"a".repeat(49)),
        (&long, "01JAB"),
    ] {
        assert!(Spoiled::new(right, run).is_err(), "{run}");
    }
    assert!(Spoiled::new(&upsert(), &"a".repeat(48)).is_ok());

    let taken = || Reply::recorded("aws/r53-change.txt");
    let (route53, wire) = with(vec![taken(), taken()]).await;
    route53.spoil(&spoiled).await.unwrap();
    route53.unspoil(&spoiled).await.unwrap();
    let [spoils, mends] = wire.seen().try_into().unwrap();
    let value = |value: &str| format!("<Value>{value}.</Value>");
    assert!(spoils.body.contains("<Comment>runbookd: a drill gives a record"), "{}", spoils.body);
    assert_eq!(spoils.body.matches("<Action>UPSERT</Action>").count(), 1);
    assert!(spoils.body.contains(&value(spoiled.value())) && mends.body.contains(&value(VALUE)));
    let (route53, wire) = with(vec![refusal(500, "InternalError"); 2]).await;
    assert_eq!(route53.spoil(&spoiled).await.unwrap_err().reason, Reason::ServerError);
    assert_eq!(wire.seen().len(), 1, "a write is sent once");

    let name = format!("{TOKEN}.shop.example.");
    let otherwise = |what: &str| {
        let name = name.trim_end_matches('.');
        SpoiledIs::Otherwise(format!("{name} must be CNAME {VALUE}; {what} in the zone shop.example (Z2)"))
    };
    let two = set(&name, "CNAME", spoiled.value()).replace(
        "</ResourceRecords>",
        "<ResourceRecord><Value>x.example.</Value></ResourceRecord></ResourceRecords>",
    );
    for (stands, is) in [
        (set(&name, "CNAME", VALUE), SpoiledIs::Right),
        (set(&name, "CNAME", &spoiled.value().to_uppercase()), SpoiledIs::Ours),
        (String::new(), otherwise("nothing stands there")),
        (set(&name, "CNAME", "x.example."), otherwise("x.example. stands there")),
        (set(&name, "TXT", "a"), otherwise("a TXT (a) stands there")),
        (two, otherwise(&format!("{}, x.example. stands there", spoiled.value()))),
    ] {
        let (route53, _wire) = with(vec![records(&stands, WHOLE)]).await;
        assert_eq!(route53.look_at_spoiled(&spoiled).await.unwrap(), is);
    }
}
