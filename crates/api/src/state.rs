//! What the faces of the API work with.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRef;
use bytes::Bytes;
use toktra_siem_app::App;
use toktra_siem_base::rate::RateLimiter;
use toktra_siem_edge::Edge;

/// Refusals of one key that the log tells of in a minute.
const TOLD_A_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The use cases, the shares of memory and time that requests have, and what is written once. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// See [`AppState`].
pub struct Inner {
    /// The use cases.
    pub app: App,
    pub(super) edge: Edge,
    /// How many refusals of a key the log still tells of.
    pub(super) told: RateLimiter,
    /// The OpenAPI document.
    pub(super) document: OnceLock<Bytes>,
    /// The same as a page; `None` if it could not be made.
    pub(super) page: OnceLock<Option<Bytes>>,
}

impl AppState {
    /// The state of one server.
    pub fn new(app: App, edge: Edge) -> Self {
        Self(Arc::new(Inner {
            app,
            edge,
            told: RateLimiter::new(TOLD_A_MINUTE),
            document: OnceLock::new(),
            page: OnceLock::new(),
        }))
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl FromRef<AppState> for App {
    fn from_ref(state: &AppState) -> Self {
        state.app.clone()
    }
}
