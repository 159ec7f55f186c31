//! How a store fails: a kind that decides what the caller does, and the source for whoever reads the log.

/// The result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a call did not succeed. Nothing was changed, except where `Unavailable` says that it cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full: backpressure, try again shortly (HTTP 429).
    #[error("the store is busy: its queue is full")]
    Busy,
    /// The disk budget or the disk is used up (HTTP 507).
    #[error("the disk budget is used up, or the file system is full")]
    Full,
    /// As much as there may be of it is under way for whoever asks (HTTP 429). The text says of what, as the end of a sentence.
    #[error("as many {0} as there may be are under way")]
    TooMany(&'static str),
    /// The lease is not the newest of its stream: another owner took over, or the stream was switched off or deleted. Stop. Also where
    /// the stream of the lease does not exist.
    #[error("another owner has taken over this stream")]
    Fenced,
    /// The connector was saved after the caller read its filter, and the save applies to events in this very call. Read it anew.
    #[error("the filter was changed in the meantime")]
    Stale,
    /// A compare-and-set lost: what the caller expected to change had changed already.
    #[error("conflict: {0}")]
    Conflict(String),
    /// There is no such thing (in this org).
    #[error("not found")]
    NotFound,
    /// The call does not account for every event that it moves past (invariant D3 or D1): a bug in the caller, refused.
    #[error("unaccounted: {0}")]
    Unaccounted(String),
    /// Stored data is damaged; `toktra-siem repair` saves what is whole.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A file or a directory cannot be used as it is. Says which, why, and the step to take.
    #[error("{0}")]
    Unusable(String),
    /// The store failed (HTTP 503). Whether the change was made is unknown.
    #[error("the store failed: {context}")]
    Unavailable {
        /// What it was doing.
        context: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy | Self::Full | Self::TooMany(_) | Self::Stale | Self::Unavailable { .. })
    }
}
