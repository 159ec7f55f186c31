//! What stands before every handler: who calls, whether they may, for which org, and whether too often. A route cannot be mounted
//! without saying what it demands (see [`super::routes`]), so none can be forgotten.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::Extensions;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use tokio::time::Instant;
use toktra_siem_core::ids::OrgId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::Arrival;
use toktra_siem_edge::rate::Allowance;
use toktra_siem_identity::sessions::Session;
use toktra_siem_store::{AuditEntry, Scope};

use super::auth::Principal;
use super::error::{ApiError, Code, Result};
use super::query;
use super::state::AppState;

/// What a route demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: health checks.
    Open,
    /// `events:write`. No request limit; the events say which org, where the key does not.
    Events,
    /// This scope, and an org: the key's, or the one that a platform key names with `?org_id=`.
    Org(Scope),
    /// `admin`, for an org, or for what concerns no org where a platform key names none.
    Keys,
    /// A session, of whichever role.
    Session,
    /// `platform`.
    Platform,
}

/// An extension of requests that this process makes of its own API on somebody's behalf. Whoever made them has counted the request that
/// they serve, so they are not counted again. No socket can bring an extension along.
#[derive(Debug, Clone, Copy)]
pub struct Internal;

/// An extension of requests that a page makes by itself while somebody looks at it: they are no use of the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watches;

/// An extension of requests that ask what all who may look at an org are shown. Nothing but reading is possible with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Onlookers(pub(crate) OrgId);

/// Whether the request counts against the limit of whoever makes it.
fn is_limited(access: Access, extensions: &Extensions) -> bool {
    access != Access::Events && extensions.get::<Internal>().is_none()
}

/// Who calls, and for which org.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    org: Option<OrgId>,
    names_org: bool,
}

impl Caller {
    /// The org that the request is about.
    pub(super) fn org(&self) -> Result<OrgId> {
        self.org.ok_or_else(|| {
            ApiError::bad_request("A platform key belongs to no org. Name the one that is meant with `?org_id=`.")
        })
    }

    /// The org that the request is about, where it names one.
    pub(super) fn named_org(&self) -> Option<OrgId> {
        self.org
    }

    /// Whether the request is about what concerns no org as well: that of a platform key that names none.
    pub(super) fn asks_for_platform(&self) -> bool {
        self.principal.is_platform() && !self.names_org
    }

    /// The session of the caller, which routes of [`Access::Session`] have.
    pub(super) fn session(&self) -> Result<&Session> {
        self.principal.session.as_ref().ok_or_else(|| {
            ApiError::forbidden("This is about the session of a person who is logged in. An API key has none.")
        })
    }

    /// The line of the audit log for something that the caller did to `object`.
    pub(super) fn audit(
        &self,
        at: Timestamp,
        action: &str,
        object: impl std::fmt::Display,
        detail: serde_json::Value,
    ) -> AuditEntry {
        let actor = self.principal.actor();
        AuditEntry { at, actor, action: action.to_owned(), object: object.to_string(), detail }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a route without a guard asks who calls");
            ApiError::internal()
        })
    }
}

/// The middleware of every route but the open ones.
pub(super) async fn guard(State((state, access)): State<(AppState, Access)>, request: Request, next: Next) -> Response {
    let response = guarded(&state, access, request, next).await;
    if let (Access::Events, Some(code)) = (access, response.extensions().get::<Code>()) {
        state.parts.telemetry.refused(*code);
    }
    response
}

async fn guarded(state: &AppState, access: Access, mut request: Request, next: Next) -> Response {
    let now = state.parts.clock.now();
    let onlookers = request.extensions().get().map(|Onlookers(org)| Arc::new(Principal::of_onlookers(*org)));
    let used = request.extensions().get::<Watches>().is_none();
    let authenticated = match onlookers {
        Some(onlookers) => Ok(onlookers),
        None => state.keys.authenticate(request.headers(), now, used).await,
    };
    let principal = match authenticated {
        Ok(principal) => principal,
        Err(error) => return error.into_response(),
    };
    if let Some(arrival) = request.extensions().get::<Arrival>() {
        arrival.belongs(principal.id);
    }
    let limiter = state.rate.as_ref().filter(|_| is_limited(access, request.extensions()));
    let allowance = limiter.map(|limiter| limiter.take(principal.id, Instant::now()));
    let response = match admit(state, access, principal, allowance, request.uri()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    match allowance {
        Some(allowance) => with_allowance(response, allowance, now),
        None => response,
    }
}

async fn admit(
    state: &AppState,
    access: Access,
    principal: Arc<Principal>,
    allowance: Option<Allowance>,
    uri: &http::Uri,
) -> Result<Caller> {
    if let Some(after) = allowance.and_then(|allowance| allowance.retry_after) {
        return Err(ApiError::rate_limited(after));
    }
    let scope = match access {
        Access::Open | Access::Session => None,
        Access::Events => Some(Scope::EventsWrite),
        Access::Org(scope) => Some(scope),
        Access::Keys => Some(Scope::Admin),
        Access::Platform => Some(Scope::Platform),
    };
    if let Some(scope) = scope.filter(|scope| !principal.may(*scope)) {
        let name = super::words::scope(scope);
        let message = match &principal.session {
            Some(_) => {
                format!("This needs the scope `{name}`, which your role does not include. Ask an admin of your org.")
            }
            None => format!("This needs the scope `{name}`, which the API key does not have."),
        };
        return Err(ApiError::forbidden(message));
    }
    let named = query::org_id(uri)?;
    let org = org_of(state, &principal, named).await?;
    let caller = Caller { principal, org, names_org: named.is_some() };
    match access {
        Access::Org(_) => drop(caller.org()?),
        Access::Session => drop(caller.session()?),
        Access::Open | Access::Events | Access::Keys | Access::Platform => {}
    }
    Ok(caller)
}

/// The org that a request is about. A key of an org can only mean its own.
async fn org_of(state: &AppState, principal: &Principal, named: Option<OrgId>) -> Result<Option<OrgId>> {
    let Some(named) = named else { return Ok(principal.org.or(principal.fallback)) };
    let known = match principal.org {
        Some(own) => own == named,
        None => state.org_exists(named).await.map_err(|error| ApiError::store("org", error))?,
    };
    if known { Ok(Some(named)) } else { Err(ApiError::not_found("org")) }
}

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When all requests are possible again, in seconds since the epoch.
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

fn with_allowance(mut response: Response, allowance: Allowance, now: Timestamp) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(LIMIT, allowance.limit.into());
    headers.insert(REMAINING, allowance.remaining.into());
    let reset = now.as_secs().saturating_add(i64::try_from(allowance.reset).unwrap_or(i64::MAX));
    headers.insert(RESET, HeaderValue::from(reset));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_asks_of_itself_and_events_are_not_limited() {
        let (outside, mut inside) = (Extensions::new(), Extensions::new());
        inside.insert(Internal);
        let read = Access::Org(Scope::SiemRead);
        assert!(is_limited(read, &outside) && is_limited(Access::Session, &outside));
        assert!(!is_limited(read, &inside) && !is_limited(Access::Session, &inside));
        assert!(!is_limited(Access::Events, &outside));
    }
}
