//! What the edge serves: the routes, and the answers to requests that reach none, in the form of every other error.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::HeaderValue;
use http::{Request, StatusCode};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::time::Instant;
use toktra_siem_core::fault::shown;
use toktra_siem_edge::{Arriving, Refusal};
use toktra_siem_telemetry::log;

use toktra_siem_app::Refusal as Refused;

use super::error::{ApiError, Code};

/// The routes of a server.
pub struct Face(TowerToHyperService<Router>);

impl Face {
    /// Over these routes.
    pub fn new(routes: Router) -> Self {
        Self(TowerToHyperService::new(routes))
    }
}

impl toktra_siem_edge::Face for Face {
    type Body = Body;

    fn answer(&self, request: Request<Arriving>, id: HeaderValue) -> impl Future<Output = Response> + Send + use<> {
        let about = tracing::enabled!(tracing::Level::DEBUG).then(|| About::new(&request));
        let answering = self.0.call(request);
        log::of_request(id, async {
            let response = match answering.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if let Some(about) = about {
                about.log(&response);
            }
            response
        })
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        ApiError::from(refusal).into_response()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self(match refusal.status() {
            StatusCode::SERVICE_UNAVAILABLE => Refused::unavailable_because(refusal.message()),
            status @ StatusCode::INTERNAL_SERVER_ERROR => Refused::new(status, Code::Unavailable, refusal.message()),
            status => Refused::new(status, Code::BadRequest, refusal.message()),
        })
    }
}

/// What the log says of a request, where it says so much.
struct About {
    method: String,
    path: String,
    began: Instant,
}

/// A path for the log: without the token of a one-time link, which is as good as a password.
fn discreet(path: &str) -> String {
    for link in ["/setup/", "/welcome/"] {
        if path.starts_with(link) {
            return format!("{link}…");
        }
    }
    shown(path)
}

impl About {
    fn new<B>(request: &Request<B>) -> Self {
        let path = discreet(request.uri().path());
        Self { method: shown(request.method().as_str()), path, began: Instant::now() }
    }

    fn log(&self, response: &Response) {
        let Self { method, path, began } = self;
        tracing::debug!(
            method,
            path,
            status = response.status().as_u16(),
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_no_one_time_link() {
        assert_eq!(discreet("/setup/0123abcd"), "/setup/…");
        assert_eq!(discreet("/welcome/0123abcd?x"), "/welcome/…");
        assert_eq!(discreet("/v1/events"), "/v1/events");
    }
}
