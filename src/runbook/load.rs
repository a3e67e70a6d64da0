//! (comes with the loading)
use super::Runbook;
/// Reads one.
///
/// # Errors
/// Faults.
pub fn read_one(_text: &str) -> Result<Runbook, String> {
    Err(String::new())
}
