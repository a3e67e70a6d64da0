//! The direction of imports, and what may be done in one place only. `docs/architecture.md` says why; this holds it.
//!
//! Read from the text of `src/`, without comments, strings and `#[cfg(test)]` modules. A rule that is broken says where, which rule
//! it is, and what to do. An exception stands in a list here, with its reason.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The modules in their order: each names only what stands above it.
const ORDER: &[(&str, Layer)] = &[
    ("clock", Layer::Everywhere),
    ("text", Layer::Everywhere),
    ("alert", Layer::Things),
    ("logql", Layer::Things),
    ("promql", Layer::Things),
    ("yaml", Layer::Things),
    ("runbook", Layer::Things),
    ("incident", Layer::Things),
    ("retry", Layer::Tools),
    ("crash", Layer::Tools),
    ("metrics", Layer::Tools),
    ("telemetry", Layer::Tools),
    ("listen", Layer::Tools),
    ("clients", Layer::Tools),
    ("store", Layer::Tools),
    ("receive", Layer::Stages),
    ("guard", Layer::Stages),
    ("probe", Layer::Stages),
    ("act", Layer::Stages),
    ("notify", Layer::Stages),
    ("pipeline", Layer::Pipeline),
    ("config", Layer::Around),
    ("api", Layer::Around),
    ("sandbox", Layer::Around),
    ("chaos", Layer::Around),
    ("cli", Layer::Around),
];

/// What a module is, from the inside out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Named by everybody: how time is read, and how figures are written.
    Everywhere,
    /// Plain data and pure functions.
    Things,
    /// What the stages work with.
    Tools,
    /// A stage that an alert passes. Stages do not name each other.
    Stages,
    /// The story: calls the stages in order.
    Pipeline,
    /// Around it.
    Around,
}

/// Modules that name less than their place would allow: the only modules that they may name, and why.
const NARROW: &[(&str, &[&str], &str)] = &[
    ("sandbox", &["clock"], "what it shared with the clients, a test could not find wrong"),
    ("clients", &["clock", "text", "retry"], "a client knows a protocol and nothing of incidents"),
    ("listen", &[], "it serves any router"),
];

/// Crates that are used in one place only, below these paths.
const PLACES: &[(&str, &[&str], &str)] = &[
    (
        "anyhow",
        &["cli/"],
        "elsewhere an error is one enum per module, so that callers can tell failures apart",
    ),
    ("backoff", &["retry.rs"], "it is unmaintained (RUSTSEC-2025-0012), and one file can be replaced"),
    ("clap", &["cli/"], "the command line is one way in of several"),
    ("rusqlite", &["store/"], "nothing but the store knows that there is a database"),
    (
        "kube",
        &["clients/kubernetes/"],
        "kube repeats writes unless it is told not to, so one place builds its client",
    ),
    (
        "k8s_openapi",
        // The sandbox's API server takes and refuses what the real one's schema would.
        &["clients/kubernetes/", "sandbox/kubernetes/"],
        "nothing but the client knows the objects of Kubernetes",
    ),
    (
        "reqwest",
        // The commands speak to the daemon, which is no other system; the configuration only reads an address.
        &["clients/", "cli/client.rs", "config/read.rs"],
        "every HTTP client needs its time limits, and no redirects",
    ),
    // The sandbox is the other side of it.
    // The commands and the probes know no more of AWS than its clients.
    ("aws_config", &["clients/aws/"], "there is one place that knows who we are in AWS"),
    ("aws_runtime", &["clients/aws/"], "there is one place that knows who we are in AWS"),
    ("aws_sdk_sts", &["clients/aws/"], "there is one place that knows who we are in AWS"),
    (
        "aws_smithy_http_client",
        &["clients/aws/"],
        "every HTTP client needs its time limits, and no redirects",
    ),
    ("aws_sdk_acm", &["clients/acm/"], "nothing but the client knows the SDK's types"),
    ("aws_sdk_route53", &["clients/route53/"], "nothing but the client knows the SDK's types"),
    (
        "aws_sigv4",
        &["clients/aws/"],
        "the SDK signs for itself, and what it does not speak is signed in one place",
    ),
    ("rustls", &["clients/", "sandbox/"], "there is one TLS stack with one provider"),
    ("tokio_rustls", &["clients/http/tls/", "sandbox/"], "there is one TLS stack with one provider"),
    (
        "x509_cert",
        &["clients/http/tls/"],
        "it reads what a certificate says of itself; whether that is true rustls says",
    ),
    ("rcgen", &["sandbox/"], "nothing but the sandbox makes certificates"),
    // With `use`, because the client and the probe of that name are modules of ours.
    ("use prometheus", &["metrics.rs"], "metrics have closed label sets, all made at the start"),
    (
        "rustix",
        &["clients/terraform/runner.rs", "clients/terraform/log.rs"],
        "signals are sent in one place, to groups of processes that it started",
    ),
    (
        "tracing_subscriber",
        // Whether a level is one is asked when the configuration is read, so that the fault has a line.
        &["telemetry.rs", "config/read.rs"],
        "logging begins once",
    ),
];

