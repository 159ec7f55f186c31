//! `delivery`: the history, and sending again.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use toktra_siem_core::ids::{DeliveryId, EventId};

use super::client::{Client, OrgOptions, with_query};
use super::output::{EXIT_CODES, Output, Table, cell, counted, facts, items};
use super::times::{self, Time};
use super::{CliError, World, confirm, connector, job};

mod export;

/// Exit codes of what is worked off in the background.
const JOB_CODES: &str = "Exit codes: 0 done, or begun without --wait; 1 it failed, was cancelled, or the server refused; 2 wrong usage; 3 with \
                         --wait: done, but some were not delivered.";

/// What can be done with deliveries.
#[derive(Debug, Subcommand)]
pub enum DeliveryCommand {
    /// List deliveries, the newest first
    ///
    /// Example: toktra-siem delivery list --connector Splunk --status failed --from 24h
    #[command(after_help = EXIT_CODES)]
    List(ListOptions),
    /// Show a delivery with its attempts and events
    ///
    /// Example: toktra-siem delivery get 0197a1b2-0000-7000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Get(GetOptions),
    /// Deliver a delivery's events again
    ///
    /// Example: toktra-siem delivery redeliver 0197a1b2-0000-7000-8000-000000000001 --wait
    #[command(after_help = JOB_CODES)]
    Redeliver(RedeliverOptions),
    /// Deliver again what a connector could not deliver
    ///
    /// Example: toktra-siem delivery redeliver-failed Splunk --from 24h --wait
    #[command(after_help = JOB_CODES)]
    RedeliverFailed(RangeOptions),
    /// Deliver everything of a time again that the connector's present filter matches, delivered or not
    ///
    /// Example: toktra-siem delivery replay Splunk --from 2025-01-15T10:00:00Z --to 2025-01-15T12:00:00Z --dry-run
    #[command(after_help = JOB_CODES)]
    Replay(RangeOptions),
    /// Give up the events that a connector could not deliver: they are not sent any more
    ///
    /// Example: toktra-siem delivery discard Splunk --to 7d --yes
    #[command(after_help = JOB_CODES)]
    Discard(DiscardOptions),
    /// Write the whole history, filtered, as NDJSON or CSV
    ///
    /// Example: toktra-siem delivery export --format csv --from 7d --output deliveries.csv
    #[command(after_help = EXIT_CODES)]
    Export(export::ExportOptions),
}

/// Which deliveries.
#[derive(Debug, Args)]
pub(super) struct FilterOptions {
    /// Of this connector: its name or id
    #[arg(long)]
    connector: Option<String>,
    /// Of this stream
    #[arg(long, value_parser = ["events", "logs", "metrics"])]
    stream: Option<String>,
    /// With this status
    #[arg(long, value_parser = ["pending", "delivered", "partial", "split", "rejected", "failed"])]
    status: Option<String>,
    /// With this trigger
    #[arg(long, value_parser = ["live", "test", "redelivery", "replay", "recovery"])]
    trigger: Option<String>,
    /// That held this event
    #[arg(long, value_name = "UUID")]
    event_id: Option<EventId>,
    /// Made at or after this time, such as 2025-01-15T10:30:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    from: Option<Time>,
    /// Made before this time
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    to: Option<Time>,
}

impl FilterOptions {
    /// The path of the history that is asked for.
    async fn path(&self, client: &Client) -> Result<String, CliError> {
        let path = match &self.connector {
            Some(name) => connector::path(&connector::find(client, name).await?, "/deliveries"),
            None => "/v1/siem/deliveries".to_owned(),
        };
        let parameters = [
            ("stream", self.stream.clone()),
            ("status", self.status.clone()),
            ("trigger", self.trigger.clone()),
            ("event_id", self.event_id.map(|id| id.to_string())),
            ("from", self.from.map(Time::shown)),
            ("to", self.to.map(Time::shown)),
        ];
        Ok(with_query(&path, &parameters))
    }
}

/// Which deliveries, and how many.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    filter: FilterOptions,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 25)]
    limit: usize,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Which delivery.
