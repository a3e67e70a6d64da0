//! How many connections an instance takes: what its parameter group says, held against what is known of the instance. Pure.

use super::answer::Instance;
use super::class;
use super::formula::{Variables, number};

/// The parameter that says it, of each of these engines.
pub(super) const PARAMETER: &str = "max_connections";
/// Engines whose instances have groups of their own.
const ENGINES: [&str; 3] = ["postgres", "mysql", "mariadb"];
/// A group that the instance runs with. One that waits for a restart does not count yet, and for this parameter nearly every change does.
const IN_SYNC: &str = "in-sync";
/// What an instance's status says when nothing about it is being changed.
const SETTLED: [&str; 4] =
    ["available", "backing-up", "storage-optimization", "configuring-enhanced-monitoring"];

/// A limit, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// So many at the least.
    pub connections: u64,
    /// `200 (max_connections of shop-postgres15)`, for people.
    pub says: String,
}

/// Why a limit is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Instance {
    /// The DB parameter group that it runs with.
    ///
    /// # Errors
    /// Why that is not certain.
    pub(super) fn group(&self) -> Result<&str, Unknown> {
        let unknown = |why: String| Err(Unknown(format!("{}: {why}", self.name)));
        if let Some(cluster) = &self.cluster {
            return unknown(format!(
                "it belongs to the cluster {cluster}, whose own parameter group is not read"
            ));
        }
        if !ENGINES.contains(&self.engine.as_str()) {
            return unknown(format!("its engine is {}, and of that nothing is known here", self.engine));
        }
        if !SETTLED.contains(&self.status.as_str()) {
            return unknown(format!("its status is {}, so it may soon be another", self.status));
        }
        if let Some(next) = self.next_class.as_ref().filter(|next| **next != self.class) {
            return unknown(format!("it is {}, and is to become {next}", self.class));
        }
        match self.groups.as_slice() {
            [(group, status)] if status == IN_SYNC => Ok(group),
            [(group, status)] => {
                unknown(format!("its parameter group {group} is {status}: it runs with older values"))
            }
            groups => unknown(format!("it has {} parameter groups", groups.len())),
        }
    }
}

/// The limit that a parameter's value means for an instance.
pub(super) fn of(instance: &Instance, group: &str, value: Option<&str>) -> Result<Limit, Unknown> {
    let unknown = |why: String| Unknown(format!("{PARAMETER} of {group}: {why}"));
    let value = value
        .ok_or_else(|| unknown("it has no value there, and the engine's own is not known".to_owned()))?;
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let connections = value.parse().map_err(|_| unknown(format!("{value} is too large")))?;
        return Ok(Limit { connections, says: format!("{connections} ({PARAMETER} of {group})") });
    }
    let memory = class::memory(&instance.class).map(class::left_for_the_database);
    let storage = instance.storage.and_then(|gib| gib.checked_mul(1 << 30));
    let connections = number(value, Variables { memory, storage }).map_err(|why| {
        let class = if memory.is_none() {
            format!(" (the memory of {} is not known)", instance.class)
        } else {
            String::new()
        };
        unknown(format!("{value}: {why}{class}"))
    })?;
    Ok(Limit {
        connections,
        says: format!(
            "{connections} at the least ({PARAMETER} of {group} is {value}, and {} leaves the database no less than {} MiB)",
            instance.class,
            memory.unwrap_or_default() >> 20
        ),
    })
}
