//! How long events take from acceptance to delivery.

use std::fmt::Write as _;

use super::parts::{Entry, HEIGHT, Plot, column, empty, in_words, stretches};
use super::scale::{Spans, place, written};
use super::{Bucket, Steps};
use crate::show::{self, Html};

const NAME: &str = "Time to delivery";

/// Two lines over a scale of spans: half of the events, and 99 of 100. Where nothing arrived there is a gap.
pub fn latency(steps: &Steps) -> Html {
    let known = || steps.buckets.iter().filter_map(percentiles);
    let (Some(least), Some(most)) = (known().map(|(p50, _)| p50).min(), known().map(|(_, p99)| p99).max()) else {
        return empty(NAME, "Nothing was delivered in this time.");
    };
    let scale = Spans::of(least, most);
    let (p50, p99) = known().next_back().unwrap_or((least, most));
    let line = |class, of: fn((u64, u64)) -> u64| {
        let values = steps.buckets.iter().map(|bucket| percentiles(bucket).map(of));
        format!("<path class=\"{class}\" d=\"{}\"/>", path(steps, scale, values))
    };
    Plot {
        steps,
        name: NAME,
        facts: format!(
            "In the latest of {} in which something arrived, half of the events took no longer than {}, and 99 of 100 no longer than {}. In \
             the slowest step 99 of 100 took up to {}.",
            in_words(steps),
            show::millis(p50),
            show::millis(p99),
            show::millis(most),
        ),
        legend: vec![
            Entry { class: "p50", name: "Latest p50", value: show::millis(p50) },
            Entry { class: "p99", name: "p99", value: show::millis(p99) },
        ],
        labels: scale.labels(),
        drawing: line("p99", |(_, p99)| p99) + &line("p50", |(p50, _)| p50),
        hints: steps.buckets.iter().map(hint).collect(),
    }
    .framed()
}

/// Half of the events, and 99 of 100: never less.
fn percentiles(bucket: &Bucket) -> Option<(u64, u64)> {
    let p50 = bucket.p50_ms?;
    Some((p50, bucket.p99_ms.unwrap_or(p50).max(p50)))
}

/// A line through the middle of each step. A stretch of a single step is a line to itself, which round ends make a dot.
fn path(steps: &Steps, scale: Spans, values: impl Iterator<Item = Option<u64>>) -> String {
    let width = column(steps);
    let mut out = String::new();
    for (first, stretch) in stretches(values) {
        for (n, ms) in stretch.iter().enumerate() {
            let (x, y) = (written(width * (place(first + n) + 0.5)), written(HEIGHT * (1.0 - scale.share(*ms))));
            let _ = write!(out, "{}{x} {y}", if n == 0 { 'M' } else { 'L' });
            if stretch.len() == 1 {
                let _ = write!(out, "L{x} {y}");
            }
        }
    }
    out
}

fn hint(bucket: &Bucket) -> Option<String> {
    let (p50, p99) = percentiles(bucket)?;
    Some(format!("p50 {}, p99 {}", show::millis(p50), show::millis(p99)))
}
