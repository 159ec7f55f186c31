//! What keeps the service under watch: `/healthz` and `/readyz`, without credentials and without secrets.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer;
use super::error::{ApiError, Result};
use super::state::AppState;

/// How the service stands.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ServiceStatus")]
struct Standing {
    /// `ok`, or `ready`.
    status: &'static str,
}

/// The process answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &Standing { status: "ok" })
}

/// The store answers. Whether destinations do is not asked: the service takes events in while they are down.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Response> {
    let org = state.parts.store.org(state.parts.default_org).await;
    org.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the store does not answer: not ready");
        ApiError::unavailable()
    })?;
    Ok(answer::json(StatusCode::OK, &Standing { status: "ready" }))
}

/// What these routes say of themselves.
pub(super) mod doc {
    use super::super::doc::{Doc, Tag};
    use super::super::error::Code;
    use super::Standing;

    pub(in crate::api) fn alive() -> Doc {
        Doc::new("getLiveness", Tag::Service, "Is it alive").ok::<Standing>("The process answers.")
    }

    pub(in crate::api) fn ready() -> Doc {
        Doc::new("getReadiness", Tag::Service, "Is it ready")
            .about(
                "Ready means that the database answers. SIEMs are not asked: events are taken in while they are down.",
            )
            .ok::<Standing>("The service takes requests.")
            .error(503, Code::Unavailable, "The database does not answer.")
    }
}