#[derive(Debug, Args)]
pub struct GetOptions {
    /// Its id
    delivery: DeliveryId,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Whether to wait.
#[derive(Debug, Args)]
pub(super) struct WaitOptions {
    /// Wait until it is done; Ctrl-C ends the waiting, not the work
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Which delivery is sent again.
#[derive(Debug, Args)]
pub struct RedeliverOptions {
    /// Its id
    delivery: DeliveryId,
    #[command(flatten)]
    wait: WaitOptions,
}

/// Which connector, and which time.
#[derive(Debug, Args)]
pub struct RangeOptions {
    /// The connector: its name or id
    connector: String,
    /// Events accepted at or after this time, such as 2025-01-15T10:30:00Z, or 2h for two hours ago [default: all]
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    from: Option<Time>,
    /// Events accepted before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    to: Option<Time>,
    /// Say how many events it would be, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitOptions,
}

/// What is given up.
#[derive(Debug, Args)]
pub struct DiscardOptions {
    #[command(flatten)]
    range: RangeOptions,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(command: DeliveryCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        DeliveryCommand::List(options) => list(&options, world).await,
        DeliveryCommand::Get(options) => get(&options, world).await,
        DeliveryCommand::Redeliver(options) => redeliver(&options, world).await,
        DeliveryCommand::RedeliverFailed(options) => range(&options, "redeliver-failed", world).await,
        DeliveryCommand::Replay(options) => range(&options, "replay", world).await,
        DeliveryCommand::Discard(options) => discard(&options, world).await,
        DeliveryCommand::Export(options) => export::run(&options, world).await,
    }
}

async fn list(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let path = options.filter.path(&client).await?;
    let deliveries = Value::Array(client.list(&path, Some(options.limit)).await?);
    let connectors = if options.output.json { Vec::new() } else { connector::all(&client).await? };
    options.output.show(world, &deliveries, |out| {
        if items(&deliveries).is_empty() {
            return writeln!(out, "There are no such deliveries.");
        }
        let mut table =
            Table::new(&["TIME", "CONNECTOR", "STREAM", "TRIGGER", "STATUS", "EVENTS", "TRIES", "ID", "CAUSE"]);
        for one in items(&deliveries) {
            let of = connectors.iter().find(|connector| connector["id"] == one["connector_id"]);
            table.row([
                cell(one, "created_at"),
                of.map_or_else(|| cell(one, "connector_id"), |connector| cell(connector, "name")),
                cell(one, "stream"),
                cell(one, "trigger"),
                cell(one, "status"),
                cell(one, "event_count"),
                cell(one, "attempt_count"),
                cell(one, "id"),
                one["cause"]["code"].as_str().unwrap_or("").to_owned(),
            ]);
        }
        table.write(out)
    })
}

async fn get(options: &GetOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let one = client.get(&format!("/v1/siem/deliveries/{}", options.delivery)).await?;
    options.output.show(world, &one, |out| {
        let members = ["id", "connector_id", "stream", "trigger", "status", "event_count", "delivered", "rejected"];
        let times = ["created_at", "next_attempt_at", "settled_at", "parent_id"];
        let known = members.iter().chain(&times).filter(|name| !one[**name].is_null());
        let mut lines: Vec<(&str, String)> = known.map(|name| (*name, cell(&one, name))).collect();
        if let Some(message) = one["cause"]["message"].as_str() {
            lines.push(("cause", message.to_owned()));
        }
        facts(out, &lines)?;
        writeln!(out)?;
        let mut table = Table::new(&["ATTEMPT", "TIME", "TOOK", "HTTP", "ANSWER"]);
        for attempt in items(&one["attempts"]) {
            let answer = attempt["excerpt"].as_str().or_else(|| attempt["cause"]["message"].as_str()).unwrap_or("-");
            table.row([
                cell(attempt, "number"),
                cell(attempt, "at"),
                format!("{} ms", cell(attempt, "duration_ms")),
                cell(attempt, "http_status"),
                answer.to_owned(),
            ]);
        }
        table.write(out)?;
        writeln!(out)?;
        let mut table = Table::new(&["EVENT", "TYPE", "SEVERITY", "TIME"]);
        for event in items(&one["events"]) {
            table.row(["event_id", "event_type", "severity", "timestamp"].map(|name| cell(event, name)));
        }
        table.write(out)
    })
}

async fn redeliver(options: &RedeliverOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.wait.server.client(world)?;
    let begun = client.post(&format!("/v1/siem/deliveries/{}/redeliver", options.delivery), &json!({})).await?;
    begin(&client, begun, &options.wait, world).await
}

fn request(options: &RangeOptions, dry_run: bool) -> Value {
    let mut body = json!({});
    for (name, time) in [("from", options.from), ("to", options.to)] {
        if let Some(time) = time {
            body[name] = time.shown().into();
        }
    }
    if dry_run {
        body["dry_run"] = true.into();
    }
    body
}

async fn range(options: &RangeOptions, what: &str, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.wait.server.client(world)?;
    let connector = connector::find(&client, &options.connector).await?;
    let path = connector::path(&connector, &format!("/{what}"));
    let answer = client.post(&path, &request(options, options.dry_run)).await?;
    if options.dry_run {
        return dry(&answer, options, what, world);
    }
    begin(&client, answer, &options.wait, world).await
}

fn dry(answer: &Value, options: &RangeOptions, what: &str, world: &mut World<'_>) -> Result<(), CliError> {
    let total = counted(answer["total"].as_u64().unwrap_or(0), "event");
    options.wait.output.show(world, answer, |out| {
        writeln!(out, "{total} in question. Nothing was done; without --dry-run, {what} does it.")
    })
}

async fn discard(options: &DiscardOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let range = &options.range;
    let client = range.wait.server.client(world)?;
    let connector = connector::find(&client, &range.connector).await?;
    let path = connector::path(&connector, "/discard");
    if range.dry_run || !options.yes {
        let answer = client.post(&path, &request(range, true)).await?;
        if range.dry_run {
            return dry(&answer, range, "discard", world);
        }
        let total = counted(answer["total"].as_u64().unwrap_or(0), "event");
        let name = cell(&connector, "name");
        confirm::ask(&format!("This gives up {total} that \"{name}\" could not deliver."), false, world)?;
    }
    let begun = client.post(&path, &request(range, false)).await?;
    begin(&client, begun, &range.wait, world).await
}

/// Says that a job has begun, or stays until it is done.
async fn begin(client: &Client, job: Value, wait: &WaitOptions, world: &mut World<'_>) -> Result<(), CliError> {
    if wait.wait {
        return job::follow(client, job, wait.output, world).await;
    }
    wait.output.done(world, &job, |out| {
        let (id, total) = (cell(&job, "id"), counted(job["total"].as_u64().unwrap_or(0), "event"));
        writeln!(out, "Begun: job {id}, {total}. `toktra-siem job watch {id}` shows how far it is.")
    })
}
