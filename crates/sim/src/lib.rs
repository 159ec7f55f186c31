//! Faults, and the oracle that tells whether anything was lost.
//!
//! The oracle stands outside the process under test. It writes down every event that a producer was promised (each 202) and asks the
//! receivers what reached them; whatever the server believes of itself does not count. A run names its seed first, so that it can be
//! repeated.

pub mod kill;
pub mod oracle;
pub mod producer;
pub mod seed;
pub mod service;
