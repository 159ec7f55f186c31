//! `connector delete`: says what is lost with it, and asks.

use clap::Args;
use serde_json::Value;

use super::{find, path, revision};
use crate::client::{Client, OrgOptions};
use crate::output::{Output, cell, counted, items};
use crate::{CliError, World, confirm};

/// Which connector.
#[derive(Debug, Args)]
pub struct DeleteOptions {
    /// The connector: its name or id
    connector: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: OrgOptions,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(options: &DeleteOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let connector = find(&client, &options.connector).await?;
    let loss = loss(&client, &connector).await?;
    let question = format!(
        "This deletes the connector \"{}\" ({}) and {loss}.",
        cell(&connector, "name"),
        cell(&connector, "platform")
    );
    confirm::ask(&question, options.yes, world)?;
    let answer = client.delete(&path(&connector, ""), revision(&connector)).await?;
    options.output.done(world, &answer, |out| writeln!(out, "Deleted: {}; this {loss}.", cell(&connector, "name")))
}

/// What goes with a connector, as the end of a sentence.
pub(super) async fn loss(client: &Client, connector: &Value) -> Result<String, CliError> {
    Ok(discards(&client.get(&path(connector, "/accounting")).await?))
}

/// Pending events and parked ones, by stream where there are several.
fn discards(accounting: &Value) -> String {
    let streams = items(&accounting["streams"]);
    let count = |stream: &Value| {
        let of = |name: &str| stream[name].as_i64().unwrap_or(0).max(0).unsigned_abs();
        of("pending") + of("failed")
    };
    match streams {
        all if all.iter().all(|stream| count(stream) == 0) => "discards no events: none waits for it".to_owned(),
        [one] => format!("discards {} that wait for it", counted(count(one), "event")),
        several => {
            let named: Vec<String> = several.iter().map(|s| format!("{} of {}", count(s), cell(s, "stream"))).collect();
            format!("discards the events that wait for it ({})", named.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_loss_counts_what_is_pending_and_what_is_parked() {
        let streams = |streams: Value| discards(&json!({ "streams": streams }));
        assert!(streams(json!([{"stream": "events", "pending": 0, "failed": 0}])).contains("no events"));
        let one = streams(json!([{"stream": "events", "pending": 3, "failed": 4}]));
        assert_eq!(one, "discards 7 events that wait for it");
        let two =
            json!([{"stream": "logs", "pending": 3, "failed": 0}, {"stream": "metrics", "pending": 0, "failed": 0}]);
        assert_eq!(streams(two), "discards the events that wait for it (3 of logs, 0 of metrics)");
    }
}
