//! How every answer is made: JSON, never cached, never guessed at by a browser.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::StatusCode;
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

/// The masked form of a secret: that there is one, and its end, so that people can tell two apart. The end of a short secret would be
/// too much of it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(super) struct Masked {
    set: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Only in the one answer that shows a new secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// The characters of a secret that its hint shows.
const HINT: usize = 4;
/// The shortest secret whose end is shown.
const HINTED: usize = 12;

impl Masked {
    /// No secret.
    pub(super) fn unset() -> Self {
        Self { set: false, hint: None, value: None }
    }

    /// A secret that is set, its end shown where it is long enough.
    pub(super) fn of(secret: &str) -> Self {
        let count = secret.chars().count();
        let end: String = secret.chars().skip(count.saturating_sub(HINT)).collect();
        Self { set: true, hint: Some(if count >= HINTED { format!("…{end}") } else { "…".into() }), value: None }
    }

    /// A secret that was just made, shown this once.
    pub(super) fn shown(secret: &str) -> Self {
        Self { value: Some(secret.to_owned()), ..Self::of(secret) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_shows_four_characters_of_a_long_secret_and_none_of_a_short_one() {
        assert_eq!(Masked::of("abcdefghijkl").hint.as_deref(), Some("…ijkl"));
        assert_eq!(Masked::of("abcdefghijk").hint.as_deref(), Some("…"));
        assert_eq!(serde_json::to_string(&Masked::unset()).unwrap(), r#"{"set":false}"#);
    }
}
