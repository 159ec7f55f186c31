//! What handlers take from a request.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Request, Uri};
use toktra_siem_app::connectors::IfMatch;
use toktra_siem_app::{Caller, Named, Object, Query, Refusal, Result, named};
use toktra_siem_edge::Arrival;

use crate::body;
use crate::error::ApiError;
use crate::state::AppState;

/// The longest key that is looked at. Ours have 68 characters; the bootstrap key is the operator's choice.
const LONGEST: usize = 1024;

/// The key or token of `Authorization: Bearer <key>`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str> {
    let missing = || Refusal::unauthorized("An API key is needed. Send it as `Authorization: Bearer <key>`.");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || key.is_empty() || key.len() > LONGEST {
        return Err(missing());
    }
    Ok(key)
}

/// The query parameters of `uri`.
pub(super) fn query_of(uri: &Uri) -> Query {
    Query::parse(uri.query().unwrap_or_default())
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a route without a guard asks who calls");
            Refusal::internal().into()
        })
    }
}

impl FromRequestParts<AppState> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        Ok(query_of(&parts.uri))
    }
}

/// That a request has no query parameters.
pub(super) struct NoQuery;

impl FromRequestParts<AppState> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        query_of(&parts.uri).finish()?;
        Ok(Self)
    }
}

impl FromRequestParts<AppState> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.headers)?)
    }
}

/// The address that a request comes from; `None` if it came over no socket.
pub(super) struct From(pub(super) Option<IpAddr>);

impl FromRequestParts<AppState> for From {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        Ok(Self(parts.extensions.get().map(Arrival::address)))
    }
}

/// The JSON object that a request gives. An empty body is an empty object.
pub(super) struct Given(pub(super) Object);

impl FromRequest<AppState> for Given {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        match body::media_type(&parts.headers)?.as_deref() {
            None | Some("application/json") => {}
            Some(_) => {
                let message = "The body must be JSON. Send it with `Content-Type: application/json`.";
                return Err(Refusal::unsupported(message).into());
            }
        }
        let whole = body::read(state, &parts, body, state.app.parts.limits.body).await?;
        Ok(Self(Object::parse(&whole.bytes)?))
    }
}

/// The id in the path. Text that is no id is answered like the id of a thing that does not exist.
pub(super) struct Id<T>(pub(super) T);

/// The id in the path of a request that takes no query parameters.
pub(super) struct OnlyId<T>(pub(super) T);

impl<T: Named> FromRequestParts<AppState> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await.ok();
        Ok(Self(named(&path.map(|Path(text)| text).unwrap_or_default())?))
    }
}

impl<T: Named> FromRequestParts<AppState> for OnlyId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        query_of(&parts.uri).finish()?;
        let Id(id) = Id::from_request_parts(parts, state).await?;
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_well_formed_header_is_read() {
        let headers = |values: &[&'static str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            map
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])).unwrap(), "abc");
        assert_eq!(bearer(&headers(&["bearer  abc "])).unwrap(), "abc");
        for bad in [&[][..], &["abc"], &["Bearer "], &["Basic abc"], &["Bearer a", "Bearer b"]] {
            assert!(bearer(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
