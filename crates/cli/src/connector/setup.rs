//! `connector setup`: what has to be there before a connector works, and how its request is made again with curl.

use clap::Args;
use toktra_siem_wire::{Lenient, Setup};

use super::path;
use crate::answer::Answer;
use crate::client::Call;
use crate::{CliError, World};

/// Of which connector.
#[derive(Debug, Args)]
pub struct SetupOptions {
    /// The connector: its name or id
    connector: String,
    /// Print the command that sends one test event as the connector does
    #[arg(long)]
    curl: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(options: &SetupOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, connector) = options.call.connector(&options.connector, world).await?;
    let answer: Answer<Setup<Lenient>> = client.get(&path(&connector, "/setup")).await?;
    options
        .call
        .output
        .show(world, &answer, |setup| if options.curl { commands(setup) } else { setup.text.trim_end().to_owned() })
}

/// One command for each stream, which is named if there are several.
fn commands(setup: &Setup<Lenient>) -> String {
    let one = |each: &toktra_siem_wire::Reproduce<Lenient>| match setup.reproduce.len() {
        1 => each.command.clone(),
        _ => format!("# The stream of {}\n{}", each.stream, each.command),
    };
    match setup.reproduce.as_slice() {
        [] => "This connector cannot be used as it is stored: `connector test` says why.".to_owned(),
        all => all.iter().map(one).collect::<Vec<_>>().join("\n\n"),
    }
}
