//! From encoded events to the bytes that leave. Every destination splices stored events into an envelope by copying; what that needs
//! is here once: reading a member without printing it again, writing numbers, compressing, and putting the request together.

use std::io::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::write::GzEncoder;
use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use toktra_siem_core::cause::Cause;
use toktra_siem_core::connector::Compression;
use toktra_siem_core::event::spans::members;
use toktra_siem_core::time::Timestamp;

use crate::destination::{EncodeError, Header, HeaderText, Method, OutboundRequest};

/// `Content-Type` of JSON.
pub const JSON: HeaderText = HeaderText::Plain(std::borrow::Cow::Borrowed("application/json"));
/// `Content-Type` of one JSON value a line.
pub const NDJSON: HeaderText = HeaderText::Plain(std::borrow::Cow::Borrowed("application/x-ndjson"));

/// Puts a request together and compresses its body where the connector asks for it.
pub fn request(
    url: &str,
    mut headers: Vec<Header>,
    body: Vec<u8>,
    compression: Compression,
) -> Result<OutboundRequest, EncodeError> {
    let (body, encoding) = finish(body, compression)?;
    headers.extend(encoding);
    Ok(OutboundRequest { method: Method::Post, url: url.to_owned(), secret_url: false, headers, body })
}

/// The body as it leaves, with the header that says how to read it.
fn finish(body: Vec<u8>, compression: Compression) -> Result<(Bytes, Option<Header>), EncodeError> {
    match compression {
        Compression::None => Ok((body.into(), None)),
        Compression::Gzip => {
            // The fastest level: JSON of events shrinks to about a tenth with it, and the higher ones cost several times the CPU.
            // The header of the archive holds no time, so that the same batch makes the same bytes.
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
            encoder.write_all(&body)?;
            Ok((encoder.finish()?.into(), Some(("content-encoding".into(), HeaderText::Plain("gzip".into())))))
        }
    }
}

/// A header value of a scheme and a credential, such as `Splunk <token>`.
pub fn authorization(scheme: &str, credential: &SecretString) -> HeaderText {
    HeaderText::Secret(SecretString::from(format!("{scheme} {}", credential.expose_secret())))
}

/// The members of a stored event that destinations repeat in their envelope, as raw JSON: copied, never printed again.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct RawMembers<'a> {
    /// The event's own time.
    #[serde(borrow)]
    pub timestamp: &'a serde_json::value::RawValue,
    /// The sentence for a person.
    #[serde(borrow)]
    pub summary: &'a serde_json::value::RawValue,
}

/// Reads [`RawMembers`] from a stored event.
///
/// Fails only where the stored form is damaged: intake guarantees an object with both members. The cause is ours, and the event is
/// parked with it rather than sent without the member.
pub fn raw_members(payload: &[u8]) -> Result<RawMembers<'_>, Cause> {
    match (payload, serde_json::from_slice(payload)) {
        ([b'{', .., b'}'], Ok(members)) => Ok(members),
        _ => Err(Cause::new(
            "event_unreadable",
            "The stored event could not be read back, so it was not sent. The database file is probably damaged: stop the \
             server and run `toktra-siem repair`.",
        )),
    }
}

/// Where the first member of the name `name` begins in a stored event: at the quote before it. The start of its first member if it has none.
pub fn member_start(payload: &[u8], name: &str) -> usize {
    let mut at = 1;
    for (found, value) in members(payload) {
        if found == name.as_bytes() {
            return at;
        }
        at += MEMBER + found.len() + value.len();
    }
    1
}

/// The bytes of a compact object's member beside name and value: two quotes, a colon and a comma.
const MEMBER: usize = 4;

/// The members of a stored event that are `null`, as ranges with the comma behind them. Only members that stand before `source` and before
/// anything nested can be (see `core::event::intake`). They are looked for as text, not member by member: each event is asked twice for each connector.
fn nulls(payload: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    // Inside a text this would have backslashes. The quote behind the last comma belongs to what is looked through.
    let end = SOURCE.find(payload).map_or(0, |source| source + 1);
    let nested = [&OBJECT, &ARRAY].into_iter().filter_map(|value| names(value, &payload[..end]).next()).min();
    let before = &payload[..nested.unwrap_or(end)];
    names(&NULL, before).filter_map(|end| {
        let start = memchr::memrchr(b'"', &before[..end])?;
        Some(start..end + NULL.needle().len() - 1)
    })
}

/// Where the names end that have this value behind them: at the closing quote. All names are of letters, while a quote inside a text has a
/// backslash before it, and one that opens a text a colon.
fn names<'a>(value: &'a Finder<'static>, object: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    value.find_iter(object).filter(|at| object[..*at].last().is_some_and(u8::is_ascii_lowercase))
}

static SOURCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""source":"toktra""#));
static OBJECT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#"":{"#));
static ARRAY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#"":["#));
static NULL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#"":null,""#));

/// Appends a stored event without the members that are `null`.
pub fn push_without_nulls(body: &mut Vec<u8>, payload: &[u8]) {
    let mut from = 0;
    for null in nulls(payload) {
        body.extend_from_slice(&payload[from..null.start]);
        from = null.end;
    }
    body.extend_from_slice(&payload[from..]);
}

