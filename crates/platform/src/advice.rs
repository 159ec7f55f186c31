//! What a person who tries a connector wants to know beside the cause: what to look at in these settings. The history keeps causes only:
//! what stands here is true of the settings of the moment. What is peculiar to a platform, its folder says.

use toktra_siem_core::connector::{Credentials, Settings};

use crate::registry::{Platform, Registry};

/// A word of a search as it is where nothing in it means something there, else in quotes.
pub fn bare_or_quoted(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if plain { text.to_owned() } else { quoted(text) }
}

/// A word of a search in quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a cause of this code may come of an address that is another service's.
pub fn leads_elsewhere(code: &str) -> bool {
    code.starts_with("network_")
        || code.starts_with("tls_")
        || ["_redirect", "_wrong_path", "_not_hec", "_unexpected_success"].iter().any(|end| code.ends_with(end))
}

/// Causes after which a certificate may be trusted by its fingerprint.
const PINNABLE: [&str; 5] =
    ["tls_untrusted", "tls_version_1", "tls_ca_as_server", "tls_certificate", "tls_fingerprint_changed"];
/// How a fingerprint is compared.
const COMPARE: &str = "Before you trust a fingerprint, compare it on the SIEM's own machine: `openssl x509 -in <file> -noout -fingerprint \
                       -sha256`, with the file that the SIEM shows as its certificate.";

/// What else to look at in these settings, where a delivery ended with the cause of this code; whole sentences.
pub(crate) fn advice(registry: &Registry, platform: &dyn Platform, settings: &Settings, code: &str) -> Option<String> {
    let targets = registry.targets(settings, &Credentials::none());
    let mut said = Vec::new();
    if code == "network_reset" && targets.iter().any(|url| url.scheme() == "http") {
        said.push("The URL says http: if the port expects TLS, write it with https.".to_owned());
    }
    said.extend(platform.advice(settings, code, &targets));
    if code == "tls_not_spoken" {
        let only = "A URL with http is possible only where the operator allows the address (TOKTRA_SIEM_EGRESS_ALLOW).";
        said.push(only.to_owned());
    }
    if code == "tls_untrusted" && settings.text("tls_ca").is_some() {
        let alone = "The connector trusts the certificates in its tls_ca alone, and none of them is this certificate or its issuer.";
        said.push(alone.to_owned());
    }
    if PINNABLE.contains(&code) {
        said.push(COMPARE.to_owned());
    }
    (!said.is_empty()).then(|| said.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use toktra_siem_core::ids::{EventId, PlatformId};
    use uuid::Uuid;

    use super::*;
    use crate::datadog::Datadog;
    use crate::elasticsearch::Elasticsearch;
    use crate::splunk::Splunk;

    fn settings(platform: PlatformId, config: &Value) -> Settings {
        Registry::standard().parse_new(platform, config).unwrap().0
    }

    fn search(settings: &Settings, event: EventId) -> String {
        Registry::standard().search(settings, event)
    }

    fn advice(settings: &Settings, code: &str) -> Option<String> {
        Registry::standard().advice(settings, code)
    }

    fn splunk(url: &str) -> Settings {
        settings(Splunk::ID, &json!({ "hec_url": url, "hec_token": "token", "index": "sec urity" }))
    }

    #[test]
    fn searches_are_those_of_the_connector() {
        let event = EventId(Uuid::from_u128(7));
        let id = "00000000-0000-0000-0000-000000000007";
        assert_eq!(
            search(&splunk("https://s.example"), event),
            format!(r#"index="sec urity" sourcetype="toktra:security" event_id="{id}""#)
        );
        let datadog = |service| settings(Datadog::ID, &json!({ "api_key": "key", "service": service }));
        assert_eq!(search(&datadog("toktra"), event), format!("source:toktra @event_id:{id}"));
        assert_eq!(search(&datadog("a b"), event), format!(r#"source:toktra service:"a b" @event_id:{id}"#));
        let elasticsearch = settings(Elasticsearch::ID, &json!({ "url": "https://e.example", "index_prefix": "sec" }));
        assert_eq!(search(&elasticsearch, event), format!(r#"GET sec-*/_search?q=event_id:"{id}""#));
    }

    #[test]
    fn advice_fits_settings_and_cause() {
        let says = |settings: &Settings, code: &str, part: &str| {
            let said = advice(settings, code).unwrap_or_default();
            assert!(said.contains(part), "{code}: {said}");
        };
        says(&splunk("https://s.example:8000"), "splunk_redirect", "Splunk Web");
        says(&splunk("https://s.example:8089"), "tls_untrusted", "management port");
        says(&splunk("https://s.example:8088"), "network_refused", "Global Settings");
        says(&splunk("http://s.example:8088"), "network_reset", "write it with https");
        says(&splunk("https://s.example:8088"), "tls_untrusted", "cacert.pem");
        assert_eq!(advice(&splunk("https://s.example:8000"), "splunk_4_invalid_token"), None);
        assert_eq!(advice(&splunk("https://s.example:8088"), "network_reset"), None);
        let cloud =
            settings(Elasticsearch::ID, &json!({ "cloud_id": "my:Y2xvdWQuZXhhbXBsZSRhYmM", "api_key": "aWQ6a2V5" }));
        says(&cloud, "network_unknown_host", "https://abc.cloud.example");
        let datadog = settings(Datadog::ID, &json!({ "api_key": "key", "site": "datadoghq.eu" }));
        says(&datadog, "network_unknown_host", "the site datadoghq.eu");
        let kibana = settings(Elasticsearch::ID, &json!({ "url": "https://e.example:5601" }));
        says(&kibana, "elasticsearch_wrong_path", "Kibana");
    }
}
