//! The benchmark's figures as a table, and their place in `docs/performance.md`.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    disk::SyncLatency,
    scenario::{Ceiling, Delivered, Load, Waiting},
};
use crate::process::root;

/// Everything that one run measured.
pub(super) struct Report {
    /// What the disk needs for one durable write.
    pub(super) disk: SyncLatency,
    /// Per load: the harness alone, and through each server.
    pub(super) loads: Vec<Measured>,
    /// Memory while nothing can be delivered.
    pub(super) waiting: Option<Waiting>,
}

/// A load, a measurement for each round.
pub(super) struct Measured {
    load: Load,
    /// The harness alone.
    pub(super) ceilings: Vec<Ceiling>,
    /// Through each of the servers.
    pub(super) servers: Vec<(PathBuf, Vec<Delivered>)>,
}

impl Measured {
    /// Nothing measured yet.
    pub(super) fn of(load: Load, servers: &[PathBuf]) -> Self {
        let servers = servers.iter().map(|server| (server.clone(), Vec::new())).collect();
        Self { load, ceilings: Vec::new(), servers }
    }

    /// One row for each server.
    fn rows(&self) -> Vec<String> {
        let ceiling = Spread::of(self.ceilings.iter().map(Ceiling::rate));
        let row = |(server, runs): &(PathBuf, Vec<Delivered>)| {
            let of = |figure: fn(&Delivered) -> f64| Spread::of(runs.iter().map(figure));
            let delivered = of(Delivered::delivered_rate);
            let name = if self.servers.len() > 1 {
                format!("{}, {}", self.load.name, server.display())
            } else {
                self.load.name.to_owned()
            };
            #[expect(clippy::cast_precision_loss, reason = "microseconds and KiB for people")]
            let (p50, p99, peak) =
                (of(|run| run.sent.p50_us as f64), of(|run| run.sent.p99_us as f64), of(|run| run.peak_kib as f64));
            format!(
                "| {name} | {} | {} | {} | {:.2} | {} µs | {:.1} / {:.1} ms | {:.0} MB |",
                ceiling.told(1e3, "k/s"),
                of(Delivered::accepted_rate).told(1e3, "k/s"),
                delivered.told(1e3, "k/s"),
                delivered.median / ceiling.median,
                of(Delivered::cpu_us).told(1.0, ""),
                p50.median / 1e3,
                p99.median / 1e3,
                peak.most / 1024.0,
            )
        };
        self.servers.iter().map(row).collect()
    }
}

/// A figure over all rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |n: usize| figures.get(n).copied().unwrap_or(0.0);
        Self { least: at(0), median: at(figures.len() / 2), most: at(figures.len().saturating_sub(1)) }
    }

    /// The median, and between what it lies where there was more than one round.
    fn told(self, by: f64, unit: &str) -> String {
        let Self { least, median, most } = self;
        if (most - least).abs() < f64::EPSILON {
            return format!("{:.1}{unit}", median / by);
        }
        format!("{:.1}{unit} ({:.1}–{:.1})", median / by, least / by, most / by)
    }
}

const BEGIN: &str = "<!-- figures: begin (written by `cargo xtask bench --write`) -->";
const END: &str = "<!-- figures: end -->";

/// What `docs/performance.md` holds before the first figures are written.
const PREAMBLE: &str = "# Performance\n\n\
    Measured with `cargo xtask bench`: a load generator and a sink as processes of their own beside the release server, all on one \
    machine. *Ceiling* is the generator straight into the sink: what the harness itself can do. *Delivered* counts from the \
    first request until the last event is delivered and recorded. Absolute figures move from machine to machine; the ratio to the \
    ceiling of the same run is what can be compared.\n\n";

