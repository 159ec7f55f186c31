//! `Idempotency-Key`: the same request is done once, however often it is sent ([`toktra_siem_app::once`]).

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, IF_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use toktra_siem_app::once::{Once, Ran, Told, Verdict};
use toktra_siem_app::{Caller, Refusal, Result};

use crate::answer::{self, Answer};
use crate::body;
use crate::state::AppState;

/// The header.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Set on an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The headers of an answer that are kept with it.
const HEADERS: [HeaderName; 2] = [ETAG, LOCATION];

/// The middleware of routes that take a key.
pub(super) async fn once(State(state): State<AppState>, caller: Caller, request: Request, next: Next) -> Answer {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    // Its share of the memory for bodies is held until all is over.
    let whole = body::read(&state, &parts, body, state.app.parts.limits.body).await?;
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    let place = [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes()];
    let condition = parts.headers.get(IF_MATCH).map_or(&[][..], HeaderValue::as_bytes);
    let said = [parts.uri.query().unwrap_or_default().as_bytes(), condition, &whole.bytes];
    let once = Once::new(&state.app, &caller, &key, &place, &said)?;
    let request = Request::from_parts(parts, Body::from(whole.bytes.clone()));
    let doing = async move {
        let _whole = whole;
        read(next.run(request).await).await
    };
    match once.run(&state.app, doing, told).await? {
        Ran::Now(answered) => {
            let (response, body) = answered?;
            Ok(response.map(|()| Body::from(body)))
        }
        Ran::Before(told) => Ok(again(told)),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<Vec<u8>>> {
    let mut values = headers.get_all(KEY).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => {
            Err(Refusal::bad_request("`Idempotency-Key` must be one value of 1 to 255 printable ASCII characters."))
        }
        (value, _) => Ok(value.map(|value| value.as_bytes().to_vec())),
    }
}

/// An answer whose body has been read.
type Answered = Result<(http::Response<()>, bytes::Bytes)>;

async fn read(response: Response) -> Answered {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Refusal::internal())?;
    Ok((http::Response::from_parts(parts, ()), body.to_bytes()))
}

/// What is kept of an answer.
fn told(answered: &Answered) -> (Verdict, Option<Told>) {
    let Ok((response, body)) = answered else { return (Verdict::Unsure, None) };
    if !response.status().is_success() {
        return (response.extensions().get().copied().unwrap_or(Verdict::Undone), None);
    }
    let header = |name: &HeaderName| Some((name.to_string(), response.headers().get(name)?.to_str().ok()?.to_owned()));
    let told = Told {
        status: response.status().as_u16(),
        headers: HEADERS.iter().filter_map(header).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
        hidden: false,
    };
    (Verdict::Done, Some(told))
}

fn again(told: Told) -> Response {
    let Told { status, headers, body, .. } = told;
    let mut response = answer::bytes(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body.into());
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
