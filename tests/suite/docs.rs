//! The documents are held to what is there: every line of the chaos page is answered, and what a document names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The documents whose code spans and links are looked at.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/chaos-runbook.md",
    "docs/development.md",
    "docs/operations.md",
    "docs/runbooks.md",
    "docs/scenarios.md",
    "docs/security.md",
];

/// A picture that is drawn from the message itself; it is looked for once it is there.
const DRAWN_LATER: &str = "slack.png";

#[test]
fn every_line_of_the_chaos_page_is_answered() {
    let document = plain(&read("docs/chaos-runbook.md"));
    let page = read("tests/data/chaos-runbook.txt");
    let missing: Vec<&str> = page
        .lines()
        .map(content)
        .filter(|line| !line.is_empty() && !document.contains(&plain(line)))
        .collect();
    assert!(page.lines().count() > 180, "the page is whole");
    assert!(
        missing.is_empty(),
        "docs/chaos-runbook.md does not answer these lines of the page:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_row_of_the_chaos_page_has_a_word_for_what_does_it() {
    for line in read("docs/chaos-runbook.md").lines().filter(|line| line.starts_with("| ")) {
        let cells = plain_cells(line);
        assert_eq!(cells.len(), 3, "three columns: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
    }
}

#[test]
fn what_a_document_names_exists() {
    let root = root();
    let tests = names_of_functions(&root);
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        for span in code_spans(&read(document)) {
            if let Some(name) = test_name(&span) {
                if !tests.contains(name) {
                    wrong.push(format!("{document}: there is no test `{span}`"));
                }
            } else if is_path(&span) {
                if !root.join(&span).exists() {
                    wrong.push(format!("{document}: there is no file `{span}`"));
                }
            } else if let Some(command) = subcommand(&span)
                && !has_command(&root, command)
            {
                wrong.push(format!("{document}: there is no command `{span}`"));
            }
        }
        for link in links(&read(document)) {
            let folder = root.join(document).parent().unwrap().to_path_buf();
            if !folder.join(&link).exists() && !link.ends_with(DRAWN_LATER) {
                wrong.push(format!("{document}: the link to {link} leads nowhere"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_names_its_test_command() {
    let readme = read("README.md");
    let mut lines = readme.lines().skip_while(|line| line.trim() != "<!-- tests -->").skip(1);
    let command = lines.find(|line| !line.trim().is_empty() && !line.starts_with("```"));
    assert_eq!(
        command.map(|line| line.split('#').next().unwrap_or_default().trim()),
        Some("cargo test"),
        ".ci/run runs what the README says"
    );
}

/// A line of the page without its bullet or number.
fn content(line: &str) -> &str {
    let line = line.trim();
    let line = line.strip_prefix("• ").unwrap_or(line);
    let number =
        line.find(". ").filter(|at| *at > 0 && line[..*at].bytes().all(|byte| byte.is_ascii_digit()));
    number.map_or(line, |at| &line[at + 2..])
}

/// The words alone: a pipe needs a backslash in a table, whether or not it has one already.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain_cells(row: &str) -> Vec<String> {
    let marked = row.replace("\\|", "\u{1}");
    marked.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// What stands between single backticks, outside of fenced blocks.
fn code_spans(text: &str) -> BTreeSet<String> {
    let mut spans = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// The targets of relative links and pictures.
fn links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|link| link.split('#').next().unwrap_or_default().to_owned())
        .filter(|link| !link.is_empty() && !link.contains("://"))
        .collect()
}

/// `logql::tests::a_sentence_about_it` names a test: at least one `::`, and a last word that is a sentence.
fn test_name(span: &str) -> Option<&str> {
    let (path, name) = span.rsplit_once("::")?;
    let is_word = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b':')
    };
    (is_word(path) && is_word(name) && name.matches('_').count() >= 2).then_some(name)
}

fn is_path(span: &str) -> bool {
    let known = ["src/", "tests/", "docs/", "rules/", "deploy/", ".ci/", "benches/"];
    known.iter().any(|folder| span.starts_with(folder))
        && !span.contains([' ', '*', '<', '{'])
        && !span.contains("NAME")
}

/// The subcommand of `runbookd ...` or `cargo run -- ...`.
fn subcommand(span: &str) -> Option<&str> {
    let rest = span.strip_prefix("runbookd ").or_else(|| span.strip_prefix("cargo run -- "))?;
    rest.split_whitespace().next().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn has_command(root: &Path, name: &str) -> bool {
    let cli = root.join("src/cli");
    cli.join(format!("{name}.rs")).exists() || cli.join(name).is_dir()
}

fn names_of_functions(root: &Path) -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        walk(&root.join(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for rest in text.split("fn ").skip(1) {
            names.insert(
                rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned(),
            );
        }
    }
    names
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whoever copies the roles of the document can let every action act.
#[test]
fn every_right_of_every_action_is_in_the_roles() {
    let text = read("docs/security.md");
    let list = |line: &str, field: &str| -> Vec<String> {
        let (_, rest) = line.split_once(&format!("{field}: [")).unwrap();
        let (inside, _) = rest.split_once(']').unwrap();
        inside.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect()
    };
    let granted: BTreeSet<(String, String, String)> = text
        .lines()
        .filter(|line| line.starts_with("- {apiGroups:"))
        .flat_map(|line| {
            let (group, resource) = (list(line, "apiGroups").remove(0), list(line, "resources").remove(0));
            list(line, "verbs").into_iter().map(move |verb| (group.clone(), resource.clone(), verb))
        })
        .collect();
    for action in runbookd::runbook::Action::ALL {
        for right in runbookd::act::rights(action) {
            let wanted = (right.group.to_owned(), right.resource.to_owned(), right.verb.to_owned());
            assert!(granted.contains(&wanted), "{action:?} needs {right:?}");
        }
    }
}

#[test]
fn the_reference_names_every_action_and_its_examples_of_changes_are_read() {
    use runbookd::runbook::{Action, StepKind};
    let text = read("docs/runbooks.md");
    for action in Action::OF_RUNBOOKS {
        let word = action.as_str();
        assert!(text.contains(&format!("`{word}: {{}}`")) || text.contains(&format!("### {word}")), "{word}");
    }
    let (_, changes) = text.split_once("\n## Changes\n").unwrap();
    let steps: String =
        changes.split("```yaml\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let runbook = format!(
        "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: web\nsummary: Help it.\nalerts: ['alertname=\"Web\"']\n\
         confirm: {{errors: {{loki: '{{app=\"web\"}} |= \"error\"', window: 5m, at_least: 5}}}}\n\
         targets: {{deployment: web}}\nsteps:\n{steps}"
    );
    let runbook =
        runbookd::runbook::load::read_text(&runbook, None, 1).unwrap_or_else(|faults| panic!("{faults}"));
    let read: Vec<_> = runbook
        .steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Remediate { remedy, .. } => Some(remedy.action()),
            StepKind::Diagnose(_) | StepKind::Expect(_) => None,
        })
        .collect();
    assert_eq!(
        read,
        [Action::Scale, Action::Resources, Action::Env, Action::Http, Action::Terraform, Action::Workflow]
    );
}
