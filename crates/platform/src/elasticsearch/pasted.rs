//! What people paste of Elasticsearch and OpenSearch: examples of requests, Cloud IDs, settings of Beats, Logstash, Fluent Bit, Vector and the
//! OpenTelemetry Collector, the answer that holds an API key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_PAD_INDIFFERENT as LENIENT};
use secrecy::SecretString;

use super::address::{cluster, is_cloud_id};
use super::{Elasticsearch, index_prefix};
use crate::checks;
use crate::descriptor::Checked;
use crate::paste::Means::{Nothing, Unusable};
use crate::paste::{Means, Pasted, Understood};
use crate::registry::Platform as _;

/// Words in names of settings that are Elasticsearch's.
pub(super) const SIGNS: &[&str] = &["elasticsearch", "opensearch", "elastic", "es"];

/// Names that look like a cluster's settings and mean something else.
const KNOWN: &[(&str, Means)] = &[
    ("setup.kibana.host", Unusable("it is the address of Kibana's pages; Elasticsearch's own is needed")),
    ("kibana.host", Unusable("it is the address of Kibana's pages; Elasticsearch's own is needed")),
    ("kibana_url", Unusable("it is the address of Kibana's pages; Elasticsearch's own is needed")),
    ("kibana_endpoint", Unusable("it is the address of Kibana's pages; Elasticsearch's own is needed")),
    ("output.logstash.hosts", Unusable("Logstash speaks another protocol; the cluster's own address is needed")),
    (
        "ca_trusted_fingerprint",
        Unusable(
            "it is the fingerprint of the authority's certificate, and tls_fingerprint is that of the server's own; paste the authority's \
             certificate (config/certs/http_ca.crt on the node)",
        ),
    ),
    ("elasticsearch.ssl.enabled", Nothing),
    ("ssl.enabled", Nothing),
    ("ssl_enabled", Nothing),
    ("enabled", Nothing),
    ("expiration", Nothing),
];

const HOSTS: [&str; 14] = [
    "output.elasticsearch.hosts",
    "output.elasticsearch.host",
    "elasticsearch.hosts",
    "elasticsearch.endpoints",
    "elasticsearch.endpoint",
    "elasticsearch endpoint",
    "elasticsearch_hosts",
    "elasticsearch_host",
    "elasticsearch_url",
    "elasticsearch_endpoint",
    "es_url",
    "endpoints",
    "endpoint",
    "hosts",
];
const OTHER_HOSTS: [&str; 4] = ["elasticsearch", "url", "uri", "nodes"];

const KEYS: [&str; 7] =
    ["elasticsearch.api_key", "elasticsearch_api_key", "elastic_api_key", "es_api_key", "api_key", "apikey", "api key"];

/// An API key: its encoded form, which holds `id:key`, or that itself.
fn is_key(word: &str) -> bool {
    let letters = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if let Some((id, key)) = word.split_once(':') {
        return id.len() == 20 && key.len() == 22 && letters(id) && letters(key);
    }
    let decoded = LENIENT.decode(word).ok().filter(|_| word.len() >= 16);
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    pair.is_some_and(|pair| {
        let plain = |part: &str| part.len() >= 4 && letters(part);
        pair.split_once(':').is_some_and(|(id, key)| plain(id) && plain(key))
    })
}

fn is_cloud(word: &str) -> bool {
    is_cloud_id(word) && super::address::cloud_id(word).is_ok()
}

/// Whether it is plainly meant for Elasticsearch.
pub(super) fn is_meant(pasted: &Pasted) -> bool {
    const PATHS: [&str; 6] = ["/_bulk", "/_doc", "/_search", "/_cat", "/_cluster", "/_security"];
    let address = pasted.url().is_some_and(|url| {
        let cloud = [".es.io", ".elastic-cloud.com", ".elastic.cloud"];
        PATHS.iter().any(|path| url.path().contains(path))
            || url.host_str().is_some_and(|host| cloud.iter().any(|end| host.ends_with(end)))
    });
    address
        || pasted.says_scheme("apikey")
        || pasted.mentions(SIGNS)
        || pasted.has(&["cloud.id", "cloud_id", "cloud.auth", "cloud_auth", "encoded"])
        || (pasted.url().is_none() && pasted.has_word(|word| is_key(word) || is_cloud(word)))
}

