//! Who works on which incident, and for how long.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::super::{Claim, StoreError};
use super::{id, unavailable};
use crate::clock::after;

/// Takes what nobody holds. The epoch rises, so that whoever held it before can write no more. Its own incidents an
/// owner keeps under the old epoch, however late it comes to prolong the lease.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    now: Timestamp,
    owner: &str,
    lease: Duration,
) -> Result<Vec<Claim>, StoreError> {
    let mut rows: Vec<(String, i64)> = sqlx::query_as(
        "UPDATE incidents SET owner = $1, lease_until = $2, epoch = epoch + 1
         WHERE closed_at IS NULL AND (owner IS NULL OR (lease_until < $3 AND owner <> $1)) RETURNING id, epoch",
    )
    .bind(owner)
    .bind(after(now, lease).as_microsecond())
    .bind(now.as_microsecond())
    .fetch_all(connection)
    .await
    .map_err(unavailable)?;
    rows.sort_unstable();
    rows.into_iter().map(|(incident, epoch)| Ok(Claim { incident: id(&incident)?, epoch })).collect()
}

/// Prolongs the leases of this owner; gives them back when there is no lease.
pub(super) async fn hold(
    connection: &mut SqliteConnection,
    owner: &str,
    until: Option<Timestamp>,
) -> Result<(), StoreError> {
    const HOLD: &str = "UPDATE incidents SET lease_until = $1,
            owner = CASE WHEN $1 IS NULL THEN NULL ELSE owner END
         WHERE owner = $2 AND closed_at IS NULL";
    sqlx::query(HOLD)
        .bind(until.map(Timestamp::as_microsecond))
        .bind(owner)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(unavailable)
}
