//! The timeline as a picture: a lane for each who does things, time along the axis, the phases between the four times shaded. Each mark has the number
//! of its row in the table of moments, which says the same in words.

use std::fmt::Write as _;
use std::time::Duration;

use super::escape::html as text;
use super::layout::{Axis, Side, Size, Spot, place, room};
use super::words::{self, Measured, doer, times};
use super::{Doer, Moment, News, Report};
use crate::text::{cut, span};

const WIDTH: f64 = 800.0;
/// Where the lanes begin; their names stand before it.
const LANES: f64 = 84.0;
/// The room of what was before the fault.
const BEFORE: f64 = 104.0;
const RIGHT: f64 = WIDTH - 14.0;
const MARK: Size = Size { half: 10.5, gap: 3.0 };
const FLAG: Size = Size { half: 0.0, gap: 5.0 };
const ROW: f64 = 22.0;
/// A lane is never lower, so that three of them look like lanes.
const LOWEST: f64 = 44.0;

/// A moment with its number in the table.
type Numbered<'r> = (usize, &'r Moment);

struct Lane<'r> {
    by: Doer,
    /// Where each mark belongs, and where it stands.
    marks: Vec<(Numbered<'r>, f64, Spot)>,
    height: f64,
}

/// The picture, and how much time it leaves out because nothing happened in it.
pub(super) struct Picture {
    pub(super) drawn: String,
    pub(super) left_out: Option<Duration>,
}

/// The picture; nothing when nothing was broken. `id` is a word of ours that no other picture of the page has.
pub(super) fn timeline(report: &Report, id: &str) -> Option<Picture> {
    report.broken_at()?;
    let seconds = |moment: &Moment| report.since_broken(moment.at).map(|since| since.as_secs_f64());
    let four = times(&report.times);
    let reached: Vec<f64> = four.iter().filter_map(|time| Some(time.after?.as_secs_f64())).collect();
    let at: Vec<f64> = report.moments.iter().filter_map(seconds).chain(reached.iter().copied()).collect();
    let end = at.iter().copied().fold(0.0, f64::max);
    let has_before = report.moments.iter().any(|moment| seconds(moment).is_none());
    let zero = if has_before { LANES + BEFORE } else { LANES + 14.0 };
    let axis = Axis::new(zero, RIGHT - 12.0, &at, reached.iter().copied().reduce(f64::max));

    let lanes = [Doer::Inject, Doer::System, Doer::Runbookd].map(|by| {
        let moments: Vec<Numbered<'_>> =
            (1..).zip(&report.moments).filter(|(_, moment)| moment.by == by).collect();
        let (after, before): (Vec<_>, Vec<_>) =
            moments.into_iter().partition(|(_, moment)| seconds(moment).is_some());
        let mut marks = placed(before, LANES, zero - 6.0, |_| LANES + 16.0);
        marks.extend(placed(after, zero - 10.5, RIGHT, |moment| axis.x(seconds(moment).unwrap_or_default())));
        let rows = marks.iter().map(|(_, _, spot)| spot.row + 1).max().unwrap_or_default();
        Lane { by, marks, height: (rows as f64 * ROW + 18.0).max(LOWEST) }
    });

    let flags = flags(&four, &axis);
    let top = flags.height + 10.0;
    let bottom = top + lanes.iter().map(|lane| lane.height).sum::<f64>();
    let mut out = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {:.1}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n<title id=\"{id}-title\">Timeline of {}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
        bottom + 30.0,
        text(&report.scenario),
        text(&described(&four)),
    );
    if has_before {
        let _ = writeln!(
            out,
            "<rect class=\"before\" x=\"{LANES}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">before</text>",
            zero - LANES,
            bottom - top,
            LANES + BEFORE / 2.0,
            bottom + 18.0
        );
    }
    phases(&mut out, &four, &axis, top, bottom);
    ticks(&mut out, &axis, end, top, bottom);
    out.push_str(&flags.drawn);
    let mut y = top;
    for lane in &lanes {
        draw(&mut out, lane, y, report);
        y += lane.height;
    }
    let _ =
        writeln!(out, "<line class=\"edge\" x1=\"0\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n</svg>");
    Some(Picture { drawn: out, left_out: axis.fold().map(|(_, _, left_out)| left_out) })
}

fn placed<'r>(
    moments: Vec<Numbered<'r>>,
    left: f64,
    right: f64,
    x: impl Fn(&Moment) -> f64,
) -> Vec<(Numbered<'r>, f64, Spot)> {
    let wanted: Vec<(f64, f64)> =
        moments.iter().map(|(_, moment)| (x(moment), room(&label(moment)))).collect();
    let spots = place(&wanted, left, right, &MARK);
    moments.into_iter().zip(wanted).zip(spots).map(|((moment, (x, _)), spot)| (moment, x, spot)).collect()
}

fn label(moment: &Moment) -> String {
    cut(&moment.word, 16)
}

/// What somebody who does not see the picture should know; the table of moments has all of it.
fn described(four: &[Measured; 4]) -> String {
    let told = four.map(|time| match time.after {
        Some(after) => format!("{} after {}", time.name, span(after)),
        None => format!("{} did not come", time.name),
    });
    format!("From the fault on: {}. The table of moments lists all of them.", told.join(", "))
}

struct Flags {
    drawn: String,
    height: f64,
}

