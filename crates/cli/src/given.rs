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
        assert!(time_at("yesterday", now).unwrap_err().contains("2h"));
    }
}
