//! The connectors that the environment or the file describes: at most one of each platform, read by the same parser as the API's.

use std::path::Path;

use serde_json::{Map, Value};
use toktra_siem_core::connector::{Credentials, Settings};
use toktra_siem_core::filter::Filter;
use toktra_siem_core::ids::PlatformId;
use toktra_siem_platform::group;

use super::settings::{Kind, Setting, Table};
use super::slip::slip;
use super::{Fault, Place, Reader, files, value};

/// A connector of the environment.
#[derive(Debug, Clone)]
pub struct EnvironmentConnector {
    /// Where and how.
    pub settings: Settings,
    /// Its credential.
    pub credentials: Credentials,
    /// Which events.
    pub filter: Filter,
}

/// Every connector of which anything was given.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<EnvironmentConnector> {
    let platforms: Vec<PlatformId> = reader.values.table.registry().ids().collect();
    platforms.into_iter().filter_map(|platform| one(reader, platform)).collect()
}

fn one(reader: &mut Reader<'_>, platform: PlatformId) -> Option<EnvironmentConnector> {
    let table = &reader.values.table;
    if !table.of_platform(platform).any(|setting| reader.values.get(setting).is_some()) {
        return None;
    }
    let mut members = Map::new();
    for setting in table.of_platform(platform) {
        if let Some(value) = member(reader, setting) {
            members.insert(name(setting).to_owned(), value);
        }
    }
    let filter =
        Filter { severity: words(reader, platform, "severity"), event_types: words(reader, platform, "event_types") };
    match table.registry().parse_new(platform, &group::nested(members).into()) {
        Ok((settings, credentials)) => Some(EnvironmentConnector { settings, credentials, filter }),
        Err(faults) => {
            for fault in faults {
                let member = fault.pointer.trim_start_matches("/config/");
                let key = format!("{platform}.{}", group::at(member));
                let place = match table.by_key(&key) {
                    Some(setting) => reader.values.place(setting),
                    None => Place::Default,
                };
                if !reader.faults.iter().any(|known| known.place == place) {
                    reader.faults.push(Fault::new(place, explained(table, platform, &key, fault.message)));
                }
            }
            None
        }
    }
}

/// Why a member is wanted: something else of the connector was given.
fn explained(table: &Table, platform: PlatformId, key: &str, message: String) -> String {
    if !message.starts_with("is missing") {
        return message;
    }
    let rest = message.strip_prefix("is missing").unwrap_or_default();
    let what = table.by_key(key).map_or(String::new(), |setting| format!(". {}", setting.doc));
    format!("is missing, and the {} connector needs it{rest}{what}", table.registry().label(platform))
}

fn name(setting: &Setting) -> &str {
    setting.key.split_once('.').map_or(&*setting.key, |(_, name)| name)
}

/// A member of the connector's `config`, as the API would be given it. The filter is none.
fn member(reader: &mut Reader<'_>, setting: &Setting) -> Option<Value> {
    if matches!(setting.kind, Kind::AnyOf(_)) {
        return None;
    }
    reader.values.get(setting)?;
    let value = reader.text(setting).transpose()?.and_then(|text| match setting.kind {
        Kind::Flag => value::flag(text).map(Value::from),
        Kind::Count => value::count(text).map(Value::from),
        Kind::Pem => pem(text).map(Value::from),
        _ => Ok(Value::from(text)),
    });
    match value {
        Ok(value) => Some(value),
        Err(message) => {
            reader.fault(&setting.key, message);
            None
        }
    }
}

/// A certificate given as such, or as the path of a file.
pub(super) fn pem(text: &str) -> Result<String, String> {
    // Base64 of a certificate, and of PEM, begins like this; a path goes over no line.
    let bare = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\u{feff}'));
    let encoded = ["MII", "MIA", "LS0t"].iter().any(|start| bare.starts_with(start));
    if encoded || bare.contains('\n') || text.to_ascii_lowercase().contains("begin ") {
        return Ok(text.to_owned());
    }
    if let Some(why) = slip(Kind::Path, text.trim()) {
        return Err(why.to_owned());
    }
    // What stands there may be a key: it is never repeated.
    files::pem(Path::new(text.trim()))
        .map_err(|error| format!("is neither a certificate in PEM nor the path of a file that can be read: {error}"))
}

/// The words of a filter, each of which must be known.
fn words<T: std::str::FromStr>(reader: &mut Reader<'_>, platform: PlatformId, list: &str) -> Vec<T> {
    let key = format!("{platform}.filter.{list}");
    let kind = reader.setting(&key).kind;
    reader.read(&key, |text| value::words(text, kind)).unwrap_or_default()
}
