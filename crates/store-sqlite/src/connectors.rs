//! Connectors: creation, saves with their revisions, deletion. What a save does to streams happens in the same transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::connector::Resume;
use toktra_siem_core::delivery::{ParkKind, Status, Trigger};
use toktra_siem_core::filter::{Filter, FilterTimeline, FilterVersion};
use toktra_siem_core::ids::{ConnectorId, OrgId, RangeId, Revision, Seq, StreamKind};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::config::{AuditEntry, Change, ConnectorRecord, ConnectorSave, Rotation, Saved, SealedSecret};
use toktra_siem_store::error::StoreError;
use toktra_siem_store::rules::count;
use toktra_siem_store::rules::parked::ParkState;
use uuid::{Builder, Uuid};

use super::audit::write as write_audit;
use super::codec::{Word, int, json, small, text, uint, uuid};
use super::deliveries::set_apart;
use super::engine::Engine;
use super::fault::{Fault, Outcome};
use super::streams::{self, StreamRow};
use super::{append, jobs};
use super::{rows, standin};

/// The code of the cause with which what was on its way ends, where its connector is deleted.
pub(super) const DELETED: &str = "connector_deleted";

/// Makes a connector with its streams.
pub(super) fn create(engine: &mut Engine, org: OrgId, change: Change<ConnectorRecord>) -> Outcome<Saved> {
    let Change { value: ConnectorRecord { mut connector, secrets, rotation }, audit } = change;
    let state = engine.org(org)?;
    let now = engine.now();
    let conn = &engine.conn;
    if conn.prepare_cached("SELECT 1 FROM connector WHERE id = ?1")?.exists([connector.id.0.as_bytes()])? {
        return Err(Fault::conflict("there is a connector with this id"));
    }
    check_name(conn, state.num, &connector)?;
    (connector.org, connector.revision) = (org, Revision(1));
    (connector.created_at, connector.updated_at) = (now, now);
    connector.activated = connector.active;
    conn.prepare_cached(
        "INSERT INTO connector (id, org, name, record, rotation_until, activated) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        connector.id.0.as_bytes(),
        state.num,
        connector.name,
        json(&connector)?,
        rotation.map(|r| r.until.0),
        connector.activated,
    ])?;
    write_secrets(conn, connector.id, &secrets)?;
    write_version(conn, &connector, state.head)?;
    let (breaker, counts) = (json(&Breaker::default())?, json(&Counts::default())?);
    for id in connector.streams() {
        streams::create(conn, id, state.num, state.head, &breaker, &counts)?;
    }
    write_audit(conn, Some(state.num), &audit)?;
    Ok(Saved { connector, backlog: 0, skipped: 0 })
}

/// Saves a connector as a new revision.
pub(super) fn save(engine: &mut Engine, org: OrgId, change: Change<ConnectorSave>) -> Outcome<Saved> {
    let Change { value: save, audit } = change;
    let ConnectorSave { mut connector, expected, secrets, rotation, resume } = save;
    let state = engine.org(org)?;
    let now = engine.now();
    let was = present(&engine.conn, state.num, connector.id)?;
    check_revision(was.revision, expected)?;
    if was.settings.platform != connector.settings.platform && !was.settings.is_unreadable() {
        return Err(Fault::conflict("a connector keeps its platform"));
    }
    check_name(&engine.conn, state.num, &connector)?;
    connector.org = org;
    connector.revision = Revision(was.revision.0 + 1);
    (connector.created_at, connector.updated_at) = (was.created_at, now);
    connector.activated = was.activated || connector.active;

    let mut saved = Saved { connector, backlog: 0, skipped: 0 };
    // The first activation starts from now, whatever was asked for.
    let switched_on = !was.active && saved.connector.active;
    let resume = switched_on.then_some(if was.activated { resume } else { Resume::Now });
    for mut row in streams::of_connector(&engine.conn, saved.connector.id)? {
        renew(engine, &mut row, &mut saved, resume, now)?;
        row.store(&engine.conn)?;
    }
    let conn = &engine.conn;
    conn.prepare_cached("UPDATE connector SET name = ?2, record = ?3, activated = ?4 WHERE id = ?1")?.execute(
        params![
            saved.connector.id.0.as_bytes(),
            saved.connector.name,
            json(&saved.connector)?,
            saved.connector.activated
        ],
    )?;
    if let Some(rotation) = rotation {
        conn.prepare_cached("UPDATE connector SET rotation_until = ?2 WHERE id = ?1")?
            .execute(params![saved.connector.id.0.as_bytes(), rotation.map(|r| r.until.0)])?;
    }
    if let Some(secrets) = secrets {
        write_secrets(conn, saved.connector.id, &secrets)?;
    }
    write_version(conn, &saved.connector, state.head)?;
    write_audit(conn, Some(state.num), &audit)?;
    Ok(saved)
}

