//! Elasticsearch, Elastic serverless and OpenSearch, through `_bulk`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::ids::{EventId, PlatformId};
use url::Url;

use self::address::{cloud_id, cloud_id_url, cluster, is_cloud_id};
use self::pasted::api_key;
use crate::descriptor::{Checked, Descriptor, Field, FormChoice, Shares, Step};
use crate::destination::Destination;
use crate::facts::{self, Fact};
use crate::paste::{Pasted, Understood};
use crate::prerequisite::Prerequisite;
use crate::read::{Given, Reader};
use crate::registry::{BuildError, Plan, Platform};
use crate::reply::basic;
use crate::search::Span;
use crate::{advice, body, checks, login};

mod address;
mod bulk;
mod bulk_reply;
mod document;
mod pasted;
mod prerequisites;
mod search;
mod template;

/// The platform.
pub struct Elasticsearch(Descriptor);

impl Elasticsearch {
    /// Its id.
    pub const ID: PlatformId = PlatformId::fixed("elasticsearch");

    /// The platform.
    #[expect(clippy::new_without_default, reason = "there is nothing to choose")]
    pub fn new() -> Self {
        let descriptor = Descriptor::new(Self::ID, "Elasticsearch");
        Self(Descriptor {
            covers: "Elasticsearch and OpenSearch",
            leads_to: "Elasticsearch or OpenSearch",
            icon: r#"<path class="mark" d="M3 2.5h10v2.75H3zm0 4.15h7.5v2.7H3zM3 10.75h10v2.75H3z"/>"#,
            fields: fields(),
            choices: vec![FormChoice {
                name: "auth",
                label: "Log in with",
                step: Step::Credentials,
                words: &[
                    ("key", "An API key"),
                    ("password", "User name and password"),
                    ("none", "Nothing: a cluster without security"),
                ],
            }],
            needs: &[
                "the cluster's URL or Cloud ID; OpenSearch works as well",
                "an API key with create_doc and auto_configure on toktra-security-events-*",
            ],
            preparation: "Least privilege: create_doc and auto_configure on the indices, manage_index_templates unless --no-template.",
            example: "--endpoint https://es.company.com:9200 --key-file key",
            signs: pasted::SIGNS,
            search_place: "In Kibana: Dev Tools → Console",
            opens: "Kibana",
            recognises: true,
            prepared: Some("index template"),
            ..descriptor
        })
    }
}

fn fields() -> Vec<Field> {
    let own = vec![
        Field {
            input: Some("where"),
            ..Field::url("url", "URL or Cloud ID")
                .option("endpoint")
                .help("Base URL of the cluster (Elasticsearch, Elastic serverless or OpenSearch).")
                .hint(
                    "Such as https://elasticsearch.company.com:9200, or the Cloud ID from the deployment's page in Elastic Cloud. Not Kibana's \
                     address. OpenSearch works as well. A whole curl example can be pasted as it is.",
                )
        },
        Field {
            shares: Some(Shares { with: "url", meant: is_cloud_id }),
            max_length: None,
            ..Field::text("cloud_id", "Cloud ID")
                .read(cloud_id)
                .target()
                .step(Step::Where)
                .help("The Cloud id of an Elastic Cloud deployment, instead of `url`.")
        },
        Field::secret("api_key", "API key")
            .read_secret(api_key)
            .when("auth", "key")
            .option("key-file")
            .help("An API key, in its encoded form or as `id:key`.")
            .hint(
                "In Kibana: Stack Management → API keys → Create API key, with create_doc and auto_configure on toktra-security-events-* \
                 (and the cluster privilege manage_index_templates for the template). Paste it in its encoded form, or as id:key.",
            ),
        Field::text("username", "User name")
            .read(checks::username)
            .when("auth", "password")
            .step(Step::Credentials)
            .help("A user name, where no API key is given.")
            .hint("A user of its own, whose role may do nothing but create_doc and auto_configure on toktra-security-events-*."),
        Field::secret("password", "Password")
            .read_secret(checks::password)
            .limits(checks::MAX_SECRET, None)
            .when("auth", "password")
            .help("That user's password."),
        Field::text("index_prefix", "Index prefix")
            .read(index_prefix)
            .limits(201, Some("^[a-z0-9][a-z0-9_.-]*$"))
            .default("toktra-security-events")
            .help("Daily indices are `<prefix>-YYYY.MM.DD`.")
            .hint("Daily indices are called <prefix>-YYYY.MM.DD; the template's name and pattern follow it."),
        Field::text("data_stream", "Data stream")
            .limits(100, Some("^[a-z0-9][a-z0-9_.]*$"))
            .help("A namespace: events go to the data stream `logs-toktra.siem-<namespace>` instead of daily indices; `true` means `default`.")
            .hint("Empty for daily indices. A namespace, such as default, for the data stream logs-toktra.siem-<namespace>."),
        Field::flag("manage_template", "Keep the index template up to date", true)
            .option("no-template")
            .help("Whether the index template is put in place before the first delivery.")
            .hint("It is applied before the first delivery. If the credential may not do that, events are delivered all the same."),
    ];
    own.into_iter().chain(search::fields()).collect()
}