/// The fault and the four times, each with a line down through the lanes.
fn flags(four: &[Measured; 4], axis: &Axis) -> Flags {
    let reached = four.iter().filter_map(|time| {
        let after = time.after?;
        Some((axis.x(after.as_secs_f64()), time.name, format!("{} {}", time.name, span(after))))
    });
    let all: Vec<_> = std::iter::once((axis.x(0.0), "fault", "fault".to_owned())).chain(reached).collect();
    let wanted: Vec<(f64, f64)> = all.iter().map(|(x, _, label)| (*x, room(label) * 1.12)).collect();
    let spots = place(&wanted, LANES, RIGHT, &FLAG);
    let rows = spots.iter().map(|spot| spot.row + 1).max().unwrap_or_default();
    let height = rows as f64 * 18.0 + 4.0;
    let mut drawn = String::new();
    // The lines first: a label that one crosses must stay readable.
    for (x, spot) in wanted.iter().map(|(x, _)| x).zip(&spots) {
        let y = spot.row as f64 * 18.0 + 3.0;
        let _ = writeln!(
            drawn,
            "<line class=\"pole\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{:.1}\"/>",
            height + 10.0
        );
    }
    for ((x, name, label), spot) in all.iter().zip(&spots) {
        let (x, anchor) = match spot.side {
            Side::Left => (x - FLAG.gap, "end"),
            Side::Right | Side::Nowhere => (x + FLAG.gap, "start"),
        };
        let y = spot.row as f64 * 18.0 + 14.0;
        let _ = writeln!(
            drawn,
            "<text class=\"flag {name}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            text(label)
        );
    }
    Flags { drawn, height }
}

/// What lies between the times, shaded. A time that is earlier than the one before it ends no phase.
fn phases(out: &mut String, four: &[Measured; 4], axis: &Axis, top: f64, bottom: f64) {
    let mut from = 0.0;
    for time in four {
        let Some(to) = time.after.map(|after| after.as_secs_f64()).filter(|to| *to >= from) else { continue };
        let (x, width) = (axis.x(from), axis.x(to) - axis.x(from));
        let name = time.name;
        let _ = writeln!(
            out,
            "<rect class=\"phase {name}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\"/><rect class=\"strip {name}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"5\"/>",
            bottom - top,
            top - 5.0,
            width.max(1.5)
        );
        from = to;
    }
}

fn ticks(out: &mut String, axis: &Axis, end: f64, top: f64, bottom: f64) {
    for tick in axis.ticks(end) {
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top:.1}\" y2=\"{1:.1}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
            tick.x,
            bottom + 4.0,
            bottom + 18.0,
            text(&tick.label)
        );
    }
    if let Some((from, to, left_out)) = axis.fold() {
        // In front of the first moment after it there is room for its mark.
        let (from, to) = (from + 16.0, to - 16.0);
        let middle = f64::midpoint(from, to);
        let _ = writeln!(
            out,
            "<rect class=\"fold\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/><text class=\"tick\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">… {} …</text>",
            to - from,
            bottom - top,
            bottom + 18.0,
            text(&span(left_out))
        );
    }
}

fn draw(out: &mut String, lane: &Lane<'_>, top: f64, report: &Report) {
    let bottom = top + lane.height;
    let _ = writeln!(
        out,
        "<line class=\"edge\" x1=\"0\" x2=\"{RIGHT}\" y1=\"{top:.1}\" y2=\"{top:.1}\"/><text class=\"lane\" x=\"0\" y=\"{:.1}\">{}</text>",
        top + 22.0,
        doer(lane.by)
    );
    let y = |spot: &Spot| top + 17.0 + spot.row as f64 * ROW;
    for (_, x, spot) in &lane.marks {
        let (mark, y) = (spot.x, y(spot));
        if (mark - x).abs() > 1.0 {
            let _ = write!(
                out,
                "<line class=\"stem\" x1=\"{mark:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
        }
        let _ = writeln!(
            out,
            "<line class=\"stem\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{bottom:.1}\"/>"
        );
    }
    for ((number, moment), _, spot) in &lane.marks {
        let (x, y) = (spot.x, y(spot));
        let (kind, shape) = match moment.tone {
            News::Good => ("good", format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"/>")),
            News::Plain => ("plain", format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"8.4\"/>")),
            News::Bad => (
                "bad",
                format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"17\" height=\"17\" rx=\"2.5\"/>",
                    x - 8.5,
                    y - 8.5
                ),
            ),
        };
        let beside = match spot.side {
            Side::Right => format!(" x=\"{:.1}\" text-anchor=\"start\"", x + MARK.half + MARK.gap),
            Side::Left => format!(" x=\"{:.1}\" text-anchor=\"end\"", x - MARK.half - MARK.gap),
            Side::Nowhere => String::new(),
        };
        let word = if beside.is_empty() {
            String::new()
        } else {
            format!("<text class=\"word\"{beside} y=\"{:.1}\">{}</text>", y + 4.0, text(&label(moment)))
        };
        let _ = writeln!(
            out,
            "<g class=\"mark {kind}\"><title>{number}. {}, {}: {} ({}; {})</title>{shape}<text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>{word}</g>",
            doer(moment.by),
            text(&moment.word),
            text(&moment.text),
            text(&report.since_broken_text(moment.at)),
            words::news(moment.tone),
            y + 3.8
        );
    }
}
