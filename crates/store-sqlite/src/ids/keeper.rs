//! The thread that keeps the index of ids: it asks the writer what is to be done, prepares a piece of it beside, has the writer write it, and
//! ends when nothing is left to do. One piece at a time, so that no append waits for it; partitions whose ids take memory come first. What damage
//! makes impossible is passed by until the next start, and everything else goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use toktra_siem_store::error::{Result, StoreError};

use super::super::engine::Engine;
use super::super::fault::{Fault, Outcome};
use super::super::migrate::open_reader;
use super::super::writer::Writer;
use super::super::{pack, tally};
use super::build::Build;
use super::mend::Mended;
use super::merge::Merge;
use super::{IdSizes, Own, OwnIds, Place, level, mend};

const CONTEXT: &str = "keeping the index of event ids";

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// A bucket cannot be read.
    Mend(Place),
    /// The ids of a partition are not on disk by hash.
    Build(i64),
    /// A merge is under way.
    Merge,
    /// The filter of a partition is not wanted any more.
    Drop(i64),
    /// The runs of a partition are not as long and as small as they get.
    Pack(i64),
}

/// What the thread remembers between two pieces. A test can be the thread.
pub(in super::super) struct Keeper {
    path: PathBuf,
    writer: Writer,
    sizes: IdSizes,
    reader: Option<Connection>,
    building: Option<Build>,
    merging: Option<Merge>,
}

/// Starts the thread. `running` is true as long as it goes on by itself.
pub(in super::super) fn start(path: &Path, writer: &Writer, sizes: IdSizes, running: Arc<AtomicBool>) {
    let mut keeper = Keeper::new(path, writer, sizes);
    let stopped = Arc::clone(&running);
    let spawned = std::thread::Builder::new().name("toktra-ids".into()).spawn(move || {
        let ended = loop {
            match keeper.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => break error,
            }
        };
        // Where the store was closed, nobody has to know.
        if matches!(ended, StoreError::Damaged(_)) {
            tracing::warn!(error = %ended, "the index of event ids cannot be completed: new events take longer to check");
        } else {
            tracing::debug!(error = %ended, "the index of event ids is not complete; the next sealed partition or start goes on");
        }
        running.store(false, Ordering::Release);
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for the index of event ids; the next sealed partition or start makes it");
        stopped.store(false, Ordering::Release);
    }
}

impl Keeper {
    /// One that has not begun.
    pub(in super::super) fn new(path: &Path, writer: &Writer, sizes: IdSizes) -> Self {
        let (path, writer) = (path.to_path_buf(), writer.clone());
        Self { path, writer, sizes, reader: None, building: None, merging: None }
    }

    /// Does one piece; whether there may be more to do.
    pub(in super::super) fn step(&mut self) -> Result<bool> {
        if let Some(build) = self.building.take() {
            let number = build.number;
            match self.build(build) {
                Err(error @ StoreError::Damaged(_)) => self.pass(Task::Build(number), &error)?,
                done => done?,
            }
            return Ok(true);
        }
        let Some(task) = self.writer.call_blocking(CONTEXT, Engine::next_task)? else { return Ok(false) };
        let done = match task {
            Task::Mend(place) => self.mend(place),
            Task::Build(number) => self.read(number),
            Task::Merge => self.merge(),
            Task::Drop(number) => self.writer.call_blocking(CONTEXT, move |engine| engine.drop_filter(number)),
            Task::Pack(number) => self.pack(number),
        };
        match done {
            Err(error @ StoreError::Damaged(_)) => self.pass(task, &error)?,
            done => done?,
        }
        Ok(true)
    }

    /// Passes by what cannot be done.
    fn pass(&mut self, task: Task, error: &StoreError) -> Result<()> {
        (self.building, self.merging) = (None, None);
        match task {
            Task::Mend(place) => {
                tracing::error!(%error, "a part of the index of event ids cannot be made anew: an event of this part that is sent again is taken for a new one; check the disk");
                self.writer.call_blocking(CONTEXT, move |engine| engine.mended(place, Mended::nothing(place)))
            }
            Task::Merge => {
                tracing::warn!(%error, "the index of event ids cannot be merged: new events take longer to check");
                self.writer.call_blocking(CONTEXT, |engine| {
                    engine.partitions.ids.unmerged = true;
                    Ok(())
                })
            }
            Task::Build(number) | Task::Drop(number) | Task::Pack(number) => {
                tracing::warn!(%error, partition = number, "the ids of a partition cannot be kept as they should be: it is left as it is");
                self.leave(number)
            }
        }
    }

    fn conn(&mut self) -> Result<&Connection> {
        let conn = match self.reader.take() {
            Some(conn) => conn,
            None => open_reader(&self.path)?,
        };
        Ok(self.reader.insert(conn))
    }

    fn read(&mut self, number: i64) -> Result<()> {
        let sizes = self.sizes;
        match Build::read(self.conn()?, number, sizes) {
            Ok(build) => self.building = Some(build),
            Err(fault) => {
                let error = fault.into_error(CONTEXT);
                tracing::warn!(%error, partition = number, "the ids of a partition cannot be read, and are not indexed");
                self.leave(number)?;
            }
        }
        Ok(())
    }

    fn mend(&mut self, place: Place) -> Result<()> {
        let mended = mend::mend(self.conn()?, place).map_err(unread)?;
        let beside = mended.beside();
        match self.writer.call_blocking(CONTEXT, move |engine| engine.mended(place, mended.clone())) {
            // The row can be read, and not written: what was made is kept in memory.
            Err(StoreError::Damaged(_)) => {
                self.writer.call_blocking(CONTEXT, move |engine| engine.mended(place, beside.clone()))
            }
            written => written,
        }
    }

