//! The server of Toktra SIEM, as a library: the binary, the integration tests and the simulation are built from the same parts.

pub mod api;
pub mod api_keys;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod devices;
pub mod dispatch;
pub mod environment;
pub mod first_login;
pub mod guesses;
pub mod ingest;
pub mod links;
pub mod own_events;
pub mod passwords;
pub mod random;
pub mod service;
pub mod sessions;
pub mod supervisor;
pub mod telemetry;
pub mod traffic;
pub mod transport;
pub mod upkeep;
pub mod vault;