/// The start of daily index names. Strict, because the index name is also a pattern and part of a path.
fn index_prefix(text: &str) -> Checked {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && text.len() <= 201 {
        return Ok(text.to_owned());
    }
    Err("must begin with a lower-case letter or a digit and hold only those, `_`, `.` and `-`, at most 201 in all"
        .to_owned())
}

/// The namespace of a data stream; empty for daily indices.
fn namespace(text: &str) -> Checked {
    let strict = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
    match text {
        "" | "false" => Ok(String::new()),
        "true" => Ok("default".to_owned()),
        _ if text.len() <= 100 && !text.starts_with(['_', '.']) && text.bytes().all(strict) => Ok(text.to_owned()),
        _ => Err("must be true, false, or a namespace: it begins with a lower-case letter or a digit and holds only those, `_` and `.`, at \
                  most 100 in all"
            .to_owned()),
    }
}

/// The namespace as it is kept: not at all for daily indices.
fn read_data_stream(reader: &mut Reader<'_>) {
    let namespace = match reader.word("data_stream", namespace) {
        Given::Value(namespace) => Some(namespace),
        Given::Absent => reader.current_text("data_stream").map(str::to_owned),
        Given::Reset | Given::Wrong => None,
    };
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        reader.set("data_stream", namespace);
    }
}

/// What a connector with these settings sends to: daily indices, or a data stream.
fn place(config: &Map<String, Value>) -> bulk::Place {
    let text = |name| config.get(name).and_then(Value::as_str);
    bulk::Place::of(text("index_prefix").unwrap_or_default(), text("data_stream"))
}