impl Report {
    /// The figures as Markdown.
    pub(super) fn markdown(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut text = format!(
            "{cores} cores; one 800-byte write with fdatasync: {} µs p50, {} µs p99. Events of 800 bytes to Splunk connectors; medians of the \
             rounds, in parentheses the least and the most. *CPU* is the server's, user and system, for each event.\n\n\
             | load | ceiling | accepted | delivered | of the ceiling | CPU | acknowledged p50 / p99 | peak memory |\n\
             |---|---|---|---|---|---|---|---|\n",
            self.disk.p50, self.disk.p99
        );
        for row in self.loads.iter().flat_map(Measured::rows) {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{row}");
        }
        let Some(waiting) = &self.waiting else { return text };
        let _ = writeln!(
            text,
            "\nWhile the destination refuses connections, resident memory with so many events waiting:\n"
        );
        let _ = writeln!(text, "| events waiting | resident memory |\n|---|---|");
        for (events, kib) in &waiting.resident {
            let _ = writeln!(text, "| {events} | {} |", megabytes(*kib));
        }
        let _ = writeln!(text, "\nPeak over that run: {}.", megabytes(waiting.peak_kib));
        text
    }

    /// Every single measurement.
    pub(super) fn json(&self) -> Value {
        let run = |run: &Delivered| {
            json!({
                "accepted": run.accepted_rate(), "delivered": run.delivered_rate(), "cpu_us": run.cpu_us(),
                "p50_us": run.sent.p50_us, "p99_us": run.sent.p99_us, "peak_kib": run.peak_kib,
            })
        };
        let server = |(server, runs): &(PathBuf, Vec<Delivered>)| json!({"server": server, "runs": runs.iter().map(run).collect::<Vec<_>>()});
        let load = |measured: &Measured| {
            json!({
                "load": measured.load.name,
                "ceilings": measured.ceilings.iter().map(Ceiling::rate).collect::<Vec<_>>(),
                "servers": measured.servers.iter().map(server).collect::<Vec<_>>(),
            })
        };
        json!({
            "sync_us": {"p50": self.disk.p50, "p99": self.disk.p99},
            "loads": self.loads.iter().map(load).collect::<Vec<_>>(),
        })
    }

    /// Puts the figures into `docs/performance.md`, between its marks; the text around them stays.
    pub(super) fn write(&self) -> Result<()> {
        let path = root().join("docs/performance.md");
        let present = fs::read_to_string(&path).unwrap_or_else(|_| format!("{PREAMBLE}{BEGIN}\n{END}\n"));
        fs::create_dir_all(root().join("docs"))?;
        fs::write(&path, with_figures(&present, &self.markdown()))?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// `document` with what stands between the marks replaced; marks that are missing are added at the end.
fn with_figures(document: &str, figures: &str) -> String {
    let (before, rest) = document.split_once(BEGIN).unwrap_or((document, ""));
    let after = rest.split_once(END).map_or("\n", |(_, after)| after);
    format!("{before}{BEGIN}\n\n{figures}\n{END}{after}")
}

fn megabytes(kib: u64) -> String {
    format!("{} MB", kib / 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_replace_figures_and_leave_the_text_around_them() {
        let first = with_figures(&format!("# P\n\n{BEGIN}\n{END}\n\nafter\n"), "one");
        let second = with_figures(&first, "two");
        assert_eq!(second, format!("# P\n\n{BEGIN}\n\ntwo\n{END}\n\nafter\n"));
    }

    #[test]
    fn a_document_without_marks_gets_them_at_its_end() {
        assert_eq!(with_figures("# P\n", "one"), format!("# P\n{BEGIN}\n\none\n{END}\n"));
    }

    #[test]
    fn a_spread_is_told_by_its_median() {
        let spread = Spread::of([56_250.0, 40_000.0, 60_000.0].into_iter());
        assert_eq!(spread.told(1e3, "k/s"), "56.2k/s (40.0–60.0)");
        assert_eq!(Spread::of(std::iter::once(2_540.0)).told(1e3, " ms"), "2.5 ms");
        assert_eq!(megabytes(150 * 1_024), "150 MB");
    }
}
