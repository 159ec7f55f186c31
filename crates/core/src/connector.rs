//! A connector: what an org configured for one SIEM. Settings are here, secrets beside them in [`Credentials`]; the two are stored apart.
//! What the settings of a platform mean is known to the platform's folder alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::filter::Filter;
use crate::ids::{ConnectorId, OrgId, PlatformId, Revision, StreamId, StreamKind};
use crate::time::Timestamp;

pub mod credentials;

pub use credentials::Credentials;

/// Whether bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they are: the default, because common signature verifiers see the inflated body.
    #[default]
    None,
    /// gzip; the signature covers the compressed bytes.
    Gzip,
}

/// Everything about an endpoint but its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Which platform they are for.
    pub platform: PlatformId,
    /// The streams that the connector has, from its making on. Records of before they were written have none; see [`Self::streams`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamKind>,
    /// Of request bodies.
    #[serde(default)]
    pub compression: Compression,
    /// The most requests of one stream that may be in flight.
    pub max_in_flight: u16,
    /// Everything else that the descriptors of the platform and of all platforms tell, checked and in its canonical form; stored beside the
    /// others. An absent one is not set.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

/// A setting that no platform has: of settings that could not be read it is all there is.
const UNREADABLE: &str = "unreadable";

impl Settings {
    /// What stands in for settings that cannot be read any more, of a connector with these streams. Nothing can be sent with it.
    pub fn unreadable(platform: PlatformId, streams: Vec<StreamKind>) -> Self {
        let config = Map::from_iter([(UNREADABLE.to_owned(), Value::Bool(true))]);
        Self { platform, streams, compression: Compression::default(), max_in_flight: 1, config }
    }

    /// Whether these stand in for settings that could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.config.contains_key(UNREADABLE)
    }

    /// The settings to read new ones over: of those that could not be read nothing stays.
    #[must_use]
    pub fn to_be_changed(&self) -> Self {
        let mut settings = self.clone();
        settings.config.remove(UNREADABLE);
        settings
    }

    /// The streams of the connector. Where the record does not tell, it is from before it did: then a switch for metrics tells that there
    /// are logs and metrics, and without one there are events.
    pub fn streams(&self) -> &[StreamKind] {
        let metrics = StreamKind::Metrics.switch().is_some_and(|switch| self.config.contains_key(switch));
        match (self.streams.as_slice(), metrics) {
            ([], true) => &[StreamKind::Logs, StreamKind::Metrics],
            ([], false) => &[StreamKind::Events],
            (streams, _) => streams,
        }
    }

    /// Whether a stream of this kind is switched on.
    pub fn sends(&self, kind: StreamKind) -> bool {
        kind.switch().and_then(|switch| self.config.get(switch)) != Some(&Value::Bool(false))
    }

    /// The setting of this name, where it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.config.get(name).and_then(Value::as_str)
    }
}

/// Who may change a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ManagedBy {
    /// People and scripts, through the API.
    Api,
    /// The environment or the configuration file; read-only in page and API, and the operator's own: private addresses and `http` are
    /// allowed for it.
    Environment,
}

/// An org's configured SIEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// Its identity.
    pub id: ConnectorId,
    /// The tenant.
    pub org: OrgId,
    /// For people; unique within the org.
    pub name: String,
    /// Where and how.
    pub settings: Settings,
    /// Which events, from the newest revision; what applies to a given event is in the [`crate::filter::FilterTimeline`].
    pub filter: Filter,
    /// Whether it sends.
    pub active: bool,
    /// Whether it was ever active. The store keeps it beside the rest, and gives it with what it reads.
    #[serde(skip)]
    pub activated: bool,
    /// Who may change it.
    pub managed_by: ManagedBy,
    /// Counts the saves.
    pub revision: Revision,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
}

impl Connector {
    /// Whether it was never switched on, however often it was saved: what comes before that is not meant for it.
    pub fn was_never_on(&self) -> bool {
        !self.active && !self.activated
    }

    /// The ids of its streams.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + use<> {
        let connector = self.id;
        self.settings.streams().to_vec().into_iter().map(move |kind| StreamId { connector, kind })
    }
}

/// What happens to what waits when a connector is switched on again. The first time, it always starts from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// It continues where it stopped: what waits becomes a backlog range (trigger `recovery`) beside the fresh events. Metrics continue
    /// from their cursor without one, since windows go in their order.
    #[default]
    Backlog,
    /// From now: what lies between cursor and head, and what is left in backlog ranges, is counted as skipped. Open deliveries go on, and
    /// parked events stay parked.
    Now,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Records as they were written before `streams` was.
    #[test]
    fn records_of_before_are_read_and_written_with_the_same_members() {
        let record = json!({ "platform": "x", "a_url": "https://a.example", "send_metrics": false, "compression": "gzip", "max_in_flight": 3 });
        let settings: Settings = serde_json::from_value(record.clone()).unwrap();
        assert_eq!(settings.streams(), [StreamKind::Logs, StreamKind::Metrics]);
        assert!(settings.sends(StreamKind::Logs) && !settings.sends(StreamKind::Metrics));
        assert_eq!(settings.text("a_url"), Some("https://a.example"));
        assert_eq!(serde_json::to_value(&settings).unwrap(), record);
        let record = json!({ "platform": "x", "compression": "none", "tls_ca": "pem", "max_in_flight": 3 });
        let settings: Settings = serde_json::from_value(record).unwrap();
        assert_eq!(settings.streams(), [StreamKind::Events]);
        assert_eq!((settings.config.len(), settings.text("tls_ca")), (1, Some("pem")));
    }
}
