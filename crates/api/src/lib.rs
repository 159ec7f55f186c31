//! The HTTP API (docs: the routes are in the table of [`routes`]).
//!
//! A request passes, from the outside in: the edge ([`toktra_siem_edge`]: connections, timeouts, what is HTTP at all), the [`face`] that it
//! serves, the table of [`routes`], the [`guard`] (who calls, whether they may, for which org, whether too often), and a handler: it takes
//! what it needs from the request (`extract`), calls one use case ([`toktra_siem_app`]), and writes what that comes to (`answer`).

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, Uri};

mod accept;
mod accounting;
mod answer;
mod audit;
mod body;
mod channels;
mod connectors;
mod deliveries;
pub mod doc;
pub mod error;
mod events;
pub mod export;
mod extract;
pub mod face;
pub mod guard;
mod health;
mod index_template;
mod jobs;
mod keys;
mod once;
pub mod openapi;
mod operations;
mod orgs;
mod platforms;
mod preview;
pub mod routes;
mod sessions;
mod setup;
mod shown;
pub mod state;
mod traffic;
mod users;

pub use state::AppState;

use error::{ApiError, Code};
use toktra_siem_app::Refusal;

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
    Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, format!("There is nothing at `{path}`. Check the path.")).into()
}

/// 405 for a method that the route does not have.
pub fn not_possible(method: &Method) -> ApiError {
    let method = toktra_siem_core::fault::shown(method.as_str());
    let message = format!("`{method}` is not possible here; the `Allow` header names what is.");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, message).into()
}
