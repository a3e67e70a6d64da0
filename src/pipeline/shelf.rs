//! The runbooks: those that answer alerts now, and the versions that open incidents began with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Left;
use crate::runbook::{Hash, Runbook, load};
use crate::store::Store;

/// Runbooks by hash. An open incident keeps the version it began with, which the journal has kept.
#[derive(Default)]
pub struct Shelf {
    known: Mutex<HashMap<Hash, Arc<Runbook>>>,
}

impl Shelf {
    /// A shelf with these runbooks.
    #[must_use]
    pub fn new(runbooks: &[Arc<Runbook>]) -> Self {
        let known = runbooks.iter().map(|runbook| (runbook.hash.clone(), Arc::clone(runbook))).collect();
        Self { known: Mutex::new(known) }
    }

    /// The runbook with this hash.
    pub(super) async fn version(&self, store: &Arc<dyn Store>, hash: &Hash) -> Result<Arc<Runbook>, Left> {
        if let Some(runbook) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(hash) {
            return Ok(Arc::clone(runbook));
        }
        let text = store.runbook(hash).await?;
        let missing = || Left::NoRunbook(format!("the journal has no runbook with the hash {}", hash.0));
        let text = text.ok_or_else(missing)?;
        let unreadable = |faults: crate::yaml::Faults| Left::NoRunbook(faults.to_string());
        let runbook = Arc::new(load::read_one(&text).map_err(unreadable)?);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.clone(), Arc::clone(&runbook));
        Ok(runbook)
    }
}
