//! What became of events: delivered, failed, rejected.

use super::parts::{Entry, HEIGHT, Plot, column, empty, in_words};
use super::scale::{bar, place, short, stacked, top};
use super::{Bucket, Steps};
use crate::show::{self, Html};

const NAME: &str = "Events";
/// Something is seen from this height on.
const LEAST: f64 = 2.0;

/// Stacked bars. One failed event among a million is seen; how many there were is said beside it.
pub fn outcomes(steps: &Steps) -> Html {
    let sum = |of: fn(&Bucket) -> u64| steps.buckets.iter().map(of).fold(0, u64::saturating_add);
    let [delivered, failed, rejected] = [sum(|b| b.delivered), sum(|b| b.failed), sum(|b| b.rejected)];
    let most = steps.buckets.iter().map(Bucket::total).max().unwrap_or(0);
    if most == 0 {
        return empty(NAME, "Nothing was delivered in this time.");
    }
    let end = top(most);
    let entry = |class, name, n| Entry { class, name, value: show::count(n) };
    Plot {
        steps,
        name: NAME,
        facts: format!(
            "{} delivered, {} failed and {} rejected in {}. The most in one step: {}.",
            show::counted(delivered, "event", "events"),
            show::count(failed),
            show::count(rejected),
            in_words(steps),
            show::count(most),
        ),
        legend: vec![
            entry("delivered", "Delivered", delivered),
            entry("failed", "Failed", failed),
            entry("rejected", "Rejected", rejected),
        ],
        labels: vec![short(end), short(end / 2), "0".to_owned()],
        drawing: bars(steps, end),
        hints: steps.buckets.iter().map(hint).collect(),
    }
    .framed()
}

fn bars(steps: &Steps, end: u64) -> String {
    let width = column(steps);
    let gap = width * 0.2;
    let mut out = String::new();
    for (n, bucket) in steps.buckets.iter().enumerate() {
        let [delivered, failed, rejected] =
            stacked([bucket.delivered, bucket.failed, bucket.rejected], end, HEIGHT, LEAST);
        let parts = [("delivered", delivered), ("failed", failed), ("rejected", rejected)];
        bar(&mut out, parts, width * place(n) + gap / 2.0, width - gap, HEIGHT);
    }
    out
}

fn hint(bucket: &Bucket) -> Option<String> {
    if bucket.total() == 0 {
        return None;
    }
    let Bucket { delivered, failed, rejected, .. } = *bucket;
    let mut said = vec![format!("{} delivered", show::count(delivered))];
    said.extend((failed > 0).then(|| format!("{} failed", show::count(failed))));
    said.extend((rejected > 0).then(|| format!("{} rejected", show::count(rejected))));
    Some(said.join(", "))
}
