//! Colour on a terminal, plain text everywhere else; and text from outside made harmless for a terminal.

use std::io::IsTerminal as _;

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

/// `text` without anything that a terminal would obey or that could hide text: log lines and labels are written
/// by whoever writes to the service. Line breaks become spaces, the rest is shown as `·`.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            // Marks that turn the direction of writing can make a line read as another one.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '·',
            character if character.is_control() => '·',
            character => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command() {
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J ok\r\n\u{202e}txet\t!\n";
        assert_eq!(harmless(hostile), "·]0;owned··2J ok  ·txet !");
        assert_eq!(harmless("QueuePool größe ✓"), "QueuePool größe ✓");
    }

    #[test]
    fn plain_paint_adds_nothing() {
        assert_eq!(Paint::PLAIN.mark(Tone::Bad, "no"), "no");
        assert_eq!(Paint::COLOUR.mark(Tone::Bad, "no"), "\u{1b}[31mno\u{1b}[0m");
        assert_eq!(Paint::COLOUR.mark(Tone::Plain, "no"), "no");
    }
}
