//! The whole service at a glance: every stream, and how long its oldest event waits. Counters and compact records, never payloads.

use std::collections::HashMap;

use rusqlite::Connection;
use toktra_siem_core::delivery::ParkKind;
use toktra_siem_core::ids::{Seq, StreamId};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::StreamOverview;

use super::append;
use super::fault::Outcome;
use super::insight;
use super::read;
use super::rows;
use super::streams::{self, StreamRow};

/// Every stream of every present connector.
pub(super) fn overview(conn: &Connection) -> Outcome<Vec<StreamOverview>> {
    let mut heads: HashMap<i64, Seq> = HashMap::new();
    let mut found = Vec::new();
    for (row, connector) in streams::all(conn)? {
        let head = match heads.get(&row.org_num) {
            Some(head) => *head,
            None => *heads.entry(row.org_num).or_insert(append::head(conn, row.org_num)?),
        };
        found.push(StreamOverview::new(&connector, row.record(head)));
    }
    Ok(found)
}

/// Of each stream, when the oldest event that waits was accepted. One look for each place where it may be, along an index.
pub(super) fn oldest_undelivered(conn: &Connection, streams: Vec<StreamId>) -> Outcome<Vec<(StreamId, Timestamp)>> {
    let mut found = Vec::new();
    for id in streams {
        let Some(row) = streams::find(conn, id)?.filter(|row| !row.removed) else { continue };
        if let Some(accepted_at) = oldest(conn, &row)? {
            found.push((id, accepted_at));
        }
    }
    Ok(found)
}

fn oldest(conn: &Connection, row: &StreamRow) -> Outcome<Option<Timestamp>> {
    let head = append::head(conn, row.org_num)?;
    let failed = rows::waiting(conn, row.num, ParkKind::Failed, Seq(0), 1)?.pop().map(|parked| parked.seq);
    let pending = insight::oldest_pending(conn, row, head)?;
    let Some(first) = pending.into_iter().chain(failed).min() else { return Ok(None) };
    Ok(read::records(conn, row.org_num, first, head, 1)?.pop().map(|record| record.accepted_at))
}
