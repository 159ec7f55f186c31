//! `filter preview`: what a filter would let through, tried on the events of the last days.

use clap::{Args, Subcommand};
use toktra_siem_wire::{FilterInput, FilterPreview, FilterTrial, Lenient};

use super::answer::Answer;
use super::client::Call;
use super::connector::{self, FilterOptions};
use super::output::{EXIT_CODES, counted, table};
use super::{CliError, World, cells};

/// What can be done with filters.
#[derive(Debug, Subcommand)]
pub enum FilterCommand {
    /// Show how many of the last days' events a filter would forward, and some of them
    ///
    /// Example: toktra-siem filter preview --severity high,critical --days 7
    #[command(after_help = EXIT_CODES)]
    Preview(PreviewOptions),
}

/// Which filter, and how many days.
#[derive(Debug, Args)]
pub struct PreviewOptions {
    #[command(flatten)]
    filter: FilterOptions,
    /// Take the filter of this connector instead: its name or id
    #[arg(long, conflicts_with_all = ["severity", "event_types"])]
    connector: Option<String>,
    /// Events of so many days
    #[arg(long, default_value_t = 7)]
    days: u32,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(command: FilterCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let FilterCommand::Preview(options) = command;
    let client = options.call.server.client(world)?;
    let (path, days) = ("/v1/siem/filter/preview", options.days);
    let answer: Answer<FilterPreview<Lenient>> = match &options.connector {
        Some(name) => {
            let filter = Some(connector::find(&client, name).await?.filter);
            client.post(path, &FilterTrial { filter, days }).await?
        }
        None => client.post(path, &FilterTrial::<FilterInput> { filter: options.filter.given(), days }).await?,
    };
    options.call.output.show(world, &answer, |found| {
        let (total, days) = (counted(found.total, "event"), counted(found.days.into(), "day"));
        let head = format!("{} of {total} of the last {days} match.\n", found.matching);
        if found.sample.is_empty() {
            return head;
        }
        let rows = found.sample.iter().map(|e| cells![e.timestamp, e.event_type, e.severity, e.event_id]);
        format!("{head}\nFor example:\n{}", table(["TIME", "TYPE", "SEVERITY", "EVENT"], rows))
    })
}
