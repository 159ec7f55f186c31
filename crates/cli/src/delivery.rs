//! `delivery`: the history, and sending again.

use clap::{Args, Subcommand};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::Attempt;
use toktra_siem_core::ids::{DeliveryId, EventId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::{DeliveryOutage, JobDryRun, JobRange, NoMembers, Word};

use super::answer::{Answer, Delivery, DeliveryDetail, Job};
use super::client::{Call, Client, with_query};
use super::given::time;
use super::output::{EXIT_CODES, cell, counted, known_facts, table};
use super::{CliError, World, cells, confirm, connector, job, members};

mod export;

/// Exit codes of background jobs.
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
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Made before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
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
            ("from", self.from.map(|at| at.to_string())),
            ("to", self.to.map(|at| at.to_string())),
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
    call: Call,
}

/// Which delivery.
#[derive(Debug, Args)]
pub struct GetOptions {
    /// Its id
    delivery: DeliveryId,
    #[command(flatten)]
    call: Call,
}

/// Whether to wait.
#[derive(Debug, Args)]
pub(super) struct WaitOptions {
    /// Wait until it is done; Ctrl-C ends the waiting, not the work
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    call: Call,
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
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Events accepted before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
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
    let client = options.call.server.client(world)?;
    let path = options.filter.path(&client).await?;
    let deliveries = client.list::<Delivery>(&path, Some(options.limit)).await?;
    let output = options.call.output;
    let names = connector::Names::of(&client, output.json).await?;
    output.show(world, &deliveries, |deliveries| {
        if deliveries.is_empty() {
            return "There are no such deliveries.".to_owned();
        }
        let head = ["TIME", "CONNECTOR", "STREAM", "TRIGGER", "STATUS", "EVENTS", "TRIES", "ID", "CAUSE"];
        let rows = deliveries.iter().map(|one| {
            let Delivery { created_at, stream, trigger, status, event_count, attempt_count, id, .. } = one;
            let former = one.former_name.as_ref().map(|name| format!("{name} (deleted)"));
            let name = former.unwrap_or_else(|| names.name(one.connector_id));
            let cause = one.cause.as_ref().map_or_else(String::new, |cause| cause.code.to_string());
            let cause = one.outage.map_or(cause.clone(), |outage| format!("{cause}, {}", lasted(&outage)));
            cells![created_at, name, stream, trigger, status, event_count, attempt_count, id, cause]
        });
        table(head, rows)
    })
}

/// How long an outage lasted.
fn lasted(DeliveryOutage { since, until, probes }: &DeliveryOutage) -> String {
    let probes = counted(u64::from(*probes), "probe");
    match until {
        Some(until) => format!("down from {since} to {until}, {probes}"),
        None => format!("down since {since}, {probes}"),
    }
}

async fn get(options: &GetOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let one = client.get(&format!("/v1/siem/deliveries/{}", options.delivery)).await?;
    options.call.output.show(world, &one, describe)
}

fn describe(DeliveryDetail { delivery: one, attempts, events, open_url, .. }: &DeliveryDetail) -> String {
    let known = members![one =>
        id, connector_id, stream, trigger, status, event_count, delivered, rejected, created_at, next_attempt_at,
        settled_at, parent_id
    ];
    let said = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.message.clone());
    let known = known_facts(known.into_iter().chain([
        ("deleted connector", cell(&one.former_name)),
        ("outage", cell(&one.outage.as_ref().map(lasted))),
        ("cause", cell(&said(&one.cause))),
        ("open", cell(open_url)),
    ]));
    let attempts = attempts.iter().map(|attempt| match attempt {
        Word::Known(Attempt { number, at, duration_ms, http_status, excerpt, cause, .. }) => {
            let answer = excerpt.clone().or_else(|| said(cause));
            cells![number, at, format!("{duration_ms} ms"), http_status, answer]
        }
        Word::Newer(attempt) => cells!["-", "-", "-", "-", attempt],
    });
    let attempts = table(["ATTEMPT", "TIME", "TOOK", "HTTP", "ANSWER"], attempts);
    let events = events.iter().map(|event| cells![event.event_id, event.event_type, event.severity, event.timestamp]);
    let events = table(["EVENT", "TYPE", "SEVERITY", "TIME"], events);
    format!("{known}\n{attempts}\n{events}")
}

async fn redeliver(options: &RedeliverOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.wait.call.server.client(world)?;
    let path = format!("/v1/siem/deliveries/{}/redeliver", options.delivery);
    let begun = client.post(&path, &NoMembers {}).await?;
    begin(&client, begun, &options.wait, world).await
}

impl RangeOptions {
    fn body(&self, dry_run: bool) -> JobRange {
        JobRange { from: self.from, to: self.to, dry_run }
    }

    /// Says how many events it would be.
    fn dry(&self, answer: &Answer<JobDryRun>, what: &str, world: &mut World<'_>) -> Result<(), CliError> {
        self.wait.call.output.show(world, answer, |JobDryRun { total, .. }| {
            let total = counted(*total, "event");
            format!("{total} in question. Nothing was done; without --dry-run, {what} does it.")
        })
    }
}

async fn range(options: &RangeOptions, what: &str, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, connector) = options.wait.call.connector(&options.connector, world).await?;
    let path = connector::path(&connector, &format!("/{what}"));
    if options.dry_run {
        return options.dry(&client.post(&path, &options.body(true)).await?, what, world);
    }
    let begun = client.post(&path, &options.body(false)).await?;
    begin(&client, begun, &options.wait, world).await
}

async fn discard(options: &DiscardOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let range = &options.range;
    if range.dry_run {
        return self::range(range, "discard", world).await;
    }
    let (client, connector) = range.wait.call.connector(&range.connector, world).await?;
    let path = connector::path(&connector, "/discard");
    if !options.yes {
        let dry: Answer<JobDryRun> = client.post(&path, &range.body(true)).await?;
        let (total, name) = (counted(dry.read()?.total, "event"), connector.name);
        confirm::ask(&format!("This gives up {total} that \"{name}\" could not deliver."), false, world)?;
    }
    let begun = client.post(&path, &range.body(false)).await?;
    begin(&client, begun, &range.wait, world).await
}

/// Says that a job has begun, or stays until it is done.
async fn begin(client: &Client, job: Answer<Job>, wait: &WaitOptions, world: &mut World<'_>) -> Result<(), CliError> {
    if wait.wait {
        return job::follow(client, job, wait.call.output, world).await;
    }
    wait.call.output.done(world, &job, |Job { id, total, .. }| {
        let total = counted(*total, "event");
        format!("Begun: job {id}, {total}. `toktra-siem job watch {id}` shows how far it is.")
    })
}
