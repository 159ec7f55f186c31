//! What keeps the service under watch: `/healthz` and `/readyz`, without credentials and without secrets.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::answer;
use super::error::{ApiError, Result};
use super::state::AppState;

/// The process answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The store answers. Whether destinations do is not asked: the service takes events in while they are down.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Response> {
    let org = state.parts.store.org(state.parts.default_org).await;
    org.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the store does not answer: not ready");
        ApiError::unavailable()
    })?;
    Ok(answer::json(StatusCode::OK, &json!({ "status": "ready" })))
}
