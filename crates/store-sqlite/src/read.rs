//! Reading events from the partitions: by cursor, by members, by id. Every payload is checked against its checksum; an event that does not
//! match it is left out and named, so that [`super::damage`] can note it.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, params};
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::events::{EventRecord, ReadLimit};

use super::batch::{self, Order};
use super::codec::{MAX_SEQ, int, key, uint};
use super::engine::SharedIds;
use super::fault::Outcome;
use super::{append, evict, ids, streams};

/// Lost events that one read notes at most; whoever reads on meets the others.
const LOST_AT_ONCE: usize = 10_000;
/// Sequences between two members that are not worth a second look at where they lie.
const NEAR: u64 = 1024;

/// An org by both of its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrgRef {
    /// As callers know it.
    pub(super) id: OrgId,
    /// As keys have it.
    pub(super) num: i64,
}

/// Which of a partition's tables must still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Payloads.
    Payload,
    /// Compact records.
    Records,
}

/// The partitions that may hold the org's sequences from `first` to `last`, ascending.
pub(super) fn partitions(conn: &Connection, org: i64, first: Seq, last: Seq, wanted: Wanted) -> Outcome<Vec<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT e.partition FROM extent e JOIN partition p ON p.number = e.partition
          WHERE e.org = ?1 AND e.last_seq >= ?2 AND e.first_seq <= ?3 AND (p.payload = 1 OR ?4)
         UNION ALL SELECT number FROM partition WHERE sealed = 0
         ORDER BY 1",
    )?;
    let rows = statement
        .query_map(params![org, int(first.0), int(last.0.min(MAX_SEQ)), wanted == Wanted::Records], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What was found of a stretch of the log. Events whose payload is gone are in neither.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Whole events, ascending.
    pub(super) events: Vec<Arc<StoredEvent>>,
    /// Those met on the way that are there and do not match their checksum, or cannot be read, ascending. Of what was not read, nothing is known.
    pub(super) damaged: Vec<Seq>,
    /// Those that are not there, although a stream still needs them, ascending.
    pub(super) lost: Vec<Seq>,
    bytes: usize,
    /// An event was left out, since the limit left no room for it.
    left_out: bool,
}

impl Read {
    /// What is to be noted: whatever is damaged or lost.
    pub(super) fn take_noted(&mut self) -> Vec<Seq> {
        let mut all = std::mem::take(&mut self.damaged);
        all.append(&mut self.lost);
        all
    }

    /// Whether there is room for no event more.
    pub(super) fn is_full(&self, limit: ReadLimit) -> bool {
        self.events.len() >= limit.events || (self.bytes >= limit.bytes && !self.events.is_empty())
    }

    /// Adds an event; false where the limit leaves no room for it.
    pub(super) fn add(&mut self, event: StoredEvent, limit: ReadLimit) -> bool {
        self.bytes = self.bytes.saturating_add(event.payload.len());
        let fits = self.events.len() < limit.events && (self.bytes <= limit.bytes || self.events.is_empty());
        self.left_out |= !fits;
        if fits {
            self.events.push(Arc::new(event));
        }
        fits
    }
}

/// The events with sequences from `first` to `last`, as far as `limit` goes.
pub(super) fn events(conn: &Connection, org: OrgRef, first: Seq, last: Seq, limit: ReadLimit) -> Outcome<Read> {
    let mut read = Read::default();
    stretch(conn, org, (first, last), |_| true, limit, &mut read)?;
    let to = match read.events.last().filter(|_| read.is_full(limit) || read.left_out) {
        Some(last) => last.seq,
        None => last.min(append::head(conn, org.num)?),
    };
    let first = first.0.max(1);
    if read.events.len() as u64 == Seq(first - 1).until(to) {
        read.damaged.clear();
    } else {
        judge(conn, org.num, &[(first, to.0)], &mut read)?;
    }
    Ok(read)
}

