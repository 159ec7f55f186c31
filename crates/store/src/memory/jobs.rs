//! Jobs in memory: what they are about is looked up event by event.

use async_trait::async_trait;
use toktra_siem_core::delivery::{Delivery, ParkKind, Status};
use toktra_siem_core::ids::{ConnectorId, JobId, OrgId, Seq, StreamId};
use toktra_siem_core::job::{Job, JobKind, JobState, Scope};
use toktra_siem_core::members::Members;
use toktra_siem_core::time::Timestamp;

use super::open::{conflict, unaccounted};
use super::stream::Stream;
use super::{Memory, State};
use crate::config::{AuditEntry, Change};
use crate::error::{Result, StoreError};
use crate::jobs::{JobStep, JobStore, OPEN_JOBS, Placed};
use crate::org::StreamFate;

#[async_trait]
impl JobStore for Memory {
    async fn next_job(&self, stream: StreamId) -> Result<Option<Job>> {
        let state = self.lock();
        Ok(state.jobs.values().find(|job| job.stream_id() == Some(stream) && job.has_more()).cloned())
    }

    async fn place(&self, stream: StreamId, members: &Members) -> Result<Placed> {
        let state = self.lock();
        let row = state.stream(stream)?;
        let parked = Members::from_ascending(members.iter().filter(|seq| row.resting(*seq).is_some()));
        let open = |seq| {
            let mut deliveries = state.deliveries.values().map(|row| &row.delivery);
            deliveries.any(|d| d.stream == stream && d.status == Status::Pending && d.members.contains(seq))
        };
        let waits =
            |seq| seq > row.cursor || matches!(row.fates.get(&seq), Some(StreamFate::Pending { delivery: None }));
        let under_way = members.iter().filter(|seq| !parked.contains(*seq) && (open(*seq) || waits(*seq)));
        let under_way = Members::from_ascending(under_way);
        Ok(Placed { parked, under_way })
    }

    async fn open_discards(&self) -> Result<Vec<JobId>> {
        let state = self.lock();
        let open = state.jobs.values().filter(|job| job.kind == JobKind::Discard && job.state == JobState::Open);
        Ok(open.map(|job| job.id).collect())
    }

    async fn discard(&self, job: JobId, most: usize) -> Result<bool> {
        let now = self.now();
        Ok(self.lock().discard(job, most, now))
    }
}

impl State {
    /// The job, where it is the org's.
    pub(super) fn job(&self, org: OrgId, id: JobId) -> Result<&Job> {
        self.jobs.get(&id).filter(|job| job.org == org).ok_or(StoreError::NotFound)
    }

    pub(super) fn create_job(&mut self, org: OrgId, change: Change<Job>) -> Result<Job> {
        let Change { value: job, audit } = change;
        self.connector(org, job.connector)?;
        if self.jobs.contains_key(&job.id) {
            return Err(conflict("there is a job with this id"));
        }
        let open = self.jobs.values().filter(|other| other.connector == job.connector && other.state == JobState::Open);
        if open.count() >= OPEN_JOBS {
            return Err(conflict("the connector has too many unfinished jobs"));
        }
        let job = Job { org, ..job };
        self.jobs.insert(job.id, job.clone());
        self.log(Some(org), audit);
        Ok(job)
    }

    pub(super) fn cancel_job(&mut self, org: OrgId, id: JobId, audit: AuditEntry, now: Timestamp) -> Result<Job> {
        let mut job = self.job(org, id)?.clone();
        if job.cancel(now) {
            self.jobs.insert(id, job.clone());
            self.log(Some(org), audit);
        }
        Ok(job)
    }

    /// Ends the jobs of a connector that is being removed.
    pub(super) fn give_up_jobs(&mut self, connector: ConnectorId, now: Timestamp) {
        for job in self.jobs.values_mut().filter(|job| job.connector == connector) {
            job.give_up(now);
        }
    }