/// Words that may stand in these places only.
const WORDS: &[(&str, &[&str], &str)] = &[
    (
        "Order {",
        &["act/", "clients/http/"],
        "a call that may change something is an action: give it a plan, a permit and an observation",
    ),
    (
        "Asked::every(",
        &["guard/mod.rs"],
        "only guard/ asks the guards; a permit that was made elsewhere would prove nothing",
    ),
    (
        ".grant(",
        &["guard/mod.rs"],
        "only guard/ makes permits; call `guard::grant` in the closure of `commit_effect`",
    ),
    (
        "guard::grant(",
        &["pipeline/perform.rs"],
        "a permit is granted in one place: the closure that `commit_effect` runs under the ledger's lock",
    ),
    (
        ".commit_effect(",
        &["pipeline/perform.rs", "store/"],
        "the dangerous moment is one line of the pipeline",
    ),
    (".apply(permit", &["pipeline/perform.rs"], "an effect follows its permit at once, in the pipeline"),
    (
        ".upsert(",
        &["act/", "clients/route53/"],
        "a record in DNS is an effect: give it a plan, a permit and an observation",
    ),
    // A value that names a drill, and the right one after it: `Spoiled` is made of the right record and the run alone.
    (
        ".spoil(",
        &["chaos/real/"],
        "a record is spoiled by the person who runs `inject`, after a note that says so, and by nothing else",
    ),
    (
        ".unspoil(",
        &["chaos/real/"],
        "what a drill has written is put back by its note; any other record is an effect of act/",
    ),
    ("process::exit", &["main.rs"], "a daemon ends by returning, so that calls on their way are finished"),
    (
        "process::Command",
        &["chaos/", "cli/", "clients/terraform/runner.rs"],
        "nothing that an alert can reach starts a process but terraform, in the directories that are listed",
    ),
    ("Timestamp::now", &["clock.rs"], "time is a parameter; ask clock::now"),
    ("SystemTime::now", &["clock.rs"], "time is a parameter; ask clock::now"),
];

/// The methods of the Kubernetes client that change nothing.
const KUBERNETES_READS: &[&str] = &[
    "connect",
    "rehearsing",
    "known_as",
    "server",
    "is_loopback",
    "workload",
    "object",
    "quotas",
    "hooks",
    "workloads_of",
    "autoscalers_of",
    "deployments",
    "exec",
    "history",
    "prepare_rollback",
    "pods",
    "pod",
    "owner_of_pod",
    "nodes",
    "node",
    "disruption_budgets",
    "autoscalers",
    "events",
    "previous_logs",
    "ping",
    "namespace_labels",
    "namespace",
    "objects_of",
];
/// Those that write: only act/ calls them, and what a person breaks.
const KUBERNETES_WRITES: &[&str] = &[
    "restart",
    "roll_back_deployment",
    "patch_fields",
    "evict_pod",
    "delete_pod",
    "cordon_node",
    "uncordon_node",
    "cordon_with_note",
    "note_node",
    "uncordon_with_note",
    "remove_note_of_node",
    "note_namespace",
    "remove_note_of_namespace",
    "delete_node",
    "create_job",
    "remove_job",
];
/// Where the cluster is written to. What a person breaks, they break with their own rights, and `inject`'s own notes undo it: no incident, and no permit.
const WRITERS: &[&str] = &["act/", "chaos/real/"];

