//! From the text of a setting to its value. Every error is a fragment that follows the setting's place: what is wrong, and what is
//! expected. Functions that read secrets never repeat them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use ipnet::IpNet;
use secrecy::{SecretBox, SecretString};
use toktra_siem_base::vault::EncryptionKey;
use toktra_siem_core::fault::shown;
use toktra_siem_core::people::{Email, NotAnEmail};
use toktra_siem_egress::{Names, Past, Proxy};
use toktra_siem_identity::passwords;
use toktra_siem_telemetry::log::LogFormat;
use url::Url;
use zeroize::Zeroize as _;

use super::settings::Kind;

use super::DiskBudget;

type Parsed<T> = Result<T, String>;

/// The shortest bootstrap key, in characters.
const MIN_API_KEY: usize = 32;
/// The longest: what the API looks at.
const MAX_API_KEY: usize = 1024;
/// Durations beyond this (100 years) are slips.
const MAX_DURATION: u64 = 100 * 366 * 86_400;

fn not(text: &str, kind: Kind) -> String {
    format!("`{}` cannot be read; give {}", shown(text), kind.expects())
}

/// Splits a list at commas and white space.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| not(text, Kind::Address))
}

/// A list that is given names something: one of commas alone is a slip.
fn some<'t, T>(text: &'t str, kind: Kind, read: impl FnMut(&'t str) -> Parsed<T>) -> Parsed<Vec<T>> {
    let read: Vec<T> = items(text).map(read).collect::<Parsed<_>>()?;
    if read.is_empty() { Err(format!("names nothing; give {}, or leave it out", kind.expects())) } else { Ok(read) }
}

pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let network = |item: &str| {
        item.parse::<IpNet>()
            .or_else(|_| item.parse::<IpAddr>().map(IpNet::from))
            .map(|net| net.trunc())
            .map_err(|_| not(item, Kind::Networks))
    };
    some(text, Kind::Networks, network)
}

/// A proxy is never repeated: its address may hold a password.
pub(super) fn proxy(text: &str) -> Parsed<Proxy> {
    text.parse().map_err(|wrong: String| format!("{wrong}; give {}", Kind::Proxy.expects()))
}

/// What is reached without a proxy.
pub(super) fn hosts(text: &str) -> Parsed<Vec<Past>> {
    some(text, Kind::Hosts, |item| item.parse().map_err(|()| not(item, Kind::Hosts)))
}

/// The words of a list, each of which must be known.
pub(super) fn words<T: std::str::FromStr>(text: &str, kind: Kind) -> Parsed<Vec<T>> {
    some(text, kind, |item| {
        item.parse().map_err(|_| format!("`{}` is not known; give {}", shown(item), kind.expects()))
    })
}

/// Without a slash at the end.
pub(super) fn base_url(text: &str) -> Parsed<String> {
    // A URL is never repeated: it may hold a password.
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let url = url.ok_or_else(|| format!("cannot be read; give {}", Kind::Url.expects()))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must be a plain base URL, without user name, query or fragment".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Where people reach the service. Its page's addresses begin at the root of the host, so that there is no place for a path.
pub fn page(text: &str) -> Parsed<String> {
    let url = base_url(text)?;
    let path = Url::parse(&url).is_ok_and(|url| url.path() != "/");
    if path { Err("must have no path: the page is at the root of its host".to_owned()) } else { Ok(url) }
}

/// A number, and the unit that follows it.
fn quantity(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let wrong = || not(text, Kind::Duration);
    let (number, unit) = quantity(text).ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number.checked_mul(seconds).filter(|n| *n <= MAX_DURATION);
    seconds.map(Duration::from_secs).ok_or_else(|| "is longer than 100 years".to_owned())
}

/// A duration that is not zero.
pub fn lifetime(text: &str) -> Parsed<Duration> {
    duration(text).and_then(|d| if d.is_zero() { Err("must be longer than zero".to_owned()) } else { Ok(d) })
}

/// The pause between two heartbeats.
pub(super) fn heartbeat(text: &str) -> Parsed<Duration> {
    let shortest = Duration::from_mins(1);
    duration(text).and_then(|d| if d < shortest { Err("must be at least 1m".to_owned()) } else { Ok(d) })
}

pub(super) fn budget(text: &str) -> Parsed<DiskBudget> {
    let wrong = || not(text, Kind::Budget);
    let (number, unit) = quantity(text).ok_or_else(wrong)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "%" => {
            let share = u8::try_from(number).ok().filter(|share| (1..=100).contains(share));
            return share.map(DiskBudget::Share).ok_or_else(|| "must be from 1% to 100%".to_owned());
        }
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes > 0);
    bytes.map(DiskBudget::Bytes).ok_or_else(wrong)
}

