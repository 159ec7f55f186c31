//! Integrations → SIEM: the connectors of an org.

pub mod form;
pub(super) mod list;
pub mod model;
pub(super) mod one;
