//! Reading and checking a connector's `config` as users write it (interface.md, "`config` by platform"), for a new connector and as a
//! patch laid over an existing one: members that are given replace, absent ones stay, `null` resets to the default.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::target::target_changed;
use super::{
    Compression, Credentials, DatadogConfig, ElasticsearchConfig, Platform, PlatformConfig, Settings, SplunkConfig,
    checks, endpoint,
};
use crate::fault::{FieldFault, Wrong, segment, shown};

/// Requests of one stream in flight, where the settings do not say.
pub const DEFAULT_IN_FLIGHT: u16 = 16;
/// The most that settings may say.
pub const MAX_IN_FLIGHT: u16 = 200;

const COMMON: [&str; 3] = ["compression", "tls_ca", "max_in_flight"];

/// The members of `config` that a platform has.
pub fn known_members(platform: Platform) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match platform {
        Platform::Splunk => &["hec_url", "hec_token", "index", "sourcetype", "indexer_ack"],
        Platform::Datadog => &["api_key", "site", "url", "service", "send_metrics", "metric_prefix"],
        Platform::Elasticsearch => {
            &["url", "cloud_id", "api_key", "username", "password", "index_prefix", "manage_template"]
        }
    };
    own.iter().chain(&COMMON).copied()
}

/// Reads the `config` of a new connector. All faults are collected; pointers begin with `/config`.
pub fn parse_new(platform: Platform, config: &Value) -> Result<(Settings, Credentials), Vec<FieldFault>> {
    let (settings, credentials) = parse(platform, None, config)?;
    Ok((settings, credentials.unwrap_or(Credentials::None)))
}

/// Lays `patch` over `current`. Credentials are `None` where the patch leaves them as they are; it must bring them along where it changes
/// the target ([`target_changed`]).
pub fn parse_patch(current: &Settings, patch: &Value) -> Result<(Settings, Option<Credentials>), Vec<FieldFault>> {
    let (settings, credentials) = parse(current.platform(), Some(current), patch)?;
    if credentials.is_none() && target_changed(current, &settings) {
        let secret = match &settings.platform {
            PlatformConfig::Splunk(_) => "hec_token",
            PlatformConfig::Elasticsearch(elasticsearch) if elasticsearch.username.is_some() => "password",
            PlatformConfig::Datadog(_) | PlatformConfig::Elasticsearch(_) => "api_key",
        };
        let message = "is missing: a change of host, port, scheme, site, cloud_id or tls_ca must bring the credential along, so that \
                       a stored secret is never sent to another host unseen";
        return Err(vec![FieldFault::new(format!("/config/{secret}"), message)]);
    }
    Ok((settings, credentials))
}

fn parse(
    platform: Platform,
    current: Option<&Settings>,
    config: &Value,
) -> Result<(Settings, Option<Credentials>), Vec<FieldFault>> {
    let Value::Object(members) = config else {
        return Err(vec![FieldFault::new("/config", "must be an object")]);
    };
    let mut reader = Reader { members, faults: Vec::new() };
    reader.refuse_unknown(platform);
    let own = current.map(|settings| &settings.platform);
    let (own, credentials) = match (platform, own) {
        (Platform::Splunk, Some(PlatformConfig::Splunk(current))) => splunk(&mut reader, Some(current)),
        (Platform::Splunk, _) => splunk(&mut reader, None),
        (Platform::Datadog, Some(PlatformConfig::Datadog(current))) => datadog(&mut reader, Some(current)),
        (Platform::Datadog, _) => datadog(&mut reader, None),
        (Platform::Elasticsearch, Some(PlatformConfig::Elasticsearch(current))) => {
            elasticsearch(&mut reader, Some(current))
        }
        (Platform::Elasticsearch, _) => elasticsearch(&mut reader, None),
    };
    let settings = Settings {
        platform: own,
        compression: reader.compression(current.map(|c| c.compression)),
        tls_ca: reader.optional("tls_ca", current.and_then(|c| c.tls_ca.as_deref()), checks::certificates),
        max_in_flight: reader.in_flight(current.map(|c| c.max_in_flight)),
    };
    if reader.faults.is_empty() { Ok((settings, credentials)) } else { Err(reader.faults) }
}

fn splunk(reader: &mut Reader<'_>, current: Option<&SplunkConfig>) -> (PlatformConfig, Option<Credentials>) {
    let config = SplunkConfig {
        hec_url: reader.required("hec_url", current.map(|c| c.hec_url.as_str()), endpoint::hec_url),
        index: reader.or_default("index", current.map(|c| c.index.as_str()), "toktra", checks::label),
        sourcetype: reader.or_default(
            "sourcetype",
            current.map(|c| c.sourcetype.as_str()),
            "toktra:security",
            checks::label,
        ),
        indexer_ack: reader.flag("indexer_ack", current.map(|c| c.indexer_ack), false),
    };
    let token = reader.required_secret("hec_token", current.is_some()).map(Credentials::HecToken);
    (PlatformConfig::Splunk(config), token)
}

