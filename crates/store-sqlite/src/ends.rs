//! Where an org's events end in the open partition: what its next sequence follows from. A flipped bit in the row that tells must neither give a
//! sequence again nor leave out a million of them.
//!
//! Each group writes a head and a body under the same key, and nothing of an open partition is taken away, so one of the two tells where the
//! other one cannot be believed. A head is believed as far as its checksum holds, which is over its key too; any other row where it follows
//! what was believed so far.

use rusqlite::{Connection, OptionalExtension, Row};
use toktra_siem_core::ids::Seq;
use toktra_siem_store::batch::{MAX_EVENTS, head_len, is_head};

use super::batch;
use super::codec::{key_seq, keys_of, len, uint};
use super::fault::Outcome;

/// A row of either table, by its key and the number of its events.
#[derive(Clone, Copy)]
struct Told {
    key: i64,
    events: i64,
    /// It is a head that is whole.
    whole: bool,
}

/// The last sequence of the org in the partition; `before` where it has none there.
pub(super) fn last(conn: &Connection, number: i64, org: i64, before: Seq) -> Outcome<Seq> {
    let (first, last) = keys_of(org);
    let newest = |sql: String, row: fn(&Row<'_>) -> rusqlite::Result<Told>| {
        let sql = format!("{sql} ORDER BY key DESC LIMIT 1");
        conn.prepare_cached(&sql)?.query_row([first, last], row).optional()
    };
    // A page of payloads that cannot be read is no reason to doubt what the heads say.
    let told = match (newest(heads(number), of_head)?, newest(bodies(number), of_body).ok()) {
        (None, Some(None)) => return Ok(before),
        (Some(head), None) if head.whole => vec![head],
        (Some(head), Some(Some(body))) if head.key == body.key && (head.whole || head.events == body.events) => {
            vec![Told { whole: true, ..head }]
        }
        _ => {
            let mut statement = conn.prepare_cached(&heads(number))?;
            let mut told: Vec<Told> = statement.query_map([first, last], of_head)?.collect::<rusqlite::Result<_>>()?;
            let mut statement = conn.prepare_cached(&bodies(number))?;
            told.extend(statement.query_map([first, last], of_body)?.map_while(Result::ok));
            told.sort_unstable_by_key(|told| told.key);
            told
        }
    };
    Ok(told.into_iter().fold(before, |last, Told { key, events, whole }| {
        let follows = key_seq(key) == last.next() && events <= len(MAX_EVENTS);
        if events > 0 && (whole || follows) { last.max(Seq(key_seq(key).0 + uint(events) - 1)) } else { last }
    }))
}

fn heads(number: i64) -> String {
    format!("SELECT key, events, head FROM head_{number} WHERE key BETWEEN ?1 AND ?2")
}

fn of_head(row: &Row<'_>) -> rusqlite::Result<Told> {
    let (key, bytes) = (row.get(0)?, batch::blob(row, 2)?);
    let whole = is_head(key, bytes);
    let said = head_len(bytes).filter(|_| whole).map(len);
    Ok(Told { key, events: said.map_or_else(|| row.get(1), Ok)?, whole })
}

fn bodies(number: i64) -> String {
    format!("SELECT key, events FROM body_{number} WHERE key BETWEEN ?1 AND ?2")
}

fn of_body(row: &Row<'_>) -> rusqlite::Result<Told> {
    Ok(Told { key: row.get(0)?, events: row.get(1)?, whole: false })
}
