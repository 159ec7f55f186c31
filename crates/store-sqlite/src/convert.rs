//! Layouts before 11 kept a row for each event, `event_<n>` and `record_<n>`: a start brings them into runs.
//!
//! A partition goes in pieces, each of which is one transaction that writes runs and deletes the rows that are in them. So an event is
//! always in exactly one form, the disk needs no room for both, and a start after a kill goes on where the last one stopped. Checksums
//! are taken over as they are: what was damaged is found when it is read, as before.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};
use toktra_siem_core::event::{EventType, Severity};
use toktra_siem_core::ids::EventId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::batch::Payload;
use toktra_siem_store::events::EventRecord;

use super::batch::{self, Inserts, Run};
use super::checkpoint;
use super::codec::{Word, key_org, key_seq, len, small, uuid};
use super::fault::Outcome;

/// Events of one piece.
pub(super) const PIECE: usize = 8192;

/// Whether the database has a table of this name.
pub(super) fn has(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")?.exists([table])
}

/// What made a partition's tables then.
pub(super) fn row_tables(number: i64) -> String {
    format!(
        "CREATE TABLE event_{number} (
             key INTEGER PRIMARY KEY, crc INTEGER NOT NULL, integrity BLOB, payload BLOB NOT NULL);
         CREATE TABLE record_{number} (
             key INTEGER PRIMARY KEY, event_id BLOB NOT NULL, event_type INTEGER NOT NULL, severity INTEGER NOT NULL,
             event_time INTEGER NOT NULL, accepted_at INTEGER NOT NULL);"
    )
}

/// Whether a row of `record_<n>` can be one: key, id, type, severity, and two times.
pub(super) fn is_record(row: &[Value]) -> bool {
    use Value::{Blob, Integer};
    match row {
        [Integer(_), Blob(id), Integer(kind), Integer(severity), Integer(_), Integer(_)] => {
            id.len() == 16 && EventType::from_number(*kind).is_ok() && Severity::from_number(*severity).is_ok()
        }
        _ => false,
    }
}

