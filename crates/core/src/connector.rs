//! A connector: what an org configured for one SIEM. Settings are here, secrets beside them in [`Credentials`]; the two are stored apart.

use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::ids::{ConnectorId, OrgId, Revision, StreamId, StreamKind};
use crate::time::Timestamp;

mod checks;
pub mod config;
pub mod credentials;
pub mod endpoint;
pub mod target;
pub mod view;

pub use credentials::Credentials;

/// The platforms that events go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Splunk, through its HTTP Event Collector.
    Splunk,
    /// Datadog: Logs v2 and Metrics v2.
    Datadog,
    /// Elasticsearch, Elastic serverless and OpenSearch, through `_bulk`.
    Elasticsearch,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 3] = [Self::Splunk, Self::Datadog, Self::Elasticsearch];

    /// The word used in the API and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Splunk => "splunk",
            Self::Datadog => "datadog",
            Self::Elasticsearch => "elasticsearch",
        }
    }

    /// How it writes its own name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Splunk => "Splunk",
            Self::Datadog => "Datadog",
            Self::Elasticsearch => "Elasticsearch",
        }
    }

    /// The streams that a connector of this platform has.
    pub fn streams(self) -> &'static [StreamKind] {
        match self {
            Self::Splunk | Self::Elasticsearch => &[StreamKind::Events],
            Self::Datadog => &[StreamKind::Logs, StreamKind::Metrics],
        }
    }
}

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

/// Splunk's settings (interface.md, "`config` by platform").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplunkConfig {
    /// The base URL, normalised: scheme, host, port and prefix, without `/services/collector…` and without a trailing slash.
    pub hec_url: String,
    /// The index to write to.
    pub index: String,
    /// The sourcetype of every event.
    pub sourcetype: String,
    /// Whether a delivery waits for the indexer's acknowledgement.
    pub indexer_ack: bool,
}

/// Datadog's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatadogConfig {
    /// The site, such as `datadoghq.com`; not read where `url` is set.
    pub site: String,
    /// A base that replaces both of Datadog's hosts (proxies, tests), normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The `service` of every log entry.
    pub service: String,
    /// Whether the metrics stream sends. Positional, like the filter.
    pub send_metrics: bool,
    /// The metric is `<metric_prefix>.events`.
    pub metric_prefix: String,
}

/// Elasticsearch's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticsearchConfig {
    /// The base URL, normalised; where a Cloud id was given, what it decodes to.
    pub url: String,
    /// The Cloud id as given, for showing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_id: Option<String>,
    /// For `Basic` authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Daily indices are `<index_prefix>-YYYY.MM.DD`; the template's name and pattern follow it.
    pub index_prefix: String,
    /// Whether the index template is put in place before the first bulk.
    pub manage_template: bool,
}

/// Settings by platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "platform", rename_all = "snake_case")]
pub enum PlatformConfig {
    /// Splunk.
    Splunk(SplunkConfig),
    /// Datadog.
    Datadog(DatadogConfig),
    /// Elasticsearch.
    Elasticsearch(ElasticsearchConfig),
}

/// Everything about an endpoint but its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// By platform.
    #[serde(flatten)]
    pub platform: PlatformConfig,
    /// Of request bodies.
    #[serde(default)]
    pub compression: Compression,
    /// A certificate authority (PEM) trusted for this connector alone, instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// The most requests of one stream that may be in flight.
    pub max_in_flight: u16,
}

impl Settings {
    /// Which platform they are for.
    pub fn platform(&self) -> Platform {
        match &self.platform {
            PlatformConfig::Splunk(_) => Platform::Splunk,
            PlatformConfig::Datadog(_) => Platform::Datadog,
            PlatformConfig::Elasticsearch(_) => Platform::Elasticsearch,
        }
    }

    /// Datadog's positional switch; `true` elsewhere, where nothing reads it.
    pub fn send_metrics(&self) -> bool {
        match &self.platform {
            PlatformConfig::Datadog(datadog) => datadog.send_metrics,
            PlatformConfig::Splunk(_) | PlatformConfig::Elasticsearch(_) => true,
        }
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
    /// The ids of its streams.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + use<> {
        let connector = self.id;
        self.settings.platform().streams().iter().map(move |kind| StreamId { connector, kind: *kind })
    }
}
