//! Delivery history: which deliveries there were, what became of each, and delivering one again.

pub(super) mod detail;
pub(super) mod export;
pub mod filter;
pub(super) mod list;
pub(super) mod request;
pub mod words;
