//! One delivery: a pinned batch, its attempts, and what becomes of its events.
//!
//! [`Delivery`] is the record, [`step()`] the state machine. `step` is pure: given the record, what came back and the time, it says what
//! the record becomes and what else has to happen ([`Step`]). The server, the simulation and the property tests drive the same function,
//! and the stores only apply what it says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::destination::{Receipt, Tally};
use crate::exchange::{Headers, SentRequest};
use crate::ids::{DeliveryId, JobId, OrgId, Seq, StreamId};
use crate::members::Members;
use crate::outage::Lasts;
use crate::time::Timestamp;

mod step;

pub use step::{Child, Input, Parking, Policy, Step, step};

/// Why a delivery was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DeliveryTrigger"))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Events as they arrive.
    Live,
    /// A person pressed Test delivery.
    Test,
    /// A person sends parked or delivered events again.
    Redelivery,
    /// A person sends a range of the past again.
    Replay,
    /// The stream recovers: a probe, parked events, or what waited while the breaker was open.
    Recovery,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DeliveryStatus"))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not settled: being sent, waiting for its next attempt, or for the platform's confirmation.
    Pending,
    /// Every event was accepted.
    Delivered,
    /// Some events came to an end here, the rest was parked or goes on in children.
    Partial,
    /// Refused as a whole and cut in two children.
    Split,
    /// Every event was refused for good.
    Rejected,
    /// Given up after its attempts; its events are parked.
    Failed,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 5] = [Self::Live, Self::Test, Self::Redelivery, Self::Replay, Self::Recovery];

    /// The word used in the API and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
            Self::Redelivery => "redelivery",
            Self::Replay => "replay",
            Self::Recovery => "recovery",
        }
    }
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Delivered, Self::Partial, Self::Split, Self::Rejected, Self::Failed];

    /// The word used in the API and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Partial => "partial",
            Self::Split => "split",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// A closed window of metrics. It is the unit of attempt, probe and recovery: the same points with the same times are idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The start of the window and the time of its points. Strictly increasing along a stream.
    pub start: Timestamp,
    /// What happened in it, after the filter.
    pub tally: Tally,
}

/// An acceptance that the platform has not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    /// What to ask for.
    pub reference: Receipt,
    /// Since when.
    pub since: Timestamp,
}

/// One pinned batch of events for one stream. Immutable once settled, but for that of an outage's probes ([`Delivery::outage`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Sent as `webhook-id` with every attempt.
    pub id: DeliveryId,
    /// The tenant.
    pub org: OrgId,
    /// Where it goes.
    pub stream: StreamId,
    /// Why it was made.
    pub trigger: Trigger,
    /// Its events. For a window: the whole range that the window took off the log, filtered events included.
    pub members: Members,
    /// Only for metrics.
    pub window: Option<Window>,
    /// The delivery that this one continues (after a partial reply or a split).
    pub parent: Option<DeliveryId>,
    /// The job that it was made for. Its children are the job's as well.
    pub job: Option<JobId>,
    /// A probe gets a single attempt with a short deadline (so does a test, which is no probe).
    pub probe: bool,
    /// Whether its outcome moves the stream's counts: not so for tests, replays, and redeliveries of what was delivered before.
    pub accounted: bool,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Recorded attempts.
    pub attempts: u32,
    /// How it stands.
    pub status: Status,
    /// When the next attempt is due; `None` once settled or while it awaits confirmation.
    pub due_at: Option<Timestamp>,
    /// Accepted, and waiting to be confirmed.
    pub awaiting: Option<Awaiting>,
    /// When it came to its end.
    pub settled_at: Option<Timestamp>,
    /// Of its events, how many were accepted here (not in children).
    pub delivered: u64,
    /// Of its events, how many were refused for good here.
    pub rejected: u64,
    /// The cause of the last attempt's failure, or the warning of its success.
    pub cause: Option<Cause>,
    /// Of the first probe of an outage that failed: how long the outage lasts. The probes that failed after it are attempts of this delivery,
    /// which alone goes on changing after it was settled; of many of them the first and the last attempts are kept ([`crate::outage`]).
    pub outage: Option<Lasts>,
}

