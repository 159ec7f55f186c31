//! One request of an import, until it has come to an end: repeated where that does no harm, taken apart where a line in it is bad.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;
use toktra_siem_core::destination::Reply;
use toktra_siem_wire::{Accepted, Lenient};

use super::lines::{Bad, Line};
use crate::CliError;
use crate::client::{self, Client, Refusal};

/// How long a request is repeated where the server has no room, or is not there. Every event has its id: none is kept twice.
const PATIENCE: Duration = Duration::from_mins(5);
/// The longest pause before a lost connection is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What came of a shipment.
#[derive(Debug, Default)]
pub(super) struct Shipped {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    /// Duplicates whose content is another.
    pub(super) differing: u64,
    pub(super) bad: Vec<Bad>,
    /// Why it ended before its last line.
    pub(super) failed: Option<CliError>,
}

/// Sends lines. Bad ones are passed by with `skip`; otherwise the first ends it, and no line behind it is sent.
pub(super) async fn ship(client: &Client, lines: Vec<Line>, skip: bool) -> Shipped {
    let mut shipped = Shipped::default();
    // The next to be sent is the last.
    let mut left = vec![lines];
    while let Some(lines) = left.pop() {
        if lines.is_empty() {
            continue;
        }
        let reply = match answered(client, body(&lines)).await {
            Ok(reply) => reply,
            Err(error) => {
                shipped.failed = Some(error);
                return shipped;
            }
        };
        let refusal = match counted(&reply, &mut shipped) {
            Ok(()) => continue,
            Err(refusal) => refusal,
        };
        match judged(refusal, &lines) {
            Err(error) => {
                shipped.failed = Some(error);
                return shipped;
            }
            Ok(Found::Somewhere) => {
                let mut first = lines;
                let second = first.split_off(first.len() / 2);
                left.extend([second, first]);
            }
            Ok(Found::Bad(mut bad)) if skip => {
                let good = |line: &Line| !bad.iter().any(|bad| bad.number == line.number);
                left.push(lines.into_iter().filter(good).collect());
                shipped.bad.append(&mut bad);
            }
            Ok(Found::Bad(bad)) => {
                let Some(first) = bad.into_iter().min_by_key(|bad| bad.number) else { continue };
                left = vec![lines.into_iter().filter(|line| line.number < first.number).collect()];
                // What is behind an earlier bad line is not sent any more.
                shipped.bad = vec![first];
            }
        }
    }
    shipped.bad.sort_by_key(|bad| bad.number);
    shipped
}

fn body(lines: &[Line]) -> Bytes {
    let mut body = BytesMut::with_capacity(lines.iter().map(|line| line.text.len() + 1).sum());
    for line in lines {
        body.put_slice(&line.text);
        body.put_u8(b'\n');
    }
    body.freeze()
}

/// An answer that is worth looking at.
async fn answered(client: &Client, body: Bytes) -> Result<Reply, CliError> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(500);
    loop {
        let sent = client.post_lines(body.clone()).await;
        let patient = began.elapsed() < PATIENCE;
        match sent {
            Ok(reply)
                if (reply.status >= 500 && reply.status != 507 || matches!(reply.status, 408 | 429)) && patient =>
            {
                tokio::time::sleep(client::asked(reply.retry_after.as_deref())).await;
            }
            Ok(reply) => return Ok(reply),
            Err(failure) if failure.misconfigured() || !patient => return Err(client.no_answer(&failure)),
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

/// Counts what was taken in.
fn counted(reply: &Reply, shipped: &mut Shipped) -> Result<(), Option<Refusal>> {
    if reply.status != 202 {
        return Err(Refusal::of(reply));
    }
    let answer: Accepted<Lenient> = serde_json::from_slice(&reply.body).map_err(|_| None)?;
    shipped.accepted += answer.accepted;
    shipped.duplicates += answer.duplicates;
    shipped.differing += answer.events.iter().filter(|event| event.differs == Some(true)).count() as u64;
    Ok(())
}

/// What is wrong with a request that was refused for what it holds.
enum Found {
    /// These lines.
    Bad(Vec<Bad>),
    /// One or more, and it is not said which.
    Somewhere,
}

/// Whether lines are to blame; every other refusal ends the import.
fn judged(refusal: Option<Refusal>, lines: &[Line]) -> Result<Found, CliError> {
    let Some(refusal) = refusal else { return Err(client::not_ours(202)) };
    if !matches!(refusal.status, 400 | 413 | 422) {
        return Err(refusal.into());
    }
    let mut bad: Vec<Bad> = Vec::new();
    for field in &refusal.problem.fields {
        let index = field.pointer.split('/').nth(1).and_then(|index| index.parse::<usize>().ok());
        let Some(line) = index.and_then(|index| lines.get(index)) else { continue };
        match bad.iter_mut().find(|bad| bad.number == line.number) {
            Some(known) => known.reason = format!("{}; {}", known.reason, field.message),
            None => bad.push(told(line, &field.message)),
        }
    }
    match (bad.is_empty(), lines) {
        (false, _) => Ok(Found::Bad(bad)),
        (true, [only]) => Ok(Found::Bad(vec![told(only, &refusal.problem.message)])),
        (true, _) => Ok(Found::Somewhere),
    }
}

fn told(line: &Line, reason: &str) -> Bad {
    Bad { number: line.number, reason: reason.to_owned(), text: String::from_utf8_lossy(&line.text).into_owned() }
}