/// Who may name a client. One system, one stage; `config` and `cli` hand settings over.
const CLIENTS: &[(&str, &[&str], &str)] = &[
    ("slack", &["notify", "config", "cli", "clients"], "only notify/ tells people"),
    // chaos/ posts and pushes what a person's synthetic alert needs.
    ("loki", &["probe", "config", "chaos", "cli", "clients"], "only probe/ asks Loki"),
    ("webhook", &["chaos", "cli", "clients"], "only a person's synthetic alert is posted to our own webhook"),
    ("prometheus", &["probe", "config", "cli", "clients"], "only probe/ asks Prometheus"),
    (
        "http",
        &["probe", "act", "config", "cli", "clients"],
        "only probe/ asks other services, and only act/ calls them",
    ),
    ("load", &["chaos", "cli", "clients"], "only a person makes load, and no alert can"),
    // A person's drill finds the record as the daemon does, and spoils that one; what it may call stands in WORDS.
    ("acm", &["probe", "act", "config", "chaos", "cli", "clients"], "only probe/, act/ and a drill ask ACM"),
    (
        "route53",
        &["probe", "act", "chaos", "cli", "clients"],
        "probe/ reads names and act/ writes them; a drill spoils one",
    ),
    ("ec2", &["chaos", "cli", "clients"], "only a person ends a machine, and no alert can"),
    ("aws", &["config", "cli", "clients"], "who we are in AWS its clients know, and nobody else asks"),
    ("github", &["act", "config", "cli", "clients"], "only act/ starts workflows"),
    ("terraform", &["act", "config", "cli", "clients"], "only act/ runs terraform"),
    (
        "alertmanager",
        &["pipeline", "probe", "config", "chaos", "cli", "clients"],
        "only reconciling and probes ask Alertmanager; what it sends comes by receive/",
    ),
    (
        "kubernetes",
        // The pipeline chooses targets, and asks `valid_name` and `valid_namespace` whether a label may be one: two pure functions
        // that belong beside the URLs which they protect.
        // What a person breaks in a real cluster is made in chaos/real/.
        &["act", "probe", "pipeline", "config", "chaos", "cli", "clients"],
        "probe/ reads the cluster and act/ changes it",
    ),
];

/// What is written into other people's systems for a synthetic alert: it is made in one place, and nothing that an alert can reach makes it.
const SYNTHETIC: &[(&str, &str)] = &[("alertmanager", "Posted"), ("loki", "Stream"), ("webhook", "Told")];

/// Modules in which nothing waits: no `async`, no `.await`.
const PURE: &[&str] = &["alert", "logql", "promql", "yaml", "runbook", "incident", "text", "guard"];

/// No file is longer, but for these.
const MOST_LINES: usize = 500;
const LONGER: &[(&str, usize, &str)] = &[];

#[test]
fn every_module_has_a_place_and_names_only_what_stands_above_it() {
    let mut faults = Faults::default();
    for file in sources() {
        let module = file.module();
        if file.is_root() {
            continue;
        }
        let Some(place) = place_of(module) else {
            faults.add(
                &file,
                1,
                &format!("the module `{module}` has no place"),
                "add it to ORDER in tests/suite/architecture.rs",
            );
            continue;
        };
        for (line, path) in file.paths() {
            let other = path[0].as_str();
            if other == module {
                continue;
            }
            let Some(theirs) = place_of(other) else { continue };
            let named = path.join("::");
            if theirs > place {
                faults.add(
                    &file,
                    line,
                    &format!("`{module}` names `{named}`, which stands below it"),
                    "hand the value over as a parameter, or move what both need further up",
                );
            } else if ORDER[place].1 == Layer::Stages && ORDER[theirs].1 == Layer::Stages {
                faults.add(
                    &file,
                    line,
                    &format!("the stage `{module}` names the stage `{named}`"),
                    "stages meet in pipeline/ and in the journal; move what both need to the things or tools",
                );
            }
            if let Some((_, only, why)) = NARROW.iter().find(|(narrow, ..)| *narrow == module)
                && !only.contains(&other)
            {
                let only = if only.is_empty() { "nothing".to_owned() } else { only.join(", ") };
                faults.add(
                    &file,
                    line,
                    &format!("`{module}` names `{named}`, and may name only: {only}"),
                    why,
                );
            }
        }
    }
    faults.check();
}

