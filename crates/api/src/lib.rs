//! The HTTP API (docs: the routes are in the table of [`routes`]).
//!
//! A request passes, from the outside in: the edge ([`toktra_siem_edge`]: connections, timeouts, what is HTTP at all), the [`face`] that it
//! serves, the table of [`routes`], the [`guard`] (who calls, whether they may, for which org, whether too often), and a handler, which
//! reads the request with `named`, `body`, `object` and `query`, calls the store, and writes with `answer`. What goes wrong anywhere is
//! an [`error::ApiError`].

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, Uri};

mod accept;
mod accounting;
mod answer;
mod audit;
mod auth;
mod backlog;
mod body;
mod cache;
mod connectors;
mod deliveries;
pub mod doc;
pub mod door;
pub mod error;
mod events;
mod export;
pub mod face;
mod first_admin;
pub mod guard;
mod health;
mod index_template;
mod ingest;
mod jobs;
mod json;
mod keys;
mod named;
mod object;
pub mod once;
pub mod openapi;
mod operations;
mod orgs;
mod outcome;
mod phrase;
mod platforms;
mod preview;
mod query;
pub mod routes;
mod sentence;
mod sessions;
mod shown;
pub mod state;
mod traffic;
mod users;
mod words;

pub use connectors::parse_filter;
pub use state::{AppState, Dispatch, Limits, Parts, TemplateFailure, TemplateReport, TestFailure, TestRequest};

use error::{ApiError, Code};

/// The whole API.
pub fn router(state: AppState) -> Router {
    routes::mount(&state).fallback(unknown).method_not_allowed_fallback(not_allowed).with_state(state)
}

async fn unknown(request: Request<Body>) -> ApiError {
    nothing_at(request.uri())
}

async fn not_allowed(request: Request<Body>) -> ApiError {
    not_possible(request.method())
}

/// 404 for an address that no route has.
pub fn nothing_at(address: &Uri) -> ApiError {
    let path = toktra_siem_core::fault::shown(address.path());
    ApiError::new(StatusCode::NOT_FOUND, Code::NotFound, format!("There is nothing at `{path}`. Check the path."))
}

/// 405 for a method that the route does not have.
pub fn not_possible(method: &Method) -> ApiError {
    let method = toktra_siem_core::fault::shown(method.as_str());
    let message = format!("`{method}` is not possible here; the `Allow` header names what is.");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, message)
}