    fn pack(&mut self, number: i64) -> Result<()> {
        let Err(error) = pack::run(number, &self.path, &self.writer) else { return Ok(()) };
        tracing::warn!(%error, partition = number, "a partition cannot be read, and is not packed");
        self.leave(number)
    }

    /// Passes a partition by until the next start. Where the store was closed, this is an error too, and ends the thread.
    fn leave(&self, number: i64) -> Result<()> {
        self.writer.call_blocking(CONTEXT, move |engine| {
            engine.partitions.ids.unreadable.push(number);
            Ok(())
        })
    }

    fn build(&mut self, mut build: Build) -> Result<()> {
        let number = build.number;
        let rows = build.next(self.sizes);
        if rows.is_empty() {
            self.writer.call_blocking(CONTEXT, move |engine| build.complete(engine))?;
            return self.count(number);
        }
        self.writer.call_blocking(CONTEXT, move |engine| engine.add_ids(number, &rows))?;
        self.building = Some(build);
        Ok(())
    }

    fn merge(&mut self) -> Result<()> {
        let sizes = self.sizes;
        let merge = match self.merging.take() {
            Some(merge) => Some(merge),
            None => Merge::read(self.conn()?).map_err(unread)?,
        };
        let Some(mut merge) = merge else { return Ok(()) };
        let piece = merge.piece(self.conn()?, sizes).map_err(unread)?;
        let next = piece.next();
        match self.writer.call_blocking(CONTEXT, move |engine| engine.add_merged(&piece)) {
            // The piece is made again, and takes nothing away.
            Err(StoreError::Damaged(_)) if merge.keeps() => {
                self.merging = Some(merge);
                return Ok(());
            }
            written => written?,
        }
        self.merging = merge.went_to(next).then_some(merge);
        Ok(())
    }

    /// Keeps how many events of each kind there are, while the partition is at hand.
    fn count(&mut self, number: i64) -> Result<()> {
        let context = "counting a partition";
        let counted = |conn: &Connection| -> Outcome<Option<Vec<tally::Row>>> {
            let uncounted = "SELECT 1 FROM partition WHERE number = ?1 AND tallied = 0";
            if !conn.prepare_cached(uncounted)?.exists([number])? {
                return Ok(None);
            }
            tally::count(conn, number).map(Some)
        };
        let Some(rows) = counted(self.conn()?).map_err(unread)? else { return Ok(()) };
        let pieces: Vec<&[tally::Row]> = rows.chunks(tally::PIECE).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let (piece, last) = (piece.to_vec(), at + 1 == pieces.len());
            self.writer.call_blocking(context, move |engine| engine.add_tally(number, &piece, last))?;
        }
        Ok(())
    }
}

/// What the reader met. Damage keeps what was asked for from being done, and nothing else.
fn unread(fault: Fault) -> StoreError {
    let damage = fault.is_damage();
    let error = fault.into_error(CONTEXT);
    if damage { StoreError::Damaged(error.to_string()) } else { error }
}

impl Engine {
    /// The next task. If there is none, the thread ends; the writer starts it again when there is one.
    fn next_task(&mut self) -> Outcome<Option<Task>> {
        let task = self.look_for_task()?;
        self.effects.kept_up |= task.is_none();
        Ok(task)
    }

    fn look_for_task(&mut self) -> Outcome<Option<Task>> {
        let known = &self.partitions.ids;
        if let Some(place) = known.next_to_mend() {
            return Ok(Some(Task::Mend(place)));
        }
        let readable = |number: &i64| !known.unreadable.contains(number);
        if let Some(number) = self.partitions.unindexed().find(readable) {
            return Ok(Some(Task::Build(number)));
        }
        let is_sorted = |own: &&Own| matches!(own.ids, OwnIds::Sorted);
        if let Some(number) = known.own.iter().rev().filter(is_sorted).map(|own| own.number).find(readable) {
            return Ok(Some(Task::Build(number)));
        }
        if !known.unmerged && known.wants_merge(self.options.ids) && self.begin_merge()? {
            return Ok(Some(Task::Merge));
        }
        let kept = "SELECT partition FROM ids_of WHERE level IN (?1, ?2) AND filter IS NOT NULL";
        let mut kept = self.conn.prepare_cached(kept)?;
        let kept = kept.query_map([level::RECENT, level::PAST], |row| row.get(0))?;
        let kept = kept.collect::<rusqlite::Result<Vec<i64>>>()?;
        if let Some(number) = kept.into_iter().find(|number| !self.partitions.ids.unreadable.contains(number)) {
            return Ok(Some(Task::Drop(number)));
        }
        let sorted = "SELECT number FROM partition p WHERE sealed = 1 AND indexed = 1
             AND NOT EXISTS (SELECT 1 FROM ids_of WHERE partition = p.number) ORDER BY number DESC";
        let mut statement = self.conn.prepare_cached(sorted)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            if !self.partitions.ids.unreadable.contains(&number) {
                return Ok(Some(Task::Build(number)));
            }
        }
        let mut loose = self.conn.prepare_cached("SELECT number FROM partition WHERE sealed = 1 AND packed = 0")?;
        let loose = loose.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        Ok(loose.into_iter().find(|number| !self.partitions.ids.unreadable.contains(number)).map(Task::Pack))
    }

    fn drop_filter(&mut self, number: i64) -> Outcome<()> {
        let sql = "UPDATE ids_of SET filter = NULL WHERE partition = ?1";
        self.conn.prepare_cached(sql)?.execute([number])?;
        Ok(())
    }
}
