//! Who works on which incident, and for how long.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::{Claim, StoreError};
use super::{id, sql};
use crate::clock::after;

/// Takes what nobody holds. The epoch rises, so that whoever held it before can write no more. Its own incidents an
/// owner keeps under the old epoch, however late it comes to prolong the lease.
pub(super) fn claim(
    connection: &Connection,
    now: Timestamp,
    owner: &str,
    lease: Duration,
) -> Result<Vec<Claim>, StoreError> {
    const CLAIM: &str = "UPDATE incidents SET owner = $1, lease_until = $2, epoch = epoch + 1
         WHERE closed_at IS NULL AND (owner IS NULL OR (lease_until < $3 AND owner <> $1)) RETURNING id, epoch";
    let until = after(now, lease).as_microsecond();
    let mut rows: Vec<(String, i64)> = sql::all(connection, CLAIM, &[&owner, &until, &now.as_microsecond()])?;
    rows.sort_unstable();
    rows.into_iter().map(|(incident, epoch)| Ok(Claim { incident: id(&incident)?, epoch })).collect()
}

/// Prolongs the leases of this owner; gives them back when there is no lease.
pub(super) fn hold(connection: &Connection, owner: &str, until: Option<Timestamp>) -> Result<(), StoreError> {
    const HOLD: &str = "UPDATE incidents SET lease_until = $1,
            owner = CASE WHEN $1 IS NULL THEN NULL ELSE owner END
         WHERE owner = $2 AND closed_at IS NULL";
    sql::execute(connection, HOLD, &[&until.map(Timestamp::as_microsecond), &owner])?;
    Ok(())
}
