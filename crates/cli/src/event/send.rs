//! `event send`: events from a file or standard input to a server.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use toktra_siem_wire::{Accepted, AcceptedEvent, Lenient};

use super::lines::REQUEST_BYTES;
use crate::answer::Answer;
use crate::client::OrgOptions;
use crate::output::counted;
use crate::{CliError, World};

/// So many events are listed by their ids.
const LISTED: usize = 20;

/// What is sent, and where.
#[derive(Debug, Args)]
pub struct SendOptions {
    #[command(flatten)]
    server: OrgOptions,
    /// Read this file instead of standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Answer as JSON: {"accepted":1,"duplicates":0,"events":[…]}
    #[arg(long)]
    json: bool,
}

/// What became of all requests, as of one; the events as they came.
#[derive(Default, Serialize, Deserialize)]
struct Sent {
    accepted: u64,
    duplicates: u64,
    events: Vec<Box<RawValue>>,
}

pub(super) async fn run(options: &SendOptions, world: &mut World<'_>) -> Result<(), CliError> {
    let client = options.server.client(world)?;
    let input = read(options, world)?;
    let mut sent = Sent::default();
    for (kind, body) in requests(&input) {
        let answer = client.post_bytes("/v1/events", kind, Bytes::copy_from_slice(body)).await;
        let answer = answer.and_then(|answer: Answer<Accepted<Lenient>>| answer.parts::<Sent>());
        let one = answer.map_err(|error| so_far(error, &sent))?;
        sent.accepted += one.accepted;
        sent.duplicates += one.duplicates;
        sent.events.extend(one.events);
    }
    let events: Vec<AcceptedEvent<Lenient>> = sent
        .events
        .iter()
        .map(|one| serde_json::from_str(one.get()))
        .collect::<Result<_, _>>()
        .map_err(CliError::failed)?;
    world.answer(&if options.json {
        serde_json::to_string(&sent).map_err(CliError::failed)? + "\n"
    } else {
        format!("{} accepted, {} already there.\n{}", sent.accepted, sent.duplicates, listed(&events))
    })?;
    lost(events.iter().filter(|one| one.differs == Some(true)).count() as u64)
}

/// The id of each event, for whoever asks what became of it; of many, nothing.
fn listed(events: &[AcceptedEvent<Lenient>]) -> String {
    if events.len() > LISTED {
        return String::new();
    }
    let differs = |one: &AcceptedEvent<Lenient>| if one.differs == Some(true) { ", with another content" } else { "" };
    let lines = events.iter().map(|one| format!("{} {}{}", one.event_id, one.status, differs(one)));
    lines.chain([String::new()]).collect::<Vec<_>>().join("\n")
}

/// Says that events were not kept, because others have their ids.
pub(super) fn lost(differing: u64) -> Result<(), CliError> {
    if differing == 0 {
        return Ok(());
    }
    Err(CliError::Lost(format!(
        "{} not kept: the server has another event under the same event_id. Give what is new an id of its own.",
        was(differing)
    )))
}

fn was(events: u64) -> String {
    format!("{} {}", counted(events, "event"), if events == 1 { "was" } else { "were" })
}

fn read(options: &SendOptions, world: &mut World<'_>) -> Result<Vec<u8>, CliError> {
    let mut input = Vec::new();
    if let Some(path) = &options.file {
        let read = std::fs::read(path);
        input = read.map_err(|error| CliError::Usage(format!("{} cannot be read: {error}.", path.display())))?;
    } else {
        world.stdin.read_to_end(&mut input)?;
    }
    if input.trim_ascii().is_empty() {
        return Err(CliError::Usage("There is nothing to send: the input is empty.".to_owned()));
    }
    Ok(input)
}

/// What was taken in before it failed is there to stay.
fn so_far(error: CliError, sent: &Sent) -> CliError {
    match error {
        CliError::Failed(text) if !sent.events.is_empty() => {
            CliError::Failed(format!("{text}\nBefore that, {} events were accepted.", sent.accepted))
        }
        other => other,
    }
}

/// A JSON document as it is; lines in requests of [`REQUEST_BYTES`].
fn requests(input: &[u8]) -> Vec<(&'static str, &[u8])> {
    if serde_json::from_slice::<IgnoredAny>(input).is_ok() {
        return vec![("application/json", input)];
    }
    let (mut cuts, mut end) = (vec![0], 0);
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let begin = cuts[cuts.len() - 1];
        if end > begin && end + line.len() - begin > REQUEST_BYTES {
            cuts.push(end);
        }
        end += line.len();
    }
    cuts.push(end);
    let requests = cuts.windows(2).map(|cut| ("application/x-ndjson", &input[cut[0]..cut[1]]));
    requests.filter(|(_, request)| !request.trim_ascii().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_goes_out_whole_and_lines_in_bounded_requests_without_losing_any() {
        let document = b"[\n{\"event_type\":\"anomaly\"}\n]\n";
        assert_eq!(requests(document), [("application/json", &document[..])]);
        let line = format!("{{\"summary\":\"{}\"}}\n", "x".repeat(1000));
        let lines = line.repeat(3000);
        let requests = requests(lines.as_bytes());
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|(_, body)| body.len() <= REQUEST_BYTES && body.ends_with(b"}\n")));
        assert_eq!(requests.iter().map(|(_, body)| body.len()).sum::<usize>(), lines.len());
        let long = format!("{{\"a\":1}}\n{{\"b\":\"{}\"}}\n{{\"c\":1}}", "y".repeat(2 * REQUEST_BYTES));
        assert_eq!(self::requests(long.as_bytes()).len(), 3);
    }
}
