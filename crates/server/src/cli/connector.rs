//! `connector list`: the connectors of the key's org.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Client, ServerOptions};
use super::{CliError, World};

/// What can be done with connectors.
#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// List the connectors: name, platform, whether they send, id
    List(ListOptions),
}

/// How they are listed.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// Answer as JSON: an array of connectors as the API shows them
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: &ListOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let connectors = all(&client).await?;
    if options.json {
        writeln!(world.stdout, "{:#}", Value::Array(connectors))?;
        return Ok(());
    }
    if connectors.is_empty() {
        writeln!(world.stdout, "There are no connectors yet.")?;
        return Ok(());
    }
    let text = |connector: &Value, name: &str| connector[name].as_str().unwrap_or("-").to_owned();
    let width = connectors.iter().map(|connector| text(connector, "name").chars().count()).max().unwrap_or(0);
    for connector in &connectors {
        let active = if connector["active"] == true { "on" } else { "off" };
        let (name, platform, id) = (text(connector, "name"), text(connector, "platform"), text(connector, "id"));
        writeln!(world.stdout, "{name:width$}  {platform:13}  {active:3}  {id}")?;
    }
    Ok(())
}

/// Every page of the list.
async fn all(client: &Client) -> Result<Vec<Value>, CliError> {
    let mut connectors = Vec::new();
    let mut path = "/v1/siem/connectors?limit=100".to_owned();
    loop {
        let mut page = client.get(&path).await?;
        if let Value::Array(items) = page["items"].take() {
            connectors.extend(items);
        }
        let Some(cursor) = page["next_cursor"].as_str() else { return Ok(connectors) };
        let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        path = format!("/v1/siem/connectors?limit=100&cursor={cursor}");
    }
}