/// Settles which of the events that were `looked_for` (first and last sequences, ascending) and not found are damaged or lost. What a stream still
/// needs is never taken to make room, and what retention takes is accounted for before: so what is needed and not there went with a row that is
/// damaged. Stretches are never written out event by event: a year of what has rightly gone may lie in one.
fn judge(conn: &Connection, org: i64, looked_for: &[(u64, u64)], read: &mut Read) -> Outcome<()> {
    let Read { events, damaged, lost, .. } = read;
    let wanted = |seq: Seq| {
        let at = looked_for.partition_point(|(_, last)| *last < seq.0);
        looked_for.get(at).is_some_and(|(first, _)| *first <= seq.0)
    };
    // A row in the wrong place claims events that are whole where they belong, or that never were.
    damaged.retain(|seq| wanted(*seq) && events.binary_search_by_key(seq, |event| event.seq).is_err());
    damaged.sort_unstable();
    damaged.dedup();
    let all: u64 = looked_for.iter().map(|(first, last)| (last + 1).saturating_sub(*first)).sum();
    if all <= (events.len() + damaged.len()) as u64 {
        return Ok(());
    }
    let kept_from = accounted_to(conn, org)?.next().0;
    let kept = looked_for.iter().filter(|(_, last)| *last >= kept_from);
    let kept: Vec<_> = kept.map(|(first, last)| (kept_from.max(*first), *last)).collect();
    let (Some((from, _)), Some((_, to))) = (kept.first(), kept.last()) else { return Ok(()) };
    let streams: Vec<_> = streams::of_org(conn, org)?.into_iter().filter(|stream| !stream.removed).collect();
    for (first, last) in evict::owed(conn, &streams, Seq(*from), Seq(*to))? {
        let within = kept.iter().map(|(low, high)| ((*low).max(first.0), (*high).min(last.0)));
        for (low, high) in within.filter(|(low, high)| low <= high) {
            let inside = events.partition_point(|event| event.seq.0 < low);
            let there = events[inside..].iter().map(|event| event.seq.0).take_while(|seq| *seq <= high);
            let mut next = low;
            for seq in there.chain([high + 1]) {
                let gone = (next..seq).map(Seq).filter(|seq| damaged.binary_search(seq).is_err());
                lost.extend(gone.take(LOST_AT_ONCE.saturating_sub(lost.len())));
                next = seq + 1;
            }
        }
    }
    Ok(())
}

/// The last of the org's sequences that retention has accounted for, as far as is still known.
pub(super) fn accounted_to(conn: &Connection, org: i64) -> Outcome<Seq> {
    let sql = "SELECT max(e.last_seq) FROM extent e JOIN partition p ON p.number = e.partition
         WHERE e.org = ?1 AND p.accounted = 1";
    let last: Option<i64> = conn.prepare_cached(sql)?.query_row([org], |row| row.get(0))?;
    Ok(Seq(last.map_or(0, uint)))
}

fn stretch(
    conn: &Connection,
    org: OrgRef,
    (first, last): (Seq, Seq),
    wanted: impl Fn(Seq) -> bool,
    limit: ReadLimit,
    read: &mut Read,
) -> Outcome<()> {
    let keys = (key(org.num, first), key(org.num, last));
    for number in partitions(conn, org.num, first, last, Wanted::Payload)? {
        if !batch::events(conn, number, org, keys, &wanted, limit, read)? {
            break;
        }
    }
    Ok(())
}

/// The events of `members` whose payload is there. Members that are near each other are read in one go: a filter leaves many short runs.
pub(super) fn members(conn: &Connection, org: OrgRef, members: &Members) -> Outcome<Read> {
    let (mut found, all) = (Read::default(), ReadLimit { events: usize::MAX, bytes: usize::MAX });
    let near = |a: &(u64, u32), b: &(u64, u32)| b.0 - (a.0 + u64::from(a.1)) <= NEAR;
    for runs in members.runs().chunk_by(near) {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { continue };
        let span = (Seq(first.0), Seq(last.0 + u64::from(last.1) - 1));
        stretch(conn, org, span, |seq| members.contains(seq), all, &mut found)?;
    }
    let spans: Vec<_> = members.runs().iter().map(|(first, events)| (*first, first + u64::from(*events) - 1)).collect();
    judge(conn, org.num, &spans, &mut found)?;
    Ok(found)
}

