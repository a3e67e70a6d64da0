//! `POST /api/v1/proofs`: what a run of a scenario has shown of a runbook is kept. `GET`: how each runbook stands. Nothing is called here; whether a proof
//! counts is asked by the guards, under the ledger's lock.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use tracing::info;

use super::Api;
use super::ask::Body;
use super::problem::Problem;
use super::runs::named;
use super::wire;
use crate::clock::{self, after};
use crate::incident::proof::{Proof, Times};
use crate::incident::proven::{CLOCKS_DIFFER, last, line};
use crate::runbook::Runbook;
use crate::store::KeptProof;
use crate::text::{cut, moment, span};

/// The journal has this long; the commands wait a little longer.
const COMMIT_WITHIN: Duration = Duration::from_secs(8);
/// The longest name of a run, a scenario or a version.
const NAME_LENGTH: usize = 128;
/// The hexadecimal digits of a SHA-256.
const HASH_LENGTH: usize = 64;
/// No run takes longer.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// So much of a wrong value is shown.
const SHOWN: usize = 80;

pub(super) async fn keep(
    State(api): State<Arc<Api>>,
    Body(proof): Body<Proof>,
) -> Result<Json<wire::ProofKept>, Problem> {
    let runbook = checked(&api, &proof)?;
    let of_this_text = runbook.text_hash().as_deref() == Some(proof.text.as_str());
    let Proof { run, scenario, at, .. } = proof.clone();
    let word = if proof.passed { "proven" } else { "not proven" };
    let kept = tokio::time::timeout(COMMIT_WITHIN, api.store.keep_proof(proof)).await;
    let kept = kept.map_err(|_| {
        let why = "the journal took too long, and may still keep it; the same again is kept once";
        // No 503: that says that nothing was written.
        Problem::new(StatusCode::GATEWAY_TIMEOUT, why)
    })??;
    let runbook = &runbook.name;
    let repeated = match kept {
        KeptProof::New => {
            info!(runbook, run, of_this_text, "{runbook} is {word} at {at} by scenario {scenario}");
            false
        }
        KeptProof::Known => true,
        KeptProof::Another => {
            return Err(Problem::conflict(format!(
                "run {run} has said something else of {runbook} before, and that stays; a new run has a new `run`"
            )));
        }
    };
    Ok(Json(wire::ProofKept { repeated, of_this_text }))
}

/// The runbook that it is about, when all of it can be kept.
fn checked<'a>(api: &'a Api, proof: &Proof) -> Result<&'a Arc<Runbook>, Problem> {
    let Proof { run, scenario, runbook, text, proven_at, times, version, .. } = proof;
    for (field, value) in [("run", run), ("scenario", scenario), ("version", version)] {
        let is_name =
            (1..=NAME_LENGTH).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            return Err(Problem::bad_request(format!(
                "`{field}` is {:?}; expected 1 to {NAME_LENGTH} letters, digits and signs, without space",
                cut(value, SHOWN)
            )));
        }
    }
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != HASH_LENGTH || !text.bytes().all(is_digit) {
        return Err(Problem::bad_request(format!(
            "`text` is {:?}; expected the hash of the runbook's text, {HASH_LENGTH} small hexadecimal digits, as `GET /api/v1/proofs` shows it",
            cut(text, SHOWN)
        )));
    }
    let now = clock::now();
    if *proven_at > after(now, CLOCKS_DIFFER) {
        return Err(Problem::bad_request(format!(
            "`proven_at` is {}, and here it is {}; expected a time that has come, so set the clocks right",
            moment(*proven_at),
            moment(now)
        )));
    }
    let Times { detect, confirm, act, recover } = *times;
    for (field, time) in [("detect", detect), ("confirm", confirm), ("act", act), ("recover", recover)] {
        if let Some(time) = time.filter(|time| *time > LONGEST) {
            return Err(Problem::bad_request(format!(
                "`times.{field}_seconds` is {}; expected at most {}",
                time.as_secs(),
                span(LONGEST)
            )));
        }
    }
    named(api, runbook)
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<wire::Proofs>, Problem> {
    let now = clock::now();
    let all = api.store.proofs().await?;
    let loaded = api.runbooks.iter().map(|runbook| {
        let proofs = of(&all, &runbook.name);
        let text = runbook.text_hash();
        let missing = api.policy.proof.and_then(|demand| demand.met(text.as_deref(), &proofs, now).err());
        wire::ProvenRunbook { loaded: true, missing, ..proven(&runbook.name, proofs, text) }
    });
    let mut runbooks: Vec<wire::ProvenRunbook> = loaded.collect();
    let mut gone: Vec<&str> = all.iter().map(|proof| proof.runbook.as_str()).collect();
    gone.dedup();
    gone.retain(|name| !api.runbooks.iter().any(|runbook| runbook.name == *name));
    runbooks.extend(gone.into_iter().map(|name| proven(name, of(&all, name), None)));
    let demand = api
        .policy
        .proof
        .map(|demand| wire::Demanded { at: demand.at, within_seconds: demand.within.as_secs() });
    Ok(Json(wire::Proofs { demand, runbooks }))
}

fn of(all: &[Proof], runbook: &str) -> Vec<Proof> {
    all.iter().filter(|proof| proof.runbook == runbook).cloned().collect()
}

/// How a runbook stands that is not loaded.
fn proven(name: &str, proofs: Vec<Proof>, text: Option<String>) -> wire::ProvenRunbook {
    let view = |proof: Proof| {
        let of_this_text = text.as_deref() == Some(proof.text.as_str());
        wire::ProofView { proof, of_this_text }
    };
    let proofs = newest(proofs).into_iter().map(view).collect();
    wire::ProvenRunbook { runbook: name.to_owned(), loaded: false, text, proofs, missing: None }
}

/// Of each level and scenario the newest, whatever its text: of two at the same moment the one that failed.
fn newest(proofs: Vec<Proof>) -> Vec<Proof> {
    let age = |proof: &Proof| (proof.proven_at, !proof.passed);
    let is_newest = |proof: &&Proof| {
        !proofs
            .iter()
            .any(|other| other.at == proof.at && other.scenario == proof.scenario && age(other) > age(proof))
    };
    proofs.iter().filter(is_newest).cloned().collect()
}

/// One line about the newest proof of a runbook; none: there is none.
pub(super) fn last_line(all: &[Proof], runbook: &str, text: Option<&str>) -> Option<String> {
    last(all.iter().filter(|proof| proof.runbook == runbook)).map(|proof| line(proof, text))
}