/// Converts what is still in rows; how many partitions that were.
pub(super) fn all(conn: &Connection) -> Outcome<usize> {
    let numbers: Vec<i64> = conn
        .prepare(
            "SELECT number FROM partition WHERE 'record_' || number IN (SELECT name FROM sqlite_master) ORDER BY 1",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for (at, number) in numbers.iter().enumerate() {
        let events: i64 = conn.query_row("SELECT rows FROM partition WHERE number = ?1", [number], |row| row.get(0))?;
        tracing::info!(part = at + 1, of = numbers.len(), events, "bringing stored events into the newest layout");
        loop {
            let more = in_transaction(conn, |conn| piece(conn, *number, PIECE))?;
            checkpoint::relieve(conn)?;
            if !more {
                break;
            }
        }
    }
    Ok(numbers.len())
}

fn in_transaction<T>(conn: &Connection, work: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    let transaction = conn.unchecked_transaction()?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Converts the first events of a partition, at most `most`; whether there are more. With the last ones its old tables go.
pub(super) fn piece(conn: &Connection, number: i64, most: usize) -> Outcome<bool> {
    let (records, payloads) = (format!("record_{number}"), format!("event_{number}"));
    if !has(conn, &format!("head_{number}"))? {
        conn.execute_batch(&batch::tables(number))?;
    }
    let has_payloads = has(conn, &payloads)?;
    let join = if has_payloads {
        format!("e.crc, e.payload FROM {records} r LEFT JOIN {payloads} e ON e.key = r.key")
    } else {
        format!("NULL, NULL FROM {records} r")
    };
    let sql = format!(
        "SELECT r.key, r.event_id, r.event_type, r.severity, r.event_time, r.accepted_at, {join} ORDER BY r.key LIMIT ?1"
    );
    let (head, body) = batch::inserts(number);
    let tables = Inserts { conn, head: &head, body: &body };
    let (mut run, mut present, mut last, mut count) = (Run::new(), None, i64::MIN, 0);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([len(most)])?;
    while let Some(row) = rows.next()? {
        let (record, payload) = (record(row)?, payload(row)?);
        last = row.get(0)?;
        count += 1;
        let size = payload.as_ref().map_or(0, |payload| payload.bytes.len());
        if let Some(org) = present.filter(|org| *org != key_org(last) || run.ends_before(record.seq, size)) {
            run.write(&tables, org, true)?;
        }
        present = Some(key_org(last));
        run.push(record, payload);
    }
    drop(rows);
    if let Some(org) = present {
        run.write(&tables, org, true)?;
    }
    conn.execute(&format!("DELETE FROM {records} WHERE key <= ?1"), [last])?;
    if has_payloads {
        conn.execute(&format!("DELETE FROM {payloads} WHERE key <= ?1"), [last])?;
    }
    if count == most {
        return Ok(true);
    }
    conn.execute_batch(&format!("DROP TABLE {records}; DROP TABLE IF EXISTS {payloads};"))?;
    conn.execute("UPDATE partition SET packed = sealed WHERE number = ?1", [number])?;
    let kept = "SELECT payload FROM partition WHERE number = ?1";
    if conn.query_row(kept, [number], |row| row.get(0)).optional()? == Some(false) {
        conn.execute_batch(&format!("DROP TABLE body_{number}"))?;
    }
    Ok(false)
}

fn record(row: &Row<'_>) -> Outcome<EventRecord> {
    Ok(EventRecord {
        seq: key_seq(row.get(0)?),
        event_id: EventId(uuid(row.get(1)?)),
        event_type: EventType::from_number(row.get(2)?)?,
        severity: Severity::from_number(row.get(3)?)?,
        event_time: Timestamp(row.get(4)?),
        accepted_at: Timestamp(row.get(5)?),
    })
}

fn payload(row: &Row<'_>) -> Outcome<Option<Payload>> {
    let (crc, bytes): (Option<i64>, Option<Vec<u8>>) = (row.get(6)?, row.get(7)?);
    Ok(crc.zip(bytes).map(|(crc, bytes)| Payload { crc: small(crc), bytes: bytes.into() }))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::ops::ControlFlow;

    use flate2::read::GzDecoder;

    use super::super::batch::{Order, walk};
    use super::super::codec::key;
    use super::super::migrate;
    use super::*;

    type Event = (i64, [u8; 16], i64, Option<(u32, Vec<u8>)>);

    /// What still lies in rows, by key.
    fn in_rows(conn: &Connection, number: i64) -> Vec<Event> {
        if !has(conn, &format!("record_{number}")).unwrap() {
            return Vec::new();
        }
        let sql = format!(
            "SELECT r.key, r.event_id, r.accepted_at, e.crc, e.payload FROM record_{number} r
             LEFT JOIN event_{number} e ON e.key = r.key ORDER BY r.key"
        );
        let mut statement = conn.prepare(&sql).unwrap();
        let event = |row: &Row<'_>| -> rusqlite::Result<Event> {
            let payload = row.get::<_, Option<i64>>(3)?.zip(row.get(4)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, payload.map(|(crc, bytes)| (small(crc), bytes))))
        };
        statement.query_map([], event).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    /// What lies in runs.
    fn in_runs(conn: &Connection, number: i64) -> Vec<Event> {
        let mut found = Vec::new();
        if !has(conn, &format!("head_{number}")).unwrap() {
            return found;
        }
        walk(conn, number, (i64::MIN, i64::MAX), Order::Up, |org, record| {
            let key = key(org, record.seq);
            found.push((key, record.event_id.0.into_bytes(), record.accepted_at.0, None));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        let mut bodies = conn.prepare(&format!("SELECT key, body FROM body_{number} ORDER BY key")).unwrap();
        let bodies = bodies.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        for (place, body) in bodies.map(|row: rusqlite::Result<(i64, Vec<u8>)>| row.unwrap()) {
            let payloads = toktra_siem_store::batch::read_body(&body).unwrap();
            for (at, payload) in payloads.into_iter().enumerate() {
                let event = found.iter_mut().find(|event| event.0 == place + len(at)).unwrap();
                event.3 = payload.map(|payload| (payload.crc, payload.bytes.to_vec()));
            }
        }
        found
    }

    /// Killed wherever it may be, the conversion leaves each event in exactly one of the two forms, as it was.
    #[test]
    fn a_conversion_that_is_killed_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toktra.db");
        let mut file = Vec::new();
        let frozen = include_bytes!("../../../fixtures/database/layout-8.db.gz");
        GzDecoder::new(&frozen[..]).read_to_end(&mut file).unwrap();
        std::fs::write(&path, file).unwrap();
        let numbers: Vec<i64> = {
            let conn = Connection::open(&path).unwrap();
            let mut numbers = conn.prepare("SELECT number FROM partition ORDER BY 1").unwrap();
            numbers.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
        };
        let before: Vec<Event> = {
            let conn = Connection::open(&path).unwrap();
            numbers.iter().flat_map(|number| in_rows(&conn, *number)).collect()
        };
        assert!(numbers.len() > 2 && before.len() > 60);
        let mut steps = 0;
        for number in &numbers {
            loop {
                // Each step begins with what is on disk, as a start does; every second one is killed before its commit.
                let conn = migrate::laid_out(&path).unwrap();
                let transaction = conn.unchecked_transaction().unwrap();
                let more = piece(&transaction, *number, 7).unwrap();
                steps += 1;
                if steps % 2 == 1 {
                    drop(transaction);
                    continue;
                }
                transaction.commit().unwrap();
                let mut all: Vec<Event> =
                    numbers.iter().flat_map(|n| [in_runs(&conn, *n), in_rows(&conn, *n)].concat()).collect();
                all.sort();
                let mut expected = before.clone();
                expected.sort();
                assert!(all == expected, "after step {steps}");
                if !more {
                    break;
                }
            }
        }
        let conn = migrate::open_writer(&path).unwrap();
        let left: Vec<Event> = numbers.iter().flat_map(|number| in_rows(&conn, *number)).collect();
        assert!(left.is_empty() && steps > 20);
    }
}
