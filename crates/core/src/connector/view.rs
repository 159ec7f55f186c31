//! A connector's settings and secrets as answers show them: every setting, and of each secret that it is set.

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use super::{Compression, DatadogConfig, ElasticsearchConfig, PlatformConfig, Settings, SplunkConfig};

/// Secrets from this length on are hinted at by their last four characters; of a shorter one that would tell too much.
const HINTED: usize = 12;

/// A secret. It is write-only: an answer says whether it is set, and how it ends.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Secret"))]
pub struct SecretView {
    /// Whether there is one.
    pub set: bool,
    /// Its last four characters, after an ellipsis. Not there where the secret is so short that they would tell too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"…4444"))]
    pub hint: Option<String>,
    /// The secret itself, in the one answer that made it. It is not shown again.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub value: Option<SecretString>,
    /// The environment variable that it comes from, where it is not the connector's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(example = &"SIEM_SIGNING_SECRET"))]
    pub source: Option<&'static str>,
    /// `false` where the stored secret cannot be opened, because the encryption key is another: enter it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable: Option<bool>,
}

#[expect(clippy::ref_option, reason = "serde hands the field over as it is")]
fn shown<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

impl SecretView {
    /// That it is set, and how it ends (interface.md, "Secrets are write-only").
    pub fn of(secret: &SecretString) -> Self {
        let characters: Vec<char> = secret.expose_secret().chars().collect();
        let long = characters.len() >= HINTED;
        let hint = long.then(|| {
            characters[characters.len() - 4..]
                .iter()
                .fold("…".to_owned(), |hint, c| hint + c.encode_utf8(&mut [0; 4]))
        });
        Self { set: true, hint, ..Self::default() }
    }

    /// A secret that was just made: shown in this one answer, and never again.
    pub fn once(secret: &SecretString) -> Self {
        Self { value: Some(secret.clone()), ..Self::of(secret) }
    }
}

/// Settings by platform.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "platform", content = "config", rename_all = "snake_case")]
pub enum SettingsView {
    /// Splunk.
    Splunk(SplunkView),
    /// Datadog.
    Datadog(DatadogView),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchView),
}

/// Settings of a Splunk connector.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SplunkSettings"))]
pub struct SplunkView {
    /// The base URL: scheme, host, port and prefix, without `/services/collector…`.
    pub hec_url: String,
    /// The HEC token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hec_token: Option<SecretView>,
    /// The index that is written to.
    pub index: String,
    /// The sourcetype of every event.
    pub sourcetype: String,
    /// Whether an event counts as delivered only once it is indexed.
    pub indexer_ack: bool,
    /// What all platforms have.
    #[serde(flatten)]
    pub common: CommonView,
}

/// Settings of a Datadog connector.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "DatadogSettings"))]
pub struct DatadogView {
    /// The API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretView>,
    /// The site, such as `datadoghq.com`; not used where `url` is set.
    pub site: String,
    /// A base URL that replaces both of Datadog's hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The `service` of every log entry.
    pub service: String,
    /// Whether metrics are sent beside the logs.
    pub send_metrics: bool,
    /// The metric is `<metric_prefix>.events`.
    pub metric_prefix: String,
    /// What all platforms have.
    #[serde(flatten)]
    pub common: CommonView,
}

/// Settings of an Elasticsearch or OpenSearch connector.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ElasticsearchSettings"))]
pub struct ElasticsearchView {
    /// The base URL. Not there where a Cloud id says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The Cloud id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_id: Option<String>,
    /// The API key, where it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretView>,
    /// The user name, where a password is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password, where it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretView>,
    /// Daily indices are `<index_prefix>-YYYY.MM.DD`; the template's name and pattern follow it.
    pub index_prefix: String,
    /// Whether the index template is put in place before the first delivery.
    pub manage_template: bool,
    /// What all platforms have.
    #[serde(flatten)]
    pub common: CommonView,
}

/// Settings that all platforms have.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommonView {
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// A certificate authority (PEM) that is trusted for this connector alone, instead of the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// The most requests of one stream that may be in flight.
    pub max_in_flight: u16,
}

impl SettingsView {
    /// The settings, with what `secret` says of the secret of each name.
    pub fn of(settings: &Settings, secret: impl Fn(&str) -> Option<SecretView>) -> Self {
        let common = CommonView {
            compression: settings.compression,
            tls_ca: settings.tls_ca.clone(),
            max_in_flight: settings.max_in_flight,
        };
        match settings.platform.clone() {
            PlatformConfig::Splunk(SplunkConfig { hec_url, index, sourcetype, indexer_ack }) => {
                let hec_token = secret("hec_token");
                Self::Splunk(SplunkView { hec_url, hec_token, index, sourcetype, indexer_ack, common })
            }
            PlatformConfig::Datadog(DatadogConfig { site, url, service, send_metrics, metric_prefix }) => {
                let api_key = secret("api_key");
                Self::Datadog(DatadogView { api_key, site, url, service, send_metrics, metric_prefix, common })
            }
            PlatformConfig::Elasticsearch(config) => {
                let ElasticsearchConfig { url, cloud_id, username, index_prefix, manage_template } = config;
                Self::Elasticsearch(ElasticsearchView {
                    url: cloud_id.is_none().then_some(url),
                    cloud_id,
                    api_key: secret("api_key"),
                    username,
                    password: secret("password"),
                    index_prefix,
                    manage_template,
                    common,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(view: &SecretView) -> Value {
        serde_json::to_value(view).unwrap()
    }

    #[test]
    fn a_secret_is_hinted_at_and_a_short_one_not_even_that() {
        assert_eq!(shown(&SecretView::of(&"0123456789ab".into())), json!({"set": true, "hint": "…89ab"}));
        assert_eq!(shown(&SecretView::of(&"0123456789a".into())), json!({"set": true}));
        let once = SecretView::once(&"0123456789ab".into());
        assert_eq!(shown(&once)["value"], "0123456789ab");
        assert!(!format!("{once:?}").contains("0123"));
    }
}
