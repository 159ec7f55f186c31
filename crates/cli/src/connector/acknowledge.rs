//! `connector acknowledge`: somebody knows that a connector does not deliver; until the time that they give, nobody else is told of it.

use clap::Args;
use toktra_siem_core::time::Timestamp;
use toktra_siem_wire::Acknowledge;

use super::path;
use crate::answer::Health;
use crate::client::Call;
use crate::given::until;
use crate::{CliError, World};

/// Which connector, what is known, and until when.
#[derive(Debug, Args)]
pub struct AcknowledgeOptions {
    /// The connector: its name or id
    connector: String,
    /// What is known about it, such as the number of a change
    #[arg(long, required_unless_present = "end")]
    note: Option<String>,
    /// Until when, such as 4h for four hours from now, or 2030-01-15T10:30:00Z; at most 30d
    #[arg(long, value_name = "TIME", value_parser = until, required_unless_present = "end")]
    until: Option<Timestamp>,
    /// Take it back: notification channels are told of the connector again
    #[arg(long, conflicts_with_all = ["note", "until"])]
    end: bool,
    #[command(flatten)]
    call: Call,
}

pub(super) async fn run(options: AcknowledgeOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let (client, connector) = options.call.connector(&options.connector, world).await?;
    let (path, name) = (path(&connector, "/acknowledge"), connector.name);
    let answer = match (options.note, options.until) {
        (Some(note), Some(until)) => client.post::<Health>(&path, &Acknowledge { note, until }).await?,
        _ => client.delete::<Health>(&path, None).await?,
    };
    options.call.output.done(world, &answer, |health| match &health.acknowledged {
        Some(known) => {
            let sooner = if known.outage.is_some() { "it delivers again, at the latest " } else { "" };
            format!("{name} is acknowledged until {sooner}{}: {}", known.until, known.note)
        }
        None => format!("Notification channels are told of {name} again."),
    })
}
