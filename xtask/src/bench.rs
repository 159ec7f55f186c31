//! `cargo xtask bench`: what the server does between a load generator and a sink, and what these two do without it.
//!
//! Generator ([`generator`]) and sink ([`sink`]) are this program again, built for release and run as processes of their own, so
//! that they share nothing with the server but the machine. Every figure of a run belongs to the same minutes: the ceiling of
//! the harness, the disk's sync latency, and the server. [`scenario`] measures, [`report`] tells.

mod disk;
pub(crate) mod generator;
mod histogram;
mod report;
mod scenario;
pub(crate) mod sink;
mod wire;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::process::{self, cargo, target};

/// What to measure, and where to put it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each load runs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many events wait while memory is measured.
    #[arg(long, default_value_t = 200_000)]
    waiting: u64,
    /// Measure the harness alone: no server is built or started, nothing is written.
    #[arg(long, conflicts_with = "write")]
    ceiling_only: bool,
    /// Measure this server binary instead of building one, e.g. to compare two versions.
    #[arg(long, value_name = "BINARY")]
    server: Option<PathBuf>,
    /// Put the figures into docs/performance.md.
    #[arg(long)]
    write: bool,
}

/// Builds, measures, and prints a table.
pub(crate) async fn run(options: &Options) -> Result<()> {
    build(options).await?;
    let server = options.server.clone().unwrap_or_else(|| target("release/toktra-siem"));
    let disk = disk::sync_latency(&target("release"))?;
    eprintln!("disk: fdatasync of 800 bytes {} µs p50, {} µs p99", disk.p50, disk.p99);
    let mut loads = Vec::new();
    for load in scenario::LOADS {
        eprintln!("{}: the harness alone for {} s", load.name, options.seconds);
        let ceiling = scenario::ceiling(*load, options.seconds).await?;
        eprintln!("    {:.0} events/s", ceiling.rate());
        if options.ceiling_only {
            continue;
        }
        eprintln!("{}: through the server for {} s", load.name, options.seconds);
        let delivered = scenario::delivered(&server, *load, options.seconds).await?;
        eprintln!("    {:.0} events/s delivered and recorded", delivered.delivered_rate());
        loads.push((*load, ceiling, delivered));
    }
    if options.ceiling_only {
        return Ok(());
    }
    eprintln!("memory while {} events wait", options.waiting);
    let waiting = scenario::waiting(&server, options.waiting, 4).await?;
    let report = report::Report { disk, loads, waiting };
    println!("{}", report.markdown());
    if options.write { report.write() } else { Ok(()) }
}

async fn build(options: &Options) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "xtask"]);
    if !options.ceiling_only && options.server.is_none() {
        build.args(["--package", "toktra-siem"]);
    }
    process::run(build).await.context("the release build failed")
}
