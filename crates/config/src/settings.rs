//! The one table of settings: parsing, messages, `config check` and the reference documentation are all made from it. What the environment's
//! connectors can be given is told by the descriptors of their platforms.

use std::borrow::Cow;

use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::descriptor::{self, Field};
use toktra_siem_platform::{Descriptor, Registry};

/// How the text of a setting is understood; [`Kind::expects`] says it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// An IP address with a port.
    Address,
    /// A base URL.
    Url,
    /// A path, relative to the working directory.
    Path,
    /// IP networks in CIDR notation, or single addresses.
    Networks,
    /// The address of a proxy, which may hold a password.
    Proxy,
    /// Networks and host names.
    Hosts,
    /// A length of time with its unit.
    Duration,
    /// A size with its unit, or a percentage of the file system.
    Budget,
    /// A whole number.
    Count,
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, each with what it is called.
    Choice(&'static [(&'static str, &'static str)]),
    /// Any of these words.
    AnyOf(&'static [&'static str]),
    /// A certificate in PEM, or the path of a file that holds it.
    Pem,
    /// A private key in PEM.
    PrivateKey,
    /// Headers, each with its value.
    Headers,
    /// Keys of 32 bytes, in hex or base64; the first one seals, all of them open.
    Keys,
    /// What the log shows, as `tracing` filters.
    LogFilter,
}

impl Kind {
    /// What has to be given, for messages and documentation.
    pub fn expects(self) -> String {
        let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text => "text".to_owned(),
            Self::Address => "an IP address and a port, such as `127.0.0.1:8080` or `[::]:8080`".to_owned(),
            Self::Url => "a URL, such as `https://siem.company.com:8088`".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Networks => "networks, such as `10.0.0.0/8, fd00::/8`".to_owned(),
            Self::Proxy => {
                "the address of an HTTP proxy, such as `http://proxy.company.com:3128` or `http://user:password@proxy.company.com:3128`"
                    .to_owned()
            }
            Self::Hosts => "networks and host names, such as `10.0.0.0/8, company.internal`".to_owned(),
            Self::Duration => "a time with its unit, such as `90s`, `15m`, `12h`, `30d` or `2w`".to_owned(),
            Self::Budget => {
                "a size, such as `500MB`, `10GB` or `1TB`, or a share of the file system, such as `80%`".to_owned()
            }
            Self::Count => "a whole number".to_owned(),
            Self::Ratio => "a number from 0 to 1, such as `0.01`".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::OneOf(known) => format!("one of {}", words(known)),
            Self::Choice(known) => {
                format!("one of {}", words(&known.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
            }
            Self::AnyOf(known) => format!("a list of {}", words(known)),
            Self::Pem => "a certificate in PEM, or the path of a file that holds it".to_owned(),
            Self::PrivateKey => "a private key in PEM".to_owned(),
            Self::Headers => "headers, one `name: value` in a line".to_owned(),
            Self::Keys => "32 bytes as 64 hex digits or in base64 (`openssl rand -hex 32` makes one)".to_owned(),
            Self::LogFilter => {
                "a level (`error`, `warn`, `info`, `debug`, `trace` or `off`), or filters such as `info,toktra_siem=debug`"
                    .to_owned()
            }
        }
    }

    /// Whether its text may have several lines.
    pub fn spans_lines(self) -> bool {
        matches!(self, Self::Pem | Self::PrivateKey | Self::Headers) || self.is_list()
    }

    /// Whether a file may give several values in an array.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Networks | Self::Hosts | Self::AnyOf(_) | Self::Keys)
    }
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key in the file; a dot stands for a table.
    pub key: Cow<'static, str>,
    /// Its variable, which wins over the file.
    pub variable: Cow<'static, str>,
    /// What it is where nothing is given, in the same notation.
    pub default: Option<&'static str>,
    /// How its text is understood.
    pub kind: Kind,
    /// Whether it is never shown.
    pub secret: bool,
    /// What it does.
    pub doc: &'static str,
}

impl Setting {
    /// Whether every byte counts, whatever it looks like: receivers have held the same secret since before this was looked at.
    pub(super) fn is_verbatim(&self) -> bool {
        matches!(&*self.key, "signing_secret" | "signing_secret_next")
    }

