//! `job`: what the server works off in the background, and following it.

use std::fmt::Display;
use std::time::Duration;

use clap::{Args, Subcommand};
use toktra_siem_wire::JobState;
use uuid::Uuid;

use super::answer::{Answer, Job};
use super::client::{Call, Client, with_query};
use super::output::{EXIT_CODES, Output, known_facts, table};
use super::progress::{Progress, Unit};
use super::{CliError, World, cells, connector, members};

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
    call: Call,
}

/// Which job.
#[derive(Debug, Args)]
pub struct GetOptions {
    /// Its id
    job: Uuid,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(command: JobCommand, world: &mut World<'_>) -> Result<(), CliError> {
    match command {
        JobCommand::List(options) => list(&options, world).await,
        JobCommand::Get(options) => {
            let job = options.call.server.client(world)?.get(&path(options.job)).await?;
            options.call.output.show(world, &job, describe)
        }
        JobCommand::Cancel(options) => {
            let job = options.call.server.client(world)?.delete(&path(options.job), None).await?;
            options.call.output.done(world, &job, describe)
        }
        JobCommand::Watch(options) => {
            let client = options.call.server.client(world)?;
            let job = client.get(&path(options.job)).await?;
            follow(&client, job, options.call.output, world).await
        }
    }
}

fn path(job: impl Display) -> String {
    format!("/v1/siem/jobs/{job}")
}

async fn list(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.call.server.client(world)?;
    let connector = match &options.connector {
        Some(name) => Some(connector::find(&client, name).await?.id.to_string()),
        None => None,
    };
    let path = with_query("/v1/siem/jobs", &[("connector", connector), ("state", options.state.clone())]);
    let jobs = client.list::<Job>(&path, Some(options.limit)).await?;
    options.call.output.show(world, &jobs, |jobs| {
        if jobs.is_empty() {
            return "There are no such jobs.".to_owned();
        }
        let rows =
            jobs.iter().map(|Job { created_at, kind, state, processed, total, delivered, created_by, id, .. }| {
                cells![created_at, kind, state, processed, total, delivered, created_by, id]
            });
        table(["TIME", "KIND", "STATE", "PROCESSED", "OF", "DELIVERED", "BY", "ID"], rows)
    })
}

/// Waits until a job has come to its end, and shows it then.
pub(super) async fn follow(
    client: &Client,
    mut answer: Answer<Job>,
    output: Output,
    world: &mut World<'_>,
) -> Result<(), CliError> {
    let mut job = answer.read()?;
    let mut progress = Progress::new(world.stderr_terminal, &job.kind.to_string(), Unit::Events, Some(job.total));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    while job.state != JobState::Done && job.state != JobState::Cancelled {
        progress.total(job.total);
        let said = format!("{} delivered, {} failed", job.delivered, job.failed);
        progress.at(&mut *world.stderr, job.processed, &said)?;
        tokio::select! {
            _ = &mut interrupted => {
                progress.end();
                return Err(CliError::Failed(format!(
                    "Job {0} goes on without this command. `toktra-siem job watch {0}` shows how far it is, `job cancel` ends it.",
                    job.id
                )));
            }
            () = tokio::time::sleep(PACE) => {}
        }
        answer = client.get(&path(job.id)).await?;
        job = answer.read()?;
    }
    progress.end();
    output.show(world, &answer, describe)?;
    if job.state == JobState::Cancelled {
        let reason = job.reason.map_or(String::new(), |reason| format!(": {reason}"));
        return Err(CliError::Failed(format!("The job was cancelled{reason}.")));
    }
    if job.failed + job.rejected > 0 {
        return Err(CliError::Lost(format!(
            "The job is done; {} failed and {} were rejected. `toktra-siem delivery list` says why.",
            job.failed, job.rejected
        )));
    }
    Ok(())
}

fn describe(job: &Job) -> String {
    known_facts(members![job =>
        id, kind, state, reason, connector_id, delivery_id, from, to, total, processed, delivered, rejected, failed,
        discarded, created_by, created_at, finished_at
    ])
}
