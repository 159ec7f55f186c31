//! The command line: one binary that serves, and the small tools around it. Each subcommand is a file.
//!
//! Everything a command touches outside of itself comes in through [`World`], so that tests can look at what it says. What goes wrong is
//! a [`CliError`]: one paragraph for a person, and the exit code 1 (it failed), 2 (wrong usage or configuration) or 3 (done, with losses).

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment};

mod check;
pub mod client;
mod connector;
mod demo;
mod event;
mod healthcheck;
mod key;
mod repair;
mod serve;
mod signals;
#[cfg(test)]
mod tests;
mod verify;

/// Delivers Toktra's security events to Splunk, Datadog and Elasticsearch.
///
/// Settings come from toktra-siem.toml and from environment variables, which win; `toktra-siem config check` shows what holds.
#[derive(Debug, Parser)]
#[command(name = "toktra-siem", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration file [default: ./toktra-siem.toml if it is there; TOKTRA_SIEM_CONFIG names another]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: take events in, deliver them
    ///
    /// Runs until SIGTERM or Ctrl-C. Once it listens, the first line on standard output says where: as
    /// {"listening":"http://127.0.0.1:8080"}, or in words on a terminal. The log goes to standard error.
    ///
    /// On the very first start without TOKTRA_SIEM_API_KEY an API key is made: shown once on a terminal, otherwise written to the file
    /// `first-api-key` in the data directory (mode 0600). Move it to a safe place and remove the file.
    Serve,
    /// Show the product at work: server, fake SIEMs and sample events in one process
    Demo(demo::DemoArgs),
    /// Check a signature as a receiver does
    ///
    /// Reads the body from standard input, byte for byte. Exit code 0: the signature is valid; 1: it is not.
    ///
    /// Example: toktra-siem verify --signature "sha256=…" < body.json
    Verify(verify::VerifyOptions),
    /// Look at the configuration
    #[command(subcommand)]
    Config(check::ConfigCommand),
    /// Make API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Ask a server on this machine whether it takes events in
    ///
    /// For container health checks: no key and no other program is needed. Asks `/readyz` at the address where the configuration says that
    /// the server listens. Exit code 0: it is ready; 1: it is not, or gives no answer.
    Healthcheck,
    /// Save what is whole of a damaged database
    ///
    /// Works in the data directory, for which the server has to be stopped. Checks every page and every event; where something is damaged,
    /// everything else is copied into a new database, the damaged one is kept aside, and what was lost is listed. Where nothing is
    /// damaged, nothing is changed.
    ///
    /// Exit code 0: nothing was damaged, or nothing was lost; 1: nothing could be done; 3: repaired, with losses.
    Repair(repair::RepairOptions),
    /// Send events to a server
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Look at a server's connectors
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
}

/// What a command works with.
pub struct World<'a> {
    /// The environment.
    pub environment: Environment,
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Standard output.
    pub stdout: &'a mut dyn Write,
    /// Whether a person reads standard output.
    pub terminal: bool,
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// It was asked in a way that cannot work, or the configuration is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It failed, or the answer is no: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// It was done, but not without losses: exit code 3.
    #[error("{0}")]
    Lost(String),
    /// It failed, and the log says so already, for those who read that: exit code 1.
    #[error("{0}")]
    Logged(String),
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Logged(_) => 1,
            Self::Lost(_) => 3,
        }
    }

    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("Input or output failed: {error}."))
    }
}

/// Runs a command.
pub async fn run(cli: Cli, world: &mut World<'_>) -> Result<(), CliError> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Serve => serve::run(Config::load(file, &world.environment)?, world).await,
        Command::Demo(options) => demo::run(&options).await,
        Command::Verify(options) => verify::run(&options, world),
        Command::Config(check::ConfigCommand::Check(options)) => check::run(&options, file, world),
        Command::Config(check::ConfigCommand::Reference) => check::reference(world),
        Command::Key(key::KeyCommand::Create(options)) => key::run(options, file, world).await,
        Command::Healthcheck => healthcheck::run(&Config::load(file, &world.environment)?).await,
        Command::Repair(options) => repair::run(&options, file, world).await,
        Command::Event(event::EventCommand::Send(options)) => event::run(&options, world).await,
        Command::Connector(connector::ConnectorCommand::List(options)) => connector::run(&options, world).await,
    }
}
