//! Datadog's logs search: `POST /api/v2/logs/events/search` (API reference, "Search logs (POST)"), with both keys.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rules::{plain_errors, plain_refusal};
use crate::receiver::{Accepted, Judgement, Received, Reply};

/// The path.
pub(super) const SEARCH: &str = "/api/v2/logs/events/search";

/// Answers a search of one attribute; `refreshed` says whether it sees what there is.
pub(super) fn answer(
    request: &Received,
    key: &str,
    may_read: bool,
    logs: &[Accepted],
    refreshed: impl Fn() -> bool,
) -> Result<Judgement, Judgement> {
    match request.header("dd-application-key") {
        None => return Err(plain_refusal(401, "Unauthorized", "no `DD-APPLICATION-KEY` header")),
        Some(sent) if sent != key => return Err(plain_refusal(403, "Forbidden", "unknown application key")),
        Some(_) if !may_read => return Err(Judgement::of(plain_errors(403, "Forbidden"))),
        Some(_) => {}
    }
    if request.media_type() != "application/json" {
        return Err(plain_refusal(415, "Unsupported Media Type", "the content type is not application/json"));
    }
    let malformed = |why: &str| plain_refusal(400, why, why);
    let body: Value = serde_json::from_slice(request.wire()).map_err(|_| malformed("not JSON"))?;
    let filter = |name: &str| body["filter"][name].as_str().unwrap_or_default();
    for bound in ["from", "to"] {
        filter(bound).parse::<Timestamp>().map_err(|_| malformed("`from` and `to` are times in ISO 8601"))?;
    }
    if !body["page"]["limit"].as_u64().is_some_and(|limit| (1..=1000).contains(&limit)) {
        return Err(malformed("`page.limit` is 1 to 1000"));
    }
    let wanted = filter("query")
        .strip_prefix("@event_id:")
        .ok_or_else(|| malformed("this receiver knows the query `@event_id:…`"))?;
    let seen = refreshed();
    let found = logs.iter().filter(|log| seen && log.event_id.as_deref() == Some(wanted));
    let data: Vec<Value> = found
        .map(|log| json!({ "id": "AAAA", "type": "log", "attributes": { "attributes": serde_json::from_slice::<Value>(&log.event).unwrap_or_default() } }))
        .collect();
    Ok(Judgement::of(Reply::json(200, &json!({ "data": data, "meta": { "status": "done", "elapsed": 1 } }))))
}
