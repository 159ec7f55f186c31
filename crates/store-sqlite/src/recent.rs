//! The newest events, by type and severity: walked through from the newest on, since no index is kept for what only people ask.
//!
//! A page ends where it has looked at so many events, and the next one goes on from there. Sealed partitions that are known to hold nothing
//! of what is wanted cost nothing.

use std::ops::ControlFlow;

use rusqlite::{Connection, params};
use toktra_siem_core::ids::Seq;
use toktra_siem_store::events::EventRecord;
use toktra_siem_store::insight::{EventPage, EventQuery};

use super::append;
use super::batch::{self, Order};
use super::codec::{Word, key};
use super::fault::Outcome;
use super::read::{self, OrgRef, Wanted};

/// Events that are looked at for one page.
const LOOKED_AT: usize = 10_000;

/// A page of the org's events.
pub(super) fn page(conn: &Connection, org: OrgRef, query: &EventQuery) -> Outcome<EventPage> {
    let head = append::head(conn, org.num)?;
    let before = |at| read::accepted_before(conn, org.num, at, head);
    let first = query.from.map_or(Ok(Seq(0)), before)?.next();
    let mut last = query.to.map_or(Ok(head), before)?;
    if let Some(before) = query.before {
        last = last.min(Seq(before.0.saturating_sub(1)));
    }
    let (found, next) = walk(conn, org, first, last, query)?;
    let mut items = Vec::with_capacity(found.len());
    for record in found {
        let payload = read::payload(conn, org, record.seq)?;
        items.push((record, payload));
    }
    Ok(EventPage { items, next })
}

/// What is wanted among the sequences from `first` to `last`, and before which one to go on.
fn walk(
    conn: &Connection,
    org: OrgRef,
    first: Seq,
    last: Seq,
    query: &EventQuery,
) -> Outcome<(Vec<EventRecord>, Option<Seq>)> {
    let (mut found, mut looked_at, mut reached) = (Vec::new(), 0, last.next());
    for number in read::partitions(conn, org.num, first, last, Wanted::Records)?.into_iter().rev() {
        if holds_none(conn, org.num, number, query)? {
            continue;
        }
        let mut full = false;
        batch::walk(conn, number, (key(org.num, first), key(org.num, last)), Order::Down, |_, record| {
            let wanted = query.wants(record.event_type, record.severity);
            if looked_at == LOOKED_AT || (wanted && found.len() == query.limit) {
                full = true;
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            reached = record.seq;
            if wanted {
                found.push(record);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if full {
            return Ok((found, Some(reached)));
        }
    }
    Ok((found, None))
}

/// Whether the partition's tally, where it has one, says that it holds nothing of what is wanted.
fn holds_none(conn: &Connection, org: i64, number: i64, query: &EventQuery) -> Outcome<bool> {
    let tallied = "SELECT 1 FROM partition WHERE number = ?1 AND tallied = 1";
    if !conn.prepare_cached(tallied)?.exists([number])? {
        return Ok(false);
    }
    let wanted = "SELECT 1 FROM tally WHERE org = ?1 AND partition = ?2
         AND (?3 IS NULL OR event_type = ?3) AND (?4 IS NULL OR severity = ?4)";
    let (event_type, severity) = (query.event_type.map(Word::number), query.severity.map(Word::number));
    Ok(!conn.prepare_cached(wanted)?.exists(params![org, number, event_type, severity])?)
}
