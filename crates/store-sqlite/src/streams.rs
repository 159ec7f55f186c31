//! The row of a stream: cursor, epoch, breaker and counts. Loaded, changed and stored within one transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::accounting::Counts;
use toktra_siem_core::breaker::Breaker;
use toktra_siem_core::connector::Connector;
use toktra_siem_core::ids::{ConnectorId, OrgId, Revision, Seq, StreamId, StreamKind};
use toktra_siem_core::outage::{self, Outage};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::deliveries::{Lease, StreamRecord};
use toktra_siem_store::error::StoreError;
use toktra_siem_store::rules::stream::{Found, check_lease};

use super::codec::{Word, from_json, int, json, text, uint, uuid};
use super::connectors;
use super::fault::{Fault, Outcome};
use super::outages;

/// A stream as it is stored.
#[derive(Debug, Clone)]
pub(super) struct StreamRow {
    /// Its number, in the keys of its rows.
    pub(super) num: i64,
    /// Which.
    pub(super) id: StreamId,
    /// The tenant.
    pub(super) org: OrgId,
    /// The tenant's number.
    pub(super) org_num: i64,
    /// The newest lease.
    pub(super) epoch: u64,
    /// Whether its connector was removed.
    pub(super) removed: bool,
    /// It accounts for the events after this one.
    pub(super) starts_after: Seq,
    /// Up to where events were taken or passed by.
    pub(super) cursor: Seq,
    /// The start of the newest pinned window.
    pub(super) last_window: Option<Timestamp>,
    /// As JSON: it is only read to show it, and when it changes ([`StreamRow::switch`]).
    pub(super) breaker: String,
    /// What has to be told of it, as JSON.
    pub(super) outages: String,
    /// When a delivery last delivered something.
    pub(super) last_success: Option<Timestamp>,
    /// Where the events up to the cursor are.
    pub(super) counts: Counts,
    /// The rows that told the outcome of events up to here are gone.
    pub(super) archived_to: Seq,
    /// What they told.
    pub(super) archived: String,
}

const COLUMNS: &str = "s.num, s.connector, s.kind, o.id, s.org, s.epoch, s.removed, s.starts_after, s.cursor, s.last_window, s.breaker,
    s.last_success, s.delivered, s.rejected, s.failed, s.expired, s.discarded, s.skipped, s.pending, s.filtered, s.archived_to, s.archived,
    s.outages, s.damaged";

/// Behind [`COLUMNS`], where the connector is asked for too.
const CONNECTOR: usize = 24;

impl StreamRow {
    /// As callers see it; `head` is the org's, as of the same state.
    pub(super) fn record(&self, head: Seq) -> StreamRecord {
        StreamRecord {
            id: self.id,
            org: self.org,
            starts_after: self.starts_after,
            cursor: self.cursor,
            last_window: self.last_window,
            breaker: self.breaker(),
            outages: self.outages(),
            counts: self.counts,
            head,
            last_success: self.last_success,
        }
    }

    /// Whether it is stopped. Where that cannot be read it is not, and the next request tells.
    pub(super) fn breaker(&self) -> Breaker {
        from_json(&self.breaker).unwrap_or_default()
    }

    /// What has to be told of it; nothing where that cannot be read. An outage that goes on is known by the breaker.
    pub(super) fn outages(&self) -> Vec<Outage> {
        from_json(&self.outages).unwrap_or_default()
    }

    /// Where its cursor stands by its counts: each event that it passed is in one of them. `None` where they cannot be right.
    pub(super) fn counted_to(&self) -> Option<Seq> {
        u64::try_from(self.counts.total()).ok().and_then(|passed| self.starts_after.0.checked_add(passed)).map(Seq)
    }

    /// What of its cursor is beyond doubt, for who takes away what no stream needs: it may be damaged, and is set right with the next lease.
    pub(super) fn surely_at(&self) -> Seq {
        self.counted_to().map_or(self.starts_after, |counted| counted.min(self.cursor))
    }

    /// What the rules ask for.
    pub(super) fn found(&self) -> Found {
        Found { id: self.id, org: self.org, cursor: self.cursor, last_window: self.last_window }
    }

