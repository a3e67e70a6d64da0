//! Colour on a terminal, plain text everywhere else.

use std::io::IsTerminal as _;

pub use crate::text::harmless;

/// How text is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    colour: bool,
}

/// What a text means, as far as its colour goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It went wrong, or a person should look.
    Bad,
    /// Something is waited for.
    Wait,
    /// Something is changed.
    Act,
    /// A title.
    Strong,
    /// Less important than the rest.
    Faint,
    /// As it is.
    Plain,
}

fn wanted() -> bool {
    let refused = super::environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = super::environment("TERM").is_some_and(|term| term == "dumb");
    !refused && !dumb
}

impl Paint {
    /// No colour.
    pub const PLAIN: Self = Self { colour: false };
    /// Colour.
    pub const COLOUR: Self = Self { colour: true };

    /// Colour when standard output is a terminal and `NO_COLOR` (<https://no-color.org>) is not set.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self { colour: wanted() && std::io::stdout().is_terminal() }
    }

    /// The same for standard error.
    #[must_use]
    pub fn of_stderr() -> Self {
        Self { colour: wanted() && std::io::stderr().is_terminal() }
    }

    /// Whether there is colour.
    #[must_use]
    pub const fn colours(self) -> bool {
        self.colour
    }

    /// `text` in the colour of `tone`.
    #[must_use]
    pub fn mark(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Wait => "33",
            Tone::Act => "36",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint::PLAIN.mark(Tone::Bad, "no"), "no");
        assert_eq!(Paint::COLOUR.mark(Tone::Bad, "no"), "\u{1b}[31mno\u{1b}[0m");
        assert_eq!(Paint::COLOUR.mark(Tone::Plain, "no"), "no");
    }
}