/// Where the cluster is: by its URL, or by the Cloud id, which the URL follows from.
fn read_cluster(reader: &mut Reader<'_>) {
    let of_cloud = |text: &str| cloud_id_url(text).map(|url| (url, text.trim().to_owned()));
    let mut cloud = reader.text("cloud_id", of_cloud);
    // Whoever writes the one for the other means the same thing.
    let url = match reader
        .text("url", |text| if is_cloud_id(text) { of_cloud(text).map(Ok) } else { cluster(text).map(Err) })
    {
        Given::Value(Ok(id)) if matches!(cloud, Given::Absent | Given::Reset) => {
            cloud = Given::Value(id);
            Given::Absent
        }
        Given::Value(Ok((url, _)) | Err(url)) => Given::Value(url),
        Given::Absent => Given::Absent,
        Given::Reset => Given::Reset,
        Given::Wrong => Given::Wrong,
    };
    let (current, by_cloud) = (reader.current_text("url"), reader.current_text("cloud_id"));
    let (url, cloud) = match (url, cloud, current) {
        (Given::Value(_), Given::Value(_), _) => {
            return reader.fault("cloud_id", "give either `url` or `cloud_id`, not both");
        }
        (Given::Value(url), Given::Absent | Given::Reset, _) => (url, None),
        (Given::Absent | Given::Reset, Given::Value((url, id)), _) => (url, Some(id)),
        (Given::Absent, Given::Absent, Some(current)) => (current.to_owned(), by_cloud.map(str::to_owned)),
        (Given::Reset, Given::Absent, Some(current)) if by_cloud.is_some() => {
            (current.to_owned(), by_cloud.map(str::to_owned))
        }
        (Given::Absent, Given::Reset, Some(current)) if by_cloud.is_none() => (current.to_owned(), None),
        (Given::Wrong, _, _) | (_, Given::Wrong, _) => return,
        (Given::Absent | Given::Reset, Given::Absent | Given::Reset, _) => {
            return reader.fault("url", "is missing: give `url` or `cloud_id`");
        }
    };
    reader.set("url", url);
    if let Some(id) = cloud {
        reader.set("cloud_id", id);
    }
}

impl Platform for Elasticsearch {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn read(&self, reader: &mut Reader<'_>) {
        read_cluster(reader);
        login::read(reader, "api_key", api_key);
        read_data_stream(reader);
        let own = |field: &&Field| field.step == Step::Advanced && field.name != "data_stream";
        reader.fields(self.0.fields.iter().filter(own));
    }

    fn place(&self, config: &Map<String, Value>) -> String {
        let text = |name| config.get(name).and_then(Value::as_str);
        match (text("cloud_id"), text("url")) {
            (Some(id), _) => id.split(':').next().unwrap_or(id).to_owned(),
            (None, url) => url.map(facts::host).unwrap_or_default(),
        }
    }

