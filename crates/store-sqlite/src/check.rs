//! Whether a database is whole: SQLite's own check of the file, what runs say of themselves, and the checksum of every event. Repair, backup and
//! restore ask.

use rusqlite::Connection;
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_store::batch::{Payload, checksum, read_body, read_head};
use uuid::Uuid;

use super::codec::{key_org, key_seq, len};
use super::fault::Outcome;
use super::{append, batch, convert, damage, evict, read, streams};

/// How SQLite looks at the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// Every page, and every index against its table.
    All,
    /// Every page.
    Quickly,
}

/// How many events there are with their payload; `None` where something is damaged.
pub(super) fn whole(conn: &Connection, pages: Pages) -> Option<u64> {
    check(conn, pages).ok().flatten()
}

fn check(conn: &Connection, pages: Pages) -> Outcome<Option<u64>> {
    let question = match pages {
        Pages::All => "PRAGMA integrity_check(1)",
        Pages::Quickly => "PRAGMA quick_check(1)",
    };
    let found: String = conn.query_row(question, [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(None);
    }
    let numbers = |sql: &str| -> Outcome<Vec<i64>> {
        Ok(conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    };
    let mut payloads = Payloads::default();
    for number in numbers("SELECT number FROM partition ORDER BY number")? {
        if !heads_are_whole(conn, number)? || !bodies_are_whole(conn, number, &mut payloads)? {
            return Ok(None);
        }
    }
    for org in numbers("SELECT num FROM org")? {
        if !has_what_is_needed(conn, org, &payloads)? {
            return Ok(None);
        }
    }
    Ok(Some(payloads.events))
}

/// Where payloads are.
#[derive(Default)]
struct Payloads {
    /// How many.
    events: u64,
    /// Their keys, as first and last.
    keys: Vec<(i64, i64)>,
}

impl Payloads {
    fn add(&mut self, key: i64) {
        self.events += 1;
        match self.keys.last_mut() {
            Some((_, last)) if *last + 1 == key => *last = key,
            _ => self.keys.push((key, key)),
        }
    }
}

/// Whether each head is what was written for its key, and its columns say the same.
fn heads_are_whole(conn: &Connection, number: i64) -> Outcome<bool> {
    if !convert::has(conn, &format!("head_{number}"))? {
        return Ok(true);
    }
    let mut statement = conn.prepare(&format!("SELECT key, events, accepted_at, head FROM head_{number}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, events, accepted_at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let records = read_head(key, key_seq(key), batch::blob(row, 3)?).unwrap_or_default();
        if records.first().map(|first| first.accepted_at.0) != Some(accepted_at) || len(records.len()) != events {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether each body's columns say the same as what is in it, and each payload is what was accepted under its key.
fn bodies_are_whole(conn: &Connection, number: i64, payloads: &mut Payloads) -> Outcome<bool> {
    if !convert::has(conn, &format!("body_{number}"))? {
        return Ok(true);
    }
    let mut statement = conn.prepare(&format!("SELECT key, events, present, body FROM body_{number} ORDER BY key"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (place, events, there): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Some(found) = read_body(batch::blob(row, 3)?) else { return Ok(false) };
        if len(found.len()) != events || len(found.iter().flatten().count()) != there {
            return Ok(false);
        }
        let records = batch::records(conn, number, (place, place.saturating_add(events - 1)), usize::MAX)?;
        let mut records = records.into_iter().peekable();
        for (key, payload) in (place..).zip(found) {
            let record = records.next_if(|record| record.seq == key_seq(key));
            let Some(Payload { crc, bytes }) = payload else { continue };
            let event = record.map(|record| record.with_payload(OrgId(Uuid::nil()), bytes));
            if event.is_none_or(|event| checksum(key, &event) != crc) {
                return Ok(false);
            }
            payloads.add(key);
        }
    }
    Ok(true)
}

/// Whether every payload that a stream of the org still needs is there, or is noted as damaged: so a repair leaves what it took out.
fn has_what_is_needed(conn: &Connection, org: i64, payloads: &Payloads) -> Outcome<bool> {
    let (first, last) = (read::accounted_to(conn, org)?.next(), append::head(conn, org)?);
    let there = payloads.keys.iter().filter(|(from, _)| key_org(*from) == org);
    let there = there.map(|(from, to)| (key_seq(*from).0, key_seq(*to).0)).collect();
    let streams: Vec<_> = streams::of_org(conn, org)?.into_iter().filter(|stream| !stream.removed).collect();
    for (from, to) in evict::complement(there, first.0, last.0) {
        for (from, to) in evict::owed(conn, &streams, from, to)? {
            let before = Seq(from.0 - 1);
            if (damage::noted(conn, org, before, to)?.len() as u64) < before.until(to) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
