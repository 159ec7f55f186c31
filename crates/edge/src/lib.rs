//! The outermost ring: what a client may take of the service before anybody looks at what it wants. It knows no route and no store.
//!
//! A request passes, from the outside in: [`serve`] (a place for the connection, and what a panic becomes), the stream (heads and bodies that
//! are HTTP as RFC 9112 has it, and the time for each), and the [`Face`] that is served. Whoever reads a body does it with [`body::read`].
//!
//! What can be used up is shared out in one place each: connections in [`connections`], memory for bodies in [`bodies`], time in the stream
//! and [`body`]. The bounds of all of them are in [`limits`], and in a table of `docs/operation.md`.

use std::sync::Arc;

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

mod address;
mod arriving;
pub mod bodies;
pub mod body;
mod client;
pub mod connections;
mod counts;
pub mod descriptors;
mod gate;
pub mod limits;
mod refusal;
mod request_id;
mod serve;
mod stream;

pub use arriving::{Answering, Arriving};
pub use client::Arrival;
pub use limits::Limits;
pub use refusal::Refusal;
pub use serve::{Face, serve};

/// Whatever went wrong with a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The shares of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Edge(Arc<Inner>);

/// See [`Edge`].
#[derive(Debug)]
pub struct Inner {
    pub(crate) limits: Limits,
    pub(crate) trusted: Vec<IpNet>,
    pub(crate) connections: Arc<connections::Connections>,
    pub(crate) bodies: Arc<bodies::Pool>,
    pub(crate) open: Arc<bodies::Pool>,
    /// Bodies that are still arriving are given up.
    pub(crate) ending: CancellationToken,
}

/// What is taken of each share at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections.
    pub connections: connections::Held,
    /// Bodies of those who have shown a key or a session.
    pub bodies: bodies::Held,
    /// Bodies of all others.
    pub open: bodies::Held,
}

impl Edge {
    /// With these bounds. `trusted` are the proxies whose `X-Forwarded-For` is believed.
    pub fn new(limits: Limits, trusted: Vec<IpNet>) -> Self {
        let bounds =
            connections::Bounds { all: limits.connections, address: limits.of_address(), key: limits.of_key() };
        Self(Arc::new(Inner {
            limits,
            connections: Arc::new(connections::Connections::new(bounds, trusted.clone())),
            trusted,
            bodies: bodies::Pool::new(limits.bodies),
            open: bodies::Pool::new(limits.open),
            ending: CancellationToken::new(),
        }))
    }

    /// How much is taken.
    pub fn figures(&self) -> Figures {
        Figures { connections: self.connections.held(), bodies: self.bodies.held(), open: self.open.held() }
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

impl std::ops::Deref for Edge {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