    fn needed(&self, config: &Map<String, Value>) -> Vec<&'static str> {
        let wanted = config.contains_key("username") && !config.contains_key("api_key");
        wanted.then_some("password").into_iter().collect()
    }

    fn credential(&self, config: &Map<String, Value>) -> Option<&'static str> {
        Some(if config.contains_key("username") { "password" } else { "api_key" })
    }

    fn secret_forms(&self, settings: &Settings, credentials: &Credentials) -> Vec<String> {
        let mut forms = Vec::new();
        for encoded in
            ["api_key", search::KEY].into_iter().filter_map(|name| Some(credentials.get(name)?.expose_secret()))
        {
            let decoded = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            forms.extend(decoded.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, key)| key.to_owned()));
            forms.push(encoded.to_owned());
        }
        if let Some(password) = credentials.get("password") {
            forms.push(basic(settings.text("username"), password).expose_secret().to_owned());
            forms.push(password.expose_secret().to_owned());
        }
        forms
    }

    fn build(&self, plan: Plan<'_>) -> Result<Box<dyn Destination>, BuildError> {
        let config: bulk::Config = plan.config()?;
        let authorization = bulk::authorization(&config, plan.credentials)?;
        let key = plan.credentials.get(search::KEY).map(|key| body::authorization("ApiKey", key));
        Ok(Box::new(bulk::Bulk::new(&config, authorization, key, plan.settings.compression, plan.redactor)))
    }

    fn search(&self, settings: &Settings, event: EventId) -> String {
        format!("GET {}/_search?q=event_id:\"{event}\"", place(&settings.config).pattern())
    }

    fn open_url(&self, settings: &Settings, events: &[EventId], span: Span) -> Option<String> {
        Some(search::open_url(settings.text("web_url")?, events, span))
    }

    fn prerequisites(&self, config: &Map<String, Value>) -> Vec<Prerequisite> {
        prerequisites::of(config, &place(config))
    }

    fn sent_back(&self, config: &Map<String, Value>) -> Vec<String> {
        prerequisites::sent_back(config, &place(config))
    }

    fn advice(&self, settings: &Settings, code: &str, targets: &[Url]) -> Vec<String> {
        let mut said = Vec::new();
        let port = targets.first().and_then(Url::port_or_known_default).filter(|_| advice::leads_elsewhere(code));
        said.extend(match port {
            Some(5601) => Some(
                "The URL names port 5601, which is usually Kibana or Dashboards, the pages for people; Elasticsearch is usually on 9200.",
            ),
            Some(9300) => Some(
                "The URL names port 9300, over which nodes speak among themselves; the HTTP interface is usually on 9200.",
            ),
            _ => None,
        });
        let mut said: Vec<String> = said.into_iter().map(str::to_owned).collect();
        let lost = matches!(code, "network_unknown_host" | "proxy_name_unknown")
            || code.starts_with("elasticsearch_wrong_path");
        if let (true, Some(_), Some(url)) = (lost, settings.text("cloud_id"), settings.text("url")) {
            said.push(format!(
                "The Cloud ID leads to {url}: copy it again from the deployment's page in Elastic Cloud."
            ));
        }
        if code == "tls_untrusted" && settings.text("tls_ca").is_none() {
            said.push(
                "If it is Elasticsearch's ready-made certificate, its CA is config/certs/http_ca.crt on the node."
                    .to_owned(),
            );
        }
        said
    }

    fn is_meant(&self, pasted: &Pasted) -> bool {
        pasted::is_meant(pasted)
    }

    fn understand(&self, pasted: &mut Pasted, understood: &mut Understood) {
        self.understood_of(pasted, understood);
    }

    fn facts(&self, config: &Map<String, Value>) -> Vec<Fact> {
        let text = |name| config.get(name).and_then(Value::as_str);
        let mut facts = match (text("cloud_id"), text("url")) {
            (Some(id), _) => vec![Fact::code("Cloud id", id)],
            (None, Some(url)) => vec![Fact::code("URL", url)],
            (None, None) => Vec::new(),
        };
        facts.push(Fact::secret("API key", "api_key"));
        facts.extend(text("username").map(|name| Fact::text("User name", name)));
        facts.push(Fact::secret("Password", "password"));
        facts.push(match place(config) {
            bulk::Place::Daily(prefix) => Fact::code("Daily indices", format!("{prefix}-YYYY.MM.DD")),
            bulk::Place::Stream(name) => Fact::code("Data stream", name),
        });
        let template = if config.get("manage_template") == Some(&Value::Bool(false)) {
            "Left to you: it is not put in place by itself"
        } else {
            "Put in place before the first delivery"
        };
        facts.push(Fact::text("Index template", template));
        facts.extend(facts::of(&self.0.fields, config, &["web_url", search::KEY]));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_prefixes_make_valid_names_only() {
        for good in ["toktra-security-events", "a", "0.x_-", &"a".repeat(201)] {
            assert_eq!(index_prefix(good).unwrap(), *good);
        }
        for bad in ["", ".", "..", "-a", "_a", "A", "a*", "a/b", "a,b", "é", "a b", &"a".repeat(202)] {
            assert!(index_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn namespaces_make_valid_names_only() {
        for (given, kept) in
            [("", ""), ("false", ""), ("true", "default"), ("prod", "prod"), ("eu.prod_2", "eu.prod_2")]
        {
            assert_eq!(namespace(given).unwrap(), kept);
        }
        for bad in ["a-b", "A", "_a", ".a", "a b", "a*", "é", &"a".repeat(101)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn api_keys_are_encoded_once() {
        assert_eq!(api_key("id:key").unwrap().expose_secret(), "aWQ6a2V5");
        assert_eq!(api_key("aWQ6a2V5").unwrap().expose_secret(), "aWQ6a2V5");
        for bad in [":key", "id:", "a:b:c"] {
            assert!(api_key(bad).is_err());
        }
    }
}
