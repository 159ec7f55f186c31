//! The API for callers in this process: the page. It is a client like any other: what it may do, what it is told and what the audit log
//! says of it is decided by the very routes that everybody uses. It only saves the way over a socket.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_core::ids::OrgId;
use toktra_siem_edge::Arrival;
use toktra_siem_store::StoreError;

use super::doc::JSON;
use super::first_admin;
use super::guard::{Internal, Onlookers, Watches};
use super::state::AppState;

/// What is passed on of the request from outside, so that attempts to log in count for the address that they come from.
#[derive(Debug, Clone, Default)]
pub struct Outer(Option<Arrival>);

impl Outer {
    /// That of `request`.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self(request.extensions().get().cloned())
    }
}

/// On whose behalf a call is made.
#[derive(Clone)]
pub enum By {
    /// Nobody is logged in.
    Nobody,
    /// Whose session this token opens.
    Session(SecretString),
    /// The same, where a page asks by itself and nobody does anything: the session becomes idle all the same.
    Watcher(SecretString),
    /// All who may look at the org: what they are shown is asked for once.
    Onlookers(OrgId),
}

/// A call of the API.
pub struct Call<'a> {
    /// The request that it is made for.
    pub outer: &'a Outer,
    /// Whether it counts for the request limit of the session. One call of each request from outside does.
    pub counted: bool,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// On whose behalf.
    pub by: &'a By,
    /// What is accepted, where it is not JSON.
    pub accept: Option<&'static str>,
    /// Headers beside those, such as `If-Match`.
    pub headers: HeaderMap,
    /// The body: JSON.
    pub body: Option<Bytes>,
}

/// The way in.
#[derive(Clone)]
pub struct Door {
    routes: TowerToHyperService<Router>,
    state: AppState,
}

impl Door {
    /// To the API with this state.
    pub fn new(state: AppState) -> Self {
        Self { routes: TowerToHyperService::new(super::router(state.clone())), state }
    }

    /// Whether nobody can log in yet, and a first admin may be made.
    pub async fn wants_first_admin(&self) -> Result<bool, StoreError> {
        first_admin::is_wanted(&self.state).await
    }

    /// Makes the first admin, whom `body` describes as a new user of the API. The caller holds the one-time link, and nobody else does.
    pub async fn first_admin(&self, body: &Bytes) -> Response {
        first_admin::create(&self.state, body).await
    }

    /// Makes a call. A path that is no URI is answered as what is not there.
    pub async fn call(&self, call: Call<'_>) -> Response {
        let Call { outer, counted, method, path, by, accept, headers, body } = call;
        let mut request = Request::new(body.map_or_else(Body::empty, Body::from));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_else(|_| http::Uri::from_static("/not-a-path"));
        *request.headers_mut() = headers;
        let target = request.headers_mut();
        target.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        target.insert(ACCEPT, HeaderValue::from_static(accept.unwrap_or(JSON)));
        match by {
            By::Nobody => {}
            By::Session(token) | By::Watcher(token) => {
                if matches!(by, By::Watcher(_)) {
                    request.extensions_mut().insert(Watches);
                }
                let target = request.headers_mut();
                if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())) {
                    value.set_sensitive(true);
                    target.insert(AUTHORIZATION, value);
                }
            }
            By::Onlookers(org) => drop(request.extensions_mut().insert(Onlookers(*org))),
        }
        if let Some(arrival) = &outer.0 {
            request.extensions_mut().insert(arrival.clone());
        }
        if !counted {
            request.extensions_mut().insert(Internal);
        }
        match self.routes.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
