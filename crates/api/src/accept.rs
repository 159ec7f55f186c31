//! Which of several media types a client prefers, where a route can answer in more than JSON.

use http::header::{ACCEPT, HeaderMap};

/// Lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// What `known` makes of the first media type in `Accept` that it knows; `None` where JSON comes before it, or nothing that is known.
pub(super) fn first<T>(headers: &HeaderMap, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let named = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = named.flat_map(|value| value.split(','));
    ranges.find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused =
            parts.any(|part| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0));
        match media_type.as_str() {
            _ if refused => None,
            "application/json" | "application/*" | "*/*" => Some(None),
            other => known(other).map(Some),
        }
    })?
}
