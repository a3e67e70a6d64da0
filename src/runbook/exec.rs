//! A program that is run in the containers of a workload to learn something: its argv is fixed, and no value of an alert gets into it. Plain data.

use super::{Template, Threshold};

pub use super::probes::argv;

/// Runs a program in a container of one or every pod of a Deployment, and counts in what it prints.
#[derive(Debug, Clone)]
pub struct ExecProbe {
    /// What is run and counted.
    pub what: Exec,
    /// The namespace.
    pub namespace: Template,
    /// The Deployment; without it the target.
    pub deployment: Option<Template>,
    /// The container; none: the first of the pod.
    pub container: Option<String>,
    /// In which pods.
    pub of: Pods,
    /// Hold the threshold against each pod apart.
    pub by_pod: bool,
    /// When the answer holds.
    pub threshold: Threshold,
}

/// What is run, and what is counted in its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exec {
    /// The lines that this program prints.
    Lines(Vec<String>),
    /// The established TCP connections to this port of other hosts, in the kernel's own tables: needs no knowledge of the application.
    Connections(u16),
}

impl Exec {
    /// Every argv that is run, which the configuration must list.
    #[must_use]
    pub fn argvs(&self) -> Vec<Vec<String>> {
        let cat = |path: &str| vec!["cat".to_owned(), path.to_owned()];
        match self {
            Self::Lines(argv) => vec![argv.clone()],
            Self::Connections(_) => vec![cat("/proc/net/tcp"), cat("/proc/net/tcp6")],
        }
    }
}

/// In how many pods it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pods {
    /// Every pod of the workload.
    Every,
    /// One that is ready.
    One,
}

impl Pods {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Every, Self::One];

    /// The word in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Every => "every_pod",
            Self::One => "one_pod",
        }
    }
}

/// The word by which an [`ExecProbe`] can count.
pub const BY_POD: &str = "pod";

/// An argv as a flow sequence of YAML, for people to copy: `[cat, /proc/net/tcp]`.
#[must_use]
pub fn written(argv: &[String]) -> String {
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
            && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off")
    };
    let word = |text: &String| if plain(text) { text.clone() } else { serde_json::json!(text).to_string() };
    format!("[{}]", argv.iter().map(word).collect::<Vec<_>>().join(", "))
}
