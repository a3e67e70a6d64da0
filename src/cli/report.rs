//! The end of a report on a terminal: what was expected and found, how long it took, and the verdict. The way there was told while it happened.

use super::paint::{Paint, Tone, harmless};
use super::table::{Cell, table};
use crate::chaos::report::Report;
use crate::chaos::report::words::{Verdict, all_passed, tally, times};
use crate::incident::Outcome;

/// The end of one run. Without a line break at the end.
#[must_use]
pub fn one(report: &Report, paint: Paint) -> String {
    let mut out = Vec::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            out.extend([String::new(), paint.mark(Tone::Strong, title)]);
            out.extend(lines.into_iter().map(|line| format!("  {line}")));
        }
    };
    part("What was expected, and what was found", checks(report, paint));
    part("Times since the fault", measured(report, paint));
    part("Incidents", incidents(report, paint));
    let left =
        report.left_behind.iter().map(|left| format!("{} {}", paint.mark(Tone::Bad, "!"), harmless(left)));
    part("Left behind: a person has to mend it", left.collect());
    let verdict = report.verdict();
    out.push(String::new());
    out.push(format!("{}: {}", harmless(&report.scenario), word(verdict, paint)));
    out.push(format!("  {}", harmless(&report.why())));
    out.join("\n")
}

/// The end of a game day: a line for each run. Without a line break at the end.
#[must_use]
pub fn all(reports: &[Report], paint: Paint) -> String {
    let rows = reports.iter().map(|report| {
        let [detect, _, _, recover] = times(&report.times).map(|time| Cell::new(time.text()));
        let verdict = report.verdict();
        [
            Cell::new(harmless(&report.scenario)),
            Cell::toned(tone(verdict), format!("{} {}", verdict.sign(), verdict.as_str())),
            detect,
            recover,
            Cell::new(harmless(&report.why())),
        ]
    });
    let mut out = vec![String::new(), paint.mark(Tone::Strong, "The whole game day")];
    let lines = table(["SCENARIO", "VERDICT", "DETECT", "RECOVER", "WHY"], rows.collect(), paint);
    out.extend(lines.into_iter().map(|line| format!("  {line}")));
    let verdict = if all_passed(reports) { Verdict::Passed } else { Verdict::Failed };
    out.extend([String::new(), paint.mark(tone(verdict), &tally(reports))]);
    out.join("\n")
}

fn checks(report: &Report, paint: Paint) -> Vec<String> {
    if report.checks.is_empty() {
        return Vec::new();
    }
    let rows = report.checks.iter().map(|checked| {
        let verdict = if checked.holds { Verdict::Passed } else { Verdict::Failed };
        let [expected, found] = [&checked.expected, &checked.found].map(|text| Cell::new(harmless(text)));
        [Cell::toned(tone(verdict), verdict.sign()), expected, found]
    });
    table(["", "EXPECTED", "FOUND"], rows.collect(), paint)
}

fn measured(report: &Report, paint: Paint) -> Vec<String> {
    if !report.was_broken() {
        return Vec::new();
    }
    let rows = times(&report.times).map(|time| {
        let what = if time.after.is_some() { time.what } else { "did not come" };
        [Cell::new(time.name), Cell::new(time.text()), Cell::toned(Tone::Faint, what)]
    });
    // A table without titles.
    table(["", "", ""], rows.into(), paint).split_off(1)
}

fn incidents(report: &Report, paint: Paint) -> Vec<String> {
    if report.incidents.is_empty() {
        return Vec::new();
    }
    let rows = report.incidents.iter().map(|answered| {
        let outcome = answered.outcome.map_or("not closed yet", Outcome::as_str);
        [answered.id.as_str(), &answered.runbook, outcome].map(|text| Cell::new(harmless(text)))
    });
    table(["INCIDENT", "RUNBOOK", "OUTCOME"], rows.collect(), paint)
}

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Passed => Tone::Good,
        Verdict::Failed => Tone::Bad,
        Verdict::Aborted => Tone::Wait,
    }
}

fn word(verdict: Verdict, paint: Paint) -> String {
    paint.mark(tone(verdict), verdict.as_str())
}
