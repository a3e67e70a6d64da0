//! A report as one page that needs nothing but itself: no script, no font, no picture and no address from elsewhere, and a policy that says so to the browser.

use std::fmt::Write as _;

use super::escape::html as text;
use super::svg::{self, Picture};
use super::words::{self, BROKEN, UNBROKEN, Verdict, all_passed, doer, news, tally, times};
use super::{Doer, Moment, News, Report};
use crate::incident::Outcome;
use crate::text::{moment, span};

/// What the page looks like.
const STYLE: &str = include_str!("style.css");
/// The SHA-256 of [`STYLE`]: no other style is allowed on the page, even if somebody brought one in. A test says what it has to be.
const STYLE_HASH: &str = "sha256-/o898YshX8nuD2+osoK9jRx0nTpQvyebVDUwe82i7t4=";

/// One report.
#[must_use]
pub fn one(report: &Report) -> String {
    let Report { scenario, .. } = report;
    let title = format!("{}: {}", text(scenario), report.verdict().as_str());
    page(&title, &format!("<div>\n{}</div>\n", section(report, 1, "run")))
}

/// Those of a whole game day: a table of all, and then each.
#[must_use]
pub fn all(reports: &[Report]) -> String {
    let verdict = if all_passed(reports) { Verdict::Passed } else { Verdict::Failed };
    let mut body = String::from("<header>\n<p class=\"over\">runbookd inject</p>\n<h1>Game day</h1>\n");
    let began = reports.iter().map(|report| report.began_at).min();
    if let Some(began) = began {
        let _ = writeln!(body, "<p class=\"summary\">{}</p>", moment(began));
    }
    banner(&mut body, verdict, &tally(reports));
    body.push_str("</header>\n");
    if !reports.is_empty() {
        body.push_str(
            "<nav class=\"index\" aria-label=\"Scenarios\">\n<table>\n<thead><tr><th scope=\"col\">Scenario</th><th scope=\"col\">Verdict</th><th scope=\"col\" class=\"time\">Detect</th><th scope=\"col\" class=\"time\">Recover</th><th scope=\"col\">Why</th></tr></thead>\n<tbody>\n",
        );
    }
    for (number, report) in (1..).zip(reports) {
        let [detect, _, _, recover] = times(&report.times).map(|time| time.text());
        let _ = writeln!(
            body,
            "<tr><th scope=\"row\"><a href=\"#run-{number}\">{}</a></th><td class=\"tight\">{}</td><td class=\"tight time\">{detect}</td><td class=\"tight time\">{recover}</td><td>{}</td></tr>",
            text(&report.scenario),
            signed(report.verdict()),
            text(&report.why()),
        );
    }
    if !reports.is_empty() {
        body.push_str("</tbody>\n</table>\n</nav>\n");
    }
    for (number, report) in (1..).zip(reports) {
        let id = format!("run-{number}");
        let _ = writeln!(body, "<article id=\"{id}\">\n{}</article>", section(report, 2, &id));
    }
    page(&format!("Game day: {}", tally(reports)), &body)
}

/// `title` and `body` must be escaped already.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>"
    )
}

/// One report below a heading of this level.
fn section(report: &Report, level: u8, id: &str) -> String {
    let mut out = String::new();
    let part = level + 1;
    let name = if level == 1 { "" } else { " class=\"name\"" };
    let _ = writeln!(
        out,
        "<header>\n<p class=\"over\">{}</p>\n<h{level}{name}>{}</h{level}>\n<p class=\"summary\">{}</p>",
        if level == 1 { "runbookd inject" } else { "Scenario" },
        text(&report.scenario),
        text(&report.summary)
    );
    banner(&mut out, report.verdict(), &report.why());
    left_behind(&mut out, report, part);
    facts(&mut out, report);
    out.push_str("</header>\n");
    measured(&mut out, report, part);
    picture(&mut out, report, part, id);
    checks(&mut out, report, part);
    incidents(&mut out, report, part);
    moments(&mut out, report, part, id);
    out
}

fn banner(out: &mut String, verdict: Verdict, why: &str) {
    let word = match verdict {
        Verdict::Passed => "Passed",
        Verdict::Failed => "Failed",
        Verdict::Aborted => "Aborted",
    };
    let _ = writeln!(
        out,
        "<div class=\"verdict {}\"><span class=\"sign\" aria-hidden=\"true\">{}</span><p><strong>{word}</strong>{}.</p></div>",
        verdict.as_str(),
        verdict.sign(),
        text(why)
    );
}

