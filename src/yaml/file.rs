//! Reads a YAML file as text, within the budget.

use std::io::Read as _;
use std::path::Path;

use super::{Faults, MAX_BYTES, Place};

/// The text of a file, of which no more is read than may be in it.
pub fn read_file(file: &Path, faults: &mut Faults) -> Option<String> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        faults.whole(None, format!("the file can not be read: {error}; expected YAML"), None);
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.as_bytes().len() > MAX_BYTES => {
            faults.whole(None, format!("the file is longer than {MAX_BYTES} bytes"), None);
            None
        }
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.split(|byte| *byte == b'\n').count().saturating_sub(1);
            let column = 1 + good.iter().rev().take_while(|byte| **byte != b'\n').count();
            let hint = "save the file as UTF-8";
            faults.add(
                Place { line, column },
                "this is not UTF-8; expected UTF-8 text",
                Some(hint.to_owned()),
            );
            None
        }
    }
}
