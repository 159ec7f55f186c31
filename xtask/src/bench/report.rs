//! The benchmark's figures as a table, and their place in `docs/performance.md`.

use std::{fmt::Write as _, fs};

use anyhow::Result;

use super::{
    disk::SyncLatency,
    scenario::{Ceiling, Delivered, Load, Waiting},
};
use crate::process::root;

/// Everything that one run measured.
pub(super) struct Report {
    /// What the disk needs for one durable write.
    pub(super) disk: SyncLatency,
    /// Per load: the harness alone, and through the server.
    pub(super) loads: Vec<(Load, Ceiling, Delivered)>,
    /// Memory while nothing can be delivered.
    pub(super) waiting: Waiting,
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
            "{cores} cores; one 800-byte write with fdatasync: {} µs p50, {} µs p99. Events of 800 bytes, one Splunk connector.\n\n\
             | load | ceiling | accepted | delivered | of the ceiling | acknowledged p50 / p99 | peak memory |\n\
             |---|---|---|---|---|---|---|\n",
            self.disk.p50, self.disk.p99
        );
        for (load, ceiling, delivered) in &self.loads {
            let ratio = delivered.delivered_rate() / ceiling.rate();
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {ratio:.2} | {} / {} | {} |",
                load.name,
                rate(ceiling.rate()),
                rate(delivered.accepted_rate()),
                rate(delivered.delivered_rate()),
                millis(delivered.sent.p50_us),
                millis(delivered.sent.p99_us),
                megabytes(delivered.peak_kib),
            );
        }
        let _ = writeln!(
            text,
            "\nWhile the destination refuses connections, resident memory with so many events waiting:\n"
        );
        let _ = writeln!(text, "| events waiting | resident memory |\n|---|---|");
        for (events, kib) in &self.waiting.resident {
            let _ = writeln!(text, "| {events} | {} |", megabytes(*kib));
        }
        let _ = writeln!(text, "\nPeak over that run: {}.", megabytes(self.waiting.peak_kib));
        text
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

fn rate(events_per_second: f64) -> String {
    format!("{:.1}k/s", events_per_second / 1_000.0)
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
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
    fn units_are_for_people() {
        assert_eq!(
            (rate(56_250.0), millis(2_540), megabytes(150 * 1_024)),
            ("56.2k/s".into(), "2.5 ms".into(), "150 MB".into())
        );
    }
}