    /// A setting of the environment's connector of a platform.
    fn of(platform: PlatformId, field: &Field) -> Self {
        let kind = match field.kind {
            descriptor::Kind::Url(_) | descriptor::Kind::SecretUrl(_) => Kind::Url,
            descriptor::Kind::Flag => Kind::Flag,
            descriptor::Kind::Number { .. } => Kind::Count,
            descriptor::Kind::Pem(_) => Kind::Pem,
            descriptor::Kind::Choice { words, read: None } => Kind::Choice(words),
            descriptor::Kind::Headers => Kind::Headers,
            descriptor::Kind::Secret(_) if field.is_private_key() => Kind::PrivateKey,
            descriptor::Kind::Text(_) | descriptor::Kind::Secret(_) | descriptor::Kind::Choice { .. } => Kind::Text,
        };
        Self {
            key: format!("{platform}.{}", field.name).into(),
            variable: field.variable(platform).into(),
            default: field.default,
            kind,
            secret: field.is_secret(),
            doc: field.help,
        }
    }
}

macro_rules! settings {
    ($prefix:literal, $variables:literal; $($key:literal $variable:literal $kind:expr, $default:expr, $secret:ident, $doc:literal;)+) => {
        &[$(Setting {
            key: Cow::Borrowed(concat!($prefix, $key)),
            variable: Cow::Borrowed(concat!($variables, $variable)),
            default: $default,
            kind: $kind,
            secret: settings!(@ $secret),
            doc: $doc,
        }),+]
    };
    (@ secret) => { true };
    (@ shown) => { false };
}

const SEVERITIES: &[&str] = &["low", "medium", "high", "critical"];
const EVENT_TYPES: &[&str] =
    &["policy_violation", "anomaly", "budget_alert", "lockout", "test_connection", "heartbeat", "connector_alert"];

