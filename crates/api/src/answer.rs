//! How every answer is made: JSON in most cases, never cached, never guessed at by a browser.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::error::ApiError;

/// What handlers come to.
pub(super) type Answer = Result<Response, ApiError>;

/// 200 with `value`.
#[expect(clippy::unnecessary_wraps, reason = "the end of every handler")]
pub(super) fn ok<T: Serialize>(value: &T) -> Answer {
    Ok(json(StatusCode::OK, value))
}

/// 201 with `value`.
#[expect(clippy::unnecessary_wraps, reason = "the end of every handler")]
pub(super) fn created<T: Serialize>(value: &T) -> Answer {
    Ok(json(StatusCode::CREATED, value))
}

/// 202 with `value`, which is found at `path` from now on.
#[expect(clippy::unnecessary_wraps, reason = "the end of every handler")]
pub(super) fn accepted<T: Serialize>(path: &str, value: &T) -> Answer {
    let mut response = json(StatusCode::ACCEPTED, value);
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    Ok(response)
}

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

/// 200 with a body whose pieces are sent as they come. One that is an error breaks the transfer off, so that no client takes what there
/// is for the whole.
pub(super) fn pieces<E>(media_type: &'static str, pieces: mpsc::Receiver<Result<Bytes, E>>) -> Response
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut response = bytes(StatusCode::OK, Bytes::new());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    *response.body_mut() = Body::new(Pieces(pieces));
    response
}

struct Pieces<E>(mpsc::Receiver<Result<Bytes, E>>);

impl<E> hyper::body::Body for Pieces<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
