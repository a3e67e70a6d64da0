//! Where things stand in the picture of a timeline: time along an axis, and marks beside each other without covering one another. Pure arithmetic.

use std::time::Duration;

use crate::text::span;

/// The room of a label of so many characters, in the units of the picture. Wide enough for most fonts; writing that is wider gets twice the room.
pub(super) fn room(label: &str) -> f64 {
    label.chars().map(|character| if character < '\u{1100}' { 7.0 } else { 14.0 }).sum()
}

/// Seconds since the fault along the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    left: f64,
    /// The last second of the first piece, and the first of the second; the same when nothing is left out.
    pieces: (f64, f64),
    per_second: f64,
    /// The room of what is left out.
    fold: f64,
}

/// A place on the axis with a word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) label: String,
}

/// The room of a stretch in which nothing happens.
const FOLD: f64 = 96.0;
/// Ticks are not nearer.
const BETWEEN_TICKS: f64 = 58.0;
/// What people count time in, in seconds.
const STEPS: [f64; 21] = [
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
    14_400.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0,
];

impl Axis {
    /// From `left` to `right`, for what happened at these seconds. A stretch after `may_fold` that is longer than everything else together is
    /// folded: a change that is put back hours later would make all the rest one line.
    pub(super) fn new(left: f64, right: f64, at: &[f64], may_fold: Option<f64>) -> Self {
        let mut at: Vec<f64> = at.iter().copied().filter(|at| at.is_finite() && *at > 0.0).collect();
        at.push(0.0);
        at.sort_by(f64::total_cmp);
        let end = at.last().copied().unwrap_or_default();
        let longest =
            at.windows(2).map(|pair| (pair[0], pair[1])).max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
        let folded = longest.filter(|(from, to)| {
            may_fold.is_some_and(|after| *from >= after && *from > 0.0) && to - from > 0.6 * end
        });
        let (pieces, fold) = folded.map_or(((end, end), 0.0), |pieces| (pieces, FOLD));
        let told = end - (pieces.1 - pieces.0);
        // A run in which nothing follows the fault still has an axis.
        let told = if told > 0.0 { told } else { 1.0 };
        Self { left, pieces, per_second: (right - left - fold) / told, fold }
    }

    pub(super) fn x(&self, at: f64) -> f64 {
        let (from, to) = self.pieces;
        if at <= from {
            return self.left + at * self.per_second;
        }
        let before = self.left + from * self.per_second;
        if at < to {
            return before + self.fold * (at - from) / (to - from);
        }
        before + self.fold + (at - to) * self.per_second
    }

    /// Where something is left out: from, to, and how much.
    pub(super) fn fold(&self) -> Option<(f64, f64, Duration)> {
        let (from, to) = self.pieces;
        let left_out = Duration::try_from_secs_f64(to - from).ok()?;
        (self.fold > 0.0).then(|| (self.x(from), self.x(to), left_out))
    }

    /// The places that are named, until `end` seconds.
    pub(super) fn ticks(&self, end: f64) -> Vec<Tick> {
        let enough = |step: &&f64| **step * self.per_second >= BETWEEN_TICKS;
        let step = STEPS.iter().find(enough).copied().unwrap_or_else(|| (end / 10.0).max(1.0));
        let mut ticks: Vec<Tick> = Vec::new();
        let mut push = |at: f64| {
            let label = Duration::try_from_secs_f64(at).map(span).unwrap_or_default();
            let label = if at > 0.0 { label } else { "0".to_owned() };
            if ticks
                .last()
                .is_none_or(|last| last.label != label && self.x(at) - last.x >= BETWEEN_TICKS * 0.9)
            {
                ticks.push(Tick { x: self.x(at), label });
            }
        };
        let (from, to) = self.pieces;
        let mut at = 0.0;
        while at <= from {
            push(at);
            at += step;
        }
        let mut at = (to / step).ceil() * step;
        while at <= end {
            push(at);
            at += step;
        }
        ticks
    }
}

/// On which side of its mark a label stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Right,
    Left,
    /// There was no room for it.
    Nowhere,
}

/// Where a mark stands: `row` counts from the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) row: usize,
    pub(super) side: Side,
}

/// Half of a mark with its margin, and the gap to its label.
pub(super) struct Size {
    pub(super) half: f64,
    pub(super) gap: f64,
}

/// So many rows are used before a mark is moved aside, or a label left out.
const ROWS: usize = 12;

