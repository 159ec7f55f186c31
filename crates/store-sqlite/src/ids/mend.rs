//! What a look for a duplicate meets and cannot read. It refuses nobody's post: what was met is remembered, with whatever lies around it and
//! cannot be read either, and is not read by the writer again. What is left decides:
//!
//! - A bucket cannot be read. The thread that keeps the index makes it anew of the records; until then, for some seconds, an id of this one
//!   bucket may be taken for a new one.
//! - A record cannot be read. Its id is known by its hash, from its bucket or from memory, and that decides: the event is a duplicate. That
//!   another id has the same hash is as likely as one in 2^48 for each such record.
//! - A payload cannot be read. Whether a duplicate says something else than its original is then not known, and not claimed.
//!
//! After a damaged page was met, SQLite lets nothing more be written in the same transaction: the writer begins it again ([`super::super::again`]).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OptionalExtension, params};

use super::super::batch::{self, Order};
use super::super::codec::{key, key_org, key_seq, keys_of};
use super::super::engine::Engine;
use super::super::fault::{Fault, Outcome};
use super::bucket::{BUCKET_BITS, Entry, Level, Row, candidates, place};
use super::hash::{Hasher, Print};
use super::{Known, Place, level};

/// How far from a place that cannot be read its neighbours are looked at in growing steps.
const FAR: i64 = 1 << 16;

/// What of an event is read to tell whether another one is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Stretches of events of which that part cannot be read: by partition and first key, with the last one.
    unread: BTreeMap<(Part, i64, i64), i64>,
}

impl Mending {
    fn is_unread(&self, part: Part, number: i64, key: i64) -> bool {
        let before = self.unread.range((part, number, i64::MIN)..=(part, number, key)).next_back();
        before.is_some_and(|(_, last)| *last >= key)
    }
}

/// A damaged page was met: the transaction takes nothing more that is written.
#[derive(Debug, Default)]
pub(super) struct Torn(AtomicBool);

impl Torn {
    fn met(&self, fault: &Fault) {
        if fault.is_of_a_page() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Known {
    /// Whether the row was found to be damaged.
    pub(super) fn is_broken(&self, place: Place) -> bool {
        let mending = self.mending.lock();
        mending.wanted.contains(&place) || mending.made.iter().any(|(made, _)| *made == place)
    }

    /// Reads a part of the event with this partition and key; `None` where it cannot be read. `read` is given the key, and is asked for keys around
    /// it too, so that one page that cannot be read is met once.
    pub(in super::super) fn unless_unread<T>(
        &self,
        part: Part,
        (number, key): (i64, i64),
        read: impl Fn(i64) -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        if self.mending.lock().is_unread(part, number, key) {
            return Ok(None);
        }
        match read(key) {
            Err(fault) if fault.is_damage() => {
                self.met(&fault);
                let (first, last) = around(key, |key| read(key).is_err_and(|fault| fault.is_damage()));
                let (from, to, error) = (key_seq(first).0, key_seq(last).0, fault.into_error("looking for duplicates"));
                tracing::error!(
                    org_number = key_org(key), from, to, %error,
                    "stored events cannot be read any more: where one of them is sent again, it is known by the hash of its id; check the disk"
                );
                self.mending.lock().unread.insert((part, number, first), last);
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Keeps that something could not be read.
    pub(super) fn met(&self, fault: &Fault) {
        self.torn.met(fault);
    }

    /// Whether a damaged page was met since this was asked last.
    pub(in super::super) fn take_torn(&self) -> bool {
        self.torn.0.load(Ordering::Relaxed) && self.torn.0.swap(false, Ordering::Relaxed)
    }

    /// How many stretches of events cannot be read.
    #[cfg(test)]
    pub(super) fn stretches(&self) -> usize {
        self.mending.lock().unread.len()
    }

    /// Takes over what was found before the state was read anew.
    pub(in super::super) fn remember(&mut self, before: &Self) {
        self.unreadable.clone_from(&before.unreadable);
        self.unmerged = before.unmerged;
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

/// The stretch of an org's keys around `key` that cannot be read either, as far as looks at growing distances tell.
fn around(key: i64, is_unread: impl Fn(i64) -> bool) -> (i64, i64) {
    let (first, last) = keys_of(key_org(key));
    let reach = |step: i64| {
        let is_unread = |far: i64| {
            let at = key.saturating_add(step * far);
            (first..=last).contains(&at) && is_unread(at)
        };
        let (mut there, mut beyond) = (0, 1);
        while beyond <= FAR && is_unread(beyond) {
            (there, beyond) = (beyond, beyond * 2);
        }
        while beyond - there > 1 {
            let middle = there + (beyond - there) / 2;
            if is_unread(middle) { there = middle } else { beyond = middle }
        }
        there
    };
    (key - reach(-1), key + reach(1))
}

/// Buckets that were made anew of the records.
#[derive(Clone)]
pub(super) struct Mended {
    /// Each with its entries; the first is the one that was asked for.
    buckets: Vec<(Place, Vec<Entry>)>,
    bits: u32,
    /// Their page takes another row in the place of the damaged one.
    takes_rows: bool,
}

impl Mended {
    /// A bucket of which nothing is known any more.
    pub(super) fn nothing(place: Place) -> Self {
        Self { buckets: vec![(place, Vec::new())], bits: 0, takes_rows: false }
    }

    /// The same, to be kept in memory whatever the page takes.
    pub(super) fn beside(&self) -> Self {
        Self { takes_rows: false, ..self.clone() }
    }
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
    // Of a table that is gone by now, nothing is asked any more.
    let bits: Option<u32> = conn.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    let Some(bits) = bits else { return Ok(Mended::nothing(at)) };
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
