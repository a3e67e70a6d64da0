//! The lines that drills have made up: evidence of nothing but the drill.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::incident::drill::Drill;

/// A line can be pushed a little later than its drill is over.
const LATE: Duration = Duration::from_hours(1);

/// The drills whose lines can still lie in a window.
#[derive(Debug, Clone, Default)]
pub(super) struct MadeUp(Arc<RwLock<BTreeMap<String, Timestamp>>>);

impl MadeUp {
    /// Lines of this drill can come from now on.
    pub(super) fn by(&self, drill: &Drill) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(drill.run.clone(), after(drill.until, LATE));
    }

    /// The drills of which a window that begins here can hold lines.
    pub(super) fn since(&self, from: Timestamp) -> Vec<String> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, until)| **until >= from).map(|(run, _)| run.clone()).collect()
    }
}
