//! A run as it is told: on the terminal, for machines, to paste, and as a page.

use runbookd::chaos::report::{Report, html, json, markdown};
use runbookd::cli::paint::Paint;
use runbookd::cli::report;

/// One that passed, one that failed, one that left something behind, and one that was not begun.
const SAMPLES: [(&str, &str); 4] = [
    ("passed", include_str!("../data/reports/passed.json")),
    ("failed", include_str!("../data/reports/failed.json")),
    ("left_behind", include_str!("../data/reports/left_behind.json")),
    ("aborted", include_str!("../data/reports/aborted.json")),
];

fn samples() -> Vec<(&'static str, Report)> {
    SAMPLES.iter().map(|(name, text)| (*name, serde_json::from_str(text).unwrap())).collect()
}

fn game_day() -> Vec<Report> {
    samples().into_iter().map(|(_, report)| report).collect()
}

fn in_its_place(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(check);
}

#[test]
fn each_report_reads_well_on_a_terminal() {
    in_its_place(|| {
        for (name, sample) in samples() {
            insta::assert_snapshot!(format!("report_text_{name}"), report::one(&sample, Paint::PLAIN));
        }
        insta::assert_snapshot!("report_text_all", report::all(&game_day(), Paint::PLAIN));
    });
}

#[test]
fn each_report_reads_well_where_it_is_pasted() {
    in_its_place(|| {
        for (name, sample) in samples() {
            insta::assert_snapshot!(format!("report_markdown_{name}"), markdown::one(&sample));
        }
        insta::assert_snapshot!("report_markdown_all", markdown::all(&game_day()));
    });
}

#[test]
fn machines_read_the_verdict_beside_the_data() {
    in_its_place(|| {
        let samples = samples();
        insta::assert_snapshot!("report_json_left_behind", json::one(&samples[2].1).unwrap());
        insta::assert_snapshot!("report_json_all", json::all(&[samples[3].1.clone()]).unwrap());
    });
}

#[test]
fn nothing_in_a_report_commands_a_terminal() {
    let mut sample = game_day().swap_remove(2);
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}a\nb".to_owned();
    sample.scenario.clone_from(&hostile);
    sample.checks[0].found.clone_from(&hostile);
    sample.checks[1].expected.clone_from(&hostile);
    sample.incidents[0].runbook.clone_from(&hostile);
    sample.left_behind = vec![hostile.clone()];
    let plain = report::one(&sample, Paint::PLAIN);
    sample.aborted = Some(hostile);
    for text in [plain, report::one(&sample, Paint::PLAIN), report::all(&[sample], Paint::PLAIN)] {
        assert!(text.contains("·]0;owned··a b"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
}

/// Every page: each by itself, and the game day.
fn pages() -> Vec<(&'static str, String)> {
    let mut pages: Vec<_> = samples().iter().map(|(name, sample)| (*name, html::one(sample))).collect();
    pages.push(("all", html::all(&game_day())));
    pages.push(("none", html::all(&[])));
    pages
}

#[test]
fn a_page_needs_nothing_but_itself() {
    for (name, page) in pages() {
        for outside in
            ["http:", "https:", "//", "src=", "url(", "@import", "<script", "<link", "<iframe", "style=\""]
        {
            assert!(!page.contains(outside), "{name} has {outside}");
        }
        assert!(
            page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"),
            "{name}"
        );
        let links = page.split("href=\"").skip(1);
        for link in links {
            let to = link.split('"').next().unwrap();
            let id = to.strip_prefix('#').unwrap_or_else(|| panic!("{name} links to {to}"));
            assert!(page.contains(&format!("id=\"{id}\"")), "{name} links to {to}, which is not there");
        }
    }
}

#[test]
fn a_page_is_well_formed() {
    for (name, page) in pages() {
        if let Err(fault) = well_formed(&page) {
            panic!("{name}: {fault}");
        }
    }
    for (bad, fault) in [
        ("<p><b>a</p></b>", "</p> ends <b>"),
        ("<p>a", "<p> has no end"),
        ("<p id=\"a\"><b id=\"a\"></b></p>", "the id a is there twice"),
        ("<p a=\"b\" c=d></p>", "<p a=\"b\" c=d> has an attribute without quotes"),
    ] {
        assert_eq!(well_formed(bad).unwrap_err(), fault);
    }
}

/// Tags are balanced, attributes quoted, and ids are there once: stricter than HTML asks for.
fn well_formed(page: &str) -> Result<(), String> {
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    let mut ids: Vec<&str> = Vec::new();
    for rest in page.split('<').skip(1) {
        let (tag, _) = rest.split_once('>').ok_or_else(|| format!("<{rest} is no tag"))?;
        let name = tag.split_whitespace().next().unwrap_or_default().trim_end_matches('/');
        if let Some(closed) = name.strip_prefix('/') {
            match open.pop() {
                Some(last) if last == closed => {}
                last => return Err(format!("<{name}> ends <{}>", last.unwrap_or_default())),
            }
            continue;
        }
        // Every second piece stands in quotes.
        let bare: Vec<&str> = tag.split('"').step_by(2).skip(1).collect();
        let quoted = tag.matches('=').count() == 0
            || bare.iter().all(|piece| !piece.trim_end_matches('=').contains('='));
        if name != "meta" && !quoted {
            return Err(format!("<{tag}> has an attribute without quotes"));
        }
        if let Some(id) = tag.split(" id=\"").nth(1).and_then(|id| id.split('"').next()) {
            if ids.contains(&id) {
                return Err(format!("the id {id} is there twice"));
            }
            ids.push(id);
        }
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.pop().map_or(Ok(()), |left| Err(format!("<{left}> has no end")))
}

#[test]
fn the_picture_is_there_when_something_was_broken_and_says_what_it_shows() {
    for (name, page) in pages().into_iter().take(4) {
        assert_eq!(page.contains("<svg"), name != "aborted", "{name}");
        assert_eq!(
            page.contains("role=\"img\" aria-labelledby=\"run-title run-desc\""),
            name != "aborted",
            "{name}"
        );
    }
}

/// With `RUNBOOKD_PAGES=DIRECTORY`, the pages are left there for whoever changes how they look.
#[test]
fn pages_can_be_looked_at() {
    let Some(directory) = std::env::var_os("RUNBOOKD_PAGES") else { return };
    for (name, page) in pages() {
        std::fs::write(std::path::Path::new(&directory).join(format!("{name}.html")), page).unwrap();
    }
}
