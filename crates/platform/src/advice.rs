//! What a person who tries a connector wants to know beside the cause: what to look at in these settings. The history keeps causes only:
//! what stands here is true of the settings of the moment. What is peculiar to a platform, its folder says.

use toktra_siem_core::certificate::Certificate;
use toktra_siem_core::connector::{Credentials, Settings};

use crate::pem;
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
        || ["proxy_refused", "proxy_failed", "proxy_silent"].contains(&code)
        || ["_redirect", "_wrong_path", "_not_hec", "_unexpected_success"].iter().any(|end| code.ends_with(end))
}

/// Whether the certificate that was refused with the cause of this code may be trusted by its fingerprint. One without its key never is:
/// somebody may have copied it. Neither is one that has expired or is not valid yet, because a pin would hold for ever what was meant to
/// end: it is renewed, or a clock is set. One for another host has better ways, unless it names none.
pub fn pinnable(code: &str, shown: &Certificate) -> bool {
    let way = ["tls_untrusted", "tls_version_1", "tls_ca_as_server", "tls_certificate", "tls_fingerprint_changed"];
    way.contains(&code) || (code == "tls_wrong_host" && shown.names.is_empty())
}

/// How a fingerprint is compared.
const COMPARE: &str = "Before you trust a fingerprint, compare it on the SIEM's own machine: `openssl x509 -in <file> -noout -fingerprint \
                       -sha256`, with the file that the SIEM shows as its certificate. A new fingerprint needs the credential once more.";

/// What else to look at in these settings, where a delivery ended with the cause of this code; whole sentences. `shown` is the certificate that
/// was refused, if one was.
pub(crate) fn advice(
    registry: &Registry,
    platform: &dyn Platform,
    settings: &Settings,
    code: &str,
    shown: Option<&Certificate>,
) -> Option<String> {
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
    if code == "tls_untrusted" {
        said.extend(settings.text("tls_ca").map(of_own_ca));
    }
    if shown.is_some_and(|shown| pinnable(code, shown)) {
        said.push(COMPARE.to_owned());
    }
    (!said.is_empty()).then(|| said.join(" "))
}

/// Why the certificates in `tls_ca` did not help.
fn of_own_ca(text: &str) -> String {
    let alone = "The connector trusts the certificates in its tls_ca alone, and none of them is this certificate or its issuer.";
    let names = pem::without_authority(text).unwrap_or_default();
    let Some(first) = names.first() else { return alone.to_owned() };
    let whose = match names.len() {
        1 => format!("The certificate in its tls_ca, of “{first}”, is that of no authority"),
        many => format!("None of the {many} certificates in its tls_ca is that of an authority"),
    };
    format!("{alone} {whose} (it lacks CA:TRUE) and vouches for itself alone: enter the certificate of the authority.")
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
        Registry::standard().advice(settings, code, None)
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

    /// As Splunk ships it: the certificate of a server, not of an authority.
    const LEAF: &str = include_str!("../../../fixtures/certificates/splunk-default-v1.pem");
    const CA: &str = include_str!("../../../fixtures/certificates/splunk-ca.pem");

    #[test]
    fn a_certificate_in_tls_ca_that_is_no_authority_is_named() {
        let with = |tls_ca: &str| {
            let config = json!({ "hec_url": "https://s.example", "hec_token": "token", "tls_ca": tls_ca });
            advice(&settings(Splunk::ID, &config), "tls_untrusted").unwrap()
        };
        let said = with(LEAF);
        assert!(said.contains("of “CN=SplunkServerDefaultCert, O=SplunkUser”, is that of no authority"), "{said}");
        for authority in [CA.to_owned(), format!("{LEAF}{CA}")] {
            let said = with(&authority);
            assert!(
                said.contains("trusts the certificates in its tls_ca alone") && !said.contains("CA:TRUE"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_certificate_is_to_be_compared_where_it_may_be_trusted() {
        let nameless = Certificate::default();
        let named = Certificate { names: vec!["other.example".to_owned()], ..Certificate::default() };
        for (code, shown, may) in [
            ("tls_untrusted", &named, true),
            ("tls_version_1", &nameless, true),
            ("tls_ca_as_server", &named, true),
            ("tls_certificate", &named, true),
            ("tls_fingerprint_changed", &named, true),
            ("tls_wrong_host", &nameless, true),
            ("tls_wrong_host", &named, false),
            ("tls_key_not_held", &named, false),
            ("tls_key_unfit", &named, false),
            ("tls_expired", &named, false),
            ("tls_not_yet_valid", &named, false),
        ] {
            assert_eq!(pinnable(code, shown), may, "{code}");
            let said = Registry::standard().advice(&splunk("https://s.example:8000"), code, Some(shown));
            assert_eq!(said.is_some_and(|said| said.contains("-fingerprint")), may, "{code}");
        }
    }

    #[test]
    fn advice_fits_settings_and_cause() {
        let says = |settings: &Settings, code: &str, part: &str| {
            let said = advice(settings, code).unwrap_or_default();
            assert!(said.contains(part), "{code}: {said}");
        };
        says(&splunk("https://s.example:8000"), "splunk_redirect", "Splunk Web");
        says(&splunk("https://s.example:8089"), "tls_untrusted", "management port");
        says(&splunk("https://s.example:8089"), "proxy_failed", "management port");
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
        says(&datadog, "proxy_name_unknown", "the site datadoghq.eu");
        says(&cloud, "proxy_name_unknown", "https://abc.cloud.example");
        let kibana = settings(Elasticsearch::ID, &json!({ "url": "https://e.example:5601" }));
        says(&kibana, "elasticsearch_wrong_path", "Kibana");
    }
}
