//! What the writer's thread owns: the only connection that writes, and what it remembers so that the hot path reads nothing.
//!
//! Everything remembered follows from what is on disk. After a failed transaction it is read anew; effects that others can see (heads,
//! the ring) wait for the commit.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, params};
use tokio::sync::watch;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::{ConnectorId, EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::StoreError;
use toktra_siem_store::next::Offers;
use toktra_siem_store::{Aging, Clock, Next, Shortage};

use super::SqliteOptions;
use super::append::Pending;
use super::checkpoint;
use super::damage;
use super::evict::Eviction;
use super::fault::{Fault, Judge, Outcome, Verdict};
use super::ids::{IdMap, keeper};
use super::open;
use super::orgs;
use super::partition::{Loaded, Partitions};
use super::ring::Ring;
use super::space::Space;
use super::stored::{Growth, Stored};
use super::writer::Writer;

/// What the writer shares with whoever reads.
#[derive(Debug)]
pub(super) struct Shared {
    /// Of each org: its number in keys, and its head.
    pub(super) orgs: RwLock<HashMap<OrgId, OrgHead>>,
    /// The newest events.
    pub(super) ring: Mutex<Ring>,
    /// The ids of partitions that are not indexed yet, newest first.
    pub(super) maps: RwLock<Vec<(i64, SharedIds)>>,
    /// Streams that wait for the next events.
    pub(super) offers: Offers,
    /// Bytes that the events of each org take, by the org's number.
    pub(super) stored: RwLock<HashMap<i64, u64>>,
    /// Whose the connectors are that somebody works on.
    pub(super) owners: RwLock<HashMap<ConnectorId, OrgId>>,
}

/// Ids that the writer adds to while others look.
pub(super) type SharedIds = Arc<RwLock<IdMap>>;

/// An org as readers see it.
#[derive(Debug, Clone)]
pub(super) struct OrgHead {
    /// Its number in keys.
    pub(super) num: i64,
    /// Told after each commit.
    pub(super) head: watch::Sender<Seq>,
}

/// An org as the writer sees it: with what the present transaction did.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrgState {
    /// Its number in keys.
    pub(super) num: i64,
    /// Its highest sequence.
    pub(super) head: Seq,
    /// When that one was accepted: the next one is not before it.
    pub(super) accepted_at: Timestamp,
}

/// What becomes visible with the commit.
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, whatever the others do")]
#[derive(Default)]
pub(super) struct Effects {
    /// Appended events.
    pub(super) events: Vec<Arc<StoredEvent>>,
    /// Whether orgs came or went.
    pub(super) orgs: bool,
    /// Orgs that are gone.
    pub(super) removed: Vec<OrgId>,
    /// Events up to here whose payloads are about to go.
    pub(super) gone: Vec<(OrgId, Seq)>,
    /// Events that were noted as damaged.
    pub(super) damaged: Vec<(OrgId, Seq, Option<EventId>)>,
    /// Whether there is something to do for the index of ids.
    pub(super) index: bool,
    /// Connectors that are gone.
    pub(super) connectors: Vec<ConnectorId>,
    /// Whether nothing is left to do for the thread that keeps the index of ids, which ends with that.
    pub(super) kept_up: bool,
    /// Whether the set of partitions held in memory changed.
    pub(super) maps: bool,
    /// Offers of streams that were applied.
    pub(super) offers: Vec<Box<dyn Next>>,
}

impl Effects {
    /// After the state was read: everything that others see is new.
    pub(super) fn all() -> Self {
        Self { orgs: true, maps: true, index: true, ..Self::default() }
    }
}

