//! The configuration of the server, from `toktra-siem.toml` and the environment, which wins.
//!
//! [`settings`] is the one table of what can be set; [`source`] collects what was given, [`slip`] finds what clings to it, [`value`]
//! understands it setting by setting, [`connectors`] makes the environment's connectors of it. Every fault is found and named at once ([`fault`]); [`report`] shows what
//! holds in the end.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use toktra_siem_base::vault::EncryptionKey;
use toktra_siem_core::people::Email;
use toktra_siem_core::signing::SigningKeys;
use toktra_siem_egress::Proxy;
use toktra_siem_identity::passwords;
use toktra_siem_notify::Mail;
use toktra_siem_platform::Registry;
use toktra_siem_telemetry::log::LogFormat;
use toktra_siem_telemetry::trace::export::TraceOptions;

mod connectors;
pub mod fault;
pub mod files;
pub mod reference;
pub mod report;
pub mod settings;
pub mod slip;
pub mod source;
#[cfg(test)]
mod tests;
pub mod value;

pub use connectors::EnvironmentConnector;
pub use fault::{ConfigError, Fault, Place};
pub use source::{Environment, Values};

use settings::Setting;

/// How long things are kept (docs/configuration.md).
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Payloads, by acceptance.
    pub payloads: Duration,
    /// Compact records and settled deliveries.
    pub history: Duration,
}

/// How much of the disk the data may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskBudget {
    /// This many bytes.
    Bytes(u64),
    /// This many percent of the file system that holds the data directory.
    Share(u8),
}

/// The person who may log in first.
#[derive(Debug, Clone)]
pub struct FirstAdmin {
    /// The login.
    pub email: Email,
    /// Its password.
    pub password: SecretString,
}

/// Everything that can be set, understood and checked. What each field does stands in [`settings`].
#[derive(Debug)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Connections at a time.
    pub max_connections: u64,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The bootstrap key.
    pub api_key: Option<SecretString>,
    /// Made where nobody has this address.
    pub first_admin: Option<FirstAdmin>,
    /// The first seals, all open. Empty: the key file in the data directory.
    pub encryption_keys: Vec<EncryptionKey>,
    /// Private networks that connectors may reach.
    pub egress_allow: Vec<IpNet>,
    /// What everything that is sent goes through, and what goes past it.
    pub egress_proxy: Option<Proxy>,
    /// Where connections come from, as others see it.
    pub egress_addresses: Vec<IpNet>,
    /// How long payloads and history are kept.
    pub lifetimes: Lifetimes,
    /// Whether the clock is believed at the start.
    pub trust_clock: bool,
    /// How much of the disk may be taken.
    pub max_disk: DiskBudget,
    /// Undelivered events of an org, at most.
    pub max_org_backlog: Option<u64>,
    /// Requests a minute and key; `None` for no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// How often each org gets a heartbeat; `None`: never.
    pub heartbeat: Option<Duration>,
    /// Whether orgs are told of connectors that do not deliver.
    pub connector_alerts: bool,
    /// Who sends mail; `None`: nobody.
    pub mail: Option<Mail>,
    /// How the log is written.
    pub log: LogFormat,
    /// What the log shows.
    pub log_level: String,
    /// Where traces go; `None` where none are made.
    pub traces: Option<TraceOptions>,
    /// How long a shutdown may take.
    pub shutdown_grace: Duration,
    /// `SIEM_SIGNING_SECRET` and `SIEM_SIGNING_SECRET_NEXT`.
    pub signing: SigningKeys,
    /// At most one of each platform.
    pub connectors: Vec<EnvironmentConnector>,
    /// Which platforms there are.
    pub registry: Registry,
    /// What is worth a line in the log.
    pub notes: Vec<Fault>,
    /// Why connectors of environment and file send unsigned requests, if they do. The log names each of them instead.
    pub unsigned: Option<Fault>,
}

impl Config {
    /// Reads and checks file and environment, for a service that knows the platforms of the product. The error names every fault.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        Self::from_values(Values::default().read(file, environment))
    }

    /// Understands what was given.
    pub fn from_values(mut values: Values) -> Result<Self, ConfigError> {
        let faults = std::mem::take(&mut values.faults);
        let notes = std::mem::take(&mut values.notes);
        let mut reader = Reader { values: &values, faults, notes };
        let config = read(&mut reader);
        let Reader { mut faults, notes, .. } = reader;
        // The file from top to bottom, then the rest in the order of the table.
        faults.sort_by_key(|fault| match fault.place {
            Place::WholeFile(_) => 0,
            Place::File { line, .. } => line,
            Place::Variable(_) | Place::Missing { .. } | Place::Default => usize::MAX,
        });
        match config {
            Some(config) if faults.is_empty() => Ok(Self { notes, ..config }),
            _ => Err(ConfigError(faults)),
        }
    }
}