#[test]
fn a_crate_is_used_where_it_belongs() {
    let mut faults = Faults::default();
    for file in sources() {
        for (name, places, why) in PLACES {
            for line in file.lines_with(&format!("{name}::")) {
                if !file.is_below(places) {
                    faults.add(
                        &file,
                        line,
                        &format!("`{name}` is used outside of {}", places.join(", ")),
                        why,
                    );
                }
            }
        }
    }
    faults.check();
}

#[test]
fn dangerous_words_stand_in_their_places_only() {
    let mut faults = Faults::default();
    for file in sources() {
        for (word, places, why) in WORDS {
            for line in file.lines_with(word) {
                if !file.is_below(places) {
                    faults.add(&file, line, &format!("`{word}` outside of {}", places.join(", ")), why);
                }
            }
        }
    }
    faults.check();
}

#[test]
fn only_act_writes_to_the_cluster() {
    let mut faults = Faults::default();
    for file in sources() {
        for write in KUBERNETES_WRITES {
            for line in file.lines_with(&format!(".{write}(")) {
                if !file.is_below(WRITERS) && !file.is_below(&["clients/kubernetes/"]) {
                    faults.add(
                        &file,
                        line,
                        &format!("`{write}` is called outside of {}", WRITERS.join(", ")),
                        "an effect is an action: give it a plan, a permit and an observation",
                    );
                }
            }
        }
        if file.is_below(&["clients/kubernetes/"]) {
            let mut is_of_the_client = false;
            for (at, line) in file.code.lines().enumerate() {
                is_of_the_client = match line {
                    "impl Kubernetes {" => true,
                    "}" => false,
                    _ => is_of_the_client,
                };
                if !is_of_the_client {
                    continue;
                }
                let Some(name) = line.trim().strip_prefix("pub ").and_then(function_name) else { continue };
                if !KUBERNETES_READS.contains(&name) && !KUBERNETES_WRITES.contains(&name) {
                    faults.add(
                        &file,
                        at + 1,
                        &format!("`{name}` is neither a read nor a write"),
                        "add it to KUBERNETES_READS or KUBERNETES_WRITES in tests/suite/architecture.rs",
                    );
                }
            }
        }
    }
    faults.check();
}

#[test]
fn a_client_is_named_by_the_stage_that_needs_it() {
    let mut faults = Faults::default();
    for file in sources().iter().filter(|file| !file.is_root()) {
        for (line, path) in file.paths() {
            let [first, client, ..] = path.as_slice() else { continue };
            let Some((_, who, why)) = CLIENTS.iter().find(|(name, ..)| first == "clients" && name == client)
            else {
                continue;
            };
            if !who.contains(&file.module()) {
                faults.add(file, line, &format!("`{}` names clients::{client}", file.module()), why);
            }
        }
    }
    faults.check();
}

#[test]
fn only_a_persons_synthetic_alert_writes_alerts_and_lines() {
    let (mut faults, mut seen) = (Faults::default(), BTreeSet::new());
    for file in sources().iter().filter(|file| !file.is_root() && !file.is_below(&["clients/"])) {
        for (line, path) in file.paths() {
            let [first, client, name, ..] = path.as_slice() else { continue };
            let what = (client.as_str(), name.as_str());
            if first != "clients" || !SYNTHETIC.contains(&what) {
                continue;
            }
            seen.insert(what.1.to_owned());
            if !file.is_below(&["chaos/synthetic.rs"]) {
                let what = format!("`{}` names clients::{client}::{name}", file.module());
                faults.add(
                    file,
                    line,
                    &what,
                    "an alert that nothing made is a person's: chaos/synthetic.rs makes it",
                );
            }
        }
    }
    assert_eq!(seen.len(), SYNTHETIC.len(), "what is looked for is there: {seen:?}");
    faults.check();
}