pub(super) fn ratio(text: &str) -> Parsed<f64> {
    let ratio = text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| not(text, Kind::Ratio))
}

pub(super) fn count(text: &str) -> Parsed<u64> {
    text.trim().parse().map_err(|_| not(text, Kind::Count))
}

/// A count of at least one.
pub(super) fn positive(text: &str) -> Parsed<u64> {
    count(text)
        .and_then(|n| if n == 0 { Err("must be at least 1; leave it out for no limit".to_owned()) } else { Ok(n) })
}

/// Requests a minute; 0 is no limit.
pub(super) fn rate(text: &str) -> Parsed<Option<NonZeroU32>> {
    let number = u32::try_from(count(text)?).map_err(|_| format!("must be at most {}", u32::MAX))?;
    Ok(NonZeroU32::new(number))
}

/// The spellings that environments use.
pub(super) fn flag(text: &str) -> Parsed<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(not(text, Kind::Flag)),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(not(text, Kind::OneOf(&["text", "json"]))),
    }
}

/// Who looks up names behind the proxy.
pub(super) fn names(text: &str) -> Parsed<Names> {
    match text.trim() {
        "local" => Ok(Names::Here),
        "proxy" => Ok(Names::Proxy),
        _ => Err(not(text, Kind::OneOf(&["local", "proxy"]))),
    }
}

/// Levels, as the log knows them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Every part is a level, or names one for a part of the service. `EnvFilter` alone takes any word for the name of such a part, and shows
/// nothing then. What no part speaks of is shown from `info` on, so that a name that is mistyped does not silence the log either.
pub(super) fn log_filter(text: &str) -> Parsed<String> {
    let level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let mut parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        let known = match part.rsplit_once('=') {
            Some((target, word)) => !target.is_empty() && level(word),
            None => level(part),
        };
        if !known {
            return Err(not(part, Kind::LogFilter));
        }
    }
    match parts.iter().filter(|part| level(part)).count() {
        0 if parts.is_empty() => return Err(not(text, Kind::LogFilter)),
        0 => parts.insert(0, "info"),
        1 => {}
        _ => return Err("names several levels for the whole service; give one".to_owned()),
    }
    let filter = parts.join(",");
    match tracing_subscriber::EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(_) => Err(not(text, Kind::LogFilter)),
    }
}

/// Only the embedded database, for now.
pub(super) fn database(text: &str) -> Parsed<()> {
    match text.trim() {
        "sqlite" => Ok(()),
        url if url.starts_with("postgres") => Err(
            "PostgreSQL comes later. Leave this out: the embedded database in the data directory needs nothing else"
                .to_owned(),
        ),
        _ => Err("only `sqlite`, the embedded database, can be used; leave this out".to_owned()),
    }
}

pub(super) fn api_key(text: &str) -> Parsed<SecretString> {
    let text = text.trim();
    match text.chars().count() {
        n if n < MIN_API_KEY => Err(format!(
            "is too short: it has {n} characters and needs at least {MIN_API_KEY}, because it opens \
             everything. `openssl rand -hex 32` makes a good one"
        )),
        n if n > MAX_API_KEY => Err(format!("is longer than {MAX_API_KEY} characters")),
        _ if !text.bytes().all(|b| b.is_ascii_graphic()) => {
            Err("holds white space or another character that cannot stand in an HTTP header".to_owned())
        }
        _ => Ok(text.into()),
    }
}

pub(super) fn email(text: &str) -> Parsed<Email> {
    text.parse().map_err(|wrong: NotAnEmail| format!("`{}` {wrong}", shown(text)))
}

/// The bytes count as they are.
pub(super) fn password(text: &str) -> Parsed<SecretString> {
    passwords::check(text, None).map(|()| text.into())
}

/// The bytes count as they are: what receivers hold is compared with them, so nothing is trimmed.
pub(super) fn signing_secret(text: &str) -> Parsed<SecretString> {
    if text.trim().is_empty() { Err("holds white space only".to_owned()) } else { Ok(text.into()) }
}

pub(super) fn encryption_keys(text: &str) -> Parsed<Vec<EncryptionKey>> {
    let keys: Vec<_> = items(text).map(encryption_key).collect::<Parsed<_>>()?;
    if keys.is_empty() { Err(format!("holds no key; give {}", Kind::Keys.expects())) } else { Ok(keys) }
}

