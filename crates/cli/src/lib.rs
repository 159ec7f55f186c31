//! The command line's commands that speak to a server, or to nobody: over HTTP, as any other client of the API does ([`client`]). Each
//! command is a file. Those that open a data directory are the server's own.
//!
//! Everything a command touches outside of itself comes in through [`World`], so that tests can look at what it says. What goes wrong is
//! a [`CliError`]: one paragraph for a person, and the exit code 1 (it failed), 2 (wrong usage or configuration) or 3 (done, with losses;
//! a dry run that found something to do).

use std::io::{Read, Write};
use std::path::Path;

use clap::Subcommand;
use toktra_siem_config::{ConfigError, Environment};
use toktra_siem_platform::Registry;

pub mod answer;
mod channel;
pub mod client;
pub mod confirm;
mod connector;
mod delivery;
mod event;
mod filter;
mod given;
mod health;
mod job;
pub mod output;
mod people;
pub mod progress;
mod secret;
mod verify;

/// The commands that speak to a server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a signature as a receiver does
    ///
    /// Reads the body from standard input, byte for byte.
    ///
    /// Example: toktra-siem verify --signature "sha256=…" < body.json
    #[command(after_help = "Exit codes: 0 the signature is valid; 1 it is not; 2 wrong usage.")]
    Verify(verify::VerifyOptions),
    /// Send events, one or a file of any size, and see what became of them
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Manage connectors: list, create, change, test and delete them
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// Manage notification channels: who is told when something is wrong
    #[command(subcommand)]
    Channel(channel::ChannelCommand),
    /// Show the delivery history, and deliver again
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    /// Show background jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Try a filter on the events of the last days
    #[command(subcommand)]
    Filter(filter::FilterCommand),
    /// Manage orgs (platform keys only)
    #[command(subcommand)]
    Org(people::OrgCommand),
    /// Manage users
    #[command(subcommand)]
    User(people::UserCommand),
    /// Show the audit log: who did what, and when
    #[command(subcommand)]
    Audit(people::AuditCommand),
    /// Check whether a server is up and accepts events; needs no key
    ///
    /// With --local it asks the one that the configuration of this machine describes, at TOKTRA_SIEM_LISTEN: for the health check of a
    /// container, where there is neither a shell nor curl.
    ///
    /// Example: toktra-siem health --url http://127.0.0.1:8080
    #[command(after_help = "Exit codes: 0 it is up and ready; 1 it is not; 2 wrong usage.")]
    Health(health::HealthOptions),
}

/// The command line with what the platforms add to it: options of `connector add`, which each of them tells itself.
#[must_use]
pub fn with_platforms(command: clap::Command, registry: &Registry) -> clap::Command {
    command.mut_subcommand("connector", |connector| {
        connector.mut_subcommand("add", |add| connector::with_platforms(add, registry))
    })
}

/// What a command works with.
#[expect(clippy::struct_excessive_bools, reason = "each stream is what it is on its own")]
pub struct World<'a> {
    /// The environment.
    pub environment: Environment,
    /// Which platforms there are.
    pub registry: Registry,
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Whether a person sits at standard input.
    pub stdin_terminal: bool,
    /// Standard output.
    pub stdout: &'a mut dyn Write,
    /// Whether a person reads standard output.
    pub terminal: bool,
    /// Whether nobody does: it is closed, or /dev/null.
    pub nowhere: bool,
    /// Standard error: progress and questions. What went wrong is the caller's to print.
    pub stderr: &'a mut dyn Write,
    /// Whether a person reads standard error.
    pub stderr_terminal: bool,
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
    /// A dry run found something to do: exit code 3.
    #[error("{0}")]
    Differs(String),
    /// Whoever read the output has seen enough: nothing is wrong.
    #[error("the output was closed")]
    Closed,
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) | Self::Logged(_) => 1,
            Self::Lost(_) | Self::Differs(_) => 3,
            Self::Closed => 0,
        }
    }

    /// It failed, for this reason.
    pub fn failed(error: impl std::fmt::Display) -> Self {
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
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        Self::Failed(format!("Input or output failed: {error}."))
    }
}

/// Runs a command; `file` is the configuration file that was named.
pub async fn run(command: Command, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        Command::Verify(options) => verify::run(&options, world),
        Command::Event(command) => event::run(command, world).await,
        Command::Connector(command) => connector::run(command, world).await,
        Command::Channel(command) => channel::run(command, world).await,
        Command::Delivery(command) => delivery::run(command, world).await,
        Command::Job(command) => job::run(command, world).await,
        Command::Filter(command) => filter::run(command, world).await,
        Command::Org(command) => people::orgs(command, world).await,
        Command::User(command) => people::users(command, world).await,
        Command::Audit(command) => people::audit(command, world).await,
        Command::Health(options) => health::run(&options, file, world).await,
    }
}