/// Gives each mark (where it should stand, and the room of its label) a place between `left` and `right` in which it covers no other: in a lower row
/// rather than elsewhere, and without its label rather than moved aside.
pub(super) fn place(marks: &[(f64, f64)], left: f64, right: f64, size: &Size) -> Vec<Spot> {
    let mut rows: Vec<Vec<(f64, f64)>> = vec![Vec::new(); ROWS];
    marks
        .iter()
        .map(|&(wanted, label)| {
            let Size { half, gap } = *size;
            let wanted = wanted.clamp(left + half, (right - half).max(left + half));
            let reach = |x: f64, side: Side| match side {
                Side::Right => (x - half, x + half + gap + label),
                Side::Left => (x - half - gap - label, x + half),
                Side::Nowhere => (x - half, x + half),
            };
            let is_free = |taken: &[(f64, f64)], (from, to): (f64, f64)| {
                from >= left - 0.01 && to <= right + 0.01 && taken.iter().all(|(l, r)| to <= *l || from >= *r)
            };
            let mut tries: Vec<(f64, Side)> =
                [Side::Right, Side::Left, Side::Nowhere].map(|side| (wanted, side)).into();
            // A mark without a width could stand anywhere.
            let step = (2.0 * half).max(8.0);
            let mut aside = step;
            while aside <= right - left {
                tries.extend([(wanted + aside, Side::Nowhere), (wanted - aside, Side::Nowhere)]);
                aside += step;
            }
            for (x, side) in tries {
                let free = (0..rows.len()).find(|row| is_free(&rows[*row], reach(x, side)));
                if let Some(row) = free {
                    rows[row].push(reach(x, side));
                    return Spot { x, row, side };
                }
            }
            rows.push(vec![reach(wanted, Side::Nowhere)]);
            Spot { x: wanted, row: rows.len() - 1, side: Side::Nowhere }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size { half: 10.0, gap: 4.0 };

    proptest! {
        #[test]
        fn no_mark_and_no_label_covers_another(
            marks in proptest::collection::vec((0.0..700.0_f64, 0.0..120.0_f64), 0..120),
        ) {
            let spots = place(&marks, 0.0, 700.0, &SIZE);
            let boxes: Vec<_> = spots
                .iter()
                .zip(&marks)
                .map(|(spot, (_, label))| {
                    let label = label + SIZE.gap;
                    let (before, after) = match spot.side {
                        Side::Right => (0.0, label),
                        Side::Left => (label, 0.0),
                        Side::Nowhere => (0.0, 0.0),
                    };
                    (spot.row, spot.x - SIZE.half - before, spot.x + SIZE.half + after)
                })
                .collect();
            for (at, (row, from, to)) in boxes.iter().enumerate() {
                prop_assert!(*from >= -0.1 && *to <= 700.1);
                for (other, l, r) in &boxes[at + 1..] {
                    prop_assert!(row != other || to - 0.1 <= *l || *r - 0.1 <= *from);
                }
            }
        }

        #[test]
        fn later_is_never_further_left(
            mut at in proptest::collection::vec(0.0..200_000.0_f64, 1..30),
            may_fold in proptest::option::of(0.0..1_000.0_f64),
        ) {
            let axis = Axis::new(100.0, 800.0, &at, may_fold);
            at.sort_by(f64::total_cmp);
            let x: Vec<f64> = at.iter().map(|at| axis.x(*at)).collect();
            prop_assert!(x.windows(2).all(|pair| pair[0] <= pair[1] + 0.001));
            prop_assert!(x.iter().all(|x| (99.9..=800.1).contains(x)), "{x:?}");
            let ticks = axis.ticks(*at.last().unwrap());
            prop_assert!(ticks.len() <= 14 && ticks.windows(2).all(|pair| pair[1].x - pair[0].x > 50.0));
        }
    }

    #[test]
    fn only_what_is_long_after_the_phases_is_folded() {
        let at = [150.0, 160.0, 520.0, 7_362.0, 7_450.0];
        let (from, to, left_out) = Axis::new(0.0, 700.0, &at, Some(520.0)).fold().unwrap();
        assert_eq!(to - from, FOLD);
        assert_eq!(left_out, Duration::from_secs(6_842));
        assert!(Axis::new(0.0, 700.0, &at, None).fold().is_none());
        // Where the time went is what the picture is for.
        assert!(Axis::new(0.0, 700.0, &[900.0, 901.0], Some(901.0)).fold().is_none());
    }

    #[test]
    fn the_axis_counts_as_people_do() {
        let labels = |end: f64| -> Vec<String> {
            Axis::new(0.0, 700.0, &[end], None).ticks(end).into_iter().map(|tick| tick.label).collect()
        };
        assert_eq!(labels(204.0), ["0", "30 s", "1m", "1m 30s", "2m", "2m 30s", "3m"]);
        assert_eq!(labels(7_200.0).last().unwrap(), "2h");
        assert_eq!(labels(0.0), ["0"]);
    }
}
