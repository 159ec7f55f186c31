//! How answers to browsers are made: HTML with the headers that keep it what the server rendered, redirects, and streams.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::error::PageError;

/// What handlers answer.
pub type Result<T = Response, E = PageError> = std::result::Result<T, E>;

/// The page may load and call itself, and nothing else; no script and no style is inline (cross-site scripting).
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; form-action 'self'; \
                          base-uri 'none'; frame-ancestors 'none'";

const REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const RETARGET: HeaderName = HeaderName::from_static("hx-retarget");
const RESWAP: HeaderName = HeaderName::from_static("hx-reswap");
/// Tells the script that an answer is the page's own and not, say, a proxy's.
const OWN: HeaderName = HeaderName::from_static("toktra-page");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A template as HTML.
pub fn html<T: Template>(status: StatusCode, template: &T) -> Result {
    let text = template.render().map_err(|error| PageError::broken(&error))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// Goes on to `path` of this page. `by_script` where htmx asks: it follows redirects by itself and would put the whole page into a part.
pub fn redirect(path: &str, by_script: bool) -> Response {
    let mut response = Response::new(Body::empty());
    let target = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    if by_script {
        response.headers_mut().insert(REDIRECT, target);
    } else {
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

/// HTML that htmx puts into `target` as `swap` says.
pub fn in_place(html: String, target: &'static str, swap: &'static str) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(RETARGET, HeaderValue::from_static(target));
    headers.insert(RESWAP, HeaderValue::from_static(swap));
    response
}

/// Has htmx put the answer beside what is there, into the list of notices, wherever the request came from.
pub fn as_notice(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(RETARGET, HeaderValue::from_static("#notices"));
    headers.insert(RESWAP, HeaderValue::from_static("beforeend"));
}

/// What every answer of the page carries.
pub fn protect(headers: &mut HeaderMap) {
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
        (OWN, "yes"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
