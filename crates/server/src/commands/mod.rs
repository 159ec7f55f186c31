//! The command line: one binary that serves, and the small tools around it. Each command is a file; those that speak to a server are in
//! [`toktra_siem_cli`], those here work where they run: `serve`, `demo`, `config`, `first-login`, `repair`, `backup`,
//! `restore` and `key create --local`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use toktra_siem_cli::output;
pub use toktra_siem_cli::{CliError, World};
use toktra_siem_config::{Config, Values};
use toktra_siem_platform::Registry;
use toktra_siem_store::StoreError;

use crate::environment;
use crate::service::newest_layout;

mod backup;
mod check;
mod completions;
mod demo;
mod first_login;
mod key;
mod man_pages;
mod notify;
mod repair;
mod restore;
mod serve;
mod signals;
#[cfg(test)]
mod tests;

/// Delivers Toktra's security events to your SIEMs.
///
/// Settings come from toktra-siem.toml and from environment variables, which win; `toktra-siem config check` shows the settings in effect.
/// Commands that speak to a server take its address from --url or TOKTRA_SIEM_URL, and the API key from TOKTRA_SIEM_API_KEY.
#[derive(Debug, Parser)]
#[command(
    name = "toktra-siem",
    version,
    long_version = long_version(),
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

/// Version, commit (if the packager gave it) and the layout of the database, a line each.
fn long_version() -> String {
    let commit = option_env!("TOKTRA_SIEM_COMMIT").map(|commit| format!("commit {commit}\n")).unwrap_or_default();
    format!("{}\n{commit}layout {}", env!("CARGO_PKG_VERSION"), newest_layout())
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: accept events, and deliver them
    ///
    /// Runs until SIGTERM or Ctrl-C. Once it listens, the first line on standard output says where: as
    /// {"listening":"http://127.0.0.1:8080"}, or in words on a terminal. The log goes to standard error.
    ///
    /// On the very first start without TOKTRA_SIEM_API_KEY an API key is made: shown once on a terminal, otherwise written to the file
    /// `first-api-key` in the data directory (mode 0600). Move it to a safe place and remove the file.
    ///
    /// If nobody can log in yet, a one-time link for creating the first admin account is shown or written in the same way, in the file
    /// `first-login-link`. It works until the server ends; `toktra-siem first-login` prints another.
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
    /// Print a new one-time link for creating the first admin account
    ///
    /// Use it if the link of the start is lost, or is in a file that you cannot read, as in a container without a shell. Works in the data
    /// directory, beside the running server or before its next start. Every older link is void from then on. If somebody has an account
    /// already, no link is made, and you are told what to do instead.
    ///
    /// Example: docker exec toktra-siem toktra-siem first-login
    #[command(after_help = output::EXIT_CODES)]
    FirstLogin(first_login::FirstLoginOptions),
    /// Check the configuration, and print what can be configured
    #[command(subcommand)]
    Config(check::ConfigCommand),
    /// Create, list and revoke API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Repair a damaged database
    ///
    /// Works in the data directory, for which the server has to be stopped. Checks every page and every event; if something is damaged,
    /// everything else is copied into a new database, the damaged one is kept aside, and what was lost is listed. If nothing is
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
    /// If nothing can fetch a file, as in a container without a shell, `--to -` writes the copy to standard output, after the check;
    /// until then it needs as much room again in the data directory.
    ///
    /// Example: toktra-siem backup --to /backup/toktra-2025-01-15.db
    #[command(after_help = output::EXIT_CODES)]
    Backup(backup::BackupOptions),
    /// Restore a backup into the data directory of a stopped server
    ///
    /// The file is checked first. What was delivered after the backup was made is delivered again, so that SIEMs may get it twice; what
    /// was accepted after it is gone. A database that is there is never overwritten; with --replace it is kept aside.
    ///
    /// Example: toktra-siem restore --from /backup/toktra-2025-01-15.db
    #[command(after_help = output::EXIT_CODES)]
    Restore(restore::RestoreOptions),
    /// Those that speak to a server.
    #[command(flatten)]
    Remote(Box<toktra_siem_cli::Command>),
    /// Print a completion script for a shell
    ///
    /// Example: toktra-siem completions bash > /etc/bash_completion.d/toktra-siem
    #[command(after_help = output::EXIT_CODES)]
    Completions(completions::CompletionsOptions),
    /// Write the manual pages, one for each command, into a directory
    ///
    /// Packages install them already. The directory must exist; pages of the same names are replaced.
    ///
    /// Example: toktra-siem man-pages /usr/local/share/man/man1
    #[command(after_help = output::EXIT_CODES)]
    ManPages(man_pages::ManPagesOptions),
}

impl Cli {
    /// The command line of a program that knows these platforms.
    pub fn command_with(registry: &Registry) -> clap::Command {
        toktra_siem_cli::with_platforms(Self::command(), registry)
    }

    /// Understands arguments.
    pub fn of<T: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
        registry: &Registry,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command_with(registry);
        let matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// Runs a command.
pub async fn run(cli: Cli, world: &mut World<'_>) -> Result<(), CliError> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Serve => {
            let values = Values::of(world.registry.clone()).read(file, &world.environment);
            serve::run(environment::check(Config::from_values(values)?)?, world).await
        }
        Command::Demo(options) => demo::run(&options, world).await,
        Command::FirstLogin(options) => first_login::run(&options, file, world),
        Command::Config(check::ConfigCommand::Check(options)) => check::run(&options, file, world),
        Command::Config(check::ConfigCommand::Reference) => check::reference(world),
        Command::Key(command) => key::run(command, file, world).await,
        Command::Repair(options) => repair::run(&options, file, world).await,
        Command::Backup(options) => backup::run(options, file, world).await,
        Command::Restore(options) => restore::run(options, file, world).await,
        Command::Remote(command) => toktra_siem_cli::run(*command, file, world).await,
        Command::Completions(options) => completions::run(&options, world),
        Command::ManPages(options) => man_pages::run(&options, world),
    }
}

/// What the store says to the person at the command line, with the cause, without a full stop at the end.
fn told(error: &StoreError) -> String {
    match error {
        StoreError::Full => "no space is left on the file system. Free some, and run it again".to_owned(),
        StoreError::Unavailable { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// A data directory that this command cannot open.
fn not_opened(error: &StoreError) -> CliError {
    CliError::Failed(format!("The data cannot be opened: {}.", told(error)))
}
