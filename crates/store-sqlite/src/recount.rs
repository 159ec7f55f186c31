//! Counting anew from the rows, to check the counters (invariant D1). It reads every compact record of the stream: a diagnosis, not a
//! query for every day.

use rusqlite::Connection;
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::ids::Seq;
use toktra_siem_store::org::StreamFate;

use super::codec::from_json;
use super::fate::Teller;
use super::fault::Outcome;
use super::read;
use super::streams::StreamRow;

/// Records read at a time.
const PIECE: usize = 4096;

/// What the rows say, with what those said that retention removed.
pub(super) fn recount(conn: &Connection, stream: &StreamRow) -> Outcome<Counts> {
    let mut counts = archived(conn, stream)?;
    counts += tally(conn, stream, stream.archived_to, stream.cursor)?;
    Ok(counts)
}

/// What the rows said that are gone. Where that cannot be read, it is what the counters have beyond the rows that are there.
fn archived(conn: &Connection, stream: &StreamRow) -> Outcome<Counts> {
    match from_json(&stream.archived) {
        Ok(archived) => Ok(archived),
        Err(_) => Ok(stream.counts - tally(conn, stream, stream.archived_to, stream.cursor)?),
    }
}

/// Where the events after `after` up to `to` are.
pub(super) fn tally(conn: &Connection, stream: &StreamRow, after: Seq, to: Seq) -> Outcome<Counts> {
    let mut counts = Counts::default();
    let mut teller = Teller::new(conn, stream)?;
    let mut at = after;
    while at < to {
        let records = read::records(conn, stream.org_num, at.next(), to, PIECE)?;
        // Where no record can be read, the sequence is all that is known.
        let end = if records.len() < PIECE { to } else { records.last().map_or(to, |record| record.seq) };
        let mut records = records.into_iter().peekable();
        while at < end {
            at = at.next();
            let record = records.next_if(|record| record.seq == at);
            counts += one(&teller.fate_of(at, record.map(|event| (event.event_type, event.severity)))?);
        }
    }
    Ok(counts)
}

/// The counts of a single event with this fate.
fn one(fate: &StreamFate) -> Counts {
    let mut counts = Counts::default();
    let place = match fate {
        StreamFate::Before => return counts,
        StreamFate::Pending { .. } => &mut counts.pending,
        StreamFate::Delivered { .. } => &mut counts.delivered,
        StreamFate::Rejected { .. } => &mut counts.rejected,
        StreamFate::Failed { .. } => &mut counts.failed,
        StreamFate::Expired => &mut counts.expired,
        StreamFate::Damaged => &mut counts.damaged,
        StreamFate::Discarded => &mut counts.discarded,
        StreamFate::Skipped => &mut counts.skipped,
        StreamFate::Filtered { .. } => &mut counts.filtered,
    };
    *place = 1;
    counts
}
