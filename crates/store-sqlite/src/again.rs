//! Beginning a transaction again that met damage, so that whatever else is in the group is written all the same.
//!
//! After a damaged page was met, SQLite lets nothing more be written in the same transaction, even behind a savepoint. What the group has
//! accepted is in memory, with its sequences, and so it can be written once more by another transaction; nobody was answered yet.

use std::sync::Arc;

use rusqlite::Connection;
use toktra_siem_core::event::StoredEvent;
use toktra_siem_core::ids::Seq;
use toktra_siem_core::time::Timestamp;
use toktra_siem_store::error::StoreError;

use super::append::{self, Pending};
use super::batch;
use super::engine::{Effects, Engine, read_state};
use super::fault::{Fault, Outcome, failure, is_damage};

impl Engine {
    /// Begins the transaction again if looks for duplicates met a damaged page in it.
    pub(super) fn write_on(&mut self) -> Outcome<()> {
        if !self.partitions.ids.take_torn() {
            return Ok(());
        }
        // Nearly always there were only looks so far, and nothing is to be done again.
        if self.has_written() {
            return self.accept_again(usize::MAX);
        }
        roll_back(&self.conn);
        Ok(self.begin_again()?)
    }

    /// Begins the transaction again. What the group has claimed stays claimed.
    fn begin_again(&mut self) -> rusqlite::Result<()> {
        let room = self.room;
        self.begin()?;
        self.room = room;
        Ok(())
    }

    /// No other partition can be begun: the open one is gone on with, and the transaction begun again.
    pub(super) fn stay_in_partition(&mut self, fault: Fault) -> Outcome<()> {
        if !fault.is_damage() || self.began_in.is_none() || self.stays {
            return Err(fault);
        }
        self.stay(&fault.into_error("beginning a partition"));
        self.accept_again(usize::MAX)
    }

    fn stay(&mut self, error: &StoreError) {
        tracing::error!(
            %error,
            "events go on into the partition that is open, since no other one can be begun: it grows, and nothing of it is removed by age. Run \
             `toktra-siem repair` when the server can be stopped"
        );
        self.stays = true;
    }

    /// Seals the open partition though it could take more, unless no other can be begun: what comes next would have none. Whether it did.
    pub(super) fn seal_early(&mut self) -> Outcome<bool> {
        if self.stays {
            return Ok(false);
        }
        let tables = batch::tables(self.next_partition()?);
        let tried = format!("SAVEPOINT another; {tables} ROLLBACK TO another; RELEASE another");
        if let Err(error) = self.conn.execute_batch(&tried) {
            // It costs this piece of work, and no other one.
            if is_damage(&error) {
                self.stay(&failure(&error, "trying to begin a partition"));
            }
            return Err(error.into());
        }
        self.seal_partition()?;
        Ok(true)
    }

    /// Begins the transaction again with the first `kept` of the events that it has accepted, and nothing else of what it did.
    pub(super) fn accept_again(&mut self, kept: usize) -> Outcome<()> {
        let (mut events, accepted_at) = (std::mem::take(&mut self.effects.events), self.accepted_at);
        events.truncate(kept);
        let done = self.begin_with(&events, accepted_at);
        if done.is_err() {
            // Who was promised them is not told that they are kept.
            (self.effects.events, self.accepted_at) = (events, accepted_at);
        }
        done
    }

    fn begin_with(&mut self, events: &[Arc<StoredEvent>], accepted_at: Timestamp) -> Outcome<()> {
        roll_back(&self.conn);
        self.reload()?;
        self.begin_again()?;
        if events.is_empty() {
            self.accepted_at = self.accepted_at.max(accepted_at);
            return Ok(());
        }
        let was_set_back = accepted_at < self.accepted_at && !self.stays;
        let takes_none = self.partitions.open.as_ref().is_some_and(|open| Some(open.number) == self.takes_none);
        if was_set_back || takes_none {
            // As for the first time.
            self.seal_partition()?;
        }
        self.accepted_at = if self.stays { accepted_at.max(self.accepted_at) } else { accepted_at };
        append::again(self, events.to_vec())
    }

    /// The same where nothing but the rows of accepted events was to be written: into `afresh` a partition, or the open one.
    pub(super) fn write_again(&mut self, afresh: bool) -> Outcome<()> {
        if self.partitions.open.as_ref().map(|open| open.number) != self.began_in {
            return self.accept_again(usize::MAX);
        }
        roll_back(&self.conn);
        self.begin_again()?;
        self.pending = Pending::default();
        if afresh {
            // Whatever else the group meets, it does not come back to this one.
            self.takes_none = self.began_in;
            let events = std::mem::take(&mut self.effects.events);
            // Backwards, so that each is the last one of its org.
            for event in events.iter().rev() {
                let (Some(org), Some(open)) = (self.orgs.get_mut(&event.org), &mut self.partitions.open) else {
                    continue;
                };
                org.head = Seq(event.seq.0 - 1);
                open.rows -= 1;
                open.bytes -= event.payload.len() as u64;
                match open.extents.get_mut(&org.num) {
                    Some((first, last)) if *first < event.seq => *last = org.head,
                    _ => drop(open.extents.remove(&org.num)),
                }
            }
            // What it remembers of these ids is found in the next partition first.
            self.seal_partition()?;
            return append::again(self, events);
        }
        // What was written takes its room once.
        let written = std::mem::take(&mut self.written).into_iter().map(|(org, by)| (org, -by)).collect();
        if let Some(number) = self.began_in {
            self.resized(number, &written)?;
        }
        for event in &self.effects.events {
            if let Some(org) = self.orgs.get(&event.org) {
                self.pending.push(org.num, Arc::clone(event));
            }
        }
        Ok(())
    }

    fn has_written(&self) -> bool {
        self.conn.total_changes() != self.changes
    }

    /// After a failed group: forgets it.
    pub(super) fn rolled_back(&mut self) -> Result<(), StoreError> {
        // Whoever waits for something of it hears that it is not.
        self.effects = Effects::default();
        roll_back(&self.conn);
        self.reload().map_err(|fault| fault.into_error("reading the state again"))?;
        self.committed();
        Ok(())
    }

    fn reload(&mut self) -> Outcome<()> {
        let (orgs, loaded, stored) = read_state(&self.conn, &self.aging)?;
        self.orgs = orgs;
        self.stored = stored.after(&mut self.stored);
        self.eviction.rolled_back();
        let before = std::mem::replace(&mut self.partitions, loaded.partitions);
        self.partitions.ids.remember(&before.ids);
        self.accepted_at = loaded.accepted_at;
        self.pending = Pending::default();
        self.effects = Effects::all();
        Ok(())
    }
}

fn roll_back(conn: &Connection) {
    if !conn.is_autocommit() {
        // Where this fails too, the transaction is gone already, or what follows fails.
        let _ = conn.execute_batch("ROLLBACK");
    }
}
