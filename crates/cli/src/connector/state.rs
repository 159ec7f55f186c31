//! `connector health` and `connector accounting`: how connectors stand, and where their events are.

use clap::Args;
use toktra_siem_wire::{HealthState, Part};

use super::{all, find, path};
use crate::answer::{Accounting, Answer, Health};
use crate::client::Call;
use crate::output::table;
use crate::{CliError, World, cells};

/// Which connectors.
#[derive(Debug, Args)]
pub struct StateOptions {
    /// The connector: its name or id [default: all]
    connector: Option<String>,
    #[command(flatten)]
    call: Call,
}

/// What the API says below each connector that is wanted, and what `text` says of all of it.
async fn look<T: Part>(
    options: &StateOptions,
    below: &str,
    text: impl FnOnce(&[T]) -> String,
    world: &mut World<'_>,
) -> Result<Vec<T>, CliError> {
    let StateOptions { connector, call } = options;
    let client = call.server.client(world)?;
    let connectors = match connector {
        Some(one) => vec![find(&client, one).await?],
        None => all(&client).await?.read()?,
    };
    let mut answers: Vec<Answer<T>> = Vec::new();
    for one in &connectors {
        answers.push(client.get(&path(one, below)).await?);
    }
    let said = || Ok(text(&answers.iter().map(Answer::read).collect::<Result<Vec<T>, _>>()?));
    // Of one that is named, the API's answer alone.
    let said = match (connector, answers.as_slice()) {
        (Some(_), [one]) => call.output.rendered(one, said),
        (_, several) => call.output.rendered(&several, said),
    };
    world.say(said?)?;
    answers.iter().map(Answer::read).collect()
}

pub(super) async fn health(options: &StateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let text = |views: &[Health]| {
        let rows = views.iter().flat_map(|view| view.streams.iter().map(move |stream| (view, stream)));
        let rows = rows.map(|(view, stream)| {
            let (lag, last) = (format!("{} s", stream.lag_seconds), &stream.last_success);
            let known = view.acknowledged.as_ref();
            let known =
                known.map_or_else(String::new, |known| format!("; acknowledged until {}: {}", known.until, known.note));
            let said = format!("{}{known}", stream.sentence);
            cells![view.name, stream.stream, stream.state, stream.undelivered.total, lag, last, said]
        });
        table(["NAME", "STREAM", "STATE", "UNDELIVERED", "LAG", "LAST SUCCESS", "HOW IT STANDS"], rows)
    };
    let views = look::<Health>(options, "/health", text, world).await?;
    let known = [HealthState::Degraded, HealthState::Misconfigured, HealthState::Stalled];
    let unwell = |view: &&Health| known.iter().any(|state| view.state == *state);
    let unwell: Vec<&Health> = views.iter().filter(unwell).collect();
    if unwell.is_empty() {
        return Ok(());
    }
    // A test says nothing of what is this server's own fault.
    let ours = |view: &&Health| {
        let mut errors = view.streams.iter().filter_map(|stream| stream.last_error.as_ref());
        view.state == HealthState::Stalled
            || errors.any(|error| error.cause.is_own_failure() || error.cause.is_damage())
    };
    let stalled = |view: &&Health| view.state == HealthState::Stalled;
    let hint = if unwell.iter().all(stalled) {
        "This server does not get on with its own work, and its log says more: restart it."
    } else if unwell.iter().all(ours) {
        "The fault is in the database of this server, and its log says more."
    } else {
        "`toktra-siem connector test` shows where it fails."
    };
    let names: Vec<&str> = unwell.iter().map(|view| view.name.as_str()).collect();
    Err(CliError::Failed(format!("Not healthy: {}. {hint}", names.join(", "))))
}

pub(super) async fn accounting(options: &StateOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let text = |views: &[Accounting]| {
        let head = [
            "NAME",
            "STREAM",
            "ACCEPTED",
            "DELIVERED",
            "REJECTED",
            "FAILED",
            "EXPIRED",
            "DAMAGED",
            "DISCARDED",
            "SKIPPED",
            "PENDING",
            "FILTERED",
        ];
        let rows = views.iter().flat_map(|view| view.streams.iter().map(move |stream| (&view.name, stream)));
        // Where an event can be, in the order of the documentation.
        let rows = rows.map(|(name, s)| {
            cells![
                name,
                s.stream,
                s.accepted,
                s.delivered,
                s.rejected,
                s.failed,
                s.expired,
                s.damaged,
                s.discarded,
                s.skipped,
                s.pending,
                s.filtered
            ]
        });
        table(head, rows)
    };
    let views = look::<Accounting>(options, "/accounting", text, world).await?;
    if views.iter().all(|view| view.adds_up) {
        return Ok(());
    }
    Err(CliError::Failed("The accounts do not add up. This is a defect of the service: please report it.".to_owned()))
}
