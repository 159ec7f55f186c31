//! A refusal as an answer.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use toktra_siem_app::Refusal;
use toktra_siem_core::fault::FaultCode;
pub use toktra_siem_wire::Code;

use crate::answer;

/// The first thing that is wrong with a request, for the log: where, and what kind of thing.
#[derive(Debug, Clone)]
pub(crate) struct Blamed {
    pub(crate) pointer: String,
    pub(crate) code: FaultCode,
}

/// An answer that says why not.
#[derive(Debug, Clone)]
pub struct ApiError(pub Refusal);

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let Self(refusal) = self;
        let mut response = answer::json(refusal.status, &refusal.envelope());
        // For whoever counts refusals, and whoever keeps answers.
        response.extensions_mut().insert(refusal.code);
        response.extensions_mut().insert(refusal.verdict());
        if let Some(first) = refusal.fields.first() {
            response.extensions_mut().insert(Blamed { pointer: first.pointer.clone(), code: first.code });
        }
        if let Some(after) = refusal.seconds_to_wait() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after));
        }
        if refusal.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
