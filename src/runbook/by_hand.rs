//! What a person has to say to begin a runbook by hand: the labels that an alert would have brought. What is missing is known before anything
//! is begun, and not when the first question has no value.

use std::collections::BTreeSet;

use super::Runbook;
use super::names::is_label;
use crate::alert::Labels;
use crate::text::cut;

/// More labels than any alert has.
const LABELS: usize = 64;
/// How long a label's value may be, in characters.
const VALUE: usize = 1_000;
/// So much of a wrong one is shown.
const SHOWN: usize = 40;
/// It names the alert, and nothing that is acted on.
const ALERTNAME: &str = "alertname";

impl Runbook {
    /// Whether only a person begins it: no alert is answered.
    #[must_use]
    pub const fn is_on_demand(&self) -> bool {
        self.alerts.is_empty()
    }

    /// The labels that its text names or its incidents are grouped by, without those of which `alerts` leave one value only.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<&str> {
        let grouped = self.group_by.iter().filter(|name| *name != ALERTNAME);
        let named = self.labels.iter().chain(grouped).map(String::as_str);
        named
            .filter(|name| {
                !self.alerts.iter().any(|matcher| matcher.only().is_some_and(|(label, _)| label == *name))
            })
            .collect()
    }

    /// What stands for an alert's labels when a person begins it: those that they gave, and those of which `alerts` leave one value only, so that
    /// it is grouped like an alert.
    ///
    /// # Errors
    /// What is wrong with them, or which are missing; a sentence with what to do.
    pub fn by_hand(&self, given: &Labels) -> Result<Labels, String> {
        if given.0.len() > LABELS {
            return Err(format!("{} labels were given; expected at most {LABELS}", given.0.len()));
        }
        for (name, value) in &given.0 {
            let shown = cut(name, SHOWN);
            if !is_label(name) {
                return Err(format!(
                    "{shown:?} is not the name of a label; expected letters, digits and `_`"
                ));
            }
            if value.is_empty() {
                return Err(format!(
                    "the label {shown} is empty, and empty never means all; expected a value"
                ));
            }
            if value.chars().count() > VALUE || value.chars().any(char::is_control) {
                return Err(format!("the label {shown} is not one line of at most {VALUE} characters"));
            }
        }
        let needs = self.needs();
        let missing: Vec<&str> = needs.iter().copied().filter(|name| given.get(name).is_empty()).collect();
        if !missing.is_empty() {
            let flags: Vec<String> = needs.iter().map(|name| format!("--label {name}=...")).collect();
            return Err(format!(
                "{} needs the label{} {}, which an alert would have brought; give {}",
                self.name,
                if missing.len() == 1 { "" } else { "s" },
                missing.join(", "),
                flags.join(" ")
            ));
        }
        for matcher in &self.alerts {
            let value = given.get(matcher.label());
            if !value.is_empty() && !matcher.holds(given) {
                return Err(format!(
                    "the label {}={:?} is none that {} answers: its `alerts` want {matcher}",
                    matcher.label(),
                    cut(value, SHOWN),
                    self.name
                ));
            }
        }
        let mut labels = given.clone();
        for (name, value) in self.alerts.iter().filter_map(|matcher| matcher.only()) {
            labels.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        Ok(labels)
    }

    /// Those of the given labels that are named nowhere in it: they choose nothing, whatever the person thought.
    #[must_use]
    pub fn unused<'l>(&self, given: &'l Labels) -> Vec<&'l str> {
        let named = |name: &str| {
            name == ALERTNAME || self.labels.contains(name) || self.group_by.iter().any(|label| label == name)
        };
        given.0.keys().map(String::as_str).filter(|name| !named(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::read_text;
    use super::*;

    fn runbook(head: &str) -> Runbook {
        let text = format!(
            "apiVersion: runbookd.dev/v1\nkind: Runbook\nname: web\nsummary: Restart it.\n{head}\n\
             confirm: {{errors: {{loki: '{{app=\"${{labels.app}}\"}} |= \"x\"', window: 5m, at_least: 1}}}}\n\
             targets: {{deployment: web}}\n\
             links: [{{title: t, url: \"https://example.org/${{labels.team}}\"}}]\n\
             steps: [{{remediate: restart, restart: {{}}, verify: {{within: 5m, hold: 30s, all: [{{rollout: complete}}]}}}}]\n"
        );
        read_text(&text, None, 1).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn missing(runbook: &Runbook, given: &Labels) -> String {
        runbook.by_hand(given).unwrap_err()
    }

    #[test]
    fn a_label_that_the_text_names_is_needed_and_one_of_a_link_is_not() {
        let web =
            runbook("alerts: ['alertname=\"Web\"', 'severity=~\"a|b\"']\ngroup_by: [alertname, namespace]");
        assert_eq!(web.needs().into_iter().collect::<Vec<_>>(), ["app", "namespace"]);
        insta::assert_snapshot!(missing(&web, &Labels::default()), @"web needs the labels app, namespace, which an alert would have brought; give --label app=... --label namespace=...");
        insta::assert_snapshot!(missing(&web, &Labels::from([("app", "web")])), @"web needs the label namespace, which an alert would have brought; give --label app=... --label namespace=...");
        let given = Labels::from([("app", "web"), ("namespace", "shop"), ("pod", "web-1")]);
        let labels = web.by_hand(&given).unwrap();
        assert_eq!(labels.get("alertname"), "Web", "grouped like the alert that it answers");
        assert_eq!((labels.get("app"), labels.get("severity")), ("web", ""));
        assert_eq!(web.unused(&given), ["pod"]);
    }

    #[test]
    fn a_label_is_a_label_and_has_a_value() {
        let web = runbook("alerts: ['alertname=\"Web\"']");
        let with = |name: &str, value: &str| {
            missing(&web, &Labels::from([("app", "web"), ("namespace", "shop"), (name, value)]))
        };
        insta::assert_snapshot!(with("a-b", "x"), @r#""a-b" is not the name of a label; expected letters, digits and `_`"#);
        insta::assert_snapshot!(with("pod", ""), @"the label pod is empty, and empty never means all; expected a value");
        let not_a_line = "the label pod is not one line of at most 1000 characters";
        assert_eq!(with("pod", "a\nb"), not_a_line);
        assert_eq!(with("pod", &"x".repeat(1_001)), not_a_line);
        let many = Labels((0..65).map(|number| (format!("l{number}"), "x".to_owned())).collect());
        insta::assert_snapshot!(missing(&web, &many), @"65 labels were given; expected at most 64");
    }

    #[test]
    fn what_only_a_person_begins_answers_no_alert_and_is_grouped_by_what_it_names() {
        let web = runbook("on_demand: true");
        assert!(web.is_on_demand());
        assert!(
            !web.answers(&Labels::from([("alertname", "Web"), ("namespace", "shop")])),
            "empty never means all"
        );
        assert!(!web.answers(&Labels::default()));
        assert_eq!(web.group_by, ["app", "namespace"]);
        assert_eq!(runbook("on_demand: true\ngroup_by: [app]\nalerts: []").group_by, ["app"]);
    }

    #[test]
    fn a_label_that_no_alert_of_it_could_have_is_refused_with_the_matcher() {
        let web = runbook("alerts: ['alertname=\"Web\"', 'namespace=~\"staging-.*\"', 'env!=\"prod\"']");
        let given = |more: &[(&str, &str)]| {
            let all = [("app", "web"), ("namespace", "staging-1")].iter().chain(more);
            let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            web.by_hand(&Labels(all.collect()))
        };
        assert!(given(&[]).is_ok());
        for (label, value) in [("namespace", "prod"), ("env", "prod"), ("alertname", "Other")] {
            let error = given(&[(label, value)]).unwrap_err();
            assert!(error.contains(&format!("{label}={value:?}")) && error.contains("`alerts`"), "{error}");
        }
    }
}
