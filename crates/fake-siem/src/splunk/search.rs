//! Splunk's management port, as far as a search needs it: `POST /services/search/jobs` as one shot (Splunk's REST API reference,
//! "search/jobs"). It serves where a search token is set; a collector by itself does not.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::receiver::{Accepted, Judgement, Received, Reply};

/// The path.
pub(super) const JOBS: &str = "/services/search/jobs";

/// An indexed event.
pub(super) struct Indexed {
    index: String,
    time: f64,
    event: Bytes,
}

impl Indexed {
    pub(super) fn of(accepted: &Accepted, default_index: &str) -> Self {
        let text = |meta: &Map<String, Value>, name: &str| meta.get(name).and_then(Value::as_str).map(str::to_owned);
        let time = accepted.meta.get("time").and_then(|time| time.as_f64().or_else(|| time.as_str()?.parse().ok()));
        Self {
            index: text(&accepted.meta, "index").unwrap_or_else(|| default_index.to_owned()),
            time: time.unwrap_or_default(),
            event: accepted.event.clone(),
        }
    }
}

/// Who may search what.
pub(super) struct Rights<'a> {
    /// The one valid token.
    pub(super) token: &'a str,
    /// Its role has the capability `search`.
    pub(super) may_search: bool,
    /// The indexes that its role may search: what others hold is left out without a word.
    pub(super) indexes: &'a [String],
}

fn said(status: u16, kind: &str, text: &str) -> Reply {
    Reply::json(status, &json!({ "messages": [{ "type": kind, "text": text }] }))
}

/// Answers a search; `refreshed` says whether it sees what there is.
pub(super) fn answer(
    request: &Received,
    rights: &Rights<'_>,
    indexed: &[Indexed],
    refreshed: impl Fn() -> bool,
) -> Result<Judgement, Judgement> {
    let refused = |status, kind: &str, text: &str| Judgement::refused(said(status, kind, text), text);
    if request.header("authorization") != Some(&format!("Bearer {}", rights.token)) {
        return Err(refused(401, "WARN", "call not properly authenticated"));
    }
    if !rights.may_search {
        return Err(Judgement::of(said(403, "ERROR", "insufficient permission to access this resource")));
    }
    if request.media_type() != "application/x-www-form-urlencoded" {
        return Err(refused(400, "FATAL", "the parameters of a search are a form"));
    }
    let form: BTreeMap<String, String> = form_urlencoded::parse(request.wire()).into_owned().collect();
    let given = |name: &str| form.get(name).map_or("", String::as_str);
    if (given("exec_mode"), given("output_mode")) != ("oneshot", "json") {
        return Err(refused(400, "FATAL", "this receiver knows searches of one shot that answer in JSON"));
    }
    let Some(search) = given("search").strip_prefix("search ") else {
        return Err(refused(400, "FATAL", "Unknown search command."));
    };
    let time = |name: &str| given(name).parse::<f64>();
    let (Ok(earliest), Ok(latest)) = (time("earliest_time"), time("latest_time")) else {
        return Err(refused(400, "FATAL", "Invalid earliest_time or latest_time."));
    };
    let mut terms = search.split_whitespace();
    let index = terms.next().and_then(|term| term.strip_prefix("index=")).unwrap_or_default().trim_matches('"');
    let phrases: Vec<&str> = terms.map(|term| term.trim_matches('"')).collect();
    let may = rights.indexes.iter().any(|may| may == index);
    let fits = |one: &&Indexed| {
        let raw = String::from_utf8_lossy(&one.event);
        one.index == index
            && earliest <= one.time
            && one.time < latest
            && phrases.iter().all(|phrase| raw.contains(phrase))
    };
    let found: Vec<Value> = if may && refreshed() {
        let raw = |one: &Indexed| json!({ "_raw": String::from_utf8_lossy(&one.event), "index": one.index });
        indexed.iter().filter(fits).map(raw).collect()
    } else {
        Vec::new()
    };
    let answer = json!({ "preview": false, "init_offset": 0, "messages": [], "fields": [], "results": found });
    Ok(Judgement::of(Reply::json(200, &answer)))
}