fn left_behind(out: &mut String, report: &Report, part: u8) {
    if report.left_behind.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<div class=\"left\">\n<h{part} class=\"part\">Left behind: a person has to mend it</h{part}>\n<ul>"
    );
    for left in &report.left_behind {
        let _ = writeln!(out, "<li>{}</li>", text(left));
    }
    out.push_str("</ul>\n</div>\n");
}

fn facts(out: &mut String, report: &Report) {
    let mut facts = vec![
        ("", "Place", text(&report.place)),
        ("", "Level", words::level(report.at).to_owned()),
        ("", "Version of runbookd", text(&report.version)),
        ("", "Began", moment(report.began_at)),
        ("", "Took", report.pace()),
        ("", "Run", format!("<span class=\"mono\">{}</span>", text(&report.run))),
    ];
    if !report.broke.is_empty() {
        facts.push((" class=\"wide\"", "What was broken", text(&report.broke)));
    }
    out.push_str("<dl class=\"facts\">\n");
    for (class, name, value) in facts {
        let _ = writeln!(out, "<div{class}><dt>{name}</dt><dd>{value}</dd></div>");
    }
    out.push_str("</dl>\n");
}

fn measured(out: &mut String, report: &Report, part: u8) {
    let _ = writeln!(out, "<h{part} class=\"part\">Times since the fault</h{part}>");
    if !report.was_broken() {
        let _ = writeln!(out, "<p class=\"nothing\">{UNBROKEN}</p>");
        return;
    }
    out.push_str("<dl class=\"times\">\n");
    for time in times(&report.times) {
        let (none, what) = if time.after.is_some() { ("", time.what) } else { (" none", "did not come") };
        let name = time.name;
        let _ = writeln!(
            out,
            "<div class=\"{name}{none}\"><dt>{}</dt><dd class=\"figure\">{}</dd><dd class=\"what\">{what}</dd></div>",
            title(name),
            time.text()
        );
    }
    out.push_str("</dl>\n");
}

fn checks(out: &mut String, report: &Report, part: u8) {
    if report.checks.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h{part} class=\"part\">What was expected, and what was found</h{part}>\n<table>\n<thead><tr><th scope=\"col\" class=\"tight\"><span class=\"unseen\">Verdict</span></th><th scope=\"col\">Expected</th><th scope=\"col\">Found</th></tr></thead>\n<tbody>"
    );
    for checked in &report.checks {
        let (class, tone, sign, word) = if checked.holds {
            ("", "is-good", Verdict::Passed.sign(), "came true")
        } else {
            (" class=\"wrong\"", "is-bad", Verdict::Failed.sign(), "did not come true")
        };
        let _ = writeln!(
            out,
            "<tr{class}><td class=\"tight {tone}\"><span aria-hidden=\"true\">{sign}</span><span class=\"unseen\">{word}</span></td><td>{}</td><td>{}</td></tr>",
            text(&checked.expected),
            text(&checked.found)
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

fn picture(out: &mut String, report: &Report, part: u8, id: &str) {
    let Some(Picture { drawn, left_out }) = svg::timeline(report, id) else { return };
    let _ = writeln!(out, "<h{part} class=\"part\">Timeline</h{part}>\n<figure class=\"picture\">\n{drawn}");
    out.push_str("<ul class=\"key\">");
    for tone in [News::Good, News::Bad, News::Plain] {
        let _ = write!(out, "<li><span class=\"badge {}\"></span>{}</li>", class(tone), news(tone));
    }
    if let Some(left_out) = left_out {
        let _ = write!(
            out,
            "<li><span class=\"badge fold\"></span>{} in which nothing happened, not drawn to scale</li>",
            span(left_out)
        );
    }
    let _ = writeln!(
        out,
        "<li><span>The numbers are those of <a href=\"#{id}-moments\">the moments in words</a>.</span></li></ul>\n</figure>"
    );
}

fn moments(out: &mut String, report: &Report, part: u8, id: &str) {
    if report.moments.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h{part} class=\"part\" id=\"{id}-moments\">The moments in words</h{part}>\n<table>\n<thead><tr><th scope=\"col\" class=\"tight\">#</th><th scope=\"col\" class=\"tight time\">Since the fault</th><th scope=\"col\" class=\"tight\">Who</th><th scope=\"col\" class=\"tight\">What</th><th scope=\"col\">In words</th></tr></thead>\n<tbody>"
    );
    for (number, moment) in (1..).zip(&report.moments) {
        row(out, report, number, moment);
    }
    out.push_str("</tbody>\n</table>\n");
}

fn row(out: &mut String, report: &Report, number: usize, moment: &Moment) {
    let is_fault =
        moment.by == Doer::Inject && moment.word == BROKEN && report.broken_at() == Some(moment.at);
    let _ = writeln!(
        out,
        "<tr{}><td class=\"tight\"><span class=\"badge {}\">{number}</span><span class=\"unseen\">{}</span></td><td class=\"tight time\">{}</td><td class=\"tight\">{}</td><th scope=\"row\">{}</th><td>{}</td></tr>",
        if is_fault { " class=\"fault\"" } else { "" },
        class(moment.tone),
        news(moment.tone),
        report.since_broken_text(moment.at),
        doer(moment.by),
        text(&moment.word),
        text(&moment.text)
    );
}

fn incidents(out: &mut String, report: &Report, part: u8) {
    if report.incidents.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h{part} class=\"part\">Incidents</h{part}>\n<table>\n<thead><tr><th scope=\"col\">Incident</th><th scope=\"col\">Runbook</th><th scope=\"col\">Outcome</th></tr></thead>\n<tbody>"
    );
    for answered in &report.incidents {
        let _ = writeln!(
            out,
            "<tr><td class=\"tight mono\">{}</td><td>{}</td><td>{}</td></tr>",
            text(answered.id.as_str()),
            text(&answered.runbook),
            answered.outcome.map_or("not closed yet", Outcome::as_str)
        );
    }
    out.push_str("</tbody>\n</table>\n");
}

