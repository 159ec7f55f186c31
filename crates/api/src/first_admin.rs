//! The first admin of a server that nobody can log in to yet. There is no route for it: only the page asks, for whoever holds the one-time
//! link ([`toktra_siem_identity::first_login`]), and it may do so until the default org has its first person.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use toktra_siem_store::{Actor, StoreError};

use super::answer;
use super::error::{ApiError, Result};
use super::object::Object;
use super::state::AppState;
use super::users;

/// Whom the audit log names.
const ACTOR: &str = "first start";

/// Whether the default org has nobody yet.
pub(super) async fn is_wanted(state: &AppState) -> std::result::Result<bool, StoreError> {
    Ok(state.parts.store.users(state.parts.default_org).await?.is_empty())
}

/// Adds the person whom `body` describes as `POST /v1/users` would have it. Whoever asks lets nobody else ask at the same moment.
pub(super) async fn create(state: &AppState, body: &Bytes) -> Response {
    match made(state, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn made(state: &AppState, body: &Bytes) -> Result<Response> {
    if !is_wanted(state).await.map_err(|error| ApiError::store("org", error))? {
        return Err(ApiError::conflict("Somebody has an account here already. Log in, or ask an admin for one."));
    }
    let object = Object::parse(body)?;
    let (user, _) = users::add(state, state.parts.default_org, object, Actor::from(ACTOR)).await?;
    Ok(answer::json(StatusCode::CREATED, &users::view(&user)))
}
