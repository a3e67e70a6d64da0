//! What a person's drill writes: a CNAME that ACM asks for, with a value that names the drill, and the right one again. Such a value is none that ACM could ask for,
//! so no [`Upsert`] can be made of it.

use super::name::plain;
use super::standing::{compare, is_text};
use super::{CallError, Change, Compared, Route53, Standing, Upsert, Wanted};

/// What such a value begins with, before the run.
const DRILL: &str = "runbookd-drill-";
/// What stands beside such a change in Route 53.
const COMMENT: &str =
    "runbookd: a drill gives a record by which ACM validates a certificate another value for a while";

/// A record of ACM's, and the value that a drill gives it: made of the right record and the run's id, and of nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoiled {
    right: Upsert,
    value: String,
}

/// How it is with a record that a drill is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoiledIs {
    /// As ACM asks for it.
    Right,
    /// As the drill has written it.
    Ours,
    /// Neither; in words.
    Otherwise(String),
}

impl Spoiled {
    /// The run's id comes before the right value, so that the value names its run, and is below a name that is AWS's own: nobody else can ever answer for it.
    ///
    /// # Errors
    /// When the run's id can not be part of a name, or the value would be too long.
    pub fn new(right: &Upsert, run: &str) -> Result<Self, String> {
        let is_part = !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let value = format!("{DRILL}{}.{}", run.to_ascii_lowercase(), right.value());
        if !is_part || run.ends_with('-') || !is_text(&value) {
            return Err(format!("{run:?} can not be part of the name {value:?}"));
        }
        Ok(Self { right: right.clone(), value })
    }

    /// What ACM asks for.
    #[must_use]
    pub fn right(&self) -> &Upsert {
        &self.right
    }

    /// What the drill writes instead, plain.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The same for people, of a run that is not there yet.
    #[must_use]
    pub fn shown(right: &Upsert) -> String {
        format!("{DRILL}<the run's id>.{}", right.value())
    }
}

impl Route53 {
    /// Gives the record the drill's value, once.
    ///
    /// # Errors
    /// As of [`Self::upsert`].
    pub async fn spoil(&self, spoiled: &Spoiled) -> Result<Change, CallError> {
        self.put((&spoiled.right.zone().id, spoiled.right.name(), spoiled.value()), COMMENT).await
    }

    /// Gives the record its right value again, once.
    ///
    /// # Errors
    /// As of [`Self::upsert`].
    pub async fn unspoil(&self, spoiled: &Spoiled) -> Result<Change, CallError> {
        self.upsert(&spoiled.right).await
    }

    /// How it is with the record, in the very zone that the drill has written to.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is no such zone.
    pub async fn look_at_spoiled(&self, spoiled: &Spoiled) -> Result<SpoiledIs, CallError> {
        let (zone, name) = (spoiled.right.zone(), spoiled.right.name().to_owned());
        let stands = self.records(zone, &name).await?;
        let value = spoiled.right.value().to_owned();
        let wanted = Wanted { name, kind: "CNAME".to_owned(), value, domains: Vec::new() };
        let standing = compare(&wanted, zone.clone(), &stands);
        Ok(match &standing {
            Standing::Right(_) => SpoiledIs::Right,
            Standing::Different(_, values)
                if values.iter().map(|value| plain(value)).eq([spoiled.value()]) =>
            {
                SpoiledIs::Ours
            }
            _ => SpoiledIs::Otherwise(Compared { wanted, standing }.to_string()),
        })
    }
}
