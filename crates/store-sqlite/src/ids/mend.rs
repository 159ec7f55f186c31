//! Buckets that cannot be read any more. The thread that keeps the index makes them anew of the records; until then, for some seconds, an id of
//! this one bucket may be taken for a new one.
//!
//! After a damaged page was met, SQLite lets nothing more be written in the same transaction. So that group is lost, and its callers try again;
//! what was met is remembered, and never read by the writer again.

use std::collections::HashSet;
use std::ops::ControlFlow;

use rusqlite::{Connection, params};

use super::super::batch::{self, Order};
use super::super::codec::key;
use super::super::engine::Engine;
use super::super::fault::Outcome;
use super::bucket::{BUCKET_BITS, Entry, Level, Row, candidates, place};
use super::hash::{Hasher, Print};
use super::{Known, Place, level};

/// What of an event is read to tell whether another one is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Part {
    /// Its record, which has its id.
    Record,
    /// Its payload.
    Payload,
}

/// What was found to be damaged since the start.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// Buckets that are to be made anew.
    wanted: Vec<Place>,
    /// Those that were, and whose page takes no other row.
    made: Vec<(Place, Vec<Entry>)>,
    /// Partitions and keys of events of which something lies on a page that cannot be read.
    unread: HashSet<(Part, i64, i64)>,
}

impl Known {
    /// Whether the row was found to be damaged.
    pub(super) fn is_broken(&self, place: Place) -> bool {
        let mending = self.mending.lock();
        mending.wanted.contains(&place) || mending.made.iter().any(|(made, _)| *made == place)
    }

    /// Reads a part of the event with this partition and key, unless it was found to be on a page that cannot be read; `None` then.
    pub(in super::super) fn unless_unread<T>(
        &self,
        part: Part,
        (number, key): (i64, i64),
        read: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        if self.mending.lock().unread.contains(&(part, number, key)) {
            return Ok(None);
        }
        read().map(Some).inspect_err(|fault| {
            if fault.is_of_a_page() {
                self.mending.lock().unread.insert((part, number, key));
            }
        })
    }

    /// Takes over what was found before the state was read anew.
    pub(in super::super) fn remember(&mut self, before: &Self) {
        self.unreadable.clone_from(&before.unreadable);
        *self.mending.get_mut() = std::mem::take(&mut *before.mending.lock());
    }

    /// The keys that a damaged row is to be asked for.
    pub(super) fn instead(&self, place: Place, print: Print) -> Vec<i64> {
        let mut mending = self.mending.lock();
        if let Some((_, entries)) = mending.made.iter().find(|(made, _)| *made == place) {
            return entries.iter().filter(|(there, _)| *there == print).map(|(_, key)| *key).collect();
        }
        let row = match place {
            Place::Sorted(_) => {
                // They are converted from the records anyway.
                mending.made.push((place, Vec::new()));
                return Vec::new();
            }
            Place::Part { place, .. } | Place::Recent { place } => place,
        };
        if !mending.wanted.contains(&place) {
            tracing::error!(
                row,
                "a part of the index of event ids cannot be read any more: it is made anew of the records; check the disk"
            );
            mending.wanted.push(place);
        }
        Vec::new()
    }

    /// The next bucket that is to be made anew.
    pub(in super::super) fn wants_mending(&self) -> bool {
        self.next_to_mend().is_some()
    }

    pub(super) fn next_to_mend(&self) -> Option<Place> {
        self.mending.lock().wanted.first().copied()
    }
}

/// Buckets that were made anew of the records.
pub(super) struct Mended {
    /// Each with its entries; the first is the one that was asked for.
    buckets: Vec<(Place, Vec<Entry>)>,
    bits: u32,
    /// Their page takes another row in the place of the damaged one.
    takes_rows: bool,
}

