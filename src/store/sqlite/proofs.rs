//! What runs of scenarios have shown of runbooks. All are kept; the newest of each runbook, level, scenario and text stands in a table of its own, so that what is
//! read before an effect does not grow with them.

use jiff::Timestamp;
use rusqlite::Connection;

use super::super::prepared::kept_proof;
use super::super::{KeptProof, StoreError};
use super::writer::Turn;
use super::{sql, time};
use crate::incident::proof::{Level, Proof, Times};

const KEEP: &str = "INSERT INTO proofs
        (run, runbook, level, scenario, text, failed, proven_at, times, version, kept_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (run, runbook) DO NOTHING";

/// Of two at the same moment the one that failed is the newer one; the run only decides so that every order of arrival ends the same.
const NEWEST: &str = "INSERT INTO newest_proofs (runbook, level, scenario, text, run, failed, proven_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (runbook, level, scenario, text) DO UPDATE SET
        run = excluded.run, failed = excluded.failed, proven_at = excluded.proven_at
     WHERE (excluded.proven_at, excluded.failed, excluded.run)
         > (newest_proofs.proven_at, newest_proofs.failed, newest_proofs.run)";

const ALL: &str =
    "SELECT p.run, p.scenario, p.level, p.runbook, p.text, p.failed, p.proven_at, p.times, p.version
     FROM newest_proofs n JOIN proofs p ON p.run = n.run AND p.runbook = n.runbook
     ORDER BY n.runbook, n.level, n.scenario, n.text";

const ONE: &str = "SELECT run, scenario, level, runbook, text, failed, proven_at, times, version
     FROM proofs WHERE run = $1 AND runbook = $2";

/// Keeps it, unless its run has said something of that runbook already.
pub(super) fn keep(turn: &mut Turn<'_>, proof: Proof) -> Result<KeptProof, StoreError> {
    let proof = kept_proof(proof)?;
    let Proof { run, scenario, at, runbook, text, passed, proven_at, times, version } = &proof;
    let times = serde_json::to_string(times).map_err(unreadable)?;
    let (level, failed) = (at.as_str(), i64::from(!passed));
    let (proven_at, now) = (proven_at.as_microsecond(), turn.now.as_microsecond());
    let written = sql::execute(
        turn.connection,
        KEEP,
        &[run, runbook, &level, scenario, text, &failed, &proven_at, &times, version, &now],
    )?;
    if written == 0 {
        let there: Option<Columns> = sql::first(turn.connection, ONE, &[run, runbook])?;
        let is_the_same = there.map(read).transpose()?.is_some_and(|there| there == proof);
        return Ok(if is_the_same { KeptProof::Known } else { KeptProof::Another });
    }
    sql::execute(turn.connection, NEWEST, &[runbook, &level, scenario, text, run, &failed, &proven_at])?;
    Ok(KeptProof::New)
}

/// The newest of each runbook, level, scenario and text.
pub(super) fn newest(connection: &Connection) -> Result<Vec<Proof>, StoreError> {
    let mut all = sql::all(connection, ALL, &[])?.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let key = |proof: &Proof| (proof.runbook.clone(), proof.at, proof.scenario.clone(), proof.text.clone());
    all.sort_by_cached_key(key);
    Ok(all)
}

type Columns = (String, String, String, String, String, i64, i64, String, String);

/// One that can not be read is an error, and then nothing is done: it could be the failure that takes another one back.
fn read(columns: Columns) -> Result<Proof, StoreError> {
    let (run, scenario, level, runbook, text, failed, proven_at, times, version) = columns;
    let at = Level::ALL.into_iter().find(|known| known.as_str() == level);
    let at = at.ok_or_else(|| unreadable(format!("its level is {level:?}")))?;
    let times: Times = serde_json::from_str(&times).map_err(unreadable)?;
    let proven_at: Timestamp = time(proven_at)?;
    Ok(Proof { run, scenario, at, runbook, text, passed: failed == 0, proven_at, times, version })
}

fn unreadable(why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("a proof can not be read or written: {why}"))
}