/// The writer's state.
pub(super) struct Engine {
    /// The only connection that writes.
    pub(super) conn: Connection,
    /// Orgs, with their heads.
    pub(super) orgs: HashMap<OrgId, OrgState>,
    /// The open partition and the young sealed ones.
    pub(super) partitions: Partitions,
    /// What the runs of each org take.
    pub(super) stored: Stored,
    /// The newest acceptance time of all orgs: partitions are rolled by it.
    pub(super) accepted_at: Timestamp,
    /// What becomes visible with the commit.
    pub(super) effects: Effects,
    /// Appended events that have no rows yet.
    pub(super) pending: Pending,
    /// What others see.
    pub(super) shared: Arc<Shared>,
    /// The partition that retention looked into last.
    pub(super) looked_into: Option<i64>,
    /// Partitions of which a page could not be read since the start.
    pub(super) damaged: HashSet<i64>,
    /// Where a pass that makes room has come to.
    pub(super) eviction: Eviction,
    /// As opened.
    pub(super) options: SqliteOptions,
    /// The time by which things age.
    pub(super) aging: Arc<Aging>,
    /// How far it was noted.
    noted: Timestamp,
    /// Whether the thread that keeps the index of ids runs; `None` where the caller is that thread.
    pub(super) keeping: Option<Arc<AtomicBool>>,
    path: PathBuf,
    writer: Writer,
    judge: Judge,
    /// Room on the file system.
    space: Space,
    /// Rows that were changed before this transaction.
    pub(super) changes: u64,
    /// Bytes that may still be appended in this transaction, once asked.
    pub(super) room: Option<u64>,
    /// The partition that was open when this transaction began.
    pub(super) began_in: Option<i64>,
    /// What the runs that were written last in it take.
    pub(super) written: Growth,
    /// The partition to which the rows of this group could not be added.
    pub(super) takes_none: Option<i64>,
    /// No other partition could be begun since the start: a table that is made moves a page out of its way, which may be damaged.
    pub(super) stays: bool,
}