#[test]
fn things_and_guards_wait_for_nothing() {
    let mut faults = Faults::default();
    for file in sources().iter().filter(|file| PURE.contains(&file.module())) {
        for word in ["async ", ".await", "tokio::"] {
            for line in file.lines_with(word) {
                faults.add(
                    file,
                    line,
                    &format!("`{}` in `{}`, which is pure", word.trim(), file.module()),
                    "read what is needed before, and hand it over as a value",
                );
            }
        }
    }
    faults.check();
}

#[test]
fn every_file_says_what_it_is_for_and_none_grows_for_ever() {
    let mut faults = Faults::default();
    for file in sources() {
        if !file.text.starts_with("//!") {
            faults.add(
                &file,
                1,
                "the file does not begin with `//!`",
                "say what it is for, and what it never does",
            );
        }
        let lines = file.text.lines().count();
        let most =
            LONGER.iter().find(|(name, ..)| *name == file.name).map_or(MOST_LINES, |(_, most, _)| *most);
        if lines > most {
            faults.add(
                &file,
                lines,
                &format!("{lines} lines; at most {most}"),
                "split it by meaning, not by length; or, if it is one thing, add it to LONGER with the reason",
            );
        }
    }
    faults.check();
}

#[test]
fn every_dependency_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let (_, list) =
        page.split_once("\n## Dependencies").expect("docs/architecture.md has a section `## Dependencies`");
    let list = list.split("\n## ").next().unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut wanted = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            wanted = section.contains("dependencies]");
        } else if wanted && let Some((name, _)) = line.split_once('=') {
            names.insert(name.trim().trim_end_matches(".workspace"));
        }
    }
    assert!(names.contains("tokio"), "the dependencies are found: {names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !list.contains(&format!("`{name}`"))).collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md, section Dependencies, does not say why there is: {missing:?}"
    );
}

#[test]
fn this_test_sees_what_it_looks_for() {
    let text = r##"//! A file.
use crate::{alert::{Alert, Labels as L}, text};
use super::super::clients::{self, slack::Slack};
// use crate::comment; /* crate::block */
fn f<'a>(x: &'a str) -> char { let _ = "crate::string \" ::"; let _ = r#"crate::raw"#; crate::clock::now(); '"' }
#[cfg(test)]
mod tests {
    use crate::pipeline::Pipeline;
}
use crate::store::*;
"##;
    let file = Source::new("act/restart.rs".to_owned(), text.to_owned());
    let paths: Vec<String> =
        file.paths().iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    let expected = [
        "2 alert::Alert",
        "2 alert::Labels",
        "2 text",
        "3 clients::self",
        "3 clients::slack::Slack",
        "5 clock::now",
        "10 store",
    ];
    assert_eq!(paths, expected);
}

fn place_of(module: &str) -> Option<usize> {
    ORDER.iter().position(|(name, _)| *name == module)
}

/// The name of the function that a line declares, after its visibility.
fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start_matches("const ").trim_start_matches("async ");
    let name = line.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// What is wrong, all of it.
#[derive(Default)]
struct Faults(String);

impl Faults {
    fn add(&mut self, file: &Source, line: usize, what: &str, help: &str) {
        let _ = writeln!(self.0, "src/{}:{line}: {what}\n    {help}", file.name);
    }

