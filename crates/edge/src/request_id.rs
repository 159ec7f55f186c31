//! The id of a request: the client's own where it sends one, else one that is made. It is in the answer and in every line of the log that
//! is written for the request, so that the two can be brought together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Where it stands, in requests and answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is taken from a client.
const LONGEST: usize = 128;

/// The request's id.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    headers.get(&HEADER).filter(|value| is_usable(value)).cloned().unwrap_or_else(made)
}

/// Letters, digits and `-_.:` only: it is written into logs.
fn is_usable(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(plain)
}

/// Unique among the processes of a service, most likely, and cheap: drawn once, counted from then on.
fn made() -> HeaderValue {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without randomness ids are unique within this process only.
        let _ = getrandom::fill(&mut bytes);
        u64::from_ne_bytes(bytes)
    });
    let id = format!("{process:016x}-{}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_kept_where_it_is_harmless() {
        let with = |id: &str| HeaderMap::from_iter([(HEADER, HeaderValue::from_str(id).unwrap())]);
        assert_eq!(of(&with("req_1.a:b-2")), "req_1.a:b-2");
        for bad in ["", "a b", "a\"b", "a/b", &"x".repeat(LONGEST + 1)] {
            assert_ne!(of(&with(bad)), bad);
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
