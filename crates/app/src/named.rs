//! What a request names by its id.

use std::str::FromStr;

use toktra_siem_core::ids::{ApiKeyId, ChannelId, ConnectorId, DeliveryId, EventId, JobId, OrgId, UserId};

use crate::{Refusal, Result};

/// An id by which a request names a thing.
pub trait Named: FromStr {
    /// What messages call the thing.
    const WORD: &'static str;
}

macro_rules! named {
    ($($id:ident $word:literal),* $(,)?) => {
        $(impl Named for $id {
            const WORD: &'static str = $word;
        })*
    };
}

named!(
    ApiKeyId "API key",
    ChannelId "notification channel",
    ConnectorId "connector",
    DeliveryId "delivery",
    EventId "event",
    JobId "job",
    OrgId "org",
    UserId "user",
);

/// Reads an id. Text that is none is refused like the id of a thing that does not exist.
///
/// # Errors
///
/// If there can be no such thing.
pub fn named<T: Named>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Refusal::not_found(T::WORD))
}
