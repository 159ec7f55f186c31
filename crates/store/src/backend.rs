//! What the server needs of a backend beside its contents: an orderly end, figures for operators, and what can be done with the data while no
//! server has them open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use toktra_siem_core::ids::{EventId, OrgId, Seq};
use toktra_siem_core::time::Timestamp;

use crate::Store;
use crate::aging::Aging;
use crate::error::Result;
use crate::watched::Watched;

/// A backend that a server can run on.
#[async_trait]
pub trait Backend: Store {
    /// Writes everything that was accepted, and releases what keeps other processes out. Calls made afterwards are refused; a second close
    /// does nothing.
    async fn close(&self) -> Result<()>;

    /// The time by which what it holds ages.
    fn aging(&self) -> Arc<Aging>;

    /// Its figures for operators. `None` if there are none that this process knows.
    fn watched(self: Arc<Self>) -> Option<Arc<dyn Watched>>;
}

/// The data of a backend as they lie, whether a server has them open or not: for the commands that need none. Every call blocks.
///
/// A backend whose database has tools of its own for a task refuses it as `Unusable`, and the text names the tool.
pub trait AtRest: Send + Sync {
    /// Whether there is a database already. `Unusable` if this process may not use it.
    fn exists(&self) -> Result<bool>;

    /// Whether anybody of the default org has an account. A server may have the data open. `NotFound` if there is no database; `Conflict` if
    /// another version wrote it.
    fn has_people(&self) -> Result<bool>;

    /// Copies the database, which a server may have open, to the new file `to`. Every event that was accepted before the call is in it. The
    /// file is there, durable and checked, once this returns, and not at all if it fails.
    ///
    /// Errors: `NotFound` if there is no database; `Conflict` if `to` exists, or another version wrote the database; `Damaged` if the
    /// database is; `Unusable` if this process may not read it or write the file; `Unavailable` and `Full` if the disk refuses.
    fn backup(&self, to: &Path, report: &mut dyn FnMut(Copied)) -> Result<BackedUp>;

    /// Notes that a backup of the moment `at` was made, for the server to tell of ([`Watched::last_backup`]).
    fn note_backup(&self, at: Timestamp) -> Result<()>;

    /// Puts the backup `from` in the place of the database, which no server may have open. With `replace` a database that is there is kept
    /// aside, its name ending in `now`.
    ///
    /// Errors: `NotFound` if there is no such file; `Conflict` if a server has the data open, or there is a database and `replace` is not
    /// given, or the file is none of ours; `Damaged` if it is damaged; `Unusable` if this process may not read or write; `Unavailable` and
    /// `Full` if the disk refuses. Nothing is changed then.
    fn restore(&self, from: &Path, replace: bool, now: Timestamp, report: &mut dyn FnMut(Copied)) -> Result<Restored>;

    /// Repairs the database, which no server may have open. If nothing is damaged, nothing is changed. `now` names what is kept aside.
    ///
    /// Errors: `NotFound` if there is no database; `Conflict` if a server has the data open, or another version wrote the database;
    /// `Damaged` if nothing can be saved; `Unusable` if this process may not read or write it; `Unavailable` and `Full` if the disk refuses.
    fn repair(&self, now: Timestamp) -> Result<Repaired>;
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes copied.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// What is under way.
    pub step: &'static str,
}

/// A backup that was made and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// Its size.
    pub bytes: u64,
    /// Events in it that have their payload.
    pub events: u64,
}

/// A backup that was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Events in it that have their payload.
    pub events: u64,
    /// Where the database is kept that was there before.
    pub aside: Option<PathBuf>,
}

/// What a repair found and did.
#[derive(Debug, Default, Serialize)]
pub struct Repaired {
    /// What of the first bytes of the database, which say what it is, was damaged and is restored. This is done where the file lies.
    pub header: Vec<String>,
    /// Where the damaged database is kept; `None` where nothing else is damaged and nothing else was changed.
    pub damaged: Option<PathBuf>,
    /// Events that were saved with their payload.
    pub events: u64,
    /// Events that were lost, or that no stream can deliver any more.
    pub lost: Vec<LostEvent>,
    /// Events that are lost and of which nothing is known, not even the org.
    pub unknown: u64,
    /// Payloads that do not match their checksum and that nobody waited for: what became of their events is still known.
    pub settled_payloads: u64,
    /// Tables of which rows may be missing.
    pub tables: Vec<DamagedTable>,
    /// Outcomes counted as expired because the delivery or the parked event they belong to was lost.
    pub expired: u64,
}

/// An event that was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostEvent {
    /// The tenant; `None` where that was lost too.
    pub org: Option<OrgId>,
    /// Its number within the org.
    pub seq: Seq,
    /// Its id, where it can still be read.
    pub event_id: Option<EventId>,
    /// Whether only its payload is gone, so that its record can still be looked at.
    pub recorded: bool,
}

/// A table that could not be read whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedTable {
    /// Its name.
    pub name: String,
    /// Rows that were saved.
    pub saved: u64,
    /// Places where rows could not be read.
    pub places: u64,
}

impl Repaired {
    /// Whether anything is missing in the new database that was, or may have been, in the old one.
    pub fn has_losses(&self) -> bool {
        !self.lost.is_empty() || self.unknown > 0 || self.settled_payloads > 0 || !self.tables.is_empty()
    }
}
