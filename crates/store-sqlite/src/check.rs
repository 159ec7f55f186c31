//! Whether a database is whole: SQLite's own check of the file, and the checksum of every event. Repair, backup and restore ask.

use rusqlite::Connection;
use toktra_siem_core::ids::{OrgId, Seq};
use toktra_siem_store::events::ReadLimit;
use uuid::Uuid;

use super::codec::MAX_SEQ;
use super::fault::{Fault, Outcome};
use super::read::{self, OrgRef};

/// Events read at a time.
const PIECE: usize = 1024;

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
    let orgs: Vec<i64> =
        conn.prepare("SELECT num FROM org")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut events = 0;
    for num in orgs {
        events += read_all(conn, OrgRef { id: OrgId(Uuid::nil()), num })?;
    }
    Ok(Some(events))
}

/// Reading checks each event.
fn read_all(conn: &Connection, org: OrgRef) -> Outcome<u64> {
    let limit = ReadLimit { events: PIECE, bytes: usize::MAX };
    let (mut next, mut count) = (Seq(0), 0);
    loop {
        let read = read::events(conn, org, next, Seq(MAX_SEQ), limit)?;
        if let Some(seq) = read.damaged.first() {
            return Err(Fault::damaged(format!("event {seq} does not match its checksum")));
        }
        let Some(last) = read.events.last() else { return Ok(count) };
        next = last.seq.next();
        count += u64::try_from(read.events.len()).unwrap_or(0);
    }
}