impl Elasticsearch {
    pub(super) fn understood_of(&self, pasted: &mut Pasted, understood: &mut Understood) {
        logged_in(pasted, understood);
        pasted.take_known(KNOWN, self.descriptor(), understood);
        let endpoint = pasted.take_endpoint(&["host"], &["port"], &["tls"], SIGNS);
        let cloud = pasted
            .take_one(&["cloud.id", "cloud_id", "elastic_cloud_id", "cloud id"])
            .or_else(|| pasted.take_word(is_cloud));
        let mut hosts: Vec<String> = pasted.take(&HOSTS);
        if hosts.is_empty() {
            hosts = pasted.take(&OTHER_HOSTS);
        }
        let (protocol, path) =
            (pasted.take_one(&["protocol", "scheme"]), pasted.take_one(&["elasticsearch.path", "path"]));
        if let Some(url) = pasted.take_url() {
            understood.checked("url", cluster(url.as_str()), "the URL");
        } else if let Some(id) = cloud {
            understood.address("url", &id, super::address::cloud_id, "the Cloud ID");
        } else if let Some(host) = hosts.first().cloned().or(endpoint) {
            let scheme =
                protocol.filter(|_| !host.contains("://")).map(|scheme| format!("{scheme}://")).unwrap_or_default();
            let path = path.map(|path| format!("/{}", path.trim_matches('/'))).unwrap_or_default();
            understood.address("url", &format!("{scheme}{}{path}", host.trim_end_matches('/')), cluster, "the URL");
        }
        if hosts.iter().skip(1).any(|host| Some(host) != hosts.first()) {
            understood
                .refuse("further hosts: the first one counts; a balancer in front of them would be the URL for all");
        }
        if let Some(index) =
            pasted.take_one(&["elasticsearch.index", "bulk.index", "index", "logstash_prefix", "logs_index"])
        {
            match index_prefix(before_date(&index)) {
                Ok(prefix) => understood.setting("index_prefix", prefix, "the index prefix"),
                Err(_) => understood.refuse("the index: only a prefix can be taken, to which the date is appended"),
            }
        }
    }
}

/// What requests are authorised with.
fn logged_in(pasted: &mut Pasted, understood: &mut Understood) {
    let scheme = pasted.take_authorization("apikey");
    let encoded = pasted.take_one(&["encoded"]);
    let id = if encoded.is_some() || pasted.has(&["api_key"]) { pasted.take_one(&["id"]) } else { None };
    let part = pasted.take_one(&KEYS);
    // The cluster's answer of old versions has the two parts alone.
    let whole = |part: &str| part.contains(':') || is_key(part);
    let part = match (id.filter(|_| encoded.is_none()), part) {
        (Some(id), Some(part)) if !whole(&part) => Some(format!("{id}:{part}")),
        (_, part) => part,
    };
    if let Some(key) = scheme.or(encoded).or(part).or_else(|| pasted.take_word(is_key)) {
        understood.choose("auth", "key");
        understood.secret("api_key", as_encoded(&key), "the API key");
    }
    let auth = pasted.take_one(&["cloud.auth", "cloud_auth"]).and_then(|auth| {
        let (name, password) = auth.split_once(':')?;
        Some((name.to_owned(), password.to_owned()))
    });
    let name = pasted.take_one(&[
        "username",
        "user",
        "http_user",
        "elasticsearch_username",
        "elastic_username",
        "es_user",
        "user name",
    ]);
    let password =
        pasted.take_one(&["password", "http_passwd", "elasticsearch_password", "elastic_password", "es_password"]);
    let named = match (name, password) {
        (Some(name), Some(password)) => Some((name, password)),
        (None, Some(password)) => {
            Some(("elastic".to_owned(), password)).filter(|_| auth.is_none() && !understood.has("api_key"))
        }
        (Some(_), None) => {
            understood.refuse("a user name without its password");
            None
        }
        (None, None) => None,
    };
    let user = pasted.take_user().filter(|(name, _)| !name.is_empty()).or(auth).or(named);
    let Some((name, password)) = user else { return };
    if understood.has("api_key") {
        return understood.refuse("user name and password: the API key counts");
    }
    understood.login("auth", name, password);
}

/// An index without the date, or the pattern of one, at its end.
fn before_date(index: &str) -> &str {
    let cut = ["-%{", "-%Y", "-yyyy", "-YYYY", "-{{"].iter().filter_map(|sign| index.find(sign)).min();
    index[..cut.unwrap_or(index.len())].trim_end_matches("-*")
}

/// A key in the form that its header takes.
fn as_encoded(key: &str) -> String {
    match key.trim().split_once(':') {
        Some((id, part)) if !id.is_empty() && !part.is_empty() => BASE64.encode(key.trim()),
        _ => key.trim().to_owned(),
    }
}

/// Elasticsearch's API key: in its encoded form, or as `id:key`, which is encoded here; also as a header or the cluster's answer holds it.
pub(super) fn api_key(text: &str) -> Checked<SecretString> {
    let answer = serde_json::from_str::<serde_json::Value>(text).ok();
    let text = match answer.as_ref().and_then(|answer| answer.get("encoded")?.as_str()) {
        Some(encoded) => encoded,
        None => checks::bare(text, "authorization", "apikey"),
    };
    let given = checks::token(text)?;
    let text = text.trim();
    match text.split_once(':') {
        None => Ok(given),
        Some((id, key)) if !id.is_empty() && !key.is_empty() && !key.contains(':') => {
            Ok(SecretString::from(BASE64.encode(text)))
        }
        Some(_) => Err("must be the encoded API key, or `id:key` with both parts".to_owned()),
    }
}
