//! A job: a person's wish to send again what a connector had already, or to give it up.
//!
//! A job covers a stretch of the log, fixed when somebody asks for it, and works it off with a cursor of its own. [`Job`] is the record;
//! its methods say what each transaction that moves its cursor, or settles one of its deliveries, makes of it. They are pure, and the
//! stores apply them in the transaction of what they speak of, so that progress is exact whenever the process ends.
//!
//! Each event that a job is about comes to exactly one end there: delivered, rejected, failed, discarded, or passed over (its payload is
//! gone, or another delivery brings it). These are the job's own counts; where an event is for the stream stands in the stream's account.

use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, Status, Trigger};
use crate::filter::Filter;
use crate::ids::{ConnectorId, DeliveryId, JobId, OrgId, Seq, StreamId, StreamKind};
use crate::time::Timestamp;

/// What a person asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// The events of one delivery again.
    Redeliver,
    /// What is parked, as failed or as rejected, again.
    RedeliverFailed,
    /// Everything that the filter of that moment matches again.
    Replay,
    /// What is parked is given up.
    Discard,
}

impl JobKind {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redeliver => "redeliver",
            Self::RedeliverFailed => "redeliver_failed",
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }

    /// The trigger of the deliveries that bring what had come to its end before. What was parked is always a redelivery.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Replay => Trigger::Replay,
            Self::Redeliver | Self::RedeliverFailed | Self::Discard => Trigger::Redelivery,
        }
    }
}

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// There is something left to do.
    Open,
    /// Every event that it was about has come to its end.
    Done,
    /// Somebody ended it. What was on its way then is still counted.
    Cancelled,
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// The tenant.
    pub org: OrgId,
    /// Whose events.
    pub connector: ConnectorId,
    /// What was asked for.
    pub kind: JobKind,
    /// The stream that it sends on; `None` for a discard, which covers all streams of its connector.
    pub stream: Option<StreamKind>,
    /// The delivery whose events are sent again.
    pub delivery: Option<DeliveryId>,
    /// What a replay sends: the connector's filter when it was asked for.
    pub filter: Filter,
    /// Accepted at or after this, as asked for.
    pub from: Option<Timestamp>,
    /// Accepted before this, as asked for.
    pub to: Option<Timestamp>,
    /// Up to where it has come.
    pub cursor: Seq,
    /// The last sequence that it covers.
    pub last: Seq,
    /// Whether it goes on.
    pub state: JobState,
    /// How many events it is about: those that were meant when it was asked for, and those that were parked in its range since.
    pub total: u64,
    /// Accepted by the platform in this job's deliveries.
    pub delivered: u64,
    /// Refused for good in this job's deliveries.
    pub rejected: u64,
    /// Left behind by this job's deliveries after their attempts.
    pub failed: u64,
    /// Given up.
    pub discarded: u64,
    /// Passed over: their payload is gone, or another delivery brings them.
    pub passed: u64,
    /// In open deliveries of this job.
    pub pending: u64,
    /// Who asked: the name of an API key, or a user.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was done or cancelled.
    pub finished_at: Option<Timestamp>,
}

/// The stretch of the log that a job covers, and how many of its events are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// The sequence before the first.
    pub after: Seq,
    /// The last sequence.
    pub last: Seq,
    /// Events that are meant.
    pub total: u64,
}

