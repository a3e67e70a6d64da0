//! Tables for people: each column as wide as its widest cell.

use super::paint::{Paint, Tone};

/// One cell; its text must be harmless already.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { tone: Tone::Plain, text: text.into() }
    }

    pub(super) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

const GAP: usize = 2;

/// The lines of a table. The last column is not filled up, so that no line ends in spaces.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: Vec<[Cell; N]>, paint: Paint) -> Vec<String> {
    let head = titles.map(|title| Cell::toned(Tone::Strong, title));
    let all: Vec<[Cell; N]> = std::iter::once(head).chain(rows).collect();
    let wide: [usize; N] = std::array::from_fn(|column| {
        all.iter().map(|row| row[column].text.chars().count()).max().unwrap_or_default()
    });
    all.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(&paint.mark(cell.tone, &cell.text));
                if column + 1 < N {
                    let fill = wide[column] - cell.text.chars().count() + GAP;
                    line.extend(std::iter::repeat_n(' ', fill));
                }
            }
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_whatever_the_colour() {
        let rows =
            || vec![[Cell::new("größer"), Cell::new("1")], [Cell::toned(Tone::Bad, "ab"), Cell::new("")]];
        assert_eq!(table(["NAME", "N"], rows(), Paint::PLAIN), ["NAME    N", "größer  1", "ab"]);
        let coloured = table(["NAME", "N"], rows(), Paint::COLOUR);
        assert!(coloured[2].starts_with("\u{1b}[31mab\u{1b}[0m"));
    }
}