/// What a save does to a stream: it starts afresh, under a newer lease, with what waits set apart or passed over.
fn renew(
    engine: &Engine,
    row: &mut StreamRow,
    saved: &mut Saved,
    resume: Option<Resume>,
    now: Timestamp,
) -> Outcome<()> {
    let was_open = !row.breaker().is_closed();
    let sends = saved.connector.active && saved.connector.settings.sends(row.id.kind);
    row.switch(&engine.conn, &Breaker::default(), sends, now)?;
    row.epoch += 1;
    let range = range_id(row.num, saved.connector.revision, now);
    match resume {
        Some(Resume::Now) => saved.skipped = saved.skipped.max(skip(engine, row)?),
        Some(Resume::Backlog) => {
            saved.backlog = saved.backlog.max(waiting(engine, row)?);
            set_apart(engine, row, range, Trigger::Recovery, now)?;
        }
        None if saved.connector.active && was_open => {
            set_apart(engine, row, range, Trigger::Recovery, now)?;
        }
        None => {}
    }
    Ok(())
}

/// Unique without chance: a stream gets at most one range from each revision.
fn range_id(stream: i64, revision: Revision, now: Timestamp) -> RangeId {
    let mut rest = [0; 10];
    rest[..6].copy_from_slice(&stream.to_be_bytes()[2..]);
    rest[6..].copy_from_slice(&revision.0.to_be_bytes());
    let id: Uuid = Builder::from_unix_timestamp_millis(uint(now.0), &rest).into_uuid();
    RangeId(id)
}

/// Events behind the cursor, and those left in backlog ranges.
fn waiting(engine: &Engine, row: &StreamRow) -> Outcome<u64> {
    let ranges = rows::ranges(&engine.conn, row.num)?;
    let left: u64 = ranges.iter().map(|range| range.cursor.until(range.to)).sum();
    Ok(left + row.cursor.until(engine.org(row.org)?.head))
}

/// Passes over everything that waits.
fn skip(engine: &Engine, row: &mut StreamRow) -> Outcome<u64> {
    let skipped = waiting(engine, row)?;
    let head = engine.org(row.org)?.head;
    for range in rows::ranges(&engine.conn, row.num)? {
        streams::add_gap(&engine.conn, row.num, range.cursor, range.to)?;
        row.counts.pending -= count(range.cursor.until(range.to));
        rows::advance_range(&engine.conn, &range, range.to)?;
    }
    if row.cursor < head {
        streams::add_gap(&engine.conn, row.num, row.cursor, head)?;
    }
    row.counts.skipped += count(skipped);
    row.cursor = head;
    Ok(skipped)
}

