//! Points in time that people choose: as a field of a form holds them (`datetime-local`, in UTC), as the API takes them, and as addresses
//! carry them, where both are understood.

use std::time::Duration;

use serde_json::Value;
use toktra_siem_core::time::Timestamp;

/// A time for the API: one without a zone is one in UTC. What is no time is handed on as it is, so that the API says what is wrong with it.
pub fn asked(text: &str) -> String {
    let whole = match text.len() {
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => return text.to_owned(),
    };
    if parse(&whole).is_some() { whole } else { text.to_owned() }
}

/// The same for a field of a form, in UTC. What is no time stays what it is.
pub fn field(text: &str) -> String {
    parse(text).map_or_else(|| text.to_owned(), written)
}

/// The instant that a field shows, with its zone, for the script. What is no time stays what it is.
pub fn instant(text: &str) -> String {
    asked(&field(text))
}

/// The minute that lies `back` before `now`, for a field or an address.
pub fn before(now: Timestamp, back: Duration) -> String {
    let at = now.minus(back);
    written(Timestamp(at.0 - at.0.rem_euclid(60_000)))
}

/// A range up to now that is often meant.
pub struct Preset {
    /// What it is called.
    pub name: &'static str,
    /// The page with it.
    pub address: String,
    /// Whether it is what is shown.
    pub chosen: bool,
}

/// What is offered, of which a page shows `from` up to `to`. `address` gives that of the page from a time on; from the beginning if it is
/// empty.
pub fn presets(now: Timestamp, from: &str, to: &str, address: impl Fn(&str) -> String) -> Vec<Preset> {
    const MINUTES: [(&str, Option<u64>); 5] = [
        ("Last 15 min", Some(15)),
        ("Last hour", Some(60)),
        ("Last 24 h", Some(24 * 60)),
        ("Last 7 days", Some(7 * 24 * 60)),
        ("Any time", None),
    ];
    let preset = |(name, minutes): (&'static str, Option<u64>)| {
        let begin = minutes.map(|minutes| before(now, Duration::from_mins(minutes))).unwrap_or_default();
        Preset { name, address: address(&begin), chosen: from == begin && to.is_empty() }
    };
    MINUTES.into_iter().map(preset).collect()
}

/// The point in time that a field or an address names, where it names one.
pub fn read(text: &str) -> Option<Timestamp> {
    parse(&asked(text))
}

fn parse(text: &str) -> Option<Timestamp> {
    serde_json::from_value(Value::from(text)).ok()
}

/// Without a zone, and without seconds where there are none.
fn written(at: Timestamp) -> String {
    let text = at.to_string();
    let end = if text.get(16..19) == Some(":00") { 16 } else { 19 };
    text.get(..end).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_one_in_utc() {
        assert_eq!(asked("2025-01-15T10:30"), "2025-01-15T10:30:00Z");
        assert_eq!(asked("2025-01-15T10:30:05"), "2025-01-15T10:30:05Z");
        for other in [
            "2025-01-15T10:30:00Z",
            "2025-01-15T10:30:00+02:00",
            "2025-13-45T10:30",
            "sixteen letters!",
            "yesterday",
            "",
        ] {
            assert_eq!(asked(other), other);
        }
    }

    #[test]
    fn a_field_holds_it_without_a_zone() {
        assert_eq!(field("2025-01-15T10:30:00Z"), "2025-01-15T10:30");
        assert_eq!(field("2025-01-15T10:30:05.120+02:00"), "2025-01-15T08:30:05");
        assert_eq!(field("2025-01-15T10:30"), "2025-01-15T10:30");
        assert_eq!(field("yesterday"), "yesterday");
    }

    #[test]
    fn what_is_offered_is_a_whole_minute_and_understood_again() {
        let now = Timestamp(1_736_937_059_999);
        let hour = before(now, Duration::from_hours(1));
        assert_eq!(hour, "2025-01-15T09:30");
        assert_eq!(read(&hour), Some(Timestamp(1_736_933_400_000)));
        assert_eq!(read("yesterday"), None);
    }
}