impl Delivery {
    /// A new pending delivery of `members`, due at once. Callers set `window`, `parent`, `job` and `probe` where they apply.
    pub fn new(
        id: DeliveryId,
        org: OrgId,
        stream: StreamId,
        trigger: Trigger,
        members: Members,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            org,
            stream,
            trigger,
            members,
            window: None,
            parent: None,
            job: None,
            probe: false,
            accounted: matches!(trigger, Trigger::Live | Trigger::Recovery),
            created_at: now,
            attempts: 0,
            status: Status::Pending,
            due_at: Some(now),
            awaiting: None,
            settled_at: None,
            delivered: 0,
            rejected: 0,
            cause: None,
            outage: None,
        }
    }

    /// How many events it carries. A test delivery carries one that is not in the log.
    pub fn events(&self) -> u64 {
        match (&self.window, self.trigger) {
            (Some(window), _) => window.tally.total(),
            (None, Trigger::Test) => 1,
            (None, _) => self.members.len() as u64,
        }
    }

    /// How many items a verdict on it speaks of: a window is judged as one.
    pub fn items(&self) -> usize {
        match (&self.window, self.trigger) {
            (None, Trigger::Live | Trigger::Redelivery | Trigger::Replay | Trigger::Recovery) => self.members.len(),
            _ => 1,
        }
    }

    /// The items at positions `from..to` as members. A window is one item and all of its members.
    pub fn slice(&self, from: usize, to: usize) -> Members {
        if self.window.is_some() { self.members.clone() } else { self.members.slice(from, to) }
    }
}

/// One HTTP request of a delivery, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it was sent.
    pub at: Timestamp,
    /// From start to the end of the answer.
    pub duration_ms: u64,
    /// The status of the answer; `null` where none came.
    pub http_status: Option<u16>,
    /// The start of the answer's body, sanitised.
    pub excerpt: Option<String>,
    /// Why it did not simply succeed.
    pub cause: Option<Cause>,
    /// What was sent, without its body; where nobody could be reached, what would have been. `null` where the endpoint could not be prepared,
    /// so that there was nothing to send yet, and for a live or recovery delivery that simply succeeded.
    pub request: Option<SentRequest>,
    /// The headers of the answer; what looks like a credential or a cookie is redacted. `null` where `request` is, and where no answer
    /// came.
    pub response_headers: Option<Headers>,
}

/// Why events are kept after their delivery came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkKind {
    /// Their delivery failed, or the stream is held: recovery will send them.
    Failed,
    /// The platform refused them for good: only a person sends them again.
    Rejected,
}

/// One parked event (or window), kept until it is delivered, expires, or is discarded by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The event; for a window the first of its range.
    pub seq: Seq,
    /// How many events it stands for: 1, or the window's.
    pub events: u64,
    /// Why it is kept.
    pub kind: ParkKind,
    /// The cause of its last failure.
    pub cause: Cause,
    /// The delivery that parked it.
    pub delivery: DeliveryId,
    /// Since when.
    pub since: Timestamp,
}

/// Attempt 2 waits this long after the end of attempt 1 (product spec, "Retry behavior").
pub const SECOND_ATTEMPT_AFTER: Duration = Duration::from_secs(1);
/// Attempt 3 waits this long after the end of attempt 2 (product spec, "Retry behavior").
pub const THIRD_ATTEMPT_AFTER: Duration = Duration::from_secs(2);

/// A stage of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "TestStageName"))]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// The host's name was resolved and its addresses were judged.
    Dns,
    /// A connection was made.
    Tcp,
    /// The certificate was verified.
    Tls,
    /// The request was sent and a whole answer came back, whatever its status.
    Http,
    // Transport cannot tell: whoever classifies the answer adds this stage.
    /// The platform took the event.
    Write,
    // Looked for afterwards, where something may search there.
    /// The event was found there.
    Searchable,
}

/// What came of looking for a test's event where it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "TestSearchOutcome"))]
#[serde(rename_all = "snake_case")]
pub enum SearchOutcome {
    /// It was found.
    Found,
    /// It was not found in the time that there was for it.
    NotFound,
    /// It was not looked for to the end: nothing may search there, or nothing answers.
    NotSearched,
    /// The credential that was given for searching may not search.
    SearchRefused,
}

impl SearchOutcome {
    /// For people, in two words at most.
    pub fn label(self) -> &'static str {
        match self {
            Self::Found => "Found",
            Self::NotFound => "Not found",
            Self::NotSearched => "Not searched",
            Self::SearchRefused => "Search refused",
        }
    }
}
