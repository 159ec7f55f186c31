//! `cargo xtask bench`: what the server does between a load generator and a sink, and what these two do without it.
//!
//! Generator ([`generator`]) and sink ([`sink`]) are this program again, built for release and run as processes of their own, so
//! that they share nothing with the server but the machine. Every figure of a run belongs to the same minutes: the ceiling of
//! the harness, the disk's sync latency, and the server. Versions that are compared take turns, round by round, and the medians count. A machine
//! that is busy with something else is refused: its figures would mean nothing. [`scenario`] measures, [`report`] tells.

mod disk;
pub(crate) mod generator;
mod histogram;
mod idle;
mod report;
mod scenario;
pub(crate) mod sink;
mod wire;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use report::{Measured, Report};
use scenario::{LOADS, Load};

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
    /// Measure this server binary instead of building one; given twice, two versions take turns.
    #[arg(long, value_name = "BINARY")]
    server: Vec<PathBuf>,
    /// How often each load runs; the medians are told, with the least and the most.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only the loads whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Put every single measurement into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure although the machine is busy with something else.
    #[arg(long)]
    busy: bool,
    /// Put the figures into docs/performance.md.
    #[arg(long)]
    write: bool,
}

/// Builds, measures, and prints a table.
pub(crate) async fn run(options: &Options) -> Result<()> {
    build(options).await?;
    if !options.busy {
        idle::check().await?;
    }
    let built = vec![target("release/toktra-siem")];
    let servers = if options.server.is_empty() { &built } else { &options.server };
    let disk = disk::sync_latency(&target("release"))?;
    eprintln!("disk: fdatasync of 800 bytes {} µs p50, {} µs p99", disk.p50, disk.p99);
    let wanted = |load: &&Load| options.only.as_ref().is_none_or(|text| load.name.contains(text));
    let mut loads = Vec::new();
    for load in LOADS.iter().filter(wanted) {
        let mut measured = Measured::of(*load, servers);
        for round in 1..=options.rounds {
            eprintln!("{}, round {round} of {}", load.name, options.rounds);
            measured.ceilings.push(scenario::ceiling(*load, options.seconds).await?);
            eprintln!("    the harness alone: {:.0} events/s", measured.ceilings[round - 1].rate());
            if options.ceiling_only {
                continue;
            }
            for (server, runs) in &mut measured.servers {
                let run = scenario::delivered(server, *load, options.seconds).await?;
                eprintln!(
                    "    {}: {:.0} events/s, {:.1} µs of CPU an event",
                    server.display(),
                    run.delivered_rate(),
                    run.cpu_us()
                );
                runs.push(run);
            }
        }
        loads.push(measured);
    }
    if options.ceiling_only {
        return Ok(());
    }
    let mut waiting = None;
    if let (None, [server]) = (&options.only, servers.as_slice()) {
        eprintln!("memory while {} events wait", options.waiting);
        waiting = Some(scenario::waiting(server, options.waiting, 4).await?);
    }
    let report = Report { disk, loads, waiting };
    println!("{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report.json())?)?;
    }
    if options.write { report.write() } else { Ok(()) }
}

async fn build(options: &Options) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "xtask"]);
    if !options.ceiling_only && options.server.is_empty() {
        build.args(["--package", "toktra-siem"]);
    }
    process::run(build).await.context("the release build failed")
}
