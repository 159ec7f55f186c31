//! What a run measured: as JSON, as tables, and their place in `docs/performance.md`.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::cases::{Table, find};
use super::chart;
use super::disk::SyncLatency;
use super::figures::{Figure, Rounds};
use crate::process::root;

/// Everything that one run measured.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    /// Processors of the machine.
    pub(super) cores: usize,
    /// What the disk needs for one durable write.
    pub(super) sync: SyncLatency,
    /// How long each load ran.
    pub(super) seconds: u64,
    /// Events that waited.
    pub(super) waiting: u64,
    /// Events of the aged store.
    pub(super) aged: u64,
    /// Case by case.
    pub(super) cases: Vec<Measured>,
    /// Cases without figures, and why.
    pub(super) failed: Vec<String>,
}

/// A case.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Its name.
    pub(super) case: String,
    /// With each of the servers.
    pub(super) servers: Vec<Server>,
}

/// A server and its figures.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Server {
    /// Its binary.
    pub(super) server: String,
    /// One value a round.
    pub(super) figures: Rounds,
}

const BEGIN: &str = "<!-- figures: begin (written by `cargo xtask bench --write`) -->";
const END: &str = "<!-- figures: end -->";
/// The page, and its picture beside it.
const PAGE: &str = "docs/performance.md";
const PICTURE: &str = "docs/performance.svg";

impl Report {
    /// What an earlier run wrote.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} holds no figures of a bench", file.display()))
    }

    /// The figures as Markdown.
    pub(super) fn markdown(&self) -> String {
        let Self { cores, sync: SyncLatency { p50, p99 }, seconds, .. } = self;
        let mut text = format!(
            "{cores} cores; one 800-byte write with fdatasync: {p50} µs p50, {p99} µs p99. Events of 800 bytes where a case says nothing else, {seconds} s a load; medians of the \
             rounds, in parentheses the least and the most. Of each case, every event arrived and is recorded, and every request was signed.\n"
        );
        for table in Table::ALL {
            self.table(table, &mut text);
        }
        text
    }

    fn table(&self, table: Table, text: &mut String) {
        let cases: Vec<&Measured> = self.cases.iter().filter(|measured| measured.is_of(table)).collect();
        let servers = || cases.iter().flat_map(|case| &case.servers);
        let mut columns: Vec<Figure> = servers().flat_map(|server| server.figures.figures()).collect();
        columns.sort_unstable();
        columns.dedup();
        if columns.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{}\n", self.heading(table));
        let compares = table.compared().is_some();
        let headings = columns.iter().map(|figure| figure.label().to_owned());
        row(text, std::iter::once("case".to_owned()).chain(headings).chain(compares.then(|| "compared".to_owned())));
        let _ = writeln!(text, "|{}", "---|".repeat(1 + columns.len() + usize::from(compares)));
        for measured in cases {
            for (number, server) in measured.servers.iter().enumerate() {
                let told = |figure: &Figure| server.figures.spread(*figure).map_or_else(none, |all| figure.told(all));
                let ratio = compares.then(|| self.compared(measured, number));
                row(text, std::iter::once(measured.title(number)).chain(columns.iter().map(told)).chain(ratio));
            }
        }
    }

    fn heading(&self, table: Table) -> String {
        match table {
            Table::Flow => "As many events as go through, from the first request until the last event is at the sink. *Compared* is the rate by that of \
                            another case."
                .to_owned(),
            Table::Paced => "At a pace. *Compared* is the 99th percentile by that of another case.".to_owned(),
            Table::Still => format!("Nothing to do, and {} events that wait while the receiver refuses connections.", self.waiting),
            Table::Aged => format!("A store of {} events of the last 48 hours in 300 partitions.", self.aged),
        }
    }

    /// The case's figure by that of the one that it is compared with, of the same server.
    fn compared(&self, measured: &Measured, number: usize) -> String {
        let ratio = || {
            let case = find(&measured.case)?;
            let (beside, figure) = (case.beside?, case.table.compared()?);
            let median = |measured: &Measured| Some(measured.servers.get(number)?.figures.spread(figure)?.median);
            let other = self.cases.iter().find(|other| other.case == beside)?;
            Some(format!("{:.2} of `{beside}`", median(measured)? / median(other)?))
        };
        ratio().unwrap_or_else(none)
    }

    /// The figures as JSON.
    pub(super) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Puts the figures into `docs/performance.md`, between its marks, and their picture beside it; the text around them stays.
    pub(super) fn write(&self) -> Result<()> {
        fs::write(root().join(PICTURE), chart::svg(self))?;
        let path = root().join(PAGE);
        let present = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
        let picture = "![Events a second that were delivered, case by case](performance.svg)\n\n";
        fs::write(&path, with_figures(&present, &format!("{picture}{}", self.markdown()))?)?;
        println!("written to {PAGE} and {PICTURE}");
        Ok(())
    }
}

