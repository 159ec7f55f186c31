//! The binary `toktra-siem` as a library: the assembly of all parts, the commands that open a data directory, and the demo.

pub mod commands;
pub mod demo;
pub mod environment;
pub mod own_events;
pub mod service;
pub mod supervisor;
pub mod upkeep;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use toktra_siem_config::Environment;
use toktra_siem_platform::Registry;

use commands::{Cli, CliError, World};

/// The whole program: reads its arguments and environment, runs the command, and says in one paragraph what went wrong.
pub fn main() -> ExitCode {
    main_with(Registry::standard())
}

/// The same, with these platforms.
pub fn main_with(registry: Registry) -> ExitCode {
    let cli = Cli::of(std::env::args_os(), &registry).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("toktra-siem: the process cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut stdin, mut stdout, mut stderr) = (std::io::stdin().lock(), std::io::stdout(), std::io::stderr());
    let mut world = World {
        environment: Environment::of_process(),
        registry,
        stdin_terminal: stdin.is_terminal(),
        stdin: &mut stdin,
        terminal: stdout.is_terminal(),
        stdout: &mut stdout,
        stderr_terminal: stderr.is_terminal(),
        stderr: &mut stderr,
    };
    match runtime.block_on(commands::run(cli, &mut world)) {
        Ok(()) | Err(CliError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Logged(_)) {
                eprintln!("toktra-siem: {error}");
            }
            ExitCode::from(error.code())
        }
    }
}
