//! What people paste into the field for the URL, understood: a collector's URL with its path, a URL with user name and password, a Cloud ID,
//! the address of Datadog's pages, or a whole `curl` example with its headers. What belongs into other fields is handed to them, so that no
//! credential is left in the URL.
//!
//! Nothing is judged here: what is understood of nothing is given back as it was, and the API says what is wrong with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use toktra_siem_core::connector::{Platform, endpoint};
use url::Url;

use super::fields::{self, AUTH, OTHER_SITE};
use crate::form::Form;

/// Longer texts are no URL and no example.
const LONGEST: usize = 16 * 1024;

/// What a text says: values by the name of their field. The field that it was typed into is among them where its value is another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Understood {
    /// Values by the name of the field.
    pub fields: Vec<(&'static str, String)>,
    /// What was found, for whoever pasted it; no values.
    pub found: Vec<&'static str>,
}

impl Understood {
    fn set(&mut self, field: &'static str, value: impl Into<String>) {
        self.fields.retain(|(name, _)| *name != field);
        self.fields.push((field, value.into()));
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

/// The form with what its field for the URL says of other fields. What was typed there goes first.
pub fn applied(platform: Platform, form: &Form) -> Form {
    let address = fields::address(platform);
    let text = form.text(address);
    if text.is_empty() || (platform == Platform::Datadog && form.text("datadog_site") != OTHER_SITE) {
        return form.clone();
    }
    let understood = understand(platform, text);
    understood.fields.into_iter().fold(form.clone(), |form, (name, value)| {
        let typed = name != address && name != AUTH && name != "datadog_site" && form.secret(name).is_some();
        if typed { form } else { form.with(name, &value) }
    })
}

/// Reads what was pasted into the field for the URL.
pub fn understand(platform: Platform, text: &str) -> Understood {
    let mut understood = Understood::default();
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST {
        return understood;
    }
    let request = if is_curl(text) { Request::of_curl(text) } else { Request::of_text(text) };
    if platform == Platform::Elasticsearch && request.url.is_none() && is_cloud_id(text) {
        return understood;
    }
    request.credentials(platform, &mut understood);
    if let Some(url) = &request.url {
        place(platform, url, &mut understood);
    }
    let address = fields::address(platform);
    understood.fields.retain(|(name, value)| *name != address || value != text);
    understood
}

/// Whether the text is meant as a Cloud ID: a name, a colon and base64, and no host with its port.
pub fn is_cloud_id(text: &str) -> bool {
    let text = text.trim();
    let encoded = text.rsplit_once(':').map_or("", |(_, encoded)| encoded);
    !text.contains("://")
        && encoded.len() > 12
        && encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b))
}

fn is_curl(text: &str) -> bool {
    let first = text.trim_start_matches(['$', '#', '>', ' ']);
    first
        .strip_prefix("curl")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '.'))
}

/// What a text says of a request.
#[derive(Default)]
struct Request {
    url: Option<Url>,
    headers: Vec<(String, String)>,
    user: Option<(String, String)>,
}

impl Request {
    /// A URL, perhaps in quotes or brackets.
    fn of_text(text: &str) -> Self {
        let bare = text.trim_matches(['"', '\'', '`', '<', '>', ',', ';']);
        let mut request = Self::default();
        request.take_url(bare);
        request
    }