fn datadog(reader: &mut Reader<'_>, current: Option<&DatadogConfig>) -> (PlatformConfig, Option<Credentials>) {
    let config = DatadogConfig {
        site: reader.or_default("site", current.map(|c| c.site.as_str()), "datadoghq.com", endpoint::datadog_site),
        url: reader.optional("url", current.and_then(|c| c.url.as_deref()), endpoint::base_url),
        service: reader.or_default("service", current.map(|c| c.service.as_str()), "toktra", checks::label),
        send_metrics: reader.flag("send_metrics", current.map(|c| c.send_metrics), true),
        metric_prefix: reader.or_default(
            "metric_prefix",
            current.map(|c| c.metric_prefix.as_str()),
            "toktra.security",
            checks::metric_prefix,
        ),
    };
    let key = reader.required_secret("api_key", current.is_some()).map(Credentials::DatadogApiKey);
    (PlatformConfig::Datadog(config), key)
}

fn elasticsearch(
    reader: &mut Reader<'_>,
    current: Option<&ElasticsearchConfig>,
) -> (PlatformConfig, Option<Credentials>) {
    let (url, cloud_id) = reader.cluster(current);
    let (username, credentials) = reader.cluster_credentials(current);
    let config = ElasticsearchConfig {
        url,
        cloud_id,
        username,
        index_prefix: reader.or_default(
            "index_prefix",
            current.map(|c| c.index_prefix.as_str()),
            "toktra-security-events",
            checks::index_prefix,
        ),
        manage_template: reader.flag("manage_template", current.map(|c| c.manage_template), true),
    };
    (PlatformConfig::Elasticsearch(config), credentials)
}

/// What was said about one member.
enum Given<T> {
    Absent,
    /// `null`: back to the default.
    Reset,
    Value(T),
    /// Refused; the fault is recorded.
    Wrong,
}

struct Reader<'v> {
    members: &'v Map<String, Value>,
    faults: Vec<FieldFault>,
}

