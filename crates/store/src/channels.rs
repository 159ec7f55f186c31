//! Who is told when something is wrong: the notification channels of an org, what there was to tell, and what somebody knows already.
//!
//! A notice is stored once, by its key. Each channel has a cursor over its org's notices, so that what was told, and to whom, is known
//! after a crash, too.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::ids::{ChannelId, ConnectorId, OrgId};
use toktra_siem_core::notice::{Acknowledgement, ChannelKind, Notice, Topic};
use toktra_siem_core::time::Timestamp;

use crate::config::{AuditEntry, Change, SealedSecret};
use crate::error::Result;

/// Channels of an org, at most.
pub const MAX_CHANNELS: usize = 50;

/// A way to tell people of an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Whose it is.
    pub org: OrgId,
    /// What people call it; unique in the org.
    pub name: String,
    /// How it reaches them.
    pub kind: ChannelKind,
    /// Its settings that are no secrets.
    pub config: Map<String, Value>,
    /// What is told through it.
    pub events: Vec<Topic>,
    /// Whether anything is.
    pub active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
}

/// How far a channel is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When something was last told.
    pub last_told: Option<Timestamp>,
    /// Why nothing gets through at present; `None` if it does.
    pub failing: Option<Failing>,
}

/// Why a channel does not get through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The first of the attempts that failed in a row.
    pub since: Timestamp,
    /// When the last of them was.
    pub at: Timestamp,
    /// How many.
    pub attempts: u32,
    /// When the next one is due.
    pub next: Timestamp,
    /// What happened the last time.
    pub cause: Cause,
}

/// A channel with what is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRecord {
    /// The channel.
    pub channel: Channel,
    /// Its secrets, sealed, by the names of its settings; in no particular order.
    pub secrets: Vec<SealedSecret>,
    /// The number of the last notice of the org that it has told, or passed by.
    pub told_to: u64,
    /// How it is getting on.
    pub progress: Progress,
}

/// The org-scoped face: what a request handler may touch.
#[async_trait]
pub trait ChannelStore: Send + Sync {
    /// The org's channels, by creation. `NotFound` if the org does not exist, as everywhere here.
    async fn channels(&self, org: OrgId) -> Result<Vec<ChannelRecord>>;

    /// Makes a channel, which tells what is noted from now on. `Conflict` if the id exists or the name is taken in the org, or if there are
    /// [`MAX_CHANNELS`].
    async fn create_channel(&self, org: OrgId, change: Change<ChannelRecord>) -> Result<()>;

    /// Saves a channel: it is tried again at once if it was failing, and one that is switched on tells what is noted from now on. Its
    /// `told_to` and `progress` are the store's. `Conflict` if the name is taken, or if it was saved since `updated_before`.
    async fn save_channel(&self, org: OrgId, updated_before: Timestamp, change: Change<ChannelRecord>) -> Result<()>;

    /// Removes a channel.
    async fn delete_channel(&self, org: OrgId, id: ChannelId, audit: AuditEntry) -> Result<()>;

    /// Keeps what somebody knows of a connector, or forgets it. Nothing is written if there was nothing to forget.
    async fn acknowledge(
        &self,
        org: OrgId,
        connector: ConnectorId,
        change: Change<Option<Acknowledgement>>,
    ) -> Result<()>;

    /// What is known of the org's connectors, those that have ended included.
    async fn acknowledgements(&self, org: OrgId) -> Result<Vec<(ConnectorId, Acknowledgement)>>;
}

/// What only the system itself touches.
#[async_trait]
pub trait NoticeStore: Send + Sync {
    /// The channels of every org, by creation.
    async fn all_channels(&self) -> Result<Vec<ChannelRecord>>;

    /// What is known of connectors of every org, what has ended included.
    async fn all_acknowledgements(&self) -> Result<Vec<(ConnectorId, Acknowledgement)>>;

    /// Stores those whose key is new in the org, in this order; how many.
    async fn note(&self, org: OrgId, notices: Vec<Notice>) -> Result<usize>;

    /// Notices of the org after this number, at most so many, in order.
    async fn noted(&self, org: OrgId, after: u64, limit: usize) -> Result<Vec<(u64, Notice)>>;

    /// When each of these keys was noted in the org; `None` if it was not.
    async fn known(&self, org: OrgId, keys: Vec<String>) -> Result<Vec<Option<Timestamp>>>;

    /// Keeps how far a channel is. How it is getting on is not kept if it was saved since `as_of`: what was learned is of other settings.
    /// `NotFound` if it is gone.
    async fn told(&self, id: ChannelId, as_of: Timestamp, told_to: u64, progress: Progress) -> Result<()>;

    /// Replaces the sealed secrets of a channel, after a change of the encryption key.
    async fn reseal_channel(&self, id: ChannelId, secrets: Vec<SealedSecret>) -> Result<()>;

    /// Forgets notices of before, but for the last one of each org: the number of the next one follows from it. How many.
    async fn expire_notices(&self, before: Timestamp) -> Result<u64>;
}
