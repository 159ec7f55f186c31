//! Whether there is anything to repair: SQLite's own check of the file, and the checksum of every event.

use rusqlite::Connection;
use toktra_siem_core::ids::{OrgId, Seq};
use uuid::Uuid;

use super::super::codec::MAX_SEQ;
use super::super::fault::Outcome;
use super::super::read::{self, OrgRef};
use crate::events::ReadLimit;

/// Events read at a time.
const PIECE: usize = 1024;

/// Whether nothing is damaged.
pub(super) fn is_whole(conn: &Connection) -> bool {
    check(conn).unwrap_or(false)
}

fn check(conn: &Connection) -> Outcome<bool> {
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(false);
    }
    let orgs: Vec<i64> =
        conn.prepare("SELECT num FROM org")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for num in orgs {
        read_all(conn, OrgRef { id: OrgId(Uuid::nil()), num })?;
    }
    Ok(true)
}

/// Reading checks each event.
fn read_all(conn: &Connection, org: OrgRef) -> Outcome<()> {
    let limit = ReadLimit { events: PIECE, bytes: usize::MAX };
    let mut next = Seq(0);
    loop {
        let events = read::events(conn, org, next, Seq(MAX_SEQ), limit)?;
        let Some(last) = events.last() else { return Ok(()) };
        next = last.seq.next();
    }
}