impl Reader<'_> {
    fn fault(&mut self, name: &str, message: impl Into<Wrong>) {
        self.faults.push(FieldFault::new(format!("/config{}", segment(name)), message));
    }

    fn refuse_unknown(&mut self, platform: Platform) {
        let unknown: Vec<&String> =
            self.members.keys().filter(|name| known_members(platform).all(|k| k != *name)).collect();
        let known = known_members(platform).collect::<Vec<_>>().join(", ");
        for name in unknown.into_iter().take(10) {
            let message = format!("`{}` is not a setting of {}; known are {known}", shown(name), platform.as_str());
            self.fault(name, message);
        }
    }

    /// The member `name`, which must be a string that passes `check`. The value is never repeated in a fault by this function, since it
    /// reads secrets as well.
    fn text<T>(&mut self, name: &str, check: impl Fn(&str) -> Result<T, String>) -> Given<T> {
        let checked = match self.members.get(name) {
            None => return Given::Absent,
            Some(Value::Null) => return Given::Reset,
            Some(Value::String(text)) => check(text),
            Some(_) => Err("must be a string".to_owned()),
        };
        match checked {
            Ok(value) => Given::Value(value),
            Err(message) => {
                self.fault(name, message);
                Given::Wrong
            }
        }
    }

    fn required(
        &mut self,
        name: &str,
        current: Option<&str>,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> String {
        match (self.text(name, check), current) {
            (Given::Value(value), _) => return value,
            (Given::Absent, Some(current)) => return current.to_owned(),
            (Given::Absent, None) => self.fault(name, Wrong::missing()),
            (Given::Reset, _) => self.fault(name, "is required and cannot be null"),
            (Given::Wrong, _) => {}
        }
        String::new()
    }

    fn or_default(
        &mut self,
        name: &str,
        current: Option<&str>,
        default: &str,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> String {
        match self.text(name, check) {
            Given::Value(value) => value,
            Given::Absent => current.unwrap_or(default).to_owned(),
            Given::Reset | Given::Wrong => default.to_owned(),
        }
    }

    fn optional(
        &mut self,
        name: &str,
        current: Option<&str>,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> Option<String> {
        match self.text(name, check) {
            Given::Value(value) => Some(value),
            Given::Absent => current.map(str::to_owned),
            Given::Reset | Given::Wrong => None,
        }
    }

    fn flag(&mut self, name: &str, current: Option<bool>, default: bool) -> bool {
        match self.members.get(name) {
            None => current.unwrap_or(default),
            Some(Value::Null) => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(name, Wrong::malformed("true or false"));
                default
            }
        }
    }

    fn compression(&mut self, current: Option<Compression>) -> Compression {
        let read = |text: &str| match text {
            "none" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            other => Err(format!("`{}` is neither `none` nor `gzip`", shown(other))),
        };
        match self.text("compression", read) {
            Given::Value(value) => value,
            Given::Absent => current.unwrap_or_default(),
            Given::Reset | Given::Wrong => Compression::default(),
        }
    }

    fn in_flight(&mut self, current: Option<u16>) -> u16 {
        let name = "max_in_flight";
        let given = match self.members.get(name) {
            None => return current.unwrap_or(DEFAULT_IN_FLIGHT),
            Some(Value::Null) => return DEFAULT_IN_FLIGHT,
            Some(given) => {
                given.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| (1..=MAX_IN_FLIGHT).contains(n))
            }
        };
        given.unwrap_or_else(|| {
            self.fault(name, format!("must be a whole number from 1 to {MAX_IN_FLIGHT}"));
            DEFAULT_IN_FLIGHT
        })
    }

    fn secret(&mut self, name: &str, check: impl Fn(&str) -> Result<SecretString, String>) -> Given<SecretString> {
        if let Some(Value::Object(_)) = self.members.get(name) {
            self.fault(name, "is write-only: leave it out to keep the stored one, or give a new one as a string");
            return Given::Wrong;
        }
        self.text(name, check)
    }

    fn required_secret(&mut self, name: &str, stored: bool) -> Option<SecretString> {
        match self.secret(name, checks::token) {
            Given::Value(secret) => return Some(secret),
            Given::Absent if stored => {}
            Given::Absent => self.fault(name, Wrong::missing()),
            Given::Reset => self.fault(name, "is required and cannot be null"),
            Given::Wrong => {}
        }
        None
    }

    /// Where the cluster is: its URL, and the Cloud id that it came from.
    fn cluster(&mut self, current: Option<&ElasticsearchConfig>) -> (String, Option<String>) {
        let url = self.text("url", endpoint::base_url);
        let cloud = self.text("cloud_id", |text| endpoint::cloud_id_url(text).map(|url| (url, text.trim().to_owned())));
        let by_cloud = current.is_some_and(|c| c.cloud_id.is_some());
        match (url, cloud, current) {
            (Given::Value(_), Given::Value(_), _) => {
                self.fault("cloud_id", "give either `url` or `cloud_id`, not both");
            }
            (Given::Value(url), Given::Absent | Given::Reset, _) => return (url, None),
            (Given::Absent | Given::Reset, Given::Value((url, id)), _) => return (url, Some(id)),
            (Given::Absent, Given::Absent, Some(current)) => return (current.url.clone(), current.cloud_id.clone()),
            (Given::Reset, Given::Absent, Some(current)) if by_cloud => {
                return (current.url.clone(), current.cloud_id.clone());
            }
            (Given::Absent, Given::Reset, Some(current)) if !by_cloud => return (current.url.clone(), None),
            (Given::Wrong, _, _) | (_, Given::Wrong, _) => {}
            (Given::Absent | Given::Reset, Given::Absent | Given::Reset, _) => {
                self.fault("url", "is missing: give `url` or `cloud_id`");
            }
        }
        (String::new(), None)
    }

    /// The user name, and the credentials where they change.
    fn cluster_credentials(&mut self, current: Option<&ElasticsearchConfig>) -> (Option<String>, Option<Credentials>) {
        let key = self.secret("api_key", checks::elasticsearch_key);
        let name = self.text("username", checks::username);
        let password = self.secret("password", checks::password);
        let stored = current.and_then(|c| c.username.clone());
        match (key, name, password) {
            (Given::Value(_), Given::Value(_), _) | (Given::Value(_), _, Given::Value(_)) => {
                self.fault("api_key", "give either `api_key`, or `username` and `password`, not both");
                (None, None)
            }
            (Given::Value(key), _, _) => (None, Some(Credentials::ElasticsearchApiKey(key))),
            (_, Given::Value(name), Given::Value(password)) => {
                (Some(name), Some(Credentials::ElasticsearchPassword(password)))
            }
            (_, Given::Absent, Given::Value(password)) if stored.is_some() => {
                (stored, Some(Credentials::ElasticsearchPassword(password)))
            }
            (_, Given::Absent | Given::Reset, Given::Value(_)) => {
                self.fault("username", "is missing: a password needs its user name");
                (None, None)
            }
            (_, Given::Value(name), Given::Absent) if stored.as_ref() == Some(&name) => (stored, None),
            (_, Given::Value(_), Given::Absent | Given::Reset) => {
                self.fault("password", "is missing: a user name needs its password");
                (None, None)
            }
            // A null clears the credential that is in use; the other kind is not there anyway.
            (_, Given::Reset, _) | (_, _, Given::Reset) if stored.is_some() => (None, Some(Credentials::None)),
            (Given::Reset, _, _) if stored.is_none() => (None, Some(Credentials::None)),
            _ => (stored, None),
        }
    }
}