/// Reads settings one by one, and collects what is wrong with them.
struct Reader<'v> {
    values: &'v Values,
    faults: Vec<Fault>,
    notes: Vec<Fault>,
}

impl<'v> Reader<'v> {
    fn setting(&self, key: &str) -> &'v Setting {
        #[expect(
            clippy::expect_used,
            reason = "a key that the table does not hold is a slip in this file, which its tests find"
        )]
        self.values.table.by_key(key).expect("a key of the table")
    }

    /// The setting where it was given or has a default. `None` also where it is wrong: the fault is recorded.
    fn read<T>(&mut self, key: &str, understand: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let setting = self.setting(key);
        let text = self.text(setting).transpose()?;
        match text.and_then(understand) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fault(key, message);
                None
            }
        }
    }

    /// The text of a setting, given or by default; `Err` if something clings to it that nobody means.
    fn text(&self, setting: &'v Setting) -> Result<Option<&'v str>, String> {
        let given = self.values.get(setting).map(source::Given::expose);
        match given.and_then(|text| slip::slip(setting.kind, text)) {
            Some(why) if !setting.is_verbatim() => Err(why.to_owned()),
            _ => Ok(given.or(setting.default)),
        }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>) {
        let place = self.values.place(self.setting(key));
        self.faults.push(Fault::new(place, message));
    }

    fn note(&mut self, key: &str, message: &str) {
        let place = self.values.place(self.setting(key));
        self.notes.push(Fault::new(place, message));
    }
}

/// Every setting is read before the first one that failed ends it, so that all faults are found.
fn read(reader: &mut Reader<'_>) -> Option<Config> {
    let listen = reader.read("listen", value::address);
    let public_url = reader.read("public_url", value::page);
    let trusted_proxies = reader.read("trusted_proxies", value::networks);
    let keep_alive = reader.read("keep_alive", value::duration);
    let max_connections = reader.read("max_connections", value::positive);
    let data_dir = reader.read("data_dir", |text| Ok(PathBuf::from(text)));
    let database = reader.read("database_url", value::database);
    let api_key = reader.read("api_key", value::api_key);
    let first_admin = first_admin(reader);
    let encryption_keys = reader.read("encryption_key", value::encryption_keys);
    let egress_allow = reader.read("egress_allow", value::networks);
    let egress_proxy = egress_proxy(reader);
    let egress_addresses = reader.read("egress_addresses", value::networks);
    let lifetimes = lifetimes(reader);
    let trust_clock = reader.read("trust_clock", value::flag);
    let max_disk = reader.read("max_disk", value::budget);
    let max_org_backlog = reader.read("max_org_backlog", value::positive);
    let rate_limit = reader.read("rate_limit", value::rate);
    let heartbeat = reader.read("heartbeat", value::heartbeat);
    let connector_alerts = reader.read("connector_alerts", value::flag);
    let mail = mail(reader);
    let log = reader.read("log", value::log_format);
    let log_level = reader.read("log_level", value::log_filter);
    let traces = traces(reader);
    let shutdown_grace = reader.read("shutdown_grace", value::duration);
    let signing = signing(reader);
    let connectors = connectors::read(reader);
    let unsigned = (signing.current.is_none() && !connectors.is_empty()).then(|| {
        let named: Vec<&str> = connectors.iter().map(|connector| connector.settings.platform.as_str()).collect();
        let place = reader.values.place(reader.setting("signing_secret"));
        Fault::new(place, UNSIGNED.replace("{}", &named.join(", ")))
    });
    database?;
    Some(Config {
        listen: listen?,
        public_url,
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        keep_alive: keep_alive?,
        max_connections: max_connections?,
        data_dir: data_dir?,
        api_key,
        first_admin,
        encryption_keys: encryption_keys.unwrap_or_default(),
        egress_allow: egress_allow.unwrap_or_default(),
        egress_proxy,
        egress_addresses: egress_addresses.unwrap_or_default(),
        lifetimes: lifetimes?,
        trust_clock: trust_clock?,
        max_disk: max_disk?,
        max_org_backlog,
        rate_limit: rate_limit?,
        heartbeat,
        connector_alerts: connector_alerts?,
        mail,
        log: log?,
        log_level: log_level?,
        traces,
        shutdown_grace: shutdown_grace?,
        signing,
        connectors,
        registry: reader.values.table.registry().clone(),
        notes: Vec::new(),
        unsigned,
    })
}

