//! `event`: events to a server, and what became of one.

use clap::{Args, Subcommand};
use toktra_siem_core::ids::EventId;

use super::answer::{EventDetail, ListedEvent, json_line};
use super::client::{Call, with_query};
use super::output::{EXIT_CODES, facts, table};
use super::{CliError, World, cells, connector, members};

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
    /// Goes out in requests of at most 1 MiB, several at a time, waits if the server asks for it, and goes on after a connection was
    /// lost. Running it again sends no event twice: one without an event_id gets one that follows from the file's name (or --source), the
    /// line's number and its text, and the server knows it for at least 24 hours. Lines may be corrected or appended in between; lines
    /// that move to another number and have no event_id are new events. Give --source if another file comes under the same name.
    ///
    /// A line that is no valid event ends the import, or with --skip-bad is kept in a file, as {"line":7,"reason":"…","text":"…"}.
    ///
    /// Example: toktra-siem event import events.ndjson --skip-bad bad.ndjson
    #[command(
        after_help = "Exit codes: 0 every line was accepted, or was there already; 1 it failed: what is said to be accepted is; 2 wrong \
                            usage; 3 done, but bad lines were skipped, or the server has other events under the same ids."
    )]
    Import(import::ImportOptions),
    /// List the newest events, and what became of each
    ///
    /// Example: toktra-siem event list --outcome failed --limit 20
    #[command(after_help = EXIT_CODES)]
    List(ListOptions),
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
    call: Call,
}

/// Which events.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Only events of this type, such as anomaly
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events of this severity, such as high
    #[arg(long)]
    severity: Option<String>,
    /// Only events with this outcome, such as pending, failed, rejected or delivered
    #[arg(long)]
    outcome: Option<String>,
    /// Only events whose user ID or e-mail address contains this text
    #[arg(long, value_name = "TEXT")]
    user: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 25)]
    limit: usize,
    #[command(flatten)]
    call: Call,
}

async fn list(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let asked = [
        ("event_type", options.event_type.clone()),
        ("severity", options.severity.clone()),
        ("outcome", options.outcome.clone()),
        ("user", options.user.clone()),
    ];
    let events = client.list::<ListedEvent>(&with_query("/v1/events", &asked), Some(options.limit)).await?;
    options.call.output.show(world, &events, |events| {
        if events.is_empty() {
            return "There are no such events.".to_owned();
        }
        let rows = events.iter().map(|ListedEvent { event, summary, outcome, .. }| {
            cells![event.accepted_at, event.event_type, event.severity, outcome, event.event_id, summary]
        });
        table(["ACCEPTED", "TYPE", "SEVERITY", "OUTCOME", "ID", "SUMMARY"], rows)
    })
}

pub(super) async fn run(command: EventCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        EventCommand::Send(options) => send::run(&options, world).await,
        EventCommand::Import(options) => import::run(options, world).await,
        EventCommand::List(options) => list(&options, world).await,
        EventCommand::Get(options) => get(&options, world).await,
    }
}

async fn get(options: &GetOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let event = client.get(&format!("/v1/events/{}", options.event_id)).await?;
    let names = connector::Names::of(&client, options.call.output.json).await?;
    options.call.output.show(world, &event, |event| describe(event, &names))
}

fn describe(EventDetail { summary, event, damaged_at, outcomes }: &EventDetail, names: &connector::Names) -> String {
    let mut known = members![summary => event_id, event_type, severity, timestamp, accepted_at, sequence].to_vec();
    let payload = event.as_deref().map(json_line);
    let missing = || match damaged_at {
        Some(found) => format!("damaged: found on {found}; its producer can send it again under a new id"),
        None => "gone: it is past its retention".to_owned(),
    };
    known.push(("event", payload.unwrap_or_else(missing)));
    let known = facts(&known);
    if outcomes.is_empty() {
        return known + "\nNo connector was there to take it.";
    }
    let rows = outcomes.iter().map(|one| {
        let name = one.connector_name.clone().unwrap_or_else(|| names.name(one.connector_id));
        cells![name, one.stream, one.outcome, one.why, one.delivery]
    });
    let found: String =
        outcomes.iter().filter_map(|one| Some(format!("Find it with: {}\n", one.search.as_ref()?))).collect();
    let opened: String =
        outcomes.iter().filter_map(|one| Some(format!("Open it with: {}\n", one.open_url.as_ref()?))).collect();
    format!("{known}\n{}{found}{opened}", table(["CONNECTOR", "STREAM", "OUTCOME", "WHY", "DELIVERY"], rows))
}
