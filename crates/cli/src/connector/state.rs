//! `connector health` and `connector accounting`: how connectors stand, and where their events are.

use clap::Args;
use serde_json::{Value, json};

use super::{all, find, path};
use crate::client::OrgOptions;
use crate::output::{Output, Table, cell, items};
use crate::{CliError, World};

/// Which connectors.
#[derive(Debug, Args)]
pub struct StateOptions {
    /// The connector: its name or id [default: all]
    connector: Option<String>,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

/// Each connector that is wanted with what the API says below it; the API's answer alone where one is named.
async fn look(
    options: &StateOptions,
    below: &str,
    world: &World<'_>,
) -> Result<(Vec<(String, Value)>, Value), CliError> {
    let client = options.server.client(world)?;
    let connectors = match &options.connector {
        Some(one) => vec![find(&client, one).await?],
        None => all(&client).await?,
    };
    let mut found = Vec::new();
    for connector in connectors {
        found.push((cell(&connector, "name"), client.get(&path(&connector, below)).await?));
    }
    let json = match (&options.connector, found.as_slice()) {
        (Some(_), [(_, one)]) => one.clone(),
        (_, several) => several.iter().map(|(name, view)| with_name(name, view)).collect(),
    };
    Ok((found, json))
}

fn with_name(name: &str, view: &Value) -> Value {
    let mut view = view.clone();
    view["name"] = json!(name);
    view
}

pub(super) async fn health(options: &StateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (connectors, json) = look(options, "/health", world).await?;
    options.output.show(world, &json, |out| {
        let mut table = Table::new(&["NAME", "STREAM", "STATE", "UNDELIVERED", "LAG", "LAST SUCCESS", "HOW IT STANDS"]);
        for (name, view) in &connectors {
            for stream in items(&view["streams"]) {
                let lag = stream["lag_seconds"].as_u64().map_or("-".to_owned(), |seconds| format!("{seconds} s"));
                // The newest error alone tells of nothing that is mended since.
                let error = stream["last_error"]["cause"]["message"].as_str().filter(|_| stream["state"] != "healthy");
                let sentence = stream["sentence"].as_str().or(error).unwrap_or("-");
                table.row([
                    name.clone(),
                    cell(stream, "stream"),
                    cell(stream, "state"),
                    cell(&stream["undelivered"], "total"),
                    lag,
                    cell(stream, "last_success"),
                    sentence.to_owned(),
                ]);
            }
        }
        table.write(out)
    })?;
    let unwell = |view: &Value| view["state"] == "degraded" || view["state"] == "misconfigured";
    let names: Vec<&str> = connectors.iter().filter(|(_, view)| unwell(view)).map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "Not healthy: {}. `toktra-siem connector test` shows where it fails.",
        names.join(", ")
    )))
}

/// Where an event can be, in the order of the documentation.
const PLACES: [&str; 9] =
    ["accepted", "delivered", "rejected", "failed", "expired", "discarded", "skipped", "pending", "filtered"];

pub(super) async fn accounting(options: &StateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (connectors, json) = look(options, "/accounting", world).await?;
    options.output.show(world, &json, |out| {
        let head: Vec<String> = PLACES.iter().map(|place| place.to_uppercase()).collect();
        let mut table =
            Table::new(&[&["NAME", "STREAM"], &*head.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        for (name, view) in &connectors {
            for stream in items(&view["streams"]) {
                let counts = PLACES.iter().map(|place| cell(stream, place));
                table.row([name.clone(), cell(stream, "stream")].into_iter().chain(counts));
            }
        }
        table.write(out)
    })?;
    if connectors.iter().all(|(_, view)| view["adds_up"] != false) {
        return Ok(());
    }
    Err(CliError::Failed("The accounts do not add up. This is a defect of the service: please report it.".to_owned()))
}