impl Engine {
    /// Reads the state of the database behind `conn`.
    pub(super) fn load(
        conn: Connection,
        path: PathBuf,
        options: SqliteOptions,
        writer: Writer,
        space: Space,
        keeping: Option<Arc<AtomicBool>>,
    ) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            orgs: RwLock::default(),
            ring: Mutex::new(Ring::new(options.ring_bytes)),
            maps: RwLock::default(),
            offers: Offers::default(),
            stored: RwLock::default(),
            owners: RwLock::default(),
        });
        let aging = Arc::new(aging(&conn, &options)?);
        let (orgs, Loaded { partitions, accepted_at, .. }, stored) = read_state(&conn, &aging)?;
        let mut engine = Self {
            conn,
            orgs,
            partitions,
            stored,
            accepted_at,
            effects: Effects::all(),
            pending: Pending::default(),
            shared,
            looked_into: None,
            damaged: HashSet::new(),
            eviction: Eviction::default(),
            options,
            aging,
            noted: Timestamp(0),
            keeping,
            path,
            writer,
            judge: Judge::default(),
            space,
            changes: 0,
            room: None,
            began_in: None,
            written: Growth::default(),
            takes_none: None,
            stays: false,
        };
        engine.note_seen_now();
        engine.committed();
        Ok(engine)
    }

    /// The time, by the clock that was given.
    pub(super) fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    /// Notes how far time was seen to pass, unless that was done a moment ago: the next process goes on from there. If it cannot be noted, that
    /// one takes the difference for a jump of the clock, and nothing is lost.
    pub(super) fn note_seen(&mut self, moment: Duration) -> rusqlite::Result<()> {
        let now = self.aging.now();
        if now < self.noted || now.since(self.noted) >= moment {
            let mut note = self.conn.prepare_cached("INSERT OR REPLACE INTO milestone (name, at) VALUES (?1, ?2)")?;
            note.execute(params![SEEN, now.0])?;
            self.noted = now;
        }
        Ok(())
    }

    /// The same at once, outside of any group, as far as that is possible.
    fn note_seen_now(&mut self) {
        if let Err(error) = self.note_seen(Duration::ZERO) {
            tracing::warn!(%error, "how far time has passed could not be noted");
        }
    }

    /// The org, or `NotFound`.
    pub(super) fn org(&self, id: OrgId) -> Outcome<OrgState> {
        self.orgs.get(&id).copied().ok_or(Fault::Refused(StoreError::NotFound))
    }

    /// Begins a group.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.room = None;
        self.changes = self.conn.total_changes();
        self.began_in = self.partitions.open.as_ref().map(|open| open.number);
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// Ends a group: it is on disk when this returns.
    pub(super) fn commit(&mut self) -> Outcome<()> {
        self.write_pending()?;
        self.catalogue()?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        // A group that only looked says nothing of the disk.
        if self.conn.total_changes() != self.changes {
            self.judge.written();
        }
        Ok(())
    }

    /// Pins what the group has accepted, for the streams that wait for it.
    pub(super) fn take_up_offers(&mut self) -> Outcome<()> {
        let shared = Arc::clone(&self.shared);
        let events = std::mem::take(&mut self.effects.events);
        let applied = shared.offers.take_up(&events, |lease, wanted| match open::open(self, lease, wanted) {
            Ok(()) => Ok(true),
            // The stream opens as ever, and is told why not.
            Err(Fault::Refused(error)) => {
                if matches!(error, StoreError::Unaccounted(_)) {
                    tracing::error!(stream = %lease.stream, %error, "what a stream wanted pinned does not account for its events: it opens them itself");
                }
                Ok(false)
            }
            Err(failed) => Err(failed),
        });
        self.effects.events = events;
        self.effects.offers = applied?;
        Ok(())
    }

    /// Shows what the group did.
    pub(super) fn committed(&mut self) {
        self.takes_none = None;
        self.eviction.committed();
        self.stored.committed();
        let effects = std::mem::take(&mut self.effects);
        if effects.orgs {
            self.share_orgs();
        }
        let changed = self.stored.take_changed();
        if !changed.is_empty() {
            self.shared.stored.write().extend(changed);
        }
        effects.connectors.into_iter().for_each(|id| self.forget_owner(id));
        if effects.maps {
            *self.shared.maps.write() = self.partitions.maps();
        }
        if !effects.removed.is_empty() || !effects.gone.is_empty() {
            let mut ring = self.shared.ring.lock();
            effects.removed.iter().for_each(|org| ring.forget(*org, Seq(u64::MAX)));
            effects.gone.iter().for_each(|(org, seq)| ring.forget(*org, *seq));
        }
        if !effects.events.is_empty() {
            let mut told: Vec<OrgId> = effects.events.iter().map(|e| e.org).collect();
            told.sort_unstable();
            told.dedup();
            self.shared.ring.lock().push(effects.events);
            // First what was pinned of them: whoever sees the head move would look for them.
            effects.offers.into_iter().for_each(Next::pinned);
            let heads = self.shared.orgs.read();
            for org in told {
                if let (Some(shown), Some(state)) = (heads.get(&org), self.orgs.get(&org)) {
                    shown.head.send_replace(state.head);
                }
            }
        }
        // After the events, whose heads it shows as well.
        if effects.orgs {
            self.share_orgs();
        }
        for (org, seq, event_id) in effects.damaged {
            damage::log(org, seq, event_id);
        }
        if effects.kept_up
            && let Some(running) = &self.keeping
        {
            running.store(false, Ordering::Release);
        }
        if effects.index
            && let Some(running) = &self.keeping
            && !running.swap(true, Ordering::AcqRel)
        {
            keeper::start(&self.path, &self.writer, self.options.ids, Arc::clone(running));
        }
    }

    fn share_orgs(&self) {
        let mut shown = self.shared.orgs.write();
        shown.retain(|id, _| self.orgs.contains_key(id));
        for (id, org) in &self.orgs {
            shown
                .entry(*id)
                .or_insert_with(|| OrgHead { num: org.num, head: watch::Sender::new(org.head) })
                .head
                .send_if_modified(|head| std::mem::replace(head, org.head) != org.head);
        }
    }

    /// What the failure of a group says of the disk.
    pub(super) fn verdict(&mut self, error: &rusqlite::Error) -> Verdict {
        let verdict = self.judge.verdict(error, &self.path);
        if verdict == Verdict::Full {
            self.space.ran_out();
            self.refused_events();
        }
        verdict
    }

    /// Whether this failure, of what nothing depends on, says that the disk is broken.
    pub(super) fn is_broken(&mut self, error: &rusqlite::Error) -> bool {
        self.judge.verdict(error, &self.path) == Verdict::Broken
    }

    /// Runs work that writes before it knows whether it will be refused: then what it wrote is taken back, and nothing else.
    pub(super) fn all_or_nothing<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.conn.prepare_cached("SAVEPOINT work")?.execute([])?;
        let result = work(self);
        if let Err(Fault::Refused(_)) = result {
            self.conn.prepare_cached("ROLLBACK TO work")?.execute([])?;
        }
        if !matches!(result, Err(Fault::Failed(_))) {
            self.conn.prepare_cached("RELEASE work")?.execute([])?;
        }
        result
    }

    /// Looks whether there is room on the file system before a group is begun: events that have none are refused without a transaction, so that
    /// they hold up nothing else.
    pub(super) fn admits_events(&mut self) -> bool {
        if self.writer.pulse().take_starved() {
            self.space.ran_out();
        }
        self.space.look(&self.conn);
        if self.space.is_refusing() {
            let budget = self.options.max_bytes.map_or(Ok(u64::MAX), |budget| self.left_of(budget));
            self.space.calm_down(budget.unwrap_or(0));
        }
        self.space.admits()
    }

    /// Events were refused because the file system has no room.
    pub(super) fn refused_events(&mut self) {
        self.space.refused(Shortage::FileSystem, None);
    }

    /// `Full` where the disk budget or the file system has no room for this many bytes more of these orgs. The reserve is not offered to
    /// appends, so that deliveries can still be recorded and payloads be trimmed; and the last of the rest not to orgs with more than an equal part.
    pub(super) fn claim_room(&mut self, orgs: &[i64], bytes: u64) -> Outcome<()> {
        let Some(budget) = self.options.max_bytes else { return Ok(()) };
        let room = match self.room {
            Some(room) => room,
            None => self.left_of(budget)?,
        };
        self.room = Some(room);
        let limit = budget.saturating_sub(self.options.reserve);
        if self.takes_from_others(orgs, bytes, room, limit) || bytes > room {
            self.space.refused(Shortage::Budget, Some((limit, limit.saturating_sub(room))));
            return Err(StoreError::Full.into());
        }
        if !self.space.claim(bytes) {
            self.refused_events();
            return Err(StoreError::Full.into());
        }
        self.room = Some(room - bytes);
        Ok(())
    }

    /// What events may still fill of the disk budget.
    pub(super) fn left_of(&self, budget: u64) -> Outcome<u64> {
        Ok(budget.saturating_sub(self.options.reserve).saturating_sub(self.used_bytes()?))
    }

    /// Whether the file system has so little room left that delivered payloads have to make some.
    pub(super) fn is_short_of_room(&self, under_way: bool) -> bool {
        self.space.is_crowded(under_way)
    }

    /// What the database holds on disk, free pages left out, its log included.
    pub(super) fn used_bytes(&self) -> Outcome<u64> {
        Ok(super::vitals::pages_in_use(&self.conn)? + self.log_bytes())
    }

    /// The length of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.path.with_extension("db-wal")).map_or(0, |found| found.len())
    }

    /// Brings the log into the database and closes it. After a failure of the disk (`poisoned`) nothing is moved any more: the next
    /// start reads what really is there.
    pub(super) fn close(mut self, poisoned: bool) {
        if poisoned {
            checkpoint::leave_the_log(&self.conn);
            return;
        }
        self.note_seen_now();
        if let Err(error) = checkpoint::finish(&self.conn) {
            // Else SQLite would try it once more as it closes, and a sync that failed may then "succeed" without anything being on disk.
            checkpoint::leave_the_log(&self.conn);
            if self.judge.verdict(&error, &self.path) == Verdict::Broken {
                tracing::error!(%error, "the disk failed while the log was brought into the database at the end: the next start reads the log. Check the disk");
            } else {
                tracing::warn!(%error, "the log could not be brought into the database at the end; the next start does it");
            }
        }
    }
}

