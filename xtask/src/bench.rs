//! `cargo xtask bench`: what the server does between a load generator and a sink, and what these two do without it.
//!
//! Generator ([`generator`]) and sink ([`sink`]) are this program again, built for release and run as processes of their own, so
//! that they share nothing with the server but the machine. Every figure of a run belongs to the same minutes: the ceiling of
//! the harness, the disk's sync latency, and the server. Versions that are compared take turns, round by round, and the medians count. A machine
//! that is busy with something else is refused: its figures would mean nothing. [`cases`] has what is measured, a row each; [`report`] and
//! [`chart`] tell.

mod aged;
mod arrivals;
mod backlog;
mod busy;
mod cases;
mod chart;
mod disk;
mod event;
mod figures;
mod flow;
pub(crate) mod generator;
mod harness;
mod histogram;
mod paced;
mod receivers;
mod report;
pub(crate) mod sink;
mod template;
mod wire;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::sync::OnceCell;

use cases::{Bench, CASES, Case, find};
use figures::{Figure, Figures, Rounds};
use report::{Measured, Report, Server};

use crate::process::{self, cargo, target};

/// What to measure, and where to put it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each load runs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many events wait in the case `backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    waiting: u64,
    /// How many events of 48 hours the aged store has; each takes about 500 bytes on disk, twice while it is measured.
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(u64).range(600_000..))]
    aged: u64,
    /// Measure the harness alone: no server is built or started, nothing is written.
    #[arg(long, conflicts_with = "write")]
    ceiling_only: bool,
    /// Measure this server binary instead of building one; given twice, two versions take turns.
    #[arg(long, value_name = "BINARY")]
    server: Vec<PathBuf>,
    /// How often each case runs; the medians are told, with the least and the most.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only the case of this name, or those whose name contains this (may be repeated).
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Put every single measurement into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure nothing: tell what an earlier run put into this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "only", "ceiling_only", "json"])]
    from: Option<PathBuf>,
    /// Put a picture of the figures into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Measure although the machine is busy with something else.
    #[arg(long)]
    busy: bool,
    /// Put the figures into docs/performance.md, and their picture beside it.
    #[arg(long)]
    write: bool,
}

impl Options {
    /// A whole name means that case alone.
    fn wants(&self, case: &Case) -> bool {
        let is_meant = |text: &String| if find(text).is_some() { case.name == text } else { case.name.contains(text) };
        let named = self.only.is_empty() || self.only.iter().any(is_meant);
        named && (!self.ceiling_only || case.ceiling().is_some())
    }
}

/// Builds, measures, and prints tables.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let report = match &options.from {
        Some(file) => Report::read(file)?,
        None => measure(options).await?,
    };
    if options.ceiling_only {
        return Ok(());
    }
    println!("{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()?)?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, chart::svg(&report))?;
    }
    if !report.failed.is_empty() {
        bail!("these cases failed:\n{}", report.failed.join("\n"));
    }
    if options.write { report.write() } else { Ok(()) }
}

async fn measure(options: &Options) -> Result<Report> {
    let cases: Vec<&Case> = CASES.iter().filter(|case| options.wants(case)).collect();
    if cases.is_empty() {
        let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        bail!("no case has such a name; there are {}", names.join(", "));
    }
    build(options, cases.iter().any(|case| case.is_aged())).await?;
    if !options.busy {
        busy::check().await?;
    }
    let built = vec![target("release/toktra-siem")];
    let servers = if options.server.is_empty() { &built } else { &options.server };
    // They do not run in this directory.
    let servers: Vec<PathBuf> = servers
        .iter()
        .map(|server| server.canonicalize().with_context(|| format!("there is no {}", server.display())))
        .collect::<Result<_>>()?;
    let sync = disk::sync_latency(&target("release"))?;
    eprintln!("disk: fdatasync of 800 bytes {} µs p50, {} µs p99", sync.p50, sync.p99);
    let Options { seconds, waiting, aged, .. } = *options;
    let bench = Bench { seconds, waiting, aged_events: aged, aged: OnceCell::new() };
    let (mut measured, mut failed) = (Vec::new(), Vec::new());
    for case in cases {
        match rounds(case, options, &bench, &servers).await {
            Ok(one) => measured.extend(one),
            Err(error) => {
                eprintln!("    FAILED: {error:#}");
                failed.push(format!("{}: {error:#}", case.name));
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(Report { cores, sync, seconds, waiting, aged, cases: measured, failed })
}

/// A case in all its rounds, the servers in turn; nothing where only ceilings are asked for.
async fn rounds(case: &Case, options: &Options, bench: &Bench, servers: &[PathBuf]) -> Result<Option<Measured>> {
    let named = |server: &PathBuf| Server { server: server.display().to_string(), figures: Rounds::default() };
    let mut all: Vec<Server> = servers.iter().map(named).collect();
    for round in 1..=options.rounds {
        eprintln!("{}, round {round} of {}", case.name, options.rounds);
        let ceiling = match case.ceiling() {
            Some(flow) => Some(flow.ceiling(bench.seconds).await?),
            None => None,
        };
        eprint!("{}", ceiling.map(|rate| format!("    the harness alone: {rate:.0} events/s\n")).unwrap_or_default());
        if options.ceiling_only {
            continue;
        }
        for (server, of) in servers.iter().zip(&mut all) {
            of.figures.push(beside(ceiling, case.measure(bench, server).await?, server));
        }
    }
    Ok((!options.ceiling_only).then(|| Measured { case: case.name.to_owned(), servers: all }))
}

/// The figures of a run with those of the harness, told while they come.
fn beside(ceiling: Option<f64>, run: Figures, server: &Path) -> Figures {
    let rate = run.get(Figure::Delivered);
    eprintln!("    {}: {run}", server.display());
    match (ceiling, rate) {
        (Some(ceiling), Some(rate)) => run.with(Figure::Ceiling, ceiling).with(Figure::OfCeiling, rate / ceiling),
        _ => run,
    }
}

async fn build(options: &Options, aged: bool) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "xtask", "--bin", "xtask"]);
    if !options.ceiling_only && options.server.is_empty() {
        build.args(["--package", "toktra-siem", "--bin", "toktra-siem"]);
    }
    process::run(build).await.context("the release build failed")?;
    if aged && !options.ceiling_only {
        let mut build = cargo();
        build.args(["build", "--release", "--package", "toktra-siem-store-sqlite", "--example", aged::PROGRAM]);
        process::run(build).await.context("the release build failed")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn wanted(arguments: &[&str]) -> Vec<&'static str> {
        let options = Line::parse_from(["bench"].iter().chain(arguments)).options;
        CASES.iter().filter(|case| options.wants(case)).map(|case| case.name).collect()
    }

    #[test]
    fn a_name_means_its_case_and_a_part_of_names_all_that_have_it() {
        assert_eq!(wanted(&[]).len(), CASES.len());
        assert_eq!(wanted(&["--only", "hundreds", "--only", "idle"]), ["hundreds", "idle"]);
        assert_eq!(wanted(&["--only", "aged"]), ["aged-singles", "aged-hundreds", "aged-questions"]);
        assert_eq!(wanted(&["--ceiling-only"]), ["singles", "hundreds"]);
    }
}
