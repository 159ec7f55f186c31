//! Integrations → SIEM: the connectors of an org.

pub(super) mod list;
pub(super) mod one;
