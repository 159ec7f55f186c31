//! How many events waited.

use std::fmt::Write as _;

use super::parts::{Entry, HEIGHT, Plot, WIDTH, column, empty, in_words};
use super::scale::{float, place, short, top, written};
use super::{Bucket, Steps};
use crate::show::{self, Html};

const NAME: &str = "Lag";

/// An area: the most events that waited at one moment of each step.
pub fn lag(steps: &Steps) -> Html {
    let most = steps.buckets.iter().map(|bucket| bucket.lag).max().unwrap_or(0);
    if most == 0 {
        return empty(NAME, "Nothing waited in this time.");
    }
    let end = top(most);
    let latest = steps.buckets.last().map_or(0, |bucket| bucket.lag);
    Plot {
        steps,
        name: NAME,
        facts: format!(
            "In {}, at most {} waited at one moment; in the latest step at most {}.",
            in_words(steps),
            show::counted(most, "event", "events"),
            show::count(latest),
        ),
        legend: vec![Entry { class: "lag", name: "Most waiting", value: show::count(most) }],
        labels: vec![short(end), short(end / 2), "0".to_owned()],
        drawing: area(steps, end),
        hints: steps.buckets.iter().map(hint).collect(),
    }
    .framed()
}

/// Stairs, because each step has one number.
fn area(steps: &Steps, end: u64) -> String {
    let width = column(steps);
    let mut stairs = String::new();
    for (n, bucket) in steps.buckets.iter().enumerate() {
        let y = HEIGHT * (1.0 - (float(bucket.lag) / float(end)).clamp(0.0, 1.0));
        let lead = if n == 0 { "L" } else { "V" };
        let from = if n == 0 { format!("0 {}", written(y)) } else { written(y) };
        let _ = write!(stairs, "{lead}{from}H{}", written((width * place(n + 1)).min(WIDTH)));
    }
    let (right, bottom) = (written(WIDTH), written(HEIGHT));
    format!("<path class=\"lag\" d=\"M0 {bottom}{stairs}L{right} {bottom}Z\"/>")
}

fn hint(bucket: &Bucket) -> Option<String> {
    (bucket.lag > 0).then(|| format!("{} waited at most", show::counted(bucket.lag, "event", "events")))
}
