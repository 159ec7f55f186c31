//! Holes that a test plants in front of the server, to show that the matrix finds them. The product's code is not touched: a layer gives
//! a stranger's request the credentials of the owner.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, HeaderValue};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::json;

/// How a route leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Whoever asks is taken for the owner.
    Always,
    /// The same for whoever brings no credentials, and for nobody else.
    Anonymously,
    /// The same if this is in the query, or among the media types that are asked for.
    If(&'static str),
    /// What the owner may do is done, and the answer is the one that the stranger would have had.
    Silently,
    /// A stranger who names this value of the owner is refused otherwise than one who names nothing that exists.
    Tells(&'static str),
}

/// A hole in one route, written as its table has it.
pub(super) type Hole = (&'static str, How);

/// Where the holes are, and whose credentials they give.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) holes: Vec<Hole>,
    /// A key and a session of the owner.
    pub(super) owner: [String; 2],
    /// What [`How::Tells`] looks for, by name.
    pub(super) values: std::collections::BTreeMap<&'static str, String>,
}

pub(super) type Holes = Arc<Mutex<Plan>>;

/// The layer. It lets everything through until there is a plan.
pub(super) fn in_front(holes: Holes) -> Box<dyn FnOnce(Router) -> Router + Send> {
    Box::new(move |router| router.layer(from_fn_with_state(holes, pass)))
}

fn matches(route: &str, request: &Request) -> bool {
    let (method, path) = route.split_once(' ').unwrap_or_default();
    let (mut wanted, mut given) = (path.split('/'), request.uri().path().split('/'));
    request.method() == method
        && loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') => {}
                _ => return false,
            }
        }
}

/// Puts the owner's credentials in the place of the request's.
fn swap(headers: &mut HeaderMap, [key, session]: &[String; 2], host: &str, page: bool) {
    if !page {
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}")).unwrap());
        return;
    }
    let name = format!("toktra-session-{}", host.rsplit(':').next().unwrap_or_default());
    let cookies = headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kept = cookies.split("; ").filter(|cookie| !cookie.starts_with(&name) && !cookie.is_empty());
    let own = format!("{name}={session}");
    let cookies: Vec<&str> = kept.chain([own.as_str()]).collect();
    headers.insert(COOKIE, HeaderValue::try_from(cookies.join("; ")).unwrap());
}

async fn pass(State(holes): State<Holes>, request: Request, next: Next) -> Response {
    let planned = {
        let plan = holes.lock();
        let hole = plan.holes.iter().find(|(route, _)| matches(route, &request)).map(|(_, how)| *how);
        hole.map(|how| {
            (
                how,
                plan.owner.clone(),
                if let How::Tells(name) = how { plan.values[name].clone() } else { String::new() },
            )
        })
    };
    let Some((how, owner, value)) = planned else { return next.run(request).await };
    let page = !request.uri().path().starts_with("/v1/");
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let credentials = request.headers().contains_key(AUTHORIZATION)
        || request.headers().get(COOKIE).is_some_and(|cookie| cookie.to_str().unwrap().contains("session"));
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let applies = match how {
        How::Always => true,
        How::Anonymously => !credentials,
        How::If(text) => parts.uri.query().is_some_and(|query| query.contains(text)) || accept.contains(text),
        How::Silently => {
            let mut owners = parts.clone();
            swap(&mut owners.headers, &owner, &host, page);
            next.clone().run(Request::from_parts(owners, Body::from(body.clone()))).await;
            false
        }
        How::Tells(_) => false,
    };
    if applies {
        swap(&mut parts.headers, &owner, &host, page);
    }
    let names_it = !value.is_empty() && parts.uri.path().contains(&value);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if names_it && response.status() == StatusCode::NOT_FOUND {
        let error = json!({ "error": { "code": "forbidden", "message": "It is not yours.", "fields": [] } });
        return (StatusCode::FORBIDDEN, axum::Json(error)).into_response();
    }
    response
}
