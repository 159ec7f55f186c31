//! What a connector dials, and whether a change of settings points its secrets at somebody else.

use url::Url;

use super::{PlatformConfig, Settings};

/// Every base URL that the connector dials, for the egress policy. A stored URL that no longer parses (a damaged store) is left out;
/// transport parses what it dials again and refuses it.
pub fn targets(settings: &Settings) -> Vec<Url> {
    let urls = match &settings.platform {
        PlatformConfig::Splunk(splunk) => vec![splunk.hec_url.clone()],
        PlatformConfig::Datadog(datadog) => match &datadog.url {
            Some(url) => vec![url.clone()],
            None => ["http-intake.logs", "api"].map(|host| format!("https://{host}.{}", datadog.site)).into(),
        },
        PlatformConfig::Elasticsearch(elasticsearch) => vec![elasticsearch.url.clone()],
    };
    urls.iter().filter_map(|url| Url::parse(url).ok()).collect()
}

/// Whether any of the connector's requests would travel without TLS.
pub fn plain_http(settings: &Settings) -> bool {
    targets(settings).iter().any(|url| url.scheme() == "http")
}

/// Whether scheme, host, port, site, `cloud_id` or `tls_ca` is another: then the credential must be brought along, or anyone who may edit
/// the connector could have the stored secret sent to a host of their own (threats.md, "credentials through API").
pub fn target_changed(old: &Settings, new: &Settings) -> bool {
    let origins = |settings| targets(settings).iter().map(Url::origin).collect::<Vec<_>>();
    origins(old) != origins(new) || old.tls_ca != new.tls_ca || named(old) != named(new)
}

/// The target as it is named where it is not given by its URL.
fn named(settings: &Settings) -> Option<&str> {
    match &settings.platform {
        PlatformConfig::Splunk(_) => None,
        PlatformConfig::Datadog(datadog) => Some(&datadog.site),
        PlatformConfig::Elasticsearch(elasticsearch) => elasticsearch.cloud_id.as_deref(),
    }
}
