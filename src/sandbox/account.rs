//! An account of AWS with the public host's certificate, and the names that validate it, with their causes and effects: a certificate that is about to end is renewed some
//! time after every record is right and in sync, and stays as it is while one is not. Dates are by the real clock, as those of the public host; waiting is at the world's pace.

use std::time::Duration;

use jiff::Timestamp;

use super::front::{AGE, HOST, LASTS};
use super::state::Pace;
use crate::clock;

/// The names of the certificate; all of them share one record.
pub(super) const NAMES: [&str; 2] = [HOST, "*.samosachaat.art"];
/// The zone that the world sees, and one of the same name that it does not.
pub(super) const ZONES: [(&str, &str, bool); 3] = [
    ("Z02SANDBOXPRIVATE", "samosachaat.art.", true),
    ("Z01SANDBOXPUBLIC", "samosachaat.art.", false),
    ("Z03SANDBOXOTHER", "art-of-samosas.example.", false),
];
/// The zone that the world sees.
pub(super) const PUBLIC: &str = "Z01SANDBOXPUBLIC";
/// The record that validates it, as ACM writes it.
pub(super) const RECORD: &str = "_3639ac514e785e898d2646601fa951d5.samosachaat.art.";
/// What must stand there.
pub(super) const VALUE: &str = "_98d2646601fa951d53639ac514e785e8.jkddzztszm.acm-validations.aws.";
/// How long before its end ACM begins to renew.
/// Source: <https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html>.
const BEGINS: Duration = Duration::from_hours(45 * 24);
/// How long it takes ACM to look again. Really hours.
const LOOKS: Duration = Duration::from_mins(3);
/// How long a change takes until every server of Route 53 answers with it.
const IN_SYNC: Duration = Duration::from_secs(60);

/// How the record that validates the certificate is made to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationRecord {
    /// As ACM asks for it.
    Right,
    /// It is gone.
    Missing,
    /// It has another value.
    Wrong,
    /// A record of another type holds its name.
    HeldByTxt,
}

/// A set of records.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecordSet {
    pub(super) zone: String,
    /// With the point at its end, in small letters.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) ttl: u64,
    pub(super) values: Vec<String>,
    /// When it was written.
    pub(super) at: Timestamp,
}

/// A change that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) id: String,
    pub(super) at: Timestamp,
}

/// What the account holds.
pub(super) struct Account {
    /// From when and until when the certificate is good.
    pub(super) validity: (Timestamp, Timestamp),
    /// The renewal that has begun, by its status, and since when that is so.
    pub(super) renewal: Option<(&'static str, Timestamp)>,
    pub(super) records: Vec<RecordSet>,
    pub(super) changes: Vec<Change>,
    /// Since when ACM sees the record.
    seen_since: Option<Timestamp>,
}

impl Account {
    pub(super) fn new(now: Timestamp) -> Self {
        let from = clock::before(now, AGE);
        let mut account = Self {
            validity: (from, clock::after(from, LASTS)),
            renewal: None,
            records: Vec::new(),
            changes: Vec::new(),
            seen_since: None,
        };
        let long_ago = clock::before(now, AGE);
        let mut put = |zone: &str, name: &str, kind: &str, value: &str| {
            let (zone, name, kind) = (zone.to_owned(), name.to_owned(), kind.to_owned());
            let values = vec![value.to_owned()];
            account.records.push(RecordSet { zone, name, kind, ttl: 172_800, values, at: long_ago });
        };
        for (zone, name, _) in ZONES {
            put(zone, name, "NS", "ns-2048.awsdns-64.com.");
            put(zone, name, "SOA", "ns-2048.awsdns-64.com. hostmaster.example.com. 1 7200 900 1209600 86400");
        }
        put(PUBLIC, "www.samosachaat.art.", "A", "192.0.2.1");
        account.make_record(ValidationRecord::Right, long_ago);
        account
    }

    /// Somebody makes the record so, long enough ago that every server knows.
    pub(super) fn make_record(&mut self, record: ValidationRecord, now: Timestamp) {
        self.records.retain(|set| !(set.zone == PUBLIC && set.name == RECORD));
        let (kind, value) = match record {
            ValidationRecord::Missing => return,
            ValidationRecord::Right => ("CNAME", VALUE),
            ValidationRecord::Wrong => ("CNAME", "old.acm-validations.aws."),
            ValidationRecord::HeldByTxt => ("TXT", "\"somebody else's\""),
        };
        self.records.push(RecordSet {
            zone: PUBLIC.to_owned(),
            name: RECORD.to_owned(),
            kind: kind.to_owned(),
            ttl: 300,
            values: vec![value.to_owned()],
            at: clock::before(now, AGE),
        });
    }

    /// Somebody leaves a name of the zone, and all below it, to other name servers.
    pub(super) fn delegate(&mut self, name: &str, server: &str, now: Timestamp) {
        let name = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
        let (zone, kind, values) = (PUBLIC.to_owned(), "NS".to_owned(), vec![server.to_owned()]);
        let at = clock::before(now, AGE);
        self.records.push(RecordSet { zone, name, kind, ttl: 172_800, values, at });
    }

    /// The certificate has so long left, and was not renewed yet.
    pub(super) fn run_out(&mut self, left: Duration, now: Timestamp) {
        let end = clock::after(now, left);
        self.validity = (clock::before(end, LASTS), end);
        (self.renewal, self.seen_since) = (None, None);
    }

    /// Whether what was written then is on every server now.
    pub(super) fn is_in_sync(at: Timestamp, now: Timestamp, pace: Pace) -> bool {
        now >= pace.after(at, IN_SYNC)
    }

    fn right_record(&self) -> Option<&RecordSet> {
        let mut there = self.records.iter().filter(|set| set.zone == PUBLIC && set.name == RECORD);
        there.find(|set| set.kind == "CNAME" && set.values == [VALUE])
    }

    /// Whether the record is what ACM asks for, in sync or not.
    pub(super) fn record_is_right(&self) -> bool {
        self.right_record().is_some()
    }

    fn is_validated(&self, now: Timestamp, pace: Pace) -> bool {
        self.right_record().is_some_and(|set| Self::is_in_sync(set.at, now, pace))
    }

    /// Lets time pass. True when it was renewed just now.
    pub(super) fn advance(&mut self, now: Timestamp, pace: Pace) -> bool {
        let (_, end) = self.validity;
        // What has ended ACM does not renew.
        if end <= now || clock::before(end, BEGINS) > now {
            return false;
        }
        if !self.is_validated(now, pace) {
            self.seen_since = None;
            if !matches!(self.renewal, Some(("PENDING_VALIDATION", _))) {
                self.renewal = Some(("PENDING_VALIDATION", now));
            }
            return false;
        }
        let since = *self.seen_since.get_or_insert(now);
        if now < pace.after(since, LOOKS) {
            if self.renewal.is_none() {
                self.renewal = Some(("PENDING_AUTO_RENEWAL", now));
            }
            return false;
        }
        self.validity = (now, clock::after(now, LASTS));
        self.renewal = Some(("SUCCESS", now));
        self.seen_since = None;
        true
    }
}
