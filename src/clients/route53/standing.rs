//! Whether what stands in DNS is what ACM asks for, record by record, and which of it an upsert can mend. Pure.

use super::super::acm::Certificate;
use super::name::{Zone, is_below, plain};

/// The only type of record that ACM asks for.
const CNAME: &str = "CNAME";
/// What the value of every such record ends in.
/// Source: <https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html>.
const VALIDATIONS: &str = "acm-validations.aws";

/// A record that ACM asks for, once, for however many names and certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Plain.
    pub name: String,
    /// `CNAME`.
    pub kind: String,
    /// Plain.
    pub value: String,
    /// The names that it validates.
    pub domains: Vec<String>,
}

/// A set of records that stands in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    /// Plain.
    pub name: String,
    /// Such as `CNAME`.
    pub kind: String,
    /// In seconds; an alias has none.
    pub ttl: Option<u64>,
    /// As they are written.
    pub values: Vec<String>,
    /// What an alias stands for.
    pub alias: Option<String>,
    /// It is one of several, between which Route 53 chooses, or a traffic policy made it.
    pub is_routed: bool,
}

/// How it is with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is what ACM asks for.
    Right(Zone),
    /// Nothing stands there.
    Missing(Zone),
    /// A CNAME stands there, with these values.
    Different(Zone, Vec<String>),
    /// Something stands there that a CNAME can not take the place of, in words.
    Held(Zone, String),
    /// The zone leaves this name, which the record is below, to these name servers: what is written into the zone nobody sees.
    Delegated {
        /// The one that holds the NS records.
        zone: Zone,
        /// Where they stand, plain.
        at: String,
        /// As they are written.
        servers: Vec<String>,
    },
    /// No public zone of this account holds the name.
    NoZone,
    /// Several public zones of the same name could.
    Ambiguous(Vec<Zone>),
    /// It is none that runbookd would write, in words.
    Strange(String),
}

/// A record, and how it is with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What ACM asks for.
    pub wanted: Wanted,
    /// What there is.
    pub standing: Standing,
}

/// One CNAME to be written, and nothing else. It can only be made of what ACM could ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    zone: Zone,
    name: String,
    value: String,
}

impl Upsert {
    /// Of what was compared, or of what was noted of it.
    ///
    /// # Errors
    /// Why it is none that ACM could ask for.
    pub fn new(zone: &Zone, name: &str, value: &str) -> Result<Self, String> {
        let (name, value) = (plain(name), plain(value));
        if let Some(why) = strange(&name, CNAME, &value) {
            return Err(why);
        }
        if !is_below(&name, &zone.name) {
            return Err(format!("{name} is not in the zone {}", zone.name));
        }
        let is_id =
            (1..=32).contains(&zone.id.len()) && zone.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id {
            return Err(format!("{:?} is not the id of a hosted zone", zone.id));
        }
        Ok(Self { zone: zone.clone(), name, value })
    }

    /// The zone that it is written to.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Its name, plain.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value, plain.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl Standing {
    /// Whether an upsert mends it.
    #[must_use]
    pub const fn is_repairable(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Different(..))
    }

    /// Whether it is wrong, and an upsert would not mend it.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Right(_) | Self::Missing(_) | Self::Different(..) => false,
            Self::Held(..)
            | Self::Delegated { .. }
            | Self::NoZone
            | Self::Ambiguous(_)
            | Self::Strange(_) => true,
        }
    }
}

impl Compared {
    /// What mends it, when an upsert does.
    #[must_use]
    pub fn repair(&self) -> Option<Upsert> {
        match &self.standing {
            Standing::Missing(zone) | Standing::Different(zone, _) => {
                Upsert::new(zone, &self.wanted.name, &self.wanted.value).ok()
            }
            Standing::Right(_)
            | Standing::Held(..)
            | Standing::Delegated { .. }
            | Standing::NoZone
            | Standing::Ambiguous(_)
            | Standing::Strange(_) => None,
        }
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Wanted { name, kind, value, .. } = &self.wanted;
        write!(f, "{name} must be {kind} {value}; ")?;
        let of = |zone: &Zone| format!("the zone {} ({})", zone.name, zone.id);
        match &self.standing {
            Standing::Right(zone) => write!(f, "it is, in {}", of(zone)),
            Standing::Missing(zone) => write!(f, "nothing stands there in {}", of(zone)),
            Standing::Different(zone, values) => {
                write!(f, "{} stands there in {}", values.join(", "), of(zone))
            }
            Standing::Held(zone, what) => write!(f, "{what} stands there in {}", of(zone)),
            Standing::Delegated { zone, at, servers } => {
                let servers = servers.join(", ");
                write!(f, "{} delegates {at} to other name servers ({servers}): write it there", of(zone))
            }
            Standing::NoZone => f.write_str("no public hosted zone of this account holds that name"),
            Standing::Ambiguous(zones) => {
                let ids: Vec<&str> = zones.iter().map(|zone| zone.id.as_str()).collect();
                let name = zones.first().map_or("", |zone| zone.name.as_str());
                write!(f, "{} public hosted zones are called {name}: {}", zones.len(), ids.join(", "))
            }
            Standing::Strange(why) => f.write_str(why),
        }
    }
}

