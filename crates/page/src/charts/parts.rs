//! What charts are put together from.

use std::fmt::Write as _;

use toktra_siem_core::time::Timestamp;

use super::Steps;
use super::scale::{place, ticks, written};
use crate::show::{self, Html, escaped};

/// A plot's size in its own units: it is stretched to its place.
pub(super) const WIDTH: f64 = 720.0;
/// See [`WIDTH`]. As many pixels, so that the labels beside it fit.
pub(super) const HEIGHT: f64 = 120.0;

/// A series as the legend names it: its class, its name, and what it comes to.
pub(super) struct Entry {
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// A chart that is still to be framed.
pub(super) struct Plot<'a> {
    pub(super) steps: &'a Steps,
    /// Its heading.
    pub(super) name: &'static str,
    /// What it shows, in words.
    pub(super) facts: String,
    pub(super) legend: Vec<Entry>,
    /// Beside it, from the top down, at even distances.
    pub(super) labels: Vec<String>,
    /// SVG within [`WIDTH`] and [`HEIGHT`].
    pub(super) drawing: String,
    /// What the pointer is told, for each step; nothing for one that has nothing to say.
    pub(super) hints: Vec<Option<String>>,
}

impl Plot<'_> {
    /// The finished chart.
    pub(super) fn framed(&self) -> Html {
        let mut out = caption(self.name, &self.legend);
        out.push_str("<div class=\"plot\"><div class=\"plot-y\" aria-hidden=\"true\">");
        for label in &self.labels {
            let _ = write!(out, "<span>{}</span>", escaped(label));
        }
        let _ = write!(
            out,
            "</div><svg viewBox=\"0 0 {w} {h}\" preserveAspectRatio=\"none\" role=\"img\"><title>{name}</title><desc>{facts}</desc>",
            w = written(WIDTH),
            h = written(HEIGHT),
            name = escaped(self.name),
            facts = escaped(&self.facts),
        );
        self.grid(&mut out);
        out.push_str(&self.drawing);
        self.targets(&mut out);
        out.push_str("</svg><div class=\"plot-x\" aria-hidden=\"true\">");
        for tick in ticks(self.steps.span()) {
            let _ = write!(out, "<span>{}</span>", escaped(&tick));
        }
        out.push_str("<span class=\"plot-now\">now</span></div></div></figure>");
        Html::trusted(out)
    }

    /// Hairlines where the labels are.
    fn grid(&self, out: &mut String) {
        let intervals = self.labels.len().saturating_sub(1).max(1);
        let mut lines = String::new();
        for n in 0..=intervals {
            // The first and the last would otherwise lose half of their width to the edge.
            let y = (HEIGHT * place(n) / place(intervals)).clamp(0.5, HEIGHT - 0.5);
            let _ = write!(lines, "M0 {}H{}", written(y), written(WIDTH));
        }
        let _ = write!(out, "<path class=\"grid\" d=\"{lines}\"/>");
    }

    /// For each step an area, as high as the plot, that says on hover what happened. The script writes the time in the reader's zone.
    fn targets(&self, out: &mut String) {
        let width = column(self.steps);
        for (n, (bucket, hint)) in self.steps.buckets.iter().zip(&self.hints).enumerate() {
            let Some(hint) = hint else { continue };
            let _ = write!(
                out,
                "<rect class=\"target\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{}\">{}</rect>",
                written(width * place(n)),
                written(width),
                written(HEIGHT),
                hover(bucket.at, hint),
            );
        }
    }
}

/// What the browser shows on hover: when, and below it what.
fn hover(at: Timestamp, what: &str) -> String {
    format!("<title data-at=\"{at}\">{}\n{}</title>", show::utc(at), escaped(what))
}

fn caption(name: &str, legend: &[Entry]) -> String {
    let mut out = format!("<figure class=\"chart\"><figcaption><h3>{}</h3>", escaped(name));
    if !legend.is_empty() {
        out.push_str("<ul class=\"legend\">");
        for entry in legend {
            let Entry { class, name, value } = entry;
            let _ = write!(out, "<li class=\"{class}\">{} <b>{}</b></li>", escaped(name), escaped(value));
        }
        out.push_str("</ul>");
    }
    out.push_str("</figcaption>");
    out
}

/// What stands in the place of a plot with nothing in it.
pub(super) fn empty(name: &str, sentence: &str) -> Html {
    Html::trusted(format!("{}<p class=\"plot-empty\">{}</p></figure>", caption(name, &[]), escaped(sentence)))
}

/// How wide one step is.
pub(super) fn column(steps: &Steps) -> f64 {
    WIDTH / place(steps.buckets.len().max(1))
}

/// The steps in words: `48 steps of 30 min`.
pub(super) fn in_words(steps: &Steps) -> String {
    let count = u64::try_from(steps.buckets.len()).unwrap_or(u64::MAX);
    format!("{} of {}", show::counted(count, "step", "steps"), show::span(steps.step))
}

/// Stretches without a gap: where the first value stands, and the values.
pub(super) fn stretches<T: Copy>(values: impl Iterator<Item = Option<T>>) -> Vec<(usize, Vec<T>)> {
    let mut stretches: Vec<(usize, Vec<T>)> = Vec::new();
    let mut open = false;
    for (n, value) in values.enumerate() {
        match value {
            Some(value) if open => {
                if let Some((_, stretch)) = stretches.last_mut() {
                    stretch.push(value);
                }
            }
            Some(value) => stretches.push((n, vec![value])),
            None => {}
        }
        open = value.is_some();
    }
    stretches
}
