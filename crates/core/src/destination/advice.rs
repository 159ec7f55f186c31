//! What a person who tries a connector wants to know beside the cause: what to look at in these settings, and how to find the event in
//! that SIEM. The history keeps causes only: what stands here is true of the settings of the moment.

use url::Url;

use crate::connector::{PlatformConfig, Settings, target};
use crate::ids::EventId;

/// The search to paste in the SIEM that finds the event with this id.
pub fn search(settings: &Settings, event: EventId) -> String {
    match &settings.platform {
        PlatformConfig::Splunk(splunk) => {
            format!(
                "index={} sourcetype={} event_id=\"{event}\"",
                bare_or_quoted(&splunk.index),
                quoted(&splunk.sourcetype)
            )
        }
        PlatformConfig::Datadog(datadog) if datadog.service != "toktra" => {
            format!("source:toktra service:{} @event_id:{event}", bare_or_quoted(&datadog.service))
        }
        PlatformConfig::Datadog(_) => format!("source:toktra @event_id:{event}"),
        PlatformConfig::Elasticsearch(elasticsearch) => {
            format!("GET {}-*/_search?q=event_id:\"{event}\"", elasticsearch.index_prefix)
        }
    }
}

fn bare_or_quoted(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What else to look at in these settings, where a delivery ended with the cause of this code; whole sentences.
pub fn advice(settings: &Settings, code: &str) -> Option<String> {
    let said: Vec<String> =
        [scheme(settings, code), port(settings, code), place(settings, code), trust(settings, code)]
            .into_iter()
            .flatten()
            .collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// http and https mixed up, where nothing that answered says so.
fn scheme(settings: &Settings, code: &str) -> Option<String> {
    let http = target::plain_http(settings);
    let splunk = matches!(settings.platform, PlatformConfig::Splunk(_));
    let said = match code {
        "network_reset" if http => "The URL says http: if the port expects TLS, write it with https.",
        "tls_not_spoken" if splunk => {
            "In Splunk: Settings → Data inputs → HTTP Event Collector → Global Settings → tick Enable SSL. A URL with http is possible \
             only where the operator allows the address (TOKTRA_SIEM_EGRESS_ALLOW)."
        }
        "tls_not_spoken" => {
            "A URL with http is possible only where the operator allows the address (TOKTRA_SIEM_EGRESS_ALLOW)."
        }
        _ => return None,
    };
    Some(said.to_owned())
}

/// A port that is known to be another service's, and Splunk's switch for the right one.
fn port(settings: &Settings, code: &str) -> Option<String> {
    let elsewhere = code.starts_with("network_")
        || code.starts_with("tls_")
        || ["_redirect", "_wrong_path", "_not_hec", "_unexpected_success"].iter().any(|end| code.ends_with(end));
    let port = target::targets(settings).first().and_then(Url::port_or_known_default).filter(|_| elsewhere);
    let said = match (&settings.platform, port) {
        (PlatformConfig::Splunk(_), Some(8000)) => {
            "The URL names port 8000, which is usually Splunk Web, the pages for people; the HTTP Event Collector is usually on 8088."
        }
        (PlatformConfig::Splunk(_), Some(8089)) => {
            "The URL names port 8089, which is usually Splunk's management port; the HTTP Event Collector is usually on 8088."
        }
        (PlatformConfig::Splunk(_), Some(9997)) => {
            "The URL names port 9997, which is usually that of Splunk's forwarders; the HTTP Event Collector is usually on 8088."
        }
        (PlatformConfig::Elasticsearch(_), Some(5601)) => {
            "The URL names port 5601, which is usually Kibana or Dashboards, the pages for people; Elasticsearch is usually on 9200."
        }
        (PlatformConfig::Elasticsearch(_), Some(9300)) => {
            "The URL names port 9300, over which nodes speak among themselves; the HTTP interface is usually on 9200."
        }
        (PlatformConfig::Splunk(_), _) if code == "network_refused" => {
            "The HTTP Event Collector is off until it is switched on. In Splunk: Settings → Data inputs → HTTP Event Collector → Global \
             Settings → All Tokens: Enabled; its port stands there as well."
        }
        _ => return None,
    };
    Some(said.to_owned())
}

/// Where a host comes from that nobody typed.
fn place(settings: &Settings, code: &str) -> Option<String> {
    let lost = code == "network_unknown_host" || code.starts_with("elasticsearch_wrong_path");
    match &settings.platform {
        PlatformConfig::Elasticsearch(elasticsearch) if lost && elasticsearch.cloud_id.is_some() => Some(format!(
            "The Cloud ID leads to {}: copy it again from the deployment's page in Elastic Cloud.",
            elasticsearch.url
        )),
        PlatformConfig::Datadog(datadog) if lost && datadog.url.is_none() => Some(format!(
            "The host follows from the site {}: compare it with the address bar of your Datadog.",
            datadog.site
        )),
        _ => None,
    }
}

/// Whose certificates are trusted.
fn trust(settings: &Settings, code: &str) -> Option<String> {
    if code != "tls_untrusted" {
        return None;
    }
    let said = match (&settings.platform, &settings.tls_ca) {
        (_, Some(_)) => {
            "The connector trusts the CA certificate in its tls_ca alone, and that is not this certificate's issuer."
        }
        (PlatformConfig::Splunk(_), None) => {
            "Where it is Splunk's ready-made certificate, its CA is $SPLUNK_HOME/etc/auth/cacert.pem on the Splunk server."
        }
        (PlatformConfig::Elasticsearch(_), None) => {
            "Where it is Elasticsearch's ready-made certificate, its CA is config/certs/http_ca.crt on the node."
        }
        (PlatformConfig::Datadog(_), None) => {
            "Datadog's own certificates are publicly trusted: a proxy that opens TLS connections is probably in between."
        }
    };
    Some(said.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::connector::{Platform, config};

    fn settings(platform: Platform, config: &Value) -> Settings {
        config::parse_new(platform, config).unwrap().0
    }

    fn splunk(url: &str) -> Settings {
        settings(Platform::Splunk, &json!({ "hec_url": url, "hec_token": "token", "index": "sec urity" }))
    }

    #[test]
    fn searches_are_those_of_the_connector() {
        let event = EventId(Uuid::from_u128(7));
        let id = "00000000-0000-0000-0000-000000000007";
        assert_eq!(
            search(&splunk("https://s.example"), event),
            format!(r#"index="sec urity" sourcetype="toktra:security" event_id="{id}""#)
        );
        let datadog = |service| settings(Platform::Datadog, &json!({ "api_key": "key", "service": service }));
        assert_eq!(search(&datadog("toktra"), event), format!("source:toktra @event_id:{id}"));
        assert_eq!(search(&datadog("a b"), event), format!(r#"source:toktra service:"a b" @event_id:{id}"#));
        let elasticsearch =
            settings(Platform::Elasticsearch, &json!({ "url": "https://e.example", "index_prefix": "sec" }));
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
        let cloud = settings(
            Platform::Elasticsearch,
            &json!({ "cloud_id": "my:Y2xvdWQuZXhhbXBsZSRhYmM", "api_key": "aWQ6a2V5" }),
        );
        says(&cloud, "network_unknown_host", "https://abc.cloud.example");
        let datadog = settings(Platform::Datadog, &json!({ "api_key": "key", "site": "datadoghq.eu" }));
        says(&datadog, "network_unknown_host", "the site datadoghq.eu");
        let kibana = settings(Platform::Elasticsearch, &json!({ "url": "https://e.example:5601" }));
        says(&kibana, "elasticsearch_wrong_path", "Kibana");
    }
}