/// Whether a name has no more than letters, digits, `-`, `_` and points, and is not too long.
pub(super) fn is_text(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Why this is none of ACM's records. What runbookd may write must not be anything that somebody could want it to write.
fn strange(name: &str, kind: &str, value: &str) -> Option<String> {
    if kind != CNAME {
        return Some(format!("a {kind} is not what ACM asks for"));
    }
    if !name.starts_with('_') || !is_text(name) || name.split('.').count() < 3 {
        return Some(format!("{name:?} is not a name that ACM asks for"));
    }
    if !value.starts_with('_') || !is_text(value) || !is_below(value, VALIDATIONS) {
        return Some(format!("{value:?} is not a value that ACM asks for, which is in {VALIDATIONS}"));
    }
    None
}

/// The records of these certificates: each once, whoever shares it.
#[must_use]
pub fn wanted(certificates: &[Certificate]) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for (domain, record) in certificates.iter().flat_map(Certificate::records) {
        let (name, value) = (plain(&record.name), plain(&record.value));
        match all.iter_mut().find(|one| one.name == name && one.value == value && one.kind == record.kind) {
            Some(known) if known.domains.iter().any(|one| one == domain) => {}
            Some(known) => known.domains.push(domain.to_owned()),
            None => {
                let domains = vec![domain.to_owned()];
                all.push(Wanted { name, kind: record.kind.clone(), value, domains });
            }
        }
    }
    all
}

/// What is to be said of a record before anybody is asked: it is none of ACM's, or ACM asks for two things at one name.
pub(super) fn fault(wanted: &Wanted, all: &[Wanted]) -> Option<Standing> {
    if let Some(why) = strange(&wanted.name, &wanted.kind, &wanted.value) {
        return Some(Standing::Strange(why));
    }
    let belongs = |domain: &String| {
        let domain = plain(domain.strip_prefix("*.").unwrap_or(domain));
        wanted.name.split_once('.').is_some_and(|(_, parent)| parent == domain)
    };
    if let Some(domain) = wanted.domains.iter().find(|domain| !belongs(domain)) {
        return Some(Standing::Strange(format!("that is no name for the validation of {domain}")));
    }
    let other = all.iter().find(|other| other.name == wanted.name && other.value != wanted.value)?;
    Some(Standing::Strange(format!("ACM asks for {} there, too", other.value)))
}

/// What stands at the name, held against what ACM asks for.
pub(super) fn compare(wanted: &Wanted, zone: Zone, stands: &[RecordSet]) -> Standing {
    let stands: Vec<&RecordSet> = stands.iter().filter(|set| set.name == wanted.name).collect();
    let says = |set: &RecordSet| match &set.alias {
        Some(alias) => format!("an alias of type {} for {alias}", set.kind),
        None if set.is_routed => {
            format!("a {} with a routing policy ({})", set.kind, set.values.join(", "))
        }
        None => format!("a {} ({})", set.kind, set.values.join(", ")),
    };
    let other: Vec<String> = stands
        .iter()
        .filter(|set| set.kind != CNAME || set.alias.is_some() || set.is_routed)
        .map(|set| says(set))
        .collect();
    if !other.is_empty() {
        return Standing::Held(zone, other.join(" and "));
    }
    let values: Vec<&String> = stands.iter().flat_map(|set| &set.values).collect();
    match values.as_slice() {
        [] if stands.is_empty() => Standing::Missing(zone),
        [] => Standing::Held(zone, "a CNAME whose value could not be read".to_owned()),
        [value] if plain(value) == wanted.value => Standing::Right(zone),
        _ => Standing::Different(zone, values.into_iter().cloned().collect()),
    }
}
