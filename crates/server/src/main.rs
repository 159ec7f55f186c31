//! The binary: reads its arguments and environment, runs the command, and says in one paragraph what went wrong.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use toktra_siem::cli::{self, Cli, CliError, World};
use toktra_siem::config::Environment;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("toktra-siem: the process cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout());
    let terminal = stdout.is_terminal();
    let environment = Environment::of_process();
    let mut world = World { environment, stdin: &mut stdin, stdout: &mut stdout, terminal };
    match runtime.block_on(cli::run(cli, &mut world)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Logged(_)) {
                eprintln!("toktra-siem: {error}");
            }
            ExitCode::from(error.code())
        }
    }
}