    /// The breaker says `after` from now on, and what has to be told of it follows. `active`: whether the stream sends, with its breaker
    /// closed.
    pub(super) fn switch(&mut self, conn: &Connection, after: &Breaker, active: bool, now: Timestamp) -> Outcome<()> {
        let (before, mut outages) = (self.breaker(), self.outages());
        if after.is_closed() {
            outages::end(conn, self, &outages, now)?;
        }
        outage::follow(&mut outages, &before, after, active, now);
        self.breaker = json(after)?;
        self.outages = json(&outages)?;
        Ok(())
    }

    /// Stores what may have changed.
    pub(super) fn store(&self, conn: &Connection) -> Outcome<()> {
        let c = &self.counts;
        conn.prepare_cached(
            "UPDATE stream SET epoch = ?2, removed = ?3, cursor = ?4, last_window = ?5, breaker = ?6, last_success = ?7,
                 delivered = ?8, rejected = ?9, failed = ?10, expired = ?11, discarded = ?12, skipped = ?13, pending = ?14,
                 filtered = ?15, archived_to = ?16, archived = ?17, outages = ?18, damaged = ?19
             WHERE num = ?1",
        )?
        .execute(params![
            self.num,
            int(self.epoch),
            self.removed,
            int(self.cursor.0),
            self.last_window.map(|t| t.0),
            self.breaker,
            self.last_success.map(|t| t.0),
            c.delivered,
            c.rejected,
            c.failed,
            c.expired,
            c.discarded,
            c.skipped,
            c.pending,
            c.filtered,
            int(self.archived_to.0),
            self.archived,
            self.outages,
            c.damaged,
        ])?;
        Ok(())
    }
}

/// The stream with this id, also where its connector was removed.
pub(super) fn find(conn: &Connection, id: StreamId) -> Outcome<Option<StreamRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM stream s JOIN org o ON o.num = s.org WHERE s.connector = ?1 AND s.kind = ?2
         ORDER BY s.removed, s.num DESC LIMIT 1"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![id.connector.0.as_bytes(), id.kind.number()])?;
    rows.next()?.map(row).transpose()
}

/// The stream, or `NotFound`.
pub(super) fn present(conn: &Connection, id: StreamId) -> Outcome<StreamRow> {
    find(conn, id)?.filter(|s| !s.removed).ok_or(Fault::Refused(StoreError::NotFound))
}

/// The stream, where `lease` is its newest.
pub(super) fn leased(conn: &Connection, lease: &Lease) -> Outcome<StreamRow> {
    let row = find(conn, lease.stream)?.filter(|s| !s.removed);
    check_lease(lease, row.as_ref().map(|s| s.epoch))?;
    row.ok_or(Fault::Refused(StoreError::Fenced))
}

/// The stream with this number.
pub(super) fn by_number(conn: &Connection, num: i64) -> Outcome<Option<StreamRow>> {
    let sql = format!("SELECT {COLUMNS} FROM stream s JOIN org o ON o.num = s.org WHERE s.num = ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([num])?;
    rows.next()?.map(row).transpose()
}

/// The streams of an org, removed ones included.
pub(super) fn of_org(conn: &Connection, org: i64) -> Outcome<Vec<StreamRow>> {
    let sql = format!("SELECT {COLUMNS} FROM stream s JOIN org o ON o.num = s.org WHERE s.org = ?1 ORDER BY s.num");
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then([org], row)?.collect()
}

/// The streams of a present connector, in the order of their kind.
pub(super) fn of_connector(conn: &Connection, connector: ConnectorId) -> Outcome<Vec<StreamRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM stream s JOIN org o ON o.num = s.org WHERE s.connector = ?1 AND s.removed = 0 ORDER BY s.kind"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then([connector.0.as_bytes()], row)?.collect()
}

/// The streams of all present connectors, by id, each with its connector.
pub(super) fn all(conn: &Connection) -> Outcome<Vec<(StreamRow, Connector)>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM stream s JOIN org o ON o.num = s.org JOIN connector c ON c.id = s.connector
          WHERE s.removed = 0 ORDER BY s.connector, s.kind",
        connectors::COLUMNS
    );
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then([], |r| Ok((row(r)?, connectors::read(conn, r, CONNECTOR)?)))?.collect()
}

