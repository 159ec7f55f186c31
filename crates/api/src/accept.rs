//! Which of several media types a client prefers, where a route can answer in more than JSON.

use http::header::{ACCEPT, HeaderMap};

/// Lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// What `known` makes of the media type that `Accept` prefers: the one with the highest `q`, and the first of equals. `None` if that is
/// JSON, or if `Accept` names nothing that is known.
pub(super) fn preferred<T>(headers: &HeaderMap, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let named = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut highest, mut answer) = (0.0, None);
    for range in named.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let meant = match parts.next().unwrap_or_default().as_str() {
            "application/json" | "application/*" | "*/*" => Some(None),
            other => known(other).map(Some),
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if let Some(meant) = meant.filter(|_| quality > highest) {
            (highest, answer) = (quality, meant);
        }
    }
    answer
}