    /// What the job is about, as things stand.
    pub(super) fn scope(&self, org: OrgId, job: &Job) -> Result<Scope> {
        self.connector(org, job.connector)?;
        let events = &self.org(org)?.events;
        let living = |seq: &Seq| events.get(seq).is_some_and(|row| row.stored.is_some());
        if let Some(id) = job.delivery {
            let row = self.deliveries.get(&id).filter(|row| row.delivery.org == org).ok_or(StoreError::NotFound)?;
            let members = &row.delivery.members;
            let (first, last) = (members.first().unwrap_or_default(), members.last().unwrap_or_default());
            let total = members.iter().filter(living).count() as u64;
            return Ok(Scope { after: Seq(first.0.saturating_sub(1)), last, total });
        }
        // The last event before that time; where none is left, the one before the first that is.
        let before = |at: Timestamp| {
            let first = events.values().find(|row| row.record.accepted_at >= at);
            first.map_or_else(|| self.head(org), |row| Seq(row.record.seq.0 - 1))
        };
        let after = job.from.map(before).unwrap_or_default();
        let last = job.to.map_or_else(|| self.head(org), before);
        let within = |seq: &Seq| after < *seq && *seq <= last;
        let total = if job.kind == JobKind::Replay {
            let meant = events.iter().filter(|(seq, row)| {
                let (event_type, severity) = (row.record.event_type, row.record.severity);
                within(seq) && row.stored.is_some() && job.filter.refuses(event_type, severity).is_none()
            });
            meant.count() as u64
        } else {
            let meant = self.streams.values().filter(|stream| {
                stream.id.connector == job.connector && job.stream.is_none_or(|kind| stream.id.kind == kind)
            });
            meant.flat_map(|stream| stream.resting_rows(within)).map(|(_, events)| events).sum()
        };
        Ok(Scope { after, last, total })
    }

    /// Whether the step moves an open job of the stream from where it stands, and all new deliveries are its own.
    pub(super) fn check_step(&self, stream: StreamId, step: Option<&JobStep>, deliveries: &[Delivery]) -> Result<()> {
        if deliveries.iter().any(|delivery| delivery.job != step.map(|step| step.id)) {
            return Err(unaccounted("a delivery is not of the job that moves"));
        }
        let Some(step) = step else { return Ok(()) };
        let job = self
            .jobs
            .get(&step.id)
            .filter(|job| job.stream_id() == Some(stream) && job.state == JobState::Open && job.cursor == step.from);
        let job = job.ok_or_else(|| conflict("the job has moved, or ended"))?;
        let passed = |seq| step.from < seq && seq <= step.to;
        let inside =
            deliveries.iter().all(|delivery| !delivery.members.is_empty() && delivery.members.iter().all(passed));
        if step.to < step.from || step.to > job.last || !inside {
            return Err(unaccounted("the job does not pass these events"));
        }
        Ok(())
    }

    fn discard(&mut self, id: JobId, most: usize, now: Timestamp) -> bool {
        let Some(mut job) = self.jobs.get(&id).filter(|job| job.kind == JobKind::Discard && job.has_more()).cloned()
        else {
            return false;
        };
        let (mut left, mut events) = (most, 0);
        for stream in self.streams.values_mut().filter(|stream| stream.id.connector == job.connector) {
            let within = |seq: &Seq| job.cursor < *seq && *seq <= job.last;
            for (seq, weight) in stream.resting_rows(within).into_iter().take(left).collect::<Vec<_>>() {
                stream.discard_row(seq);
                events += weight;
                left -= 1;
            }
        }
        job.discarded(events, left > 0, now);
        let more = job.has_more();
        self.jobs.insert(id, job);
        more
    }
}

impl Stream {
    /// The parked rows that wait, failed before rejected ones: their first sequences, and the events that they stand for.
    fn resting_rows(&self, within: impl Fn(&Seq) -> bool) -> Vec<(Seq, u64)> {
        let of_kind = |kind: ParkKind| {
            self.parked.values().filter(move |row| row.parked.kind == kind && self.rests(row)).map(|row| &row.parked)
        };
        let rows = of_kind(ParkKind::Failed).chain(of_kind(ParkKind::Rejected));
        rows.filter(|parked| within(&parked.seq)).map(|parked| (parked.seq, parked.events)).collect()
    }
}
