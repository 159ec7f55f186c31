//! `man-pages`: the help of every command as pages for `man`.

use std::path::PathBuf;

use clap::Args;

use super::{Cli, CliError, World};

/// Where to.
#[derive(Debug, Args)]
pub struct ManPagesOptions {
    /// The directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) fn run(options: &ManPagesOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let written = clap_mangen::generate_to(Cli::command_with(&world.registry), &options.directory);
    let directory = options.directory.display();
    written
        .map_err(|error| CliError::Failed(format!("The manual pages cannot be written to {directory}: {error}.")))?;
    world.say(format!("The manual pages are in {directory}; man toktra-siem is the first.\n"))
}
