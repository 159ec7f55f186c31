//! `completions`: what a shell needs to complete commands and options.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, CliError, World};

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsOptions {
    /// The shell
    shell: Shell,
}

pub(super) fn run(options: &CompletionsOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "toktra-siem", &mut script);
    world.say(String::from_utf8_lossy(&script))
}
