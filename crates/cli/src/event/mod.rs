//! `event`: events to a server, and what became of one.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::Value;
use toktra_siem_core::ids::EventId;

use super::client::OrgOptions;
use super::output::{EXIT_CODES, Output, Table, cell, facts, items};
use super::{CliError, World, connector};

mod import;
mod lines;
mod send;
mod shipment;

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Send events: one JSON object, an array, {"events":[…]}, or NDJSON (one event a line)
    ///
    /// The input is read into memory first; `event import` takes files of any size. Events without an event_id get one; with one, sending
    /// the same events again does no harm.
    ///
    /// Example: echo '{"event_type":"anomaly","severity":"high"}' | toktra-siem event send
    #[command(after_help = EXIT_CODES)]
    Send(send::SendOptions),
    /// Send a file of events (NDJSON, one a line) of any size
    ///
    /// Goes out in requests of at most 1 MiB, several at a time, waits where the server asks for it, and goes on after a connection was
    /// lost. Running it again sends no event twice: one without an event_id gets one that follows from the file's name (or --source), the
    /// line's number and its text, and the server knows it for at least 24 hours. Lines may be corrected or appended in between; lines
    /// that move to another number and have no event_id are new events. Give --source where another file comes under the same name.
    ///
    /// A line that is no valid event ends the import, or with --skip-bad is kept in a file, as {"line":7,"reason":"…","text":"…"}.
    ///
    /// Example: toktra-siem event import events.ndjson --skip-bad bad.ndjson
    #[command(
        after_help = "Exit codes: 0 every line was accepted, or was there already; 1 it failed: what is said to be accepted is; 2 wrong \
                            usage; 3 done, but bad lines were skipped."
    )]
    Import(import::ImportOptions),
    /// Show an event, and what became of it for each connector
    ///
    /// Example: toktra-siem event get 0197a1b2-0000-7000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Get(GetOptions),
}

/// Which event.
#[derive(Debug, Args)]
pub struct GetOptions {
    /// Its event_id
    event_id: EventId,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: EventCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        EventCommand::Send(options) => send::run(&options, world).await,
        EventCommand::Import(options) => import::run(options, world).await,
        EventCommand::Get(options) => get(&options, world).await,
    }
}

async fn get(options: &GetOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let event = client.get(&format!("/v1/events/{}", options.event_id)).await?;
    // For their names; one that is gone is shown by its id.
    let connectors = if options.output.json { Vec::new() } else { connector::all(&client).await? };
    options.output.show(world, &event, |out| describe(out, &event, &connectors))
}

fn describe(out: &mut dyn Write, event: &Value, connectors: &[Value]) -> io::Result<()> {
    let members = ["event_id", "event_type", "severity", "timestamp", "accepted_at", "sequence"];
    let mut lines: Vec<(&str, String)> = members.into_iter().map(|name| (name, cell(event, name))).collect();
    let payload = match &event["event"] {
        Value::Null => "gone: it is past its retention".to_owned(),
        event => event.to_string(),
    };
    lines.push(("event", payload));
    facts(out, &lines)?;
    let outcomes = items(&event["outcomes"]);
    if outcomes.is_empty() {
        return writeln!(out, "\nNo connector was there to take it.");
    }
    writeln!(out)?;
    let mut table = Table::new(&["CONNECTOR", "STREAM", "OUTCOME", "WHY", "DELIVERY"]);
    for outcome in outcomes {
        let of = connectors.iter().find(|connector| connector["id"] == outcome["connector_id"]);
        let name = match (&outcome["connector_name"], of) {
            (Value::String(name), _) => name.clone(),
            (_, Some(connector)) => cell(connector, "name"),
            (_, None) => cell(outcome, "connector_id"),
        };
        let said = [outcome["why"].as_str(), outcome["cause"]["message"].as_str(), outcome["rule"].as_str()];
        let why = said.into_iter().flatten().next().unwrap_or("-").to_owned();
        table.row([name, cell(outcome, "stream"), cell(outcome, "outcome"), why, cell(outcome, "delivery")]);
    }
    table.write(out)
}
