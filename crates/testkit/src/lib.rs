//! What tests of the running product share: the binary as a child process, an HTTP client, a browser, and the real third-party parts.
//!
//! It exists so that a journey reads as a journey. A test builds a [`server::ServerSetup`], starts it, talks to it through a
//! [`client::Client`], and waits for what must become true with [`poll::until`]; whether a real search node or a Python with
//! the vendor's client is at hand is answered by [`real`]. What a page looks like and
//! how it behaves is seen through a [`browser::Browser`]. Nothing here is part of the product: only `[dev-dependencies]` and
//! `xtask` name this crate.

pub mod accounts;
pub mod browser;
pub mod client;
#[cfg(feature = "world")]
pub mod contract;
pub mod json;
pub mod poll;
#[cfg(feature = "world")]
pub mod prelude;
pub mod real;
pub mod server;
#[cfg(feature = "world")]
pub mod tab;
#[cfg(feature = "world")]
pub mod world;
