//! Where events, deliveries and configuration live. Callers see traits only, so that another backend can be put beside the embedded one
//! without changing them.
//!
//! - [`EventLog`]: the events of each org, in dense sequence; `append` returns once they are on disk.
//! - [`DeliveryStore`]: cursors, deliveries, attempts, parked events, breakers, and the counts that always add up.
//! - [`JobStore`]: jobs, as they are worked off.
//! - [`ConfigStore`]: what is the system's, or several orgs': the orgs, keys by hash, every connector.
//! - [`OrgStore`]: what is an org's. Each method takes the org and returns nothing of another (invariant D7).
//!   [`Insight`] is the part of it that only looks: how streams stand, where an event is, what flowed.
//! - [`ChannelStore`] and [`NoticeStore`]: how people of an org are told, and what was told through each channel.
//! - [`UserStore`] and [`SessionStore`]: the people of an org, and their sessions.
//! - [`KeptStore`]: answers and secrets that are kept for a while, under seal.
//! - [`Backend`] and [`AtRest`]: what a server needs beside the contents, from an orderly end to a repair.
//! - [`Aging`]: the time by which things age, whatever the wall clock says.
//! - [`Cluster`]: who works on what, if several nodes share a store.
//!
//! Two backends pass the same [`conformance`] suite: the embedded default (`store-sqlite`), and [`memory`], the reference that says in the
//! plainest code what the other must do. What a backend with rows checks before it writes is in [`rules`].

use std::sync::Arc;

use toktra_siem_core::time::Timestamp;

pub mod aging;
pub mod backend;
pub mod batch;
pub mod channels;
pub mod cluster;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod deliveries;
pub mod error;
pub mod events;
pub mod in_flight;
pub mod insight;
pub mod jobs;
pub mod kept;
pub mod memory;
pub mod next;
pub mod org;
pub mod people;
pub mod rules;
pub mod test_delivery;
pub mod watched;

pub use aging::{Aging, ClockTrust};
pub use backend::{AtRest, Backend};
pub use channels::{Channel, ChannelRecord, ChannelStore, Failing, NoticeStore, Progress};
pub use cluster::{Claim, Cluster, NodeRecord, Role, Told};
pub use config::{
    Actor, ApiKeyRecord, AuditEntry, AuditQuery, Change, ConfigStore, ConnectorRecord, ConnectorSave, Milestone,
    OrgRecord, Rotation, Saved, SealedSecret, USE_NOTED_EVERY,
};
pub use deliveries::{
    BacklogRange, DeliveryStore, Lease, Open, Passed, Settlement, StreamOverview, StreamRecord, Taken, TestEvent,
    TestOpen, TestSettlement,
};
pub use error::{Result, StoreError};
pub use events::{Appended, Damage, EventLog, EventRecord, Expired, ReadLimit, Retention};
pub use insight::{EventPage, EventQuery, Insight, Preview, Standing, StreamTraffic, Tallied, TrafficRow, Whereabouts};
pub use jobs::{JobQuery, JobStep, JobStore, Placed};
pub use kept::{Kept, KeptKind, KeptStore};
pub use memory::{Broken, Memory};
pub use next::{Next, Offer};
pub use org::{DeliveryDetail, EventFate, HistoryQuery, LastAttempt, ListedDelivery, OrgStore, Page, StreamFate};
pub use people::{PasswordHash, SessionRecord, SessionStore, UserOutcome, UserRecord, UserSave, UserStore};
pub use toktra_siem_core::connector::Resume;
pub use toktra_siem_core::people::{ActorKind, Scope};
pub use watched::{Disk, Shortage, Vitals, Watched};

/// Where a store takes the time from: acceptance times, and when something was made or saved. It may jump, backwards too.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A whole backend.
pub trait Store:
    EventLog
    + DeliveryStore
    + JobStore
    + ConfigStore
    + OrgStore
    + ChannelStore
    + NoticeStore
    + Insight
    + UserStore
    + SessionStore
    + KeptStore
    + Cluster
{
}

impl<T> Store for T where
    T: EventLog
        + DeliveryStore
        + JobStore
        + ConfigStore
        + OrgStore
        + ChannelStore
        + NoticeStore
        + Insight
        + UserStore
        + SessionStore
        + KeptStore
        + Cluster
{
}