/// The service itself (docs/configuration.md).
pub const SERVICE: &[Setting] = settings! { "", "TOKTRA_SIEM_";
    "listen" "LISTEN" Kind::Address, Some("127.0.0.1:8080"), shown,
        "Where the API listens. Port 0 takes a free one, which the first line of output names.";
    "public_url" "PUBLIC_URL" Kind::Url, None, shown,
        "Public URL of the page, such as `https://siem.company.com`. Required behind a proxy. Links \
         lead there, forms are accepted from there, and cookies are set for it: over HTTPS, unless the URL says `http`. Without \
         it the page goes by the `Host` header, and by HTTPS on all but loopback addresses.";
    "trusted_proxies" "TRUSTED_PROXIES" Kind::Networks, None, shown,
        "Proxies in front of the service whose `X-Forwarded-For` header is believed. It tells from which address somebody tries \
         to log in; without it, everybody behind a proxy shares its limit of 300 wrong passwords an hour over all accounts.";
    "keep_alive" "KEEP_ALIVE" Kind::Duration, Some("75s"), shown,
        "How long a connection is kept open while it waits for another request. A proxy in front of the service must close its own \
         connections earlier, or it meets one that has just ended: most do so after 60 s.";
    "max_connections" "MAX_CONNECTIONS" Kind::Count, Some("4096"), shown,
        "How many connections may be open at a time: a quarter of them from one address, half of them with one API key or person. Fewer, \
         if the process may not have so many file descriptors; the log says so at start.";
    "data_dir" "DATA_DIR" Kind::Path, Some("./data"), shown,
        "The directory of events, deliveries and configuration. Created on first start.";
    "database_url" "DATABASE_URL" Kind::Text, Some("sqlite"), shown,
        "The database. `sqlite` is the embedded one, in the data directory; PostgreSQL comes later.";
    "api_key" "API_KEY" Kind::Text, None, secret,
        "A bootstrap API key of at least 32 characters: all scopes, and the default org wherever a request names none.";
    "admin_email" "ADMIN_EMAIL" Kind::Text, None, shown,
        "The first person who may log in: a start makes an admin of the default org, once in the life of the data directory. Whoever has this \
         address already stays as they are, and an admin who is renamed or deleted later does not come back.";
    "admin_password" "ADMIN_PASSWORD" Kind::Text, None, secret,
        "That person's password, of 12 to 200 characters. Only used where the person is made; remove both settings afterwards.";
    "encryption_key" "ENCRYPTION_KEY" Kind::Keys, None, secret,
        "Seals the credentials of connectors at rest. Absent: the file `encryption.key`, made in the data directory with mode 0600. \
         To change it, give the new key and the old one, separated by a comma: the first seals, all of them open.";
    "egress_allow" "EGRESS_ALLOW" Kind::Networks, None, shown,
        "Networks that connectors may reach although they are private; plain http only there.";
    "egress_proxy" "EGRESS_PROXY" Kind::Proxy, None, shown,
        "An HTTP proxy that everything the service sends goes through, by `CONNECT`: deliveries, probes, test deliveries, index templates, \
         traces. TLS is spoken with the receiver itself. With a user name and password in it, it is never shown. `HTTPS_PROXY` and the like \
         are not used. Absent: no proxy.";
    "egress_no_proxy" "EGRESS_NO_PROXY" Kind::Hosts, None, shown,
        "What is reached without the proxy: networks, single addresses, and hosts with all hosts below them. Nothing goes past it unasked, \
         also not `127.0.0.0/8, ::1`.";
    "egress_proxy_dns" "EGRESS_PROXY_DNS" Kind::OneOf(&["local", "proxy"]), Some("local"), shown,
        "Who looks up the names of receivers behind the proxy. `local`: this server, which judges each address and asks the proxy for that \
         very one. `proxy`: the proxy is given the name, for machines without DNS and proxies that permit names only. Then a name is not \
         judged by its addresses: the proxy alone keeps connectors out of private networks, plain http is refused to connectors of the API, \
         and networks in `egress_no_proxy` count for addresses only.";
    "egress_addresses" "EGRESS_ADDRESSES" Kind::Networks, None, shown,
        "The addresses that connections come from, as the receivers' firewalls see them (for example, the addresses of a NAT gateway). The set-up \
         instructions for a SIEM's administrator list them. They have no other effect.";
    "retention" "RETENTION" Kind::Duration, Some("30d"), shown,
        "How long events are kept, from their acceptance on. What is undelivered by then is counted and listed as expired.";
    "history_retention" "HISTORY_RETENTION" Kind::Duration, Some("400d"), shown,
        "How long deliveries, a compact record of each event, and the audit log are kept. Not less than `retention`.";
    "trust_clock" "TRUST_CLOCK" Kind::Flag, Some("false"), shown,
        "Whether the machine's clock is right at this start, however far it is ahead of where the last process ended. Otherwise nothing grows older \
         by that difference, so that nothing expires, until the clock has been steady for a day.";
    "max_disk" "MAX_DISK" Kind::Budget, Some("80%"), shown,
        "How much of the disk the data may take. Once it is used up and nothing delivered is left to remove, events are answered with 507.";
    "max_org_backlog" "MAX_ORG_BACKLOG" Kind::Count, None, shown,
        "How many undelivered events an org may have before its events are answered with 429, counted by its slowest \
         active connector. Absent: no limit.";
    "rate_limit" "RATE_LIMIT" Kind::Count, Some("600"), shown,
        "How many requests a minute each API key may make, all of which may be spent at once; more are answered with 429. Posting \
         events is not counted. 0: no limit.";
    "heartbeat" "HEARTBEAT" Kind::Duration, None, shown,
        "How often each org with an active connector gets a `heartbeat` event, at least `1m` apart, so that its SIEM can notice when \
         nothing comes any more. Absent: never.";
    "connector_alerts" "CONNECTOR_ALERTS" Kind::Flag, Some("false"), shown,
        "Whether an org gets a `connector_alert` event when one of its connectors stops delivering, and when it delivers again: its other \
         connectors bring it at once.";
    "smtp_url" "SMTP_URL" Kind::Text, None, secret,
        "The mail server that notification channels of the kind `email` use: `smtps://user:password@mail.company.com:465`, or \
         `smtp://user:password@mail.company.com:587?tls=required` for STARTTLS. User name and password are percent-encoded. Without TLS only on \
         loopback, or with `?tls=none`. Absent: no mail is sent.";
    "smtp_from" "SMTP_FROM" Kind::Text, None, shown,
        "The sender of these mails, such as `Toktra SIEM <siem@company.com>`. Required beside `smtp_url`.";
    "smtp_ca" "SMTP_CA" Kind::Pem, None, shown,
        "Authorities that the mail server's certificate may be of, beside the public ones.";
    "log" "LOG" Kind::OneOf(&["text", "json"]), Some("text"), shown,
        "How the log is written, to standard error.";
    "log_level" "LOG_LEVEL" Kind::LogFilter, Some("info"), shown,
        "What the log shows. Parts that a filter does not name show `info`.";
    "otlp_endpoint" "OTLP_ENDPOINT" Kind::Url, None, shown,
        "Base URL of an OpenTelemetry collector that takes traces over OTLP/HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is \
         appended. Absent: no traces are made.";
    "traces_sample" "TRACES_SAMPLE" Kind::Ratio, Some("0.01"), shown,
        "The share of events that traces are made of. The trace of an event has its `event_id`, without the dashes, as trace id.";
    "shutdown_grace" "SHUTDOWN_GRACE" Kind::Duration, Some("25s"), shown,
        "How long a shutdown may go on delivering what waits before it is cut off. Nothing is lost by that: it \
         continues at the next start.";
};

