//! An event's own time: RFC 3339, kept in UTC.

use std::borrow::Cow;
use std::time::Duration;

use crate::fault::{FaultCode, Wrong};
use crate::time::Timestamp;

/// 2000-01-01T00:00:00Z. Earlier times are a clock that was never set.
const EARLIEST: Timestamp = Timestamp(946_684_800_000);
/// How far ahead of the service's clock an event may be.
const AHEAD: Duration = Duration::from_hours(24);

/// Reads `text` and gives the time and its stored spelling: as sent where it ends in `Z`, else converted to UTC with the fraction as
/// sent. The error says what to do.
pub(super) fn read(text: &str, now: Timestamp) -> Result<(Timestamp, Cow<'_, str>), Wrong> {
    let shape =
        Shape::of(text).ok_or_else(|| Wrong::not_one_of(text, "a time in RFC 3339, such as 2025-01-15T10:30:00Z"))?;
    // The shape allows days and hours that do not exist; jiff refuses them.
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| Wrong::not_one_of(text, "a time that exists; send one such as 2025-01-15T10:30:00Z"))?;
    let at = Timestamp(time.as_millisecond());
    if at < EARLIEST {
        let message = format!("`{text}` is before 2000-01-01; check the clock or the unit it was made from");
        return Err(Wrong::new(FaultCode::Range, message).with("min", EARLIEST.to_string()));
    }
    if at > now.plus(AHEAD) {
        let message = format!("`{text}` is more than 24 h ahead of this service's clock ({now}); check both clocks");
        return Err(Wrong::new(FaultCode::Range, message).with("max", now.plus(AHEAD).to_string()));
    }
    if shape.offset == "Z" && text.as_bytes()[10] == b'T' {
        return Ok((at, Cow::Borrowed(text)));
    }
    let seconds = jiff::Timestamp::from_second(time.as_second()).map_or_else(|_| time.to_string(), |t| t.to_string());
    let stored = format!("{}{}Z", seconds.trim_end_matches('Z'), shape.fraction);
    Ok((at, Cow::Owned(stored)))
}

/// The parts of an RFC 3339 time that matter for its spelling.
struct Shape<'a> {
    /// With its point; empty where there is none.
    fraction: &'a str,
    /// `Z`, `z`, or `+HH:MM`.
    offset: &'a str,
}

impl<'a> Shape<'a> {
    /// `None` where `text` is not of the form `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)` with at most nine digits of fraction and a
    /// second below 60 (a leap second cannot be told from its neighbour once it is a number).
    fn of(text: &'a str) -> Option<Self> {
        let fixed = text.get(..19)?.bytes().zip(*b"dddd-dd-ddTdd:dd:dd").all(|(b, pattern)| match pattern {
            b'd' => b.is_ascii_digit(),
            b'T' => matches!(b, b'T' | b't'),
            other => b == other,
        });
        let rest = &text[19.min(text.len())..];
        let digits = rest.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count());
        let (fraction, offset) = if rest.starts_with('.') { rest.split_at(1 + digits) } else { rest.split_at(0) };
        let fraction_fits = fraction.is_empty() || (1..=9).contains(&digits);
        let offset_fits = match offset.as_bytes() {
            b"Z" | b"z" => true,
            [b'+' | b'-', h1, h2, b':', m1, m2] => {
                [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) && offset[1..3] < *"24" && offset[4..6] < *"60"
            }
            _ => false,
        };
        (fixed && fraction_fits && offset_fits && text[17..19] < *"60").then_some(Self { fraction, offset })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fault::FieldFault;

    const NOW: Timestamp = Timestamp(1_736_937_000_000);

    fn stored(text: &str) -> Result<String, String> {
        let read = read(text, NOW).map(|(_, s)| s.into_owned());
        read.map_err(|wrong| FieldFault::new("", wrong).message)
    }

    #[test]
    fn utc_stays_and_other_offsets_are_converted() {
        for (sent, kept) in [
            ("2025-01-15T10:30:00Z", "2025-01-15T10:30:00Z"),
            ("2025-01-15T10:30:00.120000Z", "2025-01-15T10:30:00.120000Z"),
            ("2025-01-15T12:30:00.50+02:00", "2025-01-15T10:30:00.50Z"),
            ("2025-01-15T00:00:00-09:30", "2025-01-15T09:30:00Z"),
            ("2025-01-15t10:30:00z", "2025-01-15T10:30:00Z"),
            ("2025-01-15T10:30:00.000000001-00:00", "2025-01-15T10:30:00.000000001Z"),
            ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"),
            ("2025-01-16T10:30:00Z", "2025-01-16T10:30:00Z"),
        ] {
            assert_eq!(stored(sent).unwrap(), kept);
        }
    }

    #[test]
    fn refuses_what_is_no_time_or_out_of_range() {
        for (sent, part) in [
            ("", "not a time in RFC 3339"),
            ("2025-01-15", "not a time in RFC 3339"),
            ("2025-01-15 10:30:00Z", "not a time in RFC 3339"),
            ("2025-01-15T10:30:00", "not a time in RFC 3339"),
            ("2025-01-15T10:30:00.Z", "not a time in RFC 3339"),
            ("2025-01-15T10:30:00.1234567890Z", "not a time in RFC 3339"),
            ("2025-01-15T10:30:60Z", "not a time in RFC 3339"),
            ("2025-01-15T10:30:00+0200", "not a time in RFC 3339"),
            ("2025-01-15T10:30:00+24:00", "not a time in RFC 3339"),
            ("2025-01-15T10:30:00Z[UTC]", "not a time in RFC 3339"),
            ("２025-01-15T10:30:00Z", "not a time in RFC 3339"),
            ("2025-02-30T10:30:00Z", "not a time that exists"),
            ("2025-01-15T24:30:00Z", "not a time that exists"),
            ("1999-12-31T23:59:59Z", "before 2000-01-01"),
            ("2025-01-16T10:30:00.001Z", "more than 24 h ahead"),
        ] {
            let message = stored(sent).unwrap_err();
            assert!(message.contains(part), "{sent}: {message}");
        }
    }

    proptest! {
        #[test]
        fn conversion_keeps_the_instant(ms in 946_771_200_000i64..1_736_937_000_000, minutes in -1439i32..1440) {
            let utc = jiff::Timestamp::from_millisecond(ms).unwrap();
            let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
            let sent = format!("{:.3}", utc.display_with_offset(offset));
            let (at, kept) = read(&sent, NOW).unwrap();
            prop_assert_eq!(at, Timestamp(ms));
            prop_assert_eq!(kept.parse::<jiff::Timestamp>().unwrap(), utc);
            prop_assert!(kept.ends_with('Z'));
            prop_assert_eq!(&*read(&kept, NOW).unwrap().1, &*kept);
        }


        #[test]
        fn never_panics(text in ".{0,40}", near in "[0-9T:.Zz+-]{15,40}") {
            for text in [&text, &near] {
                if let Ok((at, kept)) = read(text, NOW) {
                    prop_assert_eq!(kept.parse::<jiff::Timestamp>().unwrap().as_millisecond(), at.0);
                }
            }
        }
    }
}