/// The same, but streams whose rows cannot be read any more are left out, with a line in the log for each: the others are worked on all the same.
pub(super) fn all_readable(conn: &Connection) -> Outcome<Vec<(StreamRow, Connector)>> {
    let nums: Vec<i64> = conn
        .prepare_cached("SELECT num FROM stream WHERE removed = 0 ORDER BY connector, kind")?
        .query_map([], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let one = format!(
        "SELECT {COLUMNS}, {} FROM stream s JOIN org o ON o.num = s.org JOIN connector c ON c.id = s.connector WHERE s.num = ?1",
        connectors::COLUMNS
    );
    let mut statement = conn.prepare_cached(&one)?;
    let mut found = Vec::with_capacity(nums.len());
    for num in nums {
        let mut rows = statement.query([num])?;
        let Some(r) = rows.next()? else { continue };
        match row(r).and_then(|row| Ok((row, connectors::read(conn, r, CONNECTOR)?))) {
            Ok(stream) => found.push(stream),
            Err(fault) => {
                let error = fault.into_error("reading a stream");
                tracing::error!(stream = num, %error, "what is stored of a stream cannot be read any more: it is not worked on, and all others are; check the disk");
            }
        }
    }
    Ok(found)
}

/// Makes a stream that starts after `head`. Where there was one with this id before, its leases stay behind: they must not fit this one.
pub(super) fn create(conn: &Connection, id: StreamId, org: i64, head: Seq, breaker: &str, counts: &str) -> Outcome<()> {
    conn.prepare_cached(
        "INSERT INTO stream (connector, kind, org, starts_after, cursor, breaker, archived_to, archived, epoch)
         SELECT ?1, ?2, ?3, ?4, ?4, ?5, ?4, ?6, coalesce(max(epoch), 0) FROM stream WHERE connector = ?1 AND kind = ?2",
    )?
    .execute(params![id.connector.0.as_bytes(), id.kind.number(), org, int(head.0), breaker, counts])?;
    Ok(())
}

/// Sets a range of sequences apart as a gap: skipped when a connector was switched on "from now".
pub(super) fn add_gap(conn: &Connection, stream: i64, after: Seq, to: Seq) -> Outcome<()> {
    conn.prepare_cached("INSERT INTO gap (stream, from_seq, to_seq) VALUES (?1, ?2, ?3)")?.execute(params![
        stream,
        int(after.0 + 1),
        int(to.0)
    ])?;
    Ok(())
}

/// Reads the number of the newest revision whose filter holds for a sequence up to `to`.
pub(super) fn revision_at(conn: &Connection, connector: ConnectorId, to: Seq) -> Outcome<Revision> {
    let newest: Option<i64> = conn
        .prepare_cached("SELECT max(revision) FROM connector_revision WHERE connector = ?1 AND effective_from <= ?2")?
        .query_row(params![connector.0.as_bytes(), int(to.0)], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(Revision(newest.map_or(0, super::codec::small)))
}

fn row(row: &Row<'_>) -> Outcome<StreamRow> {
    let seq = |index: usize| row.get::<_, i64>(index).map(|n| Seq(uint(n)));
    let time = |index: usize| row.get::<_, Option<i64>>(index).map(|t| t.map(Timestamp));
    Ok(StreamRow {
        num: row.get(0)?,
        id: StreamId { connector: ConnectorId(uuid(row.get(1)?)), kind: StreamKind::from_number(row.get(2)?)? },
        org: OrgId(uuid(row.get(3)?)),
        org_num: row.get(4)?,
        epoch: uint(row.get(5)?),
        removed: row.get(6)?,
        starts_after: seq(7)?,
        cursor: seq(8)?,
        last_window: time(9)?,
        breaker: text(row, 10)?,
        last_success: time(11)?,
        counts: Counts {
            delivered: row.get(12)?,
            rejected: row.get(13)?,
            failed: row.get(14)?,
            expired: row.get(15)?,
            damaged: row.get(23)?,
            discarded: row.get(16)?,
            skipped: row.get(17)?,
            pending: row.get(18)?,
            filtered: row.get(19)?,
        },
        archived_to: seq(20)?,
        archived: text(row, 21)?,
        outages: text(row, 22)?,
    })
}