    fn of_curl(text: &str) -> Self {
        let mut request = Self::default();
        let mut words = shell_words(text).into_iter().skip_while(|word| !word.starts_with("curl")).skip(1);
        while let Some(word) = words.next() {
            let (flag, glued) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
                _ if word.len() > 2 && word.starts_with("-H") => ("-H".to_owned(), Some(word[2..].to_owned())),
                _ if word.len() > 2 && word.starts_with("-u") => ("-u".to_owned(), Some(word[2..].to_owned())),
                _ => (word, None),
            };
            let mut value = || glued.clone().or_else(|| words.next()).unwrap_or_default();
            match flag.as_str() {
                "-H" | "--header" => {
                    if let Some((name, said)) = value().split_once(':') {
                        request.headers.push((name.trim().to_ascii_lowercase(), said.trim().to_owned()));
                    }
                }
                "-u" | "--user" => {
                    if let Some((name, password)) = value().split_once(':') {
                        request.user = Some((name.to_owned(), password.to_owned()));
                    }
                }
                "--url" => request.take_url(&value()),
                "-X" | "--request" | "-d" | "--data" | "--data-raw" | "--data-binary" | "--json" | "-o"
                | "--output" | "--cacert" | "-m" | "--max-time" | "-A" | "--user-agent" => {
                    value();
                }
                other if other.starts_with('-') => {}
                other => request.take_url(other),
            }
        }
        request
    }

    /// The first URL counts. Its user name and password, if any, are taken out of it.
    fn take_url(&mut self, text: &str) {
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

    /// The credential that this platform takes, from headers or from the user.
    fn credentials(&self, platform: Platform, understood: &mut Understood) {
        for (name, value) in &self.headers {
            let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
            let rest = rest.trim();
            match (platform, name.as_str(), scheme.to_ascii_lowercase().as_str()) {
                (Platform::Splunk, "authorization", "splunk") if !rest.is_empty() => {
                    understood.set("splunk_hec_token", rest);
                    understood.note("the HEC token");
                }
                (Platform::Datadog, "dd-api-key", _) => {
                    understood.set("datadog_api_key", value.as_str());
                    understood.note("the API key");
                }
                (Platform::Elasticsearch, "authorization", "apikey") if !rest.is_empty() => {
                    understood.set(AUTH, "key");
                    understood.set("elasticsearch_api_key", rest);
                    understood.note("the API key");
                }
                (_, "authorization", "basic") => {
                    let decoded = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    if let Some((name, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
                        user(platform, name, password, understood);
                    }
                }
                _ => {}
            }
        }
        if let Some((name, password)) = &self.user {
            user(platform, name, password, understood);
        }
    }
}

/// Whether the host is one that a name server or an address could be. The parser takes quotes and the like as well; a second reading would
/// take them for what stands around an address.
fn is_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]%".contains(c)))
}

fn user(platform: Platform, name: &str, password: &str, understood: &mut Understood) {
    match platform {
        // Splunk reads the password alone, whatever the name.
        Platform::Splunk if !password.is_empty() => {
            understood.set("splunk_hec_token", password);
            understood.note("the HEC token");
        }
        Platform::Elasticsearch if !name.is_empty() => {
            understood.set(AUTH, "password");
            understood.set("elasticsearch_username", name);
            understood.set("elasticsearch_password", password);
            understood.note("user name and password");
        }
        Platform::Splunk | Platform::Datadog | Platform::Elasticsearch => {}
    }
}

/// Where the request goes.
fn place(platform: Platform, url: &Url, understood: &mut Understood) {
    let mut base = url.clone();
    match platform {
        Platform::Splunk => {
            if url.path().contains("/services/collector") {
                base.set_query(None);
            }
            if let Ok(base) = endpoint::hec_url(base.as_str()) {
                understood.set("splunk_hec_url", base);
                understood.note("the HEC URL");
            }
        }
        Platform::Datadog => {
            if let Ok(site) = endpoint::datadog_site(url.as_str()) {
                understood.set("datadog_site", site);
                understood.set("datadog_url", "");
                understood.note("the site");
            } else if let Ok(base) = endpoint::base_url(base.as_str()) {
                understood.set("datadog_url", base);
                understood.note("the URL");
            }
        }
        Platform::Elasticsearch => {
            if let Some(path) = above_the_api(url.path()) {
                base.set_path(path);
                base.set_query(None);
            }
            if let Ok(base) = endpoint::base_url(base.as_str()) {
                understood.set("elasticsearch_where", base);
                understood.note("the URL");
            }
        }
    }
}