/// Makes a bucket anew, and with it its neighbours that cannot be read either.
pub(super) fn mend(conn: &Connection, at: Place) -> Outcome<Mended> {
    let (number, asked, level) = match at {
        Place::Sorted(_) => return Ok(Mended { buckets: Vec::new(), bits: 0, takes_rows: false }),
        Place::Part { number, place } => (number, place, Level::Parts),
        Place::Recent { place } => (place >> BUCKET_BITS, place, Level::Recent),
    };
    let (sql, partitions) = match level {
        Level::Parts => ("SELECT bits FROM ids_of WHERE partition = ?1", vec![number]),
        Level::Recent => ("SELECT bits FROM ids_level WHERE generation = ?1", merged(conn)?),
    };
    let bits: u32 = conn.prepare_cached(sql)?.query_row([number], |row| row.get(0))?;
    let is_torn = |place| candidates(conn, level, place, Print(0)).is_err_and(|fault| fault.is_of_a_page());
    let takes_rows = !is_torn(asked);
    let (mut first, mut last) = (asked, asked);
    while !takes_rows && first > place(number, 0) && is_torn(first - 1) {
        first -= 1;
    }
    while !takes_rows && last < place(number, (1 << bits) - 1) && is_torn(last + 1) {
        last += 1;
    }
    let of = |print: Print| place(number, print.bucket(bits));
    let mut found = Vec::new();
    for partition in partitions {
        of_partition(conn, partition, |print| (first..=last).contains(&of(print)), &mut found)?;
    }
    found.sort_unstable();
    let at = |place| match level {
        Level::Parts => Place::Part { number, place },
        Level::Recent => Place::Recent { place },
    };
    let mut buckets: Vec<(Place, Vec<Entry>)> = (first..=last).map(|place| (at(place), Vec::new())).collect();
    for entry in found {
        if let Some((_, entries)) = usize::try_from(of(entry.0) - first).ok().and_then(|n| buckets.get_mut(n)) {
            entries.push(entry);
        }
    }
    buckets.sort_by_key(|(place, _)| *place != at(asked));
    Ok(Mended { buckets, bits, takes_rows })
}

/// The entries of a bucket, out of the records, for who only looks.
pub(super) fn entries(conn: &Connection, at: Place) -> Outcome<Vec<Entry>> {
    Ok(mend(conn, at)?.buckets.into_iter().next().map_or_else(Vec::new, |(_, entries)| entries))
}

/// The partitions that are merged, or being merged.
pub(super) fn merged(conn: &Connection) -> Outcome<Vec<i64>> {
    let mut statement = conn.prepare_cached("SELECT partition FROM ids_of WHERE level IN (?1, ?2)")?;
    let found = statement.query_map(params![level::RECENT, level::JOINING], |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Adds the entries of a partition that `wanted` picks, out of its records. One whose records cannot be read either is left out.
pub(super) fn of_partition(
    conn: &Connection,
    number: i64,
    wanted: impl Fn(Print) -> bool,
    entries: &mut Vec<Entry>,
) -> Outcome<()> {
    let hasher = Hasher::load(conn)?;
    let walked = batch::walk(conn, number, (i64::MIN, i64::MAX), Order::Up, |org, record| {
        let print = hasher.hash(org, record.event_id).print();
        if wanted(print) {
            entries.push((print, key(org, record.seq)));
        }
        Ok(ControlFlow::Continue(()))
    });
    match walked {
        Err(fault) if fault.is_damage() => {
            tracing::warn!(partition = number, "the ids of a partition cannot be read, and are left out of the index");
            Ok(())
        }
        other => other,
    }
}

impl Engine {
    /// Takes up what was made anew: in the place of the damaged row, or beside the table where the page takes no row.
    pub(super) fn mended(&mut self, asked: Place, mended: Mended) -> Outcome<()> {
        let Mended { buckets, bits, takes_rows } = mended;
        let mut beside = Vec::new();
        for (at, entries) in buckets {
            let (level, place) = match at {
                Place::Sorted(_) => continue,
                Place::Part { place, .. } => (Level::Parts, place),
                Place::Recent { place } => (Level::Recent, place),
            };
            let rows = Row::of(place >> BUCKET_BITS, bits, &entries);
            if takes_rows && !rows.is_empty() {
                rows.iter().try_for_each(|row| row.write(&self.conn, level))?;
            } else {
                beside.push((at, entries));
            }
        }
        let mut mending = self.partitions.ids.mending.lock();
        mending.wanted.retain(|wanted| *wanted != asked && !beside.iter().any(|(at, _)| at == wanted));
        mending.made.retain(|(made, _)| !beside.iter().any(|(at, _)| at == made));
        mending.made.extend(beside);
        Ok(())
    }
}
