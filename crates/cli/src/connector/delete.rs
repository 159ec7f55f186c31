//! `connector delete`: says what is lost with it, and asks.

use clap::Args;
use toktra_siem_wire::ConnectorRemoved;

use super::path;
use crate::answer::{Accounting, Connector};
use crate::client::{Call, Client};
use crate::output::counted;
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
    call: Call,
}

pub(super) async fn run(options: &DeleteOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, connector) = options.call.connector(&options.connector, world).await?;
    let loss = loss(&client, &connector).await?;
    let (name, platform) = (&connector.name, connector.settings.platform);
    confirm::ask(&format!("This deletes the connector \"{name}\" ({platform}) and {loss}."), options.yes, world)?;
    let answer = client.delete::<ConnectorRemoved>(&path(&connector, ""), Some(connector.revision)).await?;
    options.call.output.done(world, &answer, |_| format!("Deleted: {name}; this {loss}."))
}

/// What goes with a connector, as the end of a sentence.
pub(super) async fn loss(client: &Client, connector: &Connector) -> Result<String, CliError> {
    Ok(discards(&client.get(&path(connector, "/accounting")).await?.read()?))
}

/// Pending events and parked ones, by stream where there are several.
fn discards(Accounting { streams, .. }: &Accounting) -> String {
    let counts: Vec<u64> = streams
        .iter()
        .map(|stream| [stream.pending, stream.failed].map(|n| n.max(0).unsigned_abs()).iter().sum())
        .collect();
    match counts.as_slice() {
        all if all.iter().all(|count| *count == 0) => "discards no events: none waits for it".to_owned(),
        [one] => format!("discards {} that wait for it", counted(*one, "event")),
        several => {
            let named = several.iter().zip(streams).map(|(count, stream)| format!("{count} of {}", stream.stream));
            format!("discards the events that wait for it ({})", named.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_loss_counts_what_is_pending_and_what_is_parked() {
        let lost = |streams: &[(&str, i64, i64)]| {
            let streams = streams.iter().map(|(stream, pending, failed)| {
                json!({
                    "stream": stream, "pending": pending, "failed": failed, "accepted": 9, "delivered": 0, "rejected": 0, "expired": 0,
                    "discarded": 0, "skipped": 0, "filtered": 0,
                })
            });
            let id = "0197a1b2-0000-7000-8000-000000000001";
            let streams: Value = streams.collect();
            let whole = json!({ "connector_id": id, "name": "x", "adds_up": true, "streams": streams });
            discards(&serde_json::from_value(whole).unwrap())
        };
        assert!(lost(&[("events", 0, 0)]).contains("no events"));
        assert_eq!(lost(&[("events", 3, 4)]), "discards 7 events that wait for it");
        let two = lost(&[("logs", 3, 0), ("metrics", 0, 0)]);
        assert_eq!(two, "discards the events that wait for it (3 of logs, 0 of metrics)");
    }
}