/// The milestone that moves: how far time was seen to pass.
const SEEN: &str = "time-seen";

/// Goes on from what was noted, or from the newest event where a version before this one wrote the database.
fn aging(conn: &Connection, options: &SqliteOptions) -> Outcome<Aging> {
    let seen = "SELECT coalesce((SELECT at FROM milestone WHERE name = ?1), (SELECT max(last_at) FROM partition))";
    let seen: Option<i64> = conn.query_row(seen, [SEEN], |row| row.get(0))?;
    Ok(Aging::new(Arc::clone(&options.clock), options.clock_trust, seen.map(Timestamp)))
}

/// Orgs with their heads, partitions, and what each org takes.
pub(super) fn read_state(conn: &Connection, aging: &Aging) -> Outcome<(HashMap<OrgId, OrgState>, Loaded, Stored)> {
    let mut orgs = orgs::states(conn)?;
    let loaded = Partitions::load(conn, aging.now())?;
    let by_num: HashMap<i64, OrgId> = orgs.iter().map(|(id, org)| (org.num, *id)).collect();
    for (num, head, accepted_at) in &loaded.heads {
        if let Some(org) = by_num.get(num).and_then(|id| orgs.get_mut(id)) {
            (org.head, org.accepted_at) = (*head, *accepted_at);
        }
    }
    let nothing = HashMap::new();
    let stored = Stored::load(conn, loaded.partitions.open.as_ref().map_or(&nothing, |open| &open.sizes))?;
    Ok((orgs, loaded, stored))
}

/// The clock that tests set.
pub(super) fn wall_clock() -> Clock {
    Arc::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the default of an option whose point is that callers can replace it"
        )]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    })
}
