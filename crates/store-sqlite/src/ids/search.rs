//! The newest event with an id, however old it is: for a reader, who has no part in what the writer remembers.

use rusqlite::Connection;
use toktra_siem_core::ids::EventId;

use super::super::engine::SharedIds;
use super::super::fault::Outcome;
use super::bucket::place;
use super::hash::{Hasher, time_of};
use super::{Place, confirm, generations, level};

/// The partition and key of the newest event of the org with this id. `maps` are the ids of the partitions that are not indexed yet. In
/// the order of the log, newest first: those in memory, level 0, level 1 once, and then each partition by itself.
pub(in super::super) fn newest(
    conn: &Connection,
    org: i64,
    id: EventId,
    maps: &[(i64, SharedIds)],
) -> Outcome<Option<(i64, i64)>> {
    let hash = Hasher::load(conn)?.hash(org, id);
    let (print, time) = (hash.print(), time_of(id.0.as_bytes()));
    let (recent, coming) = generations(conn)?;
    let written = coming.filter(|coming| print.bucket(coming.table.bits) < coming.next);
    let mut merged = written.map(|coming| coming.table).or(recent);
    let mut statement = conn.prepare_cached(
        "SELECT p.number, p.indexed, i.level, i.bits, i.newest_v7
         FROM partition p LEFT JOIN ids_of i ON i.partition = p.number ORDER BY p.number DESC",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        if !row.get::<_, bool>(1)? {
            if let Some((_, ids)) = maps.iter().find(|(n, _)| *n == number)
                && let Some(key) = super::memory::among(conn, None, None, (number, ids), org, id, hash)?
            {
                return Ok(Some((number, key)));
            }
            continue;
        }
        let at = match row.get::<_, Option<i64>>(2)? {
            None => Place::Sorted(number),
            Some(there) if there == level::RECENT || (there == level::JOINING && written.is_some()) => {
                // All that is merged is asked for at once, with the newest partition of it.
                let Some(table) = merged.take() else { continue };
                Place::Recent { place: place(table.number, print.bucket(table.bits)) }
            }
            Some(_) => {
                let newest: Option<i64> = row.get(4)?;
                if time.is_some_and(|time| newest.is_none_or(|newest| time > newest)) {
                    continue;
                }
                Place::Part { number, place: place(number, print.bucket(row.get(3)?)) }
            }
        };
        let keys = match super::keys_at(conn, at, id, hash) {
            // A reader has no part in what is made anew, and looks itself.
            Err(fault) if fault.is_damage() => {
                let entries = super::mend::entries(conn, at)?.into_iter();
                entries.filter(|(there, _)| *there == print).map(|(_, key)| key).collect()
            }
            keys => keys?,
        };
        if let Some(found) = confirm(conn, None, at, org, id, keys)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
