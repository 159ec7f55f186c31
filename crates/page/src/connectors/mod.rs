//! Integrations → SIEM: the connectors of an org.

pub(super) mod bulk;
pub mod form;
pub(super) mod list;
pub mod model;
pub(super) mod one;
pub(super) mod setup;
mod wanted;

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use toktra_siem_wire::Connector;

    /// A connector of this name.
    pub(crate) fn connector(name: &str) -> Connector {
        of_platform(name, "splunk", &json!({}))
    }

    /// The same with settings of a platform.
    pub(crate) fn of_platform(name: &str, platform: &str, config: &serde_json::Value) -> Connector {
        let at = "2025-01-15T10:30:00.000Z";
        serde_json::from_value(json!({
            "id": "0194693f-6c00-7000-8000-000000000001", "org_id": "0194693f-6c00-7000-8000-000000000002", "name": name,
            "platform": platform, "config": config, "filter": {"severity": ["high", "critical"]},
            "signing_secret": {"set": true, "hint": "…89ab"}, "active": true, "managed_by": "api", "revision": 3, "created_at": at,
            "updated_at": at,
        }))
        .unwrap()
    }
}
