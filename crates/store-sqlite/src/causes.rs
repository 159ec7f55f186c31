//! Why events are parked, kept once where many have it in common: a request that failed parks thousands of events for one reason, which took several
//! times the room of all the rest of their rows.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::delivery::Parked;
use toktra_siem_core::time::Timestamp;

use super::codec::{int, json};
use super::fault::Outcome;

/// In a query of `parked`: the text of the row's cause.
pub(super) const TEXT: &str = "coalesce((SELECT c.text FROM cause c WHERE c.num = parked.cause), parked.cause)";
/// How late it is noted that one was used again, in milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// How much longer than the history one is kept: retention may have to wait for something.
const KEPT_MS: i64 = 30 * DAY_MS;

/// The causes of what a settlement parks.
pub(super) struct Causes<'a> {
    /// How many events have each, and what was put in its place.
    all: HashMap<(&'a str, &'a str), (usize, Option<String>)>,
    now: Timestamp,
}

impl<'a> Causes<'a> {
    /// Of these events, at `now` by the time by which things age.
    pub(super) fn of(parked: &'a [Parked], now: Timestamp) -> Self {
        let mut all = HashMap::new();
        for parked in parked {
            all.entry(key(&parked.cause)).or_insert((0, None)).0 += 1;
        }
        Self { all, now }
    }

    /// What the row of an event has in its column.
    pub(super) fn column(&mut self, conn: &Connection, cause: &'a Cause) -> Outcome<String> {
        let (events, kept) = self.all.entry(key(cause)).or_default();
        if *events < 2 {
            return json(cause);
        }
        if let Some(kept) = kept {
            return Ok(kept.clone());
        }
        let number = keep(conn, &json(cause)?, self.now)?.to_string();
        Ok(kept.insert(number).clone())
    }
}

fn key(cause: &Cause) -> (&str, &str) {
    (&cause.code, &cause.message)
}

fn keep(conn: &Connection, text: &str, now: Timestamp) -> Outcome<i64> {
    // By a clock that was set back, it would be too old as soon as the clock is right.
    let last = "SELECT used_at FROM cause ORDER BY num DESC LIMIT 1";
    let last: Option<i64> = conn.prepare_cached(last)?.query_row([], |row| row.get(0)).optional()?;
    let now = now.max(Timestamp(last.unwrap_or(now.0)));
    let known = "SELECT num, used_at FROM cause WHERE text = ?1";
    let known: Option<(i64, i64)> =
        conn.prepare_cached(known)?.query_row([text], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((number, used_at)) = known else {
        conn.prepare_cached("INSERT INTO cause (text, used_at) VALUES (?1, ?2)")?.execute(params![text, now.0])?;
        return Ok(conn.last_insert_rowid());
    };
    if used_at < now.0 - DAY_MS {
        conn.prepare_cached("UPDATE cause SET used_at = ?2 WHERE num = ?1")?.execute([number, now.0])?;
    }
    Ok(number)
}

/// Removes those that nothing of the history has any more, at most `most`; how many.
pub(super) fn sweep(conn: &Connection, before: Timestamp, most: usize) -> Outcome<usize> {
    let old = "DELETE FROM cause WHERE num IN (SELECT num FROM cause WHERE used_at < ?1 LIMIT ?2)";
    Ok(conn.prepare_cached(old)?.execute([before.0.saturating_sub(KEPT_MS), int(most as u64)])?)
}

#[cfg(test)]
mod tests {
    use toktra_siem_core::delivery::ParkKind;
    use toktra_siem_core::ids::{DeliveryId, Seq};
    use uuid::Uuid;

    use super::super::migrate::open_writer;
    use super::super::rows;
    use super::*;

    #[test]
    fn what_many_have_in_common_is_kept_once_and_read_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("x.db")).unwrap();
        let cause = |seq: u64| match seq {
            3 => Cause::new("of_its_own", "17"),
            seq if seq % 2 == 0 => Cause::new("even", "What happened ".repeat(20)),
            _ => Cause::new("odd", "1"),
        };
        let parked = |seq: u64| Parked {
            seq: Seq(seq),
            events: 1,
            kind: ParkKind::Failed,
            cause: cause(seq),
            delivery: DeliveryId(Uuid::nil()),
            since: Timestamp(0),
        };
        let all: Vec<Parked> = (1..200).map(parked).collect();
        for day in 0..3 {
            let mut causes = Causes::of(&all, Timestamp(day * DAY_MS * 2));
            for parked in &all {
                rows::park(&conn, 1, parked, &causes.column(&conn, &parked.cause).unwrap()).unwrap();
            }
        }
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT count(*) FROM cause"), 2);
        assert_eq!(number("SELECT min(used_at) FROM cause"), 4 * DAY_MS);
        assert!(number("SELECT sum(octet_length(cause)) FROM parked") < 199 * 3 + 50);
        for seq in 1..200 {
            assert_eq!(rows::parked_row(&conn, 1, Seq(seq)).unwrap().unwrap().parked.cause, cause(seq));
        }
        let waiting = rows::waiting(&conn, 1, ParkKind::Failed, Seq(0), 500).unwrap();
        assert!(waiting.len() == 199 && waiting.iter().all(|parked| parked.cause == cause(parked.seq.0)));
        // The clock was set back.
        let late: Vec<Parked> =
            (200..203).map(|seq| Parked { cause: Cause::new("late", "1"), ..parked(seq) }).collect();
        let mut causes = Causes::of(&late, Timestamp(-90 * DAY_MS));
        assert_eq!(causes.column(&conn, &late[0].cause).unwrap(), "3");
        assert_eq!(sweep(&conn, Timestamp(KEPT_MS), 9).unwrap(), 0);
        conn.execute("DELETE FROM cause WHERE num = 3", []).unwrap();
        assert_eq!(sweep(&conn, Timestamp(4 * DAY_MS + KEPT_MS), 9).unwrap(), 0);
        assert_eq!(sweep(&conn, Timestamp(4 * DAY_MS + KEPT_MS + 1), 9).unwrap(), 2);
    }
}
