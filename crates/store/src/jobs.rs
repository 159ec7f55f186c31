//! Jobs as the system works them off: the dispatcher those that send, upkeep those that give up. What people ask of them is in
//! [`crate::OrgStore`].

use async_trait::async_trait;
use toktra_siem_core::ids::{ConnectorId, JobId, Seq, StreamId};
use toktra_siem_core::job::{Job, JobState};
use toktra_siem_core::members::Members;

use crate::error::Result;

/// Open jobs of a connector, at most: they are worked off one after the other.
pub const OPEN_JOBS: usize = 100;

/// How an [`crate::Open`] moves a job. All of its deliveries are the job's then, and hold events that its cursor passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobStep {
    /// Which: an open one of the stream.
    pub id: JobId,
    /// Where its cursor stands (compare and set).
    pub from: Seq,
    /// Where it goes; not beyond the last sequence that the job covers.
    pub to: Seq,
    /// Of the events that are meant, how many are passed over although their payload is there: another delivery brings them.
    pub passed: u64,
}

/// Where some events stand with a stream, as far as a job has to know. What is in neither has come to its end there, or was never the
/// stream's to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placed {
    /// Parked, of either kind, and in no delivery that accounts for them.
    pub parked: Members,
    /// Not parked, and in an open delivery, in a backlog range, or behind the cursor.
    pub under_way: Members,
}

/// Which jobs to list. Empty means all; pages go by id, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Of this connector.
    pub connector: Option<ConnectorId>,
    /// In this state.
    pub state: Option<JobState>,
    /// Only those older than this one (the last of the page before).
    pub before: Option<JobId>,
    /// At most this many.
    pub limit: usize,
}

/// Working jobs off.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// The oldest open job of the stream whose cursor has further to go.
    async fn next_job(&self, stream: StreamId) -> Result<Option<Job>>;

    /// Where these events stand with the stream. `NotFound` where there is no such stream.
    async fn place(&self, stream: StreamId, members: &Members) -> Result<Placed>;

    /// The open jobs that give up what is parked, oldest first.
    async fn open_discards(&self) -> Result<Vec<JobId>>;

    /// Does a piece of a discard: at most `most` parked events or windows within its scope, of either kind and in whatever stream of its
    /// connector, become discarded. What is on its way is passed over. Whether there is more to do; not so where the job has ended.
    async fn discard(&self, job: JobId, most: usize) -> Result<bool>;
}