/// Removes a connector; how many undelivered events it gave up, at most over its streams.
pub(super) fn delete(
    engine: &mut Engine,
    org: OrgId,
    id: ConnectorId,
    expected: Option<Revision>,
    audit: &AuditEntry,
) -> Outcome<u64> {
    let state = engine.org(org)?;
    let was = present(&engine.conn, state.num, id)?;
    check_revision(was.revision, expected)?;
    let now = engine.now();
    let mut given_up = 0;
    for mut row in streams::of_connector(&engine.conn, id)? {
        row.switch(&engine.conn, &Breaker::default(), false, now)?;
        given_up = given_up.max(give_up(engine, &mut row, state.head, now)?);
    }
    jobs::give_up(&engine.conn, state.num, id, now)?;
    forget(&engine.conn, id)?;
    engine.effects.connectors.push(id);
    write_audit(&engine.conn, Some(state.num), audit)?;
    Ok(given_up)
}

/// Removes the settings of a connector.
pub(super) fn forget(conn: &Connection, id: ConnectorId) -> Outcome<()> {
    for sql in [
        "DELETE FROM connector WHERE id = ?1",
        "DELETE FROM connector_revision WHERE connector = ?1",
        "DELETE FROM secret WHERE connector = ?1",
        "DELETE FROM acknowledgement WHERE connector = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([id.0.as_bytes()])?;
    }
    Ok(())
}

/// Ends a stream: what waits, is on its way or failed is counted as discarded, and its open deliveries come to their end.
fn give_up(engine: &Engine, row: &mut StreamRow, head: Seq, now: Timestamp) -> Outcome<u64> {
    let conn = &engine.conn;
    let waiting = row.cursor.until(head);
    let given_up = count(waiting) + row.counts.pending + row.counts.failed;
    row.counts.discarded += given_up;
    (row.counts.pending, row.counts.failed) = (0, 0);
    row.cursor = head;
    row.epoch += 1;
    row.removed = true;
    row.store(conn)?;
    conn.prepare_cached("DELETE FROM backlog_range WHERE stream = ?1")?.execute([row.num])?;
    conn.prepare_cached("UPDATE parked SET state = ?2 WHERE stream = ?1 AND state = 0 AND kind = ?3")?
        .execute(params![row.num, ParkState::Discarded.number(), ParkKind::Failed.number()])?;
    conn.prepare_cached("UPDATE parked SET state = ?2 WHERE stream = ?1 AND state = 1")?
        .execute(params![row.num, ParkState::Discarded.number()])?;
    let cause = Cause::new(DELETED, "The connector was deleted while this delivery was on its way.");
    conn.prepare_cached(
        "UPDATE delivery INDEXED BY delivery_exception SET status = ?2, settled_at = ?3, due_at = NULL, awaiting = NULL, cause = ?4
         WHERE stream = ?1 AND status <> 1 AND status = 0",
    )?
    .execute(params![row.num, Status::Failed.number(), now.0, json(&cause)?])?;
    Ok(uint(given_up))
}

/// How many events the slowest stream of the org's active connectors has not delivered.
pub(super) fn backlog(conn: &Connection, org: i64) -> Outcome<u64> {
    let head = append::head(conn, org)?;
    let mut most = 0;
    for connector in records(conn, Some(org))?.iter().map(|record| &record.connector).filter(|c| c.active) {
        for stream in streams::of_connector(conn, connector.id)? {
            most = most.max(stream.record(head).undelivered());
        }
    }
    Ok(most)
}

