//! Integrations → SIEM: the connectors of an org.

pub(super) mod list;
