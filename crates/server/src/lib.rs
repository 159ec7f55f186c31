//! The binary `toktra-siem` as a library: the assembly of all parts, the commands that open a data directory, and the demo.

pub mod commands;
pub mod demo;
pub mod environment;
pub mod notices;
pub mod own_events;
pub mod service;
pub mod supervisor;
mod threads;
pub mod upkeep;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use toktra_siem_cli::output::{Aside, leads_nowhere};
use toktra_siem_config::Environment;
use toktra_siem_platform::Registry;

use commands::{Cli, CliError, World};

/// The whole program: reads its arguments and environment, runs the command, and says in one paragraph what went wrong.
pub fn main() -> ExitCode {
    main_with(Registry::standard())
}

/// The same, with these platforms.
pub fn main_with(registry: Registry) -> ExitCode {
    let mut stderr = Aside(io::stderr());
    let cli = match Cli::of(std::env::args_os(), &registry) {
        Ok(cli) => cli,
        Err(answer) => return told(&answer, &mut stderr),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(stderr, "toktra-siem: the process cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout());
    let mut world = World {
        environment: Environment::of_process(),
        registry,
        stdin_terminal: stdin.is_terminal(),
        stdin: &mut stdin,
        terminal: stdout.is_terminal(),
        nowhere: leads_nowhere(),
        stdout: &mut stdout,
        stderr_terminal: io::stderr().is_terminal(),
        stderr: &mut stderr,
    };
    match runtime.block_on(commands::run(cli, &mut world)) {
        Ok(()) | Err(CliError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Logged(_)) {
                let _ = writeln!(stderr, "toktra-siem: {error}");
            }
            ExitCode::from(error.code())
        }
    }
}

/// Help and version, which are asked for, or what is wrong with the arguments.
fn told(answer: &clap::Error, stderr: &mut impl io::Write) -> ExitCode {
    match answer.print() {
        // Whoever read the help has seen enough; without standard error there is nowhere to complain.
        Err(error) if !answer.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(stderr, "toktra-siem: The help could not be written to standard output: {error}.");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2)),
    }
}
