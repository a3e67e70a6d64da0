//! A report to paste into a ticket, a pull request or a wiki. Whatever came from outside stays text.

use std::fmt::Write as _;

use super::Report;
use super::escape::markdown as text;
use super::words::{self, NONE, UNBROKEN, Verdict, all_passed, tally, times};
use crate::incident::Outcome;
use crate::text::moment;

/// One report.
#[must_use]
pub fn one(report: &Report) -> String {
    section(report, "##").trim_end().to_owned()
}

/// Those of a whole game day: a table of all, and then each.
#[must_use]
pub fn all(reports: &[Report]) -> String {
    let verdict = if all_passed(reports) { Verdict::Passed } else { Verdict::Failed };
    let mut out = format!("## {} Game day: {}\n\n", verdict.sign(), tally(reports));
    let rows = reports.iter().map(|report| {
        let [detect, _, _, recover] = times(&report.times).map(|time| time.text());
        let verdict = format!("{} {}", report.verdict().sign(), report.verdict().as_str());
        [text(&report.scenario), verdict, detect, recover]
    });
    table(&mut out, ["Scenario", "Verdict", "Detect", "Recover"], rows);
    for report in reports {
        out.push_str(&section(report, "###"));
    }
    out.trim_end().to_owned()
}

fn section(report: &Report, heading: &str) -> String {
    let Report { scenario, summary, broke, place, version, run, at, .. } = report;
    let verdict = report.verdict();
    let mut out = format!("{heading} {} {}: {}\n\n", verdict.sign(), text(scenario), verdict.as_str());
    let below = format!("{heading}#");
    let _ = writeln!(out, "{}\n\n{}.\n", text(summary), text(&report.why()));
    let mut facts =
        vec![("Place", text(place)), ("Level", words::level(*at).to_owned()), ("Version", text(version))];
    facts.push(("Began", moment(report.began_at)));
    facts.push(("Took", report.pace()));
    facts.push(("Run", text(run)));
    if !broke.is_empty() {
        facts.push(("Broken", text(broke)));
    }
    for (name, value) in facts {
        let _ = writeln!(out, "- {name}: {value}");
    }
    out.push('\n');

    if !report.left_behind.is_empty() {
        let _ = writeln!(out, "{below} Left behind: a person has to mend it\n");
        for left in &report.left_behind {
            let _ = writeln!(out, "- {}", text(left));
        }
        out.push('\n');
    }

    let _ = writeln!(out, "{below} Times since the fault\n");
    if report.was_broken() {
        let four = times(&report.times);
        table(&mut out, four.map(|time| capital(time.name)), [four.map(|time| time.text())]);
    } else {
        let _ = writeln!(out, "{UNBROKEN}\n");
    }

    if !report.checks.is_empty() {
        let _ = writeln!(out, "{below} Expected and found\n");
        let rows = report.checks.iter().map(|checked| {
            let sign = if checked.holds { Verdict::Passed } else { Verdict::Failed }.sign();
            [sign.to_owned(), text(&checked.expected), text(&checked.found)]
        });
        table(&mut out, ["", "Expected", "Found"], rows);
    }

    if !report.moments.is_empty() {
        let _ = writeln!(out, "{below} Timeline\n");
        let rows = report.moments.iter().enumerate().map(|(at, moment)| {
            [
                (at + 1).to_string(),
                report.since_broken_text(moment.at),
                words::doer(moment.by).to_owned(),
                text(&moment.word),
                text(&moment.text),
            ]
        });
        table(&mut out, ["#", "Since the fault", "Who", "What", "In words"], rows);
    }

    if !report.incidents.is_empty() {
        let _ = writeln!(out, "{below} Incidents\n");
        let rows = report.incidents.iter().map(|answered| {
            let outcome = answered.outcome.map_or("not closed yet", Outcome::as_str);
            [text(answered.id.as_str()), text(&answered.runbook), text(outcome)]
        });
        table(&mut out, ["Incident", "Runbook", "Outcome"], rows);
    }
    out
}

/// A table; its cells must be escaped already.
fn table<const N: usize>(
    out: &mut String,
    titles: [impl AsRef<str>; N],
    rows: impl IntoIterator<Item = [String; N]>,
) {
    let titles: Vec<&str> = titles.iter().map(AsRef::as_ref).collect();
    let _ = writeln!(out, "| {} |\n|{}", titles.join(" | "), " --- |".repeat(N));
    for row in rows {
        let row = row.map(|cell| if cell.is_empty() { NONE.to_owned() } else { cell });
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chaos::report::samples;

    proptest! {
        #[test]
        fn hostile_text_breaks_no_table(hostile in "(\\||\n|\\\\|<|`|[a-z]|\\PC){0,24}") {
            let report = samples::hostile(&hostile);
            let plain = samples::hostile("plain");
            let (told, expected) = (one(&report), one(&plain));
            prop_assert_eq!(told.lines().count(), expected.lines().count());
            for (told, expected) in told.lines().zip(expected.lines()) {
                prop_assert_eq!(bars(told), bars(expected), "{}", told);
            }
        }
    }

    /// The bars that divide cells.
    fn bars(line: &str) -> usize {
        let mut escaped = false;
        line.chars()
            .filter(|&character| {
                let divides = character == '|' && !escaped;
                escaped = character == '\\' && !escaped;
                divides
            })
            .count()
    }
}
