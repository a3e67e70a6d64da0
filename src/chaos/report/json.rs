//! A report for machines: its own fields, and whether it passed.

use serde::Serialize;

use super::{Report, words};

#[derive(Serialize)]
struct One<'r> {
    passed: bool,
    #[serde(flatten)]
    report: &'r Report,
}

#[derive(Serialize)]
struct All<'r> {
    passed: bool,
    reports: Vec<One<'r>>,
}

/// One report, indented. It can be read back as a [`Report`].
///
/// # Errors
/// When serde can not write it.
pub fn one(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&One::of(report))
}

/// Those of a whole game day.
///
/// # Errors
/// When serde can not write one.
pub fn all(reports: &[Report]) -> Result<String, serde_json::Error> {
    let passed = words::all_passed(reports);
    serde_json::to_string_pretty(&All { passed, reports: reports.iter().map(One::of).collect() })
}

impl<'r> One<'r> {
    fn of(report: &'r Report) -> Self {
        Self { passed: report.passed(), report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::report::samples;

    #[test]
    fn what_was_written_can_be_read_back() {
        for report in samples::all() {
            let text = one(&report).unwrap();
            assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["passed"], report.passed());
        }
    }
}