    #[track_caller]
    fn check(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}

/// A file of `src/`, or of a fake one.
struct Source {
    /// Below `src/`.
    name: String,
    text: String,
    /// The text with everything blank that is a comment, a string or a test; as many lines.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    assert!(files.len() > 30, "src/ is found: {} files", files.len());
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            Source::new(name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
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

impl Source {
    fn new(name: String, text: String) -> Self {
        // A file of tests is declared `#[cfg(test)] mod tests;` and so is not part of the program.
        let is_tests = name.ends_with("/tests.rs") || name.contains("/tests/") || name == "clients/wire.rs";
        let code = if is_tests { String::new() } else { without_tests(&bare(&text)) };
        Self { name, text, code }
    }

    fn is_root(&self) -> bool {
        self.name == "lib.rs" || self.name == "main.rs"
    }

    /// The name of the module directly below the crate.
    fn module(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.name == *place || place.ends_with('/') && self.name.starts_with(place))
    }

    /// The lines on which this word begins a path or a call.
    fn lines_with(&self, word: &str) -> Vec<usize> {
        let mut lines = Vec::new();
        for (at, line) in self.code.lines().enumerate() {
            let found = line.match_indices(word).any(|(position, _)| {
                let before = line[..position].chars().next_back();
                let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                word.starts_with('.') || !before.is_some_and(is_part)
            });
            // `std::process::exit` and the like: the word is the end of a longer path.
            let found = found || word.contains("process::") && line.contains(word);
            let found = found || word.contains("::now") && line.contains(word);
            if found {
                lines.push(at + 1);
            }
        }
        lines
    }

    /// Every path from the crate's root that the code names, with its line.
    fn paths(&self) -> Vec<(usize, Vec<String>)> {
        // The module that this file is, as a path from the root.
        let mut own: Vec<&str> = self.name.trim_end_matches(".rs").split('/').collect();
        if own.last() == Some(&"mod") {
            own.pop();
        }
        let mut found = Vec::new();
        for root in ["crate::", "super::", "runbookd::"] {
            for (position, _) in self.code.match_indices(root) {
                let before = self.code[..position].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let line = self.code[..position].matches('\n').count() + 1;
                let mut rest = &self.code[position..];
                let mut base: Vec<String> = Vec::new();
                if root == "super::" {
                    let mut module = own.as_slice();
                    while let Some(after) = rest.strip_prefix("super::") {
                        module = &module[..module.len().saturating_sub(1)];
                        rest = after;
                    }
                    base = module.iter().map(|part| (*part).to_owned()).collect();
                } else {
                    rest = &rest[root.len()..];
                }
                let mut trees = Vec::new();
                tree(rest, &base, &mut trees);
                found.extend(trees.into_iter().filter(|path| !path.is_empty()).map(|path| (line, path)));
            }
        }
        found.sort();
        found
    }
}

/// Reads one tree of a `use`, or one path of an expression, and gives its leaves; returns what comes after it.
fn tree<'t>(text: &'t str, base: &[String], found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
            let before = rest.len();
            rest = tree(rest, base, found).trim_start();
            if let Some(renamed) = rest.strip_prefix("as ") {
                rest = renamed
                    .trim_start()
                    .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                    .trim_start();
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.len() == before {
                return rest;
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let mut path = base.to_vec();
    if !word.is_empty() {
        path.push(word.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => {
            tree(rest, &path, found)
        }
        Some(rest) => {
            found.push(path);
            rest.strip_prefix('*').unwrap_or(rest)
        }
        None => {
            found.push(path);
            rest
        }
    }
}

/// The code with comments, strings and characters blank; as many lines.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) =
            raw_string(rest).filter(|_| !out.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        {
            length
        } else if first == '"' {
            quoted(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[length..];
    }
    out
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| start + at + end.len()))
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; none for a lifetime.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        let skip = 1 + inner[1..].chars().next()?.len_utf8();
        return inner[skip..].find('\'').map(|end| 1 + skip + end + 1);
    }
    inner[first.len_utf8()..].starts_with('\'').then_some(2 + first.len_utf8())
}

/// The code with the modules blank that are only compiled for tests.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(start) = code.find("#[cfg(test)]") {
        let tail = &code[start..];
        let open = tail.find(['{', ';']).unwrap_or(tail.len().saturating_sub(1));
        let mut end = open + 1;
        if tail[open..].starts_with('{') {
            let mut depth = 0_usize;
            for (at, c) in tail[open..].char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    end = open + at + 1;
                    break;
                }
            }
        }
        let end = (start + end).min(code.len());
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    code
}
