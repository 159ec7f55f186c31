//! What people paste into the field for the URL, understood: a collector's URL with its path, a URL with user name and password, a Cloud ID,
//! the address of a platform's pages, or a whole `curl` example with its headers. What belongs into other settings is handed to them, so that
//! no credential is left in the URL. What a request says of which setting, each platform tells in its folder.
//!
//! Nothing is judged here: what is understood of nothing is given back as it was, and the API says what is wrong with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use toktra_siem_core::fault::shown;
use toktra_siem_core::ids::PlatformId;
use url::Url;

use crate::curl::{self, Part};
use crate::descriptor::{Descriptor, Field, Kind, Step};
use crate::registry::Registry;

/// Longer texts are no URL and no example.
const LONGEST: usize = 16 * 1024;
/// Headers that say nothing of a connector.
const PLAIN_HEADERS: [&str; 4] = ["content-type", "accept", "user-agent", "content-encoding"];

/// What a text says: values by the name of their setting, or of the form's choice. The setting that it was typed into is among them where its
/// value is another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Understood {
    /// Values by the name of the setting.
    pub fields: Vec<(&'static str, String)>,
    /// What was found, for whoever pasted it; no values.
    pub found: Vec<&'static str>,
    /// What stands there and belongs into no setting; no values.
    pub not_understood: Vec<String>,
    kept: bool,
    /// What has a placeholder in its place.
    open: Vec<String>,
}

impl Understood {
    fn put(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, value.into()));
    }

    /// The value of a setting was found.
    pub fn setting(&mut self, name: &'static str, value: impl Into<String>, what: &'static str) {
        self.put(name, value);
        self.note(what);
    }

    /// The same for what authorises requests. A placeholder is none, and named as such.
    pub fn secret(&mut self, name: &'static str, value: impl Into<String>, what: &'static str) {
        let value = value.into();
        if curl::is_placeholder(&value) {
            self.found.retain(|found| *found != what);
            self.open.push(format!("{what}: `{}` is a placeholder, put the value itself in its place", shown(&value)));
        } else {
            self.setting(name, value, what);
        }
    }

    /// A word of a choice follows.
    pub fn choose(&mut self, choice: &'static str, word: &'static str) {
        self.put(choice, word);
    }

    /// A setting is not needed then.
    pub fn clear(&mut self, name: &'static str) {
        self.put(name, "");
    }

    /// The text is a value already, as it stands.
    pub fn as_it_stands(&mut self) {
        self.kept = true;
    }

    fn note(&mut self, what: &'static str) {
        if !self.found.contains(&what) {
            self.found.push(what);
        }
    }

    /// What was found, in a sentence.
    pub fn sentence(&self) -> Option<String> {
        let (last, before) = self.found.split_last()?;
        let listed = if before.is_empty() { (*last).to_owned() } else { format!("{} and {last}", before.join(", ")) };
        Some(format!("Understood from what you pasted: {listed}."))
    }
}

/// The setting that says where the SIEM is, which people paste into: the first URL.
pub fn address(fields: &[Field]) -> Option<&Field> {
    fields
        .iter()
        .find(|field| matches!(field.kind, Kind::Url(_)) && field.step == Step::Where && field.shares.is_none())
}

impl Registry {
    /// Reads what was pasted into the field for the URL.
    pub fn understand(&self, platform: PlatformId, text: &str) -> Understood {
        let mut understood = Understood::default();
        let text = text.trim();
        let Some(platform) = self.get(platform).filter(|_| !text.is_empty() && text.len() <= LONGEST) else {
            return understood;
        };
        let pasted = if curl::is_curl(text) { Pasted::of_curl(text) } else { Pasted::of_text(text) };
        platform.understand(&pasted, &mut understood);
        if !understood.kept {
            understood.not_understood = pasted.left_over(&understood);
        }
        let address = address(&platform.descriptor().fields).map(|field| field.name);
        understood.fields.retain(|(name, value)| Some(*name) != address || value != text);
        understood
    }
}

/// What a text says of a request.
#[derive(Debug, Clone, Default)]
pub struct Pasted {
    text: String,
    url: Option<Url>,
    headers: Vec<(String, String)>,
    user: Option<(String, String)>,
    /// The address has a placeholder in it.
    address_is_open: bool,
    /// Options that no setting takes.
    left: Vec<&'static str>,
}

