//! What flowed, in the space of a word.

use std::fmt::Write as _;

use super::scale::{bar, place, stacked, written};
use crate::show::{self, Html, escaped};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;
/// Something is seen from this height on.
const LEAST: f64 = 2.0;

/// What happened in one step of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bar {
    /// Events that arrived.
    pub delivered: u64,
    /// Events that did not: failed, or rejected.
    pub failed: u64,
}

/// A row of bars, oldest first, what failed on top of what arrived. `period` is how the time is said in a sentence: `the last 24 hours`.
pub fn sparkline(bars: &[Bar], period: &str) -> Html {
    let sum = |of: fn(&Bar) -> u64| bars.iter().map(of).fold(0, u64::saturating_add);
    let (delivered, failed) = (sum(|bar| bar.delivered), sum(|bar| bar.failed));
    let most = bars.iter().map(|bar| bar.delivered.saturating_add(bar.failed)).max().unwrap_or(0);
    let facts = match (delivered, failed) {
        (0, 0) => format!("Nothing was delivered in {period}."),
        (_, 0) => format!("{} delivered in {period}, none failed.", show::counted(delivered, "event", "events")),
        _ => format!(
            "{} delivered in {period}, {} failed.",
            show::counted(delivered, "event", "events"),
            show::count(failed)
        ),
    };
    let (w, h) = (written(WIDTH), written(HEIGHT));
    let mut out = format!(
        "<svg class=\"sparkline\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\"><title>{}</title>",
        escaped(&facts)
    );
    let _ = write!(out, "<path class=\"grid\" d=\"M0 {y}H{w}\"/>", y = written(HEIGHT - 0.5));
    let width = WIDTH / place(bars.len().max(1));
    let gap = if width >= 2.0 { 0.5 } else { 0.0 };
    for (n, each) in bars.iter().enumerate() {
        let [delivered, failed] = stacked([each.delivered, each.failed], most, HEIGHT, LEAST);
        bar(&mut out, [("delivered", delivered), ("failed", failed)], width * place(n), width - gap, HEIGHT);
    }
    out.push_str("</svg>");
    Html::trusted(out)
}