impl Job {
    /// A job that has not begun yet. Callers set what it is about: `stream`, `delivery`, `filter`, `from` and `to` where they apply.
    pub fn new(
        id: JobId,
        org: OrgId,
        connector: ConnectorId,
        kind: JobKind,
        created_by: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            org,
            connector,
            kind,
            stream: None,
            delivery: None,
            filter: Filter::default(),
            from: None,
            to: None,
            cursor: Seq(0),
            last: Seq(0),
            state: JobState::Open,
            total: 0,
            delivered: 0,
            rejected: 0,
            failed: 0,
            discarded: 0,
            passed: 0,
            pending: 0,
            created_by,
            created_at: now,
            finished_at: None,
        }
    }

    /// The stream that it sends on.
    pub fn stream_id(&self) -> Option<StreamId> {
        self.stream.map(|kind| StreamId { connector: self.connector, kind })
    }

    /// Gives a new job its scope. One that is about nothing is done at once.
    pub fn begin(&mut self, scope: Scope, now: Timestamp) {
        self.last = scope.last.max(scope.after);
        self.cursor = if scope.total == 0 { self.last } else { scope.after };
        self.total = scope.total;
        self.end_where_over(now);
    }

    /// How many of its events have come to their end.
    pub fn processed(&self) -> u64 {
        self.delivered + self.rejected + self.failed + self.discarded + self.passed
    }

    /// Whether its cursor has further to go.
    pub fn has_more(&self) -> bool {
        self.state == JobState::Open && self.cursor < self.last
    }

    /// Its cursor goes to `to`: `opened` events were taken into deliveries, `passed` were passed over.
    pub fn advance(&mut self, to: Seq, passed: u64, opened: u64, now: Timestamp) {
        self.cursor = to;
        self.passed += passed;
        self.pending += opened;
        self.balance();
        self.end_where_over(now);
    }

    /// One of its deliveries has changed from `before` to `after`; children go on with `handed_on` of its events.
    pub fn settled(&mut self, before: &Delivery, after: &Delivery, handed_on: u64, now: Timestamp) {
        if after.status == Status::Pending {
            return;
        }
        let gone = before.events().saturating_sub(handed_on);
        self.pending = self.pending.saturating_sub(gone);
        self.delivered += after.delivered;
        self.rejected += after.rejected;
        self.failed += gone.saturating_sub(after.delivered + after.rejected);
        self.end_where_over(now);
    }

    /// `events` of a discard were given up; `over` where nothing is left.
    pub fn discarded(&mut self, events: u64, over: bool, now: Timestamp) {
        self.discarded += events;
        if over {
            self.cursor = self.last;
        }
        self.balance();
        self.end_where_over(now);
    }

    /// Ends it. False where it had ended already.
    pub fn cancel(&mut self, now: Timestamp) -> bool {
        if self.state != JobState::Open {
            return false;
        }
        self.state = JobState::Cancelled;
        self.finished_at = Some(now);
        true
    }

    /// Deliveries of it were lost: only `open` of its events are still on their way.
    pub fn lost(&mut self, open: u64, now: Timestamp) {
        self.failed += self.pending.saturating_sub(open);
        self.pending = open;
        self.balance();
        self.end_where_over(now);
    }

    /// Its connector is removed, and what was on its way with it.
    pub fn give_up(&mut self, now: Timestamp) {
        self.failed += std::mem::take(&mut self.pending);
        self.cancel(now);
    }

    /// What was meant and is not there any more where the cursor has come by was passed over; what was parked meanwhile is meant as well.
    fn balance(&mut self) {
        let seen = self.processed() + self.pending;
        self.total = self.total.max(seen);
        if self.cursor >= self.last {
            self.passed += self.total - seen;
        }
    }

    fn end_where_over(&mut self, now: Timestamp) {
        if self.state == JobState::Open && self.cursor >= self.last && self.pending == 0 {
            self.state = JobState::Done;
            self.finished_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::members::Members;

    fn job(scope: Scope) -> Job {
        let (id, org, connector) = (JobId(Uuid::nil()), OrgId(Uuid::nil()), ConnectorId(Uuid::nil()));
        let mut job = Job::new(id, org, connector, JobKind::Replay, "somebody".into(), Timestamp(0));
        job.begin(scope, Timestamp(0));
        job
    }

    fn delivery(events: u64) -> Delivery {
        let stream = StreamId { connector: ConnectorId(Uuid::nil()), kind: StreamKind::Events };
        let members = Members::from_ascending((1..=events).map(Seq));
        Delivery::new(DeliveryId(Uuid::nil()), OrgId(Uuid::nil()), stream, Trigger::Replay, members, Timestamp(0))
    }

    #[test]
    fn a_job_about_nothing_is_done_at_once() {
        let job = job(Scope { after: Seq(3), last: Seq(9), total: 0 });
        assert_eq!((job.state, job.finished_at), (JobState::Done, Some(Timestamp(0))));
        assert!(!job.has_more());
    }

    #[test]
    fn cancelling_ends_it_once_and_what_was_on_its_way_is_still_counted() {
        let mut job = job(Scope { after: Seq(0), last: Seq(9), total: 9 });
        job.advance(Seq(4), 0, 4, Timestamp(1));
        assert!(job.cancel(Timestamp(2)) && !job.cancel(Timestamp(3)));
        let before = delivery(4);
        let after = Delivery { status: Status::Delivered, delivered: 4, ..before.clone() };
        job.settled(&before, &after, 0, Timestamp(4));
        assert_eq!((job.state, job.finished_at, job.delivered), (JobState::Cancelled, Some(Timestamp(2)), 4));
    }

    proptest! {
        /// Whatever is opened, passed, settled in parts and handed on: at its end the job has processed exactly what it is about.
        #[test]
        fn what_it_is_about_comes_to_an_end(
            total in 0u64..40, steps in prop::collection::vec((1u64..6, 0u64..4, 0u64..6, any::<[u8; 2]>()), 1..30)
        ) {
            let mut job = job(Scope { after: Seq(0), last: Seq(60), total });
            let mut open: Vec<u64> = Vec::new();
            for (by, passed, opened, shares) in steps {
                if job.has_more() {
                    let to = Seq((job.cursor.0 + by).min(60));
                    job.advance(to, passed, opened, Timestamp(1));
                    open.extend((opened > 0).then_some(opened));
                }
                if let Some(events) = open.pop() {
                    let before = delivery(events);
                    let delivered = u64::from(shares[0]) % (events + 1);
                    let handed_on = u64::from(shares[1]) % (events - delivered + 1);
                    let after = Delivery { status: Status::Partial, delivered, ..before.clone() };
                    job.settled(&before, &after, handed_on, Timestamp(2));
                    open.extend((handed_on > 0).then_some(handed_on));
                }
                prop_assert_eq!(job.pending, open.iter().sum::<u64>());
                prop_assert!(job.processed() + job.pending <= job.total);
                prop_assert_eq!(job.state == JobState::Done, job.cursor >= job.last && job.pending == 0);
            }
            if job.has_more() {
                job.advance(Seq(60), 0, 0, Timestamp(3));
            }
            for events in open {
                let before = delivery(events);
                job.settled(&before, &Delivery { status: Status::Failed, ..before.clone() }, 0, Timestamp(4));
            }
            prop_assert_eq!((job.state, job.processed()), (JobState::Done, job.total));
        }
    }
}
