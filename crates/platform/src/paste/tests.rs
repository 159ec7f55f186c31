//! What is understood of a text, and what is said of the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use toktra_siem_core::ids::PlatformId;
use url::Url;

use super::*;

const SPLUNK: PlatformId = crate::splunk::Splunk::ID;
const DATADOG: PlatformId = crate::datadog::Datadog::ID;
const ELASTICSEARCH: PlatformId = crate::elasticsearch::Elasticsearch::ID;
const AUTH: &str = "auth";

fn understand(platform: PlatformId, text: &str) -> Understood {
    Registry::standard().understand(platform, text)
}

fn understood(platform: PlatformId, text: &str) -> Vec<(&'static str, String)> {
    let mut fields = understand(platform, text).fields;
    fields.sort();
    fields
}

fn is(platform: PlatformId, text: &str, expected: &[(&'static str, &str)]) {
    let mut expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    expected.sort();
    assert_eq!(understood(platform, text), expected, "{text}");
}

#[test]
fn splunk_is_found_in_urls_and_examples() {
    let base = ("hec_url", "https://splunk.company.com:8088");
    let token = ("hec_token", "11111111-2222-3333-4444-555555555555");
    is(SPLUNK, "https://splunk.company.com:8088", &[base]);
    is(SPLUNK, " https://splunk.company.com:8088/services/collector/event ", &[base]);
    is(SPLUNK, "splunk.company.com:8088", &[base]);
    is(SPLUNK, "\"https://splunk.company.com:8088/services/collector?channel=1\"", &[base]);
    for example in [
        "curl -k https://splunk.company.com:8088/services/collector/event -H \"Authorization: Splunk 11111111-2222-3333-4444-555555555555\" -d '{\"event\": \"hello\"}'",
        "$ curl \\\n  -H 'Authorization: Splunk 11111111-2222-3333-4444-555555555555' \\\n  -X POST --url https://splunk.company.com:8088/services/collector",
        "curl -H 'Authorization: Splunk 11111111-2222-3333-4444-555555555555' \\  https://splunk.company.com:8088/services/collector",
        "curl -u \"x:11111111-2222-3333-4444-555555555555\" \"https://splunk.company.com:8088/services/collector/raw?channel=a\" --data-raw 'x'",
        "curl --header=\"authorization:splunk 11111111-2222-3333-4444-555555555555\" https://splunk.company.com:8088",
    ] {
        is(SPLUNK, example, &[token, base]);
    }
    is(SPLUNK, "https://x:11111111-2222-3333-4444-555555555555@splunk.company.com:8088", &[token, base]);
}

#[test]
fn datadog_is_found_by_its_site_or_as_a_proxy() {
    let eu = [("site", "datadoghq.eu"), ("url", "")];
    is(DATADOG, "https://app.datadoghq.eu/logs?query=x", &eu);
    is(
        DATADOG,
        "https://proxy.company.com/datadog/",
        &[("site", "other"), ("url", "https://proxy.company.com/datadog")],
    );
    let example = "curl -X POST \"https://http-intake.logs.datadoghq.eu/api/v2/logs\" -H \"Content-Type: application/json\" -H \"DD-API-KEY: abc123\" -d @- << EOF";
    is(DATADOG, example, &[("api_key", "abc123"), eu[0], eu[1]]);
}

#[test]
fn elasticsearch_is_found_with_what_it_is_reached_with() {
    let base = ("url", "https://es.company.com:9200");
    let user = [(AUTH, "password"), ("password", "p@ss:word"), ("username", "elastic")];
    is(ELASTICSEARCH, "https://elastic:p%40ss%3Aword@es.company.com:9200/", &[user[0], user[1], user[2], base]);
    is(
        ELASTICSEARCH,
        "curl -u 'elastic:p@ss:word' 'https://es.company.com:9200/_cat/health?v'",
        &[user[0], user[1], user[2], base],
    );
    let key = [(AUTH, "key"), ("api_key", "aWQ6a2V5")];
    for path in ["/_bulk?pretty", "/my-index/_doc", ""] {
        let example = format!("curl -H \"Authorization: ApiKey aWQ6a2V5\" \"https://es.company.com:9200{path}\"");
        is(ELASTICSEARCH, &example, &[key[0], key[1], base]);
    }
    is(ELASTICSEARCH, "es.company.com:9200/es/_bulk", &[("url", "https://es.company.com:9200/es")]);
    let cloud = format!("deploy:{}", BASE64.encode("eu-central-1.aws.cloud.es.io$abc$def"));
    is(ELASTICSEARCH, &cloud, &[("url", &cloud)]);
    let basic =
        format!("curl https://es.company.com:9200 -H 'Authorization: Basic {}'", BASE64.encode("elastic:p@ss:word"));
    is(ELASTICSEARCH, &basic, &[user[0], user[1], user[2], base]);
}

#[test]
fn what_is_not_understood_is_left_to_the_api() {
    for text in ["", "hello world", "ftp://x", "curl", "curl -H", "https://s.example/?token=x", "https://s.example#x"] {
        for platform in [SPLUNK, DATADOG, ELASTICSEARCH] {
            assert_eq!(understand(platform, text).fields, [], "{text}");
        }
    }
}

/// Finding S11.
#[test]
fn the_value_of_an_option_is_no_address_and_a_placeholder_no_credential() {
    let base = ("hec_url", "https://splunk.company.com:8088");
    let token = ("hec_token", "11111111-2222-3333-4444-555555555555");
    for options in
        ["--connect-timeout 10", "--proxy http://p.company.com:3128", "-x p.company.com:3128", "-sSkm 5", "--retry 3"]
    {
        let example = format!("curl {options} {}/services/collector -H 'Authorization: Splunk {}'", base.1, token.1);
        is(SPLUNK, &example, &[token, base]);
    }
    for placeholder in ["$HEC_TOKEN", "<token>", "${TOKEN}", "YOUR_HEC_TOKEN"] {
        let example = format!("curl {}/services/collector -H \"Authorization: Splunk {placeholder}\"", base.1);
        let understood = understand(SPLUNK, &example);
        assert_eq!(understood.fields, [("hec_url", base.1.to_owned())], "{placeholder}");
        assert!(understood.not_understood[0].contains("is a placeholder"), "{:?}", understood.not_understood);
    }
    let login = understand(ELASTICSEARCH, "curl -u elastic:$ELASTIC_PASSWORD https://es.company.com:9200");
    assert!(!login.sentence().unwrap().contains("password"), "half a login is none: {:?}", login.found);
    let open = understand(SPLUNK, "curl https://$SPLUNK:8088/services/collector");
    assert!(open.fields.is_empty() && open.not_understood[0].contains("placeholder"), "{:?}", open.not_understood);
    let proxied = understand(ELASTICSEARCH, "curl -k --proxy http://p:1 --cacert ca.pem https://es.company.com:9200");
    assert_eq!(proxied.not_understood.len(), 3, "{:?}", proxied.not_understood);
}

#[test]
fn it_is_said_what_was_found_and_never_a_value() {
    let understood = understand(SPLUNK, "https://x:hunter2@s.example/services/collector");
    assert_eq!(understood.sentence().unwrap(), "Understood from what you pasted: the HEC token and the HEC URL.");
    assert_eq!(Understood::default().sentence(), None);
    let example =
        "curl -H 'Authorization: Bearer hunter2' -H 'X-Splunk-Request-Channel: a' https://s.example/services/collector";
    let understood = understand(SPLUNK, example);
    assert_eq!(understood.found, ["the HEC URL"]);
    assert_eq!(understood.not_understood, ["the header authorization", "the header x-splunk-request-channel"]);
    assert_eq!(
        understand(SPLUNK, "hunter2 hunter2").not_understood,
        ["the text: it is no URL, no example of a request, no credential and no configuration that is known here"]
    );
}

proptest! {
    #[test]
    fn never_panics_and_leaves_no_credential_in_the_address(
        any in "\\PC{0,40}",
        example in "(curl )?(-H 'Authorization: (Splunk|ApiKey|Basic) [a-zA-Z0-9:=]{0,12}' |-u [a-z]{0,4}:[a-z]{0,4} )?(https?://)?([a-z]{1,4}:[a-z0-9]{1,8}@)?[a-z]{1,8}(\\.example)?(:[0-9]{1,4})?(/[a-z_]{0,9}){0,3}(\\?[a-z=]{0,5})?",
    ) {
        for text in [any, example] {
            for platform in [SPLUNK, DATADOG, ELASTICSEARCH] {
                let understood = understand(platform, &text);
                for (name, value) in &understood.fields {
                    if ["url", "hec_url"].contains(name) && !value.is_empty() {
                        let url = Url::parse(value).unwrap();
                        prop_assert!(url.username().is_empty() && url.password().is_none(), "{value}");
                        prop_assert!(understand(platform, value).fields.iter().all(|(other, said)| other != name || said == value), "{} is its own form", value);
                    }
                }
            }
        }
    }
}
