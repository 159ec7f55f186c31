//! Times as people give them: RFC 3339, or how long ago.

use toktra_siem_core::time::Timestamp;

use toktra_siem_base::clock::{Clock as _, SystemClock};
use toktra_siem_config::value;

/// A time: `2025-01-15T10:30:00Z`, or `2h` for two hours ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(Timestamp);

impl Time {
    /// As the API writes it.
    pub fn shown(self) -> String {
        self.0.to_string()
    }
}

/// Reads a time.
pub fn read(text: &str) -> Result<Time, String> {
    read_at(text, SystemClock.now())
}

fn read_at(text: &str, now: Timestamp) -> Result<Time, String> {
    if let Ok(time) = serde_json::from_value(text.into()) {
        return Ok(Time(time));
    }
    let ago = value::lifetime(text)
        .map_err(|_| "give a time such as 2025-01-15T10:30:00Z, or how long ago such as 30m, 2h or 7d".to_owned())?;
    Ok(Time(Timestamp(now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_absolute_or_ago() {
        let now = Timestamp(1_736_937_000_000);
        assert_eq!(read_at("2h", now), Ok(Time(Timestamp(1_736_937_000_000 - 7_200_000))));
        assert_eq!(read_at("2025-01-15T10:30:00Z", Timestamp(0)), Ok(Time(now)));
        assert!(read_at("yesterday", now).unwrap_err().contains("2h"));
    }
}
