//! What is kept for a while and under seal: the answers to requests with an idempotency key, so that the same request is not done twice,
//! and secrets that were shown once, so that whoever lost one can see it again.

use std::time::Duration;

use async_trait::async_trait;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use uuid::Uuid;

use crate::config::{AuditEntry, SealedSecret};
use crate::error::Result;

/// Answers that are kept of one owner in one org, and as many secrets: when there are more, the oldest go.
pub const KEPT_OF_OWNER: usize = 1_000;
/// How many of an owner's requests in one org may be under way, or may have been left in the middle within [`FRESH`].
pub const UNDER_WAY: usize = 100;
/// How long a request may be under way at the most. One that has no outcome by then was left in the middle.
pub const FRESH: Duration = Duration::from_mins(10);
/// What [`StoreError::TooMany`](crate::StoreError::TooMany) says of them.
pub const REQUESTS: &str = "requests with an `Idempotency-Key`";

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeptKind {
    /// The answer to a request.
    Answer,
    /// An API key.
    ApiKey,
    /// A signing secret of a connector.
    SigningSecret,
    /// A password that was made up for a person.
    Password,
}

/// One thing that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Identifies it: of an answer the hash of what identifies its request.
    pub id: [u8; 32],
    /// The API key or the person whose it is. Nobody else is given it.
    pub owner: Uuid,
    /// The org that it concerns, if any.
    pub org: Option<OrgId>,
    /// What it is.
    pub kind: KeptKind,
    /// What it is about: of an answer the hash of the whole request, of a secret the id of the key, connector or person.
    pub about: String,
    /// When it was made.
    pub at: Timestamp,
    /// How long it is kept.
    pub until: Timestamp,
    /// The thing itself; `None` while the request is under way, and after the service died in the middle of it.
    pub sealed: Option<SealedSecret>,
}

impl Kept {
    /// Whether it is a request that may be under way at `now`. What came of it is not known yet, so it stays, whatever else there is.
    pub fn is_under_way(&self, now: Timestamp) -> bool {
        self.kind == KeptKind::Answer && self.sealed.is_none() && self.at.plus(FRESH) > now && self.until > now
    }

    /// Whether the two share a limit: that of an owner in an org, for answers or for secrets.
    pub fn shares_limit(&self, other: &Self) -> bool {
        let is_answer = |kept: &Self| kept.kind == KeptKind::Answer;
        self.owner == other.owner && self.org == other.org && is_answer(self) == is_answer(other)
    }

    /// The name that the vault seals it with.
    pub fn field(id: &[u8; 32]) -> String {
        id.iter().fold("kept:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// What is kept for a while. System-wide: owners keep to their own, and whoever calls says who that is.
#[async_trait]
pub trait KeptStore: Send + Sync {
    /// Keeps it. Where something with this id is kept already, and its time was not over at `kept.at`, nothing changes, and the answer is
    /// that. Of an owner who has more than [`KEPT_OF_OWNER`] in the org, the oldest go, answers and secrets apart; what is under way stays.
    /// `TooMany` if it is a request and [`UNDER_WAY`] of them are under way.
    async fn keep(&self, kept: Kept) -> Result<Option<Kept>>;

    /// Adds the thing itself. Nothing happens where it is gone.
    async fn seal_kept(&self, id: [u8; 32], sealed: SealedSecret) -> Result<()>;

    /// Forgets it, if it is there.
    async fn forget_kept(&self, id: [u8; 32]) -> Result<()>;

    /// The secrets of an owner whose time is not over at `now`, oldest first.
    async fn kept_secrets(&self, owner: Uuid, now: Timestamp) -> Result<Vec<Kept>>;

    /// Forgets a secret of an owner, and gives it. `NotFound` where there is none, or its time is over at `audit.at`.
    async fn take_kept(&self, owner: Uuid, id: [u8; 32], audit: AuditEntry) -> Result<Kept>;

    /// Forgets everything whose time is over at `now`; how much.
    async fn expire_kept(&self, now: Timestamp) -> Result<u64>;
}