/// What signs requests (product spec, "Signature verification").
pub const SIGNING: &[Setting] = settings! { "", "SIEM_";
    "signing_secret" "SIGNING_SECRET" Kind::Text, None, secret,
        "Signs the requests of environment connectors, and of the default org's connectors that have no secret of their own.";
    "signing_secret_next" "SIGNING_SECRET_NEXT" Kind::Text, None, secret,
        "Starts a rotation: requests carry signatures of both secrets, until this one takes the place of `signing_secret`.";
};

/// The filter of a connector of the environment.
const FILTER: [(&str, &str, Kind, &str); 2] = [
    ("severity", "SEVERITY", Kind::AnyOf(SEVERITIES), "Severities to forward. Absent: all."),
    ("event_types", "EVENT_TYPES", Kind::AnyOf(EVENT_TYPES), "Event types to forward. Absent: all."),
];

/// Variables that are no settings of the server but belong to it all the same.
pub const CLIENT_VARIABLES: &[(&str, &str)] = &[
    ("TOKTRA_SIEM_CONFIG", "The path of the configuration file, where `--config` does not give it."),
    ("TOKTRA_SIEM_URL", "The server that commands speak to, where `--url` does not name it."),
];

/// Every setting that there is, with the platforms that are known.
#[derive(Debug, Clone)]
pub struct Table {
    settings: Vec<Setting>,
    registry: Registry,
}

impl Table {
    /// The settings of a service that knows these platforms.
    pub fn new(registry: Registry) -> Self {
        let mut settings: Vec<Setting> = SERVICE.iter().chain(SIGNING).cloned().collect();
        for descriptor in registry.descriptors() {
            let platform = descriptor.id;
            settings.extend(registry.fields(platform).map(|field| Setting::of(platform, field)));
            settings.extend(FILTER.map(|(key, variable, kind, doc)| Setting {
                key: format!("{platform}.filter.{key}").into(),
                variable: format!("SIEM_{}_FILTER_{variable}", platform.as_str().to_ascii_uppercase()).into(),
                default: None,
                kind,
                secret: false,
                doc,
            }));
        }
        Self { settings, registry }
    }

    /// The platforms.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Every setting.
    pub fn all(&self) -> impl Iterator<Item = &Setting> + Clone {
        self.settings.iter()
    }

    /// The setting with this key.
    pub fn by_key(&self, key: &str) -> Option<&Setting> {
        self.all().find(|setting| setting.key == key)
    }

    /// The settings of the environment's connector of a platform.
    pub fn of_platform(&self, platform: PlatformId) -> impl Iterator<Item = &Setting> + Clone {
        self.all()
            .filter(move |setting| setting.key.split_once('.').is_some_and(|(table, _)| table == platform.as_str()))
    }

    /// The settings by the headings of the documentation.
    pub fn sections(&self) -> Vec<(&'static str, Vec<&Setting>)> {
        let of = |platform: &Descriptor| (platform.covers, self.of_platform(platform.id).collect());
        let own = [("The service", SERVICE.iter().collect()), ("Signing", SIGNING.iter().collect())];
        own.into_iter().chain(self.registry.descriptors().map(of)).collect()
    }
}

impl Default for Table {
    /// With the platforms of the product.
    fn default() -> Self {
        Self::new(Registry::standard())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use toktra_siem_core::event::{EventType, Severity};

    use super::*;

    #[test]
    fn keys_and_variables_are_unique_and_every_setting_says_what_it_does() {
        let (mut keys, mut variables) = (HashSet::new(), HashSet::new());
        for setting in Table::default().all() {
            assert!(keys.insert(setting.key.clone()), "{} is there twice", setting.key);
            assert!(variables.insert(setting.variable.clone()), "{} is there twice", setting.variable);
            assert!(setting.doc.ends_with('.'), "{}", setting.key);
        }
    }

    #[test]
    fn the_words_of_filters_are_those_of_events() {
        assert!(Severity::ALL.iter().map(|s| s.as_str()).eq(SEVERITIES.iter().copied()));
        assert!(EventType::ALL.iter().map(|t| t.as_str()).eq(EVENT_TYPES.iter().copied()));
    }
}
