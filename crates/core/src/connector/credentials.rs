//! A connector's secrets: write-only, encrypted at rest, never printed.

use secrecy::SecretString;

/// The secret that authorises requests, by the way it is used.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Splunk's HEC token.
    HecToken(SecretString),
    /// Datadog's API key.
    DatadogApiKey(SecretString),
    /// Elasticsearch's API key, in the encoded form `base64(id:key)`.
    ElasticsearchApiKey(SecretString),
    /// Elasticsearch's password; the user name is in the settings.
    ElasticsearchPassword(SecretString),
    /// Elasticsearch without security (tests, clusters behind a proxy).
    None,
}