impl Pasted {
    /// The text itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the request goes, without user name and password.
    pub fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Headers that no other setting takes, one `name: value` a line; empty where there are none. Their names have lost their capitals.
    pub fn own_headers(&self) -> String {
        let own = |name: &str| !PLAIN_HEADERS.contains(&name) && name != "authorization";
        let lines = self.headers.iter().filter(|(name, value)| own(name) && !curl::is_placeholder(value));
        lines.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
    }

    /// What stands in the `Authorization` header behind a scheme, which is given in small letters.
    pub fn authorization(&self, scheme: &str) -> Option<&str> {
        let (said, rest) = self.header("authorization")?.split_once(' ')?;
        (said.eq_ignore_ascii_case(scheme) && !rest.trim().is_empty()).then_some(rest.trim())
    }

    /// User name and password, from the URL, an option, or a header.
    pub fn user(&self) -> Option<(String, String)> {
        self.user.clone().or_else(|| {
            let decoded = BASE64.decode(self.authorization("basic")?).ok()?;
            let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
            Some((name.to_owned(), password.to_owned()))
        })
    }

    /// Where it goes into the first URL, and a bearer token into the first secret.
    pub fn plainly(&self, descriptor: &Descriptor, understood: &mut Understood) {
        let secret = descriptor.fields.iter().find(|field| field.is_secret());
        if let (Some(field), Some(token)) = (secret, self.authorization("bearer")) {
            understood.secret(field.name, token, field.label);
        }
        if let (Some(field), Some(url)) = (address(&descriptor.fields), self.url())
            && let Kind::Url(read) = field.kind
            && let Ok(base) = read(url.as_str())
        {
            understood.setting(field.name, base, field.label);
        }
    }

    /// What no setting took.
    fn left_over(&self, understood: &Understood) -> Vec<String> {
        let mut left: Vec<String> = self.left.iter().map(|left| (*left).to_owned()).collect();
        left.extend(understood.open.iter().cloned());
        if self.address_is_open {
            left.push("the URL: it has a placeholder in it, put your own host in its place".to_owned());
        } else if self.url.is_none() && self.headers.is_empty() && self.user.is_none() {
            return vec!["the text: it is no URL and no curl example".to_owned()];
        }
        let taken =
            |text: &str| understood.fields.iter().any(|(_, value)| !value.is_empty() && text.contains(value.as_str()));
        let as_header = |name: &str, value: &str| {
            let line = format!("{name}: {value}");
            understood.fields.iter().any(|(_, lines)| lines.lines().any(|given| given == line))
        };
        let by_name = |name: &str| name == "authorization" && self.user().is_some_and(|(_, password)| taken(&password));
        let headers = self
            .headers
            .iter()
            .filter(|(name, value)| {
                !PLAIN_HEADERS.contains(&name.as_str()) && !taken(value) && !as_header(name, value) && !by_name(name)
            })
            .filter(|(_, value)| !curl::is_placeholder(value.rsplit(' ').next().unwrap_or_default()));
        left.extend(headers.map(|(name, _)| format!("the header {name}")));
        if self.user.as_ref().is_some_and(|(_, password)| !taken(password) && !curl::is_placeholder(password)) {
            left.push("user name and password".to_owned());
        }
        left
    }
}

impl Pasted {
    /// A URL, perhaps in quotes or brackets.
    fn of_text(text: &str) -> Self {
        let bare = text.trim_matches(['"', '\'', '`', '<', '>', ',', ';']);
        let mut request = Self { text: text.to_owned(), ..Self::default() };
        request.take_url(bare);
        request
    }

