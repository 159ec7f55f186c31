//! The server of Toktra SIEM, as a library: the binary, the integration tests and the simulation are built from the same parts.

pub mod clock;
pub mod dispatch;
pub mod random;
pub mod supervisor;
pub mod transport;
pub mod upkeep;
