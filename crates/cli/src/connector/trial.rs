//! `connector test`: a test delivery, as a person wants to read it.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};

use super::change::ChangeOptions;
use super::{find, path};
use crate::client::OrgOptions;
use crate::output::{Output, Table, cell, items};
use crate::{CliError, World};

/// Which connector, with which changes.
#[derive(Debug, Args)]
pub struct TestOptions {
    /// The connector: its name or id
    connector: String,
    #[command(flatten)]
    change: ChangeOptions,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: TestOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let patch = options.change.patch(world)?;
    let connector = find(&client, &options.connector).await?;
    let answer = client.post(&path(&connector, "/test"), &json!(patch)).await?;
    show(&answer, options.output, world)
}

/// Prints the outcome of a test; not delivered is a failure.
pub(super) fn show(answer: &Value, output: Output, world: &mut World<'_>) -> Result<(), CliError> {
    output.show(world, answer, |out| describe(out, answer))?;
    if answer["delivered"] == true {
        return Ok(());
    }
    Err(CliError::Failed("The test event was not delivered.".to_owned()))
}

fn describe(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    let streams = items(&answer["streams"]);
    // An answer about one stream is told without naming it.
    let whole = std::slice::from_ref(answer);
    for stream in if streams.len() > 1 { streams } else { whole } {
        if streams.len() > 1 {
            writeln!(out, "{}:", cell(stream, "stream"))?;
        }
        told(out, stream)?;
    }
    writeln!(out, "Event: {}", cell(answer, "event_id"))?;
    if let Some(search) = answer["search"].as_str() {
        writeln!(out, "Find it with: {search}")?;
    }
    Ok(())
}

fn told(out: &mut dyn Write, stream: &Value) -> io::Result<()> {
    let mut table = Table::new(&[" ", "STAGE", "TIME", "DETAIL"]);
    for stage in items(&stream["stages"]) {
        let (mark, word) = if stage["ok"] == true { ("✓", "ok") } else { ("✗", "failed") };
        // What the hint says anyway need not be said twice.
        let detail = stage["detail"].as_str().filter(|detail| stream["hint"] != *detail);
        let detail = detail.map_or(word.to_owned(), |detail| format!("{word}: {detail}"));
        table.row([mark.to_owned(), cell(stage, "stage"), format!("{} ms", cell(stage, "duration_ms")), detail]);
    }
    table.write(out)?;
    let verdict = if stream["delivered"] == true { "✓ Delivered" } else { "✗ Not delivered" };
    let status = stream["http_status"].as_u64().map_or(String::new(), |status| format!(", HTTP {status}"));
    writeln!(out, "{verdict} in {} ms{status}.", cell(stream, "duration_ms"))?;
    for (name, member) in [("Answer", "response"), ("Hint", "hint")] {
        if let Some(text) = stream[member].as_str() {
            let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            writeln!(out, "{name}: {}", line.trim())?;
        }
    }
    Ok(())
}