/// The connector with what is stored beside it, where it is the org's.
pub(super) fn record(conn: &Connection, org: i64, id: ConnectorId) -> Outcome<ConnectorRecord> {
    let sql = format!("SELECT {COLUMNS} {TABLES} WHERE c.id = ?1 AND c.org = ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![id.0.as_bytes(), org])?;
    let row = rows.next()?.ok_or(Fault::Refused(StoreError::NotFound))?;
    with_secrets(conn, row)
}

/// Connectors by creation: of one org, or of all.
pub(super) fn records(conn: &Connection, org: Option<i64>) -> Outcome<Vec<ConnectorRecord>> {
    let sql = format!("SELECT {COLUMNS} {TABLES} WHERE ?1 IS NULL OR c.org = ?1 ORDER BY c.num");
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then([org], |row| with_secrets(conn, row))?.collect()
}

/// The connectors of an org by creation, without what is stored beside them.
pub(super) fn plain(conn: &Connection, org: i64) -> Outcome<Vec<Connector>> {
    let sql = format!("SELECT {COLUMNS} {TABLES} WHERE c.org = ?1 ORDER BY c.num");
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then([org], |row| read(conn, row, 0))?.collect()
}

/// The columns that [`read`] reads, of a connector `c` and its org `o`, and when its rotation ends.
pub(super) const COLUMNS: &str = "c.record, c.activated, c.id, o.id, c.name, c.rotation_until";
const TABLES: &str = "FROM connector c JOIN org o ON o.num = c.org";

/// A connector of its [`COLUMNS`], which begin at `from`; where its record is damaged, what stands in for it.
pub(super) fn read(conn: &Connection, row: &Row<'_>, from: usize) -> Outcome<Connector> {
    let bytes = row.get_ref(from)?.as_bytes().map_err(rusqlite::Error::from)?;
    let (activated, id) = (row.get(from + 1)?, ConnectorId(uuid(row.get(from + 2)?)));
    let org = OrgId(uuid(row.get(from + 3)?));
    if let Some(connector) = standin::read::<Connector>(bytes) {
        return Ok(Connector { id, org, activated, ..connector });
    }
    let known = (id, org, text(row, from + 4)?);
    Ok(Connector { activated, ..standin::connector(conn, known, bytes)? })
}

fn with_secrets(conn: &Connection, row: &Row<'_>) -> Outcome<ConnectorRecord> {
    let connector = read(conn, row, 0)?;
    let mut statement =
        conn.prepare_cached("SELECT field, key_id, nonce, ciphertext FROM secret WHERE connector = ?1 ORDER BY field")?;
    let secrets = statement
        .query_map([connector.id.0.as_bytes()], |row| {
            Ok(SealedSecret { field: text(row, 0)?, key_id: row.get(1)?, nonce: row.get(2)?, ciphertext: row.get(3)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let rotation = row.get::<_, Option<i64>>(5)?.map(|until| Rotation { until: Timestamp(until) });
    Ok(ConnectorRecord { connector, secrets, rotation })
}

/// Every version of a connector's filter.
pub(super) fn timeline(conn: &Connection, id: ConnectorId) -> Outcome<FilterTimeline> {
    let mut statement = conn.prepare_cached(
        "SELECT revision, effective_from, filter, send_metrics, passes_own FROM connector_revision WHERE connector = ?1",
    )?;
    let mut rows = statement.query([id.0.as_bytes()])?;
    let mut versions = Vec::new();
    while let Some(row) = rows.next()? {
        versions.push(FilterVersion {
            revision: Revision(small(row.get(0)?)),
            effective_from: Seq(uint(row.get(1)?)),
            // What cannot be read refuses nothing: an event too many is better than one that nobody hears of.
            filter: match standin::read(row.get_ref(2)?.as_bytes().map_err(rusqlite::Error::from)?) {
                Some(filter) => filter,
                None => of_record(conn, id, small(row.get(0)?))?.unwrap_or_default(),
            },
            send_metrics: row.get(3)?,
            passes_own: row.get(4)?,
        });
    }
    if versions.is_empty() {
        return Err(StoreError::NotFound.into());
    }
    Ok(FilterTimeline::new(versions))
}

/// The filter of a revision as the connector's record has it, where that is of this revision.
fn of_record(conn: &Connection, id: ConnectorId, revision: u32) -> Outcome<Option<Filter>> {
    let sql = "SELECT record FROM connector WHERE id = ?1";
    let record: Option<Option<Connector>> = conn
        .prepare_cached(sql)?
        .query_row([id.0.as_bytes()], |row| Ok(standin::read(row.get_ref(0)?.as_bytes()?)))
        .optional()?;
    let record = record.flatten().filter(|connector| connector.revision == Revision(revision));
    Ok(record.map(|connector| connector.filter))
}

/// Ends rotations whose time is over.
pub(super) fn end_rotations(engine: &mut Engine, now: Timestamp) -> Outcome<Vec<(OrgId, ConnectorId)>> {
    let conn = &engine.conn;
    let ended: Vec<(i64, [u8; 16], [u8; 16], i64)> = conn
        .prepare_cached(
            "SELECT o.num, o.id, c.id, c.rotation_until FROM connector c JOIN org o ON o.num = c.org
             WHERE c.rotation_until IS NOT NULL AND c.rotation_until <= ?1 ORDER BY c.num",
        )?
        .query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (org, _, id, until) in &ended {
        conn.prepare_cached("UPDATE connector SET rotation_until = NULL WHERE id = ?1")?.execute([id])?;
        conn.prepare_cached("UPDATE OR REPLACE secret SET field = ?3 WHERE connector = ?1 AND field = ?2")?
            .execute(params![id, SealedSecret::SIGNING_NEXT, SealedSecret::SIGNING])?;
        let entry = AuditEntry::rotation_ended(now, ConnectorId(uuid(*id)), Timestamp(*until));
        write_audit(conn, Some(*org), &entry)?;
    }
    Ok(ended.into_iter().map(|(_, org, id, _)| (OrgId(uuid(org)), ConnectorId(uuid(id)))).collect())
}

/// Replaces the secrets of a connector.
pub(super) fn reseal(engine: &mut Engine, id: ConnectorId, secrets: &[SealedSecret]) -> Outcome<()> {
    let conn = &engine.conn;
    let org: i64 = conn
        .prepare_cached("SELECT org FROM connector WHERE id = ?1")?
        .query_row([id.0.as_bytes()], |row| row.get(0))
        .optional()?
        .ok_or(Fault::Refused(StoreError::NotFound))?;
    write_secrets(conn, id, secrets)?;
    write_audit(conn, Some(org), &AuditEntry::resealed(engine.now(), id))
}

fn present(conn: &Connection, org: i64, id: ConnectorId) -> Outcome<Connector> {
    Ok(record(conn, org, id)?.connector)
}

fn check_revision(present: Revision, expected: Option<Revision>) -> Outcome<()> {
    match expected {
        Some(expected) if expected != present => {
            Err(Fault::conflict(format!("the connector is at revision {}, not at {}", present.0, expected.0)))
        }
        _ => Ok(()),
    }
}

fn check_name(conn: &Connection, org: i64, connector: &Connector) -> Outcome<()> {
    let taken = conn
        .prepare_cached("SELECT 1 FROM connector WHERE org = ?1 AND name = ?2 AND id <> ?3")?
        .exists(params![org, connector.name, connector.id.0.as_bytes()])?;
    if taken { Err(Fault::conflict("the org has a connector of this name")) } else { Ok(()) }
}

fn write_secrets(conn: &Connection, id: ConnectorId, secrets: &[SealedSecret]) -> Outcome<()> {
    conn.prepare_cached("DELETE FROM secret WHERE connector = ?1")?.execute([id.0.as_bytes()])?;
    let mut statement = conn.prepare_cached(
        "INSERT OR REPLACE INTO secret (connector, field, key_id, nonce, ciphertext) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for s in secrets {
        statement.execute(params![id.0.as_bytes(), s.field, s.key_id, s.nonce, s.ciphertext])?;
    }
    Ok(())
}

/// The filter as saved: it holds from the org's next sequence on.
fn write_version(conn: &Connection, connector: &Connector, head: Seq) -> Outcome<()> {
    conn.prepare_cached(
        "INSERT INTO connector_revision (connector, revision, effective_from, filter, send_metrics, passes_own)
         VALUES (?1, ?2, ?3, ?4, ?5, 0)",
    )?
    .execute(params![
        connector.id.0.as_bytes(),
        connector.revision.0,
        int(head.next().0),
        json(&connector.filter)?,
        connector.settings.sends(StreamKind::Metrics)
    ])?;
    Ok(())
}
