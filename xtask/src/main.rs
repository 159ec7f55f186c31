//! `cargo xtask …`: every developer command and what it needs, in Rust, so that it runs alike on every machine and in CI.

mod bench;
mod counts;
mod deny;
mod package;
mod process;
mod real;
mod screenshots;
mod setup;
mod steps;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Developer commands of Toktra SIEM.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check format, lints and dependencies, start the real third-party parts, and run every test.
    Test(steps::Options),
    /// Fetch and start the real third-party parts, print their addresses, and keep them until Ctrl-C.
    Nodes,
    /// Make tarball, .deb, the container's root file system and image, with sums and a list of what is in them, into target/package.
    Package(package::Options),
    /// Take pictures of all pages into target/screenshots, and replace those that the documentation shows.
    Screenshots,
    /// Install what a bare Debian lacks for `test` (apt-get; asks for nothing, changes only what is missing).
    CiSetup,
    /// Count the instructions of the hot pure code, and compare them with what is recorded (part of `test`).
    Counts(counts::Options),
    /// Measure the release server between a load generator and a sink, and the harness's own ceiling beside it.
    Bench(bench::Options),
    /// Post events as fast as the answers come; prints one line of JSON (part of `bench`).
    Loadgen(bench::generator::Options),
    /// Take requests, count their events, and answer as Splunk does (part of `bench`).
    Sink(bench::sink::Options),
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // An interrupted command is dropped here, and with it every process that it started.
        tokio::select! {
            outcome = run(cli.command) => outcome,
            signal = interrupted() => signal.map(|()| ExitCode::from(130)),
        }
    })
}

async fn run(command: Option<Command>) -> Result<ExitCode> {
    match command {
        None => Cli::command().print_help()?,
        Some(Command::Test(options)) => return steps::run(&options).await,
        Some(Command::Nodes) => real::keep().await?,
        Some(Command::Package(options)) => package::run(&options).await?,
        Some(Command::Screenshots) => screenshots::run().await?,
        Some(Command::CiSetup) => setup::run().await?,
        Some(Command::Counts(options)) => counts::run(&options).await?,
        Some(Command::Bench(options)) => bench::run(&options).await?,
        Some(Command::Loadgen(options)) => bench::generator::run(&options).await?,
        Some(Command::Sink(options)) => bench::sink::run(&options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn interrupted() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
    eprintln!("interrupted: stopping what was started");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