    fn of_curl(text: &str) -> Self {
        let mut request = Self { text: text.to_owned(), ..Self::default() };
        for part in curl::parts(text) {
            let (option, value) = match part {
                Part::Address(word) => {
                    request.take_url(&word);
                    continue;
                }
                Part::Option(option, value) => (option, value.unwrap_or_default()),
            };
            match option.as_str() {
                "header" => {
                    if let Some((name, said)) = value.split_once(':') {
                        request.headers.push((name.trim().to_ascii_lowercase(), said.trim().to_owned()));
                    }
                }
                "user" => {
                    if let Some((name, password)) = value.split_once(':') {
                        request.user = Some((name.to_owned(), password.to_owned()));
                    }
                }
                "oauth2-bearer" => request.headers.push(("authorization".to_owned(), format!("Bearer {value}"))),
                "url" => request.take_url(&value),
                "proxy" | "proxy-user" | "preproxy" | "socks5" | "socks5-hostname" => {
                    request.left.push("the proxy: the operator of this service sets one for all connectors");
                }
                "cacert" | "capath" => {
                    request.left.push("the certificate authority: paste the file itself into its own field");
                }
                "cert" | "key" => request.left.push("the client certificate: paste the files into their own fields"),
                "k" | "insecure" => request.left.push("--insecure: certificates are always verified"),
                _ => {}
            }
        }
        request
    }

    /// The first URL counts. Its user name and password, if any, are taken out of it.
    fn take_url(&mut self, text: &str) {
        if ["$", "<", "{{", "%{"].iter().any(|sign| text.contains(sign)) && self.url.is_none() {
            self.address_is_open = true;
            return;
        }
        let absolute = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let Ok(mut url) = Url::parse(&absolute) else { return };
        // The parser would read these as something else; they are no part of an address.
        let strange = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if self.url.is_some() || !matches!(url.scheme(), "http" | "https") || text.contains(strange) || !is_host(&url) {
            return;
        }
        if !url.username().is_empty() || url.password().is_some() {
            let decoded = |text: &str| {
                url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
                    .next()
                    .map(|(text, _)| text.into_owned())
            };
            let (name, password) = (decoded(url.username()), url.password().and_then(decoded));
            if self.user.is_none() {
                self.user = Some((name.unwrap_or_default(), password.unwrap_or_default()));
            }
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return;
            }
        }
        self.url = Some(url);
    }
}

/// Whether the host is one that a name server or an address could be. The parser takes quotes and the like as well; a second reading would
/// take them for what stands around an address.
fn is_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]%".contains(c)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use toktra_siem_core::ids::PlatformId;

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
        is(SPLUNK, "https://splunk.company.com:8088", &[]);
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
        is(DATADOG, "https://proxy.company.com/datadog/", &[("url", "https://proxy.company.com/datadog")]);
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
        is(ELASTICSEARCH, &cloud, &[]);
        let basic = format!(
            "curl https://es.company.com:9200 -H 'Authorization: Basic {}'",
            BASE64.encode("elastic:p@ss:word")
        );
        is(ELASTICSEARCH, &basic, &[user[0], user[1], user[2], base]);
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_api() {
        for text in
            ["", "hello world", "ftp://x", "curl", "curl -H", "https://s.example/?token=x", "https://s.example#x"]
        {
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
        for options in [
            "--connect-timeout 10",
            "--proxy http://p.company.com:3128",
            "-x p.company.com:3128",
            "-sSkm 5",
            "--retry 3",
        ] {
            let example =
                format!("curl {options} {}/services/collector -H 'Authorization: Splunk {}'", base.1, token.1);
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
        let proxied =
            understand(ELASTICSEARCH, "curl -k --proxy http://p:1 --cacert ca.pem https://es.company.com:9200");
        assert_eq!(proxied.not_understood.len(), 3, "{:?}", proxied.not_understood);
    }

    #[test]
    fn it_is_said_what_was_found_and_never_a_value() {
        let understood = understand(SPLUNK, "https://x:hunter2@s.example/services/collector");
        assert_eq!(understood.sentence().unwrap(), "Understood from what you pasted: the HEC token and the HEC URL.");
        assert_eq!(Understood::default().sentence(), None);
        let example =
            "curl -H 'Authorization: Bearer hunter2' -H 'X-Splunk-Request-Channel: a' https://s.example/services";
        let understood = understand(SPLUNK, example);
        assert_eq!(understood.found, ["the HEC URL"]);
        assert_eq!(understood.not_understood, ["the header authorization", "the header x-splunk-request-channel"]);
        assert_eq!(
            understand(SPLUNK, "hunter2 hunter2").not_understood,
            ["the text: it is no URL and no curl example"]
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
                            prop_assert_eq!(understand(platform, value).fields, vec![], "{} is its own form", value);
                        }
                    }
                }
            }
        }
    }
}
