//! `filter preview`: what a filter would let through, tried on the events of the last days.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::OrgOptions;
use super::connector::{self, FilterOptions};
use super::output::{EXIT_CODES, Output, Table, cell, counted, items};
use super::{CliError, World};

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
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: FilterCommand, world: &mut World<'_>) -> Result<(), CliError> {
    let FilterCommand::Preview(options) = command;
    let client = options.server.client(world)?;
    let filter = match &options.connector {
        Some(name) => connector::find(&client, name).await?["filter"].clone(),
        None => options.filter.given().unwrap_or_else(|| json!({})),
    };
    let body = json!({ "filter": filter, "days": options.days });
    let answer = client.post("/v1/siem/filter/preview", &body).await?;
    options.output.show(world, &answer, |out| {
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        let days = counted(answer["days"].as_u64().unwrap_or_else(|| options.days.into()), "day");
        writeln!(out, "{} of {} of the last {days} match.", number("matching"), counted(number("total"), "event"))?;
        let sample: &[Value] = items(&answer["sample"]);
        if sample.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nFor example:")?;
        let mut table = Table::new(&["TIME", "TYPE", "SEVERITY", "EVENT"]);
        for event in sample {
            table.row(["timestamp", "event_type", "severity", "event_id"].map(|name| cell(event, name)));
        }
        table.write(out)
    })
}
