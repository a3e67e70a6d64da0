//! Reports for the tests, from the files that `tests/suite/report.rs` reads, too.

use super::{Answered, Checked, Report};

/// The files, in the order of a game day.
const FILES: [&str; 4] = [
    include_str!("../../../tests/data/reports/passed.json"),
    include_str!("../../../tests/data/reports/failed.json"),
    include_str!("../../../tests/data/reports/left_behind.json"),
    include_str!("../../../tests/data/reports/aborted.json"),
];

pub(super) fn all() -> Vec<Report> {
    FILES.iter().map(|file| serde_json::from_str(file).unwrap()).collect()
}

pub(super) fn passed() -> Report {
    all().swap_remove(0)
}

pub(super) fn aborted() -> Report {
    all().swap_remove(3)
}

/// `text` wherever text can come from outside.
pub(super) fn hostile(text: &str) -> Report {
    let told = || text.to_owned();
    let mut report = Report {
        run: told(),
        scenario: told(),
        summary: told(),
        place: told(),
        version: told(),
        // Whether something was broken decides which lines there are.
        broke: format!("it {text}"),
        left_behind: vec![told(); 2],
        checks: vec![Checked { holds: false, expected: told(), found: told() }; 2],
        ..passed()
    };
    for moment in report.moments.iter_mut().filter(|moment| moment.word != super::words::BROKEN) {
        moment.word = told();
        moment.text = told();
    }
    let answered = report.incidents.pop().unwrap();
    report.incidents = vec![Answered { runbook: told(), ..answered }];
    report
}
