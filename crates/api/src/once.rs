//! `Idempotency-Key`: the same request is done once, however often it is sent. Its answer is kept under seal for a day, and given again;
//! a second one that comes while the first is under way waits for it. The request goes on where its client has gone: a browser that sends
//! a form twice breaks off the first time, and shows what the second is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, IF_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use toktra_siem_core::ids::{ConnectorId, OrgId};
use toktra_siem_store::{Kept, KeptKind, SealedSecret};
use toktra_siem_telemetry::log;
use uuid::Uuid;

use super::error::{ApiError, Code, Result};
use super::guard::Caller;
use super::state::AppState;
use super::{answer, body};

/// The header.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Set on an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key.
const LONGEST: usize = 255;
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// How long a request waits for the same one that is under way.
const PATIENCE: Duration = Duration::from_secs(30);
/// The headers of an answer that are kept with it.
const HEADERS: [HeaderName; 2] = [ETAG, LOCATION];

/// Requests with a key that are under way: whoever has the turn of one does it.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>);

/// A place in the queue for a turn. The last one to leave forgets the turn, however it leaves.
struct Place {
    state: AppState,
    id: [u8; 32],
}

impl Place {
    fn new(state: AppState, id: [u8; 32]) -> (Self, Arc<tokio::sync::Mutex<()>>) {
        let turn = Arc::clone(state.once.0.lock().entry(id).or_default());
        (Self { state, id }, turn)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut turns = self.state.once.0.lock();
        // One is the map's: whoever waits, or has the turn, holds another.
        if turns.get(&self.id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.id);
        }
    }
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Told {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The middleware of routes that take a key.
pub(super) async fn once(State(state): State<AppState>, caller: Caller, request: Request, next: Next) -> Response {
    let outcome = match key(request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(key)) => with_key(state, caller, &key, request, next).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(IntoResponse::into_response)
}

fn key(headers: &HeaderMap) -> Result<Option<Vec<u8>>> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.as_bytes();
    if values.next().is_some()
        || key.is_empty()
        || key.len() > LONGEST
        || !key.iter().all(|byte| (b' '..=b'~').contains(byte))
    {
        return Err(ApiError::bad_request(
            "`Idempotency-Key` must be one value of 1 to 255 printable ASCII characters.",
        ));
    }
    Ok(Some(key.to_vec()))
}

/// A hash of parts, none of which can be mistaken for another.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

async fn with_key(state: AppState, caller: Caller, key: &[u8], request: Request, next: Next) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    // Its share of the memory for bodies is held until all is over.
    let whole = body::read(&state, &parts, body, state.parts.limits.body).await?;
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    let (owner, org) = (caller.principal.id, caller.named_org());
    let named = org.map(|org| org.0).unwrap_or_default();
    let id =
        hash(&[owner.as_bytes(), named.as_bytes(), parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), key]);
    let condition = parts.headers.get(IF_MATCH).map_or(&[][..], HeaderValue::as_bytes);
    let about = hex::encode(hash(&[parts.uri.query().unwrap_or_default().as_bytes(), condition, &whole.bytes]));
    let now = state.parts.clock.now();
    let until = now.plus(KEPT_FOR);
    let begun = Kept { id, owner, org, kind: KeptKind::Answer, about, at: now, until, sealed: None };
    let request = Request::from_parts(parts, Body::from(whole.bytes.clone()));
    let (place, turn) = Place::new(state.clone(), id);
    let Ok(turn) = timeout(PATIENCE, turn.lock_owned()).await else { return Err(under_way()) };
    let doing = async move {
        // Dropped in this order at the end, and after a panic as well: the turn, then the place.
        let (_whole, _place, _turn) = (whole, place, turn);
        do_once(&state, begun, request, next).await
    };
    tokio::spawn(log::of_same_request(doing)).await.map_err(|error| {
        tracing::error!(%error, "a request with an idempotency key ended abnormally");
        ApiError::internal()
    })?
}

async fn do_once(state: &AppState, begun: Kept, request: Request, next: Next) -> Result<Response> {
    let failed = |error| ApiError::store("request", error);
    let (id, owner, org) = (begun.id, begun.owner, begun.org);
    let about = begun.about.clone();
    match state.parts.store.keep(begun).await.map_err(failed)? {
        Some(known) if known.about != about => return Err(mismatch()),
        Some(Kept { sealed: Some(sealed), .. }) => return again(&open(state, owner, org, &sealed)?),
        Some(Kept { sealed: None, .. }) => return Err(unknown()),
        None => {}
    }
    let response = next.run(request).await;
    if !response.status().is_success() {
        // Nothing was done, so the same key may try again.
        state.parts.store.forget_kept(id).await.map_err(failed)?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return Err(ApiError::internal()) };
    let body = body.to_bytes();
    let header = |name: &HeaderName| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned()));
    let told = Told {
        status: parts.status.as_u16(),
        headers: HEADERS.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let text = SecretString::from(serde_json::to_string(&told).unwrap_or_default());
    let sealed = seal(state, owner, org, id, &text);
    if let Err(error) = state.parts.store.seal_kept(id, sealed).await {
        // It was done, and is answered; only the same request again would be told that its outcome is not known.
        tracing::warn!(%error, "the answer to a request with an idempotency key could not be kept");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Seals something for its owner.
pub(super) fn seal(
    state: &AppState,
    owner: Uuid,
    org: Option<OrgId>,
    id: [u8; 32],
    text: &SecretString,
) -> SealedSecret {
    state.parts.vault.seal(org.unwrap_or(OrgId(Uuid::nil())), ConnectorId(owner), &Kept::field(&id), text)
}

/// Opens what was sealed for its owner.
pub(super) fn open(state: &AppState, owner: Uuid, org: Option<OrgId>, sealed: &SealedSecret) -> Result<SecretString> {
    let opened = state.parts.vault.open(org.unwrap_or(OrgId(Uuid::nil())), ConnectorId(owner), sealed);
    opened.map_err(|error| {
        tracing::error!(%error, "what was kept does not open");
        ApiError::conflict("It was kept with an encryption key that is not configured any more.")
    })
}

fn again(kept: &SecretString) -> Result<Response> {
    let Ok(Told { status, headers, body }) = serde_json::from_str(kept.expose_secret()) else {
        return Err(ApiError::internal());
    };
    let mut response = answer::bytes(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body.into());
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn mismatch() -> ApiError {
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        Code::IdempotencyMismatch,
        "This `Idempotency-Key` was used with another request in the last 24 hours. Use a new key for each thing that is to be done; \
         repeat the very same request to see its answer again.",
    )
}

fn under_way() -> ApiError {
    ApiError::conflict(
        "The same request, with this `Idempotency-Key`, is still under way. Wait a moment, and repeat it.",
    )
}

fn unknown() -> ApiError {
    ApiError::conflict(
        "The same request, with this `Idempotency-Key`, was begun before, but the service stopped in the middle of it. Look whether it was \
         done, and if not, send it with a new key.",
    )
}