fn signed(verdict: Verdict) -> String {
    let tone = match verdict {
        Verdict::Passed => "is-good",
        Verdict::Failed => "is-bad",
        Verdict::Aborted => "is-wait",
    };
    format!(
        "<span class=\"{tone}\"><span aria-hidden=\"true\">{}</span> {}</span>",
        verdict.sign(),
        verdict.as_str()
    )
}

const fn class(tone: News) -> &'static str {
    match tone {
        News::Good => "good",
        News::Bad => "bad",
        News::Plain => "plain",
    }
}

fn title(name: &str) -> &str {
    match name {
        "detect" => "Detect",
        "confirm" => "Confirm",
        "act" => "Act",
        "recover" => "Recover",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::chaos::report::samples;

    #[test]
    fn the_policy_allows_the_style_of_the_page() {
        assert_eq!(STYLE_HASH, format!("sha256-{}", base64(&Sha256::digest(STYLE))));
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = |chunk: &[u8]| {
            let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
            let told = chunk.len() + 1;
            let digit = move |at: usize| if at < told { ALPHABET[bits >> (18 - 6 * at) & 63] } else { b'=' };
            (0..4).map(move |at| char::from(digit(at)))
        };
        bytes.chunks(3).flat_map(digits).collect()
    }

    /// The tags of a page, without their text.
    fn tags(page: &str) -> Vec<&str> {
        page.split('<').skip(1).map(|rest| &rest[..rest.find('>').unwrap()]).collect()
    }

    proptest! {
        #[test]
        fn hostile_text_adds_no_tag_and_no_attribute(
            hostile in "(</?[a-z]{1,6}|[\"'<>&=]| on[a-z]+=|javascript:|\\PC|\n){0,24}",
        ) {
            let shape = |text: &str| {
                let page = one(&samples::hostile(text));
                let tags = tags(&page);
                // Whether there is room for a word depends on how long it is.
                let depends = ["text class=\"word\"", "/text", "line class=\"stem\""];
                let stays = |tag: &&&str| !depends.iter().any(|begin| tag.starts_with(begin));
                let bare = |tag: &&str| tag.split('"').step_by(2).collect::<String>();
                tags.iter().filter(stays).map(bare).collect::<Vec<_>>()
            };
            let told = shape(&hostile);
            prop_assert!(told.iter().all(|tag| !tag.contains("script") && !tag.contains(" on")));
            prop_assert_eq!(told, shape("plain"));
        }
    }
}
