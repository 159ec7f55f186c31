//! From numbers to places: scales whose labels are round and stand at even distances.

use std::fmt::Write as _;
use std::time::Duration;

use crate::show;

/// A number as a coordinate.
#[expect(clippy::cast_precision_loss, reason = "a picture needs no more than a few digits")]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}

/// The same for a count of things that are drawn.
pub(super) fn place(n: usize) -> f64 {
    float(u64::try_from(n).unwrap_or(u64::MAX))
}

/// A coordinate as it is written: at most two decimals.
pub(super) fn written(coordinate: f64) -> String {
    let text = format!("{coordinate:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Ends of an axis, of which each half is whole as well; ten times as many go on from there.
const ENDS: [u64; 13] = [2, 4, 6, 8, 10, 12, 16, 20, 24, 30, 40, 60, 80];

/// The end of an axis from zero that holds `most`: a round number, and not much more.
pub(super) fn top(most: u64) -> u64 {
    let fits = |end: &u64| *end >= most;
    if let Some(end) = ENDS.into_iter().find(fits) {
        return end;
    }
    let mut magnitude: u64 = 10;
    loop {
        for end in &ENDS[4..] {
            match end.checked_mul(magnitude) {
                Some(end) if fits(&end) => return end,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        magnitude = magnitude.saturating_mul(10);
    }
}

/// Heights of the parts of a bar, `top` being `height`. What is there at all is seen: at least `least` high.
pub(super) fn stacked<const N: usize>(values: [u64; N], top: u64, height: f64, least: f64) -> [f64; N] {
    let mut heights = values.map(|n| if n == 0 { 0.0 } else { (float(n) / float(top.max(1)) * height).max(least) });
    let over = heights.iter().sum::<f64>() - height;
    if over > 0.0
        && let Some(largest) = heights.iter_mut().max_by(|a, b| a.total_cmp(b))
    {
        *largest = (*largest - over).max(0.0);
    }
    heights
}

/// Draws the parts of a bar, the first at the bottom of the chart, which is `bottom` high. A part is its class and its height.
pub(super) fn bar<const N: usize>(out: &mut String, parts: [(&str, f64); N], x: f64, width: f64, mut bottom: f64) {
    for (class, height) in parts.into_iter().filter(|(_, height)| *height > 0.0) {
        bottom = (bottom - height).max(0.0);
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            written(x),
            written(bottom),
            written(width),
            written(height),
        );
    }
}

/// A count where there is little room: `8,000`, `20k`, `1.2M`.
pub(super) fn short(n: u64) -> String {
    let sizes = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((size, letter)) = sizes.into_iter().find(|(size, _)| n >= 10_000 && n >= *size) else {
        return show::count(n);
    };
    match n % size * 10 / size {
        0 => format!("{}{letter}", show::count(n / size)),
        tenths => format!("{}.{tenths}{letter}", show::count(n / size)),
    }
}

/// Spans in milliseconds that people know, about ten times as long each as the one before.
const KNOWN: [u64; 11] =
    [1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000, 345_600_000, 3_456_000_000];

/// A scale of spans on which twice as long is as far anywhere: an event that took a second is seen beside those that took a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spans {
    low: usize,
    high: usize,
    /// Every how many of the known spans has a label.
    every: usize,
}

impl Spans {
    /// A scale that holds everything between `least` and `most` milliseconds.
    pub(super) fn of(least: u64, most: u64) -> Self {
        let end = KNOWN.len() - 1;
        let mut low = KNOWN.partition_point(|known| *known <= least).saturating_sub(1).min(end - 1);
        let mut high = KNOWN.partition_point(|known| *known < most).clamp(low + 1, end);
        let every = if high - low > 5 { 2 } else { 1 };
        if (high - low) % every != 0 {
            if high < end {
                high += 1;
            } else {
                low -= 1;
            }
        }
        Self { low, high, every }
    }

    /// Where a span is: 0 at the bottom, 1 at the top.
    pub(super) fn share(self, ms: u64) -> f64 {
        let ms = ms.clamp(KNOWN[self.low], KNOWN[self.high]);
        let below = KNOWN.partition_point(|known| *known <= ms).saturating_sub(1).min(self.high - 1);
        let within = (float(ms) / float(KNOWN[below])).ln() / (float(KNOWN[below + 1]) / float(KNOWN[below])).ln();
        ((place(below - self.low) + within) / place(self.high - self.low)).clamp(0.0, 1.0)
    }

    /// What stands beside it, from the top down.
    pub(super) fn labels(self) -> Vec<String> {
        let labels = (self.low..=self.high).step_by(self.every).map(|at| show::millis(KNOWN[at]));
        labels.collect::<Vec<_>>().into_iter().rev().collect()
    }
}

/// Labels of the time axis at even distances, oldest first; behind the last of them comes the present.
pub(super) fn ticks(span: Duration) -> Vec<String> {
    let seconds = span.as_secs();
    let parts = [300, 600, 1_800, 3_600, 21_600, 86_400, 432_000];
    let part = parts
        .into_iter()
        .find(|part| seconds.is_multiple_of(*part) && (3..=7).contains(&(seconds / part)))
        .unwrap_or(seconds);
    let count = seconds.checked_div(part).unwrap_or(0);
    let label = |n: u64| match part {
        86_400 | 432_000 => format!("{} d", n * part / 86_400),
        _ => show::span(Duration::from_secs(n * part)),
    };
    (1..=count).rev().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_with_a_round_number_whose_half_is_whole() {
        let ends = [0, 2, 3, 5, 11, 41, 81, 999, 1_001, 2_050].map(top);
        assert_eq!(ends, [2, 2, 4, 6, 12, 60, 100, 1_000, 1_200, 2_400]);
        assert_eq!(top(u64::MAX), u64::MAX);
        let shown = [400, 4_000, 20_000, 1_200_000, 4_000_000].map(short);
        assert_eq!(shown, ["400", "4,000", "20k", "1.2M", "4M"]);
    }

    #[test]
    fn a_little_is_seen_beside_a_lot_and_nothing_is_higher_than_the_plot() {
        let heights = |events: &[u64], most| format!("{:?}", stacked([events[0], events[1]], most, 24.0, 2.0));
        assert_eq!(heights(&[50, 0], 100), "[12.0, 0.0]");
        assert_eq!(heights(&[1_000_000, 1], 1_000_000), "[22.0, 2.0]");
        assert_eq!(heights(&[0, 0], 0), "[0.0, 0.0]");
    }

    #[test]
    fn spans_are_labelled_as_people_say_them() {
        assert_eq!(Spans::of(120, 4_000).labels(), ["10 s", "1 s", "100 ms"]);
        assert_eq!(Spans::of(7, 7).labels(), ["10 ms", "1 ms"]);
        assert_eq!(Spans::of(1_000, 60_000).labels(), ["1 min", "10 s", "1 s"]);
        assert_eq!(Spans::of(1, u64::MAX).labels(), ["40 d", "10 h", "10 min", "10 s", "100 ms", "1 ms"]);
        assert_eq!(Spans::of(1, 600_000).labels(), ["10 min", "10 s", "100 ms", "1 ms"]);
        let scale = Spans::of(120, 4_000);
        assert_eq!(format!("{:?}", [0, 1_000, u64::MAX].map(|ms| scale.share(ms))), "[0.0, 0.5, 1.0]");
    }

    #[test]
    fn the_time_axis_has_round_steps() {
        let hours = |n| ticks(Duration::from_hours(n));
        assert_eq!(hours(24), ["24 h", "18 h", "12 h", "6 h"]);
        assert_eq!(hours(24 * 7), ["7 d", "6 d", "5 d", "4 d", "3 d", "2 d", "1 d"]);
        assert_eq!(hours(24 * 30), ["30 d", "25 d", "20 d", "15 d", "10 d", "5 d"]);
        assert_eq!(ticks(Duration::ZERO), Vec::<String>::new());
        assert_eq!(ticks(Duration::from_secs(97)), ["1 min"]);
    }
}
