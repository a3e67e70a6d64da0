//! What is wrong with a file, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A line and a column, both from 1 on; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Whether a file can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It can not.
    Fault,
    /// It can, but hardly as its author meant it.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file; none for a text that came from elsewhere.
    pub file: Option<PathBuf>,
    /// Where in it; none when it is about the whole file.
    pub place: Option<Place>,
    /// Whether the file can be used in spite of it.
    pub severity: Severity,
    /// What is wrong; what was expected.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Fault {
    /// `file:line:column:`, as much of it as is known.
    #[must_use]
    pub fn position(&self) -> String {
        let file = self.file.as_ref().map(|file| format!("{}:", file.display())).unwrap_or_default();
        let place = self.place.map(|place| format!("{place}:")).unwrap_or_default();
        format!("{file}{place}")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.position();
        if !position.is_empty() {
            write!(f, "{position} ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the files and of the places in them. Never built from a file that can be used, unless it holds warnings only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// Nothing is wrong yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Adds what makes the file unusable.
    pub fn add(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.push(Severity::Fault, Some(place), message.into(), hint);
    }

    /// Adds what the author should know.
    pub fn warn(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.push(Severity::Warning, Some(place), message.into(), hint);
    }

    /// Adds what makes a whole file unusable.
    pub fn whole(&mut self, file: Option<&Path>, message: impl Into<String>, hint: Option<String>) {
        let file = file.map(Path::to_path_buf);
        self.list.push(Fault { file, place: None, severity: Severity::Fault, message: message.into(), hint });
    }

    /// Adds what the author should know about no place in particular.
    pub fn warn_whole(&mut self, message: impl Into<String>, hint: Option<String>) {
        self.push(Severity::Warning, None, message.into(), hint);
    }

    fn push(&mut self, severity: Severity, place: Option<Place>, message: String, hint: Option<String>) {
        self.list.push(Fault { file: None, place, severity, message, hint });
    }

    /// Takes over the faults of one file, in the order of their places.
    pub fn take_in(&mut self, file: Option<&Path>, of_file: Self) {
        let mut list = of_file.list;
        list.sort_by_key(|fault| fault.place);
        for mut fault in list {
            if fault.file.is_none() {
                fault.file = file.map(Path::to_path_buf);
            }
            self.list.push(fault);
        }
    }

    /// Adds the faults of others behind these, in their order.
    pub fn append(&mut self, others: Self) {
        self.list.extend(others.list);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }

    /// How many make something unusable.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.iter().filter(|fault| fault.severity == Severity::Fault).count()
    }

    /// Whether something is unusable.
    #[must_use]
    pub fn any(&self) -> bool {
        self.count() > 0
    }

    /// Whether there is neither a fault nor a warning.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
