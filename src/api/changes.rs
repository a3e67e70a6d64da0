//! What is changed for a while: the journal's word, and beside it how the cluster has it now.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Api;
use super::problem::Problem;
use super::wire::{Change, Changes, Live};
use crate::clock;
use crate::incident::changes::{Entry, PutBack};

pub(super) async fn changes(State(api): State<Arc<Api>>) -> Result<Json<Changes>, Problem> {
    let now = clock::now();
    let mut changes = Vec::new();
    for entry in api.store.entries().await? {
        let live = live(&api, &entry).await;
        let overdue = entry.is_due(now);
        changes.push(Change { entry, live, overdue });
    }
    Ok(Json(Changes { changes }))
}

async fn live(api: &Api, entry: &Entry) -> Live {
    let seen = match &api.eyes {
        Some(eyes) => eyes.field(&entry.object, &entry.uid, &entry.field).await,
        None => Err("nobody looks at the cluster here".to_owned()),
    };
    match seen {
        Err(why) => Live::Unseen { why },
        Ok(seen) => match entry.put_back(seen.value.as_deref()) {
            PutBack::Already => Live::AsBefore,
            PutBack::Write { .. } => Live::AsWeLeftIt,
            PutBack::LeftAlone { live } => {
                Live::Changed { value: live.map(|live| entry.field.shown(&live).to_owned()), by: seen.by }
            }
        },
    }
}
