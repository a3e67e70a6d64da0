//! `runbookd check`: everything that is wrong with runbooks and a configuration, all at once. Changes nothing and calls no one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::paint::{Paint, Tone, harmless};
use crate::chaos::scenario::load as scenarios;
use crate::config::{Config, Purpose};
use crate::runbook::load::{Loaded, Objects, Wants, load_with};
use crate::runbook::{RestoreWhen, Runbook, StepKind};
use crate::text::{count, span};
use crate::yaml::{Fault, Faults, Severity};

/// Say everything that is wrong with runbooks and a configuration
///
/// Every fault of every file is reported as `file:line:column: what is wrong; what was expected`, with a hint where there is one. Nothing
/// is changed, and neither Kubernetes nor Loki is asked. The exit code is 0 when runbookd would start with these files, and 1 when not.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Check {
    /// The configuration: it is checked, its `vars:` are known to the runbooks, and without PATH its `rules:` are checked
    #[arg(long, value_name = "FILE", env = "RUNBOOKD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Runbooks: files, or folders whose *.yaml files are read [default: the configuration's `rules:`, or ./rules]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  runbookd check                                        The runbooks in ./rules
  runbookd check my.yaml rules/quick-reference.yaml     One runbook with what it attaches; its ${vars.NAME} are believed
  runbookd check --config runbookd.yaml                 The configuration and all runbooks that it names
  runbookd check --config runbookd.yaml new/            Other runbooks, with this configuration's vars";

impl Check {
    /// What is to be said, and whether all is well.
    #[must_use]
    pub fn report(&self, paint: Paint) -> (String, bool) {
        let mut faults = Faults::new();
        let mut config = None;
        if self.config.is_some() {
            let (read, of_config) = Config::load_for(Purpose::Check, self.config.as_deref());
            faults.append(of_config);
            config = read;
        }
        let paths = match (&config, self.paths.is_empty()) {
            (_, false) => self.paths.clone(),
            (Some(config), true) => config.rules.clone(),
            // The configuration can not be read at all: nobody knows which runbooks it names.
            (None, true) if self.config.is_some() => Vec::new(),
            (None, true) => vec![PathBuf::from("rules")],
        };
        let vars = config.as_ref().map(|config| &config.vars);
        let time_scale = config.as_ref().map_or(1, |config| config.time_scale);
        let object = |wants: Wants<'_>| config.as_ref()?.objection(wants);
        // Without a configuration nobody knows whom it allows.
        let objection: Option<Objects<'_>> = if config.is_some() { Some(&object) } else { None };
        let loaded = match load_with(&paths, vars, time_scale, objection) {
            Ok(loaded) => loaded,
            Err(of_rules) => {
                faults.append(of_rules);
                Loaded::default()
            }
        };
        faults.append(loaded.warnings.clone());
        let known: BTreeSet<String> = loaded.runbooks.iter().map(|runbook| runbook.name.clone()).collect();
        // Where the runbooks can not be read, nobody knows which there are.
        let known = Some(&known).filter(|known| !known.is_empty());
        let scenarios = match scenarios::beside(&paths)
            .and_then(|files| scenarios::load(&files, vars, known, time_scale))
        {
            Ok(scenarios) => scenarios,
            Err(of_scenarios) => {
                faults.append(of_scenarios);
                Vec::new()
            }
        };
        let mut text = String::new();
        for fault in faults.iter() {
            write_fault(paint, fault, &mut text);
        }
        if faults.any() {
            let warnings = faults.iter().count() - faults.count();
            let _ = write!(text, "\n{}", tally(faults.count(), "fault", "faults"));
            if warnings > 0 {
                let _ = write!(text, ", {}", tally(warnings, "warning", "warnings"));
            }
            text.push('\n');
            return (text, false);
        }
        for runbook in &loaded.runbooks {
            let file = loaded.files.get(&runbook.name).map(PathBuf::as_path);
            write_runbook(paint, file, runbook, &mut text);
        }
        for verification in &loaded.verifications {
            let checks: Vec<_> = verification.checks.iter().map(|check| harmless(&check.name)).collect();
            let name = paint.mark(Tone::Strong, &harmless(&verification.name));
            let _ = writeln!(text, "{name} is well when all of these hold: {}", checks.join(", "));
        }
        for diagnosis in &loaded.diagnoses {
            let probes: Vec<_> = diagnosis.probes.iter().map(|probe| harmless(&probe.name)).collect();
            let name = paint.mark(Tone::Strong, &harmless(&diagnosis.name));
            let _ = writeln!(text, "{name} can be attached to a diagnosis, and asks: {}", probes.join(", "));
        }
        for scenario in &scenarios {
            let proves: Vec<_> = scenario.runbooks().map(harmless).collect();
            let name = paint.mark(Tone::Strong, &harmless(&scenario.name));
            let _ = writeln!(
                text,
                "{name} is a scenario for {}: {}",
                proves.join(", "),
                harmless(&scenario.broke())
            );
        }
        (text, true)
    }
}

fn tally(number: usize, one: &str, many: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), one, many)
}

fn write_fault(paint: Paint, fault: &Fault, text: &mut String) {
    let (tone, word) = match fault.severity {
        Severity::Fault => (Tone::Bad, ""),
        Severity::Warning => (Tone::Wait, "warning: "),
    };
    let position = harmless(&fault.position());
    let space = if position.is_empty() { "" } else { " " };
    let message = harmless(&fault.message);
    let _ = writeln!(text, "{}{space}{word}{message}", paint.mark(tone, &position));
    if let Some(hint) = &fault.hint {
        let _ = writeln!(text, "  {} {}", paint.mark(Tone::Act, "hint:"), harmless(hint));
    }
}

/// `rules/web.yaml: web (act) answers alertname="Web": restart, then scale for 2h`
fn write_runbook(paint: Paint, file: Option<&Path>, runbook: &Runbook, text: &mut String) {
    let file = file.map(|file| format!("{}: ", harmless(&file.display().to_string()))).unwrap_or_default();
    let matchers: Vec<_> = runbook.alerts.iter().map(ToString::to_string).collect();
    let answers = match runbook.is_on_demand() {
        true => "is begun by hand only".to_owned(),
        false => format!("answers {}", harmless(&matchers.join(", "))),
    };
    let steps: Vec<_> = runbook
        .steps
        .iter()
        .map(|step| match &step.kind {
            StepKind::Diagnose(_) => "diagnose".to_owned(),
            StepKind::Expect(_) => "expect".to_owned(),
            StepKind::Remediate { remedy, restore, .. } => {
                let action = remedy.action();
                let stays = if action.sets_fields() { stays(*restore) } else { String::new() };
                format!("{}{stays}", action.as_str())
            }
        })
        .collect();
    let _ = writeln!(
        text,
        "{}{} ({}) {answers}{}: {}",
        file,
        paint.mark(Tone::Strong, &runbook.name),
        runbook.mode,
        if runbook.goes_on && !runbook.is_on_demand() { " and lets later runbooks answer, too" } else { "" },
        steps.join(", then ")
    );
}

/// How long what is changed stays so.
fn stays(restore: RestoreWhen) -> String {
    match restore {
        RestoreWhen::Never => " for good".to_owned(),
        RestoreWhen::After(time) => format!(" for {}", span(time)),
        RestoreWhen::Recovered => " until it has recovered".to_owned(),
    }
}
