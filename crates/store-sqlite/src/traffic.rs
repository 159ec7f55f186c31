//! What flowed, by stream and bucket: added to every few seconds, read for charts, removed by age.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use toktra_siem_core::ids::StreamId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_core::traffic::{Histogram, Traffic, step_of};
use toktra_siem_store::batch::{take_varint, varint};
use toktra_siem_store::events::{Expired, Retention};
use toktra_siem_store::insight::TrafficRow;

use super::codec::{Word, int, len, uint};
use super::engine::Engine;
use super::expire::{ROWS, Turn};
use super::fault::{Fault, Outcome};
use super::streams::StreamRow;

/// The longest that traffic is kept.
const KEPT: Duration = Duration::from_hours(24 * 30);

/// The columns that [`traffic`] reads.
const COLUMNS: &str = "t.at, t.delivered, t.failed, t.rejected, t.attempts, t.attempts_failed, t.lag, t.latency";

/// Adds `rows`; those of streams that are gone are passed over.
pub(super) fn add(engine: &Engine, rows: &[TrafficRow]) -> Outcome<()> {
    for row in rows {
        if let Some(num) = number(&engine.conn, row.stream)? {
            add_one(&engine.conn, num, row)?;
        }
    }
    Ok(())
}

fn number(conn: &Connection, stream: StreamId) -> Outcome<Option<i64>> {
    Ok(conn
        .prepare_cached("SELECT num FROM stream WHERE connector = ?1 AND kind = ?2 AND removed = 0")?
        .query_row(params![stream.connector.0.as_bytes(), stream.kind.number()], |row| row.get(0))
        .optional()?)
}

fn add_one(conn: &Connection, num: i64, row: &TrafficRow) -> Outcome<()> {
    let (_, mut sum) = between(conn, num, row.at, Timestamp(row.at.0.saturating_add(1)))?
        .pop()
        .unwrap_or_else(|| (row.at, Traffic::default()));
    sum += &row.traffic;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO traffic (stream, at, delivered, failed, rejected, attempts, attempts_failed, lag, latency)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        num,
        row.at.0,
        int(sum.delivered),
        int(sum.failed),
        int(sum.rejected),
        int(sum.attempts),
        int(sum.attempts_failed),
        int(sum.lag),
        to_blob(&sum.latency),
    ])?;
    Ok(())
}

/// The buckets of a stream that start from `from` on and before `to`, ascending.
pub(super) fn of_stream(
    conn: &Connection,
    stream: &StreamRow,
    from: Timestamp,
    to: Timestamp,
) -> Outcome<Vec<TrafficRow>> {
    let found = between(conn, stream.num, from, to)?;
    Ok(found.into_iter().map(|(at, traffic)| TrafficRow { stream: stream.id, at, traffic }).collect())
}

fn between(conn: &Connection, num: i64, from: Timestamp, to: Timestamp) -> Outcome<Vec<(Timestamp, Traffic)>> {
    let sql = format!("SELECT {COLUMNS} FROM traffic t WHERE stream = ?1 AND at >= ?2 AND at < ?3 ORDER BY at");
    let mut statement = conn.prepare_cached(&sql)?;
    statement.query_and_then(params![num, from.0, to.0], |row| Ok((Timestamp(row.get(0)?), traffic(row)?)))?.collect()
}

/// What each present stream of an org did in those buckets, by its number, brought together into steps. The streams decide the order of
/// the loops, so that each finds its buckets in one place.
pub(super) fn of_org(
    conn: &Connection,
    org: i64,
    from: Timestamp,
    to: Timestamp,
    step: Duration,
) -> Outcome<HashMap<i64, Vec<(Timestamp, Traffic)>>> {
    let sql = format!(
        "SELECT {COLUMNS}, t.stream FROM stream s CROSS JOIN traffic t ON t.stream = s.num
         WHERE s.org = ?1 AND s.removed = 0 AND t.at >= ?2 AND t.at < ?3 ORDER BY s.num, t.at"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![org, from.0, to.0])?;
    let mut found: HashMap<i64, Vec<(Timestamp, Traffic)>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (start, traffic) = (step_of(Timestamp(row.get(0)?), step), traffic(row)?);
        let steps = found.entry(row.get(8)?).or_default();
        match steps.last_mut().filter(|(at, _)| *at == start) {
            Some((_, sum)) => *sum += &traffic,
            None => steps.push((start, traffic)),
        }
    }
    Ok(found)
}

fn traffic(row: &Row<'_>) -> Outcome<Traffic> {
    Ok(Traffic {
        delivered: uint(row.get(1)?),
        failed: uint(row.get(2)?),
        rejected: uint(row.get(3)?),
        attempts: uint(row.get(4)?),
        attempts_failed: uint(row.get(5)?),
        lag: uint(row.get(6)?),
        latency: from_blob(&row.get::<_, Vec<u8>>(7)?)?,
    })
}

fn to_blob(latency: &Histogram) -> Vec<u8> {
    let mut blob = Vec::new();
    for (step, count) in latency.steps() {
        blob.push(step);
        varint(&mut blob, count);
    }
    blob
}

fn from_blob(mut blob: &[u8]) -> Outcome<Histogram> {
    let mut steps = Vec::new();
    while let Some((step, rest)) = blob.split_first() {
        blob = rest;
        let count = take_varint(&mut blob).ok_or_else(|| Fault::damaged("a stored histogram cannot be read"))?;
        steps.push((*step, count));
    }
    Ok(Histogram::from_steps(steps))
}

/// Removes a piece of what is older than payloads may be, or than 30 days.
pub(super) fn expire(engine: &mut Engine, retention: Retention, done: &mut Expired) -> Outcome<Turn> {
    let before = retention.payloads_before.max(engine.aging.now().minus(KEPT));
    let gone = engine
        .conn
        .prepare_cached(
            "DELETE FROM traffic WHERE (stream, at) IN
                 (SELECT stream, at FROM traffic INDEXED BY traffic_at WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![before.0, len(ROWS)])?;
    done.traffic += gone as u64;
    Ok(if gone < ROWS { Turn::Idle } else { Turn::More })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_comes_back_as_it_was_and_a_torn_one_is_damage() {
        let mut latency = Histogram::default();
        latency.add(Duration::from_millis(40), 300);
        latency.add(Duration::from_hours(9), 1);
        let blob = to_blob(&latency);
        assert_eq!(from_blob(&blob).unwrap(), latency);
        assert!(from_blob(&blob[..2]).is_err());
    }
}