/// The length of what [`push_without_nulls`] appends.
pub fn len_without_nulls(payload: &[u8]) -> usize {
    payload.len() - nulls(payload).map(|null| null.len()).sum::<usize>()
}

/// `value` as JSON. Only for strings and plain structures of ours, which always can be written.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Appends `time` in seconds since the epoch with exactly three decimals.
pub fn push_epoch_seconds(body: &mut Vec<u8>, time: Timestamp) {
    let ms = time.0.unsigned_abs();
    let sign = if time.0 < 0 { "-" } else { "" };
    // Writing into a vector cannot fail.
    let _ = write!(body, "{sign}{}.{:03}", ms / 1000, ms % 1000);
}

/// The length of what [`push_epoch_seconds`] appends.
pub fn epoch_seconds_len(time: Timestamp) -> usize {
    let seconds = time.0.unsigned_abs() / 1000;
    let digits = seconds.checked_ilog10().map_or(1, |log| log as usize + 1);
    usize::from(time.0 < 0) + digits + ".000".len()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_have_three_decimals() {
        for (ms, text) in [
            (1_736_937_000_123, "1736937000.123"),
            (0, "0.000"),
            (7, "0.007"),
            (-1_500, "-1.500"),
            (999_999, "999.999"),
        ] {
            let mut body = Vec::new();
            push_epoch_seconds(&mut body, Timestamp(ms));
            assert_eq!(String::from_utf8(body).unwrap(), text);
        }
    }

    #[test]
    fn raw_members_are_the_event_s_own_bytes() {
        let payload =
            br#"{"summary":"a \u00e9 \"b\"","details":{"timestamp":1,"summary":2},"timestamp":"2025-01-15T10:30:00Z"}"#;
        let members = raw_members(payload).unwrap();
        assert_eq!(members.summary.get(), r#""a \u00e9 \"b\"""#);
        assert_eq!(members.timestamp.get(), r#""2025-01-15T10:30:00Z""#);
        for damaged in [&b""[..], b"{", b"[]", b"{}", &payload[..40]] {
            assert_eq!(raw_members(damaged).unwrap_err().code, "event_unreadable");
        }
    }

    #[test]
    fn nulls_of_the_event_itself_are_left_out_and_no_others() {
        let plain =
            br#"{"event_id":"a","user_id":"x","source":"toktra","summary":"s","tags":{},"details":{"user_id":null}}"#;
        let nulls = br#"{"event_id":"a","user_id":null,"user_email":null,"model":"m,\"provider\":null,","source":"toktra","details":{"a":null,"b":1}}"#;
        let older = br#"{"details":{"a":1,"user_id":null,"b":2},"event_id":"a","source":"toktra"}"#;
        let kept = br#"{"event_id":"a","model":"m,\"provider\":null,","source":"toktra","details":{"a":null,"b":1}}"#;
        for (payload, expected) in [(&plain[..], &plain[..]), (&nulls[..], &kept[..]), (&older[..], &older[..])] {
            let mut body = Vec::new();
            push_without_nulls(&mut body, payload);
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(expected));
            assert_eq!(len_without_nulls(payload), expected.len());
        }
        assert_eq!(member_start(plain, "summary"), plain.windows(9).position(|w| w == b"\"summary\"").unwrap());
        // What looks like a null but is the end or the beginning of a text.
        for kept in [
            &br#"{"event_id":"a","model":"m\":null,","source":"toktra","details":{}}"#[..],
            br#"{"event_id":"a","model":":null,","source":"toktra"}"#,
            br#"{"event_id":"a","model":"\\\"a\":null,","user_id":":null,","source":"toktra"}"#,
            br#"{"event_id":"a","details":{"b":1,"user_id":null,"c":[{"d":null,"e":1}]},"source":"toktra"}"#,
            br#"{"event_id":"a","tags":[null,{"a":null,"b":1}],"source":"toktra"}"#,
        ] {
            let mut body = Vec::new();
            push_without_nulls(&mut body, kept);
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(kept));
        }
        for damaged in [&b""[..], b"{", b"{}", b"[]", &nulls[..30]] {
            let mut body = Vec::new();
            push_without_nulls(&mut body, damaged);
            assert_eq!((body.as_slice(), member_start(damaged, "summary")), (damaged, 1));
        }
    }

    #[test]
    fn gzip_is_announced_and_deterministic() {
        let plain = b"{\"a\":1}\n".repeat(50);
        let (body, header) = finish(plain.clone(), Compression::Gzip).unwrap();
        assert!(
            matches!(header, Some((name, HeaderText::Plain(value))) if name == "content-encoding" && value == "gzip")
        );
        assert_eq!(body, finish(plain.clone(), Compression::Gzip).unwrap().0);
        let mut inflated = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut inflated).unwrap();
        assert_eq!(inflated, plain);
        let (body, header) = finish(plain.clone(), Compression::None).unwrap();
        assert!(body == plain && header.is_none());
    }

    proptest! {
        #[test]
        fn the_length_of_a_time_is_known_beforehand(ms in prop_oneof![any::<i64>(), -100_000i64..2_000_000_000_000]) {
            let mut body = Vec::new();
            push_epoch_seconds(&mut body, Timestamp(ms));
            prop_assert_eq!(body.len(), epoch_seconds_len(Timestamp(ms)));
        }
    }
}
