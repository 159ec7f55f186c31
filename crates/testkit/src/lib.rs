//! What tests of the running product share: one `world` for all of them, and what it is made of.
//!
//! It exists so that a journey reads as a journey. A test starts a `World`, which runs the server as a child process or in the test's own, and
//! talks to it; whether a real search node or a Python with the vendor's client is at hand is answered by [`real`]. Below the world are
//! the binary as a child process ([`server`]), an HTTP client ([`client`]), a browser ([`browser`]) and waiting ([`poll`]): that is all that
//! `cargo xtask` and the simulation need, so the world, which takes the product, is a feature of this crate.
//!
//! Nothing here is part of the product: only `[dev-dependencies]`, `sim` and `xtask` name this crate, so it may depend on the product without a circle.
#![expect(clippy::missing_panics_doc, reason = "whatever does not go as it should panics: that is how a test fails")]

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