/// The path up to an API of Elasticsearch, whose names begin with `_`; without the index, where the API is one of an index.
fn above_the_api(path: &str) -> Option<&str> {
    const OF_INDEX: [&str; 6] = ["_doc", "_create", "_search", "_count", "_mapping", "_update"];
    let at = path.find("/_")?;
    let (above, api) = path.split_at(at);
    let name = api[1..].split('/').next().unwrap_or_default();
    Some(if OF_INDEX.contains(&name) { above.rsplit_once('/').map_or("", |(prefix, _)| prefix) } else { above })
}

/// The words of a shell's command line, as far as examples need it: quotes, backslashes, and lines that go on.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut open, mut quote) = (String::new(), false, None);
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                open = true;
            }
            (Some('\''), c) => word.push(c),
            // A line that goes on; a browser may have made a blank of its end, or nothing.
            (None, '\\') if letters.peek().is_none_or(|next| next.is_whitespace() || *next == '-') => {}
            (_, '\\') => {
                if let Some(next) = letters.next() {
                    word.push(next);
                }
            }
            (None, c) if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn understood(platform: Platform, text: &str) -> Vec<(&'static str, String)> {
        let mut fields = understand(platform, text).fields;
        fields.sort();
        fields
    }

    fn is(platform: Platform, text: &str, expected: &[(&'static str, &str)]) {
        let mut expected: Vec<_> = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        expected.sort();
        assert_eq!(understood(platform, text), expected, "{text}");
    }

    #[test]
    fn splunk_is_found_in_urls_and_examples() {
        let base = ("splunk_hec_url", "https://splunk.company.com:8088");
        let token = ("splunk_hec_token", "11111111-2222-3333-4444-555555555555");
        is(Platform::Splunk, "https://splunk.company.com:8088", &[]);
        is(Platform::Splunk, " https://splunk.company.com:8088/services/collector/event ", &[base]);
        is(Platform::Splunk, "splunk.company.com:8088", &[base]);
        is(Platform::Splunk, "\"https://splunk.company.com:8088/services/collector?channel=1\"", &[base]);
        for example in [
            "curl -k https://splunk.company.com:8088/services/collector/event -H \"Authorization: Splunk 11111111-2222-3333-4444-555555555555\" -d '{\"event\": \"hello\"}'",
            "$ curl \\\n  -H 'Authorization: Splunk 11111111-2222-3333-4444-555555555555' \\\n  -X POST --url https://splunk.company.com:8088/services/collector",
            "curl -H 'Authorization: Splunk 11111111-2222-3333-4444-555555555555' \\  https://splunk.company.com:8088/services/collector",
            "curl -u \"x:11111111-2222-3333-4444-555555555555\" \"https://splunk.company.com:8088/services/collector/raw?channel=a\" --data-raw 'x'",
            "curl --header=\"authorization:splunk 11111111-2222-3333-4444-555555555555\" https://splunk.company.com:8088",
        ] {
            is(Platform::Splunk, example, &[token, base]);
        }
        is(Platform::Splunk, "https://x:11111111-2222-3333-4444-555555555555@splunk.company.com:8088", &[token, base]);
    }

    #[test]
    fn datadog_is_found_by_its_site_or_as_a_proxy() {
        let eu = [("datadog_site", "datadoghq.eu"), ("datadog_url", "")];
        is(Platform::Datadog, "https://app.datadoghq.eu/logs?query=x", &eu);
        is(
            Platform::Datadog,
            "https://proxy.company.com/datadog/",
            &[("datadog_url", "https://proxy.company.com/datadog")],
        );
        let example = "curl -X POST \"https://http-intake.logs.datadoghq.eu/api/v2/logs\" -H \"Content-Type: application/json\" -H \"DD-API-KEY: abc123\" -d @- << EOF";
        is(Platform::Datadog, example, &[("datadog_api_key", "abc123"), eu[0], eu[1]]);
    }

    #[test]
    fn elasticsearch_is_found_with_what_it_is_reached_with() {
        let base = ("elasticsearch_where", "https://es.company.com:9200");
        let user = [(AUTH, "password"), ("elasticsearch_password", "p@ss:word"), ("elasticsearch_username", "elastic")];
        is(
            Platform::Elasticsearch,
            "https://elastic:p%40ss%3Aword@es.company.com:9200/",
            &[user[0], user[1], user[2], base],
        );
        is(
            Platform::Elasticsearch,
            "curl -u 'elastic:p@ss:word' 'https://es.company.com:9200/_cat/health?v'",
            &[user[0], user[1], user[2], base],
        );
        let key = [(AUTH, "key"), ("elasticsearch_api_key", "aWQ6a2V5")];
        for path in ["/_bulk?pretty", "/my-index/_doc", ""] {
            let example = format!("curl -H \"Authorization: ApiKey aWQ6a2V5\" \"https://es.company.com:9200{path}\"");
            is(Platform::Elasticsearch, &example, &[key[0], key[1], base]);
        }
        is(
            Platform::Elasticsearch,
            "es.company.com:9200/es/_bulk",
            &[("elasticsearch_where", "https://es.company.com:9200/es")],
        );
        let cloud = format!("deploy:{}", BASE64.encode("eu-central-1.aws.cloud.es.io$abc$def"));
        assert!(
            is_cloud_id(&cloud) && !is_cloud_id("es.company.com:9200") && !is_cloud_id("https://es.company.com:9200")
        );
        is(Platform::Elasticsearch, &cloud, &[]);
        let basic = format!(
            "curl https://es.company.com:9200 -H 'Authorization: Basic {}'",
            BASE64.encode("elastic:p@ss:word")
        );
        is(Platform::Elasticsearch, &basic, &[user[0], user[1], user[2], base]);
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_api() {
        for text in
            ["", "hello world", "ftp://x", "curl", "curl -H", "https://s.example/?token=x", "https://s.example#x"]
        {
            for platform in Platform::ALL {
                assert_eq!(understand(platform, text).fields, [], "{text}");
            }
        }
    }

    #[test]
    fn it_is_said_what_was_found_and_never_a_value() {
        let understood = understand(Platform::Splunk, "https://x:hunter2@s.example/services/collector");
        assert_eq!(understood.sentence().unwrap(), "Understood from what you pasted: the HEC token and the HEC URL.");
        assert_eq!(Understood::default().sentence(), None);
    }

    #[test]
    fn what_was_typed_into_its_own_field_goes_first() {
        let form = Form::parse(b"splunk_hec_url=https://x:pasted@s.example&splunk_hec_token=typed");
        let form = applied(Platform::Splunk, &form);
        assert_eq!((form.text("splunk_hec_url"), form.text("splunk_hec_token")), ("https://s.example", "typed"));
        let form =
            applied(Platform::Splunk, &Form::parse(b"splunk_hec_url=https://x:pasted@s.example&splunk_hec_token="));
        assert_eq!(form.text("splunk_hec_token"), "pasted");
    }

    proptest! {
        #[test]
        fn never_panics_and_leaves_no_credential_in_the_address(
            any in "\\PC{0,40}",
            example in "(curl )?(-H 'Authorization: (Splunk|ApiKey|Basic) [a-zA-Z0-9:=]{0,12}' |-u [a-z]{0,4}:[a-z]{0,4} )?(https?://)?([a-z]{1,4}:[a-z0-9]{1,8}@)?[a-z]{1,8}(\\.example)?(:[0-9]{1,4})?(/[a-z_]{0,9}){0,3}(\\?[a-z=]{0,5})?",
        ) {
            for text in [any, example] {
                for platform in Platform::ALL {
                    let understood = understand(platform, &text);
                    for (name, value) in &understood.fields {
                        if *name == fields::address(platform) && !value.is_empty() {
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
