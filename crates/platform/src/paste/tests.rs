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

#[test]
fn settings_of_our_own_go_into_their_own_fields() {
    let (token, search) = ("11111111-2222-3333-4444-555555555555", "search-token-9999");
    for text in [
        format!("search:\n  token: {search}\n"),
        format!("[splunk.search]\ntoken = {search}\n"),
        format!(r#"{{"config": {{"search": {{"token": "{search}"}}}}}}"#),
        format!("SIEM_SPLUNK_SEARCH_TOKEN={search}"),
    ] {
        is(SPLUNK, &text, &[("search.token", search)]);
    }
    is(SPLUNK, "search.url: https://splunk.company.com:8089", &[("search.url", "https://splunk.company.com:8089")]);
    let variables = format!("SIEM_SPLUNK_HEC_URL=https://splunk.company.com:8088\nSIEM_SPLUNK_HEC_TOKEN={token}");
    is(SPLUNK, &variables, &[("hec_token", token), ("hec_url", "https://splunk.company.com:8088")]);
    let nested = r#"{"search": {"api_key": "aWQ6cmVhZA=="}, "url": "https://es.company.com:9200"}"#;
    is(ELASTICSEARCH, nested, &[("search.api_key", "aWQ6cmVhZA=="), ("url", "https://es.company.com:9200")]);
}

#[test]
fn an_administrators_login_is_no_token() {
    let understood =
        understand(SPLUNK, "curl -u admin:hunter2hunter2 https://splunk.company.com:8089/services/search/jobs");
    assert_eq!(understood.fields, []);
    let said = understood.not_understood.concat();
    assert!(said.contains("management port") && !said.contains("hunter2"), "{said}");
}

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
    let example = "curl -H 'Authorization: Bearer hunter2' -H 'X-Splunk-Request-Channel: a' https://s.example/services";
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

/// A secret that is told from everything else in a text.
const CANARY: &str = "c4n4ry5ecret7";

proptest! {
    /// In any surroundings: no value is repeated in what was understood and what was not.
    #[test]
    fn a_value_is_never_repeated(
        before in "(curl https://s.example |-H |export A=|x-key: |token: |\\[http\\]\n|output:\n  |- |\\{\"a\": \"|<a>|@\\{A = |requests.post\\(\"|password = |-u a:|[ -~\n]{0,12})",
        after in "(\"|'|\"\\}|</a>|\\}|\n|;|, |\\)|[ -~\n]{0,12})",
    ) {
        let text = format!("{before}{CANARY}{after}");
        for platform in Registry::standard().ids().collect::<Vec<_>>() {
            let understood = understand(platform, &text);
            let said = format!("{:?} {:?} {:?}", understood.found, understood.not_understood, understood.sentence());
            prop_assert!(!said.contains(CANARY), "{text}: {said}");
        }
    }

    /// What stands in a text is understood, or it is named that something is not.
    #[test]
    fn nothing_is_passed_over(name in "[a-z]{2,8}", value in "[a-z]{3,8}[0-9]", header in "x-[a-z]{2,8}") {
        for text in [format!("{name}q: {value}"), format!("[{name}]\nq{name} = {value}"), value.clone(), format!("curl https://s.example -H '{header}: {value}'")] {
            for platform in Registry::standard().ids().collect::<Vec<_>>() {
                let understood = understand(platform, &text);
                let taken = understood.fields.iter().any(|(_, taken)| taken.contains(&value));
                prop_assert!(taken || !understood.not_understood.is_empty(), "{text}");
            }
        }
    }
}

/// Texts that look like much of something: whoever looks at each character once for each other one is not done for hours.
#[test]
fn a_text_takes_as_long_as_it_is_long() {
    for part in [
        "a: ",
        "a:\n ",
        "- ",
        "[",
        "{",
        "[a]\n",
        "{a: ",
        "<a>",
        "<a x>\n",
        "\"",
        "'",
        "\\\n",
        "curl ",
        "a=b;",
        "a=$a$a;",
        "a=b ",
        "cat <<a\n",
        "$a ",
        "${a",
        "-H a: ",
        "@{",
        "=",
        ":",
        "a.",
        "https://a/ ",
        "-----BEGIN CERTIFICATE-----",
        "-BEGIN KEY-",
        "| ",
        "a: |\n",
        "\u{201c}",
        "```\n",
        "(\"",
        "\",\"",
        "%a",
        "AA:",
        "name: A\nvalue: b\n",
        "Splunk ",
        "{\"a\":",
        "curl x|",
        "x-a: b\n",
        "\u{e000}",
        "\u{2014}a",
    ] {
        for filler in ["", "x\n"] {
            let unit = format!("{part}{filler}");
            let text = unit.repeat(LONGEST / unit.len());
            for platform in [SPLUNK, ELASTICSEARCH] {
                let understood = understand(platform, &text);
                assert!(
                    understood.not_understood.len() < 60,
                    "{part:?}{filler:?}: {}",
                    understood.not_understood.len()
                );
            }
        }
    }
    let long = understand(SPLUNK, &"x ".repeat(LONGEST));
    assert!(long.not_understood[0].contains("longer than 16 KiB"), "{long:?}");
}

const CA: &str = include_str!("../../../../fixtures/certificates/splunk-ca.pem");

#[test]
fn certificates_keys_and_fingerprints_go_where_they_belong() {
    let names = |text: &str| {
        let understood = understand(ELASTICSEARCH, text);
        let mut names: Vec<&str> = understood.fields.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        format!("{} | {}", names.join(" "), understood.not_understood.join(", "))
    };
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";
    let print = vec!["AB"; 32].join(":");
    assert_eq!(names(CA), "tls_ca | ");
    assert_eq!(names(&format!("{CA}{key}")), "tls_client_cert tls_client_key | ");
    assert_eq!(names(&format!("{key}{CA}")), "tls_client_cert tls_client_key | ");
    assert_eq!(names(key), " | the private key: it belongs to a client certificate; paste both together");
    assert_eq!(names(&format!("sha256 Fingerprint={print}")), "tls_fingerprint | ");
    assert_eq!(names(&print), "tls_fingerprint | ");
    assert!(names(&format!("SHA1 Fingerprint={}", vec!["AB"; 20].join(":"))).contains("SHA-1"));
    assert_eq!(
        names(&format!("curl --cacert ca.pem https://es.example\n{CA}")).split(" | ").next(),
        Some("tls_ca url")
    );
    let indented = |pem: &str| pem.lines().flat_map(|line| ["      ", line, "\n"]).collect::<String>();
    let beat = format!(
        "output.elasticsearch:\n  hosts: [es.example]\n  ssl:\n    certificate_authorities:\n    - |\n{}    certificate: |\n{}    key: |\n{}",
        indented(CA),
        indented(CA),
        indented(key)
    );
    assert_eq!(names(&beat), "tls_ca tls_client_cert tls_client_key url | ");
    assert!(names(&CA.repeat(40)).starts_with("tls_ca | "), "a bundle may be longer than other texts");
}

#[test]
fn a_credential_is_taken_as_it_was_copied() {
    let registry = Registry::standard();
    let kept = |platform: PlatformId, name: &str, config: serde_json::Value| {
        use secrecy::ExposeSecret as _;
        let (_, credentials) = registry.parse_new(platform, &config).unwrap();
        credentials.get(name).unwrap().expose_secret().to_owned()
    };
    for token in ["t0ken", "Splunk t0ken", "Authorization: Splunk t0ken", " authorization:splunk  t0ken\n"] {
        let config = serde_json::json!({ "hec_url": "https://s.example", "hec_token": token });
        assert_eq!(kept(SPLUNK, "hec_token", config), "t0ken", "{token}");
    }
    for key in ["k3y", "DD-API-KEY: k3y"] {
        assert_eq!(kept(DATADOG, "api_key", serde_json::json!({ "api_key": key })), "k3y");
    }
    for key in [
        "aWQ6a2V5",
        "id:key",
        "ApiKey aWQ6a2V5",
        "Authorization: ApiKey aWQ6a2V5",
        r#"{"id":"id","encoded":"aWQ6a2V5"}"#,
    ] {
        let config = serde_json::json!({ "url": "https://e.example", "api_key": key });
        assert_eq!(kept(ELASTICSEARCH, "api_key", config), "aWQ6a2V5", "{key}");
    }
}
