//! `repair`: saves what is whole of a damaged database, in the data directory of a stopped server.

use std::path::Path;

use clap::Args;
use serde_json::json;
use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_config::Config;
use toktra_siem_store::StoreError;
use toktra_siem_store::backend::{LostEvent, Repaired};

use super::backup::no_database;
use super::{CliError, World};
use crate::service::at_rest;

/// Lost events that are listed for a person.
const LISTED: usize = 50;

/// How it is told.
#[derive(Debug, Args)]
pub struct RepairOptions {
    /// Answer as JSON, with every lost event
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: &RepairOptions, file: Option<&Path>, world: &mut World<'_>) -> Result<(), CliError> {
    let dir = Config::load(file, &world.environment)?.data_dir;
    let (data, now) = (at_rest(&dir), SystemClock.now());
    let repaired = tokio::task::spawn_blocking(move || data.repair(now)).await.map_err(CliError::failed)?;
    let repaired = repaired.map_err(|error| refusal(error, &dir))?;
    let report = if options.json { format!("{:#}\n", json!(repaired)) } else { told(&repaired) };
    world.answer(&report)?;
    if repaired.has_losses() {
        return Err(CliError::Lost(
            "The database was repaired, and something of it was lost: the report says what.".to_owned(),
        ));
    }
    Ok(())
}

fn refusal(error: StoreError, dir: &Path) -> CliError {
    match error {
        StoreError::NotFound => no_database(dir),
        other => CliError::Failed(format!("The database could not be repaired: {}.", super::told(&other))),
    }
}

/// The report for a person.
fn told(repaired: &Repaired) -> String {
    let header = format!(
        "The first bytes of the database, which say what it is, were damaged, and are restored: {}.",
        repaired.header.join(", ")
    );
    let Some(damaged) = &repaired.damaged else {
        if !repaired.header.is_empty() {
            return format!("{header} Everything else is as it was written. The server can be started again.\n");
        }
        return "Nothing is damaged: every page and every event is as it was written. Nothing was changed.\n"
            .to_owned();
    };
    let mut lines = vec![
        format!("The damaged database is kept as {}.", damaged.display()),
        format!("{} events were saved with their payload.", repaired.events),
    ];
    if !repaired.header.is_empty() {
        lines.insert(0, header);
    }
    if !repaired.lost.is_empty() {
        lines.push(format!(
            "{} events were lost. If they were still to be delivered, they are counted as damaged:",
            repaired.lost.len()
        ));
        lines.extend(repaired.lost.iter().take(LISTED).map(lost));
        if repaired.lost.len() > LISTED {
            lines.push(format!("  … and {} more; --json lists all of them.", repaired.lost.len() - LISTED));
        }
    }
    if repaired.unknown > 0 {
        lines.push(format!("{} more events were lost of which nothing can be read.", repaired.unknown));
    }
    if repaired.settled_payloads > 0 {
        lines.push(format!(
            "{} payloads were lost that nobody waited for; what became of their events is still known.",
            repaired.settled_payloads
        ));
    }
    for table in &repaired.tables {
        lines.push(format!(
            "In `{}`, rows could not be read in {} place(s); {} were saved.",
            table.name, table.places, table.saved
        ));
    }
    if repaired.expired > 0 {
        lines.push(format!(
            "{} outcomes are counted as expired, because the deliveries that would have settled them were lost; those events may have \
             been delivered.",
            repaired.expired
        ));
    }
    lines.push("The server can be started again. Look at the connectors and keys first if rows were lost.".to_owned());
    lines.join("\n") + "\n"
}

fn lost(event: &LostEvent) -> String {
    let org = event.org.map_or("an unknown org".to_owned(), |org| format!("org {org}"));
    let id = event.event_id.map_or("its id is unknown".to_owned(), |id| format!("event {id}"));
    format!("  {org}, number {}: {id}", event.seq)
}