/// Compact records with sequences from `first` to `last`, at most `limit`, ascending. Those that cannot be read are left out.
pub(super) fn records(conn: &Connection, org: i64, first: Seq, last: Seq, limit: usize) -> Outcome<Vec<EventRecord>> {
    let mut found = Vec::new();
    for number in partitions(conn, org, first, last, Wanted::Records)? {
        found.extend(batch::records(conn, number, (key(org, first), key(org, last)), limit - found.len())?);
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// The last of the org's sequences up to `head` that was accepted before `at`; 0 where there is none. Acceptance goes back within an
/// org only where the clock was set back, so this takes a handful of looks. What retention has removed is older than whatever is still there.
pub(super) fn accepted_before(conn: &Connection, org: i64, at: Timestamp, head: Seq) -> Outcome<Seq> {
    let (mut before, mut not_before) = (0, head.0 + 1);
    while before + 1 < not_before {
        let middle = before + (not_before - before) / 2;
        match records(conn, org, Seq(middle), head, 1)?.first() {
            Some(record) if record.accepted_at >= at => not_before = middle,
            Some(record) => before = record.seq.0,
            None => before = middle,
        }
    }
    let next = records(conn, org, Seq(before + 1), head, 1)?.pop();
    Ok(next.map_or(head, |record| Seq(record.seq.0 - 1)))
}

/// How many events with sequences from `first` to `last` have a payload.
pub(super) fn living(conn: &Connection, org: i64, first: Seq, last: Seq) -> Outcome<u64> {
    let mut living = 0;
    for number in partitions(conn, org, first, last, Wanted::Payload)? {
        living += batch::count_present(conn, number, (key(org, first), key(org, last)))?;
    }
    Ok(living)
}

/// How many of them `filter` matches.
pub(super) fn matching(conn: &Connection, org: i64, first: Seq, last: Seq, filter: &Filter) -> Outcome<u64> {
    let (mut matching, keys) = (0, (key(org, first), key(org, last)));
    for number in partitions(conn, org, first, last, Wanted::Payload)? {
        let mut there = batch::present(conn, number, keys)?.into_iter().peekable();
        batch::walk(conn, number, keys, Order::Up, |_, record| {
            let at = key(org, record.seq);
            while there.next_if(|key| *key < at).is_some() {}
            if there.next_if_eq(&at).is_some() && filter.refuses(record.event_type, record.severity).is_none() {
                matching += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(matching)
}

/// The newest event with this id. `maps` are the ids of the partitions that are not indexed yet.
pub(super) fn by_id(
    conn: &Connection,
    org: OrgRef,
    id: EventId,
    maps: &[(i64, SharedIds)],
) -> Outcome<Option<EventRecord>> {
    let found = ids::newest(conn, org.num, id, maps)?;
    found.map_or(Ok(None), |(number, key)| Ok(batch::records(conn, number, (key, key), 1)?.pop()))
}

/// The id of an event, by its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    /// It has this one.
    Is(EventId),
    /// There is no record.
    Gone,
    /// There is one that cannot be read.
    Unread,
}

/// The id of the event under a key: what a look in the index of ids is compared with.
pub(super) fn id_of(conn: &Connection, number: i64, key: i64) -> Outcome<Id> {
    if let Some(record) = batch::records(conn, number, (key, key), 1)?.pop() {
        return Ok(Id::Is(record.event_id));
    }
    Ok(if batch::has_head(conn, number, key)? { Id::Unread } else { Id::Gone })
}

/// The payload of one event, as long as it lives and is whole. Puts a damaged one among `damaged`.
pub(super) fn payload(conn: &Connection, org: OrgRef, seq: Seq, damaged: &mut Vec<Seq>) -> Outcome<Option<Bytes>> {
    let limit = ReadLimit { events: 1, bytes: usize::MAX };
    let mut read = events(conn, org, seq, seq, limit)?;
    damaged.extend(read.take_noted());
    Ok(read.events.pop().map(|event| event.payload.clone()))
}
