//! The command line: one binary that serves, and the small tools around it. Each subcommand is a file.
//!
//! Everything a command touches outside of itself comes in through [`World`], so that tests can look at what it says. What goes wrong is
//! a [`CliError`]: one paragraph for a person, and the exit code 1 (it failed), 2 (wrong usage or configuration) or 3 (done, with losses;
//! a dry run that found something to do).
//!
//! Most commands speak to the API ([`client`]); `serve`, `demo`, `config`, `repair`, `backup`, `restore` and `key create` work where they run.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment};

mod backup;
mod check;
pub mod client;
mod completions;
mod confirm;
mod connector;
mod delivery;
mod demo;
mod event;
mod filter;
mod health;
mod job;
mod key;
pub mod output;
mod people;
mod progress;
mod repair;
mod restore;
mod secret;
mod serve;
mod signals;
#[cfg(test)]
mod tests;
mod times;
mod verify;

/// Delivers Toktra's security events to Splunk, Datadog and Elasticsearch.
///
/// Settings come from toktra-siem.toml and from environment variables, which win; `toktra-siem config check` shows what holds. Commands
/// that speak to a server take its address from --url or TOKTRA_SIEM_URL, and the API key from TOKTRA_SIEM_API_KEY.
#[derive(Debug, Parser)]
#[command(
    name = "toktra-siem",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 it failed, or the answer is no; 2 wrong usage or configuration; 3 done, with losses, or a dry run \
                  found something to do. What went wrong is said on standard error."
)]
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
    ///
    /// Where nobody can log in yet, a link to make the first account is handed out in the same way, in the file `first-login-link`. It works
    /// once, and until the server ends.
    ///
    /// Example: TOKTRA_SIEM_LISTEN=127.0.0.1:8080 toktra-siem serve
    #[command(
        after_help = "Exit codes: 0 ended in order; 1 it could not start, or a part of it failed; 2 the configuration is wrong."
    )]
    Serve,
    /// Show the product at work: server, fake SIEMs and sample events in one process
    ///
    /// Example: toktra-siem demo --for 30s
    #[command(after_help = output::EXIT_CODES)]
    Demo(demo::DemoArgs),
    /// Check a signature as a receiver does
    ///
    /// Reads the body from standard input, byte for byte.
    ///
    /// Example: toktra-siem verify --signature "sha256=…" < body.json
    #[command(after_help = "Exit codes: 0 the signature is valid; 1 it is not; 2 wrong usage.")]
    Verify(verify::VerifyOptions),
    /// Look at the configuration
    #[command(subcommand)]
    Config(check::ConfigCommand),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Save what is whole of a damaged database
    ///
    /// Works in the data directory, for which the server has to be stopped. Checks every page and every event; where something is damaged,
    /// everything else is copied into a new database, the damaged one is kept aside, and what was lost is listed. Where nothing is
    /// damaged, nothing is changed.
    ///
    /// Example: toktra-siem repair
    #[command(
        after_help = "Exit codes: 0 nothing was damaged, or nothing was lost; 1 nothing could be done; 2 wrong usage; 3 repaired, with \
                            losses."
    )]
    Repair(repair::RepairOptions),
    /// Copy the database of a running server, or of a stopped one, into a file
    ///
    /// The server goes on meanwhile: every event that was accepted before the command began is in the copy. The copy is checked, page by
    /// page and event by event, before it gets its name; a file that exists is never overwritten.
    ///
    /// The encryption key is NOT part of it. Keep a copy of `encryption.key` (or of TOKTRA_SIEM_ENCRYPTION_KEY) apart from backups:
    /// without it the credentials of connectors have to be entered again.
    ///
    /// Example: toktra-siem backup --to /backup/toktra-2025-01-15.db
    #[command(after_help = output::EXIT_CODES)]
    Backup(backup::BackupOptions),
    /// Bring a backup back, in the data directory of a stopped server
    ///
    /// The file is checked first. What was delivered after the backup was made is delivered again, so that SIEMs may get it twice; what
    /// was accepted after it is gone. A database that is there is kept aside with --replace, and never overwritten.
    ///
    /// Example: toktra-siem restore --from /backup/toktra-2025-01-15.db
    #[command(after_help = output::EXIT_CODES)]
    Restore(restore::RestoreOptions),
    /// Send events, one or a file of any size, and see what became of them
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Look at connectors, make, change, test and remove them
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// Look at the history of deliveries, and deliver again
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    /// Look at what is worked off in the background
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Try a filter
    #[command(subcommand)]
    Filter(filter::FilterCommand),
    /// Make, rename and delete orgs (platform keys only)
    #[command(subcommand)]
    Org(people::OrgCommand),
    /// Let people in, and change what they may do
    #[command(subcommand)]
    User(people::UserCommand),
    /// See who did what
    #[command(subcommand)]
    Audit(people::AuditCommand),
    /// Ask whether a server is up and takes events in; needs no key
    ///
    /// With --local it asks the one that the configuration of this machine describes, at TOKTRA_SIEM_LISTEN: for the health check of a
    /// container, where there is neither a shell nor curl.
    ///
    /// Example: toktra-siem health --url http://127.0.0.1:8080
    #[command(after_help = "Exit codes: 0 it is up and ready; 1 it is not; 2 wrong usage.")]
    Health(health::HealthOptions),
    /// Print a completion script for a shell
    ///
    /// Example: toktra-siem completions bash > /etc/bash_completion.d/toktra-siem
    #[command(after_help = output::EXIT_CODES)]
    Completions(completions::CompletionsOptions),
}

/// What a command works with.
pub struct World<'a> {
    /// The environment.
    pub environment: Environment,
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
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        Self::Failed(format!("Input or output failed: {error}."))
    }
}

/// Runs a command.
pub async fn run(cli: Cli, world: &mut World<'_>) -> Result<(), CliError> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Serve => serve::run(Config::load(file, &world.environment)?, world).await,
        Command::Demo(options) => demo::run(&options, world).await,
        Command::Verify(options) => verify::run(&options, world),
        Command::Config(check::ConfigCommand::Check(options)) => check::run(&options, file, world),
        Command::Config(check::ConfigCommand::Reference) => check::reference(world),
        Command::Key(command) => key::run(command, file, world).await,
        Command::Repair(options) => repair::run(&options, file, world).await,
        Command::Backup(options) => backup::run(options, file, world).await,
        Command::Restore(options) => restore::run(options, file, world).await,
        Command::Event(command) => event::run(command, world).await,
        Command::Connector(command) => connector::run(command, world).await,
        Command::Delivery(command) => delivery::run(command, world).await,
        Command::Job(command) => job::run(command, world).await,
        Command::Filter(command) => filter::run(command, world).await,
        Command::Org(command) => people::orgs(command, world).await,
        Command::User(command) => people::users(command, world).await,
        Command::Audit(command) => people::audit(command, world).await,
        Command::Health(options) => health::run(&options, file, world).await,
        Command::Completions(options) => completions::run(&options, world),
    }
}
