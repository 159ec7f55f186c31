//! `job`: what the server works off in the background, and following it.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use uuid::Uuid;

use super::client::{Client, OrgOptions, with_query};
use super::output::{EXIT_CODES, Output, Table, cell, facts, items};
use super::progress::{Progress, Unit};
use super::{CliError, World, connector};

/// The time between two looks at a job.
const PACE: Duration = Duration::from_millis(500);

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, the newest first
    ///
    /// Example: toktra-siem job list --state running
    #[command(after_help = EXIT_CODES)]
    List(ListOptions),
    /// Show a job
    ///
    /// Example: toktra-siem job get 0197a1b2-0000-7000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Get(GetOptions),
    /// End a job; what it has done stays done
    ///
    /// Example: toktra-siem job cancel 0197a1b2-0000-7000-8000-000000000001
    #[command(after_help = EXIT_CODES)]
    Cancel(GetOptions),
    /// Wait until a job is done; Ctrl-C ends the waiting, not the job
    ///
    /// Example: toktra-siem job watch 0197a1b2-0000-7000-8000-000000000001
    #[command(
        after_help = "Exit codes: 0 done; 1 cancelled, it failed, or the server refused; 2 wrong usage; 3 done, but some were not \
                            delivered."
    )]
    Watch(GetOptions),
}

/// Which jobs.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Of this connector: its name or id
    #[arg(long)]
    connector: Option<String>,
    /// In this state
    #[arg(long, value_parser = ["waiting", "running", "done", "cancelled"])]
    state: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 25)]
    limit: usize,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Which job.
#[derive(Debug, Args)]
pub struct GetOptions {
    /// Its id
    job: Uuid,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: JobCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        JobCommand::List(options) => list(&options, world).await,
        JobCommand::Get(options) => {
            let job = options.server.client(world)?.get(&path(options.job)).await?;
            options.output.show(world, &job, |out| describe(out, &job))
        }
        JobCommand::Cancel(options) => {
            let job = options.server.client(world)?.delete(&path(options.job), None).await?;
            options.output.done(world, &job, |out| describe(out, &job))
        }
        JobCommand::Watch(options) => {
            let client = options.server.client(world)?;
            let job = client.get(&path(options.job)).await?;
            follow(&client, job, options.output, world).await
        }
    }
}

fn path(job: Uuid) -> String {
    format!("/v1/siem/jobs/{job}")
}

async fn list(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let connector = match &options.connector {
        Some(name) => Some(cell(&connector::find(&client, name).await?, "id")),
        None => None,
    };
    let path = with_query("/v1/siem/jobs", &[("connector", connector), ("state", options.state.clone())]);
    let jobs = Value::Array(client.list(&path, Some(options.limit)).await?);
    options.output.show(world, &jobs, |out| {
        if items(&jobs).is_empty() {
            return writeln!(out, "There are no such jobs.");
        }
        let columns = ["created_at", "kind", "state", "processed", "total", "delivered", "created_by", "id"];
        let mut table = Table::new(&["TIME", "KIND", "STATE", "PROCESSED", "OF", "DELIVERED", "BY", "ID"]);
        for job in items(&jobs) {
            table.row(columns.map(|name| cell(job, name)));
        }
        table.write(out)
    })
}

/// Whether a job has come to its end.
fn ended(job: &Value) -> bool {
    job["state"] == "done" || job["state"] == "cancelled"
}

/// Waits until a job has come to its end, and shows it then.
pub(super) async fn follow(
    client: &Client,
    mut job: Value,
    output: Output,
    world: &mut World<'_>,
) -> Result<(), CliError> {
    let number = |job: &Value, name: &str| job[name].as_u64().unwrap_or(0);
    let id = cell(&job, "id");
    let mut progress =
        Progress::new(world.stderr_terminal, &cell(&job, "kind"), Unit::Events, Some(number(&job, "total")));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    while !ended(&job) {
        progress.total(number(&job, "total"));
        let said = format!("{} delivered, {} failed", number(&job, "delivered"), number(&job, "failed"));
        progress.at(&mut *world.stderr, number(&job, "processed"), &said)?;
        tokio::select! {
            _ = &mut interrupted => {
                progress.end();
                return Err(CliError::Failed(format!(
                    "Job {id} goes on without this command. `toktra-siem job watch {id}` shows how far it is, `job cancel` ends it."
                )));
            }
            () = tokio::time::sleep(PACE) => {}
        }
        job = client.get(&format!("/v1/siem/jobs/{id}")).await?;
    }
    progress.end();
    output.show(world, &job, |out| describe(out, &job))?;
    if job["state"] == "cancelled" {
        let reason = job["reason"].as_str().map_or(String::new(), |reason| format!(": {reason}"));
        return Err(CliError::Failed(format!("The job was cancelled{reason}.")));
    }
    if number(&job, "failed") + number(&job, "rejected") > 0 {
        return Err(CliError::Lost(format!(
            "The job is done; {} failed and {} were rejected. `toktra-siem delivery list` says why.",
            number(&job, "failed"),
            number(&job, "rejected")
        )));
    }
    Ok(())
}

fn describe(out: &mut dyn Write, job: &Value) -> io::Result<()> {
    let members = [
        "id",
        "kind",
        "state",
        "reason",
        "connector_id",
        "delivery_id",
        "from",
        "to",
        "total",
        "processed",
        "delivered",
        "rejected",
        "failed",
        "discarded",
        "created_by",
        "created_at",
        "finished_at",
    ];
    let known = members.into_iter().filter(|name| !job[*name].is_null());
    facts(out, &known.map(|name| (name, cell(job, name))).collect::<Vec<_>>())
}
