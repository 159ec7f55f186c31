//! What operators watch of an embedded store beside its contents.

use std::time::Duration;

use async_trait::async_trait;
use toktra_siem_core::histogram::Reading;
use toktra_siem_core::time::Timestamp;

use crate::error::StoreError;

/// The writer at a glance. Taken from memory: neither waits for the disk nor for the writer.
#[derive(Debug, Clone, PartialEq)]
pub struct Vitals {
    /// Events that wait to be written, those of the present group included.
    pub queued_events: usize,
    /// Their payload bytes.
    pub queued_bytes: usize,
    /// Other work that waits: deliveries, configuration.
    pub queued_others: usize,
    /// The disk failed: every write is refused until a restart.
    pub poisoned: bool,
    /// By how much the clock is ahead of the time by which things age.
    pub clock_ahead: Duration,
    /// What new events are refused for at present ([`StoreError::Full`]), while everything else is written.
    pub refusing: Option<Shortage>,
    /// Pages that were written and acknowledged before the start, and that it found damaged in the write-ahead log: what was in them is lost.
    pub log_lost: u64,
    /// How many pieces of work each group had.
    pub group_size: Reading,
    /// How long each group's transaction took, in seconds.
    pub commit_seconds: Reading,
}

/// What there is not enough of for new events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The disk budget.
    Budget,
    /// Room on the file system, whoever fills it.
    FileSystem,
}

impl Shortage {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Budget, Self::FileSystem];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::FileSystem => "file_system",
        }
    }
}

/// What the database takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes of the database file.
    pub database: u64,
    /// Bytes of its log.
    pub log: u64,
    /// Bytes that count against the budget: pages in use, and the log.
    pub used: u64,
    /// The budget, where there is one.
    pub budget: Option<u64>,
    /// The part of the budget that appends may not use.
    pub reserve: u64,
}

/// What can be seen of an embedded store beside its contents.
#[async_trait]
pub trait Watched: Send + Sync {
    /// How its writer is doing; does not wait.
    fn vitals(&self) -> Vitals;

    /// What it takes on disk.
    async fn disk(&self) -> Result<Disk, StoreError>;

    /// The moment of the newest backup that was made of it, as far as that was noted.
    async fn last_backup(&self) -> Option<Timestamp>;
}
