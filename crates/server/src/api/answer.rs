//! How every answer is made: JSON, never cached, never guessed at by a browser.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

/// `value` as the body of an answer.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, body.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            bytes(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(UNWRITABLE))
        }
    }
}

/// The envelope of last resort.
const UNWRITABLE: &[u8] =
    br#"{"error":{"code":"unavailable","message":"The service failed to answer this request. Its log says why.","fields":[]}}"#;

/// JSON that is written already.
pub(super) fn bytes(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(4);
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const FIXED: [(HeaderName, &str); 3] =
    [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
