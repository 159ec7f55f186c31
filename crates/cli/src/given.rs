//! What people give as values of options, read as the types that requests hold.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;
use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_config::value;
use toktra_siem_core::time::Timestamp;

/// Reads a time: `2025-01-15T10:30:00Z`, or `2h` for two hours ago.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, SystemClock.now())
}

/// Reads a time to come: `2030-01-15T10:30:00Z`, or `2h` for two hours from now.
pub(crate) fn until(text: &str) -> Result<Timestamp, String> {
    until_after(text, SystemClock.now())
}

fn until_after(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = serde_json::from_value(text.into()) {
        return Ok(time);
    }
    let span = value::lifetime(text).map_err(|_| {
        "give a time such as 2030-01-15T10:30:00Z, or how long from now such as 30m, 2h or 7d".to_owned()
    })?;
    Ok(now.plus(span))
}

/// Reads `MEMBER=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give MEMBER=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

fn time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = serde_json::from_value(text.into()) {
        return Ok(time);
    }
    let ago = value::lifetime(text)
        .map_err(|_| "give a time such as 2025-01-15T10:30:00Z, or how long ago such as 30m, 2h or 7d".to_owned())?;
    Ok(Timestamp(now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))))
}

/// Reads one of these words.
pub(crate) fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value(word.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        let now = Timestamp(1_736_937_000_000);
        assert_eq!(time_at("2h", now), Ok(Timestamp(1_736_937_000_000 - 7_200_000)));
        assert_eq!(time_at("2025-01-15T10:30:00Z", Timestamp(0)), Ok(now));
        assert_eq!(until_after("2h", now), Ok(Timestamp(1_736_937_000_000 + 7_200_000)));
        assert!(until_after("tomorrow", now).unwrap_err().contains("from now"));
        assert!(time_at("yesterday", now).unwrap_err().contains("2h"));
    }
}
