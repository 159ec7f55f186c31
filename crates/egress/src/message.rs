//! Between the product's requests and replies and those of HTTP.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use secrecy::ExposeSecret as _;
use toktra_siem_core::destination::{HeaderText, Method, Reply};
use toktra_siem_core::exchange::HEADERS;
use toktra_siem_core::signing::SignedRequest;

use super::egress::Target;
use super::failure::{FailureKind, from_hyper};
use super::held::Ledger;
use super::pool::Connection;

/// How the product names itself.
pub(super) const AGENT: &str = concat!("toktra-siem/", env!("CARGO_PKG_VERSION"));

/// The request as it goes out: what was signed, and the headers that HTTP itself needs. `Content-Length` is hyper's to add.
///
/// There is no `Accept-Encoding`: answers are short, and one that never arrives compressed cannot inflate.
pub(super) fn request(target: &Target, signed: SignedRequest) -> Result<Request<Full<Bytes>>, FailureKind> {
    let SignedRequest { method, headers, body, .. } = signed;
    let method = match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    };
    let mut request = Request::builder()
        .method(method)
        .uri(target.path.as_str())
        .body(Full::new(body))
        .map_err(|e| FailureKind::Forbidden(super::egress::Forbidden::Url(e.to_string())))?;
    let own = [(HOST, target.authority()), (USER_AGENT, AGENT.to_owned())];
    for (name, value) in own {
        let value = HeaderValue::try_from(value).map_err(|_| FailureKind::BadHeader("host".into()))?;
        request.headers_mut().insert(name, value);
    }
    for (name, text) in headers {
        let (key, value) = header(&name, &text).ok_or(FailureKind::BadHeader(name))?;
        request.headers_mut().append(key, value);
    }
    Ok(request)
}

/// A secret is marked as such, so that no debug output of the request shows it.
fn header(name: &str, text: &HeaderText) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = match text {
        HeaderText::Plain(value) => line(value)?,
        HeaderText::Secret(value) => {
            let mut value = line(value.expose_secret())?;
            value.set_sensitive(true);
            value
        }
    };
    Some((name, value))
}

/// Visible ASCII, spaces and tabs only: nothing can end the line and start another header, and nothing depends on an encoding.
fn line(text: &str) -> Option<HeaderValue> {
    let plain = text.bytes().all(|b| b == b'\t' || b == b' ' || b.is_ascii_graphic());
    if plain { HeaderValue::from_str(text).ok() } else { None }
}

/// Reads the whole answer that comes over `connection`, its body up to `cap` bytes. Nothing follows a redirect: a 3xx is an answer like
/// any other.
pub(super) async fn reply(
    response: Response<Incoming>,
    cap: usize,
    tls: bool,
    connection: &Connection,
    ledger: &Ledger,
) -> Result<Reply, FailureKind> {
    let (head, mut body) = response.into_parts();
    let mut collected = BytesMut::new();
    let mut truncated = false;
    let place = ledger.answer();
    loop {
        let frame = tokio::select! {
            biased;
            () = place.gives_way() => return Err(FailureKind::GaveWay),
            frame = body.frame() => frame,
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| from_hyper(&e, tls))?;
        let Ok(data) = frame.into_data() else { continue };
        connection.piece(data.len());
        let room = cap - collected.len();
        collected.extend_from_slice(&data[..data.len().min(room)]);
        place.grow(collected.capacity());
        if data.len() > room {
            truncated = true;
            break;
        }
    }
    let body = place.complete(collected.freeze()).ok_or(FailureKind::GaveWay)?;
    Ok(Reply {
        status: head.status.as_u16(),
        retry_after: text(&head.headers, &RETRY_AFTER),
        content_type: text(&head.headers, &CONTENT_TYPE),
        headers: kept(&head.headers),
        body,
        truncated,
    })
}

/// The first headers, whole, so that a secret in them can be recognised. hyper bounds their length.
fn kept(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let owned = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    };
    headers.iter().take(HEADERS).map(owned).collect()
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