impl Measured {
    /// Whether it stands in this table.
    pub(super) fn is_of(&self, table: Table) -> bool {
        find(&self.case).is_some_and(|case| case.table == table)
    }

    /// Its words for people, and the server's name if there are several.
    pub(super) fn title(&self, server: usize) -> String {
        let title = find(&self.case).map_or(&*self.case, |case| case.title);
        match self.servers.get(server) {
            Some(one) if self.servers.len() > 1 => format!("{title}, {}", one.server),
            _ => title.to_owned(),
        }
    }
}

/// A row of a table.
fn row(text: &mut String, cells: impl Iterator<Item = String>) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// What was not measured.
fn none() -> String {
    "–".to_owned()
}

/// `document` with what stands between the marks replaced.
fn with_figures(document: &str, figures: &str) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).with_context(|| format!("{PAGE} has no place for figures"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no end of figures"))?;
    Ok(format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::figures::Figures;
    use super::*;

    /// Two servers, two cases, two rounds.
    pub(in crate::bench) fn sample() -> Report {
        let server = |name: &str, rates: [f64; 2]| {
            let mut figures = Rounds::default();
            for rate in rates {
                figures.push(Figures::default().with(Figure::Delivered, rate).with(Figure::Cpu, 2e6 / rate));
            }
            Server { server: name.to_owned(), figures }
        };
        let case = |name: &str, rate: f64| Measured {
            case: name.to_owned(),
            servers: vec![server("before", [rate, 1.2 * rate]), server("after & later", [2.0 * rate, 2.0 * rate])],
        };
        let cases = vec![case("hundreds", 1e5), case("3-connectors", 5e4)];
        Report {
            cores: 2,
            sync: SyncLatency { p50: 180, p99: 300 },
            seconds: 10,
            waiting: 9,
            aged: 9,
            cases,
            failed: Vec::new(),
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_case_and_server() {
        let text = sample().markdown();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 6, "{text}");
        assert_eq!(rows[0], "| case | delivered | CPU an event | compared |");
        assert_eq!(rows[3], "| 100 events a request, 8 connections, after & later | 200.0k/s | 10.0 µs | – |");
        assert!(rows[5].ends_with("| 0.50 of `hundreds` |"), "{text}");
    }

    #[test]
    fn figures_come_back_from_their_file() {
        let report = sample();
        assert_eq!(serde_json::from_str::<Report>(&report.json().unwrap()).unwrap(), report);
    }

    #[test]
    fn figures_replace_figures_and_leave_the_text_around_them() {
        let first = with_figures(&format!("# P\n\n{BEGIN}\n{END}\n\nafter\n"), "one").unwrap();
        let second = with_figures(&first, "two").unwrap();
        assert_eq!(second, format!("# P\n\n{BEGIN}\n\ntwo\n{END}\n\nafter\n"));
        assert!(with_figures("# P\n", "one").is_err());
    }
}