/// One key of 32 bytes, in hex or base64.
pub fn encryption_key(text: &str) -> Parsed<EncryptionKey> {
    let text = text.trim();
    let mut bytes = hex::decode(text).or_else(|_| BASE64.decode(text)).unwrap_or_default();
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    bytes.zeroize();
    key.map(|key| SecretBox::new(Box::new(key))).map_err(|_| format!("is no key; give {}", Kind::Keys.expects()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("15min", 900),
            ("12h", 43_200),
            ("30d", 2_592_000),
            ("2 w", 1_209_600),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "30", "d", "-1d", "1.5h", "30 days", "1h30m", "99999999999999999999d", "90000000d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(lifetime("0d").is_err());
    }

    #[test]
    fn sizes_are_bytes_or_a_share() {
        for (text, expected) in [
            ("10GB", DiskBudget::Bytes(10_000_000_000)),
            ("512MiB", DiskBudget::Bytes(512 << 20)),
            ("1 tb", DiskBudget::Bytes(1_000_000_000_000)),
            ("80%", DiskBudget::Share(80)),
        ] {
            assert_eq!(budget(text), Ok(expected), "{text}");
        }
        for wrong in ["", "10", "0GB", "0%", "101%", "1e9B", "99999999999999999999TB", "20000000TiB"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_page_is_at_the_root_of_its_host() {
        assert_eq!(page("https://siem.company.com/").as_deref(), Ok("https://siem.company.com"));
        assert_eq!(page("http://127.0.0.1:8080").as_deref(), Ok("http://127.0.0.1:8080"));
        assert!(page("https://company.com/siem").unwrap_err().contains("must have no path"));
        assert_eq!(base_url("https://company.com/otlp/").as_deref(), Ok("https://company.com/otlp"));
        assert!(page("siem.company.com").is_err() && page("https://a:b@company.com").is_err());
    }

    #[test]
    fn networks_may_be_single_addresses() {
        let read: Vec<String> =
            networks("10.1.2.3/8, ::1 192.168.0.1").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.0.0.0/8", "::1/128", "192.168.0.1/32"]);
        assert!(networks("10.0.0.0/8, example.com").unwrap_err().contains("example.com"));
    }

    #[test]
    fn keys_are_read_in_hex_and_base64_and_never_repeated() {
        let hex = "ab".repeat(32);
        let base64 = BASE64.encode([0xab; 32]);
        for text in [hex.clone(), base64.clone(), format!("{hex},{base64}")] {
            assert_eq!(encryption_keys(&text).unwrap()[0].expose_secret(), &[0xab; 32]);
        }
        for wrong in ["hunter2", "abab", ","] {
            assert!(!encryption_keys(wrong).map(|_| ()).unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn the_log_is_never_silenced_by_a_slip() {
        for (text, filter) in [
            ("info", "info"),
            ("INFO", "INFO"),
            ("off", "off"),
            ("warn, toktra_siem=debug", "warn,toktra_siem=debug"),
            ("toktra_siem=debug", "info,toktra_siem=debug"),
            ("toktra_siem::dispatch=trace,info", "toktra_siem::dispatch=trace,info"),
        ] {
            assert_eq!(log_filter(text).as_deref(), Ok(filter), "{text}");
        }
        for wrong in [
            "verbose",
            "warning",
            "7",
            "toktra_siem",
            "info,verbose",
            "toktra_siem=verbose",
            "toktra_siem=",
            "=debug",
            ",",
            " ",
            "info;debug",
            "[",
        ] {
            let refused = log_filter(wrong).unwrap_err();
            assert!(LEVELS.iter().all(|level| refused.contains(level)), "{wrong}: {refused}");
        }
        assert!(log_filter("info,debug").is_err());
    }

    #[test]
    fn a_list_that_names_nothing_is_refused() {
        for nothing in [",", " ", " , "] {
            assert!(networks(nothing).unwrap_err().contains("such as `10.0.0.0/8"), "{nothing:?}");
            assert!(words::<toktra_siem_core::event::Severity>(nothing, Kind::AnyOf(&["low"])).is_err(), "{nothing:?}");
            assert!(encryption_keys(nothing).is_err(), "{nothing:?}");
        }
    }

    #[test]
    fn only_the_embedded_database_is_there() {
        assert!(database("sqlite").is_ok());
        let refused = database("postgres://u:hunter2@db/x").unwrap_err();
        assert!(refused.contains("PostgreSQL comes later") && !refused.contains("hunter2"));
        assert!(database("mysql://u:hunter2@db/x").is_err_and(|message| !message.contains("hunter2")));
    }

    #[test]
    fn a_bootstrap_key_is_long_and_can_stand_in_a_header() {
        assert!(api_key(&"k".repeat(32)).is_ok());
        assert!(api_key(&"k".repeat(31)).is_err());
        assert!(api_key(&"k k".repeat(16)).is_err());
    }
}
