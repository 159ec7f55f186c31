//! What stands before every handler: who calls, whether they may, for which org, and whether too often. A route cannot be mounted
//! without saying what it demands (see [`super::routes`]), so none can be forgotten.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use toktra_siem_app::{App, Caller, Principal, Query, Refusal, Result};
use toktra_siem_base::rate::Allowance;
use toktra_siem_core::ids::ConnectorId;
use toktra_siem_core::time::Timestamp;
use toktra_siem_edge::Arrival;
use toktra_siem_store::Scope;
use uuid::Uuid;

use super::error::{ApiError, Blamed, Code};
use super::extract::bearer;
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

/// The middleware of every route but the open ones.
pub(super) async fn guard(State((state, access)): State<(AppState, Access)>, request: Request, next: Next) -> Response {
    let response = guarded(&state, access, request, next).await;
    if let (Access::Events, Some(code)) = (access, response.extensions().get::<Code>()) {
        state.app.parts.telemetry.refused(*code);
    }
    response
}

async fn guarded(state: &AppState, access: Access, mut request: Request, next: Next) -> Response {
    let app = &state.app;
    let now = app.now();
    let token = bearer(request.headers());
    let authenticated = match token {
        Ok(token) => app.keys.authenticate(token, now, true).await,
        Err(refusal) => Err(refusal),
    };
    let principal = match authenticated {
        Ok(principal) => principal,
        Err(refusal) => {
            let response = ApiError(refusal).into_response();
            tell(state, access, None, &response);
            return response;
        }
    };
    let who = Arc::clone(&principal);
    if let Some(arrival) = request.extensions().get::<Arrival>() {
        arrival.belongs(principal.id);
    }
    let allowance = if access == Access::Events { None } else { app.count(&principal) };
    let response = match admit(app, access, principal, allowance, request.method(), request.uri()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => ApiError(refusal).into_response(),
    };
    tell(state, access, Some(&who), &response);
    match allowance {
        Some(allowance) => with_allowance(response, allowance, now),
        None => response,
    }
}

/// A request that was refused leaves a line in the log, so that whoever asks by its id finds it; of each key so many a minute. What people do on
/// the page is told to them.
fn tell(state: &AppState, access: Access, principal: Option<&Principal>, response: &Response) {
    let Some(code) = response.extensions().get::<Code>().filter(|_| response.status().is_client_error()) else {
        return;
    };
    let id = principal.map_or(Uuid::nil(), |principal| principal.id);
    if access == Access::Session || state.told.take(id, Instant::now()).retry_after.is_some() {
        return;
    }
    let (code, status) = (code.as_str(), response.status().as_u16());
    let key = principal.map(|principal| principal.name.as_str());
    let blamed = response.extensions().get::<Blamed>();
    let (at, fault) = (blamed.map(|first| first.pointer.as_str()), blamed.map(|first| first.code.as_str()));
    tracing::info!(status, code, key, at, fault, "a request was refused");
}

/// Refuses before the body is read what the use case would refuse after it.
async fn admit(
    app: &App,
    access: Access,
    principal: Arc<Principal>,
    allowance: Option<Allowance>,
    method: &Method,
    uri: &http::Uri,
) -> Result<Caller> {
    if let Some(after) = allowance.and_then(|allowance| allowance.retry_after) {
        return Err(Refusal::rate_limited(after));
    }
    let scope = match access {
        Access::Open | Access::Session => None,
        Access::Events => Some(Scope::EventsWrite),
        Access::Org(scope) => Some(scope),
        Access::Keys => Some(Scope::Admin),
        Access::Platform => Some(Scope::Platform),
    };
    if let Some(scope) = scope {
        principal.needs(scope)?;
    }
    let org = match (Query::org(uri.query().unwrap_or_default())?, connector(uri.path())) {
        (None, Some(id)) if method == Method::GET => app.org_of_connector(&principal, id).await?,
        (named, _) => named,
    };
    let caller = Caller::new(app, principal, org).await?;
    match access {
        Access::Org(scope) => drop(caller.org(scope)?),
        Access::Session => drop(caller.session()?),
        Access::Open | Access::Events | Access::Keys | Access::Platform => {}
    }
    Ok(caller)
}

/// The connector that a path is about.
fn connector(path: &str) -> Option<ConnectorId> {
    path.strip_prefix("/v1/siem/connectors/")?.split('/').next()?.parse().ok().map(ConnectorId)
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