fn first_admin(reader: &mut Reader<'_>) -> Option<FirstAdmin> {
    let given = |key| reader.values.get(reader.setting(key)).is_some();
    let (email_given, password_given) = (given("admin_email"), given("admin_password"));
    let email = reader.read("admin_email", value::email);
    let password = reader.read("admin_password", value::password);
    match (email_given, password_given) {
        (true, false) => reader.fault("admin_password", "is missing: the e-mail address of an admin needs a password"),
        (false, true) => reader.fault("admin_email", "is missing: the password of an admin needs an e-mail address"),
        (true, true) | (false, false) => {}
    }
    let (email, password) = (email?, password?);
    if let Err(why) = passwords::check(password.expose_secret(), Some(&email)) {
        reader.fault("admin_password", why);
        return None;
    }
    Some(FirstAdmin { email, password })
}

/// What is said of a proxy that nobody named is worth a note: it does nothing.
fn egress_proxy(reader: &mut Reader<'_>) -> Option<Proxy> {
    let proxy = reader.read("egress_proxy", value::proxy);
    let past = reader.read("egress_no_proxy", value::hosts);
    let names = reader.read("egress_proxy_dns", value::names);
    if reader.values.get(reader.setting("egress_proxy")).is_none() {
        for key in ["egress_no_proxy", "egress_proxy_dns"] {
            if reader.values.get(reader.setting(key)).is_some() {
                reader.note(key, "does nothing without `egress_proxy`");
            }
        }
    }
    Some(proxy?.past(past.unwrap_or_default()).names(names.unwrap_or_default()))
}

fn mail(reader: &mut Reader<'_>) -> Option<Mail> {
    let url = reader.read("smtp_url", |text| Ok(SecretString::from(text)));
    let from = reader.read("smtp_from", |text| Ok(text.to_owned()));
    let authorities = reader.read("smtp_ca", connectors::pem);
    let Some(url) = url else {
        for key in ["smtp_from", "smtp_ca"] {
            if reader.values.get(reader.setting(key)).is_some() {
                reader.note(key, "does nothing without `smtp_url`");
            }
        }
        return None;
    };
    let Some(from) = from else {
        reader.fault("smtp_from", "is missing: mail needs a sender, such as siem@company.com");
        return None;
    };
    let mail = Mail::of(&url, &from).and_then(|mail| match authorities {
        Some(pem) => mail.trusting(&pem),
        None => Ok(mail),
    });
    mail.map_err(|why| reader.fault("smtp_url", why)).ok()
}

fn traces(reader: &mut Reader<'_>) -> Option<TraceOptions> {
    let endpoint = reader.read("otlp_endpoint", value::base_url);
    let sample = reader.read("traces_sample", value::ratio);
    Some(TraceOptions { endpoint: endpoint?, sample: sample? })
}

fn lifetimes(reader: &mut Reader<'_>) -> Option<Lifetimes> {
    let payloads = reader.read("retention", value::lifetime);
    let history = reader.read("history_retention", value::lifetime);
    let (payloads, history) = (payloads?, history?);
    if history < payloads {
        reader.fault(
            "history_retention",
            "is shorter than `retention`: history has to outlive the events that it speaks of",
        );
    }
    Some(Lifetimes { payloads, history })
}

/// Connectors of environment and file have no signing secret of their own.
const UNSIGNED: &str = "is not set: the connectors of the environment ({}) send their requests UNSIGNED, and receivers cannot verify where \
                        they come from. Set it to a long random text, and give the receivers the same";

fn signing(reader: &mut Reader<'_>) -> SigningKeys {
    let current = reader.read("signing_secret", value::signing_secret);
    let next = reader.read("signing_secret_next", value::signing_secret);
    if next.is_some() && reader.values.get(reader.setting("signing_secret")).is_none() {
        let message =
            "is missing: a rotation needs the present secret beside the next one. At its end, move the next one here";
        reader.fault("signing_secret", message);
    }
    for key in ["signing_secret", "signing_secret_next"] {
        let setting = reader.setting(key);
        let Some(text) = reader.values.get(setting).map(source::Given::expose) else { continue };
        if let Some(why) = slip::slip(setting.kind, text) {
            reader.note(key, &format!("{why}. Otherwise receivers need exactly this text too"));
        } else if text.trim() != text {
            reader.note(
                key,
                "begins or ends with white space, which counts as part of the secret; receivers must have it too",
            );
        }
    }
    SigningKeys { current, next }
}
