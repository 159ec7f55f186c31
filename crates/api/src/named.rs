//! What the path of a request names: extractors for the routes that are about one thing.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use toktra_siem_core::ids::{ApiKeyId, ConnectorId, DeliveryId, EventId, JobId, OrgId, UserId};

use super::error::{ApiError, Result};
use super::guard::Caller;
use super::query::Query;
use super::state::AppState;

/// An id that a path holds.
pub(super) trait Named: FromStr {
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
    ConnectorId "connector",
    DeliveryId "delivery",
    EventId "event",
    JobId "job",
    OrgId "org",
    UserId "user",
);

/// The id in the path. Text that is no id is answered like the id of a thing that does not exist.
pub(super) struct Id<T>(pub(super) T);

/// The id in the path of a request that takes no query parameters.
pub(super) struct OnlyId<T>(pub(super) T);

/// A thing of an org: who asks, for which org, and the id in the path. The request takes no query parameters.
pub(super) struct InOrg<T> {
    pub(super) caller: Caller,
    pub(super) org: OrgId,
    pub(super) id: T,
}

impl<T: Named> FromRequestParts<AppState> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let path = Path::<String>::from_request_parts(parts, state).await.ok();
        path.and_then(|Path(text)| text.parse().ok()).map(Self).ok_or_else(|| ApiError::not_found(T::WORD))
    }
}

impl<T: Named> FromRequestParts<AppState> for OnlyId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        Query::of(&parts.uri).finish()?;
        let Id(id) = Id::from_request_parts(parts, state).await?;
        Ok(Self(id))
    }
}

impl<T: Named> FromRequestParts<AppState> for InOrg<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let OnlyId(id) = OnlyId::from_request_parts(parts, state).await?;
        let org = caller.org()?;
        Ok(Self { caller, org, id })
    }
}
