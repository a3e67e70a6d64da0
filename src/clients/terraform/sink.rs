//! What becomes of a program's output: kept as it is up to a size, or read as terraform's events of which a few facts are kept.
//!
//! Beyond that it is thrown away and counted. Nothing of it is ever shown as it is: it can hold what a provisioner prints.

use super::events::Events;

/// Of one line no more is looked at; the events that count are far shorter.
const LINE: usize = 256 << 10;

/// Takes output.
#[derive(Debug)]
pub(super) enum Sink {
    /// As it is.
    Keep {
        most: usize,
        kept: Vec<u8>,
        /// There was more.
        cut: bool,
    },
    /// Line by line, each a JSON object of terraform's.
    Events {
        /// From here on it counts as too much.
        most: usize,
        seen: usize,
        line: Vec<u8>,
        /// The rest of a line that is too long.
        skipping: bool,
        events: Box<Events>,
    },
    /// It never came to an end.
    Lost,
}

impl Sink {
    pub(super) const fn keep(most: usize) -> Self {
        Self::Keep { most, kept: Vec::new(), cut: false }
    }

    pub(super) fn events(most: usize) -> Self {
        Self::Events { most, seen: 0, line: Vec::new(), skipping: false, events: Box::default() }
    }

    pub(super) const fn lost() -> Self {
        Self::Lost
    }

    pub(super) fn take(&mut self, chunk: &[u8]) {
        match self {
            Self::Keep { most, kept, cut } => {
                let room = most.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                *cut |= chunk.len() > room;
            }
            Self::Events { seen, line, skipping, events, .. } => {
                *seen = seen.saturating_add(chunk.len());
                let mut pieces = chunk.split(|byte| *byte == b'\n');
                // What comes after the last end of a line is the beginning of the next one.
                let mut piece = pieces.next().unwrap_or_default();
                for next in pieces {
                    add(line, skipping, piece);
                    events.take(line);
                    line.clear();
                    *skipping = false;
                    piece = next;
                }
                add(line, skipping, piece);
            }
            Self::Lost => {}
        }
    }

    /// There is nothing more.
    pub(super) fn end(&mut self) {
        if let Self::Events { line, events, .. } = self {
            events.take(line);
            line.clear();
        }
    }

    /// What was kept, when that is all of it.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        match self {
            Self::Keep { kept, cut: false, .. } => Some(kept),
            Self::Keep { .. } | Self::Events { .. } | Self::Lost => None,
        }
    }

    /// What was kept, perhaps only the beginning.
    pub(super) fn begin(&self) -> &[u8] {
        match self {
            Self::Keep { kept, .. } => kept,
            Self::Events { .. } | Self::Lost => &[],
        }
    }

    /// What the events told.
    pub(super) fn told(self) -> Events {
        match self {
            Self::Events { most, seen, mut events, .. } => {
                events.cut = seen > most;
                *events
            }
            Self::Keep { .. } => Events::default(),
            Self::Lost => Events { lost: true, ..Events::default() },
        }
    }
}

fn add(line: &mut Vec<u8>, skipping: &mut bool, piece: &[u8]) {
    if *skipping || line.len() + piece.len() > LINE {
        line.clear();
        *skipping = true;
        return;
    }
    line.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &str = r#"{"type":"apply_complete","hook":{"resource":{"addr":"terraform_data.a"}}}"#;

    #[test]
    fn a_line_is_read_wherever_it_was_broken() {
        let text = format!("{DONE}\nno json\n{DONE}");
        for size in [1, 7, 64, 1000] {
            let mut sink = Sink::events(1 << 20);
            for chunk in text.as_bytes().chunks(size) {
                sink.take(chunk);
            }
            sink.end();
            let told = sink.told();
            assert_eq!(told.done, ["terraform_data.a", "terraform_data.a"], "{size}");
            assert!(!told.cut && !told.lost);
        }
    }

    #[test]
    fn a_line_without_an_end_uses_no_memory_and_hides_none_that_comes_after_it() {
        let mut sink = Sink::events(1 << 20);
        for _ in 0..100 {
            sink.take(&vec![b'x'; 64 << 10]);
        }
        let Sink::Events { line, .. } = &sink else { panic!() };
        assert!(line.capacity() <= 2 * LINE, "{}", line.capacity());
        sink.take(format!("\n{DONE}\n").as_bytes());
        sink.end();
        let told = sink.told();
        assert_eq!(told.done, ["terraform_data.a"]);
        assert!(told.cut, "6 MiB are more than 1 MiB");
    }

    #[test]
    fn what_is_kept_is_whole_or_it_is_nothing() {
        let mut sink = Sink::keep(4);
        sink.take(b"ab");
        sink.take(b"cd");
        assert_eq!(sink.whole(), Some(&b"abcd"[..]));
        sink.take(b"e");
        assert_eq!(sink.whole(), None);
    }
}
